//! Pipes in place of sockets, for the servers' own stack: HTTP/2 over mutual TLS, and the way in which a gateway
//! looks for the leader, as shipped. What a pipe carries is slow at times, a pipe breaks at times, and one
//! whose end is cut off carries nothing and says nothing.

use crate::bay::lock;
use crate::wires::{End, Wires};
use futures::FutureExt;
use futures::future::BoxFuture;
use rpc::{Addresses, Door, Stream};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::mpsc;
use types::NodeId;

/// What fits into a pipe.
const ROOM: usize = 256 << 10;

/// Where servers can be reached.
pub(crate) struct Pipes {
    wires: Arc<Wires>,
    doors: Mutex<BTreeMap<NodeId, mpsc::UnboundedSender<DuplexStream>>>,
}

impl Pipes {
    pub(crate) fn new(wires: Arc<Wires>) -> Arc<Self> {
        let doors = Mutex::default();
        Arc::new(Self { wires, doors })
    }

    /// Opens a server's door; one that was open before takes no more.
    pub(crate) fn door(&self, server: NodeId) -> impl Door {
        let (sender, arriving) = mpsc::unbounded_channel();
        lock(&self.doors).insert(server, sender);
        Arrivals(tokio::sync::Mutex::new(arriving))
    }

    /// The servers as somebody reaches them.
    pub(crate) fn seen_by(self: &Arc<Self>, from: End) -> Arc<dyn Addresses> {
        let pipes = Arc::clone(self);
        Arc::new(Seen { pipes, from })
    }

    async fn connect(&self, from: End, server: NodeId) -> io::Result<Box<dyn Stream>> {
        let to = End::Metadata(server.get());
        self.wires.flow(from, to).await?;
        let (near, ours) = duplex(ROOM);
        let (far, theirs) = duplex(ROOM);
        let door = lock(&self.doors).get(&server).cloned();
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let door = door.ok_or_else(refused)?;
        door.send(far).map_err(|_| refused())?;
        let wires = Arc::clone(&self.wires);
        tokio::spawn(async move {
            let ((from_near, to_near), (from_far, to_far)) = (split(ours), split(theirs));
            tokio::select! {
                () = carry(&wires, from, to, from_near, to_far) => {}
                () = carry(&wires, to, from, from_far, to_near) => {}
            }
        });
        Ok(Box::new(near))
    }
}

/// Carries bytes one way until the pipe breaks or its beginning is closed.
async fn carry(
    wires: &Wires,
    from: End,
    to: End,
    mut source: ReadHalf<DuplexStream>,
    mut sink: WriteHalf<DuplexStream>,
) {
    let mut bytes = vec![0; ROOM];
    while let Ok(count) = source.read(&mut bytes).await
        && count > 0
        && wires.flow(from, to).await.is_ok()
        && sink.write_all(&bytes[..count]).await.is_ok()
    {}
}

struct Seen {
    pipes: Arc<Pipes>,
    from: End,
}

impl Addresses for Seen {
    fn of(&self, _node: NodeId) -> Option<SocketAddr> {
        None
    }

    fn connect(&self, node: NodeId) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        let (pipes, from) = (Arc::clone(&self.pipes), self.from);
        async move { pipes.connect(from, node).await }.boxed()
    }
}

struct Arrivals(tokio::sync::Mutex<mpsc::UnboundedReceiver<DuplexStream>>);

impl Door for Arrivals {
    fn accept(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        async move {
            match self.0.lock().await.recv().await {
                Some(stream) => Ok(Box::new(stream) as Box<dyn Stream>),
                // Another door was opened in its place.
                None => std::future::pending().await,
            }
        }
        .boxed()
    }
}
