//! What a metadata server answers over the wire: its peers' Raft, and the gateways' metadata service.
//!
//! ```text
//! /raft/…                     metadata servers that are its peers
//! /metadata/…, /accounts/…, /usages/…    gateways, and metadata servers; carried out by the leader alone
//! /upkeep/…                   the same, and storage nodes about their own disks (`own`)
//! /members/…                  operators
//! /enrolment/…                who holds a token, to join; servers, about their own certificate
//! /leader                     all of these; answered by every server
//! ```
//!
//! A server that was removed is answered nothing.
//!
//! 200 brings the answer. 421 says that nothing was done, since this server does not lead, and who does as
//! far as it knows. 403: the caller's certificate is for something else. The socket is there before and after
//! the server behind it: meanwhile everything is answered 421 or 503.

use crate::Server;
use crate::own::Own;
use crate::raft::{Network, Node, RaftCalls};
use crate::server::registrar::{Enrolling, Registrar};
use ca::{Identity, Removed, Role};
use futures::FutureExt;
use futures::future::BoxFuture;
use rpc::{Answer, Request, Service, StatusCode, answer};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use types::codec;
use types::wire::calls::{
    ACCOUNTS, ENROLMENT, LEADER, Leadership, MEMBERS, METADATA, Told, UPKEEP, USAGES,
    answer_accounts, answer_enrolment, answer_members, answer_metadata, answer_upkeep,
    answer_usages,
};
use types::wire::{Accounts, Metadata, Upkeep, Usages};

/// Longest call: an upload of ten thousand parts is completed in one.
const LONGEST: usize = 16 << 20;
/// Who leads is told again after this, changed or not.
const TOLD_EVERY: Duration = Duration::from_secs(2);
/// Whom TLS lets in at all.
pub const ADMITTED: &[Role] = &[
    Role::Metadata,
    Role::Gateway,
    Role::Storage,
    Role::Operator,
    Role::Joiner,
];

/// One server's face to the wire.
pub struct Front {
    raft: Option<RaftCalls>,
    removed: Removed,
    registrar: Mutex<Option<Arc<Registrar>>>,
}

impl Front {
    /// Answers Raft's calls on `network`; others once there is a server. `removed` are answered nothing.
    pub fn new(network: &Network, removed: &Removed) -> Arc<Self> {
        Arc::new(Self {
            raft: network.calls(),
            removed: removed.clone(),
            registrar: Mutex::default(),
        })
    }

    /// From now on this server answers; or none.
    pub fn serve(&self, registrar: Option<Arc<Registrar>>) {
        let mut serving = self
            .registrar
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *serving = registrar;
    }

    fn registrar(&self) -> Option<Arc<Registrar>> {
        let serving = self
            .registrar
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        serving.clone()
    }

    async fn answer(&self, caller: Identity, request: Request) -> Answer {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        if !may(caller.role, path) || self.removed.has(&caller) {
            return forbidden(caller, path);
        }
        if path.starts_with("/raft/") {
            return match &self.raft {
                Some(raft) => raft.answer(path, body).await,
                None => forbidden(caller, path),
            };
        }
        let Some(body) = rpc::collect(body, LONGEST).await else {
            return answer(
                StatusCode::BAD_REQUEST,
                "the call is too long, or broke off",
            );
        };
        match self.registrar() {
            Some(registrar) => serve(&registrar, caller, path, &body, &self.removed).await,
            None => elsewhere(Leadership::default()),
        }
    }
}

/// Whether a call is for a role.
fn may(role: Role, path: &str) -> bool {
    let about_itself = path == LEADER || path.starts_with(ENROLMENT);
    let services = [METADATA, ACCOUNTS, USAGES];
    let service = services.iter().any(|prefix| path.starts_with(prefix));
    match role {
        Role::Metadata => !path.starts_with(MEMBERS),
        Role::Gateway => about_itself || service || path.starts_with(UPKEEP),
        Role::Storage => about_itself || path.starts_with(UPKEEP),
        Role::Operator => path == LEADER || path.starts_with(MEMBERS),
        Role::Joiner => about_itself,
        _ => false,
    }
}

impl Service for Front {
    fn handle(self: Arc<Self>, caller: Identity, request: Request) -> BoxFuture<'static, Answer> {
        async move { self.answer(caller, request).await }.boxed()
    }
}

async fn serve(
    registrar: &Arc<Registrar>,
    caller: Identity,
    path: &str,
    body: &[u8],
    removed: &Removed,
) -> Answer {
    let server: &Arc<Server<Arc<Node>>> = registrar.server();
    let node = server.log();
    if path == LEADER {
        let known = codec::decode(body).unwrap_or_default();
        let now = node.leadership_after(known, TOLD_EVERY).await;
        let (version, servers) = node.membership();
        let told = Told {
            term: now.term,
            leader: now.leader,
            version,
            servers,
            storage: registrar.storage(),
            removed: removed.all().into_iter().collect(),
        };
        return answer(StatusCode::OK, codec::encode(&told));
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
    let enrolling = Enrolling {
        registrar: Arc::clone(registrar),
        caller,
    };
    let answered = if let Some(name) = path.strip_prefix(METADATA) {
        answer_metadata(&**server as &dyn Metadata, name, body)
    } else if let Some(name) = path.strip_prefix(ACCOUNTS) {
        answer_accounts(&**server as &dyn Accounts, name, body)
    } else if let Some(name) = path.strip_prefix(USAGES) {
        answer_usages(&**server as &dyn Usages, name, body)
    } else if let Some(name) = path.strip_prefix(UPKEEP) {
        let of_all = &**server as &dyn Upkeep;
        answer_upkeep(own.as_ref().map_or(of_all, |own| own), name, body)
    } else if let Some(name) = path.strip_prefix(MEMBERS) {
        answer_members(&**registrar, name, body)
    } else if let Some(name) = path.strip_prefix(ENROLMENT) {
        answer_enrolment(&enrolling, name, body)
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
