//! Listings page through everything, once.

use crate::cluster::World;
use crate::wire::{Ask, Reply, ask};

/// Paging shows every entry exactly once, in order, whatever the page size.
/// Method: each operation that lists, with and without delimiter and prefix, page sizes 1 to 8, against one
/// page.
#[tokio::test]
async fn pages_show_everything_once() {
    let world = World::new().await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    for key in ["a", "b/1", "b/2", "b/3/x", "c+d", "e%20f", "g/", "g/h", "z"] {
        let put = ask("PUT", crate::wire::path("bucket", key)).send(at).await;
        assert_eq!(put.status, 200);
    }
    let entries = |reply: &Reply| {
        let prefixes = reply.text().split("<CommonPrefixes>").skip(1);
        let prefixes = prefixes.filter_map(|piece| {
            let inner = piece.strip_prefix("<Prefix>")?;
            inner.split("</Prefix>").next().map(str::to_owned)
        });
        let mut all = reply.all("Key");
        all.extend(prefixes);
        all
    };
    // What asks for it, where it goes on, and what says where.
    let operations = [
        (("fetch-owner", "true"), "marker", "NextMarker"),
        (
            ("list-type", "2"),
            "continuation-token",
            "NextContinuationToken",
        ),
        (("versions", ""), "key-marker", "NextKeyMarker"),
    ];
    for delimiter in ["", "/"] {
        for prefix in ["", "b/", "nothing"] {
            for ((parameter, value), goes_on, told) in operations {
                let base = || {
                    ask("GET", "/bucket")
                        .query("delimiter", delimiter)
                        .query("prefix", prefix)
                        .query("encoding-type", "url")
                        .query(parameter, value)
                };
                let whole = base().send(at).await;
                assert_eq!(whole.status, 200, "{}", whole.text());
                let mut expected = entries(&whole);
                expected.sort();
                for size in 1..=8 {
                    let mut seen = Vec::new();
                    let mut next: Option<String> = None;
                    loop {
                        let mut list = base().query("max-keys", &size.to_string());
                        if let Some(token) = &next {
                            list = list.query(goes_on, token);
                        }
                        let page = list.send(at).await;
                        let found = entries(&page);
                        assert!(found.len() <= size);
                        if page.all("IsTruncated") == ["false"] {
                            seen.extend(found);
                            break;
                        }
                        let told = page.all(told).pop();
                        let marker = told.or_else(|| found.last().cloned()).expect("goes on");
                        next = Some(marker.replace("%2B", "+").replace("%25", "%"));
                        seen.extend(found);
                    }
                    seen.sort();
                    assert_eq!(
                        seen, expected,
                        "{parameter} {delimiter:?} {prefix:?} by {size}"
                    );
                }
            }
        }
    }
}

/// The parameters of a listing are echoed and checked.
/// Method: start-after, fetch-owner, max-keys at its bounds, a bad token, a bad encoding.
#[tokio::test]
async fn parameters_are_echoed_and_checked() {
    let world = World::new().await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    for key in ["a", "b", "c"] {
        ask("PUT", format!("/bucket/{key}"))
            .body("x")
            .send(at)
            .await;
    }
    let v2 = || ask("GET", "/bucket").query("list-type", "2");
    let page = v2()
        .query("start-after", "a")
        .query("fetch-owner", "true")
        .send(at)
        .await;
    assert_eq!(page.all("Key"), ["b", "c"]);
    assert_eq!(page.all("KeyCount"), ["2"]);
    assert_eq!(page.all("StartAfter"), ["a"]);
    assert_eq!(page.all("ID").len(), 2);
    assert_eq!(v2().send(at).await.all("ID").len(), 0);
    let none = v2().query("max-keys", "0").send(at).await;
    assert_eq!(
        (none.all("Key").len(), none.all("IsTruncated")),
        (0, vec!["false".to_owned()])
    );
    assert_eq!(
        v2().query("max-keys", "5000").send(at).await.all("MaxKeys"),
        ["1000"]
    );
    for bad in [
        v2().query("max-keys", "-1"),
        v2().query("max-keys", "x"),
        v2().query("continuation-token", "?"),
        v2().query("encoding-type", "rot13"),
    ] {
        assert_eq!(bad.send(at).await.code(), "InvalidArgument");
    }
}

/// The prefix is repeated as it was: ListObjects encodes of it what must be, since some clients undo that and
/// some do not; ListObjectsV2 encodes all.
/// Method: prefixes with a line feed, a percent sign and a return, with each encoding.
#[tokio::test]
async fn prefixes_are_repeated() {
    let world = World::new().await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    for (prefix, first, second, plain) in [
        ("\n", "\n", "%0A", "\n"),
        ("a b%", "a b%25", "a%20b%25", "a b%"),
        ("\r", "%0D", "%0D", "&#x0d;"),
    ] {
        let first_version = ask("GET", "/bucket").query("prefix", prefix);
        let second_version = first_version.clone().query("list-type", "2");
        let url = |ask: &Ask| ask.clone().query("encoding-type", "url");
        for (request, expected) in [
            (url(&first_version), first),
            (url(&second_version), second),
            (first_version, plain),
            (second_version, plain),
        ] {
            let listed = request.send(at).await;
            assert_eq!(listed.all("Prefix"), [expected], "{:?}", request.query);
        }
    }
}

/// Where a listing goes on, only its own token says.
/// Method: a token with another prefix, delimiter and bucket, altered, and an empty one, which is none.
#[tokio::test]
async fn tokens_go_with_their_listing() {
    let world = World::new().await;
    let at = world.address;
    for bucket in ["bucket", "other"] {
        ask("PUT", format!("/{bucket}")).send(at).await;
        for key in ["a/1", "a/2", "b"] {
            ask("PUT", format!("/{bucket}/{key}")).send(at).await;
        }
    }
    let v2 = |bucket: &str| ask("GET", format!("/{bucket}")).query("list-type", "2");
    let first = v2("bucket").query("max-keys", "1").send(at).await;
    assert_eq!(first.all("Key"), ["a/1"]);
    let token = first.all("NextContinuationToken").pop().expect("more");
    let next = v2("bucket")
        .query("continuation-token", &token)
        .query("start-after", "b")
        .send(at)
        .await;
    assert_eq!(next.all("Key"), ["a/2", "b"]);
    assert_eq!(next.all("ContinuationToken"), std::slice::from_ref(&token));
    assert_eq!(next.all("StartAfter"), ["b"]);
    let altered = format!("{}{}", &token[1..], &token[..1]);
    for (list, token) in [
        (v2("other"), &token),
        (v2("bucket").query("prefix", "a"), &token),
        (v2("bucket").query("delimiter", "/"), &token),
        (v2("bucket"), &altered),
    ] {
        let reply = list.query("continuation-token", token).send(at).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, "InvalidArgument")
        );
    }
    let empty = v2("bucket").query("continuation-token", "").send(at).await;
    assert_eq!(empty.all("ContinuationToken"), [""]);
    assert_eq!(empty.all("Key"), ["a/1", "a/2", "b"]);
}

/// A page shows what each object is stored with, and echoes what was asked and no more.
/// Method: objects with two checksums; delimiters that are empty and not; attributes known and not.
#[tokio::test]
async fn pages_show_what_is_there() {
    let world = World::new().await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    ask("PUT", "/bucket/a").body("x").send(at).await;
    let crc32 = ask("PUT", "/bucket/b").header("x-amz-checksum-crc32", "AAAAAA==");
    assert_eq!(crc32.send(at).await.status, 200);
    for version in ["1", "2"] {
        let list = || match version {
            "1" => ask("GET", "/bucket"),
            _ => ask("GET", "/bucket").query("list-type", "2"),
        };
        let page = list().header("x-amz-optional-object-attributes", "RestoreStatus");
        let page = page.query("delimiter", "").send(at).await;
        assert_eq!(page.status, 200, "{}", page.text());
        assert_eq!(page.all("ChecksumAlgorithm"), ["CRC64NVME", "CRC32"]);
        assert_eq!(page.all("ChecksumType"), ["FULL_OBJECT"; 2]);
        assert_eq!(page.all("StorageClass"), ["STANDARD"; 2]);
        assert_eq!(page.all("Delimiter").len(), 0);
        assert_eq!(page.all("RestoreStatus").len(), 0);
        let page = list()
            .query("delimiter", "\n")
            .query("encoding-type", "url");
        assert_eq!(page.send(at).await.all("Delimiter"), ["%0A"]);
        let unknown = list().header("x-amz-optional-object-attributes", "Colour");
        assert_eq!(unknown.send(at).await.code(), "InvalidArgument");
    }
}
