//! `strongroom status`: what the cluster says of itself.

use super::api::{Target, write_json, write_line};
use crate::status::Status;
use anyhow::{Context, Result};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
}

/// Asks for the status and prints it.
pub(crate) fn run(options: Options) -> Result<()> {
    let api = options.target.api()?;
    let status: Status = api
        .get("/status")
        .context("asking the cluster for its status")?;
    if options.target.json {
        write_json(&status)
    } else {
        write_line(status.to_string().trim_end())
    }
}
