//! A cluster in memory behind a gateway on a free port: the real metadata service over a log in memory, and
//! disks that refuse nothing.

use crate::memory_log::MemoryLog;
use bytes::Bytes;
use client::{Client, ClientConfig};
use futures::FutureExt;
use futures::future::BoxFuture;
use metadata::{Keyring, Server, ServerConfig};
use seal::RingKey;
use std::collections::HashMap;
use std::future::ready;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use strongroom_gateway::{Gateway, GatewayConfig, Identity, Limits};
use types::block::FRAMED_BLOCK;
use types::placement::Disk;
use types::profile::{DiskClass, Profile};
use types::shard::ChunkDescription;
use types::size::{ByteCount, MIB};
use types::wire::ShardStore;
use types::wire::accounts::{Accounts, KeySecret, NewKey};
use types::wire::storage::{DiskReport, PutError, PutShard, ReadError, ReadShard};
use types::{DiskId, Label, NodeId, ShardKey, TenantId};

pub(crate) const ACCESS_KEY: &str = "AKTEST";
pub(crate) const SECRET: &str = "secret-of-the-test";
/// A key of another tenant.
pub(crate) const FOREIGN_KEY: &str = "AKFOREIGN";
/// A key of another user of the same tenant, at the same label.
pub(crate) const OTHER_KEY: &str = "AKOTHERUSER";
/// A key of the same user at a label that dominates the default one.
pub(crate) const HIGH_KEY: &str = "AKHIGH";

/// A gateway on a cluster in memory.
pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) client: Arc<Client>,
    pub(crate) disks: Arc<Disks>,
    /// The metadata service, for users and keys.
    pub(crate) service: Arc<Server<MemoryLog>>,
    pub(crate) address: SocketAddr,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let (service, node) = service().await;
        let disks = Arc::new(Disks::default());
        let client = Client::start(
            ClientConfig {
                memory: ByteCount::new(64 * MIB),
                shard_patience: Duration::from_secs(2),
                ..ClientConfig::new(node)
            },
            service.clone(),
            disks.clone(),
        );
        let mut config = GatewayConfig {
            s3: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            s3_tls: None,
            admin: None,
            region: "us-east-1".into(),
            domains: Vec::new(),
            limits: Limits::default(),
        };
        change(&mut config);
        let high = Label {
            level: 1,
            compartments: [7].into(),
            ..Label::default()
        };
        for (name, tenant) in [("tester", 1), ("neighbour", 1), ("foreigner", 2)] {
            let added = service.add_user(name.to_owned(), TenantId::new(tenant));
            added.await.expect("added");
        }
        for (id, user, label) in [
            (ACCESS_KEY, "tester", Label::default()),
            (HIGH_KEY, "tester", high),
            (OTHER_KEY, "neighbour", Label::default()),
            (FOREIGN_KEY, "foreigner", Label::default()),
        ] {
            let given = (id.to_owned(), KeySecret::new(SECRET.to_owned()));
            let added = service.add_key(NewKey {
                user: user.to_owned(),
                label,
                given: Some(given),
            });
            added.await.expect("added");
        }
        let identity = Identity::new(service.clone());
        let gateway = Gateway::start(config, client.clone(), identity)
            .await
            .expect("starts");
        let address = gateway.addresses().s3.expect("listens");
        Self {
            gateway,
            client,
            disks,
            service,
            address,
        }
    }
}

impl World {
    /// The id of a user.
    pub(crate) async fn user_id(&self, name: &str) -> String {
        let users = self.service.users().await.expect("listed");
        let found = users.into_iter().find(|user| user.name == name);
        found.expect("a user").id
    }
}

/// One data shard and two of parity.
fn profile() -> Profile {
    Profile::new(1, 2, DiskClass::Flash).expect("a profile")
}

/// A metadata service with groups over its disks, and this gateway's node.
pub(crate) async fn service() -> (Arc<Server<MemoryLog>>, NodeId) {
    let keys = Keyring::new(seal::provider::default(), vec![RingKey::random(1)]);
    let server = Server::start(MemoryLog::new(), keys, ServerConfig::new(profile()));
    let node = server.admit_node().await.expect("admitted");
    for _ in 0..profile().shards() {
        let id = server.reserve_disk_id().await.expect("an id");
        let class = DiskClass::Flash;
        let admitted = server.admit_disk(Disk { id, node, class }).await;
        admitted.expect("admitted");
    }
    server.create_groups(profile()).await.expect("groups");
    (server, node)
}

/// Disks that keep what they are given, until they are told to lose it.
#[derive(Default)]
pub(crate) struct Disks(Mutex<HashMap<(DiskId, ShardKey), PutShard>>);

impl Disks {
    pub(crate) fn lose_everything(&self) {
        self.0.lock().expect("whole").clear();
    }
}

impl ShardStore for Disks {
    fn put(&self, request: PutShard) -> BoxFuture<'_, Result<(), PutError>> {
        async move {
            let payload = Bytes::copy_from_slice(&request.payload);
            let shard = PutShard { payload, ..request };
            let mut shards = self.0.lock().expect("whole");
            shards.insert((shard.disk, shard.key), shard);
            Ok(())
        }
        .boxed()
    }

    fn read(&self, request: ReadShard) -> BoxFuture<'_, Result<Bytes, ReadError>> {
        async move {
            let (disk, key) = (request.disk, request.key);
            let shards = self.0.lock().expect("whole");
            let shard = shards.get(&(disk, key));
            let payload = &shard.ok_or(ReadError::Missing { key })?.payload;
            let start = request.first_block as usize * FRAMED_BLOCK;
            let end = start + request.blocks as usize * FRAMED_BLOCK;
            Ok(payload.slice(start..end.min(payload.len())))
        }
        .boxed()
    }

    fn describe(
        &self,
        disk: DiskId,
        key: ShardKey,
    ) -> BoxFuture<'_, Result<ChunkDescription, ReadError>> {
        let shards = self.0.lock().expect("whole");
        let shard = shards.get(&(disk, key));
        let found = shard.map(|shard| shard.chunk.clone());
        ready(found.ok_or(ReadError::Missing { key })).boxed()
    }

    fn report(&self) -> BoxFuture<'_, Vec<DiskReport>> {
        async { Vec::new() }.boxed()
    }
}
