//! The mover brings one slot of a group to another disk.
//!
//! ```text
//! close -> raise the namespace's epoch -> the target joins, the runs are listed -> copy, verify
//!       -> swap proposed -> swap applied -> the source is told to delete
//! ```
//!
//! It may give up at any time before the swap is applied, even with the swap still in the log; the
//! group then reopens under a new epoch.

use super::DataPath;
use crate::{
    action::{Action, Event},
    fence::Fence,
    world::{Index, Move, Phase, Record, Swap, World, bit, has},
};

pub(super) fn offer(model: &DataPath, world: &World, next: &mut Vec<Action>) {
    if world.swap.is_some() {
        next.push(Action::ApplySwap);
    }
    let Some(task) = world.task else {
        return offer_close(model, world, next);
    };
    if task.swapped {
        return next.push(Action::DeleteSource);
    }
    next.push(Action::GiveUp);
    if !task.raised {
        next.push(Action::Raise);
    }
    let Some(listed) = task.listed else {
        if task.raised || !model.hold(Fence::ListAfterRaise) {
            next.push(Action::List);
        }
        return;
    };
    let mut ready = task.raised;
    for upload in model
        .uploads()
        .filter(|&upload| has(listed & !task.verified, upload))
    {
        if world.uploads[usize::from(upload)].phase == Phase::Gone {
            continue;
        }
        ready = false;
        next.push(Action::Copy { upload });
        let held = world.disks[usize::from(task.target)].records[model.chunk(upload)]
            [usize::from(task.slot)];
        if model.scene.tears && held == Record::None {
            next.push(Action::Tear { upload });
        }
    }
    if ready && world.swap.is_none() {
        next.push(Action::ProposeSwap);
    }
    if ready && !task.told && !model.hold(Fence::DeleteAfterSwap) {
        next.push(Action::DeleteSource);
    }
}

fn offer_close(model: &DataPath, world: &World, next: &mut Vec<Action>) {
    if world.moves == 0 {
        return;
    }
    for &(group, slot) in model.scene.movable {
        let members = &world.groups[usize::from(group)].members[..usize::from(model.scene.slots)];
        next.extend(
            (0..model.scene.disks)
                .filter(|disk| !members.contains(disk))
                .map(|target| Action::Close {
                    group,
                    slot,
                    target,
                }),
        );
    }
}

/// The target's record of an upload's shard in the moving slot.
fn copied<'w>(model: &DataPath, world: &'w mut World, upload: Index, task: Move) -> &'w mut Record {
    let disk = &mut world.disks[usize::from(task.target)];
    &mut disk.records[model.chunk(upload)][usize::from(task.slot)]
}

fn task(world: &mut World) -> &mut Move {
    world
        .task
        .as_mut()
        .expect("offered only while a move is under way")
}

pub(super) fn close(world: &mut World, group: Index, slot: Index, target: Index) -> Event {
    let row = &mut world.groups[usize::from(group)];
    row.open = false;
    let source = row.members[usize::from(slot)];
    world.moves -= 1;
    world.task = Some(Move {
        group,
        slot,
        source,
        target,
        epoch: row.epoch,
        raised: false,
        listed: None,
        verified: 0,
        swapped: false,
        told: false,
    });
    Event::GroupClosed
}

pub(super) fn raise(model: &DataPath, world: &mut World) -> Event {
    let task = task(world);
    task.raised = true;
    let (group, slot, epoch) = (usize::from(task.group), usize::from(task.slot), task.epoch);
    if model.hold(Fence::CloseRaisesNamespace) {
        world.groups[group].closed[slot] = epoch + 1;
    }
    Event::EpochRaised
}

pub(super) fn list(model: &DataPath, world: &mut World) -> Event {
    let Move {
        group,
        slot,
        target,
        epoch,
        ..
    } = *task(world);
    let (group, target) = (usize::from(group), usize::from(target));
    let moves = |upload: &Index| {
        let blob = &world.uploads[usize::from(*upload)];
        let covered = match blob.phase {
            Phase::Live => true,
            Phase::Dead => model.hold(Fence::DeadStillMoves),
            _ => false,
        };
        covered && model.group_of(*upload) == group && !has(blob.missing, slot)
    };
    let listed = model
        .uploads()
        .filter(moves)
        .fold(0, |bits, upload| bits | bit(upload));
    task(world).listed = Some(listed);
    if model.hold(Fence::JoinBeforeCopy) {
        world.disks[target].joined[group][usize::from(slot)] = epoch + 1;
    }
    Event::RunsListed
}

/// From the source, or rebuilt from any other shard: the hash of all shards proves it either way.
pub(super) fn copy(model: &DataPath, world: &mut World, upload: Index) -> Event {
    let now = *task(world);
    *copied(model, world, upload, now) = model.scene.uploads[usize::from(upload)].bytes;
    task(world).verified |= bit(upload);
    Event::Copied
}

pub(super) fn tear(model: &DataPath, world: &mut World, upload: Index) -> Event {
    let now = *task(world);
    *copied(model, world, upload, now) = Record::Torn;
    if !model.hold(Fence::CopyVerified) {
        task(world).verified |= bit(upload);
    }
    Event::CopyTorn
}

pub(super) fn propose_swap(model: &DataPath, world: &mut World) -> Event {
    let task = *task(world);
    let Move {
        group,
        slot,
        target,
        epoch,
        ..
    } = task;
    let now = world.groups[usize::from(group)].epoch;
    let expects = if model.hold(Fence::SwapExpectsItsClose) {
        epoch
    } else {
        now
    };
    world.swap = Some(Swap {
        group,
        slot,
        target,
        expects,
    });
    Event::SwapProposed
}

pub(super) fn apply_swap(model: &DataPath, world: &mut World) -> Event {
    let swap = world
        .swap
        .take()
        .expect("offered only while a swap is in the log");
    let (group, slot) = (usize::from(swap.group), usize::from(swap.slot));
    let row = &mut world.groups[group];
    if model.hold(Fence::SwapCompares) && row.epoch != swap.expects {
        return Event::SwapRefused;
    }
    row.epoch += 1;
    row.open = true;
    row.members[slot] = swap.target;
    if !model.hold(Fence::JoinBeforeCopy) {
        world.disks[usize::from(swap.target)].joined[group][slot] = row.epoch;
    }
    if let Some(task) = &mut world.task
        && (task.group, task.slot, task.target) == (swap.group, swap.slot, swap.target)
    {
        task.swapped = true;
    }
    Event::MoveCompleted
}

pub(super) fn give_up(model: &DataPath, world: &mut World) -> Event {
    let group = usize::from(task(world).group);
    let row = &mut world.groups[group];
    row.epoch += u8::from(model.hold(Fence::GiveUpRaisesEpoch));
    row.open = true;
    world.task = None;
    Event::MoveGivenUp
}

/// The deletes name the epoch that the swap commits.
pub(super) fn delete_source(model: &DataPath, world: &mut World) -> Event {
    let task = *task(world);
    let epoch = task.epoch + 1;
    let listed = task.listed.unwrap_or(0);
    for upload in model.uploads().filter(|&upload| has(listed, upload)) {
        let disk = &mut world.disks[usize::from(task.source)];
        disk.deletes[model.chunk(upload)][usize::from(task.slot)] |= bit(epoch);
    }
    world.task = if task.swapped {
        None
    } else {
        Some(Move { told: true, ..task })
    };
    Event::SourceToldToDelete
}
