//! What Raft's servers send each other, as `types::codec` encodes it.
//!
//! | path | body | answer |
//! | --- | --- | --- |
//! | `/raft/append` | [`Append`] | [`Appended`] |
//! | `/raft/vote`, `/raft/pre-vote` | [`Ballot`] | [`Voted`] |
//! | `/raft/transfer` | [`Transfer`] | [`Transferred`] |
//! | `/raft/digest` | [`DigestAt`] | [`Noted`], or none: not in time |
//! | `/raft/verdict` | [`Verdict`] | nothing |
//! | `/raft/level` | nothing | the highest feature level that the server knows |
//! | `/raft/received` | 16 bytes: the id of a snapshot file | how many parts of it have come |
//! | `/raft/snapshot` | [`StoredVote`], then the snapshot's parts but its trailer; in front of them, if some have come, which follow | [`StoredVote`] |
//! | `/raft/condition` | nothing | [`Condition`] |
//! | `/raft/restore` | a snapshot's parts, likewise | nothing |
//!
//! They mirror openraft's own types, as what is stored does: an upgrade of openraft that renames a field
//! cannot make servers of two builds misunderstand each other.

use crate::raft::types::{Entry, LogId, Position, StoredEntry, StoredVote, TypeConfig};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderError, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize};
use types::wire::metadata::WallTime;

pub(super) const APPEND: &str = "/raft/append";
pub(super) const VOTE: &str = "/raft/vote";
pub(super) const PRE_VOTE: &str = "/raft/pre-vote";
pub(super) const TRANSFER: &str = "/raft/transfer";
pub(super) const SNAPSHOT: &str = "/raft/snapshot";
pub(super) const RECEIVED: &str = "/raft/received";
pub(super) const DIGEST: &str = "/raft/digest";
pub(super) const VERDICT: &str = "/raft/verdict";
pub(super) const LEVEL: &str = "/raft/level";
pub(super) const CONDITION: &str = "/raft/condition";
pub(super) const RESTORE: &str = "/raft/restore";

fn positions(id: Option<LogId>) -> Option<Position> {
    id.map(Position::from)
}

fn ids(position: Option<Position>) -> Option<LogId> {
    position.map(LogId::from)
}

/// The id of a snapshot's file, at its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SentFile(#[serde(with = "serde_bytes")] pub(crate) [u8; 16]);

/// Take these entries behind that one; so much is committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Append {
    pub(crate) vote: StoredVote,
    pub(crate) behind: Option<Position>,
    pub(crate) entries: Vec<StoredEntry>,
    pub(crate) committed: Option<Position>,
}

impl From<&AppendEntriesRequest<TypeConfig>> for Append {
    fn from(request: &AppendEntriesRequest<TypeConfig>) -> Self {
        Self {
            vote: (&request.vote).into(),
            behind: positions(request.prev_log_id),
            entries: request.entries.iter().map(StoredEntry::from).collect(),
            committed: positions(request.leader_commit),
        }
    }
}

impl From<Append> for AppendEntriesRequest<TypeConfig> {
    fn from(append: Append) -> Self {
        Self {
            vote: append.vote.into(),
            prev_log_id: ids(append.behind),
            entries: append.entries.into_iter().map(Entry::from).collect(),
            leader_commit: ids(append.committed),
        }
    }
}

/// What became of entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Appended {
    /// They are durable.
    All,
    /// Those up to here are.
    UpTo(Option<Position>),
    /// The entry before them is not there.
    Conflict,
    /// Somebody else leads, or wants to.
    Later(StoredVote),
}

impl From<&AppendEntriesResponse<TypeConfig>> for Appended {
    fn from(response: &AppendEntriesResponse<TypeConfig>) -> Self {
        match response {
            AppendEntriesResponse::Success => Self::All,
            AppendEntriesResponse::PartialSuccess(id) => Self::UpTo(positions(*id)),
            AppendEntriesResponse::Conflict => Self::Conflict,
            AppendEntriesResponse::HigherVote(vote) => Self::Later(vote.into()),
        }
    }
}

impl From<Appended> for AppendEntriesResponse<TypeConfig> {
    fn from(appended: Appended) -> Self {
        match appended {
            Appended::All => Self::Success,
            Appended::UpTo(position) => Self::PartialSuccess(ids(position)),
            Appended::Conflict => Self::Conflict,
            Appended::Later(vote) => Self::HigherVote(vote.into()),
        }
    }
}

/// Vote for this server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ballot {
    pub(crate) vote: StoredVote,
    pub(crate) last: Option<Position>,
    /// The leader itself asked for the election.
    pub(crate) transfer: bool,
}

impl From<&VoteRequest<TypeConfig>> for Ballot {
    fn from(request: &VoteRequest<TypeConfig>) -> Self {
        Self {
            vote: (&request.vote).into(),
            last: positions(request.last_log_id),
            transfer: request.leadership_transfer,
        }
    }
}

impl From<Ballot> for VoteRequest<TypeConfig> {
    fn from(ballot: Ballot) -> Self {
        Self {
            vote: ballot.vote.into(),
            last_log_id: ids(ballot.last),
            leadership_transfer: ballot.transfer,
        }
    }
}

/// Whom a server votes for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Voted {
    pub(crate) vote: StoredVote,
    pub(crate) granted: bool,
    pub(crate) last: Option<Position>,
}

impl From<&VoteResponse<TypeConfig>> for Voted {
    fn from(response: &VoteResponse<TypeConfig>) -> Self {
        Self {
            vote: (&response.vote).into(),
            granted: response.vote_granted,
            last: positions(response.last_log_id),
        }
    }
}

impl From<Voted> for VoteResponse<TypeConfig> {
    fn from(voted: Voted) -> Self {
        Self {
            vote: voted.vote.into(),
            vote_granted: voted.granted,
            last_log_id: ids(voted.last),
        }
    }
}

/// Lead from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transfer {
    pub(crate) from: StoredVote,
    pub(crate) to: u64,
    pub(crate) last: Option<Position>,
}

impl From<&TransferLeaderRequest<TypeConfig>> for Transfer {
    fn from(request: &TransferLeaderRequest<TypeConfig>) -> Self {
        Self {
            from: request.from_leader().into(),
            to: *request.to_node_id(),
            last: positions(request.last_log_id().copied()),
        }
    }
}

impl From<Transfer> for TransferLeaderRequest<TypeConfig> {
    fn from(transfer: Transfer) -> Self {
        Self::new(transfer.from.into(), transfer.to, ids(transfer.last))
    }
}

/// Whether a server takes the lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Transferred {
    /// It will stand for election.
    Yes,
    /// Another leads meanwhile.
    VoteChanged {
        expected: StoredVote,
        actual: StoredVote,
    },
    /// Its log is not as long as the leader's.
    Behind {
        expected: Option<Position>,
        actual: Option<Position>,
    },
}

impl From<&TransferLeaderResponse<TypeConfig>> for Transferred {
    fn from(response: &TransferLeaderResponse<TypeConfig>) -> Self {
        match response {
            Ok(()) => Self::Yes,
            Err(TransferLeaderError::VoteChanged { expected, actual }) => Self::VoteChanged {
                expected: expected.into(),
                actual: actual.into(),
            },
            Err(TransferLeaderError::LogNotFlushed { expected, actual }) => Self::Behind {
                expected: positions(*expected),
                actual: positions(*actual),
            },
        }
    }
}

impl From<Transferred> for TransferLeaderResponse<TypeConfig> {
    fn from(transferred: Transferred) -> Self {
        match transferred {
            Transferred::Yes => Ok(()),
            Transferred::VoteChanged { expected, actual } => {
                Err(TransferLeaderError::VoteChanged {
                    expected: expected.into(),
                    actual: actual.into(),
                })
            }
            Transferred::Behind { expected, actual } => Err(TransferLeaderError::LogNotFlushed {
                expected: ids(expected),
                actual: ids(actual),
            }),
        }
    }
}

/// What were your rows at this audit? It is answered once the server has come to it, or after so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DigestAt {
    pub(crate) entry: u64,
    pub(crate) within_ms: u64,
}

/// A server's rows at an audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Noted {
    pub(crate) digest: [u8; 32],
    /// Since when its stored rows are known to be what it wrote.
    pub(crate) examined_ms: Option<u64>,
}

/// What most servers' rows were at an audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) entry: u64,
    pub(crate) right: [u8; 32],
}

/// How a server is, as its leader asks every second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Condition {
    /// Whether its disk has room for proposals.
    pub(crate) room: bool,
    /// What its wall clock shows.
    pub(crate) wall: WallTime,
    /// It has lost its state, and takes part again with a snapshot that reaches to this entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) needs: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::types::{Encoded, Membership, Payload, Vote};
    use openraft::BasicNode;
    use serde::de::DeserializeOwned;
    use std::collections::{BTreeMap, BTreeSet};
    use std::fmt::Debug;
    use types::codec;

    /// What is sent today is what the golden file holds, and that reads back as the same message.
    fn golden<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, message: &T) {
        let folder = env!("CARGO_MANIFEST_DIR");
        let name = format!("raft-message-{name}.mp");
        let file = golden::check(folder, &name, &codec::encode(message));
        assert_eq!(&codec::decode::<T>(&file).unwrap(), message, "{name}");
    }

    fn id(index: u64) -> LogId {
        Position {
            term: 3,
            leader: 2,
            index,
        }
        .into()
    }

    /// Each message, through openraft's own types and back: nothing is lost on the way, and the bytes are as
    /// they always were.
    #[test]
    fn messages_are_golden() {
        let vote = Vote::new_committed(3, 2);
        let voters = BTreeSet::from([1, 2]);
        let nodes = BTreeMap::from([(1, BasicNode::new("one")), (2, BasicNode::new("two"))]);
        let servers = Membership::new(vec![voters], nodes).unwrap();
        let entry = |index, payload| Entry {
            log_id: id(index),
            payload,
        };
        let append = AppendEntriesRequest {
            vote,
            prev_log_id: Some(id(4)),
            entries: vec![
                entry(5, Payload::Blank),
                entry(6, Payload::Normal(Encoded("a proposal".into()))),
                entry(7, Payload::Membership(servers)),
            ],
            leader_commit: Some(id(5)),
        };
        golden("sent-file", &SentFile([9; 16]));
        let sent = Append::from(&append);
        golden("append", &sent);
        assert_eq!(
            Append::from(&AppendEntriesRequest::from(sent.clone())),
            sent
        );
        for (name, answer) in [
            ("appended", AppendEntriesResponse::Success),
            (
                "appended-up-to",
                AppendEntriesResponse::PartialSuccess(Some(id(6))),
            ),
            ("appended-conflict", AppendEntriesResponse::Conflict),
            ("appended-later", AppendEntriesResponse::HigherVote(vote)),
        ] {
            let sent = Appended::from(&answer);
            golden(name, &sent);
            assert_eq!(AppendEntriesResponse::from(sent), answer);
        }
        golden(
            "digest-at",
            &DigestAt {
                entry: 7,
                within_ms: 1000,
            },
        );
        let noted = Noted {
            digest: [9; 32],
            examined_ms: Some(60_000),
        };
        golden("noted", &Some(noted));
        golden(
            "verdict",
            &Verdict {
                entry: 7,
                right: [9; 32],
            },
        );

        let ballot = VoteRequest {
            vote: Vote::new(4, 1),
            last_log_id: Some(id(7)),
            leadership_transfer: true,
        };
        golden("ballot", &Ballot::from(&ballot));
        assert_eq!(VoteRequest::from(Ballot::from(&ballot)), ballot);
        let voted = VoteResponse {
            vote,
            vote_granted: true,
            last_log_id: None,
        };
        golden("voted", &Voted::from(&voted));
        assert_eq!(VoteResponse::from(Voted::from(&voted)), voted);
        let transfer = TransferLeaderRequest::new(vote, 1, Some(id(7)));
        golden("transfer", &Transfer::from(&transfer));
        assert_eq!(
            TransferLeaderRequest::from(Transfer::from(&transfer)),
            transfer
        );
        for (name, answer) in [
            ("transferred", Ok(())),
            (
                "transferred-vote",
                Err(TransferLeaderError::VoteChanged {
                    expected: vote,
                    actual: Vote::new(4, 1),
                }),
            ),
            (
                "transferred-behind",
                Err(TransferLeaderError::LogNotFlushed {
                    expected: Some(id(7)),
                    actual: None,
                }),
            ),
        ] {
            let sent = Transferred::from(&answer);
            golden(name, &sent);
            assert_eq!(TransferLeaderResponse::from(sent), answer);
        }
        let well = Condition {
            room: true,
            wall: WallTime(1_700_000_000_000),
            needs: None,
        };
        golden("condition", &well);
        let lost = Condition {
            room: false,
            needs: Some(70),
            ..well
        };
        golden("condition-lost", &lost);
    }
}
