//! Snapshots of rows that change while they are scanned.

use super::*;
use crate::raft::frames::Sealing;
use crate::raft::log::Verified;
use crate::raft::types::Position;
use disk::sim::SimDisk;
use seal::StorageKey;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

const KEYS: u64 = 3_000;

struct World {
    builder: Builder,
    _folder: TempDir,
    _log: watch::Sender<Progress>,
}

impl World {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let (store, _) = Store::open(folder.path()).unwrap();
        let disk: Arc<dyn disk::Disk> = Arc::new(SimDisk::new(7));
        let sealing = Sealing::new(seal::provider::default(), StorageKey::new([7; 32]));
        let verified = Arc::new(Verified::default());
        let snapshots = Snapshots::open(Arc::clone(&disk), sealing, verified).await;
        let (log, progress) = watch::channel(Progress::default());
        Self {
            builder: Builder {
                store: Arc::new(store),
                gate: Arc::default(),
                snapshots: Arc::new(snapshots.unwrap()),
                room: Arc::new(Room::new(disk, ByteCount::new(1 << 20))),
                log: progress,
                on_full: OnFull::Fail,
            },
            _folder: folder,
            _log: log,
        }
    }
}

fn mark(index: u64) -> Mark {
    let at = Position {
        term: 1,
        leader: 1,
        index,
    };
    Mark::new(Some(at.into()), &StoredMembership::default())
}

/// A few bytes, or so many that a row is stored in pieces.
fn value(number: u64) -> Vec<u8> {
    let length = if number.is_multiple_of(37) {
        20_000
    } else {
        500
    };
    format!("{number} ").into_bytes().repeat(length / 8)
}

/// Changes a few rows: sets them, or takes them away.
async fn change(gate: &Gate, store: &Store, number: u64) {
    let mut txn = store.begin();
    for step in 0..4 {
        let key = (number * 7919 + step * 104_729) % KEYS;
        let key = key.to_be_bytes().to_vec();
        if (number + step).is_multiple_of(5) {
            txn.delete(key);
        } else {
            txn.put(key, value(number + step));
        }
    }
    let changes = txn.into_changes();
    let mut changing = gate.changing.lock().await;
    let mark = mark(number);
    let committed = gate.commit(&mut changing, store, changes, &mark, || {});
    committed.await.unwrap();
}

/// What a snapshot holds is what the rows were at its label, though they changed all the while; and its making held
/// nobody up.
/// Method: one changes rows as fast as he can, and notes the digest at each entry; snapshots are made meanwhile, and
/// loaded into another store each.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_snapshot_is_of_one_entry() {
    let world = World::new().await;
    let (store, gate) = (
        Arc::clone(&world.builder.store),
        Arc::clone(&world.builder.gate),
    );
    let mut txn = store.begin();
    for key in 0..KEYS {
        txn.put(key.to_be_bytes().to_vec(), value(key));
    }
    let encoded = types::codec::encode(&mark(0));
    store.commit(txn.into_changes(), &encoded).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let changing = tokio::spawn({
        let (store, gate, stop) = (Arc::clone(&store), Arc::clone(&gate), Arc::clone(&stop));
        async move {
            let mut digests = BTreeMap::from([(0, store.running_digest())]);
            for number in 1.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                change(&gate, &store, number).await;
                digests.insert(number, store.running_digest());
            }
            digests
        }
    });
    let mut files = Vec::new();
    for _ in 0..6 {
        let mut likely = ByteCount::ZERO;
        files.push(world.builder.attempt(&mut likely).await.unwrap());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let digests = changing.await.unwrap();
    let mut changed = 0;
    let mut before = 0;
    for file in files {
        let at = file.label.applied.unwrap().index;
        assert!(at > before || at == 0, "{at} is not behind {before}");
        before = at;
        let Ok(mutations) = file.verify().await else {
            // The next one took its name.
            continue;
        };
        changed += mutations.len();
        let folder = TempDir::new().unwrap();
        let (other, _) = Store::open(folder.path()).unwrap();
        let other = Arc::new(other);
        let loaded = rebuild::load(&other, &Arc::default(), &file, mutations).await;
        loaded.unwrap();
        assert_eq!(other.running_digest(), digests[&at], "at entry {at}");
        assert_eq!(other.digest().unwrap(), digests[&at]);
        assert_eq!(rebuild::mark_of(&other).unwrap(), file.label);
    }
    assert!(changed > 20, "{changed} rows changed under a scan");
}

/// A snapshot that is installed while another is made takes its place; what was scanned is not mixed with it.
#[tokio::test]
async fn one_that_is_overtaken_is_given_up() {
    let world = World::new().await;
    let (store, gate) = (&world.builder.store, &world.builder.gate);
    for number in 1..50 {
        change(gate, store, number).await;
    }
    let mut likely = ByteCount::ZERO;
    let (made, ()) = tokio::join!(world.builder.attempt(&mut likely), async {
        while gate.changing.lock().await.is_none() {
            tokio::task::yield_now().await;
        }
        // As installing one does.
        *gate.changing.lock().await = None;
    });
    assert!(matches!(made, Err(SnapshotError::Superseded)), "{made:?}");
    assert!(world.builder.attempt(&mut likely).await.is_ok());
}

/// Who has a snapshot made, and gives it up, holds nobody up who applies.
#[tokio::test]
async fn one_that_is_given_up_holds_nobody_up() {
    let world = World::new().await;
    let (store, gate) = (&world.builder.store, &world.builder.gate);
    let (tell, told) = mpsc::channel(1);
    *gate.changing.lock().await = Some(tell);
    drop(told);
    for number in 1..20 {
        change(gate, store, number).await;
    }
    assert!(gate.changing.lock().await.is_none());
}
