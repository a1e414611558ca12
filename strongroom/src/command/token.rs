//! `strongroom token`: with which servers join.

use super::api::Target;
use super::servers::ask;
use super::show::table;
use super::{write_json, write_line};
use crate::files::{self, Access};
use anyhow::{Context, Result};
use clap::ValueEnum;
use client::RemoteMetadata;
use std::path::PathBuf;
use types::wire::Members;
use types::wire::members::ServerRole;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    target: Target,
}

#[derive(clap::Subcommand)]
enum What {
    /// Make a token with which one server may join, once
    Create {
        /// What the server is for
        #[arg(long, value_name = "ROLE")]
        role: For,
        /// For how long, in minutes of running
        #[arg(long, value_name = "MINUTES", default_value_t = 60)]
        minutes: u64,
        /// Where the token goes, in a file that only its owner reads [default: it is printed]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List tokens that have not expired
    Ls,
    /// Withdraw a token
    Rm {
        /// Its number
        number: u64,
    },
}

/// The roles that join.
#[derive(Clone, Copy, ValueEnum)]
enum For {
    Metadata,
    Storage,
    Gateway,
}

impl From<For> for ServerRole {
    fn from(role: For) -> Self {
        match role {
            For::Metadata => Self::Metadata,
            For::Storage => Self::Storage,
            For::Gateway => Self::Gateway,
        }
    }
}

pub(crate) fn run(options: Options) -> Result<()> {
    let target = &options.target;
    match options.what {
        What::Create { role, minutes, out } => {
            let role = role.into();
            let made = ask(target, async |servers: &RemoteMetadata| {
                let made = servers.create_token(role, 60 * minutes).await;
                made.context("making a token")
            })?;
            if let Some(out) = out {
                files::write(&out, made.text.expose().as_bytes(), Access::Private)?;
                return write_line(&format!("token {} is in {}", made.number, out.display()));
            }
            if target.json {
                return write_json(&made);
            }
            write_line(made.text.expose())
        }
        What::Ls => {
            let tokens = ask(target, async |servers: &RemoteMetadata| {
                servers.tokens().await.context("asking for the tokens")
            })?;
            if target.json {
                return write_json(&tokens);
            }
            let heading = ["token", "role", "expires in", "used by"].map(str::to_owned);
            let mut rows = vec![heading.to_vec()];
            for token in tokens {
                let used = token.used_by.map(|node| node.get().to_string());
                rows.push(vec![
                    token.number.to_string(),
                    ca::Role::from(token.role).to_string(),
                    format!("{} s", token.expires_in_ms / 1000),
                    used.unwrap_or_default(),
                ]);
            }
            write_line(&table(&rows))
        }
        What::Rm { number } => ask(target, async |servers: &RemoteMetadata| {
            let removed = servers.remove_token(number).await;
            removed.with_context(|| format!("withdrawing token {number}"))
        }),
    }
}
