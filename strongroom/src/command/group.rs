//! `strongroom group`: the groups that chunks lie in.

use super::api::Target;
use super::servers::ask;
use super::{write_json, write_line};
use anyhow::{Context, Result};
use client::RemoteMetadata;
use gateway::LaidOut;
use types::wire::Members;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    target: Target,
}

#[derive(clap::Subcommand)]
enum What {
    /// Lay the groups out over all disks that are admitted, once: disks that come later are in none
    Create,
}

pub(crate) fn run(options: Options) -> Result<()> {
    match options.what {
        What::Create => {
            let laid_out = lay_out(&options.target).context("laying out the groups")?;
            if options.target.json {
                return write_json(&laid_out);
            }
            write_line(&format!("{} groups", laid_out.groups))
        }
    }
}

/// Asks the metadata servers, or the process that has them.
fn lay_out(target: &Target) -> Result<LaidOut> {
    if target.profile()?.metadata.is_empty() {
        return target.api()?.post("/groups", &serde_json::Value::Null);
    }
    let groups = ask(target, async |servers: &RemoteMetadata| {
        Ok(servers.create_groups(None).await?)
    })?;
    Ok(LaidOut {
        groups: usize::try_from(groups)?,
    })
}
