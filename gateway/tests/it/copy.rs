//! Copies: of objects and into uploads, by reference and by value alike.

use crate::cluster::HIGH_KEY;
use crate::multipart::Lab;
use crate::wire::{Ask, Reply, ask, exchange, now, path};

const MIB: usize = 1 << 20;
/// What is kept in a row, what lies on disks and is too small to be shared, and what can be shared.
const SIZES: [usize; 6] = [0, 4096, 4097, MIB - 1, MIB, 3 * MIB + 5];

fn told(reply: &Reply) -> (u16, String) {
    (reply.status, reply.code())
}

fn is(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

fn noise(length: usize) -> Vec<u8> {
    (0..=250).cycle().skip(length % 251).take(length).collect()
}

fn copy(from: &str, to: &str) -> Ask {
    ask("PUT", to).header("x-amz-copy-source", from)
}

async fn source(lab: &Lab, length: usize) -> Vec<u8> {
    let body = noise(length);
    let put = ask("PUT", "/bucket/source")
        .header("content-type", "text/x-noise")
        .header("content-language", "de")
        .header("x-amz-meta-colour", "blue")
        .header("x-amz-tagging", "a=1")
        .header("x-amz-website-redirect-location", "/elsewhere")
        .body(body.clone());
    assert_eq!(put.send(lab.at).await.status, 200);
    body
}

async fn tags(lab: &Lab, at: &str) -> Vec<String> {
    let tags = ask("GET", at).query("tagging", "").send(lab.at).await;
    tags.all("Value")
}

/// A copy is its source, byte by byte, with its ETag, checksum, metadata and tags; and it stays when the
/// source is deleted.
/// Method: objects of each kind of size, into the same bucket and another one.
#[tokio::test]
async fn copies_are_their_sources() {
    let lab = Lab::new().await;
    ask("PUT", "/another").send(lab.at).await;
    for length in SIZES {
        let body = source(&lab, length).await;
        let old = ask("GET", "/bucket/source").header("x-amz-checksum-mode", "ENABLED");
        let old = old.send(lab.at).await;
        for (from, to) in [
            ("/bucket/source", "/bucket/copy"),
            ("bucket/source?versionId=null", "/another/copy"),
            ("%2Fbucket%2Fsource", "/another/copy"),
        ] {
            let what = format!("{length} from {from} to {to}");
            let reply = copy(from, to).send(lab.at).await;
            assert_eq!(reply.status, 200, "{what}: {}", reply.text());
            assert_eq!(reply.all("ETag"), [old.header("etag").expect("an ETag")]);
            assert_eq!(reply.all("LastModified").len(), 1);
            let got = ask("GET", to).header("x-amz-checksum-mode", "ENABLED");
            let got = got.send(lab.at).await;
            assert!(got.body == body, "{what}");
            for name in [
                "etag",
                "content-type",
                "content-language",
                "x-amz-meta-colour",
                "x-amz-checksum-crc64nvme",
                "x-amz-tagging-count",
            ] {
                assert_eq!(got.header(name), old.header(name), "{what}: {name}");
            }
            assert_eq!(got.header("x-amz-website-redirect-location"), None);
            assert_eq!(tags(&lab, to).await, ["1"], "{what}");
        }
        ask("DELETE", "/bucket/source").send(lab.at).await;
        let kept = ask("GET", "/bucket/copy").send(lab.at).await;
        assert!(kept.body == body, "{length}");
    }
}

/// Metadata and tags are the request's where it says so, and neither is mixed with the source's.
/// Method: each directive, onto another key and onto the object itself.
#[tokio::test]
async fn directives_are_kept() {
    let lab = Lab::new().await;
    for length in [3, 2 * MIB] {
        for to in ["/bucket/copy", "/bucket/source"] {
            let body = source(&lab, length).await;
            let replaced = copy("/bucket/source", to)
                .header("x-amz-metadata-directive", "REPLACE")
                .header("x-amz-tagging-directive", "REPLACE")
                .header("x-amz-tagging", "b=2&c=3")
                .header("content-type", "text/other")
                .header("x-amz-meta-shape", "round");
            assert_eq!(replaced.send(lab.at).await.status, 200);
            let got = ask("GET", to).send(lab.at).await;
            assert!(got.body == body);
            assert_eq!(got.header("content-type"), Some("text/other"));
            assert_eq!(got.header("x-amz-meta-shape"), Some("round"));
            assert_eq!(got.header("x-amz-meta-colour"), None);
            assert_eq!(got.header("content-language"), None);
            assert_eq!(tags(&lab, to).await, ["2", "3"]);
        }
        source(&lab, length).await;
        let bare = copy("/bucket/source", "/bucket/copy")
            .header("x-amz-metadata-directive", "REPLACE")
            .header("x-amz-tagging-directive", "REPLACE");
        assert_eq!(bare.send(lab.at).await.status, 200);
        let got = ask("HEAD", "/bucket/copy").send(lab.at).await;
        assert_eq!(got.header("content-type"), Some("binary/octet-stream"));
        assert_eq!(tags(&lab, "/bucket/copy").await, [""; 0]);
    }
}

/// A copy of an object onto itself must change something.
/// Method: one that changes nothing, and each change.
#[tokio::test]
async fn objects_are_not_copied_onto_themselves_for_nothing() {
    let lab = Lab::new().await;
    let body = source(&lab, 5000).await;
    let itself = || copy("/bucket/source", "/bucket/source");
    for refused in [
        itself(),
        itself().header("x-amz-metadata-directive", "COPY"),
        itself().header("x-amz-checksum-algorithm", "CRC64NVME"),
    ] {
        assert_eq!(told(&refused.send(lab.at).await), is(400, "InvalidRequest"));
    }
    for done in [
        itself().header("x-amz-metadata-directive", "REPLACE"),
        itself()
            .header("x-amz-tagging-directive", "REPLACE")
            .header("x-amz-tagging", "x=y"),
        itself().header("x-amz-website-redirect-location", "/there"),
        itself().header("x-amz-checksum-algorithm", "SHA1"),
    ] {
        let reply = done.send(lab.at).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(ask("GET", "/bucket/source").send(lab.at).await.body == body);
    }
}

/// A copy has the checksum that is asked for, and else its source's.
/// Method: every algorithm over sizes that are shared and not.
#[tokio::test]
async fn copies_have_the_checksum_asked_for() {
    let lab = Lab::new().await;
    for length in [9, 2 * MIB] {
        let body = source(&lab, length).await;
        for name in ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"] {
            let header = format!("x-amz-checksum-{}", name.to_ascii_lowercase());
            let copy =
                copy("/bucket/source", "/bucket/copy").header("x-amz-checksum-algorithm", name);
            let reply = copy.send(lab.at).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            assert_eq!(reply.all("ChecksumType"), ["FULL_OBJECT"]);
            let sum = reply.all(&format!("Checksum{name}")).remove(0);
            let put = ask("PUT", "/bucket/again")
                .body(body.clone())
                .header(&header, &sum);
            assert_eq!(put.send(lab.at).await.status, 200, "{name} of {length}");
            let head = ask("HEAD", "/bucket/copy").header("x-amz-checksum-mode", "ENABLED");
            let head = head.send(lab.at).await;
            assert_eq!(head.header(&header), Some(sum.as_str()));
        }
    }
}

/// The source's conditions decide as on S3, where a copy is never told "not modified".
/// Method: a table of conditions, on a copy and on a part copy.
#[tokio::test]
async fn conditions_on_the_source_are_kept() {
    let lab = Lab::new().await;
    source(&lab, 100).await;
    let head = ask("HEAD", "/bucket/source").send(lab.at).await;
    let etag = head.header("etag").expect("an ETag");
    let (before, then) = (
        "Sun, 06 Nov 1994 08:49:36 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT",
    );
    let id = lab.begin("parted", &[]).await;
    for (conditions, status) in [
        (vec![("if-match", etag)], 200),
        (vec![("if-match", etag.trim_matches('"'))], 200),
        (vec![("if-match", "ABCORZ")], 412),
        (vec![("if-none-match", etag)], 412),
        (vec![("if-none-match", "ABCORZ")], 200),
        (vec![("if-modified-since", before)], 200),
        (vec![("if-modified-since", then)], 412),
        (vec![("if-unmodified-since", then)], 200),
        (vec![("if-unmodified-since", before)], 412),
        (
            vec![("if-match", etag), ("if-unmodified-since", before)],
            200,
        ),
        (
            vec![("if-none-match", etag), ("if-modified-since", before)],
            412,
        ),
        (
            vec![("if-none-match", "x"), ("if-modified-since", then)],
            200,
        ),
    ] {
        let part = lab.part("parted", &id, 1);
        let part = part.header("x-amz-copy-source", "/bucket/source");
        for mut request in [copy("/bucket/source", "/bucket/copy"), part] {
            for (name, value) in &conditions {
                request = request.header(&format!("x-amz-copy-source-{name}"), value);
            }
            let reply = request.send(lab.at).await;
            let code = if status == 412 {
                "PreconditionFailed"
            } else {
                ""
            };
            assert_eq!(told(&reply), is(status, code), "{conditions:?}");
        }
    }
    let there = copy("/bucket/source", "/bucket/copy").header("if-none-match", "*");
    assert_eq!(
        told(&there.send(lab.at).await),
        is(412, "PreconditionFailed")
    );
    let absent = copy("/bucket/source", "/bucket/new").header("if-match", "*");
    assert_eq!(told(&absent.send(lab.at).await), is(404, "NoSuchKey"));
}

/// What is not there, or not named as it must be, is not copied.
/// Method: a table of sources.
#[tokio::test]
async fn sources_must_be_there() {
    let lab = Lab::new().await;
    source(&lab, 5).await;
    for (from, status, code) in [
        ("/bucket/absent", 404, "NoSuchKey"),
        ("/absent/source", 404, "NoSuchBucket"),
        ("bucket", 400, "InvalidArgument"),
        ("/bucket/", 400, "InvalidArgument"),
        ("/Bad_Bucket/source", 400, "InvalidArgument"),
        ("/bucket/source?versionId=abc", 400, "InvalidArgument"),
        ("/bucket/%ff", 400, "InvalidArgument"),
        (
            "arn:aws:s3:eu-1:123456789012:accesspoint/name/object/key",
            501,
            "NotImplemented",
        ),
    ] {
        let reply = copy(from, "/bucket/copy").send(lab.at).await;
        assert_eq!(told(&reply), is(status, code), "{from}");
    }
    let owned = copy("/bucket/source", "/bucket/copy")
        .header("x-amz-source-expected-bucket-owner", "somebody-else");
    assert_eq!(told(&owned.send(lab.at).await), is(403, "AccessDenied"));
    let dropped = copy("/bucket/source", "/bucket/copy").header("x-amz-tagging", "a=b");
    assert_eq!(
        told(&dropped.send(lab.at).await),
        is(400, "InvalidArgument")
    );
    assert_eq!(ask("HEAD", "/bucket/copy").send(lab.at).await.status, 404);
    for key in [
        " ",
        "_",
        "?versionId",
        "a%25b",
        "a+b",
        "ä/🗄",
        "x?versionId=null",
    ] {
        let put = ask("PUT", path("bucket", key)).body(key).send(lab.at).await;
        assert_eq!(put.status, 200);
        let reply = copy(&path("bucket", key), "/bucket/copy")
            .send(lab.at)
            .await;
        assert_eq!(reply.status, 200, "{key}: {}", reply.text());
        assert_eq!(
            ask("GET", "/bucket/copy").send(lab.at).await.body,
            key.as_bytes()
        );
    }
}

/// A copy into a bucket of a higher label is a copy by value, under a key of that label; nothing is copied
/// down, and what may not be read is not there to be copied.
/// Method: a key above copies up; it may not copy down; a key below sees no source above.
#[tokio::test]
async fn copies_go_up_alone() {
    let lab = Lab::new().await;
    let body = source(&lab, 2 * MIB).await;
    let high = |mut ask: Ask| {
        ask.access_key = HIGH_KEY.into();
        ask
    };
    assert_eq!(high(ask("PUT", "/above")).send(lab.at).await.status, 200);
    let up = high(copy("/bucket/source", "/above/copy"))
        .send(lab.at)
        .await;
    assert_eq!(up.status, 200, "{}", up.text());
    assert!(high(ask("GET", "/above/copy")).send(lab.at).await.body == body);
    let down = high(copy("/above/copy", "/bucket/down")).send(lab.at).await;
    assert_eq!(told(&down), is(403, "AccessDenied"));
    let unseen = copy("/above/copy", "/bucket/down").send(lab.at).await;
    assert_eq!(told(&unseen), is(404, "NoSuchBucket"));
}

/// Ranges of objects, of one part and of several, become parts.
/// Method: an upload made of ranges around the borders of another upload's parts, sharable and not; with a
/// checksum asked for and without.
#[tokio::test]
async fn ranges_become_parts() {
    let lab = Lab::new().await;
    let id = lab.begin("source", &[]).await;
    let first = noise(5 * MIB + 3);
    let second = noise(2 * MIB);
    let tags = [
        lab.put("source", &id, 1, &first).await,
        lab.put("source", &id, 2, &second).await,
    ];
    let parts = [(1, tags[0].as_str()), (2, tags[1].as_str())];
    assert_eq!(
        lab.complete("source", &id, &parts)
            .send(lab.at)
            .await
            .status,
        200
    );
    let whole = [first, second].concat();
    let end = whole.len() - 1;

    for choice in [vec![], vec![("x-amz-checksum-algorithm", "SHA256")]] {
        let id = lab.begin("copy", &choice).await;
        let mut parts = Vec::new();
        let mut expected = Vec::new();
        let ranges = [
            (0, 5 * MIB + 2),
            (1, 6 * MIB),
            (5 * MIB - 1, end),
            (end, end),
        ];
        // All but the last of an upload have 5 MiB: the third is left out where it is not the last.
        for (number, (from, to)) in (1..).zip(ranges) {
            let part = lab
                .part("copy", &id, number)
                .header("x-amz-copy-source", "bucket/source")
                .header("x-amz-copy-source-range", &format!("bytes={from}-{to}"));
            let reply = part.send(lab.at).await;
            assert_eq!(reply.status, 200, "{from}-{to}: {}", reply.text());
            let sums = reply.all("ChecksumSHA256").len();
            assert_eq!(sums, choice.len(), "{from}-{to}");
            if number != 3 {
                parts.push((number, reply.all("ETag").remove(0)));
                expected.extend_from_slice(&whole[from..=to]);
            }
        }
        let parts: Vec<_> = parts.iter().map(|(n, tag)| (*n, tag.as_str())).collect();
        let reply = lab.complete("copy", &id, &parts).send(lab.at).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(lab.get("copy").await.body == expected, "{choice:?}");
    }
    let id = lab.begin("copy", &[]).await;
    let part = || {
        lab.part("copy", &id, 1)
            .header("x-amz-copy-source", "bucket/source")
    };
    for (range, status, code) in [
        (format!("bytes=0-{}", end + 1), 416, "InvalidRange"),
        ("bytes=5-".to_owned(), 400, "InvalidArgument"),
        ("0-2".to_owned(), 400, "InvalidArgument"),
        ("bytes=0-2,3-5".to_owned(), 400, "InvalidArgument"),
    ] {
        let reply = part()
            .header("x-amz-copy-source-range", &range)
            .send(lab.at)
            .await;
        assert_eq!(told(&reply), is(status, code), "{range}");
    }
    let all = part().send(lab.at).await;
    let etag = all.all("ETag").remove(0);
    let reply = lab.complete("copy", &id, &[(1, &etag)]).send(lab.at).await;
    assert_eq!(reply.status, 200);
    assert!(lab.get("copy").await.body == whole);
    let copied = copy("/bucket/source", "/bucket/whole").send(lab.at).await;
    let head = ask("HEAD", "/bucket/source").send(lab.at).await;
    assert_eq!(copied.all("ETag"), [head.header("etag").expect("an ETag")]);
    assert!(lab.get("whole").await.body == whole);
}

/// A header that was not signed never makes an upload a copy: whoever holds a signed request cannot make it
/// read what its signer may read (GHSA-g8w9-qw9q-fghr, GHSA-xm99-m3gq-83g8).
/// Method: every header of a copy, added to requests signed in their headers and in their query; for objects
/// and for parts. A mark of a header among the signed ones does not sign another.
#[tokio::test]
async fn unsigned_headers_copy_nothing() {
    let lab = Lab::new().await;
    source(&lab, 100).await;
    let id = lab.begin("target", &[]).await;
    let put = ask("PUT", "/bucket/target").body("mine");
    let part = lab.part("target", &id, 1).body("mine");
    for request in [put, part] {
        for added in [
            "x-amz-copy-source: /bucket/source",
            "X-AMZ-COPY-SOURCE: /bucket/source",
            "x-amz-metadata-directive: REPLACE",
            "x-amz-copy-source-range: bytes=0-1",
            "x-amz-tagging: a=b",
            "x-amz-meta-a: b",
            "x-amz-checksum-crc32: AAAAAA==",
            "x-amz-acl: private",
        ] {
            for head in [request.head(lab.at, &now()).0, request.presigned(lab.at)] {
                let head = head.replacen("\r\n", &format!("\r\n{added}\r\n"), 1);
                let reply = exchange(lab.at, head.as_bytes(), b"mine").await;
                assert_eq!(told(&reply), is(403, "AccessDenied"), "{head}");
            }
        }
        // In the query of a presigned URL it is signed, and s3s does not look there: refused, not dropped.
        let hoisted = request.clone().query("x-amz-copy-source", "/bucket/source");
        let hoisted = hoisted.presigned(lab.at);
        let reply = exchange(lab.at, hoisted.as_bytes(), b"mine").await;
        assert_eq!(told(&reply), is(501, "NotImplemented"));
    }
    let signed = copy("/bucket/source", "/bucket/target")
        .head(lab.at, &now())
        .0;
    let other = signed.replace("/bucket/source", "/bucket/sauce!");
    let reply = exchange(lab.at, other.as_bytes(), b"").await;
    assert_eq!(told(&reply), is(403, "SignatureDoesNotMatch"));
    let twice = signed.replacen(
        "x-amz-copy-source:",
        "x-amz-copy-source: /bucket/other\r\nx-amz-copy-source:",
        1,
    );
    let reply = exchange(lab.at, twice.as_bytes(), b"").await;
    assert_eq!(reply.status, 403, "{}", reply.text());
    assert_eq!(ask("HEAD", "/bucket/target").send(lab.at).await.status, 404);
    let listed = ask("GET", "/bucket/target").query("uploadId", &id);
    assert_eq!(listed.send(lab.at).await.all("Part").len(), 0);
}
