//! Openraft's own tests of log and state machine, on ours.

use crate::raft::audit::Audits;
use crate::raft::frames::Sealing;
use crate::raft::log::{self, LogConfig, LogStore, LogTask, Progress, Verified};
use crate::raft::room::Room;
use crate::raft::snapshot::Snapshots;
use crate::raft::state_machine::{Gate, StateMachine};
use crate::raft::types::TypeConfig;
use crate::store::Store;
use disk::Disk;
use disk::sim::SimDisk;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use seal::StorageKey;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::sync::watch;
use types::ByteCount;

struct Builder;

/// What must outlive a log and a state machine.
struct Held {
    _folder: TempDir,
    _log: LogTask,
    _durable: watch::Sender<Progress>,
}

impl StoreBuilder<TypeConfig, LogStore, StateMachine, Held> for Builder {
    async fn build(&self) -> Result<(Held, LogStore, StateMachine), StorageError<TypeConfig>> {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
        let sealing = Sealing::new(seal::provider::default(), StorageKey::new([3; 32]));
        // The suite purges without a snapshot and applies what is in no log.
        let verified = Arc::new(Verified::default());
        verified.raise(u64::MAX);
        let (durable, applies) = watch::channel(Progress::default());
        durable.send_modify(|progress| progress.durable = Some(u64::MAX));
        let sizes = LogConfig {
            segment: ByteCount::new(64 << 10),
            cache: ByteCount::new(1 << 10),
        };
        let opened = log::open(
            Arc::clone(&disk),
            sizes,
            sealing.clone(),
            Arc::clone(&verified),
        );
        let (log, _, task) = opened.await.unwrap();
        let room = Arc::new(Room::new(Arc::clone(&disk), sizes.segment));
        let snapshots = Snapshots::open(disk, sealing, verified).await.unwrap();
        let folder = TempDir::new().unwrap();
        let (store, _) = Store::open(folder.path()).unwrap();
        let store = Arc::new(store);
        let audits = Arc::new(Audits::new(Arc::clone(&store)));
        let machine = StateMachine::new(
            store,
            Arc::new(Gate::default()),
            Arc::new(snapshots),
            applies,
            room,
            audits,
        );
        let held = Held {
            _folder: folder,
            _log: task,
            _durable: durable,
        };
        Ok((held, log, machine.unwrap()))
    }
}

/// Log and state machine do what openraft expects of them.
#[test]
fn openraft_finds_what_it_expects() {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(Suite::test_all(Builder))
        .unwrap();
}
