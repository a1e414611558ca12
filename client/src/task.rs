//! A task with an owner: it ends with the value that started it.

use std::future::Future;
use tokio::task::JoinHandle;
use tracing::Instrument;

/// Dropped, it stops the task.
pub(crate) struct Task<T>(JoinHandle<T>);

impl<T: Send + 'static> Task<T> {
    /// Starts it. What it logs stays in the span of the request that it is for.
    pub(crate) fn spawn(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(tokio::spawn(work.in_current_span()))
    }

    /// Whether its result is there.
    pub(crate) fn done(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits for its result. `None` when the runtime stopped it. A panic goes on here.
    pub(crate) async fn join(mut self) -> Option<T> {
        match (&mut self.0).await {
            Ok(result) => Some(result),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => None,
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
