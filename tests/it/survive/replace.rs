//! A disk that is lost for good, and a new one in its place.

use super::{Aside, bears_loss_of, exact, fill, ids, serving, status, until, whole};
use crate::sizes;
use crate::support::{self, MIB};
use std::fs;
use strongroom_tests::{Cluster, Content};

/// A lost disk's empty folder becomes a new disk, whose shards are made again while objects are read and
/// written; then any two of the others may go. A disk that serves, one that is not known and a folder that
/// holds something are refused; the old disk, brought back, is not served. It all holds after a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_disk_is_replaced() {
    let mut cluster = Cluster::start("replace").unwrap();
    let client = support::client(&cluster);
    support::make_bucket(&client, "data").await;
    let lengths = sizes::boundaries().into_iter().chain([40 * MIB]);
    let mut objects = fill(&client, lengths).await;
    let before = ids(&cluster);
    let lost = before[3];
    let replace = |id: u64| {
        let output = cluster.run(&["disk", "replace", &id.to_string()]).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), said)
    };
    let (done, said) = replace(lost);
    assert!(!done && said.contains("serves"), "{said}");
    let (done, said) = replace(99);
    assert!(!done && said.contains("no disk"), "{said}");

    let aside = Aside::put(&cluster, 3);
    until("the loss is told", || serving(&cluster) == 5).await;
    fs::create_dir(cluster.disk(3)).unwrap();
    fs::write(cluster.disk(3).join("mail"), "private").unwrap();
    let (done, said) = replace(lost);
    assert!(!done && said.contains("not empty"), "{said}");
    fs::remove_file(cluster.disk(3).join("mail")).unwrap();
    let (done, said) = replace(lost);
    assert!(done, "{said}");
    assert_eq!(serving(&cluster), 6);
    exact(&client, &objects, "while it is made again").await;
    let late = Content::new(5, 9 * MIB);
    support::put(&client, "data", "late", late)
        .await
        .expect("stored");
    objects.push(("late".to_owned(), late));
    whole(&cluster).await;
    let repaired = status(&cluster)["upkeep"]["repaired_shards"].as_u64();
    assert!(repaired >= Some(20), "{repaired:?} shards were made again");
    let after = ids(&cluster);
    assert!(after[3] != lost && after.iter().zip(&before).filter(|(a, b)| a != b).count() == 1);

    cluster.stop().unwrap();
    cluster.start_again().unwrap();
    assert_eq!(serving(&cluster), 6);
    let client = support::client(&cluster);
    let pairs = [[0, 1], [4, 5], [2, 4]];
    bears_loss_of(&pairs, &cluster, &client, &objects).await;
    // The old disk comes back to the place of the new one: it is nobody's any more.
    cluster.stop().unwrap();
    let new = cluster.disk(3).with_extension("new");
    fs::rename(cluster.disk(3), &new).unwrap();
    aside.back();
    cluster.start_again().unwrap();
    assert_eq!(serving(&cluster), 5);
    assert!(cluster.stop().unwrap().success());
}
