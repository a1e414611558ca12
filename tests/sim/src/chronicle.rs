//! The log as it is committed, from its first entry on, and the rows that it makes: applied here once more, entry by
//! entry, in memory. Invariants are told of each entry with the rows before it and what it changed.

use crate::invariant::{Digest, Rows};
use metadata::command::NamespaceCommand;
use metadata::raft::{Carries, Logged, Position};
use metadata::store::{Batch, Engine, Start};
use metadata::tables::{Table, TableKey};
use metadata::txn::RowIter;
use metadata::{Changes, Command, Proposal, Reply, Store, StoreError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use types::{RequestId, codec};

/// The log and its rows.
pub(crate) struct Chronicle {
    rows: Store,
    /// Of the rows: it holds nothing.
    _folder: TempDir,
    /// The index of the first entry.
    first: u64,
    entries: Vec<(Logged, Digest)>,
}

/// A committed entry that carries a proposal.
pub(crate) struct Entry<'a> {
    pub(crate) at: Position,
    pub(crate) proposal: &'a Proposal,
    pub(crate) reply: Option<&'a Reply>,
    /// The rows before it.
    pub(crate) before: &'a Rows,
    pub(crate) changes: &'a Changes,
}

impl Entry<'_> {
    /// Whether it changes any row of a table.
    pub(crate) fn changed<K: TableKey, V: Serialize + DeserializeOwned>(
        &self,
        table: &Table<K, V>,
    ) -> bool {
        self.rows_of(table).next().is_some()
    }

    /// The rows of a table that it changes: their keys, less the table's byte, and what is there from now on.
    pub(crate) fn rows_of<K: TableKey, V: Serialize + DeserializeOwned>(
        &self,
        table: &Table<K, V>,
    ) -> impl Iterator<Item = (&[u8], Option<V>)> {
        let prefix = table.prefix();
        let rows = self.changes.iter();
        let rows = rows.filter(move |(key, _)| key[0] == prefix);
        rows.map(|(key, value)| {
            let value = value.map(|value| codec::decode(value).expect("a row of ours"));
            (&key[1..], value)
        })
    }
}

impl Chronicle {
    /// Nothing happened yet.
    pub(crate) fn begin(folder: TempDir) -> Self {
        let (rows, _) = Store::open_with(&InMemory, folder.path()).expect("a folder");
        Self {
            rows,
            _folder: folder,
            first: 0,
            entries: Vec::new(),
        }
    }

    /// These rows, which a backup holds: the log goes on behind an entry.
    pub(crate) fn restored(folder: TempDir, rows: &Store, entry: u64) -> Self {
        let begun = Self::begin(folder);
        begun
            .rows
            .replace(rows.rows(), &[])
            .expect("rows in memory");
        let first = entry + 1;
        Self { first, ..begun }
    }

    /// What is committed, as far as is known.
    pub(crate) fn entries(&self) -> &[(Logged, Digest)] {
        &self.entries
    }

    /// The rows that it makes.
    pub(crate) fn rows(&self) -> &Rows {
        &self.rows
    }

    /// The index of the next entry.
    pub(crate) fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// The entry at an index, if it is known.
    pub(crate) fn at(&self, index: u64) -> Option<&(Logged, Digest)> {
        let at = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.entries.get(at)
    }

    /// The next entry is committed.
    pub(crate) fn extend(&mut self, entry: Logged, mut told: impl FnMut(&Entry<'_>)) {
        assert_eq!(entry.at.index, self.next(), "entries come in order");
        if let Carries::Proposal(bytes) = &entry.carries {
            let proposal: Proposal = codec::decode(bytes).expect("a proposal of ours");
            let mut txn = self.rows.begin();
            let reply = metadata::apply(&mut txn, &proposal);
            let reply = reply.expect("rows in memory do not break");
            let changes = txn.into_changes();
            told(&Entry {
                at: entry.at,
                proposal: &proposal,
                reply: Some(&reply),
                before: &self.rows,
                changes: &changes,
            });
            self.rows.commit(changes, &[]).expect("likewise");
        }
        self.entries.push((entry, self.rows.running_digest()));
    }
}

/// The number of a request of a gateway.
pub(crate) fn number(proposal: &Proposal) -> Option<RequestId> {
    let Command::Namespace(command) = &proposal.command else {
        return None;
    };
    match command {
        NamespaceCommand::Commit(commit) => Some(commit.request),
        NamespaceCommand::DeleteObject(delete) => Some(delete.request),
        NamespaceCommand::CopyObject(copy) => Some(copy.request),
        _ => None,
    }
}

/// Starts rows in memory.
struct InMemory;

impl Start for InMemory {
    fn start(&self, _rows: &Path, _let_go: Duration) -> Result<Box<dyn Engine>, StoreError> {
        Ok(Box::new(Map::default()))
    }
}

/// Rows in memory.
#[derive(Default)]
struct Map(Mutex<BTreeMap<Vec<u8>, Vec<u8>>>);

impl Map {
    fn rows(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for Map {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.rows().get(key).cloned())
    }

    fn scan(&self, from: Bound<Vec<u8>>, to: Bound<Vec<u8>>) -> RowIter<'_> {
        let (mut from, to) = (from, to);
        Box::new(std::iter::from_fn(move || {
            let rows = self.rows();
            let next = rows.range((from.clone(), to.clone())).next()?;
            let row = (next.0.clone(), next.1.clone());
            from = Bound::Excluded(row.0.clone());
            Some(Ok(row))
        }))
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let mut rows = self.rows();
        for (key, value) in batch {
            match value {
                Some(value) => drop(rows.insert(key, value)),
                None => drop(rows.remove(&key)),
            }
        }
        Ok(())
    }

    fn clear(&self) -> Result<(), StoreError> {
        self.rows().clear();
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}
