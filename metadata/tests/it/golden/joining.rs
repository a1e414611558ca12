//! Samples of what belongs to servers that join, and that are removed.

use super::Samples;
use strongroom_metadata::command::ClusterCommand;
use strongroom_metadata::tables::*;
use strongroom_metadata::{Refusal, Reply};
use types::id::NodeId;
use types::wire::members::ServerRole;
use types::wire::metadata::WallTime;

const NODE: NodeId = NodeId::new(2);
const KEY: [u8; 32] = [0x5a; 32];

pub(super) fn commands() -> Vec<(&'static str, ClusterCommand)> {
    vec![
        (
            "add token",
            ClusterCommand::AddToken {
                role: ServerRole::Metadata,
                lifetime_ms: 3_600_000,
            },
        ),
        ("remove token", ClusterCommand::RemoveToken { token: 7 }),
        (
            "use token",
            ClusterCommand::UseToken {
                token: 7,
                key: KEY,
                address: Some("10.0.0.2:9011".to_owned()),
            },
        ),
        ("remove node", ClusterCommand::RemoveNode { node: NODE }),
    ]
}

pub(super) fn replies() -> Vec<(&'static str, Reply)> {
    let role = ServerRole::Storage;
    vec![
        ("token", Reply::Token(7)),
        ("enrolled", Reply::Enrolled { node: NODE, role }),
        ("refused token", Reply::Refused(Refusal::TokenInvalid)),
        ("refused tokens", Reply::Refused(Refusal::TooManyTokens)),
        ("refused server", Reply::Refused(Refusal::NoSuchServer)),
    ]
}

pub(super) fn rows(g: &mut Samples) {
    let at = WallTime(1_700_000_000_000);
    let joined = NodeRow {
        admitted: at,
        role: Some(ServerRole::Gateway),
        address: Some("10.0.0.2:9011".to_owned()),
        removed: Some(at),
    };
    g.check_row("node that joined", &NODES, &NODE, &joined);
    g.check_row(
        "cluster counter token",
        &CLUSTER_COUNTERS,
        &ClusterId::Token,
        &8,
    );
    let row = TokenRow {
        role: ServerRole::Metadata,
        expires_ms: 3_602_001,
        used: None,
    };
    g.check_row("token", &TOKENS, &7, &row);
    let used = Some(TokenUse {
        key: KEY,
        node: NODE,
    });
    g.check_row(
        "token that was used",
        &TOKENS,
        &7,
        &TokenRow { used, ..row },
    );
}
