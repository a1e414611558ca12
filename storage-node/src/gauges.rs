//! What a node tells of its disks as metrics: their states, and where their space is.
//!
//! | metric | labels | |
//! | --- | --- | --- |
//! | `strongroom_disk_state` | disk, state | 1 for the state that it is in, 0 for the others |
//! | `strongroom_disk_shards` | disk | that live on it |
//! | `strongroom_disk_space_bytes` | disk, state | see [`Space`] |

use crate::store::Space;
use metrics::gauge;
use types::DiskId;
use types::wire::storage::{DiskReport, DiskState};

/// States that are told; a slow disk serves.
const STATES: [&str; 5] = ["serving", "slow", "stalled", "failed", "absent"];

/// Tells how a disk is.
pub(crate) fn tell(report: &DiskReport) {
    let disk = label(report.disk);
    let now = match &report.state {
        DiskState::Serving if report.slow.is_some() => "slow",
        DiskState::Serving => "serving",
        DiskState::Stalled(_) => "stalled",
        DiskState::Failed(_) => "failed",
        _ => "absent",
    };
    for state in STATES {
        let value = if state == now { 1.0 } else { 0.0 };
        gauge!("strongroom_disk_state", "disk" => disk.clone(), "state" => state).set(value);
    }
    gauge!("strongroom_disk_shards", "disk" => disk).set(report.shards as f64);
}

/// A disk that was replaced is in no state.
pub(crate) fn forget(disk: DiskId) {
    for state in STATES {
        gauge!("strongroom_disk_state", "disk" => label(disk), "state" => state).set(0.0);
    }
}

/// Tells where a serving disk's space is.
pub(crate) fn tell_space(disk: DiskId, space: Space) {
    let Space {
        live,
        dead,
        overhead,
        ahead,
        free,
        reserved,
    } = space;
    for (state, bytes) in [
        ("live", live),
        ("dead", dead),
        ("overhead", overhead),
        ("ahead", ahead),
        ("free", free),
        ("reserved", reserved),
    ] {
        let disk = label(disk);
        gauge!("strongroom_disk_space_bytes", "disk" => disk, "state" => state)
            .set(bytes.get() as f64);
    }
}

/// How metrics name a disk: by the number that `strongroom disk ls` shows.
pub(crate) fn label(disk: DiskId) -> String {
    disk.get().to_string()
}
