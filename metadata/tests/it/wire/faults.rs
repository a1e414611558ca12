//! The leader stopped, frozen and cut off in the middle of a load.

use super::load::{Load, Registers, counted};
use super::{World, eventually, real_disks};
use client::{Client, ClientConfig};
use disk::sim::{Fate, Operation as Call, SimDisk};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use strongroom_metadata::raft::NodeConfig;
use strongroom_metadata::supervise::State;
use strongroom_metadata::{
    Keyring, Log, LogError, Proposal, Read, Reply, Server, ServerConfig, Store,
};
use strongroom_register::{Did, Operation, Violation, check};
use types::NodeId;

/// What a client may notice: twice the longest that a follower waits before it stands for election.
fn longest_pause() -> Duration {
    2 * (2 * NodeConfig::new(NodeId::new(1)).election)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Stopped,
    Frozen,
    CutOff,
}

/// Whatever becomes of the leader, clients see a short pause and no error that lasts; nothing acknowledged
/// is lost and nothing stale is read.
/// Method: six clients of two gateways read and write four registers; one fault after another takes the
/// leader away, and once another leads and the load has gone on, brings it back. The pause is the longest
/// time in which no client was answered; the history of all is checked for linearizability.
#[test]
fn the_leader_may_go_at_any_time() {
    let world = World::start(&real_disks(), |_| {});
    let load = Load::start(&world);
    let mut injected: BTreeMap<Fault, usize> = BTreeMap::new();
    let mut elections = Vec::new();
    for fault in [Fault::Stopped, Fault::Frozen, Fault::CutOff] {
        load.go_on(300);
        let leader = world.leader();
        let (term, host) = (world.statuses()[&leader].term, &world.hosts[leader]);
        let since = Instant::now();
        let frozen = match fault {
            Fault::Stopped => {
                host.supervised.away(true);
                None
            }
            Fault::Frozen => Some(host.freeze()),
            Fault::CutOff => {
                world.proxies.cut_off(host.id, true);
                None
            }
        };
        eventually("another leads", || {
            world.statuses().iter().any(|(at, status)| {
                *at != leader && status.term > term && status.leader == Some(status.node)
            })
        });
        elections.push((fault, since.elapsed()));
        load.go_on(300);
        drop(frozen);
        host.supervised.away(false);
        world.proxies.cut_off(host.id, false);
        world.leader();
        eventually("it is back", || {
            let statuses = world.statuses();
            let most = statuses
                .values()
                .map(|status| status.applied)
                .max()
                .flatten();
            statuses.get(&leader).is_some_and(|status| {
                status.applied.unwrap_or(0) + 50 > most.unwrap_or(0) && status.leader.is_some()
            })
        });
        *injected.entry(fault).or_default() += 1;
    }
    load.go_on(300);
    let report = load.end(&world);
    eprintln!(
        "faults {injected:?}; elected after {elections:?}; longest pause {:?}, slowest {:?}; {:?}; errors {:?}",
        report.pause,
        report.slowest,
        report.checked,
        counted(&report.errors),
    );
    assert_eq!(
        injected.values().sum::<usize>(),
        3,
        "every fault was injected"
    );
    assert!(report.checked.reads > 300 && report.checked.writes > 300);
    assert!(report.pause <= longest_pause(), "{report:?}");
    world.agree();
    let digests = world.digests();
    assert!(digests.iter().all(|digest| *digest == digests[0]));
}

/// A log that answers from whatever rows this server has, and asks nobody.
struct Stale(Arc<Store>);

impl Log for Stale {
    fn propose(&self, _: Proposal) -> BoxFuture<'_, Result<Reply, LogError>> {
        async { Err(LogError::Unavailable("it only reads".into())) }.boxed()
    }

    fn linearizable(&self, read: Read) -> BoxFuture<'_, Result<(), LogError>> {
        async move {
            read(&self.0);
            Ok(())
        }
        .boxed()
    }

    fn leads(&self) -> bool {
        false
    }
}

/// A server that answers from its own rows without asking a quorum is found out.
/// Method: cut a follower off; write through the others; read what it has, past its Raft.
#[test]
fn a_planted_stale_read_is_caught() {
    let world = World::start(&real_disks(), |_| {});
    let gateway = world.client(NodeId::new(101));
    let registers = Registers::make(&world, &gateway, "registers");
    let outside = world.outside.handle().clone();
    let mut history = Vec::new();
    let mut clock = 0;
    let mut note = |did| {
        clock += 2;
        history.push(Operation {
            register: 1,
            did,
            called: clock - 1,
            answered: Some(clock),
        });
        check(&history)
    };
    outside.block_on(registers.write(1, 1)).unwrap();
    note(Did::Wrote(1)).unwrap();
    world.agree();
    let leader = world.leader();
    let away = &world.hosts[(leader + 1) % 3];
    world.proxies.cut_off(away.id, true);
    outside.block_on(registers.write(1, 2)).unwrap();
    note(Did::Wrote(2)).unwrap();
    let found = outside.block_on(registers.read(1)).unwrap();
    assert_eq!(found, Some(2));
    note(Did::Read(found)).unwrap();

    let replica = away.supervised.running().unwrap();
    let keys = Keyring::new(seal::provider::default(), world.rings.clone());
    let stale = Stale(replica.node().unconfirmed_rows());
    let _inside = outside.enter();
    let stale = Server::start(stale, keys, ServerConfig::new(crate::fixture::profile()));
    let reader = Client::start(
        ClientConfig::new(NodeId::new(103)),
        stale,
        Arc::new(super::NoShards),
    );
    let found = outside
        .block_on(registers.through(&reader).read(1))
        .unwrap();
    let verdict = note(Did::Read(found));
    assert_eq!(found, Some(1), "the follower has the old value");
    let violation = Violation::Stale {
        register: 1,
        one: Some(1),
        other: Some(2),
    };
    assert_eq!(verdict, Err(violation));
}

/// A server whose log fails stops and is started again by itself, the cluster goes on meanwhile.
/// Method: the leader's disk fails a sync in the middle of a load, and the next two starts.
#[test]
fn a_fatal_error_restarts_that_one_server() {
    let disks: Arc<Mutex<BTreeMap<NodeId, SimDisk>>> = Arc::default();
    let broken: Arc<Mutex<(Option<NodeId>, u32)>> = Arc::default();
    let (own, failing) = (Arc::clone(&disks), Arc::clone(&broken));
    let world = World::start(
        &(Arc::new(move |id: NodeId, _: &std::path::Path| {
            let mut broken = failing.lock().unwrap();
            if broken.0 == Some(id) && broken.1 > 0 {
                broken.1 -= 1;
                return Err(std::io::Error::other("the disk does not answer"));
            }
            let mut disks = own.lock().unwrap();
            let next = match disks.get(&id) {
                Some(disk) => disk.restart(),
                None => SimDisk::new(id.get()),
            };
            disks.insert(id, next.clone());
            Ok(Arc::new(next) as Arc<dyn disk::Disk>)
        }) as super::LogDisk),
        |_| {},
    );
    let load = Load::start(&world);
    load.go_on(200);
    let leader = world.leader();
    let host = &world.hosts[leader];
    broken.lock().unwrap().clone_from(&(Some(host.id), 2));
    let failed = Arc::new(Mutex::new(0));
    let count = Arc::clone(&failed);
    disks.lock().unwrap()[&host.id].script(move |call| {
        if call.operation == Call::Sync {
            *count.lock().unwrap() += 1;
            return Fate::Fail(5);
        }
        Fate::Proceed
    });
    eventually("it has stopped", || host.why_stopped().is_some());
    let mut whys = vec![host.why_stopped().unwrap_or_default()];
    load.go_on(200);
    eventually("it runs again", || {
        let state = host.supervised.state();
        if let State::Stopped(why) = &state
            && whys.last() != Some(why)
        {
            whys.push(why.clone());
        }
        matches!(state, State::Running(_))
    });
    load.go_on(200);
    let report = load.end(&world);
    eprintln!("{whys:?}; {report:?}");
    assert!(*failed.lock().unwrap() > 0, "a sync was failed");
    assert_eq!(broken.lock().unwrap().1, 0, "two starts were failed");
    assert!(whys.last().unwrap().contains("does not answer"), "{whys:?}");
    assert!(report.pause <= longest_pause(), "{report:?}");
    world.agree();
    let digests = world.digests();
    assert!(digests.iter().all(|digest| *digest == digests[0]));
}
