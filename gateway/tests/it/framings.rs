//! Uploads, framed as the clients of S3 frame them.

use crate::cluster::World;
use crate::wire::{Ask, ask};

const BODY: &str = "hello";
const CRC32: &str = "NhCmhg==";
const SHA256: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
const MD5: &str = "XUFAKrxLKna5cZ2REBfFkg==";
const TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/// The body in unsigned aws-chunks of so many bytes, its checksum behind it.
fn aws_chunks(size: usize) -> String {
    let mut framed = String::new();
    for piece in BODY.as_bytes().chunks(size) {
        let text = std::str::from_utf8(piece).expect("ASCII");
        framed += &format!("{:x}\r\n{text}\r\n", piece.len());
    }
    format!("{framed}0\r\nx-amz-checksum-crc32:{CRC32}\r\n\r\n")
}

/// A body in chunked transfer coding, in pieces of so many bytes.
fn transfer_coded(body: &str, size: usize) -> String {
    let mut framed = String::new();
    for piece in body.as_bytes().chunks(size) {
        let text = std::str::from_utf8(piece).expect("ASCII");
        framed += &format!("{:X}\r\n{text}\r\n", piece.len());
    }
    format!("{framed}0\r\n\r\n")
}

fn put() -> Ask {
    ask("PUT", "/bucket/key")
}

/// A body in aws-chunks, as every SDK announces it.
fn trailing(size: usize) -> Ask {
    put()
        .payload(TRAILER)
        .header("content-encoding", "aws-chunked")
        .header("x-amz-trailer", "x-amz-checksum-crc32")
        .header("x-amz-sdk-checksum-algorithm", "CRC32")
        .body(aws_chunks(size))
}

/// The same without a Content-Length, as a stream is sent.
fn streamed(mut request: Ask, size: usize) -> Ask {
    let body = String::from_utf8(request.body).expect("ASCII");
    request.body = transfer_coded(&body, size).into_bytes();
    request.header("transfer-encoding", "chunked")
}

/// An upload is stored however its client frames it, and how it travelled is no property of the object.
/// Method: each client's way, with `Expect` and without; then GET.
#[tokio::test]
async fn uploads_come_as_clients_frame_them() {
    let world = World::new().await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    let length = BODY.len().to_string();
    let decoded = |ask: Ask| ask.header("x-amz-decoded-content-length", &length);
    for (client, request) in [
        (
            "boto3 over http",
            put()
                .payload(SHA256)
                .header("x-amz-checksum-crc32", CRC32)
                .header("x-amz-sdk-checksum-algorithm", "CRC32")
                .body(BODY),
        ),
        ("boto3 over https", streamed(decoded(trailing(5)), 16)),
        (
            "the JavaScript SDK, a stream",
            streamed(decoded(trailing(2)), 7),
        ),
        ("the CRT, with a Content-Length", decoded(trailing(5))),
        (
            "s3torchconnector",
            put().payload("UNSIGNED-PAYLOAD").body(BODY),
        ),
        ("obstore, s3dlio", put().payload(SHA256).body(BODY)),
        (
            "s5cmd",
            put().payload(SHA256).header("content-md5", MD5).body(BODY),
        ),
        (
            "rclone",
            put()
                .payload("UNSIGNED-PAYLOAD")
                .header("content-md5", MD5)
                .body(BODY),
        ),
    ] {
        for expects in [false, true] {
            ask("DELETE", "/bucket/key").send(at).await;
            let request = match expects {
                true => request.clone().header("expect", "100-continue"),
                false => request.clone(),
            };
            let reply = request.send(at).await;
            assert_eq!(reply.status, 200, "{client}: {}", reply.text());
            assert_eq!(reply.continued, expects, "{client}");
            let stored = ask("GET", "/bucket/key").send(at).await;
            assert_eq!(stored.body, BODY.as_bytes(), "{client}");
            assert_eq!(stored.header("content-encoding"), None, "{client}");
        }
    }
}

/// A body whose length nobody says is refused before it is asked for; so is one in aws-chunks that says only
/// how long it is on the wire.
/// Method: each framing without its length, with `Expect`.
#[tokio::test]
async fn bodies_have_a_length() {
    let world = World::new().await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    for request in [
        trailing(5),
        streamed(trailing(5), 16),
        streamed(put().payload("UNSIGNED-PAYLOAD").body(BODY), 16),
        streamed(put().payload(SHA256).body(BODY), 16),
    ] {
        let reply = request.header("expect", "100-continue").send(at).await;
        let told = (reply.status, reply.code());
        assert_eq!(told, (411, "MissingContentLength".to_owned()));
        assert!(!reply.continued);
    }
    assert_eq!(ask("HEAD", "/bucket/key").send(at).await.status, 404);
}
