//! Why an operation failed, one enum per operation. The variant says who must act:
//!
//! ```text
//! SlowDown      nobody: the same request succeeds later
//! Unavailable   the operator: disks or servers are missing
//! Damaged       the operator: what is stored is not what was written
//! Refused       us: the cluster calls this gateway's request wrong
//! all others    the caller
//! ```

use crate::budget::Exhausted;
use types::size::ByteCount;
use types::wire::metadata::MetadataError;
use types::wire::usage::Exceeded;

/// What there was too much of, or too little. All of it passes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Pressure {
    /// The memory budget is all taken.
    #[error(transparent)]
    Memory(#[from] Exhausted),
    /// The metadata service does not answer, or refuses what has grown too old while this upload ran.
    #[error("metadata")]
    Metadata(#[source] MetadataError),
    /// No group took a chunk on enough disks.
    #[error(
        "no group stored a chunk on {floor} disks or more; the best had {durable} shards durable"
    )]
    Disks {
        /// How many shards were durable in the group that did best; empty ones count.
        durable: usize,
        /// The least that is acknowledged.
        floor: usize,
    },
    /// This gateway is shutting down.
    #[error("this gateway is shutting down")]
    Stopping,
    /// The cluster has no open group for the bucket's profile.
    #[error("no open group has the profile {0}")]
    Groups(types::Profile),
}

/// Why an object, a part, a copy or tags were not stored. Nothing of it is visible, except that after
/// `OutcomeUnknown` all of it may be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PutError {
    /// Try again later.
    #[error("try again later")]
    SlowDown(#[from] Pressure),
    /// The bucket is gone.
    #[error("no such bucket")]
    NoSuchBucket,
    /// There is no such object: none to copy, none to tag, none whose ETag could match.
    #[error("no such object")]
    NoSuchObject,
    /// The object's current version is not as the condition has it.
    #[error("the object's current version is not as the condition has it")]
    ConditionFailed,
    /// No such upload: it never was, was completed or aborted, or has expired.
    #[error("no such upload")]
    NoSuchUpload,
    /// A quota leaves no room for it, and will not by itself.
    #[error("{0} is exceeded")]
    QuotaExceeded(Exceeded),
    /// A part that was chosen has been uploaded again, or is not there: look at the parts again.
    #[error("a part is not as it was")]
    PartChanged,
    /// The version that was to be copied is not the current one any more: look it up again.
    #[error("the copied version is not the current one")]
    SourceChanged,
    /// The bytes may not be shared by reference: read them and put them.
    #[error("the bytes may not be shared by reference")]
    NotShareable,
    /// More or fewer bytes came than were declared.
    #[error("{declared} bytes were declared, {received} came")]
    Length {
        /// As declared.
        declared: ByteCount,
        /// As counted; when it is more than declared, counting stopped there.
        received: ByteCount,
    },
    /// A write was cancelled half-way: what came with it is lost, and so the upload.
    #[error("the upload was abandoned in the middle of a write")]
    Abandoned,
    /// The metadata service stopped answering during the commit: what was sent is wholly there or wholly
    /// absent. To send it again is safe.
    #[error("whether it was committed is unknown: {0}")]
    OutcomeUnknown(String),
    /// The cluster calls the request wrong.
    #[error("the commit was refused")]
    Refused(#[source] MetadataError),
}

/// Why an object, or its next bytes, could not be read. No wrong byte was given out before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GetError {
    /// No such bucket.
    #[error("no such bucket")]
    NoSuchBucket,
    /// No such object; in the middle of a body: the version was replaced, and has been collected.
    #[error("no such object")]
    NoSuchObject,
    /// The object has no part of that number.
    #[error("the object has {parts} parts")]
    NoSuchPart {
        /// How many it has.
        parts: u32,
    },
    /// No such upload: it never was, was completed or aborted, or has expired.
    #[error("no such upload")]
    NoSuchUpload,
    /// The range begins at or behind the object's end.
    #[error("the range lies outside the object's {length}")]
    RangeNotSatisfiable {
        /// The object's length.
        length: ByteCount,
    },
    /// Try again later.
    #[error("try again later")]
    SlowDown(#[from] Pressure),
    /// Too few shards of a chunk can be read. The bytes are not lost: they return with the disks.
    #[error("{available} shards of a chunk can be read, and it takes {needed}")]
    Unavailable {
        /// How many can be.
        available: usize,
        /// k.
        needed: usize,
    },
    /// What is stored does not open under its key, nor does what was rebuilt from other disks.
    #[error("segment {segment} of a blob does not open")]
    Damaged {
        /// Counted from the blob's first.
        segment: u64,
    },
    /// The cluster calls the request wrong, or its answer contradicts itself.
    #[error("the lookup failed")]
    Refused(#[source] MetadataError),
}

/// Why an object was not deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeleteError {
    /// No such bucket.
    #[error("no such bucket")]
    NoSuchBucket,
    /// There is no version, and the condition asks for one.
    #[error("no such object")]
    NoSuchObject,
    /// The object's current version is not as the condition has it.
    #[error("the object's current version is not as the condition has it")]
    ConditionFailed,
    /// Try again later; the object may be gone by then.
    #[error("try again later")]
    SlowDown(#[from] Pressure),
    /// The cluster calls the request wrong.
    #[error("the deletion was refused")]
    Refused(#[source] MetadataError),
}

/// Why a bucket was not listed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// No such bucket.
    #[error("no such bucket")]
    NoSuchBucket,
    /// Try again later.
    #[error("try again later")]
    SlowDown(#[from] Pressure),
    /// The cluster calls the request wrong.
    #[error("the listing was refused")]
    Refused(#[source] MetadataError),
}

/// Why a bucket was not made, found, tagged or deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BucketError {
    /// No such bucket.
    #[error("no such bucket")]
    NoSuchBucket,
    /// The name is taken.
    #[error("the bucket exists, owned by {owner}")]
    Exists {
        /// By whom.
        owner: String,
    },
    /// It holds objects.
    #[error("the bucket is not empty")]
    NotEmpty,
    /// Try again later; what was asked for may have happened by then.
    #[error("try again later")]
    SlowDown(#[from] Pressure),
    /// The cluster calls the request wrong.
    #[error("the request was refused")]
    Refused(#[source] MetadataError),
}

/// Errors that mean that this gateway's session, lease or wrap has grown too old, or that nobody
/// answers: the same request, made afresh, succeeds.
fn passes(error: &MetadataError) -> bool {
    matches!(
        error,
        MetadataError::Unavailable(_)
            | MetadataError::SessionExpired
            | MetadataError::LeaseInvalid
            | MetadataError::WrapInvalid
            | MetadataError::TooFewRemain
    )
}

impl From<MetadataError> for PutError {
    fn from(error: MetadataError) -> Self {
        match error {
            MetadataError::NoSuchBucket => Self::NoSuchBucket,
            MetadataError::NoSuchObject => Self::NoSuchObject,
            MetadataError::ConditionFailed => Self::ConditionFailed,
            MetadataError::NoSuchUpload => Self::NoSuchUpload,
            MetadataError::QuotaExceeded(exceeded) => Self::QuotaExceeded(exceeded),
            MetadataError::PartChanged => Self::PartChanged,
            MetadataError::SourceChanged => Self::SourceChanged,
            MetadataError::NotShareable => Self::NotShareable,
            error if passes(&error) => Self::SlowDown(Pressure::Metadata(error)),
            error => Self::Refused(error),
        }
    }
}

impl From<MetadataError> for GetError {
    fn from(error: MetadataError) -> Self {
        match error {
            MetadataError::NoSuchBucket => Self::NoSuchBucket,
            MetadataError::NoSuchObject => Self::NoSuchObject,
            MetadataError::NoSuchPart { parts } => Self::NoSuchPart { parts },
            MetadataError::NoSuchUpload => Self::NoSuchUpload,
            MetadataError::RangeNotSatisfiable { length } => Self::RangeNotSatisfiable {
                length: ByteCount::new(length),
            },
            error if passes(&error) => Self::SlowDown(Pressure::Metadata(error)),
            error => Self::Refused(error),
        }
    }
}

impl From<MetadataError> for DeleteError {
    fn from(error: MetadataError) -> Self {
        match error {
            MetadataError::NoSuchBucket => Self::NoSuchBucket,
            MetadataError::NoSuchObject => Self::NoSuchObject,
            MetadataError::ConditionFailed => Self::ConditionFailed,
            error if passes(&error) => Self::SlowDown(Pressure::Metadata(error)),
            error => Self::Refused(error),
        }
    }
}

impl From<MetadataError> for ListError {
    fn from(error: MetadataError) -> Self {
        match error {
            MetadataError::NoSuchBucket => Self::NoSuchBucket,
            error if passes(&error) => Self::SlowDown(Pressure::Metadata(error)),
            error => Self::Refused(error),
        }
    }
}

impl From<MetadataError> for BucketError {
    fn from(error: MetadataError) -> Self {
        match error {
            MetadataError::NoSuchBucket => Self::NoSuchBucket,
            MetadataError::BucketExists { owner } => Self::Exists { owner },
            MetadataError::BucketNotEmpty => Self::NotEmpty,
            error if passes(&error) => Self::SlowDown(Pressure::Metadata(error)),
            error => Self::Refused(error),
        }
    }
}

impl From<Exhausted> for PutError {
    fn from(exhausted: Exhausted) -> Self {
        Self::SlowDown(Pressure::Memory(exhausted))
    }
}

impl From<Exhausted> for GetError {
    fn from(exhausted: Exhausted) -> Self {
        Self::SlowDown(Pressure::Memory(exhausted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a fresh attempt can mend is told apart from what it cannot: `docs/decisions/0003` promises it
    /// for a run whose slots were closed before its commit.
    #[test]
    fn what_passes_by_itself_asks_for_another_attempt() {
        for passing in [
            MetadataError::Unavailable("no leader".into()),
            MetadataError::SessionExpired,
            MetadataError::LeaseInvalid,
            MetadataError::WrapInvalid,
            MetadataError::TooFewRemain,
        ] {
            let expected = PutError::SlowDown(Pressure::Metadata(passing.clone()));
            assert_eq!(PutError::from(passing), expected);
        }
        for lasting in [
            MetadataError::RunOverlaps,
            MetadataError::VersionExists,
            MetadataError::RowDamaged,
        ] {
            let expected = PutError::Refused(lasting.clone());
            assert_eq!(PutError::from(lasting), expected);
        }
    }
}
