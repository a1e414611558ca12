//! `deny.toml`, enforced without a network and without installing `cargo-deny`: licences, banned crates,
//! duplicate versions and sources. It is a subset of that tool's own format, so `cargo deny check` reads
//! the same file; advisories, which need a database, are left to it.

use crate::expression::Expression;
use crate::workspace::{Package, Workspace};
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

#[derive(Deserialize)]
struct Policy {
    graph: Graph,
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Named>,
    skip: Vec<Named>,
}

/// A crate, at one version when `name@version`.
#[derive(Deserialize)]
struct Named {
    #[serde(rename = "crate")]
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: BTreeSet<String>,
}

/// Checks every package that is built; the error lists all that is wrong.
pub(crate) fn check() -> Result<()> {
    eprintln!("\n$ cargo metadata and cargo tree, held against deny.toml");
    let workspace = Workspace::read()?;
    let path = workspace.root().join("deny.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let policy: Policy = toml::from_str(&text).context("in deny.toml")?;
    let packages = workspace.used(&policy.graph.targets)?;
    ensure!(
        packages.len() > 100,
        "cargo tree named only {} packages",
        packages.len()
    );
    let wrong = violations(&policy, &packages);
    if !wrong.is_empty() {
        bail!(
            "deny.toml is broken {} times:\n  {}",
            wrong.len(),
            wrong.join("\n  ")
        );
    }
    eprintln!(
        "{} packages: licences, bans, duplicates and sources as deny.toml says",
        packages.len()
    );
    Ok(())
}

fn violations(policy: &Policy, packages: &[&Package]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        let (name, version) = (package.name.as_str(), package.version.as_str());
        if policy
            .bans
            .deny
            .iter()
            .any(|banned| banned.fits(name, version))
        {
            wrong.push(format!("{name} {version} is banned"));
        }
        if !policy
            .bans
            .skip
            .iter()
            .any(|skipped| skipped.fits(name, version))
        {
            versions.entry(name).or_default().insert(version);
        }
        if let Some(source) = &package.source {
            let registry = source.strip_prefix("registry+");
            if !registry.is_some_and(|registry| policy.sources.allow_registry.contains(registry)) {
                wrong.push(format!("{name} {version} comes from {source}"));
            }
        }
        let allowed = |license: &str| policy.licenses.allow.contains(license);
        match package.license.as_deref().map(Expression::parse) {
            Some(Some(expression)) if expression.holds(&allowed) => {}
            _ => wrong.push(format!(
                "{name} {version}: licence {:?} is not allowed",
                package.license
            )),
        }
    }
    let duplicates = versions
        .into_iter()
        .filter(|(_, versions)| versions.len() > 1);
    wrong.extend(
        duplicates.map(|(name, versions)| {
            format!("{name} is there {} times: {versions:?}", versions.len())
        }),
    );
    wrong
}

impl Named {
    fn fits(&self, name: &str, version: &str) -> bool {
        match self.name.split_once('@') {
            Some((named, at)) => named == name && at == version,
            None => self.name == name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, license: &str, source: Option<&str>) -> Package {
        let source = source.map_or("null".to_owned(), |source| format!("{source:?}"));
        let text = format!(
            r#"{{"id": "{name}", "name": "{name}", "version": "{version}", "license": {license:?},
                "source": {source}, "manifest_path": "/x/Cargo.toml"}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    /// Each kind of violation is found, and a clean tree has none.
    #[test]
    fn violations_are_found() {
        let policy: Policy = toml::from_str(
            r#"
            graph.targets = []
            licenses.allow = ["MIT", "Apache-2.0"]
            bans.deny = [{ crate = "ring" }]
            bans.skip = [{ crate = "syn@1.0.0" }]
            sources.allow-registry = ["https://good"]
            "#,
        )
        .unwrap();
        let good = Some("registry+https://good");
        let clean = [
            package("a", "1.0.0", "MIT OR GPL-3.0", good),
            package("syn", "1.0.0", "MIT", good),
            package("syn", "2.0.0", "MIT", good),
            package("ours", "0.1.0", "Apache-2.0", None),
        ];
        assert_eq!(
            violations(&policy, &clean.iter().collect::<Vec<_>>()),
            Vec::<String>::new()
        );
        for (package, expected) in [
            (package("ring", "0.17.0", "MIT", good), "banned"),
            (package("a", "1.1.0", "MIT", good), "2 times"),
            (package("b", "1.0.0", "MIT AND GPL-3.0", good), "licence"),
            (
                package("c", "1.0.0", "MIT", Some("git+https://good")),
                "comes from",
            ),
        ] {
            let wrong = violations(&policy, &clean.iter().chain([&package]).collect::<Vec<_>>());
            assert!(
                wrong.len() == 1 && wrong[0].contains(expected),
                "{expected}: {wrong:?}"
            );
        }
    }
}
