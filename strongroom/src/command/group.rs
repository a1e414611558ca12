//! `strongroom group`: the groups that chunks lie in.

use super::api::Target;
use super::{write_json, write_line};
use anyhow::{Context, Result};
use gateway::LaidOut;

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
    let api = options.target.api()?;
    match options.what {
        What::Create => {
            let laid_out: LaidOut = api
                .post("/groups", &serde_json::Value::Null)
                .context("laying out the groups")?;
            if options.target.json {
                return write_json(&laid_out);
            }
            write_line(&format!("{} groups", laid_out.groups))
        }
    }
}
