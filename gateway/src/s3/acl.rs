//! Access control lists of buckets and objects, and torrents, of which there are none.
//!
//! What a list may be is in [`crate::acl`].

use super::documents::Document;
use super::{Adapter, null_version, object_key};
use crate::acl;
use crate::error::ToS3;
use crate::identity::Access;
use s3s::dto::{
    AccessControlPolicy, GetBucketAclInput, GetBucketAclOutput, GetObjectAclInput,
    GetObjectAclOutput, GetObjectTorrentInput, GetObjectTorrentOutput,
};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use types::wire::metadata::{Bucket, Wanted};

pub(super) async fn get_bucket(
    adapter: &Adapter,
    request: S3Request<GetBucketAclInput>,
) -> S3Result<S3Response<GetBucketAclOutput>> {
    let input = request.input;
    let credentials = request.credentials.as_ref();
    let bucket = adapter
        .bucket(
            credentials,
            Access::Read,
            input.bucket,
            input.expected_bucket_owner,
        )
        .await?;
    let owner = adapter.owner(credentials, &bucket).await?;
    Ok(S3Response::new(GetBucketAclOutput {
        grants: Some(acl::of(&owner)),
        owner: Some(owner),
    }))
}

pub(super) async fn get_object(
    adapter: &Adapter,
    request: S3Request<GetObjectAclInput>,
) -> S3Result<S3Response<GetObjectAclOutput>> {
    let input = request.input;
    null_version(input.version_id.as_deref())?;
    let credentials = request.credentials.as_ref();
    let bucket = adapter
        .bucket(
            credentials,
            Access::Read,
            input.bucket,
            input.expected_bucket_owner,
        )
        .await?;
    must_exist(adapter, &bucket, input.key).await?;
    let owner = adapter.owner(credentials, &bucket).await?;
    Ok(S3Response::new(GetObjectAclOutput {
        grants: Some(acl::of(&owner)),
        owner: Some(owner),
        request_charged: None,
    }))
}

/// PutBucketAcl and PutObjectAcl, of which the gate has let none pass whose headers ask for more than there
/// is.
pub(super) async fn put(adapter: &Adapter, document: &Document) -> S3Result<()> {
    if let Some(key) = document.key.clone() {
        null_version(document.query("versionId").as_deref())?;
        must_exist(adapter, &document.bucket, key).await?;
    }
    let canned =
        document.headers().contains_key("x-amz-acl") || document.query("x-amz-acl").is_some();
    match (canned, document.is_empty()) {
        (true, true) => Ok(()),
        (true, false) => Err(S3ErrorCode::UnexpectedContent.into()),
        (false, true) => Err(S3ErrorCode::MissingSecurityHeader.into()),
        (false, false) => {
            let list: S3Result<AccessControlPolicy> = document.parse();
            let list = list.map_err(|_| S3ErrorCode::MalformedACLError)?;
            acl::check(list, &document.bucket.owner)
        }
    }
}

/// An object has no torrent, and S3 makes none any more. Who may not read it is told no more of it.
pub(super) async fn torrent(
    adapter: &Adapter,
    request: S3Request<GetObjectTorrentInput>,
) -> S3Result<S3Response<GetObjectTorrentOutput>> {
    let input = request.input;
    let bucket = adapter
        .bucket(
            request.credentials.as_ref(),
            Access::Read,
            input.bucket,
            input.expected_bucket_owner,
        )
        .await?;
    must_exist(adapter, &bucket, input.key).await?;
    Err(s3_error!(NoSuchKey, "The object has no torrent."))
}

async fn must_exist(adapter: &Adapter, bucket: &Bucket, key: String) -> S3Result<()> {
    let key = object_key(key)?;
    let head = adapter.client.head(bucket, &key, Wanted::Nothing).await;
    head.map(drop).map_err(ToS3::to_s3)
}
