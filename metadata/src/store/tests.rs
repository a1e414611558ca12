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

fn commit(store: &Store, key: &[u8], value: Option<&[u8]>) {
    let mut txn = store.begin();
    match value {
        Some(value) => txn.put(key.to_vec(), value.to_vec()),
        None => txn.delete(key.to_vec()),
    }
    store.commit(txn.into_changes(), b"mark").unwrap();
}

/// Rows of three pieces, read to the end; between the pieces `meanwhile` is called.
fn examined(store: &Store, mut meanwhile: impl FnMut(usize)) -> (Examined, usize) {
    store.begin_examination();
    for piece in 0.. {
        match store.examine().unwrap() {
            Examined::Piece => meanwhile(piece),
            found => return (found, piece),
        }
    }
    unreachable!("pieces end")
}

fn filled() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(folder.path()).unwrap();
    for number in 0..300_usize {
        commit(&store, &number.to_be_bytes(), Some(&[7; 8000]));
    }
    (folder, store)
}

/// Rows are what was written, however they change while they are read: in front of where it is read, behind it,
/// and the very row at which it stopped.
#[test]
fn rows_that_change_meanwhile_are_right() {
    let (_folder, store) = filled();
    let (found, pieces) = examined(&store, |piece| {
        for number in (piece..300).step_by(7) {
            let value = number.to_be_bytes().repeat(1 + piece * 300 % 900);
            commit(&store, &number.to_be_bytes(), Some(&value));
        }
        for number in (piece..300).step_by(11) {
            commit(&store, &number.to_be_bytes(), None);
        }
        commit(&store, &[0, 0, 0, 0, 0, 0, 0, 3, 1], Some(b"new"));
    });
    assert_eq!(found, Examined::Equal);
    assert!(pieces >= 2, "{pieces}");
    assert_eq!(examined(&store, |_| {}).0, Examined::Equal);
    assert_eq!(store.digest().unwrap(), store.running_digest());
}

/// A row that vanished from the file, and one that was never written, are found, though each row that is there is
/// whole; so are all rows replaced under the reader's hands told apart.
#[test]
fn rows_that_were_not_written_are_found() {
    let (_folder, store) = filled();
    let mut batch = Batch::default();
    batch.remove(row_key(&70_usize.to_be_bytes()));
    store.engine.apply(batch).unwrap();
    assert_eq!(examined(&store, |_| {}).0, Examined::Differs);

    let (_folder, store) = filled();
    let mut batch = Batch::default();
    insert_row(&mut batch, b"never written", b"value");
    store.engine.apply(batch).unwrap();
    assert_eq!(examined(&store, |_| {}).0, Examined::Differs);

    let (_folder, store) = filled();
    let replaced = examined(&store, |_| {
        let none: [Result<Row, StoreError>; 0] = [];
        store.replace(none, b"mark").unwrap();
    });
    assert_eq!(replaced.0, Examined::Replaced);
}
