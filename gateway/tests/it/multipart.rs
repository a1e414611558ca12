//! Multipart uploads: parts become an object, all of them or none.

use crate::cluster::{FOREIGN_KEY, World};
use crate::wire::{Ask, Reply, ask, exchange, now, signed_chunks};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::net::SocketAddr;

const MIB: usize = 1 << 20;
/// The least that a part has unless it is the last.
const PART: usize = 5 * MIB;

/// A bucket, and how an upload into it is spoken to.
pub(crate) struct Lab {
    /// Serves as long as it is held.
    _world: World,
    pub(crate) at: SocketAddr,
}

impl Lab {
    pub(crate) async fn new() -> Self {
        let world = World::new().await;
        let at = world.address;
        assert_eq!(ask("PUT", "/bucket").send(at).await.status, 200);
        Self { _world: world, at }
    }

    pub(crate) async fn begin(&self, key: &str, headers: &[(&str, &str)]) -> String {
        let mut create = ask("POST", format!("/bucket/{key}")).query("uploads", "");
        for (name, value) in headers {
            create = create.header(name, value);
        }
        let reply = create.send(self.at).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.all("Key"), [key]);
        reply.all("UploadId").remove(0)
    }

    pub(crate) fn part(&self, key: &str, id: &str, number: u32) -> Ask {
        ask("PUT", format!("/bucket/{key}"))
            .query("partNumber", &number.to_string())
            .query("uploadId", id)
    }

    /// Uploads a part; its ETag.
    pub(crate) async fn put(&self, key: &str, id: &str, number: u32, body: &[u8]) -> String {
        let reply = self.part(key, id, number).body(body).send(self.at).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.header("etag").expect("an ETag").to_owned()
    }

    pub(crate) fn complete(&self, key: &str, id: &str, parts: &[(u32, &str)]) -> Ask {
        let part = |(number, etag): &(u32, &str)| {
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
        };
        let parts: String = parts.iter().map(part).collect();
        let document = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        ask("POST", format!("/bucket/{key}"))
            .query("uploadId", id)
            .body(document)
    }

    pub(crate) async fn get(&self, key: &str) -> Reply {
        ask("GET", format!("/bucket/{key}"))
            .header("x-amz-checksum-mode", "ENABLED")
            .send(self.at)
            .await
    }

    async fn uploads(&self) -> Vec<String> {
        let list = ask("GET", "/bucket").query("uploads", "");
        list.send(self.at).await.all("UploadId")
    }
}

fn told(reply: &Reply) -> (u16, String) {
    (reply.status, reply.code())
}

fn is(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// `length` bytes that tell parts and places apart.
fn noise(seed: u8, length: usize) -> Vec<u8> {
    let bytes = (0..=250).cycle().skip(usize::from(seed) * 7);
    let mut bytes: Vec<u8> = bytes.take(length).collect();
    bytes
        .iter_mut()
        .step_by(1000)
        .for_each(|byte| *byte ^= seed);
    bytes
}

/// Parts come in any order, again, and under any numbers; the object is what was named, in order of number,
/// with the upload's metadata; ranges cross the borders of its parts.
/// Method: three parts out of order, one sent twice, one left out; then ranges around each border.
#[tokio::test]
async fn parts_become_an_object() {
    let lab = Lab::new().await;
    let headers = [
        ("content-type", "text/x-noise"),
        ("x-amz-meta-colour", "blue"),
        ("cache-control", "no-store"),
    ];
    let id = lab.begin("key", &headers).await;
    assert_eq!(lab.uploads().await, [id.as_str()]);
    let (first, second, last) = (noise(1, PART), noise(2, PART + 77), noise(3, 12_345));
    let last_tag = lab.put("key", &id, 10_000, &last).await;
    lab.put("key", &id, 7, &noise(9, PART)).await;
    let second_tag = lab.put("key", &id, 7, &second).await;
    let first_tag = lab.put("key", &id, 2, &first).await;
    lab.put("key", &id, 9, &noise(4, 5)).await;
    assert_eq!(lab.get("key").await.status, 404);

    let parts = [
        (2, first_tag.as_str()),
        (7, second_tag.trim_matches('"')),
        (10_000, last_tag.as_str()),
    ];
    let reply = lab.complete("key", &id, &parts).send(lab.at).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let etag = reply.all("ETag").remove(0);
    assert!(etag.ends_with("-3\""), "{etag}");
    assert_eq!(reply.all("ChecksumType"), ["FULL_OBJECT"]);
    let whole = [first, second, last].concat();
    let got = lab.get("key").await;
    assert!(got.body == whole);
    for (name, value) in [
        ("etag", etag.as_str()),
        ("content-type", "text/x-noise"),
        ("cache-control", "no-store"),
        ("x-amz-meta-colour", "blue"),
        ("x-amz-checksum-type", "FULL_OBJECT"),
        (
            "x-amz-checksum-crc64nvme",
            &reply.all("ChecksumCRC64NVME")[0],
        ),
    ] {
        assert_eq!(got.header(name), Some(value), "{name}");
    }
    for border in [PART, 2 * PART + 77, whole.len() - 1] {
        for (first, last) in [
            (border - 1, border),
            (border, border),
            (border - 70_000, border + 10),
            (0, border),
            (PART - 3, border),
        ] {
            let last = last.min(whole.len() - 1);
            let range = format!("bytes={first}-{last}");
            let get = ask("GET", "/bucket/key").header("range", &range);
            let got = get.send(lab.at).await;
            assert_eq!(got.status, 206, "{range}");
            assert!(got.body == whole[first..=last], "{range}");
        }
    }
    assert_eq!(lab.uploads().await, [""; 0]);
    let again = lab.complete("key", &id, &parts).send(lab.at).await;
    assert_eq!((again.status, again.all("ETag")), (200, vec![etag]));
    let other = lab.complete("key", &id, &parts[..1]).send(lab.at).await;
    assert_eq!(told(&other), is(400, "InvalidPart"));
    let late = lab.part("key", &id, 3).body("late").send(lab.at).await;
    assert_eq!(told(&late), is(404, "NoSuchUpload"));
    ask("PUT", "/bucket/key").body("new").send(lab.at).await;
    let replaced = lab.complete("key", &id, &parts).send(lab.at).await;
    assert_eq!(told(&replaced), is(404, "NoSuchUpload"));
}

/// What is wrong with a completion is said as S3 says it, and the upload goes on.
/// Method: a table of documents over two parts; then the right one.
#[tokio::test]
async fn wrong_completions_change_nothing() {
    let lab = Lab::new().await;
    let id = lab.begin("key", &[]).await;
    let small = lab.put("key", &id, 1, b"small").await;
    let last = lab.put("key", &id, 2, b"last").await;
    let (small, last) = (small.as_str(), last.as_str());
    let other = format!("\"{}\"", "f".repeat(32));
    for (parts, code) in [
        (vec![(1, small), (2, last)], "EntityTooSmall"),
        (vec![(2, last), (1, small)], "InvalidPartOrder"),
        (vec![(1, small), (1, &other)], "InvalidPart"),
        (vec![(1, small), (9999, last)], "InvalidPart"),
        (vec![(1, &other)], "InvalidPart"),
        (vec![(1, last)], "InvalidPart"),
        (vec![(0, small)], "InvalidPart"),
        (vec![], "MalformedXML"),
    ] {
        let reply = lab.complete("key", &id, &parts).send(lab.at).await;
        assert_eq!(told(&reply), is(400, code), "{parts:?}");
    }
    let post = || ask("POST", "/bucket/key").query("uploadId", &id);
    let many = "<Part><PartNumber>1</PartNumber><ETag>a</ETag></Part>".repeat(10_001);
    let many = format!("<CompleteMultipartUpload>{many}</CompleteMultipartUpload>");
    for document in [
        "",
        "<CompleteMultipartUpload>",
        "<Other/>",
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>",
        "<CompleteMultipartUpload><Part><ETag>a</ETag></Part></CompleteMultipartUpload>",
        &many,
    ] {
        let reply = post().body(document).send(lab.at).await;
        let document = &document[..document.len().min(80)];
        assert_eq!(told(&reply), is(400, "MalformedXML"), "{document}");
    }
    let long = post().body(vec![b' '; 5 * MIB]).send(lab.at).await;
    assert_eq!(told(&long), is(400, "EntityTooLarge"));
    let complete = |parts: &[(u32, &str)]| lab.complete("key", &id, parts);
    let wrong = complete(&[(1, small)]).header("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==");
    assert_eq!(told(&wrong.send(lab.at).await), is(400, "BadDigest"));
    for (name, value, code) in [
        ("x-amz-mp-object-size", "6", "InvalidRequest"),
        ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=", "BadDigest"),
        ("x-amz-checksum-crc64nvme", "bad", "BadDigest"),
        (
            "x-amz-checksum-sha1",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "InvalidRequest",
        ),
        ("x-amz-checksum-type", "COMPOSITE", "InvalidRequest"),
    ] {
        let reply = complete(&[(1, small)])
            .header(name, value)
            .send(lab.at)
            .await;
        assert_eq!(told(&reply), is(400, code), "{name}");
    }
    assert_eq!(ask("GET", "/bucket").send(lab.at).await.all("Key"), [""; 0]);
    let good = complete(&[(1, small)])
        .header("x-amz-mp-object-size", "5")
        .send(lab.at)
        .await;
    assert_eq!(good.status, 200, "{}", good.text());
    assert_eq!(lab.get("key").await.body, b"small");
}

/// An upload that there is not is not found, whatever is asked of it and whatever its name.
/// Method: every operation on ids that are none, and on the id of another key's upload.
#[tokio::test]
async fn unknown_uploads_are_not_found() {
    let lab = Lab::new().await;
    let other = lab.begin("other", &[]).await;
    let gone = "0".repeat(32);
    for id in ["abc1234def", "../..", "", &gone, &other] {
        for request in [
            lab.part("key", id, 1).body("x"),
            lab.part("key", id, 1)
                .header("x-amz-copy-source", "/bucket/source"),
            lab.complete("key", id, &[(1, "1234")]),
            ask("GET", "/bucket/key").query("uploadId", id),
            ask("DELETE", "/bucket/key").query("uploadId", id),
        ] {
            let reply = request.send(lab.at).await;
            assert_eq!(
                told(&reply),
                is(404, "NoSuchUpload"),
                "{} {id}",
                request.method
            );
        }
    }
    for number in ["0", "10001", "-1"] {
        let part = ask("PUT", "/bucket/other")
            .query("partNumber", number)
            .query("uploadId", &other)
            .body("x");
        let reply = part.send(lab.at).await;
        assert_eq!(told(&reply), is(400, "InvalidArgument"), "{number}");
    }
}

/// An aborted upload is gone: nothing is listed of it, and nothing can be added; what the key shows stays.
/// Method: abort with a part uploaded, over an object.
#[tokio::test]
async fn aborted_uploads_are_gone() {
    let lab = Lab::new().await;
    ask("PUT", "/bucket/key").body("old").send(lab.at).await;
    let id = lab.begin("key", &[]).await;
    let etag = lab.put("key", &id, 1, &noise(1, 100_000)).await;
    let abort = || ask("DELETE", "/bucket/key").query("uploadId", &id);
    assert_eq!(abort().send(lab.at).await.status, 204);
    assert_eq!(told(&abort().send(lab.at).await), is(404, "NoSuchUpload"));
    assert_eq!(lab.uploads().await, [""; 0]);
    let reply = lab.complete("key", &id, &[(1, &etag)]).send(lab.at).await;
    assert_eq!(told(&reply), is(404, "NoSuchUpload"));
    assert_eq!(lab.get("key").await.body, b"old");
    ask("DELETE", "/bucket/key").send(lab.at).await;
    lab.begin("key", &[]).await;
    assert_eq!(ask("DELETE", "/bucket").send(lab.at).await.status, 204);
}

/// Parts are listed by number, in pages, with what is known of them.
/// Method: five parts in pages of each size; an upload that asks for a checksum.
#[tokio::test]
async fn parts_are_listed() {
    let lab = Lab::new().await;
    let choice = [
        ("x-amz-checksum-algorithm", "SHA256"),
        ("content-type", "a/b"),
    ];
    let id = lab.begin("key", &choice).await;
    let list = || ask("GET", "/bucket/key").query("uploadId", &id);
    let none = list().send(lab.at).await;
    assert_eq!((none.status, none.all("Part").len()), (200, 0));
    let mut tags = Vec::new();
    for number in [9, 2, 4, 30, 11] {
        let etag = lab
            .put("key", &id, number, &noise(1, number as usize))
            .await;
        tags.push((number, etag));
    }
    tags.sort();
    for size in 1..=6 {
        let mut seen = Vec::new();
        let mut marker = "0".to_owned();
        loop {
            let page = list()
                .query("max-parts", &size.to_string())
                .query("part-number-marker", &marker)
                .send(lab.at)
                .await;
            assert_eq!(page.all("MaxParts"), [size.to_string()]);
            assert_eq!(page.all("PartNumberMarker"), [marker.clone()]);
            let numbers = page.all("PartNumber");
            assert!(numbers.len() <= size);
            for (number, etag) in numbers.iter().zip(page.all("ETag")) {
                seen.push((number.parse::<u32>().expect("a number"), etag));
            }
            assert_eq!(page.all("Size"), numbers);
            marker = page.all("NextPartNumberMarker").remove(0);
            if page.all("IsTruncated") == ["false"] {
                break;
            }
        }
        assert_eq!(seen, tags, "pages of {size}");
    }
    let all = list().send(lab.at).await;
    assert_eq!(all.all("ChecksumAlgorithm"), ["SHA256"]);
    assert_eq!(all.all("ChecksumType"), ["COMPOSITE"]);
    assert_eq!(all.all("ChecksumSHA256").len(), 5);
    assert_eq!(all.all("StorageClass"), ["STANDARD"]);
    assert_eq!(all.all("ID").len(), 2);
    let bad = list().query("max-parts", "-1").send(lab.at).await;
    assert_eq!(told(&bad), is(400, "InvalidArgument"));
}

/// Uploads under way are listed by key, in pages, those of one key by age.
/// Method: uploads of several keys, two of one; every page size, with prefix and delimiter.
#[tokio::test]
async fn uploads_are_listed() {
    let lab = Lab::new().await;
    let mut begun = Vec::new();
    for key in ["b/2", "a", "b/1", "c", "b/1", "b/x/y"] {
        begun.push((key.to_owned(), lab.begin(key, &[]).await));
    }
    begun.sort_by(|a, b| a.0.cmp(&b.0));
    let list = || ask("GET", "/bucket").query("uploads", "");
    for size in 1..=7 {
        let mut seen = Vec::new();
        let (mut key, mut upload) = (String::new(), String::new());
        loop {
            let page = list()
                .query("max-uploads", &size.to_string())
                .query("key-marker", &key)
                .query("upload-id-marker", &upload)
                .send(lab.at)
                .await;
            let keys = page.all("Key");
            assert!(keys.len() <= size);
            seen.extend(keys.into_iter().zip(page.all("UploadId")));
            if page.all("IsTruncated") == ["false"] {
                break;
            }
            key = page.all("NextKeyMarker").remove(0);
            upload = page.all("NextUploadIdMarker").remove(0);
        }
        assert_eq!(seen, begun, "pages of {size}");
    }
    let page = list().query("prefix", "b/").query("delimiter", "/");
    let page = page.send(lab.at).await;
    assert_eq!(page.all("Key"), ["b/1", "b/1", "b/2"]);
    assert!(page.text().contains("<Prefix>b/x/</Prefix>"));
    let mut foreign = list();
    foreign.access_key = FOREIGN_KEY.into();
    assert_eq!(foreign.send(lab.at).await.status, 404);
}

/// Every checksum of S3, of every kind that it can be, is kept part by part and as a whole.
/// Method: parts with the checksum in a header; the object's own at completion, wrong and right; then HEAD,
/// GET and GetObjectAttributes.
#[tokio::test]
async fn checksums_are_kept() {
    let lab = Lab::new().await;
    let parts = [noise(1, PART), noise(2, 1000)];
    // Computed by Python's zlib, hashlib and awscrt over the same bytes.
    for (name, kind) in [
        ("CRC32", "COMPOSITE"),
        ("CRC32", "FULL_OBJECT"),
        ("CRC32C", "COMPOSITE"),
        ("CRC32C", "FULL_OBJECT"),
        ("CRC64NVME", "FULL_OBJECT"),
        ("SHA1", "COMPOSITE"),
        ("SHA256", "COMPOSITE"),
    ] {
        let what = format!("{name} {kind}");
        let header = format!("x-amz-checksum-{}", name.to_ascii_lowercase());
        let choice = [
            ("x-amz-checksum-algorithm", name),
            ("x-amz-checksum-type", kind),
        ];
        let id = lab.begin("key", &choice).await;
        let mut sums = Vec::new();
        let mut named = String::new();
        for (number, part) in (1..).zip(&parts) {
            let reply = lab
                .part("key", &id, number)
                .body(&part[..])
                .send(lab.at)
                .await;
            let sum = reply.header(&header).expect("computed").to_owned();
            let wrong = lab.part("key", &id, number).body("x").header(&header, &sum);
            assert_eq!(
                told(&wrong.send(lab.at).await),
                is(400, "BadDigest"),
                "{what}"
            );
            let right = lab
                .part("key", &id, number)
                .body(&part[..])
                .header(&header, &sum);
            let right = right.send(lab.at).await;
            assert_eq!(
                (right.status, right.header(&header)),
                (200, Some(sum.as_str()))
            );
            named.push_str(&format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag><Checksum{name}>{sum}</Checksum{name}></Part>",
                right.header("etag").expect("an ETag"),
            ));
            sums.push(sum);
        }
        let another = if name == "SHA1" {
            "x-amz-checksum-crc32"
        } else {
            "x-amz-checksum-sha1"
        };
        let other = lab
            .part("key", &id, 1)
            .body("x")
            .header(another, "AAAAAA==");
        assert_eq!(other.send(lab.at).await.status, 400);

        let document = format!("<CompleteMultipartUpload>{named}</CompleteMultipartUpload>");
        let complete = || {
            let post = ask("POST", "/bucket/key").query("uploadId", &id);
            post.header("x-amz-checksum-type", kind)
                .body(document.clone())
        };
        let wrong = complete().header(&header, &sums[0]).send(lab.at).await;
        assert_eq!(told(&wrong), is(400, "BadDigest"), "{what}");
        let swapped = document.replace(&sums[1], &sums[0]);
        let swapped = complete().body(swapped).send(lab.at).await;
        assert_eq!(told(&swapped), is(400, "InvalidPart"), "{what}");
        let reply = complete().send(lab.at).await;
        assert_eq!(reply.status, 200, "{what}: {}", reply.text());
        assert_eq!(reply.all("ChecksumType"), [kind]);
        let sum = reply.all(&format!("Checksum{name}")).remove(0);
        let put = ask("PUT", "/bucket/plain")
            .body(parts.concat())
            .header("x-amz-sdk-checksum-algorithm", name);
        // A plain PUT of the same bytes, where the client gives the sum that we told.
        if kind == "FULL_OBJECT" {
            let plain = put.header(&header, &sum).send(lab.at).await;
            assert_eq!(plain.status, 200, "{what}: {}", plain.text());
        } else {
            let raw: Vec<u8> = sums
                .iter()
                .flat_map(|sum| STANDARD.decode(sum).expect("base64"))
                .collect();
            let (value, count) = sum.split_once('-').expect("how many parts");
            assert_eq!(count, "2", "{what}");
            let put = ask("PUT", "/bucket/plain").body(raw).header(&header, value);
            assert_eq!(put.send(lab.at).await.status, 200, "{what}");
        }
        let again = complete().header(&header, &sum).send(lab.at).await;
        assert_eq!(again.status, 200, "{what}");
        let head = ask("HEAD", "/bucket/key");
        assert_eq!(head.clone().send(lab.at).await.header(&header), None);
        let head = head
            .header("x-amz-checksum-mode", "ENABLED")
            .send(lab.at)
            .await;
        assert_eq!(head.header(&header), Some(sum.as_str()), "{what}");
        assert_eq!(head.header("x-amz-checksum-type"), Some(kind), "{what}");
        let told = ask("GET", "/bucket/key")
            .query("attributes", "")
            .header(
                "x-amz-object-attributes",
                "Checksum,ObjectParts,ETag,ObjectSize,StorageClass",
            )
            .send(lab.at)
            .await;
        let mut expected = vec![sum];
        expected.extend(sums);
        assert_eq!(told.all(&format!("Checksum{name}")), expected, "{what}");
        assert_eq!(told.all("ChecksumType"), [kind]);
        assert_eq!(told.all("PartsCount"), ["2"]);
        assert_eq!(told.all("ObjectSize"), [(PART + 1000).to_string()]);
        assert_eq!(told.all("Size"), [PART.to_string(), "1000".to_owned()]);
        assert_eq!(told.all("StorageClass"), ["STANDARD"]);
        let etag = head
            .header("etag")
            .expect("an ETag")
            .trim_matches('"')
            .to_owned();
        assert_eq!(told.all("ETag"), [etag], "without quotes, as on S3");
    }
}

/// Parts come in aws-chunks like objects: with a trailer, or signed one by one.
/// Method: one of each; then one changed byte.
#[tokio::test]
async fn parts_come_in_chunks() {
    let lab = Lab::new().await;
    let id = lab
        .begin("key", &[("x-amz-checksum-algorithm", "CRC32")])
        .await;
    for (sum, status) in [("AAAAAA==", 400), ("y/Q5Jg==", 200)] {
        let body = format!("4\r\n1234\r\n5\r\n56789\r\n0\r\nx-amz-checksum-crc32:{sum}\r\n\r\n");
        let part = lab.part("key", &id, 1);
        let reply = part
            .header("content-encoding", "aws-chunked")
            .header("x-amz-decoded-content-length", "9")
            .header("x-amz-trailer", "x-amz-checksum-crc32")
            .payload("STREAMING-UNSIGNED-PAYLOAD-TRAILER")
            .body(body)
            .send(lab.at)
            .await;
        assert_eq!(reply.status, status, "{}", reply.text());
    }
    for (flip, status) in [(true, 403), (false, 200)] {
        let part = lab
            .part("key", &id, 1)
            .header("x-amz-decoded-content-length", "100000")
            .payload("STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
        let date = now();
        let piece = vec![7; 50_000];
        let (_, seed) = part.head(lab.at, &date);
        let mut body = signed_chunks(&part.signer(&date), &seed, &[&piece, &piece]).body;
        if flip {
            body[75_000] ^= 1;
        }
        let part = part.header("content-length", &body.len().to_string());
        let (head, _) = part.head(lab.at, &date);
        let reply = exchange(lab.at, head.as_bytes(), &body).await;
        assert_eq!(reply.status, status, "{}", reply.text());
    }
    let listed = ask("GET", "/bucket/key").query("uploadId", &id);
    assert_eq!(listed.send(lab.at).await.all("Size"), ["100000"]);
}

/// A completion is conditional like any write, and of racing ones each sees one whole object.
/// Method: If-None-Match and If-Match over an object, over none, and over one deleted; then racers.
#[tokio::test]
async fn completions_are_conditional() {
    let lab = Lab::new().await;
    let mut last = String::new();
    for (name, value, status, code) in [
        ("if-match", "*", 404, "NoSuchKey"),
        ("if-match", "badetag", 404, "NoSuchKey"),
        ("if-none-match", "*", 200, ""),
        ("if-none-match", "*", 412, "PreconditionFailed"),
        ("if-none-match", "LAST", 412, "PreconditionFailed"),
        ("if-none-match", "badetag", 200, ""),
        ("if-match", "badetag", 412, "PreconditionFailed"),
        ("if-match", "LAST", 200, ""),
        ("if-match", "*", 200, ""),
    ] {
        let id = lab.begin("key", &[]).await;
        let etag = lab.put("key", &id, 1, b"abc").await;
        let value = if value == "LAST" {
            last.as_str()
        } else {
            value
        };
        let complete = lab.complete("key", &id, &[(1, &etag)]);
        let reply = complete.header(name, value).send(lab.at).await;
        assert_eq!(told(&reply), is(status, code), "{name}: {value}");
        if status == 200 {
            last = reply.all("ETag").remove(0);
        }
    }
    let mut racers = Vec::new();
    for seed in 0..6 {
        let id = lab.begin("raced", &[]).await;
        let etag = lab.put("raced", &id, 1, &noise(seed, 5000)).await;
        racers.push(lab.complete("raced", &id, &[(1, &etag)]));
    }
    let racing = racers.iter().map(|complete| {
        let complete = complete.clone().header("if-none-match", "*");
        async move { complete.send(lab.at).await.status }
    });
    let statuses = futures::future::join_all(racing).await;
    let won = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(won, 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 412)));
}

/// An upload is refused as a whole for what is not implemented, and for what does not go together.
/// Method: a table of headers.
#[tokio::test]
async fn uploads_are_done_or_refused() {
    let lab = Lab::new().await;
    for (headers, status, code) in [
        (
            vec![("x-amz-checksum-type", "COMPOSITE")],
            400,
            "InvalidRequest",
        ),
        (
            vec![("x-amz-checksum-algorithm", "ROT13")],
            400,
            "InvalidRequest",
        ),
        (
            vec![("x-amz-checksum-algorithm", "SHA512")],
            501,
            "NotImplemented",
        ),
        (
            vec![
                ("x-amz-checksum-algorithm", "SHA1"),
                ("x-amz-checksum-type", "FULL_OBJECT"),
            ],
            400,
            "InvalidRequest",
        ),
        (vec![("x-amz-tagging", "a=1&a=2")], 400, "InvalidTag"),
        (
            vec![("x-amz-storage-class", "GLACIER")],
            501,
            "NotImplemented",
        ),
        (
            vec![("x-amz-copy-source", "/bucket/key")],
            501,
            "NotImplemented",
        ),
        (
            vec![("x-amz-server-side-encryption", "aws:kms")],
            501,
            "NotImplemented",
        ),
    ] {
        let mut create = ask("POST", "/bucket/key").query("uploads", "");
        for (name, value) in &headers {
            create = create.header(name, value);
        }
        let reply = create.send(lab.at).await;
        assert_eq!(told(&reply), is(status, code), "{headers:?}");
    }
    assert_eq!(lab.uploads().await, [""; 0]);
    let id = lab.begin("key", &[("x-amz-tagging", "a=1&b=2")]).await;
    let etag = lab.put("key", &id, 1, b"tagged").await;
    let reply = lab.complete("key", &id, &[(1, &etag)]).send(lab.at).await;
    assert_eq!(reply.status, 200);
    let tags = ask("GET", "/bucket/key")
        .query("tagging", "")
        .send(lab.at)
        .await;
    assert_eq!(tags.all("Value"), ["1", "2"]);
}
