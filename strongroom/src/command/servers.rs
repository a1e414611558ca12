//! A cluster's metadata servers, as its operator's commands ask them: whichever leads, over mutual TLS.

use super::api::Target;
use crate::profile::ClusterProfile;
use crate::role::credentials;
use anyhow::{Context, Result, ensure};
use ca::Identity;
use client::{RemoteMetadata, Servers};
use rpc::{AddressBook, Addresses};
use std::collections::BTreeMap;
use std::sync::Arc;
use types::NodeId;
use types::wire::calls::Remote;

/// Asks them, with what `ask` does.
pub(super) fn ask<T>(
    target: &Target,
    ask: impl AsyncFnOnce(&RemoteMetadata) -> Result<T>,
) -> Result<T> {
    let profile = target.profile()?;
    ensure!(
        !profile.metadata.is_empty(),
        "the profile names no metadata servers; this is asked of clusters that strongroom init made"
    );
    crate::role::block_on(async {
        let credentials = credentials(&profile.operator, &profile.operator, &profile.ca)?;
        let cluster = Identity::of(&credentials.certificate())?.cluster;
        let book = AddressBook::default();
        let mut ids = Vec::new();
        for (id, address) in &profile.metadata {
            let id = id.parse().context("a server's id is a number")?;
            book.set(NodeId::new(id), *address);
            ids.push(NodeId::new(id));
        }
        let addresses: Arc<dyn Addresses> = Arc::new(book);
        let servers = Remote(Servers::start(&credentials, cluster, &ids, &addresses)?);
        let answer = ask(&servers).await?;
        follow(target, profile, &servers.0)?;
        Ok(answer)
    })
}

/// Keeps the profile as the servers told of themselves: the next command may come when those are gone that it knew.
fn follow(target: &Target, profile: ClusterProfile, servers: &Servers) -> Result<()> {
    let told = servers.told().into_iter();
    let metadata: BTreeMap<_, _> = told
        .map(|(node, place)| (node.get().to_string(), place))
        .collect();
    if metadata.is_empty() || metadata == profile.metadata {
        return Ok(());
    }
    ClusterProfile {
        metadata,
        ..profile
    }
    .write(target.file())
}
