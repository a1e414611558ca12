//! What is in the rows of usage: how much there is, how much may be, and how far it is counted.
//!
//! ```text
//! no count row --KeepUsage--> counting, bucket by bucket --CountUsage, again and again--> counted
//! ```

use serde::{Deserialize, Serialize};
use types::codec;
use types::id::{BucketId, TenantId};
use types::name::ObjectKey;
use types::wire::usage::{Quota, Usage};

/// A bucket's usage and quota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketUsageRow {
    /// Whose the bucket is.
    pub tenant: TenantId,
    /// What is in it, as far as it is counted.
    pub used: Usage,
    /// How much may be.
    #[serde(default, skip_serializing_if = "codec::is_default")]
    pub quota: Quota,
    /// How far it is counted; none: to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<Place>,
}

/// How far a bucket is counted: up to this place and with it. In the order in which a bucket is counted: objects
/// by key, then uploads as [`super::UPLOADS`] has them, each with its parts by number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Place {
    /// Before everything.
    Start,
    /// An object.
    Object {
        /// Under which key.
        key: ObjectKey,
    },
    /// Behind all objects, whatever their keys.
    Objects,
    /// A part of an upload under way; the upload itself has number 0.
    Part {
        /// Under which key.
        key: ObjectKey,
        /// The revision at which the upload began.
        began: u64,
        /// The part's number; the highest there is: the whole upload.
        number: u32,
    },
}

/// What all buckets of a tenant come to: the sum of their rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantUsageRow {
    /// What is in them, as far as they are counted.
    pub used: Usage,
    /// How much may be.
    #[serde(default, skip_serializing_if = "codec::is_default")]
    pub quota: Quota,
}

/// That usage is kept, and how far the buckets are counted that were there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CountRow {
    /// Those before this one are.
    Counting {
        /// The next, unless it is gone or was made since.
        from: BucketId,
    },
    /// All are.
    Counted,
}
