//! A frame opens in its own file, at its own number.

use crate::{damaged, providers};
use seal::StorageKey;
use seal::frame::{FileId, FrameKey, random_salt};

/// Moved within its file, into a file of another id, salt or server, or damaged: it does not open.
#[test]
fn a_frame_opens_in_its_place_alone() {
    let (storage, salt, file) = (StorageKey::new([1; 32]), random_salt(), FileId([2; 16]));
    for provider in providers() {
        let provider = &*provider;
        let key = FrameKey::derive(provider, &storage, file, &salt);
        let mut sealed = Vec::new();
        key.seal(3, b"an entry", &mut sealed);
        assert_eq!(key.open(3, &sealed).unwrap(), b"an entry");
        assert!(key.open(4, &sealed).is_err());
        for (what, bad) in damaged(&sealed) {
            assert!(key.open(3, &bad).is_err(), "{what}");
        }
        let others = [
            FrameKey::derive(provider, &storage, FileId([3; 16]), &salt),
            FrameKey::derive(provider, &storage, file, &random_salt()),
            FrameKey::derive(provider, &StorageKey::random(), file, &salt),
        ];
        for other in others {
            assert!(other.open(3, &sealed).is_err());
        }
    }
}
