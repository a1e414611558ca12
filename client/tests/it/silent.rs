//! Reading past disks that say nothing at all, neither yes nor no. The client gives up such a disk after
//! [`config`]'s ten seconds; many an S3 client gives up a download before that. Time is the test's own.

use crate::fake::{Fault, World, config, noise, range};
use futures::future::join_all;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use types::wire::metadata::Wanted;

/// How late a GET may be: a few times what is unusually long for disks that answer at once, which is 20 ms.
const LATE: Duration = Duration::from_millis(500);

const OBJECT: usize = 5 << 20;

/// A world that has `object`.
async fn filled(profile: &str) -> (World, Vec<u8>) {
    let world = World::with(profile, 1, config());
    let bytes = noise(OBJECT, 1);
    world.put("object", &bytes, 1 << 20).await.unwrap();
    (world, bytes)
}

/// Reads the beginning of `object`; how long that took.
async fn read(world: &World, bytes: &[u8]) -> Duration {
    let began = Instant::now();
    let got = world.get("object", range(0, 1000)).await;
    assert!(got.unwrap() == bytes[..1000]);
    began.elapsed()
}

impl World {
    /// Every disk says nothing, and so many reads of the first wait until their clients give up: their hedges are
    /// gone, and nothing was learnt from them.
    async fn waste_hedges(&self, disks: u64) {
        for disk in 1..=disks {
            self.disks.fault(disk, Fault::Silent);
        }
        let wait = || timeout(LATE, self.get("object", range(0, 1000)));
        for given_up in join_all((0..40).map(|_| wait())).await {
            assert!(given_up.is_err(), "none answers");
        }
        self.disks.heal();
    }
}

/// More downloads than there are hedges wait for one disk: what the first of them learn serves the others.
#[tokio::test(start_paused = true)]
async fn one_silent_disk_does_not_use_up_the_hedges() {
    let (world, bytes) = filled("4+2").await;
    world.disks.fault(1, Fault::Silent);
    let began = Instant::now();
    join_all((0..200).map(|_| read(&world, &bytes))).await;
    assert!(began.elapsed() < LATE, "{:?}", began.elapsed());
}

/// A disk that was slow a moment ago is read around; that waits for no other that went silent since.
#[tokio::test(start_paused = true)]
async fn a_disk_that_is_back_stands_in_for_one_that_is_silent() {
    let (world, bytes) = filled("2+1").await;
    world.disks.fault(1, Fault::Silent);
    assert!(world.get("object", Wanted::All).await.unwrap() == bytes);
    world.disks.heal();
    world.disks.fault(2, Fault::Silent);
    let took = read(&world, &bytes).await;
    assert!(took < LATE, "{took:?}");
}

/// What rebuilds a range asks more disks than it needs rather than wait for a silent one, and asks those last from then
/// on.
#[tokio::test(start_paused = true)]
async fn rebuilding_waits_for_no_silent_disk() {
    let (world, bytes) = filled("8+3").await;
    world.disks.fault(1, Fault::Absent);
    world.disks.fault(2, Fault::Silent);
    world.disks.fault(5, Fault::Silent);
    for late in [LATE, Duration::from_millis(1)] {
        let took = read(&world, &bytes).await;
        assert!(took < late, "{took:?}");
    }
}

/// Without a hedge left, a disk that has answered nothing for two seconds is read around all the same.
#[tokio::test(start_paused = true)]
async fn silence_is_noticed_without_hedges() {
    let (world, bytes) = filled("4+2").await;
    world.waste_hedges(6).await;
    world.disks.fault(1, Fault::Silent);
    let took = read(&world, &bytes).await;
    assert!(took >= Duration::from_secs(2), "{took:?}: it had a hedge");
    assert!(took < Duration::from_secs(3), "{took:?}");
}
