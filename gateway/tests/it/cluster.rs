//! A cluster in memory behind a gateway on a free port: a metadata service and disks that do what
//! these tests need, and refuse nothing.

use bytes::Bytes;
use client::{Client, ClientConfig};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use strongroom_gateway::{AccessKey, Gateway, GatewayConfig, Identity, Limits};
use types::block::FRAMED_BLOCK;
use types::manifest::{LocatedExtent, Place, Run};
use types::placement::{Admission, Disk, Epoch, Group, GroupTable, Member};
use types::profile::{DiskClass, Profile};
use types::secret::DataKey;
use types::size::{ByteCount, ByteOffset, MIB};
use types::wire::metadata::{
    Answer, Bucket, CommitObject, CreateBucket, DeleteBucket, DeleteObject, IssuedBlob, List,
    ListEntry, ListPage, Located, Lookup, MetadataError, Session, WallTime, WriteLease,
    WrittenPlace,
};
use types::wire::storage::{DiskReport, PutError, PutShard, ReadError, ReadShard};
use types::wire::{Metadata, ShardStore};
use types::{
    BlobId, BucketId, BucketName, ChunkId, DiskId, GroupId, Label, LeaseId, NodeId, ObjectKey,
    SessionId, ShardKey, TenantId,
};

pub(crate) const ACCESS_KEY: &str = "AKTEST";
pub(crate) const SECRET: &str = "secret of the test";
/// A key of another tenant.
pub(crate) const FOREIGN_KEY: &str = "AKFOREIGN";
/// A key of the same tenant at a label that dominates the default one.
pub(crate) const HIGH_KEY: &str = "AKHIGH";

/// A gateway on a cluster in memory.
pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) client: Arc<Client>,
    pub(crate) disks: Arc<Disks>,
    pub(crate) address: SocketAddr,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let service = Arc::new(Service::default());
        let disks = Arc::new(Disks::default());
        let client = Client::start(
            ClientConfig {
                memory: ByteCount::new(64 * MIB),
                shard_patience: Duration::from_secs(2),
                ..ClientConfig::new(NodeId::new(1))
            },
            service,
            disks.clone(),
        );
        let mut config = GatewayConfig {
            s3: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            s3_tls: None,
            admin: None,
            region: "us-east-1".into(),
            domain: None,
            limits: Limits::default(),
        };
        change(&mut config);
        let high = Label {
            level: 1,
            compartments: [7].into(),
            ..Label::default()
        };
        let key =
            |id, tenant, label| AccessKey::new(id, SECRET.to_owned(), TenantId::new(tenant), label);
        let identity = Identity::new(vec![
            key(ACCESS_KEY, 1, Label::default()),
            key(FOREIGN_KEY, 2, Label::default()),
            key(HIGH_KEY, 1, high),
        ]);
        let gateway = Gateway::start(config, client.clone(), identity)
            .await
            .expect("starts");
        let address = gateway.addresses().s3.expect("listens");
        Self {
            gateway,
            client,
            disks,
            address,
        }
    }
}

fn profile() -> Profile {
    Profile::new(1, 2, DiskClass::Flash).expect("a profile")
}

#[derive(Default)]
struct Service(Mutex<State>);

#[derive(Default)]
struct State {
    last: u64,
    buckets: BTreeMap<BucketName, Bucket>,
    objects: BTreeMap<(BucketId, ObjectKey), (CommitObject, WallTime)>,
    keys: HashMap<BlobId, DataKey>,
}

impl State {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn lookup(&self, lookup: Lookup) -> Result<Located, MetadataError> {
        let found = self.objects.get(&(lookup.bucket, lookup.key));
        let (object, modified) = found.ok_or(MetadataError::NoSuchObject)?;
        let place = match object.place.clone() {
            WrittenPlace::Inline { sealed } => Place::Inline { sealed },
            WrittenPlace::Runs { profile, runs } => Place::Runs {
                profile,
                runs: runs
                    .into_iter()
                    .map(|run| Run {
                        group: run.group,
                        first_chunk: run.first_chunk,
                        chunks: run.chunks,
                        first_index: run.first_index,
                        missing: run.missing,
                    })
                    .collect(),
            },
        };
        let extent = LocatedExtent {
            object_offset: ByteOffset::ZERO,
            blob: object.blob,
            blob_offset: ByteOffset::ZERO,
            length: object.length,
            blob_length: object.length,
            key: self.keys[&object.blob].clone(),
            place,
        };
        Ok(Located {
            version: object.version,
            length: object.length,
            modified: *modified,
            attributes: object.attributes.clone(),
            extents: vec![extent],
        })
    }

    fn list(&self, list: &List) -> ListPage {
        let mut entries: Vec<ListEntry> = Vec::new();
        let after = list.after.as_deref().unwrap_or_default();
        for ((bucket, key), (object, modified)) in &self.objects {
            let text = key.as_str();
            let Some(rest) = text.strip_prefix(&list.prefix) else {
                continue;
            };
            if *bucket != list.bucket {
                continue;
            }
            let delimiter = list.delimiter.as_deref();
            let cut = delimiter.and_then(|d| rest.find(d).map(|at| at + d.len()));
            let common = cut.map(|cut| text[..list.prefix.len() + cut].to_owned());
            if common.as_deref().unwrap_or(text) <= after {
                continue;
            }
            let entry = match common {
                Some(common) => ListEntry::CommonPrefix(common),
                None => ListEntry::Object {
                    key: key.clone(),
                    length: object.length,
                    modified: *modified,
                    etag: object.attributes.etag.clone(),
                },
            };
            if entries.last() == Some(&entry) {
                continue;
            }
            if entries.len() == list.limit as usize {
                let truncated = list.limit > 0;
                return ListPage { entries, truncated };
            }
            entries.push(entry);
        }
        ListPage {
            entries,
            truncated: false,
        }
    }
}

impl Service {
    fn answer<'a, T: Send + 'a>(
        &'a self,
        work: impl FnOnce(&mut State) -> Result<T, MetadataError> + Send + 'a,
    ) -> Answer<'a, T> {
        async move { work(&mut self.0.lock().expect("whole")) }.boxed()
    }
}

impl Metadata for Service {
    fn open_session(&self, _: NodeId) -> Answer<'_, Session> {
        self.renew_session(SessionId::new(1))
    }

    fn renew_session(&self, id: SessionId) -> Answer<'_, Session> {
        self.answer(move |_| Ok(Session { id, ttl_ms: 60_000 }))
    }

    fn open_lease(&self, _: SessionId) -> Answer<'_, WriteLease> {
        self.answer(|state| {
            let id = LeaseId::new(state.next());
            Ok(WriteLease {
                id,
                first: ChunkId::new(id.get() * 10_000),
                count: 10_000,
                opens_for_ms: 600_000,
                ttl_ms: 60_000,
            })
        })
    }

    fn close_lease(&self, _: SessionId, _: LeaseId) -> Answer<'_, ()> {
        self.answer(|_| Ok(()))
    }

    fn issue_blobs(&self, _: SessionId, _: BucketId, count: u32) -> Answer<'_, Vec<IssuedBlob>> {
        self.answer(move |state| {
            let issue = |_| {
                let blob = BlobId::new(state.next());
                let mut raw = [9; 32];
                raw[..8].copy_from_slice(&blob.to_be_bytes());
                state.keys.insert(blob, DataKey::new(raw));
                IssuedBlob {
                    blob,
                    key: DataKey::new(raw),
                    wrap: Bytes::from_static(b"wrap"),
                    expires_ms: u64::MAX,
                }
            };
            Ok((0..count).map(issue).collect())
        })
    }

    fn group_table(&self, _: u64) -> Answer<'_, Option<GroupTable>> {
        let ids = || (1..=3).map(DiskId::new);
        let disk = |id| Disk {
            id,
            node: NodeId::new(1),
            class: DiskClass::Flash,
        };
        let member = |disk| Member {
            disk,
            joined: Epoch(1),
        };
        let group = Group {
            id: GroupId::new(1),
            profile: profile(),
            epoch: Epoch(1),
            admission: Admission::Open,
            members: ids().map(member).collect(),
        };
        let table = GroupTable {
            version: 1,
            disks: ids().map(disk).collect(),
            groups: vec![group],
        };
        self.answer(move |_| Ok(Some(table)))
    }

    fn create_bucket(&self, request: CreateBucket) -> Answer<'_, Bucket> {
        self.answer(move |state| {
            if let Some(bucket) = state.buckets.get(&request.name) {
                let owner = bucket.owner.clone();
                return Err(MetadataError::BucketExists { owner });
            }
            let bucket = Bucket {
                id: BucketId::new(state.next()),
                tenant: request.tenant,
                owner: request.owner,
                name: request.name.clone(),
                label: request.label,
                profile: profile(),
                created: WallTime(1_000_000),
            };
            state.buckets.insert(request.name, bucket.clone());
            Ok(bucket)
        })
    }

    fn delete_bucket(&self, request: DeleteBucket) -> Answer<'_, ()> {
        self.answer(move |state| {
            if state.objects.keys().any(|(id, _)| *id == request.bucket) {
                return Err(MetadataError::BucketNotEmpty);
            }
            state
                .buckets
                .retain(|_, bucket| bucket.id != request.bucket);
            Ok(())
        })
    }

    fn bucket(&self, name: BucketName) -> Answer<'_, Bucket> {
        self.answer(move |state| {
            let found = state.buckets.get(&name).cloned();
            found.ok_or(MetadataError::NoSuchBucket)
        })
    }

    fn buckets(&self) -> Answer<'_, Vec<Bucket>> {
        self.answer(|state| Ok(state.buckets.values().cloned().collect()))
    }

    fn commit_object(&self, request: CommitObject) -> Answer<'_, WallTime> {
        self.answer(move |state| {
            let modified = WallTime(784_111_777_500);
            let name = (request.bucket, request.key.clone());
            state.objects.insert(name, (request, modified));
            Ok(modified)
        })
    }

    fn delete_object(&self, request: DeleteObject) -> Answer<'_, ()> {
        self.answer(move |state| {
            state.objects.remove(&(request.bucket, request.key));
            Ok(())
        })
    }

    fn lookup(&self, request: Lookup) -> Answer<'_, Located> {
        self.answer(move |state| state.lookup(request))
    }

    fn list(&self, request: List) -> Answer<'_, ListPage> {
        self.answer(move |state| Ok(state.list(&request)))
    }
}

/// Disks that keep what they are given, until they are told to lose it.
#[derive(Default)]
pub(crate) struct Disks(Mutex<HashMap<(DiskId, ShardKey), Bytes>>);

impl Disks {
    pub(crate) fn lose_everything(&self) {
        self.0.lock().expect("whole").clear();
    }
}

impl ShardStore for Disks {
    fn put(&self, request: PutShard) -> BoxFuture<'_, Result<(), PutError>> {
        async move {
            let payload = Bytes::copy_from_slice(&request.payload);
            let mut shards = self.0.lock().expect("whole");
            shards.insert((request.disk, request.key), payload);
            Ok(())
        }
        .boxed()
    }

    fn read(&self, request: ReadShard) -> BoxFuture<'_, Result<Bytes, ReadError>> {
        async move {
            let (disk, key) = (request.disk, request.key);
            let shards = self.0.lock().expect("whole");
            let payload = shards.get(&(disk, key)).ok_or(ReadError::Missing { key })?;
            let start = request.first_block as usize * FRAMED_BLOCK;
            let end = start + request.blocks as usize * FRAMED_BLOCK;
            Ok(payload.slice(start..end.min(payload.len())))
        }
        .boxed()
    }

    fn report(&self) -> BoxFuture<'_, Vec<DiskReport>> {
        async { Vec::new() }.boxed()
    }
}
