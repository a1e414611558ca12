//! A transaction: changes in memory over the stored rows, seen by whoever reads through it.
//!
//! A batch of log entries is applied in one transaction, so that a compare-and-set sees what earlier
//! entries of its own batch changed. It is dropped or committed as a whole.

use crate::store::{Changes, Store, StoreError};
use std::collections::BTreeMap;
use std::ops::Bound;

/// A row: key and value.
pub type Row = (Vec<u8>, Vec<u8>);
/// Rows in order of key.
pub type RowIter<'a> = Box<dyn Iterator<Item = Result<Row, StoreError>> + 'a>;

/// Rows that can be read: the store's, or a transaction's view of them.
pub trait Rows {
    /// The value of a row, if there is one.
    ///
    /// # Errors
    /// When the store is broken.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The rows between two keys, in order.
    fn scan(&self, from: Bound<Vec<u8>>, to: Bound<Vec<u8>>) -> RowIter<'_>;
}

/// Changes over the rows of a store.
pub struct Txn<'s> {
    store: &'s Store,
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl<'s> Txn<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self {
            store,
            changes: BTreeMap::new(),
        }
    }

    /// Sets a row.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.changes.insert(key, Some(value));
    }

    /// Removes a row, if it is there.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.changes.insert(key, None);
    }

    /// Ends the transaction; what it changed goes to [`Store::commit`].
    pub fn into_changes(self) -> Changes {
        Changes(self.changes)
    }
}

impl Rows for Txn<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.changes.get(key) {
            Some(changed) => Ok(changed.clone()),
            None => self.store.get(key),
        }
    }

    fn scan(&self, from: Bound<Vec<u8>>, to: Bound<Vec<u8>>) -> RowIter<'_> {
        if is_empty(&from, &to) {
            return Box::new(std::iter::empty());
        }
        let mut changed = self.changes.range((from.clone(), to.clone())).peekable();
        let mut stored = self.store.scan(from, to).peekable();
        Box::new(std::iter::from_fn(move || {
            loop {
                let stored_first = match (stored.peek(), changed.peek()) {
                    (None, None) => return None,
                    (Some(Err(_)), _) | (Some(_), None) => true,
                    (None, Some(_)) => false,
                    (Some(Ok((stored_key, _))), Some((key, _))) => stored_key < *key,
                };
                if stored_first {
                    return stored.next();
                }
                let (key, value) = changed.next()?;
                stored.next_if(|row| matches!(row, Ok((stored_key, _)) if stored_key == key));
                if let Some(value) = value {
                    return Some(Ok((key.clone(), value.clone())));
                }
            }
        }))
    }
}

/// A range whose end lies before its beginning: `BTreeMap::range` would panic.
fn is_empty(from: &Bound<Vec<u8>>, to: &Bound<Vec<u8>>) -> bool {
    match (from, to) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(to) | Bound::Excluded(to),
        ) => from >= to,
    }
}
