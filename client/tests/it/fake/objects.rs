//! Versions of objects in memory: committed, copied, tagged, deleted, located.

use super::state::{Lie, State};
use std::ops::Range;
use types::Attributes;
use types::id::{BlobId, VersionId};
use types::manifest::{LocatedExtent, Place, Run};
use types::name::ObjectKey;
use types::secret::DataKey;
use types::size::{ByteCount, ByteOffset, MIB};
use types::wire::metadata::{
    CommitObject, Condition, CopyObject, CopySource, DeleteObject, Located, Lookup, MAX_EXTENTS,
    MetadataError, SetTags, Tags, WallTime, Wanted, WrittenPlace,
};

/// Less is not shared.
const LEAST_SHARED: u64 = MIB;

pub(super) struct Blob {
    pub(super) key: DataKey,
    pub(super) length: ByteCount,
    pub(super) place: WrittenPlace,
}

/// A range of a blob.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) blob: BlobId,
    pub(super) offset: u64,
    pub(super) length: u64,
}

#[derive(Clone)]
pub(super) struct Version {
    pub(super) key: ObjectKey,
    pub(super) modified: WallTime,
    pub(super) attributes: Attributes,
    pub(super) tags: Tags,
    /// By number; of a plain PUT one, number 0.
    pub(super) parts: Vec<(u32, Vec<Piece>)>,
}

pub(super) fn length_of(pieces: &[Piece]) -> u64 {
    pieces.iter().map(|piece| piece.length).sum()
}

impl Version {
    fn pieces(&self) -> Vec<Piece> {
        let parts = self.parts.iter();
        parts.flat_map(|(_, pieces)| pieces.clone()).collect()
    }

    fn length(&self) -> u64 {
        length_of(&self.pieces())
    }

    /// The pieces of a range, cut to it.
    pub(super) fn cut(&self, range: Range<u64>) -> Vec<Piece> {
        let mut begins = 0;
        let mut cut = Vec::new();
        for piece in self.pieces() {
            let from = range.start.clamp(begins, begins + piece.length) - begins;
            let to = range.end.clamp(begins, begins + piece.length) - begins;
            if from < to {
                cut.push(Piece {
                    offset: piece.offset + from,
                    length: to - from,
                    ..piece
                });
            }
            begins += piece.length;
        }
        cut
    }

    fn served(&self, wanted: Wanted) -> Result<Range<u64>, MetadataError> {
        let length = self.length();
        let (first, end) = match wanted {
            Wanted::Nothing => return Ok(0..0),
            Wanted::All => return Ok(0..length),
            Wanted::From(first) => (first.get(), length),
            Wanted::Range(first, count) => (first.get(), first.get().saturating_add(count.get())),
            Wanted::Last(count) => (length.saturating_sub(count.get()), length),
            Wanted::Part(number) => return self.part(number),
        };
        if first >= length {
            return Err(MetadataError::RangeNotSatisfiable { length });
        }
        Ok(first..end.min(length))
    }

    fn part(&self, number: u32) -> Result<Range<u64>, MetadataError> {
        let mut begins = 0;
        for (at, (its, pieces)) in (1..).zip(&self.parts) {
            let end = begins + length_of(pieces);
            if number == *its || (*its == 0 && number == at) {
                return Ok(begins..end);
            }
            begins = end;
        }
        let parts = u32::try_from(self.parts.len()).unwrap();
        Err(MetadataError::NoSuchPart { parts })
    }
}

impl State {
    fn head(&self, key: &ObjectKey) -> Option<&Version> {
        self.heads.get(key).map(|version| &self.versions[version])
    }

    pub(super) fn check(
        &self,
        key: &ObjectKey,
        condition: &Condition,
    ) -> Result<(), MetadataError> {
        let head = self.head(key);
        if condition.matches.is_some() && head.is_none() {
            return Err(MetadataError::NoSuchObject);
        }
        let holds = |version: &Version| {
            let etag = &version.attributes.etag;
            condition.matches.as_ref().is_none_or(|m| m.includes(etag))
                && condition.differs.as_ref().is_none_or(|d| !d.includes(etag))
                && condition.length.is_none_or(|l| l.get() == version.length())
        };
        let holds = head.is_none_or(holds);
        holds.then_some(()).ok_or(MetadataError::ConditionFailed)
    }

    pub(super) fn show(&mut self, id: VersionId, version: Version) {
        self.heads.insert(version.key.clone(), id);
        self.versions.insert(id, version);
    }

    pub(super) fn commit(&mut self, commit: &CommitObject) -> Result<(), MetadataError> {
        self.check(&commit.key, &commit.condition)?;
        let session = commit.request.session;
        self.store(session, commit.blob, commit.length, &commit.place)?;
        let whole = Piece {
            blob: commit.blob,
            offset: 0,
            length: commit.length.get(),
        };
        let version = Version {
            key: commit.key.clone(),
            modified: WallTime(self.next()),
            attributes: commit.attributes.clone(),
            tags: commit.tags.clone(),
            parts: vec![(0, vec![whole])],
        };
        self.commits.insert(commit.version, commit.clone());
        self.show(commit.version, version);
        Ok(())
    }

    pub(super) fn delete(&mut self, request: &DeleteObject) -> Result<(), MetadataError> {
        self.check(&request.key, &request.condition)?;
        self.heads.remove(&request.key);
        Ok(())
    }

    /// What is to be copied, if it may be shared.
    pub(super) fn shared(
        &self,
        source: &CopySource,
        range: Option<Range<u64>>,
    ) -> Result<(Version, Vec<Piece>), MetadataError> {
        let current = self.heads.get(&source.key);
        if *current.ok_or(MetadataError::NoSuchObject)? != source.version {
            return Err(MetadataError::SourceChanged);
        }
        let version = self.versions[&source.version].clone();
        let pieces = version.cut(range.unwrap_or(0..version.length()));
        let small = |piece: &Piece| piece.length < LEAST_SHARED;
        if pieces.is_empty() || pieces.iter().any(small) {
            return Err(MetadataError::NotShareable);
        }
        Ok((version, pieces))
    }

    pub(super) fn copy(&mut self, copy: &CopyObject) -> Result<(), MetadataError> {
        let (source, _) = self.shared(&copy.source, None)?;
        self.check(&copy.key, &copy.condition)?;
        let version = Version {
            key: copy.key.clone(),
            modified: WallTime(self.next()),
            attributes: copy.attributes.clone(),
            tags: copy.tags.clone(),
            parts: source.parts,
        };
        self.show(copy.version, version);
        Ok(())
    }

    pub(super) fn set_tags(&mut self, request: &SetTags) -> Result<(), MetadataError> {
        let version = self.heads.get(&request.key);
        let version = version.and_then(|version| self.versions.get_mut(version));
        version.ok_or(MetadataError::NoSuchObject)?.tags = request.tags.clone();
        Ok(())
    }

    pub(super) fn tags(&self, key: &ObjectKey) -> Result<Tags, MetadataError> {
        let version = self.head(key).ok_or(MetadataError::NoSuchObject)?;
        Ok(version.tags.clone())
    }

    pub(super) fn lookup(&mut self, lookup: Lookup) -> Result<Located, MetadataError> {
        let head = self.heads.get(&lookup.key).copied();
        let id = lookup.version.or(head).ok_or(MetadataError::NoSuchObject)?;
        let version = self.versions.get(&id);
        let version = version.ok_or(MetadataError::NoSuchObject)?;
        let range = version.served(lookup.wanted)?;
        let current = head == Some(id);
        let mut located = Located {
            version: id,
            length: ByteCount::new(version.length()),
            modified: version.modified,
            attributes: Attributes::default(),
            first: ByteOffset::new(range.start),
            wanted: ByteCount::new(range.end - range.start),
            parts: 0,
            tags: 0,
            extents: self.extents(version, range),
            valid_for_ms: self.valid_for_ms,
        };
        if current {
            let plain = version.parts[0].0 == 0;
            let count = |length| u32::try_from(length).unwrap();
            located.attributes = version.attributes.clone();
            located.parts = if plain { 0 } else { count(version.parts.len()) };
            located.tags = count(version.tags.0.len());
        }
        if lookup.version.is_some() {
            match self.lie {
                Some(Lie::OtherVersion) => located.version = VersionId::new([9; 16]),
                Some(Lie::Gap) => drop(located.extents.remove(0)),
                Some(Lie::Nothing) => located.extents.clear(),
                None => {}
            }
        }
        self.lookups.push(lookup);
        Ok(located)
    }

    /// Whole extents, as the service tells of them: who asks cuts them to what it wants.
    fn extents(&self, version: &Version, range: Range<u64>) -> Vec<LocatedExtent> {
        let mut begins = 0;
        let mut extents = Vec::new();
        for piece in version.pieces() {
            let end = begins + piece.length;
            if begins < range.end && range.start < end && extents.len() < MAX_EXTENTS {
                let blob = &self.blobs[&piece.blob];
                extents.push(LocatedExtent {
                    object_offset: ByteOffset::new(begins),
                    blob: piece.blob,
                    blob_offset: ByteOffset::new(piece.offset),
                    length: ByteCount::new(piece.length),
                    blob_length: blob.length,
                    key: blob.key.clone(),
                    place: place(&blob.place),
                });
            }
            begins = end;
        }
        extents
    }
}

fn place(written: &WrittenPlace) -> Place {
    match written {
        WrittenPlace::Inline { sealed } => Place::Inline {
            sealed: sealed.clone(),
        },
        WrittenPlace::Runs { profile, runs } => Place::Runs {
            profile: *profile,
            runs: runs
                .iter()
                .map(|run| Run {
                    group: run.group,
                    first_chunk: run.first_chunk,
                    chunks: run.chunks,
                    first_index: run.first_index,
                    missing: run.missing.clone(),
                })
                .collect(),
        },
    }
}
