//! A whole cluster: `strongroom dev` as a child process on a data folder of its own.
//!
//! ```text
//! start ──► running ──kill / stop──► down ──start_again──► running
//!                                      └─ its folder may be damaged at leisure
//! ```
//!
//! Each start picks free ports, so endpoints change from one start to the next. The folder goes when the
//! cluster is dropped; after a failed test it stays, and where it is gets printed. The log stays always.

use crate::keeper::Keeper;
use crate::place;
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// From spawn to `ready`: half a second of one core. Generous, since beside ten builds it waits 120 times as
/// long for that core.
const READY_WITHIN: Duration = Duration::from_secs(180);
/// From SIGTERM to the end of the process.
pub const STOPS_WITHIN: Duration = Duration::from_secs(30);
/// How much of a log an error quotes.
const QUOTED: u64 = 4096;

/// How many disks, and how a chunk is spread over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Folders `disk-0` … that stand for disks.
    pub disks: u8,
    /// Data shards of a chunk.
    pub data: u8,
    /// Parity shards of a chunk.
    pub parity: u8,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            disks: 6,
            data: 4,
            parity: 2,
        }
    }
}

/// Where a running cluster listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// S3 over http.
    pub s3: SocketAddr,
    /// S3 over https.
    pub s3_tls: SocketAddr,
    /// The admin API, over mutual TLS.
    pub admin: SocketAddr,
}

/// The access key that the first start made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Names the key.
    pub access_key: String,
    /// Signs with it.
    pub secret_key: String,
}

/// One `strongroom dev` and its data folder.
#[derive(Debug)]
pub struct Cluster {
    program: PathBuf,
    shape: Shape,
    further: Vec<String>,
    folder: PathBuf,
    log: PathBuf,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    keeper: Keeper,
    endpoints: Endpoints,
    reader: JoinHandle<()>,
}

impl Cluster {
    /// Starts a cluster of six disks and 4+2 on a fresh folder. `name` names its log.
    pub fn start(name: &str) -> Result<Self> {
        Self::start_as(name, Shape::default())
    }

    /// Starts a cluster of any shape on a fresh folder.
    pub fn start_as(name: &str, shape: Shape) -> Result<Self> {
        Self::start_with(name, shape, &[])
    }

    /// Starts a cluster with further arguments, which it is started with again, too.
    pub fn start_with(name: &str, shape: Shape, further: &[&str]) -> Result<Self> {
        Self::start_all(&place::program()?, name, shape, further)
    }

    /// Starts another build than the one beside this executable.
    pub fn start_program(program: &Path, name: &str, shape: Shape) -> Result<Self> {
        Self::start_all(program, name, shape, &[])
    }

    fn start_all(program: &Path, name: &str, shape: Shape, further: &[&str]) -> Result<Self> {
        let scratch = place::scratch()?;
        let folder = scratch.join(format!("{name}-{}", std::process::id()));
        let log = scratch.join(format!("{name}.log"));
        ensure!(
            !folder.exists(),
            "{} exists: two clusters under one name",
            folder.display()
        );
        File::create(&log).with_context(|| format!("making {}", log.display()))?;
        let mut cluster = Self {
            program: program.to_owned(),
            shape,
            further: further.iter().map(|&argument| argument.into()).collect(),
            folder,
            log,
            running: None,
        };
        cluster.start_again()?;
        Ok(cluster)
    }

    /// Starts it on the data that it has. Returns when it says `ready`.
    pub fn start_again(&mut self) -> Result<()> {
        assert!(self.running.is_none(), "the cluster runs already");
        let mut child = self.command()?.spawn().context("starting strongroom")?;
        let keeper = Keeper::watch(child.id(), &self.folder)?;
        let stdout = child
            .stdout
            .take()
            .context("the child has no standard output")?;
        let (send, lines) = mpsc::channel();
        let mut log = OpenOptions::new().append(true).open(&self.log)?;
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Both may fail once the test has lost interest; the pipe must be drained all the same.
                let _ = writeln!(log, "{line}");
                let _ = send.send(line);
            }
        });
        let seen = wait_for_ready(&lines);
        let running = Running {
            child,
            keeper,
            endpoints: Endpoints::NOWHERE,
            reader,
        };
        let running = self.running.insert(running);
        let outcome = seen.and_then(|lines| Endpoints::parse(&lines));
        match outcome {
            Ok(endpoints) => running.endpoints = endpoints,
            Err(error) => {
                let status = self.end(Signal::Kill)?;
                bail!(
                    "{error:#} ({status}); the end of {}:\n{}",
                    self.log.display(),
                    self.log_tail()
                );
            }
        }
        Ok(())
    }

    fn command(&self) -> Result<Command> {
        let mut command = Command::new(&self.program);
        command.arg("dev").arg("--data").arg(&self.folder);
        command.args([
            "--s3",
            "127.0.0.1:0",
            "--s3-tls",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
        ]);
        command.args(["--disks", &self.shape.disks.to_string()]);
        command.args([
            "--profile",
            &format!("{}+{}", self.shape.data, self.shape.parity),
        ]);
        command.args(&self.further);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(OpenOptions::new().append(true).open(&self.log)?);
        Ok(command)
    }

    /// Runs one of the operator's commands on this cluster.
    pub fn run(&self, arguments: &[&str]) -> Result<Output> {
        let profile = self.folder.join("profile.toml");
        Command::new(&self.program)
            .args(arguments)
            .arg("--cluster")
            .arg(profile)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("running strongroom {}", arguments.join(" ")))
    }

    /// The folder given as `--data`.
    pub fn data(&self) -> &Path {
        &self.folder
    }

    /// The folder that stands for a disk.
    pub fn disk(&self, number: u8) -> PathBuf {
        self.folder.join(format!("disk-{number}"))
    }

    /// All that the program printed, over all starts; standard output and error together.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Where it listens; it must be running.
    pub fn endpoints(&self) -> Endpoints {
        self.running().endpoints
    }

    /// The process id; it must be running.
    pub fn pid(&self) -> u32 {
        self.running().child.id()
    }

    /// The access key in `credentials`.
    pub fn credentials(&self) -> Result<Credentials> {
        credentials_in(&self.folder)
    }

    /// True while the process has not ended by itself.
    pub fn is_alive(&mut self) -> bool {
        let running = self.running.as_mut().expect("the cluster was started");
        matches!(running.child.try_wait(), Ok(None))
    }

    /// `kill -9`, at once.
    pub fn kill(&mut self) -> Result<()> {
        self.end(Signal::Kill).map(drop)
    }

    /// SIGTERM, and what the process ended with; an error when it has not ended in time.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.end(Signal::Terminate)
    }

    /// SIGTERM without waiting for the end.
    pub fn ask_to_stop(&self) -> Result<()> {
        signal_terminate(self.pid())
    }

    /// Another signal, such as `STOP` and `CONT`.
    pub fn signal(&self, name: &str) -> Result<()> {
        signal(self.pid(), name)
    }

    /// Waits for the end of a process that was asked to stop.
    pub fn wait_stopped(&mut self) -> Result<ExitStatus> {
        self.end(Signal::None)
    }

    fn end(&mut self, signal: Signal) -> Result<ExitStatus> {
        let mut running = self.running.take().context("the cluster is not running")?;
        match signal {
            Signal::Kill => running.child.kill()?,
            Signal::Terminate => signal_terminate(running.child.id())?,
            Signal::None => {}
        }
        let asked = Instant::now();
        let status = loop {
            if let Some(status) = running.child.try_wait()? {
                break Ok(status);
            }
            if asked.elapsed() > STOPS_WITHIN {
                running.child.kill()?;
                running.child.wait()?;
                break Err(anyhow::anyhow!(
                    "strongroom did not stop within {STOPS_WITHIN:?} of SIGTERM"
                ));
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        running.keeper.dismiss()?;
        // The pipe is at its end, since nothing but the server held it.
        running
            .reader
            .join()
            .map_err(|_| anyhow::anyhow!("the reader of the log panicked"))?;
        status
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the cluster is running")
    }

    fn log_tail(&self) -> String {
        let attempt = || -> std::io::Result<String> {
            let mut file = File::open(&self.log)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(QUOTED)))?;
            let mut tail = Vec::new();
            file.read_to_end(&mut tail)?;
            Ok(String::from_utf8_lossy(&tail).into_owned())
        };
        attempt().unwrap_or_else(|error| format!("(unreadable: {error})"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.running.is_some() {
            // A destructor has nobody to tell; the keeper gets what is left.
            let _ = self.kill();
        }
        place::leave(&self.folder, &self.log);
    }
}

#[derive(Clone, Copy)]
enum Signal {
    Kill,
    Terminate,
    None,
}

impl Endpoints {
    const NOWHERE: Self = {
        let nowhere = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
        Self {
            s3: nowhere,
            s3_tls: nowhere,
            admin: nowhere,
        }
    };

    fn parse(lines: &[String]) -> Result<Self> {
        let find = |name: &str, scheme: &str| -> Result<SocketAddr> {
            let mut fields = lines
                .iter()
                .map(|line| line.split_whitespace().collect::<Vec<_>>());
            let line = fields.find(|fields| fields.first() == Some(&name) && fields.len() == 2);
            let url =
                line.with_context(|| format!("no endpoint {name:?} before `ready`: {lines:?}"))?[1];
            let address = url
                .strip_prefix(scheme)
                .with_context(|| format!("{url} is not {scheme}"))?;
            address
                .trim_end_matches('/')
                .parse()
                .with_context(|| format!("the address in {url}"))
        };
        Ok(Self {
            s3: find("s3", "http://")?,
            s3_tls: find("s3-tls", "https://")?,
            admin: find("admin", "https://")?,
        })
    }
}

/// The access key in a data folder.
pub(crate) fn credentials_in(data: &Path) -> Result<Credentials> {
    let path = data.join("credentials");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let value = |name: &str| {
        let found = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .find(|(key, _)| key.trim() == name);
        found
            .map(|(_, value)| value.trim().to_owned())
            .with_context(|| format!("no {name} in {text}"))
    };
    Ok(Credentials {
        access_key: value("aws_access_key_id")?,
        secret_key: value("aws_secret_access_key")?,
    })
}

/// The lines before `ready`.
pub(crate) fn wait_for_ready(lines: &mpsc::Receiver<String>) -> Result<Vec<String>> {
    let started = Instant::now();
    let mut seen = Vec::new();
    loop {
        let left = READY_WITHIN.saturating_sub(started.elapsed());
        match lines.recv_timeout(left) {
            Ok(line) if line.trim() == "ready" => return Ok(seen),
            Ok(line) => seen.push(line),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                bail!("strongroom was not ready within {READY_WITHIN:?}")
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                bail!("strongroom ended before it was ready")
            }
        }
    }
}

/// SIGTERM.
pub fn signal_terminate(process: u32) -> Result<()> {
    signal(process, "TERM")
}

pub(crate) fn signal(process: u32, name: &str) -> Result<()> {
    let status = Command::new("kill")
        .args(["-s", name, &process.to_string()])
        .status()
        .context("running kill")?;
    ensure!(status.success(), "kill -s {name} {process}: {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Endpoint lines are read as `strongroom dev` prints them, and a missing one is named.
    #[test]
    fn endpoints_are_parsed() {
        let mut lines = vec![
            "data    /tmp/x".to_owned(),
            "s3      http://127.0.0.1:9000".to_owned(),
            "s3-tls  https://127.0.0.1:9443".to_owned(),
        ];
        let error = Endpoints::parse(&lines).unwrap_err().to_string();
        assert!(error.contains("\"admin\""), "{error}");
        lines.push("admin   https://127.0.0.1:9001".to_owned());
        let endpoints = Endpoints::parse(&lines).unwrap();
        assert_eq!(
            (
                endpoints.s3.port(),
                endpoints.s3_tls.port(),
                endpoints.admin.port()
            ),
            (9000, 9443, 9001)
        );
    }
}
