//! Tags of objects and buckets.

use crate::cluster::World;
use crate::wire::{Reply, ask};

/// The names and values that a document shows.
fn shown(reply: &Reply) -> Vec<(String, String)> {
    let pairs = reply.all("Key").into_iter().zip(reply.all("Value"));
    pairs.collect()
}

fn pairs(tags: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    tags.iter().map(owned).collect()
}

fn document(tags: &[(String, String)]) -> String {
    let tag = |(name, value): &(String, String)| {
        format!("<Tag><Key>{name}</Key><Value>{value}</Value></Tag>")
    };
    let tags: String = tags.iter().map(tag).collect();
    format!("<Tagging><TagSet>{tags}</TagSet></Tagging>")
}

/// An object's tags are those it was last given, by its upload or later; how many they are, GET and HEAD
/// tell. A new version has tags of its own.
/// Method: put with a header, replace, delete, put again without.
#[tokio::test]
async fn objects_have_tags() {
    let world = World::new().await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    let tags = || ask("GET", "/bucket/key").query("tagging", "");
    let put = ask("PUT", "/bucket/key")
        .header("x-amz-tagging", "foo=bar&bar&a+b=%C3%A4")
        .body("x");
    assert_eq!(put.send(at).await.status, 200);
    let expected = pairs(&[("a b", "ä"), ("bar", ""), ("foo", "bar")]);
    assert_eq!(shown(&tags().send(at).await), expected);
    for method in ["GET", "HEAD"] {
        let reply = ask(method, "/bucket/key").send(at).await;
        assert_eq!(reply.header("x-amz-tagging-count"), Some("3"), "{method}");
    }
    let ten: Vec<_> = (0..10).map(|n| (format!("k{n}"), n.to_string())).collect();
    let replace = ask("PUT", "/bucket/key")
        .query("tagging", "")
        .body(document(&ten));
    assert_eq!(replace.send(at).await.status, 200);
    assert_eq!(shown(&tags().send(at).await), ten);
    let deleted = ask("DELETE", "/bucket/key")
        .query("tagging", "")
        .send(at)
        .await;
    assert_eq!(deleted.status, 204);
    assert_eq!(shown(&tags().send(at).await), []);
    let reply = ask("HEAD", "/bucket/key").send(at).await;
    assert_eq!(reply.header("x-amz-tagging-count"), None);

    replace.send(at).await;
    ask("PUT", "/bucket/key").body("y").send(at).await;
    assert_eq!(shown(&tags().send(at).await), []);
    for method in ["GET", "PUT", "DELETE"] {
        let missing = ask(method, "/bucket/none").query("tagging", "");
        let missing = missing.body(if method == "PUT" {
            document(&ten)
        } else {
            String::new()
        });
        let missing = missing.send(at).await;
        assert_eq!(
            (missing.status, missing.code().as_str()),
            (404, "NoSuchKey"),
            "{method}"
        );
    }
}

/// Tags that S3 does not allow are refused, and change nothing; those of an upload before its body is asked
/// for.
/// Method: one of each kind, in a document and in a header.
#[tokio::test]
async fn tags_are_checked() {
    let world = World::new().await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    ask("PUT", "/bucket/key").body("x").send(at).await;
    let many: Vec<_> = (0..11).map(|n| (n.to_string(), String::new())).collect();
    for tags in [
        many,
        vec![("n".repeat(129), "v".repeat(256))],
        vec![("n".repeat(128), "v".repeat(257))],
        pairs(&[("same", "1"), ("same", "2")]),
        pairs(&[("", "1")]),
        pairs(&[("aws:mine", "1")]),
        pairs(&[("line\nbreak", "1")]),
    ] {
        let put = ask("PUT", "/bucket/key")
            .query("tagging", "")
            .body(document(&tags));
        let reply = put.send(at).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "InvalidTag"));
        let tags = ask("GET", "/bucket/key")
            .query("tagging", "")
            .send(at)
            .await;
        assert_eq!(shown(&tags), []);
    }
    for (body, code) in [
        ("", "MissingRequestBodyError"),
        ("<Tagging>", "MalformedXML"),
        (
            "<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>",
            "MalformedXML",
        ),
    ] {
        let reply = ask("PUT", "/bucket/key")
            .query("tagging", "")
            .body(body)
            .send(at)
            .await;
        assert_eq!((reply.status, reply.code().as_str()), (400, code), "{body}");
    }
    for (header, code) in [("a=1&a=2", "InvalidTag"), ("a=%FF", "InvalidArgument")] {
        let put = ask("PUT", "/bucket/new")
            .header("x-amz-tagging", header)
            .header("expect", "100-continue")
            .body("x");
        let reply = put.send(at).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, code),
            "{header}"
        );
        assert!(!reply.continued);
    }
    assert_eq!(ask("HEAD", "/bucket/new").send(at).await.status, 404);
}

/// A document is what its client said of it, or it changes nothing.
/// Method: a wrong MD5, checksum and hash; then the right ones.
#[tokio::test]
async fn documents_are_verified() {
    let world = World::new().await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    ask("PUT", "/bucket/key").body("x").send(at).await;
    let body = document(&pairs(&[("a", "1")]));
    for path in ["/bucket/key", "/bucket"] {
        let put = || ask("PUT", path).query("tagging", "").body(body.clone());
        for (name, value) in [
            ("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="),
            ("x-amz-checksum-crc32", "AAAAAA=="),
        ] {
            let reply = put().header(name, value).send(at).await;
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (400, "BadDigest"),
                "{path}"
            );
        }
        let reply = put().payload(&"0".repeat(64)).send(at).await;
        assert_eq!(reply.code(), "XAmzContentSHA256Mismatch", "{path}");
        let tags = ask("GET", path).query("tagging", "").send(at).await;
        assert!(tags.all("Tag").is_empty(), "{path}");
        assert!([200, 204].contains(&put().send(at).await.status), "{path}");
        let tags = ask("GET", path).query("tagging", "").send(at).await;
        assert_eq!(shown(&tags), pairs(&[("a", "1")]), "{path}");
    }
}

/// A bucket's tags are a set that is there or is not; it may be larger than an object's.
/// Method: none, fifty, one too many, none again.
#[tokio::test]
async fn buckets_have_tags() {
    let world = World::new().await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    let get = || ask("GET", "/bucket").query("tagging", "");
    let none = get().send(at).await;
    assert_eq!((none.status, none.code().as_str()), (404, "NoSuchTagSet"));
    let fifty: Vec<_> = (10..60).map(|n| (n.to_string(), "v".to_owned())).collect();
    let put = ask("PUT", "/bucket")
        .query("tagging", "")
        .body(document(&fifty));
    assert_eq!(put.send(at).await.status, 204);
    assert_eq!(shown(&get().send(at).await), fifty);
    let more: Vec<_> = (10..61).map(|n| (n.to_string(), "v".to_owned())).collect();
    let put = ask("PUT", "/bucket")
        .query("tagging", "")
        .body(document(&more));
    assert_eq!(put.send(at).await.code(), "InvalidTag");
    assert_eq!(shown(&get().send(at).await), fifty);
    let deleted = ask("DELETE", "/bucket").query("tagging", "").send(at).await;
    assert_eq!(deleted.status, 204);
    assert_eq!(get().send(at).await.code(), "NoSuchTagSet");
    assert_eq!(ask("HEAD", "/bucket").send(at).await.status, 200);
}
