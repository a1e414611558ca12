//! Running other programs: each is said before it runs, and its time and its counts are kept.

use anyhow::{Context, Result, bail, ensure};
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// `cargo VERB --ignore-rust-version`, since s3s declares a newer Rust than it needs.
pub(crate) fn cargo(verb: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(verb.split(' ')).arg("--ignore-rust-version");
    command
}

/// Runs a program to its end; an error when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    say(command);
    let status = command
        .status()
        .with_context(|| format!("starting {}", shown(command)))?;
    ensure!(status.success(), "{} failed: {status}", shown(command));
    Ok(())
}

/// Runs a test runner, shows what it prints, and counts what it reports.
pub(crate) fn run_counted(command: &mut Command) -> (Counts, Result<()>) {
    say(command);
    match piped(command) {
        Ok((counts, true)) if counts.passed == 0 => (
            counts,
            Err(anyhow::anyhow!("{} ran no test", shown(command))),
        ),
        Ok((counts, true)) => (counts, Ok(())),
        Ok((counts, false)) => (counts, Err(anyhow::anyhow!("{} failed", shown(command)))),
        Err(error) => (Counts::default(), Err(error)),
    }
}

fn piped(command: &mut Command) -> Result<(Counts, bool)> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("starting {}", shown(command)))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
        bail!("no pipes to the child")
    };
    let errors = std::thread::spawn(move || tee(stderr, std::io::stderr()));
    let mut counts = tee(stdout, std::io::stdout());
    counts.add(errors.join().unwrap_or_default());
    Ok((counts, child.wait()?.success()))
}

fn tee(from: impl Read, mut to: impl Write) -> Counts {
    let mut counts = Counts::default();
    for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        counts.add(Counts::in_line(&String::from_utf8_lossy(&line)));
        // A closed terminal must not stop the tests.
        let _ = to
            .write_all(&line)
            .and_then(|()| to.write_all(b"\n"))
            .and_then(|()| to.flush());
    }
    counts
}

/// Says a command before it runs.
pub(crate) fn say(command: &Command) {
    eprintln!("\n$ {}", shown(command));
}

fn shown(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        Some(format!("{}={} ", name.to_str()?, quoted(value?.to_str()?)))
    });
    let program = command.get_program().to_string_lossy();
    // Cargo names itself by its full path.
    let program = if program.ends_with("/cargo") {
        "cargo".into()
    } else {
        program
    };
    let words = command
        .get_args()
        .map(|word| format!(" {}", quoted(&word.to_string_lossy())));
    variables
        .chain([program.into_owned()])
        .chain(words)
        .collect()
}

fn quoted(word: &str) -> String {
    let plain = !word.is_empty()
        && word
            .chars()
            .all(|letter| letter.is_alphanumeric() || "-_=./:,+".contains(letter));
    if plain {
        word.to_owned()
    } else {
        format!("'{word}'")
    }
}

/// What a test runner reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    /// Reads the summary lines of cargo test, nextest and pytest; other lines count nothing.
    fn in_line(line: &str) -> Self {
        let line = without_colour(line);
        let summary = line.starts_with("test result: ")
            || (line.trim_start().starts_with("Summary [") && line.contains(" run: "))
            || (line.starts_with("==") && line.contains(" in "))
            || is_quiet_pytest(&line);
        if !summary {
            return Self::default();
        }
        let before = |word: &str| {
            let at = line.find(word)?;
            line[..at]
                .rsplit(|letter: char| !letter.is_ascii_digit())
                .next()?
                .parse()
                .ok()
        };
        Self {
            passed: before(" passed").unwrap_or(0),
            failed: before(" failed").unwrap_or(0),
        }
    }
}

/// `12 passed in 3.45s`, or behind a minute `12 passed in 94.40s (0:01:34)`, as `pytest -q` ends.
fn is_quiet_pytest(line: &str) -> bool {
    line.starts_with(|letter: char| letter.is_ascii_digit())
        && line.ends_with(['s', ')'])
        && (line.contains(" passed") || line.contains(" failed"))
        && line.contains(" in ")
}

fn without_colour(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + part.split_once('m').map_or(part, |(_, rest)| rest)
    })
}

/// What was run, for the lines at the end.
#[derive(Default)]
pub(crate) struct Report {
    steps: Vec<(&'static str, Duration)>,
    counts: Vec<(&'static str, Counts)>,
}

impl Report {
    /// Runs one step and keeps its time.
    pub(crate) fn step(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let started = Instant::now();
        let outcome = work();
        self.steps.push((name, started.elapsed()));
        outcome.with_context(|| format!("step `{name}`"))
    }

    /// Runs one test runner and keeps its time and its counts.
    pub(crate) fn tests(&mut self, name: &'static str, command: &mut Command) -> Result<()> {
        let started = Instant::now();
        let (counts, outcome) = run_counted(command);
        self.steps.push((name, started.elapsed()));
        self.counts.push((name, counts));
        outcome.with_context(|| format!("step `{name}`"))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: Duration = self.steps.iter().map(|(_, time)| *time).sum();
        writeln!(out)?;
        for (name, time) in self.steps.iter().chain([&("total", total)]) {
            writeln!(out, "{name:<28} {:>7.1} s", time.as_secs_f64())?;
        }
        for (name, counts) in &self.counts {
            writeln!(
                out,
                "{name}: {} passed, {} failed",
                counts.passed, counts.failed
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The summaries of all three runners are counted, and nothing else is.
    #[test]
    fn summaries_are_counted() {
        for (line, passed, failed) in [
            (
                "test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
                4,
                0,
            ),
            ("test result: FAILED. 3 passed; 2 failed; 0 ignored", 3, 2),
            (
                "     Summary [   1.234s] 17 tests run: 15 passed (1 slow), 2 failed, 3 skipped",
                15,
                2,
            ),
            (
                "\u{1b}[32;1m     Summary\u{1b}[0m [   0.01s] \u{1b}[1m1\u{1b}[0m test run: \u{1b}[1m1\u{1b}[0m passed",
                1,
                0,
            ),
            (
                "============ 1 failed, 22 passed in 13.37s ============",
                22,
                1,
            ),
            ("31 passed in 9.50s", 31, 0),
            ("200 passed, 52 skipped in 94.40s (0:01:34)", 200, 0),
            ("test sizes::five ... ok", 0, 0),
            ("it read 5 passed exams", 0, 0),
        ] {
            assert_eq!(Counts::in_line(line), Counts { passed, failed }, "{line}");
        }
    }
}
