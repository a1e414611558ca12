//! What `apply` decides about commits and references, and what a reader is promised.

use super::DataPath;
use crate::{
    action::{Action, Event},
    fence::Fence,
    scene::LEASE_OF,
    world::{Bits, Index, Lease, NEEDED, Phase, World, bit},
};

pub(super) fn offer(model: &DataPath, world: &World, next: &mut Vec<Action>) {
    for upload in model.uploads() {
        let blob = &world.uploads[usize::from(upload)];
        let live = blob.phase == Phase::Live;
        let risen =
            matches!(blob.phase, Phase::Dead | Phase::Gone) && !model.hold(Fence::RefsNeverRise);
        if model.scene.shares && !blob.shared && (live || risen) {
            next.push(Action::Share { upload });
        }
        if model.scene.deletes && live {
            next.push(Action::Unreference { upload });
        }
        if live && world.reads > 0 && world.reading.is_none() {
            next.push(Action::Look { upload });
        }
    }
    if world.reading.is_some() {
        next.push(Action::Finish);
    }
}

/// The commit: refused, or visible from here on with every known absence recorded.
pub(super) fn apply(model: &DataPath, world: &mut World, upload: Index) -> Event {
    let all = bit(model.scene.slots) - 1;
    let blob = world.uploads[usize::from(upload)];
    let mut missing = 0;
    if model.hold(Fence::ShortIsRecorded) {
        missing |= all & !blob.acks;
    }
    if model.hold(Fence::CommitCarriesEpoch) {
        missing |= closed_since(model, world, upload);
    }
    let remain = (all & !missing).count_ones() as usize;
    let enough = remain >= NEEDED || !model.hold(Fence::EnoughRemain);
    let accepted = enough && lease_covers(model, world, upload) && disjoint(model, world, upload);

    let blob = &mut world.uploads[usize::from(upload)];
    let short = missing != 0 || blob.acks != all;
    blob.acks = 0;
    blob.sent = blob.epoch;
    if !accepted {
        blob.phase = Phase::Refused;
        return Event::CommitRefused;
    }
    blob.phase = Phase::Live;
    blob.refs = 1;
    blob.missing = missing;
    if short {
        Event::CommittedShort
    } else {
        Event::CommittedWhole
    }
}

/// Slots closed or moved after the epoch under which this upload's shards were acknowledged.
fn closed_since(model: &DataPath, world: &World, upload: Index) -> Bits {
    let group = model.group(world, upload);
    let epoch = world.uploads[usize::from(upload)].epoch;
    model
        .slots()
        .filter(|&slot| group.closed[usize::from(slot)] > epoch)
        .fold(0, |bits, slot| bits | bit(slot))
}

fn lease_covers(model: &DataPath, world: &World, upload: Index) -> bool {
    let plan = model.scene.uploads[usize::from(upload)];
    let live = world.leases[usize::from(plan.lease)] == Lease::Live;
    let owned = plan.lease == plan.gateway;
    let inside = LEASE_OF[usize::from(plan.chunk)] == plan.lease;
    (live || !model.hold(Fence::LeaseLive))
        && (owned || !model.hold(Fence::LeaseOwned))
        && (inside || !model.hold(Fence::RunInsideLease))
}

fn disjoint(model: &DataPath, world: &World, upload: Index) -> bool {
    let overlaps = |other: Index| {
        other != upload
            && model.chunk(other) == model.chunk(upload)
            && match world.uploads[usize::from(other)].phase {
                Phase::Live | Phase::Dead => true,
                Phase::Gone => model.hold(Fence::RunsOutliveReclaim),
                _ => false,
            }
    };
    !model.hold(Fence::RunsDisjoint) || !model.uploads().any(overlaps)
}

pub(super) fn share(world: &mut World, upload: Index) -> Event {
    let blob = &mut world.uploads[usize::from(upload)];
    blob.shared = true;
    blob.refs += 1;
    blob.phase = Phase::Live;
    Event::Shared
}

pub(super) fn unreference(world: &mut World, upload: Index) -> Event {
    let blob = &mut world.uploads[usize::from(upload)];
    blob.refs -= 1;
    if blob.refs > 0 {
        return Event::Unreferenced;
    }
    blob.phase = Phase::Dead;
    Event::Died
}

pub(super) fn look(world: &mut World, upload: Index) -> Event {
    world.reads -= 1;
    world.reading = Some(upload);
    Event::ReadBegun
}

/// The bytes were sent, or the time that a lookup allows is over.
pub(super) fn finish(world: &mut World) -> Event {
    world.reading = None;
    Event::ReadDone
}
