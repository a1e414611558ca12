//! One hostile request, and the answer that it must get.

use std::net::SocketAddr;
use std::time::Duration;
use strongroom_wire::{Ask, Reply, exchange, now};

/// Long enough for any answer, and far below what a stalled request may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The server under attack, and a key to it.
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) access_key: String,
    pub(super) secret: String,
}

impl Target {
    /// A well-formed request to begin with.
    pub(super) fn ask(&self, method: &'static str, path: &str) -> Ask {
        Ask::new(method, path, &self.access_key, &self.secret)
    }
}

/// A request as it is sent, and what it must be answered.
pub(super) struct Case {
    name: String,
    head: Vec<u8>,
    body: Vec<u8>,
    /// As in `400 MalformedXML`, or `400` where there is no document; any of these.
    expected: Vec<&'static str>,
}

/// What came of it.
pub(super) enum Verdict {
    /// As expected.
    Right,
    /// What came instead.
    Wrong(String),
}

impl Case {
    /// A request that is signed as it is.
    pub(super) fn signed(
        target: &Target,
        name: &str,
        ask: &Ask,
        expected: &[&'static str],
    ) -> Self {
        let (head, _) = ask.head(target.address, &now());
        Self::raw(name, head, ask.body.clone(), expected)
    }

    /// A request as bytes.
    pub(super) fn raw(
        name: &str,
        head: impl Into<Vec<u8>>,
        body: impl Into<Vec<u8>>,
        expected: &[&'static str],
    ) -> Self {
        Self {
            name: name.to_owned(),
            head: head.into(),
            body: body.into(),
            expected: expected.to_vec(),
        }
    }

    /// Sends it.
    pub(super) async fn run(&self, target: &Target) -> Verdict {
        let answer = exchange(target.address, &self.head, &self.body);
        let told = match tokio::time::timeout(PATIENCE, answer).await {
            Ok(reply) => say(&reply),
            Err(_) => format!("no answer within {PATIENCE:?}"),
        };
        if self.expected.iter().any(|expected| *expected == told) {
            Verdict::Right
        } else {
            Verdict::Wrong(format!(
                "{}: {told}, not {}",
                self.name,
                self.expected.join(" or ")
            ))
        }
    }
}

fn say(reply: &Reply) -> String {
    let document = String::from_utf8_lossy(&reply.body);
    let code = document
        .split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"));
    match code {
        Some((code, _)) => format!("{} {code}", reply.status),
        None => reply.status.to_string(),
    }
}
