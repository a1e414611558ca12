//! A run as tables in Markdown, which people read in a terminal, too.

use super::disk::{self, DISK};
use super::figure::Figure;
use super::rows::{Case, Kind};
use super::run::Run;
use super::sample::Sample;
use super::seaweedfs;
use super::servers::{REFERENCE, STRONGROOM};
use anyhow::Result;
use std::fmt::Write;

/// Every case that was measured: medians, in parentheses the least and the most, and below the server's
/// processor time.
pub(crate) fn of(run: &Run) -> Result<String> {
    let servers = servers(run);
    let mut out = String::from("| GB/s (least–most), CPU s/GB |");
    for server in &servers {
        write!(out, " {server} |")?;
    }
    writeln!(out, " ÷ reference | ÷ SeaweedFS |")?;
    writeln!(out, "|---|{}---|---|", "---|".repeat(servers.len()))?;
    for case in Case::all().filter(|case| run.cases.contains_key(&case.id())) {
        let id = case.id();
        let how = [case.scheme, case.cache].join(" ");
        write!(out, "| {}, {} |", case.row.title, how.trim())?;
        for server in &servers {
            write!(out, " {} |", cell(run, case, server))?;
        }
        for other in [REFERENCE, seaweedfs::NAME] {
            let ratio = ratio(run, &id, other);
            write!(
                out,
                " {} |",
                ratio.map_or("–".into(), |ratio| format!("{ratio:.2}"))
            )?;
        }
        writeln!(out)?;
    }
    for (id, ..) in disk::CASES {
        if let Some(speed) = run.speed(id, DISK) {
            writeln!(out, "\n{id}: {} GB/s", shown(speed, 2))?;
        }
    }
    for case in Case::all() {
        if let Some(speed) = run.speed(&case.id(), DISK) {
            let id = case.id();
            writeln!(
                out,
                "\ndisk.read, in turns with {id}: {} GB/s",
                shown(speed, 2)
            )?;
        }
    }
    Ok(out)
}

/// Strongroom's speed over another's.
pub(crate) fn ratio(run: &Run, case: &str, other: &str) -> Option<f64> {
    Some(run.speed(case, STRONGROOM)?.median / run.speed(case, other)?.median)
}

/// Strongroom first, then the reference, SeaweedFS, and others.
pub(crate) fn servers(run: &Run) -> Vec<&str> {
    let known = [STRONGROOM, REFERENCE, seaweedfs::NAME];
    let mut others: Vec<&str> = run
        .cases
        .values()
        .flat_map(|servers| servers.keys().map(String::as_str))
        .filter(|name| *name != DISK && !known.contains(name))
        .collect();
    others.sort_unstable();
    others.dedup();
    known.into_iter().chain(others).collect()
}

fn cell(run: &Run, case: Case, server: &str) -> String {
    let id = case.id();
    let figure = |of: fn(&Sample) -> Option<f64>| run.figure(&id, server, of);
    let Some(speed) = run.speed(&id, server) else {
        return "–".into();
    };
    let p50 = figure(|sample| Some(sample.p50)).map_or(0.0, |figure| figure.median);
    let p99 = figure(|sample| Some(sample.p99)).map_or(0.0, |figure| figure.median);
    match case.row.kind {
        Kind::FirstLarge | Kind::FirstSmall => {
            let first = figure(|sample| Some(sample.first));
            return first.map_or("–".into(), |first| format!("{} ms", shown(first, 2)));
        }
        Kind::HeadSmall => return format!("{p50:.2} ms, p99 {p99:.2}"),
        _ => {}
    }
    let mut cell = shown(speed, 2);
    if let Some(cpu) = figure(Sample::cpu_a_gb) {
        cell += &format!(", {:.2}", cpu.median);
    }
    if case.is_small() {
        let rate = figure(|sample| Some(sample.rate())).map_or(0.0, |figure| figure.median);
        cell += &format!("; {rate:.0}/s, p50 {p50:.1} p99 {p99:.1} ms");
    }
    if let Kind::Streams = case.row.kind
        && let Some(growth) = figure(Sample::growth)
    {
        let mib = f64::from(1 << 20);
        cell += &format!("; +{:.0} MiB", growth.median / mib);
    }
    cell
}

fn shown(figure: Figure, digits: usize) -> String {
    let Figure {
        median,
        least,
        most,
    } = figure;
    format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
}
