//! A node as it is asked directly, and as it is asked over the wire: what holds of one holds of the other.

use crate::world::{CLUSTER, NODE};
use ca::{Authority, Credentials, Identity, Role};
use client::RemoteNode;
use rpc::bulk::PoolLimits;
use rpc::{AddressBook, Addresses};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;
use strongroom_storage_node::{Node, ServeLimits, ShardServer};
use types::wire::{Scrubs, ShardStore};
use types::{ClusterId, NodeId};

pub(crate) const GATEWAY: NodeId = NodeId::new(40);

/// How a node is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By function calls.
    Direct,
    /// Over loopback, with mutual TLS.
    Wire,
}

impl Way {
    pub(crate) const BOTH: [Self; 2] = [Self::Direct, Self::Wire];

    /// The face of a node.
    pub(crate) async fn to(self, node: Node) -> Face {
        let node = Arc::new(node);
        match self {
            Self::Direct => Face {
                shards: Arc::clone(&node) as Arc<dyn ShardStore>,
                node,
                server: None,
            },
            Self::Wire => {
                let office = Office::new();
                let server = office.serve(Arc::clone(&node) as _, ServeLimits::default());
                let server = server.await;
                let gateway = office.gateway();
                let shards = office.caller(&gateway, &server, PoolLimits::default());
                Face {
                    shards: Arc::new(shards),
                    node,
                    server: Some(server),
                }
            }
        }
    }
}

/// A node, and the service through which it is asked.
pub(crate) struct Face {
    shards: Arc<dyn ShardStore>,
    pub(crate) node: Arc<Node>,
    server: Option<ShardServer>,
}

impl Deref for Face {
    type Target = dyn ShardStore;

    fn deref(&self) -> &Self::Target {
        &*self.shards
    }
}

impl Face {
    /// The service.
    pub(crate) fn shards(&self) -> Arc<dyn ShardStore> {
        Arc::clone(&self.shards)
    }

    /// Ends both.
    pub(crate) async fn shutdown(&self) {
        if let Some(server) = &self.server {
            server.shutdown().await;
        }
        self.node.shutdown().await;
    }
}

/// The authority of a cluster.
pub(crate) struct Office {
    authority: Authority,
}

impl Office {
    pub(crate) fn new() -> Self {
        Self {
            authority: Authority::load(&Authority::make().unwrap()).unwrap(),
        }
    }

    /// A server's certificate.
    pub(crate) fn of(&self, cluster: ClusterId, role: Role, node: NodeId) -> Credentials {
        let identity = Identity::server(cluster, role, node);
        self.authority.credentials(&identity, &[]).unwrap()
    }

    pub(crate) fn gateway(&self) -> Credentials {
        self.of(CLUSTER, Role::Gateway, GATEWAY)
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Serves shards as [`NODE`].
    pub(crate) async fn serve(
        &self,
        shards: Arc<dyn ShardStore>,
        limits: ServeLimits,
    ) -> ShardServer {
        let own = self.of(CLUSTER, Role::Storage, NODE);
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        ShardServer::start(anywhere, &own, shards, limits)
            .await
            .unwrap()
    }

    /// The same, and the scrub of the disks, as any node.
    pub(crate) async fn serve_with_scrubs(
        &self,
        node: NodeId,
        shards: Arc<dyn ShardStore>,
        scrubs: Arc<dyn Scrubs>,
    ) -> ShardServer {
        let own = self.of(CLUSTER, Role::Storage, node);
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let limits = ServeLimits::default();
        ShardServer::start_with_scrubs(anywhere, &own, shards, scrubs, limits)
            .await
            .unwrap()
    }

    /// A caller of that server.
    pub(crate) fn caller(
        &self,
        credentials: &Credentials,
        server: &ShardServer,
        limits: PoolLimits,
    ) -> RemoteNode {
        let book = AddressBook::default();
        book.set(NODE, server.address());
        let addresses: Arc<dyn Addresses> = Arc::new(book);
        RemoteNode::new(credentials, CLUSTER, NODE, addresses, limits).unwrap()
    }
}
