//! What a newer build asks an older one.

use super::{CLUSTER, IDS, World, credentials, real_disks};
use ca::Role;
use client::Servers;
use rpc::Addresses;
use std::sync::Arc;
use std::time::{Duration, Instant};
use types::NodeId;
use types::wire::calls::{Call, Carrier, Repeat};
use types::wire::metadata::MetadataError;

/// A call that the server does not know is refused as that, at once: nobody waits for an answer that will not come.
#[test]
fn an_unknown_call_is_told_from_a_failed_one() {
    let world = World::start(&real_disks(), |_| {});
    let credentials = credentials(&world.authority, Role::Gateway, NodeId::new(9));
    let addresses: Arc<dyn Addresses> = Arc::new(world.book.clone());
    let inside = world.outside.enter();
    let servers = Servers::start(&credentials, CLUSTER, &IDS, &addresses).unwrap();
    drop(inside);
    world.leader();
    for path in ["/metadata/foresee", "/upkeep/foresee"] {
        let call = Call {
            path,
            body: Vec::new(),
            repeat: Repeat::Harmless,
        };
        let began = Instant::now();
        let answer = world.outside.block_on(servers.carry(call));
        assert_eq!(answer, Err(MetadataError::NoSuchCall), "{path}");
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{path}: {:?}",
            began.elapsed()
        );
    }
}
