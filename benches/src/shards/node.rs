//! A storage node with one disk full of shards, served; and the way to it.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use ca::{Authority, Credentials, Identity, Issued, Role};
use client::RemoteNode;
use disk::Choice;
use futures::FutureExt;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream;
use rpc::bulk::PoolLimits;
use rpc::{AddressBook, Addresses};
use std::fs;
use std::io::{Write, stdout};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use storage_node::stamp::{self, Found, Stamp};
use storage_node::{DiskFolder, Limits, Node, NodeConfig, ServeLimits, ShardServer, Watch};
use types::block::{self, SEALED_SEGMENT};
use types::shard::{ChunkDescription, ShardDigest};
use types::wire::ShardStore;
use types::wire::storage::{DiskReport, PutError, PutShard, ReadError, ReadShard};
use types::{BlobId, ChunkId, ClusterId, DiskId, Epoch, GroupId, NodeId, Profile, ShardKey};

pub(crate) const CLUSTER: ClusterId = ClusterId::new([0xbe; 16]);
pub(crate) const NODE: NodeId = NodeId::new(1);
pub(crate) const GATEWAY: NodeId = NodeId::new(2);
pub(crate) const DISK: DiskId = DiskId::new(1);
/// Segments of a shard: 1 MiB of plaintext.
pub(crate) const BLOCKS: u32 = 16;
/// Shards that are being stored at once.
const AT_ONCE: usize = 16;

pub(crate) fn key(number: u64) -> ShardKey {
    ShardKey {
        group: GroupId::new(1),
        chunk: ChunkId::new(number),
        index: 0,
    }
}

pub(crate) fn shard(number: u64) -> Result<PutShard> {
    let key = key(number);
    let byte = |at: u64| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number).to_be_bytes()[0];
    let length = BLOCKS as usize * SEALED_SEGMENT;
    let sealed: Vec<u8> = (0..length as u64).map(byte).collect();
    let mut payload = Vec::new();
    block::frame(key, 0, &sealed, &mut payload);
    let profile: Profile = "1+1".parse()?;
    let digest = ShardDigest(*blake3::hash(&sealed).as_bytes());
    Ok(PutShard {
        disk: DISK,
        key,
        epoch: Epoch(1),
        chunk: ChunkDescription {
            blob: BlobId::new(number),
            first_segment: 0,
            profile,
            data_lengths: vec![u32::try_from(length)?],
            digests: vec![digest; 2],
        },
        payload: payload.into(),
    })
}

/// A node whose disk holds so many shards: what is missing is stored.
pub(crate) async fn filled(folder: &Path, count: u64) -> Result<Arc<dyn ShardStore>> {
    let disk = folder.join("disk");
    fs::create_dir_all(&disk)?;
    if matches!(stamp::read(&disk).await?, Found::Empty) {
        let stamp = Stamp {
            cluster: CLUSTER,
            node: NODE,
            disk: DISK,
        };
        stamp::format(&disk, &stamp).await?;
    }
    let node = Node::open(NodeConfig {
        cluster: CLUSTER,
        node: NODE,
        disks: vec![DiskFolder {
            folder: disk,
            expected: Some(DISK),
        }],
        engine: Choice::Auto,
        limits: Limits::default(),
        watch: Watch::default(),
    });
    let node = Arc::new(node.await);
    let held = node.report().await[0].shards;
    let missing = stream::iter(held..count).map(|number| {
        let node = Arc::clone(&node);
        async move { Ok::<_, anyhow::Error>(node.put(shard(number)?).await?) }
    });
    let stored: Vec<Result<()>> = missing.buffer_unordered(AT_ONCE).collect().await;
    stored.into_iter().collect::<Result<()>>()?;
    Ok(node)
}

/// Serves it until the process is killed.
pub(crate) async fn serve(folder: &Path, count: u64) -> Result<()> {
    let shards = filled(folder, count).await?;
    run(folder, shards).await
}

/// Serves one shard out of memory, under every key.
pub(crate) async fn memory(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    run(folder, Arc::new(Memory(shard(0)?.payload))).await
}

async fn run(folder: &Path, shards: Arc<dyn ShardStore>) -> Result<()> {
    let own = credentials(folder, Role::Storage, NODE)?;
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = ShardServer::start(anywhere, &own, shards, ServeLimits::default()).await?;
    writeln!(stdout(), "{}\nready", server.address())?;
    std::future::pending().await
}

/// The way to a node that is served.
pub(crate) fn remote(folder: &Path, address: SocketAddr) -> Result<Arc<dyn ShardStore>> {
    let gateway = credentials(folder, Role::Gateway, GATEWAY)?;
    let book = AddressBook::default();
    book.set(NODE, address);
    let addresses: Arc<dyn Addresses> = Arc::new(book);
    let limits = PoolLimits {
        connections: 1024,
        ..PoolLimits::default()
    };
    Ok(Arc::new(RemoteNode::new(
        &gateway, CLUSTER, NODE, addresses, limits,
    )?))
}

/// A certificate of the authority in a folder, which is made there.
pub(crate) fn credentials(folder: &Path, role: Role, node: NodeId) -> Result<Credentials> {
    let (certificate, key) = (folder.join("ca.pem"), folder.join("ca-key.pem"));
    if !certificate.exists() {
        if role != Role::Storage {
            bail!(
                "{} has no authority: `shards serve` makes it",
                folder.display()
            );
        }
        let made = Authority::make()?;
        fs::write(&key, made.key_pem)?;
        fs::write(&certificate, made.certificate_pem)?;
    }
    let authority = Authority::load(&Issued {
        certificate_pem: fs::read_to_string(certificate)?,
        key_pem: fs::read_to_string(key)?,
    });
    let identity = Identity::server(CLUSTER, role, node);
    authority?
        .credentials(&identity, &[])
        .context("making a certificate")
}

/// One shard's blocks.
struct Memory(Bytes);

impl ShardStore for Memory {
    fn put(&self, request: PutShard) -> BoxFuture<'_, Result<(), PutError>> {
        let disk = request.disk;
        std::future::ready(Err(PutError::Full { disk })).boxed()
    }

    fn read(&self, _: ReadShard) -> BoxFuture<'_, Result<Bytes, ReadError>> {
        std::future::ready(Ok(self.0.clone())).boxed()
    }

    fn describe(
        &self,
        _: DiskId,
        key: ShardKey,
    ) -> BoxFuture<'_, Result<ChunkDescription, ReadError>> {
        std::future::ready(Err(ReadError::Missing { key })).boxed()
    }

    fn report(&self) -> BoxFuture<'_, Vec<DiskReport>> {
        std::future::ready(Vec::new()).boxed()
    }
}
