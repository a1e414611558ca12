//! One budget bounds it all, and everything comes back.

use crate::fake::{Fault, World, config, eventually, finish, key, noise, range};
use bytes::Bytes;
use client::{Body, ClientConfig, Pressure, PutError};
use futures::{FutureExt, StreamExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use types::size::{ByteCount, MIB};
use types::wire::metadata::Wanted;

fn tight() -> ClientConfig {
    ClientConfig {
        memory: ByteCount::new(40 * MIB),
        ..config()
    }
}

/// Many clients at once, on a budget for a few: all are served, the budget is never exceeded, and in
/// the end none of it is used. Method: watch the budget from another task all the while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_share_one_budget() {
    let world = Arc::new(World::with("4+2", 2, tight()));
    let highest = Arc::new(AtomicU64::new(0));
    let watcher = tokio::spawn({
        let (world, highest) = (world.clone(), highest.clone());
        async move {
            loop {
                let used = world.client.budget().used().get();
                highest.fetch_max(used, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        }
    });
    world.disks.fault(2, Fault::Absent);
    let clients = (0..24u64).map(|i| {
        let world = world.clone();
        tokio::spawn(async move {
            let name = i.to_string();
            let bytes = noise(3_000_000 + usize::try_from(i).unwrap() * 100_000, i);
            let declared = i.is_multiple_of(2).then(|| ByteCount::of(&bytes));
            world
                .put_as(&name, &bytes, 100_000, declared)
                .await
                .unwrap();
            assert!(world.get(&name, Wanted::All).await.unwrap() == bytes);
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    watcher.abort();
    world.memory_comes_back().await;
    let highest = highest.load(Ordering::Relaxed);
    assert!(highest > 10 * MIB && highest <= 40 * MIB, "{highest}");
}

/// Slow clients that hold half a chunk each take all memory that uploads get; who comes then is told to slow
/// down after a while, and who waited is served when one of them goes.
#[tokio::test(start_paused = true)]
async fn slow_clients_do_not_lock_the_rest_out() {
    let world = World::with("4+2", 1, tight());
    let piece = Bytes::from(noise(100_000, 1));
    let mut slow = Vec::new();
    for i in 0..3 {
        let upload = world.client.put(&world.bucket, key(&i.to_string()), None);
        let mut upload = upload.await.unwrap();
        upload.write(piece.clone()).await.unwrap();
        slow.push(upload);
    }
    let refused = world.put_as("late", &piece, 10_000, None).await;
    assert!(
        matches!(refused, Err(PutError::SlowDown(Pressure::Memory(_)))),
        "{refused:?}"
    );

    let waiting = world.put_as("waiting", &piece, 10_000, None);
    let leaving = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(slow.pop());
    };
    let (stored, ()) = futures::join!(waiting, leaving);
    stored.unwrap();
    // Those that are slow lose nothing by it.
    for upload in slow {
        finish(upload).await.unwrap();
    }
    world.memory_comes_back().await;
}

/// Slow uploads cannot starve downloads. Method: begin uploads, each with little memory, until not one
/// more is let in; then read.
#[tokio::test(start_paused = true)]
async fn slow_uploads_leave_memory_to_downloads() {
    let world = World::with("4+2", 1, tight());
    let bytes = noise(3_000_000, 1);
    world.put("object", &bytes, 1 << 20).await.unwrap();
    let mut slow = Vec::new();
    loop {
        let declared = Some(ByteCount::new(5_000));
        let upload = world.client.put(&world.bucket, key("slow"), declared);
        let mut upload = upload.await.unwrap();
        match upload.write(Bytes::from_static(b"x")).await {
            Ok(()) => slow.push(upload),
            Err(PutError::SlowDown(Pressure::Memory(_))) => break,
            Err(other) => panic!("{other:?}"),
        }
    }
    let begun = tokio::time::Instant::now();
    let read = world.get("object", Wanted::All).await;
    assert!(read.as_ref() == Ok(&bytes), "{:?}", read.err());
    assert!(begun.elapsed() < Duration::from_secs(1), "at once");
    drop(slow);
    world.memory_comes_back().await;
}

/// A known length reserves no more than it needs.
#[tokio::test]
async fn a_known_length_reserves_what_it_needs() {
    let world = World::new("4+2");
    for (length, most) in [
        (100, 200),
        (5_000, 100_000),
        (1 << 20, 1_800_000),
        (20 << 20, 6_400_000),
    ] {
        let declared = Some(ByteCount::new(length));
        let upload = world.client.put(&world.bucket, key("object"), declared);
        let mut upload = upload.await.unwrap();
        upload.write(Bytes::from_static(b"x")).await.unwrap();
        let used = world.client.budget().used().get();
        assert!((1..=most).contains(&used), "{length} bytes reserve {used}");
    }
    world.memory_comes_back().await;
}

/// Uploads and downloads that are dropped half-way release all they had, even with disks that never
/// answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_dropped_is_released() {
    let world = World::new("4+2");
    let bytes = noise(20 << 20, 1);
    world.put("object", &bytes, 1 << 20).await.unwrap();
    for pieces in [0, 1, 3, 100] {
        let download = world.download("object", Wanted::All);
        let mut body = download.await.unwrap().body;
        for _ in 0..pieces {
            body.next().await.unwrap().unwrap();
        }
        drop(body);
        world.memory_comes_back().await;
    }
    for disk in 1..=6 {
        world.disks.fault(disk, Fault::Silent);
    }
    let mut upload = world
        .client
        .put(&world.bucket, key("other"), None)
        .await
        .unwrap();
    for piece in bytes[..9 << 20].chunks(1 << 20) {
        upload.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    assert!(
        world.client.budget().used().get() > 12 * MIB,
        "two chunks land, one fills"
    );
    drop(upload);
    world.memory_comes_back().await;
    assert!(world.service.committed("other").is_none());

    let world = World::new("4+2");
    let client = world.client.clone();
    client
        .put(&world.bucket, key("object"), None)
        .await
        .unwrap();
    drop(world);
    assert_eq!(Arc::strong_count(&client), 1);
}

/// An upload of which one write was cancelled never becomes an object with a hole.
#[tokio::test(start_paused = true)]
async fn a_cancelled_write_fails_the_upload() {
    let world = World::new("4+2");
    for disk in 1..=6 {
        world.disks.fault(disk, Fault::Silent);
    }
    let upload = world.client.put(&world.bucket, key("object"), None);
    let mut upload = upload.await.unwrap();
    let bytes = Bytes::from(noise(20 << 20, 1));
    let write = tokio::time::timeout(Duration::from_secs(1), upload.write(bytes));
    assert!(write.await.is_err(), "two chunks wait for silent disks");
    world.disks.heal();
    let refused = upload.write(Bytes::from_static(b"more")).await;
    assert_eq!(refused, Err(PutError::Abandoned));
    let refused = finish(upload).await;
    assert_eq!(refused, Err(PutError::Abandoned));
    assert!(world.service.committed("object").is_none());
}

/// A slow reader holds no more than its window, and the window no more than it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_holds_its_window_at_most() {
    let config = ClientConfig {
        window: ByteCount::new(5 * MIB),
        ..config()
    };
    let world = World::with("4+2", 1, config);
    let bytes = noise(40 << 20, 1);
    world.put("object", &bytes, 1 << 20).await.unwrap();
    eventually(|| world.client.budget().used() == ByteCount::ZERO).await;
    let download = world.download("object", Wanted::All);
    let mut body = download.await.unwrap().body;
    let mut highest = 0;
    while let Some(piece) = body.next().await {
        piece.unwrap();
        highest = highest.max(world.client.budget().used().get());
    }
    assert!((3 * MIB..=5 * MIB).contains(&highest), "{highest}");
}

/// Polls a body, and takes nothing from it, until `asked` or for a while.
async fn poll_until(body: &mut Body, asked: impl Fn() -> bool) {
    for _ in 0..100 {
        if asked() {
            return;
        }
        assert!(body.next().now_or_never().is_none(), "it is not there yet");
        tokio::task::yield_now().await;
    }
}

/// Readers that pause in the middle of a rebuild leave the memory for rebuilding to others. Method: each
/// is polled until it has asked for what it rebuilds from, and then no more.
#[tokio::test(start_paused = true)]
async fn paused_readers_do_not_keep_others_from_rebuilding() {
    let config = ClientConfig {
        memory: ByteCount::new(12 * MIB),
        ..config()
    };
    let world = World::with("4+2", 1, config);
    let bytes = noise(4 << 20, 1);
    world.put("object", &bytes, 1 << 20).await.unwrap();
    world.disks.fault(1, Fault::Absent);
    let first_read = range(0, 4 << 16);
    let reads = || world.disks.reads.load(Ordering::Relaxed);
    let mut paused = Vec::new();
    for _ in 0..3 {
        let before = reads();
        let mut body = world.download("object", first_read).await.unwrap().body;
        poll_until(&mut body, || reads() >= before + 4).await;
        paused.push(body);
    }
    let brisk = world.get("object", first_read).await;
    assert!(
        brisk.as_deref() == Ok(&bytes[..4 << 16]),
        "{:?}",
        brisk.err()
    );
    for mut body in paused {
        assert!(body.next().await.unwrap().unwrap() == bytes[..1 << 16]);
    }
    world.memory_comes_back().await;
}

/// A reader that pauses at a segment that does not open leaves that memory alone, too.
#[tokio::test(start_paused = true)]
async fn readers_paused_at_a_lie_do_not_keep_others_from_rebuilding() {
    let config = ClientConfig {
        memory: ByteCount::new(2 * MIB),
        ..config()
    };
    let world = World::with("4+2", 1, config);
    let bytes = noise(300_000, 1);
    world.put("object", &bytes, 1 << 20).await.unwrap();
    world.disks.fault(1, Fault::Lies);
    let first_read = range(0, 1 << 16);
    let reads = || world.disks.reads.load(Ordering::Relaxed);
    let mut paused = Vec::new();
    for _ in 0..2 {
        let before = reads();
        let mut body = world.download("object", first_read).await.unwrap().body;
        poll_until(&mut body, || reads() >= before + 4).await;
        paused.push(body);
    }
    let brisk = world.get("object", first_read).await;
    assert!(
        brisk.as_deref() == Ok(&bytes[..1 << 16]),
        "{:?}",
        brisk.err()
    );
}
