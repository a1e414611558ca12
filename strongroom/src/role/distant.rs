//! What a gateway's operator may ask of disks, all of which are elsewhere: what storage nodes do for gateways. The
//! rest is done where the disk is, by its storage process's own operator.

use client::Nodes;
use futures::FutureExt;
use futures::future::BoxFuture;
use gateway::{CheckRequest, ScrubRequest};
use std::sync::Arc;
use types::DiskId;

/// The disks of storage nodes that are reached over the wire.
pub(super) struct DistantDisks(pub(super) Arc<Nodes>);

const ASK_STORAGE: &str =
    "a gateway has no disks; ask the storage process that has the disk, at its own admin address";

impl gateway::Operations for DistantDisks {
    fn replace(&self, _: DiskId) -> BoxFuture<'_, Result<DiskId, String>> {
        async { Err(ASK_STORAGE.to_owned()) }.boxed()
    }

    fn begin_check(&self, _: CheckRequest) -> BoxFuture<'_, Result<(), String>> {
        async { Err(ASK_STORAGE.to_owned()) }.boxed()
    }

    fn check(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    fn begin_scrub(&self, request: ScrubRequest) -> BoxFuture<'_, Result<(), String>> {
        async move {
            let begun = self.0.begin_scrub(request.disk).await;
            begun.map_err(|error| error.to_string())
        }
        .boxed()
    }

    fn scrub(&self) -> BoxFuture<'_, serde_json::Value> {
        async {
            let report = self.0.scrubbed().await;
            serde_json::to_value(report).expect("numbers and text")
        }
        .boxed()
    }
}
