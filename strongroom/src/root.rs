//! The first user: `root`, with the key of DIR/credentials.
//!
//! Made when the cluster has no users: at its first start, and once where it is older than users are. The key
//! comes last, so that a start that was cut short is finished by the next one; with it, nothing here is done
//! any more. When no key is left at all and DIR/credentials was taken away, a new one is made: that is how an
//! operator who has locked everybody out comes in again.

use crate::cluster::{MetadataServer, TENANT};
use crate::credentials;
use anyhow::Result;
use std::path::Path;
use types::Label;
use types::wire::accounts::{Accounts, NewKey, User};
use types::wire::metadata::MetadataError;

const ROOT: &str = "root";

/// Makes root and its key, unless there are others.
pub(crate) async fn settle(credentials: &Path, metadata: &MetadataServer) -> Result<()> {
    let users = metadata.users().await?;
    let Some(root) = root(users, metadata).await? else {
        return Ok(());
    };
    if !metadata.keys(None).await?.is_empty() {
        return Ok(());
    }
    let (id, secret) = credentials::load_or_make(credentials)?;
    // Before there were users, a bucket's owner was the key that made it.
    metadata.change_owner(id.clone(), root.id).await?;
    let added = metadata.add_key(NewKey {
        user: root.name,
        label: Label::default(),
        given: Some((id, secret)),
    });
    match added.await {
        // It was this cluster's key, and somebody has removed it.
        Ok(_) | Err(MetadataError::KeyExists) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Root, where nobody else is; made where nobody is at all.
async fn root(users: Vec<User>, metadata: &MetadataServer) -> Result<Option<User>> {
    match users.as_slice() {
        [] => Ok(Some(metadata.add_user(ROOT.to_owned(), TENANT).await?)),
        [only] if only.name == ROOT => Ok(Some(only.clone())),
        _ => Ok(None),
    }
}
