//! A server's keys: made once, durable and private, and never made over.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use strongroom_metadata::slot::{Before, KeyFiles, Slot, SlotError};
use tempfile::TempDir;
use types::{ClusterId, NodeId};

const CLUSTER: ClusterId = ClusterId::new([7; 16]);
const NODE: NodeId = NodeId::new(3);

/// The storage key and the ring key in the golden slot.
const STORAGE: &[u8; 32] = &[
    223, 90, 60, 106, 201, 90, 180, 213, 172, 22, 145, 109, 40, 236, 96, 12, 180, 95, 213, 202,
    138, 31, 40, 173, 87, 57, 188, 54, 181, 85, 121, 178,
];
const RING: &[u8; 32] = &[
    234, 107, 14, 214, 49, 212, 192, 31, 29, 114, 162, 89, 234, 37, 71, 228, 196, 73, 193, 62, 22,
    137, 77, 122, 73, 50, 170, 125, 33, 65, 203, 14,
];

fn files(folder: &Path) -> KeyFiles {
    KeyFiles {
        root: folder.join("root.key"),
        slot: folder.join("slot"),
    }
}

fn open(folder: &Path, before: Before) -> Result<Slot, SlotError> {
    let provider = seal::provider::default();
    Slot::open_or_create(&files(folder), provider.as_ref(), CLUSTER, NODE, before)
}

/// A slot that an earlier build wrote under a fixed root key opens, to the keys that were in it.
/// A new one is random: what it holds is then to be put beside `STORAGE` and `RING`.
#[test]
fn an_old_slot_is_read() {
    let folder = TempDir::new().unwrap();
    let KeyFiles { root, slot } = files(folder.path());
    fs::write(&root, [0x22; 32]).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o600)).unwrap();
    let golden = golden::written_once(env!("CARGO_MANIFEST_DIR"), "raft-slot.bin", || {
        open(folder.path(), Before::Never).unwrap();
        fs::read(&slot).unwrap()
    });
    fs::write(&slot, golden).unwrap();
    fs::set_permissions(&slot, fs::Permissions::from_mode(0o600)).unwrap();
    let found = open(folder.path(), Before::Log).unwrap();
    assert_eq!(found.storage.expose(), STORAGE);
    assert_eq!(found.ring().expose(), RING);
    assert_eq!(found.ring().version(), 1);
}

/// The first start makes both files, for their owner alone; the next finds the same keys.
#[test]
fn keys_are_made_once() {
    let folder = TempDir::new().unwrap();
    let made = open(folder.path(), Before::Never).unwrap();
    let found = open(folder.path(), Before::Log).unwrap();
    assert_eq!(made.storage, found.storage);
    assert_eq!(made.rings, found.rings);
    let KeyFiles { root, slot } = files(folder.path());
    for file in [&root, &slot] {
        let mode = fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    assert_eq!(fs::read(&root).unwrap().len(), 32);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    let stored = fs::read(&slot).unwrap();
    for secret in [made.storage.expose(), made.ring().expose()] {
        assert!(!stored.windows(32).any(|window| window == secret));
    }
}

/// A server of several is given the others' ring keys, and a storage key of its own; once made, it keeps
/// them; and with a log it is not made at all.
#[test]
fn servers_share_ring_keys_and_nothing_else() {
    let (first, second) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let given = open(first.path(), Before::Never).unwrap();
    let keys = KeyFiles {
        root: first.path().join("root.key"),
        slot: second.path().join("slot"),
    };
    let provider = seal::provider::default();
    let join = |before, rings: &[seal::RingKey]| {
        let node = NodeId::new(4);
        Slot::open_or_join(&keys, provider.as_ref(), CLUSTER, node, before, rings)
    };
    let refused = join(Before::Log, &given.rings).unwrap_err();
    assert!(
        matches!(refused, SlotError::SlotMissing { .. }),
        "{refused}"
    );
    let joined = join(Before::Never, &given.rings).unwrap();
    assert_eq!(joined.rings, given.rings);
    assert_ne!(joined.storage, given.storage);
    let again = join(Before::Log, &[seal::RingKey::random(7)]).unwrap();
    assert_eq!((again.rings, again.storage), (joined.rings, joined.storage));
}

/// A log without its slot, and a slot without its root key, are refused: fresh keys would lose both.
#[test]
fn keys_are_never_made_over() {
    let folder = TempDir::new().unwrap();
    let missing = open(folder.path(), Before::Log).unwrap_err();
    assert!(
        matches!(missing, SlotError::SlotMissing { .. }),
        "{missing}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

    open(folder.path(), Before::Never).unwrap();
    fs::remove_file(folder.path().join("root.key")).unwrap();
    let missing = open(folder.path(), Before::Never).unwrap_err();
    assert!(
        matches!(missing, SlotError::RootMissing { .. }),
        "{missing}"
    );
}

/// A start that ended between the two files goes on where it ended.
#[test]
fn a_first_start_may_end_anywhere() {
    let folder = TempDir::new().unwrap();
    open(folder.path(), Before::Never).unwrap();
    let root = fs::read(folder.path().join("root.key")).unwrap();
    fs::remove_file(folder.path().join("slot")).unwrap();
    fs::write(folder.path().join("slot.new"), b"unfinished").unwrap();
    open(folder.path(), Before::Never).unwrap();
    assert_eq!(fs::read(folder.path().join("root.key")).unwrap(), root);
}

/// Another server's slot, another root key, any flipped bit and files open to others are refused.
#[test]
fn only_the_right_slot_opens() {
    let folder = TempDir::new().unwrap();
    open(folder.path(), Before::Never).unwrap();
    let KeyFiles { root, slot } = files(folder.path());
    let provider = seal::provider::default();
    for (cluster, node) in [(ClusterId::new([8; 16]), NODE), (CLUSTER, NodeId::new(4))] {
        let files = files(folder.path());
        let error = Slot::open_or_create(&files, provider.as_ref(), cluster, node, Before::Log)
            .unwrap_err();
        assert!(matches!(error, SlotError::Foreign { .. }), "{error}");
    }

    let good = fs::read(&slot).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&slot, &bad).unwrap();
        assert!(open(folder.path(), Before::Log).is_err(), "byte {at}");
    }
    fs::write(&slot, &good).unwrap();

    let key = fs::read(&root).unwrap();
    fs::write(&root, [0; 32]).unwrap();
    let error = open(folder.path(), Before::Log).unwrap_err();
    assert!(matches!(error, SlotError::Refused(_)), "{error}");
    fs::write(&root, &key[1..]).unwrap();
    let error = open(folder.path(), Before::Log).unwrap_err();
    assert!(matches!(error, SlotError::NotARootKey { .. }), "{error}");
    fs::write(&root, &key).unwrap();

    fs::set_permissions(&root, fs::Permissions::from_mode(0o644)).unwrap();
    let error = open(folder.path(), Before::Log).unwrap_err();
    assert!(
        matches!(error, SlotError::Exposed { mode: 0o644, .. }),
        "{error}"
    );
}
