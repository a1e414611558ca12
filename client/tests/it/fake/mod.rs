//! A cluster in memory: a metadata service and six or more disks, with faults on command.

mod disks;
mod multipart;
mod objects;
mod service;
mod state;

pub(crate) use disks::{Disks, Fault};
pub(crate) use service::Service;
pub(crate) use state::Lie;

use bytes::Bytes;
use client::{
    Client, ClientConfig, DeleteError, Download, GetError, Head, NewUpload, PutError, Stored,
    Upload,
};
use futures::TryStreamExt;
use std::sync::Arc;
use std::time::Duration;
use types::placement::{Admission, Disk, Epoch, Group, GroupTable, Member};
use types::profile::{DiskClass, Profile};
use types::size::{ByteCount, ByteOffset, MIB};
use types::wire::metadata::{
    Bucket, ChosenPart, Condition, ListParts, Part, Tags, WallTime, Wanted,
};
use types::{Attributes, DiskId, GroupId, NodeId, ObjectKey, VersionId};

/// A client on a cluster in memory.
pub(crate) struct World {
    pub(crate) client: Arc<Client>,
    pub(crate) service: Arc<Service>,
    pub(crate) disks: Arc<Disks>,
    pub(crate) bucket: Bucket,
}

/// One group of `profile` on disks 1, 2, 3, …
pub(crate) fn table(profile: Profile, groups: u64) -> GroupTable {
    let width = profile.shards() as u64;
    let group = |id: u64| Group {
        id: GroupId::new(id),
        profile,
        epoch: Epoch(1),
        admission: Admission::Open,
        members: (0..width)
            .map(|slot| Member {
                disk: DiskId::new((id - 1) * width + slot + 1),
                joined: Epoch(1),
            })
            .collect(),
    };
    let disk = |id: u64| Disk {
        id: DiskId::new(id),
        node: NodeId::new(1),
        class: DiskClass::Flash,
    };
    GroupTable {
        version: 1,
        disks: (1..=groups * width).map(disk).collect(),
        groups: (1..=groups).map(group).collect(),
    }
}

/// Timings short enough for tests that run into them.
pub(crate) fn config() -> ClientConfig {
    ClientConfig {
        memory: ByteCount::new(128 * MIB),
        memory_patience: Duration::from_secs(30),
        metadata_patience: Duration::from_secs(2),
        grace: Duration::from_millis(20),
        ..ClientConfig::new(NodeId::new(7))
    }
}

impl World {
    pub(crate) fn new(profile: &str) -> Self {
        Self::with(profile, 1, config())
    }

    pub(crate) fn with(profile: &str, groups: u64, config: ClientConfig) -> Self {
        let profile = profile.parse().unwrap();
        let service = Arc::new(Service::new(table(profile, groups)));
        let disks = Arc::new(Disks::default());
        let client = Client::start(config, service.clone(), disks.clone());
        Self {
            client,
            service,
            disks,
            bucket: service::bucket(profile),
        }
    }

    /// Puts `bytes` in pieces of `piece`.
    pub(crate) async fn put(
        &self,
        name: &str,
        bytes: &[u8],
        piece: usize,
    ) -> Result<Stored, PutError> {
        let declared = Some(ByteCount::of(bytes));
        self.put_as(name, bytes, piece, declared).await
    }

    pub(crate) async fn put_as(
        &self,
        name: &str,
        bytes: &[u8],
        piece: usize,
        declared: Option<ByteCount>,
    ) -> Result<Stored, PutError> {
        let mut upload = self.client.put(&self.bucket, key(name), declared).await?;
        write(&mut upload, bytes, piece).await?;
        finish(upload).await
    }

    /// Begins a multipart upload.
    pub(crate) async fn begin(&self, name: &str) -> VersionId {
        let new = NewUpload {
            bucket: &self.bucket,
            key: key(name),
            owner: "owner".into(),
            attributes: Attributes::default(),
            checksum: None,
            tags: Tags::default(),
        };
        self.client.begin_upload(new).await.unwrap()
    }

    /// Puts a part in pieces of 100 000 bytes.
    pub(crate) async fn put_part(
        &self,
        name: &str,
        upload: VersionId,
        number: u32,
        bytes: &[u8],
    ) -> Result<WallTime, PutError> {
        let declared = Some(ByteCount::of(bytes));
        let part = self
            .client
            .put_part(&self.bucket, key(name), upload, number, declared);
        let mut part = part.await?;
        write(&mut part, bytes, 100_000).await?;
        part.finish_part(format!("part {number}"), Vec::new()).await
    }

    /// All parts of an upload.
    pub(crate) async fn parts(&self, name: &str, upload: VersionId) -> Result<Vec<Part>, GetError> {
        let list = ListParts {
            bucket: self.bucket.id,
            key: key(name),
            upload,
            after: 0,
            limit: 10_000,
        };
        Ok(self.client.parts(list).await?.parts)
    }

    /// Makes an object of the parts as they are.
    pub(crate) async fn complete(
        &self,
        name: &str,
        upload: VersionId,
        condition: Condition,
    ) -> Result<Stored, PutError> {
        let parts = self.parts(name, upload).await.unwrap();
        let attributes = Attributes::default();
        self.client
            .complete_upload(
                &self.bucket,
                key(name),
                upload,
                parts.iter().map(chosen).collect(),
                attributes,
                condition,
            )
            .await
    }

    /// Asks for a completion whatever there is.
    pub(crate) async fn complete_blindly(
        &self,
        name: &str,
        upload: VersionId,
    ) -> Result<Stored, PutError> {
        let (bucket, key) = (&self.bucket, key(name));
        let (parts, attributes, condition) = Default::default();
        self.client
            .complete_upload(bucket, key, upload, parts, attributes, condition)
            .await
    }

    /// An object of these parts.
    pub(crate) async fn put_parts(&self, name: &str, parts: &[Vec<u8>]) -> Stored {
        let upload = self.begin(name).await;
        for (number, bytes) in (1..).zip(parts) {
            self.put_part(name, upload, number, bytes).await.unwrap();
        }
        let condition = Condition::default();
        self.complete(name, upload, condition).await.unwrap()
    }

    pub(crate) async fn download(&self, name: &str, wanted: Wanted) -> Result<Download, GetError> {
        self.client.get(&self.bucket, &key(name), wanted).await
    }

    pub(crate) async fn head(&self, name: &str, wanted: Wanted) -> Result<Head, GetError> {
        self.client.head(&self.bucket, &key(name), wanted).await
    }

    pub(crate) async fn delete(&self, name: &str, condition: Condition) -> Result<(), DeleteError> {
        self.client
            .delete(&self.bucket, &key(name), condition)
            .await
    }

    pub(crate) async fn get(&self, name: &str, wanted: Wanted) -> Result<Vec<u8>, GetError> {
        let download = self.download(name, wanted).await?;
        let expected = download.range.end - download.range.start;
        let bytes = collect(download).await?;
        assert_eq!(bytes.len() as u64, expected, "a body is as long as it says");
        Ok(bytes)
    }

    /// Everything that was reserved comes back once nothing is under way.
    pub(crate) async fn memory_comes_back(&self) {
        eventually(|| self.client.budget().used() == ByteCount::ZERO).await;
    }
}

/// Writes `bytes` in pieces of `piece`.
pub(crate) async fn write(upload: &mut Upload, bytes: &[u8], piece: usize) -> Result<(), PutError> {
    let bytes = Bytes::copy_from_slice(bytes);
    for start in (0..bytes.len()).step_by(piece) {
        let end = bytes.len().min(start + piece);
        upload.write(bytes.slice(start..end)).await?;
    }
    Ok(())
}

/// Finishes an object that says nothing of itself and asks for nothing.
pub(crate) async fn finish(upload: Upload) -> Result<Stored, PutError> {
    let attributes = Attributes::default();
    upload
        .finish(attributes, Tags::default(), Condition::default())
        .await
}

/// A part as it was listed.
pub(crate) fn chosen(part: &Part) -> ChosenPart {
    ChosenPart {
        number: part.number,
        born: part.born,
    }
}

pub(crate) async fn collect(download: Download) -> Result<Vec<u8>, GetError> {
    let mut body = download.body;
    let mut bytes = Vec::new();
    while let Some(piece) = body.try_next().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Polls a condition with a deadline.
pub(crate) async fn eventually(condition: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "it never came true");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

pub(crate) fn key(name: &str) -> ObjectKey {
    name.to_owned().try_into().unwrap()
}

pub(crate) fn range(start: u64, length: u64) -> Wanted {
    Wanted::Range(ByteOffset::new(start), ByteCount::new(length))
}

/// Bytes in which no segment looks like another.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
