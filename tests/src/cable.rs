//! The cable of one server, which may be cut: nothing arrives at either end, and nobody is told.
//!
//! ```text
//! others ──► address ──┐          ┌──► server
//!                      ├─ Cable ──┤               whole: bytes pass, either way
//! others ◄─────────────┘          └─── address ◄── server
//! ```
//!
//! While it is cut, bytes are held: there is no reset, no end and no refusal. What is under way arrives once it is
//! whole again, as TCP would send it again. Connections that are begun meanwhile are begun for their caller, and
//! nobody speaks on them.

use anyhow::Result;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes that are carried at once.
const PIECE: usize = 64 << 10;

/// A cable; clones are the same. Its threads end with the test's process.
#[derive(Clone, Debug, Default)]
pub struct Cable(Arc<State>);

#[derive(Debug, Default)]
struct State {
    cut: Mutex<bool>,
    healed: Condvar,
}

impl Cable {
    /// An address that leads through it to a server, which listens there now or later.
    pub fn to(&self, server: SocketAddr) -> Result<SocketAddr> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let state = Arc::clone(&self.0);
        std::thread::spawn(move || {
            for caller in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&state);
                // One that cannot reach its server is closed, as the kernel would.
                std::thread::spawn(move || state.carry(caller, server));
            }
        });
        Ok(address)
    }

    /// Nothing passes from now on.
    pub fn cut(&self) {
        *self.0.lock() = true;
    }

    /// Everything passes again, first what was held.
    pub fn heal(&self) {
        *self.0.lock() = false;
        self.0.healed.notify_all();
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn carry(self: Arc<Self>, caller: TcpStream, server: SocketAddr) -> io::Result<()> {
        self.pass();
        let server = TcpStream::connect(server)?;
        for end in [&caller, &server] {
            end.set_nodelay(true)?;
        }
        let (back, far) = (caller.try_clone()?, server.try_clone()?);
        let state = Arc::clone(&self);
        std::thread::spawn(move || state.pour(far, back));
        self.pour(caller, server);
        Ok(())
    }

    /// Carries bytes one way, and then their end.
    fn pour(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut bytes = vec![0; PIECE];
        loop {
            let count = from.read(&mut bytes).unwrap_or(0);
            self.pass();
            if count == 0 || to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        // Who closed it already is not told again.
        let _ = to.shutdown(Shutdown::Write);
        let _ = from.shutdown(Shutdown::Read);
    }

    /// Waits while it is cut.
    fn pass(&self) {
        let mut cut = self.lock();
        while *cut {
            cut = self
                .healed
                .wait(cut)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// What is sent into a cut cable arrives when it is whole, and until then the end hears nothing.
    #[test]
    fn a_cut_is_silent() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let cable = Cable::default();
        let address = cable.to(server.local_addr().unwrap()).unwrap();
        let mut caller = TcpStream::connect(address).unwrap();
        let (mut end, _) = server.accept().unwrap();
        let mut heard = [0; 3];
        caller.write_all(b"one").unwrap();
        end.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"one");
        cable.cut();
        caller.write_all(b"two").unwrap();
        caller.shutdown(Shutdown::Write).unwrap();
        end.set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let silence = end.read(&mut heard).unwrap_err().kind();
        assert_eq!(silence, io::ErrorKind::WouldBlock);
        cable.heal();
        end.set_read_timeout(None).unwrap();
        let mut rest = Vec::new();
        end.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"two");
    }
}
