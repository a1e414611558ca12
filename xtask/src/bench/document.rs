//! What a run says in `docs/performance.md`: between two marks the tables, beside it the picture. The rest of
//! that file is written by people.

use super::run::Run;
use super::{chart, goals, table};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

const DOCUMENT: &str = "docs/performance.md";
const PICTURE: &str = "docs/performance.svg";
const BEGIN: &str = "<!-- measured: by `cargo xtask bench report` -->\n";
const END: &str = "<!-- end of measured -->\n";

/// Puts the figures of a run into the document.
pub(crate) fn write(root: &Path, run: &Path) -> Result<()> {
    let run = Run::read(run)?;
    let path = root.join(DOCUMENT);
    let text = fs::read_to_string(&path).context("reading the document")?;
    let text = replaced(&text, &told(&run)?).context("the document has lost its marks")?;
    fs::write(&path, text).context("writing the document")?;
    fs::write(root.join(PICTURE), chart::of(&run)?).context("writing the picture")
}

fn told(run: &Run) -> Result<String> {
    let machine = &run.machine;
    let commit = &run.commit;
    let repetitions = run.cases.values().flat_map(|servers| servers.values());
    let repetitions = repetitions.map(Vec::len).min().unwrap_or(0);
    Ok(format!(
        "\n{}, {} cores, {} GiB of memory, Linux {}, {}; {} profile, commit {commit}, {repetitions} repetitions.\n\n\
         ![GB/s by case and server](performance.svg)\n\n{}\n### Goals\n\n{}\n",
        machine.processor,
        machine.cores,
        machine.memory_gib,
        machine.kernel,
        machine.file_system,
        run.profile,
        table::of(run)?,
        goals::table(run),
    ))
}

fn replaced(text: &str, new: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{new}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What people wrote stays.
    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let text = format!("above\n{BEGIN}old\n{END}below\n");
        let wanted = format!("above\n{BEGIN}new\n{END}below\n");
        assert_eq!(replaced(&text, "new\n"), Some(wanted));
        assert_eq!(replaced("no marks", "new\n"), None);
    }

    /// The document has its marks.
    #[test]
    fn the_document_can_be_written() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
        let path = root.expect("xtask lies in the workspace").join(DOCUMENT);
        let text = fs::read_to_string(path).expect("the document is there");
        assert!(replaced(&text, "").is_some());
    }
}
