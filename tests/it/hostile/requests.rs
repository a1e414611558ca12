//! Ranges, parameters, headers.

use super::case::{Case, Target};

pub(super) fn cases(target: &Target, upload: &str) -> Vec<Case> {
    let mut cases = ranges(target);
    cases.extend(parameters(target, upload));
    cases.extend(headers(target));
    cases
}

/// A range that is well-formed is served or cannot be; one that is not is ignored, as on S3.
fn ranges(target: &Target) -> Vec<Case> {
    let (whole, part, outside) = (&["200"][..], &["206"][..], &["416 InvalidRange"][..]);
    [
        ("bytes=0-0", part),
        ("bytes=0-99999999999999999999", part),
        ("bytes=0-18446744073709551615", part),
        ("bytes=18446744073709551615-", outside),
        ("bytes=18446744073709551616-", outside),
        ("bytes=10-", outside),
        ("bytes=10-11", outside),
        ("bytes=-0", outside),
        ("bytes=-11", part),
        ("bytes=5-4", whole),
        ("bytes=-", whole),
        ("bytes=", whole),
        ("bytes", whole),
        ("bytes=a-b", whole),
        ("bytes=--1", whole),
        ("bytes=0-1,3-4", whole),
        ("bytes=0x0-0x1", whole),
        ("items=0-1", whole),
        ("", whole),
    ]
    .into_iter()
    .map(|(range, expected)| {
        let ask = target.ask("GET", "/bucket/here").header("range", range);
        Case::signed(target, &format!("range {range:?}"), &ask, expected)
    })
    .collect()
}

fn parameters(target: &Target, upload: &str) -> Vec<Case> {
    let argument = &["400 InvalidArgument"][..];
    let none = "0".repeat(32);
    let mut cases = Vec::new();
    for (name, value, expected) in [
        ("max-keys", "-1", argument),
        ("max-keys", "2147483648", argument),
        ("max-keys", "many", argument),
        ("max-keys", "99999999999999999999", argument),
        ("encoding-type", "rot13", argument),
        ("continuation-token", "nonsense", argument),
    ] {
        let ask = target.ask("GET", "/bucket").query(name, value);
        let ask = if name == "list-type" {
            ask
        } else {
            ask.query("list-type", "2")
        };
        cases.push(Case::signed(
            target,
            &format!("list, {name}={value}"),
            &ask,
            expected,
        ));
    }
    for (number, expected) in [
        ("0", argument),
        ("-1", argument),
        ("10001", argument),
        ("4294967297", argument),
        ("one", argument),
    ] {
        let ask = target
            .ask("PUT", "/bucket/multipart")
            .query("partNumber", number)
            .query("uploadId", upload)
            .body(b"part".to_vec());
        cases.push(Case::signed(
            target,
            &format!("part number {number}"),
            &ask,
            expected,
        ));
    }
    for id in ["", "nonsense", "../..", none.as_str()] {
        let ask = target
            .ask("PUT", "/bucket/multipart")
            .query("partNumber", "1")
            .query("uploadId", id)
            .body(b"part".to_vec());
        let expected = &["404 NoSuchUpload", "400 InvalidArgument"];
        cases.push(Case::signed(
            target,
            &format!("upload id {id:?}"),
            &ask,
            expected,
        ));
    }
    let other_key = target
        .ask("PUT", "/bucket/other-key")
        .query("partNumber", "1")
        .query("uploadId", upload)
        .body(b"part".to_vec());
    cases.push(Case::signed(
        target,
        "another key's upload",
        &other_key,
        &["404 NoSuchUpload"],
    ));
    for name in [
        "acl",
        "policy",
        "versioning",
        "replication",
        "torrent",
        "website",
        "nonsense",
    ] {
        let ask = target
            .ask("PUT", "/bucket")
            .query(name, "")
            .body(b"<A/>".to_vec());
        let expected = &[
            "501 NotImplemented",
            "400 MalformedXML",
            "400 MalformedACLError",
            "409 BucketAlreadyOwnedByYou",
            "400 InvalidArgument",
        ];
        if name != "nonsense" {
            cases.push(Case::signed(
                target,
                &format!("sub-resource {name}"),
                &ask,
                expected,
            ));
        }
    }
    cases
}

fn headers(target: &Target) -> Vec<Case> {
    let put = |name: &str, value: &str| {
        target
            .ask("PUT", "/bucket/header")
            .body(b"planted".to_vec())
            .header(name, value)
    };
    let large = "m".repeat(2049);
    let mut cases: Vec<Case> = [
        ("content-md5", "nonsense", &["400 InvalidDigest"][..]),
        (
            "content-md5",
            "AAAAAAAAAAAAAAAAAAAAAA==",
            &["400 BadDigest"],
        ),
        ("content-md5", "", &["400 InvalidDigest"]),
        ("x-amz-checksum-crc32", "AAAAAA==", &["400 BadDigest"]),
        (
            "x-amz-checksum-crc32",
            "nonsense",
            &["400 InvalidRequest", "400 BadDigest"],
        ),
        (
            "x-amz-checksum-sha256",
            "AAAA",
            &["400 InvalidRequest", "400 BadDigest"],
        ),
        (
            "x-amz-checksum-md5",
            "AAAA",
            &["400 InvalidRequest", "501 NotImplemented"],
        ),
        (
            "x-amz-copy-source",
            "nonsense",
            &["400 InvalidArgument", "400 InvalidRequest"],
        ),
        (
            "x-amz-copy-source",
            "/../etc/passwd",
            &[
                "400 InvalidArgument",
                "400 InvalidRequest",
                "400 InvalidBucketName",
                "404 NoSuchBucket",
            ],
        ),
        ("x-amz-meta-large", &large, &["400 MetadataTooLarge"]),
        (
            "x-amz-tagging",
            "a=b&a=c",
            &["400 InvalidTag", "400 InvalidArgument"],
        ),
        (
            "x-amz-tagging",
            "%zz=%",
            &["400 InvalidTag", "400 InvalidArgument"],
        ),
        (
            "x-amz-server-side-encryption-customer-key",
            "AAAA",
            &[
                "501 NotImplemented",
                "400 InvalidArgument",
                "400 InvalidRequest",
            ],
        ),
        (
            "x-amz-acl",
            "public-read-write",
            &["501 NotImplemented", "400 AccessControlListNotSupported"],
        ),
        (
            "x-amz-object-lock-mode",
            "COMPLIANCE",
            &["501 NotImplemented", "400 InvalidRequest"],
        ),
        ("x-amz-nonsense", "x", &["501 NotImplemented"]),
        ("if-match", "\"nonsense\"", &["404 NoSuchKey"]),
        ("content-length", "5368709121", &["400 EntityTooLarge"]),
    ]
    .into_iter()
    .map(|(name, value, expected)| {
        let shown = &value[..value.len().min(30)];
        Case::signed(
            target,
            &format!("{name}: {shown}"),
            &put(name, value),
            expected,
        )
    })
    .collect();
    let good = || {
        put("x-amz-meta-a", "b")
            .head(target.address, &strongroom_wire::now())
            .0
    };
    let first = |line: &str| good().replacen("\r\n", &format!("\r\n{line}\r\n"), 1);
    let many: String = (0..500).map(|n| format!("x-{n}: {n}\r\n")).collect();
    for (name, head, expected) in [
        (
            "a header of 1 MiB",
            first(&format!("x-large: {}", "h".repeat(1 << 20))),
            &["431", "400"][..],
        ),
        ("500 headers", first(many.trim_end()), &["431", "400"]),
        ("a header without a colon", first("nonsense"), &["400"]),
        ("a header without a name", first(": nonsense"), &["400"]),
        ("a blank before the colon", first("x-blank : a"), &["400"]),
        ("a folded header", first("x-folded: a\r\n b"), &["400"]),
        ("a NUL in a header", first("x-nul: a\0b"), &["400"]),
        ("no version", good().replacen(" HTTP/1.1", "", 1), &["400"]),
        (
            "another version",
            good().replacen("HTTP/1.1", "HTTP/9.9", 1),
            &["400", "505"],
        ),
        (
            "nothing of HTTP",
            "\u{16}\u{3}\u{1}nonsense\r\n\r\n".to_owned(),
            &["400"],
        ),
        (
            "another method",
            good().replacen("PUT ", "BREW ", 1),
            &[
                "405 MethodNotAllowed",
                "403 SignatureDoesNotMatch",
                "501 NotImplemented",
                "400 InvalidRequest",
            ],
        ),
        (
            "TRACE",
            good().replacen("PUT ", "TRACE ", 1),
            &[
                "405 MethodNotAllowed",
                "403 SignatureDoesNotMatch",
                "501 NotImplemented",
            ],
        ),
        (
            "CONNECT",
            good().replacen("PUT /", "CONNECT /", 1),
            &[
                "400",
                "405 MethodNotAllowed",
                "403 SignatureDoesNotMatch",
                "501 NotImplemented",
            ],
        ),
    ] {
        cases.push(Case::raw(
            &format!("head, {name}"),
            head,
            "planted",
            expected,
        ));
    }
    cases
}
