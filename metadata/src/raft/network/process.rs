//! Raft between servers of one process: calls routed by server id.
//!
//! It serves a single server, which needs no peer, and tests on simulated disks. A server that has left, or
//! never joined, is unreachable. Snapshots are copied frame by frame: opened under the sender's storage key,
//! sealed again under the receiver's.

use super::message::{DigestAt, Noted, Verdict};
use super::{Asks, Condition, Peer};
use crate::level;
use crate::raft::snapshot::Snapshots;
use crate::raft::state_machine::Snapshot;
use crate::raft::types::{TypeConfig, Vote};
use futures::future::BoxFuture;
use openraft::OptionalSend;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use types::NodeId;

/// What lies between the servers of one process.
pub trait Between: Send + Sync + 'static {
    /// The way of one message, be it a question or an answer. False: it is lost, and nobody hears of it.
    fn pass(&self, from: NodeId, to: NodeId) -> BoxFuture<'_, bool>;
}

/// Connects the metadata servers of one process.
#[derive(Clone, Default)]
pub(super) struct Process {
    servers: Arc<Mutex<BTreeMap<u64, Peer>>>,
    between: Option<Arc<dyn Between>>,
}

impl Process {
    /// With something between the servers.
    pub(super) fn with(between: Arc<dyn Between>) -> Self {
        Self {
            servers: Arc::default(),
            between: Some(between),
        }
    }

    pub(super) fn join(&self, server: u64, peer: Peer) {
        self.servers().insert(server, peer);
    }

    pub(super) fn leave(&self, server: u64) {
        self.servers().remove(&server);
    }

    /// A link of one server to another.
    pub(super) fn link(&self, from: u64, to: u64) -> ProcessLink {
        ProcessLink {
            process: self.clone(),
            from,
            to,
        }
    }

    fn servers(&self) -> MutexGuard<'_, BTreeMap<u64, Peer>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, from: u64, to: u64) -> Result<Peer, Unreachable<TypeConfig>> {
        let servers = self.servers();
        if !servers.contains_key(&from) {
            return Err(Unreachable::from_string("the caller has left"));
        }
        let peer = servers.get(&to).cloned();
        peer.ok_or_else(|| Unreachable::from_string("the server is not running"))
    }

    /// Returns once a message has arrived, if it does.
    async fn pass(&self, from: u64, to: u64) {
        if let Some(between) = &self.between
            && !between.pass(NodeId::new(from), NodeId::new(to)).await
        {
            std::future::pending().await
        }
    }
}

/// A link to one peer.
pub(crate) struct ProcessLink {
    process: Process,
    from: u64,
    to: u64,
}

impl ProcessLink {
    /// Copies a snapshot to the peer's disk and has it installed there.
    async fn send(
        &self,
        vote: Vote,
        snapshot: Snapshot,
        receiver: &Snapshots,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let received = receiver.receive(&snapshot.snapshot).await;
        let received = Snapshot {
            meta: snapshot.meta,
            snapshot: received.map_err(|error| NetworkError::new(&error))?,
        };
        let answer = self.call(option.soft_ttl(), |peer| async move {
            peer.raft.install_full_snapshot(vote, received).await
        });
        answer.await.map_err(StreamingError::from)
    }

    pub(super) async fn condition(&self, limit: Duration) -> Result<Condition, String> {
        let condition = |peer: Peer| async move { Ok::<_, io::Error>(peer.condition().await) };
        let asked = self.call(limit, condition).await;
        asked.map_err(|error| error.to_string())
    }

    /// Calls the peer. The answer is lost if either end has left meanwhile.
    async fn call<T, E, F>(
        &self,
        limit: Duration,
        call: impl FnOnce(Peer) -> F,
    ) -> Result<T, RPCError<TypeConfig>>
    where
        E: std::error::Error + 'static,
        F: Future<Output = Result<T, E>>,
    {
        let (process, from, to) = (&self.process, self.from, self.to);
        let called = async {
            process.find(from, to)?;
            process.pass(from, to).await;
            let answer = call(process.find(from, to)?).await;
            process.pass(to, from).await;
            process.find(from, to)?;
            Ok::<_, Unreachable<TypeConfig>>(answer)
        };
        match tokio::time::timeout(limit, called).await {
            Ok(answered) => answered?.map_err(|error| Unreachable::new(&error).into()),
            Err(_) => Err(NetworkError::from_string("the peer is too slow").into()),
        }
    }
}

impl Asks for ProcessLink {
    async fn digest_at(&self, asked: DigestAt, limit: Duration) -> Option<Noted> {
        let within = Duration::from_millis(asked.within_ms);
        let noted = self.call(limit, |peer| async move {
            Ok::<_, Infallible>(peer.audits.noted(asked.entry, within).await)
        });
        noted.await.ok().flatten()
    }

    async fn verdict(&self, verdict: Verdict, limit: Duration) -> Option<()> {
        let told = self.call(limit, |peer| async move {
            peer.audits.judge(verdict.entry, verdict.right).await;
            Ok::<_, Infallible>(())
        });
        told.await.ok()
    }

    async fn level(&self, limit: Duration) -> Option<u32> {
        let level = self.call(limit, |_| async { Ok::<_, Infallible>(level::KNOWN) });
        level.await.ok()
    }
}

impl RaftNetworkV2<TypeConfig> for ProcessLink {
    type SnapshotData = Arc<crate::raft::snapshot::SnapshotFile>;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let entries = rpc.entries.len();
        self.call(option.soft_ttl(), |peer| async move {
            if !peer.takes(entries).await {
                return Err(io::Error::other(super::FULL));
            }
            let appended = peer.raft.append_entries(rpc).await;
            appended.map_err(|error| io::Error::other(error.to_string()))
        })
        .await
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(option.soft_ttl(), |peer| async move {
            peer.raft.vote(rpc).await
        })
        .await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(option.soft_ttl(), |peer| async move {
            peer.raft.pre_vote(rpc).await
        })
        .await
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(option.soft_ttl(), |peer| async move {
            peer.raft.handle_transfer_leader(request).await
        })
        .await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let receiver = self.process.find(self.from, self.to)?.snapshots;
        let sent = self.send(vote, snapshot, &receiver, option);
        let answer = tokio::select! {
            answer = sent => answer,
            closed = cancel => Err(closed.into()),
        };
        // What was not installed is dropped by now.
        receiver.sweep().await;
        answer
    }
}
