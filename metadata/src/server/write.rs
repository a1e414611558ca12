//! What changes something: sessions, leases, issued blobs, buckets, objects.

use super::conditional::Target;
use super::tags::{self, MAX_TAGS};
use super::{Inner, lock, unexpected};
use crate::apply::{MAX_RUNS, foreseen};
use crate::asked::Asked;
use crate::command::{
    ClusterCommand, Command, Commit, CommittedPlace, Delete, MakeBucket, NamespaceCommand,
};
use crate::reply::{Refusal, Reply};
use crate::store::{Store, StoreError};
use crate::tables::{BUCKET_NAMES, BUCKETS, BucketRow, CLOCK, SESSIONS};
use seal::wrap::{self, IssueContext, ReferenceContext};
use std::collections::BTreeSet;
use std::ops::Range;
use types::Label;
use types::attributes::Attributes;
use types::block::SEAL_OVERHEAD;
use types::codec;
use types::id::{BlobId, BucketId, LeaseId, NodeId, SessionId};
use types::manifest::INLINE_LIMIT;
use types::profile::MAX_SHARDS;
use types::secret::DataKey;
use types::wire::metadata::{
    Bucket, CommitObject, CreateBucket, DeleteBucket, DeleteObject, IssuedBlob, MetadataError,
    Session, WallTime, WriteLease, WrittenPlace, WrittenRun,
};

/// Most blobs that are issued at once.
const MAX_ISSUED: u32 = 64;
/// Blob ids are reserved so many at a time.
const BLOB_IDS_AHEAD: u32 = 4096;
/// An issued wrap is good for so long: the slowest upload of 5 GiB that is served.
pub(super) const WRAP_TTL_MS: u64 = 6 * 3600 * 1000;
/// An object that is kept inline is one sealed segment of at most this.
pub const MAX_SEALED: u64 = INLINE_LIMIT + SEAL_OVERHEAD as u64;
/// A bucket's owner is the id of a user.
pub const MAX_OWNER: usize = 256;
/// Compartments and nations of one label together.
pub const MAX_LABEL_IDS: usize = 1000;
/// Attributes encode to at most this: S3 allows 2 KiB of user metadata and 8 KiB of headers in all.
pub const MAX_ATTRIBUTES: usize = 16 << 10;

fn namespace(command: NamespaceCommand) -> Command {
    Command::Namespace(command)
}

impl Inner {
    pub(super) async fn open_session(&self, gateway: NodeId) -> Result<Session, MetadataError> {
        let command = NamespaceCommand::OpenSession { gateway };
        match self.propose(namespace(command)).await? {
            Reply::Session(session) => Ok(session),
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn renew_session(&self, session: SessionId) -> Result<Session, MetadataError> {
        let command = NamespaceCommand::RenewSession { session };
        match self.propose(namespace(command)).await? {
            Reply::Session(session) => Ok(session),
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn open_lease(&self, session: SessionId) -> Result<WriteLease, MetadataError> {
        let command = NamespaceCommand::OpenLease { session };
        match self.propose(namespace(command)).await? {
            Reply::Lease(lease) => Ok(lease),
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn close_lease(
        &self,
        session: SessionId,
        lease: LeaseId,
    ) -> Result<(), MetadataError> {
        let command = NamespaceCommand::CloseLease { session, lease };
        self.propose(namespace(command)).await.map(drop)
    }

    pub(super) async fn issue_blobs(
        &self,
        session: SessionId,
        bucket: BucketId,
        count: u32,
    ) -> Result<Vec<IssuedBlob>, MetadataError> {
        if !(1..=MAX_ISSUED).contains(&count) {
            let text = format!("{count} blobs at once; 1 to {MAX_ISSUED} are issued");
            return Err(MetadataError::Malformed(text));
        }
        let (now_ms, version) = self
            .read(move |store| issuable(store, session, bucket))
            .await??;
        let key = self.bucket_key(bucket, version).await?;
        let ids = self.take_blob_ids(count).await?;
        let issue = |id| {
            let context = IssueContext {
                bucket,
                blob: BlobId::new(id),
                session,
                expires_ms: now_ms + WRAP_TTL_MS,
            };
            let (key, wrap) = key.issue(&context);
            IssuedBlob {
                blob: context.blob,
                key,
                wrap,
                expires_ms: context.expires_ms,
            }
        };
        Ok(ids.map(issue).collect())
    }

    /// Ids that were reserved ahead; more are reserved when too few are left.
    async fn take_blob_ids(&self, count: u32) -> Result<Range<u64>, MetadataError> {
        if let Some(ids) = take(&mut lock(&self.blob_ids), count) {
            return Ok(ids);
        }
        let command = NamespaceCommand::ReserveBlobIds {
            count: BLOB_IDS_AHEAD,
        };
        match self.propose(namespace(command)).await? {
            Reply::Ids { first, count: got } => {
                let mut fresh = first..first + u64::from(got);
                let ids = take(&mut fresh, count).expect("more are reserved than issued at once");
                *lock(&self.blob_ids) = fresh;
                Ok(ids)
            }
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn create_bucket(
        &self,
        request: CreateBucket,
    ) -> Result<Bucket, MetadataError> {
        bounded_bucket(&request)?;
        // What would be refused is refused before a key is made for nothing; and who asks again for what
        // it was granted is answered again.
        let asked = request.clone();
        if let Some(reply) = self.read(move |store| known_answer(store, &asked)).await? {
            return match reply {
                Reply::Bucket(bucket) => Ok(bucket),
                Reply::Refused(refusal) => Err(refusal.into()),
                _ => Err(unexpected()),
            };
        }
        let bucket = match self
            .propose(namespace(NamespaceCommand::ReserveBucketId))
            .await?
        {
            Reply::Ids { first, .. } => BucketId::new(first),
            _ => return Err(unexpected()),
        };
        let made = self.make_bucket(request, bucket).await;
        match &made {
            Ok(made) if made.id == bucket => {}
            // It may be there, or come yet: the id is given up when it stays reserved.
            Err(MetadataError::Unavailable(_)) => {}
            // Refused, or answered with what the same request made before.
            Ok(_) | Err(_) => self.give_up(bucket).await,
        }
        made
    }

    /// Makes a bucket, and first its key, under a reserved id.
    async fn make_bucket(
        &self,
        request: CreateBucket,
        bucket: BucketId,
    ) -> Result<Bucket, MetadataError> {
        let kek_version = 1;
        let install = ClusterCommand::InstallKek {
            bucket,
            version: kek_version,
            wrapped: self.keys.fresh_kek(bucket, kek_version),
        };
        self.propose(Command::Cluster(install)).await?;
        let make = MakeBucket {
            request,
            bucket,
            default_profile: self.config.default_profile,
            kek_version,
        };
        match self
            .propose(namespace(NamespaceCommand::MakeBucket(make)))
            .await?
        {
            Reply::Bucket(bucket) => Ok(bucket),
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn delete_bucket(&self, request: DeleteBucket) -> Result<(), MetadataError> {
        let bucket = request.bucket;
        let command = NamespaceCommand::DeleteBucket(request);
        self.propose(namespace(command)).await?;
        lock(&self.buckets).remove(&bucket);
        self.destroy_keys(bucket).await;
        Ok(())
    }

    pub(super) async fn commit_object(
        &self,
        request: CommitObject,
    ) -> Result<WallTime, MetadataError> {
        bounded_attributes(&request.attributes)?;
        tags::bounded(&request.tags, MAX_TAGS)?;
        bounded_place(&request.place)?;
        let bucket = request.bucket;
        let committed = self.seal_and_commit(request).await;
        if committed.is_err() {
            // What was known of the bucket may be why.
            lock(&self.buckets).remove(&bucket);
        }
        committed
    }

    async fn seal_and_commit(&self, request: CommitObject) -> Result<WallTime, MetadataError> {
        let condition = request.condition.clone();
        let commit = self.seal_commit(request).await?;
        let target = Target {
            request: commit.request,
            asked: Asked::commit(&commit),
            bucket: commit.bucket,
            key: commit.key.clone(),
        };
        let command = |expected| {
            let commit = commit.clone();
            NamespaceCommand::Commit(Commit { expected, ..commit })
        };
        match self.propose_if(target, &condition, command).await? {
            Reply::Committed { modified } => Ok(modified),
            _ => Err(unexpected()),
        }
    }

    /// What goes into the log: the data key wrapped for the version, its attributes sealed.
    async fn seal_commit(&self, request: CommitObject) -> Result<Commit, MetadataError> {
        let row = self.bucket_row(request.bucket).await?;
        let issued = IssueContext {
            bucket: request.bucket,
            blob: request.blob,
            session: request.request.session,
            expires_ms: request.wrap_expires_ms,
        };
        let data_key = self.take_back(&row, &request.wrap, &issued).await?;
        let sealer = self.bucket_key(request.bucket, row.kek_version).await?;
        let reference = ReferenceContext {
            blob: request.blob,
            label_digest: row.bucket.label.digest(),
            bucket: request.bucket,
            key: &request.key,
            version: request.version,
            part: 0,
            length: request.length,
        };
        let wrap = sealer.refer(&data_key, &reference);
        let attributes = sealer.seal_attributes(&request.key, request.version, &request.attributes);
        let tags = tags::sealed(&sealer, &request.key, request.version, &request.tags);
        Ok(Commit {
            request: request.request,
            bucket: request.bucket,
            key: request.key,
            version: request.version,
            length: request.length,
            kek_version: row.kek_version,
            attributes,
            blob: request.blob,
            wrap,
            wrap_expires_ms: request.wrap_expires_ms,
            place: committed_place(request.place),
            tags,
            expected: None,
        })
    }

    /// The data key in an issued wrap that came back with what was written under it.
    pub(super) async fn take_back(
        &self,
        row: &BucketRow,
        wrapped: &[u8],
        issued: &IssueContext,
    ) -> Result<DataKey, MetadataError> {
        let issued_under = wrap::wrapping_version(wrapped);
        let issued_under = issued_under.map_err(|_| MetadataError::WrapInvalid)?;
        if !row.live_keks.contains(&issued_under) {
            return Err(MetadataError::WrapInvalid);
        }
        let issuer = self.bucket_key(issued.bucket, issued_under).await?;
        let data_key = issuer.take_back(wrapped, issued);
        data_key.map_err(|_| MetadataError::WrapInvalid)
    }

    pub(super) async fn delete_object(&self, request: DeleteObject) -> Result<(), MetadataError> {
        let delete = Delete {
            request: request.request,
            bucket: request.bucket,
            key: request.key,
            expected: None,
        };
        let target = Target {
            request: delete.request,
            asked: Asked::delete_object(&delete),
            bucket: delete.bucket,
            key: delete.key.clone(),
        };
        let command = |expected| {
            let delete = delete.clone();
            NamespaceCommand::DeleteObject(Delete { expected, ..delete })
        };
        let deleted = self.propose_if(target, &request.condition, command).await;
        deleted.map(drop)
    }
}

/// Refuses attributes that are larger than any that S3 allows.
pub(super) fn bounded_attributes(attributes: &Attributes) -> Result<(), MetadataError> {
    let length = codec::encode(attributes).len();
    if length > MAX_ATTRIBUTES {
        let text = format!("attributes of {length} bytes; {MAX_ATTRIBUTES} are allowed");
        return Err(MetadataError::Malformed(text));
    }
    Ok(())
}

pub(super) fn committed_place(place: WrittenPlace) -> CommittedPlace {
    match place {
        WrittenPlace::Inline { sealed } => CommittedPlace::Inline { sealed },
        WrittenPlace::Runs { profile, runs } => CommittedPlace::Runs { profile, runs },
    }
}

/// What `apply` would refuse anyway, or would store without need, does not go through the log.
pub(super) fn bounded_place(place: &WrittenPlace) -> Result<(), MetadataError> {
    let text = match place {
        WrittenPlace::Inline { sealed } if sealed.len() as u64 > MAX_SEALED => {
            format!("{} inline bytes; {MAX_SEALED} are allowed", sealed.len())
        }
        WrittenPlace::Runs { runs, .. } if runs.len() > MAX_RUNS => {
            format!("{} runs; {MAX_RUNS} are allowed", runs.len())
        }
        WrittenPlace::Runs { runs, .. } if !runs.iter().all(names_each_slot_once) => {
            format!("a run that misses more than {MAX_SHARDS} slots, or one slot twice")
        }
        _ => return Ok(()),
    };
    Err(MetadataError::Malformed(text))
}

fn names_each_slot_once(run: &WrittenRun) -> bool {
    run.missing.len() <= MAX_SHARDS
        && run.missing.iter().collect::<BTreeSet<_>>().len() == run.missing.len()
}

fn bounded_bucket(request: &CreateBucket) -> Result<(), MetadataError> {
    let length = request.owner.len();
    if length > MAX_OWNER {
        let text = format!("an owner of {length} bytes; {MAX_OWNER} are allowed");
        return Err(MetadataError::Malformed(text));
    }
    bounded_label(&request.label)
}

pub(super) fn bounded_label(label: &Label) -> Result<(), MetadataError> {
    let ids = label.compartments.len() + label.releasability.len();
    if ids > MAX_LABEL_IDS {
        let text =
            format!("a label of {ids} compartments and nations; {MAX_LABEL_IDS} are allowed");
        return Err(MetadataError::Malformed(text));
    }
    Ok(())
}

/// Cluster time and the version of the bucket's key to issue under, if the session lives.
fn issuable(
    store: &Store,
    session: SessionId,
    bucket: BucketId,
) -> Result<Result<(u64, u32), MetadataError>, StoreError> {
    let now_ms = CLOCK.get(store, &())?.unwrap_or_default().now_ms;
    let live = SESSIONS
        .get(store, &session)?
        .is_some_and(|row| now_ms < row.expires_ms);
    if !live {
        return Ok(Err(MetadataError::SessionExpired));
    }
    let bucket = BUCKETS.get(store, &bucket)?;
    Ok(bucket
        .map(|row| (now_ms, row.kek_version))
        .ok_or(MetadataError::NoSuchBucket))
}

/// The stored answer to a request, or why it is refused whatever key is made for it.
fn known_answer(store: &Store, request: &CreateBucket) -> Result<Option<Reply>, StoreError> {
    let asked = Asked::create_bucket(request);
    if let Some(reply) = foreseen(store, &request.request, asked)? {
        return Ok(Some(reply));
    }
    let name = (request.name.clone(), request.label.digest());
    let Some(taken) = BUCKET_NAMES.get(store, &name)? else {
        return Ok(None);
    };
    let row = BUCKETS.get(store, &taken)?;
    let owner = row.map(|row| row.bucket.owner).unwrap_or_default();
    Ok(Some(Reply::Refused(Refusal::BucketExists { owner })))
}

/// The first `count` of a range of ids, if it has as many.
fn take(ids: &mut Range<u64>, count: u32) -> Option<Range<u64>> {
    let end = ids.start + u64::from(count);
    let taken = (end <= ids.end).then_some(ids.start..end)?;
    ids.start = end;
    Some(taken)
}
