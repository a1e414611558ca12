//! A lost disk's slot goes to another disk, while the group stays open.
//!
//! ```text
//! begin -> closed in the namespace -> walk: each run is recorded as missing -> the new disk takes over
//! ```
//!
//! The walk may be broken off and begun anew at any time. The lost disk may live on all the while: it takes
//! writes, deletes and repairs as long as somebody believes it to be the member.

use super::DataPath;
use crate::{
    action::{Action, Event},
    fence::Fence,
    world::{CHUNKS, Epoch, Index, Phase, Replacement, Walk, World, bit},
};

pub(super) fn offer(model: &DataPath, world: &World, next: &mut Vec<Action>) {
    for (at, &(group, slot)) in (0..).zip(model.scene.replaceable) {
        let row = &world.groups[usize::from(group)];
        let member = row.members[usize::from(slot)];
        let new = model.scene.spares[usize::from(at)];
        let Some(replacement) = world.replacements[usize::from(at)] else {
            next.push(Action::Replace { at, new });
            continue;
        };
        if member == replacement.new {
            continue;
        }
        let closed = row.closed[usize::from(slot)] > row.epoch;
        if !closed {
            next.push(Action::CloseLost { at });
        }
        match replacement.walk {
            None if closed || !model.hold(Fence::LossClosesFirst) => {
                next.push(Action::BeginWalk { at });
            }
            None => {}
            Some(walk) => {
                next.push(Action::BreakOff { at });
                let walked = usize::from(walk.next) == CHUNKS;
                if !walked {
                    next.push(Action::Walk { at });
                }
                let recorded = walked || !model.hold(Fence::LossRecordsFirst);
                if recorded && (closed || !model.hold(Fence::LossSwapCompares)) {
                    next.push(Action::TakeOver { at });
                }
            }
        }
    }
}

fn of(world: &mut World, at: Index) -> &mut Replacement {
    let replacement = &mut world.replacements[usize::from(at)];
    replacement
        .as_mut()
        .expect("offered only once it has begun")
}

pub(super) fn begin(model: &DataPath, world: &mut World, at: Index, new: Index) -> Event {
    let (group, slot) = model.scene.replaceable[usize::from(at)];
    let lost = world.groups[usize::from(group)].members[usize::from(slot)];
    let walk = None;
    world.replacements[usize::from(at)] = Some(Replacement { lost, new, walk });
    Event::ReplacementBegun
}

/// Above every epoch that the namespace has seen of the group.
pub(super) fn close(model: &DataPath, world: &mut World, at: Index) -> Event {
    let (group, slot) = model.scene.replaceable[usize::from(at)];
    let row = &mut world.groups[usize::from(group)];
    let highest = row.closed.into_iter().fold(row.epoch, Epoch::max);
    row.closed[usize::from(slot)] = highest + 1;
    Event::LostSlotClosed
}

pub(super) fn begin_walk(model: &DataPath, world: &mut World, at: Index) -> Event {
    let (group, _) = model.scene.replaceable[usize::from(at)];
    let row = world.groups[usize::from(group)];
    of(world, at).walk = Some(Walk {
        expects: row.epoch,
        next: 0,
    });
    Event::WalkBegun
}

/// Dead runs, too, until disks are told: somebody may still read them.
pub(super) fn walk(model: &DataPath, world: &mut World, at: Index) -> Event {
    let (group, slot) = model.scene.replaceable[usize::from(at)];
    let walk = of(world, at).walk.as_mut();
    let walk = walk.expect("offered only while a walk is under way");
    let chunk = usize::from(walk.next);
    walk.next += 1;
    for upload in model.uploads() {
        let blob = &mut world.uploads[usize::from(upload)];
        let there = matches!(blob.phase, Phase::Live | Phase::Dead);
        if there && model.chunk(upload) == chunk && model.group_of(upload) == usize::from(group) {
            blob.missing |= bit(slot);
        }
    }
    Event::RunRecorded
}

pub(super) fn break_off(world: &mut World, at: Index) -> Event {
    of(world, at).walk = None;
    Event::WalkBrokenOff
}

pub(super) fn take_over(model: &DataPath, world: &mut World, at: Index) -> Event {
    let (group, slot) = model.scene.replaceable[usize::from(at)];
    let Replacement { lost, new, walk } = *of(world, at);
    let walk = walk.expect("offered only behind a walk");
    of(world, at).walk = None;
    let row = &mut world.groups[usize::from(group)];
    let compares = row.epoch == walk.expects || !model.hold(Fence::LossSwapCompares);
    let held = row.members[usize::from(slot)] == lost;
    // The epoch rises whatever it was compared with.
    let stale = u8::from(row.epoch != walk.expects);
    let epoch = row.closed[usize::from(slot)].max(row.epoch + stale);
    if !compares || !held || epoch <= row.epoch {
        return Event::TakeOverRefused;
    }
    row.epoch = epoch;
    row.members[usize::from(slot)] = new;
    world.disks[usize::from(new)].joined[usize::from(group)][usize::from(slot)] = epoch;
    Event::TakenOver
}
