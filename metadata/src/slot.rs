//! A metadata server's slot: the keys that never enter the log, the store, a snapshot or a backup.
//!
//! ```text
//! slot file    magic (8) ‖ format version (4) ‖ cluster (16) ‖ node (8) ‖ wrap length (4)
//!              ‖ wrap under the root key (`seal::wrap`) ‖ CRC-64/NVME of all before (8)
//! wrapped      storage key (32) ‖ ring keys: count (2) ‖ (version (4) ‖ key (32))*
//!              ‖ the cluster authority's key: length (2) ‖ PKCS#8; 0 where it is kept elsewhere
//! root file    the root key (32), nothing else
//! ```
//!
//! Integers are big-endian; both files have mode 0600. Format 1 ends behind the ring keys. What always holds: root and slot are durable,
//! with their names, before Raft first starts. A log without its slot is never started over: whoever
//! lost the slot has lost the keys of the log, and must not rejoin as if it had seen nothing.

use crc_fast::CrcAlgorithm;
use seal::wrap::{UnwrapError, unwrap_slot, wrap_slot};
use seal::{Provider, RingKey, RootKey, StorageKey};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use types::{ClusterId, NodeId};
use zeroize::Zeroizing;

const MAGIC: &[u8; 8] = b"SRoomSlt";
const FORMAT: u32 = 2;
/// Without the authority's key.
const WITHOUT_AUTHORITY: u32 = 1;
const HEAD: usize = 8 + 4 + 16 + 8 + 4;
const CRC: usize = 8;
const KEY: usize = 32;
const PRIVATE: u32 = 0o600;
/// Root keys are not rotated in place yet.
const ROOT_VERSION: u32 = 1;

/// Why a server's keys cannot be had. None of these passes by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SlotError {
    /// A file cannot be read or written.
    #[error("using {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// Others than its owner may use the file.
    #[error("{path} has mode {mode:o}: only its owner may use it (chmod 600)")]
    Exposed {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not a root key.
    #[error("{path} does not hold a root key of 32 bytes")]
    NotARootKey {
        /// Which.
        path: PathBuf,
    },
    /// There is a slot, but not the root key that opens it.
    #[error("{path} is missing, and the slot beside it was made with it: restore it")]
    RootMissing {
        /// Where it must be.
        path: PathBuf,
    },
    /// There is a log, but no slot.
    #[error("{path} is missing, and there is a log that was sealed with its keys: restore it")]
    SlotMissing {
        /// Where it must be.
        path: PathBuf,
    },
    /// The file is damaged, or is no slot.
    #[error(
        "{path} is damaged, or is not a slot: restore it, or take this server out (metadata remove) and join a new one"
    )]
    Damaged {
        /// Which.
        path: PathBuf,
    },
    /// Written by a build that is too new.
    #[error("the slot has format version {0}, which this build does not know (it knows {FORMAT})")]
    Version(u32),
    /// The slot is another server's.
    #[error("the slot belongs to {node} of cluster {cluster}")]
    Foreign {
        /// Its cluster.
        cluster: ClusterId,
        /// Its server.
        node: NodeId,
    },
    /// The root key is not the one that it was made with.
    #[error("the slot does not open under the root key")]
    Refused(#[from] UnwrapError),
}

/// Whether this server has run before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Its log is empty: a slot may be made.
    Never,
    /// There is a log: its slot must be there.
    Log,
}

/// Where a server's keys are kept.
#[derive(Clone, Debug)]
pub struct KeyFiles {
    /// The root key.
    pub root: PathBuf,
    /// The slot.
    pub slot: PathBuf,
}

/// Whose a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Of which cluster.
    pub cluster: ClusterId,
    /// Which server.
    pub node: NodeId,
}

/// A metadata server's keys.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Seals this server's log and snapshot files.
    pub storage: StorageKey,
    /// Wrap the buckets' keys; the last is the current one. Never empty.
    pub rings: Vec<RingKey>,
    /// Signs the certificates of servers, where every metadata server does that.
    pub authority: Option<AuthorityKey>,
}

/// The cluster authority's private key, in PKCS#8: wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthorityKey(Zeroizing<Vec<u8>>);

impl AuthorityKey {
    /// Wraps it.
    pub fn new(key: Zeroizing<Vec<u8>>) -> Self {
        Self(key)
    }

    /// The key itself.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for AuthorityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthorityKey(..)")
    }
}

impl Slot {
    /// Fresh keys. Servers that join a cluster are given its ring keys instead.
    pub fn random() -> Self {
        Self {
            storage: StorageKey::random(),
            rings: vec![RingKey::random(1)],
            authority: None,
        }
    }

    /// The ring key that new wraps are made with.
    ///
    /// # Panics
    /// Never: a slot holds at least one.
    pub fn ring(&self) -> &RingKey {
        self.rings.last().expect("a slot holds a ring key")
    }

    /// Reads a server's keys. On its very first start root key and slot are made, and are durable
    /// when this returns.
    ///
    /// # Errors
    /// When a file is missing that must be there, is another server's, is open to others, or does not
    /// open.
    pub fn open_or_create(
        files: &KeyFiles,
        provider: &dyn Provider,
        cluster: ClusterId,
        node: NodeId,
        before: Before,
    ) -> Result<Self, SlotError> {
        Self::open_or_make(files, provider, cluster, node, before, Self::random)
    }

    /// Likewise, for one server of several: a slot that is made holds the ring keys that the others hold.
    ///
    /// # Errors
    /// As above.
    pub fn open_or_join(
        files: &KeyFiles,
        provider: &dyn Provider,
        cluster: ClusterId,
        node: NodeId,
        before: Before,
        rings: &[RingKey],
    ) -> Result<Self, SlotError> {
        Self::open_or_make(files, provider, cluster, node, before, || Self {
            storage: StorageKey::random(),
            rings: rings.to_vec(),
            authority: None,
        })
    }

    /// Whose a slot file is: told without a key.
    ///
    /// # Errors
    /// When it cannot be read, is readable by others, or is damaged.
    pub fn owner(path: &Path) -> Result<Owner, SlotError> {
        let bytes = read_private(path)?;
        let damaged = || SlotError::Damaged {
            path: path.to_owned(),
        };
        let found = Parsed::new(&bytes).ok_or_else(damaged)?;
        Ok(Owner {
            cluster: found.cluster,
            node: found.node,
        })
    }

    /// Reads the keys of a server that has them.
    ///
    /// # Errors
    /// As above.
    pub fn open(
        files: &KeyFiles,
        provider: &dyn Provider,
        cluster: ClusterId,
        node: NodeId,
    ) -> Result<Self, SlotError> {
        Self::open_or_create(files, provider, cluster, node, Before::Log)
    }

    /// Likewise, of a server that may be new; then its slot is made of these.
    ///
    /// # Errors
    /// As above.
    pub fn open_or_make(
        files: &KeyFiles,
        provider: &dyn Provider,
        cluster: ClusterId,
        node: NodeId,
        before: Before,
        make: impl FnOnce() -> Self,
    ) -> Result<Self, SlotError> {
        let exists = files.slot.try_exists().map_err(in_file(&files.slot))?;
        match (exists, before) {
            (false, Before::Log) => Err(SlotError::SlotMissing {
                path: files.slot.clone(),
            }),
            (false, Before::Never) => {
                let root = open_or_create_root(&files.root)?;
                let slot = make();
                let bytes = slot.encode(provider, &root, cluster, node);
                write_private(&files.slot, &bytes)?;
                Ok(slot)
            }
            (true, _) => {
                let root = open_root(&files.root)?.ok_or_else(|| SlotError::RootMissing {
                    path: files.root.clone(),
                })?;
                let bytes = read_private(&files.slot)?;
                Self::decode(&files.slot, &bytes, provider, &root, cluster, node)
            }
        }
    }

    fn encode(
        &self,
        provider: &dyn Provider,
        root: &RootKey,
        cluster: ClusterId,
        node: NodeId,
    ) -> Vec<u8> {
        let authority = self.authority.as_ref();
        let authority = authority.map_or(&[][..], AuthorityKey::expose);
        let length = KEY + 2 + self.rings.len() * (4 + KEY) + 2 + authority.len();
        let mut secret = Zeroizing::new(Vec::with_capacity(length));
        secret.extend_from_slice(self.storage.expose());
        let count = u16::try_from(self.rings.len()).expect("ring keys are few");
        secret.extend_from_slice(&count.to_be_bytes());
        for ring in &self.rings {
            secret.extend_from_slice(&ring.version().to_be_bytes());
            secret.extend_from_slice(ring.expose());
        }
        let length = u16::try_from(authority.len()).expect("a key is short");
        secret.extend_from_slice(&length.to_be_bytes());
        secret.extend_from_slice(authority);
        let wrap = wrap_slot(provider, root, cluster, node, &secret);
        let length = u32::try_from(wrap.len()).expect("a slot is small");
        let mut bytes = Vec::with_capacity(HEAD + wrap.len() + CRC);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT.to_be_bytes());
        bytes.extend_from_slice(cluster.as_bytes());
        bytes.extend_from_slice(&node.to_be_bytes());
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&wrap);
        let crc = checksum(&bytes);
        bytes.extend_from_slice(&crc);
        bytes
    }

    fn decode(
        path: &Path,
        bytes: &[u8],
        provider: &dyn Provider,
        root: &RootKey,
        cluster: ClusterId,
        node: NodeId,
    ) -> Result<Self, SlotError> {
        let damaged = || SlotError::Damaged {
            path: path.to_owned(),
        };
        let found = Parsed::new(bytes).ok_or_else(damaged)?;
        if ![WITHOUT_AUTHORITY, FORMAT].contains(&found.version) {
            return Err(SlotError::Version(found.version));
        }
        if (found.cluster, found.node) != (cluster, node) {
            return Err(SlotError::Foreign {
                cluster: found.cluster,
                node: found.node,
            });
        }
        let secret = unwrap_slot(provider, root, found.wrap, cluster, node)?;
        keys(found.version, &secret).ok_or_else(damaged)
    }
}

/// A slot file's parts, whose checksum matches.
struct Parsed<'a> {
    version: u32,
    cluster: ClusterId,
    node: NodeId,
    wrap: &'a [u8],
}

impl<'a> Parsed<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<CRC>()?;
        if checksum(body) != *crc {
            return None;
        }
        let rest = body.strip_prefix(MAGIC)?;
        let (version, rest) = rest.split_first_chunk()?;
        let (cluster, rest) = rest.split_first_chunk()?;
        let (node, rest) = rest.split_first_chunk()?;
        let (length, wrap) = rest.split_first_chunk()?;
        (usize::try_from(u32::from_be_bytes(*length)).ok()? == wrap.len()).then_some(Self {
            version: u32::from_be_bytes(*version),
            cluster: ClusterId::new(*cluster),
            node: NodeId::new(u64::from_be_bytes(*node)),
            wrap,
        })
    }
}

fn keys(version: u32, secret: &[u8]) -> Option<Slot> {
    let (storage, rest) = secret.split_first_chunk::<KEY>()?;
    let (count, mut rest) = rest.split_first_chunk::<2>()?;
    let mut rings = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (version, after) = rest.split_first_chunk::<4>()?;
        let (key, after) = after.split_first_chunk::<KEY>()?;
        rings.push(RingKey::new(u32::from_be_bytes(*version), *key));
        rest = after;
    }
    let mut authority = None;
    if version != WITHOUT_AUTHORITY {
        let (length, key) = rest.split_first_chunk::<2>()?;
        if key.len() != usize::from(u16::from_be_bytes(*length)) {
            return None;
        }
        authority = (!key.is_empty()).then(|| AuthorityKey(Zeroizing::new(key.to_vec())));
        rest = &[];
    }
    (rest.is_empty() && !rings.is_empty()).then_some(Slot {
        storage: StorageKey::new(*storage),
        rings,
        authority,
    })
}

/// Reads the root key, or makes one of 32 random bytes, durable when this returns.
fn open_or_create_root(path: &Path) -> Result<RootKey, SlotError> {
    if let Some(root) = open_root(path)? {
        return Ok(root);
    }
    let root = RootKey::random(ROOT_VERSION);
    write_private(path, root.expose())?;
    Ok(root)
}

fn open_root(path: &Path) -> Result<Option<RootKey>, SlotError> {
    if !path.try_exists().map_err(in_file(path))? {
        return Ok(None);
    }
    let bytes = read_private(path)?;
    let raw: [u8; KEY] = bytes[..].try_into().map_err(|_| SlotError::NotARootKey {
        path: path.to_owned(),
    })?;
    Ok(Some(RootKey::new(ROOT_VERSION, raw)))
}

fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, SlotError> {
    let metadata = fs::metadata(path).map_err(in_file(path))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SlotError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    fs::read(path).map(Zeroizing::new).map_err(in_file(path))
}

/// Writes a file whole and durable, with its name, or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), SlotError> {
    let unfinished = path.with_extension("new");
    let written = (|| {
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(PRIVATE)
            .open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        File::open(folder)?.sync_all()
    })();
    written.map_err(in_file(path))
}

fn in_file(path: &Path) -> impl FnOnce(io::Error) -> SlotError {
    let path = path.to_owned();
    |source| SlotError::Io { path, source }
}

fn checksum(bytes: &[u8]) -> [u8; CRC] {
    crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes).to_be_bytes()
}
