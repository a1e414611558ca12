//! The routes beside s3s's own operations, in the order in which they are asked.

use crate::s3::{Documents, Whole};
use http::{Extensions, HeaderMap, Method, Uri};
use s3s::route::S3Route;
use s3s::{Body, S3Request, S3Response, S3Result};

/// All of them: s3s takes one.
pub(crate) struct Routes {
    /// What is asked with a document that is to be verified.
    pub(crate) documents: Documents,
    /// Reads whose range is to be ignored.
    pub(crate) whole: Whole,
}

impl Routes {
    /// The one that a request takes, whose signature may be good or not.
    fn of(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        extensions: &mut Extensions,
    ) -> Option<&dyn S3Route> {
        let routes: [&dyn S3Route; 2] = [&self.documents, &self.whole];
        routes
            .into_iter()
            .find(|route| route.is_match(method, uri, headers, extensions))
    }

    /// The one that a request has taken: s3s hands on what it asked [`S3Route::is_match`] with.
    fn taken(&self, request: &mut S3Request<Body>) -> &dyn S3Route {
        let S3Request {
            method,
            uri,
            headers,
            extensions,
            ..
        } = request;
        self.of(method, uri, headers, extensions)
            .expect("a request that took a route takes it again")
    }
}

#[async_trait::async_trait]
impl S3Route for Routes {
    fn is_match(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        extensions: &mut Extensions,
    ) -> bool {
        self.of(method, uri, headers, extensions).is_some()
    }

    async fn check_access(&self, request: &mut S3Request<Body>) -> S3Result<()> {
        self.taken(request).check_access(request).await
    }

    async fn call(&self, mut request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        self.taken(&mut request).call(request).await
    }
}
