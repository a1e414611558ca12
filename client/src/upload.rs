//! Uploads: one blob on its way in, to become an object or a part of one.
//!
//! ```text
//! bytes --> the filling chunk, sealed there --> landing (≤ 2 chunks) --> runs, commit
//! ```
//!
//! A segment is sealed when a byte behind it has come, or the upload is finished: only then is it known
//! whether it is the blob's last. What always holds:
//!
//! - a chunk's memory is reserved before its first byte is taken;
//! - nothing is visible before the commit, and then all of it is; a dropped upload leaves nothing but
//!   shards that no run covers, which the cluster collects once their lease has ended;
//! - after an error the upload only fails.

use crate::chunk::{Filling, footprint, full_footprint};
use crate::commit::Draft;
use crate::error::PutError;
use crate::inner::Inner;
use crate::land::Origin;
use crate::sending::Sending;
use bytes::Bytes;
use erasure::BlobLayout;
use seal::segment::{Last, SegmentSealer};
use std::sync::Arc;
use std::time::Duration;
use types::attributes::Checksum;
use types::block::{SEAL_OVERHEAD, SEGMENT};
use types::manifest::{CHUNKS_PER_RUN, INLINE_LIMIT};
use types::profile::Profile;
use types::size::{ByteCount, MIB};
use types::wire::metadata::{
    Bucket, Condition, IssuedBlob, MetadataError, Tags, WallTime, WrittenPlace,
};
use types::wire::usage::Fits;
use types::{Attributes, ObjectKey, VersionId};

/// A body of at least this length is not taken before it is known to fit: to take and refuse a shorter one costs
/// less than to ask.
const ASKED_ABOVE: ByteCount = ByteCount::new(MIB);
/// So long an upload waits to be told. Untold, it goes on, and its commit decides.
const TOLD_WITHIN: Duration = Duration::from_millis(500);

/// An object, or a part of one, on its way in. Dropping it abandons it.
pub struct Upload {
    inner: Arc<Inner>,
    bucket: Bucket,
    key: ObjectKey,
    target: Target,
    declared: Option<ByteCount>,
    received: u64,
    issued: IssuedBlob,
    sealer: SegmentSealer,
    /// Segments sealed so far.
    sealed: u64,
    filling: Option<Filling>,
    /// Chunks sent on their way so far.
    chunks: u64,
    sending: Sending,
    failed: Option<PutError>,
}

/// What an upload is to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A version of the object.
    Object,
    /// The part of that number of a multipart upload.
    Part {
        /// The multipart upload.
        upload: VersionId,
        /// 1 to 10 000.
        number: u32,
    },
}

/// An object that is in: its version, and when it was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The version.
    pub version: VersionId,
    /// When.
    pub modified: WallTime,
}

impl Upload {
    pub(crate) async fn begin(
        inner: Arc<Inner>,
        bucket: Bucket,
        key: ObjectKey,
        target: Target,
        declared: Option<ByteCount>,
    ) -> Result<Self, PutError> {
        let (fits, issued) = futures::join!(
            fits(&inner, &bucket, &key, target, declared),
            inner.issue(bucket.id)
        );
        fits?;
        let (session, issued) = issued?;
        let sealer = SegmentSealer::new(&*inner.config.provider, issued.blob, &issued.key);
        let origin = Origin {
            inner: Arc::clone(&inner),
            session,
            blob: issued.blob,
            coder: inner.coder(bucket.profile),
        };
        Ok(Self {
            inner,
            bucket,
            key,
            target,
            declared,
            received: 0,
            issued,
            sealer,
            sealed: 0,
            filling: None,
            chunks: 0,
            sending: Sending::new(origin),
            failed: None,
        })
    }

    /// Takes the next bytes. Waits for memory, and for disks when they are slower.
    ///
    /// # Errors
    /// After an error every further call fails with it, and after a call that was cancelled every one.
    pub async fn write(&mut self, data: Bytes) -> Result<(), PutError> {
        self.still_sound()?;
        // What holds if this future is dropped at one of its waits: bytes may have gone with it.
        self.failed = Some(PutError::Abandoned);
        let taken = self.take(data).await;
        self.failed = taken.clone().err();
        taken
    }

    /// Makes the object visible, with all bytes that were written, if `condition` holds of the version
    /// that it replaces.
    ///
    /// # Errors
    /// When it is not, or may not be: see [`PutError`]. `Refused` for an upload that is a part's.
    pub async fn finish(
        mut self,
        attributes: Attributes,
        tags: Tags,
        condition: Condition,
    ) -> Result<Stored, PutError> {
        let Target::Object = self.target else {
            return Err(misused("a part was finished as an object"));
        };
        let place = self.settle().await?;
        let draft = self.draft(place);
        draft.commit_object(attributes, tags, condition).await
    }

    /// Makes the part visible, with all bytes that were written, in place of the one that had its
    /// number. Answers with when.
    ///
    /// # Errors
    /// When it is not, or may not be: see [`PutError`]. `Refused` for an upload that is an object's.
    pub async fn finish_part(
        mut self,
        etag: String,
        checksums: Vec<Checksum>,
    ) -> Result<WallTime, PutError> {
        let Target::Part { upload, number } = self.target else {
            return Err(misused("an object was finished as a part"));
        };
        let place = self.settle().await?;
        let draft = self.draft(place);
        draft.commit_part(upload, number, etag, checksums).await
    }

    fn draft(&self, place: WrittenPlace) -> Draft<'_> {
        Draft {
            inner: &self.inner,
            session: &self.sending.origin().session,
            bucket: self.bucket.id,
            key: &self.key,
            issued: &self.issued,
            length: ByteCount::new(self.received),
            place,
        }
    }

    fn still_sound(&self) -> Result<(), PutError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn profile(&self) -> Profile {
        self.bucket.profile
    }

    async fn take(&mut self, mut data: Bytes) -> Result<(), PutError> {
        let received = self.received + data.len() as u64;
        if let Some(declared) = self.declared.filter(|d| d.get() < received) {
            return Err(PutError::Length {
                declared,
                received: ByteCount::new(received),
            });
        }
        while !data.is_empty() {
            if self.open().len() == SEGMENT {
                self.seal(Last::No);
                if self.chunk_full() {
                    self.dispatch(Last::No).await?;
                }
            }
            let mut filling = match self.filling.take() {
                Some(filling) => filling,
                None => self.reserve().await?,
            };
            let before = data.len();
            filling.take(&mut data);
            self.filling = Some(filling);
            self.received += (before - data.len()) as u64;
        }
        Ok(())
    }

    /// All bytes have come: waits until they are where they are to be.
    async fn settle(&mut self) -> Result<WrittenPlace, PutError> {
        self.still_sound()?;
        if let Some(declared) = self.declared.filter(|d| d.get() != self.received) {
            return Err(PutError::Length {
                declared,
                received: ByteCount::new(self.received),
            });
        }
        if self.received <= INLINE_LIMIT {
            return Ok(self.inline());
        }
        self.seal(Last::Yes);
        self.dispatch(Last::Yes).await?;
        self.sending.settle().await
    }

    fn chunk_full(&self) -> bool {
        let full = self.profile().segments_per_chunk();
        self.filling
            .as_ref()
            .is_some_and(|filling| filling.segments() == full)
    }

    /// Memory for the next chunk: as much as a declared length still needs, or a full chunk's.
    async fn reserve(&self) -> Result<Filling, PutError> {
        let capacity = match self.declared {
            Some(length) if length.get() <= INLINE_LIMIT => length.as_usize() + SEAL_OVERHEAD,
            Some(length) => {
                let layout = BlobLayout::new(self.profile(), length);
                footprint(&layout.chunk(self.chunks))
            }
            None => full_footprint(self.profile()),
        };
        let memory = self.inner.budget.upload(capacity).await?;
        Ok(Filling::new(capacity, memory))
    }

    /// What is not sealed yet.
    fn open(&self) -> &[u8] {
        self.filling.as_ref().map_or(&[], Filling::open)
    }

    fn seal(&mut self, last: Last) {
        let filling = self.filling.as_mut().expect("reserved before bytes came");
        filling.seal(&self.sealer, self.sealed, last);
        self.sealed += 1;
    }

    fn inline(&self) -> WrittenPlace {
        let plain = self.open();
        let mut sealed = Vec::with_capacity(plain.len() + SEAL_OVERHEAD);
        self.sealer.seal(0, Last::Yes, plain, &mut sealed);
        WrittenPlace::Inline {
            sealed: sealed.into(),
        }
    }

    /// Sends the filling chunk on its way.
    async fn dispatch(&mut self, last: Last) -> Result<(), PutError> {
        let filling = self.filling.take().expect("there is a chunk to send");
        let left = match (last, self.declared) {
            (Last::Yes, _) => 1,
            (Last::No, Some(length)) => {
                BlobLayout::new(self.profile(), length).chunks() - self.chunks
            }
            (Last::No, None) => u64::from(CHUNKS_PER_RUN),
        };
        let first_segment = self.sealed - filling.segments() as u64;
        self.sending.dispatch(filling, first_segment, left).await?;
        self.chunks += 1;
        Ok(())
    }
}

/// Refused when a quota leaves no room for what is to come. Who writes at the same time may take it meanwhile.
async fn fits(
    inner: &Inner,
    bucket: &Bucket,
    key: &ObjectKey,
    target: Target,
    declared: Option<ByteCount>,
) -> Result<(), PutError> {
    let Some(length) = declared.filter(|length| *length >= ASKED_ABOVE) else {
        return Ok(());
    };
    let asked = inner.metadata.fits(Fits {
        bucket: bucket.id,
        key: key.clone(),
        length,
        part: match target {
            Target::Object => None,
            Target::Part { upload, number } => Some((upload, number)),
        },
    });
    match tokio::time::timeout(TOLD_WITHIN, asked).await {
        Ok(Err(MetadataError::QuotaExceeded(exceeded))) => Err(PutError::QuotaExceeded(exceeded)),
        _ => Ok(()),
    }
}

fn misused(how: &str) -> PutError {
    PutError::Refused(MetadataError::Malformed(how.into()))
}
