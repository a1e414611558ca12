//! Raft over the wire, the answering end.

use super::message::{
    APPEND, Append, Appended, Ballot, CONDITION, Condition, DIGEST, DigestAt, LEVEL, PRE_VOTE,
    RECEIVED, RESTORE, SNAPSHOT, SentFile, TRANSFER, Transfer, Transferred, VERDICT, VOTE, Verdict,
    Voted,
};
use super::{FULL, Peer};
use crate::level;
use crate::raft::snapshot::{
    GoesOn, Incoming as Received, Place, SnapshotError, SnapshotFile, Snapshots,
};
use crate::raft::state_machine::Snapshot;
use crate::raft::types::StoredVote;
use rpc::{Answer, Incoming, PartError, PartReader, StatusCode, answer};
use seal::frame::FileId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use types::codec::{self, DecodeError};

/// Longest call but a snapshot: as many entries as are sent at once, of the longest.
const LONGEST: usize = 32 << 20;
/// A sender that broke off is noticed within this, or the connection is alive.
const BROKEN_OFF_WITHIN: Duration = Duration::from_secs(10);
/// Longest part of a snapshot: what is gathered, and one more row.
const LONGEST_PART: usize = 8 << 20;

/// Answers Raft's calls for one server, while it runs.
#[derive(Clone, Default)]
pub struct RaftCalls {
    own: Arc<Mutex<Option<Peer>>>,
    /// While it waits for a snapshot, to take part with.
    waiting: Arc<Mutex<Option<Waiting>>>,
}

/// A server that has lost its state.
#[derive(Clone)]
struct Waiting {
    snapshots: Arc<Snapshots>,
    /// The entry that a snapshot must reach.
    needs: u64,
    came: mpsc::Sender<()>,
}

/// Why a call is not carried out.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("there is no such call")]
    Unknown,
    #[error("the call is too long, or broke off")]
    Long,
    #[error("the call cannot be read")]
    Malformed(#[from] DecodeError),
    #[error("the server is not running")]
    NotRunning,
    #[error("{FULL}")]
    Full,
    #[error("the snapshot does not reach entry {0}")]
    Early(u64),
    #[error("{0}")]
    Raft(String),
    #[error("the snapshot does not arrive")]
    Part(#[from] PartError),
    #[error("a snapshot is being received")]
    Busy,
    #[error("the snapshot is refused")]
    Snapshot(#[from] SnapshotError),
}

impl Refused {
    fn status(&self) -> StatusCode {
        match self {
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::Long | Self::Malformed(_) | Self::Part(_) => StatusCode::BAD_REQUEST,
            Self::NotRunning
            | Self::Full
            | Self::Early(_)
            | Self::Raft(_)
            | Self::Busy
            | Self::Snapshot(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

fn raft(error: impl std::fmt::Display) -> Refused {
    Refused::Raft(error.to_string())
}

impl RaftCalls {
    /// From now on these answer for this server; none: it does not run.
    pub(super) fn answer_for(&self, peer: Option<Peer>) {
        *self.own.lock().unwrap_or_else(PoisonError::into_inner) = peer;
    }

    /// Waits until a leader has sent a snapshot that reaches an entry, which is the current one then; whether it came
    /// in time.
    pub(super) async fn restored(
        &self,
        snapshots: &Arc<Snapshots>,
        needs: u64,
        limit: Duration,
    ) -> bool {
        let (came, mut comes) = mpsc::channel(1);
        *self.waiting() = Some(Waiting {
            snapshots: Arc::clone(snapshots),
            needs,
            came,
        });
        let came = tokio::time::timeout(limit, comes.recv()).await;
        *self.waiting() = None;
        snapshots.sweep().await;
        matches!(came, Ok(Some(())))
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a call of a metadata server. One that this server has not heard of may lead by now: it is Raft
    /// that judges by terms and logs, and the certificate that says who calls.
    pub async fn answer(&self, path: &str, body: Incoming) -> Answer {
        match self.carry_out(path, body).await {
            Ok(encoded) => answer(StatusCode::OK, encoded),
            Err(refused) => {
                tracing::debug!(error = %refused, path, "a call of a peer is refused");
                answer(refused.status(), refused.to_string())
            }
        }
    }

    async fn carry_out(&self, path: &str, body: Incoming) -> Result<Vec<u8>, Refused> {
        let waiting = self.waiting().clone();
        if let Some(waiting) = waiting {
            return waiting.carry_out(path, body).await;
        }
        let own = self.own()?;
        let (server, snapshots, audits) = (&own.raft, &own.snapshots, &own.audits);
        match path {
            CONDITION => told(&own.condition().await),
            APPEND => {
                let append: Append = read(body).await?;
                if !own.takes(append.entries.len()).await {
                    return Err(Refused::Full);
                }
                let appended = server.append_entries(append.into()).await;
                told(&Appended::from(&appended.map_err(raft)?))
            }
            VOTE => {
                let ballot: Ballot = read(body).await?;
                let voted = server.vote(ballot.into()).await;
                told(&Voted::from(&voted.map_err(raft)?))
            }
            PRE_VOTE => {
                let ballot: Ballot = read(body).await?;
                let voted = server.pre_vote(ballot.into()).await;
                told(&Voted::from(&voted.map_err(raft)?))
            }
            TRANSFER => {
                let transfer: Transfer = read(body).await?;
                let transferred = server.handle_transfer_leader(transfer.into()).await;
                told(&Transferred::from(&transferred.map_err(raft)?))
            }
            DIGEST => {
                let DigestAt { entry, within_ms } = read(body).await?;
                told(&audits.noted(entry, Duration::from_millis(within_ms)).await)
            }
            VERDICT => {
                let Verdict { entry, right } = read(body).await?;
                audits.judge(entry, right).await;
                told(&())
            }
            LEVEL => told(&level::KNOWN),
            RECEIVED => received(snapshots, body).await,
            SNAPSHOT => {
                let mut parts = PartReader::new(body, LONGEST_PART);
                let received = match vote_of(&mut parts).await {
                    Ok(vote) => receive(snapshots, parts).await.map(|file| (vote, file)),
                    Err(refused) => Err(refused),
                };
                let installed = match received {
                    Ok((vote, file)) => {
                        let snapshot = Snapshot {
                            meta: file.label.meta(),
                            snapshot: file,
                        };
                        let installed = server.install_full_snapshot(vote.into(), snapshot).await;
                        installed.map_err(raft)
                    }
                    Err(refused) => Err(refused),
                };
                // What was not installed is dropped by now.
                snapshots.sweep().await;
                told(&StoredVote::from(&installed?.vote))
            }
            _ => Err(Refused::Unknown),
        }
    }

    fn own(&self) -> Result<Peer, Refused> {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.clone().ok_or(Refused::NotRunning)
    }
}

async fn read<T: DeserializeOwned>(body: Incoming) -> Result<T, Refused> {
    let body = rpc::collect(body, LONGEST).await.ok_or(Refused::Long)?;
    Ok(codec::decode(&body)?)
}

#[expect(clippy::unnecessary_wraps, reason = "the last step of each call")]
fn told(message: &impl Serialize) -> Result<Vec<u8>, Refused> {
    Ok(codec::encode(message))
}

impl Waiting {
    async fn carry_out(&self, path: &str, body: Incoming) -> Result<Vec<u8>, Refused> {
        match path {
            CONDITION => told(&Condition {
                room: true,
                wall: crate::server::wall_now(),
                needs: Some(self.needs),
            }),
            RECEIVED => received(&self.snapshots, body).await,
            RESTORE => {
                let parts = PartReader::new(body, LONGEST_PART);
                let file = receive(&self.snapshots, parts).await?;
                if file.label.applied.is_none_or(|at| at.index < self.needs) {
                    return Err(Refused::Early(self.needs));
                }
                self.snapshots.forget_current().await;
                self.snapshots.publish(&file).await?;
                // Who no longer waits starts again, and finds it.
                let _starts_again = self.came.send(()).await;
                told(&())
            }
            _ => Err(Refused::NotRunning),
        }
    }
}

async fn vote_of(parts: &mut PartReader) -> Result<StoredVote, Refused> {
    let vote = parts.next().await?.ok_or(PartError::Short)?;
    Ok(codec::decode(&vote)?)
}

/// How many parts have come of a snapshot: told once none are coming any more.
async fn received(snapshots: &Arc<Snapshots>, body: Incoming) -> Result<Vec<u8>, Refused> {
    let SentFile(of) = read(body).await?;
    let place = tokio::time::timeout(BROKEN_OFF_WITHIN, Place::of(snapshots)).await;
    let place = place.map_err(|_| Refused::Busy)?;
    told(&place.has(FileId(of)))
}

/// Takes a snapshot to this server's disk, part by part, and verifies it from there. A call that breaks off is dropped
/// wherever it is: so this is a task of its own, which ends soon after, and keeps what has come.
async fn receive(
    snapshots: &Arc<Snapshots>,
    parts: PartReader,
) -> Result<Arc<SnapshotFile>, Refused> {
    let receiving = tokio::spawn(receive_parts(Arc::clone(snapshots), parts));
    match receiving.await {
        Ok(received) => received,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(Refused::NotRunning),
    }
}

async fn receive_parts(
    snapshots: Arc<Snapshots>,
    mut parts: PartReader,
) -> Result<Arc<SnapshotFile>, Refused> {
    let first = parts.next().await?.ok_or(PartError::Short)?;
    let mut place = Place::of(&snapshots).await;
    let mut incoming = match GoesOn::decode(&first) {
        None => place.begin(None, &first).await?,
        Some(GoesOn { of, with: 0 }) => {
            let label = parts.next().await?.ok_or(PartError::Short)?;
            place.begin(Some(of), &label).await?
        }
        Some(from) => place.go_on(from)?,
    };
    match add_all(&mut incoming, &mut parts).await {
        Ok(()) => Ok(place.finish(incoming).await?),
        Err(broke_off @ Refused::Part(_)) => {
            place.keep(incoming);
            Err(broke_off)
        }
        Err(error) => Err(error),
    }
}

async fn add_all(incoming: &mut Received, parts: &mut PartReader) -> Result<(), Refused> {
    while let Some(part) = parts.next().await? {
        incoming.add(&part).await?;
    }
    Ok(())
}
