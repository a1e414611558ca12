//! Bodies in aws-chunks: what is stored is what a plain reading of the framing gives.

use crate::world::{BUCKET, KEY, SECRET, World};
use strongroom_wire::{Ask, now, signed_chunks};

/// What the framing may wrap: small, so that it is stored in a row.
const MOST: usize = 4096;

/// The first byte says how the rest is used: as a body in unsigned chunks, word for word, or as the
/// content of signed chunks that are then changed.
pub(crate) async fn try_one(world: &World, data: &[u8]) {
    match data.split_first() {
        Some((how, rest)) if how & 1 == 0 => unsigned(world, rest).await,
        Some((how, rest)) => signed(world, *how, rest).await,
        None => {}
    }
}

/// The declared length is what a plain reading finds, so that it alone refuses nothing.
async fn unsigned(world: &World, body: &[u8]) {
    let plain = plain(body);
    let declared = plain.as_ref().map_or(10, Vec::len);
    let put = Ask::new("PUT", format!("/{BUCKET}/key"), KEY, SECRET)
        .payload("STREAMING-UNSIGNED-PAYLOAD-TRAILER")
        .header("x-amz-decoded-content-length", &declared.to_string())
        .header("content-length", &body.len().to_string())
        .body(body);
    let (head, _) = put.head(world.address(), &now());
    world.forget();
    let reply = world.send(head.as_bytes(), body).await;
    let stored = world.stored();
    assert!(
        stored.is_none() || stored == plain,
        "stored is not what was sent: {reply:?}"
    );
    assert_eq!(
        reply.is_some_and(|reply| reply.status == 200),
        stored.is_some()
    );
}

/// Chunks of `rest`, cut where it says, then one byte changed: nothing may be stored.
async fn signed(world: &World, how: u8, rest: &[u8]) {
    let Some((cut, content)) = rest.split_first() else {
        return;
    };
    let content = &content[..content.len().min(MOST)];
    let cut = usize::from(*cut).min(content.len());
    let put = Ask::new("PUT", format!("/{BUCKET}/key"), KEY, SECRET)
        .payload("STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
        .header("x-amz-decoded-content-length", &content.len().to_string());
    let date = now();
    let (_, seed) = put.head(world.address(), &date);
    let pieces = [&content[..cut], &content[cut..]];
    let pieces: Vec<&[u8]> = pieces
        .into_iter()
        .filter(|piece| !piece.is_empty())
        .collect();
    let mut body = signed_chunks(&put.signer(&date), &seed, &pieces).body;
    let changed = how & 2 != 0;
    if changed {
        // Not in the last line's end, which bears nothing.
        let at = usize::from(how >> 2) * 997 % (body.len() - 4);
        body[at] ^= 0x20 | (how >> 4);
    }
    let put = put.header("content-length", &body.len().to_string());
    let (head, _) = put.head(world.address(), &date);
    world.forget();
    world.send(head.as_bytes(), &body).await;
    match world.stored() {
        None => assert!(changed, "what is signed well is stored"),
        // A changed letter may be the same digit in the other case.
        Some(stored) => assert!(stored == content, "stored is not what was signed"),
    }
}

/// The bytes in unsigned chunks, read as plainly as can be; none when the framing is broken or holds more
/// than is stored in a row.
fn plain(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let end = body.windows(2).position(|pair| pair == b"\r\n")?;
        let size = std::str::from_utf8(&body[..end]).ok()?;
        if size.is_empty() || !size.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let size = usize::from_str_radix(size, 16).ok()?;
        body = &body[end + 2..];
        if size == 0 {
            return (bytes.len() <= MOST).then_some(bytes);
        }
        bytes.extend_from_slice(body.get(..size)?);
        body = body.get(size..)?.strip_prefix(b"\r\n")?;
    }
}
