//! What is sent about the metadata servers and about servers that join, against golden files.

use super::{golden, types};
use std::collections::BTreeMap;
use types::NodeId;
use types::wire::calls::Told;
use types::wire::members::{
    Added, Enrol, Enrolled, Member, NewToken, ServerInfo, ServerKeys, ServerRole, ServerSettings,
    TokenInfo, TokenText,
};
use types::wire::metadata::WallTime;

const NODE: NodeId = NodeId::new(2);

fn servers() -> BTreeMap<u64, String> {
    BTreeMap::from([(1, "10.0.0.1:9011".to_owned())])
}

/// The bytes are as they always were, and are read.
#[test]
fn messages_stay_the_same() {
    let told = Told {
        term: 3,
        leader: Some(NODE),
        version: 41,
        servers: servers(),
        storage: BTreeMap::from([(4, "10.0.0.4:9100".to_owned())]),
        removed: vec![NodeId::new(7)],
    };
    golden("told", &told);
    let member = Member {
        node: NODE,
        address: "10.0.0.2:9011".into(),
        voter: true,
        leader: false,
        behind: 12,
        silent_ms: Some(80),
        full: false,
        clock_ahead_ms: 0,
    };
    golden("members", &vec![member.clone()]);
    let unwell = Member {
        full: true,
        clock_ahead_ms: -14_000,
        ..member
    };
    golden("members-unwell", &vec![unwell]);
    golden("added", &[Added::Learning { behind: 1200 }, Added::Voter]);
    let token = NewToken {
        number: 7,
        text: TokenText::new("strongroom-join-1.text".into()),
    };
    golden("new-token", &token);
    let roles = [
        ServerRole::Metadata,
        ServerRole::Storage,
        ServerRole::Gateway,
    ];
    let tokens = roles.map(|role| TokenInfo {
        number: 7,
        role,
        expires_in_ms: 3_599_000,
        used_by: (role == ServerRole::Storage).then_some(NODE),
    });
    golden("tokens", &tokens);
    let enrol = Enrol {
        request: vec![0x30, 0x82],
        address: Some("10.0.0.2:9011".into()),
        names: vec!["10.0.0.2".into()],
    };
    golden("enrol", &enrol);
    let keys = ServerKeys {
        rings: vec![(1, [0x11; 32])],
        authority: vec![0x30, 0x81],
        settings: ServerSettings {
            profile: "4+2".parse().unwrap(),
            abandoned_after_seconds: 604_800,
            reclaim_after_seconds: 600,
        },
    };
    assert_eq!(
        format!("{keys:?} {:?}", token.text),
        "ServerKeys(..) TokenText(..)"
    );
    let enrolled = Enrolled {
        node: NODE,
        role: ServerRole::Metadata,
        certificate: "PEM".into(),
        metadata: servers(),
        keys: Some(keys),
    };
    golden("enrolled", &enrolled);
    let info = ServerInfo {
        node: NODE,
        role: None,
        address: None,
        admitted: WallTime(7),
        removed: true,
    };
    golden("servers", &vec![info]);
}

/// An earlier build tells less, and an earlier one reads what this one tells.
#[test]
fn who_leads_is_told_across_builds() {
    use types::codec::{decode, encode};
    use types::wire::calls::Leadership;
    let before = Leadership {
        term: 3,
        leader: Some(NODE),
    };
    let told: Told = decode(&encode(&before)).unwrap();
    assert_eq!(told.leadership(), before);
    assert!(told.servers.is_empty() && told.version == 0);
    let back: Leadership = decode(&encode(&Told {
        servers: servers(),
        ..told
    }))
    .unwrap();
    assert_eq!(back, before);
}
