//! What happens to every S3 request before and after s3s: it gets an id, a span, a bounded body and
//! metrics; its answer names the id, in a header and in error documents.

use crate::config::Limits;
use crate::date;
use crate::framing::{Framing, Heads};
use crate::ingress::Ingress;
use crate::refuse;
use crate::repeated;
use crate::unsatisfied::Unsatisfied;
use crate::xml;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use rpc::Pace;
use s3s::service::S3Service;
use s3s::{Body, HttpResponse, S3Error, S3ErrorCode, s3_error};
use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use tracing::Instrument;

/// Which operation a request turned out to be, for whoever counts it.
#[derive(Clone, Default)]
pub(crate) struct Operation(Arc<OnceLock<String>>);

impl Operation {
    /// Says it, once.
    pub(crate) fn set(&self, name: String) {
        let _ = self.0.set(name);
    }

    fn name(&self) -> String {
        self.0.get().cloned().unwrap_or_else(|| "none".into())
    }
}

/// The S3 service with what surrounds it.
pub(crate) struct Front {
    s3: S3Service,
    limits: Limits,
}

impl Front {
    /// Serves `s3` within `limits`.
    pub(crate) fn new(s3: S3Service, limits: Limits) -> Self {
        Self { s3, limits }
    }

    /// Answers one request.
    pub(crate) async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<HttpResponse, Infallible> {
        let id = request_id();
        let operation = Operation::default();
        let method = request.method().clone();
        let part = must_part(request.headers());
        let unsatisfied = Unsatisfied::of(request.headers());
        let begun = Instant::now();
        let mut response = self
            .answer(request, operation.clone())
            .instrument(tracing::info_span!("s3", request = %id))
            .await;
        finish(&mut response, &method, &id, &unsatisfied);
        if part {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        let status = response.status().as_u16();
        let name = operation.name();
        metrics::counter!("strongroom_gateway_requests_total", "operation" => name.clone(), "status" => status.to_string())
            .increment(1);
        metrics::histogram!("strongroom_gateway_first_byte_seconds", "operation" => name.clone())
            .record(begun.elapsed());
        tracing::debug!(request = %id, operation = name, status, "answered");
        Ok(response)
    }

    async fn answer(&self, request: Request<Incoming>, operation: Operation) -> HttpResponse {
        let (mut parts, incoming) = request.into_parts();
        if !is_signed(&parts) {
            return refusal(&parts.method, S3ErrorCode::AccessDenied.into());
        }
        if let Err(error) = refuse::lifetime(parts.uri.query().unwrap_or_default()) {
            return refusal(&parts.method, error);
        }
        if is_form(&parts.headers) {
            let error = s3_error!(NotImplemented, "Uploads by form are not implemented.");
            return refusal(&parts.method, error);
        }
        parts.extensions.insert(operation);
        repeated::join(&mut parts.headers);
        let query = parts.uri.query().unwrap_or_default();
        if let Err(error) = date::fill(&mut parts.headers, query) {
            return refusal(&parts.method, error);
        }
        let framing = heads(&parts.headers).map(Framing::new);
        let pace = Pace::new(self.limits.idle, self.limits.least);
        let body = Body::http_body(Ingress::new(incoming, pace, framing));
        match self.s3.call(Request::from_parts(parts, body)).await {
            Ok(response) => response,
            Err(error) => {
                tracing::error!(%error, "s3s could not answer");
                plain(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }
}

/// An empty upload that waits for `100 Continue` is answered without one, since there is nothing to wait
/// for. The AWS command line then takes the next answer on that connection for garbage and stalls for a
/// minute (botocore before 1.44), so the connection ends with the answer.
fn must_part(headers: &HeaderMap) -> bool {
    headers.contains_key(header::EXPECT)
        && headers
            .get(header::CONTENT_LENGTH)
            .is_some_and(|length| length == "0")
}

/// A form's fields would be read before its signature: nobody's body is read before that.
fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| {
        let kind = kind.as_bytes();
        let form = b"multipart/form-data";
        kind.len() >= form.len() && kind[..form.len()].eq_ignore_ascii_case(form)
    })
}

/// Whether the body comes in chunks, and whether those bear signatures.
fn heads(headers: &HeaderMap) -> Option<Heads> {
    let kind = headers.get("x-amz-content-sha256")?.as_bytes();
    if kind.starts_with(b"STREAMING-UNSIGNED-") {
        Some(Heads::Plain)
    } else if kind.starts_with(b"STREAMING-") {
        Some(Heads::Signed)
    } else {
        None
    }
}

/// Whether s3s will look for a signature. Who shows none is told nothing: not even, as s3s would,
/// which operations there are.
fn is_signed(parts: &Parts) -> bool {
    let mut headers = parts.headers.get_all(header::AUTHORIZATION).iter();
    let in_header = match (headers.next(), headers.next()) {
        (Some(only), None) => only.to_str().is_ok(),
        _ => false,
    };
    let query = parts.uri.query().unwrap_or_default();
    let mut names = query.split('&').filter_map(|pair| pair.split('=').next());
    in_header || names.any(|name| refuse::decode(name) == "X-Amz-Signature")
}

fn refusal(method: &Method, error: S3Error) -> HttpResponse {
    let status = error.status_code();
    let mut response = error
        .to_http_response()
        .unwrap_or_else(|_| plain(status.unwrap_or(StatusCode::FORBIDDEN)));
    if method == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    response
}

fn plain(status: StatusCode) -> HttpResponse {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn request_id() -> String {
    let mut id = [0; 8];
    getrandom::fill(&mut id).expect("the system has randomness");
    hex::encode_upper(id)
}

fn finish(response: &mut HttpResponse, method: &Method, id: &str, unsatisfied: &Unsatisfied) {
    let name = HeaderValue::try_from(id).expect("hex is a header value");
    response.headers_mut().insert("x-amz-request-id", name);
    if method == Method::HEAD {
        // s3s answers HEAD with 200 even for a range.
        if response.status() == StatusCode::OK
            && response.headers().contains_key(header::CONTENT_RANGE)
        {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        return;
    }
    let kind = response.headers().get(header::CONTENT_TYPE);
    if kind.is_none_or(|kind| kind != "application/xml") {
        return;
    }
    // Documents are in memory; an object's bytes, whatever their type, are a stream and stay one.
    // (`take_bytes` would drop the stream.)
    if let Some(document) = response.body().bytes() {
        let mut more = unsatisfied.tell(response.headers());
        more.push(("RequestId", id));
        let document = xml::tell(xml::restore(document), &more);
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = Body::from(document);
    }
}
