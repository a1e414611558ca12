//! The last part of some runs: the metadata servers are lost, and come back as a backup has them.

use crate::load::KEYS;
use crate::plant::Plant;
use crate::run::{Run, WINDOW};
use std::time::Duration;

/// Operations behind a backup.
const BEHIND_BACKUP: u64 = 4;
/// For so long deletions are held after a restore, while disks are looked through this often.
const HELD: Duration = Duration::from_secs(60);
const OFTEN: Duration = Duration::from_secs(20);

impl Run {
    /// The metadata servers are lost, and come back as a backup has them: all that it holds is read, and what it
    /// does not know of stays until deletions are released.
    pub(crate) async fn restore(&mut self) -> Result<(), String> {
        self.heal().await?;
        let Some(backup) = self.world.fleet.backup().await else {
            return Ok(());
        };
        let reader = self.worker(5, WINDOW);
        let mut held = Vec::new();
        for key in 0..KEYS {
            let read = reader.get(key).await;
            held.push(read.map_err(|error| format!("key {key} cannot be read: {error:?}"))?);
        }
        self.world.fleet.look().await;
        let watch = self.world.wires.watch.clone();
        let kept = watch.kept_blobs();
        // What is written now the backup does not know of.
        reader.clone().work(self.dice.split(), BEHIND_BACKUP).await;
        reader.client.shutdown().await;
        self.world.fleet.look().await;
        if !watch.kept_blobs().is_superset(&kept) {
            // Disks were told to remove what the backup holds: it is too old.
            return Ok(());
        }
        self.world.faults.note("restored backup");
        self.world.fleet.restore(backup).await;
        if self.world.plant == Some(Plant::ReleasedAtOnce) {
            self.world.fleet.release_deletions().await?;
        }
        self.world.restart(OFTEN).await;
        tokio::time::sleep(HELD).await;
        self.holds(&held).await?;
        self.world.fleet.release_deletions().await?;
        watch.released();
        self.clean().await?;
        self.holds(&held).await
    }

    /// Every key is as the backup has it.
    async fn holds(&self, held: &[Option<(u64, u64)>]) -> Result<(), String> {
        let reader = self.worker(6, WINDOW);
        for (key, held) in (0..).zip(held) {
            let read = reader.read(key).await;
            let read = read.map_err(|error| format!("key {key} of a backup: {error:?}"))?;
            if read != *held {
                return Err(format!("key {key} is {read:?}, and in the backup {held:?}"));
            }
        }
        reader.client.shutdown().await;
        Ok(())
    }
}
