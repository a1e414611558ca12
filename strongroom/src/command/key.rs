//! `strongroom key`: access keys, which act for users. A secret is printed by the command that made it, and
//! never again.

use super::api::{Api, Target, encode, write_json, write_line};
use super::show;
use crate::credentials;
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use gateway::MadeKey;
use serde_json::json;
use types::Label;
use types::wire::accounts::{KeyInfo, KeyState, is_key_id, is_user_name};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make an access key for a user, and print its secret, this once
    Add {
        /// For whom
        #[arg(value_parser = user_name)]
        user: String,
    },
    /// List access keys
    Ls {
        /// Of this user only
        #[arg(value_parser = user_name)]
        user: Option<String>,
    },
    /// Make another key for the same user and label, print its secret, this once, and remove the old one
    Rotate {
        /// The old key
        #[arg(value_parser = key_id)]
        id: String,
        /// Leave the old key, to be removed with `strongroom key rm` when nobody uses it any more
        #[arg(long)]
        keep_old: bool,
    },
    /// Refuse a key from now on, until it is enabled
    Disable {
        /// Which
        #[arg(value_parser = key_id)]
        id: String,
    },
    /// Take a disabled key again
    Enable {
        /// Which
        #[arg(value_parser = key_id)]
        id: String,
    },
    /// Remove a key for good
    Rm {
        /// Which
        #[arg(value_parser = key_id)]
        id: String,
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
        Action::Add { user } => {
            let made = make(&api, &user, &Label::default());
            let made = made.with_context(|| format!("making an access key for user {user}"))?;
            tell(&target, &made)
        }
        Action::Ls { user } => list(&api, &target, user).context("listing the access keys"),
        Action::Rotate { id, keep_old } => rotate(&api, &target, &id, keep_old),
        Action::Disable { id } => set(&api, &target, &id, KeyState::Disabled)
            .with_context(|| format!("disabling access key {id}")),
        Action::Enable { id } => set(&api, &target, &id, KeyState::Active)
            .with_context(|| format!("enabling access key {id}")),
        Action::Rm { id, dry_run } => {
            remove(&api, &target, &id, dry_run).with_context(|| format!("removing access key {id}"))
        }
    }
}

fn make(api: &Api, user: &str, label: &Label) -> Result<MadeKey> {
    api.post("/keys", &json!({ "user": user, "label": label }))
}

/// Prints a new key as AWS tools want it in their credentials file.
fn tell(target: &Target, made: &MadeKey) -> Result<()> {
    if target.json {
        return write_json(made);
    }
    let MadeKey { key, secret } = made;
    let ini = zeroize::Zeroizing::new(credentials::ini(&key.user, &key.id, secret));
    write_line(ini.trim_end())?;
    eprintln!("strongroom: keep the secret now, it is not shown again");
    Ok(())
}

fn list(api: &Api, target: &Target, user: Option<String>) -> Result<()> {
    let path = match user {
        Some(user) => format!("/keys?user={}", encode(&user)),
        None => "/keys".to_owned(),
    };
    let keys: Vec<KeyInfo> = api.get(&path)?;
    if target.json {
        return write_json(&keys);
    }
    let heading = ["ID", "USER", "STATE", "LABEL", "SINCE"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(keys.into_iter().map(|key| {
        vec![
            key.id,
            key.user,
            state(key.state).to_owned(),
            show::label(&key.label),
            show::date(key.created),
        ]
    }));
    write_line(&show::table(&rows))
}

/// The new key is told before the old one goes: it cannot be told later.
fn rotate(api: &Api, target: &Target, id: &str, keep_old: bool) -> Result<()> {
    let rotating = || format!("rotating access key {id}");
    let old = find(api, id).with_context(rotating)?;
    let made = make(api, &old.user, &old.label).with_context(rotating)?;
    tell(target, &made)?;
    if keep_old {
        return Ok(());
    }
    api.delete(&format!("/keys/{id}")).with_context(|| {
        let new = &made.key.id;
        format!("{new} was made, but {id} was not removed: try `strongroom key rm {id}`")
    })
}

fn set(api: &Api, target: &Target, id: &str, to: KeyState) -> Result<()> {
    api.put(&format!("/keys/{id}/state"), &to)?;
    if target.json {
        return write_json(&json!({ "id": id, "state": to }));
    }
    write_line(&format!("access key {id} is {} now", state(to)))
}

fn remove(api: &Api, target: &Target, id: &str, dry_run: bool) -> Result<()> {
    if dry_run {
        let KeyInfo { user, .. } = find(api, id)?;
        if target.json {
            return write_json(&json!({ "would_remove": id, "user": user }));
        }
        return write_line(&format!(
            "would remove access key {id} of user {user}; nothing was changed"
        ));
    }
    api.delete(&format!("/keys/{id}"))?;
    if target.json {
        return write_json(&json!({ "removed": id }));
    }
    write_line(&format!("removed access key {id}"))
}

fn find(api: &Api, id: &str) -> Result<KeyInfo> {
    let keys: Vec<KeyInfo> = api.get("/keys")?;
    match keys.into_iter().find(|key| key.id == id) {
        Some(key) => Ok(key),
        None => bail!("there is no access key of that id: list them with `strongroom key ls`"),
    }
}

fn state(state: KeyState) -> &'static str {
    match state {
        KeyState::Active => "active",
        KeyState::Disabled => "disabled",
        _ => "unknown",
    }
}

/// A user's name, as a command takes it.
pub(super) fn user_name(text: &str) -> Result<String, String> {
    if is_user_name(text) {
        Ok(text.to_owned())
    } else {
        Err("a user's name has 1 to 64 letters, digits and +=,.@_-".to_owned())
    }
}

fn key_id(text: &str) -> Result<String, String> {
    if is_key_id(text) {
        Ok(text.to_owned())
    } else {
        Err("an access key's id has letters, digits, _ and -".to_owned())
    }
}
