//! Where servers listen at the moment.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use types::NodeId;

/// Tells where a server listens. It is asked at each attempt to connect.
pub trait Addresses: Send + Sync + 'static {
    /// The server's address, if it has one now.
    fn of(&self, node: NodeId) -> Option<SocketAddr>;
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
