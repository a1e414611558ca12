//! A cluster of an earlier build becomes one of this build, one server after the other. `cargo xtask upgrade` makes
//! the earlier build, and runs this.

use super::metadata::{Busy, client_of};
use super::{SOON, content};
use crate::support::{self, MIB, make_bucket};
use serde_json::Value;
use strongroom_tests::{Joined, place, wait_until};

const BUCKET: &str = "upgraded";

fn level(cluster: &Joined) -> Value {
    let level = cluster.command(&["metadata", "level", "--json"]).unwrap();
    serde_json::from_slice(&level.stdout).unwrap()
}

fn refused(cluster: &Joined, arguments: &[&str], why: &str) {
    let refused = cluster.attempt(arguments).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains(why), "{said}");
}

/// Servers of two builds are one cluster: metadata servers are restarted as this build one after the other, and one
/// of them is put back and forth again, at the cost of no request. What this build brings is refused until every
/// server knows it and an operator has raised the level; then it works, and the servers' rows are equal.
/// Method: a client that never retries writes, reads and lists through a gateway of the earlier build all the while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_of_two_builds_are_one_cluster() {
    let (older, newer) = (place::older().unwrap(), place::program().unwrap());
    let mut cluster = Joined::start_older("joined-upgrade", 3, 2, 1).unwrap();
    let client = client_of(&cluster, &cluster.gateway);
    make_bucket(&client, BUCKET).await;
    support::put(&client, BUCKET, "large", content(5 * MIB))
        .await
        .unwrap();
    let busy = Busy::start(&client, BUCKET, "upgrade");
    tokio::task::block_in_place(|| {
        busy.after(20);
        cluster.commands_become(&newer);
        let steps = [
            (0, &newer),
            (1, &newer),
            (0, &older),
            (0, &newer),
            (2, &newer),
        ];
        for (at, program) in steps {
            refused(&cluster, &["metadata", "raise"], "");
            cluster.restart_as(at, program).unwrap();
            busy.after(20);
        }
        // Whoever leads by now is of this build.
        assert_eq!(level(&cluster)["level"], 1);
        refused(&cluster, &["metadata", "audit"], "feature level");
        refused(
            &cluster,
            &["metadata", "raise", "99"],
            "knows no level above",
        );
        cluster.command(&["metadata", "raise"]).unwrap();
        assert_eq!(level(&cluster)["level"], 2);
        wait_until("the rows are compared", SOON, || {
            let audit = cluster.attempt(&["metadata", "audit", "--json"]).unwrap();
            audit.status.success()
                && String::from_utf8_lossy(&audit.stdout)
                    .matches("Equal")
                    .count()
                    == 3
        });
        busy.after(20);
    });
    busy.end().await;

    tokio::task::block_in_place(|| {
        for server in cluster.storage.iter_mut().chain([&mut cluster.gateway]) {
            server.stop().unwrap();
            server.becomes(&newer);
            server.start().unwrap();
        }
        cluster.find_gateway().unwrap();
    });
    let client = client_of(&cluster, &cluster.gateway);
    support::check(&client, BUCKET, "large", content(5 * MIB))
        .await
        .unwrap();
    support::put(&client, BUCKET, "new", content(5 * MIB))
        .await
        .unwrap();
    support::check(&client, BUCKET, "new", content(5 * MIB))
        .await
        .unwrap();
}
