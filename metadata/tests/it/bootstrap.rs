//! A cluster whose first start was cut short.

use crate::fixture::{Machine, MemoryLog, Outage, profile};
use std::collections::BTreeMap;
use std::sync::Arc;
use strongroom_metadata::server::BootstrapError;
use strongroom_metadata::tables::{DISKS, GROUP_EPOCHS, GROUPS};
use strongroom_metadata::{Keyring, Server, ServerConfig, plan};
use types::placement::{Disk, Group};
use types::profile::DiskClass;
use types::wire::metadata::MetadataError;

async fn server(disks: usize) -> Arc<Server<MemoryLog>> {
    let keys = Keyring::new(seal::provider::default(), vec![seal::RingKey::random(1)]);
    let config = ServerConfig::new(profile());
    let server = Server::start(MemoryLog(Machine::new(), Outage::default()), keys, config);
    let node = server.admit_node().await.unwrap();
    for _ in 0..disks {
        admit(&server, node).await;
    }
    server
}

async fn admit(server: &Server<MemoryLog>, node: types::NodeId) {
    let id = server.reserve_disk_id().await.unwrap();
    let class = DiskClass::Flash;
    server.admit_disk(Disk { id, node, class }).await.unwrap();
}

/// How often each list of members has a group, and is planned; every group is known to commits.
fn made_and_planned(server: &Server<MemoryLog>) -> [BTreeMap<String, usize>; 2] {
    let store = &server.log().0.store;
    let groups: Vec<Group> = GROUPS.scan(store, &[]).map(|row| row.unwrap().1).collect();
    for group in &groups {
        assert!(GROUP_EPOCHS.contains(store, &group.id).unwrap());
    }
    let disks: Vec<Disk> = DISKS.scan(store, &[]).map(|row| row.unwrap().1).collect();
    let planned = plan::plan(&disks, profile()).unwrap();
    let made = groups.into_iter().map(|group| group.members).collect();
    [made, planned].map(|all: Vec<Vec<_>>| {
        let mut counts = BTreeMap::new();
        for members in all {
            *counts.entry(format!("{members:?}")).or_default() += 1;
        }
        counts
    })
}

/// Wherever making the groups stops, doing it again makes those that are missing, none twice, and lets
/// commits know of all. Method: a layout of two commands; an outage after each proposal in turn.
#[tokio::test(start_paused = true)]
async fn a_layout_that_was_cut_short_is_completed() {
    // Reserve, create, reserve, create; teach in two.
    for proposals in 0..6 {
        let server = server(40).await;
        server.log().1.after(proposals);
        let cut = server.create_groups(profile()).await;
        let unavailable = matches!(
            cut,
            Err(BootstrapError::Service(MetadataError::Unavailable(_)))
        );
        assert!(unavailable, "{proposals}: {cut:?}");
        server.log().1.ends();
        server.create_groups(profile()).await.unwrap();
        let [made, planned] = made_and_planned(&server);
        assert_eq!(made, planned, "{proposals}");
        server.shutdown().await;
    }
}

/// Groups are laid out once: a start after a disk was admitted makes none.
#[tokio::test(start_paused = true)]
async fn a_disk_that_comes_later_changes_no_layout() {
    let server = server(7).await;
    server.create_groups(profile()).await.unwrap();
    let [made, planned] = made_and_planned(&server);
    assert_eq!(made, planned);
    admit(&server, types::NodeId::new(1)).await;
    let before = server.log().0.store.running_digest();
    server.create_groups(profile()).await.unwrap();
    assert_eq!(server.log().0.store.running_digest(), before);
    server.shutdown().await;
}
