//! Requests that say in `Date` when they were signed.

use crate::cluster::World;
use crate::wire::{Ask, ask, exchange, head_dated, now};
use s3s::dto::{Timestamp, TimestampFormat};

/// `20261106T084937Z` as `Fri, 06 Nov 2026 08:49:37 GMT`.
fn written(compact: &str) -> String {
    let [date, time] = [&compact[..8], &compact[9..15]];
    let at = format!(
        "{}-{}-{}T{}:{}:{}Z",
        &date[..4],
        &date[4..6],
        &date[6..],
        &time[..2],
        &time[2..4],
        &time[4..],
    );
    let at = Timestamp::parse(TimestampFormat::DateTime, &at).expect("a date");
    let mut text = Vec::new();
    at.format(TimestampFormat::HttpDate, &mut text)
        .expect("written");
    String::from_utf8(text).expect("ASCII")
}

/// A request whose time of signing is in `Date` alone is served, as long as it is that time and not long ago.
/// Method: an upload; with another date, an old one, none, and one that is none.
#[tokio::test]
async fn date_says_when_it_was_signed() {
    let world = World::new().await;
    let at = world.address;
    ask("PUT", "/bucket").send(at).await;
    let put = |date: String| -> Ask { ask("PUT", "/bucket/key").header("date", &date).body("x") };
    let (now, old) = (now(), "20200101T000000Z".to_owned());
    let other = now[..14].to_owned() + if now.ends_with("7Z") { "8Z" } else { "7Z" };
    for (signed, sent, status, code) in [
        (&now, written(&now), 200, ""),
        (&now, written(&other), 403, "SignatureDoesNotMatch"),
        (&now, String::new(), 400, "InvalidRequest"),
        (&now, now.clone(), 400, "InvalidRequest"),
        (&old, written(&old), 403, "RequestTimeTooSkewed"),
    ] {
        let request = put(sent.clone());
        let head = head_dated(&request, at, signed);
        let reply = exchange(at, head.as_bytes(), &request.body).await;
        let told = if reply.status == 200 {
            String::new()
        } else {
            reply.code()
        };
        assert_eq!((reply.status, told.as_str()), (status, code), "{sent}");
    }
}
