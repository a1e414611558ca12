//! Reads by part number.

use crate::cluster::World;
use crate::wire::ask;

/// The least that a part has, but for the last.
const PART: usize = 5 << 20;

/// An object is read by its parts: where each lies, how many there are, and what of it S3 says beside.
/// Method: an object of two parts, numbered 2 and 5, with a checksum of each; GET and HEAD.
#[tokio::test]
async fn parts_are_read_by_number() {
    let world = World::new().await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    let begun = ask("POST", "/bucket/key")
        .query("uploads", "")
        .header("x-amz-checksum-algorithm", "CRC32")
        .header("x-amz-checksum-type", "COMPOSITE")
        .send(at)
        .await;
    assert_eq!(begun.status, 200, "{}", begun.text());
    let id = begun.all("UploadId").pop().expect("an id");
    let mut document = String::new();
    let mut sums = Vec::new();
    for (number, body) in [(2, vec![7; PART]), (5, b"tail".to_vec())] {
        let part = ask("PUT", "/bucket/key")
            .query("partNumber", &number.to_string())
            .query("uploadId", &id)
            .body(body)
            .send(at)
            .await;
        assert_eq!(part.status, 200, "{}", part.text());
        let etag = part.header("etag").expect("an ETag").replace('"', "&quot;");
        let sum = part
            .header("x-amz-checksum-crc32")
            .expect("a checksum")
            .to_owned();
        document += &format!(
            "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag><ChecksumCRC32>{sum}</ChecksumCRC32></Part>"
        );
        sums.push(sum);
    }
    let done = ask("POST", "/bucket/key")
        .query("uploadId", &id)
        .body(format!(
            "<CompleteMultipartUpload>{document}</CompleteMultipartUpload>"
        ))
        .send(at)
        .await;
    assert_eq!(done.status, 200, "{}", done.text());
    let etag = ask("HEAD", "/bucket/key")
        .send(at)
        .await
        .header("etag")
        .map(str::to_owned);
    let whole = PART + 4;
    for (number, first, length, sum) in [(2, 0, PART, &sums[0]), (5, PART, 4, &sums[1])] {
        for method in ["GET", "HEAD"] {
            let read = ask(method, "/bucket/key")
                .query("partNumber", &number.to_string())
                .header("x-amz-checksum-mode", "ENABLED")
                .send(at)
                .await;
            assert_eq!(read.status, 206, "{method} {number}");
            let range = format!("bytes {first}-{}/{whole}", first + length - 1);
            for (name, value) in [
                ("content-range", range.as_str()),
                ("content-length", &length.to_string()),
                ("x-amz-mp-parts-count", "2"),
                ("x-amz-checksum-crc32", sum),
                ("x-amz-checksum-type", "COMPOSITE"),
                ("etag", etag.as_deref().expect("an ETag")),
            ] {
                assert_eq!(read.header(name), Some(value), "{method} {number} {name}");
            }
            if method == "GET" {
                let byte = if number == 2 { 7 } else { b't' };
                assert_eq!((read.body.len(), read.body[0]), (length, byte));
            }
        }
    }
    for method in ["GET", "HEAD"] {
        let whole = ask(method, "/bucket/key").send(at).await;
        assert_eq!(whole.header("x-amz-mp-parts-count"), None, "{method}");
        let missing = ask(method, "/bucket/key")
            .query("partNumber", "3")
            .send(at)
            .await;
        assert_eq!(missing.status, 400, "{method}");
        let stale = ask(method, "/bucket/key")
            .query("partNumber", "3")
            .header("if-match", "\"other\"");
        assert_eq!(stale.send(at).await.status, 412, "{method}");
    }
}

/// An object that was put at once is one part; other numbers, and a number beside a range, are refused.
/// Method: a table of requests.
#[tokio::test]
async fn a_plain_object_is_one_part() {
    let world = World::new().await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    ask("PUT", "/bucket/key").body("hello").send(at).await;
    ask("PUT", "/bucket/empty").send(at).await;
    let get =
        |key: &str, number: &str| ask("GET", format!("/bucket/{key}")).query("partNumber", number);
    let one = get("key", "1")
        .header("x-amz-checksum-mode", "enabled")
        .send(at)
        .await;
    assert_eq!((one.status, one.body.as_slice()), (206, &b"hello"[..]));
    assert_eq!(one.header("content-range"), Some("bytes 0-4/5"));
    assert_eq!(one.header("x-amz-mp-parts-count"), None);
    assert!(one.header("x-amz-checksum-crc64nvme").is_some());
    let empty = get("empty", "1").send(at).await;
    assert_eq!((empty.status, empty.body.len()), (200, 0));
    for (request, status, code) in [
        (get("key", "2"), 400, "InvalidPart"),
        (get("key", "0"), 400, "InvalidArgument"),
        (get("key", "10001"), 400, "InvalidArgument"),
        (get("key", "x"), 400, "InvalidArgument"),
        (get("none", "1"), 404, "NoSuchKey"),
        (
            get("key", "1").header("range", "bytes=0-1"),
            400,
            "InvalidRequest",
        ),
    ] {
        let reply = request.send(at).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (status, code),
            "{request:?}"
        );
    }
}
