//! Backups: a snapshot file sealed under a key that the cluster's ring key gives, and the way back.
//!
//! ```text
//! NAME/snapshot   as a server's own snapshot file, but under the key of the cluster's backups (`seal::key`)
//! NAME/about      text: which cluster, which ring key, which entry of the log is the last in it
//! ```
//!
//! A folder that has its name is whole: it is made under another one, synced, read back, and then renamed. What it
//! holds can be opened by whoever has the ring key: a slot of any metadata server, or a copy of one.
//!
//! A restore begins a log where the backup ends, with one new server (`restored.rs`). It votes as nobody voted
//! before: its id is new.

use super::apart::Apart;
use super::frames::Sealing;
use super::log::{self, LogConfig, LogOpenError, Verified};
use super::node::Node;
use super::rebuild::{self, RebuildError};
use super::snapshot::{SnapshotError, SnapshotFile, Snapshots, encode_rows};
use super::state_machine::Gate;
use super::types::{Mark, Membership, StoredMembership, Vote};
use crate::level;
use crate::log::LogError;
use crate::restored::{RestoredError, restored};
use crate::store::{Store, StoreError};
use disk::{Choice, Disk};
use openraft::BasicNode;
use openraft::storage::RaftLogStorage;
use seal::{Provider, RingKey, StorageKey};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use types::wire::metadata::WallTime;
use types::{ByteCount, ClusterId, NodeId};

const ABOUT: &str = "about";
const FIRST_LINE: &str = "strongroom metadata backup, format 1";
/// Rows of one frame, in bytes.
const PIECE: usize = 512 << 10;

/// Why there is no backup, or nothing is restored from it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The server could not write a snapshot.
    #[error("writing a snapshot of what is applied now")]
    Snapshot(#[from] LogError),
    /// A name is one word of letters, digits, dots, dashes and underscores, and does not begin with a dot.
    #[error("{0:?} is no name for a backup")]
    Name(String),
    /// There is one of that name.
    #[error("{} exists", .0.display())]
    Exists(PathBuf),
    /// A folder or file cannot be used.
    #[error("using {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// It says nothing that this build understands.
    #[error("{} is not the description of a backup", .0.display())]
    About(PathBuf),
    /// The ring key that it was sealed under is not there.
    #[error("it was sealed under ring key {0}, which the slot does not hold")]
    NoRingKey(u32),
    /// It cannot be read or written.
    #[error("the backup's snapshot")]
    File(#[from] SnapshotError),
    /// The new server's store cannot be made.
    #[error("the new server's store")]
    Store(#[from] StoreError),
    /// The new server's store cannot be filled.
    #[error("loading the backup")]
    Load(#[from] RebuildError),
    /// The rows cannot be made those of a cluster that goes on.
    #[error("changing what the backup holds")]
    Rows(#[from] RestoredError),
    /// The new server's log cannot be begun.
    #[error("beginning the new server's log")]
    Log(#[from] LogOpenError),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    |source| BackupError::Io { path, source }
}

/// What is known of a backup without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Whose metadata it is.
    pub cluster: ClusterId,
    /// The version of the ring key that opens it.
    pub ring: u32,
    /// The last entry of the log in it.
    pub entry: u64,
}

impl About {
    /// Reads the description in a backup's folder.
    ///
    /// # Errors
    /// When there is none that this build understands.
    pub fn read(folder: &Path) -> Result<Self, BackupError> {
        let path = folder.join(ABOUT);
        let text = fs::read_to_string(&path).map_err(at(&path))?;
        Self::parse(&text).ok_or(BackupError::About(path))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        value("strongroom")
            .filter(|rest| FIRST_LINE.ends_with(rest))
            .map(drop)?;
        Some(Self {
            cluster: ClusterId::parse(value("cluster")?)?,
            ring: value("ring")?.parse().ok()?,
            entry: value("entry")?.parse().ok()?,
        })
    }

    fn text(&self) -> String {
        let Self {
            cluster,
            ring,
            entry,
        } = self;
        format!("{FIRST_LINE}\ncluster {cluster}\nring {ring}\nentry {entry}\n")
    }
}

fn folder_disk(folder: &Path) -> Result<Arc<dyn Disk>, BackupError> {
    disk::open(folder, Choice::Threads).map_err(at(folder))
}

/// The snapshot files of a backup.
async fn open(
    disk: Arc<dyn Disk>,
    provider: Arc<dyn Provider>,
    ring: &RingKey,
    cluster: ClusterId,
) -> Result<Snapshots, BackupError> {
    let sealing = Sealing::new(provider, StorageKey::of_backups(ring, cluster));
    Ok(Snapshots::open(disk, sealing, Arc::default()).await?)
}

impl Node {
    /// Writes a backup of all that is applied now as a folder of that name, under one that is made if need be.
    ///
    /// # Errors
    /// When there is one of that name, this server cannot take a snapshot, or a disk fails.
    pub async fn backup(
        &self,
        under: &Path,
        name: &str,
        provider: Arc<dyn Provider>,
        ring: &RingKey,
        cluster: ClusterId,
    ) -> Result<About, BackupError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(allowed) {
            return Err(BackupError::Name(name.to_owned()));
        }
        let (whole, folder) = (under.join(name), under.join(format!(".{name}.new")));
        if whole.exists() {
            return Err(BackupError::Exists(whole));
        }
        let current = self.snapshot_of_now().await?;
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(at(&folder)(error));
            }
            // What an attempt before this one left.
            _ => fs::create_dir_all(&folder).map_err(at(&folder))?,
        }
        let backup = open(folder_disk(&folder)?, provider, ring, cluster).await?;
        let about = write_onto(&backup, &current, ring, cluster).await?;
        let path = folder.join(ABOUT);
        let noted = fs::File::create(&path).and_then(|mut file| {
            file.write_all(about.text().as_bytes())?;
            file.sync_all()
        });
        noted.map_err(at(&path))?;
        let named = sync_folder(&folder)
            .and_then(|()| fs::rename(&folder, &whole))
            .and_then(|()| sync_folder(under));
        named.map_err(at(&whole))?;
        Ok(about)
    }

    /// Writes the snapshot of a backup onto a disk that holds nothing else: what describes it is to be kept with it.
    ///
    /// # Errors
    /// When this server cannot take a snapshot, or a disk fails.
    pub async fn backup_onto(
        &self,
        disk: Arc<dyn Disk>,
        provider: Arc<dyn Provider>,
        ring: &RingKey,
        cluster: ClusterId,
    ) -> Result<About, BackupError> {
        let current = self.snapshot_of_now().await?;
        let backup = open(disk, provider, ring, cluster).await?;
        write_onto(&backup, &current, ring, cluster).await
    }
}

async fn write_onto(
    backup: &Snapshots,
    current: &Arc<SnapshotFile>,
    ring: &RingKey,
    cluster: ClusterId,
) -> Result<About, BackupError> {
    let written = backup.publish(current).await?;
    Ok(About {
        cluster,
        ring: ring.version(),
        entry: written.label.applied.map_or(0, |at| at.index),
    })
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// A metadata server that is to be made of a backup.
pub struct Restore<'a> {
    /// The backup's folder.
    pub backup: &'a Path,
    /// The cluster's ring keys.
    pub rings: &'a [RingKey],
    /// Who seals.
    pub provider: Arc<dyn Provider>,
    /// The new server's own key.
    pub storage: StorageKey,
    /// Where it will cache its rows; nothing is there.
    pub store: &'a Path,
    /// Where it will keep its log; nothing is there.
    pub log: Arc<dyn Disk>,
    /// Where others will reach it.
    pub address: String,
    /// Now, for display.
    pub wall: WallTime,
}

impl Restore<'_> {
    /// Makes it: its snapshot, its log, its cache. The id of the new server, which is alone and begins to lead when
    /// it is started.
    ///
    /// # Errors
    /// When the backup is damaged or of a later build, or a disk fails.
    pub async fn run(self) -> Result<NodeId, BackupError> {
        let (about, disk) = (About::read(self.backup)?, folder_disk(self.backup)?);
        self.make(about, disk, Apart::Beside).await
    }

    /// The same at once, of a backup on a disk (see [`Node::backup_onto`]): what a simulation can replay. The folder plays no
    /// part.
    ///
    /// # Errors
    /// As [`Restore::run`].
    pub async fn run_from(self, about: About, disk: Arc<dyn Disk>) -> Result<NodeId, BackupError> {
        self.make(about, disk, Apart::AtOnce).await
    }

    async fn make(
        self,
        about: About,
        disk: Arc<dyn Disk>,
        apart: Apart,
    ) -> Result<NodeId, BackupError> {
        let ring = self.rings.iter().find(|ring| ring.version() == about.ring);
        let ring = ring.ok_or(BackupError::NoRingKey(about.ring))?;
        let backup = open(disk, Arc::clone(&self.provider), ring, about.cluster);
        let backup = backup.await?;
        let changes = backup.verify_current().await?;
        let missing = SnapshotError::from(io::Error::from(io::ErrorKind::NotFound));
        let (Some(changes), Some(file)) = (changes, backup.current().await) else {
            return Err(missing.into());
        };
        let (store, _) = Store::open(self.store)?;
        let store = Arc::new(store);
        rebuild::load(&store, &Arc::new(Gate::of(apart)), &file, changes).await?;
        level::check(&*store)?;

        let (node, label) = self.change(&store, &file)?;
        let verified = Arc::new(Verified::default());
        let sealing = Sealing::new(self.provider, self.storage);
        let log = Arc::clone(&self.log);
        let snapshots = Snapshots::open(log, sealing.clone(), Arc::clone(&verified)).await?;
        write(&store, &label, &snapshots).await?;
        begin_log(self.log, sealing, verified, &label, node).await?;
        store.close_clean()?;
        Ok(node)
    }

    /// Makes the rows those of a cluster that goes on. The new server, and the label of its state.
    fn change(&self, store: &Store, backup: &SnapshotFile) -> Result<(NodeId, Mark), BackupError> {
        let applied = backup.label.applied_id();
        let entry = applied.map_or(0, |at| at.index);
        let mut txn = store.begin();
        let node = restored(&mut txn, self.wall, self.address.clone(), entry)?;
        let voters = vec![BTreeSet::from([node.get()])];
        let nodes = BTreeMap::from([(node.get(), BasicNode::new(&self.address))]);
        let alone = Membership::new(voters, nodes).expect("one server is a membership");
        let label = Mark::new(applied, &StoredMembership::new(applied, alone));
        store.commit(txn.into_changes(), &types::codec::encode(&label))?;
        Ok((node, label))
    }
}

/// Writes the rows as the server's snapshot.
async fn write(store: &Store, label: &Mark, snapshots: &Snapshots) -> Result<(), BackupError> {
    let mut writer = snapshots.begin(label).await?;
    let (mut piece, mut bytes) = (Vec::new(), 0);
    for row in store.rows() {
        let row = row?;
        bytes += row.0.len() + row.1.len();
        piece.push(row);
        if bytes >= PIECE {
            writer.add(&encode_rows(&piece)).await?;
            piece.clear();
            bytes = 0;
        }
    }
    writer.add(&encode_rows(&piece)).await?;
    let file = snapshots.finish(writer).await?;
    snapshots.publish(&file).await?;
    Ok(())
}

/// Begins a log that goes on behind the snapshot.
async fn begin_log(
    disk: Arc<dyn Disk>,
    sealing: Sealing,
    verified: Arc<Verified>,
    label: &Mark,
    node: NodeId,
) -> Result<(), BackupError> {
    let sizes = LogConfig {
        segment: ByteCount::new(64 << 20),
        cache: ByteCount::ZERO,
    };
    let (mut log, _, task) = log::open(disk, sizes, sealing, verified).await?;
    if let Some(applied) = label.applied_id() {
        // No term is behind the one of the last entry.
        let vote = Vote::new(applied.leader_id.term, node.get());
        let begun = async {
            RaftLogStorage::save_vote(&mut log, &vote).await?;
            RaftLogStorage::purge(&mut log, applied).await
        };
        begun.await.map_err(SnapshotError::from)?;
    }
    drop(log);
    task.ended().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What describes a backup reads back; what does not, does not.
    #[test]
    fn descriptions_read_back() {
        let about = About {
            cluster: ClusterId::new([7; 16]),
            ring: 3,
            entry: 12,
        };
        let text = about.text();
        assert_eq!(About::parse(&text), Some(about));
        assert_eq!(About::parse(&text.replace("format 1", "format 2")), None);
        assert_eq!(About::parse(&text.replace("ring 3\n", "")), None);
        assert_eq!(About::parse(""), None);
    }
}
