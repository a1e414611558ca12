//! Copies by reference: each data key is unwrapped as the source has it, and wrapped for the copy.
//!
//! Nothing is unwrapped before labels and sizes say that it may be shared. A wrap or manifest that does not
//! open as the source's own ends the copy, so that none is made good by being copied.

use super::conditional::Target;
use super::tags::{self, MAX_TAGS};
use super::uploads::bounded_part;
use super::write::bounded_attributes;
use super::{Inner, damaged, unexpected};
use crate::apply::foreseen;
use crate::asked::Asked;
use crate::command::{self, Command, Copied, CopiedManifest, MAX_COMMAND_BYTES, NamespaceCommand};
use crate::keys::BucketKey;
use crate::manifest::{Laid, lay_out};
use crate::pieces::{Piece, by_part, part_row};
use crate::reply::Reply;
use crate::sealed::PartFacts;
use crate::source::{self, Source};
use crate::store::Store;
use crate::tables::BucketRow;
use bytes::Bytes;
use seal::wrap::{self, ReferenceContext};
use std::ops::Range;
use std::sync::Arc;
use types::codec;
use types::id::{BucketId, RequestId, VersionId};
use types::name::ObjectKey;
use types::wire::metadata::{CopyObject, CopyPart, CopySource, MetadataError, WallTime};

/// A copy whose parts have so many and long checksums that it encodes to more is not shared. The rest of a
/// command is for the proposal around it, and for what it expects.
const MAX_COPY_BYTES: usize = MAX_COMMAND_BYTES - 1024;

/// What a request to copy finds.
enum Found {
    /// It was done before, and answered so.
    Answered(Reply),
    /// What it is to copy.
    Source(Box<Source>),
}

/// Where a copy's references belong.
struct Destination<'a> {
    row: Arc<BucketRow>,
    sealer: Arc<BucketKey>,
    key: &'a ObjectKey,
    version: VersionId,
}

impl Inner {
    pub(super) async fn copy_object(&self, request: CopyObject) -> Result<WallTime, MetadataError> {
        bounded_attributes(&request.attributes)?;
        tags::bounded(&request.tags, MAX_TAGS)?;
        let bucket = request.bucket;
        let copied = self.seal_and_copy(request).await;
        self.forget_if_failed(bucket, copied)
    }

    async fn seal_and_copy(&self, request: CopyObject) -> Result<WallTime, MetadataError> {
        let source = copied(&request.source);
        let target = Target {
            request: request.request,
            asked: Asked::copy_object(&source, request.bucket, &request.key, request.version),
            bucket: request.bucket,
            key: request.key.clone(),
        };
        let to = self
            .destination(request.bucket, &request.key, request.version)
            .await?;
        let asked = (target.request, target.asked);
        let source = match self.find_source(asked, source, None, &to.row).await? {
            Found::Answered(reply) => return committed(reply.granted()?),
            Found::Source(source) => source,
        };
        let copy = self.seal_copy(&request, &source, &to).await?;
        if codec::encode(&copy).len() > MAX_COPY_BYTES {
            return Err(MetadataError::NotShareable);
        }
        let command = |expected| {
            let copy = copy.clone();
            NamespaceCommand::CopyObject(command::CopyObject { expected, ..copy })
        };
        let reply = self.propose_if(target, &request.condition, command).await;
        committed(reply?)
    }

    async fn destination<'a>(
        &self,
        bucket: BucketId,
        key: &'a ObjectKey,
        version: VersionId,
    ) -> Result<Destination<'a>, MetadataError> {
        let row = self.bucket_row(bucket).await?;
        let sealer = self.bucket_key(bucket, row.kek_version).await?;
        Ok(Destination {
            row,
            sealer,
            key,
            version,
        })
    }

    /// The rows of what is copied, if it may be shared; of all of it where no range is named. They are
    /// verified as far as MACs verify them.
    async fn find_source(
        &self,
        (request, asked): (RequestId, Asked),
        from: Copied,
        range: Option<Range<u64>>,
        to: &BucketRow,
    ) -> Result<Found, MetadataError> {
        let label = to.bucket.label.digest();
        let find = move |store: &Store| match foreseen(store, &request, asked)? {
            Some(reply) => Ok(Ok(Found::Answered(reply))),
            None => Ok(source::read(store, from, range, &label)?
                .map(|source| Found::Source(Box::new(source)))),
        };
        let found = self.read(find).await??;
        if let Found::Source(source) = &found {
            let (of, head) = (&source.of, &source.head);
            let object = (of.bucket, &of.key);
            let rows = &source.shown.looked_at;
            self.verify(object, of.version, head.length, rows).await?;
        }
        Ok(found)
    }

    pub(super) async fn copy_part(&self, request: CopyPart) -> Result<WallTime, MetadataError> {
        bounded_part(request.number, &request.etag, &request.checksums)?;
        let bucket = request.bucket;
        let copied = self.seal_and_copy_part(request).await;
        self.forget_if_failed(bucket, copied)
    }

    async fn seal_and_copy_part(&self, request: CopyPart) -> Result<WallTime, MetadataError> {
        let to = self
            .destination(request.bucket, &request.key, request.upload)
            .await?;
        let facts = PartFacts {
            etag: request.etag,
            checksums: request.checksums,
            length: request.length,
        };
        let sealed = to
            .sealer
            .seal_part(&request.key, request.upload, request.number, &facts);
        let mut copy = command::CopyPart {
            request: request.request,
            source: copied(&request.source),
            first: request.first,
            length: request.length,
            bucket: request.bucket,
            key: request.key.clone(),
            upload: request.upload,
            number: request.number,
            kek_version: to.row.kek_version,
            sealed,
            wraps: Vec::new(),
        };
        let asked = (request.request, Asked::copy_part(&copy));
        let end = request.first.get().saturating_add(request.length.get());
        let range = Some(request.first.get()..end);
        let source = match self
            .find_source(asked, copied(&request.source), range, &to.row)
            .await?
        {
            Found::Answered(reply) => return committed(reply.granted()?),
            Found::Source(source) => source,
        };
        copy.wraps = self.rewrap_all(&source, &to, Some(request.number)).await?;
        let command = Command::Namespace(NamespaceCommand::CopyPart(copy));
        committed(self.propose(command).await?)
    }

    /// What goes into the log.
    async fn seal_copy(
        &self,
        request: &CopyObject,
        source: &Source,
        to: &Destination<'_>,
    ) -> Result<command::CopyObject, MetadataError> {
        let wraps = self.rewrap_all(source, to, None).await?;
        let manifest = match source.head.manifest {
            Some(_) => Some(self.seal_manifest(source, to, &wraps).await?),
            None => None,
        };
        let (key, version) = (to.key, to.version);
        Ok(command::CopyObject {
            request: request.request,
            source: source.of.clone(),
            bucket: request.bucket,
            key: key.clone(),
            version,
            kek_version: to.row.kek_version,
            attributes: to.sealer.seal_attributes(key, version, &request.attributes),
            tags: tags::sealed(&to.sealer, key, version, &request.tags),
            expected: None,
            wraps,
            manifest,
        })
    }

    /// What a copy has of its source's parts: what they are, sealed anew, and MACs over where they lie.
    async fn seal_manifest(
        &self,
        source: &Source,
        to: &Destination<'_>,
        wraps: &[Bytes],
    ) -> Result<CopiedManifest, MetadataError> {
        let (of, head) = (&source.of, &source.head);
        let mut wraps = wraps.iter();
        let mut parts = Vec::new();
        let mut rows = Vec::new();
        for pieces in by_part(&source.shown.pieces) {
            let number = pieces[0].part;
            let row = source.parts.get(&number).ok_or(MetadataError::RowDamaged)?;
            let opener = self.opener(of.bucket, &row.sealed).await?;
            let facts = opener
                .open_part(&of.key, of.version, number, &row.sealed)
                .map_err(|error| damaged("a copied part", of.bucket, error))?;
            if facts.length != row.length {
                return Err(MetadataError::RowDamaged);
            }
            let sealed = to.sealer.seal_part(to.key, to.version, number, &facts);
            rows.push((
                number,
                part_row(pieces, wraps.by_ref(), &sealed, 0, row.modified),
            ));
            parts.push(sealed);
        }
        let laid = lay_out(rows.iter().map(|(number, row)| (*number, row)));
        let laid = laid.ok_or(MetadataError::RowDamaged)?;
        let mac = |row: &Laid| {
            let total = head.length;
            to.sealer
                .mac(to.key, to.version, total, row.first, &row.entries)
        };
        let macs = laid.iter().map(mac).collect();
        Ok(CopiedManifest { parts, macs })
    }

    /// Wraps the data key of each piece anew, for the part that it is of, or for another.
    async fn rewrap_all(
        &self,
        source: &Source,
        to: &Destination<'_>,
        part: Option<u32>,
    ) -> Result<Vec<Bytes>, MetadataError> {
        let mut wraps = Vec::with_capacity(source.shown.pieces.len());
        for piece in &source.shown.pieces {
            let part = part.unwrap_or(piece.part);
            wraps.push(self.rewrap(source, piece, to, part).await?);
        }
        Ok(wraps)
    }

    /// A piece's data key, wrapped for the part of the destination that will refer to as much of it as lies
    /// in the copied range.
    async fn rewrap(
        &self,
        source: &Source,
        piece: &Piece,
        to: &Destination<'_>,
        part: u32,
    ) -> Result<Bytes, MetadataError> {
        let wrapped = source.wrap_of(piece).ok_or(MetadataError::RowDamaged)?;
        let under = wrap::wrapping_version(wrapped).map_err(|_| MetadataError::RowDamaged)?;
        let opener = self.bucket_key(source.of.bucket, under).await?;
        let from = ReferenceContext {
            blob: piece.blob,
            label_digest: source.bucket.bucket.label.digest(),
            bucket: source.of.bucket,
            key: &source.of.key,
            version: source.of.version,
            part: piece.part,
            length: piece.length,
        };
        let data_key = opener
            .follow(wrapped, &from)
            .map_err(|error| damaged("a copied reference", source.of.bucket, error))?;
        let to_context = ReferenceContext {
            blob: piece.blob,
            label_digest: to.row.bucket.label.digest(),
            bucket: to.row.bucket.id,
            key: to.key,
            version: to.version,
            part,
            length: piece.within(&source.range).length,
        };
        Ok(to.sealer.refer(&data_key, &to_context))
    }
}

fn copied(source: &CopySource) -> Copied {
    Copied {
        bucket: source.bucket,
        key: source.key.clone(),
        version: source.version,
    }
}

fn committed(reply: Reply) -> Result<WallTime, MetadataError> {
    match reply {
        Reply::Committed { modified } => Ok(modified),
        _ => Err(unexpected()),
    }
}
