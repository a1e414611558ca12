//! Three metadata servers whose disks fill up.

use crate::raft_cluster::Cluster;
use crate::raft_support::{Server, eventually, keep, kept};
use disk::Disk;
use futures::FutureExt;
use std::time::Duration;
use strongroom_metadata::{LogError, Reply};
use types::ByteCount;

/// Leaves so much space on a server's disk.
fn leave(server: &Server, left: u64) {
    let names = server.disk.list().now_or_never().unwrap().unwrap();
    let used: u64 = names.iter().map(|entry| entry.length.get()).sum();
    server.disk.set_capacity(ByteCount::new(used + left));
}

fn relieve(server: &Server) {
    server.disk.set_capacity(ByteCount::new(1 << 40));
}

/// A leader whose disk is almost full hands over, and follows; when it is full it takes no entries, stays, and hears
/// who leads; with room again it catches up by itself.
#[tokio::test(start_paused = true)]
async fn who_is_full_follows() {
    let mut cluster = Cluster::new(1);
    assert!(cluster.begin().await);
    cluster.write(0..10).await;
    let full = cluster.leader().await;
    let reserve = 2 * cluster.servers[full].config.log_file.get();
    leave(&cluster.servers[full], reserve - 1);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while cluster.leader().await == full {
        assert!(tokio::time::Instant::now() < deadline, "it leads on");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    cluster.write(10..20).await;
    let last = |cluster: &Cluster, at: usize| cluster.nodes[at].as_ref().unwrap().status().last;
    let leader = cluster.leader().await;
    eventually("it has what it has room for", || {
        last(&cluster, full) == last(&cluster, leader)
    })
    .await;

    leave(&cluster.servers[full], 4096);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let had = last(&cluster, full);
    cluster.write(20..60).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let status = cluster.nodes[full].as_ref().unwrap().status();
    assert_eq!((status.last, status.stopped), (had, None));
    let leader = cluster.leader().await;
    assert_ne!(leader, full);
    assert_eq!(status.leader, Some(cluster.servers[leader].id()));

    relieve(&cluster.servers[full]);
    cluster.agree_on(0..60).await;
}

/// Where most disks are almost full, the leader refuses proposals at once, though its own has room, and before any log
/// grows; reads are answered. With room again on one of them, all goes on.
#[tokio::test(start_paused = true)]
async fn proposals_are_refused_while_most_are_full() {
    let mut cluster = Cluster::new(2);
    assert!(cluster.begin().await);
    cluster.write(0..10).await;
    let leader = cluster.leader().await;
    let full: Vec<usize> = (0..3).filter(|at| *at != leader).collect();
    let reserve = 2 * cluster.servers[leader].config.log_file.get();
    for at in &full {
        leave(&cluster.servers[*at], reserve - 1);
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let node = cluster.nodes[leader].as_ref().unwrap();
    assert_eq!(node.status().leader, Some(cluster.servers[leader].id()));
    let last = node.status().last;
    for number in 10..20 {
        let asked = tokio::time::Instant::now();
        let refused = node.propose(keep(number)).await;
        assert!(
            matches!(&refused, Err(LogError::Unavailable(why)) if why.contains("most metadata disks")),
            "{refused:?}"
        );
        assert!(asked.elapsed() < Duration::from_millis(100));
    }
    assert_eq!(node.status().last, last);
    assert!(kept(node, 9).await.unwrap());
    relieve(&cluster.servers[full[0]]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(node.propose(keep(10)).await.unwrap(), Reply::Done);
    relieve(&cluster.servers[full[1]]);
    cluster.agree_on(0..11).await;
}
