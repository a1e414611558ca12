//! A metadata server alone in its cluster, in a folder: `log/` its log and snapshot, `rows/` its cache.

use crate::fill::Filler;
use anyhow::{Context, Result, ensure};
use disk::{Choice, Disk};
use metadata::raft::{Network, Node, NodeConfig};
use metadata::slot::Slot;
use metadata::store::Sled;
use metadata::{Keyring, Opened, Server, ServerConfig, Store};
use seal::{RingKey, StorageKey};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use strongroom_benches::report::print;
use strongroom_benches::run::runtime;
use types::placement::Disk as AdmittedDisk;
use types::profile::{DiskClass, Profile};
use types::size::MIB;
use types::wire::Metadata;
use types::wire::metadata::{Bucket, CreateBucket, Lookup, Wanted};
use types::{ByteCount, ClusterId, Label, NodeId, ObjectKey, RequestId, TenantId};

pub(crate) const CLUSTER: ClusterId = ClusterId::new([0x5e; 16]);
pub(crate) const SERVER: NodeId = NodeId::new(1);
pub(crate) const GATEWAY: NodeId = NodeId::new(101);
const BUCKET: &str = "training";
/// sled's cache as a server has it unless it is said otherwise, and as one has it with room for more.
pub(crate) const CACHES: [Sled; 2] = [
    Sled {
        cache: ByteCount::new(1024 * MIB),
    },
    Sled {
        cache: ByteCount::new(8192 * MIB),
    },
];
/// One name in so many is looked up to warm: rows of names that follow each other lie on the same pages.
const WARMS: usize = 8;
/// sled's cache while names are made.
const FILLS_WITH: u64 = 4 << 30;

pub(crate) type Service = Arc<Server<Arc<Node>>>;

/// The same in every process, so that what one has written another reads.
pub(crate) fn slot() -> Slot {
    Slot {
        authority: None,
        storage: StorageKey::new([7; 32]),
        rings: vec![RingKey::new(1, [8; 32])],
    }
}

pub(crate) fn profile() -> Profile {
    "4+2".parse().expect("a profile")
}

/// The name of that number: ten to a folder, in order.
pub(crate) fn name(number: u64) -> ObjectKey {
    let name = format!("{}sample-{number:08}.tar", prefix_of(number));
    name.try_into().expect("a key")
}

/// The folder that it is in.
pub(crate) fn prefix_of(number: u64) -> String {
    format!("train/{:07}/", number / 10)
}

/// A number, spread over all: SplitMix64.
pub(crate) fn scatter(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Another number below `below` at each call.
pub(crate) fn random(below: u64) -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    scatter(NEXT.fetch_add(1, Ordering::Relaxed)) % below
}

pub(crate) fn log_of(folder: &Path) -> Result<Arc<dyn Disk>> {
    let log = folder.join("log");
    fs::create_dir_all(&log)?;
    disk::open(&log, Choice::Auto).context("opening the log's folder")
}

pub(crate) fn rows_of(folder: &Path) -> PathBuf {
    folder.join("rows")
}

/// A server that runs.
pub(crate) struct Running {
    pub(crate) server: Service,
    /// How long its store took to open.
    pub(crate) opened: Duration,
}

impl Running {
    /// Starts it, with sled as a server has it unless it is said otherwise.
    pub(crate) async fn start(folder: &Path, log: Arc<dyn Disk>) -> Result<Self> {
        Self::start_with(folder, log, CACHES[0]).await
    }

    pub(crate) async fn start_with(folder: &Path, log: Arc<dyn Disk>, sled: Sled) -> Result<Self> {
        let began = Instant::now();
        let (store, found) = Store::open_with(&sled, &rows_of(folder))?;
        let opened = began.elapsed();
        // The names are in no log: what was made anew would be empty.
        ensure!(!matches!(found, Opened::Rebuilt { .. }), "{found:?}");
        let (slot, provider) = (slot(), seal::provider::default());
        let config = NodeConfig {
            // One is written when it is asked for.
            snapshot_after: ByteCount::new(u64::MAX),
            ..NodeConfig::new(SERVER)
        };
        let node = Node::start(
            config,
            Arc::new(store),
            log,
            Arc::clone(&provider),
            slot.storage,
            &Network::new(),
        )
        .await?;
        node.initialize([(SERVER, "alone".to_owned())]).await?;
        node.leader().await?;
        let keys = Keyring::new(provider, slot.rings);
        let server = Server::start(Arc::new(node), keys, ServerConfig::new(profile()));
        Ok(Self { server, opened })
    }

    /// Admits disks, lays groups out, makes the bucket.
    pub(crate) async fn begin(&self) -> Result<()> {
        let server = &self.server;
        let node = server.admit_node().await?;
        for _ in 0..6 {
            let (id, class) = (server.reserve_disk_id().await?, DiskClass::Flash);
            server.admit_disk(AdmittedDisk { id, node, class }).await?;
        }
        server.create_groups(profile()).await?;
        let session = server.open_session(GATEWAY).await?.id;
        let request = RequestId {
            session,
            sequence: 1,
            answered_below: 1,
        };
        let make = CreateBucket {
            request,
            tenant: TenantId::new(1),
            owner: "steward".to_owned(),
            name: BUCKET.to_owned().try_into().expect("a name"),
            label: Label::default(),
            profile: None,
        };
        server.create_bucket(make).await?;
        Ok(())
    }

    pub(crate) async fn bucket(&self) -> Result<Bucket> {
        let name = BUCKET.to_owned().try_into().expect("a name");
        Ok(self.server.bucket(name).await?)
    }

    /// A lookup of all of the object of that number.
    pub(crate) async fn lookup(&self, bucket: &Bucket, number: u64) -> Result<()> {
        let found = self.server.lookup(whole(bucket, number)).await?;
        ensure!(found.extents.len() == 1, "it has one extent");
        Ok(())
    }

    /// Has its cache filled, as far as it goes.
    pub(crate) async fn warm(&self, bucket: &Bucket, names: u64) -> Result<()> {
        for number in (0..names).step_by(WARMS) {
            self.lookup(bucket, number).await?;
        }
        Ok(())
    }

    /// Stops it cleanly; its folder is free a moment after it is dropped.
    pub(crate) async fn stop(&self) {
        self.server.shutdown().await;
        self.server.log().shutdown().await;
    }
}

pub(crate) fn whole(bucket: &Bucket, number: u64) -> Lookup {
    Lookup {
        bucket: bucket.id,
        key: name(number),
        wanted: Wanted::All,
        version: None,
    }
}

/// A folder with a server that has so many names; it is made unless it is there. One that a run left half made is
/// gone on with.
pub(crate) fn filled(at: &Path, names: u64) -> Result<PathBuf> {
    let folder = at.join(format!("names-{names}"));
    let done = folder.join("filled");
    if done.exists() {
        return Ok(folder);
    }
    let (made, took) = fill(&folder, names)?;
    print(&format!(
        "{made} of {names} names in {:.0} s: {:.0} a second",
        took.as_secs_f64(),
        made as f64 / took.as_secs_f64()
    ));
    fs::write(done, names.to_string())?;
    Ok(folder)
}

/// How many it made, and how long that took.
fn fill(folder: &Path, names: u64) -> Result<(u64, Duration)> {
    let begun = folder.join("begun");
    if !begun.exists() {
        clean(folder)?;
        runtime()?.block_on(async {
            let running = Running::start(folder, log_of(folder)?).await?;
            running.begin().await?;
            running.stop().await;
            anyhow::Ok(())
        })?;
        fs::write(begun, "")?;
    }
    // Version ids are random: with a small cache nearly each would cost a page that is read.
    let sled = Sled {
        cache: ByteCount::new(FILLS_WITH),
    };
    let (store, found) = Store::open_with(&sled, &rows_of(folder))?;
    ensure!(found == Opened::Intact, "{found:?}");
    let mut filler = Filler::new(store)?;
    let (next, began) = (filler.next(names)?, Instant::now());
    filler.fill(next..names, 1000)?;
    filler.close()?;
    Ok((names - next, began.elapsed()))
}

/// Removes a folder.
pub(crate) fn clean(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// All files of a folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

/// Bytes that a folder's files take on disk.
pub(crate) fn size(folder: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for file in files(folder)? {
        bytes += fs::metadata(file)?.blocks() * 512;
    }
    Ok(bytes)
}

/// Takes a folder's files out of the page cache.
pub(crate) fn cool(folder: &Path) -> Result<()> {
    for file in files(folder)? {
        fs::File::open(&file)?.sync_all()?;
        let mut dd = Command::new("dd");
        dd.arg(format!("if={}", file.display()));
        let done = dd
            .args(["iflag=nocache", "count=0", "status=none"])
            .status();
        ensure!(done.context("starting dd")?.success(), "dd failed");
    }
    Ok(())
}

/// Reads a folder's files into the page cache, as far as memory goes.
pub(crate) fn cache(folder: &Path) -> Result<()> {
    for file in files(folder)? {
        io::copy(&mut fs::File::open(file)?, &mut io::sink())?;
    }
    Ok(())
}
