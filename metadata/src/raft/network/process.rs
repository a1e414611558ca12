//! Raft between servers of one process: calls routed by server id.
//!
//! It serves a single server, which needs no peer, and tests on simulated disks. A server that has left, or
//! never joined, is unreachable. Snapshots are copied frame by frame: opened under the sender's storage key,
//! sealed again under the receiver's.

use super::Peer;
use crate::raft::snapshot::Snapshots;
use crate::raft::state_machine::Snapshot;
use crate::raft::types::{TypeConfig, Vote};
use openraft::OptionalSend;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use std::collections::BTreeMap;
#[cfg(test)]
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Connects the metadata servers of one process.
#[derive(Clone, Default)]
pub(super) struct Process {
    peers: Arc<Mutex<Peers>>,
}

#[derive(Default)]
struct Peers {
    servers: BTreeMap<u64, Peer>,
    /// Servers whose calls reach nobody, and whom no call reaches: tests cut them off.
    #[cfg(test)]
    isolated: BTreeSet<u64>,
}

impl Process {
    /// Cuts a server off from its peers, in both directions, or connects it again.
    #[cfg(test)]
    pub(super) fn isolate(&self, server: types::NodeId, isolated: bool) {
        let mut peers = self.peers();
        if isolated {
            peers.isolated.insert(server.get());
        } else {
            peers.isolated.remove(&server.get());
        }
    }

    pub(super) fn join(&self, server: u64, peer: Peer) {
        self.peers().servers.insert(server, peer);
    }

    pub(super) fn leave(&self, server: u64) {
        self.peers().servers.remove(&server);
    }

    /// A link of one server to another.
    pub(super) fn link(&self, from: u64, to: u64) -> ProcessLink {
        ProcessLink {
            process: self.clone(),
            from,
            to,
        }
    }

    fn peers(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, from: u64, to: u64) -> Result<Peer, Unreachable<TypeConfig>> {
        let peers = self.peers();
        #[cfg(test)]
        if [from, to].iter().any(|end| peers.isolated.contains(end)) {
            return Err(Unreachable::from_string("the server is cut off"));
        }
        if !peers.servers.contains_key(&from) {
            return Err(Unreachable::from_string("the caller has left"));
        }
        let peer = peers.servers.get(&to).cloned();
        peer.ok_or_else(|| Unreachable::from_string("the server is not running"))
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

    /// Calls the peer, and drops the answer if either end was cut off meanwhile.
    async fn call<T, E, F>(
        &self,
        limit: Duration,
        call: impl FnOnce(Peer) -> F,
    ) -> Result<T, RPCError<TypeConfig>>
    where
        E: std::error::Error + 'static,
        F: Future<Output = Result<T, E>>,
    {
        let peer = self.process.find(self.from, self.to)?;
        let answer = tokio::time::timeout(limit, call(peer)).await;
        self.process.find(self.from, self.to)?;
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Unreachable::new(&error).into()),
            Err(_) => Err(NetworkError::from_string("the peer is too slow").into()),
        }
    }
}

impl RaftNetworkV2<TypeConfig> for ProcessLink {
    type SnapshotData = Arc<crate::raft::snapshot::SnapshotFile>;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(option.soft_ttl(), |peer| async move {
            peer.raft.append_entries(rpc).await
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
