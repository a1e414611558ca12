//! What can be asked for, and what is told of it.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One measurement.
#[derive(Deserialize)]
pub(crate) struct Job {
    /// As in `https://127.0.0.1:9443`.
    pub(crate) endpoint: String,
    /// Whom to trust over https.
    pub(crate) ca: Option<PathBuf>,
    /// Signed with.
    pub(crate) access_key: String,
    /// Signed with.
    pub(crate) secret_key: String,
    /// The server's process, when it is ours.
    pub(crate) process: Option<u32>,
    /// Whose objects.
    pub(crate) bucket: String,
    /// How many connections, each with its own thread.
    pub(crate) clients: usize,
    pub(crate) work: Work,
}

/// What to do. Objects are told by their length and their number.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Work {
    /// Make the bucket.
    Bucket,
    /// So many GETs of whole objects, spread over `objects` of them that begin at `from`.
    Get {
        length: u64,
        from: u64,
        objects: u64,
        requests: u64,
    },
    /// One object by ranges, as clients do that download in parallel.
    Ranges { length: u64, part: u64 },
    /// HEAD instead of GET.
    Head {
        length: u64,
        objects: u64,
        requests: u64,
    },
    /// Each on a connection of its own, given up after the first bytes.
    First { length: u64, requests: u64 },
    /// Objects `from`, and so many after it.
    Put {
        length: u64,
        from: u64,
        objects: u64,
        framing: Framing,
    },
    /// One object in parts.
    Parts {
        length: u64,
        from: u64,
        part: u64,
        framing: Framing,
    },
    /// Remove them.
    Delete {
        length: u64,
        from: u64,
        objects: u64,
    },
}

/// How a body is sent.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Framing {
    /// As it is, `UNSIGNED-PAYLOAD`.
    Plain,
    /// As boto3 does: over http with SHA-256 and CRC32 in the head, over https in aws-chunks with a CRC32 behind
    /// them; either way only when the server says that it wants it.
    Boto,
}

/// What was seen.
#[derive(Serialize)]
pub(crate) struct Seen {
    /// From the first request to the last answer; connections stood before.
    pub(crate) seconds: f64,
    /// Of bodies.
    pub(crate) bytes: u64,
    pub(crate) requests: u64,
    /// A request's time in milliseconds: median and 99th percentile.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Milliseconds to the first byte of a body, in the median; 0 when there was none.
    pub(crate) first: f64,
    /// Processor time in seconds.
    pub(crate) client_cpu: f64,
    /// None: not our process.
    pub(crate) server_cpu: Option<f64>,
    /// Resident memory before, and the most of it meanwhile.
    pub(crate) memory: Option<[u64; 2]>,
}
