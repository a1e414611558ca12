//! The secret of an access key opens as that key's, and as nothing else.

use crate::{damaged, providers};
use seal::RingKey;
use seal::account::{
    AccountKey, SecretContext, SecretError, open_secret, seal_secret, sealing_version,
};
use types::Label;

/// Moved to another user, key or label, damaged, or tried with another ring key: it does not open.
#[test]
fn a_secret_opens_for_its_key_alone() {
    let label_digest = Label::default().digest();
    let raised = Label {
        level: 1,
        ..Label::default()
    };
    let good = SecretContext {
        user: "user",
        key: "key",
        label_digest,
    };
    let bad = [
        SecretContext {
            user: "other",
            ..good
        },
        SecretContext {
            key: "other",
            ..good
        },
        // The same bytes, cut elsewhere.
        SecretContext {
            user: "userk",
            key: "ey",
            ..good
        },
        SecretContext {
            label_digest: raised.digest(),
            ..good
        },
    ];
    let ring = RingKey::new(3, [4; 32]);
    for provider in providers() {
        let provider = &*provider;
        let key = AccountKey::derive(&ring);
        let sealed = seal_secret(provider, &key, &good, b"secret");
        assert_eq!(sealing_version(&sealed), Ok(3));
        let opened = open_secret(provider, &key, &good, &sealed).unwrap();
        assert_eq!(opened.as_slice(), b"secret");
        for context in &bad {
            let refused = open_secret(provider, &key, context, &sealed);
            assert!(
                matches!(refused, Err(SecretError::Refused(_))),
                "{context:?}"
            );
        }
        for (what, bad) in damaged(&sealed) {
            assert!(open_secret(provider, &key, &good, &bad).is_err(), "{what}");
        }
        let newer = AccountKey::derive(&RingKey::new(4, [4; 32]));
        let version = SecretError::Version {
            sealed: 3,
            given: 4,
        };
        assert_eq!(
            open_secret(provider, &newer, &good, &sealed).unwrap_err(),
            version
        );
        // The key is derived: the ring key itself opens nothing.
        assert!(provider.open(ring.expose(), &[], &sealed[5..]).is_err());
    }
}
