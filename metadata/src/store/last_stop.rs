//! How the last use of the rows ended: one line in a file beside them, replaced atomically and synced.

use super::digest::Digest;
use super::error::{StoreError, at};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

/// How the last use of a folder ended, as the file `state` in it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastStop {
    /// It does not say.
    Unknown,
    /// sled's own recovery ended the process, and would again.
    WhileOpening,
    /// Abruptly.
    WhileRunning,
    /// Its rows were condemned: they are to be made anew.
    Condemned,
    /// And condemned again, after they were.
    Lost,
    /// Well, with this digest.
    Clean(Digest),
}

impl LastStop {
    pub(super) fn read(folder: &Path) -> Self {
        let text = fs::read_to_string(folder.join("state")).unwrap_or_default();
        match text.trim().split_once(' ') {
            None if text.trim() == "opening" => Self::WhileOpening,
            None if text.trim() == "running" => Self::WhileRunning,
            None if text.trim() == "condemned" => Self::Condemned,
            None if text.trim() == "lost" => Self::Lost,
            Some(("clean", digest)) => {
                let mut bytes = [0; 32];
                match hex::decode_to_slice(digest, &mut bytes) {
                    Ok(()) => Self::Clean(Digest::from_bytes(bytes)),
                    Err(_) => Self::WhileRunning,
                }
            }
            _ => Self::Unknown,
        }
    }

    pub(super) fn write(self, folder: &Path) -> Result<(), StoreError> {
        let text = match self {
            Self::Unknown => String::new(),
            Self::WhileOpening => "opening\n".to_owned(),
            Self::WhileRunning => "running\n".to_owned(),
            Self::Condemned => "condemned\n".to_owned(),
            Self::Lost => "lost\n".to_owned(),
            Self::Clean(digest) => format!("clean {}\n", hex::encode(digest.to_bytes())),
        };
        let path = folder.join("state");
        let new = folder.join("state.new");
        let replaced = File::create(&new)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&new, &path))
            .and_then(|()| File::open(folder)?.sync_all());
        replaced.map_err(|source| at(&path, source))
    }
}
