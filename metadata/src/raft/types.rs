//! What Raft's parts are made of here, and how its values are stored.
//!
//! The `Stored…` types mirror openraft's own. They are what log and snapshot files hold, so that an
//! openraft upgrade that renames a field cannot make an old file unreadable.

use crate::reply::Reply;
use bytes::Bytes;
use openraft_rt::deterministic_rng::DeterministicRng;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Tokio, with what openraft draws at random derived from a seed: it panics outside a [`Runtime::scope`].
pub(crate) type Runtime = DeterministicRng<openraft::impls::TokioRuntime>;

openraft::declare_raft_types!(
    /// Openraft's parameters: proposals are opaque bytes until they are applied.
    pub(crate) TypeConfig:
        D = Encoded,
        R = Answer,
        AsyncRuntime = Runtime,
);

/// A proposal as `types::codec` encoded it once, on its way through log and network.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Encoded(pub(crate) Bytes);

impl fmt::Display for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a proposal of {} bytes", self.0.len())
    }
}

/// Proposals hold names and wraps: they never print.
impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What applying an entry answered: nothing for an entry that carries no proposal.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Answer(pub(crate) Option<Reply>);

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer(..)")
    }
}

pub(crate) type LeaderId = openraft::impls::leader_id_adv::LeaderId<u64, u64>;
pub(crate) type LogId = openraft::LogId<LeaderId>;
pub(crate) type Vote = openraft::impls::Vote<LeaderId>;
pub(crate) type Payload = openraft::EntryPayload<Encoded, u64, openraft::BasicNode>;
pub(crate) type Entry = openraft::Entry<LeaderId, Payload>;
pub(crate) type Membership = openraft::Membership<u64, openraft::BasicNode>;
pub(crate) type StoredMembership = openraft::StoredMembership<LeaderId, u64, openraft::BasicNode>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<LeaderId, u64, openraft::BasicNode>;

/// The id of a log entry: who led when it was written, and where it stands. Ordered as Raft orders
/// entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The leader's term.
    pub term: u64,
    /// The leader.
    pub leader: u64,
    /// Where in the log, from 0.
    pub index: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "entry {} (term {} of server {:x})",
            self.index, self.term, self.leader
        )
    }
}

impl From<LogId> for Position {
    fn from(id: LogId) -> Self {
        Self {
            term: id.leader_id.term,
            leader: id.leader_id.node_id,
            index: id.index,
        }
    }
}

impl From<Position> for LogId {
    fn from(at: Position) -> Self {
        LogId::new(
            LeaderId {
                term: at.term,
                node_id: at.leader,
            },
            at.index,
        )
    }
}

/// A vote as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredVote {
    term: u64,
    candidate: u64,
    committed: bool,
}

impl From<&Vote> for StoredVote {
    fn from(vote: &Vote) -> Self {
        Self {
            term: vote.leader_id.term,
            candidate: vote.leader_id.node_id,
            committed: vote.committed,
        }
    }
}

impl From<StoredVote> for Vote {
    fn from(stored: StoredVote) -> Self {
        Self {
            leader_id: LeaderId {
                term: stored.term,
                node_id: stored.candidate,
            },
            committed: stored.committed,
        }
    }
}

/// Who votes, who learns, and where they listen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredServers {
    /// One set of voters; two while moving from one to the next.
    voters: Vec<BTreeSet<u64>>,
    /// The addresses of voters and learners.
    addresses: BTreeMap<u64, String>,
}

impl From<&Membership> for StoredServers {
    fn from(membership: &Membership) -> Self {
        Self {
            voters: membership.get_joint_config().clone(),
            addresses: membership
                .nodes()
                .map(|(id, node)| (*id, node.addr.clone()))
                .collect(),
        }
    }
}

impl From<StoredServers> for Membership {
    fn from(stored: StoredServers) -> Self {
        let nodes: BTreeMap<u64, openraft::BasicNode> = stored
            .addresses
            .into_iter()
            .map(|(id, address)| (id, openraft::BasicNode::new(address)))
            .collect();
        Membership::new(stored.voters, nodes)
            .expect("Raft stores no membership that it would refuse")
    }
}

/// How far a state has come: the label of a snapshot, and what a store commits with each batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// The last entry in it.
    pub(crate) applied: Option<Position>,
    /// The entry that its membership came with.
    servers_at: Option<Position>,
    /// The membership.
    servers: StoredServers,
}

impl Mark {
    pub(crate) fn new(applied: Option<LogId>, membership: &StoredMembership) -> Self {
        Self {
            applied: applied.map(Position::from),
            servers_at: (*membership.log_id()).map(Position::from),
            servers: membership.membership().into(),
        }
    }

    pub(crate) fn applied_id(&self) -> Option<LogId> {
        self.applied.map(LogId::from)
    }

    pub(crate) fn membership(&self) -> StoredMembership {
        StoredMembership::new(
            self.servers_at.map(LogId::from),
            self.servers.clone().into(),
        )
    }

    pub(crate) fn meta(&self) -> SnapshotMeta {
        SnapshotMeta {
            last_log_id: self.applied_id(),
            last_membership: self.membership(),
        }
    }
}

/// What an entry carries, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StoredPayload {
    /// Nothing: a new leader's first entry.
    Blank,
    /// An encoded proposal.
    Proposal(Encoded),
    /// A change of membership.
    Servers(StoredServers),
}

/// One entry as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredEntry {
    pub(crate) at: Position,
    pub(crate) payload: StoredPayload,
}

impl From<&Entry> for StoredEntry {
    fn from(entry: &Entry) -> Self {
        Self {
            at: entry.log_id.into(),
            payload: match &entry.payload {
                Payload::Blank => StoredPayload::Blank,
                Payload::Normal(proposal) => StoredPayload::Proposal(proposal.clone()),
                Payload::Membership(membership) => StoredPayload::Servers(membership.into()),
            },
        }
    }
}

impl From<StoredEntry> for Entry {
    fn from(stored: StoredEntry) -> Self {
        Entry {
            log_id: stored.at.into(),
            payload: match stored.payload {
                StoredPayload::Blank => Payload::Blank,
                StoredPayload::Proposal(proposal) => Payload::Normal(proposal),
                StoredPayload::Servers(servers) => Payload::Membership(servers.into()),
            },
        }
    }
}
