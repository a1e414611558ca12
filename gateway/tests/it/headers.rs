//! What headers a signature covers, and what those do that it does not.

use crate::cluster::World;
use crate::wire::{Ask, ask, exchange, head_signing, now, presigned_signing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Every `x-amz-*` header that some operation honours, with a value that would be good if it were signed,
/// and some that none does.
const AMZ: [(&str, &str); 34] = [
    ("x-amz-acl", "private"),
    ("x-amz-bucket-object-lock-enabled", "false"),
    ("x-amz-checksum-algorithm", "CRC32"),
    ("x-amz-checksum-crc32", "Nhl7FA=="),
    ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA="),
    ("x-amz-checksum-mode", "ENABLED"),
    ("x-amz-checksum-type", "FULL_OBJECT"),
    ("x-amz-copy-source", "/bucket/secret"),
    ("x-amz-copy-source-if-match", "*"),
    ("x-amz-copy-source-range", "bytes=0-1"),
    ("x-amz-date", "20260101T000000Z"),
    ("x-amz-decoded-content-length", "5"),
    ("x-amz-expected-bucket-owner", "nobody"),
    ("x-amz-grant-read", "id=x"),
    (
        "x-amz-if-match-last-modified-time",
        "Sun, 06 Nov 1994 08:49:37 GMT",
    ),
    ("x-amz-if-match-size", "5"),
    ("x-amz-max-parts", "1"),
    ("x-amz-meta-colour", "blue"),
    ("x-amz-metadata-directive", "REPLACE"),
    ("x-amz-mp-object-size", "5"),
    ("x-amz-object-attributes", "ETag"),
    ("x-amz-object-lock-mode", "GOVERNANCE"),
    ("x-amz-object-ownership", "BucketOwnerEnforced"),
    ("x-amz-optional-object-attributes", "RestoreStatus"),
    ("x-amz-request-payer", "requester"),
    ("x-amz-sdk-checksum-algorithm", "CRC32"),
    ("x-amz-security-token", "x"),
    ("x-amz-server-side-encryption", "AES256"),
    ("x-amz-something-new", "x"),
    ("x-amz-storage-class", "STANDARD"),
    ("x-amz-tagging", "a=b"),
    ("x-amz-trailer", "x-amz-checksum-crc32"),
    ("x-amz-user-agent", "x"),
    ("x-amz-website-redirect-location", "/x"),
];

async fn world() -> World {
    let world = World::new().await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    ask("PUT", "/bucket/secret").body("secret").send(at).await;
    world
}

/// An `x-amz-*` header that is not signed has no effect but that the request is refused.
/// Method: each of them beside a signed request and beside a presigned URL, which read, write, list and
/// delete; and one that says it is signed and differs from what was.
#[tokio::test]
async fn unsigned_amz_headers_are_refused() {
    let world = world().await;
    let at = world.address;
    let mark = "connection: close\r\n";
    for (name, value) in AMZ {
        for request in [
            ask("PUT", "/bucket/new").body("hello"),
            ask("GET", "/bucket/secret"),
            ask("DELETE", "/bucket/secret"),
            ask("GET", "/bucket").query("list-type", "2"),
        ] {
            let in_header = match name {
                // It is always signed: here comes another one.
                "x-amz-date" => head_signing(&request, at, &[]),
                _ => request.head(at, &now()).0,
            };
            for head in [in_header, request.presigned(at)] {
                let head = head.replace(mark, &format!("{name}: {value}\r\n{mark}"));
                let reply = exchange(at, head.as_bytes(), &request.body).await;
                let told = (reply.status, reply.code());
                let twice = head.matches("x-amz-date:").count() > 1;
                let expected = match twice {
                    true => [(403, "SignatureDoesNotMatch"), (400, "InvalidRequest")],
                    false => [(403, "AccessDenied"); 2],
                };
                assert!(
                    expected.iter().any(|(s, c)| told == (*s, (*c).to_owned())),
                    "{name} {} {}: {told:?}",
                    request.method,
                    request.path
                );
            }
        }
        let signed = ask("PUT", "/bucket/new")
            .header("x-amz-meta-a", "1")
            .body("hello");
        let head = signed
            .head(at, &now())
            .0
            .replace("x-amz-meta-a: 1", "x-amz-meta-a: 2");
        let reply = exchange(at, head.as_bytes(), b"hello").await;
        assert_eq!(reply.code(), "SignatureDoesNotMatch");
    }
    assert_eq!(ask("HEAD", "/bucket/new").send(at).await.status, 404);
    assert_eq!(ask("GET", "/bucket/secret").send(at).await.body, b"secret");
}

/// The one header that may come unsigned, `x-amz-content-sha256` beside a presigned URL, says only what the
/// body must be.
/// Method: each kind of value; what is stored is the body or nothing.
#[tokio::test]
async fn an_unsigned_hash_only_restricts() {
    let world = world().await;
    let at = world.address;
    let right = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    for (value, status) in [
        (right, 200),
        ("UNSIGNED-PAYLOAD", 200),
        (&"0".repeat(64), 400),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", 501),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", 501),
        ("nonsense", 403),
    ] {
        ask("DELETE", "/bucket/new").send(at).await;
        let put = ask("PUT", "/bucket/new").header("x-amz-content-sha256", value);
        let head = put.body("hello").presigned(at);
        let reply = exchange(at, head.as_bytes(), b"hello").await;
        assert_eq!(reply.status, status, "{value}: {}", reply.text());
        let stored = ask("GET", "/bucket/new").send(at).await;
        assert_eq!(
            stored.status,
            if status == 200 { 200 } else { 404 },
            "{value}"
        );
        assert!(status != 200 || stored.body == b"hello");
    }
}

/// A presigned URL holds for the headers that were signed with it, whichever they are, and for those values
/// alone.
/// Method: an upload with headers of several kinds; then each of them altered, and left out.
#[tokio::test]
async fn presigned_urls_hold_for_their_headers() {
    let world = world().await;
    let at = world.address;
    let headers = [
        ("content-type", "text/x-signed"),
        ("if-none-match", "*"),
        ("x-amz-acl", "private"),
        ("x-amz-checksum-crc32", "NhCmhg=="),
        ("x-amz-meta-colour", "blue"),
        ("x-amz-storage-class", "STANDARD"),
        ("x-amz-tagging", "a=b"),
    ];
    let names = headers.map(|(name, _)| name);
    let mut put = ask("PUT", "/bucket/new").body("hello");
    for (name, value) in headers {
        put = put.header(name, value);
    }
    let head = presigned_signing(&put, at, &names);
    for (name, value) in headers {
        let line = format!("{name}: {value}\r\n");
        for altered in ["", &format!("{name}: other\r\n")] {
            let head = head.replacen(&line, altered, 1);
            let reply = exchange(at, head.as_bytes(), b"hello").await;
            assert_eq!(reply.code(), "SignatureDoesNotMatch", "{name} {altered}");
        }
    }
    assert_eq!(ask("HEAD", "/bucket/new").send(at).await.status, 404);
    let reply = exchange(at, head.as_bytes(), b"hello").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let stored = ask("GET", "/bucket/new").send(at).await;
    assert_eq!(stored.header("content-type"), Some("text/x-signed"));
    assert_eq!(stored.header("x-amz-meta-colour"), Some("blue"));
    assert_eq!(stored.header("x-amz-tagging-count"), Some("1"));
    let again = exchange(at, head.as_bytes(), b"hello").await;
    assert_eq!(again.code(), "PreconditionFailed");
}

/// A presigned URL that was never valid, or is for longer than a week, is refused as one that has expired.
/// Method: lives at and around the bounds.
#[tokio::test]
async fn presigned_urls_end() {
    let world = world().await;
    let at = world.address;
    let life = |seconds: &str| {
        let head = ask("GET", "/bucket/secret").presigned(at);
        head.replace("X-Amz-Expires=60", &format!("X-Amz-Expires={seconds}"))
    };
    for (seconds, code) in [
        ("0", "AccessDenied"),
        ("-7", "AccessDenied"),
        ("604801", "AccessDenied"),
        // Good, but not what was signed.
        ("604800", "SignatureDoesNotMatch"),
    ] {
        let reply = exchange(at, life(seconds).as_bytes(), b"").await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (403, code),
            "{seconds}"
        );
    }
}

/// Metadata that comes in several headers of one name is one value, whether they are signed by name or all.
/// Method: two headers, of a signed request and of a presigned URL.
#[tokio::test]
async fn repeated_metadata_is_joined() {
    let world = world().await;
    let at = world.address;
    let put = ask("PUT", "/bucket/new")
        .header("x-amz-meta-a", "1")
        .header("x-amz-meta-a", "2, 3")
        .body("hello");
    // What is signed of several headers is their joined value.
    let mut joined = put.clone();
    joined.headers = vec![("x-amz-meta-a".into(), "1,2, 3".into())];
    let separate = "x-amz-meta-a: 1\r\nx-amz-meta-a: 2, 3\r\n";
    for head in [
        head_signing(&joined, at, &["x-amz-meta-a"]),
        presigned_signing(&joined, at, &["x-amz-meta-a"]),
    ] {
        let head = head.replace("x-amz-meta-a: 1,2, 3\r\n", separate);
        assert!(head.contains(separate));
        let reply = exchange(at, head.as_bytes(), b"hello").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let stored = ask("HEAD", "/bucket/new").send(at).await;
        assert_eq!(stored.header("x-amz-meta-a"), Some("1,2, 3"));
        ask("DELETE", "/bucket/new").send(at).await;
    }
}

/// A Range header that is none is ignored even where the signature covers it, and the signature counts all
/// the same.
/// Method: malformed and good ranges, signed in headers and in URLs, with conditions and overrides beside
/// them; then under another secret, and with the range altered.
#[tokio::test]
async fn signed_unknown_ranges_are_ignored() {
    let world = world().await;
    let at = world.address;
    for (range, status, body) in [
        ("bytes=2-3", 206, "cr"),
        ("bytes=3-2", 200, "secret"),
        ("bytes=0-1,4-5", 200, "secret"),
        ("lines=0-1", 200, "secret"),
        ("bytes=", 200, "secret"),
    ] {
        for method in ["GET", "HEAD"] {
            let get = ask(method, "/bucket/secret")
                .query("response-content-type", "text/x-mine")
                .header("range", range);
            let heads = |ask: &Ask| {
                let also = &["range"];
                [
                    head_signing(ask, at, also),
                    presigned_signing(ask, at, also),
                ]
            };
            for head in heads(&get) {
                let reply = exchange(at, head.as_bytes(), b"").await;
                assert_eq!(reply.status, status, "{method} {range}");
                assert_eq!(reply.header("content-type"), Some("text/x-mine"));
                let length = body.len().to_string();
                assert_eq!(reply.header("content-length"), Some(length.as_str()));
                assert!(method == "HEAD" || reply.body == body.as_bytes(), "{range}");
                let altered = head.replace(range, "bytes=1-0");
                let reply = exchange(at, altered.as_bytes(), b"").await;
                assert_eq!(reply.status, 403, "{method} {range}");
            }
            let mut forged = get.clone();
            forged.secret = "another".into();
            for head in heads(&forged) {
                let reply = exchange(at, head.as_bytes(), b"").await;
                assert_eq!(
                    (reply.status, reply.headers.iter().any(|(n, _)| n == "etag")),
                    (403, false)
                );
            }
            let stale = get.header("if-match", "\"other\"");
            for head in heads(&stale) {
                assert_eq!(exchange(at, head.as_bytes(), b"").await.status, 412);
            }
        }
    }
    let unsigned = ask("GET", "/bucket/secret")
        .header("range", "bytes=3-2")
        .unsigned(at);
    let reply = exchange(at, unsigned.as_bytes(), b"").await;
    assert_eq!((reply.status, reply.code().as_str()), (403, "AccessDenied"));
    ask("PUT", "/bucket/tagged")
        .header("x-amz-tagging", "a=b")
        .send(at)
        .await;
    for (request, shown) in [
        (ask("GET", "/"), "ListAllMyBucketsResult"),
        (ask("GET", "/bucket"), "<Key>secret</Key>"),
        (
            ask("GET", "/bucket/tagged").query("tagging", ""),
            "<Value>b</Value>",
        ),
    ] {
        let reply = request.header("range", "bytes=3-2").send(at).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(reply.text().contains(shown), "{}", reply.text());
    }
}

/// Requests that come one behind the other on a connection, before any is answered, are answered in turn.
/// Method: an upload, two reads, a refused one, a read with a malformed range and a deletion in one write.
#[tokio::test]
async fn pipelined_requests_are_answered_in_turn() {
    let world = world().await;
    let at = world.address;
    let put = ask("PUT", "/bucket/new").body("hello");
    let mut forged = ask("GET", "/bucket/new");
    forged.secret = "another".into();
    let requests = [
        put,
        ask("GET", "/bucket/new"),
        ask("GET", "/bucket/new").header("range", "bytes=1-2"),
        forged,
        ask("GET", "/bucket/new").header("range", "bytes=2-1"),
        ask("DELETE", "/bucket/new"),
        ask("GET", "/bucket/new"),
    ];
    let last = requests.len() - 1;
    let mut bytes = Vec::new();
    for (index, request) in requests.iter().enumerate() {
        let (mut head, _) = request.head(at, &now());
        if index < last {
            head = head.replace("connection: close\r\n", "");
        }
        bytes.extend(head.bytes());
        bytes.extend(&request.body);
    }
    let mut stream = TcpStream::connect(at).await.expect("listens");
    stream.write_all(&bytes).await.expect("sent");
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.expect("answered");
    let statuses: Vec<&str> = answers
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|answer| &answer[..3])
        .collect();
    let expected = ["200", "200", "206", "403", "200", "204", "404"];
    assert_eq!(statuses, expected, "{answers}");
    assert_eq!(answers.matches("\r\n\r\nhello").count(), 2, "{answers}");
    assert!(answers.contains("\r\n\r\nel"), "{answers}");
}
