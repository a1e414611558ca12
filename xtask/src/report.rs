//! `docs/s3-compatibility.md`, out of the results that are kept beside it. Nobody edits it by hand: a test
//! makes it anew and compares.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Where results are kept.
pub(crate) const KEPT: &str = "docs/s3-compatibility";
const DOCUMENT: &str = "docs/s3-compatibility.md";

/// The scenario's operations in the order of the table, with what each means.
const COLUMNS: [(&str, &str); 19] = [
    ("buckets", "make, list and remove a bucket"),
    ("put", "upload small objects"),
    ("get", "download small objects"),
    ("upload", "upload 24 MiB in parts"),
    ("download", "download an object of several parts"),
    ("stream", "upload without knowing the length"),
    ("range", "read ranges of whole and multipart objects"),
    ("list", "list a prefix"),
    ("delete", "delete an object"),
    ("delete_many", "delete several in one call"),
    ("copy", "copy on the server, whole and multipart objects"),
    ("put_metadata", "upload with user metadata"),
    ("metadata", "read user metadata"),
    ("checksum", "upload with each checksum it computes"),
    ("wrong_checksum", "a wrong checksum is refused"),
    ("put_if_absent", "If-None-Match: *"),
    ("put_if_match", "If-Match"),
    ("tags", "set and read object tags"),
    ("presign", "a presigned URL"),
];
/// What only some clients are for.
const MORE: [(&str, &str); 2] = [
    (
        "sync",
        "synchronise a folder, and check it where the client can",
    ),
    ("samples", "read every sample of tar shards"),
];

/// What came of one operation of one client over one scheme.
#[derive(Deserialize)]
struct Outcome {
    outcome: String,
    why: Option<String>,
}

/// What came of one client.
#[derive(Deserialize)]
struct Client {
    version: Option<String>,
    missing: Option<String>,
    #[serde(default)]
    http: BTreeMap<String, Outcome>,
    #[serde(default)]
    https: BTreeMap<String, Outcome>,
}

/// What came of ceph/s3-tests.
#[derive(Deserialize)]
struct Yardstick {
    /// The commit of the suite.
    suite: String,
    areas: Vec<Area>,
}

/// Tests of one kind.
#[derive(Deserialize)]
struct Area {
    name: String,
    tests: u32,
    http: u32,
    https: u32,
    /// Of SeaweedFS 4.48, where that is known by area.
    seaweedfs: Option<String>,
    /// Why some fail, in a few words.
    #[serde(default)]
    why: String,
}

/// Makes the document.
pub(crate) fn write(root: &Path) -> Result<()> {
    let path = root.join(DOCUMENT);
    fs::write(&path, made(root)?).with_context(|| format!("writing {}", path.display()))
}

fn made(root: &Path) -> Result<String> {
    let kept = |name: &str| {
        let path = root.join(KEPT).join(name);
        fs::read(&path).with_context(|| format!("reading {}", path.display()))
    };
    let clients: BTreeMap<String, Client> = serde_json::from_slice(&kept("clients.json")?)?;
    let operations: BTreeMap<String, BTreeMap<String, String>> =
        serde_json::from_slice(&kept("operations.json")?)?;
    let yardstick: Yardstick = serde_json::from_slice(&kept("s3-tests.json")?)?;
    let mut out = String::from(INTRODUCTION);
    of_operations(&mut out, &operations)?;
    of_clients(&mut out, &clients)?;
    of_yardstick(&mut out, &yardstick)?;
    Ok(out)
}

const INTRODUCTION: &str = "# S3 compatibility

Made of test results by `cargo xtask clients --report`; not edited by hand. Everything here was run over http
and over https, since clients frame, sign and check a request otherwise over each.

- **Operations**: each operation that the AWS SDK knows was called. What is not there is refused as
  `NotImplemented`, never accepted in silence.
- **Clients**: each went through one scenario; another client looked at what it did.
- **ceph/s3-tests**: the usual yardstick.
";

fn of_operations(
    out: &mut String,
    operations: &BTreeMap<String, BTreeMap<String, String>>,
) -> Result<()> {
    let works = |told: &&BTreeMap<String, String>| told.values().all(|outcome| outcome == "works");
    let count = operations.values().filter(works).count();
    writeln!(
        out,
        "\n## Operations\n\n{count} of the {} operations in the SDK's model work, over http and https:\n",
        operations.len()
    )?;
    let names = |wanted: bool| -> Vec<_> {
        operations
            .iter()
            .filter(|(_, told)| works(told) == wanted)
            .map(|(name, _)| name.as_str())
            .collect()
    };
    writeln!(
        out,
        "{}.\n\nRefused as not implemented:\n",
        names(true).join(", ")
    )?;
    writeln!(out, "{}.", names(false).join(", "))?;
    Ok(())
}

fn of_clients(out: &mut String, clients: &BTreeMap<String, Client>) -> Result<()> {
    writeln!(
        out,
        "\n## Clients\n\n`yes` is over http and https; `–` is what the client does not offer, or offers no words for in our \
         scenario.\n"
    )?;
    let (mut head, mut line) = (String::from("| |"), String::from("|---|"));
    for (name, client) in clients {
        write!(
            head,
            " {name} {} |",
            client.version.as_deref().unwrap_or("")
        )?;
        line.push_str("---|");
    }
    writeln!(out, "{head}\n{line}")?;
    for (operation, meaning) in COLUMNS.iter().chain(&MORE) {
        write!(out, "| {meaning} |")?;
        for client in clients.values() {
            write!(out, " {} |", cell(client, operation))?;
        }
        writeln!(out)?;
    }
    let mut failures = String::new();
    for (name, client) in clients {
        if let Some(why) = &client.missing {
            writeln!(failures, "- {name} does not install: {why}")?;
        }
        for (scheme, outcomes) in [("http", &client.http), ("https", &client.https)] {
            for (operation, outcome) in outcomes {
                if let Some(why) = &outcome.why {
                    let first = why.lines().next().unwrap_or_default();
                    // Its beginning, as code: some clients quote XML.
                    writeln!(
                        failures,
                        "- {name}, {operation} over {scheme}: `{first:.160}`"
                    )?;
                }
            }
        }
    }
    if !failures.is_empty() {
        writeln!(
            out,
            "\nWhat does not work, and why:\n\n{}",
            failures.trim_end()
        )?;
    }
    Ok(())
}

fn cell(client: &Client, operation: &str) -> &'static str {
    let outcome = |outcomes: &BTreeMap<String, Outcome>| {
        let told = outcomes.get(operation);
        told.map_or("skipped", |told| told.outcome.as_str())
            .to_owned()
    };
    match (
        outcome(&client.http).as_str(),
        outcome(&client.https).as_str(),
    ) {
        ("passed", "passed") => "yes",
        ("passed", _) => "http only",
        (_, "passed") => "https only",
        ("failed", _) | (_, "failed") => "**no**",
        _ => "–",
    }
}

fn of_yardstick(out: &mut String, yardstick: &Yardstick) -> Result<()> {
    let sum = |of: fn(&Area) -> u32| yardstick.areas.iter().map(of).sum::<u32>();
    let all = sum(|area| area.tests);
    writeln!(
        out,
        "\n## ceph/s3-tests\n\nCommit {}, the {all} tests of its core (without what fails on AWS, vendor extensions, \
         cloud tiering and signature version 2), unchanged.\n\
         Strongroom passes **{} over http and {} over https**; SeaweedFS 4.48 passes 352.\n",
        yardstick.suite,
        sum(|area| area.http),
        sum(|area| area.https),
    )?;
    writeln!(
        out,
        "| area | tests | http | https | SeaweedFS 4.48 | what fails |\n|---|---|---|---|---|---|"
    )?;
    for area in &yardstick.areas {
        let peer = area.seaweedfs.as_deref().unwrap_or("");
        writeln!(
            out,
            "| {} | {} | {} | {} | {peer} | {} |",
            area.name, area.tests, area.http, area.https, area.why
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The document says what the kept results say.
    #[test]
    fn the_document_is_made_of_the_results() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("xtask lies in the workspace");
        let written = fs::read_to_string(root.join(DOCUMENT)).expect("the document is there");
        let hint = "run `cargo xtask clients --report`, or undo an edit by hand";
        assert!(written == made(root).expect("results are kept"), "{hint}");
    }
}
