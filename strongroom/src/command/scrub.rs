//! `strongroom scrub`: every shard of the disks read and proved, and how far that is.

use super::api::{Api, Target, write_json, write_line};
use super::progress::{self, Step, Unit, pace, speed};
use super::show;
use anyhow::{Context, Result, bail};
use client::{ScrubReport, SilentNode};
use gateway::ScrubRequest;
use indicatif::HumanDuration;
use std::fmt::Write as _;
use std::time::Duration;
use types::DiskId;
use types::wire::scrub::{DiskScrub, Scrubbing};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    target: Target,
}

#[derive(clap::Subcommand)]
enum What {
    /// Read and prove every shard from the first on, as fast as the requests of others allow
    Start {
        /// Of one disk only; its id, as `disk ls` shows it
        #[arg(value_name = "DISK")]
        disk: Option<u64>,
        /// Show how far it is until it has ended; fail when shards were found that are not what they were
        #[arg(long)]
        wait: bool,
    },
    /// Show how far each disk is, and what was found
    Status,
}

pub(crate) fn run(options: Options) -> Result<()> {
    let api = options.target.api()?;
    let json = options.target.json;
    match options.what {
        What::Status => show(&ask(&api)?, json),
        What::Start { disk, wait } => {
            let disk = disk.map(DiskId::new);
            let request = ScrubRequest { disk };
            api.begin("/scrub", &request).context("beginning a scrub")?;
            if wait {
                return finish(&await_end(&api, disk)?, json);
            }
            let begun = "a scrub has begun; `strongroom scrub status` shows how far it is";
            if json {
                return show(&ask(&api)?, json);
            }
            write_line(begun)
        }
    }
}

fn ask(api: &Api) -> Result<ScrubReport> {
    api.get("/scrub").context("asking how far the scrub is")
}

/// Waits until no round is under way, on any disk that is told of, that an operator asked for.
fn await_end(api: &Api, disk: Option<DiskId>) -> Result<ScrubReport> {
    progress::follow(Unit::Bytes, || {
        let mut report = ask(api)?;
        if let Some(disk) = disk {
            report.disks.retain(|scrub| scrub.disk == disk);
            report.silent.retain(|node| node.disks.contains(&disk));
        }
        let asked = report.disks.iter();
        let sum = |of: fn(&DiskScrub) -> f64| asked.clone().map(of).sum::<f64>();
        Ok(Step {
            done: asked.clone().map(|scrub| scrub.bytes).sum(),
            all: asked.clone().map(|scrub| scrub.all_bytes).sum(),
            a_second: Some(sum(|scrub| scrub.bytes_a_second)),
            outcome: asked
                .clone()
                .all(|scrub| scrub.doing != Scrubbing::Hurried)
                .then_some(report),
        })
    })
}

/// What came of it.
fn finish(report: &ScrubReport, json: bool) -> Result<()> {
    show(report, json)?;
    let ScrubReport { disks, silent } = report;
    let found: u64 = disks.iter().map(|scrub| scrub.found).sum();
    if !silent.is_empty() {
        bail!("not every node answers; nobody knows how far the scrub of its disks is");
    }
    if disks.iter().any(|scrub| scrub.doing == Scrubbing::Away) {
        bail!("not every disk serves; the scrub of those that do not goes on once they do");
    }
    if found > 0 {
        bail!(
            "{found} shards were not what they were; they are made again, see `strongroom status`"
        );
    }
    Ok(())
}

fn show(report: &ScrubReport, json: bool) -> Result<()> {
    if json {
        return write_json(report);
    }
    let heading = [
        "DISK",
        "ROUND",
        "STATE",
        "DONE",
        "SHARDS",
        "FOUND",
        "LAST ENDED",
        "PACE",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(report.disks.iter().map(row));
    let mut text = show::table(&rows);
    for SilentNode { node, disks } in &report.silent {
        let disks = disks.iter().map(|disk| disk.get().to_string());
        let disks = disks.collect::<Vec<_>>().join(", ");
        write!(
            text,
            "\nnode {} does not answer; it has disk {disks}",
            node.get()
        )?;
    }
    write_line(&text)
}

fn row(scrub: &DiskScrub) -> Vec<String> {
    let DiskScrub {
        bytes, all_bytes, ..
    } = *scrub;
    let state = match scrub.doing {
        Scrubbing::Resting => "resting",
        Scrubbing::Steady => "steady",
        Scrubbing::Hurried => "hurried",
        Scrubbing::Away => "away",
        _ => "unknown",
    };
    let percent = match all_bytes {
        0 => "-".to_owned(),
        all => format!("{:.1}%", 100.0 * bytes as f64 / all as f64),
    };
    let pace = match (scrub.doing, scrub.next, scrub.seconds_left) {
        (Scrubbing::Resting, Some(next), _) => format!("again on {}", show::date(next)),
        (Scrubbing::Steady, _, Some(left)) => {
            let left = HumanDuration(Duration::from_secs_f64(left.min(1e9)));
            format!("{}, {left} left", speed(scrub.bytes_a_second))
        }
        (Scrubbing::Hurried, ..) => pace(Unit::Bytes, bytes, all_bytes, scrub.bytes_a_second),
        _ => String::new(),
    };
    vec![
        scrub.disk.get().to_string(),
        scrub.round.to_string(),
        state.to_owned(),
        percent,
        format!("{}/{}", scrub.shards, scrub.all_shards),
        scrub.found.to_string(),
        scrub.ended.map_or_else(|| "never".to_owned(), show::date),
        pace,
    ]
}
