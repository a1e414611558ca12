//! `strongroom gateway`: S3, with the metadata servers and the storage nodes elsewhere.

use super::config::{Common, Listening, Process, said, table};
use super::distant::DistantDisks;
use super::renew::Renewed;
use super::report::{Ready, Report};
use super::{TENANT, announce, read};
use crate::certificate::{self, Files};
use crate::stop::Stop;
use anyhow::{Context, Result};
use ca::Role;
use client::{Client, ClientConfig, Nodes, RemoteMetadata};
use gateway::{AdminConfig, Gateway, GatewayConfig, Identity, Limits, Metrics, TlsListen};
use rpc::bulk::PoolLimits;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use types::wire::{ShardStore, Upkeep};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The role's configuration, in TOML; each key may also be said here or in an environment variable
    #[arg(long, value_name = "FILE", env = "STRONGROOM_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    keys: Keys,
}

/// What the file holds.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    s3: Option<SocketAddr>,
    s3_tls: Option<SocketAddr>,
    s3_cert: Option<PathBuf>,
    s3_key: Option<PathBuf>,
    s3_domain: Option<Vec<String>>,
    admin: Option<SocketAddr>,
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
    /// Address of S3 over http [default: none]
    #[arg(long, value_name = "ADDRESS", env = "STRONGROOM_S3")]
    s3: Option<SocketAddr>,
    /// Address of S3 over https [default: none]
    #[arg(long, value_name = "ADDRESS", env = "STRONGROOM_S3_TLS")]
    s3_tls: Option<SocketAddr>,
    /// The certificate chain of S3 over https, in PEM; read again when it changes [default: the process's own]
    #[arg(long, value_name = "FILE", env = "STRONGROOM_S3_CERT")]
    s3_cert: Option<PathBuf>,
    /// The private key of that certificate, in PEM
    #[arg(long, value_name = "FILE", env = "STRONGROOM_S3_KEY")]
    s3_key: Option<PathBuf>,
    /// Below this domain BUCKET.NAME names a bucket; may be given more than once
    #[arg(
        long,
        value_name = "NAME",
        env = "STRONGROOM_S3_DOMAIN",
        value_delimiter = ','
    )]
    s3_domain: Option<Vec<String>>,
    /// Address of the operator's API, over mutual TLS
    #[arg(long, value_name = "ADDRESS", env = "STRONGROOM_ADMIN")]
    admin: Option<SocketAddr>,
}

/// Checked.
struct Config {
    process: Process,
    s3: Option<SocketAddr>,
    s3_tls: Option<SocketAddr>,
    certificate: Option<Files>,
    domains: Vec<String>,
    admin: SocketAddr,
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
        let certificate = keys.s3_cert.or(file.s3_cert);
        let key = keys.s3_key.or(file.s3_key);
        let certificate = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(Files { certificate, key }),
            (None, None) => None,
            _ => anyhow::bail!("s3_cert and s3_key go together; one of them is not set"),
        };
        let s3 = keys.s3.or(file.s3);
        let s3_tls = keys.s3_tls.or(file.s3_tls);
        if s3.or(s3_tls).is_none() {
            anyhow::bail!("neither s3 nor s3_tls is set; a gateway serves at least one");
        }
        Ok(Self {
            process: common.or(in_file).process(Role::Gateway)?,
            s3,
            s3_tls,
            certificate,
            domains: keys.s3_domain.or(file.s3_domain).unwrap_or_default(),
            admin: said("admin", keys.admin.or(file.admin))?,
        })
    }
}

/// Runs it to the end.
pub(crate) fn run(options: Options) -> Result<()> {
    super::run(serve(options))
}

async fn serve(options: Options) -> Result<()> {
    // Taken first: a signal during start-up is not lost.
    let mut stop = Stop::new()?;
    let config = Config::new(options).context("reading the configuration")?;
    let servers = config.process.servers()?;
    let running = tokio::select! {
        started = Running::start(config, servers) => started.context("starting the gateway")?,
        () = stop.asked() => return Ok(()),
    };
    let bound = running.gateway.addresses();
    let endpoints = [
        ("s3", "http", bound.s3),
        ("s3-tls", "https", bound.s3_tls),
        ("admin", "https", bound.admin),
    ];
    let told = |(name, scheme, at): (_, &str, Option<SocketAddr>)| {
        at.map(|at| (name, format!("{scheme}://{at}")))
    };
    let endpoints: Vec<_> = endpoints.into_iter().filter_map(told).collect();
    announce(&endpoints)?;
    stop.asked().await;
    stop.drain(running.stop()).await;
    Ok(())
}

struct Running {
    gateway: Gateway,
    client: Arc<Client>,
    _certificate: Option<certificate::Watched>,
    _own: Renewed,
}

impl Running {
    async fn start(config: Config, servers: Arc<RemoteMetadata>) -> Result<Self> {
        // First: what begins to count without it is never seen.
        let metrics = Metrics::install();
        let table = table(&servers).await;
        let process = &config.process;
        let own = process.renewed(&servers);
        let nodes = Nodes::new(
            process.credentials.clone(),
            process.cluster,
            process.storage_nodes(&servers),
            PoolLimits::default(),
            Arc::clone(&servers) as Arc<dyn Upkeep>,
        );
        nodes.learn(&table);
        let nodes = Arc::new(nodes);
        let shards: Arc<dyn ShardStore> = Arc::clone(&nodes) as _;
        let client = Client::start(
            ClientConfig::new(process.node),
            Arc::clone(&servers) as _,
            Arc::clone(&shards),
        );
        let report = Arc::new(Report {
            cluster: process.cluster,
            upkeep: Arc::clone(&servers) as Arc<dyn Upkeep>,
            everywhere: Arc::clone(&shards),
            shards,
            keeper: None,
            metrics,
            ready: Ready::Enough,
        });
        let (watched, s3_tls) = match (config.s3_tls, &config.certificate) {
            (None, _) => (None, None),
            (Some(address), Some(files)) => {
                let (watched, tls) = certificate::watch(files.clone())?;
                (Some(watched), Some(TlsListen { address, tls }))
            }
            (Some(address), None) => {
                let own = Arc::new(process.credentials.open_server()?);
                (None, Some(TlsListen::fixed(address, own)))
            }
        };
        let operators = Arc::new(process.credentials.server(&[Role::Operator])?);
        let gateway = GatewayConfig {
            s3: config.s3,
            s3_tls,
            admin: Some(AdminConfig {
                listen: TlsListen::fixed(config.admin, operators),
                report,
                operations: Arc::new(DistantDisks(nodes)),
                accounts: Arc::clone(&servers) as _,
                usages: Arc::clone(&servers) as _,
                tenant: TENANT,
            }),
            region: "us-east-1".into(),
            domains: config.domains,
            limits: Limits::default(),
        };
        let identity = Identity::new(servers);
        let gateway = Gateway::start(gateway, Arc::clone(&client), identity).await?;
        Ok(Self {
            gateway,
            client,
            _certificate: watched,
            _own: own,
        })
    }

    async fn stop(self) {
        self.gateway.shutdown().await;
        self.client.shutdown().await;
    }
}
