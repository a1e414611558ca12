//! What is signed wrongly, late, twice or not at all.

use super::case::{Case, Target};
use strongroom_wire::now;
use time::{Duration, OffsetDateTime, macros::format_description};

const MISMATCH: &[&str] = &["403 SignatureDoesNotMatch"];
const MALFORMED: &[&str] = &[
    "400 AuthorizationHeaderMalformed",
    "400 InvalidRequest",
    "400 InvalidArgument",
    "403 AccessDenied",
];

pub(super) fn cases(target: &Target) -> Vec<Case> {
    let mut cases = in_headers(target);
    cases.extend(in_the_query(target));
    cases
}

fn minutes_from_now(minutes: i64) -> String {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    let then = OffsetDateTime::now_utc() + Duration::minutes(minutes);
    then.format(format).expect("a date")
}

fn in_headers(target: &Target) -> Vec<Case> {
    let put = || {
        target
            .ask("PUT", "/bucket/signature")
            .body(b"planted".to_vec())
    };
    let good = || put().head(target.address, &now()).0;
    let mut cases = Vec::new();
    let mut raw = |name: &str, head: String, expected: &[&'static str]| {
        cases.push(Case::raw(
            &format!("signature, {name}"),
            head,
            "planted",
            expected,
        ));
    };
    let mut wrong_secret = put();
    wrong_secret.secret = "w".repeat(40);
    raw(
        "a wrong secret",
        wrong_secret.head(target.address, &now()).0,
        MISMATCH,
    );
    let mut no_secret = put();
    no_secret.secret = String::new();
    raw(
        "an empty secret",
        no_secret.head(target.address, &now()).0,
        MISMATCH,
    );
    for key in ["AKIAUNKNOWN", "", "minioadmin", "rustfsadmin", "root", "*"] {
        let mut ask = put();
        ask.access_key = key.into();
        let head = ask.head(target.address, &now()).0;
        let expected: &[_] = match key {
            "" => &[
                "400 AuthorizationHeaderMalformed",
                "403 InvalidAccessKeyId",
                "400 InvalidRequest",
            ],
            _ => &["403 InvalidAccessKeyId"],
        };
        raw(&format!("the key {key:?}"), head, expected);
    }
    let skewed: &[_] = &["403 RequestTimeTooSkewed"];
    for minutes in [-24 * 60, -16, 16, 24 * 60] {
        let head = put().head(target.address, &minutes_from_now(minutes)).0;
        raw(&format!("{minutes} minutes from now"), head, skewed);
    }
    for (name, from, to) in [
        ("another region", "/us-east-1/", "/us-west-2/"),
        ("another service", "/s3/", "/ec2/"),
        ("another terminator", "/aws4_request", "/aws4_other"),
        ("another algorithm", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
        ("another method", "PUT /", "POST /"),
        ("another path", "/bucket/signature ", "/bucket/signature2 "),
        (
            "a path in other escapes",
            "/bucket/signature ",
            "/bucket/%73ignature2 ",
        ),
        (
            "a query added",
            "/bucket/signature ",
            "/bucket/signature?tagging ",
        ),
        ("a signed header removed", "x-amz-date: ", "x-other: "),
        ("a signed header changed", "host: ", "host: x"),
        ("no signed headers", "SignedHeaders=host;", "SignedHeaders="),
        ("no signature", ",Signature=", ",Sign="),
        (
            "an empty list of signed headers",
            "SignedHeaders=host;x-amz-content-sha256;x-amz-date",
            "SignedHeaders=",
        ),
        ("two equals signs", "Signature=", "Signature=="),
        ("no credential", "Credential=", "Cred="),
        (
            "a credential without a scope",
            "/us-east-1/s3/aws4_request",
            "",
        ),
    ] {
        let head = good().replacen(from, to, 1);
        assert_ne!(head, good(), "{name}");
        let expected = [
            MISMATCH,
            MALFORMED,
            &[
                "403 AccessDenied",
                "501 NotImplemented",
                "400 RequestTimeTooSkewed",
            ],
        ]
        .concat();
        raw(name, head, &expected);
    }
    let authorization = |value: &str| {
        let lines = good();
        let kept = lines
            .lines()
            .filter(|line| !line.starts_with("authorization"));
        let kept: Vec<&str> = kept.take_while(|line| !line.is_empty()).collect();
        format!("{}\r\nauthorization: {value}\r\n\r\n", kept.join("\r\n"))
    };
    for (name, value) in [
        ("an empty one", ""),
        ("Basic", "Basic cm9vdDpyb290"),
        ("Bearer", "Bearer token"),
        ("version 2", "AWS AKIA:c2lnbmF0dXJl"),
        ("only its algorithm", "AWS4-HMAC-SHA256"),
        ("64 KiB of it", &"A".repeat(16 << 10)),
    ] {
        let expected = [
            MALFORMED,
            &["400 InvalidArgument", "501 NotImplemented", "431", "400"],
        ]
        .concat();
        raw(
            &format!("authorization is {name}"),
            authorization(value),
            &expected,
        );
    }
    let twice = good().replacen(
        "authorization: ",
        "authorization: AWS4-HMAC-SHA256 x\r\nauthorization: ",
        1,
    );
    raw(
        "two authorizations",
        twice,
        &[
            "403 AccessDenied",
            "400 InvalidArgument",
            "400 AuthorizationHeaderMalformed",
        ],
    );
    let body = put().payload(&"0".repeat(64));
    raw(
        "the hash of another body",
        body.head(target.address, &now()).0,
        &["400 XAmzContentSHA256Mismatch", "400 BadDigest"],
    );
    let nonsense = put().payload("nonsense");
    raw(
        "a hash that is none",
        nonsense.head(target.address, &now()).0,
        &[
            "400 InvalidArgument",
            "400 InvalidRequest",
            "400 XAmzContentSHA256Mismatch",
            "403 SignatureDoesNotMatch",
        ],
    );
    cases
}

fn in_the_query(target: &Target) -> Vec<Case> {
    let put = || {
        target
            .ask("PUT", "/bucket/presigned")
            .body(b"planted".to_vec())
    };
    let good = || put().presigned(target.address);
    let mut cases = Vec::new();
    for (name, from, to) in [
        ("longer validity", "X-Amz-Expires=60", "X-Amz-Expires=61"),
        (
            "validity beyond a week",
            "X-Amz-Expires=60",
            "X-Amz-Expires=604801",
        ),
        ("negative validity", "X-Amz-Expires=60", "X-Amz-Expires=-1"),
        (
            "validity that is no number",
            "X-Amz-Expires=60",
            "X-Amz-Expires=soon",
        ),
        ("no validity", "X-Amz-Expires=60&", ""),
        ("no date", "X-Amz-Date=", "X-Amz-Day="),
        ("no algorithm", "X-Amz-Algorithm=AWS4-HMAC-SHA256&", ""),
        (
            "another algorithm",
            "X-Amz-Algorithm=AWS4-HMAC-SHA256",
            "X-Amz-Algorithm=none",
        ),
        ("no credential", "X-Amz-Credential=", "X-Amz-Cred="),
        (
            "no signed headers",
            "X-Amz-SignedHeaders=host",
            "X-Amz-SignedHeaders=",
        ),
        ("no signature", "X-Amz-Signature=", "X-Amz-Sig="),
        (
            "an empty signature",
            "X-Amz-Signature=",
            "X-Amz-Signature=&x=",
        ),
        (
            "a signature twice",
            "X-Amz-Signature=",
            "X-Amz-Signature=00&X-Amz-Signature=",
        ),
        ("another method", "PUT /", "DELETE /"),
        ("another key", "/presigned?", "/presigned2?"),
        ("a parameter added", "&X-Amz-Date", "&x-id=1&X-Amz-Date"),
        (
            "copy-source added",
            "host: ",
            "x-amz-copy-source: /bucket/here\r\nhost: ",
        ),
        ("tagging added", "host: ", "x-amz-tagging: a=b\r\nhost: "),
        ("metadata added", "host: ", "x-amz-meta-a: b\r\nhost: "),
        (
            "a token added",
            "host: ",
            "x-amz-security-token: t\r\nhost: ",
        ),
    ] {
        let head = good().replacen(from, to, 1);
        assert_ne!(head, good(), "{name}");
        let expected = [
            MISMATCH,
            MALFORMED,
            &[
                "400 AuthorizationQueryParametersError",
                "403 AccessDenied",
                "501 NotImplemented",
                "400 InvalidToken",
            ],
        ]
        .concat();
        cases.push(Case::raw(
            &format!("presigned, {name}"),
            head,
            "planted",
            &expected,
        ));
    }
    cases
}
