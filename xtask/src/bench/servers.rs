//! Whom the load goes to: child processes of ours that end with this one, or an endpoint that somebody named.

use super::sample;
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use strongroom_tests::{Cluster, Keeper, Shape};

pub(crate) const STRONGROOM: &str = "strongroom";
pub(crate) const REFERENCE: &str = "reference";
/// From the start of a server to its first answer.
const READY_WITHIN: Duration = Duration::from_secs(90);

/// One server, and how to speak to it.
pub(crate) struct Server {
    pub(crate) name: String,
    http: Option<String>,
    https: Option<String>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    behind: Behind,
}

enum Behind {
    Cluster(Cluster),
    Child(Guarded),
    Somebody,
}

impl Server {
    /// `strongroom dev`: six disks, 4+2, all in one folder.
    pub(crate) fn strongroom(program: &Path) -> Result<Self> {
        let cluster = Cluster::start_program(program, "bench", Shape::default())?;
        let credentials = cluster.credentials()?;
        let mut server = Self {
            name: STRONGROOM.into(),
            http: None,
            https: None,
            ca: Some(cluster.data().join("ca.pem")),
            access_key: credentials.access_key,
            secret_key: credentials.secret_key,
            behind: Behind::Cluster(cluster),
        };
        server.look_up();
        Ok(server)
    }

    /// The load program's own server.
    pub(crate) fn reference(load: &Path, certificate: &Path) -> Result<Self> {
        let mut command = Command::new(load);
        command.arg("reference").arg(certificate);
        command.stdout(Stdio::piped());
        let mut child = Guarded::start(&mut command, None)?;
        let out = child.child.stdout.take().context("no standard output")?;
        let mut lines = BufReader::new(out).lines().map_while(Result::ok);
        let said: Vec<String> = lines.by_ref().take_while(|line| line != "ready").collect();
        let find = |name: &str| {
            let line = said.iter().find_map(|line| line.strip_prefix(name));
            line.map(|url| url.trim().to_owned())
        };
        Ok(Self {
            name: REFERENCE.into(),
            http: Some(find("s3 ").context("the reference did not start")?),
            https: find("s3-tls "),
            ca: Some(certificate.join("cert.pem")),
            access_key: "reference".into(),
            secret_key: "reference".into(),
            behind: Behind::Child(child),
        })
    }

    /// A program that serves S3 on these ports once it is ready.
    pub(crate) fn child(
        name: &str,
        child: Guarded,
        [http, https]: [u16; 2],
        ca: PathBuf,
        (access_key, secret_key): (&str, &str),
    ) -> Self {
        Self {
            name: name.into(),
            http: Some(format!("http://127.0.0.1:{http}")),
            https: Some(format!("https://127.0.0.1:{https}")),
            ca: Some(ca),
            access_key: access_key.into(),
            secret_key: secret_key.into(),
            behind: Behind::Child(child),
        }
    }

    /// `NAME=ENDPOINT,KEY,SECRET[,CA]`.
    pub(crate) fn peer(told: &str) -> Result<Self> {
        let (name, rest) = told.split_once('=').context("a peer is NAME=ENDPOINT,…")?;
        let fields: Vec<&str> = rest.split(',').collect();
        let (endpoint, access_key, secret_key, ca) = match fields[..] {
            [endpoint, access_key, secret_key] => (endpoint, access_key, secret_key, None),
            [endpoint, access_key, secret_key, ca] => (endpoint, access_key, secret_key, Some(ca)),
            _ => bail!("{told}: a peer is NAME=ENDPOINT,KEY,SECRET or NAME=ENDPOINT,KEY,SECRET,CA"),
        };
        let tls = endpoint.starts_with("https://");
        let url = Some(endpoint.to_owned());
        let (http, https) = if tls { (None, url) } else { (url, None) };
        Ok(Self {
            name: name.into(),
            http,
            https,
            ca: ca.map(PathBuf::from),
            access_key: access_key.into(),
            secret_key: secret_key.into(),
            behind: Behind::Somebody,
        })
    }

    pub(crate) fn endpoint(&self, scheme: &str) -> Option<&str> {
        match scheme {
            "http" => self.http.as_deref(),
            _ => self.https.as_deref(),
        }
    }

    /// The one process that serves, when it is ours.
    pub(crate) fn process(&self) -> Option<u32> {
        match &self.behind {
            Behind::Cluster(cluster) => Some(cluster.pid()),
            Behind::Child(guarded) => Some(guarded.child.id()),
            Behind::Somebody => None,
        }
    }

    /// Makes the bucket, as soon as the server answers.
    pub(crate) fn prepare(&self, load: &Path) -> Result<()> {
        let scheme = if self.http.is_some() { "http" } else { "https" };
        let begun = Instant::now();
        loop {
            let attempt = sample::take(load, self, scheme, 1, &json!("bucket"));
            match attempt {
                Ok(_) => return Ok(()),
                Err(error) if begun.elapsed() > READY_WITHIN => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// Starts Strongroom anew on its data, so that no memory is left of what it did before.
    pub(crate) fn refresh(&mut self) -> Result<()> {
        if let Behind::Cluster(cluster) = &mut self.behind {
            cluster.stop()?;
            cluster.start_again()?;
            self.look_up();
        }
        Ok(())
    }

    /// The cluster, of Strongroom.
    pub(crate) fn cluster(&self) -> Option<&Cluster> {
        match &self.behind {
            Behind::Cluster(cluster) => Some(cluster),
            _ => None,
        }
    }

    fn look_up(&mut self) {
        if let Behind::Cluster(cluster) = &self.behind {
            let endpoints = cluster.endpoints();
            self.http = Some(format!("http://{}", endpoints.s3));
            self.https = Some(format!("https://{}", endpoints.s3_tls));
        }
    }
}

/// Two of the disks put aside, until it is dropped.
pub(crate) struct Lost<'a> {
    cluster: &'a Cluster,
    moved: Vec<(PathBuf, PathBuf)>,
}

impl<'a> Lost<'a> {
    /// Moves the folders of two disks away, and waits until the cluster has noticed.
    pub(crate) fn two(cluster: &'a Cluster) -> Result<Self> {
        let mut lost = Self {
            cluster,
            moved: Vec::new(),
        };
        for disk in [1, 4] {
            let folder = cluster.disk(disk);
            let aside = folder.with_extension("aside");
            fs::rename(&folder, &aside).context("moving a disk away")?;
            lost.moved.push((aside, folder));
        }
        serving(cluster, 4)?;
        Ok(lost)
    }

    /// Puts them back, and waits until they serve.
    pub(crate) fn back(mut self) -> Result<()> {
        for (aside, folder) in std::mem::take(&mut self.moved) {
            fs::rename(aside, folder).context("putting a disk back")?;
        }
        serving(self.cluster, 6)
    }
}

impl Drop for Lost<'_> {
    fn drop(&mut self) {
        for (aside, folder) in &self.moved {
            // The cluster's folder goes as a whole, this only keeps it whole until then.
            let _ = fs::rename(aside, folder);
        }
    }
}

fn serving(cluster: &Cluster, wanted: usize) -> Result<()> {
    let begun = Instant::now();
    loop {
        let said = cluster.run(&["status", "--json"])?;
        let status: serde_json::Value = serde_json::from_slice(&said.stdout)?;
        let disks = status["disks"].as_array().context("no disks in a status")?;
        let serving = disks.iter().filter(|disk| disk["state"] == "Serving");
        if serving.count() == wanted {
            return Ok(());
        }
        ensure!(
            begun.elapsed() < READY_WITHIN,
            "not {wanted} disks served within {READY_WITHIN:?}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A child process that is killed when this is dropped, and also when we are.
pub(crate) struct Guarded {
    child: Child,
    keeper: Option<Keeper>,
    folder: Option<PathBuf>,
}

impl Guarded {
    /// `folder` is the child's own, and goes with it.
    pub(crate) fn start(command: &mut Command, folder: Option<PathBuf>) -> Result<Self> {
        let child = command.stdin(Stdio::null()).spawn();
        let child = child.with_context(|| format!("starting {command:?}"))?;
        let nothing = PathBuf::from("/nonexistent");
        let keeper = Keeper::watch(child.id(), folder.as_ref().unwrap_or(&nothing))?;
        Ok(Self {
            child,
            keeper: Some(keeper),
            folder,
        })
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // A destructor has nobody to tell; the keeper gets what is left.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.dismiss();
        }
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// So many ports that are free, each with its neighbour 10 000 above, where SeaweedFS puts gRPC.
pub(crate) fn ports(count: usize) -> Result<Vec<u16>> {
    let begin = 20_000 + u16::try_from(std::process::id() % 2_000).expect("below 2 000");
    let free = |port: &u16| {
        let both = [*port, port + 10_000];
        both.iter()
            .all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
    };
    let found: Vec<u16> = (begin..30_000).filter(free).take(count).collect();
    ensure!(found.len() == count, "no {count} free ports");
    Ok(found)
}
