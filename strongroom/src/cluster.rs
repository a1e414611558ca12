//! Every role in one process: metadata servers, storage node, gateway, wired by function calls; where there
//! are three metadata servers, over sockets.
//!
//! Start-up goes from the bottom up: the metadata server first, since it knows which disks there should
//! be; then the disks; then the data path; the sockets last, so that nobody is served by half a cluster.
//! Shutdown goes the other way.
//!
//! On the very first start the disks are stamped and admitted and the groups laid out. Every step may be
//! cut short and is done again by the next start; once there are groups, no disk is ever stamped here.

use crate::ca::Authority;
use crate::certificate;
use crate::disks::{self, Folders};
use crate::files;
use crate::fleet::{ELECTED_WITHIN, Fleet, LOOK_AGAIN};
use crate::operations::Operations;
use crate::profile::ClusterProfile;
use crate::root;
use crate::settings::{Settings, keeper_config};
use crate::status::Status;
use anyhow::{Context, Result, bail};
use client::{Client, ClientConfig};
use disk::Choice;
use futures::FutureExt;
use futures::future::BoxFuture;
use gateway::{AdminConfig, Gateway, GatewayConfig, Identity, Limits, Metrics, TlsListen};
use metadata::raft;
use metadata::{BootstrapError, Server};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use storage_node::upkeep::{Keeper, Quiet};
use storage_node::{Limits as DiskLimits, Node, NodeConfig, Watch};
use tokio::time::Instant;
use types::placement::GroupTable;
use types::wire::metadata::MetadataError;
use types::wire::storage::DiskState;
use types::wire::{Metadata, ShardStore, Upkeep};
use types::{NodeId, Profile, TenantId};

/// The one process is the one server of every role.
pub(crate) const NODE: NodeId = NodeId::new(1);
/// Until there are tenants, everything belongs to this one.
pub(crate) const TENANT: TenantId = TenantId::new(0);

pub(crate) type MetadataServer = Server<Arc<raft::Node>>;

/// What `strongroom dev` was asked for.
pub(crate) struct Config {
    pub(crate) data: PathBuf,
    pub(crate) s3: SocketAddr,
    pub(crate) s3_tls: SocketAddr,
    /// The operator's own, instead of one of the cluster's authority.
    pub(crate) certificate: Option<certificate::Files>,
    /// Below which buckets are named in the host.
    pub(crate) domains: Vec<String>,
    pub(crate) admin: SocketAddr,
    pub(crate) disks: Option<u16>,
    pub(crate) profile: Option<Profile>,
    pub(crate) metadata: Option<u16>,
    /// Where the first of three metadata servers listens.
    pub(crate) metadata_listen: Option<SocketAddr>,
}

/// Where the cluster listens, ports chosen.
pub(crate) struct Addresses {
    /// S3, and S3 over TLS; none where gateways are processes of their own.
    pub(crate) s3: Option<(SocketAddr, SocketAddr)>,
    pub(crate) admin: SocketAddr,
}

/// A running cluster.
pub(crate) struct Cluster {
    data: PathBuf,
    addresses: Addresses,
    gateway: Gateway,
    client: Arc<Client>,
    storage: Arc<Node>,
    keeper: Arc<Keeper>,
    operations: Arc<Operations>,
    metadata: Arc<Fleet>,
    _certificate: Option<certificate::Watched>,
    /// Let go of last: another process may have the folder then.
    _lock: files::FolderLock,
}

impl Cluster {
    /// Starts everything that is kept in `config.data`, or makes it there.
    pub(crate) async fn start(config: Config) -> Result<Self> {
        // First: what begins to count without it is never seen.
        let metrics = Metrics::install();
        files::make_folder(&config.data)?;
        let data = config
            .data
            .canonicalize()
            .context("finding the data folder")?;
        let lock = files::lock(&data)?;
        let settings =
            Settings::load_or_make(&data, config.disks, config.profile, config.metadata)?;
        let authority = Authority::load_or_make(&data, settings.cluster)?;
        let (certificate, s3_tls) = s3_tls(&config, &authority)?;

        let metadata = Fleet::start(&data, &settings, &authority, config.metadata_listen).await?;
        let table = begin(&data, &settings, &metadata).await?;
        let (storage, folders) = start_storage(&data, &settings, &table).await?;
        let (service, accounts, upkeep) = metadata.service();
        let keeper = Keeper::start(
            Arc::clone(&storage),
            Arc::clone(&upkeep),
            Arc::new(Quiet(Arc::clone(&storage))),
            keeper_config(settings.look_through_seconds, settings.scrub_days),
        );
        let client = Client::start(
            ClientConfig::new(NODE),
            Arc::clone(&service),
            Arc::clone(&storage) as Arc<dyn ShardStore>,
        );

        let operations = Arc::new(Operations {
            node: Arc::clone(&storage),
            keeper: Arc::clone(&keeper),
            upkeep: Arc::clone(&upkeep),
            folders,
            profile: settings.profile,
            server: NODE,
            fleet: Some(Arc::clone(&metadata)),
            check: Mutex::default(),
        });
        let report = Arc::new(Report {
            metadata: Arc::clone(&metadata),
            service,
            upkeep,
            keeper: Arc::clone(&keeper),
            storage: Arc::clone(&storage),
            metrics,
            settings,
        });
        // Without a disk there is nothing to serve: S3 is where the way to the disks is.
        let here = settings.disks > 0;
        let gateway = GatewayConfig {
            s3: here.then_some(config.s3),
            s3_tls: here.then_some(s3_tls),
            admin: Some(AdminConfig {
                listen: TlsListen::fixed(
                    config.admin,
                    Arc::new(authority.operators_server(&names(config.admin))?),
                ),
                report,
                operations: Arc::clone(&operations) as Arc<dyn gateway::Operations>,
                accounts: Arc::clone(&accounts),
                usages: metadata.usages(),
                tenant: TENANT,
            }),
            region: "us-east-1".into(),
            domains: config.domains,
            limits: Limits::default(),
        };
        let identity = Identity::new(accounts);
        let gateway = Gateway::start(gateway, Arc::clone(&client), identity).await?;
        let addresses = addresses(&gateway);
        let profile = ClusterProfile {
            admin: Some(reachable(addresses.admin)),
            ca: data.join("ca.pem"),
            operator: authority.operator_file().to_owned(),
            metadata: BTreeMap::new(),
        };
        profile.write(&data.join("profile.toml"))?;
        Ok(Self {
            data,
            addresses,
            gateway,
            client,
            storage,
            keeper,
            operations,
            metadata,
            _certificate: certificate,
            _lock: lock,
        })
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Where it keeps everything.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Returns when a part has stopped for good by itself, with why. The process ends then.
    pub(crate) async fn failed(&self) -> String {
        self.metadata.failed().await
    }

    /// Takes no new requests, finishes those under way, then stops every part.
    pub(crate) async fn stop(self) {
        self.gateway.shutdown().await;
        self.client.shutdown().await;
        self.operations.shutdown();
        self.keeper.shutdown().await;
        self.storage.shutdown().await;
        self.metadata.stop().await;
    }
}

/// What a start does in the metadata, and the groups that there are then. It is begun anew where servers elect and
/// the leader ceased to lead meanwhile: each step finds what an earlier try has done.
async fn begin(data: &Path, settings: &Settings, fleet: &Fleet) -> Result<GroupTable> {
    let deadline = Instant::now() + ELECTED_WITHIN;
    loop {
        let leader = fleet.leader().await?;
        match begin_at(&leader, data, settings).await {
            Err(error) if fleet.elects() && is_unavailable(&error) && Instant::now() < deadline => {
                tracing::warn!(
                    "the leader has changed; the start goes on with the next: {error:#}"
                );
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            other => return other,
        }
    }
}

async fn begin_at(
    metadata: &MetadataServer,
    data: &Path,
    settings: &Settings,
) -> Result<GroupTable> {
    // All its servers are of this build.
    let raised = metadata.raise_level().await;
    raised.context("raising the feature level")?;
    root::settle(&data.join("credentials"), metadata)
        .await
        .context("making user root")?;
    let table = group_table(metadata).await?;
    if table.groups.is_empty() {
        let folders = disks::folders(data, settings.disks);
        disks::admit(&folders, settings, metadata, &table).await?;
        if settings.disks == 0 {
            // An operator says when all disks are there: `strongroom group create`.
            return Ok(table);
        }
    }
    // Always: a start that was cut short may have left some of it undone.
    metadata
        .create_groups(settings.profile)
        .await
        .context("laying out the groups")?;
    group_table(metadata).await
}

/// Whether it only has to be asked again.
fn is_unavailable(error: &anyhow::Error) -> bool {
    let asked = error.downcast_ref::<MetadataError>();
    let laid_out = error.downcast_ref::<BootstrapError>();
    matches!(asked, Some(MetadataError::Unavailable(_)))
        || matches!(
            laid_out,
            Some(BootstrapError::Service(MetadataError::Unavailable(_)))
        )
}

async fn start_storage(
    data: &Path,
    settings: &Settings,
    table: &GroupTable,
) -> Result<(Arc<Node>, Arc<Folders>)> {
    let folders = disks::folders(data, settings.disks);
    let folders = Folders::load(data, &folders, table)?;
    let node = Node::open(NodeConfig {
        cluster: settings.cluster,
        node: NODE,
        disks: folders.expected(),
        engine: Choice::Auto,
        limits: DiskLimits::default(),
        watch: Watch::default(),
    });
    let node = node.await;
    node.learn(table);
    for (disk, damage) in node.damage() {
        tracing::error!(%disk, ?damage, "a record is damaged; reads of its shard are rebuilt from others");
    }
    Ok((Arc::new(node), Arc::new(folders)))
}

async fn group_table(metadata: &MetadataServer) -> Result<GroupTable> {
    let table = metadata
        .group_table(0)
        .await
        .context("reading the group table")?;
    Ok(table.unwrap_or_default())
}

/// Where S3 is served over TLS, and with which certificate: the operator's own, which is followed, or one
/// of the cluster's authority for this machine's names and what is below the domains.
fn s3_tls(
    config: &Config,
    authority: &Authority,
) -> Result<(Option<certificate::Watched>, TlsListen)> {
    let address = config.s3_tls;
    if let Some(files) = &config.certificate {
        let (watched, tls) = certificate::watch(files.clone())?;
        return Ok((Some(watched), TlsListen { address, tls }));
    }
    let mut names = names(address);
    for domain in &config.domains {
        names.extend([domain.clone(), format!("*.{domain}")]);
    }
    let tls = authority.server(&names)?;
    Ok((None, TlsListen::fixed(address, Arc::new(tls))))
}

/// The names under which clients on this machine may reach an address.
fn names(address: SocketAddr) -> Vec<String> {
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    let ip = address.ip();
    if !ip.is_unspecified() && !ip.is_loopback() {
        names.push(ip.to_string());
    }
    names
}

/// An address that can be connected to: where a server listens on every interface, the loopback one.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => {
            (std::net::Ipv4Addr::LOCALHOST, v4.port()).into()
        }
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            (std::net::Ipv6Addr::LOCALHOST, v6.port()).into()
        }
        other => other,
    }
}

fn addresses(gateway: &Gateway) -> Addresses {
    let bound = gateway.addresses();
    Addresses {
        s3: bound.s3.zip(bound.s3_tls),
        admin: bound.admin.expect("the gateway was told to listen there"),
    }
}

/// What the admin API tells.
struct Report {
    metadata: Arc<Fleet>,
    service: Arc<dyn Metadata>,
    upkeep: Arc<dyn Upkeep>,
    keeper: Arc<Keeper>,
    storage: Arc<Node>,
    metrics: Metrics,
    settings: Settings,
}

impl Report {
    async fn gather(&self) -> Status {
        let disks = self.storage.report().await;
        let away = disks.iter().filter(|disk| disk.state != DiskState::Serving);
        let health = self.upkeep.health(away.map(|disk| disk.disk).collect());
        let health = health
            .await
            .inspect_err(|error| tracing::debug!(%error, "no health"));
        let done = self.keeper.done();
        Status {
            cluster: self.settings.cluster,
            profile: self.settings.profile,
            metadata: self.metadata.status(),
            disks,
            health: health.ok(),
            upkeep: done.into(),
        }
    }

    async fn check(&self) -> Result<()> {
        self.service.group_table(0).await?;
        let reports = self.storage.report().await;
        let serving = reports
            .iter()
            .filter(|disk| disk.state == DiskState::Serving)
            .count();
        let needed = reports.len().saturating_sub(self.settings.profile.parity());
        if serving < needed {
            bail!("{serving} disks serve, and reading takes {needed}");
        }
        Ok(())
    }
}

impl gateway::Report for Report {
    fn ready(&self) -> BoxFuture<'_, Result<(), String>> {
        async { self.check().await.map_err(|error| format!("{error:#}")) }.boxed()
    }

    fn status(&self) -> BoxFuture<'_, serde_json::Value> {
        async {
            serde_json::to_value(self.gather().await).expect("a status has text keys and numbers")
        }
        .boxed()
    }

    fn metrics(&self) -> String {
        self.metrics.render()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A start goes on with the next leader, and with nothing else that went wrong, whatever is said around it.
    #[test]
    fn only_what_is_unavailable_is_asked_again() {
        let unavailable = || MetadataError::Unavailable("no leader".to_owned());
        let told = |error: Result<()>| error.context("making user root").context("starting");
        for (error, again) in [
            (told(Err(unavailable().into())), true),
            (
                told(Err(BootstrapError::Service(unavailable()).into())),
                true,
            ),
            (told(Err(MetadataError::RowDamaged.into())), false),
            (told(Err(anyhow::anyhow!("it is not empty"))), false),
        ] {
            let error = error.expect_err("it is one");
            assert_eq!(is_unavailable(&error), again, "{error:#}");
        }
    }
}
