//! Signatures: a request is signed, then changed as the fuzzer says. It may be let in only as long as
//! nothing that was signed reads differently.

use crate::world::{BUCKET, KEY, SECRET, World};
use strongroom_wire::{Ask, now};

const BODY: &[u8] = b"0123456789";

/// Three bytes an edit: where (two bytes), and what; the first byte of all says how it is signed.
pub(crate) async fn try_one(world: &World, data: &[u8]) {
    let Some((how, edits)) = data.split_first() else {
        return;
    };
    let put = Ask::new("PUT", format!("/{BUCKET}/key"), KEY, SECRET).body(BODY);
    let put = put.header("x-amz-meta-a", "b");
    let head = match how & 1 {
        0 => put.head(world.address(), &now()).0,
        _ => Ask {
            headers: Vec::new(),
            ..put
        }
        .presigned(world.address()),
    };
    let mut changed = head.clone().into_bytes();
    for edit in edits.chunks_exact(3).take(8) {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % changed.len();
        match how >> 1 & 3 {
            0 => changed[at] = edit[2],
            1 => changed.insert(at, edit[2]),
            2 => drop(changed.remove(at)),
            _ => changed[at] ^= 1 << (edit[2] & 7),
        }
    }
    let before = world.asked();
    let reply = world.send(&changed, BODY).await;
    if world.asked() != before {
        assert!(
            same_meaning(head.as_bytes(), &changed),
            "let in although it is not what was signed:\n{}\n{reply:?}",
            String::from_utf8_lossy(&changed)
        );
    }
}

/// Whether two heads say the same to HTTP, but for what is not signed: names of headers in any case,
/// blanks around values, headers that a signature does not cover and that mean nothing to S3.
fn same_meaning(signed: &[u8], changed: &[u8]) -> bool {
    let (signed, changed) = (parse(signed), parse(changed));
    let inert =
        |name: &str| matches!(name, "connection" | "content-length") || !HEADERS.contains(&name);
    let of = |head: &Head| {
        let covered = head.headers.iter().filter(|(name, _)| !inert(name));
        let mut covered: Vec<_> = covered.cloned().collect();
        covered.sort();
        (
            head.method.clone(),
            head.path.clone(),
            head.query.clone(),
            covered,
        )
    };
    of(&signed) == of(&changed)
}

/// Every header that the original bears: others may be added by anybody on the way, and `x-amz-*` among
/// them are refused, which asks nothing.
const HEADERS: [&str; 5] = [
    "authorization",
    "host",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-meta-a",
];

struct Head {
    method: String,
    path: Vec<u8>,
    /// In order, as a signature reads them.
    query: Vec<Vec<u8>>,
    headers: Vec<(String, String)>,
}

fn parse(head: &[u8]) -> Head {
    let text = String::from_utf8_lossy(head).into_owned();
    let lines = text.split('\n').map(|line| line.trim_end_matches('\r'));
    // Empty lines before a request are ignored (RFC 9112, 2.2).
    let mut lines = lines.skip_while(|line| line.is_empty());
    // The version of HTTP is nobody's secret.
    let mut words = lines.next().unwrap_or_default().split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    // A fragment is no part of what is asked for (RFC 9110, 7.1): it is dropped before anything reads it.
    let target = words.next().unwrap_or_default();
    let target = target.split_once('#').map_or(target, |(asked, _)| asked);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut query: Vec<Vec<u8>> = pairs.map(decode).collect();
    query.sort();
    let headers = lines.take_while(|line| !line.is_empty());
    let headers = headers.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| {
        let name = name.to_ascii_lowercase();
        let words: Vec<&str> = value.split_whitespace().collect();
        // Blanks between the parts of a credential may be any, or none (RFC 9110, 5.6.1).
        let between = if name == "authorization" { "" } else { " " };
        (name, words.join(between))
    });
    Head {
        method,
        path: decode(path),
        query,
        headers: headers.collect(),
    }
}

/// A signature covers what an escape stands for, not how it is written.
fn decode(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().iter();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(&byte) = bytes.next() {
        let digits = bytes.as_slice().get(..2).filter(|_| byte == b'%');
        let value = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match value.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) => {
                decoded.push(value);
                bytes.nth(1);
            }
            None => decoded.push(byte),
        }
    }
    decoded
}
