//! A short run against the ratios that are kept in `benches/ratios.json`.
//!
//! Ratios to the reference of the same run, since machines differ: what a slower machine does to one it does to
//! the other. They are of the dev profile, which tests are built with, and say nothing of a release.

use super::figure::{Change, Figure};
use super::run::Run;
use super::servers::{REFERENCE, STRONGROOM};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const KEPT: &str = "benches/ratios.json";

#[derive(Serialize, Deserialize)]
struct Kept {
    profile: String,
    /// By case: the median, the least and the most.
    ratios: BTreeMap<String, [f64; 3]>,
}

/// Strongroom over the reference, measurement by measurement.
fn ratios(run: &Run, case: &str) -> Option<Figure> {
    let pairs = run.samples(case, STRONGROOM).iter();
    let pairs = pairs.zip(run.samples(case, REFERENCE));
    Figure::of(pairs.map(|(own, reference)| own.throughput() / reference.throughput()))
}

/// Says how a run stands to what is kept; keeps it instead when told so.
pub(crate) fn print(root: &Path, run: &Run, keep: bool) -> Result<()> {
    let path = root.join(KEPT);
    let now = run.cases.keys().filter_map(|case| {
        let figure = ratios(run, case)?;
        Some((case.clone(), figure))
    });
    let now: BTreeMap<String, Figure> = now.collect();
    if keep {
        let short = |value: f64| (value * 1e3).round() / 1e3;
        let triple = |figure: &Figure| [figure.median, figure.least, figure.most].map(short);
        let ratios = now
            .iter()
            .map(|(case, figure)| (case.clone(), triple(figure)));
        let kept = Kept {
            profile: run.profile.clone(),
            ratios: ratios.collect(),
        };
        let text = serde_json::to_string_pretty(&kept)? + "\n";
        return fs::write(&path, text).context("keeping the ratios");
    }
    let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let kept: Kept = serde_json::from_slice(&text).context("reading the kept ratios")?;
    eprintln!("\nthroughput ÷ reference, {} profile", run.profile);
    for (case, figure) in &now {
        eprintln!("{}", line(case, *figure, kept.ratios.get(case)));
    }
    Ok(())
}

fn line(case: &str, now: Figure, kept: Option<&[f64; 3]>) -> String {
    let Figure {
        median,
        least,
        most,
    } = now;
    let shown = format!("{case:<24} {median:.3} ({least:.3}–{most:.3})");
    let Some([median, least, most]) = kept.copied() else {
        return format!("{shown}  new");
    };
    let kept = Figure {
        median,
        least,
        most,
    };
    let change = match kept.change_to(now) {
        Change::Noise => "as kept",
        Change::More => "faster beyond noise",
        Change::Less => "SLOWER beyond noise",
    };
    format!("{shown}  kept {median:.3} ({least:.3}–{most:.3})  {change}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slower_run_is_told() {
        let now = Figure::of([0.29, 0.3, 0.31]).expect("values");
        let told = |kept: Option<&[f64; 3]>| line("get", now, kept);
        assert!(told(Some(&[0.5, 0.48, 0.52])).ends_with("SLOWER beyond noise"));
        assert!(told(Some(&[0.3, 0.28, 0.33])).ends_with("as kept"));
        assert!(told(Some(&[0.2, 0.19, 0.21])).ends_with("faster beyond noise"));
        assert!(told(None).ends_with("new"));
    }
}
