//! The metadata service as a gateway sees it.
//!
//! A gateway opens a *session*, takes *write leases* (ranges of chunk ids) and *issued blobs* (an id
//! with its data key and a short-lived wrap), writes shards, and commits. Its commits are numbered: the
//! same number again gets the same answer and changes nothing.

mod bucket;
mod condition;
mod copy;
mod error;
mod list;
mod object;
mod session;
mod tags;
mod upload;

use crate::id::{BucketId, LeaseId, NodeId, SessionId};
use crate::name::{BucketName, ObjectKey};
use crate::placement::GroupTable;
use crate::wire::usage::Fits;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

pub use bucket::{Bucket, CreateBucket, DeleteBucket, SetBucketTags};
pub use condition::{Condition, EtagMatch};
pub use copy::{CopyObject, CopyPart, CopySource};
pub use error::MetadataError;
pub use list::{List, ListEntry, ListPage};
pub use object::{
    CommitObject, DeleteObject, Located, Lookup, MAX_EXTENTS, MAX_LOOKUPS, SetTags, Wanted,
    WrittenPlace, WrittenRun,
};
pub use session::{IssuedBlob, Session, WriteLease};
pub use tags::Tags;
pub use upload::{
    AbortUpload, ChosenPart, CommitPart, CompleteUpload, CreateUpload, ListParts, ListUploads,
    Part, PartPage, Upload, UploadEntry, UploadPage,
};

/// Milliseconds since 1970, UTC. For display and signatures; it decides nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WallTime(pub u64);

/// What the service answers with.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, MetadataError>>;

/// The service.
pub trait Metadata: Send + Sync + 'static {
    /// Opens a session for a gateway.
    fn open_session(&self, gateway: NodeId) -> Answer<'_, Session>;
    /// Keeps a session and all its leases alive.
    fn renew_session(&self, session: SessionId) -> Answer<'_, Session>;
    /// Takes a fresh range of chunk ids.
    fn open_lease(&self, session: SessionId) -> Answer<'_, WriteLease>;
    /// Gives a lease back: nothing in flight uses it.
    fn close_lease(&self, session: SessionId, lease: LeaseId) -> Answer<'_, ()>;
    /// Issues blob ids with data keys for one bucket; `count` at most 64.
    fn issue_blobs(
        &self,
        session: SessionId,
        bucket: BucketId,
        count: u32,
    ) -> Answer<'_, Vec<IssuedBlob>>;
    /// The group table, unless its version is still `known`.
    fn group_table(&self, known: u64) -> Answer<'_, Option<GroupTable>>;

    /// Makes a bucket.
    fn create_bucket(&self, request: CreateBucket) -> Answer<'_, Bucket>;
    /// Deletes an empty bucket.
    fn delete_bucket(&self, request: DeleteBucket) -> Answer<'_, ()>;
    /// Finds a bucket by name.
    fn bucket(&self, name: BucketName) -> Answer<'_, Bucket>;
    /// All buckets, by name.
    fn buckets(&self) -> Answer<'_, Vec<Bucket>>;

    /// Whether a body would be admitted now, before any of it is taken: `QuotaExceeded` when not. The commit
    /// decides; so that a body which only then does not fit is refused there.
    fn fits(&self, request: Fits) -> Answer<'_, ()>;
    /// Makes an object version visible. Answers with when.
    fn commit_object(&self, request: CommitObject) -> Answer<'_, WallTime>;
    /// Deletes an object. Whether there was one is not told.
    fn delete_object(&self, request: DeleteObject) -> Answer<'_, ()>;
    /// Locates an object. Linearizable.
    fn lookup(&self, request: Lookup) -> Answer<'_, Located>;
    /// Locates up to [`MAX_LOOKUPS`] objects at one moment, each as [`Self::lookup`] does: answers in the order of the
    /// questions. Servers of older builds do not know it, and answer [`MetadataError::NoSuchCall`].
    fn lookups(&self, requests: Vec<Lookup>) -> Answer<'_, Vec<Result<Located, MetadataError>>>;
    /// Lists a bucket. Linearizable.
    fn list(&self, request: List) -> Answer<'_, ListPage>;

    /// Sets the tags of an object's current version.
    fn set_tags(&self, request: SetTags) -> Answer<'_, ()>;
    /// The tags of an object's current version. Linearizable.
    fn tags(&self, bucket: BucketId, key: ObjectKey) -> Answer<'_, Tags>;
    /// Sets a bucket's tags.
    fn set_bucket_tags(&self, request: SetBucketTags) -> Answer<'_, ()>;
    /// A bucket's tags; none when it has no tag set. Linearizable.
    fn bucket_tags(&self, bucket: BucketId) -> Answer<'_, Option<Tags>>;

    /// Begins a multipart upload. Answers with when.
    fn create_upload(&self, request: CreateUpload) -> Answer<'_, WallTime>;
    /// Makes a blob a part of an upload. Answers with when.
    fn commit_part(&self, request: CommitPart) -> Answer<'_, WallTime>;
    /// Parts of an upload or object. Linearizable.
    fn list_parts(&self, request: ListParts) -> Answer<'_, PartPage>;
    /// Makes an object of an upload's parts. Answers with when.
    fn complete_upload(&self, request: CompleteUpload) -> Answer<'_, WallTime>;
    /// Gives an upload up.
    fn abort_upload(&self, request: AbortUpload) -> Answer<'_, ()>;
    /// Uploads under way. Linearizable.
    fn list_uploads(&self, request: ListUploads) -> Answer<'_, UploadPage>;

    /// Copies an object by reference. Answers with when.
    fn copy_object(&self, request: CopyObject) -> Answer<'_, WallTime>;
    /// Copies a range of an object into an upload, by reference. Answers with when.
    fn copy_part(&self, request: CopyPart) -> Answer<'_, WallTime>;
}
