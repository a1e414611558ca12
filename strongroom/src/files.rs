//! Small files that must be whole or absent: keys, certificates, credentials.

use anyhow::{Context, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
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
        File::open(parent(path))?.sync_all()
    };
    attempt().with_context(|| format!("writing {}", path.display()))
}

/// Writes a private key and its certificate into one PEM file, for the owner alone.
pub(crate) fn write_pair(path: &Path, key: &str, certificate: &str) -> Result<()> {
    let pem = zeroize::Zeroizing::new(format!("{key}{certificate}"));
    write(path, pem.as_bytes(), Access::Private)
}

/// Makes a folder that only its owner may enter, with the folders above it, and makes every new name
/// durable.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    let attempt = || -> std::io::Result<()> {
        let missing: Vec<&Path> = path
            .ancestors()
            .take_while(|folder| !exists(folder))
            .collect();
        for folder in missing.into_iter().rev() {
            match fs::DirBuilder::new().mode(0o700).create(folder) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => File::open(parent(folder))?.sync_all()?,
            }
        }
        Ok(())
    };
    attempt().with_context(|| format!("making folder {}", path.display()))
}

fn exists(folder: &Path) -> bool {
    folder.as_os_str().is_empty() || folder.exists()
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// Folders and files come out with the access that was asked for, however deep.
    #[test]
    fn what_is_private_is_private() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a/b/c");
        make_folder(&deep).unwrap();
        make_folder(&deep).unwrap();
        for (access, mode) in [(Access::Private, 0o600), (Access::Public, 0o644)] {
            let file = deep.join("file");
            write(&file, b"text", access).unwrap();
            assert_eq!(
                fs::metadata(&file).unwrap().permissions().mode() & 0o777,
                mode
            );
        }
        for folder in [deep.as_path(), &root.path().join("a")] {
            assert_eq!(
                fs::metadata(folder).unwrap().permissions().mode() & 0o777,
                0o700
            );
        }
    }

    /// One process at a time has a folder.
    #[test]
    fn a_folder_is_held_once() {
        let root = tempfile::tempdir().unwrap();
        let held = lock(root.path()).unwrap();
        assert!(lock(root.path()).is_err());
        drop(held);
        assert!(lock(root.path()).is_ok());
    }
}
