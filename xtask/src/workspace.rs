//! What cargo says about the workspace and everything it depends on.

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `cargo metadata`, as far as it is used here.
#[derive(Deserialize)]
pub(crate) struct Workspace {
    packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

/// One package at one version.
#[derive(Deserialize)]
pub(crate) struct Package {
    id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    /// An SPDX expression.
    pub(crate) license: Option<String>,
    /// Where it was fetched from; none for our own.
    pub(crate) source: Option<String>,
    manifest_path: PathBuf,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn read() -> Result<Self> {
        let said = ask(&["metadata", "--format-version", "1"])?;
        serde_json::from_slice(&said).context("reading what cargo metadata said")
    }

    /// The packages that are built for any of `targets`, for tests too, ours included. `cargo metadata`
    /// alone would name optional ones that nothing turns on.
    pub(crate) fn used(&self, targets: &[String]) -> Result<Vec<&Package>> {
        let mut used = BTreeSet::new();
        for target in targets {
            for line in tree(&["--workspace", "--target", target], "{p}")? {
                // As in `bytes v1.12.0 (proc-macro)`.
                if let Some((name, rest)) = line.split_once(" v") {
                    let version = rest.split(' ').next().unwrap_or(rest);
                    used.insert((name.to_owned(), version.to_owned()));
                }
            }
        }
        let is_used =
            |package: &&Package| used.contains(&(package.name.clone(), package.version.clone()));
        Ok(self.packages.iter().filter(is_used).collect())
    }

    /// Our own packages.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        let ours = |package: &&Package| self.workspace_members.contains(&package.id);
        self.packages.iter().filter(ours)
    }

    /// One of our own packages, by its name, its name without `strongroom-`, or its folder.
    pub(crate) fn member(&self, asked: &str) -> Result<&Package> {
        let asked = asked.trim_end_matches('/');
        let fits = |package: &&Package| {
            let folder = package
                .manifest_path
                .parent()
                .and_then(|path| path.strip_prefix(&self.workspace_root).ok());
            package.name == asked
                || package.name.strip_prefix("strongroom-") == Some(asked)
                || folder == Some(Path::new(asked))
        };
        match self.members().find(fits) {
            Some(package) => Ok(package),
            None => {
                let names: Vec<&str> = self
                    .members()
                    .map(|package| package.name.as_str())
                    .collect();
                bail!("no crate {asked:?} here; there are {}", names.join(", "))
            }
        }
    }

    /// The folder with the workspace's `Cargo.toml`.
    pub(crate) fn root(&self) -> &Path {
        &self.workspace_root
    }

    /// Where everything that is made goes.
    pub(crate) fn target(&self) -> &Path {
        &self.target_directory
    }
}

/// Every package that a command on `packages` builds for tests, with the features that cargo turns on in it;
/// none named: on the whole workspace.
pub(crate) fn resolved(packages: &[&str]) -> Result<BTreeSet<String>> {
    let named = packages.iter().flat_map(|name| ["--package", name]);
    let words: Vec<&str> = if packages.is_empty() {
        vec!["--workspace"]
    } else {
        named.collect()
    };
    let lines = tree(&words, "{p}: {f}")?;
    // A package that was shown before is marked, not shown otherwise.
    let unmarked = lines.iter().map(|line| line.trim_end_matches(" (*)"));
    Ok(unmarked.map(str::to_owned).collect())
}

/// A line for each package that is built, tests and build scripts included.
fn tree(words: &[&str], format: &str) -> Result<Vec<String>> {
    let edges = [
        "--edges",
        "normal,build,dev",
        "--prefix",
        "none",
        "--format",
        format,
    ];
    let said = ask(&[&["tree"], words, &edges].concat())?;
    Ok(String::from_utf8(said)?
        .lines()
        .map(str::to_owned)
        .collect())
}

fn ask(words: &[&str]) -> Result<Vec<u8>> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let output = command.args(words).output().context("running cargo")?;
    ensure!(
        output.status.success(),
        "cargo {}: {}",
        words.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}
