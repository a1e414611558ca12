//! Several nodes as one service: each disk is asked where the group table says that it is.

use crate::face::{Office, Way};
use crate::world::{CLUSTER, DISK, NODE, node, read_all, run, shard, stamped};
use client::Nodes;
use futures::FutureExt;
use futures::future::BoxFuture;
use rpc::bulk::PoolLimits;
use rpc::{AddressBook, Addresses};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use strongroom_storage_node::{Limits, ServeLimits};
use types::placement::{Disk, GroupTable};
use types::profile::DiskClass;
use types::wire::ShardStore;
use types::wire::calls::{Call, Carrier, Remote};
use types::wire::metadata::MetadataError;
use types::wire::storage::{DiskState, PutError, ReadError};
use types::{DiskId, NodeId, codec};

const FAR: NodeId = NodeId::new(8);
const FAR_DISK: DiskId = DiskId::new(80);

/// A metadata service that knows group tables and nothing else.
pub(crate) struct Tables {
    table: Mutex<GroupTable>,
    asked: AtomicUsize,
}

impl Tables {
    /// One that lives as long as the test.
    pub(crate) fn leaked(table: GroupTable) -> &'static Self {
        Box::leak(Box::new(Self {
            table: Mutex::new(table),
            asked: AtomicUsize::new(0),
        }))
    }
}

impl Carrier for &'static Tables {
    fn carry(&self, call: Call) -> BoxFuture<'_, Result<Vec<u8>, MetadataError>> {
        assert_eq!(call.path, "/upkeep/table");
        self.asked.fetch_add(1, Ordering::SeqCst);
        let table: Result<_, MetadataError> = Ok(Some(self.table.lock().unwrap().clone()));
        std::future::ready(Ok(codec::encode(&table))).boxed()
    }
}

pub(crate) fn table(version: u64, disks: &[(DiskId, NodeId)]) -> GroupTable {
    let disk = |(id, node): &(DiskId, NodeId)| Disk {
        id: *id,
        node: *node,
        class: DiskClass::Flash,
    };
    GroupTable {
        version,
        disks: disks.iter().map(disk).collect(),
        groups: Vec::new(),
    }
}

/// A disk is asked where it is, also one that was admitted a moment ago. A disk that nobody knows, and one of a
/// node that is away, is not available; the report says why, and tells of the others.
/// Method: one node over the wire, one that listens nowhere.
#[test]
fn disks_are_asked_where_they_are() {
    run(async {
        let disk = stamped(1).await;
        let face = Way::Direct.to(node(&disk, Limits::default()).await).await;
        let office = Office::new();
        let server = office.serve(face.shards(), ServeLimits::default()).await;
        let tables = Tables::leaked(table(1, &[]));
        let book = AddressBook::default();
        book.set(NODE, server.address());
        let addresses: Arc<dyn Addresses> = Arc::new(book.clone());
        let upkeep = Arc::new(Remote(tables));
        let limits = PoolLimits::default();
        let nodes = Nodes::new(office.gateway(), CLUSTER, addresses, limits, upkeep);
        let put = shard(DISK, 1, 70_000, 0);
        let away = Err(PutError::DiskUnavailable { disk: DISK });
        for _ in 0..20 {
            assert_eq!(nodes.put(put.clone()).await, away);
        }
        let asked = tables.asked.load(Ordering::SeqCst);
        assert_eq!(asked, 1, "not for each request");

        *tables.table.lock().unwrap() = table(2, &[(DISK, NODE), (FAR_DISK, FAR)]);
        let admitted = async {
            while nodes.put(put.clone()).await == away {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        let soon = std::time::Duration::from_secs(20);
        tokio::time::timeout(soon, admitted).await.expect("soon");
        assert!(read_all(&nodes, &put).await.unwrap() == put.payload);
        assert_eq!(nodes.describe(DISK, put.key).await, Ok(put.chunk.clone()));
        let far = shard(FAR_DISK, 1, 1, 0);
        let unavailable = ReadError::DiskUnavailable { disk: FAR_DISK };
        assert_eq!(read_all(&nodes, &far).await, Err(unavailable));

        let absent = |why: &str| DiskState::Absent(why.to_owned());
        let states = async |nodes: &Nodes| {
            let reports = nodes.report().await;
            let states = reports
                .into_iter()
                .map(|report| (report.disk, report.state));
            states.collect::<Vec<_>>()
        };
        let expected = [
            (DISK, DiskState::Serving),
            (FAR_DISK, absent("node-8 does not answer")),
        ];
        assert_eq!(states(&nodes).await, expected);

        // The other one comes up, without that disk.
        let certificate = office.of(CLUSTER, ca::Role::Storage, FAR);
        let anywhere = "127.0.0.1:0".parse().unwrap();
        let limits = ServeLimits::default();
        let other = strongroom_storage_node::ShardServer::start(
            anywhere,
            &certificate,
            face.shards(),
            limits,
        );
        let other = other.await.unwrap();
        book.set(FAR, other.address());
        // Nor does it speak for a disk that is another's.
        let expected = [
            (DISK, DiskState::Serving),
            (FAR_DISK, absent("node-8 does not have it")),
        ];
        assert_eq!(states(&nodes).await, expected);
        server.shutdown().await;
        other.shutdown().await;
        face.shutdown().await;
    });
}

/// A node's own disks are asked without a socket.
#[test]
fn own_disks_are_asked_directly() {
    run(async {
        let disk = stamped(1).await;
        let face = Way::Direct.to(node(&disk, Limits::default()).await).await;
        let office = Office::new();
        let tables = Tables::leaked(table(1, &[(DISK, NODE)]));
        let addresses: Arc<dyn Addresses> = Arc::new(AddressBook::default());
        let upkeep = Arc::new(Remote(tables));
        let own = office.of(CLUSTER, ca::Role::Storage, NODE);
        let nodes = Nodes::new(own, CLUSTER, addresses, PoolLimits::default(), upkeep);
        let nodes = nodes.with_own(NODE, face.shards());
        let put = shard(DISK, 1, 70_000, 0);
        assert_eq!(nodes.put(put.clone()).await, Ok(()));
        assert!(read_all(&nodes, &put).await.unwrap() == put.payload);
        assert_eq!(nodes.report().await, face.report().await);
        face.shutdown().await;
    });
}
