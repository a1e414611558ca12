//! The metadata servers over the wire: finds the leader, and asks again what may be asked again.
//!
//! ```text
//! watch (a task a server): who leads? --told when that changes--> the latest term any of them knows of
//! carry: ask the leader --answered--> done
//!          |-- "not I", or never sent: wait for a leader, ask again
//!          `-- broken off, or a later leader is known meanwhile: ask that one, if it does no harm
//! ```
//!
//! A leader that is frozen or cut off does not answer and closes nothing. What gives it away is that its
//! peers elect another: no call waits for a timeout of its own. What always holds: an answer is a leader's
//! own; what may not be carried out twice is sent a second time only where the first is known to have been
//! in vain; after [`PATIENCE`] the answer is `Unavailable`.

use ca::{Credentials, Identity, Role};
use futures::future::BoxFuture;
use rpc::{Addresses, CallError, Channel};
use serde::de::IgnoredAny;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use types::wire::calls::{Call, Carrier, LEADER, Leadership, Remote, Repeat};
use types::wire::metadata::MetadataError;
use types::{ClusterId, NodeId, codec};

/// A call is answered within this, by `Unavailable` if need be. Elections take a fifth of it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two attempts that failed at once.
const PAUSE: Duration = Duration::from_millis(20);
/// Between two questions who leads that were not answered.
const UNANSWERED: Duration = Duration::from_millis(100);
/// A server answers who leads at least so often, or its connection is dead.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// The metadata service of servers that are reached over the wire.
pub type RemoteMetadata = Remote<Servers>;

/// The metadata servers of a cluster.
pub struct Servers {
    channels: Vec<Arc<Channel>>,
    leadership: watch::Receiver<Leadership>,
    watchers: Vec<JoinHandle<()>>,
}

/// How an attempt ended without an answer.
enum Failed {
    /// Nothing came of it.
    InVain(String),
    /// It may have been carried out.
    Unknown(String),
}

impl Servers {
    /// Begins to watch who leads.
    ///
    /// # Errors
    /// When the credentials cannot be used.
    pub fn start(
        credentials: &Credentials,
        cluster: ClusterId,
        servers: &[NodeId],
        addresses: &Arc<dyn Addresses>,
    ) -> Result<Self, rustls::Error> {
        let channel = |node: &NodeId| {
            let peer = Identity::server(cluster, Role::Metadata, *node);
            Channel::new(credentials, peer, Arc::clone(addresses)).map(Arc::new)
        };
        let channels: Vec<Arc<Channel>> = servers.iter().map(channel).collect::<Result<_, _>>()?;
        let (sender, leadership) = watch::channel(Leadership::default());
        let sender = Arc::new(sender);
        let watchers = channels
            .iter()
            .map(|channel| tokio::spawn(follow(Arc::clone(channel), Arc::clone(&sender))))
            .collect();
        Ok(Self {
            channels,
            leadership,
            watchers,
        })
    }

    /// Who leads, once somebody is known to, in a term after `after`.
    async fn leader(&self, after: Option<u64>) -> Option<(u64, &Channel)> {
        let mut leadership = self.leadership.clone();
        let known = leadership.wait_for(|known| after.is_none_or(|after| known.term > after));
        let known = *known.await.ok()?;
        let leader = known.leader?;
        let is_leader = |channel: &&Arc<Channel>| channel.peer().node == Some(leader);
        let channel = self.channels.iter().find(is_leader)?;
        Some((known.term, channel))
    }

    /// Asks the leader once; gives up when another is known to lead.
    async fn attempt(&self, call: &Call) -> Result<Vec<u8>, Failed> {
        let Some((term, channel)) = self.leader(Some(0)).await else {
            return Err(Failed::InVain("the leader is none of the servers".into()));
        };
        let body = rpc::whole(call.body.clone());
        let (status, answer) = tokio::select! {
            answered = channel.call(call.path, body) => answered.map_err(failed)?,
            _ = self.leader(Some(term)) => {
                let text = format!("{} leads no more", channel.peer());
                return Err(Failed::Unknown(text));
            }
        };
        match status.as_u16() {
            200 => Ok(answer.to_vec()),
            421 => Err(Failed::InVain(format!("{} does not lead", channel.peer()))),
            status => {
                let text = String::from_utf8_lossy(&answer);
                let text = format!("{} answered {status}: {text}", channel.peer());
                Err(Failed::Unknown(text))
            }
        }
    }
}

fn failed(error: CallError) -> Failed {
    match error {
        CallError::NotSent { .. } => Failed::InVain(error.to_string()),
        _ => Failed::Unknown(error.to_string()),
    }
}

impl Carrier for Servers {
    fn carry(&self, call: Call) -> BoxFuture<'_, Result<Vec<u8>, MetadataError>> {
        Box::pin(async move {
            let deadline = Instant::now() + PATIENCE;
            let mut why = "no metadata server leads".to_owned();
            // Whether an earlier attempt may have been carried out.
            let mut unknown = false;
            loop {
                match tokio::time::timeout_at(deadline, self.attempt(&call)).await {
                    Ok(Ok(answer)) => match refusal(&answer) {
                        Some(MetadataError::Unavailable(text)) => {
                            unknown = true;
                            why = text;
                        }
                        // What the service knew of the first attempt went with the session.
                        Some(MetadataError::SessionExpired) if unknown => {
                            let text = "the session has expired meanwhile".to_owned();
                            return Err(MetadataError::Unavailable(text));
                        }
                        _ => return Ok(answer),
                    },
                    Ok(Err(Failed::InVain(text))) => why = text,
                    Ok(Err(Failed::Unknown(text))) => {
                        unknown = true;
                        why = text;
                    }
                    Err(_) => return Err(MetadataError::Unavailable(why)),
                }
                let again = !unknown || call.repeat == Repeat::Harmless;
                if !again || Instant::now() + PAUSE >= deadline {
                    return Err(MetadataError::Unavailable(why));
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for watcher in &self.watchers {
            watcher.abort();
        }
    }
}

/// Why an answer says that nothing was done.
fn refusal(answer: &[u8]) -> Option<MetadataError> {
    let decoded: Result<Result<IgnoredAny, MetadataError>, _> = codec::decode(answer);
    decoded.ok()?.err()
}

/// Asks one server who leads, again and again, and keeps the latest term.
async fn follow(channel: Arc<Channel>, latest: Arc<watch::Sender<Leadership>>) {
    let mut known = Leadership::default();
    loop {
        let asked = channel.call(LEADER, rpc::whole(codec::encode(&known)));
        let told = match tokio::time::timeout(TOLD_WITHIN, asked).await {
            Ok(Ok((status, answer))) if status.is_success() => codec::decode(&answer).ok(),
            Ok(_) => None,
            Err(_) => {
                channel.disconnect();
                None
            }
        };
        match told {
            Some(told) => {
                known = told;
                if known.leader.is_some() {
                    latest.send_if_modified(|latest| {
                        let later = known.term > latest.term;
                        *latest = if later { known } else { *latest };
                        later
                    });
                }
            }
            // It may be another process by now.
            None => {
                known = Leadership::default();
                tokio::time::sleep(UNANSWERED).await;
            }
        }
    }
}
