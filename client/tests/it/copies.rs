//! Copies by reference, and what of them can be read.

use crate::fake::{World, key, noise, range};
use client::PutError;
use types::size::{ByteCount, ByteOffset};
use types::wire::metadata::{Condition, CopySource, Tags, Wanted};
use types::{Attributes, VersionId};

const MIB: usize = 1 << 20;

impl World {
    async fn source(&self, name: &str) -> CopySource {
        let head = self.head(name, Wanted::Nothing);
        CopySource {
            bucket: self.bucket.id,
            key: key(name),
            version: head.await.unwrap().version,
        }
    }

    async fn copy(&self, source: CopySource, to: &str) -> Result<VersionId, PutError> {
        let (attributes, tags, condition) = Default::default();
        let copy = self
            .client
            .copy(source, &self.bucket, key(to), attributes, tags, condition);
        Ok(copy.await?.version)
    }

    /// Copies a range into an upload as part `number`.
    async fn copy_part(
        &self,
        source: &CopySource,
        (first, length): (usize, usize),
        upload: VersionId,
        number: u32,
    ) -> Result<(), PutError> {
        let (first, length) = (ByteOffset::new(first as u64), ByteCount::new(length as u64));
        let (source, to) = (source.clone(), key("copy"));
        let etag = "copied".to_owned();
        let copy = self.client.copy_part(
            source,
            first,
            length,
            &self.bucket,
            to,
            upload,
            number,
            etag,
            Vec::new(),
        );
        copy.await.map(drop)
    }
}

/// A copy shows the same bytes, moves none, and lives on when its source is gone; so does a copy of an
/// object of many parts, with its parts.
#[tokio::test]
async fn a_copy_moves_no_byte() {
    let world = World::new("4+2");
    let parts = [noise(5 * MIB + 3, 1), noise(2 * MIB + 1, 2)];
    let plain = noise(5 * MIB, 3);
    world.put("plain", &plain, MIB).await.unwrap();
    world.put_parts("parts", &parts).await;
    let shards = world.disks.shards_of(1);
    for (name, bytes) in [("plain", plain), ("parts", parts.concat())] {
        let source = world.source(name).await;
        let version = world.copy(source.clone(), "copy").await.unwrap();
        assert_ne!(version, source.version);
        world.delete(name, Condition::default()).await.unwrap();
        assert!(world.get("copy", Wanted::All).await.unwrap() == bytes);
    }
    assert!(world.get("copy", Wanted::Part(2)).await.unwrap() == parts[1]);
    assert_eq!(world.disks.shards_of(1), shards);
}

/// What may not be shared, has changed or is not there is said so, and nothing is made.
#[tokio::test]
async fn what_cannot_be_copied_is_said() {
    let world = World::new("4+2");
    world.put("small", b"small", MIB).await.unwrap();
    let small = world.source("small").await;
    let shared = world.copy(small.clone(), "copy").await;
    assert_eq!(shared, Err(PutError::NotShareable));
    world.put("small", b"other", MIB).await.unwrap();
    let changed = world.copy(small.clone(), "copy").await;
    assert_eq!(changed, Err(PutError::SourceChanged));
    world.delete("small", Condition::default()).await.unwrap();
    let gone = world.copy(small, "copy").await;
    assert_eq!(gone, Err(PutError::NoSuchObject));

    world.put("large", &noise(3 * MIB, 1), MIB).await.unwrap();
    let large = world.source("large").await;
    let nowhere = VersionId::new([1; 16]);
    let refused = world.copy_part(&large, (0, 2 * MIB), nowhere, 1).await;
    assert_eq!(refused, Err(PutError::NoSuchUpload));
    let upload = world.begin("copy").await;
    let refused = world.copy_part(&large, (0, MIB - 1), upload, 1).await;
    assert_eq!(refused, Err(PutError::NotShareable));
    assert!(world.parts("copy", upload).await.unwrap().is_empty());
}

/// A copy whose answer is lost happens once; one that is never answered may have happened.
#[tokio::test(start_paused = true)]
async fn a_copy_happens_once() {
    let world = World::new("4+2");
    let bytes = noise(2 * MIB, 1);
    world.put("object", &bytes, MIB).await.unwrap();
    let source = world.source("object").await;
    let upload = world.begin("copy").await;
    world.service.lose_answers(2);
    let version = world.copy(source.clone(), "copy").await.unwrap();
    assert_eq!(world.source("copy").await.version, version);
    assert_eq!(world.service.calls("copy_object"), 3);
    world.service.lose_answers(1_000_000);
    let unknown = world.copy(source.clone(), "copy").await;
    assert!(
        matches!(unknown, Err(PutError::OutcomeUnknown(_))),
        "{unknown:?}"
    );
    let unknown = world.copy_part(&source, (0, 2 * MIB), upload, 1).await;
    assert!(
        matches!(unknown, Err(PutError::OutcomeUnknown(_))),
        "{unknown:?}"
    );
    world.service.lose_answers(0);
    assert_eq!(world.parts("copy", upload).await.unwrap().len(), 1);
    assert!(world.get("copy", Wanted::All).await.unwrap() == bytes);
}

/// An object onto itself with other attributes is another version of the same bytes.
#[tokio::test]
async fn an_object_is_copied_onto_itself() {
    let world = World::new("4+2");
    let bytes = noise(2 * MIB, 1);
    let stored = world.put("object", &bytes, MIB).await.unwrap();
    let source = world.source("object").await;
    let attributes = Attributes {
        user: vec![("colour".into(), "red".into())],
        ..Attributes::default()
    };
    let tags = Tags(vec![("a".into(), "b".into())]);
    let (to, condition) = (key("object"), Condition::default());
    let copy = world.client.copy(
        source,
        &world.bucket,
        to,
        attributes.clone(),
        tags,
        condition,
    );
    assert_ne!(copy.await.unwrap().version, stored.version);
    let head = world.head("object", Wanted::Nothing);
    let head = head.await.unwrap();
    assert_eq!((head.attributes, head.tags), (attributes, 1));
    assert!(world.get("object", Wanted::All).await.unwrap() == bytes);
}

/// Pieces that begin and end anywhere in their blobs, in the middle of segments and chunks, and parts of
/// several pieces, are byte-exact: whole, by part, and by ranges across each border, with disks lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ragged_pieces_are_byte_exact() {
    let world = World::new("4+2");
    let parts = [
        noise(3 * MIB + 5, 1),
        noise(9 * MIB + 70_001, 2),
        noise(2 * MIB, 3),
    ];
    let source = parts.concat();
    world.put_parts("source", &parts).await;
    let from = world.source("source").await;
    let upload = world.begin("copy").await;
    let ranges = [
        (1, MIB),
        (MIB + 12_345, MIB + 99_999),
        // across both borders: three pieces
        (MIB + 1, 12 * MIB + 100_000),
        (4 * MIB + 65_535, 4 * MIB + 2),
        (source.len() - MIB - 1, MIB + 1),
    ];
    let mut expected = Vec::new();
    let mut borders = Vec::new();
    for (number, (first, length)) in (1..).zip(ranges) {
        world
            .copy_part(&from, (first, length), upload, number)
            .await
            .unwrap();
        expected.extend_from_slice(&source[first..first + length]);
        borders.push(expected.len());
    }
    let own = noise(5_000, 4);
    world.put_part("copy", upload, 6, &own).await.unwrap();
    expected.extend_from_slice(&own);
    let stored = world.complete("copy", upload, Condition::default());
    stored.await.unwrap();

    for lost in [&[][..], &[1, 6]] {
        for disk in lost {
            world.disks.fault(*disk, crate::fake::Fault::Absent);
        }
        assert!(world.get("copy", Wanted::All).await.unwrap() == expected);
        for (number, (first, length)) in (1..).zip(ranges) {
            let part = world.get("copy", Wanted::Part(number)).await.unwrap();
            assert!(part == source[first..first + length], "part {number}");
        }
        for border in &borders {
            for (start, length) in [(border - 1, 2), (border - 70_000, 140_000), (*border, 1)] {
                let end = expected.len().min(start + length);
                let served = world.get("copy", range(start as u64, length as u64)).await;
                assert!(
                    served.as_deref() == Ok(&expected[start..end]),
                    "{start}..{end}"
                );
            }
        }
    }
    world.memory_comes_back().await;
}
