//! What the service in memory knows, and what it refuses whatever the command: expired sessions, wraps
//! and chunk ids that were not issued. A number that was answered is answered so again.

use super::multipart::Pending;
use super::objects::{Blob, Version};
use std::collections::{BTreeMap, HashMap, HashSet};
use types::id::{BlobId, ChunkId, GroupId, LeaseId, RequestId, SessionId, VersionId};
use types::name::ObjectKey;
use types::placement::GroupTable;
use types::secret::DataKey;
use types::size::ByteCount;
use types::wire::metadata::{
    CommitObject, Lookup, MetadataError, Tags, WallTime, WriteLease, WrittenPlace,
};
use types::wire::usage::Exceeded;

/// How the service lies to who asks on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// It answers for another version.
    OtherVersion,
    /// It leaves an extent out.
    Gap,
    /// It tells of no extent.
    Nothing,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) table: GroupTable,
    last: u64,
    pub(super) sessions: HashSet<SessionId>,
    pub(super) leases: HashMap<LeaseId, (SessionId, WriteLease)>,
    pub(super) issued: HashMap<BlobId, (SessionId, DataKey)>,
    /// Current versions.
    pub(super) heads: BTreeMap<ObjectKey, VersionId>,
    /// All versions, replaced ones too, until they are collected.
    pub(super) versions: HashMap<VersionId, Version>,
    pub(super) blobs: HashMap<BlobId, Blob>,
    pub(super) uploads: BTreeMap<VersionId, Pending>,
    pub(super) bucket_tags: Option<Tags>,
    /// Commands that made plain objects.
    pub(super) commits: HashMap<VersionId, CommitObject>,
    /// Everything that was looked up.
    pub(super) lookups: Vec<Lookup>,
    /// How long their answers may be read, in milliseconds; 0: they do not say.
    pub(super) valid_for_ms: u64,
    covered: HashSet<(GroupId, ChunkId)>,
    answers: HashMap<RequestId, Result<WallTime, MetadataError>>,
    pub(super) calls: HashMap<&'static str, u64>,
    /// So many calls fail before one has an effect …
    pub(super) unavailable: u64,
    /// … and the answers to so many commands are lost after they had theirs.
    pub(super) lost_answers: u64,
    pub(super) wraps_expired: bool,
    pub(super) refuse_leases: bool,
    pub(super) lie: Option<Lie>,
    /// Calls for many lookups are unknown, as to an older build.
    pub(super) older: bool,
    /// Nothing longer fits.
    pub(super) room: Option<u64>,
}

pub(super) fn unavailable() -> MetadataError {
    MetadataError::Unavailable("no leader".into())
}

impl State {
    pub(super) fn new(table: GroupTable) -> Self {
        Self {
            table,
            ..Self::default()
        }
    }

    /// Whether a quota has room for it.
    pub(super) fn fits(&self, length: ByteCount) -> Result<(), MetadataError> {
        match self.room {
            Some(room) if length.get() > room => {
                Err(MetadataError::QuotaExceeded(Exceeded::BucketBytes))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(super) fn session(&self, id: SessionId) -> Result<(), MetadataError> {
        let known = self.sessions.contains(&id);
        known.then_some(()).ok_or(MetadataError::SessionExpired)
    }

    /// Carries a numbered command out, once.
    pub(super) fn once(
        &mut self,
        request: RequestId,
        work: impl FnOnce(&mut Self) -> Result<(), MetadataError>,
    ) -> Result<WallTime, MetadataError> {
        self.session(request.session)?;
        let number = RequestId {
            answered_below: 0,
            ..request
        };
        let answer = match self.answers.get(&number) {
            Some(answer) => answer.clone(),
            None => work(self).map(|()| WallTime(self.last)),
        };
        self.answers.insert(number, answer.clone());
        if self.lost_answers > 0 {
            self.lost_answers -= 1;
            return Err(unavailable());
        }
        answer
    }

    /// Takes a blob in that was issued under the session, where its writer put it.
    pub(super) fn store(
        &mut self,
        session: SessionId,
        blob: BlobId,
        length: ByteCount,
        place: &WrittenPlace,
    ) -> Result<(), MetadataError> {
        let issued = self.issued.remove(&blob);
        let (issued_to, key) = issued.ok_or(MetadataError::WrapInvalid)?;
        if issued_to != session || self.wraps_expired {
            return Err(MetadataError::WrapInvalid);
        }
        if let WrittenPlace::Runs { runs, .. } = place {
            let mut next = 0;
            for run in runs {
                let lease = self.leases.get(&run.lease);
                let (holder, lease) = lease.ok_or(MetadataError::LeaseInvalid)?;
                let (first, end) = (run.first_chunk.get(), lease.first.get() + lease.count);
                let inside = first >= lease.first.get() && first + u64::from(run.chunks) <= end;
                if *holder != session || !inside {
                    return Err(MetadataError::LeaseInvalid);
                }
                if run.first_index != next {
                    return Err(MetadataError::Malformed("a gap between runs".into()));
                }
                next += u64::from(run.chunks);
                for i in 0..u64::from(run.chunks) {
                    if !self.covered.insert((run.group, run.first_chunk.plus(i))) {
                        return Err(MetadataError::RunOverlaps);
                    }
                }
            }
        }
        let place = place.clone();
        self.blobs.insert(blob, Blob { key, length, place });
        Ok(())
    }
}
