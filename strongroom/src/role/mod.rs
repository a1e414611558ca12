//! The roles as processes of their own.
//!
//! ```text
//! config.rs    what all are told: who they are (their certificate), and where the others listen
//! metadata.rs  one metadata server
//! sizes.rs     how large its log is
//! storage.rs   disks, their upkeep, and the shard service
//! folders.rs   which disk is in which folder; an empty one becomes a disk when an operator says so
//! gateway.rs   S3 over metadata servers and storage nodes that are reached over the wire
//! distant.rs   what a gateway's operator may ask of the disks of these
//! renew.rs     their own certificates, renewed in time
//! report.rs    what such a process says of itself
//! ```
//!
//! Ids, certificates and addresses come with a token (`strongroom join`), or are handed on by the operator of a
//! `strongroom dev --metadata 3`.

mod config;
mod distant;
mod folders;
pub(crate) mod gateway;
pub(crate) mod metadata;
mod renew;
mod report;
pub(crate) mod sizes;
pub(crate) mod storage;

pub(crate) use config::credentials;

use anyhow::Result;
use std::io::Write;
use std::path::Path;
use types::TenantId;

/// Until there are tenants, everything belongs to this one.
const TENANT: TenantId = crate::cluster::TENANT;

/// Prints the endpoints, and `ready` as the last start-up line.
fn announce(endpoints: &[(&str, String)]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for (name, at) in endpoints {
        writeln!(out, "{name:<7} {at}")?;
    }
    writeln!(out, "ready")?;
    Ok(out.flush()?)
}

/// Runs a role to its end, with logs, on a runtime.
fn run(serve: impl Future<Output = Result<()>>) -> Result<()> {
    crate::log::start();
    block_on(serve)
}

/// Does something on a runtime of its own.
pub(crate) fn block_on<T>(what: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(what)
}

/// Reads a role's keys from its file; none: they are all said otherwise.
pub(crate) fn read<T: serde::de::DeserializeOwned + Default>(file: Option<&Path>) -> Result<T> {
    use anyhow::Context;
    let Some(file) = file else {
        return Ok(T::default());
    };
    let text =
        std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    toml::from_str(&text).with_context(|| format!("in {}", file.display()))
}
