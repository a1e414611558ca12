//! Reading entries: from memory, or from where they are stored.

use crate::raft::log::Shared;
use crate::raft::log::memory::{Found, Location};
use crate::raft::log::record::{self, Record};
use crate::raft::types::{Entry, TypeConfig, Vote};
#[cfg(debug_assertions)]
use crate::raft::types::{Position, StoredEntry, StoredPayload};
#[cfg(debug_assertions)]
use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use openraft::{OptionalSend, RaftLogReader};
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

/// Entries that are brought into memory at a time when many are wanted in order.
const STEP: u64 = 256;

/// An entry as a test sees it.
#[cfg(debug_assertions)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Who led when it was written, and where it stands.
    pub at: Position,
    /// What it carries.
    pub carries: Carries,
}

/// What an entry carries, as a test sees it.
#[cfg(debug_assertions)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carries {
    /// Nothing: a new leader's first entry.
    Nothing,
    /// An encoded proposal.
    Proposal(Bytes),
    /// An encoded membership.
    Servers(Vec<u8>),
}

/// Reads the log; any number of them may do so.
#[derive(Clone)]
pub(crate) struct LogReader {
    shared: Arc<Shared>,
}

impl LogReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    #[cfg(debug_assertions)]
    pub(super) async fn logged(&self, from: u64) -> io::Result<Vec<Logged>> {
        let first = self.shared.memory().first_index();
        let from = from.max(first.unwrap_or(from));
        let entries = self.read(from..u64::MAX).await?;
        let entries = entries.into_iter().map(|entry| Logged {
            at: entry.log_id.into(),
            carries: match StoredEntry::from(&entry).payload {
                StoredPayload::Blank => Carries::Nothing,
                StoredPayload::Proposal(proposal) => Carries::Proposal(proposal.0),
                StoredPayload::Servers(servers) => Carries::Servers(types::codec::encode(&servers)),
            },
        });
        Ok(entries.collect())
    }

    async fn read(&self, range: Range<u64>) -> io::Result<Vec<Entry>> {
        let found = self.shared.memory().find(range);
        let mut frame = None;
        let mut entries = Vec::with_capacity(found.len());
        for found in found {
            entries.push(match found {
                Found::Cached(entry) => entry,
                Found::Stored(location) => self.read_stored(location, &mut frame).await?,
            });
        }
        Ok(entries)
    }

    /// Reads one entry; entries of one frame follow one another, so the last frame is kept.
    async fn read_stored(
        &self,
        location: Location,
        last: &mut Option<((u32, u32), Vec<u8>)>,
    ) -> io::Result<Entry> {
        let place = (location.segment, location.block);
        if last.as_ref().is_none_or(|(held, _)| *held != place) {
            let file = self.shared.files().get(&location.segment).cloned();
            let file = file.ok_or_else(|| io::Error::other("the entry was purged meanwhile"))?;
            let plain = file.read(location.block).await.map_err(io::Error::other)?;
            *last = Some((place, plain));
        }
        let plain = last.as_ref().map_or(&[][..], |(_, plain)| plain);
        let offset = usize::try_from(location.offset).expect("frames are far below 4 GiB");
        match record::decode_at(plain, offset).map_err(io::Error::other)? {
            (Record::Entry(entry), _) => Ok(entry.into()),
            _ => Err(io::Error::other(record::NotRecords)),
        }
    }
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.read(half_open(&range)).await
    }

    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let Range { start, end } = half_open(&range);
        let first = self.shared.memory().first_index();
        let start = start.max(first.unwrap_or(start));
        let reader = self.clone();
        stream::unfold(start, move |from| {
            let reader = reader.clone();
            async move {
                let to = end.min(from.saturating_add(STEP));
                if from >= to {
                    return None;
                }
                let (batch, next) = match reader.read(from..to).await {
                    Ok(entries) if entries.is_empty() => return None,
                    Ok(entries) => (entries.into_iter().map(Ok).collect(), to),
                    Err(error) => (vec![Err(error)], end),
                };
                Some((stream::iter(batch), next))
            }
        })
        .flatten()
        .boxed()
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.shared.memory().vote.map(Vote::from))
    }
}

fn half_open(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end.max(start)
}
