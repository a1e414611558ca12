//! The store: rows come back, or are known to be gone.

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use strongroom_metadata::{Opened, Rows, Store, StoreError};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

fn put(store: &Store, rows: &Map, mark: &[u8]) {
    let mut txn = store.begin();
    for (key, value) in rows {
        txn.put(key.clone(), value.clone());
    }
    store.commit(txn.into_changes(), mark).unwrap();
}

fn all(store: &Store) -> Map {
    store.rows().map(Result::unwrap).collect()
}

/// Rows of many lengths, some of which need continuation rows.
fn some_rows() -> Map {
    (0..400_u32)
        .map(|i| {
            let length = if i % 50 == 0 { 20_000 } else { i as usize };
            (i.to_be_bytes().to_vec(), vec![i.to_be_bytes()[3]; length])
        })
        .collect()
}

/// Rows, mark and digest survive a clean stop and an abrupt one, long values too.
#[test]
fn rows_survive_every_stop() {
    for clean in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let rows = some_rows();
        let (store, opened) = Store::open(folder.path()).unwrap();
        assert_eq!(opened, Opened::Fresh);
        assert_eq!(store.mark(), None);
        put(&store, &rows, b"mark");
        let digest = store.digest().unwrap();
        if clean {
            store.close_clean().unwrap();
            let txn = store.begin();
            let late = store.commit(txn.into_changes(), b"late");
            assert!(matches!(late, Err(StoreError::Closed)));
        }
        drop(store);
        let (store, opened) = Store::open(folder.path()).unwrap();
        assert_eq!(opened, Opened::Intact);
        assert_eq!(store.mark().as_deref(), Some(&b"mark"[..]));
        assert!(all(&store) == rows);
        assert_eq!(store.digest().unwrap(), digest);
        assert_eq!(store.running_digest(), digest);
    }
}

/// Shorter values take their continuation rows away, and the digest forgets what is gone.
#[test]
fn the_digest_is_that_of_the_rows_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(folder.path()).unwrap();
    let empty = store.digest().unwrap();
    put(&store, &some_rows(), b"1");
    let few: Map = some_rows().into_keys().map(|key| (key, vec![1])).collect();
    put(&store, &few, b"2");
    assert!(all(&store) == few);
    let mut txn = store.begin();
    for key in few.into_keys() {
        txn.delete(key);
    }
    store.commit(txn.into_changes(), b"3").unwrap();
    assert_eq!(store.digest().unwrap(), empty);
    assert_eq!(store.running_digest(), empty);
}

/// A snapshot replaces everything, and a store that it was being put into when it stopped starts anew.
#[test]
fn replacing_is_all_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(folder.path()).unwrap();
    put(&store, &some_rows(), b"old");
    let new: Map = (0..1200_u32)
        .map(|i| (i.to_be_bytes().to_vec(), vec![9; 10]))
        .collect();
    store
        .replace(new.clone().into_iter().map(Ok::<_, StoreError>), b"new")
        .unwrap();
    assert!(all(&store) == new);
    assert_eq!(store.mark().as_deref(), Some(&b"new"[..]));
    assert_eq!(store.digest().unwrap(), store.running_digest());

    let failing = new.into_iter().map(Ok).chain([Err(StoreError::Damaged)]);
    store.replace(failing, b"newer").unwrap_err();
    store.close_clean().unwrap();
    drop(store);
    let (store, opened) = Store::open(folder.path()).unwrap();
    assert!(matches!(opened, Opened::Rebuilt { .. }), "{opened:?}");
    assert_eq!((store.mark(), all(&store).len()), (None, 0));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Whatever happens to its files, a store opens: with all its rows, or with none and saying so.
/// Method: after a clean stop, flip bits all over each file, cut each file short, remove each.
#[test]
fn damaged_files_are_believed_whole_or_not_at_all() {
    let origin = tempfile::tempdir().unwrap();
    let rows = some_rows();
    let (store, _) = Store::open(origin.path()).unwrap();
    put(&store, &rows, b"mark");
    store.close_clean().unwrap();
    drop(store);

    type Harm = Box<dyn Fn(&Path)>;
    let mut rebuilt = 0;
    for file in files(origin.path()) {
        let name = file.strip_prefix(origin.path()).unwrap().to_owned();
        let length = fs::metadata(&file).unwrap().len();
        let mut harms: Vec<Harm> = vec![Box::new(|path| fs::remove_file(path).unwrap())];
        for part in 0..4 {
            let cut = length * part / 4;
            harms.push(Box::new(move |path| {
                fs::OpenOptions::new()
                    .write(true)
                    .open(path)
                    .unwrap()
                    .set_len(cut)
                    .unwrap();
            }));
        }
        for part in 0..10 {
            let at = usize::try_from(length * part / 10 + part).unwrap();
            harms.push(Box::new(move |path| {
                let mut bytes = fs::read(path).unwrap();
                let at = at.min(bytes.len().saturating_sub(1));
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 0x10;
                }
                fs::write(path, bytes).unwrap();
            }));
        }
        for harm in harms {
            let folder = tempfile::tempdir().unwrap();
            copy(origin.path(), folder.path());
            harm(&folder.path().join(&name));
            let (store, opened) = Store::open(folder.path()).unwrap();
            match opened {
                Opened::Intact => assert!(all(&store) == rows, "{name:?}"),
                Opened::Rebuilt { .. } => {
                    rebuilt += 1;
                    assert_eq!((store.mark(), all(&store).len()), (None, 0));
                }
                Opened::Fresh => panic!("{name:?}"),
            }
            put(&store, &rows, b"again");
            assert!(all(&store) == rows);
        }
    }
    assert!(rebuilt > 10, "only {rebuilt} were found damaged");
}

/// A start that died while opening is not tried again; nor is a folder that lost its rows believed.
#[test]
fn a_start_that_died_and_a_folder_that_is_gone_are_noticed() {
    for harm in ["state says opening", "no rows"] {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(folder.path()).unwrap();
        put(&store, &some_rows(), b"mark");
        store.close_clean().unwrap();
        drop(store);
        if harm == "no rows" {
            fs::remove_dir_all(folder.path().join("rows")).unwrap();
        } else {
            fs::write(folder.path().join("state"), "opening\n").unwrap();
        }
        let (store, opened) = Store::open(folder.path()).unwrap();
        assert!(
            matches!(opened, Opened::Rebuilt { .. }),
            "{harm}: {opened:?}"
        );
        assert_eq!(store.mark(), None);
    }
}

/// Reading through a transaction is reading the map that it will leave behind.
#[test]
fn a_transaction_shows_its_own_changes() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(folder.path()).unwrap();
    let key = proptest::collection::vec(0..4_u8, 0..3);
    let change = (key.clone(), proptest::option::of(key.clone()));
    let changes = proptest::collection::vec(change, 0..12);
    let config = ProptestConfig::with_cases(200);
    let stored = proptest::collection::btree_map(key.clone(), key.clone(), 0..12);
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let strategy = (stored, changes, key.clone(), key);
    let tried = runner.run(&strategy, |(mut map, changes, from, to)| {
        store
            .replace(map.clone().into_iter().map(Ok::<_, StoreError>), b"")
            .unwrap();
        let mut txn = store.begin();
        for (key, value) in changes {
            match value {
                Some(value) => {
                    map.insert(key.clone(), value.clone());
                    txn.put(key, value);
                }
                None => {
                    map.remove(&key);
                    txn.delete(key);
                }
            }
        }
        let scanned: Vec<_> = txn
            .scan(Bound::Included(from.clone()), Bound::Excluded(to.clone()))
            .map(Result::unwrap)
            .collect();
        let expected: Vec<_> = map
            .iter()
            .filter(|(key, _)| **key >= from && **key < to)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        prop_assert_eq!(scanned, expected);
        for key in [&from, &to] {
            prop_assert_eq!(txn.get(key).unwrap(), map.get(key).cloned());
        }
        store.commit(txn.into_changes(), b"").unwrap();
        prop_assert!(all(&store) == map);
        prop_assert_eq!(store.digest().unwrap(), store.running_digest());
        Ok(())
    });
    tried.unwrap();
}
