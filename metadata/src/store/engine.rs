//! Starting sled, and living through its panics.

use super::error::StoreError;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

const CACHE_BYTES: u64 = 128 << 20;
/// How long who used a store before may take to let go of it.
pub(super) const LET_GO: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Starts sled. Its threads hold its lock a little longer than who started it: that is no damage.
pub(super) fn start_engine(
    rows: &Path,
    let_go: Duration,
) -> Result<(sled::Db, sled::Tree), StoreError> {
    let since = Instant::now();
    loop {
        let started = guarded(|| {
            let engine = sled::Config::new()
                .path(rows)
                .cache_capacity(CACHE_BYTES)
                .open()?;
            let tree = engine.open_tree(b"rows")?;
            Ok((engine, tree))
        });
        match started {
            Err(error) if is_locked(&error) => {
                if since.elapsed() >= let_go {
                    return Err(StoreError::InUse {
                        path: rows.to_owned(),
                    });
                }
                std::thread::sleep(LOOK_AGAIN);
            }
            started => return started,
        }
    }
}

/// Whether somebody else holds sled's lock. It has no kind of its own.
fn is_locked(error: &StoreError) -> bool {
    let StoreError::Engine(error) = error else {
        return false;
    };
    match error.downcast_ref() {
        Some(sled::Error::Io(error)) => error.to_string().contains("could not acquire lock"),
        _ => false,
    }
}

/// sled panics on some kinds of damage; a panic is as good as an error here.
pub(super) fn guarded<T>(use_engine: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(use_engine)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(StoreError::Engine(Box::new(error))),
        Err(_) => Err(StoreError::Panicked),
    }
}
