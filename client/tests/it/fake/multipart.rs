//! Multipart uploads in memory.

use super::objects::{Piece, Version, length_of};
use super::state::State;
use std::collections::BTreeMap;
use types::attributes::Checksum;
use types::id::VersionId;
use types::name::ObjectKey;
use types::size::ByteCount;
use types::wire::metadata::{
    AbortUpload, CommitPart, CompleteUpload, CopyPart, CreateUpload, ListParts, ListUploads,
    MetadataError, Part, PartPage, Tags, Upload, UploadEntry, UploadPage, WallTime,
};

/// An upload under way.
pub(super) struct Pending {
    upload: Upload,
    tags: Tags,
    parts: BTreeMap<u32, PendingPart>,
}

#[derive(Clone)]
struct PendingPart {
    born: u64,
    etag: String,
    checksums: Vec<Checksum>,
    pieces: Vec<Piece>,
}

impl State {
    pub(super) fn create_upload(&mut self, create: &CreateUpload) -> Result<(), MetadataError> {
        let create = create.clone();
        let upload = Upload {
            id: create.upload,
            key: create.key,
            initiated: WallTime(self.next()),
            owner: create.owner,
            attributes: create.attributes,
            checksum: create.checksum,
        };
        let pending = Pending {
            upload,
            tags: create.tags,
            parts: BTreeMap::new(),
        };
        self.uploads.insert(create.upload, pending);
        Ok(())
    }

    fn pending(
        &mut self,
        key: &ObjectKey,
        upload: VersionId,
    ) -> Result<&mut Pending, MetadataError> {
        let pending = self.uploads.get_mut(&upload);
        let pending = pending.filter(|pending| pending.upload.key == *key);
        pending.ok_or(MetadataError::NoSuchUpload)
    }

    pub(super) fn commit_part(&mut self, part: &CommitPart) -> Result<(), MetadataError> {
        self.pending(&part.key, part.upload)?;
        self.store(part.request.session, part.blob, part.length, &part.place)?;
        let whole = Piece {
            blob: part.blob,
            offset: 0,
            length: part.length.get(),
        };
        let made = PendingPart {
            born: self.next(),
            etag: part.etag.clone(),
            checksums: part.checksums.clone(),
            pieces: vec![whole],
        };
        let pending = self.pending(&part.key, part.upload)?;
        pending.parts.insert(part.number, made);
        Ok(())
    }

    pub(super) fn copy_part(&mut self, copy: &CopyPart) -> Result<(), MetadataError> {
        let first = copy.first.get();
        let range = first..first + copy.length.get();
        let (_, pieces) = self.shared(&copy.source, Some(range))?;
        let made = PendingPart {
            born: self.next(),
            etag: copy.etag.clone(),
            checksums: copy.checksums.clone(),
            pieces,
        };
        let pending = self.pending(&copy.key, copy.upload)?;
        pending.parts.insert(copy.number, made);
        Ok(())
    }

    pub(super) fn complete(&mut self, complete: &CompleteUpload) -> Result<(), MetadataError> {
        let pending = self.pending(&complete.key, complete.upload)?;
        let mut parts = Vec::new();
        for chosen in &complete.parts {
            let part = pending.parts.get(&chosen.number);
            let part = part.filter(|part| part.born == chosen.born);
            let part = part.ok_or(MetadataError::PartChanged)?;
            parts.push((chosen.number, part.pieces.clone()));
        }
        self.check(&complete.key, &complete.condition)?;
        let pending = self.uploads.remove(&complete.upload).unwrap();
        let version = Version {
            key: complete.key.clone(),
            modified: WallTime(self.next()),
            attributes: complete.attributes.clone(),
            tags: pending.tags,
            parts,
        };
        self.show(complete.upload, version);
        Ok(())
    }

    pub(super) fn abort(&mut self, abort: &AbortUpload) -> Result<(), MetadataError> {
        self.pending(&abort.key, abort.upload)?;
        self.uploads.remove(&abort.upload);
        Ok(())
    }

    pub(super) fn list_parts(&mut self, list: &ListParts) -> Result<PartPage, MetadataError> {
        let pending = self.pending(&list.key, list.upload)?;
        let part = |(number, part): (&u32, &PendingPart)| Part {
            number: *number,
            length: ByteCount::new(length_of(&part.pieces)),
            modified: WallTime(part.born),
            etag: part.etag.clone(),
            checksums: part.checksums.clone(),
            born: part.born,
        };
        let behind = pending.parts.range(list.after + 1..);
        let limit = usize::try_from(list.limit).unwrap();
        Ok(PartPage {
            upload: Some(pending.upload.clone()),
            truncated: behind.clone().count() > limit,
            parts: behind.take(limit).map(part).collect(),
        })
    }

    pub(super) fn list_uploads(&self, list: &ListUploads) -> UploadPage {
        let uploads = self.uploads.values().map(|pending| &pending.upload);
        let mut uploads: Vec<_> = uploads
            .filter(|upload| upload.key.as_str().starts_with(&list.prefix))
            .collect();
        uploads.sort_by_key(|upload| (upload.key.clone(), upload.initiated));
        let entries = uploads.into_iter().cloned().map(UploadEntry::Upload);
        UploadPage {
            entries: entries.collect(),
            truncated: false,
        }
    }
}
