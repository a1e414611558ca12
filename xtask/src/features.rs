//! One feature set for the workspace and for a part of it.
//!
//! Cargo turns on in a dependency what the named packages ask for. A command on one crate would therefore
//! build much of the tree a second time; naming [`CARRIER`] with it finds everything built. See
//! `tests/features/lib.rs` for how.

use crate::workspace::{self, Workspace};
use anyhow::{Result, ensure};
use std::collections::BTreeSet;
use std::process::Command;

/// The package that asks for all features; named in each command on a part of the workspace.
pub(crate) const CARRIER: &str = "strongroom-features";

/// Names packages in a command, and with them the package that asks for all features. The command must
/// build tests, examples or benchmarks, or cargo leaves dev-dependencies out.
pub(crate) fn select<'a>(command: &'a mut Command, packages: &[&str]) -> &'a mut Command {
    for package in packages.iter().chain([&CARRIER]) {
        command.args(["--package", package]);
    }
    command
}

/// Each of our packages, built with [`CARRIER`], resolves as the workspace does.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    eprintln!("\n$ cargo tree of each package, held against that of the workspace");
    let whole = workspace::resolved(&[])?;
    for member in workspace.members() {
        let part = workspace::resolved(&[&member.name, CARRIER])?;
        let other = missing(&whole, &part);
        ensure!(
            other.is_empty(),
            "{} alone is built with other features; add what it asks for to tests/features/Cargo.toml:\n  {}",
            member.name,
            other.join("\n  ")
        );
    }
    Ok(())
}

/// What a build of a part would compile that a build of the whole did not.
fn missing<'a>(whole: &'a BTreeSet<String>, part: &'a BTreeSet<String>) -> Vec<&'a str> {
    part.difference(whole).map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package that is resolved otherwise is found, one that is not needed is no matter.
    #[test]
    fn other_features_are_found() {
        let set = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        let whole = set(&["a v1.0.0: std,x", "b v1.0.0: std"]);
        assert_eq!(missing(&whole, &set(&["a v1.0.0: std,x"])), [""; 0]);
        let other = set(&["a v1.0.0: std", "b v1.0.0: std"]);
        assert_eq!(missing(&whole, &other), ["a v1.0.0: std"]);
    }
}
