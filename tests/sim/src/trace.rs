//! Everything that happens in a run, in order and with its time: two runs of a seed must agree to the last
//! line. What is random and decides nothing, as keys are, has no place in it; lengths have.

use crate::bay::lock;
use disk::sim::{Fate, SimDisk};
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

/// What is kept of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// One number.
    Digest,
    /// Every line.
    Lines,
}

/// What happened so far; clones share it.
#[derive(Clone)]
pub(crate) struct Trace(Arc<Mutex<Inner>>);

struct Inner {
    began: Instant,
    digest: Digest,
    lines: Option<Vec<String>>,
}

/// FNV-1a.
struct Digest(u64);

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

impl Trace {
    /// A run begins now.
    pub(crate) fn begin(record: Record) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            began: Instant::now(),
            digest: Digest(0xcbf2_9ce4_8422_2325),
            lines: (record == Record::Lines).then(Vec::new),
        })))
    }

    /// Something happens.
    pub(crate) fn note(&self, what: fmt::Arguments<'_>) {
        let mut inner = lock(&self.0);
        let at = inner.began.elapsed().as_nanos();
        writeln!(inner.digest, "{at} {what}").expect("a number takes any text");
        if let Some(lines) = &mut inner.lines {
            lines.push(format!("{at} {what}"));
        }
    }

    /// Notes every call on a disk that no other script is for.
    pub(crate) fn watch(&self, disk: &SimDisk, whose: impl fmt::Display + Send + 'static) {
        let trace = self.clone();
        disk.script(move |call| {
            let (operation, name, at) = (call.operation, &call.name, call.at.get());
            let length = call.length.get();
            trace.note(format_args!("{whose}: {operation:?} {name} {at} {length}"));
            Fate::Proceed
        });
    }

    /// All of it as one number, and the lines that were kept.
    pub(crate) fn end(&self) -> (u64, Vec<String>) {
        let mut inner = lock(&self.0);
        (inner.digest.0, inner.lines.take().unwrap_or_default())
    }
}
