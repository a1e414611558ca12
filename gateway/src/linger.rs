//! A connection that lets its last answer arrive.
//!
//! An upload that is refused is answered before its body was read. A socket that is closed over unread
//! bytes resets the connection, and the reset takes the answer with it: the client sees a broken pipe
//! where it should see a 403. So when the server has said its last word, what still comes is read and
//! thrown away for a moment, until the client closes.
//!
//! ```text
//! answer written -> no more writes (FIN) -> reads thrown away -> closed
//!                                           at most LONGEST and MOST
//! ```

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// A client that reads has noticed by then.
const LONGEST: Duration = Duration::from_secs(1);
/// Several times what two sockets and a client's chunk hold.
const MOST: usize = 8 << 20;
const PIECE: usize = 16 << 10;

/// A connection that is not closed over what the peer is sending.
pub(crate) struct Lingering<T> {
    inner: T,
    /// Since the writing side was closed: how long it lingers on, and what was thrown away.
    lingering: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<T> Lingering<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self {
            inner,
            lingering: None,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Lingering<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
        }
        let (end, thrown) = this
            .lingering
            .get_or_insert_with(|| (Box::pin(tokio::time::sleep(LONGEST)), 0));
        let mut piece = [0; PIECE];
        while *thrown < MOST && end.as_mut().poll(cx).is_pending() {
            let mut piece = ReadBuf::new(&mut piece);
            match ready!(Pin::new(&mut this.inner).poll_read(cx, &mut piece)) {
                Ok(()) if !piece.filled().is_empty() => *thrown += piece.filled().len(),
                // The peer is done, with or without a proper end: so are we.
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Who is still sending when the last answer comes can send on and read it; who never stops is cut.
    /// Method: a pipe of 64 bytes; time is simulated.
    #[tokio::test(start_paused = true)]
    async fn the_last_answer_arrives() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut ours = Lingering::new(ours);
        let client = tokio::spawn(async move {
            theirs.write_all(&[1; 100_000]).await.expect("all of it");
            let mut answer = String::new();
            theirs.read_to_string(&mut answer).await.expect("an answer");
            answer
        });
        ours.write_all(b"403").await.expect("written");
        ours.shutdown().await.expect("closed");
        drop(ours);
        assert_eq!(client.await.expect("no panic"), "403");

        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut ours = Lingering::new(ours);
        let endless =
            tokio::spawn(async move { while theirs.write_all(&[1; 64]).await.is_ok() {} });
        ours.shutdown().await.expect("closed");
        drop(ours);
        endless.await.expect("it was cut");

        let (ours, silent) = tokio::io::duplex(64);
        let begun = tokio::time::Instant::now();
        Lingering::new(ours).shutdown().await.expect("closed");
        assert!(begun.elapsed() <= LONGEST + Duration::from_millis(10));
        drop(silent);
    }
}
