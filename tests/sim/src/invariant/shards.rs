//! Which shards there should be, by the rows: of each living run, of each of its chunks, on each slot.

use super::Rows;
use metadata::tables::{
    BLOBS, BlobPlace, GROUP_RUNS, GROUPS, GroupRunRow, LEASES, REPAIRS, TableKey,
};
use types::block::SEGMENT;
use types::placement::{Group, Slot};
use types::profile::Profile;
use types::{ChunkId, DiskId, GroupId, ShardKey};

/// A shard that there should be.
pub(super) struct Due {
    pub(super) key: ShardKey,
    /// The disk that holds the slot.
    pub(super) disk: DiskId,
    /// The first chunk of its run.
    pub(super) run: ChunkId,
}

/// Every shard of every living run.
pub(super) fn due(rows: &Rows) -> Vec<Due> {
    let mut due = Vec::new();
    for row in GROUPS.scan(rows, &[]) {
        let (_, group) = row.expect("a row of ours");
        for row in GROUP_RUNS.scan(rows, &group.id.bytes()) {
            let (key, run) = row.expect("a row of ours");
            let last = ChunkId::new(trailing(&key));
            if !run.condemned {
                due_of(rows, &group, last, &run, &mut due);
            }
        }
    }
    due
}

fn due_of(rows: &Rows, group: &Group, last: ChunkId, run: &GroupRunRow, due: &mut Vec<Due>) {
    let blob = BLOBS.get(rows, &run.blob).expect("a row of ours");
    let blob = blob.expect("a living run has a blob");
    let BlobPlace::Runs { profile, runs } = &blob.place else {
        panic!("a run of a blob that is inline");
    };
    let this = runs
        .iter()
        .find(|one| (one.group, one.first_chunk) == (group.id, run.first));
    let this = this.expect("a run is its blob's");
    let in_chunk = profile.segments_per_chunk() as u64;
    let segments = blob.length.get().div_ceil(SEGMENT as u64);
    for chunk in run.first.get()..=last.get() {
        let index = this.first_index + (chunk - run.first.get());
        let segments = segments.saturating_sub(index * in_chunk).min(in_chunk);
        for (index, member) in (0..).zip(&group.members) {
            if has_bytes(*profile, segments, index) {
                let (group, chunk) = (group.id, ChunkId::new(chunk));
                due.push(Due {
                    key: ShardKey {
                        group,
                        chunk,
                        index,
                    },
                    disk: member.disk,
                    run: run.first,
                });
            }
        }
    }
}

/// Whether a chunk of so many segments has bytes in a slot: a short one leaves data shards empty.
fn has_bytes(profile: Profile, segments: u64, slot: u8) -> bool {
    let data = profile.data() as u64;
    u64::from(slot) >= data || u64::from(slot) * segments.div_ceil(data) < segments
}

/// Whether shards of a slot of a run are recorded as missing.
pub(super) fn is_recorded(rows: &Rows, group: GroupId, run: ChunkId, slot: u8) -> bool {
    let row = REPAIRS.contains(rows, &(group, run, Slot(slot)));
    row.expect("a row of ours")
}

/// The run that has a chunk, living or dead.
pub(super) fn run_of(rows: &Rows, group: GroupId, chunk: ChunkId) -> Option<GroupRunRow> {
    let (from, to) = (
        (group, chunk).bytes(),
        (group, ChunkId::new(u64::MAX)).bytes(),
    );
    let next = GROUP_RUNS.range(rows, &from, &to).next();
    let run = next.map(|row| row.expect("a row of ours").1);
    run.filter(|run| run.first <= chunk)
}

/// Whether a lease has a chunk.
pub(super) fn is_leased(rows: &Rows, chunk: ChunkId) -> bool {
    LEASES.scan(rows, &[]).any(|row| {
        let (_, lease) = row.expect("a row of ours");
        lease.first <= chunk && chunk.get() - lease.first.get() < lease.count
    })
}

/// The disk that holds a slot.
pub(super) fn holder(rows: &Rows, group: GroupId, slot: u8) -> Option<DiskId> {
    let group = GROUPS.get(rows, &group).expect("a row of ours")?;
    group
        .members
        .get(usize::from(slot))
        .map(|member| member.disk)
}

/// The number that a key ends with.
pub(super) fn trailing(key: &[u8]) -> u64 {
    u64::from_be_bytes(*key.last_chunk().expect("a key that ends with a number"))
}
