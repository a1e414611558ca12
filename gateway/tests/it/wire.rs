//! The bare S3 client of the tests, with the key of the test cluster.

use crate::cluster::{ACCESS_KEY, SECRET};
use std::net::SocketAddr;
use strongroom_wire::encode;
pub(crate) use strongroom_wire::{Ask, Reply, cut, exchange, now, path, signed_chunks};

/// A request with nothing but its path, of the key that may everything.
pub(crate) fn ask(method: &'static str, path: impl Into<String>) -> Ask {
    Ask::new(method, path, ACCESS_KEY, SECRET)
}

/// The head of a request whose signature, in its headers, covers those named `also`, too.
pub(crate) fn head_signing(ask: &Ask, at: SocketAddr, also: &[&str]) -> String {
    let date = now();
    let dated = ("x-amz-date".to_owned(), date.clone());
    head_at(ask, at, &date, Some(dated), also)
}

/// The head of a request that was signed at `date`, which it says in its own `date` header, if at all.
pub(crate) fn head_dated(ask: &Ask, at: SocketAddr, date: &str) -> String {
    head_at(ask, at, date, None, &["date"])
}

fn head_at(
    ask: &Ask,
    at: SocketAddr,
    date: &str,
    dated: Option<(String, String)>,
    also: &[&str],
) -> String {
    let payload = ask.payload.clone();
    let payload = payload.unwrap_or_else(|| "UNSIGNED-PAYLOAD".to_owned());
    let mut signed = vec![
        ("host".to_owned(), at.to_string()),
        ("x-amz-content-sha256".to_owned(), payload.clone()),
    ];
    signed.extend(dated);
    signed.extend(chosen(ask, also));
    signed.sort();
    let signer = ask.signer(date);
    let query = canonical(&ask.query);
    let signature = signer.request(ask.method, &ask.path, &query, &signed, &payload);
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{},SignedHeaders={},Signature={signature}",
        ask.access_key,
        signer.scope(),
        names(&signed),
    );
    signed.push(("authorization".into(), authorization));
    signed.extend(others(ask, also));
    lines(ask, &query, &signed)
}

/// The head of a presigned URL whose signature covers the headers named `also`, too.
pub(crate) fn presigned_signing(ask: &Ask, at: SocketAddr, also: &[&str]) -> String {
    let date = now();
    let mut signed = vec![("host".to_owned(), at.to_string())];
    signed.extend(chosen(ask, also));
    signed.sort();
    let signer = ask.signer(&date);
    let mut ask = ask
        .clone()
        .query("X-Amz-Algorithm", "AWS4-HMAC-SHA256")
        .query(
            "X-Amz-Credential",
            &format!("{}/{}", ask.access_key, signer.scope()),
        )
        .query("X-Amz-Date", &date)
        .query("X-Amz-Expires", "60")
        .query("X-Amz-SignedHeaders", &names(&signed));
    let query = canonical(&ask.query);
    let signature = signer.request(ask.method, &ask.path, &query, &signed, "UNSIGNED-PAYLOAD");
    ask = ask.query("X-Amz-Signature", &signature);
    signed.extend(others(&ask, also));
    lines(&ask, &canonical(&ask.query), &signed)
}

fn chosen(ask: &Ask, also: &[&str]) -> Vec<(String, String)> {
    let headers = ask.headers.iter().cloned();
    headers
        .filter(|(name, _)| also.contains(&name.as_str()))
        .collect()
}

fn others(ask: &Ask, also: &[&str]) -> Vec<(String, String)> {
    let headers = ask.headers.iter().cloned();
    headers
        .filter(|(name, _)| !also.contains(&name.as_str()))
        .collect()
}

fn names(signed: &[(String, String)]) -> String {
    let names: Vec<&str> = signed.iter().map(|(name, _)| name.as_str()).collect();
    names.join(";")
}

fn canonical(query: &[(String, String)]) -> String {
    let pair =
        |(name, value): &(String, String)| format!("{}={}", encode(name, ""), encode(value, ""));
    let mut pairs: Vec<String> = query.iter().map(pair).collect();
    pairs.sort();
    pairs.join("&")
}

fn lines(ask: &Ask, query: &str, headers: &[(String, String)]) -> String {
    let mut head = format!("{} {}?{query} HTTP/1.1\r\n", ask.method, ask.path);
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let length = ask.body.len();
    head.push_str(&format!(
        "content-length: {length}\r\nconnection: close\r\n\r\n"
    ));
    head
}
