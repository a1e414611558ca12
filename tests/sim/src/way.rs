//! The way of one end to whichever metadata server leads.

use crate::fleet::{Fleet, MetadataServer};
use crate::watch::Watch;
use crate::wires::{End, LOST, LOST_CHANGE};
use client::Servers;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use types::codec;
use types::wire::calls::{Call, Carrier, METADATA, UPKEEP, answer_metadata, answer_upkeep};
use types::wire::metadata::MetadataError;
use types::wire::{Metadata, Upkeep};

/// Carries calls of one end to whichever server leads.
pub(crate) struct Way {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) from: End,
    /// Who carries them through pipes.
    pub(crate) servers: Option<Servers>,
}

impl Way {
    /// Who judges what passes here.
    pub(crate) fn watch(&self) -> &Watch {
        &self.fleet.wires.watch
    }

    /// By a function call, over a wire that may lose it.
    async fn call(&self, call: Call) -> Result<Vec<u8>, MetadataError> {
        let unavailable = |why: &str| MetadataError::Unavailable(why.to_owned());
        let Some(server) = self.fleet.believed() else {
            return Err(unavailable("nobody leads"));
        };
        let to = End::Metadata(server.log().id().get());
        let wires = &self.fleet.wires;
        let lost = match call.path {
            "/metadata/commit_object" | "/metadata/delete_object" => LOST_CHANGE,
            _ => LOST,
        };
        // A question that is on its way keeps no server running.
        let there = Arc::downgrade(&server);
        drop(server);
        let answered = async move {
            let server = there.upgrade()?;
            Some(answer(server, call).await)
        };
        let answer = wires.carry(self.from, to, lost, answered).await;
        let Some(Some(answer)) = answer else {
            let millis = self.fleet.draw(2000);
            tokio::time::sleep(Duration::from_millis(millis)).await;
            return Err(unavailable("no answer came"));
        };
        Ok(answer)
    }
}

impl Carrier for Way {
    fn carry(&self, call: Call) -> BoxFuture<'_, Result<Vec<u8>, MetadataError>> {
        async move {
            let trace = &self.fleet.wires.trace;
            let (from, path, length) = (self.from, call.path, call.body.len());
            trace.note(format_args!("{from}: {path} {length}"));
            let answer = match &self.servers {
                Some(servers) => servers.carry(call).await,
                None => self.call(call).await,
            };
            let length = answer.as_ref().map(Vec::len);
            trace.note(format_args!("{from}: {path}: {length:?}"));
            answer
        }
        .boxed()
    }
}

async fn answer(server: MetadataServer, call: Call) -> Vec<u8> {
    let answered = if let Some(name) = call.path.strip_prefix(METADATA) {
        answer_metadata(&*server as &dyn Metadata, name, &call.body)
    } else if let Some(name) = call.path.strip_prefix(UPKEEP) {
        answer_upkeep(&*server as &dyn Upkeep, name, &call.body)
    } else {
        None
    };
    let answer: Result<_, codec::DecodeError> = answered.expect("a call that there is");
    answer.expect("both ends are one build").await
}
