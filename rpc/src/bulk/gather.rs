//! A body that is read whole, into one buffer of its length.

use crate::pace::Pace;
use bytes::{Bytes, BytesMut};
use http_body::Body;
use hyper::body::Incoming;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// Why a body is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatherError {
    /// It does not say how long it is.
    #[error("the body does not say how long it is")]
    NoLength,
    /// It is longer than it may be.
    #[error("the body has {0} bytes, which are too many")]
    TooLong(u64),
    /// It came too slowly.
    #[error("the body comes too slowly")]
    TooSlow,
    /// It broke off.
    #[error("reading the body")]
    Broken(#[from] hyper::Error),
}

/// How long a body says that it is, if that is allowed.
///
/// # Errors
/// When it does not say, or is longer than `longest`.
pub fn length(body: &Incoming, longest: usize) -> Result<usize, GatherError> {
    let length = body.size_hint().exact().ok_or(GatherError::NoLength)?;
    let allowed = usize::try_from(length).ok().filter(|n| *n <= longest);
    allowed.ok_or(GatherError::TooLong(length))
}

/// Reads a body of at most `longest` bytes, which must keep `pace` if there is one to keep.
///
/// # Errors
/// When it is not wholly there; what came is thrown away.
pub async fn gather(
    mut body: Incoming,
    longest: usize,
    mut pace: Option<Pace>,
) -> Result<Bytes, GatherError> {
    let length = length(&body, longest)?;
    let mut gathered = BytesMut::new();
    loop {
        let frame = poll_fn(|cx| {
            if let Poll::Ready(frame) = Pin::new(&mut body).poll_frame(cx) {
                return Poll::Ready(Ok(frame));
            }
            match &mut pace {
                Some(pace) => pace.wait(cx).map(|()| Err(GatherError::TooSlow)),
                None => Poll::Pending,
            }
        });
        // hyper holds the sender to its length: the end comes behind that many bytes, or as an error.
        let Some(frame) = frame.await? else {
            return Ok(gathered.freeze());
        };
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        if let Some(pace) = &mut pace {
            pace.moved(types::ByteCount::of(&data));
        }
        if data.len() == length {
            // All of it in one piece: there is nothing to join.
            return Ok(data);
        }
        if gathered.is_empty() {
            gathered.reserve(length);
        }
        gathered.extend_from_slice(&data);
    }
}
