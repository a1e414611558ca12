//! What goes wrong by itself: a disk fails, a shard goes bad; and what its node then says.

use super::DataPath;
use crate::{
    action::{Action, Event},
    fence::Fence,
    world::{CHUNKS, Index, Phase, Record, SLOTS, World, bit, has},
};

pub(super) fn offer(model: &DataPath, world: &World, next: &mut Vec<Action>) {
    if model.scene.fails && world.failed == 0 {
        let (group, slot) = model.scene.replaceable[0];
        let disk = match world.replacements[0] {
            Some(replacement) => replacement.lost,
            None => world.groups[usize::from(group)].members[usize::from(slot)],
        };
        next.push(Action::Fail { disk });
    }
    for upload in model.uploads() {
        let blob = &world.uploads[usize::from(upload)];
        for slot in model.slots() {
            if world.faults < model.scene.rots && may_rot(model, world, upload, slot) {
                next.push(Action::Rot { upload, slot });
            }
            let waits = blob.reports[usize::from(slot)] != 0 && model.hold(Fence::ReportsInOrder);
            if has(blob.rotten, slot) && blob.phase == Phase::Live && !waits {
                next.push(Action::ReportBad { upload, slot });
            }
        }
    }
}

/// Whether the member has the shard of a living blob, and readers would find another one.
fn may_rot(model: &DataPath, world: &World, upload: Index, slot: Index) -> bool {
    let blob = &world.uploads[usize::from(upload)];
    let holds = |slot: Index| {
        let member = model.group(world, upload).members[usize::from(slot)];
        let disk = &world.disks[usize::from(member)];
        disk.records[model.chunk(upload)][usize::from(slot)] == Record::Good
    };
    let another = model
        .slots()
        .any(|other| other != slot && !has(blob.missing, other) && holds(other));
    blob.phase == Phase::Live && holds(slot) && another
}

/// It holds nothing and answers nothing any more.
pub(super) fn fail(world: &mut World, disk: Index) -> Event {
    let row = &mut world.disks[usize::from(disk)];
    row.records = [[Record::None; SLOTS]; CHUNKS];
    world.failed |= bit(disk);
    world.faults += 1;
    Event::DiskFailed
}

pub(super) fn rot(model: &DataPath, world: &mut World, upload: Index, slot: Index) -> Event {
    let member = model.group(world, upload).members[usize::from(slot)];
    let disk = &mut world.disks[usize::from(member)];
    disk.records[model.chunk(upload)][usize::from(slot)] = Record::None;
    world.uploads[usize::from(upload)].rotten |= bit(slot);
    world.faults += 1;
    Event::ShardRotted
}

/// From here on metadata knows. Where it knew already, the report changes nothing.
pub(super) fn report_bad(world: &mut World, upload: Index, slot: Index) -> Event {
    let blob = &mut world.uploads[usize::from(upload)];
    blob.missing |= bit(slot);
    blob.rotten &= !bit(slot);
    Event::BadReported
}
