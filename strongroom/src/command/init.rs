//! `strongroom init`: the first metadata server of a new cluster, and with it the cluster.
//!
//! It draws the cluster's id, makes its authority and its keys, begins Raft with this one server, and ends. The
//! authority's key and the ring key are in the server's slot, under its root key, and nowhere else.

use super::write_line;
use crate::files::{self, Access};
use crate::home::Home;
use crate::profile::ClusterProfile;
use crate::role::metadata::{Keys, Running, make_slot};
use crate::role::sizes::LogSizes;
use anyhow::{Context, Result, ensure};
use ca::{Authority, Identity, Request, Role};
use metadata::slot::{AuthorityKey, Slot};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use types::wire::members::{ServerRole, ServerSettings};
use types::{ClusterId, NodeId, Profile};

/// The first id that is given out.
const FIRST: NodeId = NodeId::new(1);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The folder of the server, which is made
    #[arg(long, value_name = "DIR", env = "STRONGROOM_DATA")]
    data: PathBuf,
    /// Where other servers and operators will reach it: an IP address and a port
    #[arg(long, value_name = "ADDRESS", env = "STRONGROOM_LISTEN")]
    listen: SocketAddr,
    /// Address of its status, health and metrics
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "STRONGROOM_ADMIN",
        default_value = "127.0.0.1:9001"
    )]
    admin: SocketAddr,
    /// A name or IP address under which operators reach its admin address; may be given more than once
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    name: Vec<String>,
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
    ensure!(
        options.listen.port() != 0 && !options.listen.ip().is_unspecified(),
        "--listen {} is no address at which others reach this server",
        options.listen
    );
    let home = Home::make(&options.data)?;
    ensure!(
        !home.keys().slot.exists(),
        "{} was begun and not finished; remove it, and begin again",
        home.folder().display()
    );
    let mut cluster = [0; 16];
    getrandom::fill(&mut cluster)
        .map_err(std::io::Error::other)
        .context("drawing a cluster id")?;
    let cluster = ClusterId::new(cluster);

    let made = Authority::make()?;
    let authority = Authority::load(&made)?;
    let identity = Identity::server(cluster, Role::Metadata, FIRST);
    let request = Request::make()?;
    let own = authority.answer(
        &request.request,
        &identity,
        &names(&options.name, options.admin),
    )?;
    home.write_certificates(&made.certificate_pem, &request.key_pem, &own)?;
    let slot = Slot {
        authority: Some(AuthorityKey::new(authority.key())),
        ..Slot::random()
    };
    make_slot(&home, identity, slot)?;

    let settings = ServerSettings {
        profile: options.profile,
        abandoned_after_seconds: options.abandoned_after_seconds,
        reclaim_after_seconds: options.reclaim_after_seconds,
    };
    let key = ca::requested_key(&request.request)?;
    begin(&options, settings, &key).await?;

    let operator = authority.client_files(&Identity::operator(cluster))?;
    files::write_pair(
        &home.operator(),
        &operator.key_pem,
        &operator.certificate_pem,
    )?;
    let profile = ClusterProfile {
        admin: Some(options.admin),
        ca: home.ca(),
        operator: home.operator(),
        metadata: BTreeMap::from([(FIRST.get().to_string(), options.listen)]),
    };
    profile.write(&home.profile())?;
    let keys = Keys {
        data: Some(home.folder().to_owned()),
        listen: Some(options.listen),
        admin: Some(options.admin),
        profile: Some(settings.profile),
        abandoned_after_seconds: Some(settings.abandoned_after_seconds),
        reclaim_after_seconds: Some(settings.reclaim_after_seconds),
        ..Keys::default()
    };
    let config = home.config(ServerRole::Metadata);
    files::write(&config, toml::to_string(&keys)?.as_bytes(), Access::Public)?;
    write_line(&format!("cluster  {cluster}"))?;
    write_line(&format!(
        "run      strongroom metadata --config {}",
        config.display()
    ))?;
    write_line(&format!("operate  --cluster {}", home.profile().display()))
}

/// Begins Raft with this one server, and stops it again.
async fn begin(options: &Options, settings: ServerSettings, key: &[u8]) -> Result<()> {
    let running = Running::start(
        Home::at(&options.data)?,
        options.listen,
        settings,
        LogSizes::default(),
    )
    .await?;
    let replica = &running.replica;
    replica.begin_alone(options.listen).await?;
    replica.node().leader().await?;
    let registrar = replica.registrar();
    let node = registrar
        .note_first(key, options.listen.to_string())
        .await?;
    ensure!(node == FIRST, "the first server's id is {node}");
    running.note_begun()?;
    running.stop().await;
    Ok(())
}

/// Under which names an admin address is reached: those that were said, and itself.
pub(super) fn names(said: &[String], admin: SocketAddr) -> Vec<String> {
    let mut names = said.to_vec();
    let own = admin.ip().to_string();
    if !admin.ip().is_unspecified() && !names.contains(&own) {
        names.push(own);
    }
    names
}
