//! The collector frees space: blobs that are dead, and shards that nothing covers. And what a node
//! does with a delete when it comes.

use super::DataPath;
use crate::{
    action::{Action, Event},
    fence::Fence,
    scene::LEASE_OF,
    world::{CHUNKS, Epoch, Index, Lease, Phase, Record, SLOTS, Sweep, World, bit, has},
};

pub(super) fn offer(model: &DataPath, world: &World, next: &mut Vec<Action>) {
    for upload in model.uploads() {
        let early = !model.hold(Fence::DeadBeforeTold) && model.scene.deletes;
        let read = world.reading == Some(upload) && model.hold(Fence::ReclaimDelay);
        match world.uploads[usize::from(upload)].phase {
            Phase::Dead if !read => next.push(Action::Reclaim { upload }),
            Phase::Live if early => next.push(Action::Reclaim { upload }),
            Phase::Gone if untold(model, world, upload) => next.push(Action::Reclaim { upload }),
            _ => {}
        }
    }
    match world.sweep {
        Sweep::Idle if world.sweeps > 0 => {
            offer_inventories(model, world, next);
            if !model.hold(Fence::OrphanReadAfterInventory) {
                next.push(Action::Read);
            }
        }
        Sweep::Idle => {}
        Sweep::Inventoried { bare, .. } => {
            next.push(Action::Judge);
            if bare.is_none() && !model.hold(Fence::LeaseReadBeforeRuns) {
                next.push(Action::Read);
            }
        }
        Sweep::ReadFirst { .. } => offer_inventories(model, world, next),
        Sweep::Judged { .. } => next.push(Action::Collect),
    }
    offer_deletes(model, world, next);
}

/// Whether a disk that took a slot over has not been told yet what was deleted before.
fn untold(model: &DataPath, world: &World, upload: Index) -> bool {
    let group = model.group(world, upload);
    let told = |slot: Index| {
        let disk = &world.disks[usize::from(group.members[usize::from(slot)])];
        disk.deletes[model.chunk(upload)][usize::from(slot)] != 0
    };
    !model.scene.replaceable.is_empty() && !model.slots().all(told)
}

fn offer_inventories(model: &DataPath, world: &World, next: &mut Vec<Action>) {
    next.extend(
        (0..model.scene.disks)
            .filter(|&disk| held(world, disk).any(|_| true))
            .map(|disk| Action::Inventory { disk }),
    );
}

/// Deletes that were sent and would find their shard, each once per epoch that decided it.
fn offer_deletes(model: &DataPath, world: &World, next: &mut Vec<Action>) {
    for disk in 0..model.scene.disks {
        for chunk in chunks() {
            for slot in model.slots() {
                let sent =
                    world.disks[usize::from(disk)].deletes[usize::from(chunk)][usize::from(slot)];
                let at = addressee(model, world, disk, chunk, slot);
                let there = held(world, at).any(|(c, s)| c == chunk && doomed(model, slot, s));
                next.extend(
                    (0..8)
                        .filter(|&epoch| there && has(sent, epoch))
                        .map(|epoch| Action::Delete {
                            disk,
                            chunk,
                            slot,
                            epoch,
                        }),
                );
            }
        }
    }
}

/// Every chunk id.
fn chunks() -> impl Iterator<Item = Index> {
    (0..).take(CHUNKS)
}

/// Chunk and slot of every record on a disk.
fn held(world: &World, disk: Index) -> impl Iterator<Item = (Index, Index)> + use<'_> {
    let records = &world.disks[usize::from(disk)].records;
    (0..).zip(records).flat_map(|(chunk, slots)| {
        (0..)
            .zip(slots)
            .filter(|(_, record)| **record != Record::None)
            .map(move |(slot, _)| (chunk, slot))
    })
}

/// The disk that a delete reaches.
fn addressee(model: &DataPath, world: &World, disk: Index, chunk: Index, slot: Index) -> Index {
    if model.hold(Fence::DeleteNamesDisk) {
        return disk;
    }
    let group = model.scene.group_of[usize::from(chunk)];
    world.groups[usize::from(group)].members[usize::from(slot)]
}

/// Whether a delete that names one slot takes the shard of another.
fn doomed(model: &DataPath, named: Index, slot: Index) -> bool {
    named == slot || !model.hold(Fence::DeleteNamesSlot)
}

/// Tells the members of now, and again those of later. A copy elsewhere is an orphan from here on.
pub(super) fn reclaim(model: &DataPath, world: &mut World, upload: Index) -> Event {
    let group = *model.group(world, upload);
    for slot in model.slots() {
        let disk = &mut world.disks[usize::from(group.members[usize::from(slot)])];
        disk.deletes[model.chunk(upload)][usize::from(slot)] |= bit(group.epoch);
    }
    let blob = &mut world.uploads[usize::from(upload)];
    if blob.phase == Phase::Dead {
        blob.phase = Phase::Gone;
        blob.reports = [0; SLOTS];
    }
    Event::Reclaimed
}

pub(super) fn inventory(model: &DataPath, world: &mut World, disk: Index) -> Event {
    if let Sweep::ReadFirst {
        free,
        kept,
        epochs,
        members,
    } = world.sweep
    {
        world.sweep = Sweep::Idle;
        let group = |chunk| usize::from(model.scene.group_of[usize::from(chunk)]);
        let left_over = |chunk: Index, slot: Index| {
            members[group(chunk)][usize::from(slot)] != disk
                && (has(kept[usize::from(chunk)], slot) || !model.hold(Fence::LeftoverVerified))
        };
        let found: Vec<_> = held(world, disk)
            .filter(|&(chunk, slot)| has(free, chunk) || left_over(chunk, slot))
            .collect();
        for &(chunk, slot) in &found {
            send(world, disk, chunk, slot, epochs[group(chunk)]);
        }
        return if found.is_empty() {
            Event::NothingFound
        } else {
            Event::OrphanFound
        };
    }
    world.sweeps -= 1;
    let mut bits = [0; CHUNKS];
    held(world, disk).for_each(|(chunk, slot)| bits[usize::from(chunk)] |= bit(slot));
    world.sweep = Sweep::Inventoried {
        disk,
        held: bits,
        bare: None,
    };
    Event::Inventoried
}

/// Either wrong way round: metadata before the inventory, or runs before leases.
pub(super) fn read(model: &DataPath, world: &mut World) -> Event {
    if let Sweep::Inventoried { disk, held, .. } = world.sweep {
        let bare = chunks()
            .filter(|&chunk| !covered(model, world, chunk))
            .fold(0, |bits, chunk| bits | bit(chunk));
        world.sweep = Sweep::Inventoried {
            disk,
            held,
            bare: Some(bare),
        };
        return Event::MetadataRead;
    }
    world.sweeps -= 1;
    let free = chunks()
        .filter(|&chunk| !covered(model, world, chunk) && !awaited(model, world, chunk))
        .fold(0, |bits, chunk| bits | bit(chunk));
    let kept = [0, 1, 2].map(|chunk| {
        let kept = model
            .slots()
            .filter(|&slot| member_has(model, world, chunk, slot));
        kept.fold(0, |bits, slot| bits | bit(slot))
    });
    let epochs = world.groups.map(|group| group.epoch);
    let members = world.groups.map(|group| group.members);
    world.sweep = Sweep::ReadFirst {
        free,
        kept,
        epochs,
        members,
    };
    Event::MetadataRead
}

/// Whether a run, living or dead, covers the chunk.
fn covered(model: &DataPath, world: &World, chunk: Index) -> bool {
    model.uploads().any(|upload| {
        let phase = world.uploads[usize::from(upload)].phase;
        model.chunk(upload) == usize::from(chunk) && matches!(phase, Phase::Live | Phase::Dead)
    })
}

/// Whether the chunk's lease might still bring a run.
fn awaited(model: &DataPath, world: &World, chunk: Index) -> bool {
    match world.leases[usize::from(LEASE_OF[usize::from(chunk)])] {
        Lease::Unissued => model.hold(Fence::UnissuedSpared),
        Lease::Live => model.hold(Fence::OrphanLeaseExpired),
        Lease::Expired => false,
    }
}

/// The disk is no longer the slot's, and the member has the shard, intact.
fn left_over(model: &DataPath, world: &World, disk: Index, chunk: Index, slot: Index) -> bool {
    let group = model.scene.group_of[usize::from(chunk)];
    let member = world.groups[usize::from(group)].members[usize::from(slot)];
    let verified = member_has(model, world, chunk, slot);
    member != disk && (verified || !model.hold(Fence::LeftoverVerified))
}

fn member_has(model: &DataPath, world: &World, chunk: Index, slot: Index) -> bool {
    let group = model.scene.group_of[usize::from(chunk)];
    let member = world.groups[usize::from(group)].members[usize::from(slot)];
    let disk = &world.disks[usize::from(member)];
    disk.records[usize::from(chunk)][usize::from(slot)] == Record::Good
}

pub(super) fn judge(model: &DataPath, world: &mut World) -> Event {
    let Sweep::Inventoried { disk, held, bare } = std::mem::take(&mut world.sweep) else {
        unreachable!("offered only after an inventory")
    };
    let mut event = Event::NothingFound;
    let mut doomed = [0; CHUNKS];
    for (chunk, slots) in (0..).zip(held) {
        for slot in model.slots().filter(|&slot| has(slots, slot)) {
            let bare = bare.map_or_else(|| !covered(model, world, chunk), |bare| has(bare, chunk));
            if bare && !awaited(model, world, chunk) {
                event = Event::OrphanFound;
                doomed[usize::from(chunk)] |= bit(slot);
                if model.scene.own {
                    continue;
                }
            } else if model.scene.own {
                continue;
            } else if left_over(model, world, disk, chunk, slot) {
                event = Event::LeftoverFound;
            } else {
                continue;
            }
            let group = model.scene.group_of[usize::from(chunk)];
            let epoch = world.groups[usize::from(group)].epoch;
            send(world, disk, chunk, slot, epoch);
        }
    }
    if doomed != [0; CHUNKS] && model.scene.own {
        world.sweep = Sweep::Judged {
            disk,
            doomed,
            epochs: world.groups.map(|group| group.epoch),
        };
    }
    event
}

/// A disk deletes what it judged by itself, unless it joined the slot since it read metadata.
pub(super) fn collect(model: &DataPath, world: &mut World) -> Event {
    let Sweep::Judged {
        disk,
        doomed,
        epochs,
    } = std::mem::take(&mut world.sweep)
    else {
        unreachable!("offered only after a judgement")
    };
    let mut event = Event::CollectionRefused;
    let disk = &mut world.disks[usize::from(disk)];
    for (chunk, slots) in chunks().zip(doomed) {
        let group = usize::from(model.scene.group_of[usize::from(chunk)]);
        for slot in model.slots().filter(|&slot| has(slots, slot)) {
            if disk.joined[group][usize::from(slot)] <= epochs[group] {
                disk.records[usize::from(chunk)][usize::from(slot)] = Record::None;
                event = Event::OrphansCollected;
            }
        }
    }
    event
}

fn send(world: &mut World, disk: Index, chunk: Index, slot: Index, epoch: Epoch) {
    world.disks[usize::from(disk)].deletes[usize::from(chunk)][usize::from(slot)] |= bit(epoch);
}

/// The node's part: it deletes, unless it joined the slot after the delete was decided.
pub(super) fn delete(
    model: &DataPath,
    world: &mut World,
    disk: Index,
    chunk: Index,
    slot: Index,
    epoch: Epoch,
) -> Event {
    let at = usize::from(addressee(model, world, disk, chunk, slot));
    let group = usize::from(model.scene.group_of[usize::from(chunk)]);
    let joined = world.disks[at].joined[group][usize::from(slot)];
    if epoch < joined && model.hold(Fence::DeleteAfterJoining) {
        return Event::DeleteRefused;
    }
    for other in model.slots().filter(|&other| doomed(model, slot, other)) {
        world.disks[at].records[usize::from(chunk)][usize::from(other)] = Record::None;
    }
    Event::DeleteExecuted
}
