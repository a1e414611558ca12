//! Why the metadata service did not do it.

use crate::wire::usage::Exceeded;
use serde::{Deserialize, Serialize};

/// Why a request had no effect. Each but `Unavailable` is final: the same request gets it again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MetadataError {
    /// No leader, no quorum, shutting down, or too slow; whether a write took effect is unknown, and
    /// the same request id may be sent again.
    #[error("the metadata service is unavailable: {0}")]
    Unavailable(String),
    /// No such bucket.
    #[error("no such bucket")]
    NoSuchBucket,
    /// The name is taken.
    #[error("the bucket exists, owned by {owner}")]
    BucketExists {
        /// By whom.
        owner: String,
    },
    /// It holds objects.
    #[error("the bucket is not empty")]
    BucketNotEmpty,
    /// No such object.
    #[error("no such object")]
    NoSuchObject,
    /// The range begins at or behind the object's end.
    #[error("the range lies outside the object's {length} bytes")]
    RangeNotSatisfiable {
        /// The object's length.
        length: u64,
    },
    /// The condition of a write does not hold.
    #[error("the object's current version is not as the condition has it")]
    ConditionFailed,
    /// No such upload: it never was, was completed or aborted, or has expired.
    #[error("no such upload")]
    NoSuchUpload,
    /// The object has no part of that number.
    #[error("the object has {parts} parts")]
    NoSuchPart {
        /// How many it has.
        parts: u32,
    },
    /// A part was uploaded again, or is not there: look at the parts again.
    #[error("a part is not as it was")]
    PartChanged,
    /// The version that was to be copied is not the current one any more: look it up again.
    #[error("the copied version is not the current one")]
    SourceChanged,
    /// The bytes may not be shared by reference: read and write them again.
    #[error("the bytes may not be shared by reference")]
    NotShareable,
    /// There is no room for it: more may be stored when something is deleted, or the quota raised.
    #[error("{0} is exceeded")]
    QuotaExceeded(Exceeded),
    /// No such tenant: it has no users, buckets or quota.
    #[error("no such tenant")]
    NoSuchTenant,
    /// The session has expired: open another. What it wrote and did not commit is lost.
    #[error("the session has expired")]
    SessionExpired,
    /// The lease has ended, is another gateway's, or does not cover the run.
    #[error("the write lease does not cover the run")]
    LeaseInvalid,
    /// Chunk ids of the run were committed before.
    #[error("the run overlaps one that is committed")]
    RunOverlaps,
    /// Too many slots were closed or moved since the run was acknowledged. Nothing was committed: send
    /// the object again.
    #[error("too few of the run's shards are where they were acknowledged")]
    TooFewRemain,
    /// The wrap has expired, was issued for something else, or under a retired key.
    #[error("the data key's wrap is not valid any more")]
    WrapInvalid,
    /// The version id is in use.
    #[error("the version id is in use")]
    VersionExists,
    /// The user name is taken.
    #[error("the user exists")]
    UserExists,
    /// No such user.
    #[error("no such user")]
    NoSuchUser,
    /// The user has keys, or owns buckets.
    #[error("the user has access keys, or owns buckets")]
    UserInUse,
    /// The id of the access key is in use, or was.
    #[error("the access key's id is in use, or was")]
    KeyExists,
    /// No such access key.
    #[error("no such access key")]
    NoSuchKey,
    /// The token was used by another, withdrawn, or has expired.
    #[error("the token is not valid: it was used, was withdrawn, or has expired; ask for another")]
    TokenInvalid,
    /// No server has this id, or it is no more of the cluster.
    #[error("no such server")]
    NoSuchServer,
    /// The metadata servers are left as they are: a change would not be safe now.
    #[error("the metadata servers are left as they are: {0}")]
    MembersUnchanged(String),
    /// The request is not well-formed; a fault of the gateway.
    #[error("malformed request: {0}")]
    Malformed(String),
    /// The server is of a build that does not know the call. Nothing was done.
    #[error("the metadata server is of an older build, which does not know this call")]
    NoSuchCall,
    /// A stored row does not open: damage, or an attack. Nothing of it is returned.
    #[error("a stored row does not open")]
    RowDamaged,
}
