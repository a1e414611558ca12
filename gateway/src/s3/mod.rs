//! S3's operations, one file per family, over the data path.
//!
//! s3s has checked the signature, parsed the request, and asked the [gate](crate::refuse) before
//! anything here runs; it serialises what is returned. (DeleteObjects is a [route](deletions) of its
//! own.) Operations that are not named here it answers
//! with NotImplemented.

mod bucket;
mod condition;
mod delete;
mod deletions;
mod headers;
mod list;
mod read;
mod write;

use crate::error::ToS3;
use crate::identity::{Access, AccessKey, Identity};
use client::Client;
use s3s::auth::Credentials;
use s3s::dto::*;
use s3s::{S3, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use std::sync::Arc;
use tokio::sync::Semaphore;
use types::wire::metadata::Bucket;
use types::{BucketName, ObjectKey};

pub(crate) use deletions::{DOCUMENT, Deletions};

/// S3 on top of a client of the cluster.
#[derive(Clone)]
pub(crate) struct Adapter {
    client: Arc<Client>,
    identity: Identity,
    region: String,
    /// See [`crate::Limits::signed_streams`].
    signed_streams: Arc<Semaphore>,
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
        let caller = self.caller(credentials)?;
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

    /// Whose request it is. The gate lets no request without credentials pass.
    fn caller(&self, credentials: Option<&Credentials>) -> S3Result<&AccessKey> {
        credentials
            .and_then(|credentials| self.identity.find(&credentials.access_key))
            .ok_or_else(|| S3ErrorCode::AccessDenied.into())
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
}
