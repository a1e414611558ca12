//! Where an object's bytes are, asked for a window at a time.
//!
//! A lookup tells of at most `MAX_EXTENTS` extents, and an object may show thousands. So a download holds
//! a window of them, with their keys, and asks on before it runs dry:
//!
//! ```text
//! told, read --> told, ready (≤ 128 + 32) --> being asked for --> untold
//! ```
//!
//! What always holds:
//!
//! - all answers are about the version that the first one found, whatever became of the object since;
//! - extents come in order and without a gap: an answer that does not go on where the one before it
//!   ended is refused;
//! - an error is reported only to who has to wait: what was asked ahead in vain is asked for once more;
//! - what an answer tells is read only for as long as it says: then that very version is looked up again,
//!   since its bytes leave the disks some time after it was replaced or deleted.

use crate::error::{GetError, Pressure};
use crate::extent::{Extent, contradiction, cover};
use crate::inner::Inner;
use crate::plan::served;
use crate::task::Task;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use types::id::{BucketId, VersionId};
use types::manifest::LocatedExtent;
use types::name::ObjectKey;
use types::size::{ByteCount, ByteOffset};
use types::wire::metadata::{Located, Lookup, MAX_EXTENTS, Wanted};

/// With so few extents left, the next ones are asked for.
const LOW: usize = MAX_EXTENTS / 4;

/// What is asked for: one object.
pub(crate) struct Question {
    pub(crate) inner: Arc<Inner>,
    pub(crate) bucket: BucketId,
    pub(crate) key: ObjectKey,
}

/// The next extent, as far as it is known.
pub(crate) enum Next {
    Extent(Arc<Extent>),
    /// It is being asked for.
    Later,
    /// All that was wanted has been told.
    End,
}

/// The extents of what a download wants, in order.
pub(crate) struct Extents {
    question: Arc<Question>,
    version: VersionId,
    ready: VecDeque<Arc<Extent>>,
    /// What is wanted and not told of yet.
    untold: Range<u64>,
    asking: Option<Task<Result<Told, GetError>>>,
    /// What was asked ahead was not answered.
    in_vain: bool,
    /// What was told may be read until then.
    valid: Validity,
}

/// Until when what was told of a version may be read; none: for as long as one likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Validity(Option<Instant>);

impl Validity {
    /// What an answer to a question asked then says.
    fn of(found: &Located, asked: Instant) -> Self {
        let valid_for = Duration::from_millis(found.valid_for_ms);
        Self((found.valid_for_ms > 0).then(|| asked + valid_for))
    }

    fn is_over(self) -> bool {
        self.0.is_some_and(|until| Instant::now() >= until)
    }
}

/// An answer: extents, where they end in the object, and how long all of that may be read.
struct Told {
    extents: Vec<Arc<Extent>>,
    end: u64,
    valid: Validity,
}

impl Question {
    async fn ask(&self, wanted: Wanted, version: Option<VersionId>) -> Result<Located, GetError> {
        let lookup = Lookup {
            bucket: self.bucket,
            key: self.key.clone(),
            wanted,
            version,
        };
        let asked = Instant::now();
        let found = self.inner.look_up(lookup).await?;
        metrics::histogram!("strongroom_gateway_lookup_seconds").record(asked.elapsed());
        Ok(found)
    }

    /// Asks for what follows, of that very version.
    async fn go_on(&self, version: VersionId, untold: Range<u64>) -> Result<Told, GetError> {
        let length = ByteCount::new(untold.end - untold.start);
        let wanted = Wanted::Range(ByteOffset::new(untold.start), length);
        let asked = Instant::now();
        let found = self.ask(wanted, Some(version)).await?;
        if found.version != version {
            return Err(contradiction());
        }
        let valid = Validity::of(&found, asked);
        self.told(found.extents, &untold, valid)
    }

    fn told(
        &self,
        found: Vec<LocatedExtent>,
        untold: &Range<u64>,
        valid: Validity,
    ) -> Result<Told, GetError> {
        let end = cover(&found, untold)?;
        let told = untold.start..end;
        let mut extents = Vec::with_capacity(found.len());
        for located in found {
            let extent = Extent::new(&self.inner, located, &told)?;
            if extent.length() > 0 {
                extents.push(Arc::new(extent));
            }
        }
        Ok(Told {
            extents,
            end,
            valid,
        })
    }
}

impl Extents {
    /// Finds the object, which bytes of it are wanted, and the first of their extents.
    pub(crate) async fn find(
        question: Question,
        wanted: Wanted,
    ) -> Result<(Located, Range<u64>, Self), GetError> {
        let asked = Instant::now();
        let mut found = question.ask(wanted, None).await?;
        let valid = Validity::of(&found, asked);
        let length = found.length;
        let range = match wanted {
            // Only the service knows where parts lie.
            Wanted::Part(_) => part(&found)?,
            wanted => served(wanted, length).ok_or(GetError::RangeNotSatisfiable { length })?,
        };
        let mut extents = Self {
            question: Arc::new(question),
            version: found.version,
            ready: VecDeque::new(),
            untold: range.clone(),
            asking: None,
            in_vain: false,
            valid,
        };
        if !range.is_empty() {
            let shown = std::mem::take(&mut found.extents);
            let told = extents.question.told(shown, &range, valid)?;
            extents.learn(told);
        }
        Ok((found, range, extents))
    }

    /// What is known of the extents ahead.
    pub(crate) fn ready(&self) -> impl Iterator<Item = &Arc<Extent>> {
        self.ready.iter()
    }

    /// Looks the version up again when what was told of it may not be read any more.
    pub(crate) async fn still_there(&mut self) -> Result<(), GetError> {
        if !self.valid.is_over() {
            return Ok(());
        }
        let asked = Instant::now();
        let found = self.question.ask(Wanted::Nothing, Some(self.version));
        let found = found.await?;
        if found.version != self.version {
            return Err(contradiction());
        }
        self.valid = Validity::of(&found, asked);
        Ok(())
    }

    /// The next extent. `Later` only to who does not `wait`.
    pub(crate) async fn next(&mut self, wait: bool) -> Result<Next, GetError> {
        let wait = wait && self.ready.is_empty();
        if let Some(asking) = self.asking.take_if(|task| wait || task.done()) {
            match asking.join().await.ok_or(Pressure::Stopping)? {
                Ok(told) => self.learn(told),
                Err(error) => {
                    tracing::debug!(%error, "the next extents were asked for in vain");
                    self.in_vain = true;
                }
            }
        }
        if wait && self.ready.is_empty() && !self.untold.is_empty() {
            let told = self.question.go_on(self.version, self.untold.clone());
            let told = told.await?;
            self.learn(told);
        }
        let next = match self.ready.pop_front() {
            Some(extent) => Next::Extent(extent),
            None if self.untold.is_empty() => Next::End,
            None => Next::Later,
        };
        self.ask_ahead();
        Ok(next)
    }

    fn ask_ahead(&mut self) {
        let low = self.ready.len() <= LOW && !self.untold.is_empty();
        if !low || self.asking.is_some() || self.in_vain {
            return;
        }
        let (question, version) = (Arc::clone(&self.question), self.version);
        let untold = self.untold.clone();
        let work = async move { question.go_on(version, untold).await };
        self.asking = Some(Task::spawn(work));
    }

    fn learn(&mut self, told: Told) {
        self.untold.start = told.end;
        self.valid = told.valid;
        self.ready.extend(told.extents);
        self.in_vain = false;
    }
}

/// Where the service says that the wanted part lies.
fn part(found: &Located) -> Result<Range<u64>, GetError> {
    let first = found.first.get();
    let end = first.checked_add(found.wanted.get());
    end.filter(|end| *end <= found.length.get())
        .map(|end| first..end)
        .ok_or_else(contradiction)
}
