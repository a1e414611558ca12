//! The client's two background tasks.
//!
//! The *renewer* keeps the session alive; the *stocker* keeps leases, issued blobs and the group table
//! fresh. They are apart so that a slow fetch never delays a renewal. Both end at shutdown, and with
//! the client.

use crate::inner::Inner;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use types::wire::metadata::MetadataError;

/// The stocker looks around at least this often.
const ROUND: Duration = Duration::from_secs(5);
/// After a failure both wait this long.
const PAUSE: Duration = Duration::from_millis(500);

/// Runs `work` again and again until told to stop.
async fn until_stopped(mut stop: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => {}
        () = work => {}
    }
}

/// Opens a session, and renews it each third of its time.
pub(crate) async fn renew(inner: Arc<Inner>, stop: watch::Receiver<bool>) {
    let work = async {
        loop {
            let session = match inner.sessions.current().await {
                Ok(session) => session,
                Err(error) => {
                    tracing::debug!(%error, "no session");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            sleep_until(session.renewal_due()).await;
            if let Err(error) = inner.sessions.renew(&session).await {
                tracing::info!(session = %session.id, %error, "the session was not renewed");
                sleep(PAUSE).await;
            }
        }
    };
    until_stopped(stop, work).await;
}

/// Fetches what runs low, when told that it does and from time to time.
pub(crate) async fn stock(inner: Arc<Inner>, stop: watch::Receiver<bool>) {
    let work = async {
        loop {
            if let Err(error) = round(&inner).await {
                tracing::debug!(%error, "could not stock up");
                sleep(PAUSE).await;
            }
            // Either is a reason for the next round.
            let _ = timeout(ROUND, inner.sessions.low.notified()).await;
        }
    };
    until_stopped(stop, work).await;
}

async fn round(inner: &Inner) -> Result<(), MetadataError> {
    let patience = inner.config.metadata_patience;
    let (sessions, metadata) = (&inner.sessions, &*inner.metadata);
    if let Some(session) = sessions.live() {
        let blobs = session.issued.stock(sessions, metadata, &session, patience);
        blobs.await?;
        let leases = session.leases.stock(sessions, metadata, &session, patience);
        leases.await?;
    }
    inner.groups.refresh_if_older(Instant::now(), ROUND).await
}
