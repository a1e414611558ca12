//! An extent that is being read: one blob, its key, and where its chunks are.

use crate::error::GetError;
use crate::inner::Inner;
use crate::plan::{Plan, trim};
use crate::recycled::Segment;
use bytes::Bytes;
use erasure::{BlobLayout, Coder, Layout};
use seal::OpenError;
use seal::segment::SegmentOpener;
use std::ops::Range;
use std::sync::Arc;
use types::block::{SEALED_SEGMENT, SEGMENT};
use types::id::ChunkId;
use types::manifest::{LocatedExtent, Place, Run};
use types::profile::Profile;
use types::size::{ByteCount, ByteOffset};
use types::wire::metadata::MetadataError;

/// One blob as far as it is wanted. Its key is set up, and wiped with it.
pub(crate) struct Extent {
    opener: SegmentOpener,
    layout: BlobLayout,
    /// Which bytes of the blob.
    wanted: Range<u64>,
    chunks: Chunks,
}

enum Chunks {
    Inline(Bytes),
    Coded { coder: Arc<Coder>, runs: Vec<Run> },
}

/// How an extent's bytes are got.
pub(crate) enum Source {
    /// They are here: the blob's only segment, sealed.
    Inline(Bytes),
    /// They are on disks.
    Disks(Plan),
}

impl Extent {
    /// The part of a located extent that covers the object range `wanted`.
    ///
    /// # Errors
    /// When the service's answer contradicts itself: bytes would be missing, or be others.
    pub(crate) fn new(
        inner: &Inner,
        located: LocatedExtent,
        wanted: &Range<u64>,
    ) -> Result<Self, GetError> {
        let begins = located.object_offset.get();
        let from = wanted.start.max(begins) - begins;
        let to = wanted.end.saturating_sub(begins).min(located.length.get());
        let in_blob = located.blob_offset.get();
        let wanted = in_blob + from..in_blob + to.max(from);
        let opener = SegmentOpener::new(&*inner.config.provider, located.blob, &located.key);
        let (profile, chunks) = match located.place {
            // An inline blob is one segment, whatever the profile: any will do for the arithmetic.
            Place::Inline { sealed } => (single(), Chunks::Inline(sealed)),
            Place::Runs { profile, runs } => {
                let coder = inner.coder(profile);
                (profile, Chunks::Coded { coder, runs })
            }
            _ => return Err(contradiction()),
        };
        let inline_fits = located.blob_length.get() <= SEGMENT as u64;
        if wanted.end > located.blob_length.get()
            || (matches!(chunks, Chunks::Inline(_)) && !inline_fits)
        {
            return Err(contradiction());
        }
        Ok(Self {
            opener,
            layout: BlobLayout::new(profile, located.blob_length),
            wanted,
            chunks,
        })
    }

    /// Bytes of it that are wanted.
    pub(crate) fn length(&self) -> u64 {
        self.wanted.end - self.wanted.start
    }

    pub(crate) fn source(&self) -> Source {
        match &self.chunks {
            Chunks::Inline(sealed) => Source::Inline(sealed.clone()),
            Chunks::Coded { .. } => {
                let start = ByteOffset::new(self.wanted.start);
                let length = ByteCount::new(self.length());
                Source::Disks(Plan::new(self.layout, start, length))
            }
        }
    }

    /// What is to be read of it from disks, and the runs that it lies in; `None` of an inline one.
    pub(crate) fn coded(&self) -> Option<(Plan, &[Run])> {
        match (self.source(), &self.chunks) {
            (Source::Disks(plan), Chunks::Coded { runs, .. }) => Some((plan, runs)),
            _ => None,
        }
    }

    /// The layout of a chunk, and the run that it is in.
    pub(crate) fn chunk(&self, index: u64) -> Result<Chunk<'_>, GetError> {
        let Chunks::Coded { coder, runs } = &self.chunks else {
            return Err(contradiction());
        };
        let at = runs.partition_point(|run| run.first_index <= index);
        let run = at.checked_sub(1).map(|at| &runs[at]);
        let run = run
            .filter(|run| index - run.first_index < u64::from(run.chunks))
            .ok_or_else(contradiction)?;
        Ok(Chunk {
            coder,
            run,
            id: run.first_chunk.plus(index - run.first_index),
            layout: self.layout.chunk(index),
        })
    }

    /// Opens a segment and cuts off what is not wanted of it. Nothing is returned before its tag was
    /// checked.
    pub(crate) fn open(&self, segment: u64, sealed: &[u8]) -> Result<Bytes, OpenError> {
        let last = self.layout.is_last(segment).into();
        let plain = if sealed.len() == SEALED_SEGMENT {
            let mut plain = Segment::recycled();
            self.opener.open_into(segment, last, sealed, plain.room())?;
            plain.freeze()
        } else {
            self.opener.open(segment, last, sealed)?
        };
        Ok(plain.slice(trim(segment, &self.wanted)))
    }
}

/// One chunk of an extent's blob.
pub(crate) struct Chunk<'a> {
    pub(crate) coder: &'a Coder,
    pub(crate) run: &'a Run,
    pub(crate) id: ChunkId,
    pub(crate) layout: Layout,
}

/// How far the extents show the wanted bytes, in order and without a gap: some of them at least, perhaps
/// not all.
pub(crate) fn cover(extents: &[LocatedExtent], wanted: &Range<u64>) -> Result<u64, GetError> {
    let mut covered = None;
    for extent in extents {
        let begins = extent.object_offset.get();
        let follows = match covered {
            None => begins <= wanted.start,
            Some(end) => begins == end,
        };
        if !follows {
            return Err(contradiction());
        }
        covered = Some(begins.saturating_add(extent.length.get()));
    }
    covered
        .filter(|end| *end > wanted.start)
        .map(|end| end.min(wanted.end))
        .ok_or_else(contradiction)
}

fn single() -> Profile {
    "1+1".parse().expect("one and one")
}

/// The service said what cannot be.
pub(crate) fn contradiction() -> GetError {
    GetError::Refused(MetadataError::RowDamaged)
}
