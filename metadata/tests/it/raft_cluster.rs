//! Three metadata servers: what was acknowledged stays, and replicas agree, whatever happens to one
//! of them at any sync, or to all of them at once.

use crate::raft_support::{Server, eventually, keep, kept, propose_somewhere};
use disk::sim::{Fate, Operation};
use std::time::Duration;
use strongroom_metadata::raft::{Network, Node, Status};
use strongroom_metadata::{Opened, Store};

pub(crate) struct Cluster {
    pub(crate) servers: Vec<Server>,
    pub(crate) nodes: Vec<Option<Node>>,
}

impl Cluster {
    pub(crate) fn new(seed: u64) -> Self {
        let network = Network::new();
        let servers: Vec<Server> = (1..=3)
            .map(|id| Server::new(id, &network, seed * 10 + id))
            .collect();
        Self {
            servers,
            nodes: vec![None, None, None],
        }
    }

    /// Starts those that are down. One whose power goes while it starts stays down.
    async fn start(&mut self) {
        for (server, node) in self.servers.iter().zip(&mut self.nodes) {
            if node.is_none() {
                *node = match server.start().await {
                    Ok(started) => Some(started),
                    Err(error) => {
                        assert!(
                            server.disk.is_cut(),
                            "{:?} does not start: {error}",
                            server.id()
                        );
                        None
                    }
                };
            }
        }
    }

    /// Starts all and begins the cluster, on another server where the first dies over it; says whether
    /// it has begun. One that dies after it asked for votes is needed back first.
    pub(crate) async fn begin(&mut self) -> bool {
        self.start().await;
        let voters = self
            .servers
            .iter()
            .map(|server| (server.id(), "here".to_owned()));
        let voters: Vec<_> = voters.collect();
        for node in self.nodes.iter().flatten() {
            if node.initialize(voters.clone()).await.is_err() {
                continue;
            }
            for _ in 0..100 {
                for node in self.running() {
                    if kept(node, 0).await.is_ok() {
                        return true;
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        false
    }

    fn running(&self) -> Vec<&Node> {
        self.nodes.iter().flatten().collect()
    }

    fn status(&self) -> Vec<Status> {
        self.running().into_iter().map(Node::status).collect()
    }

    pub(crate) async fn leader(&self) -> usize {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            for (at, node) in self.nodes.iter().enumerate() {
                let Some(node) = node else { continue };
                let leads = node.status().leader == Some(self.servers[at].id());
                if leads && kept(node, 0).await.is_ok() {
                    return at;
                }
            }
            assert!(tokio::time::Instant::now() < deadline, "nobody leads");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Proposes each number until a server acknowledges it.
    pub(crate) async fn write(&self, numbers: std::ops::Range<u64>) {
        for number in numbers {
            let written = propose_somewhere(&self.running(), number).await;
            assert!(
                written,
                "{number} was never acknowledged: {:?}",
                self.status()
            );
        }
    }

    async fn stop(&mut self, at: usize) {
        if let Some(node) = self.nodes[at].take() {
            node.shutdown().await;
            drop(node);
            self.servers[at].closed().await;
        }
    }

    /// The power of one server went: brings it back with what its disk kept.
    async fn bring_back(&mut self, at: usize, seed: u64) {
        self.stop(at).await;
        self.servers[at].after_power_cut(seed);
        self.start().await;
    }

    /// All servers hold `numbers`, and end with equal rows.
    pub(crate) async fn agree_on(&mut self, numbers: std::ops::Range<u64>) {
        let leader = self.leader().await;
        for number in numbers {
            let node = self.nodes[leader].as_ref().unwrap();
            let found = kept(node, number).await.unwrap();
            assert!(found, "{number} is lost: {:?}", self.status());
        }
        let running = self.running();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            let all: Vec<_> = running.iter().map(|node| node.status()).collect();
            let last = all[0].last;
            if all.len() == 3
                && all
                    .iter()
                    .all(|one| (one.last, one.applied) == (last, last))
            {
                break;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "they do not agree: {all:?}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut digests = Vec::new();
        for at in 0..3 {
            self.stop(at).await;
            let (store, opened) = Store::open(self.servers[at].store()).unwrap();
            assert_eq!(opened, Opened::Intact, "server {at}");
            digests.push((store.mark(), store.digest().unwrap()));
        }
        assert_eq!(digests[0], digests[1]);
        assert_eq!(digests[0], digests[2]);
    }
}

/// Power goes on one server, at each of its syncs in turn, while the cluster is begun and written to:
/// the others go on, and with what its disk kept it catches up.
#[tokio::test(start_paused = true)]
async fn power_loss_on_one_server_loses_nothing() {
    for victim in 0..3 {
        for cut in 0.. {
            let mut cluster = Cluster::new(cut);
            let mut syncs = 0;
            cluster.servers[victim].disk.script(move |call| {
                let goes = call.operation == Operation::Sync && syncs >= cut;
                syncs += u64::from(call.operation == Operation::Sync);
                if goes { Fate::CutPower } else { Fate::Proceed }
            });
            if !cluster.begin().await {
                assert!(cluster.servers[victim].disk.is_cut());
                cluster.bring_back(victim, cut).await;
                assert!(cluster.begin().await, "server {victim}, cut {cut}");
                cluster.agree_on(0..0).await;
                continue;
            }
            cluster.write(0..4).await;
            if !cluster.servers[victim].disk.is_cut() {
                assert!(cut > 5, "server {victim} has {cut} syncs only");
                break;
            }
            cluster.bring_back(victim, cut).await;
            cluster.write(4..5).await;
            cluster.agree_on(0..5).await;
        }
    }
}

/// Power goes in the whole room, on each server at another moment: all come back, with all that was
/// acknowledged.
/// Method: cut each at a change that the seed chooses; write until nothing is acknowledged any more.
#[tokio::test(start_paused = true)]
async fn power_loss_everywhere_loses_nothing() {
    for seed in 0..40 {
        let mut cluster = Cluster::new(seed);
        for server in &mut cluster.servers {
            server.config.keep_entries = 3;
        }
        assert!(cluster.begin().await);
        cluster.leader().await;
        for (at, server) in cluster.servers.iter().enumerate() {
            let after = (seed * 7 + at as u64 * 5) % 31;
            server.disk.cut_at_change(server.disk.changes() + after);
        }
        let mut acknowledged = 0;
        'writing: for number in 0..20 {
            for node in cluster.running() {
                if number == 5 {
                    // Whether it worked shows when the servers start from it.
                    drop(node.snapshot_now().await);
                }
                if node.propose(keep(number)).await.is_ok() {
                    acknowledged = number + 1;
                    continue 'writing;
                }
            }
            break;
        }
        for at in 0..3 {
            cluster.stop(at).await;
            cluster.servers[at].after_power_cut(seed * 3 + at as u64);
        }
        cluster.start().await;
        cluster.agree_on(0..acknowledged).await;
    }
}

/// A server whose disk stalls holds up nobody but itself.
#[tokio::test(start_paused = true)]
async fn a_stalled_flush_of_a_follower_holds_up_nobody() {
    let mut cluster = Cluster::new(1);
    assert!(cluster.begin().await);
    cluster.write(0..3).await;
    let leader = cluster.leader().await;
    let slow = (leader + 1) % 3;
    stall(&cluster.servers[slow]);
    cluster.write(3..8).await;
    unstall(&cluster.servers[slow]);
    cluster.agree_on(0..8).await;
}

/// What two other servers have made durable is committed; the leader, whose own flush stalls, does not
/// apply it before its own log holds it, and loses nothing when its power then goes.
#[tokio::test(start_paused = true)]
async fn a_leader_applies_only_what_is_durable_in_its_own_log() {
    for power_goes in [false, true] {
        let mut cluster = Cluster::new(1);
        assert!(cluster.begin().await);
        cluster.write(0..3).await;
        let leader = cluster.leader().await;
        let before = cluster.nodes[leader].as_ref().unwrap().status();
        stall(&cluster.servers[leader]);
        {
            let node = cluster.nodes[leader].as_ref().unwrap();
            let proposed = node.propose(keep(3));
            let waited = tokio::time::timeout(Duration::from_millis(500), proposed).await;
            assert!(
                waited.is_err(),
                "it was acknowledged before it was durable here"
            );
            let others = (0..3).filter(|at| *at != leader);
            for other in others {
                let status = cluster.nodes[other].as_ref().unwrap().status();
                assert!(
                    status.applied > before.applied,
                    "the others have it: {status:?}"
                );
            }
            assert_eq!(node.status().applied, before.applied);
        }
        if power_goes {
            cluster.servers[leader].disk.cut();
            unstall(&cluster.servers[leader]);
            cluster.bring_back(leader, 5).await;
        } else {
            unstall(&cluster.servers[leader]);
        }
        cluster.agree_on(0..4).await;
    }
}

fn stall(server: &Server) {
    server.disk.script(|call| match call.operation {
        Operation::Sync => Fate::Stall,
        _ => Fate::Proceed,
    });
}

fn unstall(server: &Server) {
    server.disk.script(|_| Fate::Proceed);
    server.disk.release();
}

/// A server that was away while the log was purged gets a snapshot, and its power may go at any change
/// while it installs it.
#[tokio::test(start_paused = true)]
async fn a_server_that_was_away_gets_a_snapshot() {
    for cut in 0.. {
        let mut cluster = Cluster::new(cut);
        for server in &mut cluster.servers {
            server.config.keep_entries = 0;
        }
        assert!(cluster.begin().await);
        cluster.write(0..2).await;
        let away = (cluster.leader().await + 1) % 3;
        cluster.stop(away).await;
        cluster.servers[away].after_kill();
        cluster.write(2..20).await;
        for node in cluster.running() {
            node.snapshot_now().await.unwrap();
            eventually("the log is purged", || node.status().purged > Some(10)).await;
        }
        let before = cluster.servers[away].disk.changes();
        cluster.servers[away].disk.cut_at_change(before + cut);
        cluster.start().await;
        let target = cluster.running()[0].status().applied;
        let disk = cluster.servers[away].disk.clone();
        eventually("it has caught up, or its power went", || {
            let status = cluster.nodes[away].as_ref().map(Node::status);
            disk.is_cut() || status.is_some_and(|status| status.applied >= target)
        })
        .await;
        let cut_short = disk.is_cut();
        disk.script(|_| Fate::Proceed);
        if cut_short {
            cluster.bring_back(away, cut).await;
        }
        cluster.write(20..22).await;
        eventually("it has a snapshot", || {
            let status = cluster.nodes[away].as_ref().unwrap().status();
            status.snapshot.is_some()
        })
        .await;
        cluster.agree_on(0..22).await;
        if !cut_short {
            assert!(cut > 5, "installing has {cut} changes only");
            return;
        }
    }
}
