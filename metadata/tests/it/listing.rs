//! LIST against a model, with hostile keys.

use crate::fixture::{Machine, key};
use bytes::Bytes;
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::Bound;
use strongroom_metadata::list::{Entry, page};
use strongroom_metadata::store::StoreError;
use strongroom_metadata::tables::{HEADS, HeadRow};
use strongroom_metadata::txn::{RowIter, Rows};
use types::id::{BucketId, VersionId};
use types::size::ByteCount;
use types::wire::metadata::{List, WallTime};

fn head() -> HeadRow {
    HeadRow {
        version: VersionId::new([0; 16]),
        born: 1,
        modified: WallTime(0),
        length: ByteCount::ZERO,
        attributes: Bytes::new(),
        extents: Vec::new(),
        manifest: None,
        tag_count: 0,
    }
}

/// Fills a bucket, and its neighbours on both sides, which must never show.
fn fill(machine: &Machine, bucket: BucketId, keys: &BTreeSet<String>) {
    let mut txn = machine.store.begin();
    for text in keys {
        HEADS.put(&mut txn, &(bucket, key(text)), &head());
    }
    for neighbour in [bucket.get() - 1, bucket.get() + 1] {
        HEADS.put(
            &mut txn,
            &(BucketId::new(neighbour), key("a/neighbour")),
            &head(),
        );
    }
    machine.store.commit(txn.into_changes(), b"").unwrap();
}

fn entry_of<'k>(key: &'k str, prefix: &str, delimiter: Option<&str>) -> &'k str {
    let delimiter = delimiter.filter(|delimiter| !delimiter.is_empty());
    match delimiter.and_then(|d| key[prefix.len()..].find(d).map(|at| at + d.len())) {
        Some(end) => &key[..prefix.len() + end],
        None => key,
    }
}

/// What the page must hold: entries in order, behind `after`.
fn expected(keys: &BTreeSet<String>, list: &List) -> (Vec<(String, bool)>, bool) {
    let after = list.after.as_deref().unwrap_or("");
    let entries: BTreeSet<(String, bool)> = keys
        .iter()
        .filter(|key| key.starts_with(&list.prefix))
        .map(|key| (key, entry_of(key, &list.prefix, list.delimiter.as_deref())))
        .map(|(key, entry)| {
            (
                entry.to_owned(),
                entry.len() < key.len() || is_grouped(key, list),
            )
        })
        .filter(|(entry, _)| entry.as_str() > after)
        .collect();
    let limit = list.limit as usize;
    let truncated = limit > 0 && entries.len() > limit;
    (entries.into_iter().take(limit).collect(), truncated)
}

/// A key that ends with its first delimiter is its own common prefix.
fn is_grouped(key: &str, list: &List) -> bool {
    let delimiter = list.delimiter.as_deref().filter(|d| !d.is_empty());
    delimiter.is_some_and(|d| key[list.prefix.len()..].contains(d))
}

fn listed(rows: &impl Rows, list: &List) -> (Vec<(String, bool)>, bool) {
    let page = page(rows, list).unwrap();
    let entries = page.entries.into_iter().map(|entry| match entry {
        Entry::Object(key, _) => (String::from(key), false),
        Entry::CommonPrefix(prefix) => (prefix, true),
    });
    (entries.collect(), page.truncated)
}

fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("a"),
        Just("b"),
        Just("/"),
        Just("//"),
        Just("\0"),
        Just("\u{1}"),
        Just("ab"),
        Just("\u{7f}"),
        Just("ÿ"),
        Just("\u{10ffff}"),
        Just(".."),
        Just(" "),
        Just("%2F"),
    ];
    proptest::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat())
}

fn maybe(text: impl Strategy<Value = String>) -> impl Strategy<Value = Option<String>> {
    proptest::option::of(text)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// A page is what the model says, for any keys, prefix, delimiter, position and limit; and pages
    /// follow each other without a gap.
    #[test]
    fn pages_match_the_model(
        keys in proptest::collection::btree_set(hostile(), 0..40),
        prefix in prop_oneof![Just(String::new()), hostile()],
        delimiter in maybe(prop_oneof![Just("/".to_owned()), Just(String::new()), hostile()]),
        after in maybe(hostile()),
        limit in 0_u32..12,
    ) {
        thread_local! {
            static MACHINE: (Machine, Cell<u64>) = (Machine::new(), Cell::new(0));
        }
        MACHINE.with(|(machine, used)| {
            used.set(used.get() + 10);
            let bucket = BucketId::new(used.get());
            fill(machine, bucket, &keys);
            let mut list = List { bucket, prefix, delimiter, after, limit };
            prop_assert_eq!(listed(&machine.store, &list), expected(&keys, &list));

            list.after = None;
            list.limit = u32::MAX;
            let whole = listed(&machine.store, &list).0;
            list.limit = 3;
            let mut paged = Vec::new();
            loop {
                let (entries, truncated) = listed(&machine.store, &list);
                list.after = entries.last().map(|(entry, _)| entry.clone());
                paged.extend(entries);
                if !truncated {
                    break;
                }
            }
            prop_assert_eq!(paged, whole);
            Ok(())
        })?;
    }
}

/// Rows that count how many of them were looked at.
struct Counted<'a> {
    rows: &'a Machine,
    seen: Cell<usize>,
}

impl Rows for Counted<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.rows.store.get(key)
    }

    fn scan(&self, from: Bound<Vec<u8>>, to: Bound<Vec<u8>>) -> RowIter<'_> {
        let rows = self.rows.store.scan(from, to);
        Box::new(rows.inspect(|_| self.seen.set(self.seen.get() + 1)))
    }
}

/// A listing costs what it returns: a common prefix over thousands of keys is one step.
#[test]
fn common_prefixes_are_sought_past() {
    let machine = Machine::new();
    let bucket = BucketId::new(10);
    let keys =
        (0..5).flat_map(|dir| (0..1000).map(move |file| format!("dir-{dir}/file-{file:04}")));
    fill(&machine, bucket, &keys.collect());
    let rows = Counted {
        rows: &machine,
        seen: Cell::new(0),
    };
    let list = List {
        bucket,
        prefix: String::new(),
        delimiter: Some("/".to_owned()),
        after: None,
        limit: 1000,
    };
    assert_eq!(listed(&rows, &list).0.len(), 5);
    assert!(rows.seen.get() <= 10, "{} rows were read", rows.seen.get());
}
