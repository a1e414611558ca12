//! Small files that must be whole or absent: keys, certificates, credentials.

use anyhow::{Context, Result};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// The owner alone.
    Private,
    /// Everybody on the machine.
    Public,
}

/// Writes a file durably: it is never seen half-written, not even after a power cut.
pub(crate) fn write(path: &Path, contents: &[u8], access: Access) -> Result<()> {
    let mode = match access {
        Access::Private => 0o600,
        Access::Public => 0o644,
    };
    let temporary = path.with_extension("new");
    let attempt = || -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&temporary)?;
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    attempt().with_context(|| format!("writing {}", path.display()))
}

/// Makes a folder that only its owner may enter, and makes its name durable.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    let attempt = || -> std::io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)?;
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    };
    attempt().with_context(|| format!("making folder {}", path.display()))
}

/// Holds a folder for this process alone until dropped; the kernel lets go when the process dies.
pub(crate) struct FolderLock(#[expect(dead_code, reason = "held for its lock")] File);

/// Takes a folder for this process.
pub(crate) fn lock(folder: &Path) -> Result<FolderLock> {
    let path = folder.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path);
    let file = file.with_context(|| format!("opening {}", path.display()))?;
    file.try_lock().with_context(|| {
        format!(
            "{} is in use by another strongroom; stop that one, or give another --data",
            folder.display()
        )
    })?;
    Ok(FolderLock(file))
}
