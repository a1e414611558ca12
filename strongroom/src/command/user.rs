//! `strongroom user`: who owns buckets.

use super::api::{Api, Target, encode, write_json, write_line};
use super::key::user_name;
use super::show;
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use serde_json::json;
use types::wire::accounts::{KeyInfo, User};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Add a user, who has no access key yet
    Add {
        /// 1 to 64 letters, digits and +=,.@_-
        #[arg(value_parser = user_name)]
        name: String,
    },
    /// List all users
    Ls,
    /// Remove a user, who must have no access keys and own no buckets
    Rm {
        /// Who
        #[arg(value_parser = user_name)]
        name: String,
        /// Say what would be removed, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// Does what was asked for.
pub(crate) fn run(options: Options) -> Result<()> {
    let Options { target, action } = options;
    let api = target.api()?;
    match action {
        Action::Add { name } => {
            add(&api, &target, &name).with_context(|| format!("adding user {name}"))
        }
        Action::Ls => list(&api, &target).context("listing the users"),
        Action::Rm { name, dry_run } => {
            let removed = if dry_run {
                check(&api, &target, &name)
            } else {
                remove(&api, &target, &name)
            };
            removed.with_context(|| format!("removing user {name}"))
        }
    }
}

fn add(api: &Api, target: &Target, name: &str) -> Result<()> {
    let user: User = api.post("/users", &json!({ "name": name }))?;
    if target.json {
        return write_json(&user);
    }
    write_line(&format!(
        "added user {name}, id {}; give them an access key with `strongroom key add {name}`",
        user.id
    ))
}

fn list(api: &Api, target: &Target) -> Result<()> {
    let users: Vec<User> = api.get("/users")?;
    if target.json {
        return write_json(&users);
    }
    let mut rows = vec![["NAME", "SINCE", "ID"].map(str::to_owned).to_vec()];
    rows.extend(
        users
            .into_iter()
            .map(|user| vec![user.name, show::date(user.created), user.id]),
    );
    write_line(&show::table(&rows))
}

fn remove(api: &Api, target: &Target, name: &str) -> Result<()> {
    api.delete(&format!("/users/{}", encode(name)))?;
    if target.json {
        return write_json(&json!({ "removed": name }));
    }
    write_line(&format!("removed user {name}"))
}

/// Whether the user could be removed, as far as it can be told beforehand.
fn check(api: &Api, target: &Target, name: &str) -> Result<()> {
    let keys: Vec<KeyInfo> = api.get(&format!("/keys?user={}", encode(name)))?;
    if !keys.is_empty() {
        let ids: Vec<String> = keys.into_iter().map(|key| key.id).collect();
        bail!(
            "the user has access keys: remove {} with `strongroom key rm`",
            ids.join(", ")
        );
    }
    if target.json {
        return write_json(&json!({ "would_remove": name }));
    }
    write_line(&format!(
        "would remove user {name}, unless they own buckets; nothing was changed"
    ))
}
