//! Audits: whether every server holds the rows that the log says.
//!
//! ```text
//! leader    proposes an audit: an entry at which each server notes its digest
//!           asks each for it; what most voters have is right; tells every server
//! server    has another: it condemns its rows and stops. Its next start makes them anew
//! server    between audits: reads its stored rows, a piece at a time, and holds them against the digest that
//!           it kept as it wrote them (`store/examine.rs`). Do they differ: likewise
//! ```
//!
//! So an audit compares what is stored, though the digest at an entry is not read from the rows of that moment.
//! Where no digest is that of most voters, nobody is condemned, and the operator is told.

use crate::command::{Command, Proposal};
use crate::level;
use crate::log::LogError;
use crate::raft::members::who;
use crate::raft::network::{Link, Links, Noted, Server};
use crate::raft::state_machine::Gate;
use crate::raft::types::Encoded;
use crate::reply::{Refusal, Reply};
use crate::server::millis;
use crate::server::wall_now;
use crate::store::{Examined, Store, StoreError};
use futures::future::join_all;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use types::NodeId;
use types::wire::members::{AuditReport, Audited, Finding};
use types::wire::metadata::WallTime;

/// Audits whose digest is kept: a server that is asked late still has it.
const KEPT: usize = 16;
/// A server that was read for so long rests four times as long: others use the processor, too.
const REST: u32 = 4;

type Digest = [u8; 32];

/// What a server noted at audits, and what it knows of its rows.
pub(crate) struct Audits {
    store: Arc<Store>,
    noted: watch::Sender<VecDeque<(u64, Digest)>>,
    examined: Mutex<Option<Instant>>,
}

impl Audits {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            noted: watch::Sender::default(),
            examined: Mutex::default(),
        }
    }

    /// The rows at an audit.
    pub(crate) fn note(&self, entry: u64, digest: Digest) {
        self.noted.send_modify(|noted| {
            noted.truncate(KEPT - 1);
            noted.push_front((entry, digest));
        });
    }

    /// The rows at an audit, once this server has come to it. None: it is forgotten, or never comes.
    pub(crate) async fn at(&self, entry: u64, limit: Duration) -> Option<Digest> {
        let mut noted = self.noted.subscribe();
        let reached = noted.wait_for(|noted| noted.front().is_some_and(|(at, _)| *at >= entry));
        let noted = tokio::time::timeout(limit, reached).await.ok()?.ok()?;
        let of = noted.iter().find(|(at, _)| *at == entry);
        of.map(|(_, digest)| *digest)
    }

    /// For how long the stored rows are known to be those that were written.
    fn examined(&self) -> Option<Duration> {
        self.examined_at().map(|at| at.elapsed())
    }

    /// What this server answers one that asks.
    pub(crate) async fn noted(&self, entry: u64, limit: Duration) -> Option<Noted> {
        let digest = self.at(entry, limit).await?;
        let examined_ms = self.examined().map(millis);
        Some(Noted {
            digest,
            examined_ms,
        })
    }

    fn examined_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.examined.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What most servers have at an entry: one that has something else stops.
    pub(crate) async fn judge(&self, entry: u64, right: Digest) {
        match self.at(entry, Duration::ZERO).await {
            Some(own) if own == right => self.store.acquit(),
            Some(_) => {
                self.condemn("its rows differ from those of the other servers");
            }
            None => {}
        }
    }

    fn condemn(&self, why: &str) {
        tracing::error!(
            why,
            "ALARM: this metadata server's rows are not right: it stops, and makes them anew"
        );
        self.store.condemn(why);
    }
}

/// Audits while a server runs.
pub(crate) struct Auditor {
    pub(crate) id: u64,
    pub(crate) raft: Server,
    pub(crate) links: Links,
    pub(crate) gate: Arc<Gate>,
    pub(crate) audits: Arc<Audits>,
    pub(crate) patience: Duration,
}

impl Auditor {
    /// Audits again and again: its own rows, and, while it leads, those of all.
    pub(crate) async fn run(self: Arc<Self>, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            self.examine().await;
            if self.raft.is_leader() {
                match self.audit().await {
                    Ok(report) => tracing::debug!(?report, "the rows were audited"),
                    Err(error) => tracing::debug!(%error, "the rows are audited later"),
                }
            }
        }
    }

    /// Reads all stored rows, while entries are applied, and condemns them if they are not what was written.
    pub(crate) async fn examine(&self) {
        self.audits.store.begin_examination();
        loop {
            let (store, open) = (Arc::clone(&self.audits.store), self.gate.read_owned().await);
            let began = Instant::now();
            let piece = self.gate.apart.run(move || {
                let _open = open;
                store.examine()
            });
            match piece.await {
                Ok(Ok(Examined::Piece)) => {}
                Ok(Ok(Examined::Equal)) => {
                    *self.audits.examined_at() = Some(Instant::now());
                    return;
                }
                // Loaded from a snapshot meanwhile, which was verified.
                Ok(Ok(Examined::Replaced)) | Ok(Err(StoreError::Closed)) | Err(_) => return,
                Ok(Ok(Examined::Differs)) => {
                    return self.audits.condemn("its stored rows are not what it wrote");
                }
                Ok(Err(error)) => {
                    return self
                        .audits
                        .condemn(&format!("its stored rows cannot be read: {error}"));
                }
            }
            tokio::time::sleep(began.elapsed() * REST).await;
        }
    }

    /// Has every server compare its rows at one entry.
    pub(crate) async fn audit(&self) -> Result<AuditReport, LogError> {
        let entry = self.propose().await?;
        let (peers, voters) = self.members();
        let limit = self.patience;
        let own = async { (self.id, self.audits.noted(entry, limit).await) };
        let asked = peers
            .iter()
            .map(|(id, link)| async move { (*id, link.digest_at(entry, limit).await) });
        let (own, others) = futures::join!(own, join_all(asked));
        let noted: BTreeMap<u64, _> = others.into_iter().chain([own]).collect();
        let digests = noted
            .iter()
            .filter_map(|(id, noted)| Some((*id, noted.as_ref()?.digest)));
        let digests: BTreeMap<u64, Digest> = digests.collect();
        let right = right(&digests, &voters);
        match right {
            Some(right) => {
                let told = peers.values().map(|link| link.verdict(entry, right, limit));
                join_all(told).await;
                self.audits.judge(entry, right).await;
            }
            None => tracing::error!(
                entry,
                answered = digests.len(),
                "ALARM: no digest is that of most metadata servers: their rows differ, or too few answer"
            ),
        }
        let servers = noted.into_iter().map(|(id, noted)| Audited {
            node: NodeId::new(id),
            finding: finding(noted.map(|noted| noted.digest), right),
            examined_ms: noted.and_then(|noted| noted.examined_ms),
        });
        let servers: Vec<Audited> = servers.collect();
        tell(&servers);
        Ok(AuditReport { entry, servers })
    }

    /// The index of a new audit in the log.
    async fn propose(&self) -> Result<u64, LogError> {
        let proposal = Proposal {
            wall: WallTime(0),
            command: Command::Audit,
        };
        if level::of_cluster(&*self.audits.store).is_ok_and(|level| level < level::AUDITS) {
            return Err(LogError::Unavailable(Refusal::LevelTooLow.to_string()));
        }
        let encoded = Encoded(types::codec::encode(&proposal).into());
        let written = self.raft.client_write(encoded);
        let written = tokio::time::timeout(self.patience, written).await;
        let written = written.map_err(|_| LogError::Unavailable("no quorum".into()))?;
        let response = written.map_err(|error| LogError::Unavailable(error.to_string()))?;
        match response.data.0 {
            Some(Reply::Done) => Ok(response.log_id.index),
            other => Err(LogError::Unavailable(format!(
                "the audit was not done: {other:?}"
            ))),
        }
    }

    /// Links to the others, and who votes.
    fn members(&self) -> (BTreeMap<u64, Link>, BTreeSet<u64>) {
        let (members, voters) = who(&self.raft);
        let peers = members.into_iter().filter(|(id, _)| *id != self.id);
        let peers = peers.map(|(id, address)| (id, self.links.to(id, &address)));
        (peers.collect(), voters)
    }

    /// The highest level that each server knows; none of one that does not say.
    pub(crate) async fn levels(&self) -> BTreeMap<NodeId, Option<u32>> {
        let (peers, _) = self.members();
        let asked = peers.iter().map(|(id, link)| async move {
            let level = link.level(self.patience).await;
            (NodeId::new(*id), level)
        });
        let mut levels: BTreeMap<_, _> = join_all(asked).await.into_iter().collect();
        levels.insert(NodeId::new(self.id), Some(level::KNOWN));
        levels
    }
}

/// What most voters have, if most have the same.
fn right(digests: &BTreeMap<u64, Digest>, voters: &BTreeSet<u64>) -> Option<Digest> {
    let mut votes: BTreeMap<Digest, usize> = BTreeMap::new();
    for (id, digest) in digests {
        if voters.contains(id) {
            *votes.entry(*digest).or_default() += 1;
        }
    }
    let most = votes
        .into_iter()
        .find(|(_, votes)| *votes > voters.len() / 2);
    most.map(|(digest, _)| digest)
}

/// Tells what was found, of those that answered; and when.
fn tell(servers: &[Audited]) {
    for one in servers {
        let equal = match one.finding {
            Finding::Equal => 1.0,
            Finding::Silent => continue,
            _ => 0.0,
        };
        let server = one.node.get().to_string();
        metrics::gauge!("strongroom_metadata_rows_equal", "server" => server).set(equal);
    }
    let now = wall_now().0 as f64 / 1000.0;
    metrics::gauge!("strongroom_metadata_audited_timestamp_seconds").set(now);
}

fn finding(own: Option<Digest>, right: Option<Digest>) -> Finding {
    match (own, right) {
        (None, _) => Finding::Silent,
        (Some(_), None) => Finding::Undecided,
        (Some(own), Some(right)) if own == right => Finding::Equal,
        (Some(_), Some(_)) => Finding::Odd,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digest that most of all voters have, not most of those that answered; learners have no say.
    #[test]
    fn most_of_the_voters_are_right() {
        let voters = BTreeSet::from([1, 2, 3]);
        let digests = |all: &[(u64, u8)]| {
            let all = all.iter().map(|(id, of)| (*id, [*of; 32]));
            all.collect::<BTreeMap<_, _>>()
        };
        let of = |all: &[(u64, u8)]| right(&digests(all), &voters);
        assert_eq!(of(&[(1, 7), (2, 7), (3, 8)]), Some([7; 32]));
        assert_eq!(of(&[(1, 8), (2, 7), (3, 7)]), Some([7; 32]));
        assert_eq!(of(&[(1, 7), (3, 7)]), Some([7; 32]));
        assert_eq!(of(&[(1, 7), (2, 8)]), None);
        assert_eq!(of(&[(1, 7), (2, 8), (3, 9)]), None);
        assert_eq!(of(&[(1, 7), (4, 7), (5, 7)]), None);
        assert_eq!(
            right(&digests(&[(1, 7)]), &BTreeSet::from([1])),
            Some([7; 32])
        );
    }
}
