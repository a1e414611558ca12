//! A request's body on its way in: it must keep moving, be framed as it should, and passes in pieces
//! that are worth it.
//!
//! Nothing is read before somebody asks: hyper answers `Expect: 100-continue` at the first poll, so a
//! request that is refused never has its body sent.

use crate::framing::{BadFraming, Framing};
use crate::gather::Gather;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use rpc::Pace;
use s3s::StdError;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use types::size::ByteCount;

/// A body stood still for too long, or came too slowly.
#[derive(Debug, thiserror::Error)]
#[error("the request's body came too slowly")]
pub(crate) struct Stalled;

/// A request's body with a bound on how slowly it may come.
pub(crate) struct Ingress {
    inner: Incoming,
    pace: Pace,
    /// Of a body in aws-chunks.
    framing: Option<Framing>,
    gather: Gather,
}

impl Ingress {
    /// Wraps `inner`, which must keep `pace` and be framed as `framing` has it.
    pub(crate) fn new(inner: Incoming, pace: Pace, framing: Option<Framing>) -> Self {
        Self {
            inner,
            pace,
            framing,
            gather: Gather::default(),
        }
    }

    /// The body's next piece as it comes, however small.
    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if polled.is_pending() {
            ready!(self.pace.wait(cx));
            return Poll::Ready(Some(Err(Box::new(Stalled))));
        }
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let data = frame.data_ref();
            self.pace
                .moved(data.map_or(ByteCount::ZERO, |data| ByteCount::of(data)));
        }
        polled.map_err(StdError::from)
    }

    /// What is left once the body has ended: its last small pieces, and whether it may end.
    fn end(&mut self) -> Option<Result<Frame<Bytes>, StdError>> {
        if let Some(rest) = self.gather.rest() {
            return Some(Ok(Frame::data(rest)));
        }
        let framing = self.framing.take()?;
        framing.end().err().map(|error| Err(error.into()))
    }

    /// Looks at what came.
    fn inspect(&mut self, data: &[u8]) -> Result<(), BadFraming> {
        metrics::counter!("strongroom_gateway_received_bytes_total").increment(data.len() as u64);
        match &mut self.framing {
            Some(framing) => framing.pass(data),
            None => Ok(()),
        }
    }
}

impl Body for Ingress {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        loop {
            if let Some(piece) = self.gather.next() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            let data = match ready!(self.poll_inner(cx)) {
                // HTTP's own trailers say nothing in S3.
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(self.end()),
            };
            if let Err(error) = self.inspect(&data) {
                return Poll::Ready(Some(Err(Box::new(error))));
            }
            self.gather.add(data);
        }
    }

    fn is_end_stream(&self) -> bool {
        self.gather.held() == 0 && self.framing.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.gather.held() as u64;
        let inner = self.inner.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + held);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + held);
        }
        hint
    }
}
