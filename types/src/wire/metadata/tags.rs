//! Tags of an object or a bucket.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Names and values, in the order given. Kept sealed.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tags(pub Vec<(String, String)>);

/// Tags may be classified: they never print.
impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tags({})", self.0.len())
    }
}
