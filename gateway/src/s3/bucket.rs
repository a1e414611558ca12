//! Buckets: ListBuckets, CreateBucket, HeadBucket, GetBucketLocation, DeleteBucket.

use super::headers::timestamp;
use super::{Adapter, bucket_name};
use crate::error::ToS3;
use crate::identity::{Access, Caller};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use client::{BucketError, NewBucket};
use s3s::dto::{
    BucketLocationConstraint, CreateBucketInput, CreateBucketOutput, DeleteBucketInput,
    DeleteBucketOutput, GetBucketLocationInput, GetBucketLocationOutput, HeadBucketInput,
    HeadBucketOutput, ListBucketsInput, ListBucketsOutput,
};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use types::wire::metadata::Bucket;

/// The region whose buckets S3 says have no location, and that CreateBucket need not name.
const NAMELESS_REGION: &str = "us-east-1";
/// Buckets on a page, unless fewer are asked for.
const PAGE: usize = 10_000;

pub(super) async fn list(
    adapter: &Adapter,
    request: S3Request<ListBucketsInput>,
) -> S3Result<S3Response<ListBucketsOutput>> {
    let caller = adapter.caller(request.credentials.as_ref()).await?;
    let input = request.input;
    let elsewhere = input
        .bucket_region
        .as_ref()
        .is_some_and(|region| *region != adapter.region);
    let mut buckets = adapter.client.buckets().await.map_err(ToS3::to_s3)?;
    buckets.retain(|bucket| caller.sees(bucket) && caller.owns(bucket) && !elsewhere);
    let (page, next) = page(
        buckets,
        input.prefix.as_deref().unwrap_or_default(),
        input.continuation_token.as_deref(),
        input.max_buckets,
    )?;
    let buckets = page.into_iter().map(|bucket| s3s::dto::Bucket {
        name: Some(bucket.name.into()),
        creation_date: Some(timestamp(bucket.created)),
        bucket_region: Some(adapter.region.clone()),
        ..Default::default()
    });
    Ok(S3Response::new(ListBucketsOutput {
        buckets: Some(buckets.collect()),
        continuation_token: next,
        owner: Some(caller.owner()),
        prefix: input.prefix,
    }))
}

/// The buckets behind the token that begin so, at most as many as asked, and where to go on.
fn page(
    mut buckets: Vec<Bucket>,
    prefix: &str,
    token: Option<&str>,
    asked: Option<i32>,
) -> S3Result<(Vec<Bucket>, Option<String>)> {
    let limit = match asked {
        None => PAGE,
        Some(asked) => usize::try_from(asked)
            .ok()
            .filter(|limit| (1..=PAGE).contains(limit))
            .ok_or_else(|| s3_error!(InvalidArgument, "max-buckets is 1 to 10000."))?,
    };
    let after = token.map(|token| URL_SAFE_NO_PAD.decode(token));
    let after = after.transpose().map_err(|_| {
        s3_error!(
            InvalidArgument,
            "The continuation token provided is incorrect."
        )
    })?;
    buckets.retain(|bucket| {
        let name = bucket.name.as_str();
        name.starts_with(prefix)
            && after
                .as_ref()
                .is_none_or(|after| name.as_bytes() > after.as_slice())
    });
    buckets.sort_by(|a, b| a.name.cmp(&b.name));
    let more = buckets.len() > limit;
    buckets.truncate(limit);
    let last = buckets.last().filter(|_| more);
    let next = last.map(|last| URL_SAFE_NO_PAD.encode(last.name.as_str()));
    Ok((buckets, next))
}

pub(super) async fn create(
    adapter: &Adapter,
    request: S3Request<CreateBucketInput>,
) -> S3Result<S3Response<CreateBucketOutput>> {
    let caller = adapter.caller(request.credentials.as_ref()).await?;
    let input = request.input;
    let configuration = input.create_bucket_configuration.unwrap_or_default();
    if configuration.bucket.is_some()
        || configuration.location.is_some()
        || configuration.tags.is_some_and(|tags| !tags.is_empty())
        || input.bucket_namespace.is_some()
    {
        return Err(s3_error!(
            NotImplemented,
            "Of a bucket's configuration only LocationConstraint is implemented."
        ));
    }
    let location = configuration.location_constraint;
    if !accepts(&adapter.region, location.as_ref().map(|l| l.as_str())) {
        return Err(S3ErrorCode::IllegalLocationConstraintException.into());
    }
    let name = bucket_name(input.bucket)?;
    let location = format!("/{name}");
    let made = adapter
        .client
        .create_bucket(NewBucket {
            tenant: caller.tenant(),
            owner: caller.id().to_owned(),
            name: name.clone(),
            label: caller.label().clone(),
            profile: None,
        })
        .await;
    match made {
        Ok(_) => {}
        Err(BucketError::Exists { owner }) => conflict(&caller, &owner, &adapter.region)?,
        Err(error) => return Err(error.to_s3()),
    }
    Ok(S3Response::new(CreateBucketOutput {
        location: Some(location),
        ..Default::default()
    }))
}

/// What a name that is taken comes to: names are unique at one label, so the bucket is of the caller's. In
/// the nameless region one's own is made twice without complaint, as on S3. Of another's it is told the one
/// thing that cannot be hidden: that the name is taken.
fn conflict(caller: &Caller, owner: &str, region: &str) -> S3Result<()> {
    if owner != caller.id() {
        Err(S3ErrorCode::BucketAlreadyExists.into())
    } else if region == NAMELESS_REGION {
        Ok(())
    } else {
        Err(S3ErrorCode::BucketAlreadyOwnedByYou.into())
    }
}

/// Whether a bucket may be made here that was asked for at `location`.
fn accepts(region: &str, location: Option<&str>) -> bool {
    location.is_none_or(|location| location.is_empty() || location == region)
}

pub(super) async fn head(
    adapter: &Adapter,
    request: S3Request<HeadBucketInput>,
) -> S3Result<S3Response<HeadBucketOutput>> {
    let input = request.input;
    adapter
        .bucket(
            request.credentials.as_ref(),
            Access::Read,
            input.bucket,
            input.expected_bucket_owner,
        )
        .await?;
    Ok(S3Response::new(HeadBucketOutput {
        bucket_region: Some(adapter.region.clone()),
        ..Default::default()
    }))
}

pub(super) async fn location(
    adapter: &Adapter,
    request: S3Request<GetBucketLocationInput>,
) -> S3Result<S3Response<GetBucketLocationOutput>> {
    let input = request.input;
    adapter
        .bucket(
            request.credentials.as_ref(),
            Access::Read,
            input.bucket,
            input.expected_bucket_owner,
        )
        .await?;
    let named = adapter.region != NAMELESS_REGION;
    Ok(S3Response::new(GetBucketLocationOutput {
        location_constraint: named.then(|| BucketLocationConstraint::from(adapter.region.clone())),
    }))
}

pub(super) async fn delete(
    adapter: &Adapter,
    request: S3Request<DeleteBucketInput>,
) -> S3Result<S3Response<DeleteBucketOutput>> {
    let input = request.input;
    let bucket = adapter
        .bucket(
            request.credentials.as_ref(),
            Access::Write,
            input.bucket,
            input.expected_bucket_owner,
        )
        .await?;
    adapter
        .client
        .delete_bucket(&bucket)
        .await
        .map_err(ToS3::to_s3)?;
    Ok(S3Response::new(DeleteBucketOutput {}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::profile::DiskClass;
    use types::wire::metadata::WallTime;
    use types::{BucketId, Label, Profile, TenantId};

    fn buckets(names: &[&str]) -> Vec<Bucket> {
        let bucket = |(id, name): (u64, &&str)| Bucket {
            id: BucketId::new(id),
            tenant: TenantId::new(1),
            owner: "o".into(),
            name: bucket_name((*name).to_owned()).expect("a name"),
            label: Label::default(),
            profile: Profile::new(4, 2, DiskClass::Flash).expect("a profile"),
            created: WallTime(0),
        };
        (1..).zip(names).map(bucket).collect()
    }

    /// Every bucket is on exactly one page.
    /// Method: page through with each page size, with and without a prefix.
    #[test]
    fn pages_cover_all_buckets_once() {
        let names = ["aab", "aac", "bbb", "bbc", "bbd"];
        for prefix in ["", "bb", "x"] {
            for size in 1..=6 {
                let mut seen = Vec::new();
                let mut token: Option<String> = None;
                loop {
                    let all = buckets(&names);
                    let (found, next) =
                        page(all, prefix, token.as_deref(), Some(size)).expect("valid");
                    seen.extend(found.into_iter().map(|b| b.name.as_str().to_owned()));
                    token = next;
                    if token.is_none() {
                        break;
                    }
                }
                let expected: Vec<_> = names.iter().filter(|n| n.starts_with(prefix)).collect();
                assert_eq!(seen.iter().collect::<Vec<_>>(), expected);
            }
        }
        assert!(page(buckets(&names), "", None, Some(0)).is_err());
        assert!(page(buckets(&names), "", Some("?"), None).is_err());
    }

    /// A bucket is made only where it was asked for.
    /// Method: a table of locations.
    #[test]
    fn locations_must_be_ours() {
        assert!(accepts("us-east-1", None));
        assert!(accepts("eu-1", None));
        assert!(accepts("eu-1", Some("eu-1")));
        assert!(!accepts("eu-1", Some("us-east-1")));
        assert!(accepts("us-east-1", Some("")));
    }
}
