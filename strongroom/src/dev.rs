//! `strongroom dev`: a whole cluster in one process, kept in one folder.
//!
//! ```text
//! DIR/lock            held while it runs
//! DIR/cluster.toml    what the first start fixed
//! DIR/root.key        the root of every key
//! DIR/credentials     the first access key, of user root
//! DIR/ca.pem, tls/    the cluster's authority
//! DIR/profile.toml    what commands read
//! DIR/metadata-0/ …   slot, log, snapshots, cache
//! DIR/metadata.toml   where three of them listen, if that was said
//! DIR/metadata.begun  three metadata servers were begun: none of their logs may be missing
//! DIR/disks.toml      which disk is in which folder
//! DIR/disk-0/ …       stamp, volumes
//! ```
//!
//! It prints its endpoints, says `ready`, and runs until SIGINT or SIGTERM; then it drains and stops.
//! A second signal stops it at once, which loses nothing that was acknowledged.

use crate::certificate::Files;
use crate::cluster::{Cluster, Config};
use crate::stop::Stop;
use anyhow::{Context, Result, bail};
use clap::builder::RangedU64ValueParser;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use types::Profile;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where everything is kept
    #[arg(
        long,
        value_name = "DIR",
        env = "STRONGROOM_DATA",
        default_value = "strongroom-data"
    )]
    data: PathBuf,
    /// Address of S3 over http; port 0 picks a free one
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "STRONGROOM_S3",
        default_value = "127.0.0.1:9000"
    )]
    s3: SocketAddr,
    /// Address of S3 over https
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "STRONGROOM_S3_TLS",
        default_value = "127.0.0.1:9443"
    )]
    s3_tls: SocketAddr,
    /// The certificate chain of S3 over https, in PEM; read again when it changes [default: one of the
    /// cluster's own authority]
    #[arg(
        long,
        value_name = "FILE",
        env = "STRONGROOM_S3_CERT",
        requires = "s3_key"
    )]
    s3_cert: Option<PathBuf>,
    /// The private key of that certificate, in PEM
    #[arg(
        long,
        value_name = "FILE",
        env = "STRONGROOM_S3_KEY",
        requires = "s3_cert"
    )]
    s3_key: Option<PathBuf>,
    /// Below this domain BUCKET.NAME names a bucket; may be given more than once
    #[arg(
        long,
        value_name = "NAME",
        env = "STRONGROOM_S3_DOMAIN",
        value_delimiter = ','
    )]
    s3_domain: Vec<String>,
    /// Address of the operator's API, over mutual TLS
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "STRONGROOM_ADMIN",
        default_value = "127.0.0.1:9001"
    )]
    admin: SocketAddr,
    /// How many disks, as folders; fixed at first start. 0: they are in storage processes, and S3 in gateway
    /// processes [default: 6]
    #[arg(long, value_name = "N", env = "STRONGROOM_DISKS", value_parser = RangedU64ValueParser::<u16>::new().range(0..=1000))]
    disks: Option<u16>,
    /// How objects are coded, k+m; fixed at first start [default: 4+2]
    #[arg(long, value_name = "K+M", env = "STRONGROOM_PROFILE")]
    profile: Option<Profile>,
    /// How many metadata servers, 1 or 3; fixed at first start [default: 1]
    #[arg(long, value_name = "N", env = "STRONGROOM_METADATA", value_parser = one_or_three)]
    metadata: Option<u16>,
    /// Where the first of three metadata servers listens, the others one port up each; DIR/metadata.toml tells
    /// other processes [default: free ports]
    #[arg(long, value_name = "ADDRESS", env = "STRONGROOM_METADATA_LISTEN")]
    metadata_listen: Option<SocketAddr>,
}

fn one_or_three(text: &str) -> Result<u16, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("1 or 3".to_owned()),
    }
}

/// Runs it to the end.
pub(crate) fn run(options: Options) -> Result<()> {
    crate::log::start();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(options))
}

async fn serve(options: Options) -> Result<()> {
    // Taken first: a signal during start-up is not lost.
    let mut stop = Stop::new()?;
    let certificate = options.s3_cert.zip(options.s3_key);
    let config = Config {
        data: options.data,
        certificate: certificate.map(|(certificate, key)| Files { certificate, key }),
        domains: options.s3_domain,
        s3: options.s3,
        s3_tls: options.s3_tls,
        admin: options.admin,
        disks: options.disks,
        profile: options.profile,
        metadata: options.metadata,
        metadata_listen: options.metadata_listen,
    };
    let cluster = tokio::select! {
        started = Cluster::start(config) => started.context("starting the cluster")?,
        () = stop.asked() => return Ok(()),
    };
    announce(&cluster)?;

    tokio::select! {
        () = stop.asked() => {}
        why = cluster.failed() => bail!("the metadata server has stopped: {why}"),
    }
    stop.drain(cluster.stop()).await;
    Ok(())
}

/// The endpoints, and `ready` as the last start-up line.
fn announce(cluster: &Cluster) -> Result<()> {
    let addresses = cluster.addresses();
    let mut out = std::io::stdout().lock();
    if let Some((s3, s3_tls)) = addresses.s3 {
        writeln!(out, "s3      http://{s3}")?;
        writeln!(out, "s3-tls  https://{s3_tls}")?;
    }
    writeln!(out, "admin   https://{}", addresses.admin)?;
    writeln!(out, "data    {}", cluster.data().display())?;
    writeln!(out, "ready")?;
    Ok(out.flush()?)
}
