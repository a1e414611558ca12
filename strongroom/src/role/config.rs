//! What every role's process is told: who it is, and where the others listen.
//!
//! A key may be said on the command line, in an environment variable, or in the file; in this order. Who the
//! process is, its certificate says: cluster, role and node. So no key can contradict it.

use super::renew::{self, Renewed};
use anyhow::{Context, Result, bail};
use ca::{Credentials, Identity, Role};
use client::{RemoteMetadata, Servers};
use rpc::{AddressBook, Addresses, Places};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use types::placement::GroupTable;
use types::wire::Upkeep;
use types::wire::calls::Remote;
use types::{ClusterId, NodeId};

/// Between two attempts to reach the metadata servers at start.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Between two lines that say that they are still waited for.
const TELL_AGAIN: Duration = Duration::from_secs(30);

/// Servers and where they listen: `id = "address"` in a file, `ID=ADDRESS,…` elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, SocketAddr>")]
pub(super) struct Listening(BTreeMap<u64, SocketAddr>);

impl TryFrom<BTreeMap<String, SocketAddr>> for Listening {
    type Error = String;

    fn try_from(raw: BTreeMap<String, SocketAddr>) -> Result<Self, String> {
        let parse = |(id, address): (String, SocketAddr)| {
            let id = id.parse();
            id.map(|id| (id, address))
                .map_err(|_| "a server's id is a number".to_owned())
        };
        raw.into_iter()
            .map(parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl FromStr for Listening {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |pair: &str| {
            let (id, address) = pair.split_once('=')?;
            Some((id.trim().parse().ok()?, address.trim().parse().ok()?))
        };
        let pairs = text.split(',').map(|pair| {
            parse(pair)
                .ok_or_else(|| format!("{pair:?} is not ID=ADDRESS, such as 4=10.0.0.4:9100"))
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }
}

impl Listening {
    fn ids(&self) -> Vec<NodeId> {
        self.0.keys().copied().map(NodeId::new).collect()
    }

    /// As those ask who connect.
    pub(super) fn book(&self) -> Arc<dyn Addresses> {
        let book = AddressBook::default();
        for (id, address) in &self.0 {
            book.set(NodeId::new(*id), *address);
        }
        Arc::new(book)
    }
}

/// Keys of every role.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Common {
    /// The process's certificate and its chain, in PEM, as `strongroom certificate` writes it
    #[arg(long, value_name = "FILE", env = "STRONGROOM_CERTIFICATE")]
    pub(super) certificate: Option<PathBuf>,
    /// Its private key, in PEM [default: in the file of the certificate]
    #[arg(long, value_name = "FILE", env = "STRONGROOM_CERTIFICATE_KEY")]
    pub(super) key: Option<PathBuf>,
    /// The cluster's authority: ca.pem
    #[arg(long, value_name = "FILE", env = "STRONGROOM_CA")]
    pub(super) ca: Option<PathBuf>,
    /// The certificate is renewed when it is valid for less than so many days; 0: never [default: 30]
    #[arg(long, value_name = "DAYS", env = "STRONGROOM_RENEW_BEFORE_DAYS")]
    pub(super) renew_before_days: Option<u32>,
    /// The metadata servers
    #[arg(long, value_name = "ID=ADDRESS,…", env = "STRONGROOM_METADATA_SERVERS")]
    pub(super) metadata: Option<Listening>,
    /// The storage nodes
    #[arg(long, value_name = "ID=ADDRESS,…", env = "STRONGROOM_STORAGE_NODES")]
    pub(super) storage: Option<Listening>,
}

/// Who a process is, and whom it knows.
pub(super) struct Process {
    pub(super) cluster: ClusterId,
    pub(super) node: NodeId,
    pub(super) credentials: Credentials,
    certificate: PathBuf,
    key_apart: bool,
    renew_before_days: u32,
    pub(super) metadata: Listening,
    pub(super) storage: Listening,
}

impl Common {
    /// What is said here, and where nothing is, in the file.
    pub(super) fn or(self, file: Self) -> Self {
        Self {
            certificate: self.certificate.or(file.certificate),
            key: self.key.or(file.key),
            ca: self.ca.or(file.ca),
            renew_before_days: self.renew_before_days.or(file.renew_before_days),
            metadata: self.metadata.or(file.metadata),
            storage: self.storage.or(file.storage),
        }
    }

    /// The process, which must be of this role.
    pub(super) fn process(self, role: Role) -> Result<Process> {
        let certificate = said("certificate", self.certificate)?;
        let key = self.key.unwrap_or_else(|| certificate.clone());
        let credentials = credentials(&certificate, &key, &said("ca", self.ca)?)?;
        let identity = Identity::of(&credentials.certificate())
            .with_context(|| format!("in {}", certificate.display()))?;
        let node = match identity.node {
            Some(node) if identity.role == role => node,
            _ => bail!(
                "{} is of {identity}; this process needs one of role {role}: `strongroom certificate` makes it",
                certificate.display()
            ),
        };
        let metadata = said("metadata", self.metadata)?;
        if metadata.0.is_empty() {
            bail!("metadata names no server; DIR/metadata.toml of the cluster has them");
        }
        Ok(Process {
            cluster: identity.cluster,
            node,
            credentials,
            key_apart: key != certificate,
            certificate,
            renew_before_days: self.renew_before_days.unwrap_or(renew::DEFAULT_DAYS),
            metadata,
            storage: self.storage.unwrap_or_default(),
        })
    }
}

impl Process {
    /// Renews the process's certificate from now on.
    pub(super) fn renewed(&self, servers: &Arc<RemoteMetadata>) -> Renewed {
        let certificate = renew::Certificate {
            file: self.certificate.clone(),
            key_apart: self.key_apart,
            credentials: self.credentials.clone(),
            days: self.renew_before_days,
        };
        renew::keep(certificate, renew::by_servers(Arc::clone(servers)))
    }

    /// Where the storage nodes are: as the configuration says, else as they said when they joined.
    pub(super) fn storage_nodes(&self, servers: &RemoteMetadata) -> Arc<dyn Addresses> {
        Arc::new(Places::new(self.storage.book(), servers.0.storage()))
    }

    /// The way to the metadata servers.
    pub(super) fn servers(&self) -> Result<Arc<RemoteMetadata>> {
        let ids = self.metadata.ids();
        let servers = Servers::start(&self.credentials, self.cluster, &ids, &self.metadata.book())?;
        Ok(Arc::new(Remote(servers)))
    }
}

/// The group table, waiting for whoever leads to be there. Nothing is served before: what an older table would
/// refuse must be refused.
pub(super) async fn table(servers: &RemoteMetadata) -> GroupTable {
    let mut told: Option<Instant> = None;
    loop {
        match Upkeep::table(servers, 0).await {
            Ok(table) => return table.unwrap_or_default(),
            Err(error) => {
                if told.is_none_or(|at| at.elapsed() >= TELL_AGAIN) {
                    tracing::warn!(%error, "waiting for the metadata servers");
                    told = Some(Instant::now());
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }
}

/// A key that has no default.
pub(super) fn said<T>(key: &str, value: Option<T>) -> Result<T> {
    value.with_context(|| {
        format!("{key} is not set; set it in the file of --config, or as --help tells")
    })
}

/// A certificate and its key, for who trusts this authority.
pub(crate) fn credentials(certificate: &Path, key: &Path, ca: &Path) -> Result<Credentials> {
    let read = |path: &Path| format!("reading {}", path.display());
    let authority = CertificateDer::from_pem_file(ca).with_context(|| read(ca))?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .with_context(|| read(certificate))?;
    if chain.is_empty() {
        bail!("{} holds no certificate", certificate.display());
    }
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| read(key))?;
    Ok(Credentials::new(&authority, chain, key)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Servers are named alike in a file and in a variable; what is no address is refused.
    #[test]
    fn servers_are_named() {
        #[derive(Deserialize)]
        struct File {
            storage: Listening,
        }
        let file: File =
            toml::from_str("[storage]\n4 = \"10.0.0.4:9100\"\n5 = \"[::1]:9100\"\n").unwrap();
        let said: Listening = "4=10.0.0.4:9100, 5=[::1]:9100".parse().unwrap();
        assert_eq!(file.storage, said);
        assert_eq!(said.ids(), [4, 5].map(NodeId::new));
        for bad in [
            "",
            "4",
            "4=",
            "x=10.0.0.4:9100",
            "4=10.0.0.4",
            "4=10.0.0.4:9100,",
        ] {
            assert!(bad.parse::<Listening>().is_err(), "{bad}");
        }
        assert!(toml::from_str::<File>("[storage]\nfour = \"10.0.0.4:9100\"\n").is_err());
    }

    /// What is said on the command line goes before what is in the file.
    #[test]
    fn keys_have_an_order() {
        let file = Common {
            ca: Some("a.pem".into()),
            certificate: Some("b.pem".into()),
            ..Common::default()
        };
        let said = Common {
            ca: Some("c.pem".into()),
            ..Common::default()
        };
        let both = said.or(file);
        assert_eq!(both.ca, Some("c.pem".into()));
        assert_eq!(both.certificate, Some("b.pem".into()));
    }
}
