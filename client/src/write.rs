//! Uploads.
//!
//! ```text
//! bytes --> tail (≤ 64 KiB) --> sealed into the filling chunk --> landing (≤ 2 chunks) --> runs
//!                                                                                         commit
//! ```
//!
//! A segment is sealed when a byte behind it has come, or the upload is finished: only then is it known
//! whether it is the blob's last. While one chunk fills, those before it are coded and sent. What
//! always holds:
//!
//! - a chunk's memory is reserved before its first byte is taken;
//! - nothing is visible before the commit, and then all of it is; a dropped upload leaves nothing but
//!   shards that no run covers, which the cluster collects once their lease has ended;
//! - after an error the upload only fails.

use crate::budget::Reservation;
use crate::chunk::{Filling, footprint, full_footprint};
use crate::error::{Pressure, PutError};
use crate::inner::{Inner, random};
use crate::land::{Origin, Target, land};
use crate::lease::Ids;
use crate::runs::{Landed, Runs};
use crate::session::Session;
use crate::task::Task;
use bytes::Bytes;
use erasure::BlobLayout;
use seal::segment::{Last, SegmentSealer};
use std::collections::VecDeque;
use std::sync::Arc;
use types::block::{SEAL_OVERHEAD, SEGMENT};
use types::manifest::{CHUNKS_PER_RUN, INLINE_LIMIT};
use types::placement::Group;
use types::profile::Profile;
use types::size::ByteCount;
use types::wire::metadata::{
    Bucket, CommitObject, IssuedBlob, MetadataError, WallTime, WrittenPlace,
};
use types::{Attributes, ObjectKey, VersionId};

/// Chunks of one upload that are coded and sent while the next one fills.
const LANDING: usize = 2;

/// An object on its way in. Dropping it abandons it.
pub struct Upload {
    inner: Arc<Inner>,
    bucket: Bucket,
    key: ObjectKey,
    declared: Option<ByteCount>,
    received: u64,
    origin: Arc<Origin>,
    issued: IssuedBlob,
    sealer: SegmentSealer,
    /// Segments sealed so far.
    sealed: u64,
    tail: Tail,
    filling: Option<Filling>,
    place: Option<Place>,
    /// Chunks sent on their way so far.
    chunks: u64,
    landing: VecDeque<Task<Result<Landed, PutError>>>,
    runs: Runs,
    failed: Option<PutError>,
}

/// An object that is in: its version, and when it was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The version.
    pub version: VersionId,
    /// When.
    pub modified: WallTime,
}

/// The group that takes the upload's next chunks.
struct Place {
    group: Group,
    ids: Ids,
}

/// Bytes that are not sealed yet: at most a segment. A piece that came alone is not copied.
#[derive(Default)]
struct Tail {
    whole: Bytes,
    joined: Vec<u8>,
}

impl Tail {
    fn bytes(&self) -> &[u8] {
        if self.joined.is_empty() {
            &self.whole
        } else {
            &self.joined
        }
    }

    fn full(&self) -> bool {
        self.bytes().len() == SEGMENT
    }

    /// Takes as much of `data` as there is room for.
    fn take(&mut self, data: &mut Bytes) {
        let room = SEGMENT - self.bytes().len();
        let piece = data.split_to(room.min(data.len()));
        if self.bytes().is_empty() {
            self.whole = piece;
            return;
        }
        if self.joined.is_empty() {
            self.joined
                .extend_from_slice(&std::mem::take(&mut self.whole));
        }
        self.joined.extend_from_slice(&piece);
    }

    fn clear(&mut self) {
        self.whole = Bytes::new();
        self.joined.clear();
    }
}

impl Upload {
    pub(crate) async fn begin(
        inner: Arc<Inner>,
        bucket: Bucket,
        key: ObjectKey,
        declared: Option<ByteCount>,
    ) -> Result<Self, PutError> {
        let (session, issued) = inner.issue(bucket.id).await?;
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
            declared,
            received: 0,
            origin: Arc::new(origin),
            issued,
            sealer,
            sealed: 0,
            tail: Tail::default(),
            filling: None,
            place: None,
            chunks: 0,
            landing: VecDeque::new(),
            runs: Runs::default(),
            failed: None,
        })
    }

    /// Takes the object's next bytes. Waits for memory, and for disks when they are slower.
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

    /// Makes the object visible, with all bytes that were written.
    ///
    /// # Errors
    /// When it is not, or may not be: see [`PutError`].
    pub async fn finish(mut self, attributes: Attributes) -> Result<Stored, PutError> {
        self.still_sound()?;
        if let Some(declared) = self.declared.filter(|d| d.get() != self.received) {
            return Err(PutError::Length {
                declared,
                received: ByteCount::new(self.received),
            });
        }
        let place = if self.received <= INLINE_LIMIT {
            self.inline()
        } else {
            self.seal_tail(Last::Yes);
            self.dispatch(Last::Yes).await?;
            while !self.landing.is_empty() {
                self.settle_first().await?;
            }
            WrittenPlace::Runs {
                profile: self.profile(),
                runs: self.runs.written(),
            }
        };
        self.commit(attributes, place).await
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
            if self.tail.full() {
                self.seal_tail(Last::No);
                if self.chunk_full() {
                    self.dispatch(Last::No).await?;
                }
            }
            if self.filling.is_none() {
                self.filling = Some(self.reserve().await?);
            }
            let before = data.len();
            self.tail.take(&mut data);
            self.received += (before - data.len()) as u64;
        }
        Ok(())
    }

    fn chunk_full(&self) -> bool {
        let full = self.profile().segments_per_chunk();
        self.filling
            .as_ref()
            .is_some_and(|filling| filling.segments() == full)
    }

    /// Memory for the next chunk and the segment that is not sealed yet: as much as a declared length
    /// still needs, or a full chunk's.
    async fn reserve(&self) -> Result<Filling, PutError> {
        let (capacity, tail) = match self.declared {
            Some(length) if length.get() <= INLINE_LIMIT => (0, length.as_usize()),
            Some(length) => {
                let layout = BlobLayout::new(self.profile(), length);
                (footprint(&layout.chunk(self.chunks)), SEGMENT)
            }
            None => (full_footprint(self.profile()), SEGMENT),
        };
        let memory: Reservation = self.inner.budget.upload(capacity + tail).await?;
        Ok(Filling::new(capacity, memory))
    }

    fn seal_tail(&mut self, last: Last) {
        let filling = self.filling.as_mut().expect("reserved before bytes came");
        filling.seal(&self.sealer, self.sealed, last, self.tail.bytes());
        self.sealed += 1;
        self.tail.clear();
    }

    fn inline(&self) -> WrittenPlace {
        let plain = self.tail.bytes();
        let mut sealed = Vec::with_capacity(plain.len() + SEAL_OVERHEAD);
        self.sealer.seal(0, Last::Yes, plain, &mut sealed);
        WrittenPlace::Inline {
            sealed: sealed.into(),
        }
    }

    /// Sends the filling chunk on its way, behind at most one other.
    async fn dispatch(&mut self, last: Last) -> Result<(), PutError> {
        if self.landing.len() == LANDING {
            self.settle_first().await?;
        }
        if !self.origin.session.live() {
            return Err(MetadataError::SessionExpired.into());
        }
        let filling = self.filling.take().expect("there is a chunk to send");
        let target = self.target(&filling, last).await?;
        let first_segment = self.sealed - filling.segments() as u64;
        let landing = land(Arc::clone(&self.origin), filling, first_segment, target);
        self.landing.push_back(Task::spawn(landing));
        self.chunks += 1;
        Ok(())
    }

    /// Waits for the first of the chunks under way.
    async fn settle_first(&mut self) -> Result<(), PutError> {
        let Some(task) = self.landing.pop_front() else {
            return Ok(());
        };
        let landed = task.join().await.ok_or(Pressure::Stopping)??;
        let place = self.place.as_ref().map(|p| (p.group.id, p.group.epoch));
        if place.is_some_and(|place| landed.left.contains(&place)) {
            self.place = None;
        }
        self.runs.push(landed);
        Ok(())
    }

    /// The next id in the present group, or the first in another.
    async fn target(&mut self, filling: &Filling, last: Last) -> Result<Target, PutError> {
        loop {
            if let Some(place) = &mut self.place
                && let Some(chunk) = place.ids.next()
            {
                return Ok(Target {
                    _under_way: self.inner.groups.load(place.group.id),
                    group: place.group.clone(),
                    lease: Arc::clone(&place.ids.lease),
                    chunk,
                });
            }
            let group = self.group(filling).await?;
            let most = self.ids_wanted(last);
            let ids = self.inner.chunk_ids(&self.origin.session, most).await?;
            self.place = Some(Place { group, ids });
        }
    }

    fn ids_wanted(&self, last: Last) -> u32 {
        let left = match (last, self.declared) {
            (Last::Yes, _) => 1,
            (Last::No, Some(length)) => {
                BlobLayout::new(self.profile(), length).chunks() - self.chunks
            }
            (Last::No, None) => u64::from(CHUNKS_PER_RUN),
        };
        u32::try_from(left).map_or(CHUNKS_PER_RUN, |left| left.min(CHUNKS_PER_RUN))
    }

    async fn group(&self, filling: &Filling) -> Result<Group, PutError> {
        let profile = self.profile();
        let layout = filling.layout(profile);
        let groups = &self.inner.groups;
        let uses = |slot| layout.blocks(slot) > 0;
        let choose = || groups.choose(profile, uses, &[], usize::MAX, random);
        if let Some(group) = choose() {
            return Ok(group);
        }
        groups.refresh(groups.table().version).await?;
        choose().ok_or_else(|| Pressure::Groups(profile).into())
    }

    async fn commit(self, attributes: Attributes, place: WrittenPlace) -> Result<Stored, PutError> {
        let mut version = [0; 16];
        getrandom::fill(&mut version).expect("the system has randomness");
        let version = VersionId::new(version);
        let session: &Session = &self.origin.session;
        let numbered = session.number().await;
        let request = CommitObject {
            request: numbered.request,
            bucket: self.bucket.id,
            key: self.key.clone(),
            version,
            attributes,
            blob: self.issued.blob,
            wrap: self.issued.wrap.clone(),
            wrap_expires_ms: self.issued.expires_ms,
            length: ByteCount::new(self.received),
            place,
        };
        let mut sent = 0;
        let answer = self
            .inner
            .ask(|| {
                sent += 1;
                self.inner.metadata.commit_object(request.clone())
            })
            .await;
        self.inner.sessions.note(session, &answer);
        match answer {
            Ok(modified) => Ok(Stored { version, modified }),
            Err(MetadataError::Unavailable(why)) => Err(PutError::OutcomeUnknown(why)),
            // Its memory of an attempt that was not answered went with the session.
            Err(error @ MetadataError::SessionExpired) if sent > 1 => {
                Err(PutError::OutcomeUnknown(error.to_string()))
            }
            Err(error) => {
                if error == MetadataError::WrapInvalid {
                    session.issued.forget(self.bucket.id);
                }
                Err(error.into())
            }
        }
    }
}
