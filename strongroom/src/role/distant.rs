//! What a gateway's operator may ask of disks, all of which are elsewhere: what storage nodes do for gateways. The
//! rest is done where the disk is, by its storage process's own operator.

use client::Nodes;
use futures::FutureExt;
use futures::future::BoxFuture;
use gateway::ScrubRequest;
use std::sync::Arc;

/// The disks of storage nodes that are reached over the wire.
pub(super) struct DistantDisks(pub(super) Arc<Nodes>);

impl gateway::Operations for DistantDisks {
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
