//! `profile.toml`: what a command needs to reach a cluster as its operator.

use crate::files::{self, Access};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where the cluster is, and how its operator proves to be one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClusterProfile {
    /// The admin address that commands ask; none: those can be asked that ask the metadata servers.
    pub(crate) admin: Option<SocketAddr>,
    /// The authority that signed the servers' certificates.
    pub(crate) ca: PathBuf,
    /// The operator's key and certificate in one PEM file.
    pub(crate) operator: PathBuf,
    /// Metadata servers that are processes of their own, by id; they tell of others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, SocketAddr>,
}

impl ClusterProfile {
    /// Writes it where commands find it.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        files::write(path, toml::to_string(self)?.as_bytes(), Access::Public)
    }

    /// Reads one.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| {
            format!(
                "reading {}; name a cluster's profile with --cluster FILE",
                path.display()
            )
        })?;
        toml::from_str(&text).with_context(|| format!("in {}", path.display()))
    }
}
