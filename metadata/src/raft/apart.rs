//! Work that may block: beside a runtime's threads, where it has several.
//!
//! A runtime of one thread does it at once. It would serve nobody else sooner by waiting for another thread, and
//! what a simulated cluster does must not depend on which thread is faster: one seed is one story.

use std::io;
use tokio::runtime::{Handle, RuntimeFlavor};

/// Whether it is done at once.
pub(crate) fn at_once() -> bool {
    Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread
}

/// Does it, and waits for it.
///
/// # Errors
/// When it panicked.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    if at_once() {
        return Ok(work());
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other)
}
