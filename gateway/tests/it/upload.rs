//! Uploads as SDKs send them; and that a wrong one leaves nothing behind.

use crate::cluster::World;
use crate::wire::{Ask, Reply, ask, cut, exchange, now, signed_chunks};
use std::net::SocketAddr;

const UNSIGNED: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
/// CRC-32 of "123456789".
const CRC32: &str = "y/Q5Jg==";

async fn world() -> World {
    let world = World::new().await;
    ask("PUT", "/bucket").send(world.address).await;
    world
}

async fn absent(at: SocketAddr) {
    assert_eq!(ask("HEAD", "/bucket/key").send(at).await.status, 404);
}

/// A body that differs from what was said of it is not stored.
/// Method: each claim, wrong; then all of them, right.
#[tokio::test]
async fn wrong_sums_store_nothing() {
    let world = world().await;
    let at = world.address;
    let put = || ask("PUT", "/bucket/key").body("123456789");
    let zeros = "0".repeat(64);
    for (request, code) in [
        (
            put().header("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="),
            "BadDigest",
        ),
        (put().header("content-md5", "short"), "InvalidDigest"),
        (
            put().header("x-amz-checksum-crc32", "AAAAAA=="),
            "BadDigest",
        ),
        (
            put().header("x-amz-checksum-crc32c", "AAAAAA=="),
            "BadDigest",
        ),
        (
            put().header("x-amz-checksum-crc64nvme", "AAAAAAAAAAA="),
            "BadDigest",
        ),
        (
            put().header("x-amz-checksum-sha1", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            "BadDigest",
        ),
        (
            put().header(
                "x-amz-checksum-sha256",
                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            ),
            "BadDigest",
        ),
        (put().header("x-amz-checksum-crc32", "?"), "BadDigest"),
        (put().payload(&zeros), "XAmzContentSHA256Mismatch"),
    ] {
        let reply = request.send(at).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, code));
        absent(at).await;
    }
    let good = put()
        .header("content-md5", "JfnnlDI7RTiF9RgfG2JNCw==")
        .header("x-amz-checksum-crc32", CRC32)
        .header("x-amz-sdk-checksum-algorithm", "CRC32");
    let reply = good.send(at).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(
        reply.header("etag"),
        Some("\"25f9e794323b453885f5181f1b624d0b\"")
    );
    let got = ask("GET", "/bucket/key")
        .header("x-amz-checksum-mode", "ENABLED")
        .send(at)
        .await;
    assert_eq!(got.header("x-amz-checksum-crc32"), Some(CRC32));
}

/// A body shorter than it said is not stored; one without a length is not begun.
/// Method: hang up early, plain and in aws-chunks; send none of the lengths.
#[tokio::test]
async fn short_bodies_store_nothing() {
    let world = world().await;
    let at = world.address;
    for length in ["10", "200000"] {
        let put = ask("PUT", "/bucket/key").header("content-length", length);
        let (head, _) = put.payload("UNSIGNED-PAYLOAD").head(at, &now());
        cut(at, head.as_bytes(), b"123456789").await;
        absent(at).await;
    }
    let reply = trailing(
        at,
        "10",
        &format!("9\r\n123456789\r\n0\r\nx-amz-checksum-crc32:{CRC32}\r\n\r\n"),
    )
    .await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (400, "IncompleteBody")
    );
    absent(at).await;
    let (head, _) = ask("PUT", "/bucket/key")
        .header("transfer-encoding", "chunked")
        .payload("UNSIGNED-PAYLOAD")
        .head(at, &now());
    let reply = exchange(at, head.as_bytes(), b"1\r\nx\r\n0\r\n\r\n").await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (411, "MissingContentLength")
    );
    absent(at).await;
}

/// An object that is too large for one PUT is refused before its body is asked for.
/// Method: `Expect: 100-continue`, with each way to say the length.
#[tokio::test]
async fn too_large_bodies_are_not_asked_for() {
    let world = world().await;
    let at = world.address;
    let large = ((5 << 30) + 1u64).to_string();
    let plain = ask("PUT", "/bucket/key")
        .header("content-length", &large)
        .payload("UNSIGNED-PAYLOAD");
    let chunks = unsigned_trailer(&large).header("transfer-encoding", "chunked");
    for request in [plain, chunks] {
        let (head, _) = request.header("expect", "100-continue").head(at, &now());
        let reply = exchange(at, head.as_bytes(), b"").await;
        assert_eq!(
            (reply.status, reply.code().as_str(), reply.continued),
            (400, "EntityTooLarge", false)
        );
    }
}

fn unsigned_trailer(decoded: &str) -> Ask {
    ask("PUT", "/bucket/key")
        .header("content-encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", decoded)
        .header("x-amz-trailer", "x-amz-checksum-crc32")
        .header("x-amz-sdk-checksum-algorithm", "CRC32")
        .payload(UNSIGNED)
}

async fn trailing(at: SocketAddr, decoded: &str, body: &str) -> Reply {
    unsigned_trailer(decoded).body(body).send(at).await
}

/// Unsigned chunks with a trailer, as SDKs send them over https, are stored when the trailer is right.
/// Method: with a length and without one (chunked transfer coding); then each wrong trailer.
#[tokio::test]
async fn trailers_are_verified() {
    let world = world().await;
    let at = world.address;
    for (trailer, code) in [
        ("x-amz-checksum-crc32:AAAAAA==\r\n", "BadDigest"),
        ("x-amz-checksum-crc32:?\r\n", "BadDigest"),
        (
            "x-amz-checksum-crc32c:y/Q5Jg==\r\n",
            "MalformedTrailerError",
        ),
        ("", "MalformedTrailerError"),
    ] {
        let body = format!("4\r\n1234\r\n5\r\n56789\r\n0\r\n{trailer}\r\n");
        let reply = trailing(at, "9", &body).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, code),
            "{trailer}"
        );
        absent(at).await;
    }
    let body = format!("4\r\n1234\r\n5\r\n56789\r\n0\r\nx-amz-checksum-crc32:{CRC32}\r\n\r\n");
    assert_eq!(trailing(at, "9", &body).await.status, 200);
    let (head, _) = unsigned_trailer("9")
        .header("transfer-encoding", "chunked")
        .head(at, &now());
    let coded = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let reply = exchange(at, head.as_bytes(), coded.as_bytes()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let got = ask("GET", "/bucket/key").send(at).await;
    assert_eq!(
        (got.body.as_slice(), got.header("content-encoding")),
        (&b"123456789"[..], None)
    );
}

/// A chunk that claims a signature where there are none is refused at its head: nobody holds it.
/// Method: announce 8 MiB in such a chunk and send none of it; the answer comes all the same. Of the
/// places for signed streams there is none left.
#[tokio::test]
async fn unsigned_chunks_are_never_held() {
    let world = World::with(|config| config.limits.signed_streams = 0).await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    let signature = "0".repeat(64);
    for first in ["", "1\r\nx\r\n"] {
        let (head, _) = unsigned_trailer("9000000")
            .header("content-length", "9000100")
            .head(at, &now());
        let body = format!("{first}800000;chunk-signature={signature}\r\n");
        let reply = exchange(at, head.as_bytes(), body.as_bytes()).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, "InvalidRequest")
        );
        absent(at).await;
    }
}

/// However small the pieces are in which a body comes, it is stored as it is.
/// Method: chunks of transfer coding of one byte, of a few and of many, in unsigned aws-chunks.
#[tokio::test]
async fn small_pieces_make_whole_objects() {
    let world = world().await;
    let at = world.address;
    let bytes: Vec<u8> = b"123456789".repeat(1500);
    let body = [
        format!("{:x}\r\n", bytes.len()).into_bytes(),
        bytes.clone(),
        b"\r\n0\r\nx-amz-checksum-crc32:".to_vec(),
        crc32(&bytes).into_bytes(),
        b"\r\n\r\n".to_vec(),
    ]
    .concat();
    for piece in [1, 37, 5000, body.len()] {
        let (head, _) = unsigned_trailer(&bytes.len().to_string())
            .header("transfer-encoding", "chunked")
            .head(at, &now());
        let mut coded = Vec::new();
        for piece in body.chunks(piece).chain([&b""[..]]) {
            coded.extend(format!("{:x}\r\n", piece.len()).bytes());
            coded.extend(piece);
            coded.extend(b"\r\n");
        }
        let reply = exchange(at, head.as_bytes(), &coded).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let got = ask("GET", "/bucket/key").send(at).await;
        assert!(got.body == bytes);
        ask("DELETE", "/bucket/key").send(at).await;
    }
}

/// In base64, bit by bit.
fn crc32(bytes: &[u8]) -> String {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg());
        }
    }
    base64(&(!sum).to_be_bytes())
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Signed chunks are stored when every signature is right.
/// Method: three chunks; then one byte of the second changed.
#[tokio::test]
async fn signed_chunks_are_verified() {
    let world = world().await;
    let at = world.address;
    for (flip, status) in [(true, 403), (false, 200)] {
        let put = ask("PUT", "/bucket/key")
            .header("x-amz-decoded-content-length", "150000")
            .payload("STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
        let date = now();
        let piece = vec![7; 50_000];
        let (_, seed) = put.head(at, &date);
        let mut body = signed_chunks(&put.signer(&date), &seed, &[&piece, &piece, &piece]).body;
        if flip {
            body[75_000] ^= 1;
        }
        let put = put.header("content-length", &body.len().to_string());
        let (head, _) = put.head(at, &date);
        let reply = exchange(at, head.as_bytes(), &body).await;
        assert_eq!(reply.status, status, "{}", reply.text());
        if flip {
            absent(at).await;
        }
    }
    let got = ask("GET", "/bucket/key").send(at).await;
    assert!(got.body == vec![7; 150_000]);
}
