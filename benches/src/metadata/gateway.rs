//! How many lookups one gateway gets answered: over one connection, HTTP/2 and mutual TLS, by a metadata server on the
//! same machine; and what each costs on either side.
//!
//! Estimate: TLS and HTTP/2 take about 15 µs of each side for a call, the lookup itself 10 µs: 40 µs of processor time,
//! so 50 000 a second on two cores that do nothing else. What stops them is taken away piece by piece: the wire, then
//! Raft's round, then all but the rows.

use crate::world::{
    CLUSTER, GATEWAY, SERVER, filled, log_of, profile, random, rows_of, slot, whole,
};
use crate::{FEW, Options};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use ca::{Authority, Identity, Role};
use client::{Client, ClientConfig, Servers};
use futures::FutureExt;
use futures::future::BoxFuture;
use metadata::front::ADMITTED;
use metadata::raft::NodeConfig;
use metadata::store::Sled;
use metadata::{Replica, ReplicaConfig, ServerConfig, locate};
use rpc::{AddressBook, Addresses, Answer, Channel, Listener, Request, StatusCode};
use std::fs;
use std::future::ready;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use strongroom_benches::report::{Report, Sample};
use strongroom_benches::run::closed_loop;
use tokio::runtime::{Builder, Runtime};
use types::DiskId;
use types::shard::{ChunkDescription, ShardKey};
use types::wire::calls::Remote;
use types::wire::metadata::Bucket;
use types::wire::storage::{DiskReport, PutError, PutShard, ReadError, ReadShard};
use types::wire::{Metadata, ShardStore};

const TIME: Duration = Duration::from_secs(3);
const AT_ONCE: [usize; 3] = [1, 16, 256];
const WANTED: f64 = 50_000.0;
/// What the threads of either side are called.
const METADATA: &str = "metadata";
const GATEWAYS: &str = "gateway";
/// As long as the answer to a lookup, about.
const ANSWER: usize = 600;

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let folder = filled(&options.folder, FEW)?;
    let inside = threads(METADATA)?;
    let outside = threads(GATEWAYS)?;
    let authority = Authority::load(&Authority::make()?)?;
    let book = AddressBook::default();
    let replica = inside.block_on(replica(&folder, &authority, &book))?;
    let replica = Arc::new(replica);
    let bucket = inside.block_on(async {
        replica.node().leader().await?;
        let buckets = replica.server().buckets().await?;
        buckets.into_iter().next().context("a bucket")
    })?;
    let measuring = Measuring {
        options,
        outside: &outside,
        bucket: bucket.clone(),
    };
    let remote = measuring.remote(&authority, &book)?;
    measuring.of_a_client(report, &remote)?;
    measuring.in_calls_of_their_own(report, &remote)?;
    measuring.without_the_wire(report, &replica)?;
    measuring.bare_wire(report, &inside, &authority)?;
    inside.block_on(replica.stop());
    Ok(())
}

struct Measuring<'m> {
    options: &'m Options,
    outside: &'m Runtime,
    bucket: Bucket,
}

impl Measuring<'_> {
    fn remote(&self, authority: &Authority, book: &AddressBook) -> Result<Arc<dyn Metadata>> {
        let identity = Identity::server(CLUSTER, Role::Gateway, GATEWAY);
        let credentials = authority.credentials(&identity, &[])?;
        let addresses: Arc<dyn Addresses> = Arc::new(book.clone());
        let _inside = self.outside.enter();
        let servers = Servers::start(&credentials, CLUSTER, &[SERVER], &addresses)?;
        Ok(Arc::new(Remote(servers)))
    }

    /// Runs so many operations at a time on the gateway's threads, and tells how many there were a second and what
    /// one cost.
    fn figures<F>(
        &self,
        report: &mut Report,
        case: &str,
        at_once: usize,
        wanted: Option<f64>,
        operation: impl Fn(u64) -> F + Clone + Send + 'static,
    ) -> Result<()>
    where
        F: Future<Output = Result<u64>> + Send + 'static,
    {
        let (mut rates, mut p50, mut inside, mut outside) = (vec![], vec![], vec![], vec![]);
        for round in 0..=self.options.rounds {
            let before = (cpu_of(METADATA)?, cpu_of(GATEWAYS)?);
            let running = self
                .outside
                .spawn(closed_loop(at_once, TIME, operation.clone()));
            let sample: Sample = self.outside.block_on(running)??;
            // The first round warms.
            if round == 0 {
                continue;
            }
            let each = |after: Duration, before: Duration| {
                after.saturating_sub(before).as_secs_f64() * 1e6 / sample.operations as f64
            };
            rates.push(sample.operations());
            p50.push(sample.p50.as_secs_f64() * 1e6);
            inside.push(each(cpu_of(METADATA)?, before.0));
            outside.push(each(cpu_of(GATEWAYS)?, before.1));
        }
        report.figure(&format!("{case}, {at_once} at once"), "/s", rates, wanted);
        report.figure("  p50 of one", "µs", p50, None);
        report.figure("  processor time of the server, each", "µs", inside, None);
        report.figure("  processor time of the gateway, each", "µs", outside, None);
        Ok(())
    }

    /// As a gateway asks: lookups share calls.
    fn of_a_client(&self, report: &mut Report, remote: &Arc<dyn Metadata>) -> Result<()> {
        let inside = self.outside.enter();
        let config = ClientConfig::new(GATEWAY);
        let client = Client::start(config, Arc::clone(remote), Arc::new(Nowhere));
        drop(inside);
        for at_once in AT_ONCE {
            let (client, bucket) = (Arc::clone(&client), self.bucket.clone());
            let wanted = (at_once == 256).then_some(WANTED);
            let case = "lookups of one gateway";
            self.figures(report, case, at_once, wanted, move |_| {
                let (client, bucket) = (Arc::clone(&client), bucket.clone());
                async move {
                    let asked = whole(&bucket, random(FEW));
                    client.head(&bucket, &asked.key, asked.wanted).await?;
                    Ok(0)
                }
            })?;
        }
        self.outside.block_on(client.shutdown());
        Ok(())
    }

    fn in_calls_of_their_own(&self, report: &mut Report, remote: &Arc<dyn Metadata>) -> Result<()> {
        for at_once in AT_ONCE {
            let (remote, bucket) = (Arc::clone(remote), self.bucket.clone());
            let case = "lookups in calls of their own";
            self.figures(report, case, at_once, None, move |_| {
                let (remote, bucket) = (Arc::clone(&remote), bucket.clone());
                async move {
                    remote.lookup(whole(&bucket, random(FEW))).await?;
                    Ok(0)
                }
            })?;
        }
        Ok(())
    }

    fn without_the_wire(&self, report: &mut Report, replica: &Arc<Replica>) -> Result<()> {
        let (served, bucket) = (Arc::clone(replica), self.bucket.clone());
        self.figures(report, "lookups by function call", 256, None, move |_| {
            let (replica, bucket) = (Arc::clone(&served), bucket.clone());
            async move {
                replica.server().lookup(whole(&bucket, random(FEW))).await?;
                Ok(0)
            }
        })?;
        let served = Arc::clone(replica);
        self.figures(report, "rounds of Raft alone", 256, None, move |_| {
            let replica = Arc::clone(&served);
            async move {
                replica.node().linearizable(|_| ()).await?;
                Ok(0)
            }
        })?;
        let (served, bucket) = (Arc::clone(replica), self.bucket.clone());
        self.figures(
            report,
            "the rows of 64 lookups, in one round",
            2,
            None,
            move |_| {
                let (replica, bucket) = (Arc::clone(&served), bucket.clone());
                async move {
                    let read = move |store: &metadata::Store| {
                        for _ in 0..64 {
                            let found = locate::locate(store, &whole(&bucket, random(FEW)))?;
                            ensure!(found.is_ok(), "it is there");
                        }
                        anyhow::Ok(())
                    };
                    replica.node().linearizable(read).await??;
                    Ok(0)
                }
            },
        )
    }

    /// Calls that nothing is done for.
    fn bare_wire(&self, report: &mut Report, inside: &Runtime, by: &Authority) -> Result<()> {
        let server = Identity::server(CLUSTER, Role::Metadata, SERVER);
        let tls = by.credentials(&server, &[])?.server(ADMITTED)?;
        let listening = Listener::bind(local(), tls, Arc::new(Echo));
        let listener = inside.block_on(listening)?;
        let book = AddressBook::default();
        book.set(SERVER, listener.address());
        let gateway = Identity::server(CLUSTER, Role::Gateway, GATEWAY);
        let credentials = by.credentials(&gateway, &[])?;
        let channel = Arc::new(Channel::new(&credentials, server, Arc::new(book))?);
        self.figures(report, "calls that do nothing", 256, None, move |_| {
            let channel = Arc::clone(&channel);
            async move {
                let body = rpc::whole(Bytes::from_static(&[0; 100]));
                let (status, _) = channel.call("/metadata/nothing", body).await?;
                ensure!(status == StatusCode::OK, "{status}");
                Ok(0)
            }
        })?;
        inside.block_on(listener.close());
        Ok(())
    }
}

/// Lookups read no shards.
struct Nowhere;

impl ShardStore for Nowhere {
    fn put(&self, request: PutShard) -> BoxFuture<'_, Result<(), PutError>> {
        let disk = request.disk;
        ready(Err(PutError::DiskUnavailable { disk })).boxed()
    }

    fn read(&self, request: ReadShard) -> BoxFuture<'_, Result<Bytes, ReadError>> {
        let disk = request.disk;
        ready(Err(ReadError::DiskUnavailable { disk })).boxed()
    }

    fn describe(
        &self,
        disk: DiskId,
        _: ShardKey,
    ) -> BoxFuture<'_, Result<ChunkDescription, ReadError>> {
        ready(Err(ReadError::DiskUnavailable { disk })).boxed()
    }

    fn report(&self) -> BoxFuture<'_, Vec<DiskReport>> {
        ready(Vec::new()).boxed()
    }
}

/// Answers every call alike.
struct Echo;

impl rpc::Service for Echo {
    fn handle(self: Arc<Self>, _: Identity, request: Request) -> BoxFuture<'static, Answer> {
        async move {
            let body = rpc::collect(request.into_body(), 1 << 20).await;
            let known = if body.is_some() {
                StatusCode::OK
            } else {
                StatusCode::BAD_REQUEST
            };
            rpc::answer(known, Bytes::from_static(&[0; ANSWER]))
        }
        .boxed()
    }
}

async fn replica(folder: &Path, authority: &Authority, book: &AddressBook) -> Result<Replica> {
    let identity = Identity::server(CLUSTER, Role::Metadata, SERVER);
    let config = ReplicaConfig {
        raft: NodeConfig::new(SERVER),
        service: ServerConfig::new(profile()),
        cluster: CLUSTER,
        credentials: authority.credentials(&identity, &[])?,
        addresses: Arc::new(book.clone()),
        book: book.clone(),
        listen: local(),
        store: rows_of(folder),
        cache: Sled::default(),
        slot: slot(),
        provider: seal::provider::default(),
        office: None,
    };
    Ok(Replica::start(config, log_of(folder)?).await?)
}

fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn threads(name: &str) -> Result<Runtime> {
    let mut runtime = Builder::new_multi_thread();
    runtime.thread_name(name).enable_all();
    runtime.build().context("starting tokio")
}

/// Processor time of this process's threads of a name.
fn cpu_of(name: &str) -> Result<Duration> {
    let mut time = Duration::ZERO;
    for thread in fs::read_dir("/proc/self/task")? {
        let thread = thread?.file_name();
        let thread = thread.to_string_lossy();
        let called = fs::read_to_string(format!("/proc/self/task/{thread}/comm"));
        // One that has ended meanwhile counts no more.
        if called.is_ok_and(|called| called.trim() == name) {
            time += strongroom_benches::process::cpu_of(&format!("self/task/{thread}"));
        }
    }
    Ok(time)
}
