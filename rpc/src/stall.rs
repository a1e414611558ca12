//! A connection whose writes must make progress.
//!
//! A client that stops reading, or reads a little now and then, would otherwise hold its answer's buffers,
//! which are paid for out of the memory budget, for ever: hyper does not poll a body while the socket takes
//! no more. So an answer must be read at the [`Pace`] at which a request's body must be sent.

use crate::pace::Pace;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use types::size::ByteCount;

/// A connection with a bound on how long its writes may wait.
pub struct Moving<T> {
    inner: T,
    pace: Pace,
}

impl<T> Moving<T> {
    /// Writes to `inner` must keep `pace`.
    pub fn new(inner: T, pace: Pace) -> Self {
        Self { inner, pace }
    }

    fn wrote(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let bytes = match &polled {
            Poll::Ready(Ok(written)) => ByteCount::new(*written as u64),
            _ => ByteCount::ZERO,
        };
        self.bound(cx, polled, bytes)
    }

    fn bound<R>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<R>>,
        moved: ByteCount,
    ) -> Poll<io::Result<R>> {
        if polled.is_ready() {
            self.pace.moved(moved);
            return polled;
        }
        ready!(self.pace.wait(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Moving<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Moving<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.wrote(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.wrote(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(cx);
        self.bound(cx, polled, ByteCount::ZERO)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.bound(cx, polled, ByteCount::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn moving<T>(inner: T) -> Moving<T> {
        let pace = Pace::new(Duration::from_secs(60), ByteCount::new(8));
        Moving::new(inner, pace)
    }

    /// A peer that keeps its rate is served, however long it takes; one that stops is given up.
    /// Method: a pipe of 8 bytes, of which 8 a minute must be read; time is simulated.
    #[tokio::test(start_paused = true)]
    async fn who_stops_reading_is_given_up() {
        let (ours, mut theirs) = tokio::io::duplex(8);
        let mut ours = moving(ours);
        let reader = tokio::spawn(async move {
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_secs(59)).await;
                let mut piece = [0; 8];
                theirs.read_exact(&mut piece).await.expect("sent");
            }
            theirs
        });
        ours.write_all(&[1; 32]).await.expect("it moves");
        let theirs = reader.await.expect("reads");
        let stuck = ours.write_all(&[1; 32]).await.expect_err("it stands");
        assert_eq!(stuck.kind(), io::ErrorKind::TimedOut);
        drop(theirs);
    }
    /// A peer that trickles is given up like one that stops.
    /// Method: the same pipe, a byte whenever ten seconds have passed.
    #[tokio::test(start_paused = true)]
    async fn who_trickles_is_given_up() {
        let (ours, mut theirs) = tokio::io::duplex(8);
        let mut ours = moving(ours);
        let reader = tokio::spawn(async move {
            let mut read = 0;
            loop {
                tokio::time::sleep(Duration::from_secs(10)).await;
                match theirs.read(&mut [0]).await {
                    Ok(1..) => read += 1,
                    _ => return read,
                }
            }
        });
        let stuck = ours.write_all(&[1; 64]).await.expect_err("it trickles");
        assert_eq!(stuck.kind(), io::ErrorKind::TimedOut);
        drop(ours);
        let read = reader.await.expect("reads");
        assert!((8..=24).contains(&read), "{read} bytes were read");
    }
}
