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
