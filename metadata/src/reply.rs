//! What applying a proposal answers. The same state and the same proposal give the same reply on every
//! server; a refused precondition is a reply, and changes nothing.
//!
//! Replies to numbered requests are stored until their session says that it has them, so their
//! encoding is kept like that of commands.

use serde::{Deserialize, Serialize};
use types::id::{ChunkId, DiskId, NodeId};
use types::placement::Epoch;
use types::wire::accounts::{KeyInfo, User};
use types::wire::members::ServerRole;
use types::wire::metadata::{Bucket, MetadataError, Session, WallTime, WriteLease};
use types::wire::usage::{Exceeded, Quota};

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
    /// A user.
    User(User),
    /// An access key.
    Key(KeyInfo),
    /// A token's number.
    Token(u64),
    /// A server has joined.
    Enrolled {
        /// Its id.
        node: NodeId,
        /// What it is for.
        role: ServerRole,
    },
    /// As much as one command may was looked at.
    Walked {
        /// Where to go on; none: nothing is left.
        next: Option<ChunkId>,
    },
    /// A quota, as it is from now on.
    Quota(Quota),
    /// Nothing was done.
    Refused(Refusal),
}

impl Reply {
    /// The reply, unless it is a refusal.
    ///
    /// # Errors
    /// When nothing was done.
    pub fn granted(self) -> Result<Self, MetadataError> {
        match self {
            Self::Refused(refusal) => Err(refusal.into()),
            reply => Ok(reply),
        }
    }
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
    /// The token was used by another, withdrawn, or has expired.
    #[error("the token is not valid")]
    TokenInvalid,
    /// There are too many tokens that have not expired.
    #[error("too many tokens have not expired yet")]
    TooManyTokens,
    /// No server has this id.
    #[error("no such server")]
    NoSuchServer,
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
    /// The key shows another version than the command expects: look again. Not an answer to keep, the
    /// same request may be proposed anew.
    #[error("the object's current version is not the expected one")]
    HeadMoved,
    /// No such object.
    #[error("no such object")]
    NoSuchObject,
    /// No such upload: it never was, was completed or given up.
    #[error("no such upload")]
    NoSuchUpload,
    /// A part is not there, or was uploaded again since it was looked at.
    #[error("a part is not as it was")]
    PartChanged,
    /// The parts of an object do not rise, are none, too many, or one but the last is empty; or the MACs
    /// are not one for each row of their manifest.
    #[error("the parts make no object")]
    BadParts,
    /// The version to be copied is not the current one any more, or what it shows is dead.
    #[error("the copied version is not the current one")]
    SourceChanged,
    /// Bytes of another label, in pieces that are too small, or in too many.
    #[error("the bytes may not be shared by reference")]
    NotShareable,
    /// The command does not have just one wrap for each piece that it copies.
    #[error("the wraps are not those of the copied pieces")]
    BadCopy,
    /// The user name is taken.
    #[error("the user exists")]
    UserExists,
    /// No such user.
    #[error("no such user")]
    NoSuchUser,
    /// The user has access keys.
    #[error("the user has access keys")]
    UserInUse,
    /// The access key's id is in use, or was.
    #[error("the access key's id is in use, or was")]
    KeyExists,
    /// No such access key.
    #[error("no such access key")]
    NoSuchKey,
    /// The bucket is another's than the command says.
    #[error("the bucket has another owner")]
    OwnerChanged,
    /// No disk of that id was admitted.
    #[error("no such disk")]
    NoSuchDisk,
    /// The disk was admitted before, has slots, was lost, or the lost one has another successor.
    #[error("the disk is in use, or was")]
    DiskInUse,
    /// A disk is replaced by one of its class.
    #[error("the disk is of another class than the lost one")]
    OtherClass,
    /// The metadata was restored from a backup, and nobody has released deletions since.
    #[error("deletions are held since the metadata was restored from a backup")]
    DeletionsHeld,
    /// Not every server was said to know it: the feature level is to be raised first.
    #[error(
        "the cluster's feature level is too low for this: raise it, once every server runs this build"
    )]
    LevelTooLow,
    /// The group is not as it was when the swap was decided: look again.
    #[error("the group has changed since the swap was decided")]
    GroupChanged,
    /// A quota leaves no room for it.
    #[error("{0} is exceeded")]
    QuotaExceeded(Exceeded),
    /// Usage is not kept yet, and so no quota.
    #[error("usage is not kept yet")]
    UsageNotKept,
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
            Refusal::UserExists => Self::UserExists,
            Refusal::NoSuchUser => Self::NoSuchUser,
            Refusal::TokenInvalid => Self::TokenInvalid,
            Refusal::NoSuchServer => Self::NoSuchServer,
            Refusal::UserInUse => Self::UserInUse,
            Refusal::KeyExists => Self::KeyExists,
            Refusal::NoSuchKey => Self::NoSuchKey,
            Refusal::NoSuchObject => Self::NoSuchObject,
            Refusal::NoSuchUpload => Self::NoSuchUpload,
            Refusal::PartChanged => Self::PartChanged,
            Refusal::SourceChanged => Self::SourceChanged,
            Refusal::NotShareable => Self::NotShareable,
            Refusal::QuotaExceeded(exceeded) => Self::QuotaExceeded(exceeded),
            refusal @ (Refusal::TooManyLeases | Refusal::HeadMoved | Refusal::UsageNotKept) => {
                Self::Unavailable(refusal.to_string())
            }
            other => Self::Malformed(other.to_string()),
        }
    }
}
