//! `cargo xtask clients`: every S3 client that a steward, a loader or an engine brings, through one scenario,
//! over http and https.
//!
//! ```text
//! CLIENTS below          which clients there are, and where each is installed
//! tests/clients/         with_NAME: one file a client, that says the scenario's verbs in its words
//!                        test_clients.py: the scenario    test_operations.py: S3, operation by operation
//! target/clients/        what was installed; results of the last run
//! docs/s3-compatibility/ results that were kept, of which `report` makes docs/s3-compatibility.md
//! ```
//!
//! A client that does not install is named in the results with its error. A few of them are in
//! `cargo xtask test`, too.

use crate::python::Python;
use crate::report;
use crate::run::{self, cargo};
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use strongroom_tests::Cluster;

/// Where a client is installed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Home {
    /// In the environment of the suite.
    Suite,
    /// In an environment for those that only the whole matrix needs.
    Matrix,
    /// In one of its own: s3fs wants an older botocore.
    S3fs,
    /// Beside its node modules.
    Node,
    /// Built by cargo.
    Cargo,
}

struct Client {
    name: &'static str,
    home: Home,
    /// Whether `cargo xtask test` runs it.
    in_suite: bool,
}

const CLIENTS: [Client; 15] = [
    client("boto3", Home::Suite, true),
    client("awscli", Home::Suite, true),
    client("s5cmd", Home::Suite, true),
    client("rclone", Home::Suite, true),
    client("aws_sdk_s3", Home::Cargo, true),
    client("object_store", Home::Cargo, true),
    client("javascript", Home::Node, false),
    client("awscrt", Home::Matrix, false),
    client("s3torchconnectorclient", Home::Matrix, false),
    client("s3dlio", Home::Matrix, false),
    client("webdataset", Home::Matrix, false),
    client("obstore", Home::Matrix, false),
    client("s3fs", Home::S3fs, false),
    client("minio", Home::Matrix, false),
    client("s3cmd", Home::Matrix, false),
];

const fn client(name: &'static str, home: Home, in_suite: bool) -> Client {
    Client {
        name,
        home,
        in_suite,
    }
}

/// What the scenario is told of a client.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Told {
    /// How to start it.
    Command(Vec<PathBuf>),
    /// Why it is not there.
    Missing(String),
}

/// The tests of the clients that are in the suite, on a running cluster.
pub(crate) fn in_suite(
    workspace: &Workspace,
    suite: &Python,
    cluster: &Cluster,
) -> Result<Command> {
    let chosen = CLIENTS.iter().filter(|client| client.in_suite);
    pytest(workspace, suite, cluster, chosen, "test_clients.py")
}

/// The matrix: all clients, or those named. `keep` puts the results into the documentation.
pub(crate) fn run(names: &[String], keep: bool) -> Result<()> {
    let workspace = Workspace::read()?;
    let known = |name: &String| CLIENTS.iter().any(|client| client.name == name);
    if let Some(name) = names.iter().find(|name| !known(name)) {
        let all: Vec<_> = CLIENTS.iter().map(|client| client.name).collect();
        bail!("no client {name:?}; there are {}", all.join(", "));
    }
    ensure!(
        !keep || names.is_empty(),
        "only results of all clients are kept"
    );
    // As one workspace, like `cargo xtask test`, so that nothing is compiled under a second set of features.
    run::run(cargo("build").args(["--workspace", "--bins", "--examples"]))?;
    let suite = Python::ready(&workspace)?;
    let mut cluster = Cluster::start("clients")?;
    let chosen = CLIENTS
        .iter()
        .filter(|client| names.is_empty() || names.iter().any(|name| name == client.name));
    let mut scenario = pytest(&workspace, &suite, &cluster, chosen, "test_clients.py")?;
    let (_, outcome) = run::run_counted(&mut scenario);
    let (_, operations) = if names.is_empty() {
        let none = [].into_iter();
        run::run_counted(&mut pytest(
            &workspace,
            &suite,
            &cluster,
            none,
            "test_operations.py",
        )?)
    } else {
        (run::Counts::default(), Ok(()))
    };
    cluster.stop()?;
    if keep {
        let kept = workspace.root().join(report::KEPT);
        for name in ["clients.json", "operations.json"] {
            fs::copy(folder(&workspace).join(name), kept.join(name))
                .with_context(|| format!("keeping {name}"))?;
        }
        report::write(workspace.root())?;
    }
    outcome.and(operations)
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target().join("clients")
}

fn pytest<'c>(
    workspace: &Workspace,
    suite: &Python,
    cluster: &Cluster,
    clients: impl Iterator<Item = &'c Client>,
    file: &str,
) -> Result<Command> {
    let folder = folder(workspace);
    fs::create_dir_all(&folder).context("making target/clients")?;
    let mut homes = BTreeMap::new();
    let mut told = BTreeMap::new();
    for client in clients {
        // Each home is made once, and its error is told of every client in it.
        let home = homes.entry(client.home).or_insert_with(|| {
            installed(workspace, suite, client.home).map_err(|e| format!("{e:#}"))
        });
        let told_of = match home {
            Ok(start) => Told::Command(start(client.name)),
            Err(error) => Told::Missing(error.clone()),
        };
        told.insert(client.name, told_of);
    }
    let list = folder.join("list.json");
    fs::write(&list, serde_json::to_vec_pretty(&told)?).context("writing the list of clients")?;
    let results = folder.join(file.replace("test_", "").replace(".py", ".json"));
    let mut command = suite.program_on("pytest", cluster);
    command
        .args([
            "-q",
            "-p",
            "no:cacheprovider",
            "--tb=short",
            "--durations=5",
        ])
        .arg(workspace.root().join("tests/clients").join(file))
        .env("STRONGROOM_CLIENTS", list)
        .env("STRONGROOM_RESULTS", results);
    Ok(command)
}

/// How to start a client by its name.
type Start = Box<dyn Fn(&str) -> Vec<PathBuf>>;

/// Installs what a home needs.
fn installed(workspace: &Workspace, suite: &Python, home: Home) -> Result<Start> {
    let scripts = workspace.root().join("tests/clients");
    let python = |interpreter: PathBuf, scripts: PathBuf| -> Start {
        Box::new(move |name| vec![interpreter.clone(), scripts.join(format!("with_{name}.py"))])
    };
    match home {
        Home::Suite => Ok(python(suite.path_of("python"), scripts)),
        Home::Matrix | Home::S3fs => {
            let name = match home {
                Home::S3fs => "s3fs",
                _ => "matrix",
            };
            let requirements = scripts.join(format!("requirements-{name}.txt"));
            let made = Python::made(folder(workspace).join(name), &requirements)?;
            Ok(python(made.path_of("python"), scripts))
        }
        Home::Node => {
            let node = folder(workspace).join("node");
            install_modules(&scripts, &node)?;
            Ok(Box::new(move |name| {
                vec!["node".into(), node.join(format!("with_{name}.mjs"))]
            }))
        }
        Home::Cargo => {
            let examples = strongroom_tests::program()?.with_file_name("examples");
            Ok(Box::new(move |name| {
                vec![examples.join(format!("with_{name}"))]
            }))
        }
    }
}

/// `npm ci`, unless what the lock file pins is there. A module finds its imports beside itself, so the client
/// goes there, too.
fn install_modules(scripts: &Path, node: &Path) -> Result<()> {
    fs::create_dir_all(node).context("making the folder of node modules")?;
    for name in ["package.json", "package-lock.json", "with_javascript.mjs"] {
        fs::copy(scripts.join(name), node.join(name)).with_context(|| format!("copying {name}"))?;
    }
    let wanted = fs::read(node.join("package-lock.json"))?;
    let stamp = node.join("installed.json");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(node);
    run::say(&npm);
    let done = npm.output().context("starting npm")?;
    let said = String::from_utf8_lossy(&done.stderr);
    let error = said.lines().find(|line| line.starts_with("npm error"));
    ensure!(done.status.success(), "{}", error.unwrap_or("npm failed"));
    fs::write(&stamp, wanted).context("stamping the node modules")
}
