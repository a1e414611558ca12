//! A store that is in use.

use super::*;

/// A store that is still in use is neither wiped nor opened twice; once it is let go of, its rows are
/// there.
/// Method: open it again while it is open, for good and for a while.
#[test]
fn a_store_in_use_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(folder.path()).unwrap();
    let mut txn = store.begin();
    txn.put(b"row".to_vec(), b"value".to_vec());
    let changes = txn.into_changes();
    store.commit(changes, b"mark").unwrap();
    let again = Store::open_within(&Sled::default(), folder.path(), Duration::from_millis(50));
    assert!(matches!(again, Err(StoreError::InUse { .. })));
    let held = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        store.close_clean().unwrap();
    });
    let (store, opened) = Store::open(folder.path()).unwrap();
    assert!(held.is_finished() || held.join().is_ok());
    assert_eq!(opened, Opened::Intact);
    assert_eq!(store.mark().as_deref(), Some(&b"mark"[..]));
}
