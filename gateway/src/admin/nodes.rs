//! Server processes and groups, while a cluster is being made of processes.
//!
//! ```text
//! POST /nodes     -> {"node"}: an id for a server process, never given out again
//! POST /groups    -> {"groups"}: the groups are laid out over the disks that are admitted, once
//! ```
//!
//! Only the process that runs the metadata servers does this. What cannot be done is answered with a [`Complaint`](super::accounts::Complaint).

use super::disks::{Operations, complaint};
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use types::NodeId;

/// An id for a server process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedNode {
    /// The id.
    pub node: NodeId,
}

/// Groups that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaidOut {
    /// How many.
    pub groups: usize,
}

type Shared = State<Arc<dyn Operations>>;

pub(super) fn router(operations: Arc<dyn Operations>) -> Router {
    Router::new()
        .route("/nodes", post(add))
        .route("/groups", post(lay_out))
        .with_state(operations)
}

async fn add(State(operations): Shared) -> Response {
    match operations.add_node().await {
        Ok(node) => {
            tracing::info!(%node, "an id was given to a server process");
            Json(AddedNode { node }).into_response()
        }
        Err(why) => complaint("NotAdded", why),
    }
}

async fn lay_out(State(operations): Shared) -> Response {
    match operations.lay_out().await {
        Ok(groups) => {
            tracing::info!(groups, "the groups are laid out");
            Json(LaidOut { groups }).into_response()
        }
        Err(why) => complaint("NotLaidOut", why),
    }
}
