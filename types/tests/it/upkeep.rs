//! What storage nodes pull and report.

use super::types;
use super::{golden, profile, shard};
use types::placement::{Disk, Epoch, Slot};
use types::profile::DiskClass;
use types::wire::upkeep::*;
use types::{ChunkId, DiskId, GroupId, NodeId};

fn at() -> RunSlot {
    RunSlot {
        group: GroupId::new(1),
        first_chunk: ChunkId::new(64),
        slot: Slot(3),
    }
}

fn range(first: u64, last: u64) -> ChunkRange {
    ChunkRange {
        first: ChunkId::new(first),
        last: ChunkId::new(last),
    }
}

#[test]
fn tasks_and_reports() {
    let (at, chunks, epoch) = (at(), 64, Epoch(7));
    golden("delete-tasks", &vec![DeleteTask { at, chunks, epoch }]);
    let repair = RepairTask {
        at,
        chunks,
        profile: profile(),
        epoch,
    };
    golden("repair-tasks", &vec![repair]);
    golden("repaired", &vec![Repaired { at, epoch }]);
    golden("bad-shards", &(DiskId::new(4), vec![shard()]));
    let new = Disk {
        id: DiskId::new(9),
        node: NodeId::new(1),
        class: DiskClass::Flash,
    };
    golden("replace-disk", &(DiskId::new(4), new));
}

#[test]
fn what_is_covered_and_how_safe_it_is() {
    let run = |first, last, condemned, missing| CoveredRun {
        chunks: range(first, last),
        last_segments: 3,
        condemned,
        missing,
    };
    let covered = Covered {
        epoch: Epoch(7),
        runs: vec![
            run(64, 127, false, vec![Slot(3)]),
            run(128, 130, true, vec![]),
        ],
        up_to: Some(ChunkId::new(130)),
        leased: vec![range(4096, 8191)],
        unissued: ChunkId::new(8192),
    };
    golden("covered", &covered);
    let backlog = Backlog {
        disk: DiskId::new(4),
        runs: 2,
        shards: 67,
    };
    let health = Health {
        tolerates: Some(-1),
        repairs: vec![backlog],
        deletes: 5,
        waiting: 6,
    };
    golden("health", &health);
}
