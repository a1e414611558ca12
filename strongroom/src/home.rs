//! The folder of one server process that `init` or `join` made, and what is where in it.
//!
//! ```text
//! ca.pem             the cluster's authority, for everybody
//! server.pem         this server's key and certificate, for its owner alone
//! ROLE.toml          its configuration: written last, so without it the folder is not finished
//! root.key, slot     of a metadata server: its keys                \
//! log/, sled/        its log and snapshots; its cache               > never made over
//! backups/           backups of the metadata that it wrote, unless its configuration says where else
//! begun              its log was there, so if it is missing, it was lost
//! operator.pem, profile.toml   of the first server: how an operator reaches the cluster
//! ```

use crate::files::{self, Access};
use anyhow::{Context, Result, bail};
use metadata::slot::KeyFiles;
use std::path::{Path, PathBuf};
use types::wire::members::ServerRole;

/// The folder of one server.
pub(crate) struct Home(PathBuf);

impl Home {
    /// At this place.
    pub(crate) fn at(folder: &Path) -> Result<Self> {
        let absolute = std::path::absolute(folder);
        absolute
            .map(Self)
            .with_context(|| format!("finding {}", folder.display()))
    }

    /// Makes the folder, which must not hold another server.
    pub(crate) fn make(folder: &Path) -> Result<Self> {
        let home = Self::at(folder)?;
        files::make_folder(&home.0)?;
        for role in [
            ServerRole::Metadata,
            ServerRole::Storage,
            ServerRole::Gateway,
        ] {
            if home.config(role).exists() {
                bail!(
                    "{} holds a server already: {}",
                    home.0.display(),
                    home.config(role).display()
                );
            }
        }
        Ok(home)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.0.join("server.pem")
    }

    pub(crate) fn operator(&self) -> PathBuf {
        self.0.join("operator.pem")
    }

    pub(crate) fn profile(&self) -> PathBuf {
        self.0.join("profile.toml")
    }

    /// A role's configuration.
    pub(crate) fn config(&self, role: ServerRole) -> PathBuf {
        self.0.join(match role {
            ServerRole::Metadata => "metadata.toml",
            ServerRole::Storage => "storage.toml",
            ServerRole::Gateway => "gateway.toml",
        })
    }

    pub(crate) fn keys(&self) -> KeyFiles {
        KeyFiles {
            root: self.0.join("root.key"),
            slot: self.0.join("slot"),
        }
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    pub(crate) fn rows(&self) -> PathBuf {
        self.0.join("sled")
    }

    pub(crate) fn backups(&self) -> PathBuf {
        self.0.join("backups")
    }

    pub(crate) fn begun(&self) -> PathBuf {
        self.0.join("begun")
    }

    /// Writes the authority's certificate, and the server's own with its key.
    pub(crate) fn write_certificates(&self, ca: &str, key: &str, own: &str) -> Result<()> {
        files::write(&self.ca(), ca.as_bytes(), Access::Public)?;
        files::write_pair(&self.certificate(), key, own)
    }
}
