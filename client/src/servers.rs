//! The metadata servers over the wire: finds the leader, and asks again what may be asked again.
//!
//! ```text
//! watch (a task a server): who leads? --told when that changes--> the latest term any of them knows of
//! carry: ask the leader --answered--> done
//!          |-- "not I", or never sent: wait for a leader, ask again
//!          `-- broken off, or a later leader is known meanwhile: ask that one, if it does no harm
//! ```
//!
//! Which servers there are, they tell, too: who asks is told of some of them at first, and follows them as they come
//! and go. Where both say where one listens, what was told first goes before: networks differ.
//!
//! A leader that is frozen or cut off does not answer and closes nothing. What gives it away is that its
//! peers elect another: no call waits for a timeout of its own. What always holds: an answer is a leader's
//! own; what may not be carried out twice is sent a second time only where the first is known to have been
//! in vain; after [`PATIENCE`] the answer is `Unavailable`.

use ca::{Credentials, Identity, Role};
use futures::future::BoxFuture;
use rpc::{AddressBook, Addresses, CallError, Channel, Places};
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use types::wire::calls::{Call, Carrier, LEADER, Leadership, Remote, Repeat, Told};
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
    known: Arc<Known>,
    leadership: watch::Receiver<Leadership>,
}

/// What is known of the servers.
struct Known {
    credentials: Credentials,
    cluster: ClusterId,
    addresses: Arc<dyn Addresses>,
    /// Where the members say that they listen.
    told: AddressBook,
    /// Where storage nodes do, as they say.
    storage: AddressBook,
    latest: watch::Sender<Leadership>,
    members: Mutex<Members>,
}

/// Those that are asked.
#[derive(Default)]
struct Members {
    /// The membership that they are of; 0: what was said at first.
    version: u64,
    by_id: BTreeMap<NodeId, Member>,
}

struct Member {
    channel: Arc<Channel>,
    watcher: JoinHandle<()>,
}

/// How an attempt ended without an answer.
enum Failed {
    /// Nothing came of it.
    InVain(String),
    /// It may have been carried out.
    Unknown(String),
    /// Nobody knows how to.
    NoSuchCall,
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
        // What cannot be used fails here, and not at the first call.
        credentials.client()?;
        let (latest, leadership) = watch::channel(Leadership::default());
        let told = AddressBook::default();
        let places = Places::new(Arc::clone(addresses), told.clone());
        let known = Arc::new(Known {
            credentials: credentials.clone(),
            cluster,
            addresses: Arc::new(places),
            told,
            storage: AddressBook::default(),
            latest,
            members: Mutex::default(),
        });
        let mut members = known.members();
        for node in servers {
            known.ask(&mut members, *node);
        }
        drop(members);
        Ok(Self { known, leadership })
    }

    /// The servers as they last told of themselves; none yet, or where others know where they are.
    pub fn told(&self) -> BTreeMap<NodeId, SocketAddr> {
        let members = self.known.members();
        let place = |node: &NodeId| Some((*node, self.known.told.of(*node)?));
        members.by_id.keys().filter_map(place).collect()
    }

    /// Where storage nodes listen, as they said when they joined.
    pub fn storage(&self) -> AddressBook {
        self.known.storage.clone()
    }

    /// Who leads, once somebody is known to, in a term after `after`.
    async fn leader(&self, after: Option<u64>) -> Option<(u64, Arc<Channel>)> {
        let mut leadership = self.leadership.clone();
        let known = leadership.wait_for(|known| after.is_none_or(|after| known.term > after));
        let known = *known.await.ok()?;
        let leader = known.leader?;
        let members = self.known.members();
        let channel = &members.by_id.get(&leader)?.channel;
        Some((known.term, Arc::clone(channel)))
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
            404 => Err(Failed::NoSuchCall),
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
                    Ok(Err(Failed::NoSuchCall)) => return Err(MetadataError::NoSuchCall),
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
        for member in self.known.members().by_id.values() {
            member.watcher.abort();
        }
    }
}

impl Known {
    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to ask one more.
    fn ask(self: &Arc<Self>, members: &mut Members, node: NodeId) {
        let peer = Identity::server(self.cluster, Role::Metadata, node);
        let addresses = Arc::clone(&self.addresses);
        let channel = Channel::new(&self.credentials, peer, addresses);
        let channel = Arc::new(channel.expect("the credentials were used before"));
        let watcher = tokio::spawn(follow(Arc::clone(&channel), Arc::downgrade(self)));
        let member = Member { channel, watcher };
        if let Some(before) = members.by_id.insert(node, member) {
            before.watcher.abort();
        }
    }

    /// One of them has told of them all.
    fn told(self: &Arc<Self>, told: &Told) {
        self.credentials.removed().add(told.removed.iter().copied());
        if told.leader.is_some() {
            let now = told.leadership();
            self.latest.send_if_modified(|latest| {
                let later = now.term > latest.term;
                *latest = if later { now } else { *latest };
                later
            });
        }
        let place = |(id, at): (&u64, &String)| Some((NodeId::new(*id), at.parse().ok()?));
        for (node, place) in told.storage.iter().filter_map(place) {
            self.storage.set(node, place);
        }
        let places: Option<BTreeMap<NodeId, SocketAddr>> = told.servers.iter().map(place).collect();
        // Where they are named otherwise, who asks knows them all.
        let Some(places) = places.filter(|places| !places.is_empty()) else {
            return;
        };
        let mut members = self.members();
        if told.version <= members.version {
            return;
        }
        members.version = told.version;
        members.by_id.retain(|node, member| {
            let stays = places.contains_key(node);
            if !stays {
                member.watcher.abort();
            }
            stays
        });
        for (node, place) in places {
            self.told.set(node, place);
            if !members.by_id.contains_key(&node) {
                self.ask(&mut members, node);
            }
        }
    }
}

/// Why an answer says that nothing was done.
fn refusal(answer: &[u8]) -> Option<MetadataError> {
    let decoded: Result<Result<IgnoredAny, MetadataError>, _> = codec::decode(answer);
    decoded.ok()?.err()
}

/// Asks one server who leads, again and again, for as long as anybody wants to know.
async fn follow(channel: Arc<Channel>, all: Weak<Known>) {
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
        let told: Option<Told> = told;
        match told {
            Some(told) => {
                let Some(all) = all.upgrade() else { return };
                known = told.leadership();
                all.told(&told);
            }
            // It may be another process by now.
            None => {
                known = Leadership::default();
                tokio::time::sleep(UNANSWERED).await;
            }
        }
    }
}
