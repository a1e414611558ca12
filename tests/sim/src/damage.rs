//! Damage on disks that says nothing: bits of stored shards flip. The scrub has to find it, whoever else does, and
//! it has to be made good, while the disk serves.

use crate::bay::lock;
use crate::world::World;
use disk::sim::SimDisk;
use disk::{BLOCK, Disk};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;
use storage_node::Node;
use storage_node::record::Header;
use storage_node::volume::VolumeId;
use strongroom_tests::Dice;
use types::wire::storage::ReadError;
use types::{ByteOffset, DiskId, ShardKey};

/// How long a round of scrub takes.
pub(crate) const SCRUBBED: Duration = Duration::from_secs(20);
/// A round finds it at last that begins behind it; then it is told and made again.
const FOUND_WITHIN: u32 = 90;
/// The last commit of a gateway that is gone arrives within this: then what is in no run is nobody's.
const ARRIVED: u32 = 10;

/// Shards whose bits were flipped, and of which nobody has seen yet that they are whole or gone.
#[derive(Default)]
pub(crate) struct Damaged(Mutex<BTreeSet<(DiskId, ShardKey)>>, Mutex<Spoilt>);

/// Shards whose bits were flipped at some time.
type Spoilt = BTreeSet<(DiskId, ShardKey)>;

/// A shard's record, or an earlier one under its key.
struct Record {
    key: ShardKey,
    volume: String,
    at: u64,
    length: u64,
}

impl World {
    /// Flips a bit in some shards that live on a disk; none, when none does.
    pub(crate) async fn damage(&self, at: usize, id: DiskId, dice: &mut Dice) {
        let (node, disk) = (self.node(), self.bays[at].disk());
        let Some(living) = living(&node, id) else {
            return;
        };
        let mut records = records(&disk, id).await;
        records.retain(|record| living.contains(&record.key));
        for _ in 0..1 + dice.below(3) {
            if records.is_empty() {
                return;
            }
            let Record { key, length, .. } = *dice.pick(&records);
            let (inside, bit) = (dice.below(length), dice.below(8));
            let (mut hit, rest) = records
                .into_iter()
                .partition::<Vec<_>, _>(|one| one.key == key);
            // Which of them the node reads, it knows.
            for record in hit.drain(..).filter(|one| one.length == length) {
                let place = ByteOffset::new(record.at + inside);
                disk.flip(&record.volume, place, 1 << bit);
            }
            records = rest;
            let trace = &self.wires.trace;
            trace.note(format_args!(
                "bay {at}: {key} is damaged at {inside}, bit {bit}"
            ));
            self.faults.note("damaged shard");
            lock(&self.damaged.0).insert((id, key));
            lock(&self.damaged.1).insert((id, key));
        }
    }

    /// Has what disks hold now judged.
    pub(crate) fn look_at_disks(&self) {
        let Some(node) = self.running_node() else {
            return;
        };
        let disks = self.disks().into_iter();
        let held = disks.filter_map(|(_, disk)| Some((disk, living(&node, disk)?)));
        let spoilt = lock(&self.damaged.1);
        self.wires.watch.look_at_disks(&held.collect(), &spoilt);
    }

    /// Those of the damaged shards that are neither whole nor gone.
    pub(crate) async fn still_damaged(&self) -> Vec<(DiskId, ShardKey)> {
        let node = self.node();
        let disks: BTreeSet<DiskId> = self.disks().into_iter().map(|(_, disk)| disk).collect();
        let damaged = lock(&self.damaged.0).clone();
        for (disk, key) in damaged {
            let settled = !disks.contains(&disk)
                || matches!(
                    node.verify(disk, key).await,
                    Ok(()) | Err(ReadError::Missing { .. })
                );
            if settled {
                lock(&self.damaged.0).remove(&(disk, key));
            }
        }
        lock(&self.damaged.0).iter().copied().collect()
    }

    /// Waits until none is left but those that are nobody's. No gateway is at work.
    ///
    /// # Errors
    /// When some are left that a scrub should have found.
    pub(crate) async fn until_undamaged(&self) -> Result<(), String> {
        let mut left = Vec::new();
        for second in 0..FOUND_WITHIN {
            left = self.still_damaged().await;
            if second >= ARRIVED {
                for (disk, key) in std::mem::take(&mut left) {
                    if self.is_nobodys(key).await {
                        lock(&self.damaged.0).remove(&(disk, key));
                    } else {
                        left.push((disk, key));
                    }
                }
            }
            if left.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Err(format!("damage stays: {left:?}"))
    }

    /// Whether a shard is in no run that lives, as far as anybody can tell.
    async fn is_nobodys(&self, key: ShardKey) -> bool {
        let Ok(covered) = self.operator.covered(key.group, key.chunk).await else {
            return false;
        };
        let mut runs = covered.runs.into_iter().filter(|run| !run.condemned);
        !runs.any(|run| run.chunks.first <= key.chunk && key.chunk <= run.chunks.last)
    }
}

/// The shards of a disk; none while it is away.
fn living(node: &Node, disk: DiskId) -> Option<BTreeSet<ShardKey>> {
    let mut living = BTreeSet::new();
    for (group, slot, _) in node.slots(disk).ok()? {
        let shards = node.inventory(disk, group, slot).ok()?;
        living.extend(shards.into_iter().map(|shard| ShardKey {
            group,
            chunk: shard.chunk,
            index: slot.0,
        }));
    }
    Some(living)
}

/// Every whole record's header that is on a disk.
async fn records(disk: &SimDisk, id: DiskId) -> Vec<Record> {
    let mut records = Vec::new();
    for file in disk.list().await.unwrap_or_default() {
        let Some(volume) = VolumeId::of_file(&file.name) else {
            continue;
        };
        let bytes = disk.content(&file.name).unwrap_or_default();
        for at in (0..bytes.len()).step_by(BLOCK) {
            let Ok(header) = Header::decode(&bytes[at..], id, volume) else {
                continue;
            };
            let length = storage_node::record::HEADER as u64 + header.payload().get();
            if at as u64 + length <= bytes.len() as u64 {
                records.push(Record {
                    key: header.key,
                    volume: file.name.clone(),
                    at: at as u64,
                    length,
                });
            }
        }
    }
    records
}
