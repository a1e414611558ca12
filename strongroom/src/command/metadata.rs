//! `strongroom metadata`: one metadata server, or what an operator asks of them all.

use super::api::Target;
use super::restore;
use super::servers::ask;
use super::show::table;
use super::{write_json, write_line};
use crate::role;
use anyhow::{Context, Result, bail};
use client::RemoteMetadata;
use std::time::Duration;
use tokio::time::Instant;
use types::NodeId;
use types::wire::Members;
use types::wire::members::{Added, Audited, Finding, Levels, Member};
use types::wire::metadata::MetadataError;

/// Between two looks at a server that learns.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Who has not begun to learn after so long is not there.
const SILENT: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    serve: role::metadata::Options,
}

#[derive(clap::Subcommand)]
enum What {
    /// Show the metadata servers: who leads, who votes, who is behind
    Status {
        #[command(flatten)]
        target: Target,
    },
    /// Have a server that joined take part: it learns, and votes once it has caught up
    Add {
        /// Its id, as `strongroom join` told it
        node: u64,
        #[command(flatten)]
        target: Target,
    },
    /// Take a server out; one that leads hands over first
    Remove {
        /// Its id
        node: u64,
        #[command(flatten)]
        target: Target,
    },
    /// Hand leadership to another server
    Transfer {
        /// Its id [default: the server that is least behind]
        node: Option<u64>,
        #[command(flatten)]
        target: Target,
    },
    /// Have the leader write a backup of all metadata on its machine, in its folder of backups
    Backup {
        /// What it is called: letters, digits, dots, dashes, underscores
        name: String,
        #[command(flatten)]
        target: Target,
    },
    /// Make a new metadata server of a backup; deletions are held until they are released
    Restore(restore::Options),
    /// Release deletions that are held since a restore
    Release {
        #[command(flatten)]
        target: Target,
    },
    /// Have the servers compare their rows, now; one that has other rows than most stops and makes them anew
    Audit {
        #[command(flatten)]
        target: Target,
    },
    /// Show the feature level, and what each server knows
    Level {
        #[command(flatten)]
        target: Target,
    },
    /// Raise the feature level, for good: once every server runs a build that knows it, and none is to go back
    Raise {
        /// To which [default: the highest that every server knows]
        level: Option<u32>,
        #[command(flatten)]
        target: Target,
    },
}

pub(crate) fn run(options: Options) -> Result<()> {
    match options.what {
        None => role::metadata::run(options.serve),
        Some(What::Status { target }) => status(&target),
        Some(What::Add { node, target }) => add(NodeId::new(node), &target),
        Some(What::Remove { node, target }) => {
            let node = NodeId::new(node);
            ask(&target, async |servers: &RemoteMetadata| {
                let removed = Members::remove_member(servers, node).await;
                removed.with_context(|| format!("taking out {node}"))
            })?;
            done(&target, node, "is taken out")
        }
        Some(What::Transfer { node, target }) => {
            let to = node.map(NodeId::new);
            let leader = ask(&target, async |servers: &RemoteMetadata| {
                let members = servers.members().await;
                let members = members.context("asking who leads")?;
                let leader = members.iter().find(|member| member.leader);
                let from = leader.context("nobody leads")?.node;
                let led = Members::transfer(servers, from, to).await;
                led.context("handing over leadership")
            })?;
            done(&target, leader, "leads")
        }
        Some(What::Backup { name, target }) => backup(&name, &target),
        Some(What::Restore(options)) => restore::run(&options),
        Some(What::Release { target }) => {
            ask(&target, async |servers: &RemoteMetadata| {
                let released = Members::release(servers).await;
                released.context("releasing deletions")
            })?;
            match target.json {
                true => write_json(&serde_json::json!({ "held": false })),
                false => write_line("deletions go on"),
            }
        }
        Some(What::Audit { target }) => audit(&target),
        Some(What::Level { target }) => {
            let levels = ask(&target, async |servers: &RemoteMetadata| {
                let levels = servers.levels().await;
                levels.context("asking for the feature level")
            })?;
            show_levels(&target, &levels)
        }
        Some(What::Raise { level, target }) => {
            let levels = ask(&target, async |servers: &RemoteMetadata| {
                let raised = Members::raise_level(servers, level).await;
                raised.context("raising the feature level")
            })?;
            show_levels(&target, &levels)
        }
    }
}

fn backup(name: &str, target: &Target) -> Result<()> {
    let written = ask(target, async |servers: &RemoteMetadata| {
        let written = Members::backup(servers, name.to_owned()).await;
        written.with_context(|| format!("writing the backup {name}"))
    })?;
    if target.json {
        return write_json(&written);
    }
    let (node, entry) = (written.node.get(), written.entry);
    write_line(&format!("server   {node}"))?;
    write_line(&format!("folder   {}", written.folder))?;
    write_line(&format!("entry    {entry}"))
}

/// Fails where a server's rows are not right: a script that asks should stop.
fn audit(target: &Target) -> Result<()> {
    let report = ask(target, async |servers: &RemoteMetadata| {
        let report = Members::audit(servers).await;
        report.context("having the servers compare their rows")
    })?;
    if target.json {
        write_json(&report)?;
    } else {
        let heading = ["server", "rows", "read through"].map(str::to_owned);
        let mut rows = vec![heading.to_vec()];
        rows.extend(report.servers.iter().map(audited));
        write_line(&table(&rows))?;
    }
    let odd = report
        .servers
        .iter()
        .filter(|server| matches!(server.finding, Finding::Odd | Finding::Undecided));
    match odd.count() {
        0 => Ok(()),
        _ => bail!("at entry {} the servers' rows differ", report.entry),
    }
}

fn audited(server: &Audited) -> Vec<String> {
    let rows = match server.finding {
        Finding::Equal => "as most have them",
        Finding::Odd => "OTHERS: it makes them anew",
        Finding::Silent => "it did not say in time",
        Finding::Undecided => "UNDECIDED: no rows are those of most",
        _ => "found as a later build knows",
    };
    let examined = match server.examined_ms {
        Some(ms) => format!("{} min ago", ms / 60_000),
        None => "not since it started".to_owned(),
    };
    vec![server.node.get().to_string(), rows.to_owned(), examined]
}

fn show_levels(target: &Target, levels: &Levels) -> Result<()> {
    if target.json {
        return write_json(levels);
    }
    write_line(&format!("the cluster is of level {}", levels.level))?;
    let mut rows = vec![["server", "knows level"].map(str::to_owned).to_vec()];
    rows.extend(levels.known.iter().map(|(node, known)| {
        let known = known.map_or("does not say".to_owned(), |known| known.to_string());
        vec![node.get().to_string(), known]
    }));
    write_line(&table(&rows))
}

fn done(target: &Target, node: NodeId, what: &str) -> Result<()> {
    if target.json {
        return write_json(&serde_json::json!({ "node": node }));
    }
    write_line(&format!("{node} {what}"))
}

fn status(target: &Target) -> Result<()> {
    let (members, held) = ask(target, async |servers: &RemoteMetadata| {
        let members = servers.members().await;
        let members = members.context("asking for the metadata servers")?;
        let held = match servers.held().await {
            // A build before this one holds nothing.
            Err(MetadataError::NoSuchCall) => None,
            held => held.context("asking whether deletions are held")?,
        };
        Ok((members, held))
    })?;
    if held.is_some() {
        eprintln!(
            "deletions are held since the metadata was restored: strongroom metadata release"
        );
    }
    if target.json {
        return write_json(&members);
    }
    let heading = ["server", "address", "role", "behind", "answered", "trouble"].map(str::to_owned);
    let mut rows = vec![heading.to_vec()];
    rows.extend(members.iter().map(row));
    write_line(&table(&rows))
}

fn row(member: &Member) -> Vec<String> {
    let role = match (member.leader, member.voter) {
        (true, _) => "leader",
        (false, true) => "voter",
        (false, false) => "learner",
    };
    let answered = match member.silent_ms {
        Some(0) => "now".to_owned(),
        Some(silent) => format!("{:.1} s ago", silent as f64 / 1000.0),
        None => "not yet".to_owned(),
    };
    vec![
        member.node.get().to_string(),
        member.address.clone(),
        role.to_owned(),
        member.behind.to_string(),
        answered,
        trouble(member),
    ]
}

/// Wall clocks that differ by less show the same.
const CLOSE_MS: u64 = 10_000;

fn trouble(member: &Member) -> String {
    let mut trouble = Vec::new();
    if member.full {
        trouble.push("disk almost full".to_owned());
    }
    let off = member.clock_ahead_ms;
    if off.unsigned_abs() > CLOSE_MS {
        let seconds = off.unsigned_abs() / 1000;
        let side = if off > 0 { "ahead of" } else { "behind" };
        trouble.push(format!("clock {seconds} s {side} the leader's"));
    }
    trouble.join(", ")
}

/// Asks until it votes; gives up when it does not come nearer.
fn add(node: NodeId, target: &Target) -> Result<()> {
    ask(target, async |servers: &RemoteMetadata| {
        let mut least = u64::MAX;
        let mut nearer = Instant::now();
        loop {
            let added = Members::add_member(servers, node).await;
            match added.with_context(|| format!("adding {node}"))? {
                Added::Voter => return Ok(()),
                Added::Learning { behind } if behind < least => {
                    (least, nearer) = (behind, Instant::now());
                    tracing::info!(%node, behind, "it learns");
                }
                Added::Learning { behind } => {
                    if nearer.elapsed() > SILENT {
                        bail!(
                            "{node} is a learner, {behind} entries behind, and comes no nearer; see whether it runs, \
                             and ask again"
                        );
                    }
                }
                _ => bail!("{node} is in a state that a later build knows"),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })?;
    done(target, node, "votes")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A full disk and a wrong clock are told of a server; a clock that is nearly right is not.
    #[test]
    fn trouble_is_told() {
        let well = Member {
            node: NodeId::new(2),
            address: "10.0.0.2:9011".into(),
            voter: true,
            leader: false,
            behind: 0,
            silent_ms: Some(20),
            full: false,
            clock_ahead_ms: -900,
        };
        assert_eq!(trouble(&well), "");
        let unwell = Member {
            full: true,
            clock_ahead_ms: 3_600_000,
            ..well
        };
        let told = "disk almost full, clock 3600 s ahead of the leader's";
        assert_eq!(row(&unwell).last().map(String::as_str), Some(told));
    }
}
