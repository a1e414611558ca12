//! Bodies whose end two readers would see in two places: a proxy and this server, say. Such a request is
//! refused, and what lies behind it on the connection is never taken for a request.

use super::case::{Case, Target};
use strongroom_wire::now;

pub(super) fn cases(target: &Target) -> Vec<Case> {
    let good = || {
        let put = target
            .ask("PUT", "/bucket/smuggled")
            .body(b"planted".to_vec());
        put.head(target.address, &now()).0
    };
    let length = "content-length: 7\r\n";
    let inner = target.ask("PUT", "/bucket/inner").body(b"inner".to_vec());
    let inner = inner.head(target.address, &now()).0 + "inner";
    let chunked = format!("0\r\n\r\n{inner}");
    let refused = &[
        "400",
        "400 InvalidRequest",
        "400 InvalidArgument",
        "403 SignatureDoesNotMatch",
    ][..];
    // With a transfer coding hyper ignores no length: it refuses, or the lengths do not agree.
    let unsized_refused = &[
        "400",
        "411 MissingContentLength",
        "400 IncompleteBody",
        "501",
        "501 NotImplemented",
        "400 InvalidRequest",
    ][..];
    [
        (
            "two lengths that differ",
            "content-length: 7\r\ncontent-length: 8\r\n",
            "planted!",
            refused,
        ),
        (
            "a list of lengths",
            "content-length: 7, 8\r\n",
            "planted!",
            refused,
        ),
        (
            "a signed length",
            "content-length: +7\r\n",
            "planted",
            refused,
        ),
        (
            "a negative length",
            "content-length: -7\r\n",
            "planted",
            refused,
        ),
        (
            "a length of 2^64",
            "content-length: 18446744073709551616\r\n",
            "planted",
            refused,
        ),
        (
            "a length in hexadecimal",
            "content-length: 0x7\r\n",
            "planted",
            refused,
        ),
        (
            "a length and a coding",
            "content-length: 7\r\ntransfer-encoding: chunked\r\n",
            &chunked,
            unsized_refused,
        ),
        (
            "a coding and a length",
            "transfer-encoding: chunked\r\ncontent-length: 7\r\n",
            &chunked,
            unsized_refused,
        ),
        (
            "an unknown coding",
            "transfer-encoding: nonsense\r\n",
            &chunked,
            unsized_refused,
        ),
        (
            "a coding in disguise",
            "transfer-encoding: xchunked\r\n",
            &chunked,
            unsized_refused,
        ),
        (
            "a coding with a tab",
            "transfer-encoding:\tchunked\r\n",
            "zz\r\n",
            unsized_refused,
        ),
        (
            "two codings",
            "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
            &chunked,
            unsized_refused,
        ),
        (
            "a chunk size that is none",
            "transfer-encoding: chunked\r\n",
            "zz\r\nplanted\r\n0\r\n\r\n",
            unsized_refused,
        ),
        (
            "a chunk size of 2^64",
            "transfer-encoding: chunked\r\n",
            "10000000000000000\r\nplanted\r\n0\r\n\r\n",
            unsized_refused,
        ),
        (
            "a chunk that is cut short",
            "transfer-encoding: chunked\r\n",
            "ff\r\nplanted",
            unsized_refused,
        ),
        (
            "bare line feeds",
            "transfer-encoding: chunked\r\n",
            "7\nplanted\n0\n\n",
            unsized_refused,
        ),
    ]
    .into_iter()
    .map(|(name, line, body, expected)| {
        let head = good().replacen(length, line, 1);
        assert_ne!(head, good(), "{name}");
        Case::raw(&format!("smuggling, {name}"), head, body, expected)
    })
    .collect()
}
