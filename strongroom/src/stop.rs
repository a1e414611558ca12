//! SIGINT and SIGTERM.

use anyhow::Result;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Tells when the process is asked to stop.
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// From now on a signal is not lost.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Returns when it is asked, again each time that it is.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Waits for `stopping`, but not beyond a second signal.
    pub(crate) async fn drain(&mut self, stopping: impl Future<Output = ()>) {
        tracing::info!("draining");
        tokio::select! {
            () = stopping => {}
            () = self.asked() => tracing::warn!("stopped at once; what was acknowledged is safe"),
        }
    }
}
