//! What goes in comes out.

use crate::fake::{World, collect, key, noise, range};
use client::{GetError, PutError};
use std::sync::atomic::Ordering;
use types::Attributes;
use types::size::{ByteCount, ByteOffset};
use types::wire::metadata::{Condition, Tags, Wanted, WrittenPlace};

const SEGMENT: u64 = 64 << 10;
const CHUNK: u64 = 64 * SEGMENT;

fn boundaries(chunk: u64) -> Vec<u64> {
    vec![4096, SEGMENT, 4 * SEGMENT, 1 << 20, chunk, 2 * chunk]
}

fn sizes(chunk: u64) -> Vec<u64> {
    let around = |boundary: u64| [boundary - 1, boundary, boundary + 1];
    let mut sizes: Vec<u64> = boundaries(chunk).into_iter().flat_map(around).collect();
    sizes.extend([0, 1, 100_000, 3 * chunk + 70_001]);
    sizes.sort();
    sizes.dedup();
    sizes
}

/// Objects of every size around each boundary, written in awkward pieces with their length declared or
/// not, come back byte-exact: wholly, and by ranges across each boundary.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_size_and_range_is_byte_exact() {
    for (profile, chunk) in [("4+2", CHUNK), ("2+1", CHUNK / 2), ("1+2", CHUNK / 4)] {
        let world = World::new(profile);
        for (nth, size) in sizes(chunk).into_iter().enumerate() {
            let bytes = noise(usize::try_from(size).unwrap(), size + 1);
            let name = format!("{profile} {size}");
            let piece = [1 << 20, 65_536, 10_007, 8 << 20][nth % 4];
            let declared = (nth % 3 != 0).then(|| ByteCount::of(&bytes));
            world.put_as(&name, &bytes, piece, declared).await.unwrap();

            let whole = world.get(&name, Wanted::All).await.unwrap();
            assert!(whole == bytes, "{name}: the whole");
            for boundary in boundaries(chunk).into_iter().filter(|b| *b < size) {
                for (start, length) in [(boundary - 1, 2), (boundary, 1), (boundary - 1, SEGMENT)] {
                    let served = world.get(&name, range(start, length)).await.unwrap();
                    let end = (start + length).min(size);
                    let (start, end) = (
                        usize::try_from(start).unwrap(),
                        usize::try_from(end).unwrap(),
                    );
                    assert!(served == bytes[start..end], "{name}: {start}..{end}");
                }
            }
            if size > 0 {
                let last = world
                    .get(&name, Wanted::Last(ByteCount::new(1)))
                    .await
                    .unwrap();
                assert_eq!(last, bytes[bytes.len() - 1..]);
            }
            let outside = world.get(&name, Wanted::From(ByteOffset::new(size))).await;
            let length = ByteCount::new(size);
            assert_eq!(outside, Err(GetError::RangeNotSatisfiable { length }));
        }
        world.disks.check_digests();
        world.memory_comes_back().await;
    }
}

/// Small objects live in a row, larger ones on disks; no plaintext is on any disk.
#[tokio::test]
async fn small_objects_are_inline_and_nothing_is_in_the_clear() {
    let world = World::new("4+2");
    let marker = b"MARKER-of-plaintext";
    for (size, inline) in [(0, true), (4096, true), (4097, false), (200_000, false)] {
        let bytes: Vec<u8> = marker.iter().copied().cycle().take(size).collect();
        world.put("object", &bytes, 1000).await.unwrap();
        let place = world.service.committed("object").unwrap().place;
        let is_inline = match &place {
            WrittenPlace::Inline { sealed } => {
                assert_eq!(sealed.len(), size + 28);
                true
            }
            WrittenPlace::Runs { .. } => false,
        };
        assert_eq!(is_inline, inline, "{size} bytes");
    }
    assert!(!world.disks.contain(marker));
}

/// A range of one segment costs one request to one disk.
#[tokio::test]
async fn a_small_range_touches_one_disk_once() {
    let world = World::new("4+2");
    let bytes = noise(5 << 20, 1);
    world.put("object", &bytes, 1 << 20).await.unwrap();
    for start in [0, 70_000, 1 << 20, 4 << 20] {
        let before = world.disks.reads.load(Ordering::Relaxed);
        let served = world.get("object", range(start, 1000)).await.unwrap();
        let start = usize::try_from(start).unwrap();
        assert!(served == bytes[start..start + 1000]);
        assert_eq!(world.disks.reads.load(Ordering::Relaxed), before + 1);
    }
}

/// A blob changes group every 64 chunks, and its runs are as long as they can be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_blobs_spread() {
    let world = World::with("1+2", 4, crate::fake::config());
    let bytes = noise(70 << 20, 1);
    world.put("object", &bytes, 1 << 20).await.unwrap();
    let WrittenPlace::Runs { runs, .. } = world.service.committed("object").unwrap().place else {
        panic!("70 MiB are not inline");
    };
    let shape: Vec<_> = runs
        .iter()
        .map(|run| (run.first_index, run.chunks))
        .collect();
    assert_eq!(shape, [(0, 64), (64, 6)]);
    assert!(world.get("object", Wanted::All).await.unwrap() == bytes);
}

/// A declared length is held to, and nothing of a wrong upload is visible.
#[tokio::test]
async fn a_wrong_length_is_refused() {
    let world = World::new("4+2");
    for (declared, sent) in [
        (10, 11),
        (10, 9),
        (100_000, 100_001),
        (100_000, 99_999),
        (1, 0),
    ] {
        let bytes = noise(sent, 1);
        let declared = Some(ByteCount::new(declared));
        let refused = world.put_as("object", &bytes, 1000, declared).await;
        assert!(
            matches!(refused, Err(PutError::Length { .. })),
            "{refused:?}"
        );
        assert!(world.service.committed("object").is_none());
    }
    world.memory_comes_back().await;
}

/// HEAD tells what was stored; a deleted object is gone.
#[tokio::test]
async fn head_and_delete() {
    let world = World::new("4+2");
    let attributes = Attributes {
        etag: "tag".into(),
        user: vec![("colour".into(), "red".into())],
        ..Attributes::default()
    };
    let upload = world.client.put(&world.bucket, key("object"), None);
    let stored = upload
        .await
        .unwrap()
        .finish(attributes.clone(), Tags::default(), Condition::default())
        .await
        .unwrap();
    let head = world.head("object", Wanted::Nothing);
    let head = head.await.unwrap();
    assert_eq!(
        (head.version, head.length),
        (stored.version, ByteCount::ZERO)
    );
    assert_eq!(head.attributes, attributes);
    let download = world.download("object", Wanted::All);
    assert!(collect(download.await.unwrap()).await.unwrap().is_empty());

    world.delete("object", Condition::default()).await.unwrap();
    world.delete("object", Condition::default()).await.unwrap();
    let gone = world.head("object", Wanted::Nothing).await;
    assert_eq!(gone, Err(GetError::NoSuchObject));
}
