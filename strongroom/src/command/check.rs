//! `strongroom check`: what the disks hold, against what the metadata says they should.

use super::api::{Api, Target, write_json, write_line};
use super::progress::{self, Step, Unit};
use super::show;
use crate::operations::{Checked, DiskOutcome, Outcome};
use anyhow::{Context, Result, bail};
use gateway::CheckRequest;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Read every shard, too, and prove it
    #[arg(long)]
    deep: bool,
    /// Have what is missing or damaged made again, and remove what is nobody's
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    target: Target,
}

/// Has a check done, shows how far it is, and fails unless everything is as it should be.
pub(crate) fn run(options: Options) -> Result<()> {
    let api = options.target.api()?;
    let request = CheckRequest {
        deep: options.deep,
        repair: options.repair,
    };
    api.begin("/check", &request).context("beginning a check")?;
    let checked = await_end(&api)?;
    let outcome = checked.outcome.clone().context("the check told nothing")?;
    if options.target.json {
        write_json(&checked)?;
    } else {
        show(&outcome)?;
    }
    if outcome.is_clean() {
        return Ok(());
    }
    if options.repair {
        bail!(
            "not everything is as it should be; what can be is made again, see `strongroom status`"
        )
    }
    bail!("not everything is as it should be; `strongroom check --repair` has it made again")
}

/// Waits for its end. Only a deep one counts what it has read.
fn await_end(api: &Api) -> Result<Checked> {
    progress::follow(Unit::Shards, || {
        let checked: Checked = api.get("/check").context("asking how far the check is")?;
        Ok(Step {
            done: checked.read,
            all: if checked.deep { checked.shards } else { 0 },
            a_second: None,
            outcome: checked.done.then_some(checked),
        })
    })
}

fn show(outcome: &Outcome) -> Result<()> {
    let heading = [
        "DISK",
        "SHARDS",
        "MISSING",
        "REPAIRING",
        "EXTRA",
        "STRAY",
        "CORRUPT",
        "REMOVED",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for disk in &outcome.disks {
        if let Some(why) = &disk.away {
            rows.push(vec![disk.disk.to_string(), format!("away: {why}")]);
            continue;
        }
        let DiskOutcome {
            held,
            missing,
            repairing,
            extra,
            stray,
            corrupt,
            removed,
            ..
        } = disk;
        let numbers = [held, missing, repairing, extra, stray, corrupt, removed];
        let numbers = numbers.into_iter().map(ToString::to_string);
        rows.push([disk.disk.to_string()].into_iter().chain(numbers).collect());
    }
    write_line(&show::table(&rows))?;
    for disk in outcome.disks.iter().filter(|disk| !disk.named.is_empty()) {
        write_line(&format!("disk {}: {}", disk.disk, disk.named.join(" ")))?;
    }
    Ok(())
}
