//! Objects of more extents than one lookup tells of.

use crate::fake::{Lie, World, config, eventually, noise, range};
use client::{Body, ClientConfig, GetError};
use futures::{StreamExt, TryStreamExt};
use std::time::Duration;
use types::VersionId;
use types::size::{ByteCount, KIB};
use types::wire::metadata::{Condition, Lookup, MAX_EXTENTS, MetadataError, Wanted};

/// Parts of 1 to about 20 000 bytes: inline, of one segment, and of several.
fn parts(count: u64) -> Vec<Vec<u8>> {
    let size = |i: u64| usize::try_from(1 + (i * 7919) % 20_011).unwrap();
    let mut parts: Vec<_> = (0..count).map(|i| noise(size(i), i)).collect();
    parts[5] = noise(200_000, 5);
    parts
}

async fn long_object(config: ClientConfig, count: u64) -> (World, Vec<u8>, VersionId) {
    let world = World::with("4+2", 1, config);
    let parts = parts(count);
    let stored = world.put_parts("object", &parts).await;
    (world, parts.concat(), stored.version)
}

/// Takes at least `length` bytes.
async fn take(body: &mut Body, length: usize) -> Vec<u8> {
    let mut taken = Vec::new();
    while taken.len() < length {
        taken.extend_from_slice(&body.next().await.unwrap().unwrap());
    }
    taken
}

async fn rest(body: &mut Body) -> Result<Vec<u8>, GetError> {
    let pieces: Vec<_> = body.try_collect().await?;
    Ok(pieces.concat())
}

/// An object of 1000 parts is byte-exact, whole and by ranges across every window's border; lookups after
/// the first ask for the version that the first one found, and for what follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_window_follows_the_one_before_it() {
    let (world, whole, version) = long_object(config(), 1000).await;
    assert!(world.get("object", Wanted::All).await.unwrap() == whole);
    let lookups = world.service.lookups();
    assert_eq!(lookups.len(), 1000usize.div_ceil(MAX_EXTENTS));
    assert_eq!(lookups[0].version, None);
    let mut before = 0;
    for lookup in &lookups[1..] {
        assert_eq!(lookup.version, Some(version));
        let Wanted::Range(start, length) = lookup.wanted else {
            panic!("{lookup:?}");
        };
        assert!(start.get() > before);
        assert_eq!(start.get() + length.get(), whole.len() as u64);
        before = start.get();
    }
    let lengths = parts(1000).into_iter().map(|part| part.len());
    let border = |parts| lengths.clone().take(parts).sum::<usize>();
    for parts in [127, 128, 129, 500, 999] {
        let at = border(parts);
        for (start, length) in [(at - 1, 2), (at - 50_000, 100_000), (at, 2_000_000)] {
            let end = whole.len().min(start + length);
            let served = world
                .get("object", range(start as u64, length as u64))
                .await;
            assert!(
                served.as_deref() == Ok(&whole[start..end]),
                "{start}..{end}"
            );
        }
    }
    world.memory_comes_back().await;
}

/// A reader of the most parts that S3 has holds a window of them, whatever its pace. Method: take one
/// piece after the other, each a part, and look how far ahead the lookups went.
#[tokio::test]
async fn a_window_of_extents_is_held() {
    let world = World::new("4+2");
    let upload = world.begin("object").await;
    let part = |number: u32| number.to_be_bytes();
    for number in 1..=10_000 {
        world
            .put_part("object", upload, number, &part(number))
            .await
            .unwrap();
    }
    let stored = world.complete("object", upload, Condition::default());
    stored.await.unwrap();
    let mut body = world.download("object", Wanted::All).await.unwrap().body;
    for number in 1..=10_000 {
        assert_eq!(body.next().await.unwrap().unwrap(), part(number)[..]);
        tokio::task::yield_now().await;
        let told = world.service.lookups().len() * MAX_EXTENTS;
        let ahead = told.saturating_sub(number as usize);
        assert!(ahead <= 3 * MAX_EXTENTS, "{ahead} ahead of {number}");
    }
    assert!(body.next().await.is_none());
    assert_eq!(
        world.service.lookups().len(),
        10_000usize.div_ceil(MAX_EXTENTS)
    );
}

/// A version that is replaced, or deleted, in the middle of a read is read to its end.
#[tokio::test]
async fn a_replaced_version_is_read_to_its_end() {
    let (world, whole, _) = long_object(config(), 400).await;
    for taken in [1, 300_000, 2_000_000] {
        let stored = world.put_parts("object", &parts(400)).await;
        let mut body = world.download("object", Wanted::All).await.unwrap().body;
        let mut given = take(&mut body, taken).await;
        world.put("object", b"another", 1 << 20).await.unwrap();
        given.extend(rest(&mut body).await.unwrap());
        assert!(given == whole, "replaced after {taken}");
        let pinned = |lookup: &&Lookup| lookup.version == Some(stored.version);
        assert!(world.service.lookups().iter().any(|lookup| pinned(&lookup)));
    }
    world.put_parts("object", &parts(400)).await;
    let mut body = world.download("object", Wanted::All).await.unwrap().body;
    let mut given = take(&mut body, 1).await;
    let deleted = world.delete("object", Condition::default());
    deleted.await.unwrap();
    given.extend(rest(&mut body).await.unwrap());
    assert!(given == whole, "deleted");
    world.memory_comes_back().await;
}

/// A replaced version that has been collected ends the read with an error, never with other bytes.
#[tokio::test]
async fn a_collected_version_is_no_wrong_byte() {
    let (world, whole, version) = long_object(config(), 400).await;
    let mut body = world.download("object", Wanted::All).await.unwrap().body;
    let mut given = take(&mut body, 1).await;
    world.put("object", b"another", 1 << 20).await.unwrap();
    world.service.collect(version);
    let end = loop {
        match body.next().await.unwrap() {
            Ok(piece) => given.extend_from_slice(&piece),
            Err(error) => break error,
        }
    };
    assert_eq!(end, GetError::NoSuchObject);
    assert!(body.next().await.is_none(), "after an error it ends");
    assert!(given.len() < whole.len() && whole.starts_with(&given));
}

/// An answer that does not go on where the one before it ended is refused.
#[tokio::test]
async fn a_lie_in_the_middle_is_refused() {
    for lie in [Lie::OtherVersion, Lie::Gap, Lie::Nothing] {
        let (world, whole, _) = long_object(config(), 400).await;
        world.service.lie(lie);
        let mut body = world.download("object", Wanted::All).await.unwrap().body;
        let mut given = Vec::new();
        let end = loop {
            match body.next().await {
                Some(Ok(piece)) => given.extend_from_slice(&piece),
                end => break end,
            }
        };
        let refused = GetError::Refused(MetadataError::RowDamaged);
        assert_eq!(end, Some(Err(refused)), "{lie:?}");
        assert!(whole.starts_with(&given), "{lie:?}");
    }
}

/// A service that is away while extents are asked for ahead is not noticed, if it is back when they are
/// needed; one that is away then ends the read.
#[tokio::test(start_paused = true)]
async fn asking_ahead_may_fail() {
    let small = ClientConfig {
        window: ByteCount::new(64 * KIB),
        ..config()
    };
    let (world, whole, _) = long_object(small, 400).await;
    let mut body = world.download("object", Wanted::All).await.unwrap().body;
    let mut given = Vec::new();
    world.service.fail_next(1_000_000);
    let failed = || world.service.calls("lookup") > 1;
    while !failed() {
        given.extend_from_slice(&body.next().await.unwrap().unwrap());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Longer than the patience.
    tokio::time::sleep(Duration::from_secs(5)).await;
    given.extend_from_slice(&body.next().await.unwrap().unwrap());
    world.service.fail_next(0);
    given.extend(rest(&mut body).await.unwrap());
    assert!(given == whole);

    let mut body = world.download("object", Wanted::All).await.unwrap().body;
    world.service.fail_next(1_000_000);
    let end = rest(&mut body).await;
    assert!(matches!(end, Err(GetError::SlowDown(_))), "{end:?}");
    world.memory_comes_back().await;
}

/// Many small parts take no more memory than few large ones. Method: watch the budget while reading.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_parts_stay_in_the_window() {
    let window = 256 * KIB;
    let config = ClientConfig {
        window: ByteCount::new(window),
        ..config()
    };
    let (world, whole, _) = long_object(config, 400).await;
    eventually(|| world.client.budget().used() == ByteCount::ZERO).await;
    let mut body = world.download("object", Wanted::All).await.unwrap().body;
    let mut given = Vec::new();
    let mut highest = 0;
    while let Some(piece) = body.next().await {
        given.extend_from_slice(&piece.unwrap());
        highest = highest.max(world.client.budget().used().get());
    }
    assert!(given == whole);
    assert!((64 * KIB..=window).contains(&highest), "{highest}");
    world.memory_comes_back().await;
}

/// A reader that is dropped while it asks on leaves nothing behind.
#[tokio::test(start_paused = true)]
async fn a_dropped_reader_stops_asking() {
    let (world, _, _) = long_object(config(), 400).await;
    let mut body = world.download("object", Wanted::All).await.unwrap().body;
    world.service.fail_next(1_000_000);
    while world.service.calls("lookup") < 2 {
        body.next().await.unwrap().unwrap();
    }
    drop(body);
    world.memory_comes_back().await;
    let asked = world.service.calls("lookup");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(world.service.calls("lookup"), asked);
}

/// A reader that takes longer than an answer may be read looks that very version up again before it reads on;
/// once it is not to be had any more, the body ends with an error and no byte of it is read from a disk.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_asks_again() {
    let config = ClientConfig {
        window: ByteCount::new(256 * KIB),
        ..config()
    };
    let world = World::with("4+2", 1, config);
    let bytes = noise(8 << 20, 1);
    world.service.valid_for(Duration::from_secs(60));
    let stored = world.put("object", &bytes, 1 << 20).await.unwrap();
    let download = world.download("object", Wanted::All);
    let mut body = download.await.unwrap().body;
    let mut read = take(&mut body, 1 << 20).await;
    assert_eq!(world.service.lookups().len(), 1);
    for times in 1..4 {
        tokio::time::advance(Duration::from_secs(60)).await;
        read.extend(take(&mut body, 1 << 20).await);
        let lookups = world.service.lookups();
        assert_eq!(lookups.len(), 1 + times, "once for each time that is over");
        let last = lookups.last().unwrap();
        assert_eq!(
            (last.version, last.wanted),
            (Some(stored.version), Wanted::Nothing)
        );
    }
    world.put("object", &noise(10, 2), 10).await.unwrap();
    read.extend(take(&mut body, 1 << 20).await);
    assert!(
        bytes.starts_with(&read),
        "the replaced version is still read"
    );
    world.service.collect(stored.version);
    tokio::time::advance(Duration::from_secs(60)).await;
    let before = world.disks.reads.load(std::sync::atomic::Ordering::Relaxed);
    let end = rest(&mut body).await;
    assert!(matches!(end, Err(GetError::NoSuchObject)), "{end:?}");
    let after = world.disks.reads.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(before, after, "nothing that may be gone is asked for");
}
