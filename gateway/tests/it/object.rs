//! Objects come back as they were put.

use crate::cluster::World;
use crate::wire::{ask, path};

fn noise(length: usize) -> Vec<u8> {
    (0..=250).cycle().skip(length % 251).take(length).collect()
}

/// An object is read as it was written: bytes, length, ETag, metadata, checksum.
/// Method: sizes around the inline bound, a segment and a chunk; GET and HEAD.
#[tokio::test]
async fn objects_come_back() {
    let world = World::new().await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    for length in [
        0,
        1,
        4095,
        4096,
        4097,
        65_535,
        65_536,
        65_537,
        1 << 20,
        (1 << 20) + 1,
        3_000_000,
    ] {
        let body = noise(length);
        let put = ask("PUT", "/bucket/key")
            .header("content-type", "text/x-noise")
            .header("content-encoding", "gzip")
            .header("cache-control", "no-store")
            .header("x-amz-meta-colour", "blue")
            .body(body.clone())
            .send(at)
            .await;
        assert_eq!(put.status, 200, "{}", put.text());
        let etag = put.header("etag").expect("an ETag").to_owned();
        let sum = put
            .header("x-amz-checksum-crc64nvme")
            .expect("computed")
            .to_owned();
        for method in ["GET", "HEAD"] {
            let got = ask(method, "/bucket/key")
                .header("x-amz-checksum-mode", "enabled")
                .send(at)
                .await;
            assert_eq!(got.status, 200);
            if method == "GET" {
                assert!(got.body == body, "{length}");
            }
            for (name, value) in [
                ("content-length", length.to_string().as_str()),
                ("content-type", "text/x-noise"),
                ("content-encoding", "gzip"),
                ("cache-control", "no-store"),
                ("x-amz-meta-colour", "blue"),
                ("accept-ranges", "bytes"),
                ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
                ("etag", &etag),
                ("x-amz-checksum-crc64nvme", &sum),
                ("x-amz-checksum-type", "FULL_OBJECT"),
            ] {
                assert_eq!(got.header(name), Some(value), "{method} {name} of {length}");
            }
        }
    }
}

/// Any part of an object is read, as far as there is one.
/// Method: ranges around segments of an object of three; GET and HEAD; none for an empty object.
#[tokio::test]
async fn ranges_come_back() {
    let world = World::new().await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    let body = noise(150_000);
    ask("PUT", "/bucket/key").body(body.clone()).send(at).await;
    ask("PUT", "/bucket/empty").send(at).await;
    for (range, start, end) in [
        ("bytes=0-0", 0, 1),
        ("bytes=65535-65536", 65_535, 65_537),
        ("bytes=131072-", 131_072, 150_000),
        ("bytes=0-52428799", 0, 150_000),
        ("bytes=-1", 149_999, 150_000),
        ("bytes=-999999", 0, 150_000),
    ] {
        let served = format!("bytes {start}-{}/150000", end - 1);
        let got = ask("GET", "/bucket/key")
            .header("range", range)
            .send(at)
            .await;
        assert_eq!(
            (got.status, got.header("content-range")),
            (206, Some(served.as_str()))
        );
        assert!(got.body == body[start..end], "{range}");
        let head = ask("HEAD", "/bucket/key")
            .header("range", range)
            .send(at)
            .await;
        assert_eq!(
            (head.status, head.header("content-range")),
            (206, Some(served.as_str()))
        );
        assert_eq!(
            head.header("content-length"),
            Some((end - start).to_string().as_str())
        );
    }
    for (key, range, length) in [
        ("key", "bytes=150000-", "150000"),
        ("key", "bytes=-0", "150000"),
        ("empty", "bytes=0-", "0"),
        ("empty", "bytes=-1", "0"),
    ] {
        let got = ask("GET", path("bucket", key))
            .header("range", range)
            .send(at)
            .await;
        assert_eq!(
            (got.status, got.code().as_str()),
            (416, "InvalidRange"),
            "{key} {range}"
        );
        assert_eq!(
            got.header("content-range"),
            Some(format!("bytes */{length}").as_str())
        );
        // Clients learn from it how long the object is.
        assert_eq!(got.all("ActualObjectSize"), [length], "{key} {range}");
        assert_eq!(got.all("RangeRequested"), [range]);
        let head = ask("HEAD", path("bucket", key))
            .header("range", range)
            .send(at)
            .await;
        assert_eq!(head.status, 416);
    }
}

/// Conditions are kept, before ranges are looked at.
/// Method: ETags that match and do not, beside a range outside the object.
#[tokio::test]
async fn conditions_are_kept() {
    let world = World::new().await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    let put = ask("PUT", "/bucket/key").body("hello").send(at).await;
    let etag = put.header("etag").expect("an ETag").to_owned();
    for (name, value, status) in [
        ("if-match", etag.as_str(), 200),
        ("if-match", "\"other\"", 412),
        ("if-none-match", &etag, 304),
        ("if-none-match", "\"other\"", 200),
        ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT", 304),
        ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:36 GMT", 412),
    ] {
        for method in ["GET", "HEAD"] {
            let got = ask(method, "/bucket/key")
                .header(name, value)
                .send(at)
                .await;
            assert_eq!(got.status, status, "{method} {name}");
        }
    }
    let stale = ask("GET", "/bucket/key")
        .header("if-match", "\"other\"")
        .header("range", "bytes=50-");
    assert_eq!(stale.send(at).await.status, 412);
    let shown = ask("GET", "/bucket/key").query("response-content-type", "text/html");
    assert_eq!(
        shown.send(at).await.header("content-type"),
        Some("text/html")
    );
}

/// An object that cannot be read is an error, not a broken answer; what fails midway breaks off.
/// Method: lose every shard of an object that lies on disks.
#[tokio::test]
async fn what_cannot_be_read_is_an_error() {
    let world = World::new().await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    ask("PUT", "/bucket/key")
        .body(noise(100_000))
        .send(at)
        .await;
    assert_eq!(ask("GET", "/bucket/key").send(at).await.status, 200);
    world.disks.lose_everything();
    let lost = ask("GET", "/bucket/key").send(at).await;
    assert_eq!(
        (lost.status, lost.code().as_str()),
        (503, "ServiceUnavailable")
    );
    assert_eq!(ask("HEAD", "/bucket/key").send(at).await.status, 200);
}

/// Any key of up to 1024 bytes of UTF-8 is a name like any other, and never a path.
/// Method: hostile keys are put, read, listed both ways, and deleted both ways.
#[tokio::test]
async fn hostile_keys_are_names() {
    let world = World::new().await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    let long = "ä".repeat(512);
    let keys = [
        "../x",
        "..",
        ".",
        "/",
        "//",
        "a//b",
        "/lead",
        "trail/",
        "a+b",
        "a b",
        "a%2Fb",
        "%",
        "?x=1",
        "#",
        "\u{1}\u{1f}",
        "a\rb",
        "a\nb\tc",
        "<&>\"'",
        "🗄/ä",
        "a\\b",
        "~",
        "a;b=c",
        "x-amz-acl",
        &long,
    ];
    let escaped = |key: &str| {
        let mut text = key
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        text = text.replace('"', "&quot;").replace('\'', "&apos;");
        for c in ['\u{1}', '\u{1f}', '\r'] {
            text = text.replace(c, &format!("&#x{:02x};", u32::from(c)));
        }
        text
    };
    for key in keys {
        let put = ask("PUT", path("bucket", key)).body(key).send(at).await;
        assert_eq!(put.status, 200, "{key:?}: {}", put.text());
        let got = ask("GET", path("bucket", key)).send(at).await;
        assert_eq!(got.body, key.as_bytes(), "{key:?}");
        let listed = ask("GET", "/bucket").query("list-type", "2").send(at).await;
        assert_eq!(listed.all("Key"), [escaped(key)], "{key:?}");
        let listed = ask("GET", "/bucket")
            .query("encoding-type", "url")
            .query("prefix", key);
        let listed = listed.send(at).await;
        assert_eq!(
            listed.all("Key"),
            [path("", key)[2..].to_owned()],
            "{key:?}"
        );
        assert_eq!(
            ask("DELETE", path("bucket", key)).send(at).await.status,
            204
        );
        assert_eq!(
            ask("GET", path("bucket", key)).send(at).await.code(),
            "NoSuchKey"
        );

        ask("PUT", path("bucket", key)).body(key).send(at).await;
        // XML 1.0 has no references to these; clients send them as they are.
        let sent = escaped(key)
            .replace("&#x01;", "\u{1}")
            .replace("&#x1f;", "\u{1f}");
        let document = format!("<Delete><Object><Key>{sent}</Key></Object></Delete>");
        let deleted = ask("POST", "/bucket")
            .query("delete", "")
            .body(document)
            .send(at)
            .await;
        assert_eq!(deleted.all("Key"), [escaped(key)], "{}", deleted.text());
        assert_eq!(
            ask("GET", path("bucket", key)).send(at).await.code(),
            "NoSuchKey",
            "{key:?}"
        );
    }
    let too_long = ask("PUT", path("bucket", &"x".repeat(1025))).send(at).await;
    assert_eq!(too_long.code(), "KeyTooLongError");
}

/// DeleteObjects deletes what it names, says what it could not, and reads only the right document.
/// Method: quiet and not; a version that cannot be; a wrong Content-MD5, checksum and hash.
#[tokio::test]
async fn many_are_deleted_at_once() {
    let world = World::new().await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    let document = "<Delete><Object><Key>a</Key></Object><Object><Key>b</Key><VersionId>7</VersionId></Object></Delete>";
    let request = || ask("POST", "/bucket").query("delete", "").body(document);
    for key in ["/bucket/a", "/bucket/b"] {
        ask("PUT", key).body("x").send(at).await;
    }
    for (name, value) in [
        ("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="),
        ("x-amz-checksum-crc32", "AAAAAA=="),
    ] {
        let reply = request().header(name, value).send(at).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "BadDigest"));
    }
    let contradicted = request().payload(&"0".repeat(64)).send(at).await;
    assert_eq!(
        (contradicted.status, contradicted.code().as_str()),
        (400, "XAmzContentSHA256Mismatch")
    );
    assert_eq!(ask("HEAD", "/bucket/a").send(at).await.status, 200);
    let reply = request().send(at).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.all("Deleted"), ["<Key>a</Key>"]);
    assert_eq!(reply.all("Code"), ["InvalidArgument"]);
    assert_eq!(ask("HEAD", "/bucket/a").send(at).await.status, 404);
    assert_eq!(ask("HEAD", "/bucket/b").send(at).await.status, 200);
    let quiet = "<Delete><Quiet>true</Quiet><Object><Key>b</Key></Object></Delete>";
    let reply = ask("POST", "/bucket")
        .query("delete", "")
        .body(quiet)
        .send(at)
        .await;
    assert_eq!(reply.all("Deleted"), [""; 0]);
    assert_eq!(ask("HEAD", "/bucket/b").send(at).await.status, 404);
}

/// A document may come in chunks, with its checksum behind it; the checksum is the document's.
/// Method: the right one and a wrong one.
#[tokio::test]
async fn documents_may_come_in_chunks() {
    let world = World::new().await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    ask("PUT", "/bucket/a").body("x").send(at).await;
    let document = "<Delete><Object><Key>a</Key></Object></Delete>";
    for (sum, status, kept) in [("AAAAAA==", 400, 200), ("v6Ysrw==", 200, 404)] {
        let (one, two) = document.split_at(10);
        let body = format!(
            "{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\nx-amz-checksum-crc32:{sum}\r\n\r\n",
            one.len(),
            two.len()
        );
        let reply = ask("POST", "/bucket")
            .query("delete", "")
            .header("x-amz-decoded-content-length", &document.len().to_string())
            .header("x-amz-trailer", "x-amz-checksum-crc32")
            .payload("STREAMING-UNSIGNED-PAYLOAD-TRAILER")
            .body(body)
            .send(at)
            .await;
        assert_eq!(reply.status, status, "{}", reply.text());
        let there = ask("HEAD", "/bucket/a").send(at).await;
        assert_eq!(there.status, kept);
    }
}

/// Whatever a client names, it is told what became of it.
/// Method: control characters in a version of DeleteObjects and in a refused parameter's name.
#[tokio::test]
async fn hostile_names_are_answered() {
    let world = World::new().await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    let document = "<Delete><Object><Key>a</Key><VersionId>\u{1}</VersionId></Object><Object><Key>b</Key></Object></Delete>";
    let request = ask("POST", "/bucket").query("delete", "").body(document);
    let reply = request.send(at).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.all("VersionId"), ["&#x01;"]);
    assert_eq!(reply.all("Deleted"), ["<Key>b</Key>"]);
    let refused = ask("GET", "/bucket").query("x-amz-\u{1}", "x");
    let reply = refused.send(at).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (501, "NotImplemented")
    );
    assert!(reply.text().contains("x-amz-&#x01;"), "{}", reply.text());
}

/// A range that is none, or several, is answered with the whole object, as on S3.
/// Method: each kind, in the clear and behind a presigned URL; one that is good stays.
#[tokio::test]
async fn unknown_ranges_are_ignored() {
    let world = World::new().await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    ask("PUT", "/bucket/key").body("0123456789").send(at).await;
    for (range, status, body) in [
        ("bytes=2-3", 206, &b"23"[..]),
        ("bytes=3-2", 200, b"0123456789"),
        ("bytes=0-1,4-5", 200, b"0123456789"),
        ("lines=0-1", 200, b"0123456789"),
        ("bytes=", 200, b"0123456789"),
    ] {
        let get = ask("GET", "/bucket/key").header("range", range);
        let reply = get.clone().send(at).await;
        assert_eq!((reply.status, reply.body.as_slice()), (status, body));
        assert_eq!(reply.header("content-range").is_some(), status == 206);
        let url = get.presigned(at);
        let reply = crate::wire::exchange(at, url.as_bytes(), b"").await;
        assert_eq!((reply.status, reply.body.as_slice()), (status, body));
        let head = ask("HEAD", "/bucket/key").header("range", range);
        assert_eq!(head.send(at).await.status, status);
    }
}
