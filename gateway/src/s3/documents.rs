//! Operations whose documents are held against what the client says of their bytes.
//!
//! An MD5, a checksum, a signed hash: each is of the document's bytes. s3s reads documents by itself: it
//! hands on what it parsed, refuses those that come in aws-chunks, and answers a body that fails with
//! status 500. So these operations are a route of their own: s3s checks the signature and undoes the
//! chunks; the document is read and verified here, and then acted upon by its operation's file.

use super::{Adapter, acl, complete, deletions, tagging};
use crate::checksum::Promise;
use crate::digest::Digests;
use crate::domain::Domains;
use crate::error;
use crate::identity::Access;
use crate::md5;
use crate::refuse;
use crate::xml;
use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use s3s::path::{ParseS3PathError, S3Path, parse_virtual_hosted_style};
use s3s::route::S3Route;
use s3s::xml::{Deserialize, Deserializer, Serialize, Serializer};
use s3s::{Body, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};
use types::wire::metadata::Bucket;

/// A document: the names of a thousand long keys.
pub(crate) const DOCUMENT: usize = 2 << 20;
/// A longer one: ten thousand parts with their ETags and checksums, some 200 bytes each.
pub(crate) const LONG_DOCUMENT: usize = 4 << 20;

/// The route of these operations.
pub(crate) struct Documents {
    adapter: Adapter,
    domains: Domains,
}

/// A document that is what its client said, and where it was sent.
pub(super) struct Document {
    /// The bucket, which the caller may write.
    pub(super) bucket: Bucket,
    /// The object, where one was named.
    pub(super) key: Option<String>,
    bytes: Bytes,
    headers: HeaderMap,
    uri: Uri,
}

#[derive(Clone, Copy)]
enum Operation {
    CompleteMultipartUpload,
    DeleteObjects,
    PutBucketAcl,
    PutBucketTagging,
    PutObjectAcl,
    PutObjectTagging,
}

impl Documents {
    /// Acts through `adapter`; `bucket.domain` names a bucket, too.
    pub(crate) fn new(adapter: Adapter, domains: Domains) -> Self {
        Self { adapter, domains }
    }

    /// The document's bytes, which are what the request says of them.
    async fn read(operation: Operation, request: S3Request<Body>) -> S3Result<Bytes> {
        let (promise, most) = match operation {
            // Its headers have the object's checksum.
            Operation::CompleteMultipartUpload => {
                (Promise::behind(&request.headers)?, LONG_DOCUMENT)
            }
            _ => (Promise::of(&request.headers)?, DOCUMENT),
        };
        let expected = md5::expected(&request.headers)?;
        let mut body = request.input;
        let bytes = body.store_all_limited(most).await;
        let bytes = bytes.map_err(error::body)?;
        let algorithm = promise.algorithm();
        let mut digests = Digests::new(&[algorithm]);
        digests.update(&bytes);
        let sums = digests.finish();
        md5::verify(expected, &sums.md5)?;
        promise.keep(sums.of(algorithm), request.trailing_headers)?;
        Ok(bytes)
    }
}

impl Document {
    /// Reads it.
    ///
    /// # Errors
    /// It is empty, or not one of these.
    pub(super) fn parse<T: for<'xml> Deserialize<'xml>>(&self) -> S3Result<T> {
        if self.bytes.is_empty() {
            return Err(S3ErrorCode::MissingRequestBodyError.into());
        }
        if !xml::is_strict(&self.bytes) {
            return Err(S3ErrorCode::MalformedXML.into());
        }
        let mut xml = Deserializer::new(&self.bytes);
        let parsed = T::deserialize(&mut xml);
        let parsed = parsed.and_then(|parsed| xml.expect_eof().map(|()| parsed));
        parsed.map_err(|_| S3ErrorCode::MalformedXML.into())
    }

    /// Whether it has not a byte.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The request's headers.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// A parameter of the request's query.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        let query = self.uri.query().unwrap_or_default();
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let found = pairs.find(|(known, _)| refuse::decode(known) == name);
        found.map(|(_, value)| refuse::decode(value))
    }
}

/// The document that answers one.
pub(super) fn answer(output: &impl Serialize) -> S3Result<S3Response<Body>> {
    let mut document = Vec::new();
    let mut xml = Serializer::new(&mut document);
    xml.decl()
        .and_then(|()| output.serialize(&mut xml))
        .map_err(S3Error::internal_error)?;
    let kind = HeaderValue::from_static("application/xml");
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]);
    Ok(S3Response::with_headers(Body::from(document), headers))
}

impl Operation {
    /// The operation of a method and a query, as far as they tell: whether an object is named, they do
    /// not.
    fn is_one(method: &Method, uri: &Uri) -> bool {
        match *method {
            Method::POST => asks(uri, "delete") || asks(uri, "uploadId"),
            Method::PUT => asks(uri, "acl") || asks(uri, "tagging"),
            _ => false,
        }
    }

    fn of(method: &Method, uri: &Uri, place: &S3Path) -> S3Result<Self> {
        match (place, method) {
            (S3Path::Bucket { .. }, &Method::POST) if asks(uri, "delete") => {
                Ok(Self::DeleteObjects)
            }
            (S3Path::Object { .. }, &Method::POST) if asks(uri, "uploadId") => {
                Ok(Self::CompleteMultipartUpload)
            }
            (S3Path::Bucket { .. }, &Method::PUT) if asks(uri, "acl") => Ok(Self::PutBucketAcl),
            (S3Path::Object { .. }, &Method::PUT) if asks(uri, "acl") => Ok(Self::PutObjectAcl),
            (S3Path::Bucket { .. }, &Method::PUT) => Ok(Self::PutBucketTagging),
            (S3Path::Object { .. }, &Method::PUT) => Ok(Self::PutObjectTagging),
            _ => Err(S3ErrorCode::NotImplemented.into()),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::CompleteMultipartUpload => "CompleteMultipartUpload",
            Self::DeleteObjects => "DeleteObjects",
            Self::PutBucketAcl => "PutBucketAcl",
            Self::PutBucketTagging => "PutBucketTagging",
            Self::PutObjectAcl => "PutObjectAcl",
            Self::PutObjectTagging => "PutObjectTagging",
        }
    }
}

/// What a request names, in its path or in its host.
pub(super) fn place(domains: &Domains, headers: &HeaderMap, uri: &Uri) -> S3Result<S3Path> {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let bucket = host.and_then(|host| domains.bucket(host));
    parse_virtual_hosted_style(bucket.as_deref(), &refuse::decode(uri.path())).map_err(|error| {
        match error {
            ParseS3PathError::InvalidBucketName => S3ErrorCode::InvalidBucketName.into(),
            ParseS3PathError::KeyTooLong => S3ErrorCode::KeyTooLongError.into(),
            _ => S3ErrorCode::InvalidURI.into(),
        }
    })
}

/// Whether a query has a parameter of that name.
pub(super) fn asks(uri: &Uri, name: &str) -> bool {
    let query = uri.query().unwrap_or_default();
    let mut names = query.split('&').filter_map(|pair| pair.split('=').next());
    names.any(|known| known == name)
}

#[async_trait::async_trait]
impl S3Route for Documents {
    fn is_match(&self, method: &Method, uri: &Uri, _: &HeaderMap, _: &mut Extensions) -> bool {
        Operation::is_one(method, uri)
    }

    async fn check_access(&self, request: &mut S3Request<Body>) -> S3Result<()> {
        let place = place(&self.domains, &request.headers, &request.uri);
        let name = place.and_then(|place| Operation::of(&request.method, &request.uri, &place));
        // Who is not known is not told what else is wrong.
        let name = name.map_or("none", Operation::name);
        refuse::check(
            name,
            request.extensions.get().cloned(),
            request.credentials.as_ref(),
            &request.headers,
            &request.uri,
        )
    }

    async fn call(&self, request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let place = place(&self.domains, &request.headers, &request.uri)?;
        let operation = Operation::of(&request.method, &request.uri, &place)?;
        let (name, key) = match place {
            S3Path::Bucket { bucket } => (bucket, None),
            S3Path::Object { bucket, key } => (bucket, Some(key.into())),
            S3Path::Root => return Err(S3ErrorCode::NotImplemented.into()),
        };
        let owner = request.headers.get("x-amz-expected-bucket-owner");
        let owner = owner.map(|owner| String::from_utf8_lossy(owner.as_bytes()).into_owned());
        let credentials = request.credentials.as_ref();
        let bucket = self
            .adapter
            .bucket(credentials, Access::Write, name.into(), owner)
            .await?;
        let (headers, uri) = (request.headers.clone(), request.uri.clone());
        let document = Document {
            bucket,
            key,
            bytes: Self::read(operation, request).await?,
            headers,
            uri,
        };
        match operation {
            Operation::CompleteMultipartUpload => {
                complete::complete(&self.adapter, &document).await
            }
            Operation::DeleteObjects => deletions::delete(&self.adapter, &document).await,
            Operation::PutBucketAcl | Operation::PutObjectAcl => {
                acl::put(&self.adapter, &document).await?;
                Ok(empty(StatusCode::OK))
            }
            Operation::PutBucketTagging => {
                tagging::put_bucket(&self.adapter, &document).await?;
                Ok(empty(StatusCode::NO_CONTENT))
            }
            Operation::PutObjectTagging => {
                tagging::put_object(&self.adapter, &document).await?;
                Ok(empty(StatusCode::OK))
            }
        }
    }
}

fn empty(status: StatusCode) -> S3Response<Body> {
    S3Response::with_status(Body::empty(), status)
}
