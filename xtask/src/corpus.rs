//! A data set of real text for the training job: the sources of the crates that cargo has downloaded,
//! packed into WebDataset shards. Nothing is synthesised; where there is too little, packing fails.
//!
//! ```text
//! OUT/corpus-000000.tar …   uncompressed tar; one sample a file: NNNNNNNN.txt
//! OUT/index.jsonl           one line a sample: where its bytes are, what they hash to, where they came from
//! ```
//!
//! The same sources make the same bytes: files are taken in the order of their paths, and tar headers carry
//! no time and no owner.

use crate::run::{self, cargo};
use crate::workspace::Workspace;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Less than this is not worth calling a data set.
const LEAST_BYTES: u64 = 200_000_000;
pub(crate) const LEAST_FILES: u64 = 10_000;
/// A shard is closed when it has reached this.
const SHARD_BYTES: u64 = 32 << 20;
/// A tar header, and the unit to which contents are padded.
const BLOCK: u64 = 512;

/// One line of the index.
#[derive(Serialize)]
struct Sample<'a> {
    sample: &'a str,
    shard: &'a str,
    /// Of the sample's first byte in the shard.
    offset: u64,
    length: u64,
    blake3: String,
    source: &'a str,
}

/// What was packed.
pub(crate) struct Packed {
    pub(crate) samples: u64,
    pub(crate) bytes: u64,
    pub(crate) shards: u64,
}

/// `cargo xtask corpus`.
pub(crate) fn command(out: Option<PathBuf>) -> Result<()> {
    let out = match out {
        Some(out) => out,
        None => folder(&Workspace::read()?),
    };
    pack(&out).map(drop)
}

/// Where the corpus goes unless told otherwise.
pub(crate) fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target().join("corpus")
}

/// Packs the corpus into `out`, replacing one that was there.
pub(crate) fn pack(out: &Path) -> Result<Packed> {
    run::run(&mut cargo_fetch())?;
    let sources = sources()?;
    let making = out.with_extension("new");
    if making.exists() {
        fs::remove_dir_all(&making).with_context(|| format!("removing {}", making.display()))?;
    }
    fs::create_dir_all(&making).with_context(|| format!("making {}", making.display()))?;
    let packed = pack_files(&sources, &making)?;
    ensure!(
        packed.bytes >= LEAST_BYTES && packed.samples >= LEAST_FILES,
        "only {} files of text with {} bytes in {}; a corpus takes {LEAST_FILES} and {LEAST_BYTES}",
        packed.samples,
        packed.bytes,
        registry()?.display(),
    );
    if out.exists() {
        fs::remove_dir_all(out).with_context(|| format!("removing {}", out.display()))?;
    }
    fs::rename(&making, out).with_context(|| format!("moving the corpus to {}", out.display()))?;
    eprintln!(
        "{}: {} samples, {:.1} MB of text, {} shards",
        out.display(),
        packed.samples,
        packed.bytes as f64 / 1e6,
        packed.shards
    );
    Ok(packed)
}

fn cargo_fetch() -> std::process::Command {
    // `cargo fetch` takes no --ignore-rust-version: it compiles nothing.
    let mut command = std::process::Command::new(cargo("fetch").get_program());
    command.args(["fetch", "--quiet"]);
    command
}

/// Every source file, by its path in the registry, in order.
fn sources() -> Result<BTreeMap<String, PathBuf>> {
    let registry = registry()?;
    let mut found = BTreeMap::new();
    for entry in walkdir::WalkDir::new(&registry).min_depth(3) {
        let entry = entry.with_context(|| format!("walking {}", registry.display()))?;
        if entry.file_type().is_file() {
            // Below the folder of one registry: crate-version/path.
            let name: PathBuf = entry
                .path()
                .strip_prefix(&registry)?
                .components()
                .skip(1)
                .collect();
            found.insert(name.to_string_lossy().into_owned(), entry.into_path());
        }
    }
    Ok(found)
}

fn registry() -> Result<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    Ok(home
        .context("neither CARGO_HOME nor HOME is set")?
        .join("registry/src"))
}

fn pack_files(sources: &BTreeMap<String, PathBuf>, out: &Path) -> Result<Packed> {
    let mut index = BufWriter::new(File::create(out.join("index.jsonl"))?);
    let mut packed = Packed {
        samples: 0,
        bytes: 0,
        shards: 0,
    };
    let mut shard: Option<Shard> = None;
    for (source, path) in sources {
        if packed.bytes >= LEAST_BYTES && packed.samples >= LEAST_FILES {
            break;
        }
        let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        if !is_text(&bytes) {
            continue;
        }
        let open = match &mut shard {
            Some(open) => open,
            None => {
                packed.shards += 1;
                shard.insert(Shard::create(out, packed.shards - 1)?)
            }
        };
        let name = format!("{:08}", packed.samples);
        let offset = open.append(&format!("{name}.txt"), &bytes)?;
        let length = bytes.len() as u64;
        let blake3 = blake3::hash(&bytes).to_hex().to_string();
        let line = Sample {
            sample: &name,
            shard: &open.name,
            offset,
            length,
            blake3,
            source,
        };
        serde_json::to_writer(&mut index, &line)?;
        index.write_all(b"\n")?;
        packed.samples += 1;
        packed.bytes += length;
        if open.length >= SHARD_BYTES {
            shard.take().map_or(Ok(()), Shard::close)?;
        }
    }
    shard.map_or(Ok(()), Shard::close)?;
    index.flush()?;
    Ok(packed)
}

fn is_text(bytes: &[u8]) -> bool {
    !bytes.is_empty() && !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok()
}

/// A tar file that is being written.
struct Shard {
    name: String,
    tar: tar::Builder<BufWriter<File>>,
    length: u64,
}

impl Shard {
    fn create(folder: &Path, number: u64) -> Result<Self> {
        let name = format!("corpus-{number:06}.tar");
        let path = folder.join(&name);
        let file = File::create(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self {
            name,
            tar: tar::Builder::new(BufWriter::new(file)),
            length: 0,
        })
    }

    /// Appends a file and says at which offset its bytes begin.
    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<u64> {
        let length = bytes.len() as u64;
        let mut header = tar::Header::new_ustar();
        header.set_size(length);
        header.set_mode(0o644);
        self.tar.append_data(&mut header, name, bytes)?;
        let offset = self.length + BLOCK;
        self.length = offset + length.next_multiple_of(BLOCK);
        Ok(offset)
    }

    fn close(self) -> Result<()> {
        self.tar.into_inner()?.flush()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The index points at each sample's bytes, what is not text is left out, and the same sources make the
    /// same bytes. Method: a small registry, packed twice.
    #[test]
    fn the_index_points_at_the_bytes() {
        let folder = strongroom_tests::place::scratch()
            .unwrap()
            .join(format!("corpus-{}", std::process::id()));
        let files = [
            ("a-1.0.0/src/lib.rs", b"fn a() {}\n".to_vec()),
            ("a-1.0.0/logo.png", vec![0x89, b'P', 0, 1]),
            ("b-1.0.0/empty", Vec::new()),
            ("b-1.0.0/README.md", "# Größe\n".repeat(200).into_bytes()),
        ];
        let mut sources = BTreeMap::new();
        fs::create_dir_all(&folder).unwrap();
        for (number, (name, bytes)) in files.iter().enumerate() {
            let path = folder.join(number.to_string());
            fs::write(&path, bytes).unwrap();
            sources.insert((*name).to_owned(), path);
        }
        let (first, second) = (folder.join("first"), folder.join("second"));
        for out in [&first, &second] {
            fs::create_dir_all(out).unwrap();
            let packed = pack_files(&sources, out).unwrap();
            assert_eq!((packed.samples, packed.shards), (2, 1));
        }
        let shard = fs::read(first.join("corpus-000000.tar")).unwrap();
        assert_eq!(shard, fs::read(second.join("corpus-000000.tar")).unwrap());
        let index = fs::read_to_string(first.join("index.jsonl")).unwrap();
        let lines: Vec<serde_json::Value> = index
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for (line, expected) in lines.iter().zip([&files[0].1, &files[3].1]) {
            let number = |field: &str| usize::try_from(line[field].as_u64().unwrap()).unwrap();
            let (offset, length) = (number("offset"), number("length"));
            assert_eq!(&shard[offset..offset + length], &expected[..]);
            assert_eq!(line["blake3"], blake3::hash(expected).to_hex().to_string());
        }
        let names: Vec<_> = tar::Archive::new(&shard[..])
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["00000000.txt", "00000001.txt"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
