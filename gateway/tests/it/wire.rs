//! The bare S3 client of the tests, with the key of the test cluster.

use crate::cluster::{ACCESS_KEY, SECRET};
pub(crate) use strongroom_wire::{Ask, Reply, cut, exchange, now, path, signed_chunks};

/// A request with nothing but its path, of the key that may everything.
pub(crate) fn ask(method: &'static str, path: impl Into<String>) -> Ask {
    Ask::new(method, path, ACCESS_KEY, SECRET)
}
