//! What applying a proposal answers. The same state and the same proposal give the same reply on every
//! server; a refused precondition is a reply, and changes nothing.
//!
//! Replies to numbered requests are stored until their session says that it has them, so their
//! encoding is kept like that of commands.

use serde::{Deserialize, Serialize};
use types::id::{DiskId, NodeId};
use types::placement::Epoch;
use types::wire::metadata::{Bucket, MetadataError, Session, WallTime, WriteLease};

/// What applying a proposal answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Reply {
    /// Done; there is nothing to say.
    Done,
    /// Cluster time, in milliseconds.
    Time {
        /// As it is now.
        now_ms: u64,
    },
    /// A server's new id.
    Node(NodeId),
    /// A disk's new id.
    Disk(DiskId),
    /// Consecutive ids of the kind asked for.
    Ids {
        /// The first, all 64 bits.
        first: u64,
        /// How many.
        count: u32,
    },
    /// A session.
    Session(Session),
    /// A lease.
    Lease(WriteLease),
    /// A bucket.
    Bucket(Bucket),
    /// When the version became visible.
    Committed {
        /// As the proposer's wall clock had it.
        modified: WallTime,
    },
    /// Nothing was done.
    Refused(Refusal),
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Refusal {
    /// Another tick came first: measure from the time that is.
    #[error("cluster time has moved on: it is {now_ms} ms")]
    TimeMoved {
        /// Cluster time.
        now_ms: u64,
    },
    /// An id was used before, or was never reserved.
    #[error("the id is in use or was not reserved")]
    IdNotReserved,
    /// A group names a disk that was not admitted, or twice.
    #[error("the group is malformed, or names a disk that was not admitted")]
    BadGroup,
    /// A key's version is in use.
    #[error("this version of the bucket's key exists")]
    KekExists,
    /// An id's 48 bits have run out.
    #[error("ids have run out")]
    IdsExhausted,
    /// The command is larger than commands may be.
    #[error("the command is too large")]
    TooLarge,
    /// The session has expired or never was.
    #[error("the session has expired")]
    SessionExpired,
    /// The gateway said that it has had the answer to this request.
    #[error("the request was answered before, and its answer forgotten")]
    AnswerForgotten,
    /// The request's number is too far ahead of the oldest unanswered one.
    #[error("too many requests are unanswered")]
    TooManyUnanswered,
    /// The request's number was given to another request.
    #[error("the request's number was used for another request")]
    NumberUsed,
    /// No such bucket.
    #[error("no such bucket")]
    NoSuchBucket,
    /// The name is taken.
    #[error("the bucket exists")]
    BucketExists {
        /// By whom.
        owner: String,
    },
    /// It holds objects.
    #[error("the bucket is not empty")]
    BucketNotEmpty,
    /// The session holds as many leases as it may: it gives one back, or waits.
    #[error("the session holds too many write leases")]
    TooManyLeases,
    /// The lease is not this session's, has ended, or does not cover the run.
    #[error("the write lease does not cover the run")]
    LeaseInvalid,
    /// Chunk ids of the run were committed before, or twice in this commit.
    #[error("the run overlaps one that is committed")]
    RunOverlaps,
    /// The runs do not cover the blob exactly, or name slots that there are not.
    #[error("the runs do not cover the blob")]
    BadRuns,
    /// The namespace does not know the group, or its chunks are coded otherwise.
    #[error("the group is not known under this profile")]
    UnknownGroup,
    /// The acknowledged epoch is one that the group has not come to.
    #[error("the acknowledged epoch is ahead of the group's {current:?}")]
    EpochAhead {
        /// The group's.
        current: Epoch,
    },
    /// So many slots were closed or moved since the run was acknowledged that a chunk of it might be
    /// left with fewer than k shards.
    #[error("too few of the run's shards are where they were acknowledged")]
    TooFewRemain,
    /// An epoch only rises.
    #[error("the epoch is not above the group's {current:?}")]
    EpochNotRaised {
        /// The group's.
        current: Epoch,
    },
    /// The wrap has expired.
    #[error("the data key's wrap has expired")]
    WrapExpired,
    /// The bucket's key of that version is retired or unknown.
    #[error("this version of the bucket's key is retired")]
    KekRetired,
    /// The version id is in use.
    #[error("the version id is in use")]
    VersionExists,
    /// The blob was committed before, or its id was never handed out.
    #[error("the blob was committed before, or never issued")]
    BlobNotFresh,
    /// The inline bytes are not one sealed segment of the object's length.
    #[error("the inline bytes are not one sealed segment")]
    BadInline,
}

impl From<Refusal> for MetadataError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::SessionExpired => Self::SessionExpired,
            Refusal::NoSuchBucket => Self::NoSuchBucket,
            Refusal::BucketExists { owner } => Self::BucketExists { owner },
            Refusal::BucketNotEmpty => Self::BucketNotEmpty,
            Refusal::LeaseInvalid => Self::LeaseInvalid,
            Refusal::RunOverlaps => Self::RunOverlaps,
            Refusal::TooFewRemain => Self::TooFewRemain,
            Refusal::WrapExpired | Refusal::KekRetired | Refusal::BlobNotFresh => Self::WrapInvalid,
            Refusal::VersionExists => Self::VersionExists,
            refusal @ Refusal::TooManyLeases => Self::Unavailable(refusal.to_string()),
            other => Self::Malformed(other.to_string()),
        }
    }
}
