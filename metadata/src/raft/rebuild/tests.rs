//! Loading a snapshot beside readers.

use super::*;
use crate::raft::frames::Sealing;
use crate::raft::snapshot::encode_rows;
use crate::raft::types::StoredMembership;
use disk::sim::SimDisk;
use seal::StorageKey;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as threads;
use std::time::Duration;
use tempfile::TempDir;

/// Readers that wait while a snapshot is loaded do not keep its rows from coming.
/// Method: one worker thread; a snapshot of many parts; readers that always wait at the gate.
#[test]
fn readers_do_not_hold_up_a_load() {
    let (done, ended) = threads::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let rows = runtime.block_on(async { tokio::spawn(load_beside_readers()).await.unwrap() });
        // Who waits no longer has given up on it.
        let _gone = done.send(rows);
    });
    let rows = ended.recv_timeout(Duration::from_secs(60));
    assert_eq!(rows, Ok(100));
}

/// Says how many rows were loaded.
async fn load_beside_readers() -> usize {
    let disk = Arc::new(SimDisk::new(1));
    let sealing = Sealing::new(seal::provider::default(), StorageKey::new([1; 32]));
    let snapshots = Snapshots::open(disk, sealing, Arc::default())
        .await
        .unwrap();
    let at = Position {
        term: 1,
        leader: 1,
        index: 9,
    };
    let label = Mark::new(Some(at.into()), &StoredMembership::default());
    let mut writer = snapshots.begin(&label).await.unwrap();
    for row in 0..100_u32 {
        let row = (row.to_be_bytes().to_vec(), vec![1]);
        writer.add(&encode_rows(&[row])).await.unwrap();
    }
    let file = snapshots.finish(writer).await.unwrap();
    let folder = TempDir::new().unwrap();
    let store = Arc::new(Store::open(folder.path()).unwrap().0);
    let gate = Arc::new(Gate::default());

    let loaded = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (gate, loaded) = (Arc::clone(&gate), Arc::clone(&loaded));
            tokio::spawn(async move {
                while !loaded.load(Ordering::Relaxed) {
                    drop(gate.read().await);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    load(&store, &gate, &file, Changes::new()).await.unwrap();
    loaded.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    store.rows().count()
}
