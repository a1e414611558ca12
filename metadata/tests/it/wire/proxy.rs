//! Proxies between the servers: one for each pair and direction, which a test can cut, and count.

use rpc::{AddressBook, Addresses};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
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
    /// What flows to each server.
    flows: BTreeMap<NodeId, Arc<Flow>>,
    /// Connections by the two ends. Dropped, they are cut.
    open: BTreeMap<(NodeId, NodeId), JoinSet<()>>,
}

/// What flows to one server.
pub(crate) struct Flow {
    bytes: AtomicU64,
    /// When so many have flown, that connection breaks.
    breaks_at: AtomicU64,
}

impl Flow {
    /// Bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::SeqCst)
    }

    /// The connection breaks through which this byte flows.
    pub(crate) fn break_at(&self, bytes: u64) {
        self.breaks_at.store(bytes, Ordering::SeqCst);
    }

    /// Whether that is still to come.
    pub(crate) fn is_whole(&self) -> bool {
        self.breaks_at.load(Ordering::SeqCst) != u64::MAX
    }

    /// Lets bytes flow until the connection ends, or breaks.
    async fn pass(&self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let mut piece = vec![0; 16 << 10];
        while let Ok(length @ 1..) = from.read(&mut piece).await {
            let bytes = self.bytes.fetch_add(length as u64, Ordering::SeqCst);
            if bytes + length as u64 >= self.breaks_at.load(Ordering::SeqCst) {
                self.break_at(u64::MAX);
                return;
            }
            if to.write_all(&piece[..length]).await.is_err() {
                return;
            }
        }
    }
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

    /// What flows to a server, from now on counted.
    pub(crate) fn flow(&self, to: NodeId) -> Arc<Flow> {
        let flow = || {
            Arc::new(Flow {
                bytes: AtomicU64::new(0),
                breaks_at: AtomicU64::new(u64::MAX),
            })
        };
        let mut state = self.state.lock().unwrap();
        Arc::clone(state.flows.entry(to).or_insert_with(flow))
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
        let flow = self.flow(to);
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
                let ((read, mut write), (back, on)) = (stream.split(), peer.split());
                let mut back = BufReader::new(back);
                tokio::select! {
                    () = flow.pass(read, on) => {}
                    _ = tokio::io::copy_buf(&mut back, &mut write) => {}
                }
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
