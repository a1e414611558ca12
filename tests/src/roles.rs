//! A cluster of processes: metadata servers, storage nodes and a gateway, each one that can be killed alone.
//!
//! ```text
//! strongroom dev --disks 0 --metadata 3        DIR/metadata
//! strongroom storage   one for each node       DIR/storage-N, its disks in it
//! strongroom gateway                           DIR/gateway
//! ```
//!
//! It is made as an operator makes one: ids, certificates, configurations, disks, groups. Storage nodes keep their
//! ports, below those that the kernel hands out, so that one that was killed is found again.

use crate::cable::Cable;
use crate::cluster::{Credentials, credentials_in, signal_terminate, wait_for_ready};
use crate::keeper::Keeper;
use crate::place;
use crate::status::sum_in;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const STOPS_WITHIN: Duration = Duration::from_secs(30);

/// One process of a role.
#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    folder: PathBuf,
    log: PathBuf,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    running: Option<(Child, Keeper, JoinHandle<()>)>,
    told: Vec<String>,
}

impl Server {
    pub(crate) fn new(program: &Path, folder: &Path, log: &Path, arguments: Vec<String>) -> Self {
        Self {
            program: program.to_owned(),
            folder: folder.to_owned(),
            log: log.to_owned(),
            arguments,
            environment: BTreeMap::new(),
            running: None,
            told: Vec::new(),
        }
    }

    /// From its next start on it is of another build.
    pub fn becomes(&mut self, program: &Path) {
        program.clone_into(&mut self.program);
    }

    /// Sets a variable of its environment, from its next start on.
    pub fn set(&mut self, variable: &str, value: &str) {
        let value = value.to_owned();
        self.environment.insert(variable.to_owned(), value);
    }

    /// Starts it, and returns when it says `ready`.
    pub fn start(&mut self) -> Result<()> {
        let lines = self.spawn()?;
        let told = wait_for_ready(&lines);
        self.told =
            told.with_context(|| format!("{:?}; see {}", self.arguments, self.log.display()))?;
        Ok(())
    }

    /// Starts it without waiting; its lines come one by one.
    pub fn spawn(&mut self) -> Result<mpsc::Receiver<String>> {
        assert!(self.running.is_none(), "it runs already");
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(&self.environment);
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped());
        command.stderr(OpenOptions::new().append(true).open(&self.log)?);
        let mut child = command.spawn().context("starting strongroom")?;
        let keeper = Keeper::watch(child.id(), &self.folder)?;
        let stdout = child.stdout.take().context("no standard output")?;
        let (send, lines) = mpsc::channel();
        let mut log = OpenOptions::new().append(true).open(&self.log)?;
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = writeln!(log, "{line}");
                let _ = send.send(line);
            }
        });
        self.running = Some((child, keeper, reader));
        Ok(lines)
    }

    /// The kernel's number for it, while it runs.
    pub fn process(&self) -> Option<u32> {
        self.running.as_ref().map(|(child, ..)| child.id())
    }

    /// Ends it, if it runs; a destructor has nobody to tell when that fails.
    pub(crate) fn end_at_once(&mut self) {
        if self.running.is_some() {
            let _ = self.kill();
        }
    }

    /// `kill -9`, at once.
    pub fn kill(&mut self) -> Result<()> {
        self.end(|child| Ok(child.kill()?))
    }

    /// SIGTERM, and waits for the end, which must be in order.
    pub fn stop(&mut self) -> Result<()> {
        self.end(|child| signal_terminate(child.id()))
    }

    fn end(&mut self, ask: impl FnOnce(&mut Child) -> Result<()>) -> Result<()> {
        let (mut child, keeper, reader) = self.running.take().context("it does not run")?;
        ask(&mut child)?;
        let asked = Instant::now();
        let late = loop {
            if child.try_wait()?.is_some() {
                break false;
            }
            if asked.elapsed() > STOPS_WITHIN {
                child.kill()?;
                child.wait()?;
                break true;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        keeper.dismiss()?;
        reader
            .join()
            .ok()
            .context("the reader of the log panicked")?;
        ensure!(!late, "{:?} did not stop in time", self.arguments);
        Ok(())
    }

    /// The address behind one of the names that it printed.
    pub fn address(&self, name: &str) -> Result<SocketAddr> {
        let fields = self.told.iter().map(|line| line.split_whitespace());
        let mut urls = fields.filter_map(|mut fields| {
            (fields.next() == Some(name))
                .then(|| fields.next())
                .flatten()
        });
        let url = urls
            .next()
            .with_context(|| format!("no {name} in {:?}", self.told))?;
        let (_, address) = url.split_once("://").context("a URL")?;
        Ok(address.parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What is left the keeper gets.
        self.end_at_once();
    }
}

/// A whole cluster of them.
#[derive(Debug)]
pub struct Processes {
    program: PathBuf,
    folder: PathBuf,
    log: PathBuf,
    /// Where storage nodes listen, as configurations say it.
    listening: String,
    /// Their ids.
    pub nodes: Vec<u64>,
    /// Their cables: all that is said to a storage node, and all that it says.
    pub cables: Vec<Cable>,
    /// The metadata servers.
    pub metadata: Server,
    /// The storage nodes.
    pub storage: Vec<Server>,
    /// The gateway.
    pub gateway: Server,
}

impl Processes {
    /// Makes and starts a cluster coded `data + parity`, with a storage node for each shard, that has one disk.
    pub fn start(name: &str, data: u8, parity: u8) -> Result<Self> {
        let program = place::program()?;
        let scratch = place::scratch()?;
        let folder = scratch.join(format!("{name}-{}", std::process::id()));
        let log = scratch.join(format!("{name}.log"));
        ensure!(!folder.exists(), "two clusters under one name");
        fs::create_dir_all(&folder)?;
        File::create(&log)?;
        let at = folder.join("metadata");
        let profile = format!("{data}+{parity}");
        let first = free_ports(3)?.to_string();
        let arguments = [
            "dev",
            "--disks",
            "0",
            "--metadata",
            "3",
            "--profile",
            &profile,
            "--data",
            &text(&at),
            "--metadata-listen",
            &first,
            "--admin",
            "127.0.0.1:0",
        ];
        let arguments = arguments.map(str::to_owned).to_vec();
        let mut metadata = Server::new(&program, &at, &log, arguments);
        metadata.start()?;
        let mut cluster = Self {
            gateway: Server::new(&program, &folder.join("gateway"), &log, Vec::new()),
            program,
            folder,
            log,
            metadata,
            storage: Vec::new(),
            listening: String::new(),
            nodes: Vec::new(),
            cables: Vec::new(),
        };
        cluster.make(usize::from(data + parity))?;
        Ok(cluster)
    }

    fn make(&mut self, nodes: usize) -> Result<()> {
        let ports: Vec<SocketAddr> = (0..nodes).map(|_| free_ports(1)).collect::<Result<_>>()?;
        let ids: Vec<u64> = (0..nodes).map(|_| self.add_node()).collect::<Result<_>>()?;
        self.nodes.clone_from(&ids);
        self.cables = ports.iter().map(|_| Cable::default()).collect();
        self.listening = "[storage]\n".to_owned();
        for ((id, port), cable) in ids.iter().zip(&ports).zip(&self.cables) {
            let address = cable.to(*port)?;
            writeln!(self.listening, "{id} = \"{address}\"")?;
        }
        for (index, (id, port)) in ids.iter().zip(&ports).enumerate() {
            let folder = self.folder.join(storage(index));
            fs::create_dir_all(&folder)?;
            let disk = self.disk(index);
            let keys =
                format!("listen = \"{port}\"\ndisks = [{disk:?}]\nlook_through_seconds = 5\n");
            let certificate = self.certificate("storage", *id)?;
            let cable = Some(&self.cables[index]);
            let config = self.configure(&folder, &certificate, &keys, cable)?;
            place::run(
                &self.program,
                &["storage", "--config", &config, "--admit-disks"],
            )?;
            let server = self.further(&folder, &["storage", "--config", &config]);
            self.storage.push(server);
            self.start_storage(index)?;
        }
        self.command(&["group", "create"])?;
        let certificate = self.certificate("gateway", self.add_node()?)?;
        self.gateway = self.further_gateway("gateway", &certificate)?;
        self.gateway.start()?;
        self.profile(&self.folder.join("gateway"), &self.gateway)
    }

    /// Starts a storage node, on the data that it has.
    pub fn start_storage(&mut self, index: usize) -> Result<()> {
        self.storage[index].start()?;
        self.profile(&self.folder.join(storage(index)), &self.storage[index])
    }

    /// The folder of a storage node's disk.
    pub fn disk(&self, index: usize) -> PathBuf {
        self.folder.join(storage(index)).join("disk")
    }

    /// An id for a process.
    pub fn add_node(&self) -> Result<u64> {
        let output = self.command(&["node", "add"])?;
        Ok(String::from_utf8(output.stdout)?.trim().parse()?)
    }

    /// The file of a certificate of this cluster.
    pub fn certificate(&self, role: &str, id: u64) -> Result<PathBuf> {
        let data = self.folder.join("metadata");
        let file = self.folder.join(format!("{role}-{id}.pem"));
        let (data, out) = (text(&data), text(&file));
        let id = id.to_string();
        place::run(
            &self.program,
            &[
                "certificate",
                "--data",
                &data,
                "--role",
                role,
                "--node",
                &id,
                "--name",
                "127.0.0.1",
                "--out",
                &out,
            ],
        )?;
        Ok(file)
    }

    /// A gateway with this certificate, that is not started yet.
    pub fn further_gateway(&self, name: &str, certificate: &Path) -> Result<Server> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        let keys = "s3 = \"127.0.0.1:0\"\n";
        let config = self.configure(&folder, certificate, keys, None)?;
        Ok(self.further(&folder, &["gateway", "--config", &config]))
    }

    /// Writes the configuration of a process into its folder, which reaches all others through its cable if it has
    /// one; where it is.
    fn configure(
        &self,
        folder: &Path,
        certificate: &Path,
        keys: &str,
        cable: Option<&Cable>,
    ) -> Result<String> {
        let data = self.folder.join("metadata");
        let ca = data.join("ca.pem");
        let metadata = fs::read_to_string(data.join("metadata.toml"))?;
        let mut others = format!("{metadata}\n{}", self.listening);
        if let Some(cable) = cable {
            others = through(cable, &others)?;
        }
        let config = format!(
            "{keys}admin = \"127.0.0.1:0\"\ncertificate = {certificate:?}\nca = {ca:?}\n{others}"
        );
        let path = folder.join("config.toml");
        fs::write(&path, config)?;
        Ok(text(&path))
    }

    fn further(&self, folder: &Path, arguments: &[&str]) -> Server {
        let arguments = arguments.iter().map(|&argument| argument.into()).collect();
        Server::new(&self.program, folder, &self.log, arguments)
    }

    /// Lets commands find a process.
    fn profile(&self, folder: &Path, server: &Server) -> Result<()> {
        let data = self.folder.join("metadata");
        let (ca, operator) = (data.join("ca.pem"), data.join("tls/operator.pem"));
        let admin = server.address("admin")?;
        let profile = format!("admin = \"{admin}\"\nca = {ca:?}\noperator = {operator:?}\n");
        Ok(fs::write(folder.join("profile.toml"), profile)?)
    }

    /// Runs a command on the metadata servers' process; it must succeed.
    pub fn command(&self, arguments: &[&str]) -> Result<Output> {
        self.command_at("metadata", arguments)
    }

    fn command_at(&self, process: &str, arguments: &[&str]) -> Result<Output> {
        let output = self.output_at(process, arguments)?;
        ensure!(output.status.success(), "{arguments:?}: {output:?}");
        Ok(output)
    }

    fn output_at(&self, process: &str, arguments: &[&str]) -> Result<Output> {
        let profile = text(&self.folder.join(process).join("profile.toml"));
        place::output(
            &self.program,
            &[arguments, &["--cluster", &profile]].concat(),
        )
    }

    /// What the gateway says of the cluster.
    pub fn status(&self) -> Result<Value> {
        self.status_at("gateway")
    }

    /// What a storage node says of itself.
    pub fn storage_status(&self, index: usize) -> Result<Value> {
        self.status_at(&storage(index))
    }

    fn status_at(&self, process: &str) -> Result<Value> {
        let output = self.command_at(process, &["status", "--json"])?;
        serde_json::from_slice(&output.stdout).context("reading the status")
    }

    /// How many disks serve, as the gateway sees it.
    pub fn serving(&self) -> Result<usize> {
        let status = self.status()?;
        let disks = status["disks"].as_array().context("no disks")?;
        let serving = disks.iter().filter(|disk| disk["state"] == "Serving");
        Ok(serving.count())
    }

    /// Runs a command on the gateway, which may refuse it.
    pub fn gateway_command(&self, arguments: &[&str]) -> Result<Output> {
        self.output_at("gateway", arguments)
    }

    /// Runs a command on a storage node; it must succeed.
    pub fn storage_command(&self, index: usize, arguments: &[&str]) -> Result<Output> {
        self.command_at(&storage(index), arguments)
    }

    /// What a storage node's metrics say of one of them: the sum over its labels.
    pub fn storage_metric(&self, index: usize, name: &str) -> Result<f64> {
        let output = self.storage_command(index, &["metrics"])?;
        sum_in(output.stdout, name)
    }

    /// The ids of a storage node's disks.
    pub fn disks_of(&self, index: usize) -> Result<Vec<u64>> {
        let output = self.storage_command(index, &["disk", "ls", "--json"])?;
        let disks: Vec<Value> = serde_json::from_slice(&output.stdout)?;
        let ids = disks.iter().map(|disk| disk["disk"].as_u64());
        ids.collect::<Option<_>>().context("disks without ids")
    }

    /// Shards that are to be made again.
    pub fn missing(&self) -> Result<u64> {
        let status = self.status()?;
        let repairs = status["health"]["repairs"]
            .as_array()
            .context("no health")?;
        Ok(repairs
            .iter()
            .filter_map(|one| one["shards"].as_u64())
            .sum())
    }

    /// The first access key.
    pub fn credentials(&self) -> Result<Credentials> {
        credentials_in(&self.folder.join("metadata"))
    }
}

/// A table of servers, whose addresses lead through a cable.
fn through(cable: &Cable, servers: &str) -> Result<String> {
    let mut text = String::new();
    for line in servers.lines() {
        match line.split_once(" = ") {
            Some((id, address)) => {
                let address = cable.to(address.trim_matches('"').parse()?)?;
                writeln!(text, "{id} = \"{address}\"")?;
            }
            None => writeln!(text, "{line}")?,
        }
    }
    Ok(text)
}

fn storage(index: usize) -> String {
    format!("storage-{index}")
}

pub(crate) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

impl Drop for Processes {
    fn drop(&mut self) {
        for server in self
            .storage
            .iter_mut()
            .chain([&mut self.gateway, &mut self.metadata])
        {
            server.end_at_once();
        }
        place::leave(&self.folder, &self.log);
    }
}

/// The first of so many consecutive ports that nobody listens on, below those that the kernel hands out.
pub(crate) fn free_ports(count: u16) -> Result<SocketAddr> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let mut seed = u64::from(now.subsec_nanos()) ^ (u64::from(std::process::id()) << 20);
    for _ in 0..1000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let first = 15_000 + u16::try_from((seed >> 40) % 15_000)?;
        let at = |up| SocketAddr::from((Ipv4Addr::LOCALHOST, first + up));
        let taken: std::io::Result<Vec<TcpListener>> =
            (0..count).map(|up| TcpListener::bind(at(up))).collect();
        if taken.is_ok() {
            return Ok(at(0));
        }
    }
    anyhow::bail!("no free ports")
}
