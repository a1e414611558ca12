//! Scenes: the small worlds that are explored.
//!
//! One world in which everything may happen at once is too large to be explored twice a minute, and
//! most of it says nothing new. So each scene bounds what may happen (uploads, moves, rounds of
//! collection, reads), and each fence is tried in the scene that has the actors it stands between.

use crate::world::{CHUNKS, GROUPS, Index, Record, SLOTS};

/// One upload that a scene allows.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    /// Who uploads.
    pub gateway: Index,
    /// The lease that its commit names.
    pub lease: Index,
    /// The chunk id that it uses.
    pub chunk: Index,
    /// Its bytes: uploads with equal bytes under one chunk id are retries of one another.
    pub bytes: Record,
}

/// What may happen in one small world.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// For reports.
    pub name: &'static str,
    /// Slots of a group (k + m, with k = 1).
    pub slots: u8,
    /// Shards that must be durable before a commit: max(k + 1, k + m − 1).
    pub ack: u32,
    /// Disks in use.
    pub disks: u8,
    /// First members of the two groups.
    pub members: [[Index; SLOTS]; GROUPS],
    /// The group in which each chunk id is used.
    pub group_of: [Index; CHUNKS],
    /// The uploads.
    pub uploads: &'static [Planned],
    /// Which slots may move.
    pub movable: &'static [(Index, Index)],
    /// How many moves may begin.
    pub moves: u8,
    /// Which slots may lose their disk to another: two at most.
    pub replaceable: &'static [(Index, Index)],
    /// The disks that take over, one for each replaceable slot.
    pub spares: &'static [Index],
    /// Whether the first replaceable disk may really fail: otherwise it is taken for lost, and lives on.
    pub fails: bool,
    /// How many shards may go bad.
    pub rots: u8,
    /// Whether disks judge by themselves what they hold, and delete at once.
    pub own: bool,
    /// Whether a gateway that learns of a new epoch sends again what is unacknowledged.
    pub resends: bool,
    /// How many rounds the orphan collector may begin.
    pub sweeps: u8,
    /// How many reads may begin.
    pub reads: u8,
    /// Whether objects may be copied by reference.
    pub shares: bool,
    /// Whether objects may be deleted.
    pub deletes: bool,
    /// Whether leases may expire.
    pub expires: bool,
    /// Whether a copy may go wrong.
    pub tears: bool,
    /// Whether what can no longer matter is forgotten, which keeps a large scene small: the shards
    /// of an upload that was refused or reclaimed, where no other upload uses its chunk id.
    pub forgets: bool,
}

/// The lease that holds a chunk id: the first gateway's has 0 and 1, the second's 2.
pub const LEASE_OF: [Index; CHUNKS] = [0, 0, 1];

const fn honest(chunk: Index) -> Planned {
    let gateway = LEASE_OF[chunk as usize];
    Planned {
        gateway,
        lease: gateway,
        chunk,
        bytes: Record::Good,
    }
}

/// Nothing happens; the others are made from it. Two mirrored groups (1+1) on three disks.
const STILL: Scene = Scene {
    name: "still",
    slots: 2,
    ack: 2,
    disks: 3,
    members: [[0, 1, 0], [1, 2, 0]],
    group_of: [0, 1, 0],
    uploads: &[],
    movable: &[],
    moves: 0,
    replaceable: &[],
    spares: &[],
    fails: false,
    rots: 0,
    own: false,
    resends: false,
    sweeps: 0,
    reads: 0,
    shares: false,
    deletes: false,
    expires: false,
    tears: false,
    forgets: false,
};

/// Two gateways, three chunks in two groups, a mover and a collector.
pub const WHOLE: Scene = Scene {
    name: "whole",
    uploads: &[honest(0), honest(1), honest(2)],
    movable: &[(0, 0)],
    moves: 1,
    sweeps: 1,
    deletes: true,
    expires: true,
    forgets: true,
    ..STILL
};

/// One gateway writes while a slot moves away and back, with copies that may go wrong.
pub const THERE_AND_BACK: Scene = Scene {
    name: "there and back",
    uploads: &[honest(0)],
    movable: &[(0, 0)],
    moves: 3,
    sweeps: 2,
    deletes: true,
    expires: true,
    tears: true,
    ..STILL
};

/// Two chunks, one slot, two moves, of which one may be given up with its swap still in the log.
pub const GIVEN_UP: Scene = Scene {
    name: "given up",
    uploads: &[honest(0), honest(2)],
    movable: &[(0, 0)],
    moves: 2,
    ..STILL
};

/// Either slot of a group moves, to one of two spare disks.
pub const BOTH_SLOTS: Scene = Scene {
    name: "both slots",
    disks: 4,
    uploads: &[honest(0)],
    movable: &[(0, 0), (0, 1)],
    moves: 2,
    resends: true,
    sweeps: 1,
    ..STILL
};

/// A reader, copies by reference and deletions, while slots move.
pub const READER: Scene = Scene {
    name: "reader",
    uploads: &[honest(0)],
    movable: &[(0, 0), (0, 1)],
    moves: 2,
    reads: 1,
    shares: true,
    deletes: true,
    ..STILL
};

/// Leases come and go while the collector sweeps.
pub const LEASES: Scene = Scene {
    name: "leases",
    uploads: &[honest(0), honest(2)],
    sweeps: 2,
    reads: 1,
    shares: true,
    deletes: true,
    expires: true,
    ..STILL
};

/// Three slots (1+2), of which one may be short.
pub const SHORT: Scene = Scene {
    name: "short",
    slots: 3,
    disks: 4,
    members: [[0, 1, 2], [1, 2, 3]],
    uploads: &[honest(0)],
    movable: &[(0, 1), (0, 2)],
    moves: 2,
    sweeps: 1,
    ..STILL
};

/// One chunk id used twice by its own gateway with other bytes, as after a restart that forgot.
pub const REUSED: Scene = Scene {
    name: "reused",
    uploads: &[
        honest(0),
        Planned {
            bytes: Record::Foreign,
            ..honest(0)
        },
    ],
    deletes: true,
    sweeps: 1,
    expires: true,
    ..STILL
};

/// One upload committed as two versions, as by a gateway that retries under a new name.
pub const RETRIED: Scene = Scene {
    name: "retried",
    uploads: &[honest(0), honest(0)],
    deletes: true,
    ..STILL
};

/// The second gateway uses a chunk id of the first one's lease, and names that lease.
pub const STRAYED: Scene = Scene {
    name: "strayed",
    uploads: &[
        honest(0),
        Planned {
            gateway: 1,
            bytes: Record::Foreign,
            ..honest(0)
        },
    ],
    sweeps: 1,
    expires: true,
    ..STILL
};

/// The second gateway uses a chunk id of the first one's lease, and names its own.
pub const OUTSIDE: Scene = Scene {
    name: "outside",
    uploads: &[
        honest(0),
        Planned {
            gateway: 1,
            lease: 1,
            bytes: Record::Foreign,
            ..honest(0)
        },
    ],
    sweeps: 1,
    expires: true,
    ..STILL
};

/// The second gateway sends the first one's shards again, and commits them as its own.
pub const CLAIMED: Scene = Scene {
    name: "claimed",
    uploads: &[
        honest(0),
        Planned {
            gateway: 1,
            ..honest(0)
        },
    ],
    expires: true,
    ..STILL
};

/// A disk is lost, or taken for lost while it lives on, and another takes its slot over. There is no
/// further disk: the group stays open.
pub const LOST: Scene = Scene {
    name: "lost",
    disks: 4,
    uploads: &[honest(0), honest(2)],
    replaceable: &[(0, 0)],
    spares: &[3],
    fails: true,
    resends: true,
    sweeps: 1,
    own: true,
    deletes: true,
    expires: true,
    forgets: true,
    ..STILL
};

/// … while objects are read, copied and deleted.
pub const LOST_AND_DELETED: Scene = Scene {
    name: "lost and deleted",
    uploads: &[honest(0)],
    reads: 1,
    shares: true,
    forgets: false,
    ..LOST
};

/// Two slots of one group are taken over at the same time, from disks that live on.
pub const BOTH_LOST: Scene = Scene {
    name: "both lost",
    slots: 3,
    ack: 3,
    disks: 5,
    members: [[0, 1, 2], [0, 1, 2]],
    uploads: &[honest(0)],
    replaceable: &[(0, 0), (0, 1)],
    spares: &[3, 4],
    resends: true,
    ..STILL
};

/// Three slots (1+2), of which one may be short, and a shard goes bad.
pub const ROTTEN: Scene = Scene {
    name: "rotten",
    slots: 3,
    disks: 4,
    members: [[0, 1, 2], [0, 1, 2]],
    uploads: &[honest(0)],
    movable: &[(0, 2)],
    moves: 1,
    rots: 1,
    ..STILL
};

/// Disks judge by themselves what they hold, while leases come and go.
pub const OWN: Scene = Scene {
    name: "own",
    reads: 0,
    shares: false,
    own: true,
    ..LEASES
};

/// … and a gateway uses ids of another's lease before that is given out.
pub const OWN_OUTSIDE: Scene = Scene {
    name: "own outside",
    own: true,
    sweeps: 2,
    ..OUTSIDE
};

/// Every scene.
pub const ALL: [Scene; 18] = [
    WHOLE,
    THERE_AND_BACK,
    GIVEN_UP,
    BOTH_SLOTS,
    READER,
    LEASES,
    SHORT,
    REUSED,
    RETRIED,
    STRAYED,
    OUTSIDE,
    CLAIMED,
    LOST,
    LOST_AND_DELETED,
    BOTH_LOST,
    ROTTEN,
    OWN,
    OWN_OUTSIDE,
];
