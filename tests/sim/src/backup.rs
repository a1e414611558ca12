//! All metadata servers are lost, and one comes back with the rows of a backup.

use crate::bay::lock;
use crate::fleet::{Fleet, Lines, Member, cache};
use crate::world::CLUSTER;
use disk::Disk;
use disk::sim::SimDisk;
use metadata::command::{Command, NamespaceCommand, Proposal};
use metadata::raft::{About, Restore};
use metadata::{Log, Store};
use seal::StorageKey;
use std::path::Path;
use std::sync::Arc;
use types::wire::metadata::WallTime;

/// A backup.
pub(crate) struct Backup {
    about: About,
    disk: Arc<dyn Disk>,
}

impl Fleet {
    /// Takes a backup. None where servers are called through pipes: who calls knows those of the beginning.
    pub(crate) async fn backup(&self) -> Option<Backup> {
        if matches!(self.lines, Lines::Pipes(..)) {
            return None;
        }
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(0));
        let (provider, ring) = (seal::provider::default(), &self.rings[0]);
        let leader = self.leader().await;
        let written = leader
            .log()
            .backup_onto(Arc::clone(&disk), provider, ring, CLUSTER);
        let about = written.await.ok()?;
        Some(Backup { about, disk })
    }

    /// Loses every server, and begins anew with one.
    pub(crate) async fn restore(&self, Backup { about, disk }: Backup) {
        self.stop().await;
        let (log, cache, entry) = (SimDisk::new(1), cache(), about.entry);
        let restore = Restore {
            backup: Path::new(""),
            rings: &self.rings,
            provider: seal::provider::default(),
            storage: StorageKey::new([7; 32]),
            store: cache.path(),
            log: Arc::new(log.clone()),
            address: "here".to_owned(),
            wall: WallTime(1 << 40),
        };
        let id = restore.run_from(about, disk).await;
        let id = id.expect("a whole backup");
        {
            let (rows, _) = Store::open(cache.path()).expect("the cache opens");
            self.wires.watch.restored(&rows, entry);
            rows.close_clean().expect("a folder");
        }
        *lock(&self.members) = vec![Arc::new(Member::new(id, log, cache))];
        self.start().await;
        self.leader().await;
    }

    /// An operator has looked: what is dead may go from now on.
    pub(crate) async fn release_deletions(&self) -> Result<(), String> {
        let release = Proposal {
            wall: WallTime(1 << 40),
            command: Command::Namespace(NamespaceCommand::ReleaseDeletions),
        };
        let leader = self.leader().await;
        let released = Log::propose(&**leader.log(), release).await;
        released
            .map(drop)
            .map_err(|error| format!("releasing deletions: {error}"))
    }
}
