//! `strongroom join`: a server becomes one of the cluster, by a token that an operator made.
//!
//! ```text
//! key made and kept -> asked with the token, over TLS with the cluster's own authority -> id and certificate
//!                      role metadata: the cluster's keys, too -> slot, under a root key made here
//! ```
//!
//! Cut short anywhere, the same command again gets the same id: the key that was kept says that it is the same
//! server. The configuration is written last.

use super::init::names;
use super::write_line;
use crate::files::{self, Access};
use crate::home::Home;
use crate::role::metadata::{Keys, make_slot};
use anyhow::{Context, Result, bail, ensure};
use ca::{Identity, Request, Token};
use client::Servers;
use metadata::slot::{AuthorityKey, Slot};
use rpc::{AddressBook, Addresses};
use seal::{RingKey, StorageKey};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use types::NodeId;
use types::wire::Enrolment;
use types::wire::calls::Remote;
use types::wire::members::{Enrol, Enrolled, ServerKeys, ServerRole};
use zeroize::Zeroizing;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The token, as `strongroom token create` gives it; `@FILE` reads it from a file, `-` from the standard input,
    /// so that it is in no list of processes
    #[arg(
        long,
        value_name = "TOKEN",
        env = "STRONGROOM_TOKEN",
        hide_env_values = true
    )]
    token: String,
    /// The folder of the server, which is made
    #[arg(long, value_name = "DIR", env = "STRONGROOM_DATA")]
    data: PathBuf,
    /// Where other servers will reach it: an IP address and a port. Not for a gateway
    #[arg(long, value_name = "ADDRESS", env = "STRONGROOM_LISTEN")]
    listen: Option<SocketAddr>,
    /// Address of its status, health and metrics, and of the operator's API
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "STRONGROOM_ADMIN",
        default_value = "127.0.0.1:9001"
    )]
    admin: SocketAddr,
    /// A name or IP address under which operators or S3 clients reach it; may be given more than once
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    name: Vec<String>,
    /// Of a storage node: the folders that disks are mounted at
    #[arg(long, value_name = "DIR,…", value_delimiter = ',')]
    disks: Vec<PathBuf>,
    /// Of a gateway: address of S3 over http
    #[arg(long, value_name = "ADDRESS", env = "STRONGROOM_S3")]
    s3: Option<SocketAddr>,
    /// Of a gateway: address of S3 over https
    #[arg(long, value_name = "ADDRESS", env = "STRONGROOM_S3_TLS")]
    s3_tls: Option<SocketAddr>,
}

/// The configuration of a storage node or a gateway.
#[derive(Serialize)]
struct File {
    listen: Option<SocketAddr>,
    s3: Option<SocketAddr>,
    s3_tls: Option<SocketAddr>,
    admin: SocketAddr,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    disks: Vec<PathBuf>,
    certificate: PathBuf,
    ca: PathBuf,
    metadata: BTreeMap<String, String>,
}

pub(crate) fn run(options: Options) -> Result<()> {
    crate::role::block_on(join(options))
}

async fn join(options: Options) -> Result<()> {
    let text = token_text(&options.token)?;
    let token = Token::parse(&text).context("reading the token")?;
    check(&options, token.role())?;
    let home = Home::make(&options.data)?;
    let _lock = files::lock(home.folder())?;
    let request = kept_request(&home)?;
    let enrolled = enrol(&options, &token, &request).await?;
    let holder = token.holder().context("the token names no cluster")?;
    let identity = Identity::server(holder.cluster, enrolled.role.into(), enrolled.node);

    let ca = ca::pem(&token.authority());
    home.write_certificates(&ca, &request.key_pem, &enrolled.certificate)?;
    if let Some(keys) = &enrolled.keys {
        make_slot(&home, identity, slot(keys))?;
    }
    let config = home.config(enrolled.role);
    let text = configuration(&options, &home, &enrolled)?;
    files::write(&config, text.as_bytes(), Access::Public)?;
    fs::remove_file(kept_key(&home)).context("removing the key that was kept")?;

    let (role, node) = (identity.role, enrolled.node.get());
    write_line(&format!("joined   {role} {node}"))?;
    write_line(&format!(
        "run      strongroom {role} --config {}",
        config.display()
    ))?;
    if enrolled.role == ServerRole::Metadata {
        write_line(&format!(
            "then     strongroom metadata add {node}, where the operator is"
        ))?;
    }
    Ok(())
}

fn token_text(said: &str) -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    if said == "-" {
        std::io::stdin()
            .read_to_string(&mut text)
            .context("reading the token")?;
    } else if let Some(file) = said.strip_prefix('@') {
        *text = fs::read_to_string(file).with_context(|| format!("reading {file}"))?;
    } else {
        said.clone_into(&mut text);
    }
    Ok(text)
}

/// Whether all is said that a role needs, before the token is used.
fn check(options: &Options, role: ServerRole) -> Result<()> {
    if role == ServerRole::Gateway {
        ensure!(
            options.s3.or(options.s3_tls).is_some(),
            "the token is a gateway's, which needs --s3 or --s3-tls"
        );
        return Ok(());
    }
    let Some(listen) = options.listen else {
        bail!("the token is not a gateway's; its server needs --listen");
    };
    ensure!(
        listen.port() != 0 && !listen.ip().is_unspecified(),
        "--listen {listen} is no address at which others reach this server"
    );
    ensure!(
        role != ServerRole::Storage || !options.disks.is_empty(),
        "the token is a storage node's, which needs --disks"
    );
    Ok(())
}

fn kept_key(home: &Home) -> PathBuf {
    home.folder().join("joining.key")
}

/// The request, by the key that an attempt before this one has kept.
fn kept_request(home: &Home) -> Result<Request> {
    let kept = kept_key(home);
    if kept.exists() {
        let pem = fs::read_to_string(&kept).map(Zeroizing::new);
        let pem = pem.with_context(|| format!("reading {}", kept.display()))?;
        return Ok(Request::again(&pem)?);
    }
    let request = Request::make()?;
    files::write(&kept, request.key_pem.as_bytes(), Access::Private)?;
    Ok(request)
}

async fn enrol(options: &Options, token: &Token, request: &Request) -> Result<Enrolled> {
    let holder = token.holder().context("the token names no cluster")?;
    let book = AddressBook::default();
    for (id, address) in token.servers() {
        let address = address.parse();
        book.set(NodeId::new(*id), address.context("reading the token")?);
    }
    let ids: Vec<NodeId> = token.servers().keys().copied().map(NodeId::new).collect();
    let addresses: Arc<dyn Addresses> = Arc::new(book);
    let servers = Servers::start(&token.credentials()?, holder.cluster, &ids, &addresses)?;
    let asked = Enrol {
        request: request.request.clone(),
        address: options.listen.map(|listen| listen.to_string()),
        names: names(&options.name, options.admin),
    };
    let enrolled = Remote(servers).enrol(asked).await;
    enrolled.context("asking the metadata servers to let this server join")
}

fn slot(keys: &ServerKeys) -> Slot {
    let rings = keys.rings.iter();
    Slot {
        storage: StorageKey::random(),
        rings: rings
            .map(|(version, key)| RingKey::new(*version, *key))
            .collect(),
        authority: Some(AuthorityKey::new(Zeroizing::new(keys.authority.clone()))),
    }
}

fn configuration(options: &Options, home: &Home, enrolled: &Enrolled) -> Result<String> {
    if let Some(keys) = &enrolled.keys {
        return Ok(toml::to_string(&Keys {
            data: Some(home.folder().to_owned()),
            listen: options.listen,
            admin: Some(options.admin),
            profile: Some(keys.settings.profile),
            abandoned_after_seconds: Some(keys.settings.abandoned_after_seconds),
            reclaim_after_seconds: Some(keys.settings.reclaim_after_seconds),
            ..Keys::default()
        })?);
    }
    let gateway = enrolled.role == ServerRole::Gateway;
    let disks = options.disks.iter().map(std::path::absolute);
    let metadata = enrolled.metadata.iter();
    Ok(toml::to_string(&File {
        listen: options.listen.filter(|_| !gateway),
        s3: options.s3.filter(|_| gateway),
        s3_tls: options.s3_tls.filter(|_| gateway),
        admin: options.admin,
        disks: if gateway {
            Vec::new()
        } else {
            disks.collect::<Result<_, _>>()?
        },
        certificate: home.certificate(),
        ca: home.ca(),
        metadata: metadata
            .map(|(id, address)| (id.to_string(), address.clone()))
            .collect(),
    })?)
}
