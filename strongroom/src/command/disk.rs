//! `strongroom disk`: the disks of a cluster, and a new one in the place of a lost one.

use super::api::{Target, write_json, write_line};
use super::show;
use crate::status::{Status, told};
use anyhow::{Context, Result};
use gateway::Replacement;
use types::ByteCount;
use types::size::MIB;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    target: Target,
}

#[derive(clap::Subcommand)]
enum What {
    /// List the disks
    Ls,
    /// Make the empty folder of a lost disk a new disk in its place; what it held is made again
    Replace {
        /// The lost disk's id, as `disk ls` shows it
        #[arg(value_name = "DISK")]
        disk: u64,
    },
}

pub(crate) fn run(options: Options) -> Result<()> {
    let api = options.target.api()?;
    match options.what {
        What::Ls => {
            let status: Status = api.get("/status").context("asking for the disks")?;
            if options.target.json {
                return write_json(&status.disks);
            }
            let heading = [
                "DISK", "STATE", "SHARDS", "USED MiB", "FREE MiB", "ENGINE", "WHY",
            ];
            let mut rows = vec![heading.map(str::to_owned).to_vec()];
            for disk in &status.disks {
                let (state, why) = told(disk);
                let mebibytes = |count: ByteCount| (count.get() / MIB).to_string();
                rows.push(vec![
                    disk.disk.get().to_string(),
                    state.to_owned(),
                    disk.shards.to_string(),
                    mebibytes(disk.used),
                    mebibytes(disk.free),
                    disk.engine.clone(),
                    why.to_owned(),
                ]);
            }
            write_line(&show::table(&rows))
        }
        What::Replace { disk } => {
            let path = format!("/disks/{disk}/replace");
            let replaced: Replacement = api
                .post_patiently(&path)
                .with_context(|| format!("replacing disk {disk}"))?;
            if options.target.json {
                return write_json(&replaced);
            }
            write_line(&format!(
                "disk {} is in the place of disk {disk}; `strongroom status` shows how far its shards are",
                replaced.disk.get()
            ))
        }
    }
}
