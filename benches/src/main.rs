//! Micro-benchmarks: what one core does with bytes that are in memory.
//!
//! ```text
//! cargo xtask bench micro [--json] [QUESTION…]
//! ```
//!
//! One question per file under `micro/`; each opens with the estimate that it tests. A figure is the
//! median of several runs on one thread, in GB/s (10⁹ bytes), beside the slowest and fastest of them:
//! where these lie far apart the machine was busy, and the figure says little.

mod measure;
mod micro;

use measure::Figure;
use serde::Serialize;
use std::io::{self, Write};
use std::process::ExitCode;

/// A question: its name and what answers it.
type Question = (&'static str, fn() -> Vec<Figure>);

const QUESTIONS: [Question; 7] = [
    ("encode", micro::encode::figures),
    ("rebuild", micro::rebuild::figures),
    ("seal", micro::seal::figures),
    ("open", micro::open::figures),
    ("block-check", micro::block_check::figures),
    ("blake3", micro::blake3::figures),
    ("md5", micro::md5::figures),
];

/// All that was measured, and on what.
#[derive(Serialize)]
struct Report {
    processor: String,
    unit: &'static str,
    figures: Vec<Named>,
}

#[derive(Serialize)]
struct Named {
    question: &'static str,
    #[serde(flatten)]
    figure: Figure,
}

fn main() -> ExitCode {
    let (options, names): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|argument| argument.starts_with('-'));
    let known = |name: &String| QUESTIONS.iter().any(|(question, _)| question == name);
    let json = options == ["--json"];
    if (!json && !options.is_empty()) || !names.iter().all(known) {
        let questions: Vec<&str> = QUESTIONS.iter().map(|(name, _)| *name).collect();
        let usage = format!("usage: micro [--json] [{}]", questions.join(" | "));
        return finish(writeln!(io::stderr(), "{usage}"), ExitCode::from(2));
    }
    let asked = |name: &str| names.is_empty() || names.iter().any(|asked| asked == name);
    let figures = QUESTIONS
        .iter()
        .filter(|(name, _)| asked(name))
        .flat_map(|(question, figures)| {
            figures()
                .into_iter()
                .map(|figure| Named { question, figure })
        })
        .collect();
    let report = Report {
        processor: measure::processor(),
        unit: "GB/s on one core",
        figures,
    };
    let printed = if json {
        print_json(&report)
    } else {
        print_table(&report)
    };
    finish(printed, ExitCode::SUCCESS)
}

fn finish(printed: io::Result<()>, code: ExitCode) -> ExitCode {
    printed.map_or(ExitCode::FAILURE, |()| code)
}

fn print_json(report: &Report) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, report)?;
    writeln!(out)
}

fn print_table(report: &Report) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}, {}", report.processor, report.unit)?;
    writeln!(
        out,
        "{:<12} {:<40} {:>8} {:>8} {:>16}",
        "question", "case", "estimate", "median", "slowest-fastest"
    )?;
    for Named { question, figure } in &report.figures {
        let estimate = figure
            .estimate
            .map_or_else(|| "-".to_owned(), |estimate| format!("{estimate:.1}"));
        let spread = format!("{:.1}-{:.1}", figure.slowest, figure.fastest);
        writeln!(
            out,
            "{question:<12} {:<40} {estimate:>8} {:>8.1} {spread:>16}",
            figure.case, figure.median
        )?;
    }
    Ok(())
}
