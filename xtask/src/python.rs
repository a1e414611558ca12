//! Virtual environments for Python clients, under `target/`: each made when it is missing or when its file of
//! requirements, which pins every version, has changed.

use crate::run;
use crate::workspace::Workspace;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use strongroom_tests::Cluster;

/// An environment, ready to use.
pub(crate) struct Python {
    environment: PathBuf,
    /// The folder of its requirements.
    pub(crate) scripts: PathBuf,
}

impl Python {
    /// The environment of the suite, whose scripts are in `tests/python`.
    pub(crate) fn ready(workspace: &Workspace) -> Result<Self> {
        let requirements = workspace.root().join("tests/python/requirements.txt");
        Self::made(workspace.target().join("python"), &requirements)
    }

    /// Makes an environment unless it stands. The error says what pip said last.
    pub(crate) fn made(environment: PathBuf, requirements: &Path) -> Result<Self> {
        let scripts = requirements
            .parent()
            .context("requirements lie in a folder")?;
        let python = Self {
            environment,
            scripts: scripts.to_owned(),
        };
        let wanted = fs::read(requirements)
            .with_context(|| format!("reading {}", requirements.display()))?;
        let stamp = python.environment.join("installed.txt");
        if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(python);
        }
        if python.environment.exists() {
            fs::remove_dir_all(&python.environment).context("removing the old environment")?;
        }
        run::run(
            Command::new("python3")
                .args(["-m", "venv"])
                .arg(&python.environment),
        )?;
        let mut pip = python.program("pip");
        pip.args(["install", "--quiet", "--no-deps", "-r"])
            .arg(requirements);
        run::say(&pip);
        let done = pip.output().context("starting pip")?;
        let said = String::from_utf8_lossy(&done.stderr);
        let last = said.lines().rfind(|line| !line.starts_with("[notice]"));
        ensure!(done.status.success(), "pip: {}", last.unwrap_or_default());
        // Written last: an interrupted installation is not taken for a whole one.
        fs::write(&stamp, wanted).context("stamping the environment")?;
        Ok(python)
    }

    /// One of its programs.
    pub(crate) fn program(&self, name: &str) -> Command {
        Command::new(self.path_of(name))
    }

    /// Where one of its programs is.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.environment.join("bin").join(name)
    }

    /// One of its programs, told where a cluster is. The usual AWS variables are set, so that a client
    /// needs nothing else, and no configuration of the person who runs it gets in.
    pub(crate) fn program_on(&self, name: &str, cluster: &Cluster) -> Command {
        let endpoints = cluster.endpoints();
        let mut command = self.program_at(name, endpoints.s3, cluster.data());
        command
            .env("STRONGROOM_S3_TLS", format!("https://{}", endpoints.s3_tls))
            .env("AWS_CA_BUNDLE", cluster.data().join("ca.pem"));
        command
    }

    /// One of its programs, told where S3 is over http, and in which folder the credentials are.
    pub(crate) fn program_at(&self, name: &str, s3: SocketAddr, folder: &Path) -> Command {
        let mut command = self.program(name);
        command
            .env("STRONGROOM_S3", format!("http://{s3}"))
            .env("AWS_SHARED_CREDENTIALS_FILE", folder.join("credentials"))
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUNBUFFERED", "1");
        for inherited in [
            "AWS_PROFILE",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_ENDPOINT_URL",
        ] {
            command.env_remove(inherited);
        }
        command.env("PATH", self.path());
        command
    }

    fn path(&self) -> std::ffi::OsString {
        let own = [self.environment.join("bin")];
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let all = own.into_iter().chain(std::env::split_paths(&inherited));
        std::env::join_paths(all).unwrap_or(inherited)
    }

    /// A script in `tests/python`.
    pub(crate) fn script(&self, name: &str) -> PathBuf {
        Path::new(&self.scripts).join(name)
    }
}
