//! GET and HEAD whose Range header is to be ignored, or read otherwise than s3s reads it.
//!
//! The header may be part of the signature, and s3s refuses what it cannot parse: so neither can it go
//! before s3s, nor stay. Such a request takes a route of its own. s3s checks its signature with all of its
//! headers; then the header is taken away or replaced, and the request is answered by a service inside, which reads
//! objects, looks for no signature, and is reached from here alone.

use super::documents::{asks, place};
use super::{Adapter, read};
use crate::domain::Domains;
use crate::range::{self, Instead};
use crate::refuse;
use http::header::{AUTHORIZATION, RANGE};
use http::{Extensions, HeaderMap, Method, Request, Uri};
use s3s::auth::Credentials;
use s3s::config::S3ConfigProvider;
use s3s::dto::{GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput};
use s3s::path::S3Path;
use s3s::route::S3Route;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, S3, S3Error, S3Request, S3Response, S3Result};
use std::sync::Arc;

/// What of an object is no range of its bytes: there s3s reads no Range header.
const ASIDE: [&str; 7] = [
    "acl",
    "attributes",
    "legal-hold",
    "retention",
    "tagging",
    "torrent",
    "uploadId",
];

/// The route of these requests.
pub(crate) struct Whole {
    domains: Domains,
    inside: S3Service,
}

/// Reads objects for whoever a [`Proven`] says.
struct Inside(Adapter);

/// Who signed the request.
#[derive(Clone)]
struct Proven(Credentials);

impl Whole {
    /// Reads through `adapter`; `bucket.domain` names a bucket, too.
    pub(crate) fn new(
        adapter: Adapter,
        domains: Domains,
        config: Arc<dyn S3ConfigProvider>,
    ) -> Self {
        let mut builder = S3ServiceBuilder::new(Inside(adapter));
        builder.set_config(config);
        if !domains.is_empty() {
            builder.set_host(domains.clone());
        }
        Self {
            domains,
            inside: builder.build(),
        }
    }
}

#[async_trait::async_trait]
impl S3Route for Whole {
    fn is_match(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        _: &mut Extensions,
    ) -> bool {
        (*method == Method::GET || *method == Method::HEAD)
            && range::instead(headers).is_some()
            && matches!(
                place(&self.domains, headers, uri),
                Ok(S3Path::Object { .. })
            )
            && !ASIDE.iter().any(|name| asks(uri, name))
    }

    async fn check_access(&self, request: &mut S3Request<Body>) -> S3Result<()> {
        let name = match request.method {
            Method::HEAD => "HeadObject",
            _ => "GetObject",
        };
        refuse::check(
            name,
            request.extensions.get().cloned(),
            request.credentials.as_ref(),
            &request.headers,
            &request.uri,
        )
    }

    async fn call(&self, request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let mut again = Request::new(Body::empty());
        *again.method_mut() = request.method;
        *again.uri_mut() = without_signature(&request.uri)?;
        *again.headers_mut() = request.headers;
        let instead = range::instead(again.headers());
        again.headers_mut().remove(RANGE);
        if let Some(Instead::Range(range)) = instead {
            again.headers_mut().insert(RANGE, range);
        }
        again.headers_mut().remove(AUTHORIZATION);
        *again.extensions_mut() = request.extensions;
        if let Some(credentials) = request.credentials {
            again.extensions_mut().insert(Proven(credentials));
        }
        let answer = self.inside.call(again).await;
        let (parts, body) = answer.map_err(S3Error::internal_error)?.into_parts();
        let mut response = S3Response::with_status(body, parts.status);
        response.headers = parts.headers;
        Ok(response)
    }
}

/// What of a presigned URL's query says what is wanted.
fn without_signature(uri: &Uri) -> S3Result<Uri> {
    let query = uri.query().unwrap_or_default();
    let name = |pair: &&str| refuse::decode(pair.split('=').next().unwrap_or_default());
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| name(pair) != "X-Amz-Signature")
        .collect();
    let rest = format!("{}?{}", uri.path(), kept.join("&"));
    rest.parse().map_err(S3Error::internal_error)
}

#[async_trait::async_trait]
impl S3 for Inside {
    async fn get_object(
        &self,
        mut request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        request.credentials = request.extensions.remove().map(|Proven(by)| by);
        read::get(&self.0, request).await
    }

    async fn head_object(
        &self,
        mut request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        request.credentials = request.extensions.remove().map(|Proven(by)| by);
        read::head(&self.0, request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked for stays, and the signature goes.
    /// Method: a table of queries.
    #[test]
    fn only_the_signature_goes() {
        for (uri, kept) in [
            ("/b/k", "/b/k?"),
            ("/b/k?partNumber=2&a=%26", "/b/k?partNumber=2&a=%26"),
            (
                "/b/k?X-Amz-Signature=x&versionId=null",
                "/b/k?versionId=null",
            ),
            ("/b/k?a&X%2DAmz-Signature=x", "/b/k?a"),
        ] {
            let uri: Uri = uri.parse().expect("a URI");
            let kept: Uri = kept.parse().expect("a URI");
            assert_eq!(without_signature(&uri).expect("a URI"), kept);
        }
    }
}
