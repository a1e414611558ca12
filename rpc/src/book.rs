//! Where servers listen at the moment, and how bytes get there: over TCP, unless somebody has another way.

use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use types::NodeId;

/// A connection, before TLS.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// Tells where a server listens. It is asked at each attempt to connect.
pub trait Addresses: Send + Sync + 'static {
    /// The server's address, if it has one now.
    fn of(&self, node: NodeId) -> Option<SocketAddr>;

    /// Connects to the server.
    fn connect(&self, node: NodeId) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        let address = self.of(node);
        async move {
            let address = address.ok_or_else(|| io::Error::other("nobody knows its address"))?;
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            Ok(Box::new(socket) as Box<dyn Stream>)
        }
        .boxed()
    }
}

/// The addresses of servers that one process knows of: a server that starts writes its own.
#[derive(Clone, Default)]
pub struct AddressBook(Arc<RwLock<BTreeMap<NodeId, SocketAddr>>>);

impl AddressBook {
    /// Notes where a server listens from now on.
    pub fn set(&self, node: NodeId, address: SocketAddr) {
        let mut book = self.0.write().unwrap_or_else(PoisonError::into_inner);
        book.insert(node, address);
    }
}

impl Addresses for AddressBook {
    fn of(&self, node: NodeId) -> Option<SocketAddr> {
        let book = self.0.read().unwrap_or_else(PoisonError::into_inner);
        book.get(&node).copied()
    }
}

/// Where servers listen: as was said at first, else as they tell. Networks differ, so what was said goes before.
pub struct Places {
    said: Arc<dyn Addresses>,
    told: AddressBook,
}

impl Places {
    /// Looks into the one, then into the other.
    pub fn new(said: Arc<dyn Addresses>, told: AddressBook) -> Self {
        Self { said, told }
    }
}

impl Addresses for Places {
    fn of(&self, node: NodeId) -> Option<SocketAddr> {
        self.said.of(node).or_else(|| self.told.of(node))
    }

    fn connect(&self, node: NodeId) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        let only_told = self.said.of(node).is_none() && self.told.of(node).is_some();
        if only_told {
            self.told.connect(node)
        } else {
            self.said.connect(node)
        }
    }
}
