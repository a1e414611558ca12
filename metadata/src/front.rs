//! What a metadata server answers over the wire: its peers' Raft, and the gateways' metadata service.
//!
//! ```text
//! /raft/…                     metadata servers that are its peers
//! /metadata/…, /accounts/…    gateways, and metadata servers; carried out by the leader alone
//! /upkeep/…                   the same, and storage nodes about their own disks (`own`)
//! /leader                     all of these; answered by every server
//! ```
//!
//! 200 brings the answer. 421 says that nothing was done, since this server does not lead, and who does as
//! far as it knows. 403: the caller's certificate is for something else. The socket is there before and after
//! the server behind it: meanwhile everything is answered 421 or 503.

use crate::Server;
use crate::own::Own;
use crate::raft::{Network, Node, RaftCalls};
use ca::{Identity, Role};
use futures::FutureExt;
use futures::future::BoxFuture;
use rpc::{Answer, Request, Service, StatusCode, answer};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use types::codec;
use types::wire::calls::{
    ACCOUNTS, LEADER, Leadership, METADATA, UPKEEP, answer_accounts, answer_metadata, answer_upkeep,
};
use types::wire::{Accounts, Metadata, Upkeep};

/// Longest call: an upload of ten thousand parts is completed in one.
const LONGEST: usize = 16 << 20;
/// Who leads is told again after this, changed or not.
const TOLD_EVERY: Duration = Duration::from_secs(2);
/// Whom TLS lets in at all.
pub const ADMITTED: &[Role] = &[Role::Metadata, Role::Gateway, Role::Storage];

/// One server's face to the wire.
pub struct Front {
    raft: Option<RaftCalls>,
    server: Mutex<Option<Arc<Server<Arc<Node>>>>>,
}

impl Front {
    /// Answers Raft's calls on `network`; others once there is a server.
    pub fn new(network: &Network) -> Arc<Self> {
        Arc::new(Self {
            raft: network.calls(),
            server: Mutex::default(),
        })
    }

    /// From now on this server answers; or none.
    pub fn serve(&self, server: Option<Arc<Server<Arc<Node>>>>) {
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = server;
    }

    fn server(&self) -> Option<Arc<Server<Arc<Node>>>> {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        server.clone()
    }

    async fn answer(&self, caller: Identity, request: Request) -> Answer {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let may = match caller.role {
            Role::Metadata => true,
            Role::Gateway => !path.starts_with("/raft/"),
            Role::Storage => path == LEADER || path.starts_with(UPKEEP),
            _ => false,
        };
        if !may {
            return forbidden(caller, path);
        }
        if path.starts_with("/raft/") {
            return match &self.raft {
                Some(raft) if caller.node.is_some_and(|node| raft.admits(node)) => {
                    raft.answer(path, body).await
                }
                _ => forbidden(caller, path),
            };
        }
        let Some(body) = rpc::collect(body, LONGEST).await else {
            return answer(
                StatusCode::BAD_REQUEST,
                "the call is too long, or broke off",
            );
        };
        match self.server() {
            Some(server) => serve(&server, caller, path, &body).await,
            None => elsewhere(Leadership::default()),
        }
    }
}

impl Service for Front {
    fn handle(self: Arc<Self>, caller: Identity, request: Request) -> BoxFuture<'static, Answer> {
        async move { self.answer(caller, request).await }.boxed()
    }
}

async fn serve(
    server: &Arc<Server<Arc<Node>>>,
    caller: Identity,
    path: &str,
    body: &[u8],
) -> Answer {
    let node = server.log();
    if path == LEADER {
        let known = codec::decode(body).unwrap_or_default();
        let now = node.leadership_after(known, TOLD_EVERY).await;
        return answer(StatusCode::OK, codec::encode(&now));
    }
    if node.leadership().leader != Some(node.id()) {
        return elsewhere(node.leadership());
    }
    let own = match (caller.role, caller.node) {
        (Role::Storage, None) => return forbidden(caller, path),
        (Role::Storage, Some(node)) => Some(Own {
            server: Arc::clone(server),
            node,
        }),
        _ => None,
    };
    let answered = if let Some(name) = path.strip_prefix(METADATA) {
        answer_metadata(&**server as &dyn Metadata, name, body)
    } else if let Some(name) = path.strip_prefix(ACCOUNTS) {
        answer_accounts(&**server as &dyn Accounts, name, body)
    } else if let Some(name) = path.strip_prefix(UPKEEP) {
        let of_all = &**server as &dyn Upkeep;
        answer_upkeep(own.as_ref().map_or(of_all, |own| own), name, body)
    } else {
        None
    };
    match answered {
        Some(Ok(encoded)) => answer(StatusCode::OK, encoded.await),
        Some(Err(error)) => answer(StatusCode::BAD_REQUEST, error.to_string()),
        None => answer(StatusCode::NOT_FOUND, "there is no such call"),
    }
}

fn elsewhere(leadership: Leadership) -> Answer {
    answer(StatusCode::MISDIRECTED_REQUEST, codec::encode(&leadership))
}

fn forbidden(caller: Identity, path: &str) -> Answer {
    tracing::warn!(%caller, path, "a call was refused: it is not for this role");
    answer(StatusCode::FORBIDDEN, "this is not for your role")
}
