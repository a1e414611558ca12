//! `strongroom storage`: the disks of one machine, served to gateways and to other storage nodes.
//!
//! ```text
//! certificate -> metadata servers -> group table -> disks -> upkeep -> shard service, admin API -> ready
//! ```
//!
//! It serves only disks that are stamped. With `--admit-disks` it makes the empty folders disks, and ends. Stopped,
//! it takes no new requests, finishes those under way, gives up its upkeep, and closes its disks.

use super::config::{Common, Listening, Process, said, table};
use super::folders::{self, Owner};
use super::renew::Renewed;
use super::report::{Ready, Report, profile};
use super::{announce, read};
use crate::disks::Folders;
use crate::operations::Operations;
use crate::settings::{
    check_scrub_days, check_seconds, default_look_through_seconds, default_scrub_days,
    keeper_config,
};
use crate::stop::Stop;
use anyhow::{Context, Result, bail};
use ca::Role;
use client::{Nodes, RemoteMetadata};
use disk::Choice;
use gateway::{AdminServer, Limits, Metrics, TlsListen};
use rpc::bulk::PoolLimits;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use storage_node::upkeep::{Keeper, KeeperConfig, Quiet};
use storage_node::{Node, NodeConfig, ServeLimits, ShardServer, Watch};
use types::placement::GroupTable;
use types::wire::{Scrubs, ShardStore, Upkeep};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The role's configuration, in TOML; each key may also be said here or in an environment variable
    #[arg(long, value_name = "FILE", env = "STRONGROOM_CONFIG")]
    config: Option<PathBuf>,
    /// Make every empty folder a new disk of the cluster, and end
    #[arg(long)]
    admit_disks: bool,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    keys: Keys,
}

/// What the file holds.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    disks: Option<Vec<PathBuf>>,
    look_through_seconds: Option<u32>,
    scrub_days: Option<u32>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    ca: Option<PathBuf>,
    renew_before_days: Option<u32>,
    metadata: Option<Listening>,
    storage: Option<Listening>,
}

/// Keys of this role.
#[derive(Debug, Default, clap::Args)]
struct Keys {
    /// Address of the shard service
    #[arg(long, value_name = "ADDRESS", env = "STRONGROOM_LISTEN")]
    listen: Option<SocketAddr>,
    /// Address of the operator's API, over mutual TLS
    #[arg(long, value_name = "ADDRESS", env = "STRONGROOM_ADMIN")]
    admin: Option<SocketAddr>,
    /// The folders that disks are mounted at
    #[arg(
        long,
        value_name = "DIR,…",
        env = "STRONGROOM_DISK_FOLDERS",
        value_delimiter = ','
    )]
    disks: Option<Vec<PathBuf>>,
    /// Disks are compared with the metadata every so many seconds [default: 3600]
    #[arg(long, value_name = "SECONDS", env = "STRONGROOM_LOOK_THROUGH_SECONDS")]
    look_through_seconds: Option<u32>,
    /// Every shard is read and proved within so many days; 0: only when asked for [default: 7]
    #[arg(long, value_name = "DAYS", env = "STRONGROOM_SCRUB_DAYS")]
    scrub_days: Option<u32>,
}

/// Checked.
struct Config {
    process: Process,
    listen: SocketAddr,
    admin: SocketAddr,
    disks: Vec<PathBuf>,
    keeper: KeeperConfig,
}

impl Config {
    fn new(options: Options) -> Result<Self> {
        let Options { common, keys, .. } = options;
        let file: File = read(options.config.as_deref())?;
        let in_file = Common {
            certificate: file.certificate,
            key: file.key,
            ca: file.ca,
            renew_before_days: file.renew_before_days,
            metadata: file.metadata,
            storage: file.storage,
        };
        let disks = said("disks", keys.disks.or(file.disks))?;
        if disks.is_empty() {
            bail!("disks names no folder; a storage process needs at least one");
        }
        let seconds = keys.look_through_seconds.or(file.look_through_seconds);
        let seconds = seconds.unwrap_or_else(default_look_through_seconds);
        check_seconds("look_through_seconds", seconds)?;
        let days = keys.scrub_days.or(file.scrub_days);
        let days = days.unwrap_or_else(default_scrub_days);
        check_scrub_days(days)?;
        Ok(Self {
            process: common.or(in_file).process(Role::Storage)?,
            listen: said("listen", keys.listen.or(file.listen))?,
            admin: said("admin", keys.admin.or(file.admin))?,
            disks,
            keeper: keeper_config(seconds, days),
        })
    }

    fn owner(&self) -> Owner {
        Owner {
            cluster: self.process.cluster,
            node: self.process.node,
        }
    }
}

/// Runs it to the end.
pub(crate) fn run(options: Options) -> Result<()> {
    super::run(serve(options))
}

async fn serve(options: Options) -> Result<()> {
    // Taken first: a signal during start-up is not lost.
    let mut stop = Stop::new()?;
    let admit = options.admit_disks;
    let config = Config::new(options).context("reading the configuration")?;
    let servers = config.process.servers()?;
    if admit {
        return tokio::select! {
            admitted = admit_disks(&config, &servers) => admitted,
            () = stop.asked() => Ok(()),
        };
    }
    let running = tokio::select! {
        started = Running::start(config, servers) => started.context("starting the storage node")?,
        () = stop.asked() => return Ok(()),
    };
    announce(&[
        ("shards", format!("https://{}", running.shards.address())),
        ("admin", format!("https://{}", running.admin.address())),
    ])?;
    stop.asked().await;
    stop.drain(running.stop()).await;
    Ok(())
}

async fn admit_disks(config: &Config, servers: &RemoteMetadata) -> Result<()> {
    let admitted = folders::admit(&config.disks, config.owner(), servers).await?;
    for disk in &admitted {
        crate::command::write_line(&format!("disk {} is admitted", disk.get()))?;
    }
    if admitted.is_empty() {
        crate::command::write_line("every folder is a disk of the cluster already")?;
    }
    Ok(())
}

struct Running {
    node: Arc<Node>,
    keeper: Arc<Keeper>,
    operations: Arc<Operations>,
    shards: ShardServer,
    admin: AdminServer,
    _own: Renewed,
}

impl Running {
    async fn start(config: Config, servers: Arc<RemoteMetadata>) -> Result<Self> {
        // First: what begins to count without it is never seen.
        let metrics = Metrics::install();
        let table = table(&servers).await;
        let own = config.process.renewed(&servers);
        let upkeep: Arc<dyn Upkeep> = Arc::clone(&servers) as _;
        let Process {
            cluster,
            node: id,
            credentials,
            ..
        } = &config.process;
        let (node, folders) = open(&config, &table).await;
        let quiet = Arc::new(Quiet(Arc::clone(&node)));
        let (addresses, limits) = (
            config.process.storage_nodes(&servers),
            PoolLimits::default(),
        );
        let peers = Nodes::new(
            credentials.clone(),
            *cluster,
            addresses,
            limits,
            Arc::clone(&upkeep),
        );
        let peers = peers.with_own(*id, quiet);
        peers.learn(&table);
        let peers: Arc<dyn ShardStore> = Arc::new(peers);
        let keeper = Keeper::start(
            Arc::clone(&node),
            Arc::clone(&upkeep),
            Arc::clone(&peers),
            config.keeper,
        );
        let operations = Arc::new(Operations {
            node: Arc::clone(&node),
            keeper: Arc::clone(&keeper),
            upkeep: Arc::clone(&upkeep),
            folders: Arc::new(folders),
            profile: profile(&table),
            server: *id,
            fleet: None,
            check: Mutex::default(),
        });
        let report = Arc::new(Report {
            cluster: *cluster,
            upkeep,
            shards: Arc::clone(&node) as Arc<dyn ShardStore>,
            everywhere: peers,
            keeper: Some(Arc::clone(&keeper)),
            metrics,
            ready: Ready::AnyDisk,
        });
        let tls = Arc::new(credentials.server(&[Role::Operator])?);
        let admin = TlsListen::fixed(config.admin, tls);
        let operated = Arc::clone(&operations) as Arc<dyn gateway::Operations>;
        let admin = AdminServer::start(admin, report, operated, Limits::default()).await?;
        let service = Arc::clone(&node) as Arc<dyn ShardStore>;
        let limits = ServeLimits::default();
        let scrubs = Arc::clone(&keeper) as Arc<dyn Scrubs>;
        let shards =
            ShardServer::start_with_scrubs(config.listen, credentials, service, scrubs, limits);
        let shards = shards.await?;
        Ok(Self {
            node,
            keeper,
            operations,
            shards,
            admin,
            _own: own,
        })
    }

    async fn stop(self) {
        self.shards.shutdown().await;
        self.operations.shutdown();
        self.keeper.shutdown().await;
        self.node.shutdown().await;
        self.admin.shutdown().await;
    }
}

async fn open(config: &Config, table: &GroupTable) -> (Arc<Node>, Folders) {
    let owner = config.owner();
    let (disks, folders) = folders::find(&config.disks, owner, table).await;
    let node = Node::open(NodeConfig {
        cluster: owner.cluster,
        node: owner.node,
        disks,
        engine: Choice::Auto,
        limits: storage_node::Limits::default(),
        watch: Watch::default(),
    });
    let node = node.await;
    node.learn(table);
    for (disk, damage) in node.damage() {
        tracing::error!(%disk, ?damage, "a record is damaged; reads of its shard are rebuilt from others");
    }
    (Arc::new(node), folders)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key is read, and one that nobody knows is refused.
    #[test]
    fn the_file_is_read_strictly() {
        let text = r#"
            listen = "10.0.0.4:9100"
            admin = "10.0.0.4:9101"
            disks = ["/srv/disk-0", "/srv/disk-1"]
            look_through_seconds = 60
            scrub_days = 14
            certificate = "node.pem"
            key = "node.key"
            ca = "ca.pem"
            [metadata]
            1 = "10.0.0.1:9011"
            [storage]
            4 = "10.0.0.4:9100"
        "#;
        let file: File = toml::from_str(text).unwrap();
        assert_eq!(file.disks.unwrap().len(), 2);
        assert!(file.metadata.is_some() && file.storage.is_some());
        let wrong = text.replace("listen", "listens");
        let refused = toml::from_str::<File>(&wrong).unwrap_err().to_string();
        assert!(refused.contains("listens"), "{refused}");
    }
}
