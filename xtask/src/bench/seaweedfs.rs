//! SeaweedFS as its documentation starts it: one server with everything, one folder, and S3 with one identity.

use super::servers::{Guarded, Server, ports};
use crate::python::Python;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::path::Path;

pub(crate) const NAME: &str = "seaweedfs";
const KEY: &str = "bench";
const SECRET: &str = "bench-secret";

/// Installs it from PyPI into an environment of its own, and starts it. `folder` goes when it ends.
pub(crate) fn start(workspace: &Workspace, folder: &Path, certificate: &Path) -> Result<Server> {
    let requirements = workspace.root().join("benches/seaweedfs/requirements.txt");
    let python = Python::made(workspace.target().join("seaweedfs"), &requirements)?;
    fs::create_dir_all(folder).context("making its folder")?;
    let identities = folder.join("s3.json");
    let text = serde_json::json!({"identities": [{
        "name": "bench",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "List", "Tagging", "Write"],
    }]});
    fs::write(&identities, text.to_string()).context("writing its identities")?;
    let ports = ports(5)?;
    let mut command = python.program("weed");
    command.args(["server", "-s3", "-ip=127.0.0.1", "-master.telemetry=false"]);
    // Not S3: tables for Iceberg and Lance, on ports that may be taken.
    command.args(["-s3.port.iceberg=0", "-s3.port.lance=0"]);
    command.arg(format!("-dir={}", folder.display()));
    command.arg(format!("-s3.config={}", identities.display()));
    let names = [
        "master.port",
        "volume.port",
        "filer.port",
        "s3.port",
        "s3.port.https",
    ];
    for (name, port) in names.iter().zip(&ports) {
        command.arg(format!("-{name}={port}"));
    }
    let pem = |name: &str| certificate.join(name);
    command.arg(format!("-s3.cert.file={}", pem("cert.pem").display()));
    command.arg(format!("-s3.key.file={}", pem("key.pem").display()));
    let log = File::create(folder.with_extension("log")).context("making its log")?;
    command.stdout(log.try_clone()?).stderr(log);
    let child = Guarded::start(&mut command, Some(folder.to_owned()))?;
    Ok(Server::child(
        NAME,
        child,
        [ports[3], ports[4]],
        pem("cert.pem"),
        (KEY, SECRET),
    ))
}
