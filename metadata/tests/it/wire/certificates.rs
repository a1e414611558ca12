//! Who may call what.

use super::{CLUSTER, IDS, World, credentials, real_disks};
use ca::{Authority, Credentials, Identity, Role};
use rpc::{AddressBook, Addresses, CallError, Channel, StatusCode};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;
use types::wire::calls::Leadership;
use types::{ClusterId, NodeId, codec};

fn operator(authority: &Authority) -> Credentials {
    let issued = authority
        .client_files(&Identity::operator(CLUSTER))
        .unwrap();
    let certificate = CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
    Credentials::new(authority.certificate(), vec![certificate], key).unwrap()
}

fn call(
    world: &World,
    book: &AddressBook,
    caller: &Credentials,
    path: &str,
) -> Result<StatusCode, CallError> {
    let server = Identity::server(CLUSTER, Role::Metadata, IDS[0]);
    let addresses: Arc<dyn Addresses> = Arc::new(book.clone());
    let channel = Channel::new(caller, server, addresses).unwrap();
    let body = rpc::whole(codec::encode(&Leadership::default()));
    let called = world.outside.block_on(channel.call(path, body));
    called.map(|(status, _)| status)
}

/// Raft's calls are for metadata servers, also for one that this server has not heard of: it may lead by now. The
/// service is for gateways and metadata servers, its upkeep for storage nodes too; what operators and joiners may
/// ask is for them alone; and there is nothing for anybody else.
/// Method: a table of certificates and calls.
#[test]
fn certificates_open_what_they_should() {
    const OK: u16 = 200;
    const REFUSED: u16 = 403;
    /// TLS itself refuses.
    const SHUT: u16 = 0;
    /// Whose id was removed.
    const GONE: u64 = 8;
    let world = World::start(&real_disks(), |_| {});
    let ours = &world.authority;
    let other = Authority::load(&Authority::make().unwrap()).unwrap();
    let mixed = |role, node| {
        // Somebody else's certificate, for who trusts our servers all the same.
        let theirs = Identity::server(CLUSTER, role, node);
        other
            .credentials(&theirs, &[])
            .unwrap()
            .trusting(ours.certificate())
            .unwrap()
    };
    let elsewhere = Identity::server(ClusterId::new([1; 16]), Role::Metadata, IDS[1]);
    let of = |role, id| credentials(ours, role, NodeId::new(id));
    let cases: [(&str, Credentials, [u16; 6]); 10] = [
        (
            "a peer",
            of(Role::Metadata, 2),
            [400, OK, 404, 404, REFUSED, 404],
        ),
        (
            "a metadata server that is new here",
            of(Role::Metadata, 9),
            [400, OK, 404, 404, REFUSED, 404],
        ),
        (
            "a gateway",
            of(Role::Gateway, 2),
            [REFUSED, OK, 404, 404, REFUSED, 404],
        ),
        (
            "a storage node",
            of(Role::Storage, 2),
            [REFUSED, OK, REFUSED, 404, REFUSED, 404],
        ),
        (
            "the operator",
            operator(ours),
            [REFUSED, OK, REFUSED, REFUSED, 404, REFUSED],
        ),
        (
            "a joiner",
            of(Role::Joiner, 2),
            [REFUSED, OK, REFUSED, REFUSED, REFUSED, 404],
        ),
        ("who was removed", of(Role::Gateway, GONE), [SHUT; 6]),
        (
            "another authority's peer",
            mixed(Role::Metadata, IDS[1]),
            [SHUT; 6],
        ),
        (
            "another authority's gateway",
            mixed(Role::Gateway, IDS[1]),
            [SHUT; 6],
        ),
        (
            "another cluster's",
            ours.credentials(&elsewhere, &[]).unwrap(),
            [SHUT; 6],
        ),
    ];
    world.hosts[0].removed.add([NodeId::new(GONE)]);
    let mut refused = 0;
    for (who, caller, expected) in &cases {
        // The body is no vote.
        let paths = [
            "/raft/vote",
            "/leader",
            "/metadata/nothing",
            "/upkeep/nothing",
            "/members/nothing",
            "/enrolment/nothing",
        ];
        for (path, expected) in paths.iter().zip(expected) {
            let answered = call(&world, &world.book, caller, path);
            let status = answered.as_ref().map_or(SHUT, |status| status.as_u16());
            // Who does not lead says so before it looks.
            let status = if status == 421 { 404 } else { status };
            assert_eq!(status, *expected, "{who}, {path}: {answered:?}");
            refused += usize::from(matches!(*expected, SHUT | REFUSED));
        }
    }
    assert_eq!(refused, 39);
}

/// A caller that was sent to another server than it meant does not talk to it.
/// Method: an address book with two addresses swapped.
#[test]
fn a_server_proves_to_be_the_one_that_was_meant() {
    let world = World::start(&real_disks(), |_| {});
    let gateway = credentials(&world.authority, Role::Gateway, NodeId::new(7));
    let wrong = AddressBook::default();
    wrong.set(IDS[0], world.book.of(IDS[1]).unwrap());
    assert_eq!(call(&world, &world.book, &gateway, "/leader").unwrap(), 200);
    let called = call(&world, &wrong, &gateway, "/leader");
    assert!(
        matches!(called, Err(CallError::NotSent { .. })),
        "{called:?}"
    );
}
