//! `strongroom metadata --config FILE`: one metadata server, in the folder that `init` or `join` made.
//!
//! ```text
//! folder's lock -> keys -> log -> Raft and service on one port -> admin API -> ready
//! ```
//!
//! Who else is a metadata server, the log says: a server that has joined waits until an operator adds it. Asked to
//! stop, it hands leadership over first. When its part in Raft stops for good, the process ends; whatever watches
//! over it starts it again.

use super::announce;
use super::config::{credentials, said};
use super::read;
use super::renew::{self, Renewed};
use super::sizes::Sizes;
use crate::files::{self, Access, FolderLock};
use crate::home::Home;
use crate::status::Status;
use crate::stop::Stop;
use anyhow::{Context, Result, bail, ensure};
use ca::{Authority, Credentials, Identity, Role};
use disk::Choice;
use futures::FutureExt;
use futures::future::BoxFuture;
use gateway::{AdminServer, Limits, Metrics, TlsListen};
use metadata::slot::{Before, Slot};
use metadata::{Office, Replica, ReplicaConfig, ServerConfig};
use rpc::AddressBook;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use types::Profile;
use types::wire::Upkeep;
use types::wire::members::ServerSettings;

const LOOK_AGAIN: Duration = Duration::from_millis(200);

#[derive(clap::Args)]
// Beside the commands that ask metadata servers, whose group has the name.
#[group(skip)]
pub(crate) struct Options {
    /// The server's configuration, in TOML, as `strongroom init` and `strongroom join` write it; each key may also
    /// be said here or in an environment variable
    #[arg(long, value_name = "FILE", env = "STRONGROOM_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    keys: Keys,
}

/// Keys of this role, in its file, on the command line, or in the environment.
#[derive(Debug, Default, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys {
    /// The folder that `strongroom init` or `strongroom join` made
    #[arg(long, value_name = "DIR", env = "STRONGROOM_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// Where it listens for other servers and for operators
    #[arg(long, value_name = "ADDRESS", env = "STRONGROOM_LISTEN")]
    pub(crate) listen: Option<SocketAddr>,
    /// Address of status, health and metrics, over mutual TLS
    #[arg(long, value_name = "ADDRESS", env = "STRONGROOM_ADMIN")]
    pub(crate) admin: Option<SocketAddr>,
    /// How buckets are coded that do not say; the same on every server
    #[arg(long, value_name = "K+M", env = "STRONGROOM_PROFILE")]
    #[serde(default, with = "text")]
    pub(crate) profile: Option<Profile>,
    /// Uploads in parts that are neither completed nor aborted expire after so many seconds of running; the same on
    /// every server
    #[arg(
        long,
        value_name = "SECONDS",
        env = "STRONGROOM_ABANDONED_AFTER_SECONDS"
    )]
    pub(crate) abandoned_after_seconds: Option<u64>,
    /// Deleted bytes leave the disks after so many seconds of running; the same on every server
    #[arg(long, value_name = "SECONDS", env = "STRONGROOM_RECLAIM_AFTER_SECONDS")]
    pub(crate) reclaim_after_seconds: Option<u64>,
    /// The certificate is renewed when it is valid for less than so many days; 0: never [default: 30]
    #[arg(long, value_name = "DAYS", env = "STRONGROOM_RENEW_BEFORE_DAYS")]
    pub(crate) renew_before_days: Option<u32>,
    /// The folder in which backups of the metadata are written [default: `backups` in the server's folder]
    #[arg(long, value_name = "DIR", env = "STRONGROOM_BACKUPS")]
    pub(crate) backups: Option<PathBuf>,
    /// Rows that are kept in memory: what is looked up or listed and is not among them is read from disk [default: 1024]
    #[arg(long, value_name = "MIB", env = "STRONGROOM_ROW_CACHE_MIB")]
    pub(crate) row_cache_mib: Option<u64>,
    /// Size of one file of the log; with less than twice as much free, proposals are refused [default: 64]
    #[arg(long, value_name = "MIB", env = "STRONGROOM_LOG_FILE_MIB")]
    pub(crate) log_file_mib: Option<u64>,
    /// A snapshot is due when the log since the last is longer than this, and than that [default: 64]
    #[arg(long, value_name = "MIB", env = "STRONGROOM_SNAPSHOT_AFTER_MIB")]
    pub(crate) snapshot_after_mib: Option<u64>,
    /// Entries of the log that are kept behind a snapshot, for servers that are behind [default: 100000]
    #[arg(long, value_name = "ENTRIES", env = "STRONGROOM_KEEP_ENTRIES")]
    pub(crate) keep_entries: Option<u64>,
}

impl Keys {
    /// Those that are the same on every server.
    pub(crate) fn of(settings: ServerSettings) -> Self {
        Self {
            profile: Some(settings.profile),
            abandoned_after_seconds: Some(settings.abandoned_after_seconds),
            reclaim_after_seconds: Some(settings.reclaim_after_seconds),
            ..Self::default()
        }
    }
}

/// A profile as people write it.
mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use types::Profile;

    pub(super) fn serialize<S: Serializer>(
        profile: &Option<Profile>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match profile {
            Some(profile) => to.collect_str(profile),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Profile>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        let profile = text.map(|text| text.parse()).transpose();
        profile.map_err(D::Error::custom)
    }
}

/// Checked.
pub(crate) struct Config {
    pub(crate) home: Home,
    pub(crate) listen: SocketAddr,
    admin: SocketAddr,
    pub(crate) settings: ServerSettings,
    pub(crate) backups: Option<PathBuf>,
    pub(crate) sizes: Sizes,
    renew_before_days: u32,
}

impl Config {
    fn new(options: Options) -> Result<Self> {
        let file: Keys = read(options.config.as_deref())?;
        Self::of(options.keys, file)
    }

    pub(crate) fn of(keys: Keys, file: Keys) -> Result<Self> {
        let abandoned = keys
            .abandoned_after_seconds
            .or(file.abandoned_after_seconds);
        let reclaim = keys.reclaim_after_seconds.or(file.reclaim_after_seconds);
        Ok(Self {
            backups: keys.backups.or(file.backups),
            sizes: Sizes::new(
                keys.log_file_mib.or(file.log_file_mib),
                keys.snapshot_after_mib.or(file.snapshot_after_mib),
                keys.keep_entries.or(file.keep_entries),
                keys.row_cache_mib.or(file.row_cache_mib),
            )?,
            renew_before_days: keys
                .renew_before_days
                .or(file.renew_before_days)
                .unwrap_or(renew::DEFAULT_DAYS),
            home: Home::at(&said("data", keys.data.or(file.data))?)?,
            listen: said("listen", keys.listen.or(file.listen))?,
            admin: said("admin", keys.admin.or(file.admin))?,
            settings: ServerSettings {
                profile: said("profile", keys.profile.or(file.profile))?,
                abandoned_after_seconds: said("abandoned_after_seconds", abandoned)?,
                reclaim_after_seconds: said("reclaim_after_seconds", reclaim)?,
            },
        })
    }
}

/// One running server, and its folder.
pub(crate) struct Running {
    pub(crate) replica: Replica,
    office: Arc<Office>,
    credentials: Credentials,
    identity: Identity,
    home: Home,
    settings: ServerSettings,
    _lock: FolderLock,
}

impl Running {
    /// Starts the server that a folder holds.
    pub(crate) async fn start(
        home: Home,
        listen: SocketAddr,
        settings: ServerSettings,
        sizes: Sizes,
        backups: Option<PathBuf>,
    ) -> Result<Self> {
        let lock = files::lock(home.folder())?;
        let certificate = home.certificate();
        let credentials = credentials(&certificate, &certificate, &home.ca())?;
        let identity = Identity::of(&credentials.certificate())
            .with_context(|| format!("in {}", certificate.display()))?;
        let (Role::Metadata, Some(node)) = (identity.role, identity.node) else {
            bail!(
                "{} is of {identity}, which is no metadata server",
                certificate.display()
            );
        };
        let provider = seal::provider::default();
        let slot = Slot::open(&home.keys(), &*provider, identity.cluster, node)?;
        files::make_folder(&home.log())?;
        let log = disk::open(&home.log(), Choice::Auto).context("opening the log's folder")?;
        ensure!(
            metadata::raft::log_exists(&*log).await? || !home.begun().exists(),
            "the log in {} is gone: a metadata server that has lost it must not vote again; take this server out \
             (metadata remove), and join a new one",
            home.log().display()
        );
        let office = Arc::new(office(&home, identity, &slot, settings, backups)?);
        let book = AddressBook::default();
        let seconds = Duration::from_secs;
        let replica = Replica::start(
            ReplicaConfig {
                raft: sizes.on(node),
                service: ServerConfig {
                    abandoned_after: seconds(settings.abandoned_after_seconds),
                    reclaim_after: seconds(settings.reclaim_after_seconds),
                    ..ServerConfig::new(settings.profile)
                },
                cluster: identity.cluster,
                credentials: credentials.clone(),
                addresses: Arc::new(book.clone()),
                book,
                listen,
                store: home.rows(),
                cache: sizes.cache(),
                slot,
                provider,
                office: Some(Arc::clone(&office)),
            },
            log,
        );
        Ok(Self {
            replica: replica.await?,
            office,
            credentials,
            identity,
            home,
            settings,
            _lock: lock,
        })
    }

    /// Renews the server's certificate from now on, signing it here, by a clock that the others confirm.
    fn renewed(&self, days: u32) -> Renewed {
        let certificate = renew::Certificate {
            file: self.home.certificate(),
            key_apart: false,
            credentials: self.credentials.clone(),
            days,
        };
        let (office, identity) = (Arc::clone(&self.office), self.identity);
        let registrar = Arc::downgrade(self.replica.registrar());
        let held = self.credentials.clone();
        let signer = move |request: Vec<u8>, names: Vec<String>| {
            let (office, registrar) = (Arc::clone(&office), registrar.upgrade());
            let useless = ca::holding(&held.certificate()).is_ok_and(|held| !held.valid);
            async move {
                let registrar = registrar.context("the server stops")?;
                // With one that has run out nobody can be asked.
                if !useless {
                    registrar.confirm_wall().await?;
                }
                Ok(office.authority.answer(&request, &identity, &names)?)
            }
            .boxed()
        };
        renew::keep(certificate, Box::new(signer))
    }

    /// From now on a log that is missing was lost.
    pub(crate) fn note_begun(&self) -> Result<()> {
        if self.home.begun().exists() {
            return Ok(());
        }
        files::write(&self.home.begun(), b"", Access::Public)
    }

    /// Notes it once this server is one of the members; does not return.
    async fn watch_begun(&self) -> Result<()> {
        while self.replica.node().membership().1.is_empty() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        self.note_begun()?;
        std::future::pending().await
    }

    /// Hands over what it leads, if others can, and stops.
    pub(crate) async fn stop(self) {
        let node = self.replica.node();
        if node.leadership().leader == Some(node.id()) && node.membership().1.len() > 1 {
            match node.hand_over(None).await {
                Ok(heir) => tracing::info!(%heir, "leadership was handed over"),
                Err(error) => tracing::warn!(%error, "leadership was not handed over"),
            }
        }
        self.replica.stop().await;
    }
}

fn office(
    home: &Home,
    identity: Identity,
    slot: &Slot,
    settings: ServerSettings,
    backups: Option<PathBuf>,
) -> Result<Office> {
    let ca = std::fs::read_to_string(home.ca());
    let ca = ca.with_context(|| format!("reading {}", home.ca().display()))?;
    let key = slot.authority.as_ref().with_context(|| {
        let slot = home.keys().slot;
        format!(
            "{} holds no authority's key; it was not made by init or join",
            slot.display()
        )
    })?;
    Ok(Office {
        authority: Authority::with_key(&ca, key.expose())?,
        cluster: identity.cluster,
        slot: slot.clone(),
        settings,
        backups: backups.unwrap_or_else(|| home.backups()),
    })
}

/// Makes the keys of a server that is new.
pub(crate) fn make_slot(home: &Home, identity: Identity, slot: Slot) -> Result<()> {
    let provider = seal::provider::default();
    let node = identity.node.context("a metadata server has an id")?;
    let (keys, cluster) = (home.keys(), identity.cluster);
    Slot::open_or_make(&keys, &*provider, cluster, node, Before::Never, || slot)?;
    Ok(())
}

/// Runs it to the end.
pub(crate) fn run(options: Options) -> Result<()> {
    super::run(serve(options))
}

async fn serve(options: Options) -> Result<()> {
    // Taken first: a signal during start-up is not lost.
    let mut stop = Stop::new()?;
    let config = Config::new(options).context("reading the configuration")?;
    // First: what begins to count without it is never seen.
    let metrics = Metrics::install();
    let (admin, days) = (config.admin, config.renew_before_days);
    let running = tokio::select! {
        started = Running::start(config.home, config.listen, config.settings, config.sizes, config.backups) => {
            Arc::new(started.context("starting the metadata server")?)
        }
        () = stop.asked() => return Ok(()),
    };
    let _own = running.renewed(days);
    let tls = Arc::new(running.credentials.server(&[Role::Operator])?);
    let report = Arc::new(Report {
        running: Arc::clone(&running),
        metrics,
    });
    let operations = Arc::new(NoDisks);
    let tls = TlsListen::fixed(admin, tls);
    let admin = AdminServer::start(tls, report, operations, Limits::default()).await?;
    announce(&[
        ("metadata", format!("https://{}", running.replica.address())),
        ("admin", format!("https://{}", admin.address())),
    ])?;
    tokio::select! {
        () = stop.asked() => {}
        noted = running.watch_begun() => noted?,
        why = running.replica.node().stopped() => bail!("the metadata server has stopped: {why}"),
    }
    let stopping = async {
        admin.shutdown().await;
        // The admin API, which looked at it, has ended.
        match Arc::try_unwrap(running) {
            Ok(running) => running.stop().await,
            Err(running) => running.replica.stop().await,
        }
    };
    stop.drain(stopping).await;
    Ok(())
}

/// What the server says of itself.
struct Report {
    running: Arc<Running>,
    metrics: Metrics,
}

impl Report {
    fn check(&self) -> Result<()> {
        let node = self.running.replica.node();
        ensure!(
            node.membership().1.contains_key(&node.id().get()),
            "{id} is not a member yet: strongroom metadata add {}",
            node.id().get(),
            id = node.id()
        );
        ensure!(node.leadership().leader.is_some(), "nobody leads");
        Ok(())
    }

    async fn gather(&self) -> Status {
        let replica = &self.running.replica;
        let health = Upkeep::health(&**replica.server(), Vec::new()).await;
        Status {
            cluster: self.running.identity.cluster,
            profile: self.running.settings.profile,
            metadata: vec![replica.node().status().into()],
            disks: Vec::new(),
            health: health.ok(),
            upkeep: Default::default(),
        }
    }
}

impl gateway::Report for Report {
    fn ready(&self) -> BoxFuture<'_, Result<(), String>> {
        async { self.check().map_err(|error| format!("{error:#}")) }.boxed()
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

/// What is asked of disks, where there are none.
struct NoDisks;

impl gateway::Operations for NoDisks {}
