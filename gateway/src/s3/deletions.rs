//! DeleteObjects, over the bytes of its document.
//!
//! What a client says of its document, an MD5, a checksum, a signed hash, is to be held against the
//! document's bytes. s3s reads documents by itself: it hands on what it parsed, refuses those that come
//! in aws-chunks, and answers a body that fails with status 500. So this operation is a route of its
//! own: s3s checks the signature and undoes the chunks; everything behind that is here.

use super::{Adapter, delete};
use crate::checksum::Promise;
use crate::digest::Digests;
use crate::error;
use crate::identity::Access;
use crate::md5;
use crate::refuse;
use crate::xml;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Extensions, HeaderMap, HeaderValue, Method, Uri, header};
use s3s::dto::{Delete, DeleteObjectsOutput, DeletedObject, ObjectIdentifier};
use s3s::host::{S3Host, SingleDomain};
use s3s::path::{ParseS3PathError, S3Path, parse_virtual_hosted_style};
use s3s::route::S3Route;
use s3s::xml::{Deserialize, Deserializer, Serialize, Serializer};
use s3s::{Body, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};
use std::net::{IpAddr, SocketAddr};

/// A document: the names of a thousand long keys.
pub(crate) const DOCUMENT: usize = 2 << 20;
/// Objects in one document, as on S3.
const MOST: usize = 1000;
/// Deletions under way at once for one request: they share the metadata service's batches.
const ABREAST: usize = 32;

/// The route of DeleteObjects.
pub(crate) struct Deletions {
    adapter: Adapter,
    domain: Option<SingleDomain>,
}

impl Deletions {
    /// Deletes through `adapter`; `bucket.domain` names a bucket, too.
    pub(crate) fn new(adapter: Adapter, domain: Option<SingleDomain>) -> Self {
        Self { adapter, domain }
    }

    /// The bucket that a request names, in its path or in its host.
    fn bucket(&self, headers: &HeaderMap, uri: &Uri) -> S3Result<String> {
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let domain = self.domain.as_ref();
        let virtual_host = match (host, domain) {
            (Some(host), Some(domain)) if !is_address(host) => {
                Some(domain.parse_host_header(host)?)
            }
            _ => None,
        };
        let bucket = virtual_host.as_ref().and_then(|host| host.bucket());
        match parse_virtual_hosted_style(bucket, &refuse::decode(uri.path())) {
            Ok(S3Path::Bucket { bucket }) => Ok(bucket.into()),
            Ok(_) => Err(S3ErrorCode::NotImplemented.into()),
            Err(ParseS3PathError::InvalidBucketName) => Err(S3ErrorCode::InvalidBucketName.into()),
            Err(_) => Err(S3ErrorCode::InvalidURI.into()),
        }
    }
}

fn is_address(host: &str) -> bool {
    host.parse::<SocketAddr>().is_ok() || host.parse::<IpAddr>().is_ok()
}

#[async_trait::async_trait]
impl S3Route for Deletions {
    fn is_match(&self, method: &Method, uri: &Uri, _: &HeaderMap, _: &mut Extensions) -> bool {
        let query = uri.query().unwrap_or_default();
        *method == Method::POST
            && query
                .split('&')
                .any(|pair| pair == "delete" || pair.starts_with("delete="))
    }

    async fn check_access(&self, request: &mut S3Request<Body>) -> S3Result<()> {
        refuse::check(
            "DeleteObjects",
            request.extensions.get().cloned(),
            request.credentials.as_ref(),
            &request.headers,
            &request.uri,
        )
    }

    async fn call(&self, mut request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let headers = &request.headers;
        let promise = Promise::of(headers)?;
        let expected = md5::expected(headers)?;
        let owner = headers.get("x-amz-expected-bucket-owner");
        let owner = owner.map(|owner| String::from_utf8_lossy(owner.as_bytes()).into_owned());
        let credentials = request.credentials.as_ref();
        let name = self.bucket(headers, &request.uri)?;
        let bucket = self
            .adapter
            .bucket(credentials, Access::Write, name, owner)
            .await?;

        let document = request.input.store_all_limited(DOCUMENT).await;
        let document = document.map_err(error::body)?;
        let mut digests = Digests::new(promise.algorithm());
        digests.update(&document);
        let sums = digests.finish();
        md5::verify(expected, &sums.md5)?;
        promise.keep(&sums.checksum, request.trailing_headers)?;

        let delete = parse(&document)?;
        let quiet = delete.quiet.unwrap_or(false);
        let outcomes: Vec<(ObjectIdentifier, S3Result<()>)> = stream::iter(delete.objects)
            .map(|object| async {
                let outcome = delete::each(&self.adapter, &bucket, &object).await;
                (object, outcome)
            })
            .buffered(ABREAST)
            .collect()
            .await;
        answer(outcomes, quiet)
    }
}

fn parse(document: &Bytes) -> S3Result<Delete> {
    if document.is_empty() {
        return Err(S3ErrorCode::MissingRequestBodyError.into());
    }
    let mut xml = Deserializer::new(document);
    let parsed = Delete::deserialize(&mut xml);
    let parsed = parsed.and_then(|delete| xml.expect_eof().map(|()| delete));
    match parsed {
        Ok(delete) if (1..=MOST).contains(&delete.objects.len()) => Ok(delete),
        _ => Err(S3ErrorCode::MalformedXML.into()),
    }
}

fn answer(
    outcomes: Vec<(ObjectIdentifier, S3Result<()>)>,
    quiet: bool,
) -> S3Result<S3Response<Body>> {
    let mut deleted = Vec::new();
    let mut errors = Vec::new();
    for (object, outcome) in outcomes {
        let key = Some(xml::hide(object.key));
        let version_id = object.version_id.map(xml::hide);
        match outcome {
            Ok(()) if quiet => {}
            Ok(()) => deleted.push(DeletedObject {
                key,
                version_id,
                ..Default::default()
            }),
            Err(error) => errors.push(s3s::dto::Error {
                code: Some(error.code().as_str().to_owned()),
                message: error.message().map(str::to_owned),
                key,
                version_id,
            }),
        }
    }
    let output = DeleteObjectsOutput {
        deleted: Some(deleted),
        errors: Some(errors),
        ..Default::default()
    };
    let mut document = Vec::new();
    let mut xml = Serializer::new(&mut document);
    xml.decl()
        .and_then(|()| output.serialize(&mut xml))
        .map_err(S3Error::internal_error)?;
    let kind = HeaderValue::from_static("application/xml");
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]);
    Ok(S3Response::with_headers(Body::from(document), headers))
}
