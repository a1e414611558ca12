//! Tags: kept sealed, and no longer than what they are of.

use crate::fixture::key;
use crate::service::Gateway;
use strongroom_metadata::server::{MAX_BUCKET_TAGS, MAX_TAGS};
use strongroom_metadata::tables::{BUCKET_TAGS, HEADS, TAGS};
use types::wire::Metadata;
use types::wire::metadata::{DeleteBucket, MetadataError, SetBucketTags, SetTags, Tags, Wanted};

fn tags(pairs: &[(&str, &str)]) -> Tags {
    let pairs = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Tags(pairs.collect())
}

impl Gateway {
    async fn tag(&mut self, name: &str, tags: Tags) -> Result<(), MetadataError> {
        let set = SetTags {
            request: self.request(),
            bucket: self.bucket.id,
            key: key(name),
            tags,
        };
        let answer = self.server.set_tags(set.clone()).await;
        assert_eq!(self.server.set_tags(set).await, answer, "sent again");
        answer
    }

    async fn tags(&self, name: &str) -> Result<Tags, MetadataError> {
        self.server.tags(self.bucket.id, key(name)).await
    }

    async fn tag_bucket(&mut self, tags: Option<Tags>) -> Result<(), MetadataError> {
        let set = SetBucketTags {
            request: self.request(),
            bucket: self.bucket.id,
            tags,
        };
        self.server.set_bucket_tags(set).await
    }

    fn tag_rows(&self) -> usize {
        TAGS.scan(self.store(), &[]).map(Result::unwrap).count()
    }
}

/// Tags come with a version or later, are replaced as a whole, counted in its head, and go with it.
#[tokio::test]
async fn tags_live_and_die_with_their_version() {
    let mut gateway = Gateway::new().await;
    let none = Err(MetadataError::NoSuchObject);
    assert_eq!(gateway.tags("object").await, none);
    assert_eq!(
        gateway.tag("object", tags(&[("a", "b")])).await,
        Err(MetadataError::NoSuchObject)
    );

    let two = tags(&[("b", "2"), ("a", "ä")]);
    let (mut commit, _) = gateway.inline("object", 1).await;
    commit.tags = two.clone();
    gateway.server.commit_object(commit).await.unwrap();
    let head = gateway.lookup("object", Wanted::Nothing).await.unwrap();
    assert_eq!((gateway.tags("object").await, head.tags), (Ok(two), 2));

    let one = tags(&[("c", "")]);
    gateway.tag("object", one.clone()).await.unwrap();
    let tagged = gateway.lookup("object", Wanted::Nothing).await.unwrap();
    assert_eq!(
        (gateway.tags("object").await, tagged.tags),
        (Ok(one.clone()), 1)
    );
    assert_eq!(
        (tagged.version, tagged.modified),
        (head.version, head.modified)
    );

    gateway.tag("object", Tags::default()).await.unwrap();
    let bare = gateway.lookup("object", Wanted::Nothing).await.unwrap();
    assert_eq!(
        (gateway.tags("object").await, bare.tags),
        (Ok(Tags::default()), 0)
    );
    assert_eq!(gateway.tag_rows(), 0);

    gateway.tag("object", one.clone()).await.unwrap();
    assert_eq!(gateway.tag_rows(), 1);
    let (commit, _) = gateway.inline("object", 1).await;
    gateway.server.commit_object(commit).await.unwrap();
    assert_eq!(gateway.tags("object").await, Ok(Tags::default()));
    assert_eq!(gateway.tag_rows(), 0);
    gateway.tag("object", one).await.unwrap();
    gateway.delete(gateway.bucket.id, "object").await;
    assert_eq!(gateway.tag_rows(), 0);
    assert_eq!(gateway.tags("object").await, none);
}

/// Tags that are set while the object is replaced are sealed for the version that they end up at.
#[tokio::test]
async fn tags_follow_a_head_that_moves() {
    let mut gateway = Gateway::new().await;
    let (first, _) = gateway.inline("object", 1).await;
    gateway.server.commit_object(first).await.unwrap();
    let (second, _) = gateway.inline("object", 1).await;
    let one = tags(&[("a", "b")]);
    let set = SetTags {
        request: gateway.request(),
        bucket: gateway.bucket.id,
        key: key("object"),
        tags: one.clone(),
    };
    let server = &gateway.server;
    let version = second.version;
    let (committed, tagged) =
        futures::future::join(server.commit_object(second), server.set_tags(set)).await;
    committed.unwrap();
    tagged.unwrap();
    let head = gateway.lookup("object", Wanted::Nothing).await.unwrap();
    assert_eq!((head.version, head.tags), (version, 1));
    assert_eq!(gateway.tags("object").await, Ok(one));
}

/// A bucket without a tag set is told from one with an empty set; both go with the bucket.
#[tokio::test]
async fn buckets_have_tags() {
    let mut gateway = Gateway::new().await;
    let bucket = gateway.bucket.id;
    for set in [
        None,
        Some(tags(&[])),
        Some(tags(&[("planted", "x")])),
        None,
        Some(tags(&[])),
    ] {
        gateway.tag_bucket(set.clone()).await.unwrap();
        assert_eq!(gateway.server.bucket_tags(bucket).await, Ok(set));
    }
    let request = gateway.request();
    gateway
        .server
        .delete_bucket(DeleteBucket { request, bucket })
        .await
        .unwrap();
    let gone = Err(MetadataError::NoSuchBucket);
    assert_eq!(gateway.server.bucket_tags(bucket).await, gone);
    assert_eq!(
        gateway.tag_bucket(None).await,
        Err(MetadataError::NoSuchBucket)
    );
    assert!(!BUCKET_TAGS.contains(gateway.store(), &bucket).unwrap());
}

/// No name and no value of a tag is in any row in the clear; moved to another version they do not open.
#[tokio::test]
async fn tags_are_sealed_where_they_belong() {
    let mut gateway = Gateway::new().await;
    for name in ["a", "b"] {
        let (mut commit, _) = gateway.inline(name, 1).await;
        commit.tags = tags(&[("planted-name", "planted-value")]);
        gateway.server.commit_object(commit).await.unwrap();
    }
    gateway
        .tag("a", tags(&[("planted-other", "planted-value")]))
        .await
        .unwrap();
    gateway
        .tag_bucket(Some(tags(&[("planted-name", "planted-value")])))
        .await
        .unwrap();
    let store = gateway.store();
    for row in store.rows() {
        let (_, value) = row.unwrap();
        for planted in [&b"planted-name"[..], b"planted-value", b"planted-other"] {
            assert!(!value.windows(planted.len()).any(|window| window == planted));
        }
    }
    let bucket = gateway.bucket.id;
    let version = |name| {
        HEADS
            .get(store, &(bucket, key(name)))
            .unwrap()
            .unwrap()
            .version
    };
    let (a, b) = (version("a"), version("b"));
    let moved = TAGS.get(store, &a).unwrap().unwrap();
    let of_bucket = BUCKET_TAGS.get(store, &bucket).unwrap().unwrap();
    for planted in [Some(moved), Some(of_bucket), None] {
        let mut txn = store.begin();
        match planted {
            Some(sealed) => TAGS.put(&mut txn, &b, &sealed),
            None => TAGS.delete(&mut txn, &b),
        }
        store.commit(txn.into_changes(), b"").unwrap();
        assert_eq!(gateway.tags("b").await, Err(MetadataError::RowDamaged));
    }
}

/// More than S3 allows is refused before anything is proposed; the most that it allows is stored.
#[tokio::test]
async fn tags_are_bounded() {
    let mut gateway = Gateway::new().await;
    let (mut commit, _) = gateway.inline("object", 1).await;
    gateway.server.commit_object(commit.clone()).await.unwrap();
    let many = |count: usize| {
        let tag = ("ä".repeat(128), "\u{10ffff}".repeat(256));
        Tags(vec![tag; count])
    };
    gateway.tag("object", many(10)).await.unwrap();
    gateway.tag_bucket(Some(many(50))).await.unwrap();
    let before = gateway.store().running_digest();
    let long = |limit: usize| Tags(vec![(String::new(), "v".repeat(limit))]);
    let malformed = |answer| assert!(matches!(answer, Err(MetadataError::Malformed(_))));
    malformed(gateway.tag("object", long(MAX_TAGS)).await);
    malformed(gateway.tag_bucket(Some(long(MAX_BUCKET_TAGS))).await);
    commit.request = gateway.request();
    commit.tags = long(MAX_TAGS);
    malformed(gateway.server.commit_object(commit).await.map(drop));
    assert_eq!(gateway.store().running_digest(), before);
}
