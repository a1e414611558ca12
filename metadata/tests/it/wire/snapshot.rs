//! A server that was away while the log was purged, and a snapshot that breaks off on its way to it.

use super::load::Registers;
use super::{World, eventually, real_disks};
use std::io::Read;
use types::NodeId;

/// Objects of each who fills the rows.
const FILLED: u64 = 120;

/// A server that fell behind the log gets a snapshot over the wire, and holds the same rows then. Nothing
/// travels or lies in the clear.
/// Method: stop a follower; write, snapshot and purge without it; bring it back; compare digests.
#[test]
fn a_server_that_was_away_gets_a_snapshot_over_the_wire() {
    let world = World::start(&real_disks(), |raft| raft.keep_entries = 0);
    let gateway = world.client(NodeId::new(101));
    let registers = Registers::make(&world, &gateway, "registers");
    let outside = world.outside.handle().clone();
    let write = |from: u64, to: u64| {
        for value in from..to {
            outside.block_on(registers.write(value, value)).unwrap();
        }
    };
    write(0, 20);
    world.agree();
    let away = (world.leader() + 1) % 3;
    let had = world.statuses()[&away].last.unwrap();
    world.hosts[away].supervised.away(true);
    eventually("it is away", || world.statuses().len() == 2);
    write(20, 150);
    for (at, host) in world.hosts.iter().enumerate() {
        if at != away {
            let replica = host.supervised.running().unwrap();
            host.block_on(replica.node().snapshot_now()).unwrap();
            eventually("the log is purged", || {
                replica
                    .node()
                    .status()
                    .purged
                    .is_some_and(|purged| purged > had)
            });
        }
    }
    world.hosts[away].supervised.away(false);
    eventually("it has a snapshot", || {
        let status = world.statuses().remove(&away);
        status.is_some_and(|status| status.snapshot.is_some_and(|at| at > had))
    });
    write(150, 160);
    world.agree();
    for value in [0, 19, 149, 159] {
        let found = outside.block_on(registers.read(value)).unwrap();
        assert_eq!(found, Some(value));
    }
    outside.block_on(gateway.shutdown());
    let log = world.hosts[away].folder.join("log");
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(log).unwrap() {
        let mut file = std::fs::File::open(entry.unwrap().path()).unwrap();
        file.read_to_end(&mut bytes).unwrap();
    }
    assert!(bytes.len() > 10_000, "there are files");
    let name = b"register-1";
    assert!(!bytes.windows(name.len()).any(|window| window == name));
    let digests = world.digests();
    assert_eq!(digests[0], digests[1]);
    assert_eq!(digests[0], digests[2]);
}

/// A snapshot whose connection breaks is sent on from there, not from its beginning; and the rows are the same then.
/// Method: a follower is away while the rows come to several megabytes; on its way back its snapshot's connection
/// breaks three times, each when half a snapshot has come since the last; in all hardly more than one snapshot flows.
#[test]
fn a_snapshot_goes_on_where_it_broke_off() {
    let world = World::start(&real_disks(), |raft| raft.keep_entries = 0);
    let gateway = world.client(NodeId::new(101));
    let registers = Registers::make(&world, &gateway, "registers");
    let outside = world.outside.handle().clone();
    outside.block_on(registers.write(0, 0)).unwrap();
    world.agree();
    let away = (world.leader() + 1) % 3;
    let had = world.statuses()[&away].last.unwrap();
    world.hosts[away].supervised.away(true);
    eventually("it is away", || world.statuses().len() == 2);
    let fill = |from: u64| registers.fill(from, FILLED);
    outside.block_on(futures::future::join_all(
        (0..16).map(|one| fill(one * FILLED)),
    ));
    for (at, host) in world.hosts.iter().enumerate() {
        if at != away {
            let replica = host.supervised.running().unwrap();
            host.block_on(replica.node().snapshot_now()).unwrap();
            let purged = || replica.node().status().purged;
            eventually("the log is purged", || purged() > Some(had));
        }
    }
    let leader = &world.hosts[world.leader()].folder;
    let length = std::fs::metadata(leader.join("log/snapshot"))
        .unwrap()
        .len();
    assert!(length > 4 << 20, "{length}");
    let flow = world.proxies.flow(world.hosts[away].id);
    let (before, mut breaks) = (flow.bytes(), 0);
    flow.break_at(before + length / 2);
    world.hosts[away].supervised.away(false);
    eventually("it has a snapshot", || {
        if !flow.is_whole() && breaks < 3 {
            breaks += 1;
            flow.break_at(before + length * (breaks + 2) / 4);
        }
        let status = world.statuses().remove(&away);
        status.is_some_and(|status| status.snapshot.is_some_and(|at| at > had))
    });
    let flown = flow.bytes() - before;
    eprintln!("{length} bytes, {flown} have flown, {breaks} breaks");
    assert!(breaks >= 1, "it never broke off");
    // Begun anew each time, it would be two.
    assert!(flown < length * 3 / 2, "{flown} of {length}");
    world.agree();
    outside.block_on(gateway.shutdown());
    let digests = world.digests();
    assert_eq!(digests[0], digests[1]);
    assert_eq!(digests[0], digests[2]);
}
