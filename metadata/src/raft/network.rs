//! How servers reach each other's Raft: by function calls in one process, or over the wire.
//!
//! ```text
//! network/process.rs   routed by server id
//! network/wire.rs      HTTP/2 over mutual TLS: the caller's end
//! network/serve.rs     the other end
//! network/message.rs   what is sent, and how
//! ```
//!
//! Either way a snapshot is verified from the receiver's disk before its Raft sees it, since an error while
//! installing would stop it for good.

mod message;
mod process;
mod serve;
mod wire;

use crate::raft::audit::Audits;
use crate::raft::room::Room;
use crate::raft::snapshot::{SnapshotFile, Snapshots};
use crate::raft::state_machine::{Snapshot, StateMachine};
use crate::raft::types::{TypeConfig, Vote};
use message::{DigestAt, Verdict};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, Raft};
use process::{Process, ProcessLink};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use types::ClusterId;
use wire::{Wire, WireLink};

pub(crate) use message::{Condition, Noted};
pub use process::Between;
pub use serve::RaftCalls;

pub(crate) type Server = Raft<TypeConfig, StateMachine>;

/// Why a server takes no entries, for now.
const FULL: &str = "the metadata disk is full";

/// What connects a metadata server to its peers.
#[derive(Clone)]
pub struct Network(Kind);

#[derive(Clone)]
enum Kind {
    Process(Process),
    Wire(Wire),
}

/// A server that calls arrive at.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) raft: Server,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) room: Arc<Room>,
    pub(crate) audits: Arc<Audits>,
}

impl Peer {
    async fn condition(&self) -> Condition {
        Condition {
            room: self.room.for_proposals().await,
            wall: crate::server::wall_now(),
            needs: None,
        }
    }

    /// Whether it takes entries that a leader sends; that one leads, it hears all the same.
    async fn takes(&self, entries: usize) -> bool {
        entries == 0 || self.room.for_entries().await
    }
}

impl Default for Network {
    fn default() -> Self {
        Self(Kind::Process(Process::default()))
    }
}

impl Network {
    /// A network within this process, without servers.
    pub fn new() -> Self {
        Self::default()
    }

    /// A network within this process that loses and delays what it is told to.
    pub fn across(between: Arc<dyn Between>) -> Self {
        Self(Kind::Process(Process::with(between)))
    }

    /// The network as one server sees it: the others are reached over the wire, and calls of theirs are answered
    /// by [`Network::calls`]. Where they listen, the membership says, which is noted in `book`; what it names
    /// otherwise, `addresses` knows.
    ///
    /// # Errors
    /// When the credentials cannot be used.
    pub fn wire(
        credentials: &ca::Credentials,
        cluster: ClusterId,
        addresses: &Arc<dyn rpc::Addresses>,
        book: &rpc::AddressBook,
    ) -> Result<Self, rustls::Error> {
        let wire = Wire::new(credentials, cluster, addresses, book)?;
        Ok(Self(Kind::Wire(wire)))
    }

    /// What answers the calls that arrive over the wire; nothing does within a process.
    pub fn calls(&self) -> Option<RaftCalls> {
        match &self.0 {
            Kind::Process(_) => None,
            Kind::Wire(wire) => Some(wire.calls()),
        }
    }

    pub(crate) fn join(&self, server: u64, peer: Peer) {
        match &self.0 {
            Kind::Process(process) => process.join(server, peer),
            Kind::Wire(wire) => wire.join(peer),
        }
    }

    /// Waits until a leader has sent this server, which does not take part yet, a snapshot that reaches an entry, and
    /// makes that the current one; whether it came in time. Within a process none does.
    pub(crate) async fn restored(
        &self,
        snapshots: &Arc<Snapshots>,
        needs: u64,
        limit: Duration,
    ) -> bool {
        match &self.0 {
            Kind::Process(_) => false,
            Kind::Wire(wire) => wire.calls().restored(snapshots, needs, limit).await,
        }
    }

    pub(crate) fn leave(&self, server: u64) {
        match &self.0 {
            Kind::Process(process) => process.leave(server),
            Kind::Wire(wire) => wire.leave(),
        }
    }

    /// The network as one server sees it.
    pub(crate) fn seen_by(&self, server: u64) -> Links {
        Links {
            network: self.clone(),
            from: server,
        }
    }
}

/// Makes links to peers.
pub(crate) struct Links {
    network: Network,
    from: u64,
}

impl Links {
    /// A link to a member, which is at this address if it is one.
    pub(crate) fn to(&self, target: u64, address: &str) -> Link {
        match &self.network.0 {
            Kind::Process(process) => Link::Process(process.link(self.from, target)),
            Kind::Wire(wire) => Link::Wire(wire.link(target, address)),
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for Links {
    type Network = Link;

    async fn new_client(&mut self, target: u64, node: &openraft::BasicNode) -> Link {
        self.to(target, &node.addr)
    }
}

/// What servers ask each other besides Raft's own calls. None: no answer came in time.
trait Asks {
    async fn digest_at(&self, asked: DigestAt, limit: Duration) -> Option<Noted>;
    async fn verdict(&self, verdict: Verdict, limit: Duration) -> Option<()>;
    async fn level(&self, limit: Duration) -> Option<u32>;
}

/// A link to one peer.
pub(crate) enum Link {
    Process(ProcessLink),
    Wire(WireLink),
}

/// The same call on whichever link it is.
macro_rules! either {
    ($link:expr, $call:ident($($argument:expr),*)) => {
        match $link {
            Link::Process(link) => link.$call($($argument),*).await,
            Link::Wire(link) => link.$call($($argument),*).await,
        }
    };
}

impl Link {
    /// The peer's rows at an audit, once it has come to it. An answer needs some time, too.
    pub(crate) async fn digest_at(&self, entry: u64, limit: Duration) -> Option<Noted> {
        let within_ms = crate::server::millis(limit / 2);
        either!(self, digest_at(DigestAt { entry, within_ms }, limit))
    }

    /// Tells the peer what is right.
    pub(crate) async fn verdict(&self, entry: u64, right: [u8; 32], limit: Duration) {
        // Who does not hear it hears of the next audit.
        let _heard = either!(self, verdict(Verdict { entry, right }, limit));
    }

    /// The highest feature level that the peer knows.
    pub(crate) async fn level(&self, limit: Duration) -> Option<u32> {
        either!(self, level(limit))
    }

    /// How the peer is.
    ///
    /// # Errors
    /// When it does not answer in time: why.
    pub(crate) async fn condition(&self, limit: Duration) -> Result<Condition, String> {
        either!(self, condition(limit))
    }

    /// Sends a peer that has lost its state a snapshot.
    ///
    /// # Errors
    /// When it does not get it, or did not ask for it.
    pub(crate) async fn restore(&self, file: &SnapshotFile, limit: Duration) -> Result<(), String> {
        match self {
            Self::Process(_) => Err("within a process none asks".to_owned()),
            Self::Wire(link) => link.restore(file, limit).await,
        }
    }
}

impl RaftNetworkV2<TypeConfig> for Link {
    type SnapshotData = Arc<SnapshotFile>;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        either!(self, append_entries(rpc, option))
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        either!(self, vote(rpc, option))
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        either!(self, pre_vote(rpc, option))
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        either!(self, transfer_leader(request, option))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        either!(self, full_snapshot(vote, snapshot, cancel, option))
    }
}

#[cfg(test)]
mod tests;
