//! Disks, for operators.
//!
//! ```text
//! POST /disks/ID/replace    -> {"disk"}: the empty folder of a lost disk becomes a new disk in its place
//! POST /check               {"deep", "repair"}: begins to compare what disks hold with what they should
//! GET  /check               how far that is, and what it found
//! POST /scrub               {"disk"}: begins to read and prove every shard of a disk, or of all, as fast as may be
//! GET  /scrub               how far that is, disk by disk, and what it found
//! ```
//!
//! What cannot be done is answered with a [`Complaint`].

use super::accounts::Complaint;
use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use types::{DiskId, NodeId};

/// Longest body.
const BODY: usize = 16 << 10;

/// How disks are to be compared with the metadata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckRequest {
    /// Read every shard, too, and prove it.
    pub deep: bool,
    /// Have what is missing or damaged made again, and remove what is nobody's.
    pub repair: bool,
}

/// Which disks' shards are to be read and proved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScrubRequest {
    /// One; or all that serve.
    pub disk: Option<DiskId>,
}

/// A disk that took another's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replacement {
    /// Its id.
    pub disk: DiskId,
}

/// What an operator may have done to disks. An error says why not, for people. A process does what it has the parts
/// for, and sends the operator elsewhere with the rest.
pub trait Operations: Send + Sync + 'static {
    /// Makes the empty folder of a lost disk a new disk in its place.
    fn replace(&self, _lost: DiskId) -> BoxFuture<'_, Result<DiskId, String>> {
        elsewhere(ASK_STORAGE)
    }
    /// Begins a check, unless one runs.
    fn begin_check(&self, _request: CheckRequest) -> BoxFuture<'_, Result<(), String>> {
        elsewhere(ASK_STORAGE)
    }
    /// How far the check is that runs or ran last; `null` when none did.
    fn check(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
    /// Begins a round of scrub of a disk, or of all that serve.
    fn begin_scrub(&self, _request: ScrubRequest) -> BoxFuture<'_, Result<(), String>> {
        elsewhere(ASK_STORAGE)
    }
    /// How far the scrub of each disk is.
    fn scrub(&self) -> BoxFuture<'_, serde_json::Value> {
        Box::pin(std::future::ready(serde_json::Value::Null))
    }
    /// Allocates an id for a server process.
    fn add_node(&self) -> BoxFuture<'_, Result<NodeId, String>> {
        elsewhere(ELSEWHERE)
    }
    /// Lays the groups out over the disks that are admitted, unless that was done; how many there are.
    fn lay_out(&self) -> BoxFuture<'_, Result<usize, String>> {
        elsewhere(ELSEWHERE)
    }
}

/// What an operator is told who asks the wrong process.
pub const ELSEWHERE: &str = "this process does not run the metadata servers; ask the one that does";
const ASK_STORAGE: &str = "this process has no disks; ask the storage process that has the disk, at its own admin address";

fn elsewhere<T: Send + 'static>(where_to: &str) -> BoxFuture<'static, Result<T, String>> {
    Box::pin(std::future::ready(Err(where_to.to_owned())))
}

type Shared = State<Arc<dyn Operations>>;

pub(super) fn router(operations: Arc<dyn Operations>) -> Router {
    Router::new()
        .route("/disks/{id}/replace", post(replace))
        .route("/check", get(check).post(begin_check))
        .route("/scrub", get(scrub).post(begin_scrub))
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(operations)
}

async fn replace(State(operations): Shared, Path(id): Path<u64>) -> Response {
    // Begun, it is done to its end, whether or not anybody waits for the answer.
    let work = async move { operations.replace(DiskId::new(id)).await };
    let replaced = tokio::spawn(work).await;
    match replaced.unwrap_or_else(|_| Err("it broke off; see the log, and ask again".to_owned())) {
        Ok(disk) => {
            tracing::info!(lost = id, %disk, "a disk was replaced");
            Json(Replacement { disk }).into_response()
        }
        Err(why) => complaint("NotReplaced", why),
    }
}

async fn begin_check(
    State(operations): Shared,
    body: Result<Json<CheckRequest>, JsonRejection>,
) -> Response {
    match body {
        Ok(Json(request)) => match operations.begin_check(request).await {
            Ok(()) => StatusCode::ACCEPTED.into_response(),
            Err(why) => complaint("NotChecked", why),
        },
        Err(rejection) => rejection.into_response(),
    }
}

async fn check(State(operations): Shared) -> Json<serde_json::Value> {
    Json(operations.check())
}

async fn begin_scrub(
    State(operations): Shared,
    body: Result<Json<ScrubRequest>, JsonRejection>,
) -> Response {
    match body {
        Ok(Json(request)) => match operations.begin_scrub(request).await {
            Ok(()) => StatusCode::ACCEPTED.into_response(),
            Err(why) => complaint("NotScrubbed", why),
        },
        Err(rejection) => rejection.into_response(),
    }
}

async fn scrub(State(operations): Shared) -> Json<serde_json::Value> {
    Json(operations.scrub().await)
}

pub(super) fn complaint(error: &str, message: String) -> Response {
    let complaint = Complaint {
        error: error.to_owned(),
        message,
    };
    (StatusCode::CONFLICT, Json(complaint)).into_response()
}
