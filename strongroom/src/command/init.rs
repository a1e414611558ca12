//! `strongroom init`: the first metadata server of a new cluster, and with it the cluster.
//!
//! It draws the cluster's id, makes its authority and its keys, begins Raft with this one server, and ends. The
//! authority's key and the ring key are in the server's slot, under its root key, and nowhere else.

use super::first::{self, First};
use crate::home::Home;
use crate::role::metadata::{Running, make_slot};
use crate::role::sizes::Sizes;
use anyhow::{Context, Result, ensure};
use ca::Authority;
use metadata::slot::{AuthorityKey, Slot};
use std::net::SocketAddr;
use std::path::Path;
use types::wire::members::ServerSettings;
use types::{ClusterId, NodeId, Profile};

/// The first id that is given out.
const FIRST: NodeId = NodeId::new(1);

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    first: first::Options,
    /// How buckets are coded that do not say
    #[arg(
        long,
        value_name = "K+M",
        env = "STRONGROOM_PROFILE",
        default_value = "4+2"
    )]
    profile: Profile,
    /// Uploads in parts that are neither completed nor aborted expire after so many seconds of running
    #[arg(long, value_name = "SECONDS", default_value_t = 7 * 24 * 3600)]
    abandoned_after_seconds: u64,
    /// Deleted bytes leave the disks after so many seconds of running
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    reclaim_after_seconds: u64,
}

pub(crate) fn run(options: Options) -> Result<()> {
    crate::role::block_on(init(options))
}

async fn init(options: Options) -> Result<()> {
    let home = options.first.home()?;
    let mut cluster = [0; 16];
    getrandom::fill(&mut cluster)
        .map_err(std::io::Error::other)
        .context("drawing a cluster id")?;

    let made = Authority::make()?;
    let authority = Authority::load(&made)?;
    let first = First {
        options: &options.first,
        home: &home,
        authority: &authority,
        ca: &made.certificate_pem,
        cluster: ClusterId::new(cluster),
        node: FIRST,
    };
    let key = first.certify()?;
    let slot = Slot {
        authority: Some(AuthorityKey::new(authority.key())),
        ..Slot::random()
    };
    make_slot(&home, first.identity(), slot)?;

    let settings = ServerSettings {
        profile: options.profile,
        abandoned_after_seconds: options.abandoned_after_seconds,
        reclaim_after_seconds: options.reclaim_after_seconds,
    };
    begin(home.folder(), options.first.listen, settings, &key).await?;
    first.leave(settings)
}

/// Begins Raft with this one server, and stops it again.
async fn begin(
    folder: &Path,
    listen: SocketAddr,
    settings: ServerSettings,
    key: &[u8],
) -> Result<()> {
    let running =
        Running::start(Home::at(folder)?, listen, settings, Sizes::default(), None).await?;
    let replica = &running.replica;
    replica.begin_alone(listen).await?;
    replica.node().leader().await?;
    let registrar = replica.registrar();
    let node = registrar.note_first(key, listen.to_string()).await?;
    ensure!(node == FIRST, "the first server's id is {node}");
    running.note_begun()?;
    running.stop().await;
    Ok(())
}
