//! Repair works off what commits recorded as missing.
//!
//! The member rebuilds the shard from any other, then a report takes the slot off the list; the
//! report may be late, and the slot may have moved meanwhile.

use super::DataPath;
use crate::{
    action::{Action, Event},
    fence::Fence,
    world::{Index, Phase, World, bit, has},
};

pub(super) fn offer(model: &DataPath, world: &World, next: &mut Vec<Action>) {
    for upload in model.uploads() {
        let blob = &world.uploads[usize::from(upload)];
        if blob.phase != Phase::Live {
            continue;
        }
        for slot in model.slots().filter(|&slot| has(blob.missing, slot)) {
            let member = model.group(world, upload).members[usize::from(slot)];
            if blob.reports[usize::from(slot)] == 0 && has(world.failed, member) {
                continue;
            }
            if blob.reports[usize::from(slot)] == 0 {
                next.push(Action::Repair { upload, slot });
            } else {
                next.push(Action::Report { upload, slot });
            }
        }
    }
}

/// A rebuild is proved by the hashes of all shards, so it may replace what it finds under the key.
pub(super) fn rebuild(model: &DataPath, world: &mut World, upload: Index, slot: Index) -> Event {
    let group = *model.group(world, upload);
    let disk = &mut world.disks[usize::from(group.members[usize::from(slot)])];
    disk.records[model.chunk(upload)][usize::from(slot)] =
        model.scene.uploads[usize::from(upload)].bytes;
    let epoch = if model.hold(Fence::TaskNamesTableEpoch) {
        group.epoch
    } else {
        group.closed.into_iter().fold(group.epoch, u8::max)
    };
    let blob = &mut world.uploads[usize::from(upload)];
    blob.reports[usize::from(slot)] = epoch;
    blob.rotten &= !bit(slot);
    Event::ShardRebuilt
}

pub(super) fn report(model: &DataPath, world: &mut World, upload: Index, slot: Index) -> Event {
    let closed = model.group(world, upload).closed[usize::from(slot)];
    let blob = &mut world.uploads[usize::from(upload)];
    let epoch = std::mem::take(&mut blob.reports[usize::from(slot)]);
    if model.hold(Fence::ReportCarriesEpoch) && epoch < closed {
        return Event::RepairRefused;
    }
    blob.missing &= !bit(slot);
    Event::RepairAccepted
}
