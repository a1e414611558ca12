//! The metadata servers of this process: one, asked by function calls; or three, over sockets and mutual TLS.
//!
//! ```text
//! DIR/metadata-N/slot        made for all of them at first start, before Raft first starts on any
//! DIR/metadata-N/log, sled   its log and snapshots; its cache
//! DIR/metadata.begun         of three: every log was there, so one that is missing was lost
//! DIR/metadata.toml          of three: where they listen, if that was said
//! ```
//!
//! One that stops for good ends the process; of three, that one is started again while the others go on
//! (`metadata::supervise`). Each listens on a port of its own, noted in a book that the others and the gateway
//! look up: nothing that Raft stores names a port. A free one, unless other processes are to find them: then on
//! consecutive ports, which are told in a file.

use crate::ca::Authority;
use crate::cluster::{MetadataServer, NODE};
use crate::files::{self, Access};
use crate::settings::Settings;
use crate::status::MetadataStatus;
use anyhow::{Context, Result, bail};
use ca::Role;
use client::{RemoteMetadata, Servers};
use disk::{Choice, Disk};
use futures::FutureExt;
use metadata::raft::{self, NodeConfig};
use metadata::slot::{Before, KeyFiles, Slot};
use metadata::store::Sled;
use metadata::supervise::{Start, State};
use metadata::{
    Keyring, Opened, Replica, ReplicaConfig, ReplicaError, Server, ServerConfig, Store, Supervised,
};
use rpc::{AddressBook, Addresses};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use types::NodeId;
use types::wire::calls::Remote;
use types::wire::{Accounts, Metadata, Upkeep, Usages};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long three servers may take to choose a leader at start: long beside other work, a few seconds alone.
pub(crate) const ELECTED_WITHIN: Duration = Duration::from_secs(60);
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The metadata servers.
pub(crate) enum Fleet {
    /// The only one.
    One(Arc<MetadataServer>),
    /// Three.
    Three {
        /// Each kept running.
        servers: Vec<(NodeId, Arc<Supervised>)>,
        /// The way to whichever leads.
        remote: Arc<RemoteMetadata>,
    },
}

impl Fleet {
    /// Starts what the settings say.
    pub(crate) async fn start(
        data: &Path,
        settings: &Settings,
        authority: &Authority,
        listen: Option<SocketAddr>,
    ) -> Result<Arc<Self>> {
        let ids: Vec<NodeId> = (1..=u64::from(settings.metadata))
            .map(NodeId::new)
            .collect();
        let mut members = Vec::new();
        for id in &ids {
            members.push(Member::open(data, *id).await?);
        }
        let slots = slots(data, settings, &members)?;
        if let [member] = &members[..] {
            if listen.is_some() {
                bail!("one metadata server listens nowhere; --metadata-listen needs --metadata 3");
            }
            let slot = slots.into_iter().next().expect("one for each");
            return start_one(member, settings, slot).await;
        }
        let book = AddressBook::default();
        let addresses: Arc<dyn Addresses> = Arc::new(book.clone());
        let listen = listeners(listen, &ids)?;
        let mut servers = Vec::new();
        for ((member, slot), listen) in members.iter().zip(slots).zip(&listen) {
            let config = ReplicaConfig {
                raft: NodeConfig::new(member.id),
                service: service(settings),
                cluster: settings.cluster,
                credentials: authority.credentials(Role::Metadata, member.id)?,
                addresses: Arc::clone(&addresses),
                book: book.clone(),
                listen: *listen,
                store: member.folder.join("sled"),
                cache: Sled::default(),
                slot,
                provider: seal::provider::default(),
                office: None,
            };
            let supervised = Supervised::start(member.id, member.starter(config)).await;
            let supervised = Arc::new(supervised);
            #[cfg(debug_assertions)]
            hook::watch(&member.folder, &supervised);
            servers.push((member.id, supervised));
        }
        begin(data, &ids, &servers).await?;
        note(data, &ids, &listen)?;
        let gateway = authority.credentials(Role::Gateway, NODE)?;
        let remote = Servers::start(&gateway, settings.cluster, &ids, &addresses)?;
        Ok(Arc::new(Self::Three {
            servers,
            remote: Arc::new(Remote(remote)),
        }))
    }

    /// The services as a gateway asks them.
    pub(crate) fn service(&self) -> (Arc<dyn Metadata>, Arc<dyn Accounts>, Arc<dyn Upkeep>) {
        match self {
            Self::One(server) => (
                Arc::clone(server) as _,
                Arc::clone(server) as _,
                Arc::clone(server) as _,
            ),
            Self::Three { remote, .. } => (
                Arc::clone(remote) as _,
                Arc::clone(remote) as _,
                Arc::clone(remote) as _,
            ),
        }
    }

    /// What buckets hold and may hold, as an operator asks it.
    pub(crate) fn usages(&self) -> Arc<dyn Usages> {
        match self {
            Self::One(server) => Arc::clone(server) as _,
            Self::Three { remote, .. } => Arc::clone(remote) as _,
        }
    }

    /// Whether another server may lead in a moment.
    pub(crate) fn elects(&self) -> bool {
        matches!(self, Self::Three { .. })
    }

    /// The server that leads, for what is done at start.
    pub(crate) async fn leader(&self) -> Result<Arc<MetadataServer>> {
        let servers = match self {
            Self::One(server) => return Ok(Arc::clone(server)),
            Self::Three { servers, .. } => servers,
        };
        let deadline = Instant::now() + ELECTED_WITHIN;
        loop {
            for (id, server) in servers {
                if let Some(replica) = server.running()
                    && replica.node().leadership().leader == Some(*id)
                {
                    return Ok(Arc::clone(replica.server()));
                }
            }
            if Instant::now() > deadline {
                let servers: Vec<String> = self.status().iter().map(ToString::to_string).collect();
                bail!("the metadata servers have no leader: {servers:?}");
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Returns when there is no going on, with why.
    pub(crate) async fn failed(&self) -> String {
        match self {
            Self::One(server) => server.log().stopped().await,
            Self::Three { .. } => std::future::pending().await,
        }
    }

    /// What each says of itself.
    pub(crate) fn status(&self) -> Vec<MetadataStatus> {
        let mut all: Vec<MetadataStatus> = match self {
            Self::One(server) => vec![server.log().status().into()],
            Self::Three { servers, .. } => servers
                .iter()
                .map(|(id, server)| match server.state() {
                    State::Running(replica) => replica.node().status().into(),
                    State::Stopped(why) => MetadataStatus {
                        node: id.get(),
                        leader: false,
                        term: 0,
                        applied: 0,
                        lag: 0,
                        stopped: Some(why),
                    },
                })
                .collect(),
        };
        let latest = all.iter().map(|server| server.term).max();
        let most = all.iter().map(|server| server.applied).max().unwrap_or(0);
        for server in all.iter_mut().filter(|server| server.stopped.is_none()) {
            // One that was cut off may still think that it leads.
            server.leader &= Some(server.term) == latest;
            server.lag = most - server.applied;
        }
        all
    }

    /// Stops them all.
    pub(crate) async fn stop(&self) {
        match self {
            Self::One(server) => {
                server.shutdown().await;
                server.log().shutdown().await;
            }
            Self::Three { servers, .. } => {
                let stopped = servers.iter().map(|(_, server)| server.stop());
                futures::future::join_all(stopped).await;
            }
        }
    }
}

/// Where each listens: at the address that was said and the ports above it, or on free ports.
fn listeners(first: Option<SocketAddr>, ids: &[NodeId]) -> Result<Vec<SocketAddr>> {
    let Some(first) = first else {
        return Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); ids.len()]);
    };
    let last = u16::try_from(ids.len() - 1)?;
    if first.port() == 0 || first.port().checked_add(last).is_none() {
        bail!(
            "--metadata-listen {first} leaves no ports for {} servers",
            ids.len()
        );
    }
    let at = |up| SocketAddr::new(first.ip(), first.port() + up);
    Ok((0..=last).map(at).collect())
}

/// Tells other processes where the servers listen; nothing where they listen anywhere.
fn note(data: &Path, ids: &[NodeId], listen: &[SocketAddr]) -> Result<()> {
    let noted = data.join("metadata.toml");
    if listen.iter().any(|address| address.port() == 0) {
        return match std::fs::remove_file(&noted) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        };
    }
    let addresses = ids.iter().map(|id| id.get().to_string());
    let addresses: BTreeMap<String, SocketAddr> = addresses.zip(listen.iter().copied()).collect();
    let text = toml::to_string(&BTreeMap::from([("metadata", addresses)]))?;
    files::write(&noted, text.as_bytes(), Access::Public)
}

fn service(settings: &Settings) -> ServerConfig {
    ServerConfig {
        abandoned_after: DAY * settings.abandoned_uploads_days,
        reclaim_after: Duration::from_secs(settings.reclaim_after_seconds.into()),
        ..ServerConfig::new(settings.profile)
    }
}

async fn start_one(member: &Member, settings: &Settings, slot: Slot) -> Result<Arc<Fleet>> {
    let provider = seal::provider::default();
    let (store, opened) = Store::open(&member.folder.join("sled")).context("opening the cache")?;
    if let Opened::Rebuilt { reason } = &opened {
        tracing::warn!("the metadata cache is made anew from snapshot and log: {reason}");
    }
    let network = raft::Network::new();
    let node = raft::Node::start(
        NodeConfig::new(member.id),
        Arc::new(store),
        member.log()?,
        Arc::clone(&provider),
        slot.storage,
        &network,
    );
    let node = Arc::new(node.await.context("starting metadata-0")?);
    node.initialize([(member.id, "in-process".to_owned())])
        .await?;
    node.leader().await?;
    let keys = Keyring::new(provider, slot.rings);
    Ok(Arc::new(Fleet::One(Server::start(
        node,
        keys,
        service(settings),
    ))))
}

/// Begins the cluster, once in its life, when all three run for the first time.
async fn begin(data: &Path, ids: &[NodeId], servers: &[(NodeId, Arc<Supervised>)]) -> Result<()> {
    let begun = begun(data);
    if begun.exists() {
        return Ok(());
    }
    let mut first = None;
    for (id, server) in servers {
        match server.state() {
            State::Running(replica) => first = first.or(Some(replica)),
            State::Stopped(why) => bail!("{id} must run when the cluster is begun: {why}"),
        }
    }
    let first = first.context("there are servers")?;
    first.begin(ids).await?;
    files::write(&begun, b"", Access::Public)
}

fn begun(data: &Path) -> PathBuf {
    data.join("metadata.begun")
}

/// One server's belongings.
struct Member {
    id: NodeId,
    folder: PathBuf,
    had_log: bool,
    /// Opened already, for its first start.
    log: Arc<Mutex<Option<Arc<dyn Disk>>>>,
}

impl Member {
    async fn open(data: &Path, id: NodeId) -> Result<Self> {
        let folder = data.join(format!("metadata-{}", id.get() - 1));
        files::make_folder(&folder)?;
        files::make_folder(&folder.join("log"))?;
        let log = open_log(&folder).context("opening the log's folder")?;
        Ok(Self {
            id,
            had_log: raft::log_exists(&*log).await?,
            folder,
            log: Arc::new(Mutex::new(Some(log))),
        })
    }

    fn log(&self) -> std::io::Result<Arc<dyn Disk>> {
        take_log(&self.folder, &self.log)
    }

    fn starter(&self, config: ReplicaConfig) -> Start {
        let (folder, log) = (self.folder.clone(), Arc::clone(&self.log));
        Box::new(move || {
            let (config, log) = (config.clone(), take_log(&folder, &log));
            async move { Replica::start(config, log.map_err(ReplicaError::Disk)?).await }.boxed()
        })
    }
}

fn open_log(folder: &Path) -> std::io::Result<Arc<dyn Disk>> {
    disk::open(&folder.join("log"), Choice::Auto)
}

fn take_log(
    folder: &Path,
    opened: &Mutex<Option<Arc<dyn Disk>>>,
) -> std::io::Result<Arc<dyn Disk>> {
    let opened = opened.lock().unwrap_or_else(PoisonError::into_inner).take();
    opened.map_or_else(|| open_log(folder), Ok)
}

/// Every server's keys; all hold the same ring keys. They are made together, before any log is: where one
/// has a log, no slot may be missing, nor, once the cluster was begun, any log.
fn slots(data: &Path, settings: &Settings, members: &[Member]) -> Result<Vec<Slot>> {
    let provider = seal::provider::default();
    let any_log = members.iter().any(|member| member.had_log);
    let before = if any_log || begun(data).exists() {
        Before::Log
    } else {
        Before::Never
    };
    let mut slots: Vec<Slot> = Vec::new();
    for member in members {
        let keys = KeyFiles {
            root: data.join("root.key"),
            slot: member.folder.join("slot"),
        };
        let (provider, cluster, id) = (&*provider, settings.cluster, member.id);
        let slot = match slots.first() {
            None => Slot::open_or_create(&keys, provider, cluster, id, before),
            Some(first) => Slot::open_or_join(&keys, provider, cluster, id, before, &first.rings),
        };
        let slot = slot.with_context(|| format!("starting {}", member.folder.display()))?;
        if slots.first().is_some_and(|first| first.rings != slot.rings) {
            bail!("{} holds other keys than metadata-0", keys.slot.display());
        }
        if begun(data).exists() && !member.had_log {
            bail!(
                "the log in {} is gone: a metadata server that has lost it must not vote again; restore it",
                member.folder.display()
            );
        }
        slots.push(slot);
    }
    Ok(slots)
}

/// For tests, and compiled for them alone (debug builds): a server is away while `away` is in its folder.
#[cfg(debug_assertions)]
mod hook {
    use metadata::Supervised;
    use std::path::Path;
    use std::sync::{Arc, Weak};
    use std::time::Duration;

    pub(super) fn watch(folder: &Path, server: &Arc<Supervised>) {
        let (away, server): (_, Weak<Supervised>) = (folder.join("away"), Arc::downgrade(server));
        tokio::spawn(async move {
            while let Some(server) = server.upgrade() {
                server.away(away.exists());
                drop(server);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Servers listen on free ports, or from an address on; where they do is told only if it stays so.
    #[test]
    fn addresses_are_told_when_they_stay() {
        let scratch = tempfile::tempdir().unwrap();
        let ids = [1, 2, 3].map(NodeId::new);
        let told = || std::fs::read_to_string(scratch.path().join("metadata.toml")).ok();
        let fixed = listeners(Some("10.0.0.1:9011".parse().unwrap()), &ids).unwrap();
        note(scratch.path(), &ids, &fixed).unwrap();
        let expected =
            "[metadata]\n1 = \"10.0.0.1:9011\"\n2 = \"10.0.0.1:9012\"\n3 = \"10.0.0.1:9013\"\n";
        assert_eq!(told().as_deref(), Some(expected));
        let free = listeners(None, &ids).unwrap();
        note(scratch.path(), &ids, &free).unwrap();
        note(scratch.path(), &ids, &free).unwrap();
        assert_eq!(told(), None);
        for bad in ["10.0.0.1:0", "10.0.0.1:65534"] {
            assert!(
                listeners(Some(bad.parse().unwrap()), &ids).is_err(),
                "{bad}"
            );
        }
    }
}
