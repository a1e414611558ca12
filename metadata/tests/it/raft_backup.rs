//! A backup is a snapshot for another day; a restore goes on from it, and holds what would not come back.

use crate::fixture::profile;
use crate::raft_support::{Server as Belongings, keep, kept};
use disk::Disk;
use disk::sim::SimDisk;
use seal::{RingKey, StorageKey};
use std::path::Path;
use std::sync::Arc;
use strongroom_metadata::command::{ClusterCommand, NamespaceCommand};
use strongroom_metadata::raft::{About, BackupError, Network, Node, NodeConfig, Restore};
use strongroom_metadata::tables::{
    GROUP_EPOCHS, GROUPS, HOLD, INCARNATION, LEASES, NODES, REVISION, SESSIONS,
};
use strongroom_metadata::{
    Command, Keyring, Proposal, Refusal, Reply, Server, ServerConfig, Store,
};
use tempfile::TempDir;
use types::ClusterId;
use types::id::{DiskId, NodeId, SessionId};
use types::placement::Disk as Row;
use types::profile::DiskClass;
use types::wire::metadata::WallTime;

const CLUSTER: ClusterId = ClusterId::new([9; 16]);
const INCARNATION_BITS: u32 = 56;

fn ring() -> RingKey {
    RingKey::new(3, [5; 32])
}

async fn propose(node: &Node, command: Command) -> Reply {
    let wall = WallTime(0);
    node.propose(Proposal { wall, command }).await.unwrap()
}

async fn disk(node: &Node) -> DiskId {
    let reserve = Command::Cluster(ClusterCommand::ReserveDiskId);
    match propose(node, reserve).await {
        Reply::Disk(disk) => disk,
        other => panic!("{other:?}"),
    }
}

async fn session(node: &Node) -> Result<SessionId, Refusal> {
    let gateway = NodeId::new(1);
    let open = Command::Namespace(NamespaceCommand::OpenSession { gateway });
    match propose(node, open).await {
        Reply::Session(session) => Ok(session.id),
        Reply::Refused(refusal) => Err(refusal),
        other => panic!("{other:?}"),
    }
}

/// A server with groups, a session, a lease and rows.
async fn worked(belongings: &Belongings) -> (Arc<Node>, SessionId) {
    let node = Arc::new(belongings.alone().await.unwrap());
    let keys = Keyring::new(seal::provider::default(), vec![ring()]);
    let server = Server::start(Arc::clone(&node), keys, ServerConfig::new(profile()));
    let first = server.admit_node().await.unwrap();
    for _ in 0..6 {
        let id = server.reserve_disk_id().await.unwrap();
        let class = DiskClass::Flash;
        let disk = Row {
            id,
            node: first,
            class,
        };
        server.admit_disk(disk).await.unwrap();
    }
    server.create_groups(profile()).await.unwrap();
    server.shutdown().await;
    for number in 0..20 {
        node.propose(keep(number)).await.unwrap();
    }
    let session = session(&node).await.unwrap();
    let lease = Command::Namespace(NamespaceCommand::OpenLease { session });
    assert!(matches!(propose(&node, lease).await, Reply::Lease(_)));
    (node, session)
}

async fn backup(node: &Node, under: &Path, name: &str) -> Result<About, BackupError> {
    let provider = seal::provider::default();
    node.backup(under, name, provider, &ring(), CLUSTER).await
}

/// Where a restored server is.
struct Place {
    store: TempDir,
    log: SimDisk,
    storage: StorageKey,
}

impl Place {
    fn new() -> Self {
        Self {
            store: TempDir::new().unwrap(),
            log: SimDisk::new(5),
            storage: StorageKey::random(),
        }
    }

    fn log(&self) -> Arc<dyn Disk> {
        Arc::new(self.log.clone())
    }

    async fn restore(&self, backup: &Path, rings: &[RingKey]) -> Result<NodeId, BackupError> {
        let restore = Restore {
            backup,
            rings,
            provider: seal::provider::default(),
            storage: self.storage.clone(),
            store: self.store.path(),
            log: self.log(),
            address: "10.0.0.9:9011".to_owned(),
            wall: WallTime(1_700_000_000_000),
        };
        restore.run().await
    }

    async fn start(&self, node: NodeId) -> Node {
        let (store, _) = Store::open(self.store.path()).unwrap();
        let network = Network::new();
        let node = Node::start(
            NodeConfig::new(node),
            Arc::new(store),
            self.log(),
            seal::provider::default(),
            self.storage.clone(),
            &network,
        );
        let node = node.await.unwrap();
        node.leader().await.unwrap();
        node
    }
}

/// What was acknowledged before the backup is there; what was handed out after it is never handed out again; who
/// had a session has none; epochs are beyond those that anybody has seen; what is dead stays until it is released.
#[tokio::test]
async fn a_restored_cluster_goes_on_beyond_all_that_was_seen() {
    let folder = TempDir::new().unwrap();
    let belongings = Belongings::new(1, &Network::new(), 1);
    let (node, old) = worked(&belongings).await;
    let about = backup(&node, folder.path(), "monday").await.unwrap();
    assert_eq!((about.cluster, about.ring), (CLUSTER, 3));
    assert_eq!(About::read(&folder.path().join("monday")).unwrap(), about);
    let taken = backup(&node, folder.path(), "monday").await;
    assert!(matches!(taken, Err(BackupError::Exists(_))));
    for name in ["", "..", "a/b", ".hidden", "a b"] {
        let refused = backup(&node, folder.path(), name).await;
        assert!(matches!(refused, Err(BackupError::Name(_))), "{name:?}");
    }

    // Behind the backup: the restored cluster knows nothing of it.
    node.propose(keep(100)).await.unwrap();
    let seen = disk(&node).await;
    let later = session(&node).await.unwrap();
    let before = node.unconfirmed_rows();
    let epochs = |store: &Store| -> Vec<_> {
        let groups = GROUPS.scan(store, &[]);
        groups.map(|row| row.unwrap().1.epoch).collect()
    };
    let (old_epochs, old_revision) = (epochs(&before), REVISION.get(&*before, &()).unwrap());
    drop(before);
    node.shutdown().await;

    let place = Place::new();
    let (monday, rings) = (folder.path().join("monday"), [ring()]);
    let own = place.restore(&monday, &rings).await.unwrap();
    assert_eq!(own.get() >> INCARNATION_BITS, 1);
    let node = place.start(own).await;
    for number in 0..20 {
        assert!(kept(&node, number).await.unwrap(), "{number}");
    }
    assert!(!kept(&node, 100).await.unwrap());
    let next = disk(&node).await;
    assert_eq!(next.get() >> INCARNATION_BITS, 1);
    assert!(next > seen);
    for gone in [old, later] {
        let renew = Command::Namespace(NamespaceCommand::RenewSession { session: gone });
        let refused = Reply::Refused(Refusal::SessionExpired);
        assert_eq!(propose(&node, renew).await, refused);
    }
    let new = session(&node).await.unwrap();
    assert!(new > later);

    let rows = node.unconfirmed_rows();
    assert!(!old_epochs.is_empty());
    for (old, new) in old_epochs.iter().zip(epochs(&rows)) {
        assert!(new > *old && new.0 >> INCARNATION_BITS == 1);
    }
    let of_commits = GROUP_EPOCHS.scan(&*rows, &[]);
    assert!(of_commits.map(|row| row.unwrap().1.epoch).eq(epochs(&rows)));
    assert!(REVISION.get(&*rows, &()).unwrap() > old_revision);
    assert_eq!(LEASES.scan(&*rows, &[]).count(), 0);
    assert_eq!(SESSIONS.scan(&*rows, &[]).count(), 1);
    assert!(NODES.get(&*rows, &own).unwrap().unwrap().removed.is_none());
    let held = HOLD.get(&*rows, &()).unwrap().unwrap();
    assert_eq!(held.entry, about.entry);
    drop(rows);

    let condemn = NamespaceCommand::Condemn { died_before_ms: 1 };
    let condemn = || Command::Namespace(condemn.clone());
    let refused = Reply::Refused(Refusal::DeletionsHeld);
    assert_eq!(propose(&node, condemn()).await, refused);
    let release = Command::Namespace(NamespaceCommand::ReleaseDeletions);
    assert_eq!(propose(&node, release).await, Reply::Done);
    assert_eq!(propose(&node, condemn()).await, Reply::Done);

    // It is a server like any other: its log goes on, and it starts again.
    node.propose(keep(200)).await.unwrap();
    node.shutdown().await;
    drop(node);
    let node = place.start(own).await;
    assert!(kept(&node, 200).await.unwrap());

    // The second restore is beyond the first.
    backup(&node, folder.path(), "tuesday").await.unwrap();
    node.shutdown().await;
    let again = Place::new();
    let tuesday = folder.path().join("tuesday");
    let own = again.restore(&tuesday, &rings).await.unwrap();
    let node = again.start(own).await;
    let rows = node.unconfirmed_rows();
    assert_eq!(INCARNATION.get(&*rows, &()).unwrap(), Some(2));
    assert!(kept(&node, 200).await.unwrap());
    node.shutdown().await;
}

/// A backup opens under its cluster's ring key alone, names nobody in the clear, and not one changed byte of its
/// file is restored.
#[tokio::test]
async fn a_backup_that_is_not_whole_is_refused() {
    let folder = TempDir::new().unwrap();
    let belongings = Belongings::new(1, &Network::new(), 1);
    let (node, _) = worked(&belongings).await;
    backup(&node, folder.path(), "monday").await.unwrap();
    node.shutdown().await;
    let monday = folder.path().join("monday");
    let file = monday.join("snapshot");
    let whole = std::fs::read(&file).unwrap();
    let marker = crate::raft_support::MARKER.as_bytes();
    assert!(!whole.windows(marker.len()).any(|bytes| bytes == marker));

    let other = RingKey::new(3, [6; 32]);
    let refused = Place::new().restore(&monday, &[other]).await;
    assert!(matches!(refused, Err(BackupError::File(_))), "{refused:?}");
    let older = RingKey::new(2, [5; 32]);
    let refused = Place::new().restore(&monday, &[older]).await;
    assert!(matches!(refused, Err(BackupError::NoRingKey(3))));

    let about = monday.join("about");
    let text = std::fs::read_to_string(&about).unwrap();
    let foreign = text.replace(&CLUSTER.to_string(), &ClusterId::new([8; 16]).to_string());
    std::fs::write(&about, foreign).unwrap();
    let refused = Place::new().restore(&monday, &[ring()]).await;
    assert!(matches!(refused, Err(BackupError::File(_))), "{refused:?}");
    std::fs::write(&about, text).unwrap();

    // One byte of each block: where frames are, and where only zeros pad them.
    for at in (0..whole.len()).step_by(4096) {
        let mut damaged = whole.clone();
        damaged[at + 40] ^= 1;
        std::fs::write(&file, &damaged).unwrap();
        let place = Place::new();
        let restored = place.restore(&monday, &[ring()]).await;
        assert!(restored.is_err(), "a flip at {} is restored", at + 40);
    }
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let cut = Place::new().restore(&monday, &[ring()]).await;
    assert!(cut.is_err());
    std::fs::write(&file, &whole).unwrap();
    assert!(Place::new().restore(&monday, &[ring()]).await.is_ok());
}
