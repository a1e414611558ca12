//! The metadata service as calls: what one end encodes and the other answers. No I/O.
//!
//! ```text
//! caller   Remote (implements Metadata, Accounts, Upkeep) -> Call { path, body, repeat } -> Carrier
//! server   answer_metadata, answer_accounts, answer_upkeep (path's name, body) -> encoded Result
//! ```
//!
//! A call's path is `/metadata/NAME`, `/accounts/NAME` or `/upkeep/NAME`, after the method. Its body encodes the arguments
//! by name, its answer a `Result`, both as [`crate::codec`] does. [`Leadership`] goes beside them: who must be
//! asked.

use super::accounts::{Accounts, Credential, KeyInfo, KeyState, NewKey, User};
use super::members::{
    Added, AuditReport, BackupInfo, Enrol, Enrolled, Enrolment, Held, Levels, Member, Members,
    NewToken, ServerInfo, ServerRole, TokenInfo,
};
use super::metadata::{
    AbortUpload, Answer, Bucket, CommitObject, CommitPart, CompleteUpload, CopyObject, CopyPart,
    CreateBucket, CreateUpload, DeleteBucket, DeleteObject, IssuedBlob, List, ListPage, ListParts,
    ListUploads, Located, Lookup, Metadata, MetadataError, PartPage, Session, SetBucketTags,
    SetTags, Tags, UploadPage, WallTime, WriteLease,
};
use super::upkeep::{Covered, DeleteTask, Health, RepairTask, Repaired, RunSlot, Upkeep};
use super::usage::{BucketUsage, Fits, Holder, Quota, QuotaChange, TenantUsage, Usages};
use crate::codec::{self, DecodeError};
use crate::id::{BucketId, ChunkId, DiskId, GroupId, LeaseId, NodeId, SessionId, TenantId};
use crate::name::{BucketName, ObjectKey};
use crate::placement::{Disk, GroupTable};
use crate::profile::Profile;
use crate::shard::ShardKey;
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What every path of [`Metadata`] begins with.
pub const METADATA: &str = "/metadata/";
/// What every path of [`Accounts`] begins with.
pub const ACCOUNTS: &str = "/accounts/";
/// What every path of [`Upkeep`] begins with.
pub const UPKEEP: &str = "/upkeep/";
/// What every path of [`Usages`] begins with.
pub const USAGES: &str = "/usages/";
/// What every path of [`Members`] begins with.
pub const MEMBERS: &str = "/members/";
/// What every path of [`Enrolment`] begins with.
pub const ENROLMENT: &str = "/enrolment/";
/// The path that tells who leads; its body is a [`Leadership`], its answer is [`Told`]. It is answered once that is
/// another than the body says, or after a while.
pub const LEADER: &str = "/leader";

/// Who leads the metadata servers, as far as one of them knows. Of two, the one of the later term is right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Leadership {
    /// The term.
    pub term: u64,
    /// Who leads in it; none while nobody does.
    pub leader: Option<NodeId>,
}

/// What one of the metadata servers tells of them all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// As in [`Leadership`].
    pub term: u64,
    /// As in [`Leadership`].
    pub leader: Option<NodeId>,
    /// Which membership it knows: of two, the one with the higher number is later.
    #[serde(default)]
    pub version: u64,
    /// Where the members listen, by id; empty where those who ask know already.
    #[serde(default)]
    pub servers: BTreeMap<u64, String>,
    /// Where storage nodes listen that said so, by id.
    #[serde(default)]
    pub storage: BTreeMap<u64, String>,
    /// Servers of any role that are no more of the cluster.
    #[serde(default)]
    pub removed: Vec<NodeId>,
}

impl Told {
    /// Who leads.
    pub fn leadership(&self) -> Leadership {
        Leadership {
            term: self.term,
            leader: self.leader,
        }
    }
}

/// Whether a call may be sent again when nobody knows whether it was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It reads; or is numbered, and the same number gets the same answer; or does no harm twice.
    Harmless,
    /// It would be carried out twice, or be refused for what it did itself.
    Never,
}

/// A call, encoded.
#[derive(Clone, Debug)]
pub struct Call {
    /// What is called.
    pub path: &'static str,
    /// The arguments.
    pub body: Vec<u8>,
    /// Whether it may be repeated.
    pub repeat: Repeat,
}

/// Brings calls to the metadata service, and back what it answered.
pub trait Carrier: Send + Sync + 'static {
    /// Carries one. `Unavailable` when no answer came.
    fn carry(&self, call: Call) -> BoxFuture<'_, Result<Vec<u8>, MetadataError>>;
}

/// The service behind a carrier.
#[derive(Debug)]
pub struct Remote<C>(pub C);

impl<C: Carrier> Remote<C> {
    fn ask<T: DeserializeOwned + Send>(&self, call: Call) -> Answer<'_, T> {
        Box::pin(async move {
            let answer = self.0.carry(call).await?;
            let decoded: Result<Result<T, MetadataError>, DecodeError> = codec::decode(&answer);
            decoded.unwrap_or_else(|error| {
                // It may have been carried out by a server that speaks otherwise.
                let text = format!("the answer cannot be read: {error}");
                Err(MetadataError::Unavailable(text))
            })
        })
    }
}

/// A call's answer, to be encoded and sent back; or why the arguments cannot be read. None: there is no
/// such call.
pub type Answered<'a> = Option<Result<BoxFuture<'a, Vec<u8>>, DecodeError>>;

macro_rules! calls {
    ($service:ident, $answer:ident, $prefix:literal;
     $($repeat:ident $name:ident($($argument:ident: $type:ty),*) -> $output:ty;)*) => {
        impl<C: Carrier> $service for Remote<C> {
            $(fn $name(&self, $($argument: $type),*) -> Answer<'_, $output> {
                #[derive(Serialize)]
                struct Arguments {
                    $($argument: $type),*
                }
                self.ask(Call {
                    path: concat!($prefix, stringify!($name)),
                    body: codec::encode(&Arguments { $($argument),* }),
                    repeat: Repeat::$repeat,
                })
            })*
        }

        /// Answers the call of this name, without its prefix, with this body.
        pub fn $answer<'a>(service: &'a dyn $service, name: &str, body: &[u8]) -> Answered<'a> {
            match name {
                $(stringify!($name) => {
                    #[derive(Deserialize)]
                    struct Arguments {
                        $($argument: $type),*
                    }
                    Some(codec::decode(body).map(|Arguments { $($argument),* }| {
                        let answer = service.$name($($argument),*);
                        let encoded = async move { codec::encode(&answer.await) };
                        Box::pin(encoded) as BoxFuture<'a, Vec<u8>>
                    }))
                })*
                _ => None,
            }
        }
    };
}

calls! {
    Metadata, answer_metadata, "/metadata/";
    Harmless open_session(gateway: NodeId) -> Session;
    Harmless renew_session(session: SessionId) -> Session;
    Harmless open_lease(session: SessionId) -> WriteLease;
    Harmless close_lease(session: SessionId, lease: LeaseId) -> ();
    Harmless issue_blobs(session: SessionId, bucket: BucketId, count: u32) -> Vec<IssuedBlob>;
    Harmless group_table(known: u64) -> Option<GroupTable>;
    Harmless create_bucket(request: CreateBucket) -> Bucket;
    Harmless delete_bucket(request: DeleteBucket) -> ();
    Harmless bucket(name: BucketName) -> Bucket;
    Harmless buckets() -> Vec<Bucket>;
    Harmless fits(request: Fits) -> ();
    Harmless commit_object(request: CommitObject) -> WallTime;
    Harmless delete_object(request: DeleteObject) -> ();
    Harmless lookup(request: Lookup) -> Located;
    Harmless lookups(requests: Vec<Lookup>) -> Vec<Result<Located, MetadataError>>;
    Harmless list(request: List) -> ListPage;
    Harmless set_tags(request: SetTags) -> ();
    Harmless tags(bucket: BucketId, key: ObjectKey) -> Tags;
    Harmless set_bucket_tags(request: SetBucketTags) -> ();
    Harmless bucket_tags(bucket: BucketId) -> Option<Tags>;
    Harmless create_upload(request: CreateUpload) -> WallTime;
    Harmless commit_part(request: CommitPart) -> WallTime;
    Harmless list_parts(request: ListParts) -> PartPage;
    Harmless complete_upload(request: CompleteUpload) -> WallTime;
    Harmless abort_upload(request: AbortUpload) -> ();
    Harmless list_uploads(request: ListUploads) -> UploadPage;
    Harmless copy_object(request: CopyObject) -> WallTime;
    Harmless copy_part(request: CopyPart) -> WallTime;
}

calls! {
    Accounts, answer_accounts, "/accounts/";
    Never add_user(name: String, tenant: TenantId) -> User;
    Harmless users() -> Vec<User>;
    Never remove_user(name: String) -> ();
    Never add_key(new: NewKey) -> Credential;
    Harmless keys(user: Option<String>) -> Vec<KeyInfo>;
    Harmless set_key_state(id: String, state: KeyState) -> ();
    Never remove_key(id: String) -> ();
    Harmless credential(id: String) -> Option<Credential>;
}

calls! {
    Usages, answer_usages, "/usages/";
    Harmless bucket_usages(name: Option<BucketName>) -> Vec<BucketUsage>;
    Harmless tenant_usages() -> Vec<TenantUsage>;
    Harmless set_quota(holder: Holder, change: QuotaChange) -> Quota;
}

calls! {
    Upkeep, answer_upkeep, "/upkeep/";
    Harmless table(known: u64) -> Option<GroupTable>;
    Harmless deletes(disk: DiskId, after: Option<RunSlot>) -> Vec<DeleteTask>;
    Harmless deleted(disk: DiskId, done: Vec<RunSlot>) -> ();
    Harmless repairs(disk: DiskId, after: Option<RunSlot>) -> Vec<RepairTask>;
    Harmless repaired(disk: DiskId, done: Vec<Repaired>) -> ();
    Harmless report_bad(disk: DiskId, shards: Vec<ShardKey>) -> ();
    Harmless covered(group: GroupId, from: ChunkId) -> Covered;
    Harmless health(away: Vec<DiskId>) -> Health;
    Harmless reserve_disk_id() -> DiskId;
    Harmless admit_disk(disk: Disk) -> ();
    Harmless replace_disk(lost: DiskId, new: Disk) -> ();
}

calls! {
    Members, answer_members, "/members/";
    Harmless members() -> Vec<Member>;
    Harmless add_member(node: NodeId) -> Added;
    Harmless remove_member(node: NodeId) -> ();
    Harmless transfer(from: NodeId, to: Option<NodeId>) -> NodeId;
    Harmless servers() -> Vec<ServerInfo>;
    Harmless remove_server(node: NodeId) -> ();
    Never create_token(role: ServerRole, seconds: u64) -> NewToken;
    Harmless tokens() -> Vec<TokenInfo>;
    Harmless remove_token(number: u64) -> ();
    Harmless create_groups(profile: Option<Profile>) -> u64;
    Harmless audit() -> AuditReport;
    Harmless levels() -> Levels;
    Harmless raise_level(to: Option<u32>) -> Levels;
    Never backup(name: String) -> BackupInfo;
    Harmless held() -> Option<Held>;
    Harmless release() -> ();
}

calls! {
    Enrolment, answer_enrolment, "/enrolment/";
    Harmless enrol(request: Enrol) -> Enrolled;
    Harmless renew(request: Vec<u8>, names: Vec<String>) -> String;
}
