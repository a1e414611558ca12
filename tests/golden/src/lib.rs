//! Golden files: bytes that every later build must still read and write.
//!
//! A format that is stored or sent has a file under its crate's `tests/golden/`. A test compares what
//! the code writes today with it. A new value is added with `STRONGROOM_GOLDEN=add`, which writes only
//! files that are not there; a file that is there is never rewritten, since somebody's data looks so.

use std::fs;
use std::path::{Path, PathBuf};

/// Compares `bytes` with the golden file `name` of the crate at `crate_folder`
/// (`env!("CARGO_MANIFEST_DIR")`), and returns what the file holds, to be decoded.
///
/// # Panics
/// When they differ, or when there is no such file.
pub fn check(crate_folder: &str, name: &str, bytes: &[u8]) -> Vec<u8> {
    let (path, golden) = read(crate_folder, name, || bytes.to_vec());
    assert!(
        golden == bytes,
        "{} differs from what this build writes, at byte {:?} of {}",
        path.display(),
        golden.iter().zip(bytes).position(|(a, b)| a != b),
        golden.len(),
    );
    golden
}

/// What the golden file `name` of the crate at `crate_folder` holds, to be opened. For what holds random
/// bytes and is never written alike twice; `make` writes it where it is missing and asked for.
///
/// # Panics
/// When there is no such file.
pub fn written_once(crate_folder: &str, name: &str, make: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    read(crate_folder, name, make).1
}

/// Reads a golden file, and adds it first where it is missing and that is asked for.
fn read(crate_folder: &str, name: &str, make: impl FnOnce() -> Vec<u8>) -> (PathBuf, Vec<u8>) {
    let path = Path::new(crate_folder).join("tests/golden").join(name);
    if !path.exists() && std::env::var_os("STRONGROOM_GOLDEN").is_some_and(|value| value == "add") {
        fs::create_dir_all(path.parent().expect("has a folder")).expect("the folder can be made");
        fs::write(&path, make()).expect("the golden file can be written");
    }
    let golden = fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; add a new one with STRONGROOM_GOLDEN=add",
            path.display()
        )
    });
    (path, golden)
}
