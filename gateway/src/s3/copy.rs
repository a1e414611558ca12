//! CopyObject: by reference where the cluster can share the bytes, else by value.
//!
//! ```text
//! source as it is --> attributes, tags --> by reference --> answer
//!      ^                                       | NotShareable, or another checksum is asked for
//!      |                                       v
//!      +---- the source changed --------- by value --> answer
//! ```
//!
//! By reference the copy has the source's ETag, checksums and parts; by value it is as if it had been put.
//! A client is answered when the copy is there: nothing is sent while it lasts.

use super::checksum_fields::fill;
use super::condition;
use super::headers::{self, timestamp};
use super::pour::pour;
use super::source::{ROUNDS, Source, copyable};
use super::tagging;
use super::{Adapter, object_key};
use crate::checksum;
use crate::error::ToS3;
use crate::identity::Access;
use client::{Head, PutError, Stored};
use s3s::dto::{
    ChecksumType, CopyObjectInput, CopyObjectOutput, CopyObjectResult, ETag, MetadataDirective,
    TaggingDirective,
};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use types::attributes::{Checksum, ChecksumAlgorithm, ChecksumKind};
use types::wire::metadata::{Bucket, Condition, Tags, Wanted};
use types::{Attributes, ObjectKey};

/// Where something of the copy comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// From the source.
    Source,
    /// From the request.
    Request,
}

/// Where a copy goes, and what it is to be.
struct Target {
    bucket: Bucket,
    key: ObjectKey,
    condition: Condition,
    /// What the request says of it.
    described: Attributes,
    metadata: Origin,
    /// None: the source's.
    tags: Option<Tags>,
    /// The checksum that it must have.
    algorithm: Option<ChecksumAlgorithm>,
}

pub(super) async fn copy(
    adapter: &Adapter,
    request: S3Request<CopyObjectInput>,
) -> S3Result<S3Response<CopyObjectOutput>> {
    checksum::of_nothing(&request.headers)?;
    let mut input = request.input;
    let credentials = request.credentials.as_ref();
    let directive = input.metadata_directive.as_ref();
    let metadata = directive_of(directive.map(MetadataDirective::as_str), "metadata")?;
    let directive = input.tagging_directive.as_ref();
    let tagging = directive_of(directive.map(TaggingDirective::as_str), "tagging")?;
    let algorithm = input.checksum_algorithm.as_ref();
    let algorithm = algorithm.map(|name| checksum::by_name(name.as_str()));
    let source = (&mut input).into();
    let target = Target {
        described: headers::attributes(&mut input)?,
        metadata,
        tags: tags(tagging, input.tagging.as_deref())?,
        algorithm: algorithm.transpose()?,
        condition: condition::of_write(input.if_match.as_ref(), input.if_none_match.as_ref()),
        key: object_key(input.key)?,
        bucket: adapter
            .bucket(
                credentials,
                Access::Write,
                input.bucket,
                input.expected_bucket_owner,
            )
            .await?,
    };
    let source = Source::find(adapter, &request.headers, credentials, source).await?;
    condition::precheck(adapter, &target.bucket, &target.key, &target.condition).await?;
    for _ in 0..ROUNDS {
        let head = source.look(adapter).await?;
        copyable(head.length)?;
        target.differs(&source, &head)?;
        if let Some(result) = target.make(adapter, &source, &head).await? {
            return Ok(S3Response::new(CopyObjectOutput {
                copy_object_result: Some(result),
                ..Default::default()
            }));
        }
    }
    Err(S3ErrorCode::OperationAborted.into())
}

fn directive_of(text: Option<&str>, what: &str) -> S3Result<Origin> {
    match text {
        None | Some("COPY") => Ok(Origin::Source),
        Some("REPLACE") => Ok(Origin::Request),
        Some(_) => Err(s3_error!(InvalidArgument, "Unknown {what} directive.")),
    }
}

/// The tags of the request, where it is to have its own.
fn tags(from: Origin, header: Option<&str>) -> S3Result<Option<Tags>> {
    match (from, header) {
        (Origin::Request, header) => tagging::of_header(header).map(Some),
        (Origin::Source, None) => Ok(None),
        (Origin::Source, Some(_)) => Err(s3_error!(
            InvalidArgument,
            "The header 'x-amz-tagging' needs 'x-amz-tagging-directive: REPLACE'."
        )),
    }
}

impl Target {
    /// A copy of an object onto itself must change something.
    fn differs(&self, source: &Source, head: &Head) -> S3Result<()> {
        let itself = self.bucket.id == source.bucket.id && self.key == source.key;
        let same = self.metadata == Origin::Source
            && self.tags.is_none()
            && self.described.content.website_redirect.is_none()
            && self.shares_sums(head);
        if itself && same {
            return Err(s3_error!(
                InvalidRequest,
                "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes."
            ));
        }
        Ok(())
    }

    /// Whether the source has the checksum that the copy must have.
    fn shares_sums(&self, head: &Head) -> bool {
        self.algorithm.is_none_or(|algorithm| {
            let mut sums = head.attributes.checksums.iter();
            sums.any(|sum| sum.algorithm == algorithm && sum.kind == ChecksumKind::FullObject)
        })
    }

    /// What the copy says of itself, as long as its bytes are the source's.
    fn attributes(&self, head: &Head) -> Attributes {
        let told = match self.metadata {
            Origin::Source => &head.attributes,
            Origin::Request => &self.described,
        };
        let mut content = told.content.clone();
        // A redirect is never copied.
        content
            .website_redirect
            .clone_from(&self.described.content.website_redirect);
        Attributes {
            etag: head.attributes.etag.clone(),
            content,
            user: told.user.clone(),
            checksums: head.attributes.checksums.clone(),
        }
    }

    /// Copies that version of the source. None: it is not the current one any more.
    async fn make(
        &self,
        adapter: &Adapter,
        source: &Source,
        head: &Head,
    ) -> S3Result<Option<CopyObjectResult>> {
        let tags = match &self.tags {
            Some(tags) => tags.clone(),
            None if head.tags == 0 => Tags::default(),
            None => {
                let tags = adapter.client.tags(&source.bucket, &source.key).await;
                tags.map_err(ToS3::to_s3)?
            }
        };
        let attributes = self.attributes(head);
        if self.shares_sums(head) {
            let copied = adapter.client.copy(
                source.version(head),
                &self.bucket,
                self.key.clone(),
                attributes.clone(),
                tags.clone(),
                self.condition.clone(),
            );
            match copied.await {
                Ok(stored) => return Ok(Some(shown(stored, attributes, head.parts))),
                Err(PutError::SourceChanged) => return Ok(None),
                Err(PutError::NotShareable) => {}
                Err(error) => return Err(condition::lost(error)),
            }
        }
        self.by_value(adapter, source, head, attributes, tags).await
    }

    async fn by_value(
        &self,
        adapter: &Adapter,
        source: &Source,
        head: &Head,
        mut attributes: Attributes,
        tags: Tags,
    ) -> S3Result<Option<CopyObjectResult>> {
        let _place = super::place(&adapter.copies).await?;
        let Some(download) = source.read(adapter, head, Wanted::All).await? else {
            return Ok(None);
        };
        let upload = adapter
            .client
            .put(&self.bucket, self.key.clone(), Some(head.length))
            .await
            .map_err(ToS3::to_s3)?;
        let known = &head.attributes.checksums;
        let (upload, sums) = pour(download, upload, self.wanted(known), known).await?;
        attributes.etag = hex::encode(sums.md5);
        attributes.checksums = sums.checksums;
        let stored = upload
            .finish(attributes.clone(), tags, self.condition.clone())
            .await
            .map_err(condition::lost)?;
        Ok(Some(shown(stored, attributes, 0)))
    }

    /// The checksum of new bytes: what is asked for, or what the source has one of.
    fn wanted(&self, known: &[Checksum]) -> ChecksumAlgorithm {
        let known = known.first().map(|sum| sum.algorithm);
        self.algorithm
            .or(known)
            .unwrap_or(ChecksumAlgorithm::Crc64Nvme)
    }
}

fn shown(stored: Stored, attributes: Attributes, parts: u32) -> CopyObjectResult {
    let kind = attributes.checksums.first().map(|sum| sum.kind);
    let mut result = CopyObjectResult {
        e_tag: Some(ETag::Strong(attributes.etag)),
        last_modified: Some(timestamp(stored.modified)),
        checksum_type: kind.map(|kind| ChecksumType::from_static(checksum::kind_name(kind))),
        ..Default::default()
    };
    fill(&mut result, &attributes.checksums, parts);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Directives are S3's two, and tags without theirs are not dropped in silence.
    /// Method: a table of directives and headers.
    #[test]
    fn directives_are_read() {
        assert_eq!(directive_of(None, "x").ok(), Some(Origin::Source));
        assert_eq!(directive_of(Some("COPY"), "x").ok(), Some(Origin::Source));
        assert_eq!(
            directive_of(Some("REPLACE"), "x").ok(),
            Some(Origin::Request)
        );
        assert!(directive_of(Some("replace"), "x").is_err());
        assert!(tags(Origin::Source, None).is_ok_and(|tags| tags.is_none()));
        assert!(tags(Origin::Source, Some("a=b")).is_err());
        let none = tags(Origin::Request, None).expect("none is a set");
        assert_eq!(none, Some(Tags::default()));
        let one = tags(Origin::Request, Some("a=b")).expect("a set");
        assert_eq!(one, Some(Tags(vec![("a".into(), "b".into())])));
    }
}
