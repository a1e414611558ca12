//! What makes a folder the one of a cluster's first metadata server: `init` and `restore` leave the same behind.

use super::write_line;
use crate::files::{self, Access};
use crate::home::Home;
use crate::profile::ClusterProfile;
use crate::role::metadata::Keys;
use anyhow::{Result, ensure};
use ca::{Authority, Identity, Request, Role};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use types::wire::members::{ServerRole, ServerSettings};
use types::{ClusterId, NodeId};

#[derive(clap::Args)]
// Among the options of a command, whose group has the name.
#[group(skip)]
pub(super) struct Options {
    /// The folder of the server, which is made
    #[arg(long, value_name = "DIR", env = "STRONGROOM_DATA")]
    pub(super) data: PathBuf,
    /// Where other servers and operators will reach it: an IP address and a port
    #[arg(long, value_name = "ADDRESS", env = "STRONGROOM_LISTEN")]
    pub(super) listen: SocketAddr,
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
}

impl Options {
    /// The folder, which must be new.
    pub(super) fn home(&self) -> Result<Home> {
        ensure!(
            self.listen.port() != 0 && !self.listen.ip().is_unspecified(),
            "--listen {} is no address at which others reach this server",
            self.listen
        );
        let home = Home::make(&self.data)?;
        ensure!(
            !home.keys().slot.exists() && !home.log().exists(),
            "{} was begun and not finished; remove it, and begin again",
            home.folder().display()
        );
        Ok(home)
    }
}

/// The first server of a cluster.
pub(super) struct First<'a> {
    pub(super) options: &'a Options,
    pub(super) home: &'a Home,
    pub(super) authority: &'a Authority,
    /// The authority's certificate.
    pub(super) ca: &'a str,
    pub(super) cluster: ClusterId,
    pub(super) node: NodeId,
}

impl First<'_> {
    pub(super) fn identity(&self) -> Identity {
        Identity::server(self.cluster, Role::Metadata, self.node)
    }

    /// Writes the server's certificate, for a key made here; the key's public part.
    pub(super) fn certify(&self) -> Result<Vec<u8>> {
        let request = Request::make()?;
        let names = names(&self.options.name, self.options.admin);
        let own = self
            .authority
            .answer(&request.request, &self.identity(), &names)?;
        self.home
            .write_certificates(self.ca, &request.key_pem, &own)?;
        Ok(ca::requested_key(&request.request)?)
    }

    /// Writes the operator's files and, last, the server's configuration; tells what to do next.
    pub(super) fn leave(&self, settings: ServerSettings) -> Result<()> {
        let (home, options) = (self.home, self.options);
        let operator = Identity::operator(self.cluster);
        let operator = self.authority.client_files(&operator)?;
        files::write_pair(
            &home.operator(),
            &operator.key_pem,
            &operator.certificate_pem,
        )?;
        let own = (self.node.get().to_string(), options.listen);
        let profile = ClusterProfile {
            admin: Some(options.admin),
            ca: home.ca(),
            operator: home.operator(),
            metadata: BTreeMap::from([own]),
        };
        profile.write(&home.profile())?;
        let keys = Keys {
            data: Some(home.folder().to_owned()),
            listen: Some(options.listen),
            admin: Some(options.admin),
            ..Keys::of(settings)
        };
        let config = home.config(ServerRole::Metadata);
        files::write(&config, toml::to_string(&keys)?.as_bytes(), Access::Public)?;
        write_line(&format!("cluster  {}", self.cluster))?;
        write_line(&format!(
            "run      strongroom metadata --config {}",
            config.display()
        ))?;
        write_line(&format!("operate  --cluster {}", home.profile().display()))
    }
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
