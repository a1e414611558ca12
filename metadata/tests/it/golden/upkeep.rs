//! Samples of what belongs to keeping data whole, and to removing what is dead.

use super::{Samples, disk};
use crate::fixture::profile;
use bytes::Bytes;
use strongroom_metadata::command::{ClusterCommand, Command, MemberSwap, NamespaceCommand};
use strongroom_metadata::tables::*;
use strongroom_metadata::{Refusal, Reply};
use types::id::{BlobId, ChunkId, DiskId, GroupId, VersionId};
use types::manifest::Run;
use types::placement::{Epoch, Slot};
use types::size::{ByteCount, ByteOffset};
use types::wire::upkeep::{Repaired, RunSlot};

const GROUP: GroupId = GroupId::new(11);
const CHUNK: ChunkId = ChunkId::new(0x1_0001);
const BLOB: BlobId = BlobId::new(61);

fn at() -> RunSlot {
    RunSlot {
        group: GROUP,
        first_chunk: CHUNK,
        slot: Slot(4),
    }
}

pub(super) fn commands() -> Vec<(&'static str, Command)> {
    let lost = DiskId::new(3);
    let swap = MemberSwap {
        group: GROUP,
        slot: Slot(4),
        expects: Epoch(3),
        epoch: Epoch(5),
    };
    let repaired = Repaired {
        at: at(),
        epoch: Epoch(3),
    };
    let begin = ClusterCommand::BeginReplacement { lost, new: disk() };
    let swaps = vec![swap];
    let record = NamespaceCommand::RecordSlot {
        group: GROUP,
        slot: Slot(4),
        from: CHUNK,
    };
    let before = 2001;
    vec![
        ("begin replacement", Command::Cluster(begin)),
        (
            "swap members",
            Command::Cluster(ClusterCommand::SwapMembers { lost, swaps }),
        ),
        (
            "end replacement",
            Command::Cluster(ClusterCommand::EndReplacement { lost }),
        ),
        (
            "condemn",
            Command::Namespace(NamespaceCommand::Condemn {
                died_before_ms: before,
            }),
        ),
        (
            "deleted",
            Command::Namespace(NamespaceCommand::Deleted { slots: vec![at()] }),
        ),
        (
            "forget",
            Command::Namespace(NamespaceCommand::Forget {
                died_before_ms: before,
            }),
        ),
        (
            "record missing",
            Command::Namespace(NamespaceCommand::RecordMissing { slots: vec![at()] }),
        ),
        ("record slot", Command::Namespace(record)),
        (
            "clear repairs",
            Command::Namespace(NamespaceCommand::ClearRepairs {
                done: vec![repaired],
            }),
        ),
    ]
}

pub(super) fn walked() -> Reply {
    Reply::Walked { next: Some(CHUNK) }
}

pub(super) fn refusals() -> Vec<(&'static str, Refusal)> {
    vec![
        ("no such disk", Refusal::NoSuchDisk),
        ("disk in use", Refusal::DiskInUse),
        ("other class", Refusal::OtherClass),
        ("group changed", Refusal::GroupChanged),
    ]
}

pub(super) fn rows(golden: &mut Samples) {
    let version = VersionId::new([0x52; 16]);
    for (name, done) in [("replacement", false), ("replacement done", true)] {
        let new = DiskId::new(4);
        let row = ReplacementRow { new, done };
        golden.check_row(name, &REPLACEMENTS, &DiskId::new(3), &row);
    }
    let extent = ExtentRow {
        blob: BLOB,
        offset: ByteOffset::ZERO,
        length: ByteCount::new(5_000_000),
        part: 0,
        wrap: Bytes::from_static(b"wrap"),
    };
    let past = PastRow {
        length: ByteCount::new(5_000_000),
        extents: vec![extent],
    };
    golden.check_row("past", &PASTS, &(2001, version), &past);
    let row = VersionRow {
        born: 9,
        superseded: Some(10),
        superseded_ms: Some(2001),
        ..VersionRow::default()
    };
    golden.check_row("version past", &VERSIONS, &version, &row);
    let delete = DeleteRow { chunks: 2 };
    golden.check_row("delete", &DELETES, &(GROUP, Slot(4), CHUNK), &delete);
    golden.check_row("spent run", &SPENT_RUNS, &(CHUNK.plus(1), GROUP), &());
    golden.check_row("condemned", &CONDEMNED, &(2001, BLOB), &());
    let row = GroupRunRow {
        first: CHUNK,
        blob: BLOB,
        condemned: true,
    };
    golden.check_row(
        "group run condemned",
        &GROUP_RUNS,
        &(GROUP, CHUNK.plus(1)),
        &row,
    );
    let run = Run {
        group: GROUP,
        first_chunk: CHUNK,
        chunks: 2,
        first_index: 0,
        missing: Vec::new(),
    };
    let row = BlobRow {
        length: ByteCount::new(5_000_000),
        references: 0,
        generation: 1,
        place: BlobPlace::Runs {
            profile: profile(),
            runs: vec![run],
        },
        condemned: Some(2001),
    };
    golden.check_row("blob condemned", &BLOBS, &BLOB, &row);
}
