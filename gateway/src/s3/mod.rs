//! S3's operations, one file per family, over the data path.
//!
//! s3s has checked the signature, parsed the request, and asked the [gate](crate::refuse) before
//! anything here runs; it serialises what is returned. (Those with documents to be
//! verified are a [route](documents) of their own.) Operations that are not named here it answers
//! with NotImplemented.

mod acl;
mod attributes;
mod bucket;
mod checksum_fields;
mod chosen;
mod claims;
mod complete;
mod condition;
mod copy;
mod copy_part;
mod delete;
mod deletions;
mod documents;
mod headers;
mod list;
mod multipart;
mod parts;
mod pour;
mod read;
mod receive;
mod source;
mod tagging;
mod token;
mod versions;
mod whole;
mod write;

use crate::error::ToS3;
use crate::identity::{Access, Caller, Identity};
use client::Client;
use s3s::auth::Credentials;
use s3s::dto::*;
use s3s::{S3, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use types::wire::metadata::Bucket;
use types::{BucketName, ObjectKey};

pub(crate) use documents::{DOCUMENT, Documents, LONG_DOCUMENT};
pub(crate) use whole::Whole;

/// S3 on top of a client of the cluster.
#[derive(Clone)]
pub(crate) struct Adapter {
    client: Arc<Client>,
    identity: Identity,
    region: String,
    /// See [`crate::Limits::signed_streams`].
    signed_streams: Arc<Semaphore>,
    /// Completions at once: each holds what its client says of up to 10 000 parts, and what is stored of
    /// them, some ten megabytes.
    completions: Arc<Semaphore>,
    /// Copies at once whose bytes go through this gateway: each holds what it reads while it waits for
    /// memory to write it.
    copies: Arc<Semaphore>,
}

/// See [`Adapter`].
const COMPLETIONS: usize = 16;
/// See [`Adapter`].
const COPIES: usize = 16;
/// How long a request waits for its turn before it is told to slow down.
const PLACE_PATIENCE: Duration = Duration::from_secs(10);

/// A turn: one of so many places.
async fn place(places: &Semaphore) -> S3Result<SemaphorePermit<'_>> {
    match tokio::time::timeout(PLACE_PATIENCE, places.acquire()).await {
        Ok(Ok(place)) => Ok(place),
        _ => Err(S3ErrorCode::SlowDown.into()),
    }
}

impl Adapter {
    /// S3 for `identity` in `region`.
    pub(crate) fn new(
        client: Arc<Client>,
        identity: Identity,
        region: String,
        signed_streams: usize,
    ) -> Self {
        Self {
            client,
            identity,
            region,
            signed_streams: Arc::new(Semaphore::new(signed_streams)),
            completions: Arc::new(Semaphore::new(COMPLETIONS)),
            copies: Arc::new(Semaphore::new(COPIES)),
        }
    }

    /// Finds a bucket by the name in a request, whose `owner` must be whom the request expects.
    ///
    /// # Errors
    /// What the caller may not read does not exist, whatever else is wrong with the request. What it
    /// may read and not write is denied.
    async fn bucket(
        &self,
        credentials: Option<&Credentials>,
        access: Access,
        name: String,
        owner: Option<String>,
    ) -> S3Result<Bucket> {
        let caller = self.caller(credentials).await?;
        let bucket = self
            .client
            .bucket(&bucket_name(name)?)
            .await
            .map_err(ToS3::to_s3)?;
        caller.allows(&bucket, access)?;
        match owner {
            Some(owner) if owner != bucket.owner => Err(S3ErrorCode::AccessDenied.into()),
            _ => Ok(bucket),
        }
    }

    /// The owner of a bucket, and so of all that is in it, as the caller is shown it.
    async fn owner(&self, credentials: Option<&Credentials>, bucket: &Bucket) -> S3Result<Owner> {
        Ok(self.caller(credentials).await?.shown(&bucket.owner))
    }

    /// Whose request it is. The gate lets no request without credentials pass. Asked again, since its body
    /// may have been long in coming.
    async fn caller(&self, credentials: Option<&Credentials>) -> S3Result<Arc<Caller>> {
        match credentials {
            Some(credentials) => self.identity.caller(&credentials.access_key).await,
            None => Err(S3ErrorCode::AccessDenied.into()),
        }
    }
}

fn bucket_name(name: String) -> S3Result<BucketName> {
    BucketName::try_from(name).map_err(|_| S3ErrorCode::InvalidBucketName.into())
}

fn object_key(key: String) -> S3Result<ObjectKey> {
    ObjectKey::try_from(key).map_err(|_| S3ErrorCode::KeyTooLongError.into())
}

/// Buckets are not versioned: their objects have the version `null` alone.
fn null_version(version: Option<&str>) -> S3Result<()> {
    match version {
        None | Some("null") => Ok(()),
        Some(_) => Err(s3_error!(InvalidArgument, "Invalid version id specified")),
    }
}

#[async_trait::async_trait]
impl S3 for Adapter {
    async fn list_buckets(
        &self,
        request: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        bucket::list(self, request).await
    }

    async fn create_bucket(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        bucket::create(self, request).await
    }

    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        bucket::head(self, request).await
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        bucket::location(self, request).await
    }

    async fn delete_bucket(
        &self,
        request: S3Request<DeleteBucketInput>,
    ) -> S3Result<S3Response<DeleteBucketOutput>> {
        bucket::delete(self, request).await
    }

    async fn put_object(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        write::put(self, request).await
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        read::get(self, request).await
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        read::head(self, request).await
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        delete::one(self, request).await
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        multipart::create(self, request).await
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        parts::upload(self, request).await
    }

    async fn upload_part_copy(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        copy_part::copy(self, request).await
    }

    async fn copy_object(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        copy::copy(self, request).await
    }

    async fn get_object_attributes(
        &self,
        request: S3Request<GetObjectAttributesInput>,
    ) -> S3Result<S3Response<GetObjectAttributesOutput>> {
        attributes::get(self, request).await
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        multipart::abort(self, request).await
    }

    async fn list_parts(
        &self,
        request: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        parts::list(self, request).await
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        multipart::list(self, request).await
    }

    async fn get_object_tagging(
        &self,
        request: S3Request<GetObjectTaggingInput>,
    ) -> S3Result<S3Response<GetObjectTaggingOutput>> {
        tagging::get_object(self, request).await
    }

    async fn delete_object_tagging(
        &self,
        request: S3Request<DeleteObjectTaggingInput>,
    ) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
        tagging::delete_object(self, request).await
    }

    async fn get_bucket_tagging(
        &self,
        request: S3Request<GetBucketTaggingInput>,
    ) -> S3Result<S3Response<GetBucketTaggingOutput>> {
        tagging::get_bucket(self, request).await
    }

    async fn delete_bucket_tagging(
        &self,
        request: S3Request<DeleteBucketTaggingInput>,
    ) -> S3Result<S3Response<DeleteBucketTaggingOutput>> {
        tagging::delete_bucket(self, request).await
    }

    async fn get_bucket_acl(
        &self,
        request: S3Request<GetBucketAclInput>,
    ) -> S3Result<S3Response<GetBucketAclOutput>> {
        acl::get_bucket(self, request).await
    }

    async fn get_object_acl(
        &self,
        request: S3Request<GetObjectAclInput>,
    ) -> S3Result<S3Response<GetObjectAclOutput>> {
        acl::get_object(self, request).await
    }

    async fn get_object_torrent(
        &self,
        request: S3Request<GetObjectTorrentInput>,
    ) -> S3Result<S3Response<GetObjectTorrentOutput>> {
        acl::torrent(self, request).await
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        list::list_v2(self, request).await
    }

    async fn list_objects(
        &self,
        request: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        list::list_v1(self, request).await
    }

    async fn list_object_versions(
        &self,
        request: S3Request<ListObjectVersionsInput>,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        versions::list(self, request).await
    }
}
