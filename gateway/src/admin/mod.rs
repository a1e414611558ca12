//! The admin API of a server process: is it alive, is it ready, what does it count, how is it; and who may
//! use it.
//!
//! ```text
//! GET /healthz   200 while the process serves at all
//! GET /readyz    200 when it can do its work, else 503 and why
//! GET /metrics   Prometheus text
//! GET /status    JSON
//! /users, /keys  users and access keys (see `accounts`)
//! /buckets, /tenants what is in them, and quotas (see `usage`)
//! /disks, /check, /scrub disks (see `disks`)
//! /nodes, /groups processes and groups (see `nodes`)
//! ```
//!
//! It is served over mutual TLS only; what it reports comes from the process through [`Report`].

mod accounts;
mod disks;
mod nodes;
mod usage;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use futures::future::BoxFuture;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::{Arc, OnceLock};
use types::TenantId;
use types::wire::{Accounts, Usages};

pub use accounts::{Complaint, MadeKey};
pub use disks::{CheckRequest, ELSEWHERE, Operations, Replacement, ScrubRequest};
pub use nodes::{AddedNode, LaidOut};

/// What a process says of itself.
pub trait Report: Send + Sync + 'static {
    /// Whether it can do its work now; if not, why, for an operator.
    fn ready(&self) -> BoxFuture<'_, Result<(), String>>;
    /// Its state in detail.
    fn status(&self) -> BoxFuture<'_, serde_json::Value>;
    /// Its metrics as Prometheus text.
    fn metrics(&self) -> String;
}

/// The process's metrics recorder.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Installs the recorder, once in a process: later calls get the same one. What takes its handles earlier is
    /// never counted.
    ///
    /// # Panics
    /// When something else has installed a recorder.
    pub fn install() -> Self {
        static INSTALLED: OnceLock<Metrics> = OnceLock::new();
        INSTALLED
            .get_or_init(|| {
                // Seconds. First bytes take from a fraction of a millisecond to a minute.
                let seconds = [
                    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0,
                ];
                // A read from flash takes less than a tenth of a millisecond, one from a dying disk seconds; and so
                // does what is asked of a shard server.
                let of_disks = [
                    0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02,
                    0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
                ];
                let disks = Matcher::Full("strongroom_disk_seconds".to_owned());
                let shards = Matcher::Full("strongroom_shard_seconds".to_owned());
                // Up to what may wait for a disk.
                let records = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
                let per_sync = Matcher::Suffix("_per_sync".to_owned());
                let builder = PrometheusBuilder::new()
                    .set_buckets(&seconds)
                    .and_then(|builder| builder.set_buckets_for_metric(disks, &of_disks))
                    .and_then(|builder| builder.set_buckets_for_metric(shards, &of_disks))
                    .and_then(|builder| builder.set_buckets_for_metric(per_sync, &records))
                    .expect("there are buckets");
                Self(builder.install_recorder().expect("the only recorder"))
            })
            .clone()
    }

    /// All metrics as Prometheus text.
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }
}

/// The admin API; users are made for `tenant`.
pub(crate) fn router(
    report: Arc<dyn Report>,
    operations: Arc<dyn Operations>,
    accounts: Arc<dyn Accounts>,
    usages: Arc<dyn Usages>,
    tenant: TenantId,
) -> Router {
    without_accounts(report, operations)
        .merge(accounts::router(accounts, tenant))
        .merge(usage::router(usages))
}

/// The admin API of a process that knows no users.
pub(crate) fn without_accounts(report: Arc<dyn Report>, operations: Arc<dyn Operations>) -> Router {
    reports(report)
        .merge(disks::router(Arc::clone(&operations)))
        .merge(nodes::router(operations))
}

fn reports(report: Arc<dyn Report>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .with_state(report)
}

async fn ready(State(report): State<Arc<dyn Report>>) -> (StatusCode, String) {
    match report.ready().await {
        Ok(()) => (StatusCode::OK, "ready\n".into()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn metrics(State(report): State<Arc<dyn Report>>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], report.metrics()).into_response()
}

async fn status(State(report): State<Arc<dyn Report>>) -> Json<serde_json::Value> {
    Json(report.status().await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    struct Fake(Result<(), String>);

    impl Report for Fake {
        fn ready(&self) -> BoxFuture<'_, Result<(), String>> {
            Box::pin(async { self.0.clone() })
        }
        fn status(&self) -> BoxFuture<'_, serde_json::Value> {
            Box::pin(async { serde_json::json!({ "state": "fine" }) })
        }
        fn metrics(&self) -> String {
            "one 1\n".into()
        }
    }

    async fn ask(report: Fake, path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).expect("valid");
        let response = reports(Arc::new(report)).oneshot(request).await;
        let response = response.expect("infallible");
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("in memory");
        (
            status,
            String::from_utf8(body.to_bytes().into()).expect("text"),
        )
    }

    /// Disks answer within microseconds, clients within milliseconds: each is counted in buckets of its own.
    #[test]
    fn disks_have_finer_buckets() {
        let metrics = Metrics::install();
        metrics::histogram!("strongroom_disk_seconds", "disk" => "1").record(0.00003);
        metrics::histogram!("strongroom_shard_seconds", "call" => "read").record(0.00003);
        metrics::histogram!("strongroom_gateway_lookup_seconds").record(0.00003);
        let text = metrics.render();
        for line in [
            "strongroom_disk_seconds_bucket{disk=\"1\",le=\"0.00002\"} 0",
            "strongroom_disk_seconds_bucket{disk=\"1\",le=\"0.00005\"} 1",
            "strongroom_shard_seconds_bucket{call=\"read\",le=\"0.00005\"} 1",
            "strongroom_gateway_lookup_seconds_bucket{le=\"0.001\"} ",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        assert!(
            !text.contains("lookup_seconds_bucket{le=\"0.00005\"}"),
            "{text}"
        );
    }

    /// Each path reports its part; readiness has a status code that probes understand.
    /// Method: ask a process that is ready and one that is not.
    #[tokio::test]
    async fn paths_report() {
        for (path, status, text) in [
            ("/healthz", 200, "ok\n"),
            ("/readyz", 200, "ready\n"),
            ("/metrics", 200, "one 1\n"),
            ("/status", 200, "{\"state\":\"fine\"}"),
            ("/other", 404, ""),
        ] {
            assert_eq!(ask(Fake(Ok(())), path).await, (status, text.into()));
        }
        let waits = Fake(Err("no leader".into()));
        assert_eq!(ask(waits, "/readyz").await, (503, "no leader\n".into()));
    }
}
