//! What the shard service counts, as operators read it.

use crate::face::Office;
use crate::scrubs::NoShards;
use crate::wire::{Fake, blocks, body_length, eventually, say, short};
use crate::world::{CLUSTER, DISK, run, shard};
use ca::Role;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use rpc::bulk::PoolLimits;
use std::sync::Arc;
use types::NodeId;
use types::block::FRAMED_BLOCK;
use types::wire::ShardStore;
use types::wire::storage::{PutError, ReadError};

/// One sample.
fn value(handle: &PrometheusHandle, series: &str) -> u64 {
    let text = handle.render();
    let samples = text.lines().filter_map(|line| line.rsplit_once(' '));
    let mut found = samples.filter(|(name, _)| *name == format!("strongroom_shard_{series}"));
    let (_, value) = found
        .next()
        .unwrap_or_else(|| panic!("{series} in\n{text}"));
    value.parse().expect("a whole number")
}

/// Every request is counted once, by its call and how it ended, with its bytes and its time; while it is under way it
/// is in flight.
/// Method: requests that end in each way, memory for two puts, and the exporter that operators read.
#[test]
fn requests_are_counted_by_call_and_outcome() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let put = |chunk| shard(DISK, chunk, 1 << 20, 0);
    let count = |series: &str| value(&handle, series);
    metrics::with_local_recorder(&recorder, || {
        run(async {
            let (office, fake) = (Office::new(), Fake::new());
            let server = office.serve(Arc::clone(&fake) as _, short()).await;
            let caller = office.caller(&office.gateway(), &server, PoolLimits::default());
            let others = async {
                fake.under_way(2).await;
                assert_eq!(count("in_flight{call=\"put\"}"), 2);
                let busy = caller.put(put(3)).await;
                assert_eq!(busy, Err(PutError::Busy { disk: DISK }));
                fake.answers.add_permits(2);
            };
            let (one, two, ()) = futures::join!(caller.put(put(1)), caller.put(put(2)), others);
            assert_eq!((one, two), (Ok(()), Ok(())));
            tokio::select! {
                answered = caller.put(put(4)) => panic!("{answered:?}"),
                () = fake.under_way(1) => {}
            }
            eventually(|| count("in_flight{call=\"put\"}") == 0).await;
            assert!(caller.read(blocks(0, 2)).await.is_ok());
            assert!(caller.describe(DISK, put(1).key).await.is_err());
            assert_eq!(caller.report().await, []);
            assert_eq!(caller.scrubbed().await, None);
            let node = office.of(CLUSTER, Role::Storage, NodeId::new(8));
            let node = office.caller(&node, &server, PoolLimits::default());
            let refused = node.put(put(5)).await;
            assert_eq!(refused, Err(PutError::Unanswered { disk: DISK }));
            let tls = office.gateway().client().unwrap();
            let unknown = say(&server, tls, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            assert_eq!(unknown.unwrap(), 404);
            let away = office.serve(Arc::new(NoShards), short()).await;
            let caller = office.caller(&office.gateway(), &away, PoolLimits::default());
            let failed = caller.read(blocks(0, 2)).await;
            assert_eq!(failed, Err(ReadError::DiskUnavailable { disk: DISK }));
            server.shutdown().await;
            away.shutdown().await;
        });
    });
    let outcomes = ["ok", "missing", "busy", "refused", "failed", "given_up"];
    for (call, expected) in [
        ("put", [2, 0, 1, 1, 0, 1]),
        ("read", [1, 0, 0, 0, 1, 0]),
        ("describe", [0, 1, 0, 0, 0, 0]),
        ("report", [1, 0, 0, 0, 0, 0]),
        ("scrub", [0, 0, 0, 1, 0, 0]),
        ("other", [0, 0, 0, 1, 0, 0]),
    ] {
        let ended = |outcome| {
            count(&format!(
                "requests_total{{call=\"{call}\",outcome=\"{outcome}\"}}"
            ))
        };
        assert_eq!(outcomes.map(ended), expected, "{call}");
        let all: u64 = expected.iter().sum();
        assert_eq!(
            count(&format!("seconds_count{{call=\"{call}\"}}")),
            all,
            "{call}"
        );
        assert_eq!(count(&format!("in_flight{{call=\"{call}\"}}")), 0, "{call}");
    }
    // Of those that were stored, and of the one that nobody waited for.
    let received = 3 * body_length(&put(1)) as u64;
    assert_eq!(
        count("bytes_total{call=\"put\",direction=\"in\"}"),
        received
    );
    let sent = count("bytes_total{call=\"read\",direction=\"out\"}");
    let blocks = 2 * FRAMED_BLOCK as u64;
    assert!((blocks..blocks + 100).contains(&sent), "{sent}");
}
