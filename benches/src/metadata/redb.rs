//! redb as a store's engine, to be held against sled.
//!
//! It may lose what it was given last, as sled may: a commit is made durable only when the last that was is half a
//! second old. Without that its file would grow for ever, since pages are reused behind durable commits alone.

use ::redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, TableDefinition};
use metadata::StoreError;
use metadata::store::{Batch, Engine, Start};
use metadata::txn::RowIter;
use std::fs;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
/// As sled's by default.
const CACHE: usize = 128 << 20;
/// As often as sled writes its buffers.
const DURABLE_EVERY: Duration = Duration::from_millis(500);

type Table = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// Starts redb.
pub(crate) struct Redb;

struct Running {
    path: PathBuf,
    database: Database,
    state: Mutex<State>,
}

struct State {
    /// The rows as of the last commit.
    rows: Arc<Table>,
    durable: Instant,
}

impl Start for Redb {
    fn start(&self, folder: &Path, _: Duration) -> Result<Box<dyn Engine>, StoreError> {
        fs::create_dir_all(folder).map_err(failed)?;
        let path = folder.join("rows.redb");
        let mut builder = Database::builder();
        let database = builder.set_cache_size(CACHE).create(&path);
        let database = database.map_err(failed)?;
        let write = database.begin_write().map_err(failed)?;
        write.open_table(ROWS).map_err(failed)?;
        write.commit().map_err(failed)?;
        let state = State {
            rows: latest(&database)?,
            durable: Instant::now(),
        };
        Ok(Box::new(Running {
            path,
            database,
            state: Mutex::new(state),
        }))
    }
}

fn latest(database: &Database) -> Result<Arc<Table>, StoreError> {
    let read = database.begin_read().map_err(failed)?;
    let rows = read.open_table(ROWS).map_err(failed)?;
    Ok(Arc::new(rows))
}

impl Running {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rows(&self) -> Arc<Table> {
        Arc::clone(&self.state().rows)
    }

    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), StoreError> {
        let mut write = self.database.begin_write().map_err(failed)?;
        write.set_durability(durability).map_err(failed)?;
        {
            let mut rows = write.open_table(ROWS).map_err(failed)?;
            for (key, value) in batch {
                match value {
                    Some(value) => drop(rows.insert(&key[..], &value[..]).map_err(failed)?),
                    None => drop(rows.remove(&key[..]).map_err(failed)?),
                }
            }
        }
        write.commit().map_err(failed)?;
        self.state().rows = latest(&self.database)?;
        Ok(())
    }
}

impl Engine for Running {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.rows().get(key).map_err(failed)?;
        Ok(found.map(|value| value.value().to_vec()))
    }

    fn scan(&self, from: Bound<Vec<u8>>, to: Bound<Vec<u8>>) -> RowIter<'_> {
        let between = (
            from.as_ref().map(Vec::as_slice),
            to.as_ref().map(Vec::as_slice),
        );
        match self.rows().range::<&[u8]>(between) {
            Ok(rows) => Box::new(rows.map(|row| {
                let (key, value) = row.map_err(failed)?;
                Ok((key.value().to_vec(), value.value().to_vec()))
            })),
            Err(error) => Box::new(std::iter::once(Err(failed(error)))),
        }
    }

    fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        if self.state().durable.elapsed() < DURABLE_EVERY {
            return self.commit(batch, Durability::None);
        }
        self.commit(batch, Durability::Immediate)?;
        self.state().durable = Instant::now();
        Ok(())
    }

    fn clear(&self) -> Result<(), StoreError> {
        let write = self.database.begin_write().map_err(failed)?;
        write.delete_table(ROWS).map_err(failed)?;
        write.open_table(ROWS).map_err(failed)?;
        write.commit().map_err(failed)?;
        self.state().rows = latest(&self.database)?;
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.commit(Batch::default(), Durability::Immediate)
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        Ok(fs::metadata(&self.path).map_err(failed)?.len())
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Engine(Box::new(error))
}
