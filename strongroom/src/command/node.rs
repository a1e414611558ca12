//! `strongroom node`: ids for server processes.

use super::api::Target;
use super::{write_json, write_line};
use anyhow::{Context, Result};
use gateway::AddedNode;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    target: Target,
}

#[derive(clap::Subcommand)]
enum What {
    /// Give an id to a server process that is to be; it is never given out again
    Add,
}

pub(crate) fn run(options: Options) -> Result<()> {
    let api = options.target.api()?;
    match options.what {
        What::Add => {
            let added: AddedNode = api
                .post("/nodes", &serde_json::Value::Null)
                .context("asking for an id")?;
            if options.target.json {
                return write_json(&added);
            }
            write_line(&added.node.get().to_string())
        }
    }
}
