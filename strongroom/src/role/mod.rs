//! The roles as processes of their own.
//!
//! ```text
//! config.rs    what all are told: who they are (their certificate), and where the others listen
//! storage.rs   disks, their upkeep, and the shard service
//! folders.rs   which disk is in which folder; an empty one becomes a disk when an operator says so
//! gateway.rs   S3 over metadata servers and storage nodes that are reached over the wire
//! distant.rs   what a gateway's operator may ask of the disks of these
//! report.rs    what such a process says of itself
//! ```
//!
//! Metadata servers are still those of `strongroom dev --metadata 3`; ids, certificates and addresses are handed
//! on by the operator.

mod config;
mod distant;
mod folders;
pub(crate) mod gateway;
mod report;
pub(crate) mod storage;

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
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve)
}

/// Reads a role's keys from its file; none: they are all said otherwise.
fn read<T: serde::de::DeserializeOwned + Default>(file: Option<&Path>) -> Result<T> {
    use anyhow::Context;
    let Some(file) = file else {
        return Ok(T::default());
    };
    let text =
        std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    toml::from_str(&text).with_context(|| format!("in {}", file.display()))
}
