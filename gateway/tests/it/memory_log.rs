//! The log below the metadata service of these tests: one server's, in memory, so that what is tested above
//! it is the real service over real rows, and no test waits for an election.

use futures::FutureExt;
use futures::future::BoxFuture;
use metadata::{Log, LogError, Proposal, Read, Reply, Store, apply};
use std::sync::{Mutex, MutexGuard};
use tempfile::TempDir;
use types::wire::metadata::WallTime;

/// When everything happens: Sun, 06 Nov 1994 08:49:37 GMT, and a half.
const NOW: WallTime = WallTime(784_111_777_500);

/// Applies proposals one by one.
pub(crate) struct MemoryLog {
    store: Store,
    applied: Mutex<u64>,
    _folder: TempDir,
}

impl MemoryLog {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, _) = Store::open(folder.path()).expect("a store");
        Self {
            store,
            applied: Mutex::new(0),
            _folder: folder,
        }
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.applied.lock().expect("whole")
    }
}

impl Log for MemoryLog {
    fn propose(&self, proposal: Proposal) -> BoxFuture<'_, Result<Reply, LogError>> {
        async move {
            // Whoever proposes at the same time has its turn.
            tokio::task::yield_now().await;
            // What goes through a log is what is stored in it.
            let stored = types::codec::encode(&proposal);
            let mut proposal: Proposal = types::codec::decode(&stored).expect("a proposal");
            proposal.wall = NOW;
            let mut applied = self.lock();
            *applied += 1;
            let mut txn = self.store.begin();
            let reply = apply(&mut txn, &proposal).expect("a sound store");
            let changes = txn.into_changes();
            self.store
                .commit(changes, &applied.to_be_bytes())
                .expect("a sound store");
            Ok(reply)
        }
        .boxed()
    }

    fn linearizable(&self, read: Read) -> BoxFuture<'_, Result<(), LogError>> {
        async move {
            let _no_batch = self.lock();
            read(&self.store);
            Ok(())
        }
        .boxed()
    }

    fn leads(&self) -> bool {
        true
    }
}
