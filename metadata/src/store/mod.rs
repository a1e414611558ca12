//! The state machine's rows, cached in sled: a cache that can be thrown away at any time.
//!
//! The truth is the snapshot file and the log. sled does not fsync what it says it flushed, and abrupt
//! stops have corrupted it, so nothing here is believed:
//!
//! ```text
//! stored key                          stored value (at most 6 KiB)
//! `r` ‖ key                           CRC ‖ u16 continuation rows ‖ first piece
//! `c` ‖ u16 key length ‖ key ‖ u16 n  CRC ‖ piece n, for values that do not fit one row
//! `m`                                 CRC ‖ digest (32) ‖ mark
//! ```
//!
//! The CRC is CRC-64/NVME over `u32 length of the stored key ‖ stored key ‖ what follows`, big-endian.
//! The *mark* is opaque: Raft keeps there how far the rows have come. The *digest* is the sum (four
//! 64-bit lanes, wrapping) of a SHA-256 of each row, so that it is kept up to date row by row and yet
//! equals the one computed from the stored rows. Two servers at one applied index have one digest.
//!
//! What always holds: rows, digest and mark change together, in one atomic batch. After a stop that
//! was not clean (or always, while the rows are few) the digest is computed again from the rows before
//! any of them is served; any mismatch, error or panic of sled wipes the folder.
//! What this module never does: interpret a row, or let sled out.

mod digest;
mod engine;
mod error;
mod examine;
mod last_stop;
mod rows;
mod sled_engine;

use crate::txn::{Row, RowIter, Rows, Txn};
use digest::Digest;
use error::at;
use examine::Examination;
use last_stop::LastStop;
use rows::{
    FRAME, MARK, ROW, continuation_key, continuations, framed, insert_row, row_key, unframed,
};
use std::fs::{self, File};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// Up to this size every start recomputes the digest; beyond it only the start after an unclean stop.
const ALWAYS_VERIFIED: u64 = 1 << 30;
const REPLACE_BATCH: usize = 500;

/// How long who used a store before may take to let go of it.
const LET_GO: Duration = Duration::from_secs(5);

pub use engine::{Batch, Engine, Start};
pub use error::StoreError;
pub(crate) use error::describe;
pub use examine::Examined;
pub use sled_engine::Sled;

/// What `open` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// Nothing: there are no rows and no mark.
    Fresh,
    /// Rows that can be believed.
    Intact,
    /// Something that could not be believed and was wiped: there are no rows and no mark.
    Rebuilt {
        /// What was wrong; names no key and no row.
        reason: String,
    },
}

/// The rows.
pub struct Store {
    folder: PathBuf,
    engine: Box<dyn Engine>,
    head: Mutex<Head>,
    broken: AtomicBool,
    /// Why its rows are not believed any more.
    condemned: OnceLock<String>,
}

/// What the mark row holds.
#[derive(Clone, Default)]
struct Head {
    mark: Option<Vec<u8>>,
    digest: Digest,
    /// While the rows are read to hold them against it.
    examination: Option<Examination>,
}

impl Store {
    /// Opens the rows in `folder`, which is made if need be. What is there and cannot be believed is
    /// wiped. Who used it until now may need a moment to let go of it; that is waited for.
    ///
    /// # Errors
    /// When the folder cannot be read or written, is still in use, or sled cannot start in an empty one.
    pub fn open(folder: &Path) -> Result<(Self, Opened), StoreError> {
        Self::open_with(&Sled::default(), folder)
    }

    /// The same, with sled set otherwise, or another engine.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(start: &dyn Start, folder: &Path) -> Result<(Self, Opened), StoreError> {
        Self::open_within(start, folder, LET_GO)
    }

    fn open_within(
        start: &dyn Start,
        folder: &Path,
        let_go: Duration,
    ) -> Result<(Self, Opened), StoreError> {
        fs::create_dir_all(folder).map_err(|source| at(folder, source))?;
        let last = LastStop::read(folder);
        let rows = rows_folder(folder);
        let found = match (&last, rows.exists()) {
            (LastStop::Lost, _) => return Err(StoreError::CondemnedAgain),
            (LastStop::Unknown, false) => Ok(None),
            (_, false) => Err("its folder is gone".to_owned()),
            (LastStop::WhileOpening, true) => {
                Err("the last start ended while opening it".to_owned())
            }
            (LastStop::Condemned, true) => {
                let noted = condemned_before(folder);
                File::create(&noted)
                    .and_then(|file| file.sync_all())
                    .map_err(|source| at(&noted, source))?;
                Err("it was condemned".to_owned())
            }
            (_, true) => {
                LastStop::WhileOpening.write(folder)?;
                match Self::open_existing(start, folder, &last, let_go) {
                    Err(error @ StoreError::InUse { .. }) => {
                        last.write(folder)?;
                        return Err(error);
                    }
                    found => found.map(Some).map_err(|error| describe(&error)),
                }
            }
        };
        let (store, opened) = match found {
            Ok(Some(store)) => (store, Opened::Intact),
            Ok(None) => (Self::create(start, folder)?, Opened::Fresh),
            Err(reason) => (Self::create(start, folder)?, Opened::Rebuilt { reason }),
        };
        LastStop::WhileRunning.write(folder)?;
        Ok((store, opened))
    }

    fn create(start: &dyn Start, folder: &Path) -> Result<Self, StoreError> {
        let rows = rows_folder(folder);
        if rows.exists() {
            fs::remove_dir_all(&rows).map_err(|source| at(&rows, source))?;
        }
        let engine = start.start(&rows, Duration::ZERO)?;
        Ok(Self::new(folder, engine, Head::default()))
    }

    fn open_existing(
        start: &dyn Start,
        folder: &Path,
        last: &LastStop,
        let_go: Duration,
    ) -> Result<Self, StoreError> {
        let engine = start.start(&rows_folder(folder), let_go)?;
        let head = read_head(&*engine)?;
        let store = Self::new(folder, engine, head.clone());
        let size = store.engine.size_on_disk()?;
        let as_it_was_left = *last == LastStop::Clean(head.digest);
        match last {
            LastStop::Clean(_) if !as_it_was_left => return Err(StoreError::DigestMismatch),
            _ if !as_it_was_left && head.mark.is_none() => return Err(StoreError::Empty),
            _ => {}
        }
        let believed = as_it_was_left && size > ALWAYS_VERIFIED;
        if !believed && store.digest()? != head.digest.to_bytes() {
            return Err(StoreError::DigestMismatch);
        }
        Ok(store)
    }

    fn new(folder: &Path, engine: Box<dyn Engine>, head: Head) -> Self {
        Self {
            folder: folder.to_owned(),
            engine,
            head: Mutex::new(head),
            broken: AtomicBool::new(false),
            condemned: OnceLock::new(),
        }
    }

    /// What Raft stored with the last batch; none before the first.
    pub fn mark(&self) -> Option<Vec<u8>> {
        self.head().mark.clone()
    }

    /// A transaction over the rows as they are. Only one may be under way at a time.
    pub fn begin(&self) -> Txn<'_> {
        Txn::new(self)
    }

    /// Makes a transaction's changes, with the mark that belongs to them, in one atomic batch.
    ///
    /// # Errors
    /// When the store is broken: none of the changes was made, or this copy must not be used again.
    pub fn commit(&self, changes: Changes, mark: &[u8]) -> Result<(), StoreError> {
        self.usable()?;
        let result = self.write(changes, mark);
        self.note(result)
    }

    fn write(&self, changes: Changes, mark: &[u8]) -> Result<(), StoreError> {
        let mut head = self.head();
        let (mut digest, mut examination) = (head.digest, head.examination.take());
        let mut batch = Batch::default();
        for (key, value) in changes.0 {
            let old = self.read_row(&key)?;
            let old_pieces = old.as_deref().map_or(0, continuations);
            if let Some(examination) = &mut examination {
                examination.change(&key, old.as_deref(), value.as_deref());
            }
            if let Some(old) = old {
                digest.remove(&key, &old);
            }
            let pieces = value.as_deref().map_or(0, continuations);
            match value {
                Some(value) => {
                    digest.add(&key, &value);
                    insert_row(&mut batch, &key, &value);
                }
                None => batch.remove(row_key(&key)),
            }
            for piece in pieces..old_pieces {
                batch.remove(continuation_key(&key, piece));
            }
        }
        batch.insert(MARK.to_vec(), framed(MARK, &[&digest.to_bytes(), mark]));
        self.engine.apply(batch)?;
        *head = Head::new(mark, digest, examination);
        Ok(())
    }

    /// All rows in order of key, for a snapshot.
    pub fn rows(&self) -> RowIter<'_> {
        self.scan(Bound::Unbounded, Bound::Unbounded)
    }

    /// Replaces all rows and the mark, as installing a snapshot does. Until it returns there is no
    /// mark: a stop in between is found at the next start.
    ///
    /// # Errors
    /// The first error of `rows`, or of the store; this copy must not be used again then.
    pub fn replace<E: From<StoreError>>(
        &self,
        rows: impl IntoIterator<Item = Result<Row, E>>,
        mark: &[u8],
    ) -> Result<(), E> {
        self.usable()?;
        let result = self.write_all(rows, mark);
        if result.is_err() {
            self.broken.store(true, Ordering::SeqCst);
        }
        result
    }

    fn write_all<E: From<StoreError>>(
        &self,
        rows: impl IntoIterator<Item = Result<Row, E>>,
        mark: &[u8],
    ) -> Result<(), E> {
        let mut head = self.head();
        *head = Head::default();
        let mut unmarked = Batch::default();
        unmarked.remove(MARK.to_vec());
        self.engine.apply(unmarked)?;
        self.engine.clear()?;
        let mut digest = Digest::default();
        let mut batch = Batch::default();
        for (count, row) in (1..).zip(rows) {
            let (key, value) = row?;
            digest.add(&key, &value);
            insert_row(&mut batch, &key, &value);
            if count % REPLACE_BATCH == 0 {
                let full = std::mem::take(&mut batch);
                self.engine.apply(full)?;
            }
        }
        batch.insert(MARK.to_vec(), framed(MARK, &[&digest.to_bytes(), mark]));
        self.engine.apply(batch)?;
        *head = Head::new(mark, digest, None);
        Ok(())
    }

    /// The digest of the stored rows, computed from them now.
    ///
    /// # Errors
    /// When a row is damaged.
    pub fn digest(&self) -> Result<[u8; 32], StoreError> {
        let mut digest = Digest::default();
        for row in self.rows() {
            let (key, value) = row?;
            digest.add(&key, &value);
        }
        Ok(digest.to_bytes())
    }

    /// The digest as it was kept row by row; equal to [`Self::digest`] unless the store is broken.
    pub fn running_digest(&self) -> [u8; 32] {
        self.head().digest.to_bytes()
    }

    /// Nothing here is believed any more: what is asked or written from now on fails, and the next start makes the
    /// rows anew. It does so once: rows that are condemned again before they were found right are beyond that.
    pub fn condemn(&self, why: &str) {
        self.broken.store(true, Ordering::SeqCst);
        if self.condemned.set(why.to_owned()).is_err() {
            return;
        }
        let again = condemned_before(&self.folder).exists();
        let state = if again {
            LastStop::Lost
        } else {
            LastStop::Condemned
        };
        if let Err(error) = state.write(&self.folder) {
            tracing::error!(%error, "that the rows are condemned could not be noted");
        }
    }

    /// The rows were found right.
    pub fn acquit(&self) {
        let noted = condemned_before(&self.folder);
        if noted.exists()
            && let Err(error) = fs::remove_file(&noted)
        {
            tracing::warn!(%error, "that the rows were found right could not be noted");
        }
    }

    /// Ends the use of the store and records that it ended well, so that the next start may believe
    /// it. A store that failed is left for the next start to examine. No commit is taken afterwards.
    ///
    /// # Errors
    /// When its files cannot be made durable.
    pub fn close_clean(&self) -> Result<(), StoreError> {
        let head = self.head();
        if self.broken.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        self.engine.flush()?;
        sync_all(&rows_folder(&self.folder))?;
        LastStop::Clean(head.digest).write(&self.folder)
    }

    fn read_row(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let stored = row_key(key);
        match self.engine.get(&stored)? {
            None => Ok(None),
            Some(value) => self.assemble(key, &stored, value).map(Some),
        }
    }

    /// The value of the row `key`, whose first piece is stored as `value`.
    fn assemble(&self, key: &[u8], stored: &[u8], value: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let body = unframed(stored, &value)?;
        let count = body.first_chunk().ok_or(StoreError::Damaged)?;
        let count = u16::from_be_bytes(*count);
        let mut whole = value;
        whole.drain(..FRAME);
        for piece in 0..count {
            let stored = continuation_key(key, piece);
            let value = self.engine.get(&stored)?.ok_or(StoreError::Damaged)?;
            whole.extend_from_slice(unframed(&stored, &value)?);
        }
        Ok(whole)
    }

    fn usable(&self) -> Result<(), StoreError> {
        self.believed()?;
        match self.broken.load(Ordering::SeqCst) {
            true => Err(StoreError::Closed),
            false => Ok(()),
        }
    }

    fn believed(&self) -> Result<(), StoreError> {
        match self.condemned.get() {
            Some(why) => Err(StoreError::Condemned { why: why.clone() }),
            None => Ok(()),
        }
    }

    /// Remembers a failure, so that the end of this run is not taken for a clean one.
    fn note<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if result.is_err() {
            self.broken.store(true, Ordering::SeqCst);
        }
        result
    }

    fn head(&self) -> MutexGuard<'_, Head> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows for Store {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.believed()?;
        let result = self.read_row(key);
        self.note(result)
    }

    fn scan(&self, from: Bound<Vec<u8>>, to: Bound<Vec<u8>>) -> RowIter<'_> {
        let from = match from {
            Bound::Unbounded => Bound::Included(vec![ROW]),
            bound => bound.map(|key| row_key(&key)),
        };
        let to = match to {
            Bound::Unbounded => Bound::Excluded(vec![ROW + 1]),
            bound => bound.map(|key| row_key(&key)),
        };
        let stored = self.engine.scan(from, to);
        Box::new(stored.map(|row| {
            let row = row.and_then(|(stored, value)| {
                self.believed()?;
                let key = stored[1..].to_vec();
                let value = self.assemble(&key, &stored, value)?;
                Ok((key, value))
            });
            self.note(row)
        }))
    }
}

/// What a transaction changed: the new value of each row, or none where it goes.
#[derive(Clone, Debug, Default)]
pub struct Changes(pub(crate) std::collections::BTreeMap<Vec<u8>, Option<Vec<u8>>>);

impl Changes {
    /// In order of key.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_slice(), value.as_deref()))
    }
}

/// Is there while rows that were condemned, and made anew, were not found right since.
fn condemned_before(folder: &Path) -> PathBuf {
    folder.join("condemned")
}

fn rows_folder(folder: &Path) -> PathBuf {
    folder.join("rows")
}

fn read_head(engine: &dyn Engine) -> Result<Head, StoreError> {
    let Some(stored) = engine.get(MARK)? else {
        return Ok(Head::default());
    };
    let body = unframed(MARK, &stored)?;
    let (digest, mark) = body.split_first_chunk().ok_or(StoreError::Damaged)?;
    Ok(Head::new(mark, Digest::from_bytes(*digest), None))
}

/// Makes every file under `folder`, and every name in it, durable: sled's flush does not.
fn sync_all(folder: &Path) -> Result<(), StoreError> {
    let entries = fs::read_dir(folder).map_err(|source| at(folder, source))?;
    for entry in entries {
        let path = entry.map_err(|source| at(folder, source))?.path();
        if path.is_dir() {
            sync_all(&path)?;
        } else {
            File::open(&path)
                .and_then(|file| file.sync_all())
                .map_err(|source| at(&path, source))?;
        }
    }
    File::open(folder)
        .and_then(|file| file.sync_all())
        .map_err(|source| at(folder, source))
}

#[cfg(test)]
mod tests;
