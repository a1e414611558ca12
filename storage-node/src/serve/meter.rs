//! What the shard service does, counted by call: `put`, `read`, `describe`, `report`, `scrub`; `other` is what is
//! none of these.
//!
//! ```text
//! strongroom_shard_requests_total{call,outcome}    requests that ended; see `Outcome`
//! strongroom_shard_bytes_total{call,direction}     in: of bodies that came whole; out: of answers
//! strongroom_shard_seconds{call}                   from a request's head to its answer: its body's way included,
//!                                                  the answer's not
//! strongroom_shard_in_flight{call}                 requests that are under way so far
//! ```

use hyper::body::Body;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use rpc::{Answer, Method, StatusCode};
use std::time::Instant;
use types::wire::shards::Resource;

/// The handles, made once: looking one up by its labels costs more than counting.
pub(super) struct Meters([Meter; 6]);

struct Meter {
    call: Call,
    /// By [`Outcome`].
    ended: [Counter; 6],
    received: Counter,
    sent: Counter,
    seconds: Histogram,
    in_flight: Gauge,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Put,
    Read,
    Describe,
    Report,
    Scrub,
    Other,
}

impl Call {
    const ALL: [Self; 6] = [
        Self::Put,
        Self::Read,
        Self::Describe,
        Self::Report,
        Self::Scrub,
        Self::Other,
    ];

    fn of(method: &Method, resource: Option<Resource>) -> Self {
        match (method, resource) {
            (&Method::PUT, Some(Resource::Shard(..))) => Self::Put,
            (&Method::GET, Some(Resource::Shard(..))) => Self::Read,
            (&Method::GET, Some(Resource::Description(..))) => Self::Describe,
            (&Method::GET, Some(Resource::Disks)) => Self::Report,
            (_, Some(Resource::Scrub | Resource::ScrubOf(_))) => Self::Scrub,
            _ => Self::Other,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Read => "read",
            Self::Describe => "describe",
            Self::Report => "report",
            Self::Scrub => "scrub",
            Self::Other => "other",
        }
    }
}

/// How a request ended.
#[derive(Clone, Copy)]
enum Outcome {
    Ok,
    /// There is no such shard.
    Missing,
    /// Too much is under way.
    Busy,
    /// The request may not, or cannot, be done as it is: its caller's role, an epoch that is over, a full disk.
    Refused,
    /// A damaged shard, a disk that fails or is away.
    Failed,
    /// Its caller did not wait for the answer.
    GivenUp,
}

impl Outcome {
    const ALL: [Self; 6] = [
        Self::Ok,
        Self::Missing,
        Self::Busy,
        Self::Refused,
        Self::Failed,
        Self::GivenUp,
    ];

    fn of(call: Call, status: StatusCode) -> Self {
        match status {
            StatusCode::OK => Self::Ok,
            StatusCode::NOT_FOUND if matches!(call, Call::Read | Call::Describe) => Self::Missing,
            StatusCode::TOO_MANY_REQUESTS => Self::Busy,
            StatusCode::INSUFFICIENT_STORAGE => Self::Refused,
            status if status.is_server_error() => Self::Failed,
            _ => Self::Refused,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::Busy => "busy",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::GivenUp => "given_up",
        }
    }
}

impl Meters {
    pub(super) fn new() -> Self {
        Self(Call::ALL.map(Meter::of))
    }

    /// A request begins.
    pub(super) fn begin(&self, method: &Method, resource: Option<Resource>) -> UnderWay<'_> {
        let meter = &self.0[Call::of(method, resource) as usize];
        meter.in_flight.increment(1);
        UnderWay {
            meter,
            began: Instant::now(),
            outcome: Outcome::GivenUp,
        }
    }
}

impl Meter {
    fn of(call: Call) -> Self {
        let name = call.name();
        let ended = |outcome: Outcome| {
            let outcome = outcome.name();
            counter!("strongroom_shard_requests_total", "call" => name, "outcome" => outcome)
        };
        let bytes = |direction: &'static str| counter!("strongroom_shard_bytes_total", "call" => name, "direction" => direction);
        Self {
            call,
            ended: Outcome::ALL.map(ended),
            received: bytes("in"),
            sent: bytes("out"),
            seconds: histogram!("strongroom_shard_seconds", "call" => name),
            in_flight: gauge!("strongroom_shard_in_flight", "call" => name),
        }
    }
}

/// A request under way. Dropped without an answer, it was given up.
pub(super) struct UnderWay<'a> {
    meter: &'a Meter,
    began: Instant,
    outcome: Outcome,
}

impl UnderWay<'_> {
    /// So many bytes of a body have come.
    pub(super) fn received(&self, bytes: usize) {
        self.meter.received.increment(bytes as u64);
    }

    /// It ends with this.
    pub(super) fn end(mut self, answer: &Answer) {
        let bytes = answer.body().size_hint().exact();
        self.meter.sent.increment(bytes.unwrap_or(0));
        self.outcome = Outcome::of(self.meter.call, answer.status());
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.meter.ended[self.outcome as usize].increment(1);
        self.meter.seconds.record(self.began.elapsed());
        self.meter.in_flight.decrement(1);
    }
}
