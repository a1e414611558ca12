//! `strongroom metrics`: what a cluster's process counts, as Prometheus reads it.

use super::api::{Target, write_line};
use anyhow::{Context, Result, ensure};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
}

/// Asks for the metrics and prints them.
pub(crate) fn run(options: Options) -> Result<()> {
    ensure!(
        !options.target.json,
        "metrics are Prometheus's text, not JSON"
    );
    let api = options.target.api()?;
    let text = api
        .text("/metrics")
        .context("asking the cluster for its metrics")?;
    write_line(text.trim_end())
}
