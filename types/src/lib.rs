//! The shared vocabulary of Strongroom.
//!
//! Every word here means one thing in every folder. An *object* is what S3 names; its bytes are a
//! *blob*, cut into *segments* that are sealed one by one, grouped into *chunks*, coded into
//! *shards*, and stored by disks as checksummed *blocks*:
//!
//! ```text
//! object -> extents -> blob -> chunks -> k + m shards -> blocks (one sealed segment each)
//! ```
//!
//! This crate does no I/O, knows no clock and draws no randomness. It fixes what is stored and sent:
//! once data exists, what a field means here does not change.

pub mod attributes;
pub mod block;
pub mod codec;
pub mod id;
pub mod label;
pub mod manifest;
pub mod name;
pub mod placement;
pub mod profile;
pub mod secret;
pub mod shard;
pub mod size;
pub mod wire;

pub use attributes::Attributes;
pub use id::{
    BlobId, BucketId, ChunkId, ClusterId, DiskId, GroupId, LeaseId, NodeId, RequestId, SessionId,
    TenantId, VersionId,
};
pub use label::Label;
pub use name::{BucketName, ObjectKey};
pub use placement::{Epoch, Slot};
pub use profile::Profile;
pub use shard::ShardKey;
pub use size::{ByteCount, ByteOffset};
