//! One request: what it asks for, whether its caller may, and the answer.

use super::ServeLimits;
use super::budget::{Budget, Paid};
use super::meter::{Meters, UnderWay};
use bytes::Bytes;
use ca::{Identity, Role};
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use rpc::bulk::{BulkLimits, GatherError, gather, length};
use rpc::{Answer, Method, Request, Service, StatusCode, answer};
use serde::Serialize;
use std::sync::Arc;
use types::block::FRAMED_BLOCK;
use types::wire::ShardStore;
use types::wire::scrub::Scrubs;
use types::wire::shards::{self, LONGEST_PUT, LONGEST_SHARD, Resource};
use types::wire::storage::{PutError, PutShard, ReadError, ReadShard};
use types::{DiskId, ShardKey, codec};

/// What requests share.
pub(super) struct Requests {
    shards: Arc<dyn ShardStore>,
    scrubs: Option<Arc<dyn Scrubs>>,
    received: Budget,
    sent: Budget,
    bulk: BulkLimits,
    meters: Meters,
}

impl Requests {
    pub(super) fn new(shards: Arc<dyn ShardStore>, limits: &ServeLimits) -> Self {
        Self {
            shards,
            scrubs: None,
            received: Budget::new(limits.received),
            sent: Budget::new(limits.sent),
            bulk: limits.bulk.clone(),
            meters: Meters::new(),
        }
    }

    pub(super) fn with_scrubs(self, scrubs: Arc<dyn Scrubs>) -> Self {
        Self {
            scrubs: Some(scrubs),
            ..self
        }
    }

    async fn answer(&self, caller: Identity, request: Request) -> Answer {
        let resource = Resource::parse(request.uri().path());
        let under_way = self.meters.begin(request.method(), resource);
        let answer = match resource {
            Some(resource) => self.carry_out(caller, request, resource, &under_way).await,
            None => answer(StatusCode::NOT_FOUND, "there is nothing of this name"),
        };
        under_way.end(&answer);
        answer
    }

    async fn carry_out(
        &self,
        caller: Identity,
        request: Request,
        resource: Resource,
        under_way: &UnderWay<'_>,
    ) -> Answer {
        let (head, body) = request.into_parts();
        if caller.role != Role::Gateway && is_for_gateways(&head.method, resource) {
            tracing::warn!(%caller, method = %head.method, path = head.uri.path(), "refused: it is not for this role");
            return answer(StatusCode::FORBIDDEN, "this is not for your role");
        }
        match (head.method, resource) {
            (Method::PUT, Resource::Shard(disk, key)) => self.put(disk, key, body, under_way).await,
            (Method::GET, Resource::Shard(disk, key)) => {
                match head.uri.query().and_then(shards::read_range) {
                    Some(range) => self.read(disk, key, range).await,
                    None => answer(StatusCode::BAD_REQUEST, "the query names no blocks"),
                }
            }
            (Method::GET, Resource::Description(disk, key)) => {
                match self.shards.describe(disk, key).await {
                    Ok(chunk) => encoded(StatusCode::OK, &chunk),
                    Err(error) => unread(&error),
                }
            }
            (Method::GET, Resource::Disks) => encoded(StatusCode::OK, &self.shards.report().await),
            (method, Resource::Scrub) => self.scrub(&method, None).await,
            (method, Resource::ScrubOf(disk)) => self.scrub(&method, Some(disk)).await,
            _ => answer(StatusCode::METHOD_NOT_ALLOWED, "this cannot be done to it"),
        }
    }

    async fn scrub(&self, method: &Method, disk: Option<DiskId>) -> Answer {
        let Some(scrubs) = &self.scrubs else {
            return answer(StatusCode::NOT_FOUND, "there is no scrub here");
        };
        match (method, disk) {
            (&Method::GET, None) => encoded(StatusCode::OK, &scrubs.scrubbed().await),
            (&Method::POST, disk) => match scrubs.begin_scrub(disk).await {
                Ok(()) => answer(StatusCode::OK, Bytes::new()),
                Err(error) => encoded(status(shards::scrub_status(&error)), &error),
            },
            _ => answer(StatusCode::METHOD_NOT_ALLOWED, "this cannot be done to it"),
        }
    }

    async fn put(
        &self,
        disk: DiskId,
        key: ShardKey,
        body: Incoming,
        under_way: &UnderWay<'_>,
    ) -> Answer {
        let length = match length(&body, LONGEST_PUT) {
            Ok(length) => length,
            Err(GatherError::NoLength) => {
                return answer(StatusCode::LENGTH_REQUIRED, "the body says no length");
            }
            Err(_) => return answer(StatusCode::PAYLOAD_TOO_LARGE, "no shard is so long"),
        };
        let Some(paid) = self.received.take(length) else {
            return self.busy(disk, body).await;
        };
        let body = match gather(body, LONGEST_PUT, Some(self.bulk.pace())).await {
            Ok(body) => body,
            Err(GatherError::TooSlow) => {
                return answer(StatusCode::REQUEST_TIMEOUT, "the body comes too slowly");
            }
            Err(error) => {
                tracing::debug!(%disk, %key, %error, "a shard did not arrive");
                return answer(StatusCode::BAD_REQUEST, "the body broke off");
            }
        };
        under_way.received(body.len());
        let put = match shards::put(disk, key, body) {
            Ok(put) => PutShard {
                payload: paid.hold(put.payload),
                ..put
            },
            Err(error) => return answer(StatusCode::BAD_REQUEST, error.to_string()),
        };
        match self.shards.put(put).await {
            Ok(()) => answer(StatusCode::OK, Bytes::new()),
            Err(error) => unstored(&error),
        }
    }

    /// There is no memory for a body: it is read all the same, and thrown away. A caller that is still sending
    /// would meet a closed connection instead of the answer.
    async fn busy(&self, disk: DiskId, mut body: Incoming) -> Answer {
        let draining = async { while let Some(Ok(_)) = body.frame().await {} };
        drop(tokio::time::timeout(self.bulk.idle, draining).await);
        unstored(&PutError::Busy { disk })
    }

    async fn read(&self, disk: DiskId, key: ShardKey, (first, blocks): (u32, u32)) -> Answer {
        // What is beyond a shard's end is refused by who knows where that is.
        let most = (blocks as usize).saturating_mul(FRAMED_BLOCK);
        let Some(paid) = self.sent.take(most.min(LONGEST_SHARD)) else {
            return unread(&ReadError::Busy { disk });
        };
        let read = self.shards.read(ReadShard {
            disk,
            key,
            first_block: first,
            blocks,
        });
        match read.await {
            Ok(framed) => blocks_of(framed, paid),
            Err(error) => unread(&error),
        }
    }
}

impl Service for Requests {
    fn handle(self: Arc<Self>, caller: Identity, request: Request) -> BoxFuture<'static, Answer> {
        async move { self.answer(caller, request).await }.boxed()
    }
}

/// Other nodes read, and do nothing else.
fn is_for_gateways(method: &Method, resource: Resource) -> bool {
    match resource {
        Resource::Shard(..) => method == Method::PUT,
        Resource::Scrub | Resource::ScrubOf(_) => true,
        Resource::Description(..) | Resource::Disks => false,
    }
}

/// The disk's own buffer goes to the socket.
fn blocks_of(framed: Bytes, paid: Paid) -> Answer {
    answer(StatusCode::OK, paid.hold(framed))
}

fn unstored(error: &PutError) -> Answer {
    encoded(status(shards::put_status(error)), error)
}

fn unread(error: &ReadError) -> Answer {
    encoded(status(shards::read_status(error)), error)
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
}

fn encoded<T: Serialize>(status: StatusCode, value: &T) -> Answer {
    answer(status, codec::encode(value))
}
