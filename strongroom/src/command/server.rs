//! `strongroom server`: every server that was ever of the cluster, and how one ceases to be.

use super::api::Target;
use super::servers::ask;
use super::show::{date, table};
use super::{write_json, write_line};
use anyhow::{Context, Result};
use client::RemoteMetadata;
use types::NodeId;
use types::wire::Members;
use types::wire::members::ServerInfo;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    target: Target,
}

#[derive(clap::Subcommand)]
enum What {
    /// List the servers that were given an id
    Ls,
    /// Have a server's certificate open nothing any more, for good
    Rm {
        /// Its id
        node: u64,
    },
}

pub(crate) fn run(options: Options) -> Result<()> {
    let target = &options.target;
    match options.what {
        What::Ls => {
            let servers = ask(target, async |servers: &RemoteMetadata| {
                let all = Members::servers(servers).await;
                all.context("asking for the servers")
            })?;
            if target.json {
                return write_json(&servers);
            }
            let heading = ["server", "role", "address", "since", ""].map(str::to_owned);
            let mut rows = vec![heading.to_vec()];
            rows.extend(servers.iter().map(row));
            write_line(&table(&rows))
        }
        What::Rm { node } => {
            let node = NodeId::new(node);
            ask(target, async |servers: &RemoteMetadata| {
                let removed = Members::remove_server(servers, node).await;
                removed.with_context(|| format!("removing {node}"))
            })?;
            write_line(&format!("{node} is no more of the cluster"))
        }
    }
}

fn row(server: &ServerInfo) -> Vec<String> {
    let role = server.role.map(|role| ca::Role::from(role).to_string());
    vec![
        server.node.get().to_string(),
        role.unwrap_or_default(),
        server.address.clone().unwrap_or_default(),
        date(server.admitted),
        if server.removed { "removed" } else { "" }.to_owned(),
    ]
}
