//! Multipart uploads: parts go in as they please, and one object comes out.

use crate::fake::{World, chosen, finish, key, noise, range};
use bytes::Bytes;
use client::{GetError, Pressure, PutError};
use futures::future::join_all;
use types::Attributes;
use types::size::{ByteCount, ByteOffset};
use types::wire::metadata::{Condition, ListUploads, MetadataError, Tags, UploadEntry, Wanted};

const MIB: usize = 1 << 20;
/// Inline, ragged, a chunk, more than two chunks.
const SIZES: [usize; 6] = [4 * MIB, 5_000, 9 * MIB + 1, 100, MIB + 77_777, 70_001];

/// Parts of all sizes, put in parallel and out of order, are one object: whole, by ranges across each
/// border, and part by part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_come_in_any_order_and_at_once() {
    let world = World::new("4+2");
    let parts: Vec<Vec<u8>> = (1..).zip(SIZES).map(|(i, size)| noise(size, i)).collect();
    let whole = parts.concat();
    let upload = world.begin("object").await;
    let puts = [5, 2, 6, 1, 4, 3].map(|number: u32| {
        let bytes = &parts[number as usize - 1];
        world.put_part("object", upload, number, bytes)
    });
    for put in join_all(puts).await {
        put.unwrap();
    }
    let missing = world.get("object", Wanted::All).await;
    assert_eq!(
        missing,
        Err(GetError::NoSuchObject),
        "not before it is complete"
    );
    let stored = world.complete("object", upload, Condition::default());
    assert_eq!(stored.await.unwrap().version, upload);

    assert!(world.get("object", Wanted::All).await.unwrap() == whole);
    let mut border = 0;
    for (number, part) in (1..).zip(&parts) {
        let wanted = Wanted::Part(number);
        let download = world.download("object", wanted).await.unwrap();
        let end = border + part.len();
        assert_eq!(download.range, border as u64..end as u64);
        assert!(
            world.get("object", wanted).await.unwrap() == *part,
            "part {number}"
        );
        let head = world.head("object", wanted);
        let head = head.await.unwrap();
        assert_eq!((head.parts, head.length), (6, ByteCount::of(&whole)));
        assert_eq!(head.first, ByteOffset::new(border as u64));
        assert_eq!(head.wanted, ByteCount::of(part));
        border = end;
        for (start, length) in [(end - 50, 100), (end - 1, 1), (end - 100, 2 * MIB)] {
            let expected = &whole[start..whole.len().min(start + length)];
            let served = world
                .get("object", range(start as u64, length as u64))
                .await;
            assert!(
                served.as_deref() == Ok(expected),
                "{length} bytes from {start}"
            );
        }
    }
    let beyond = world.get("object", Wanted::Part(7)).await;
    assert_eq!(beyond, Err(GetError::NoSuchPart { parts: 6 }));
    world.disks.check_digests();
    world.memory_comes_back().await;
}

/// A plain object is its own first part.
#[tokio::test]
async fn a_plain_object_has_one_part() {
    let world = World::new("4+2");
    for (name, bytes) in [("empty", Vec::new()), ("some", noise(70_000, 1))] {
        world.put(name, &bytes, MIB).await.unwrap();
        assert_eq!(world.get(name, Wanted::Part(1)).await, Ok(bytes));
        let beyond = world.get(name, Wanted::Part(2)).await;
        assert_eq!(beyond, Err(GetError::NoSuchPart { parts: 1 }));
        let head = world.head(name, Wanted::Nothing);
        assert_eq!(head.await.unwrap().parts, 0);
    }
}

/// A part that is put again replaces the one before it; who chose that one is told.
#[tokio::test]
async fn the_last_one_of_a_number_counts() {
    let world = World::new("4+2");
    let upload = world.begin("object").await;
    let (first, second) = (noise(70_000, 1), noise(6_000, 2));
    world.put_part("object", upload, 1, &first).await.unwrap();
    world.put_part("object", upload, 2, &first).await.unwrap();
    let seen = world.parts("object", upload).await.unwrap();
    world.put_part("object", upload, 1, &second).await.unwrap();
    let complete = |parts: Vec<_>| {
        let attributes = Attributes::default();
        let condition = Condition::default();
        let (client, bucket) = (&world.client, &world.bucket);
        client.complete_upload(bucket, key("object"), upload, parts, attributes, condition)
    };
    let stale = complete(seen.iter().map(chosen).collect()).await;
    assert_eq!(stale, Err(PutError::PartChanged));
    let seen = world.parts("object", upload).await.unwrap();
    let lengths: Vec<u64> = seen.iter().map(|part| part.length.get()).collect();
    assert_eq!(lengths, [6_000, 70_000]);
    complete(seen.iter().map(chosen).collect()).await.unwrap();
    let expected = [second, first].concat();
    assert!(world.get("object", Wanted::All).await.unwrap() == expected);
}

/// An upload is listed until it is given up; then nobody finds it, not even who is putting a part.
#[tokio::test]
async fn an_aborted_upload_is_gone() {
    let world = World::new("4+2");
    let (client, bucket) = (&world.client, &world.bucket);
    let upload = world.begin("object").await;
    let list = ListUploads {
        bucket: bucket.id,
        prefix: String::new(),
        delimiter: None,
        after: None,
        after_upload: None,
        limit: 1000,
    };
    let page = client.uploads(list.clone()).await.unwrap();
    let [UploadEntry::Upload(listed)] = &page.entries[..] else {
        panic!("{page:?}");
    };
    assert_eq!((listed.id, &listed.key), (upload, &key("object")));

    let part = client.put_part(bucket, key("object"), upload, 1, None);
    let mut part = part.await.unwrap();
    part.write(Bytes::from(noise(70_000, 1))).await.unwrap();
    client
        .abort_upload(bucket, key("object"), upload)
        .await
        .unwrap();
    let late = part.finish_part("etag".into(), Vec::new()).await;
    assert_eq!(late, Err(PutError::NoSuchUpload));
    let again = client.abort_upload(bucket, key("object"), upload).await;
    assert_eq!(again, Err(PutError::NoSuchUpload));
    let parts = world.parts("object", upload).await;
    assert_eq!(parts, Err(GetError::NoSuchUpload));
    assert!(client.uploads(list).await.unwrap().entries.is_empty());
}

/// A lost answer to a completion is asked for again under the same number. When none comes at all, the
/// outcome is called unknown, and the object's version tells it.
#[tokio::test(start_paused = true)]
async fn a_completion_happens_once() {
    let world = World::new("4+2");
    let upload = world.begin("object").await;
    world.put_part("object", upload, 1, b"small").await.unwrap();
    world.service.lose_answers(2);
    let stored = world.complete("object", upload, Condition::default());
    stored.await.unwrap();
    assert_eq!(world.service.calls("complete_upload"), 3);

    let upload = world.begin("object").await;
    world.put_part("object", upload, 1, b"other").await.unwrap();
    world.service.lose_answers(1_000_000);
    let unknown = world.complete("object", upload, Condition::default()).await;
    assert!(
        matches!(unknown, Err(PutError::OutcomeUnknown(_))),
        "{unknown:?}"
    );
    world.service.lose_answers(0);
    let again = world.complete_blindly("object", upload).await;
    assert_eq!(again, Err(PutError::NoSuchUpload));
    let head = world.head("object", Wanted::Nothing);
    assert_eq!(head.await.unwrap().version, upload);
    assert_eq!(world.get("object", Wanted::All).await.unwrap(), b"other");
}

/// A part whose commit is not answered may be there: that is what its sender is told.
#[tokio::test(start_paused = true)]
async fn a_part_may_be_there() {
    let world = World::new("4+2");
    let upload = world.begin("object").await;
    world.service.lose_answers(1_000_000);
    let unknown = world.put_part("object", upload, 1, b"small").await;
    assert!(
        matches!(unknown, Err(PutError::OutcomeUnknown(_))),
        "{unknown:?}"
    );
    world.service.lose_answers(0);
    assert_eq!(world.parts("object", upload).await.unwrap().len(), 1);
    world.put_part("object", upload, 1, b"small").await.unwrap();
}

/// A session that expires takes the part with it that was on its way, and nothing else: the upload goes
/// on under the next session, and the parts before it are there.
#[tokio::test]
async fn an_expired_session_costs_a_part() {
    let world = World::new("4+2");
    let upload = world.begin("object").await;
    let (first, second) = (noise(70_000, 1), noise(9 * MIB, 2));
    world.put_part("object", upload, 1, &first).await.unwrap();
    for sent in [MIB, 5 * MIB, 9 * MIB] {
        let part = world
            .client
            .put_part(&world.bucket, key("object"), upload, 2, None);
        let mut part = part.await.unwrap();
        part.write(Bytes::copy_from_slice(&second[..sent]))
            .await
            .unwrap();
        world.service.expire_sessions();
        // Somebody else learns it first.
        world.put("other", b"small", MIB).await.unwrap_err();
        let rest = part.write(Bytes::copy_from_slice(&second[sent..])).await;
        let failed = match rest {
            Ok(()) => part.finish_part("etag".into(), Vec::new()).await.map(drop),
            failed => failed,
        };
        let expected = PutError::SlowDown(Pressure::Metadata(MetadataError::SessionExpired));
        assert_eq!(failed, Err(expected), "after {sent} bytes");
        assert_eq!(world.parts("object", upload).await.unwrap().len(), 1);
    }
    world.put_part("object", upload, 2, &second).await.unwrap();
    let stored = world.complete("object", upload, Condition::default());
    stored.await.unwrap();
    assert!(world.get("object", Wanted::All).await.unwrap() == [first, second].concat());
    world.memory_comes_back().await;
}

/// What was begun as a part never becomes an object, nor the other way round; and a part that is not as
/// long as declared never becomes a part.
#[tokio::test]
async fn a_part_is_no_object() {
    let world = World::new("4+2");
    let upload = world.begin("object").await;
    let (client, bucket) = (&world.client, &world.bucket);
    let part = client.put_part(bucket, key("object"), upload, 1, None);
    let refused = finish(part.await.unwrap()).await;
    assert!(matches!(refused, Err(PutError::Refused(_))), "{refused:?}");
    let object = client.put(bucket, key("object"), None).await.unwrap();
    let refused = object.finish_part(String::new(), Vec::new()).await;
    assert!(matches!(refused, Err(PutError::Refused(_))), "{refused:?}");

    let declared = Some(ByteCount::new(5));
    let short = client.put_part(bucket, key("object"), upload, 1, declared);
    let short = short.await.unwrap().finish_part(String::new(), Vec::new());
    assert!(matches!(short.await, Err(PutError::Length { .. })));
    assert_eq!(world.parts("object", upload).await, Ok(Vec::new()));
    assert!(world.service.committed("object").is_none());
}

/// Tags that an upload was begun with are the object's.
#[tokio::test]
async fn tags_come_with_the_upload() {
    let world = World::new("4+2");
    let tags = Tags(vec![("colour".into(), "red".into())]);
    let new = client::NewUpload {
        bucket: &world.bucket,
        key: key("object"),
        owner: "owner".into(),
        attributes: Attributes::default(),
        checksum: None,
        tags: tags.clone(),
    };
    let upload = world.client.begin_upload(new).await.unwrap();
    world.put_part("object", upload, 1, b"small").await.unwrap();
    let stored = world.complete("object", upload, Condition::default());
    stored.await.unwrap();
    let found = world.client.tags(&world.bucket, &key("object")).await;
    assert_eq!(found, Ok(tags));
    let head = world.head("object", Wanted::Nothing);
    assert_eq!(head.await.unwrap().tags, 1);
}

/// Memory is reserved for a part as it is for an object: many slow parts at once stay in the budget.
#[tokio::test(start_paused = true)]
async fn slow_parts_stay_in_the_budget() {
    let world = World::with(
        "4+2",
        1,
        client::ClientConfig {
            memory: ByteCount::new(40 << 20),
            ..crate::fake::config()
        },
    );
    let upload = world.begin("object").await;
    let mut slow = Vec::new();
    for number in 1..=3 {
        let part = world
            .client
            .put_part(&world.bucket, key("object"), upload, number, None);
        let mut part = part.await.unwrap();
        part.write(Bytes::from_static(b"x")).await.unwrap();
        slow.push(part);
    }
    let late = world
        .put_part("object", upload, 4, &noise(5 * MIB, 1))
        .await;
    assert!(
        matches!(late, Err(PutError::SlowDown(Pressure::Memory(_)))),
        "{late:?}"
    );
    assert!(world.client.budget().used() <= world.client.budget().total());
    for part in slow {
        part.finish_part(String::new(), Vec::new()).await.unwrap();
    }
    world.memory_comes_back().await;
}
