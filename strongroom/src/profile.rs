//! `profile.toml`: what a command needs to reach a cluster as its operator.

use crate::files::{self, Access};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where the cluster is, and how its operator proves to be one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClusterProfile {
    /// The admin address.
    pub(crate) admin: SocketAddr,
    /// The authority that signed the servers' certificates.
    pub(crate) ca: PathBuf,
    /// The operator's key and certificate in one PEM file.
    pub(crate) operator: PathBuf,
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
