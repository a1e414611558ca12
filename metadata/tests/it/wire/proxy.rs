//! Proxies between the servers: one for each pair and direction, which a test can cut.

use rpc::{AddressBook, Addresses};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use types::NodeId;

/// The wires among servers.
#[derive(Clone)]
pub(crate) struct Proxies {
    runtime: Handle,
    book: AddressBook,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    doors: BTreeMap<(NodeId, NodeId), SocketAddr>,
    cut_off: BTreeSet<NodeId>,
    /// Connections by the two ends. Dropped, they are cut.
    open: BTreeMap<(NodeId, NodeId), JoinSet<()>>,
}

impl Proxies {
    pub(crate) fn new(runtime: Handle, book: AddressBook) -> Self {
        Self {
            runtime,
            book,
            state: Arc::default(),
        }
    }

    /// The addresses as one server sees them.
    pub(crate) fn seen_by(&self, from: NodeId) -> Seen {
        Seen {
            proxies: self.clone(),
            from,
        }
    }

    /// Cuts a server off from the others, in both directions, or connects it again.
    pub(crate) fn cut_off(&self, server: NodeId, cut_off: bool) {
        let mut state = self.state.lock().unwrap();
        if cut_off {
            state.cut_off.insert(server);
            state
                .open
                .retain(|(from, to), _| *from != server && *to != server);
        } else {
            state.cut_off.remove(&server);
        }
    }

    fn door(&self, from: NodeId, to: NodeId) -> SocketAddr {
        let mut state = self.state.lock().unwrap();
        if let Some(door) = state.doors.get(&(from, to)) {
            return *door;
        }
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let door = socket.local_addr().unwrap();
        state.doors.insert((from, to), door);
        let proxies = self.clone();
        self.runtime.spawn(async move {
            let socket = TcpListener::from_std(socket).unwrap();
            while let Ok((stream, _)) = socket.accept().await {
                proxies.connect(stream, from, to);
            }
        });
        door
    }

    fn connect(&self, mut stream: TcpStream, from: NodeId, to: NodeId) {
        let mut state = self.state.lock().unwrap();
        if state.cut_off.contains(&from) || state.cut_off.contains(&to) {
            return;
        }
        let Some(address) = self.book.of(to) else {
            return;
        };
        let open = state.open.entry((from, to)).or_default();
        let pump = async move {
            if let Ok(mut peer) = TcpStream::connect(address).await {
                stream.set_nodelay(true).ok();
                peer.set_nodelay(true).ok();
                tokio::io::copy_bidirectional(&mut stream, &mut peer)
                    .await
                    .ok();
            }
        };
        open.spawn_on(pump, &self.runtime);
    }
}

pub(crate) struct Seen {
    proxies: Proxies,
    from: NodeId,
}

impl Addresses for Seen {
    fn of(&self, node: NodeId) -> Option<SocketAddr> {
        Some(self.proxies.door(self.from, node))
    }
}
