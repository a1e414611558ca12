//! Copies by reference: no byte moves, the new version refers to the same blobs under wraps of its own.

use super::{Condition, Tags};
use crate::attributes::{Attributes, Checksum};
use crate::id::{BucketId, RequestId, VersionId};
use crate::name::ObjectKey;
use crate::size::{ByteCount, ByteOffset};
use serde::{Deserialize, Serialize};

/// The bytes that are copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopySource {
    /// From which bucket.
    pub bucket: BucketId,
    /// From which object.
    pub key: ObjectKey,
    /// The version that the gateway has seen. Another one by now: `SourceChanged`.
    pub version: VersionId,
}

/// Make an object version visible that shows what another one shows. `NotShareable` where the rules do
/// not allow that (unequal labels, a piece below 1 MiB, too many pieces): then the bytes are read and
/// written again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyObject {
    /// Applied once.
    pub request: RequestId,
    /// What is copied, whole.
    pub source: CopySource,
    /// Where to.
    pub bucket: BucketId,
    /// Under which key.
    pub key: ObjectKey,
    /// The new version's id, drawn at random by the gateway.
    pub version: VersionId,
    /// What HEAD will say.
    pub attributes: Attributes,
    /// Its tags.
    pub tags: Tags,
    /// What must hold of the version that it replaces.
    pub condition: Condition,
}

/// Make a range of an object a part of an upload. `NotShareable` as for [`CopyObject`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyPart {
    /// Applied once.
    pub request: RequestId,
    /// From which object.
    pub source: CopySource,
    /// Where in it the copied bytes begin.
    pub first: ByteOffset,
    /// How many; all of them lie inside the object.
    pub length: ByteCount,
    /// The upload's bucket.
    pub bucket: BucketId,
    /// The upload's key.
    pub key: ObjectKey,
    /// The upload.
    pub upload: VersionId,
    /// The part's number, 1 to 10 000.
    pub number: u32,
    /// The part's ETag, without quotes.
    pub etag: String,
    /// Its checksums, where they are known without reading it.
    pub checksums: Vec<Checksum>,
}
