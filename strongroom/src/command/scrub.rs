//! `strongroom scrub`: every shard of the disks read and proved, and how far that is.

use super::api::{Api, Target, write_json, write_line};
use super::progress::{self, Step, Unit, pace, speed};
use super::show;
use crate::scrub::{Doing, ScrubStatus};
use anyhow::{Context, Result, bail};
use gateway::ScrubRequest;
use indicatif::HumanDuration;
use std::time::Duration;
use types::DiskId;
use types::wire::metadata::WallTime;

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

fn ask(api: &Api) -> Result<Vec<ScrubStatus>> {
    api.get("/scrub").context("asking how far the scrub is")
}

/// Waits until no round is under way that an operator asked for.
fn await_end(api: &Api, disk: Option<DiskId>) -> Result<Vec<ScrubStatus>> {
    progress::follow(Unit::Bytes, || {
        let disks = ask(api)?;
        let asked: Vec<ScrubStatus> = disks
            .into_iter()
            .filter(|scrub| disk.is_none_or(|disk| disk == scrub.disk))
            .collect();
        let sum = |of: fn(&ScrubStatus) -> f64| asked.iter().map(of).sum::<f64>();
        Ok(Step {
            done: asked.iter().map(|scrub| scrub.bytes).sum(),
            all: asked.iter().map(|scrub| scrub.all_bytes).sum(),
            a_second: Some(sum(|scrub| scrub.bytes_a_second)),
            outcome: asked
                .iter()
                .all(|scrub| scrub.doing != Doing::Hurried)
                .then_some(asked),
        })
    })
}

/// What came of it.
fn finish(disks: &[ScrubStatus], json: bool) -> Result<()> {
    show(disks, json)?;
    let found: u64 = disks.iter().map(|scrub| scrub.found).sum();
    let away = disks.iter().filter(|scrub| scrub.doing == Doing::Away);
    if away.count() > 0 {
        bail!("not every disk serves; the scrub of those that do not goes on once they do");
    }
    if found > 0 {
        bail!(
            "{found} shards were not what they were; they are made again, see `strongroom status`"
        );
    }
    Ok(())
}

fn show(disks: &[ScrubStatus], json: bool) -> Result<()> {
    if json {
        return write_json(&disks);
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
    rows.extend(disks.iter().map(row));
    write_line(&show::table(&rows))
}

fn row(scrub: &ScrubStatus) -> Vec<String> {
    let ScrubStatus {
        bytes, all_bytes, ..
    } = *scrub;
    let state = match scrub.doing {
        Doing::Resting => "resting",
        Doing::Steady => "steady",
        Doing::Hurried => "hurried",
        Doing::Away => "away",
    };
    let percent = match all_bytes {
        0 => "-".to_owned(),
        all => format!("{:.1}%", 100.0 * bytes as f64 / all as f64),
    };
    let date = |seconds: u64| show::date(WallTime(seconds.saturating_mul(1000)));
    let pace = match (scrub.doing, scrub.next, scrub.seconds_left) {
        (Doing::Resting, Some(next), _) => format!("again on {}", date(next)),
        (Doing::Steady, _, Some(left)) => {
            let left = HumanDuration(Duration::from_secs_f64(left.min(1e9)));
            format!("{}, {left} left", speed(scrub.bytes_a_second))
        }
        (Doing::Hurried, ..) => pace(Unit::Bytes, bytes, all_bytes, scrub.bytes_a_second),
        _ => String::new(),
    };
    vec![
        scrub.disk.get().to_string(),
        scrub.round.to_string(),
        state.to_owned(),
        percent,
        format!("{}/{}", scrub.shards, scrub.all_shards),
        scrub.found.to_string(),
        scrub.ended.map_or_else(|| "never".to_owned(), date),
        pace,
    ]
}
