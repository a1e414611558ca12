//! A server whose cache and snapshot are lost, and whose log is whole.

use super::load::Registers;
use super::{World, eventually, real_disks};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use types::NodeId;

/// It takes no part until the leader has sent its snapshot, and holds the same rows then.
/// Method: snapshots and purges on all; stop a follower, delete its cache and flip a bit of its snapshot; write on
/// without it; bring it back, and compare digests.
#[test]
fn a_server_that_lost_its_state_is_sent_it() {
    let world = World::start(&real_disks(), |raft| raft.keep_entries = 0);
    let gateway = world.client(NodeId::new(101));
    let registers = Registers::make(&world, &gateway, "registers");
    let outside = world.outside.handle().clone();
    let write = |from: u64, to: u64| {
        for value in from..to {
            outside.block_on(registers.write(value, value)).unwrap();
        }
    };
    write(0, 60);
    world.agree();
    for host in &world.hosts {
        let replica = host.supervised.running().unwrap();
        host.block_on(replica.node().snapshot_now()).unwrap();
        eventually("the log is purged", || {
            replica.node().status().purged.is_some()
        });
    }
    let lost = (world.leader() + 1) % 3;
    world.hosts[lost].supervised.away(true);
    eventually("it is away", || world.statuses().len() == 2);
    let folder = &world.hosts[lost].folder;
    std::fs::remove_dir_all(folder.join("sled")).unwrap();
    let snapshot = folder.join("log/snapshot");
    let file = OpenOptions::new().read(true).write(true).open(snapshot);
    let file = file.unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[byte[0] ^ 1], middle).unwrap();
    drop(file);
    write(60, 80);
    world.hosts[lost].supervised.away(false);
    eventually("it takes part again", || world.statuses().len() == 3);
    write(80, 90);
    world.agree();
    for value in [0, 59, 79, 89] {
        let found = outside.block_on(registers.read(value)).unwrap();
        assert_eq!(found, Some(value));
    }
    outside.block_on(gateway.shutdown());
    let digests = world.digests();
    assert_eq!(digests[0], digests[1]);
    assert_eq!(digests[0], digests[2]);
}
