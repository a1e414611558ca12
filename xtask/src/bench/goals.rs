//! What is wanted, by whom it is measured, and whether it is met. A goal whose cases were not measured is open.

use super::disk::DISK;
use super::rows::STREAMS;
use super::run::Run;
use super::sample::Sample;
use super::seaweedfs;
use super::servers::{REFERENCE, STRONGROOM};
use std::fmt::Write;

/// A quantity with its bound.
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) bound: Bound,
    /// None: not measured.
    pub(crate) value: Option<f64>,
}

#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    /// None: not measured.
    pub(crate) fn met(&self) -> Option<bool> {
        self.value.map(|value| match self.bound {
            Bound::AtLeast(bound) => value >= bound,
            Bound::AtMost(bound) => value <= bound,
        })
    }
}

/// All of them, of the medians of a run.
pub(crate) fn all(run: &Run) -> Vec<Goal> {
    let median = |case: &str, server: &str, of: fn(&Sample) -> Option<f64>| {
        run.figure(case, server, of).map(|figure| figure.median)
    };
    let speed = |case: &str, server: &str| run.speed(case, server).map(|figure| figure.median);
    let own = |case: &str| speed(case, STRONGROOM);
    let reference = |case: &str| speed(case, REFERENCE);
    let weed = |case: &str| speed(case, seaweedfs::NAME);
    let ratio = |of: Option<f64>, to: Option<f64>| Some(of? / to?);
    let mut goals = Vec::new();
    let mut goal = |what: &str, bound: Bound, value: Option<f64>| {
        goals.push(Goal {
            what: what.into(),
            bound,
            value,
        });
    };
    use Bound::{AtLeast, AtMost};

    for (case, what) in [
        ("get-large.http.cold", "cold GET of 1 GiB, one stream"),
        (
            "get-large-ranges.http.cold",
            "cold GET of 1 GiB, ranges × 4",
        ),
    ] {
        let disk = speed(case, DISK);
        let least = reference(case).zip(disk).map(|(a, b)| a.min(b));
        goal(
            &format!("{what} ÷ min(reference, disk)"),
            AtLeast(0.8),
            ratio(own(case), least),
        );
        goal(
            &format!("{what} ÷ SeaweedFS"),
            AtLeast(1.3),
            ratio(own(case), weed(case)),
        );
    }
    let case = "get-small.http.cold";
    goal(
        "cold GET of 100 KB × 8 ÷ SeaweedFS",
        AtLeast(1.5),
        ratio(own(case), weed(case)),
    );
    for (case, what) in [
        ("put-large.http", "PUT of 1 GiB, one stream"),
        ("put-large-parts.http", "PUT of 1 GiB, parts × 4"),
        ("put-small.http", "PUT of 100 KB × 8"),
    ] {
        goal(
            &format!("{what} ÷ SeaweedFS"),
            AtLeast(3.0),
            ratio(own(case), weed(case)),
        );
        goal(
            &format!("{what} ÷ reference"),
            AtLeast(0.25),
            ratio(own(case), reference(case)),
        );
    }
    for (row, cache, what) in [
        ("get-large", ".warm", "GET of 1 GiB, one stream"),
        ("get-large-ranges", ".warm", "GET of 1 GiB, ranges × 4"),
        ("get-small", ".warm", "GET of 100 KB × 8"),
        ("put-large", "", "PUT of 1 GiB, one stream"),
        ("put-large-parts", "", "PUT of 1 GiB, parts × 4"),
        ("put-small", "", "PUT of 100 KB × 8"),
    ] {
        let over = |scheme: &str| own(&format!("{row}.{scheme}{cache}"));
        goal(
            &format!("{what}: https ÷ http"),
            AtLeast(0.75),
            ratio(over("https"), over("http")),
        );
    }
    for (lost, healthy, what) in [
        (
            "degraded-large.http.cold",
            "get-large.http.cold",
            "GET of 1 GiB",
        ),
        (
            "degraded-small.http.cold",
            "get-small.http.cold",
            "GET of 100 KB × 8",
        ),
    ] {
        goal(
            &format!("{what}: 2 disks lost ÷ healthy"),
            AtLeast(0.7),
            ratio(own(lost), own(healthy)),
        );
    }
    let single = |of: fn(&Sample) -> Option<f64>| median("get-single.http.warm", STRONGROOM, of);
    goal(
        "metadata lookup ÷ GET of 100 KB, one at a time",
        AtMost(0.1),
        ratio(
            single(|sample| sample.lookup),
            single(|sample| Some(sample.p50)),
        ),
    );
    let cpu = |server: &str| median("get-large.http.warm", server, Sample::cpu_a_gb);
    goal(
        "processor a GB of a GET of 1 GiB ÷ reference",
        AtMost(1.6),
        ratio(cpu(STRONGROOM), cpu(REFERENCE)),
    );
    let first = |case: &str| median(case, STRONGROOM, |sample| Some(sample.first));
    goal(
        "first byte: GET of 1 GiB ÷ of 100 KB",
        AtMost(2.0),
        ratio(
            first("first-large.http.cold"),
            first("first-small.http.cold"),
        ),
    );
    let grown = median("streams.http.warm", STRONGROOM, Sample::growth);
    goal(
        "memory a stream, MiB",
        AtMost(16.0),
        grown.map(|bytes| bytes / STREAMS as f64 / f64::from(1 << 20)),
    );
    goals
}

/// As a table in Markdown, which people read in a terminal, too.
pub(crate) fn table(run: &Run) -> String {
    let mut out = String::from("| goal | wanted | measured | |\n|---|---|---|---|\n");
    for goal in all(run) {
        let (sign, bound) = match goal.bound {
            Bound::AtLeast(bound) => ("≥", bound),
            Bound::AtMost(bound) => ("≤", bound),
        };
        let value = goal.value.map_or("–".into(), |value| format!("{value:.2}"));
        let verdict = match goal.met() {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "not measured",
        };
        let _ = writeln!(
            out,
            "| {} | {sign} {bound} | {value} | {verdict} |",
            goal.what
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bound itself is good enough, on either side; what was not measured is neither met nor missed.
    #[test]
    fn bounds_are_inclusive() {
        for (bound, value, met) in [
            (Bound::AtLeast(0.8), Some(0.8), Some(true)),
            (Bound::AtLeast(0.8), Some(0.79), Some(false)),
            (Bound::AtMost(2.0), Some(2.0), Some(true)),
            (Bound::AtMost(2.0), Some(2.1), Some(false)),
            (Bound::AtMost(2.0), None, None),
        ] {
            let what = String::new();
            assert_eq!(Goal { what, bound, value }.met(), met, "{value:?}");
        }
    }
}
