//! How many commits share a sync: small objects, committed by so many writers at once through the service and Raft
//! into a real log, on a disk in memory whose syncs take 2 ms.
//!
//! Estimate: while one frame is synced, what others propose waits for the next: in the worst case a writer alone, and
//! then all the others, so half of the writers a sync. A quarter is wanted.

use crate::Options;
use crate::world::{GATEWAY, Running, Service, clean};
use anyhow::{Context, Result};
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use strongroom_benches::report::Report;
use strongroom_benches::run::{closed_loop, runtime};
use strongroom_benches::slow::Slow;
use types::attributes::Attributes;
use types::block::SEAL_OVERHEAD;
use types::wire::Metadata;
use types::wire::metadata::{CommitObject, Condition, IssuedBlob, Tags, WrittenPlace};
use types::{BucketId, ByteCount, RequestId, SessionId, VersionId};

const SYNC: Duration = Duration::from_millis(2);
const TIME: Duration = Duration::from_secs(3);
const WRITERS: [usize; 5] = [1, 4, 16, 64, 256];
/// Of the writers, that share a sync.
const WANTED: f64 = 0.25;
const LENGTH: usize = 1000;
/// Blobs that are issued at once.
const ISSUED: u32 = 64;
/// Answers that the service keeps, since requests overtake each other.
const KEPT: u64 = 2000;

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let folder = options.folder.join("commits");
    clean(&folder)?;
    runtime()?.block_on(async {
        let disk = Slow::new(SYNC);
        let running = Running::start(&folder, disk.clone()).await?;
        running.begin().await?;
        let commits = Commits::new(&running, "new").await?;
        for writers in WRITERS {
            let (mut shared, mut rates, mut p50, mut cpu) = (vec![], vec![], vec![], vec![]);
            for _ in 0..options.rounds.min(3) {
                commits.renew().await?;
                let before = disk.syncs();
                let each = Arc::clone(&commits);
                let sample = closed_loop(writers, TIME, move |_| {
                    let commits = Arc::clone(&each);
                    async move { commits.one().await.map(|()| 0) }
                })
                .await?;
                shared.push(sample.operations as f64 / (disk.syncs() - before) as f64);
                rates.push(sample.operations());
                p50.push(sample.p50.as_secs_f64() * 1e3);
                cpu.push(sample.cpu.as_secs_f64() * 1e6 / sample.operations as f64);
            }
            let case = format!("{writers} writers, a sync takes 2 ms: commits a sync");
            report.figure(&case, "", shared, Some(WANTED * writers as f64));
            report.figure(&format!("{writers} writers: commits"), "/s", rates, None);
            report.figure("  a commit, p50", "ms", p50, None);
            report.figure(
                "  processor time of a commit, client and all",
                "µs",
                cpu,
                None,
            );
        }
        running.stop().await;
        anyhow::Ok(())
    })?;
    clean(&folder)
}

/// One gateway that commits small objects under ever new names.
pub(crate) struct Commits {
    server: Service,
    session: SessionId,
    bucket: BucketId,
    prefix: String,
    next: AtomicU64,
    issued: Mutex<Vec<IssuedBlob>>,
}

impl Commits {
    pub(crate) async fn new(running: &Running, prefix: &str) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            server: Arc::clone(&running.server),
            session: running.server.open_session(GATEWAY).await?.id,
            bucket: running.bucket().await?.id,
            prefix: prefix.to_owned(),
            next: AtomicU64::new(1),
            issued: Mutex::default(),
        }))
    }

    /// Keeps its session alive.
    pub(crate) async fn renew(&self) -> Result<()> {
        self.server.renew_session(self.session).await?;
        Ok(())
    }

    /// Commits one.
    pub(crate) async fn one(&self) -> Result<()> {
        let issued = self.issued().await?;
        let sequence = self.next.fetch_add(1, Ordering::Relaxed);
        let mut drawn = [0; 16];
        getrandom::fill(&mut drawn)?;
        let key = format!("{}/{sequence}-{}", self.prefix, self.session.get());
        let commit = CommitObject {
            request: RequestId {
                session: self.session,
                sequence,
                answered_below: sequence.saturating_sub(KEPT).max(1),
            },
            bucket: self.bucket,
            key: key.try_into().expect("a key"),
            version: VersionId::new(drawn),
            attributes: Attributes::default(),
            blob: issued.blob,
            wrap: issued.wrap,
            wrap_expires_ms: issued.expires_ms,
            length: ByteCount::new(LENGTH as u64),
            place: WrittenPlace::Inline {
                sealed: Bytes::from(vec![7; LENGTH + SEAL_OVERHEAD]),
            },
            tags: Tags::default(),
            condition: Condition::default(),
        };
        self.server.commit_object(commit).await?;
        Ok(())
    }

    async fn issued(&self) -> Result<IssuedBlob> {
        if let Some(blob) = self.ahead().pop() {
            return Ok(blob);
        }
        let issue = self.server.issue_blobs(self.session, self.bucket, ISSUED);
        let mut fresh = issue.await?;
        let blob = fresh.pop().context("a blob was issued")?;
        self.ahead().append(&mut fresh);
        Ok(blob)
    }

    fn ahead(&self) -> std::sync::MutexGuard<'_, Vec<IssuedBlob>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
