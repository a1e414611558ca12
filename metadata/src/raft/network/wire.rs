//! Raft over the wire, the caller's end: one channel to each peer, shared by all that is sent to it.

use super::message::{
    APPEND, Append, Appended, Ballot, CONDITION, Condition, DIGEST, DigestAt, LEVEL, Noted,
    PRE_VOTE, RECEIVED, RESTORE, SNAPSHOT, SentFile, TRANSFER, Transfer, Transferred, VERDICT,
    VOTE, Verdict, Voted,
};
use super::{Asks, Peer, RaftCalls};
use crate::raft::snapshot::{GoesOn, SnapshotFile};
use crate::raft::state_machine::Snapshot;
use crate::raft::types::{StoredVote, TypeConfig, Vote};
use bytes::Bytes;
use ca::{Credentials, Identity, Role};
use openraft::OptionalSend;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use rpc::{AddressBook, Addresses, Body, CallError, Channel, Parts, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use types::{ClusterId, NodeId};

/// How long a peer may take to notice that an earlier sender broke off, and a little longer.
const RECEIVED_WITHIN: Duration = Duration::from_secs(12);

/// Connects one server with its peers: those that Raft names.
#[derive(Clone)]
pub(super) struct Wire {
    shared: Arc<Shared>,
    calls: RaftCalls,
}

struct Shared {
    credentials: Credentials,
    cluster: ClusterId,
    addresses: Arc<dyn Addresses>,
    /// Where those addresses are noted that the membership says.
    book: AddressBook,
    channels: Mutex<BTreeMap<u64, Arc<Channel>>>,
}

impl Wire {
    pub(super) fn new(
        credentials: &Credentials,
        cluster: ClusterId,
        addresses: &Arc<dyn Addresses>,
        book: &AddressBook,
    ) -> Result<Self, rustls::Error> {
        // What cannot be used fails here, and not at the first call.
        credentials.client()?;
        Ok(Self {
            shared: Arc::new(Shared {
                credentials: credentials.clone(),
                cluster,
                addresses: Arc::clone(addresses),
                book: book.clone(),
                channels: Mutex::default(),
            }),
            calls: RaftCalls::default(),
        })
    }

    pub(super) fn calls(&self) -> RaftCalls {
        self.calls.clone()
    }

    pub(super) fn join(&self, peer: Peer) {
        self.calls.answer_for(Some(peer));
    }

    pub(super) fn leave(&self) {
        self.calls.answer_for(None);
    }

    /// A link to a member, which is at this address if it is one; else others know where it is.
    pub(super) fn link(&self, to: u64, address: &str) -> WireLink {
        let shared = &self.shared;
        let peer = NodeId::new(to);
        if let Ok(address) = address.parse::<SocketAddr>() {
            shared.book.set(peer, address);
        }
        let identity = Identity::server(shared.cluster, Role::Metadata, peer);
        let mut channels = shared
            .channels
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let channel = channels.entry(to).or_insert_with(|| {
            let addresses = Arc::clone(&shared.addresses);
            let channel = Channel::new(&shared.credentials, identity, addresses);
            Arc::new(channel.expect("the credentials were used before"))
        });
        WireLink {
            channel: Arc::clone(channel),
        }
    }
}

/// A link to one peer.
pub(crate) struct WireLink {
    channel: Arc<Channel>,
}

impl WireLink {
    async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        request: &impl Serialize,
        limit: Duration,
    ) -> Result<T, RPCError<TypeConfig>> {
        let body = rpc::whole(types::codec::encode(request));
        self.send(path, body, limit).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Body,
        limit: Duration,
    ) -> Result<T, RPCError<TypeConfig>> {
        let (status, answer) = self.call(path, body, limit).await?;
        answered(status, &answer)
    }

    /// Calls the peer; whatever it answers is an answer.
    async fn call(
        &self,
        path: &str,
        body: Body,
        limit: Duration,
    ) -> Result<(StatusCode, Bytes), RPCError<TypeConfig>> {
        let call = self.channel.call(path, body);
        let Ok(answer) = tokio::time::timeout(limit, call).await else {
            return Err(NetworkError::from_string("the peer is too slow").into());
        };
        answer.map_err(|error| match error {
            CallError::NotSent { .. } => RPCError::from(Unreachable::new(&error)),
            _ => NetworkError::new(&error).into(),
        })
    }

    pub(super) async fn condition(&self, limit: Duration) -> Result<Condition, String> {
        let asked = self.ask(CONDITION, &(), limit).await;
        asked.map_err(|error| error.to_string())
    }

    /// How many parts of a snapshot the peer has. None: it is of an older build, and begins anew whenever it breaks off.
    async fn received(&self, file: &SnapshotFile) -> Result<Option<u64>, String> {
        let body = rpc::whole(types::codec::encode(&SentFile(file.id().0)));
        let called = self.call(RECEIVED, body, RECEIVED_WITHIN).await;
        let has = called.and_then(|(status, answer)| match status {
            StatusCode::NOT_FOUND => Ok(None),
            status => answered(status, &answer).map(Some),
        });
        has.map_err(|error| error.to_string())
    }

    /// Sends a snapshot's parts to one that has lost its state.
    pub(super) async fn restore(&self, file: &SnapshotFile, limit: Duration) -> Result<(), String> {
        // One of an older build that waits does not say: it begins anew.
        let has = self.received(file).await.unwrap_or(None);
        let (parts, body) = rpc::streamed();
        let asked = self.send::<()>(RESTORE, body, limit);
        let (fed, answered) = futures::join!(feed(file, has, parts), asked);
        match (answered, fed) {
            (Ok(()), _) => Ok(()),
            (Err(_), Err(why)) => Err(why),
            (Err(error), Ok(())) => Err(error.to_string()),
        }
    }
}

impl Asks for WireLink {
    async fn digest_at(&self, asked: DigestAt, limit: Duration) -> Option<Noted> {
        self.ask(DIGEST, &asked, limit).await.ok().flatten()
    }

    async fn verdict(&self, verdict: Verdict, limit: Duration) -> Option<()> {
        self.ask(VERDICT, &verdict, limit).await.ok()
    }

    async fn level(&self, limit: Duration) -> Option<u32> {
        self.ask(LEVEL, &(), limit).await.ok()
    }
}

impl RaftNetworkV2<TypeConfig> for WireLink {
    type SnapshotData = Arc<SnapshotFile>;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let appended: Appended = self
            .ask(APPEND, &Append::from(&rpc), option.soft_ttl())
            .await?;
        Ok(appended.into())
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let voted: Voted = self
            .ask(VOTE, &Ballot::from(&rpc), option.soft_ttl())
            .await?;
        Ok(voted.into())
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let voted: Voted = self
            .ask(PRE_VOTE, &Ballot::from(&rpc), option.soft_ttl())
            .await?;
        Ok(voted.into())
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let transferred: Transferred = self
            .ask(TRANSFER, &Transfer::from(&request), option.soft_ttl())
            .await?;
        Ok(transferred.into())
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let sent = async {
            let has = self.received(&snapshot.snapshot).await;
            let has = has.map_err(Unreachable::from_string)?;
            let (parts, body) = rpc::streamed();
            let asked = self.send::<StoredVote>(SNAPSHOT, body, option.soft_ttl());
            let fed = async {
                let vote = types::codec::encode(&StoredVote::from(&vote));
                parts.send(&vote).await.map_err(hungup)?;
                feed(&snapshot.snapshot, has, parts).await
            };
            let (fed, answered) = futures::join!(fed, asked);
            // A peer that answers no longer takes parts.
            match (answered, fed) {
                (Ok(vote), _) => Ok(SnapshotResponse::new(vote.into())),
                (Err(_), Err(why)) => Err(NetworkError::from_string(why).into()),
                (Err(error), Ok(())) => Err(StreamingError::from(error)),
            }
        };
        tokio::select! {
            answer = sent => answer,
            closed = cancel => Err(closed.into()),
        }
    }
}

/// What a peer's answer says, unless it is a refusal.
fn answered<T: DeserializeOwned>(
    status: StatusCode,
    answer: &[u8],
) -> Result<T, RPCError<TypeConfig>> {
    if !status.is_success() {
        let text = String::from_utf8_lossy(answer);
        let text = format!("the peer answered {status}: {text}");
        return Err(Unreachable::from_string(text).into());
    }
    types::codec::decode(answer).map_err(|error| NetworkError::new(&error).into())
}

fn hungup(error: rpc::Hungup) -> String {
    error.to_string()
}

/// Sends a snapshot's parts, opened under this server's key, but for those that the peer has. One that does not add up
/// to its trailer is never finished.
async fn feed(file: &SnapshotFile, has: Option<u64>, parts: Parts) -> Result<(), String> {
    let unread = |error: crate::raft::SnapshotError| format!("reading the snapshot: {error}");
    let mut pieces = file.pieces().await.map_err(unread)?;
    let mut skip = has.unwrap_or(0);
    if let Some(with) = has {
        let goes_on = GoesOn {
            of: file.id(),
            with,
        };
        parts.send(&goes_on.encode()).await.map_err(hungup)?;
    }
    if skip > 0 {
        tracing::info!(
            parts = skip,
            "a snapshot is sent on from where it broke off"
        );
    }
    while let Some(piece) = pieces.next().await.map_err(unread)? {
        if skip > 0 {
            skip -= 1;
        } else {
            parts.send(&piece).await.map_err(hungup)?;
        }
    }
    parts.finish().await.map_err(hungup)
}
