//! What a storage node may ask for: about its own disks.

use super::{CLUSTER, IDS, World, credentials, eventually, real_disks};
use ca::Role;
use client::{RemoteMetadata, Servers};
use rpc::Addresses;
use std::sync::Arc;
use strongroom_metadata::Replica;
use types::placement::{Disk, GroupTable};
use types::profile::DiskClass;
use types::wire::Upkeep;
use types::wire::calls::Remote;
use types::wire::metadata::MetadataError;
use types::{DiskId, NodeId};

fn node(world: &World, id: NodeId) -> RemoteMetadata {
    let credentials = credentials(&world.authority, Role::Storage, id);
    let addresses: Arc<dyn Addresses> = Arc::new(world.book.clone());
    let _inside = world.outside.enter();
    Remote(Servers::start(&credentials, CLUSTER, &IDS, &addresses).unwrap())
}

/// A new node's id, from whoever leads: on a busy machine that may be another one in the next moment.
fn admitted(world: &World) -> NodeId {
    let mut id = None;
    eventually("a node is admitted", || {
        let leader = world.hosts[world.leader()].supervised.running();
        let admit = |leader: Arc<Replica>| world.outside.block_on(leader.server().admit_node());
        id = leader.and_then(|leader| admit(leader).ok());
        id.is_some()
    });
    id.unwrap()
}

fn disk(id: DiskId, node: NodeId) -> Disk {
    Disk {
        id,
        node,
        class: DiskClass::Flash,
    }
}

fn refused<T: std::fmt::Debug>(answer: Result<T, MetadataError>) {
    assert!(
        matches!(answer, Err(MetadataError::Malformed(_))),
        "{answer:?}"
    );
}

/// A storage node admits disks of its own and works for them; another's it neither admits, nor works for, nor
/// replaces.
#[test]
fn a_storage_node_asks_for_its_own_disks() {
    let world = World::start(&real_disks(), |_| {});
    let (mine, other) = (admitted(&world), admitted(&world));
    let (my_node, other_node) = (node(&world, mine), node(&world, other));
    world.outside.block_on(async {
        let my_disk = my_node.reserve_disk_id().await.unwrap();
        let other_disk = other_node.reserve_disk_id().await.unwrap();
        refused(my_node.admit_disk(disk(other_disk, other)).await);
        my_node.admit_disk(disk(my_disk, mine)).await.unwrap();
        my_node.admit_disk(disk(my_disk, mine)).await.unwrap();
        other_node
            .admit_disk(disk(other_disk, other))
            .await
            .unwrap();
        let table: GroupTable = my_node.table(0).await.unwrap().unwrap();
        assert_eq!(table.disks, [disk(my_disk, mine), disk(other_disk, other)]);

        assert_eq!(my_node.deletes(my_disk, None).await, Ok(Vec::new()));
        assert_eq!(my_node.repairs(my_disk, None).await, Ok(Vec::new()));
        my_node.deleted(my_disk, Vec::new()).await.unwrap();
        my_node.repaired(my_disk, Vec::new()).await.unwrap();
        my_node.report_bad(my_disk, Vec::new()).await.unwrap();
        refused(my_node.deletes(other_disk, None).await);
        refused(my_node.repairs(other_disk, None).await);
        refused(my_node.deleted(other_disk, Vec::new()).await);
        refused(my_node.repaired(other_disk, Vec::new()).await);
        refused(my_node.report_bad(other_disk, Vec::new()).await);
        let new = my_node.reserve_disk_id().await.unwrap();
        refused(my_node.replace_disk(other_disk, disk(new, mine)).await);
        refused(my_node.replace_disk(my_disk, disk(new, other)).await);
        my_node
            .replace_disk(my_disk, disk(new, mine))
            .await
            .unwrap();
    });
}
