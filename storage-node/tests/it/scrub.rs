//! Scrub, against a metadata service in memory, in simulated time: each shard is read once a period, wherever
//! the process or the disk was meanwhile, and what is not what it was is made again.

use crate::upkeep::{GROUP, SHARDS, World, disk, key};
use disk::sim::{Call, Fate, Operation, SimDisk};
use disk::{BLOCK, Buffer, Disk as _};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use strongroom_storage_node::upkeep::{Clock, Keeper, KeeperConfig};
use tokio::time::{Instant, sleep};
use types::placement::{Epoch, Slot};
use types::wire::metadata::WallTime;
use types::wire::scrub::{DiskScrub, Scrubbing};
use types::wire::{Scrubs, ShardStore};
use types::{ByteOffset, ChunkId};

const HOUR: Duration = Duration::from_secs(3600);
const NOON: WallTime = WallTime(1_800_000_000_000);
const VOLUME: &str = "volume-00000001";

/// A scrub every hour, by a clock on which so much of it has passed.
fn hourly(passed: Duration) -> KeeperConfig {
    let passed = u64::try_from(passed.as_millis()).unwrap();
    KeeperConfig {
        look_through: 100 * HOUR,
        scrub: Some(HOUR),
        clock: Clock::starting(WallTime(NOON.0 + passed)),
        ..KeeperConfig::default()
    }
}

/// Only when somebody asks for it.
fn never() -> KeeperConfig {
    KeeperConfig {
        scrub: None,
        ..hourly(Duration::ZERO)
    }
}

/// Where the records of a disk's only volume begin.
fn records(disk: &SimDisk) -> Vec<u64> {
    let bytes = disk.content(VOLUME).unwrap();
    let blocks = (0..bytes.len()).step_by(BLOCK);
    let records = blocks.filter(|at| bytes[*at..].starts_with(b"STRSHARD"));
    records.map(|at| at as u64).collect()
}

/// When records were read: a scrub begins with the header's block alone.
#[derive(Clone, Default)]
struct Visits(Arc<Mutex<BTreeMap<u64, Vec<Instant>>>>);

impl Visits {
    fn of(disk: &SimDisk) -> Self {
        let visits = Self::default();
        visits.watch(disk);
        visits
    }

    fn watch(&self, disk: &SimDisk) {
        let seen = self.clone();
        disk.script(move |call| {
            seen.note(call);
            Fate::Proceed
        });
    }

    fn note(&self, call: &Call) {
        let header = call.operation == Operation::Read
            && call.name == VOLUME
            && call.length.get() == BLOCK as u64;
        if header {
            let mut visits = self.0.lock().unwrap();
            visits
                .entry(call.at.get())
                .or_default()
                .push(Instant::now());
        }
    }

    fn counts(&self) -> BTreeMap<u64, usize> {
        let visits = self.0.lock().unwrap();
        visits.iter().map(|(at, when)| (*at, when.len())).collect()
    }

    fn total(&self) -> usize {
        self.counts().values().sum()
    }
}

/// Each of these records was visited once.
fn assert_each_once(visits: &Visits, records: &[u64]) {
    let mut counts = visits.counts();
    // A disk that opens reads where its volume ends.
    counts.retain(|at, _| at <= records.last().unwrap());
    let once: BTreeMap<u64, usize> = records.iter().map(|at| (*at, 1)).collect();
    assert_eq!(counts, once);
}

async fn filled(chunks: u64) -> World {
    let world = World::new().await;
    for (chunk, segments) in (1..=chunks).zip([12, 16, 8].into_iter().cycle()) {
        world.store(chunk, segments, &[]).await;
    }
    world
}

async fn of(keeper: &Keeper, index: u8) -> DiskScrub {
    let scrubbed = keeper.scrubbed().await;
    let found = scrubbed.into_iter().find(|scrub| scrub.disk == disk(index));
    found.expect("the disk is told")
}

/// Waits until no round is under way that somebody asked for.
async fn until_done(keeper: &Keeper) -> Vec<DiskScrub> {
    for _ in 0..10_000 {
        sleep(Duration::from_millis(100)).await;
        let scrubbed = keeper.scrubbed().await;
        if scrubbed
            .iter()
            .all(|scrub| scrub.doing == Scrubbing::Resting)
        {
            return scrubbed;
        }
    }
    panic!("not in time: {:?}", keeper.scrubbed().await);
}

/// Has all disks scrubbed as fast as may be; what was found, by disk.
async fn found(keeper: &Keeper) -> Vec<u64> {
    keeper.begin_scrub(None).await.unwrap();
    let done = until_done(keeper).await;
    assert!(done.iter().all(|scrub| scrub.shards == scrub.all_shards));
    done.iter().map(|scrub| scrub.found).collect()
}

/// Every shard of every disk is read once in each period, and no faster than the period asks for.
#[tokio::test(start_paused = true)]
async fn every_shard_is_read_once_a_period() {
    let world = filled(60).await;
    let visits: Vec<Visits> = world.disks.iter().map(Visits::of).collect();
    let keeper = world.keeper_with(hourly(Duration::ZERO));
    for (part, least, most) in [(0.25, 10u64, 20u64), (0.5, 25, 35), (0.75, 40, 50)] {
        sleep(HOUR / 4).await;
        for visits in &visits {
            let total = visits.total() as u64;
            assert!((least..=most).contains(&total), "{total} after {part}");
        }
        let told = of(&keeper, 0).await;
        assert_eq!((told.doing, told.all_shards), (Scrubbing::Steady, 60));
        assert!((least..=most).contains(&told.shards));
        let left = told.seconds_left.unwrap();
        let expected = HOUR.as_secs_f64() * (1.0 - part);
        assert!((left - expected).abs() < 60.0, "{left} {expected}");
        let ahead = (told.all_bytes - told.bytes) as f64 / told.bytes_a_second;
        assert!((ahead / expected - 1.0).abs() < 0.2, "{ahead} {expected}");
    }
    sleep(HOUR / 4 + Duration::from_secs(5)).await;
    for (visits, disk) in visits.iter().zip(&world.disks) {
        assert_each_once(visits, &records(disk));
    }
    for scrub in keeper.scrubbed().await {
        let ended = scrub.ended.expect("a whole round has ended");
        assert!(ended.0.abs_diff(NOON.0 + 3_600_000) < 5_000, "{ended:?}");
        assert_eq!(scrub.found, 0);
    }
    // The next round is under way, and takes a period as well.
    sleep(HOUR).await;
    for visits in &visits {
        assert!(visits.counts().values().all(|visits| *visits == 2));
    }
    keeper.shutdown().await;
}

/// A stop costs nothing: no shard is read twice in a round, and none is left out. A kill costs what a minute
/// reads. A disk that lost its bookmark, or has another one's, begins anew.
#[tokio::test(start_paused = true)]
async fn the_bookmark_outlives_the_process() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum End {
        Stop,
        Kill,
        Damage,
    }
    for end in [End::Stop, End::Kill, End::Damage] {
        let mut world = filled(60).await;
        let all = records(&world.disks[2]);
        let visits = Visits::of(&world.disks[2]);
        let mut passed = Duration::ZERO;
        let mut keeper = world.keeper_with(hourly(passed));
        for _ in 0..3 {
            sleep(HOUR / 4).await;
            passed += HOUR / 4;
            let before = of(&keeper, 2).await;
            // One that is killed goes on, without disks, and has nobody to tell.
            if end != End::Kill {
                keeper.shutdown().await;
                world.node.shutdown().await;
            }
            let disks: Vec<SimDisk> = world.disks.iter().map(SimDisk::restart).collect();
            visits.watch(&disks[2]);
            if end == End::Damage {
                for half in 0..2 {
                    disks[2].flip("scrub", ByteOffset::new(half * BLOCK as u64 + 64), 1);
                }
            }
            world = World::on(disks, world.service.of_the_same()).await;
            keeper = world.keeper_with(hourly(passed));
            sleep(Duration::from_secs(1)).await;
            let after = of(&keeper, 2).await;
            match end {
                End::Stop => assert!(after.shards - before.shards <= 1),
                End::Kill => assert!(after.shards + 2 >= before.shards && after.shards > 0),
                End::Damage => assert_eq!((after.shards, after.ended), (0, None)),
            }
            assert_eq!(after.round, 1, "{end:?}");
        }
        sleep(HOUR / 4 + Duration::from_secs(5)).await;
        let counts = visits.counts();
        match end {
            End::Stop => assert_each_once(&visits, &all),
            End::Kill => {
                assert!(all.iter().all(|at| counts.contains_key(at)));
                assert!(visits.total() <= all.len() + 6, "{}", visits.total());
            }
            End::Damage => {
                let ended = of(&keeper, 2).await.ended;
                assert_eq!(ended, None, "the round began at the last start");
            }
        }
        keeper.shutdown().await;
    }
}

/// Damage of each kind is found once, at its disk and nowhere else, and made again; then there is none.
#[tokio::test(start_paused = true)]
async fn planted_damage_is_found_and_made_again() {
    for kind in ["payload", "header", "digest", "zeroed", "unreadable"] {
        let world = filled(30).await;
        let planted = &world.disks[3];
        let at = records(planted)[16];
        match kind {
            "payload" => planted.flip(VOLUME, ByteOffset::new(at + 1024 + 70_000), 0x20),
            "header" => planted.flip(VOLUME, ByteOffset::new(at + 40), 1),
            "digest" => planted.flip(VOLUME, ByteOffset::new(at + 192 + 3 * 32), 1),
            "zeroed" => {
                let file = planted.open(VOLUME).await.unwrap();
                let block = ByteOffset::new(at + 2 * BLOCK as u64);
                file.write(block, Buffer::zeroed(BLOCK)).await.unwrap();
            }
            _ => planted.script(move |call| {
                let end = call.at.get() + call.length.get();
                let hit = call.operation == Operation::Read && call.name == VOLUME;
                if hit && call.at.get() < at + 1024 + 4096 && end > at + 4096 {
                    return Fate::Fail(5);
                }
                Fate::Proceed
            }),
        }
        let keeper = world.keeper_with(never());
        assert_eq!(found(&keeper).await, [0, 0, 0, 1, 0, 0], "{kind}");
        let shard = key(17, 3);
        world
            .until(|known| !known.reported.is_empty() && known.repairs.is_empty())
            .await;
        assert_eq!(world.service.known().reported, [(disk(3), shard)], "{kind}");
        assert_eq!(world.node.verify(disk(3), shard).await, Ok(()), "{kind}");
        assert_eq!(keeper.done().shards, 1, "{kind}");
        assert_eq!(found(&keeper).await, [0; 6], "{kind}");
        keeper.shutdown().await;
    }
}

/// What is not made again is reported once a round, also when the process is killed right behind it, and in the
/// next round again.
#[tokio::test(start_paused = true)]
async fn what_stays_bad_is_told_once_a_round() {
    let mut world = filled(6).await;
    world.service.idle();
    world.disks[2].flip(
        VOLUME,
        ByteOffset::new(records(&world.disks[2])[3] + 2000),
        1,
    );
    let mut keeper = world.keeper_with(never());
    for round in 1..=3 {
        assert_eq!(found(&keeper).await, [0, 0, 1, 0, 0, 0]);
        sleep(Duration::from_secs(300)).await;
        let bad = (disk(2), key(4, 2));
        let told = world.service.known().reported.clone();
        let told = told.iter().filter(|told| **told == bad).count();
        assert_eq!(told, round);
        let disks = world.disks.iter().map(SimDisk::restart).collect();
        world = World::on(disks, Arc::clone(&world.service)).await;
        keeper = world.keeper_with(never());
        sleep(Duration::from_secs(10)).await;
        assert_eq!(of(&keeper, 2).await.found, 1);
    }
    keeper.shutdown().await;
}

/// What was found and nobody was told of is found again after a kill: the bookmark waits for the report.
#[tokio::test(start_paused = true)]
async fn no_finding_is_lost_by_a_kill() {
    let world = filled(30).await;
    let at = records(&world.disks[1])[4];
    world.disks[1].flip(VOLUME, ByteOffset::new(at + 2000), 1);
    world.service.refuse_reports(true);
    let keeper = world.keeper_with(never());
    assert_eq!(found(&keeper).await, [0, 1, 0, 0, 0, 0]);
    sleep(Duration::from_secs(600)).await;
    let disks = world.disks.iter().map(SimDisk::restart).collect();
    // The first keeper goes on without its disks, and has nobody to tell.
    let again = World::on(disks, world.service.of_the_same()).await;
    let visits = Visits::of(&again.disks[1]);
    let keeper = again.keeper_with(never());
    again
        .until(|known| !known.reported.is_empty() && known.repairs.is_empty())
        .await;
    assert_eq!(again.service.known().reported, [(disk(1), key(5, 1))]);
    let done = until_done(&keeper).await;
    assert_eq!((done[1].round, done[1].shards, done[1].found), (1, 30, 1));
    assert!(visits.counts().len() <= 26, "from the finding on");
    keeper.shutdown().await;
}

/// A shard that is removed while it is read, or before its turn, is no finding; nor is one that is stored.
#[tokio::test(start_paused = true)]
async fn shards_may_come_and_go() {
    let world = filled(20).await;
    let stalled = records(&world.disks[0])[5];
    world.disks[0].script(move |call| {
        let hit = call.operation == Operation::Read && call.at.get() == stalled;
        if hit { Fate::Stall } else { Fate::Proceed }
    });
    let keeper = world.keeper_with(never());
    keeper.begin_scrub(Some(disk(0))).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert!(world.disks[0].stalled() > 0);
    for chunk in [6, 15] {
        let chunks = ChunkId::new(chunk)..=ChunkId::new(chunk);
        let removed = world.node.delete(disk(0), GROUP, Slot(0), chunks, Epoch(1));
        assert_eq!(removed.await.unwrap().shards, 1);
    }
    world.store(100, 8, &[]).await;
    world.disks[0].release();
    world.disks[0].script(|_| Fate::Proceed);
    let done = until_done(&keeper).await;
    assert_eq!((done[0].found, done[0].round, done[1].round), (0, 1, 0));
    assert!(world.service.known().reported.is_empty());
    keeper.shutdown().await;
}

/// While others are served, a scrub reads one block at a time, one shard at a time, whatever it was told.
#[tokio::test(start_paused = true)]
async fn it_yields_to_requests() {
    for (served, at_once, largest) in [(false, 2, 300_000), (true, 1, 80_000)] {
        let world = filled(20).await;
        let reads = Arc::new(Mutex::new(0));
        let seen = Arc::clone(&reads);
        world.disks[4].script(move |call| {
            if call.operation == Operation::Read && call.name == VOLUME {
                let mut largest = seen.lock().unwrap();
                *largest = call.length.get().max(*largest);
                return Fate::Stall;
            }
            Fate::Proceed
        });
        let keeper = world.keeper_with(never());
        let ask = async || {
            if served {
                let _missing = world.node.describe(disk(0), key(999, 0)).await;
            }
        };
        ask().await;
        keeper.begin_scrub(Some(disk(4))).await.unwrap();
        let mut most = 0;
        while of(&keeper, 4).await.doing != Scrubbing::Resting {
            ask().await;
            sleep(Duration::from_millis(5)).await;
            most = most.max(world.disks[4].stalled());
            world.disks[4].release();
        }
        let bytes = *reads.lock().unwrap();
        assert_eq!(most, at_once, "served: {served}");
        assert!(bytes <= largest && bytes > largest / 2, "{bytes}");
        assert_eq!(of(&keeper, 4).await.shards, 20);
        keeper.shutdown().await;
    }
}

/// A disk that goes away in the middle of a round is waited for, and goes on where it was.
#[tokio::test(start_paused = true)]
async fn a_disk_that_was_away_goes_on() {
    let world = filled(60).await;
    let visits = Visits::of(&world.disks[5]);
    let keeper = world.keeper_with(hourly(Duration::ZERO));
    sleep(HOUR / 3).await;
    world.disks[5].detach(true);
    for _ in 0..5 {
        world.node.check().await;
        sleep(Duration::from_secs(60)).await;
    }
    let away = of(&keeper, 5).await;
    assert_eq!(away.doing, Scrubbing::Away);
    let refused = keeper.begin_scrub(Some(disk(5))).await;
    assert!(refused.unwrap_err().to_string().contains("does not serve"));
    world.disks[5].detach(false);
    for _ in 0..5 {
        world.node.check().await;
        sleep(Duration::from_secs(1)).await;
    }
    sleep(Duration::from_secs(30)).await;
    let back = of(&keeper, 5).await;
    assert_eq!((back.doing, back.round), (Scrubbing::Steady, 1));
    assert!(back.shards >= away.shards);
    sleep(HOUR).await;
    let ended = of(&keeper, 5).await.ended.expect("a round has ended");
    assert!(ended.0.abs_diff(NOON.0 + 3_600_000) < 5_000, "{ended:?}");
    let visited = visits.0.lock().unwrap().clone();
    let until = *visited.values().flatten().min().unwrap() + HOUR;
    // Opening the disk reads records as well; each was visited within the period.
    for at in records(&world.disks[5]) {
        assert!(visited[&at].iter().any(|when| *when < until), "{at}");
    }
    keeper.shutdown().await;
}

/// An operator's round begins with the first shard, whatever was under way, on the disks that were named; asked
/// for again it goes on.
#[tokio::test(start_paused = true)]
async fn an_operator_may_hurry_it() {
    let world = filled(60).await;
    let keeper = world.keeper_with(hourly(Duration::ZERO));
    sleep(HOUR / 2).await;
    let visits = Visits::of(&world.disks[1]);
    keeper.begin_scrub(Some(disk(1))).await.unwrap();
    keeper.begin_scrub(Some(disk(1))).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    assert_each_once(&visits, &records(&world.disks[1]));
    let (hurried, other) = (of(&keeper, 1).await, of(&keeper, 0).await);
    assert_eq!((hurried.round, hurried.shards), (2, 60));
    let next = NOON.0 + 2 * 3_600_000 - 1_800_000;
    assert_eq!(hurried.doing, Scrubbing::Resting);
    let next_begins = hurried.next.unwrap();
    assert!(next_begins.0.abs_diff(next) < 5_000, "{next_begins:?}");
    assert_eq!((other.round, other.doing), (1, Scrubbing::Steady));
    let unknown = keeper.begin_scrub(Some(disk(SHARDS))).await;
    assert_eq!(unknown.unwrap_err().to_string(), "there is no disk 106");
    keeper.shutdown().await;
}

/// A device that fails to note the bookmark is stopped like after any failed write; a full one is not.
#[tokio::test(start_paused = true)]
async fn a_bookmark_is_a_write_like_any_other() {
    for (errno, serves) in [(28, true), (5, false)] {
        for operation in [Operation::Write, Operation::Allocate, Operation::Create] {
            let world = filled(3).await;
            world.disks[0].script(move |call| {
                let hit = call.operation == operation && call.name == "scrub";
                if hit {
                    Fate::Fail(errno)
                } else {
                    Fate::Proceed
                }
            });
            let keeper = world.keeper_with(never());
            keeper.begin_scrub(Some(disk(0))).await.unwrap();
            sleep(Duration::from_secs(5)).await;
            let state = of(&keeper, 0).await.doing;
            assert_eq!(state != Scrubbing::Away, serves, "{operation:?} {state:?}");
            keeper.shutdown().await;
        }
    }
}
