//! Work that may block a thread.

use std::io;

/// Where it is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Apart {
    /// Beside the runtime's threads, which serve on.
    #[default]
    Beside,
    /// At once: what a server does whose choices follow from a seed must not depend on which thread is faster.
    AtOnce,
}

impl Apart {
    /// Of a server with this seed, or none.
    pub(crate) fn by(seed: Option<u64>) -> Self {
        match seed {
            Some(_) => Self::AtOnce,
            None => Self::Beside,
        }
    }

    /// Does some, and waits for it.
    ///
    /// # Errors
    /// When it panicked.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        match self {
            Self::AtOnce => Ok(work()),
            Self::Beside => {
                let done = tokio::task::spawn_blocking(work).await;
                done.map_err(io::Error::other)
            }
        }
    }
}
