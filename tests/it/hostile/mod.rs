//! Hostile input: what no client sends and an attacker would. Each request gets the right error, from a
//! server that goes on as if nothing had been: nothing is stored, no connection is kept, memory stays
//! within its bound, and no thread panics.
//!
//! ```text
//! case.rs        a request as bytes, and the answer that it must get
//! documents.rs   XML: malformed, bombs, too large, the wrong kind
//! framing.rs     aws-chunks: sizes, signatures, trailers
//! signatures.rs  what is signed wrongly, late, twice or not at all
//! names.rs       keys, buckets and paths
//! requests.rs    ranges, parameters, headers
//! smuggling.rs   bodies whose end two readers would see in two places
//! stalls.rs      clients that stop sending or reading: a test of its own, since they take a minute
//! ```

mod case;
mod documents;
mod framing;
mod names;
mod requests;
mod signatures;
mod smuggling;
mod stalls;

use crate::support;
use case::{Case, Target, Verdict};
use std::time::Duration;
use strongroom_tests::process::Vitals;
use strongroom_tests::{Cluster, wait_until};

/// Fewer would mean that a table was lost.
const LEAST: usize = 150;
/// What a server under attack may hold beyond what it held before: less than one large document or
/// chunk that is declared here would take.
const MEMORY: u64 = 192 << 20;

/// Hostile requests get the right error and leave nothing behind.
/// Method: every case over a connection of its own, one after the other; then the bucket's list, the
/// server's memory, descriptors and log, and a request that must still be served.
#[tokio::test]
async fn hostile_requests_are_refused_and_leave_nothing() {
    let mut cluster = Cluster::start("hostile").expect("the cluster starts");
    let keys = cluster.credentials().expect("credentials");
    let target = Target {
        address: cluster.endpoints().s3,
        access_key: keys.access_key.clone(),
        secret: keys.secret_key.clone(),
    };
    let client = support::client(&cluster);
    support::make_bucket(&client, "bucket").await;
    let put = target
        .ask("PUT", "/bucket/here")
        .body(b"0123456789".to_vec());
    assert_eq!(put.send(target.address).await.status, 200);
    let upload = begin_upload(&target).await;
    let pid = cluster.pid();

    let cases: Vec<Case> = [
        documents::cases(&target, &upload),
        framing::cases(&target),
        signatures::cases(&target),
        names::cases(&target),
        requests::cases(&target, &upload),
        smuggling::cases(&target),
    ]
    .into_iter()
    .flatten()
    .collect();
    assert!(cases.len() >= LEAST, "{} cases", cases.len());
    let before = Vitals::of(pid).expect("it runs");
    let mut wrong = Vec::new();
    for case in &cases {
        if let Verdict::Wrong(what) = case.run(&target).await {
            wrong.push(what);
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} answered wrongly:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
    eprintln!("{} hostile requests", cases.len());

    let listed = target.ask("GET", "/bucket").query("list-type", "2");
    let listed = listed.send(target.address).await;
    assert_eq!(listed.all("Key"), ["here"], "nothing was stored");
    let got = target.ask("GET", "/bucket/here").send(target.address).await;
    assert_eq!(got.body, b"0123456789");
    let buckets = target.ask("GET", "/").send(target.address).await;
    assert_eq!(buckets.all("Name"), ["bucket"]);
    wait_until("connections are freed", Duration::from_secs(90), || {
        Vitals::of(pid).is_ok_and(|now| now.descriptors <= before.descriptors + 8)
    });
    let after = Vitals::of(pid).expect("it runs");
    assert!(
        after.resident <= before.resident + MEMORY,
        "{} bytes resident before, {} after",
        before.resident,
        after.resident
    );
    let log = std::fs::read_to_string(cluster.log()).expect("it has a log");
    assert!(!log.contains("panicked"), "a thread panicked");
    cluster.stop().expect("it stops");
}

async fn begin_upload(target: &Target) -> String {
    let begin = target.ask("POST", "/bucket/multipart").query("uploads", "");
    let begun = begin.send(target.address).await;
    let id = begun.all("UploadId").pop();
    id.unwrap_or_else(|| panic!("an upload begins: {begun:?}"))
}
