//! `strongroom certificate`: who a server process is, as a file.
//!
//! It needs no running cluster, only the data folder that has its authority.

use super::write_line;
use crate::ca::Authority;
use crate::files::{self, Access};
use crate::settings::Settings;
use anyhow::{Context, Result, bail};
use ca::Role;
use clap::ValueEnum;
use std::path::PathBuf;
use types::NodeId;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The data folder with the cluster's authority
    #[arg(
        long,
        value_name = "DIR",
        env = "STRONGROOM_DATA",
        default_value = "strongroom-data"
    )]
    data: PathBuf,
    /// What the process is for
    #[arg(long, value_name = "ROLE")]
    role: For,
    /// The process's id, as `strongroom node add` gives it
    #[arg(long, value_name = "N")]
    node: u64,
    /// A name or IP address under which operators or S3 clients reach the process; may be given more than once
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    name: Vec<String>,
    /// Where key and certificate go, in one PEM file that only its owner reads
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// The roles that run as processes of their own.
#[derive(Clone, Copy, ValueEnum)]
enum For {
    Storage,
    Gateway,
}

pub(crate) fn run(options: Options) -> Result<()> {
    let data = &options.data;
    let settings = Settings::load(data)?;
    if !data.join("ca.pem").exists() {
        bail!("{} has no ca.pem; start the cluster once", data.display());
    }
    let role = match options.role {
        For::Storage => Role::Storage,
        For::Gateway => Role::Gateway,
    };
    let authority = Authority::load(data, settings.cluster)?;
    let pem = authority
        .server_pem(role, NodeId::new(options.node), &options.name)
        .context("making the certificate")?;
    files::write(&options.out, pem.as_bytes(), Access::Private)?;
    let (out, node) = (options.out.display(), options.node);
    write_line(&format!(
        "{out} is the key and the certificate of {role} {node}"
    ))
}
