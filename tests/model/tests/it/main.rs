//! Takes one fence away at a time and asks for the loss; with all in place there must be none.

mod data_path;
mod key_rules;

use std::fmt::Debug;

use strongroom_model::explore::{Model, Report, Verdict, explore};

/// More states than any scene has; a search that gets here has not finished.
const LIMIT: usize = 4_000_000;

/// Explores, and shows a counter-example to whoever asked for the test's output.
fn explored<M>(what: &str, model: &M) -> Report<M::Event, M::Violation>
where
    M: Model<Event: Debug, Violation: Debug>,
{
    let report = explore(model, LIMIT);
    eprintln!("{what}: {} states, {} deep", report.states, report.depth);
    if let Verdict::Broken { violation, trace } = &report.verdict {
        trace.iter().for_each(|step| eprintln!("    {step}"));
        eprintln!("    => {violation:?}");
    }
    report
}
