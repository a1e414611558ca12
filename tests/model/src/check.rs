//! What must hold in every state.

use std::fmt;

use crate::{
    scene::{LEASE_OF, Planned, Scene},
    world::{Index, Lease, NEEDED, Phase, SAFE, SLOTS, Upload, World, has},
};

/// A broken promise, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A visible chunk has no intact shard left on any disk.
    Lost(Index),
    /// A visible chunk, or one that a reader looked up in time, has fewer than k intact shards
    /// where metadata says they are.
    Unreadable(Index),
    /// A visible chunk has fewer than k + 1 intact shards on all disks together, less one for each fault
    /// that has happened: one more now loses it.
    Thin(Index),
    /// A shard is not where metadata believes it, and no repair task says so.
    Hole(Index),
    /// A gateway's own chunk, wholly written under its live lease, belongs to another gateway's run.
    Displaced(Index),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Lost(upload) => write!(f, "upload {upload} is lost"),
            Violation::Unreadable(upload) => write!(f, "upload {upload} cannot be read"),
            Violation::Thin(upload) => write!(f, "upload {upload} would not survive one disk"),
            Violation::Hole(upload) => write!(f, "upload {upload} lacks a shard and nobody knows"),
            Violation::Displaced(upload) => write!(f, "upload {upload} belongs to another gateway"),
        }
    }
}

/// How many shards of one upload are intact, and where.
struct Count {
    believed: usize,
    found: usize,
    anywhere: usize,
}

/// Asks one state.
pub(crate) fn check(scene: &Scene, world: &World) -> Result<(), Violation> {
    for (upload, blob) in (0..).zip(&world.uploads[..scene.uploads.len()]) {
        if displaced(scene, world, upload) {
            return Err(Violation::Displaced(upload));
        }
        let visible = blob.phase == Phase::Live;
        if !visible && world.reading != Some(upload) {
            continue;
        }
        let count = count(scene, world, upload);
        if count.anywhere == 0 {
            return Err(Violation::Lost(upload));
        }
        if count.found < NEEDED {
            return Err(Violation::Unreadable(upload));
        }
        if visible && count.anywhere + usize::from(world.faults) < SAFE {
            return Err(Violation::Thin(upload));
        }
        if visible && count.found < count.believed {
            return Err(Violation::Hole(upload));
        }
    }
    Ok(())
}

fn displaced(scene: &Scene, world: &World, upload: Index) -> bool {
    let own = scene.uploads[usize::from(upload)];
    let honest = own.lease == own.gateway && LEASE_OF[usize::from(own.chunk)] == own.lease;
    let live = world.leases[usize::from(own.lease)] == Lease::Live;
    let refused = world.uploads[usize::from(upload)].phase == Phase::Refused;
    let taken = |(plan, blob): (&Planned, &Upload)| {
        plan.chunk == own.chunk && plan.gateway != own.gateway && blob.phase == Phase::Live
    };
    refused && honest && live && scene.uploads.iter().zip(&world.uploads).any(taken)
}

fn count(scene: &Scene, world: &World, upload: Index) -> Count {
    let plan = scene.uploads[usize::from(upload)];
    let chunk = usize::from(plan.chunk);
    let group = &world.groups[usize::from(scene.group_of[chunk])];
    let mut count = Count {
        believed: 0,
        found: 0,
        anywhere: 0,
    };
    for (slot, member) in (0..).zip(group.members).take(SLOTS.min(scene.slots.into())) {
        let intact =
            |disk: usize| world.disks[disk].records[chunk][usize::from(slot)] == plan.bytes;
        if !has(world.uploads[usize::from(upload)].missing, slot) {
            // That a disk is away, or a shard bad, its node knows; metadata learns of it.
            let known =
                has(world.failed, member) || has(world.uploads[usize::from(upload)].rotten, slot);
            count.believed += usize::from(!known);
            count.found += usize::from(intact(member.into()));
        }
        count.anywhere += usize::from((0..world.disks.len()).any(intact));
    }
    count
}
