//! All metadata servers are lost, and the cluster goes on from a backup.

use super::metadata::client_of;
use super::{SOON, content};
use crate::support::{self, MIB, Refusal, make_bucket};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use strongroom_tests::{Content, Joined, wait_until};

const BUCKET: &str = "restored";

/// What every other metadata server of the cluster has been told about as well: all that a restore needs besides the
/// backup.
fn escrow(cluster: &Joined) -> PathBuf {
    let keys = cluster.folder("escrow");
    fs::create_dir(&keys).unwrap();
    for name in ["ca.pem", "root.key", "slot", "metadata.toml"] {
        // With its permissions.
        fs::copy(cluster.folder("metadata-1").join(name), keys.join(name)).unwrap();
    }
    keys
}

/// What a backup holds is there again, bytes and all, also what was deleted or replaced since: the disks still have it.
/// What came later is gone, and its disk space with it only once an operator says so. The cluster takes what is new,
/// and grows to three metadata servers again, whose rows are equal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_goes_on_from_a_backup() {
    let mut cluster = Joined::start("joined-restored", 3, 2, 1).unwrap();
    let client = client_of(&cluster, &cluster.gateway);
    make_bucket(&client, BUCKET).await;
    let put = async |key: &str, content: Content| support::put(&client, BUCKET, key, content).await;
    put("row", content(700)).await.unwrap();
    put("shards", content(5 * MIB)).await.unwrap();

    let written = cluster
        .command(&["metadata", "backup", "monday", "--json"])
        .unwrap();
    let written: Value = serde_json::from_slice(&written.stdout).unwrap();
    let folder = PathBuf::from(written["folder"].as_str().unwrap());
    let again = cluster.attempt(&["metadata", "backup", "monday"]).unwrap();
    assert!(!again.status.success(), "it would be written over");
    let backup = cluster.folder("monday");
    fs::rename(&folder, &backup).unwrap();

    put("late", content(3 * MIB)).await.unwrap();
    put("shards", content(2 * MIB)).await.unwrap();
    client
        .delete_object()
        .bucket(BUCKET)
        .key("row")
        .send()
        .await
        .unwrap();
    drop(client);

    let keys = escrow(&cluster);
    tokio::task::block_in_place(|| {
        cluster.restore(&backup, &keys).unwrap();
        wait_until("the storage nodes are back", SOON, || {
            let disks = cluster.command(&["disk", "ls", "--json"]);
            let disks = disks.map(|disks| String::from_utf8_lossy(&disks.stdout).into_owned());
            disks.is_ok_and(|disks| disks.matches("\"Serving\"").count() == 3)
        });
    });
    let client = client_of(&cluster, &cluster.gateway);
    support::check(&client, BUCKET, "row", content(700))
        .await
        .unwrap();
    support::check(&client, BUCKET, "shards", content(5 * MIB))
        .await
        .unwrap();
    let late = support::check(&client, BUCKET, "late", content(3 * MIB)).await;
    assert!(late.is_err(), "it came after the backup");
    let new: Result<_, Refusal> = support::put(&client, BUCKET, "new", content(4 * MIB)).await;
    new.unwrap();
    support::check(&client, BUCKET, "new", content(4 * MIB))
        .await
        .unwrap();

    tokio::task::block_in_place(|| {
        let held = |cluster: &Joined| {
            let status = cluster.command(&["metadata", "status"]).unwrap();
            String::from_utf8_lossy(&status.stderr).contains("deletions are held")
        };
        assert!(held(&cluster));
        cluster.command(&["metadata", "release"]).unwrap();
        assert!(!held(&cluster));

        for _ in 0..2 {
            let joined = cluster.join_metadata().unwrap().to_string();
            cluster.command(&["metadata", "add", &joined]).unwrap();
        }
        let audit = cluster.command(&["metadata", "audit", "--json"]).unwrap();
        let audit: Value = serde_json::from_slice(&audit.stdout).unwrap();
        let servers = audit["servers"].as_array().unwrap();
        assert_eq!(servers.len(), 3, "{audit}");
        assert!(
            servers.iter().all(|server| server["finding"] == "Equal"),
            "{audit}"
        );
        // Who was restored has led since, unless the machine was too busy for it; then another tells.
        if cluster.leader().unwrap() == 0 {
            let equal = cluster.metadata_metric(0, "strongroom_metadata_rows_equal");
            assert_eq!(equal.unwrap(), 3.0);
        }
        let level = cluster.command(&["metadata", "level", "--json"]).unwrap();
        let level: Value = serde_json::from_slice(&level.stdout).unwrap();
        assert_eq!(level["level"], 2, "{level}");
    });
    support::check(&client, BUCKET, "new", content(4 * MIB))
        .await
        .unwrap();
}
