//! Why this copy of the rows cannot be used.

use std::io;
use std::path::{Path, PathBuf};

/// Why a row cannot be read or written. Each of them means that this copy is broken: the server stops,
/// and its next start rebuilds the copy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// sled failed.
    #[error("the store failed")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// sled panicked.
    #[error("the store panicked")]
    Panicked,
    /// A stored row fails its checksum, or a piece of it is gone.
    #[error("a stored row is damaged")]
    Damaged,
    /// There were rows, and none is left.
    #[error("the store holds nothing")]
    Empty,
    /// The stored rows do not add up to the stored digest, or it is not the one of the last stop.
    #[error("the stored rows do not match their digest")]
    DigestMismatch,
    /// A row is intact but is not what its table holds.
    #[error("a row of table {table} does not decode")]
    Malformed {
        /// The table's name.
        table: &'static str,
        /// What is wrong with it.
        #[source]
        source: types::codec::DecodeError,
    },
    /// The store's folder cannot be used.
    #[error("using {path}")]
    Folder {
        /// Which path.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// Somebody else has it open.
    #[error("{path} is in use")]
    InUse {
        /// Its folder.
        path: PathBuf,
    },
    /// A later build has raised the state's feature level.
    #[error(
        "the metadata is of feature level {level}, and this build knows none above {known}: run a later build"
    )]
    Later {
        /// The state's.
        level: u32,
        /// This build's.
        known: u32,
    },
    /// An audit found the rows to be others than they should be; the next start makes them anew.
    #[error("the rows are condemned: {why}")]
    Condemned {
        /// What was found.
        why: String,
    },
    /// They were made anew, and were found wrong once more.
    #[error(
        "the rows were condemned, made anew from this server's own snapshot and log, and condemned again: take this server out and have it join anew, so that it gets the others' rows"
    )]
    CondemnedAgain,
    /// The store was closed, or failed before.
    #[error("the store is closed")]
    Closed,
}

pub(super) fn at(path: &Path, source: io::Error) -> StoreError {
    StoreError::Folder {
        path: path.to_owned(),
        source,
    }
}

/// An error with its causes, in one line.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
