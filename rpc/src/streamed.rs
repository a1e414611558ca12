//! A body that is made while it is sent: parts, each behind its length, and an end that says that it is one.
//!
//! ```text
//! (u32 length, big-endian ‖ part)* ‖ u32 zero
//! ```
//!
//! The zero tells a body that is whole from one whose sender gave up.

use crate::Body;
use bytes::{Buf, Bytes, BytesMut};
use futures::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use std::io;
use tokio::sync::mpsc;

/// Parts that wait to be sent.
const AHEAD: usize = 2;
const LENGTH: usize = 4;

/// Where the parts go.
pub struct Parts(mpsc::Sender<Bytes>);

/// Nobody takes the parts any more.
#[derive(Debug, thiserror::Error)]
#[error("the peer takes no more of it")]
pub struct Hungup;

/// A body, and where its parts go.
pub fn streamed() -> (Parts, Body) {
    let (sender, receiver) = mpsc::channel::<Bytes>(AHEAD);
    let frames = stream::unfold(receiver, |mut receiver| async {
        let bytes = receiver.recv().await?;
        Some((Ok::<_, io::Error>(Frame::data(bytes)), receiver))
    });
    (Parts(sender), StreamBody::new(frames).boxed_unsync())
}

impl Parts {
    /// Sends a part that is not empty.
    ///
    /// # Errors
    /// When the call has ended.
    ///
    /// # Panics
    /// When the part is empty, or has 4 GiB.
    pub async fn send(&self, part: &[u8]) -> Result<(), Hungup> {
        assert!(!part.is_empty(), "an empty part is the end");
        let length = u32::try_from(part.len()).expect("parts are far below 4 GiB");
        let mut bytes = BytesMut::with_capacity(LENGTH + part.len());
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(part);
        self.0.send(bytes.freeze()).await.map_err(|_| Hungup)
    }

    /// Says that these were all.
    ///
    /// # Errors
    /// When the call has ended.
    pub async fn finish(self) -> Result<(), Hungup> {
        let end = Bytes::from_static(&[0; LENGTH]);
        self.0.send(end).await.map_err(|_| Hungup)
    }
}

/// Why the next part cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartError {
    /// The sender gave up.
    #[error("the body ends before its end")]
    Short,
    /// A part is longer than it may be.
    #[error("a part of {0} bytes is too long")]
    TooLong(usize),
    /// The connection broke.
    #[error("reading the body")]
    Broken(#[from] hyper::Error),
}

/// Reads the parts of a body.
pub struct PartReader {
    body: Incoming,
    read: BytesMut,
    longest: usize,
}

impl PartReader {
    /// Begins to read; no part may be longer than `longest`.
    pub fn new(body: Incoming, longest: usize) -> Self {
        Self {
            body,
            read: BytesMut::new(),
            longest,
        }
    }

    /// The next part; none behind the last.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn next(&mut self) -> Result<Option<Bytes>, PartError> {
        self.fill(LENGTH).await?;
        let length = self.read.get_u32() as usize;
        if length == 0 {
            return Ok(None);
        }
        if length > self.longest {
            return Err(PartError::TooLong(length));
        }
        self.fill(length).await?;
        Ok(Some(self.read.split_to(length).freeze()))
    }

    async fn fill(&mut self, length: usize) -> Result<(), PartError> {
        while self.read.len() < length {
            let frame = self.body.frame().await.ok_or(PartError::Short)??;
            if let Ok(data) = frame.into_data() {
                self.read.extend_from_slice(&data);
            }
        }
        Ok(())
    }
}
