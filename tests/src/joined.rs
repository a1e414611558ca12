//! A cluster that is made as an operator makes one: `init`, then a token for each server that joins.
//!
//! ```text
//! strongroom init, metadata          DIR/metadata-0, the first
//! token, join, metadata, add         DIR/metadata-N
//! token, join, storage               DIR/storage-N, its disk in it
//! token, join, gateway               DIR/gateway
//! ```
//!
//! Every server is a process, and can be killed, stopped or frozen alone. All ports are below those that the kernel
//! hands out, so that a server that comes back is found.

use crate::clock::Clock;
use crate::cluster::{Credentials, signal};
use crate::mount::Mount;
use crate::place;
use crate::roles::{Server, free_ports, text};
use crate::status::sum_in;
use crate::wires::Wires;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Output;

/// A cluster of processes that joined it.
#[derive(Debug)]
pub struct Joined {
    program: PathBuf,
    folder: PathBuf,
    log: PathBuf,
    /// The folder of the server whose operator asks.
    first: PathBuf,
    /// The metadata servers, and their ids.
    pub metadata: Vec<(u64, Server)>,
    /// The storage nodes.
    pub storage: Vec<Server>,
    /// The gateway.
    pub gateway: Server,
    /// What the metadata servers run on.
    machines: Machines,
    /// Where they have machines of their own.
    wires: Option<Wires>,
    /// Their clocks, where those can be set.
    clocks: Vec<Clock>,
    /// Their logs' file systems, where those can be filled.
    logs: Vec<Mount>,
}

/// What the metadata servers of a cluster run on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machines {
    /// Each has a machine of its own, whose wire can be pulled.
    pub apart: bool,
    /// Each has a clock of its own, which can be set.
    pub clocks: bool,
    /// Each log has a file system of so many MiB, which can be filled.
    pub log_mib: Option<u64>,
    /// What their configurations say besides, a line each.
    pub keys: &'static [&'static str],
}

impl Joined {
    /// Makes and starts a cluster with so many metadata servers, coded `data + parity` over as many storage nodes
    /// of one disk each.
    pub fn start(name: &str, metadata: usize, data: u8, parity: u8) -> Result<Self> {
        Self::start_on(name, Machines::default(), metadata, data, parity)
    }

    /// The same, of an earlier build.
    pub fn start_older(name: &str, metadata: usize, data: u8, parity: u8) -> Result<Self> {
        Self::start_of(
            place::older()?,
            name,
            Machines::default(),
            metadata,
            data,
            parity,
        )
    }

    /// Commands, and servers that join, are of this build from now on.
    pub fn commands_become(&mut self, program: &Path) {
        program.clone_into(&mut self.program);
    }

    /// Stops a metadata server, and starts it again as one of a build: this one, or the earlier one.
    pub fn restart_as(&mut self, at: usize, program: &Path) -> Result<()> {
        let (_, server) = &mut self.metadata[at];
        server.stop()?;
        server.becomes(program);
        server.start()
    }

    /// The same, the metadata servers on machines like these.
    pub fn start_on(
        name: &str,
        machines: Machines,
        metadata: usize,
        data: u8,
        parity: u8,
    ) -> Result<Self> {
        Self::start_of(place::program()?, name, machines, metadata, data, parity)
    }

    fn start_of(
        program: PathBuf,
        name: &str,
        machines: Machines,
        metadata: usize,
        data: u8,
        parity: u8,
    ) -> Result<Self> {
        let scratch = place::scratch()?;
        let folder = scratch.join(format!("{name}-{}", std::process::id()));
        let log = scratch.join(format!("{name}.log"));
        ensure!(!folder.exists(), "two clusters under one name");
        fs::create_dir_all(&folder)?;
        File::create(&log)?;
        let gateway = Server::new(&program, &folder.join("gateway"), &log, Vec::new());
        let mut cluster = Self {
            program,
            first: folder.join("metadata-0"),
            folder,
            log,
            metadata: Vec::new(),
            storage: Vec::new(),
            gateway,
            machines,
            wires: machines.apart.then(|| Wires::new(name)).transpose()?,
            clocks: Vec::new(),
            logs: Vec::new(),
        };
        cluster.init(&format!("{data}+{parity}"))?;
        for _ in 1..metadata {
            let joined = cluster.join_metadata()?;
            cluster.command(&["metadata", "add", &joined.to_string()])?;
        }
        for _ in 0..data + parity {
            cluster.join_storage()?;
        }
        cluster.command(&["group", "create"])?;
        cluster.join_gateway()?;
        Ok(cluster)
    }

    fn init(&mut self, profile: &str) -> Result<()> {
        let home = self.first.clone();
        let listen = self.listen()?;
        let data = text(&home);
        let arguments = [
            "init",
            "--data",
            &data,
            "--listen",
            &listen,
            "--admin",
            ANY,
            "--profile",
            profile,
        ];
        // It listens there while it begins the cluster.
        match &self.wires {
            None => drop(place::run(&self.program, &arguments)?),
            Some(wires) => {
                let there = wires.on(0, &text(&self.program), &arguments);
                let there: Vec<&str> = there.iter().map(String::as_str).collect();
                place::run(Path::new("ip"), &there)?;
            }
        }
        self.run_metadata(1, &home)
    }

    /// Starts a metadata server whose folder is made.
    fn run_metadata(&mut self, id: u64, home: &Path) -> Result<()> {
        let mut server = self.metadata_server(home);
        let name = format!("metadata-{}", self.metadata.len());
        for key in self.machines.keys {
            self.configure(&name, "metadata", key)?;
        }
        if self.machines.clocks {
            let clock = Clock::new(&home.join("clock"))?;
            clock.set_on(&mut server)?;
            self.clocks.push(clock);
        }
        if let Some(mib) = self.machines.log_mib {
            self.logs.push(Mount::over(&home.join("log"), mib << 20)?);
        }
        server.start()?;
        self.metadata.push((id, server));
        Ok(())
    }

    /// A token for a server of a role, in a file.
    pub fn token(&self, role: &str) -> Result<String> {
        let file = self.folder.join("token");
        let out = text(&file);
        self.command(&["token", "create", "--role", role, "--out", &out])?;
        Ok(fs::read_to_string(file)?)
    }

    /// A further metadata server, which runs and is not added yet. Its id.
    pub fn join_metadata(&mut self) -> Result<u64> {
        // Those of servers that were lost are still there.
        let homes = (self.metadata.len()..).map(|at| self.folder.join(format!("metadata-{at}")));
        let home = homes.into_iter().find(|home| !home.exists());
        let home = home.context("they are without end")?;
        let listen = self.listen()?;
        let id = self.join(&home, &self.token("metadata")?, &["--listen", &listen])?;
        self.run_metadata(id, &home)?;
        Ok(id)
    }

    /// Every metadata server is lost: a new one is made of a backup, with a copy of the keys, and the others are told
    /// where it is.
    pub fn restore(&mut self, backup: &Path, keys: &Path) -> Result<u64> {
        for (_, server) in &mut self.metadata {
            server.end_at_once();
        }
        self.metadata.clear();
        self.first = self.folder.join("metadata-restored");
        let (home, listen) = (self.first.clone(), self.listen()?);
        let (backup, keys, data) = (text(backup), text(keys), text(&home));
        let paths = ["--backup", &backup, "--keys", &keys, "--data", &data];
        let at = ["--listen", &listen, "--admin", ANY];
        let restore = [&["metadata", "restore"][..], &paths, &at].concat();
        let output = place::run(&self.program, &restore)?;
        let told = String::from_utf8(output.stdout)?;
        let id = told.lines().find_map(|line| line.strip_prefix("server"));
        let id: u64 = id.context("it says no id")?.trim().parse()?;
        let mut server = self.metadata_server(&home);
        server.start()?;
        self.metadata.push((id, server));

        let place = format!("{id} = \"{listen}\"");
        for at in 0..self.storage.len() {
            self.tell_metadata(&format!("storage-{at}"), "storage", &place)?;
            self.storage[at].end_at_once();
            self.storage[at].start()?;
        }
        self.tell_metadata("gateway", "gateway", &place)?;
        self.gateway.end_at_once();
        self.gateway.start()?;
        self.find_gateway().map(|()| id)
    }

    /// Says in a server's configuration where the metadata servers are, which its file ends with.
    fn tell_metadata(&self, server: &str, role: &str, place: &str) -> Result<()> {
        let file = self.folder.join(server).join(format!("{role}.toml"));
        let config = fs::read_to_string(&file)?;
        let (before, _) = config.split_once("[metadata]").context("it names none")?;
        Ok(fs::write(file, format!("{before}[metadata]\n{place}\n"))?)
    }

    fn join_storage(&mut self) -> Result<()> {
        let home = self.folder.join(format!("storage-{}", self.storage.len()));
        let (listen, disk) = (free_ports(1)?.to_string(), text(&home.join("disk")));
        let further = ["--listen", &listen, "--disks", &disk];
        self.join(&home, &self.token("storage")?, &further)?;
        let config = text(&home.join("storage.toml"));
        place::run(
            &self.program,
            &["storage", "--config", &config, "--admit-disks"],
        )?;
        let mut server = self.server(&home, "storage");
        server.start()?;
        self.storage.push(server);
        Ok(())
    }

    fn join_gateway(&mut self) -> Result<()> {
        self.gateway = self.gateway_at("gateway")?;
        self.find_gateway()?;
        self.command(&["user", "add", "steward"])?;
        Ok(())
    }

    /// One more gateway, which runs.
    pub fn further_gateway(&self) -> Result<Server> {
        self.gateway_at("gateway-further")
    }

    fn gateway_at(&self, name: &str) -> Result<Server> {
        let home = self.folder.join(name);
        self.join(&home, &self.token("gateway")?, &["--s3", ANY])?;
        let mut gateway = self.server(&home, "gateway");
        gateway.start()?;
        Ok(gateway)
    }

    /// Has commands find the gateway's operator's API, as it is now.
    pub fn find_gateway(&self) -> Result<()> {
        let profile = self.profile_of(&self.gateway)?;
        Ok(fs::write(self.profile(), profile)?)
    }

    /// A profile by which commands find a server's own operator's API.
    fn profile_of(&self, server: &Server) -> Result<String> {
        let admin = server.address("admin")?;
        let profile = fs::read_to_string(self.profile())?;
        let others = profile.lines().filter(|line| !line.starts_with("admin"));
        let others: Vec<&str> = others.collect();
        Ok(format!("admin = \"{admin}\"\n{}\n", others.join("\n")))
    }

    /// Joins by a token. The id.
    pub fn join(&self, home: &Path, token: &str, further: &[&str]) -> Result<u64> {
        let data = text(home);
        let arguments = ["join", "--token", token, "--data", &data, "--admin", ANY];
        let output = place::run(&self.program, &[&arguments, further].concat())?;
        let told = String::from_utf8(output.stdout)?;
        let first = told.lines().next().context("it says nothing")?;
        let id = first.split_whitespace().last().context("it says no id")?;
        Ok(id.parse()?)
    }

    /// Where the next metadata server listens: on the next machine, if they have their own.
    fn listen(&mut self) -> Result<String> {
        match &mut self.wires {
            None => Ok(free_ports(1)?.to_string()),
            Some(wires) => Ok(format!("{}:9011", wires.add()?.1)),
        }
    }

    fn metadata_server(&self, home: &Path) -> Server {
        let Some(wires) = &self.wires else {
            return self.server(home, "metadata");
        };
        let config = text(&home.join("metadata.toml"));
        let arguments = ["metadata", "--config", &config];
        let there = wires.on(self.metadata.len(), &text(&self.program), &arguments);
        Server::new(Path::new("ip"), home, &self.log, there)
    }

    fn server(&self, home: &Path, role: &str) -> Server {
        let config = text(&home.join(format!("{role}.toml")));
        let arguments = [role, "--config", &config].map(str::to_owned).to_vec();
        Server::new(&self.program, home, &self.log, arguments)
    }

    /// An access key.
    pub fn credentials(&self) -> Result<Credentials> {
        let output = self.command(&["key", "add", "steward", "--json"])?;
        let made: Value = serde_json::from_slice(&output.stdout)?;
        let field = |name: &str| {
            made.pointer(name)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let (access, secret) = (field("/id"), field("/secret"));
        Ok(Credentials {
            access_key: access.with_context(|| format!("no id in {made}"))?,
            secret_key: secret.context("no secret")?,
        })
    }

    /// How many lines of all the logs say something.
    pub fn said(&self, what: &str) -> Result<usize> {
        let log = fs::read_to_string(&self.log)?;
        Ok(log.lines().filter(|line| line.contains(what)).count())
    }

    /// Says one more thing in a server's configuration, before all tables.
    pub fn configure(&self, server: &str, role: &str, line: &str) -> Result<()> {
        let file = self.folder.join(server).join(format!("{role}.toml"));
        let text = fs::read_to_string(&file)?;
        Ok(fs::write(file, format!("{line}\n{text}"))?)
    }

    /// A folder of the cluster's.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn profile(&self) -> PathBuf {
        self.first.join("profile.toml")
    }

    /// The metadata servers, as whoever leads sees them.
    pub fn members(&self) -> Result<Vec<Value>> {
        let output = self.command(&["metadata", "status", "--json"])?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// The place in `metadata` of who leads.
    pub fn leader(&self) -> Result<usize> {
        let members = self.members()?;
        let leader = members.iter().find(|member| member["leader"] == true);
        let leader = leader.context("nobody leads")?["node"].as_u64();
        let at = self.metadata.iter().position(|(id, _)| Some(*id) == leader);
        at.context("a stranger leads")
    }

    /// What a metadata server's metrics say of one of them: the sum over its labels.
    pub fn metadata_metric(&self, at: usize, name: &str) -> Result<f64> {
        let own = self.folder.join("asked.toml");
        fs::write(&own, self.profile_of(&self.metadata[at].1)?)?;
        let output = place::run(&self.program, &["metrics", "--cluster", &text(&own)])?;
        sum_in(output.stdout, name)
    }

    /// Lets nothing of a metadata server run, or lets it run again. Its sockets stay open.
    pub fn freeze(&self, at: usize, frozen: bool) -> Result<()> {
        let process = self.metadata[at].1.process().context("it does not run")?;
        signal(process, if frozen { "STOP" } else { "CONT" })
    }

    /// Pulls a metadata server's wire, or plugs it in again: it must have a machine of its own.
    pub fn pull(&self, at: usize, pulled: bool) -> Result<()> {
        let wires = self.wires.as_ref();
        wires.context("it is on this machine")?.pull(at, pulled)
    }

    /// A metadata server's clock, which must be one of its own.
    pub fn clock(&self, at: usize) -> &Clock {
        &self.clocks[at]
    }

    /// Its log's file system, which must be one of its own.
    pub fn log_disk(&self, at: usize) -> &Mount {
        &self.logs[at]
    }

    /// Runs an operator's command; it must succeed.
    pub fn command(&self, arguments: &[&str]) -> Result<Output> {
        let output = self.attempt(arguments)?;
        ensure!(output.status.success(), "{arguments:?}: {output:?}");
        Ok(output)
    }

    /// Runs an operator's command, which may be refused.
    pub fn attempt(&self, arguments: &[&str]) -> Result<Output> {
        let profile = text(&self.profile());
        place::output(
            &self.program,
            &[arguments, &["--cluster", &profile]].concat(),
        )
    }
}

/// An admin address that the kernel chooses.
const ANY: &str = "127.0.0.1:0";

impl Drop for Joined {
    fn drop(&mut self) {
        let metadata = self.metadata.iter_mut().map(|(_, server)| server);
        let all = self.storage.iter_mut().chain(metadata);
        for server in all.chain([&mut self.gateway]) {
            server.end_at_once();
        }
        for log in &self.logs {
            if let Err(error) = log.unmount() {
                eprintln!("{error:#}");
            }
        }
        place::leave(&self.folder, &self.log);
    }
}
