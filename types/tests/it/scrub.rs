//! What storage nodes tell of their scrub.

use super::golden;
use super::types;
use types::DiskId;
use types::wire::metadata::WallTime;
use types::wire::scrub::{DiskScrub, NotScrubbed, Scrubbing};

#[test]
fn scrubs() {
    let disk = DiskId::new(4);
    let steady = DiskScrub {
        disk,
        doing: Scrubbing::Steady,
        round: 3,
        shards: 10,
        all_shards: 40,
        bytes: 10 << 20,
        all_bytes: 40 << 20,
        found: 1,
        bytes_a_second: 33.5,
        seconds_left: Some(86_400.0),
        ended: Some(WallTime(1_800_000_000_000)),
        next: None,
    };
    let doing = [Scrubbing::Steady, Scrubbing::Resting, Scrubbing::Hurried];
    let mut told = doing
        .map(|doing| DiskScrub {
            doing,
            ..steady.clone()
        })
        .to_vec();
    told[1].next = Some(WallTime(1_800_604_800_000));
    told.push(DiskScrub::away(disk));
    golden("disk-scrubs", &told);
    golden(
        "not-scrubbed",
        &[NotScrubbed::Unknown(disk), NotScrubbed::Away(disk)],
    );
}
