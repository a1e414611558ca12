//! Copies by reference of what has parts, and into parts.

use crate::copies::{bytes_of, life};
use crate::fixture::{key, profile};
use crate::multipart::put;
use crate::service::Gateway;
use std::time::Duration;
use strongroom_metadata::ServerConfig;
use strongroom_metadata::tables::{BLOBS, MANIFESTS, PARTS, TableKey};
use types::Label;
use types::attributes::{Checksum, ChecksumAlgorithm, ChecksumKind};
use types::id::{BlobId, BucketId, VersionId};
use types::size::{ByteCount, ByteOffset, MIB};
use types::wire::Metadata;
use types::wire::metadata::{
    CommitPart, Condition, CopyPart, CopySource, Located, MetadataError, Wanted,
};

/// A service that keeps nothing for long.
async fn gateway() -> Gateway {
    let config = ServerConfig {
        reclaim_after: Duration::ZERO,
        ..ServerConfig::new(profile())
    };
    Gateway::with(config).await
}

fn checksums(number: u32) -> Vec<Checksum> {
    vec![Checksum {
        algorithm: ChecksumAlgorithm::Crc32,
        kind: ChecksumKind::FullObject,
        value: number.to_be_bytes().into(),
    }]
}

impl Gateway {
    async fn part(
        &mut self,
        name: &str,
        upload: VersionId,
        number: u32,
        length: u64,
    ) -> CommitPart {
        let issued = self.issue().await;
        CommitPart {
            request: self.request(),
            bucket: self.bucket.id,
            key: key(name),
            upload,
            number,
            etag: format!("etag-{number}"),
            checksums: checksums(number),
            blob: issued.blob,
            wrap: issued.wrap.clone(),
            wrap_expires_ms: issued.expires_ms,
            length: ByteCount::new(length),
            place: self.run(length),
        }
    }

    /// An object of these parts, numbers and lengths; its version, and the parts' blobs.
    async fn of_parts(&mut self, name: &str, parts: &[(u32, u64)]) -> (VersionId, Vec<BlobId>) {
        let upload = self.begin_upload(name).await;
        let mut blobs = Vec::new();
        for (number, length) in parts {
            let part = self.part(name, upload, *number, *length).await;
            blobs.push(part.blob);
            self.server.commit_part(part).await.unwrap();
        }
        self.finish(name, upload).await;
        (upload, blobs)
    }

    async fn finish(&mut self, name: &str, upload: VersionId) {
        let completed = self.complete(name, upload, Condition::default()).await;
        completed.unwrap();
    }

    fn source(&self, name: &str, version: VersionId) -> CopySource {
        CopySource {
            bucket: self.bucket.id,
            key: key(name),
            version,
        }
    }

    fn part_of(&mut self, source: CopySource, range: (u64, u64), upload: VersionId) -> CopyPart {
        let mut request = self.request();
        request.answered_below = 1;
        CopyPart {
            request,
            source,
            first: ByteOffset::new(range.0),
            length: ByteCount::new(range.1),
            bucket: self.bucket.id,
            key: key("into"),
            upload,
            number: 7,
            etag: "etag-copied".to_owned(),
            checksums: Vec::new(),
        }
    }

    fn lives(&self, blobs: &[BlobId]) -> Vec<(u32, bool)> {
        blobs.iter().map(|blob| life(self.store(), *blob)).collect()
    }
}

/// A copy of an object of parts has the same parts, sealed and wrapped for it alone: it outlives its source,
/// and what both show dies with the last of them.
#[tokio::test]
async fn a_copy_of_parts_has_parts_of_its_own() {
    let mut gateway = gateway().await;
    let bucket = gateway.bucket.id;
    let (version, blobs) = gateway
        .of_parts("object", &[(2, MIB), (5, 2 * MIB), (9, MIB)])
        .await;
    let shown = gateway.shows(bucket, "object").await.unwrap();
    let listed = gateway.parts("object", version).await.unwrap().parts;

    let copy = gateway.copy(gateway.source("object", version), bucket, "copy");
    gateway.server.copy_object(copy.clone()).await.unwrap();
    assert_eq!(gateway.lives(&blobs), [(2, false); 3]);
    for _ in 0..2 {
        let found = gateway.shows(bucket, "copy").await.unwrap();
        assert_eq!(bytes_of(&found), bytes_of(&shown));
        assert_eq!((found.parts, found.version), (3, copy.version));
        let part = gateway.lookup("copy", Wanted::Part(5)).await.unwrap();
        assert_eq!(
            (part.first, part.wanted),
            (ByteOffset::new(MIB), ByteCount::new(2 * MIB))
        );
        let of_copy = gateway.parts("copy", copy.version).await.unwrap().parts;
        for (one, other) in of_copy.iter().zip(&listed) {
            assert_eq!(
                (one.number, one.length, &one.etag),
                (other.number, other.length, &other.etag)
            );
            assert!(one.checksums == other.checksums);
        }
        assert_eq!(of_copy.len(), listed.len());
        gateway.delete(bucket, "object").await;
        gateway.swept().await;
        assert_eq!(gateway.lives(&blobs), [(1, false); 3]);
    }
    // Onto itself: what is replaced is swept, and takes one reference with it.
    let again = gateway.copy(gateway.source("copy", copy.version), bucket, "copy");
    gateway.server.copy_object(again).await.unwrap();
    assert_eq!(gateway.lives(&blobs), [(2, false); 3]);
    gateway.swept().await;
    assert_eq!(gateway.lives(&blobs), [(1, false); 3]);
    let found = gateway.shows(bucket, "copy").await.unwrap();
    assert_eq!(bytes_of(&found), bytes_of(&shown));
    gateway.delete(bucket, "copy").await;
    gateway.swept().await;
    assert_eq!(gateway.lives(&blobs), [(0, true); 3]);
    let store = gateway.store();
    assert_eq!(
        (
            PARTS.scan(store, &[]).count(),
            MANIFESTS.scan(store, &[]).count()
        ),
        (0, 0)
    );
}

/// As many pieces as may be shared are copied, over two rows of a manifest; one more is not, nor is an
/// object with one small part.
#[tokio::test]
async fn as_many_pieces_as_may_be_shared() {
    let mut gateway = gateway().await;
    let bucket = gateway.bucket.id;
    let parts: Vec<_> = (1..=256).map(|number| (number, MIB)).collect();
    let (version, blobs) = gateway.of_parts("most", &parts).await;
    let copy = gateway.copy(gateway.source("most", version), bucket, "copy");
    gateway.server.copy_object(copy.clone()).await.unwrap();
    assert_eq!(gateway.lives(&blobs), [(2, false); 256]);
    assert_eq!(
        MANIFESTS
            .scan(gateway.store(), &copy.version.bytes())
            .count(),
        2
    );
    for number in [1, 255, 256] {
        let wanted = Wanted::Part(number);
        let (one, other) = (
            gateway.lookup("copy", wanted).await,
            gateway.lookup("most", wanted).await,
        );
        assert_eq!(bytes_of(&one.unwrap()), bytes_of(&other.unwrap()));
    }
    // With checksums as long as they may be, they do not fit in one command.
    let fat = gateway.begin_upload("fat").await;
    for number in 1..=256 {
        let checksum = Checksum {
            value: vec![7; 64],
            ..checksums(number).remove(0)
        };
        let mut part = gateway.part("fat", fat, number, MIB).await;
        part.checksums = vec![checksum; 8];
        part.etag = "e".repeat(256);
        gateway.server.commit_part(part).await.unwrap();
    }
    gateway.finish("fat", fat).await;
    let parts: Vec<_> = (1..=257).map(|number| (number, MIB)).collect();
    let (version, _) = gateway.of_parts("more", &parts).await;
    let (ragged, _) = gateway.of_parts("ragged", &[(1, MIB), (2, MIB - 1)]).await;
    for (name, version) in [("fat", fat), ("more", version), ("ragged", ragged)] {
        let copy = gateway.copy(gateway.source(name, version), bucket, "refused");
        let refused = gateway.server.copy_object(copy).await;
        assert_eq!(refused, Err(MetadataError::NotShareable), "{name}");
    }
}

/// What lies in the extents of a range: blob, offset in it, length, data key.
fn cut(located: &Located) -> Vec<(BlobId, u64, u64, Vec<u8>)> {
    let extents = located.extents.iter();
    extents
        .map(|extent| {
            let key = extent.key.expose().to_vec();
            (
                extent.blob,
                extent.blob_offset.get(),
                extent.length.get(),
                key,
            )
        })
        .collect()
}

/// A range of an object becomes a part that shows the very pieces in it, cut at both ends; what it replaces
/// and what is given up lets go of them. Copied again, as a whole, it still is that part.
#[tokio::test]
async fn a_range_becomes_a_part() {
    let mut gateway = gateway().await;
    let bucket = gateway.bucket.id;
    let (version, blobs) = gateway
        .of_parts("object", &[(1, 3 * MIB), (2, MIB), (3, 4 * MIB)])
        .await;
    let keys: Vec<_> = gateway.shows(bucket, "object").await.unwrap().extents;
    let upload = gateway.begin_upload("into").await;
    let source = gateway.source("object", version);

    let whole = gateway.part_of(source.clone(), (0, 8 * MIB), upload);
    gateway.server.copy_part(whole).await.unwrap();
    assert_eq!(gateway.lives(&blobs), [(2, false); 3]);
    // The same part again, and again under one number: the references of the first are let go.
    let range = (MIB + 7, 5 * MIB);
    let copy = gateway.part_of(source.clone(), range, upload);
    let modified = gateway.server.copy_part(copy.clone()).await.unwrap();
    assert_eq!(gateway.server.copy_part(copy).await, Ok(modified));
    assert_eq!(gateway.lives(&blobs), [(2, false); 3]);
    let last = gateway.part_of(source.clone(), (7 * MIB, MIB), upload);
    gateway
        .server
        .copy_part(CopyPart { number: 8, ..last })
        .await
        .unwrap();
    assert_eq!(gateway.lives(&blobs), [(2, false), (2, false), (3, false)]);

    let listed = gateway.parts("into", upload).await.unwrap().parts;
    let listed: Vec<_> = listed
        .iter()
        .map(|part| (part.number, part.length.get()))
        .collect();
    assert_eq!(listed, [(7, 5 * MIB), (8, MIB)]);
    gateway.finish("into", upload).await;
    let found = gateway.shows(bucket, "into").await.unwrap();
    let key = |at: usize| keys[at].key.expose().to_vec();
    let expected = [
        (blobs[0], MIB + 7, 2 * MIB - 7, key(0)),
        (blobs[1], 0, MIB, key(1)),
        (blobs[2], 0, 2 * MIB + 7, key(2)),
        (blobs[2], 3 * MIB, MIB, key(2)),
    ];
    assert_eq!((cut(&found), found.parts), (expected.to_vec(), 2));

    let again = gateway.copy(gateway.source("into", upload), bucket, "again");
    gateway.server.copy_object(again).await.unwrap();
    let found = gateway.shows(bucket, "again").await.unwrap();
    assert_eq!((cut(&found), found.parts), (expected.to_vec(), 2));
    assert_eq!(gateway.lives(&blobs), [(3, false), (3, false), (5, false)]);
    for name in ["object", "into"] {
        gateway.delete(bucket, name).await;
    }
    gateway.swept().await;
    assert_eq!(gateway.lives(&blobs), [(1, false), (1, false), (2, false)]);

    let upload = gateway.begin_upload("into").await;
    let object = gateway.stored("plain", 2 * MIB).await;
    let copy = gateway.part_of(gateway.source("plain", object.version), (5, MIB), upload);
    gateway.server.copy_part(copy).await.unwrap();
    assert_eq!(gateway.lives(&[object.blob]), [(2, false)]);
    gateway.abort_it("into", upload).await.unwrap();
    gateway.swept().await;
    assert_eq!(gateway.lives(&[object.blob]), [(1, false)]);
}

/// What may not be shared, is not what was seen, or goes nowhere, is refused; nothing changes.
#[tokio::test]
async fn parts_are_refused() {
    let mut gateway = gateway().await;
    let secret = Label {
        level: 3,
        ..Label::default()
    };
    let secret = gateway.bucket_of("secret", secret).await;
    let (version, _) = gateway
        .of_parts("object", &[(1, 3 * MIB), (2, MIB), (3, 4 * MIB)])
        .await;
    let upload = gateway.begin_upload("into").await;
    let source = gateway.source("object", version);
    type Spoil = Box<dyn Fn(&mut CopyPart)>;
    let range = |first, length| -> Spoil {
        Box::new(move |copy| {
            (copy.first, copy.length) = (ByteOffset::new(first), ByteCount::new(length));
        })
    };
    let length = 8 * MIB;
    let outside = MetadataError::RangeNotSatisfiable { length };
    let cases: Vec<(&str, Spoil, MetadataError)> = vec![
        ("nothing", range(MIB, 0), MetadataError::NotShareable),
        (
            "a small range",
            range(7, MIB - 1),
            MetadataError::NotShareable,
        ),
        (
            "a small piece",
            range(2 * MIB + 1, 3 * MIB),
            MetadataError::NotShareable,
        ),
        ("behind the end", range(7 * MIB, MIB + 1), outside.clone()),
        ("far behind it", range(u64::MAX, u64::MAX), outside),
        (
            "another version",
            Box::new(|copy| copy.source.version = VersionId::new([9; 16])),
            MetadataError::SourceChanged,
        ),
        (
            "another label",
            Box::new(move |copy| copy.bucket = secret),
            MetadataError::NotShareable,
        ),
        (
            "no such bucket",
            Box::new(|copy| copy.bucket = BucketId::new(999)),
            MetadataError::NoSuchBucket,
        ),
        (
            "no such upload",
            Box::new(|copy| copy.upload = VersionId::new([9; 16])),
            MetadataError::NoSuchUpload,
        ),
        (
            "an upload of another key",
            Box::new(|copy| copy.key = key("object")),
            MetadataError::NoSuchUpload,
        ),
    ];
    for (what, spoil, error) in cases {
        let mut copy = gateway.part_of(source.clone(), (0, 8 * MIB), upload);
        spoil(&mut copy);
        assert_eq!(gateway.server.copy_part(copy).await, Err(error), "{what}");
    }
    for number in [0, 10_001] {
        let copy = gateway.part_of(source.clone(), (0, 8 * MIB), upload);
        let refused = gateway.server.copy_part(CopyPart { number, ..copy }).await;
        assert!(
            matches!(refused, Err(MetadataError::Malformed(_))),
            "{number}"
        );
    }
    for row in BLOBS.scan(gateway.store(), &[]) {
        assert_eq!(row.unwrap().1.references, 1);
    }
}

/// A manifest or a part that is not the source's own does not become good by being copied.
#[tokio::test]
async fn tampered_parts_are_not_copied() {
    let mut gateway = gateway().await;
    let bucket = gateway.bucket.id;
    let (version, _) = gateway.of_parts("object", &[(1, MIB), (2, MIB)]).await;
    let (other, _) = gateway.of_parts("other", &[(1, MIB), (2, MIB)]).await;
    let upload = gateway.begin_upload("into").await;
    let at = (version, 2 * MIB);
    let manifest = MANIFESTS.get(gateway.store(), &at).unwrap().unwrap();
    let part = PARTS.get(gateway.store(), &(version, 2)).unwrap().unwrap();
    let theirs = PARTS.get(gateway.store(), &(other, 2)).unwrap().unwrap();

    let mut swapped = manifest.clone();
    let (first, second) = (swapped.entries[0].blob, swapped.entries[1].blob);
    (swapped.entries[0].blob, swapped.entries[1].blob) = (second, first);
    let mut shifted = manifest.clone();
    shifted.entries[1].offset = ByteOffset::new(1);
    let mut unproved = manifest.clone();
    unproved.mac = bytes::Bytes::new();
    let mut rewrapped = part.clone();
    rewrapped.pieces[0].wrap = theirs.pieces[0].wrap.clone();
    let mut resealed = part.clone();
    resealed.sealed = theirs.sealed.clone();
    let cases = [
        (swapped, part.clone()),
        (shifted, part.clone()),
        (unproved, part.clone()),
        (manifest.clone(), rewrapped),
        (manifest.clone(), resealed),
        (manifest.clone(), theirs),
    ];
    let source = gateway.source("object", version);
    for (number, (bad_manifest, bad_part)) in cases.into_iter().enumerate() {
        put(&gateway, &MANIFESTS, &at, &bad_manifest);
        put(&gateway, &PARTS, &(version, 2), &bad_part);
        let before = gateway.store().running_digest();
        let copy = gateway.copy(source.clone(), bucket, "copy");
        let refused = gateway.server.copy_object(copy).await;
        assert_eq!(refused, Err(MetadataError::RowDamaged), "case {number}");
        // What is sealed of a part is not looked at for a range.
        if number != 4 {
            let copy = gateway.part_of(source.clone(), (0, 2 * MIB), upload);
            let refused = gateway.server.copy_part(copy).await;
            assert_eq!(refused, Err(MetadataError::RowDamaged), "case {number}");
        }
        assert_eq!(gateway.store().running_digest(), before, "case {number}");
    }
    put(&gateway, &MANIFESTS, &at, &manifest);
    put(&gateway, &PARTS, &(version, 2), &part);
    let copy = gateway.copy(source, bucket, "copy");
    gateway.server.copy_object(copy).await.unwrap();
}
