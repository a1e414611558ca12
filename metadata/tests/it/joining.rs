//! Tokens, and who joins by them.

use crate::fixture::Machine;
use strongroom_metadata::command::ClusterCommand as C;
use strongroom_metadata::tables::{NODES, TOKENS};
use strongroom_metadata::{Refusal, Reply};
use types::NodeId;
use types::wire::members::ServerRole;

const HOUR: u64 = 3_600_000;
const MINE: [u8; 32] = [1; 32];
const THEIRS: [u8; 32] = [2; 32];

fn token(machine: &Machine, role: ServerRole) -> u64 {
    let lifetime_ms = HOUR;
    match machine.cluster(C::AddToken { role, lifetime_ms }) {
        Reply::Token(number) => number,
        other => panic!("{other:?}"),
    }
}

fn join(machine: &Machine, token: u64, key: [u8; 32]) -> Reply {
    machine.cluster(C::UseToken {
        token,
        key,
        address: Some("10.0.0.2:9011".to_owned()),
    })
}

fn joined(reply: Reply) -> (NodeId, ServerRole) {
    match reply {
        Reply::Enrolled { node, role } => (node, role),
        other => panic!("{other:?}"),
    }
}

const REFUSED: Reply = Reply::Refused(Refusal::TokenInvalid);

/// By a token one server joins: it is told its id again when it asks again, and nobody else is.
#[test]
fn a_token_is_for_one_server() {
    let machine = Machine::new();
    let first = token(&machine, ServerRole::Storage);
    let second = token(&machine, ServerRole::Metadata);
    assert_ne!(first, second);
    let (node, role) = joined(join(&machine, first, MINE));
    assert_eq!(role, ServerRole::Storage);
    let row = NODES.get(&machine.store, &node).unwrap().unwrap();
    assert_eq!(row.address.as_deref(), Some("10.0.0.2:9011"));
    assert_eq!(row.role, Some(ServerRole::Storage));

    assert_eq!(join(&machine, first, THEIRS), REFUSED);
    assert_eq!(joined(join(&machine, first, MINE)), (node, role));
    let (other, role) = joined(join(&machine, second, THEIRS));
    assert_ne!(node, other, "ids are not given out twice");
    assert_eq!(role, ServerRole::Metadata);
    assert_eq!(join(&machine, 77, MINE), REFUSED, "nobody made it");
}

/// A token that has expired, or was withdrawn, opens nothing, not even to who used it in time; and leaves nothing
/// behind when the next one is made.
#[test]
fn a_token_ends() {
    let machine = Machine::new();
    let (used, unused) = (
        token(&machine, ServerRole::Gateway),
        token(&machine, ServerRole::Gateway),
    );
    joined(join(&machine, used, MINE));
    let withdrawn = token(&machine, ServerRole::Gateway);
    let withdraw = C::RemoveToken { token: withdrawn };
    assert_eq!(machine.cluster(withdraw.clone()), Reply::Done);
    assert_eq!(machine.cluster(withdraw), Reply::Done);
    assert_eq!(join(&machine, withdrawn, MINE), REFUSED);

    let mut now = 0;
    while now < HOUR {
        assert!(TOKENS.contains(&machine.store, &unused).unwrap());
        now = machine.tick(10_000);
    }
    assert_eq!(join(&machine, unused, MINE), REFUSED);
    assert_eq!(join(&machine, used, MINE), REFUSED);
    let next = token(&machine, ServerRole::Gateway);
    let left: Vec<_> = TOKENS.scan(&machine.store, &[]).collect();
    assert_eq!(left.len(), 1);
    joined(join(&machine, next, THEIRS));
}

/// So many tokens wait at most.
#[test]
fn tokens_are_few() {
    let machine = Machine::new();
    let most = strongroom_metadata::apply::MAX_TOKENS;
    let add = C::AddToken {
        role: ServerRole::Storage,
        lifetime_ms: HOUR,
    };
    let all = (0..=most).map(|_| strongroom_metadata::Command::Cluster(add.clone()));
    let replies = machine.apply_all(all);
    assert!(matches!(replies[most - 1], Reply::Token(_)));
    assert_eq!(replies[most], Reply::Refused(Refusal::TooManyTokens));
}

/// A server that is removed is so for good, and its id is not given out again.
#[test]
fn who_is_removed_stays_removed() {
    let machine = Machine::new();
    let made = token(&machine, ServerRole::Gateway);
    let (node, _) = joined(join(&machine, made, MINE));
    let remove = C::RemoveNode { node };
    assert_eq!(machine.cluster(remove.clone()), Reply::Done);
    let removed = NODES.get(&machine.store, &node).unwrap().unwrap();
    assert!(removed.removed.is_some());
    assert_eq!(machine.cluster(remove), Reply::Done);
    assert_eq!(NODES.get(&machine.store, &node).unwrap(), Some(removed));
    let nobody = C::RemoveNode {
        node: NodeId::new(99),
    };
    assert_eq!(join(&machine, made, MINE), REFUSED, "nor by its token");
    let refused = Reply::Refused(Refusal::NoSuchServer);
    assert_eq!(machine.cluster(nobody), refused);
    let made = token(&machine, ServerRole::Gateway);
    assert!(joined(join(&machine, made, THEIRS)).0 > node);
}
