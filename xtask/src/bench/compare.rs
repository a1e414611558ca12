//! What got slower from one run to another, beyond noise.
//!
//! The reference is in both. Where it moved, too, the machine did, and the figures beside it say little.

use super::figure::{Change, Figure};
use super::run::Run;
use super::sample::Sample;
use super::servers::REFERENCE;
use anyhow::{Result, ensure};
use std::path::Path;

/// One quantity of one case in both runs.
struct Line {
    what: String,
    unit: &'static str,
    old: Figure,
    new: Figure,
    /// More of it is better.
    more_is_better: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Same,
    Better,
    Worse,
}

impl Line {
    fn verdict(&self) -> Verdict {
        match (self.old.change_to(self.new), self.more_is_better) {
            (Change::Noise, _) => Verdict::Same,
            (Change::More, true) | (Change::Less, false) => Verdict::Better,
            (Change::Less, true) | (Change::More, false) => Verdict::Worse,
        }
    }

    fn shown(&self) -> String {
        let per_cent = (self.new.median / self.old.median - 1.0) * 100.0;
        let figure = |figure: Figure| {
            format!(
                "{:.3} ({:.3}–{:.3})",
                figure.median, figure.least, figure.most
            )
        };
        let (old, new) = (figure(self.old), figure(self.new));
        format!(
            "{:<52} {old:>24} -> {new:>24} {}  {per_cent:+.0} %",
            self.what, self.unit
        )
    }
}

/// Reads both and says it.
pub(crate) fn print(old: &Path, new: &Path) -> Result<()> {
    let (old, new) = (Run::read(old)?, Run::read(new)?);
    ensure!(
        (old.large, &old.profile) == (new.large, &new.profile),
        "the two runs are of other sizes or profiles"
    );
    if old.machine != new.machine {
        eprintln!(
            "these runs are of two machines: {:?} and {:?}\n",
            old.machine, new.machine
        );
    }
    let lines = lines(&old, &new);
    ensure!(!lines.is_empty(), "the two runs have no case in common");
    for (verdict, title) in [(Verdict::Worse, "worse"), (Verdict::Better, "better")] {
        let those: Vec<&Line> = lines
            .iter()
            .filter(|line| line.verdict() == verdict)
            .collect();
        eprintln!(
            "{} {title} beyond noise, {} -> {}",
            those.len(),
            old.commit,
            new.commit
        );
        for line in &those {
            eprintln!("  {}", line.shown());
        }
        if those.iter().any(|line| line.what.contains(REFERENCE)) {
            eprintln!("  the reference is among them: the machine was not the same");
        }
    }
    let same = lines.iter().filter(|line| line.verdict() == Verdict::Same);
    eprintln!("{} the same", same.count());
    Ok(())
}

fn lines(old: &Run, new: &Run) -> Vec<Line> {
    let mut lines = Vec::new();
    for (case, servers) in &old.cases {
        for server in servers.keys() {
            let mut add =
                |what: &str, unit, more_is_better, old: Option<Figure>, new: Option<Figure>| {
                    if let (Some(old), Some(new)) = (old, new) {
                        lines.push(Line {
                            what: format!("{case} {server}{what}"),
                            unit,
                            old,
                            new,
                            more_is_better,
                        });
                    }
                };
            let moved = old
                .samples(case, server)
                .iter()
                .any(|sample| sample.bytes > 0);
            let unit = if moved { "GB/s" } else { "1/s" };
            add(
                "",
                unit,
                true,
                old.speed(case, server),
                new.speed(case, server),
            );
            let cpu = |run: &Run| run.figure(case, server, Sample::cpu_a_gb);
            add(", processor", "s/GB", false, cpu(old), cpu(new));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn run(seconds: &[f64], cpu: f64) -> Run {
        let sample = |seconds: &f64| Sample {
            seconds: *seconds,
            bytes: 1_000_000_000,
            requests: 1,
            server_cpu: Some(cpu),
            ..Sample::default()
        };
        let mut run = Run::new("release", 1, Path::new("/"));
        let samples = seconds.iter().map(sample).collect();
        let servers = BTreeMap::from([("strongroom".to_owned(), samples)]);
        run.cases.insert("get-large.http.cold".into(), servers);
        run
    }

    /// Slower is worse, more processor time is worse, and what the spread explains is neither.
    #[test]
    fn what_got_slower_is_named() {
        let old = run(&[1.0, 1.02, 0.98], 0.5);
        let verdicts =
            |new: &Run| -> Vec<Verdict> { lines(&old, new).iter().map(Line::verdict).collect() };
        use Verdict::{Better, Same, Worse};
        assert_eq!(verdicts(&run(&[1.01, 1.0, 0.97], 0.5)), [Same, Same]);
        assert_eq!(verdicts(&run(&[1.5, 1.52, 1.48], 0.8)), [Worse, Worse]);
        assert_eq!(verdicts(&run(&[0.7, 0.71, 0.69], 0.3)), [Better, Better]);
        assert_eq!(verdicts(&run(&[0.9, 1.2, 1.5], 0.5)), [Same, Same]);
    }
}
