//! Clients doing it, against the clock. Connections stand and bodies are hashed before it starts.

use crate::connection::{self, Connection};
use crate::content::{Object, pattern};
use crate::job::{Framing, Job, Seen, Work};
use crate::process;
use crate::request::{Endpoint, UNSIGNED};
use crate::upload::Upload;
use anyhow::{Context, Result, anyhow, ensure};
use rustls::ClientConfig;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

/// Neighbouring requests ask for objects this far apart: prime, so every object is met.
const STRIDE: u64 = 7919;

/// Between two requests of which only the first byte is wanted.
const LULL: Duration = Duration::from_millis(25);

/// What one request took, in milliseconds.
struct Took {
    bytes: u64,
    first: Option<f64>,
    all: f64,
}

/// Where, and with what.
struct Bench<'a> {
    job: &'a Job,
    endpoint: Endpoint,
    tls: Option<Arc<ClientConfig>>,
    pattern: Vec<u8>,
}

/// Does what is asked.
pub(crate) fn run(job: &Job) -> Result<Seen> {
    let bench = Bench {
        job,
        endpoint: Endpoint::of(job)?,
        tls: job.ca.as_deref().map(connection::trust).transpose()?,
        pattern: pattern(),
    };
    match job.work {
        Work::Bucket => bench.measure(1, |connection, _| {
            bench.plain(connection, "PUT", &format!("/{}", job.bucket), 200)
        }),
        Work::Get {
            length,
            from,
            objects,
            requests,
        } => bench.measure(requests, |connection, index| {
            let object = pick(length, from, objects, index);
            bench.get(connection, object, 0..length)
        }),
        Work::Ranges { length, part } => {
            bench.measure(length.div_ceil(part), |connection, index| {
                let object = Object { seed: 0, length };
                let from = index * part;
                bench.get(connection, object, from..length.min(from + part))
            })
        }
        Work::Head {
            length,
            objects,
            requests,
        } => bench.measure(requests, |connection, index| {
            let path = bench.path(pick(length, 0, objects, index));
            bench.head(connection, &path)
        }),
        Work::First { length, requests } => bench.measure(requests, |connection, _| {
            let object = Object { seed: 0, length };
            bench.first(connection, object)
        }),
        Work::Put {
            length,
            from,
            objects,
            framing,
        } => {
            let uploads: Vec<Upload> = (from..from + objects)
                .map(|seed| {
                    let object = Object { seed, length };
                    let target = (bench.path(object), String::new());
                    Upload::new(&bench.pattern, target, object, 0..length, framing)
                })
                .collect();
            bench.measure(objects, |connection, index| {
                let index = usize::try_from(index)?;
                bench.put(connection, &uploads[index]).map(|(took, _)| took)
            })
        }
        Work::Parts {
            length,
            from,
            part,
            framing,
        } => bench.parts(Object { seed: from, length }, part, framing),
        Work::Delete {
            length,
            from,
            objects,
        } => bench.measure(objects, |connection, index| {
            let seed = from + index;
            bench.plain(
                connection,
                "DELETE",
                &bench.path(Object { seed, length }),
                204,
            )
        }),
    }
}

fn pick(length: u64, from: u64, objects: u64, index: u64) -> Object {
    let seed = from + index * STRIDE % objects;
    Object { seed, length }
}

impl Bench<'_> {
    fn path(&self, object: Object) -> String {
        format!("/{}/{}", self.job.bucket, object.key())
    }

    fn connect(&self) -> Result<Connection> {
        Connection::open(&self.endpoint, self.tls.as_ref())
    }

    /// Deals requests to the clients, and adds up what they took.
    fn measure(
        &self,
        requests: u64,
        each: impl Fn(&mut Connection, u64) -> Result<Took> + Sync,
    ) -> Result<Seen> {
        let watch = Watch::new(self.job.process)?;
        let begin = Barrier::new(self.job.clients + 1);
        let next = AtomicU64::new(0);
        let client = || -> Result<Vec<Took>> {
            let connection = self.connect();
            // All are connected; then the clock has started.
            begin.wait();
            begin.wait();
            let mut connection = connection?;
            let mut took = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= requests {
                    return Ok(took);
                }
                let done = each(&mut connection, index);
                took.push(done.with_context(|| format!("request {index}"))?);
            }
        };
        let mut started = None;
        let took = std::thread::scope(|scope| -> Result<Vec<Took>> {
            let clients: Vec<_> = (0..self.job.clients).map(|_| scope.spawn(client)).collect();
            begin.wait();
            started = Some(watch.start());
            begin.wait();
            let mut all = Vec::new();
            for client in clients {
                let took = client.join().map_err(|_| anyhow!("a client panicked"))?;
                all.extend(took?);
            }
            Ok(all)
        })?;
        started.context("the clock was not started")??.stop(&took)
    }

    fn get(
        &self,
        connection: &mut Connection,
        object: Object,
        range: std::ops::Range<u64>,
    ) -> Result<Took> {
        let begun = Instant::now();
        let asked = format!("bytes={}-{}", range.start, range.end - 1);
        let whole = range == (0..object.length);
        let headers = [("range", asked.as_str())];
        let headers = if whole { &[][..] } else { &headers[..] };
        let head = self
            .endpoint
            .head("GET", &self.path(object), "", headers, UNSIGNED);
        connection.send(head.as_bytes())?;
        let head = connection.head()?;
        let bytes = range.end - range.start;
        let first = connection.compare(&head, &self.pattern, object, range)?;
        let took = Took::since(begun, bytes, Some(first));
        self.renew(connection, head.closes)?;
        Ok(took)
    }

    fn head(&self, connection: &mut Connection, path: &str) -> Result<Took> {
        let begun = Instant::now();
        let head = self.endpoint.head("HEAD", path, "", &[], UNSIGNED);
        connection.send(head.as_bytes())?;
        let head = connection.head()?;
        ensure!(head.status == 200, "{} for HEAD", head.status);
        let took = Took::since(begun, 0, None);
        self.renew(connection, head.closes)?;
        Ok(took)
    }

    /// Uses up the connection: the rest of the body is not wanted. What the server read ahead of it is let go
    /// first, so that no request waits behind another's.
    fn first(&self, connection: &mut Connection, object: Object) -> Result<Took> {
        std::thread::sleep(LULL);
        let begun = Instant::now();
        let head = self
            .endpoint
            .head("GET", &self.path(object), "", &[], UNSIGNED);
        connection.send(head.as_bytes())?;
        let head = connection.head()?;
        let first = connection.first_byte(&head)?;
        let took = Took::since(begun, 0, Some(first));
        *connection = self.connect()?;
        Ok(took)
    }

    fn put(&self, connection: &mut Connection, upload: &Upload) -> Result<(Took, Option<String>)> {
        let begun = Instant::now();
        let head = upload.send(connection, &self.endpoint, &self.pattern)?;
        let took = Took::since(begun, upload.length(), None);
        self.renew(connection, head.closes)?;
        Ok((took, head.etag))
    }

    fn plain(
        &self,
        connection: &mut Connection,
        method: &str,
        path: &str,
        wanted: u16,
    ) -> Result<Took> {
        let begun = Instant::now();
        let headers = [("content-length", "0")];
        let head = self.endpoint.head(method, path, "", &headers, UNSIGNED);
        connection.send(head.as_bytes())?;
        let head = connection.done(wanted)?;
        let took = Took::since(begun, 0, None);
        self.renew(connection, head.closes)?;
        Ok(took)
    }

    /// One upload in parts; its begin and its end count, too.
    fn parts(&self, object: Object, part: u64, framing: Framing) -> Result<Seen> {
        let path = self.path(object);
        let ask = |query: &str, body: &str| -> Result<String> {
            let mut connection = self.connect()?;
            let length = body.len().to_string();
            let headers = [("content-length", length.as_str())];
            let head = self.endpoint.head("POST", &path, query, &headers, UNSIGNED);
            connection.send(head.as_bytes())?;
            connection.send(body.as_bytes())?;
            let head = connection.head()?;
            let said = connection.document(&head)?;
            ensure!(head.status == 200, "{}: {said}", head.status);
            Ok(said)
        };
        let count = object.length.div_ceil(part);
        let mut uploads: Vec<Upload> = (0..count)
            .map(|index| {
                let range = index * part..object.length.min((index + 1) * part);
                let target = (path.clone(), String::new());
                Upload::new(&self.pattern, target, object, range, framing)
            })
            .collect();
        let watch = Watch::new(self.job.process)?.start()?;
        let begun = ask("uploads=", "")?;
        let id = element(&begun, "UploadId").context("no upload id")?;
        let id = strongroom_wire::encode(id, "");
        for (number, upload) in (1..).zip(&mut uploads) {
            upload.query = format!("partNumber={number}&uploadId={id}");
        }
        let tags: Vec<_> = uploads.iter().map(|_| std::sync::OnceLock::new()).collect();
        let mut seen = self.measure(count, |connection, index| {
            let index = usize::try_from(index)?;
            let (took, tag) = self.put(connection, &uploads[index])?;
            let _ = tags[index].set(tag.context("a part without an ETag")?);
            Ok(took)
        })?;
        let mut list = String::from("<CompleteMultipartUpload>");
        for (number, tag) in (1..).zip(&tags) {
            let tag = tag.get().context("a part is missing")?;
            list += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>");
        }
        list += "</CompleteMultipartUpload>";
        let said = ask(&format!("uploadId={id}"), &list)?;
        ensure!(said.contains("CompleteMultipartUploadResult"), "{said}");
        let whole = watch.stop(&[])?;
        seen.seconds = whole.seconds;
        (seen.client_cpu, seen.server_cpu) = (whole.client_cpu, whole.server_cpu);
        Ok(seen)
    }

    fn renew(&self, connection: &mut Connection, closed: bool) -> Result<()> {
        if closed {
            *connection = self.connect()?;
        }
        Ok(())
    }
}

fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

impl Took {
    fn since(begun: Instant, bytes: u64, first: Option<Instant>) -> Self {
        Self {
            bytes,
            first: first.map(|first| (first - begun).as_secs_f64() * 1e3),
            all: begun.elapsed().as_secs_f64() * 1e3,
        }
    }
}

/// Clock, processor time and memory.
struct Watch {
    server: Option<String>,
    memory: Option<u64>,
}

struct Started {
    watch: Watch,
    clock: Instant,
    client: f64,
    server: Option<f64>,
}

impl Watch {
    fn new(server: Option<u32>) -> Result<Self> {
        let server = server.map(|process| process.to_string());
        let memory = |process: &String| {
            process::forget_peak(process)?;
            process::resident(process, "VmRSS")
        };
        let memory = server.as_ref().map(memory).transpose()?;
        Ok(Self { server, memory })
    }

    fn start(self) -> Result<Started> {
        let server = self.server.as_deref().map(process::cpu_seconds);
        Ok(Started {
            server: server.transpose()?,
            client: process::cpu_seconds("self")?,
            watch: self,
            clock: Instant::now(),
        })
    }
}

impl Started {
    fn stop(self, took: &[Took]) -> Result<Seen> {
        let seconds = self.clock.elapsed().as_secs_f64();
        let client = process::cpu_seconds("self")?;
        let server = self.watch.server.as_deref();
        let cpu = server.map(process::cpu_seconds).transpose()?;
        let peak = server.map(|process| process::resident(process, "VmHWM"));
        let memory = self.watch.memory.zip(peak.transpose()?);
        let mut all: Vec<f64> = took.iter().map(|took| took.all).collect();
        let mut first: Vec<f64> = took.iter().filter_map(|took| took.first).collect();
        Ok(Seen {
            seconds,
            bytes: took.iter().map(|took| took.bytes).sum(),
            requests: took.len() as u64,
            p50: percentile(&mut all, 50),
            p99: percentile(&mut all, 99),
            first: percentile(&mut first, 50),
            client_cpu: client - self.client,
            server_cpu: cpu.zip(self.server).map(|(after, before)| after - before),
            memory: memory.map(|(before, peak)| [before, peak]),
        })
    }
}

/// The smallest value that so many in a hundred do not exceed; 0 of nothing.
fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() * percent).div_ceil(100);
    values.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let mut values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(percentile(&mut values, 50), 100.0);
        assert_eq!(percentile(&mut values, 99), 198.0);
        assert_eq!(percentile(&mut [7.0], 99), 7.0);
        assert_eq!(percentile(&mut [], 50), 0.0);
    }
}
