//! Keys, buckets and paths. A key is a name and no path: what looks like one is kept as it is, or
//! refused, and never leads anywhere else.

use super::case::{Case, Target};

pub(super) fn cases(target: &Target) -> Vec<Case> {
    let long = format!("/bucket/{}", "k".repeat(1025));
    let very_long = format!("/bucket/{}", "k".repeat(70_000));
    let missing = &["404 NoSuchKey"][..];
    let refused = &[
        "400 InvalidURI",
        "400 InvalidRequest",
        "400 InvalidArgument",
        "400",
    ][..];
    // Signed as it stands, and read as the path that it stands for.
    let other = &["403 SignatureDoesNotMatch"][..];
    let bucket = &["400 InvalidBucketName"][..];
    [
        ("dots that climb", "/bucket/../../etc/passwd", missing),
        (
            "dots that climb to another bucket",
            "/other/../bucket/here",
            &["404 NoSuchBucket"],
        ),
        ("escaped dots", "/bucket/%2e%2e/%2e%2e/etc/passwd", other),
        ("escaped slashes", "/bucket/..%2F..%2Fetc%2Fpasswd", other),
        ("escapes of escapes", "/bucket/%252E%252E%252Fhere", missing),
        ("backslashes", "/bucket/..%5C..%5Chere", missing),
        ("a slash before", "/bucket//here", missing),
        ("a slash behind", "/bucket/here/", missing),
        ("a dot before", "/bucket/./here", missing),
        ("a NUL behind", "/bucket/here%00", missing),
        ("a NUL and a suffix", "/bucket/here%00.txt", missing),
        ("a line feed", "/bucket/here%0A", missing),
        ("other case", "/bucket/HERE", missing),
        ("another normal form", "/bucket/he%CC%88re", missing),
        ("not UTF-8", "/bucket/%ff%fe", refused),
        ("half a surrogate", "/bucket/%ed%a0%80", refused),
        ("an overlong slash", "/bucket/..%c0%af..%c0%afhere", refused),
        (
            "half an escape",
            "/bucket/here%2",
            &[
                "400 InvalidURI",
                "404 NoSuchKey",
                "400",
                "403 SignatureDoesNotMatch",
            ],
        ),
        (
            "no escape",
            "/bucket/here%zz",
            &[
                "400 InvalidURI",
                "404 NoSuchKey",
                "400",
                "403 SignatureDoesNotMatch",
            ],
        ),
        ("1025 bytes", &long, &["400 KeyTooLongError"]),
        (
            "70 000 bytes",
            &very_long,
            &["400 KeyTooLongError", "414", "431", "400"],
        ),
        (
            "a bucket in capitals",
            "/Bucket/here",
            &["400 InvalidBucketName", "404 NoSuchBucket"],
        ),
        ("a bucket that climbs", "/../here", bucket),
        ("a bucket with an underscore", "/buc_ket/here", bucket),
        ("a bucket that is an address", "/127.0.0.1/here", bucket),
        ("a bucket of two letters", "/ab/here", bucket),
        (
            "a bucket of 64 letters",
            &format!("/{}/here", "b".repeat(64)),
            bucket,
        ),
        ("a bucket with a NUL", "/buc%00ket/here", bucket),
        (
            "no bucket",
            "//here",
            &[
                "400 InvalidBucketName",
                "400 InvalidURI",
                "403 SignatureDoesNotMatch",
                "404 NoSuchBucket",
                "400",
            ],
        ),
    ]
    .into_iter()
    .map(|(name, path, expected)| {
        Case::signed(
            target,
            &format!("name, {name}"),
            &target.ask("GET", path),
            expected,
        )
    })
    .collect()
}
