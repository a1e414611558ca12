//! Three servers of which one is cut off from the others.

use super::*;
use crate::command::{ClusterCommand, Command, Proposal};
use crate::raft::{Node, NodeConfig};
use crate::store::Store;
use crate::tables::KEKS;
use disk::sim::SimDisk;
use futures::FutureExt;
use futures::future::BoxFuture;
use seal::StorageKey;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;
use types::wire::metadata::WallTime;
use types::{BucketId, NodeId};

/// Loses what servers that are cut off say and are told.
#[derive(Default)]
struct Cut(Mutex<BTreeSet<NodeId>>);

impl Between for Cut {
    fn pass(&self, from: NodeId, to: NodeId) -> BoxFuture<'_, bool> {
        let cut = self.0.lock().unwrap();
        let passes = !cut.contains(&from) && !cut.contains(&to);
        std::future::ready(passes).boxed()
    }
}

struct Cluster {
    cut: Arc<Cut>,
    nodes: Vec<Node>,
    _stores: Vec<TempDir>,
}

impl Cluster {
    async fn start() -> Self {
        let cut = Arc::new(Cut::default());
        let network = Network::across(Arc::clone(&cut) as Arc<dyn Between>);
        let (mut nodes, mut stores) = (Vec::new(), Vec::new());
        for id in 1..=3_u8 {
            let config = NodeConfig {
                heartbeat: Duration::from_millis(50),
                election: Duration::from_millis(200),
                patience: Duration::from_secs(2),
                ..NodeConfig::new(NodeId::new(id.into()))
            };
            let folder = TempDir::new().unwrap();
            let (store, _) = Store::open(folder.path()).unwrap();
            let node = Node::start(
                config,
                Arc::new(store),
                Arc::new(SimDisk::new(id.into())),
                seal::provider::default(),
                StorageKey::new([id; 32]),
                &network,
            );
            nodes.push(node.await.unwrap());
            stores.push(folder);
        }
        let voters = (1..=3).map(|id| (NodeId::new(id), "here".to_owned()));
        nodes[0].initialize(voters).await.unwrap();
        Self {
            cut,
            nodes,
            _stores: stores,
        }
    }

    /// Proposes on one after another until it is acknowledged.
    async fn write(&self, among: &[usize], number: u64) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            for at in among {
                if self.nodes[*at].propose(keep(number)).await.is_ok() {
                    return;
                }
            }
            assert!(Instant::now() < deadline, "{number} is not acknowledged");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The server that leads, and the others.
    async fn leader(&self) -> (usize, [usize; 2]) {
        let leader = self.nodes[0].leader().await.unwrap();
        let at = usize::try_from(leader.get()).unwrap() - 1;
        (at, [(at + 1) % 3, (at + 2) % 3])
    }

    fn isolate(&self, at: usize, isolated: bool) {
        let mut cut = self.cut.0.lock().unwrap();
        let server = self.nodes[at].id();
        if isolated {
            cut.insert(server);
        } else {
            cut.remove(&server);
        }
    }

    async fn shutdown(self) {
        for node in &self.nodes {
            node.shutdown().await;
        }
    }
}

fn keep(number: u64) -> Proposal {
    Proposal {
        wall: WallTime(0),
        command: Command::Cluster(ClusterCommand::InstallKek {
            bucket: BucketId::new(number),
            version: 1,
            wrapped: "a wrap".into(),
        }),
    }
}

/// Whether a server has the row, by a linearizable read.
async fn kept(node: &Node, number: u64) -> Result<bool, crate::LogError> {
    let row = (BucketId::new(number), 1);
    node.linearizable(move |store| KEKS.contains(store, &row).unwrap())
        .await
}

/// A server that was cut off does not unseat the leader when it returns: it asked before it raised its
/// term (pre-vote).
#[tokio::test(start_paused = true)]
async fn a_returning_server_unseats_nobody() {
    let cluster = Cluster::start().await;
    cluster.write(&[0, 1, 2], 0).await;
    let (leader, others) = cluster.leader().await;
    let before = cluster.nodes[leader].status();
    cluster.isolate(others[0], true);
    tokio::time::sleep(Duration::from_secs(10)).await;
    cluster.write(&[leader], 1).await;
    cluster.isolate(others[0], false);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let after = cluster.nodes[leader].status();
    assert_eq!((after.term, after.leader), (before.term, before.leader));
    assert_eq!(cluster.nodes[others[0]].status().applied, after.applied);
    cluster.shutdown().await;
}

/// A leader that was cut off, and does not know that another has taken over, answers no read.
#[tokio::test(start_paused = true)]
async fn a_leader_that_was_cut_off_answers_no_read() {
    let cluster = Cluster::start().await;
    cluster.write(&[0, 1, 2], 0).await;
    let (old, others) = cluster.leader().await;
    cluster.isolate(old, true);
    cluster.write(&others, 1).await;
    assert!(kept(&cluster.nodes[old], 1).await.is_err());
    cluster.isolate(old, false);
    let deadline = Instant::now() + Duration::from_secs(30);
    while cluster.nodes[old].status().applied != cluster.nodes[others[0]].status().applied {
        assert!(Instant::now() < deadline, "it does not catch up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cluster.shutdown().await;
}
