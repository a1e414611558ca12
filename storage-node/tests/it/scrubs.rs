//! The scrub of nodes that are elsewhere: asked as it is asked directly, and who does not answer is named in time.

use crate::face::Office;
use crate::router::{Tables, table};
use crate::world::{CLUSTER, DISK, NODE, run};
use client::{Nodes, NotBegun, ScrubReport, SilentNode};
use futures::FutureExt;
use futures::future::BoxFuture;
use rpc::bulk::PoolLimits;
use rpc::{AddressBook, Addresses};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use types::wire::calls::Remote;
use types::wire::metadata::WallTime;
use types::wire::scrub::{DiskScrub, NotScrubbed, Scrubbing};
use types::wire::storage::{DiskReport, PutError, PutShard, ReadError, ReadShard};
use types::wire::{Scrubs, ShardStore};
use types::{DiskId, NodeId, ShardKey};

/// A call to a node that says nothing is given up after three seconds.
const BOUNDED: Duration = Duration::from_secs(8);

/// Tells of some disks, of which the last does not serve, and remembers what was begun.
pub(crate) struct FakeScrubs {
    disks: Vec<DiskId>,
    begun: Mutex<Vec<Option<DiskId>>>,
}

impl FakeScrubs {
    pub(crate) fn of(disks: &[DiskId]) -> Arc<Self> {
        Arc::new(Self {
            disks: disks.to_vec(),
            begun: Mutex::default(),
        })
    }

    fn begun(&self) -> Vec<Option<DiskId>> {
        self.begun.lock().unwrap().clone()
    }
}

fn told(disk: DiskId) -> DiskScrub {
    DiskScrub {
        doing: Scrubbing::Hurried,
        round: disk.get(),
        shards: 7,
        bytes_a_second: 1.5,
        seconds_left: Some(0.25),
        ended: Some(WallTime(1_800_000_000_123)),
        ..DiskScrub::away(disk)
    }
}

impl Scrubs for FakeScrubs {
    fn begin_scrub(&self, disk: Option<DiskId>) -> BoxFuture<'_, Result<(), NotScrubbed>> {
        let begun = match disk {
            Some(disk) if !self.disks.contains(&disk) => Err(NotScrubbed::Unknown(disk)),
            Some(disk) if self.disks.len() > 1 && self.disks.last() == Some(&disk) => {
                Err(NotScrubbed::Away(disk))
            }
            _ => {
                self.begun.lock().unwrap().push(disk);
                Ok(())
            }
        };
        std::future::ready(begun).boxed()
    }

    fn scrubbed(&self) -> BoxFuture<'_, Vec<DiskScrub>> {
        let scrubs = self.disks.iter().copied().map(told).collect();
        std::future::ready(scrubs).boxed()
    }
}

/// A node that is asked of nothing but its scrub.
pub(crate) struct NoShards;

impl ShardStore for NoShards {
    fn put(&self, put: PutShard) -> BoxFuture<'_, Result<(), PutError>> {
        std::future::ready(Err(PutError::DiskUnavailable { disk: put.disk })).boxed()
    }

    fn read(&self, read: ReadShard) -> BoxFuture<'_, Result<bytes::Bytes, ReadError>> {
        std::future::ready(Err(ReadError::DiskUnavailable { disk: read.disk })).boxed()
    }

    fn describe(
        &self,
        disk: DiskId,
        _: ShardKey,
    ) -> BoxFuture<'_, Result<types::shard::ChunkDescription, ReadError>> {
        std::future::ready(Err(ReadError::DiskUnavailable { disk })).boxed()
    }

    fn report(&self) -> BoxFuture<'_, Vec<DiskReport>> {
        std::future::ready(Vec::new()).boxed()
    }
}

fn nodes(office: &Office, book: &AddressBook, disks: &[(DiskId, NodeId)]) -> Nodes {
    let addresses: Arc<dyn Addresses> = Arc::new(book.clone());
    let tables = Tables::leaked(table(1, disks));
    let upkeep = Arc::new(Remote(tables));
    let limits = PoolLimits::default();
    Nodes::new(office.gateway(), CLUSTER, addresses, limits, upkeep)
}

/// Each node tells of its own disks and of no other's, a disk that its node does not know is away, and a round is
/// begun where the disk is.
/// Method: two nodes over the wire, with disks 1 and 2, and 3; one speaks for disk 3, too, and not for disk 4.
#[test]
fn every_node_tells_of_its_own_disks() {
    run(async {
        let office = Office::new();
        let [one, two, three, four] = [1, 2, 3, 4].map(DiskId::new);
        let far = NodeId::new(8);
        let (near_scrubs, far_scrubs) =
            (FakeScrubs::of(&[three, one, two]), FakeScrubs::of(&[three]));
        let near =
            office.serve_with_scrubs(NODE, Arc::new(NoShards), Arc::clone(&near_scrubs) as _);
        let distant =
            office.serve_with_scrubs(far, Arc::new(NoShards), Arc::clone(&far_scrubs) as _);
        let (near, distant) = (near.await, distant.await);
        let book = AddressBook::default();
        book.set(NODE, near.address());
        book.set(far, distant.address());
        let disks = [(one, NODE), (two, NODE), (three, far), (four, NODE)];
        let nodes = nodes(&office, &book, &disks);

        let expected = [told(one), told(two), told(three), DiskScrub::away(four)];
        let expected = ScrubReport {
            disks: expected.to_vec(),
            silent: Vec::new(),
        };
        assert_eq!(nodes.scrubbed().await, expected);
        assert_eq!(nodes.begin_scrub(None).await, Ok(()));
        assert_eq!(nodes.begin_scrub(Some(three)).await, Ok(()));
        assert_eq!(near_scrubs.begun(), [None]);
        assert_eq!(far_scrubs.begun(), [None, Some(three)]);
        for (disk, refusal) in [
            (two, NotScrubbed::Away(two)),
            (four, NotScrubbed::Unknown(four)),
            (DiskId::new(5), NotScrubbed::Unknown(DiskId::new(5))),
        ] {
            let refused = nodes.begin_scrub(Some(disk)).await;
            assert_eq!(refused, Err(NotBegun::Refused(refusal)));
        }
        near.shutdown().await;
        distant.shutdown().await;
    });
}

/// Who does not answer is named, with the disks that nothing is known of, and nobody is waited for for long; the
/// others are told of, and begun.
/// Method: one node answers, one listens nowhere, one takes connections and says nothing, one has no scrub.
#[test]
fn who_does_not_answer_is_named() {
    run(async {
        let office = Office::new();
        let scrubs = FakeScrubs::of(&[DISK]);
        let server = office.serve_with_scrubs(NODE, Arc::new(NoShards), Arc::clone(&scrubs) as _);
        let server = server.await;
        let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = office.of(CLUSTER, ca::Role::Storage, NodeId::new(10));
        let without = strongroom_storage_node::ShardServer::start(
            "127.0.0.1:0".parse().unwrap(),
            &own,
            Arc::new(NoShards),
            strongroom_storage_node::ServeLimits::default(),
        );
        let without = without.await.unwrap();
        let book = AddressBook::default();
        book.set(NODE, server.address());
        book.set(NodeId::new(9), mute.local_addr().unwrap());
        book.set(NodeId::new(10), without.address());
        let at = |disk, node| (DiskId::new(disk), NodeId::new(node));
        let disks = [(DISK, NODE), at(80, 8), at(90, 9), at(91, 9), at(100, 10)];
        let nodes = nodes(&office, &book, &disks);

        let began = Instant::now();
        let silent = [(8, vec![80]), (9, vec![90, 91]), (10, vec![100])];
        let silent = silent.map(|(node, disks)| SilentNode {
            node: NodeId::new(node),
            disks: disks.into_iter().map(DiskId::new).collect(),
        });
        let expected = ScrubReport {
            disks: vec![told(DISK)],
            silent: silent.to_vec(),
        };
        assert_eq!(nodes.scrubbed().await, expected);
        let begun = nodes.begin_scrub(None).await.unwrap_err().to_string();
        assert!(
            begun.contains("no answer from node 8, node 9, node 10"),
            "{begun}"
        );
        assert_eq!(scrubs.begun(), [None]);
        let one = nodes.begin_scrub(Some(DiskId::new(91))).await;
        assert_eq!(one, Err(NotBegun::Silent(vec![NodeId::new(9)])));
        assert!(began.elapsed() < 3 * BOUNDED, "{:?}", began.elapsed());
        server.shutdown().await;
        without.shutdown().await;
    });
}
