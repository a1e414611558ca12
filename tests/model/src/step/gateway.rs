//! A gateway takes chunk ids from its lease, writes shards, and proposes the commit.
//!
//! The proposal is no step of its own: what it says (the acknowledged epoch, the slots that
//! answered) cannot be unsaid, so the time it spends in the log is the time before it is applied.
//!
//! It sends all shards at once, to the disks of the group's epoch as it knows it then. Nodes here
//! never refuse a write for its old epoch: no promise rests on that, it only saves work.

use super::DataPath;
use crate::{
    action::{Action, Event},
    fence::Fence,
    world::{Index, Lease, Phase, Record, World, bit, has},
};

pub(super) fn offer(model: &DataPath, world: &World, next: &mut Vec<Action>) {
    for (gateway, lease) in (0..).zip(world.leases) {
        let used = model.scene.uploads.iter().any(|plan| plan.lease == gateway);
        match lease {
            Lease::Unissued if used => next.push(Action::Issue { gateway }),
            Lease::Live if model.scene.expires => next.push(Action::Expire { gateway }),
            _ => {}
        }
    }
    for upload in model.uploads() {
        let plan = model.scene.uploads[usize::from(upload)];
        let blob = &world.uploads[usize::from(upload)];
        let live = world.leases[usize::from(plan.lease)] == Lease::Live;
        let over = matches!(blob.phase, Phase::Refused | Phase::Gone);
        if over && model.scene.forgets {
            continue;
        }
        if blob.phase == Phase::Unused {
            if live && model.group(world, upload).open {
                next.push(Action::Begin { upload });
            }
            continue;
        }
        next.extend(
            model
                .slots()
                .filter(|&slot| arrives(model, world, upload, slot))
                .map(|slot| Action::Land { upload, slot }),
        );
        let group = model.group(world, upload);
        let waits = model.slots().any(|slot| !has(blob.acks, slot));
        let stale = blob.sent < group.epoch && group.open && waits;
        if model.scene.resends && blob.phase == Phase::Writing && stale {
            next.push(Action::Resend { upload });
        }
        let enough = blob.acks.count_ones() >= model.scene.ack;
        let careless = !model.hold(Fence::AckRule) && blob.acks != 0;
        if blob.phase == Phase::Writing && (enough || careless) {
            next.push(Action::Apply { upload });
        }
    }
}

/// Whether the arrival of this write would change anything, or be refused while its gateway waits.
fn arrives(model: &DataPath, world: &World, upload: Index, slot: Index) -> bool {
    let blob = &world.uploads[usize::from(upload)];
    let waits = blob.phase == Phase::Writing && !has(blob.acks, slot);
    if has(world.failed, blob.targets[usize::from(slot)]) {
        return false;
    }
    match record(model, world, upload, slot) {
        Record::None | Record::Torn => true,
        held if held == bytes(model, upload) => waits,
        _ => waits || !model.hold(Fence::NodeWritesOnce),
    }
}

fn bytes(model: &DataPath, upload: Index) -> Record {
    model.scene.uploads[usize::from(upload)].bytes
}

/// What the disk to which this write was sent holds under its key.
fn record(model: &DataPath, world: &World, upload: Index, slot: Index) -> Record {
    let disk = world.uploads[usize::from(upload)].targets[usize::from(slot)];
    world.disks[usize::from(disk)].records[model.chunk(upload)][usize::from(slot)]
}

pub(super) fn issue(world: &mut World, gateway: Index) -> Event {
    world.leases[usize::from(gateway)] = Lease::Live;
    Event::LeaseIssued
}

pub(super) fn expire(world: &mut World, gateway: Index) -> Event {
    world.leases[usize::from(gateway)] = Lease::Expired;
    Event::LeaseExpired
}

pub(super) fn begin(model: &DataPath, world: &mut World, upload: Index) -> Event {
    let group = *model.group(world, upload);
    let blob = &mut world.uploads[usize::from(upload)];
    blob.phase = Phase::Writing;
    blob.epoch = group.epoch;
    blob.sent = group.epoch;
    blob.targets = group.members;
    Event::UploadBegun
}

/// The gateway has learned of a new epoch, and sends what is still unacknowledged to its members.
pub(super) fn resend(model: &DataPath, world: &mut World, upload: Index) -> Event {
    let group = *model.group(world, upload);
    let blob = &mut world.uploads[usize::from(upload)];
    for slot in model.slots().filter(|&slot| !has(blob.acks, slot)) {
        blob.targets[usize::from(slot)] = group.members[usize::from(slot)];
    }
    blob.sent = group.epoch;
    if !model.hold(Fence::LeastEpochCounts) {
        blob.epoch = group.epoch;
    }
    Event::ShardsResent
}

/// The node stores and answers at once. A lost answer is the run in which the gateway goes on
/// without this slot.
pub(super) fn land(model: &DataPath, world: &mut World, upload: Index, slot: Index) -> Event {
    let bytes = bytes(model, upload);
    let held = record(model, world, upload, slot);
    let other = !matches!(held, Record::None | Record::Torn) && held != bytes;
    if other && model.hold(Fence::NodeWritesOnce) {
        return Event::WriteRefused;
    }
    let blob = &mut world.uploads[usize::from(upload)];
    let waits = blob.phase == Phase::Writing;
    if waits {
        blob.acks |= bit(slot);
    }
    let disk = &mut world.disks[usize::from(blob.targets[usize::from(slot)])];
    disk.records[model.chunk(upload)][usize::from(slot)] = bytes;
    if waits {
        Event::WriteLanded
    } else {
        Event::WriteLandedLate
    }
}
