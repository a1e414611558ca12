//! aws-chunks: sizes, signatures, trailers.

use super::case::{Case, Target};
use strongroom_wire::{now, signed_chunks, signed_trailer};

pub(super) fn cases(target: &Target) -> Vec<Case> {
    let mut cases = unsigned(target);
    cases.extend(signed(target));
    cases
}

/// Chunks without signatures, for a body of ten bytes.
fn unsigned(target: &Target) -> Vec<Case> {
    let put = |decoded: &str, body: &[u8]| {
        target
            .ask("PUT", "/bucket/framing")
            .payload("STREAMING-UNSIGNED-PAYLOAD-TRAILER")
            .header("x-amz-decoded-content-length", decoded)
            .header("x-amz-trailer", "x-amz-checksum-crc32")
            .header("content-length", &body.len().to_string())
            .body(body)
    };
    let end = "0\r\nx-amz-checksum-crc32:poTDGw==\r\n\r\n";
    let good = "a\r\n0123456789\r\n";
    let with = |body: &str| body.replace("END", end).replace("GOOD", good);
    let incomplete: &[&str] = &[
        "400 IncompleteBody",
        "400 InvalidRequest",
        "400 MalformedTrailerError",
    ];
    let refused: &[&str] = &[
        "400 IncompleteBody",
        "400 InvalidRequest",
        "400 InvalidChunkSizeError",
        "400 MalformedTrailerError",
        "400 BadDigest",
    ];
    [
        (
            "a size that is no number",
            "10",
            "zz\r\n0123456789\r\nEND",
            refused,
        ),
        ("a negative size", "10", "-a\r\n0123456789\r\nEND", refused),
        (
            "a size with a prefix",
            "10",
            "0xa\r\n0123456789\r\nEND",
            refused,
        ),
        (
            "a size with a sign",
            "10",
            "+a\r\n0123456789\r\nEND",
            refused,
        ),
        (
            "a size with a blank",
            "10",
            " a\r\n0123456789\r\nEND",
            refused,
        ),
        (
            "a size of 4 GiB",
            "10",
            "100000000\r\n0123456789\r\nEND",
            refused,
        ),
        (
            "a size of 4 GiB less one, and no more bytes",
            "4294967295",
            "ffffffff\r\n0123456789",
            refused,
        ),
        (
            "a size of 100 digits",
            "10",
            &format!("{}a\r\n0123456789\r\nEND", "0".repeat(100)),
            refused,
        ),
        (
            "no line end behind a size",
            "10",
            "a0123456789\r\nEND",
            refused,
        ),
        (
            "a bare line feed behind a size",
            "10",
            "a\n0123456789\r\nEND",
            refused,
        ),
        (
            "no line end behind a chunk",
            "10",
            "a\r\n0123456789END",
            refused,
        ),
        (
            "more in a chunk than its size",
            "10",
            "a\r\n0123456789X\r\nEND",
            refused,
        ),
        (
            "less in a chunk than its size",
            "10",
            "b\r\n0123456789\r\nEND",
            refused,
        ),
        (
            "an extension",
            "10",
            "a;name=value\r\n0123456789\r\nEND",
            refused,
        ),
        (
            "a signature where none belongs",
            "10",
            "a;chunk-signature=00\r\n0123456789\r\nEND",
            refused,
        ),
        ("no last chunk", "10", "GOOD", refused),
        ("nothing at all", "10", "", incomplete),
        (
            "fewer bytes than were declared",
            "11",
            "GOODEND",
            incomplete,
        ),
        ("more bytes than were declared", "9", "GOODEND", refused),
        (
            "a negative length",
            "-10",
            "GOODEND",
            &[
                "400 InvalidArgument",
                "400 InvalidRequest",
                "400 MissingContentLength",
                "411 MissingContentLength",
            ],
        ),
        (
            "a length that is no number",
            "ten",
            "GOODEND",
            &[
                "400 InvalidArgument",
                "400 InvalidRequest",
                "400 MissingContentLength",
                "411 MissingContentLength",
            ],
        ),
        (
            "a length above the largest object",
            "5368709121",
            "GOODEND",
            &["400 EntityTooLarge"],
        ),
        ("no trailer", "10", "GOOD0\r\n\r\n", refused),
        (
            "a wrong checksum",
            "10",
            "GOOD0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
            &["400 BadDigest"],
        ),
        (
            "a checksum that is none",
            "10",
            "GOOD0\r\nx-amz-checksum-crc32:???\r\n\r\n",
            refused,
        ),
        (
            "another trailer than was announced",
            "10",
            "GOOD0\r\nx-amz-checksum-sha1:AAAA\r\n\r\n",
            refused,
        ),
        (
            "a trailer twice",
            "10",
            "GOOD0\r\nx-amz-checksum-crc32:poTDGw==\r\nx-amz-checksum-crc32:poTDGw==\r\n\r\n",
            refused,
        ),
        (
            "a trailer without a name",
            "10",
            "GOOD0\r\n:poTDGw==\r\n\r\n",
            refused,
        ),
        (
            "an endless trailer",
            "10",
            &format!(
                "GOOD0\r\nx-amz-checksum-crc32:{}\r\n\r\n",
                "A".repeat(300_000)
            ),
            refused,
        ),
        ("bytes behind the trailer", "10", "GOODENDmore", refused),
    ]
    .into_iter()
    .map(|(name, decoded, body, expected)| {
        let ask = put(decoded, with(body).as_bytes());
        Case::signed(target, &format!("unsigned chunks, {name}"), &ask, expected)
    })
    .collect()
}

/// Chunks with signatures: three of 20 000 bytes each.
fn signed(target: &Target) -> Vec<Case> {
    let piece = vec![b'p'; 20_000];
    let other = vec![b'q'; 20_000];
    let pieces: [&[u8]; 3] = [&piece, &other, &piece];
    let mut cases = Vec::new();
    let mut add = |name: &str,
                   trailer: bool,
                   expected: &[&'static str],
                   edit: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        let kind = if trailer {
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
        } else {
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
        };
        let mut ask = target
            .ask("PUT", "/bucket/framing")
            .payload(kind)
            .header("x-amz-decoded-content-length", "60000");
        if trailer {
            ask = ask.header("x-amz-trailer", "x-amz-checksum-crc32c");
        }
        let date = now();
        let (_, seed) = ask.head(target.address, &date);
        let signer = ask.signer(&date);
        let body = if trailer {
            signed_trailer(
                &signer,
                &seed,
                &pieces,
                ("x-amz-checksum-crc32c", "AAAAAA=="),
            )
            .body
        } else {
            signed_chunks(&signer, &seed, &pieces).body
        };
        let body = edit(body);
        let ask = ask.header("content-length", &body.len().to_string());
        let (head, _) = ask.head(target.address, &date);
        cases.push(Case::raw(
            &format!("signed chunks, {name}"),
            head,
            body,
            expected,
        ));
    };
    let find = |body: &[u8], text: &[u8]| {
        let at = body.windows(text.len()).position(|window| window == text);
        at.expect("it is there")
    };
    let mismatch: &[&str] = &["403 SignatureDoesNotMatch"];
    let refused: &[&str] = &[
        "403 SignatureDoesNotMatch",
        "400 IncompleteBody",
        "400 InvalidRequest",
        "400 InvalidChunkSizeError",
        "400 EntityTooLarge",
    ];
    let head = 6 + ";chunk-signature=".len() + 64;
    let chunk = head - 2 + 2 + 20_000 + 2;
    add("a byte changed", false, mismatch, &|mut body| {
        body[30_000] ^= 1;
        body
    });
    add("a signature changed", false, mismatch, &|mut body| {
        let at = find(&body, b"chunk-signature=") + 20;
        body[at] = if body[at] == b'0' { b'1' } else { b'0' };
        body
    });
    add("a chunk left out", false, refused, &|body| {
        body[chunk..].to_vec()
    });
    add("a chunk twice", false, refused, &|body| {
        [&body[..chunk], &body[..]].concat()
    });
    add("two chunks swapped", false, refused, &|body| {
        [&body[chunk..2 * chunk], &body[..chunk], &body[2 * chunk..]].concat()
    });
    add("no signatures", false, refused, &|_| {
        b"ea60\r\n"
            .iter()
            .copied()
            .chain(vec![b'p'; 60_000])
            .chain(*b"\r\n0\r\n\r\n")
            .collect()
    });
    add("no last chunk", false, refused, &|body| {
        body[..3 * chunk].to_vec()
    });
    add("a chunk of 4 GiB declared", false, refused, &|body| {
        let line = format!("ffffffff;chunk-signature={}\r\n", "0".repeat(64));
        [line.as_bytes(), &body[head..]].concat()
    });
    add("a chunk of 64 MiB declared", false, refused, &|body| {
        let line = format!("4000000;chunk-signature={}\r\n", "0".repeat(64));
        [line.as_bytes(), &body[head..]].concat()
    });
    add(
        "the trailer's checksum is wrong",
        true,
        &["400 BadDigest"],
        &|body| body,
    );
    add(
        "a trailer changed",
        true,
        &["403 SignatureDoesNotMatch"],
        &|body| {
            let at = find(&body, b"crc32c:AAAAAA==") + 7;
            let mut body = body;
            body[at] = b'B';
            body
        },
    );
    add(
        "a trailer without its signature",
        true,
        &[
            "403 SignatureDoesNotMatch",
            "400 InvalidRequest",
            "400 MalformedTrailerError",
            "400 IncompleteBody",
        ],
        &|body| {
            let at = find(&body, b"x-amz-trailer-signature");
            [&body[..at], b"\r\n"].concat()
        },
    );
    cases
}
