//! One metadata server of several: its log, the service on top, and the socket on which both are called.

use crate::front::{ADMITTED, Front};
use crate::raft::{InitializeError, Network, Node, NodeConfig, StartError};
use crate::server::registrar::{Office, Registrar};
use crate::slot::Slot;
use crate::store::{Opened, Sled, Store, StoreError};
use crate::{Keyring, Server, ServerConfig};
use ca::Credentials;
use disk::Disk;
use rpc::{AddressBook, Addresses, Listener};
use seal::Provider;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use types::{ClusterId, NodeId};

/// What a replica is started with.
#[derive(Clone)]
pub struct ReplicaConfig {
    /// How it takes part in Raft.
    pub raft: NodeConfig,
    /// How it serves.
    pub service: ServerConfig,
    /// Of which cluster.
    pub cluster: ClusterId,
    /// Its own certificate.
    pub credentials: Credentials,
    /// Where they listen.
    pub addresses: Arc<dyn Addresses>,
    /// Where it notes its own address.
    pub book: AddressBook,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where it caches its rows.
    pub store: PathBuf,
    /// How much of them it keeps in memory.
    pub cache: Sled,
    /// Its keys.
    pub slot: Slot,
    /// Who seals.
    pub provider: Arc<dyn Provider>,
    /// How servers join; none: otherwise.
    pub office: Option<Arc<Office>>,
}

/// Why a replica does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicaError {
    /// Its log cannot be opened.
    #[error("opening the log's folder")]
    Disk(#[source] io::Error),
    /// Its cache cannot be opened.
    #[error("opening the cache")]
    Store(#[from] StoreError),
    /// Its certificate cannot be used.
    #[error("using its certificate")]
    Tls(#[from] rustls::Error),
    /// It cannot listen.
    #[error("listening on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Raft does not start.
    #[error("starting Raft")]
    Raft(#[from] StartError),
}

/// A running replica.
pub struct Replica {
    server: Arc<Server<Arc<Node>>>,
    registrar: Arc<Registrar>,
    front: Arc<Front>,
    listener: Listener,
}

impl Replica {
    /// Starts it over a disk that holds its log. Until the cluster was begun on one of them, nobody leads.
    ///
    /// # Errors
    /// When its socket, cache or log cannot be used.
    pub async fn start(config: ReplicaConfig, log: Arc<dyn Disk>) -> Result<Self, ReplicaError> {
        let node = config.raft.node;
        let network = Network::wire(
            &config.credentials,
            config.cluster,
            &config.addresses,
            &config.book,
        )?;
        let (store, opened) = Store::open_with(&config.cache, &config.store)?;
        if let Opened::Rebuilt { reason } = &opened {
            tracing::warn!(%node, "the metadata cache is made anew from snapshot and log: {reason}");
        }
        let front = Front::new(&network, config.credentials.removed());
        let tls = config.credentials.server(ADMITTED)?;
        let listening = Listener::bind(config.listen, tls, front.clone()).await;
        let listener = listening.map_err(|source| ReplicaError::Listen {
            address: config.listen,
            source,
        })?;
        // Now: who has lost its state is sent it before it takes part.
        config.book.set(node, listener.address());
        let raft = Node::start(
            config.raft,
            Arc::new(store),
            log,
            Arc::clone(&config.provider),
            config.slot.storage,
            &network,
        );
        let raft = Arc::new(raft.await?);
        let keys = Keyring::new(config.provider, config.slot.rings);
        let server = Server::start(raft, keys, config.service);
        let removed = config.credentials.removed();
        let registrar = Registrar::start(Arc::clone(&server), config.office, removed);
        front.serve(Some(Arc::clone(&registrar)));
        Ok(Self {
            server,
            registrar,
            front,
            listener,
        })
    }

    /// Its service.
    pub fn server(&self) -> &Arc<Server<Arc<Node>>> {
        &self.server
    }

    /// Where it listens, port chosen.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// How others join by it.
    pub fn registrar(&self) -> &Arc<Registrar> {
        &self.registrar
    }

    /// Its part in Raft.
    pub fn node(&self) -> &Node {
        self.server.log()
    }

    /// Begins a cluster of this server alone, once in its life; others reach it at this address.
    ///
    /// # Errors
    /// When it has stopped.
    pub async fn begin_alone(&self, address: SocketAddr) -> Result<(), InitializeError> {
        let own = [(self.node().id(), address.to_string())];
        self.node().initialize(own).await
    }

    /// Begins the cluster with these voters, on one of them, once in its life.
    ///
    /// # Errors
    /// When this one is not among them, or has stopped.
    pub async fn begin(&self, voters: &[NodeId]) -> Result<(), InitializeError> {
        // The process knows where each listens; what is stored is a name.
        let named = |node: &NodeId| (*node, format!("metadata-{}", node.get()));
        self.node().initialize(voters.iter().map(named)).await
    }

    /// Answers no more calls, then stops every part.
    pub async fn stop(&self) {
        self.front.serve(None);
        self.listener.close().await;
        self.server.shutdown().await;
        self.node().shutdown().await;
    }
}
