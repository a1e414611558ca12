//! The S3 client, the shared cluster, and what every test says in one line.

use crate::scheme::Scheme;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{BehaviorVersion, Config, Credentials, Region, SharedHttpClient};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::Duration;
use strongroom_tests::{Cluster, Content};

pub(crate) const KIB: u64 = 1024;
pub(crate) const MIB: u64 = 1024 * KIB;
/// An object up to this size is kept in a metadata row.
pub(crate) const INLINE: u64 = 4 * KIB;
/// The unit of sealing.
pub(crate) const SEGMENT: u64 = 64 * KIB;
/// The unit of coding at 4+2 on flash: four shards of sixteen segments.
pub(crate) const CHUNK: u64 = 4 * 16 * SEGMENT;

/// Larger bodies are made while they are sent.
const HELD: u64 = 32 * MIB;
const PATIENCE: Duration = Duration::from_secs(180);

/// The cluster that all harmless tests share. Its keeper ends it with the test process.
pub(crate) fn cluster() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| Cluster::start("shared").expect("the shared cluster starts"))
}

/// A client with the cluster's own credentials, over http.
pub(crate) fn client(cluster: &Cluster) -> Client {
    Scheme::Http.client(cluster)
}

/// A client with any credentials, which never retries: a refusal must be seen.
pub(crate) fn client_as(
    cluster: &Cluster,
    scheme: Scheme,
    access_key: &str,
    secret_key: &str,
) -> Client {
    let (url, connector) = (scheme.url(cluster), scheme.connector(cluster));
    client_at(url, connector, access_key, secret_key)
}

/// The same, wherever S3 is served.
pub(crate) fn client_at(
    url: String,
    connector: SharedHttpClient,
    access_key: &str,
    secret_key: &str,
) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(url)
        .credentials_provider(Credentials::new(
            access_key, secret_key, None, None, "tests",
        ))
        .force_path_style(true)
        .http_client(connector)
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().operation_timeout(PATIENCE).build());
    Client::from_conf(config.build())
}

/// Creates a bucket that must not exist yet.
pub(crate) async fn make_bucket(client: &Client, name: &str) {
    client
        .create_bucket()
        .bucket(name)
        .send()
        .await
        .map_err(refusal)
        .expect("the bucket is created");
}

/// Uploads an object.
pub(crate) async fn put(
    client: &Client,
    bucket: &str,
    key: &str,
    content: Content,
) -> Result<(), Refusal> {
    let length = i64::try_from(content.length).expect("an object's length");
    let request = client
        .put_object()
        .bucket(bucket)
        .key(key)
        .content_length(length)
        .body(body(content));
    request.send().await.map(drop).map_err(refusal)
}

fn body(content: Content) -> ByteStream {
    if content.length <= HELD {
        return ByteStream::from(content.all());
    }
    ByteStream::new(SdkBody::from_body_1_x(Pour { content, at: 0 }))
}

/// Asks for an object; its body is not read yet.
pub(crate) async fn get(
    client: &Client,
    bucket: &str,
    key: &str,
) -> Result<GetObjectOutput, Refusal> {
    let request = client.get_object().bucket(bucket).key(key);
    request.send().await.map_err(refusal)
}

/// Asks for an object's headers.
pub(crate) async fn head(
    client: &Client,
    bucket: &str,
    key: &str,
) -> Result<HeadObjectOutput, Refusal> {
    let request = client.head_object().bucket(bucket).key(key);
    request.send().await.map_err(refusal)
}

/// Deletes an object.
pub(crate) async fn delete(client: &Client, bucket: &str, key: &str) -> Result<(), Refusal> {
    let request = client.delete_object().bucket(bucket).key(key);
    request.send().await.map(drop).map_err(refusal)
}

/// Asks for the first page of a listing of all keys that begin with `prefix`.
pub(crate) async fn list(
    client: &Client,
    bucket: &str,
    prefix: &str,
) -> Result<ListObjectsV2Output, Refusal> {
    let request = client.list_objects_v2().bucket(bucket).prefix(prefix);
    request.send().await.map_err(refusal)
}

/// Downloads an object and compares every byte. The error says what was wrong.
pub(crate) async fn check(
    client: &Client,
    bucket: &str,
    key: &str,
    content: Content,
) -> Result<(), String> {
    let answer = get(client, bucket, key).await;
    let answer = answer.map_err(|error| format!("{key}: {error:?}"))?;
    let expected = i64::try_from(content.length).ok();
    if answer.content_length() != expected {
        return Err(format!(
            "{key}: {:?} bytes announced, not {expected:?}",
            answer.content_length()
        ));
    }
    compare(answer.body, content)
        .await
        .map_err(|error| format!("{key}: {error}"))
}

/// Reads a body to its end and compares every byte.
pub(crate) async fn compare(mut body: ByteStream, content: Content) -> Result<(), String> {
    let mut at = 0;
    while let Some(bytes) = body.next().await {
        let bytes = bytes.map_err(|error| format!("broken off after {at} bytes: {error}"))?;
        if let Some(place) = content.first_wrong(at, &bytes) {
            return Err(format!("WRONG BYTE at {place}"));
        }
        at += bytes.len() as u64;
    }
    if at == content.length {
        Ok(())
    } else {
        Err(format!("ended after {at} of {} bytes", content.length))
    }
}

/// What a server, or the way to it, said no with.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// None when no answer came.
    pub(crate) status: Option<u16>,
    pub(crate) code: Option<String>,
    pub(crate) request_id: Option<String>,
    /// For people.
    #[expect(dead_code, reason = "read through Debug, in messages of failed tests")]
    pub(crate) told: String,
}

impl Refusal {
    /// True when the server answered with this status and S3 error code.
    pub(crate) fn is(&self, status: u16, code: &str) -> bool {
        self.status == Some(status) && self.code.as_deref() == Some(code)
    }
}

/// The parts of an SDK error that tests look at.
pub(crate) fn refusal<E>(error: SdkError<E>) -> Refusal
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    Refusal {
        status: error
            .raw_response()
            .map(|response| response.status().as_u16()),
        code: error.code().map(str::to_owned),
        request_id: error.request_id().map(str::to_owned),
        told: format!("{}", aws_sdk_s3::error::DisplayErrorContext(&error)),
    }
}

/// A request body made while it is sent.
struct Pour {
    content: Content,
    at: u64,
}

impl Body for Pour {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let end = self.content.length.min(self.at + MIB);
        if self.at == end {
            return Poll::Ready(None);
        }
        let bytes = self.content.range(self.at..end);
        self.at = end;
        Poll::Ready(Some(Ok(Frame::data(bytes.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.at == self.content.length
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.content.length - self.at)
    }
}
