//! Copies by reference: no byte moves, and no blob dies or lives longer than what refers to it.

use crate::fixture::{World, chunk_bytes, key};
use crate::service::Gateway;
use bytes::Bytes;
use strongroom_metadata::command::{Commit, Copied, CopyObject as Copy, NamespaceCommand};
use strongroom_metadata::tables::{BLOBS, HEADS, RECLAIMS};
use strongroom_metadata::{Refusal, Reply, Store};
use types::Label;
use types::attributes::Attributes;
use types::id::{BlobId, BucketId, VersionId};
use types::manifest::Place;
use types::size::{ByteCount, MIB};
use types::wire::Metadata;
use types::wire::metadata::{
    CommitObject, Condition, CopyObject, CopySource, EtagMatch, Located, Lookup, MetadataError,
    Tags, Wanted,
};

fn high() -> Label {
    Label {
        level: 3,
        ..Label::default()
    }
}

/// How many references a blob has, and whether it is to be reclaimed.
pub(crate) fn life(store: &Store, blob: BlobId) -> (u32, bool) {
    let row = BLOBS.get(store, &blob).unwrap().unwrap();
    let is_it = |key: &[u8]| key[8..] == blob.to_be_bytes();
    let waits = RECLAIMS.scan(store, &[]).any(|row| is_it(&row.unwrap().0));
    (row.references, waits || row.condemned.is_some())
}

fn source(of: &CommitObject) -> CopySource {
    CopySource {
        bucket: of.bucket,
        key: of.key.clone(),
        version: of.version,
    }
}

impl Gateway {
    pub(crate) async fn bucket_of(&mut self, name: &str, label: Label) -> BucketId {
        let mut create = self.create(name);
        create.label = label;
        self.server.create_bucket(create).await.unwrap().id
    }

    /// A committed object of so many bytes in chunks.
    pub(crate) async fn stored(&mut self, name: &str, length: u64) -> CommitObject {
        let (commit, _) = self.chunked(name, length).await;
        self.server.commit_object(commit.clone()).await.unwrap();
        commit
    }

    pub(crate) fn copy(&mut self, source: CopySource, bucket: BucketId, name: &str) -> CopyObject {
        let mut request = self.request();
        // Its answer may still be asked for, and those of all before it.
        request.answered_below = 1;
        CopyObject {
            request,
            source,
            bucket,
            key: key(name),
            version: VersionId::new(u128::from(request.sequence).to_be_bytes()),
            attributes: Attributes {
                etag: "copied".to_owned(),
                ..Attributes::default()
            },
            tags: Tags::default(),
            condition: Condition::default(),
        }
    }

    pub(crate) async fn shows(
        &self,
        bucket: BucketId,
        name: &str,
    ) -> Result<Located, MetadataError> {
        let lookup = Lookup {
            bucket,
            key: key(name),
            wanted: Wanted::All,
            version: None,
        };
        self.server.lookup(lookup).await
    }
}

/// What a version shows: blob, data key, length and chunks of each extent.
pub(crate) fn bytes_of(located: &Located) -> Vec<(BlobId, Vec<u8>, u64, Place)> {
    let extents = located.extents.iter();
    extents
        .map(|extent| {
            let key = extent.key.expose().to_vec();
            (extent.blob, key, extent.length.get(), extent.place.clone())
        })
        .collect()
}

/// A copy shows the bytes of its source, under attributes of its own, in whatever bucket of that label; it
/// outlives its source, and the blob dies with the last that shows it.
#[tokio::test]
async fn a_shared_blob_dies_with_its_last_reference() {
    let mut gateway = Gateway::new().await;
    let first = gateway.bucket.id;
    let second = gateway.bucket_of("second", Label::default()).await;
    let object = gateway.stored("object", 2 * chunk_bytes() + 5).await;
    let shown = gateway.shows(first, "object").await.unwrap();
    assert_eq!(life(gateway.store(), object.blob), (1, false));

    let mut copy = gateway.copy(source(&object), second, "copy");
    copy.tags = Tags(vec![("a".to_owned(), "b".to_owned())]);
    let modified = gateway.server.copy_object(copy.clone()).await.unwrap();
    let found = gateway.shows(second, "copy").await.unwrap();
    assert_eq!(bytes_of(&found), bytes_of(&shown));
    assert_eq!((found.version, found.length), (copy.version, object.length));
    assert_eq!((found.modified, found.tags), (modified, 1));
    assert!(found.attributes == copy.attributes);
    assert_eq!(
        gateway.server.tags(second, key("copy")).await,
        Ok(copy.tags.clone())
    );
    assert_eq!(life(gateway.store(), object.blob), (2, false));

    let (mut other, _) = gateway.chunked("object", MIB).await;
    other.request.answered_below = 1;
    gateway.server.commit_object(other).await.unwrap();
    // Sent again, it is answered, though its source is gone.
    assert_eq!(gateway.server.copy_object(copy).await, Ok(modified));
    assert_eq!(life(gateway.store(), object.blob), (1, false));
    let found = gateway.shows(second, "copy").await.unwrap();
    assert_eq!(bytes_of(&found), bytes_of(&shown));
    gateway.delete(second, "copy").await;
    assert_eq!(life(gateway.store(), object.blob), (0, true));
}

/// An object copied onto itself shows its bytes under other attributes, and nothing of it dies.
#[tokio::test]
async fn an_object_is_copied_onto_itself() {
    let mut gateway = Gateway::new().await;
    let bucket = gateway.bucket.id;
    let object = gateway.stored("object", MIB).await;
    let shown = gateway.shows(bucket, "object").await.unwrap();
    let copy = gateway.copy(source(&object), bucket, "object");
    let modified = gateway.server.copy_object(copy.clone()).await;
    assert_eq!(gateway.server.copy_object(copy.clone()).await, modified);
    let found = gateway.shows(bucket, "object").await.unwrap();
    assert_eq!(bytes_of(&found), bytes_of(&shown));
    assert_eq!(
        (found.version, found.attributes.etag.as_str()),
        (copy.version, "copied")
    );
    assert_eq!(life(gateway.store(), object.blob), (1, false));
}

/// What may not be shared, is not what was seen, or replaces what it must not, is refused; nothing changes.
#[tokio::test]
async fn copies_are_refused() {
    let mut gateway = Gateway::new().await;
    let bucket = gateway.bucket.id;
    let secret = gateway.bucket_of("secret", high()).await;
    let large = gateway.stored("large", MIB).await;
    let small = gateway.stored("small", MIB - 1).await;
    let (inline, _) = gateway.inline("inline", 10).await;
    gateway.server.commit_object(inline.clone()).await.unwrap();
    let (empty, _) = gateway.inline("empty", 0).await;
    gateway.server.commit_object(empty.clone()).await.unwrap();
    let mut elsewhere = large.clone();
    elsewhere.bucket = secret;
    let mut older = large.clone();
    older.version = VersionId::new([9; 16]);
    let gone = gateway.stored("gone", MIB).await;
    gateway.delete(bucket, "gone").await;
    let any = Condition {
        differs: Some(EtagMatch::Any),
        ..Condition::default()
    };
    let (shareable, changed) = (MetadataError::NotShareable, MetadataError::SourceChanged);
    let before = gateway.store().running_digest();
    for (what, from, to, condition, error) in [
        (
            "another label",
            &large,
            secret,
            Condition::default(),
            &shareable,
        ),
        (
            "a small object",
            &small,
            bucket,
            Condition::default(),
            &shareable,
        ),
        (
            "an inline object",
            &inline,
            bucket,
            Condition::default(),
            &shareable,
        ),
        (
            "an empty object",
            &empty,
            bucket,
            Condition::default(),
            &shareable,
        ),
        (
            "no such source",
            &elsewhere,
            bucket,
            Condition::default(),
            &changed,
        ),
        (
            "another version",
            &older,
            bucket,
            Condition::default(),
            &changed,
        ),
        (
            "a deleted object",
            &gone,
            bucket,
            Condition::default(),
            &changed,
        ),
        (
            "onto an object",
            &large,
            bucket,
            any,
            &MetadataError::ConditionFailed,
        ),
    ] {
        let mut copy = gateway.copy(source(from), to, "small");
        copy.condition = condition;
        let refused = gateway.server.copy_object(copy).await;
        assert_eq!(refused.as_ref(), Err(error), "{what}");
    }
    let copy = gateway.copy(source(&large), BucketId::new(999), "copy");
    let refused = gateway.server.copy_object(copy).await;
    assert_eq!(refused, Err(MetadataError::NoSuchBucket));
    assert_eq!(gateway.store().running_digest(), before);
}

/// A reference that is not the source's own does not become good by being copied.
/// Method: the wrap is damaged, another object's, and under another blob; nothing is proposed.
#[tokio::test]
async fn a_tampered_reference_is_not_copied() {
    let mut gateway = Gateway::new().await;
    let bucket = gateway.bucket.id;
    let object = gateway.stored("object", MIB).await;
    let other = gateway.stored("other", MIB).await;
    let row_of = |gateway: &Gateway, name| {
        let head = HEADS.get(gateway.store(), &(bucket, key(name)));
        head.unwrap().unwrap()
    };
    let (good, of_other) = (row_of(&gateway, "object"), row_of(&gateway, "other"));
    let mut damaged = good.clone();
    let mut wrap = damaged.extents[0].wrap.to_vec();
    wrap[30] ^= 1;
    damaged.extents[0].wrap = wrap.into();
    let mut swapped = good.clone();
    swapped.extents[0].wrap = of_other.extents[0].wrap.clone();
    let mut redirected = good.clone();
    redirected.extents[0].blob = other.blob;
    for tampered in [damaged, swapped, redirected] {
        let mut txn = gateway.store().begin();
        HEADS.put(&mut txn, &(bucket, key("object")), &tampered);
        gateway.store().commit(txn.into_changes(), b"").unwrap();
        let before = gateway.store().running_digest();
        let copy = gateway.copy(source(&object), bucket, "copy");
        let refused = gateway.server.copy_object(copy).await;
        assert_eq!(refused, Err(MetadataError::RowDamaged));
        assert_eq!(gateway.store().running_digest(), before);
    }
}

/// Of racing copies that may only create exactly one does, and each blob has the references that are shown.
#[tokio::test]
async fn copies_race() {
    let mut gateway = Gateway::new().await;
    let bucket = gateway.bucket.id;
    let mut objects = Vec::new();
    let mut copies = Vec::new();
    for number in 0..8 {
        let object = gateway.stored(&format!("object-{number}"), MIB).await;
        let mut copy = gateway.copy(source(&object), bucket, "copy");
        copy.condition.differs = Some(EtagMatch::Any);
        copies.push(copy);
        objects.push(object);
    }
    let server = &gateway.server;
    let all = copies.iter().map(|copy| server.copy_object(copy.clone()));
    let answers = futures::future::join_all(all).await;
    assert_eq!(
        answers.iter().filter(|answer| answer.is_ok()).count(),
        1,
        "{answers:?}"
    );
    for (answer, object) in answers.iter().zip(&objects) {
        let expected = if answer.is_ok() { 2 } else { 1 };
        assert_eq!(life(gateway.store(), object.blob), (expected, false));
    }
}

fn copied(of: &Commit) -> Copied {
    Copied {
        bucket: of.bucket,
        key: of.key.clone(),
        version: of.version,
    }
}

impl World {
    pub(crate) fn copy(&mut self, source: Copied, name: &str) -> Copy {
        Copy {
            request: self.request(),
            source,
            bucket: self.bucket,
            key: key(name),
            version: self.fresh_version(),
            kek_version: 1,
            attributes: Bytes::from_static(b"sealed attributes"),
            tags: None,
            expected: None,
            wraps: vec![Bytes::from_static(b"wrap again")],
            manifest: None,
        }
    }

    pub(crate) fn apply_copy(&self, copy: &Copy) -> Reply {
        let command = NamespaceCommand::CopyObject(copy.clone());
        self.machine.namespace(command)
    }
}

/// `apply` trusts no proposer: labels, sizes, versions and counts are judged again.
#[test]
fn apply_refuses_what_must_not_be_copied() {
    let mut world = World::new();
    let object = world.chunked("object", 1);
    world.commit(&object);
    let mut small = world.chunked("small", 1);
    small.length = ByteCount::new(MIB - 1);
    world.commit(&small);
    let secret = world.make_labelled("secret", high());
    type Spoil = Box<dyn Fn(&mut Copy)>;
    let cases: Vec<(&str, Spoil, Refusal)> = vec![
        (
            "another label",
            Box::new(move |copy| copy.bucket = secret),
            Refusal::NotShareable,
        ),
        (
            "a small object",
            Box::new(move |copy| {
                copy.source.key = small.key.clone();
                copy.source.version = small.version;
            }),
            Refusal::NotShareable,
        ),
        (
            "another version",
            Box::new(|copy| copy.source.version = VersionId::new([9; 16])),
            Refusal::SourceChanged,
        ),
        (
            "another object",
            Box::new(|copy| copy.source.key = key("small")),
            Refusal::SourceChanged,
        ),
        (
            "no wrap",
            Box::new(|copy| copy.wraps.clear()),
            Refusal::BadCopy,
        ),
        (
            "a wrap too many",
            Box::new(|copy| copy.wraps.push(Bytes::new())),
            Refusal::BadCopy,
        ),
        (
            "a version in use",
            Box::new(|copy| copy.version = copy.source.version),
            Refusal::VersionExists,
        ),
        (
            "a retired key",
            Box::new(|copy| copy.kek_version = 2),
            Refusal::KekRetired,
        ),
    ];
    for (what, spoil, refusal) in cases {
        let mut copy = world.copy(copied(&object), "copy");
        spoil(&mut copy);
        assert_eq!(world.apply_copy(&copy), Reply::Refused(refusal), "{what}");
    }
    let copy = world.copy(copied(&object), "copy");
    assert!(matches!(world.apply_copy(&copy), Reply::Committed { .. }));
    assert_eq!(life(&world.machine.store, object.blob), (2, false));
}

/// Dead stays dead: a blob without references is not referred to again, whatever a head says.
#[test]
fn a_dead_blob_is_not_copied() {
    let mut world = World::new();
    let object = world.chunked("object", 1);
    world.commit(&object);
    let store = &world.machine.store;
    let mut blob = BLOBS.get(store, &object.blob).unwrap().unwrap();
    blob.references = 0;
    let mut txn = store.begin();
    BLOBS.put(&mut txn, &object.blob, &blob);
    store.commit(txn.into_changes(), b"").unwrap();
    let copy = world.copy(copied(&object), "copy");
    let refused = Reply::Refused(Refusal::SourceChanged);
    assert_eq!(world.apply_copy(&copy), refused);
    assert_eq!(life(&world.machine.store, object.blob).0, 0);
}
