//! `strongroom metadata restore`: a new metadata server out of a backup, and with it the cluster, as it was then.
//!
//! It is for when every metadata server is lost, or what they hold is wrong. The cluster stays the one that it was:
//! its id, its authority, its keys. Its metadata servers are out, and this one is in; others join it by tokens. Nothing
//! is deleted from any disk before an operator says so.

use super::first::{self, First};
use super::write_line;
use crate::files::{self, Access};
use crate::home::Home;
use crate::role::metadata::{Config, Keys, make_slot};
use crate::role::read;
use anyhow::{Context, Result, bail, ensure};
use ca::Authority;
use disk::Choice;
use metadata::raft::{About, Restore};
use metadata::slot::Slot;
use seal::StorageKey;
use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};
use types::wire::members::ServerRole;
use types::wire::metadata::WallTime;

#[derive(clap::Args)]
pub(super) struct Options {
    /// The backup: a folder, as `strongroom metadata backup` made it
    #[arg(long, value_name = "DIR")]
    backup: PathBuf,
    /// The folder of a metadata server that there was, or a copy of its ca.pem, root.key, slot and metadata.toml
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
    #[command(flatten)]
    first: first::Options,
}

pub(super) fn run(options: &Options) -> Result<()> {
    crate::role::block_on(restore(options))
}

async fn restore(options: &Options) -> Result<()> {
    let home = options.first.home()?;
    let provider = seal::provider::default();
    let about = About::read(&options.backup)?;
    let old = Home::at(&options.keys)?;
    let owner = Slot::owner(&old.keys().slot)?;
    let slot = Slot::open(&old.keys(), &*provider, owner.cluster, owner.node)?;
    ensure!(
        owner.cluster == about.cluster,
        "the backup is of cluster {}, and the keys are of {}",
        about.cluster,
        owner.cluster
    );
    let ca = fs::read_to_string(old.ca());
    let ca = ca.with_context(|| format!("reading {}", old.ca().display()))?;
    let Some(key) = &slot.authority else {
        bail!(
            "{} holds no authority's key; it was not made by init or join",
            old.keys().slot.display()
        );
    };
    let authority = Authority::with_key(&ca, key.expose())?;
    let settings: Keys = read(Some(&old.config(ServerRole::Metadata)))?;
    let settings = Config::of(Keys::default(), settings)?.settings;

    files::make_folder(&home.log())?;
    let storage = StorageKey::random();
    let made = Restore {
        backup: &options.backup,
        rings: &slot.rings,
        provider,
        storage: storage.clone(),
        store: &home.rows(),
        log: disk::open(&home.log(), Choice::Auto).context("opening the log's folder")?,
        address: options.first.listen.to_string(),
        wall: now()?,
    };
    let node = made.run().await.context("restoring the metadata")?;
    let first = First {
        options: &options.first,
        home: &home,
        authority: &authority,
        ca: &ca,
        cluster: about.cluster,
        node,
    };
    first.certify()?;
    make_slot(&home, first.identity(), Slot { storage, ..slot })?;
    files::write(&home.begun(), b"", Access::Public)?;
    first.leave(settings)?;
    write_line(&format!("server   {}", node.get()))?;
    write_line(
        "then     have gateways and storage nodes ask this server, see that all is as it should be, and only then: \
         strongroom metadata release",
    )
}

fn now() -> Result<WallTime> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.context("the clock is before 1970")?.as_millis();
    Ok(WallTime(now.try_into()?))
}
