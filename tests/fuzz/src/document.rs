//! Documents: whatever comes, there is an answer, and it is success or the client's fault.

use crate::world::{BUCKET, KEY, SECRET, World};
use strongroom_wire::{Ask, now};

/// The first byte says which document it is.
pub(crate) async fn try_one(world: &World, data: &[u8]) {
    let Some((which, document)) = data.split_first() else {
        return;
    };
    let upload = "0".repeat(32);
    let (method, path, query) = match which % 5 {
        0 => ("POST", format!("/{BUCKET}"), ("delete", "")),
        1 => (
            "POST",
            format!("/{BUCKET}/key"),
            ("uploadId", upload.as_str()),
        ),
        2 => ("PUT", format!("/{BUCKET}/key"), ("tagging", "")),
        3 => ("PUT", format!("/{BUCKET}"), ("tagging", "")),
        _ => ("PUT", "/another-bucket".to_owned(), ("", "")),
    };
    let mut ask = Ask::new(method, path, KEY, SECRET).body(document);
    if !query.0.is_empty() {
        ask = ask.query(query.0, query.1);
    }
    let (head, _) = ask.head(world.address(), &now());
    let reply = world
        .send(head.as_bytes(), document)
        .await
        .expect("an answer");
    assert!(
        matches!(reply.status, 200..=299 | 400..=499 | 501),
        "{}: {}",
        reply.status,
        String::from_utf8_lossy(&reply.body)
    );
}
