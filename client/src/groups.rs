//! The group table as this gateway knows it, and which group takes the next run.
//!
//! The table is cached: a newer one is fetched when a node or the service says that ours is old, and
//! from time to time. A disk that was found unavailable counts as unwell for a while; that only steers
//! the choice of groups, the order of reads and what is tried before a download's first byte; it never
//! makes a shard count as lost.

use crate::session::{lock, patiently};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;
use types::id::{DiskId, GroupId};
use types::placement::{Admission, Epoch, Group, GroupTable};
use types::profile::Profile;
use types::wire::Metadata;
use types::wire::metadata::MetadataError;

/// For so long after a disk was found unavailable, others are preferred.
const UNWELL_FOR: Duration = Duration::from_secs(5);
/// Of a large table so many groups are looked at for each choice.
const LOOKED_AT: usize = 8;

/// The cached table, and what this gateway noticed about disks and groups.
pub(crate) struct Groups {
    metadata: Arc<dyn Metadata>,
    patience: Duration,
    table: Mutex<Arc<GroupTable>>,
    fetched: Mutex<Option<Instant>>,
    fetching: tokio::sync::Mutex<()>,
    unwell: [Mutex<HashMap<DiskId, Instant>>; 2],
    load: Mutex<HashMap<GroupId, Load>>,
}

/// What a disk is wanted for: a full one still reads, and one that reads badly may still be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Write,
    Read,
}

/// Each clone that is held, beside the map's own, is one chunk under way to a group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load(Arc<()>);

/// What the choice between groups looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Candidate {
    /// Unwell disks in slots that the chunk would use.
    unwell: usize,
    /// Chunks under way to it.
    load: usize,
}

impl Groups {
    pub(crate) fn new(metadata: Arc<dyn Metadata>, patience: Duration) -> Self {
        Self {
            metadata,
            patience,
            table: Mutex::default(),
            fetched: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
            unwell: Default::default(),
            load: Mutex::default(),
        }
    }

    /// The table as it is known now; empty before the first fetch.
    pub(crate) fn table(&self) -> Arc<GroupTable> {
        Arc::clone(&lock(&self.table))
    }

    /// A table that was fetched after this call, or by another caller newer than `seen`.
    pub(crate) async fn refresh(&self, seen: u64) -> Result<Arc<GroupTable>, MetadataError> {
        let _one_at_a_time = self.fetching.lock().await;
        let known = self.table();
        if known.version > seen {
            return Ok(known);
        }
        let ask = || self.metadata.group_table(known.version);
        if let Some(newer) = patiently(self.patience, ask).await? {
            *lock(&self.table) = Arc::new(newer);
        }
        *lock(&self.fetched) = Some(Instant::now());
        Ok(self.table())
    }

    /// Fetches the table unless that was done less than `age` before `now`.
    pub(crate) async fn refresh_if_older(
        &self,
        now: Instant,
        age: Duration,
    ) -> Result<(), MetadataError> {
        let fetched = *lock(&self.fetched);
        if fetched.is_none_or(|at| now.duration_since(at) >= age) {
            self.refresh(self.table().version).await?;
        }
        Ok(())
    }

    /// Notes that a disk did not serve.
    pub(crate) fn note_unwell(&self, disk: DiskId, purpose: Purpose) {
        let mut unwell = self.unwell_for(purpose);
        let since = Instant::now();
        unwell.retain(|_, noted| since.duration_since(*noted) < UNWELL_FOR);
        unwell.insert(disk, since);
    }

    /// Notes that a disk served.
    pub(crate) fn note_well(&self, disk: DiskId, purpose: Purpose) {
        let mut unwell = self.unwell_for(purpose);
        if !unwell.is_empty() {
            unwell.remove(&disk);
        }
    }

    /// Whether a disk did not serve a moment ago.
    pub(crate) fn unwell(&self, disk: DiskId, purpose: Purpose) -> bool {
        self.unwell_for(purpose)
            .get(&disk)
            .is_some_and(|since| since.elapsed() < UNWELL_FOR)
    }

    /// Whether any disk did not serve a moment ago.
    pub(crate) fn any_unwell(&self, purpose: Purpose) -> bool {
        let unwell = self.unwell_for(purpose);
        unwell.values().any(|since| since.elapsed() < UNWELL_FOR)
    }

    fn unwell_for(&self, purpose: Purpose) -> MutexGuard<'_, HashMap<DiskId, Instant>> {
        lock(&self.unwell[purpose as usize])
    }

    /// Counts a chunk under way to a group, until the token is dropped.
    pub(crate) fn load(&self, group: GroupId) -> Load {
        lock(&self.load).entry(group).or_default().clone()
    }

    /// Chooses an open group of `profile` for chunks that use the slots for which `uses` is true.
    /// Groups in `tried`, under the epoch they were tried with, are left out, and so are those with more
    /// than `tolerable` unwell disks in these slots.
    pub(crate) fn choose(
        &self,
        profile: Profile,
        uses: impl Fn(usize) -> bool,
        tried: &[(GroupId, Epoch)],
        tolerable: usize,
        mut random: impl FnMut() -> u64,
    ) -> Option<Group> {
        let table = self.table();
        let open: Vec<&Group> = table
            .groups
            .iter()
            .filter(|group| {
                group.profile == profile
                    && group.admission == Admission::Open
                    && group.members.len() == profile.shards()
                    && !tried.contains(&(group.id, group.epoch))
            })
            .collect();
        let looked_at: Vec<&Group> = if open.len() <= LOOKED_AT {
            open
        } else {
            (0..LOOKED_AT)
                .map(|_| open[below(random(), open.len())])
                .collect()
        };
        let candidates: Vec<Candidate> = looked_at
            .iter()
            .map(|group| self.weigh(group, &uses))
            .collect();
        choose(&candidates, tolerable, random(), random()).map(|at| looked_at[at].clone())
    }

    fn weigh(&self, group: &Group, uses: &impl Fn(usize) -> bool) -> Candidate {
        let members = group.members.iter().enumerate();
        Candidate {
            unwell: members
                .filter(|(slot, member)| uses(*slot) && self.unwell(member.disk, Purpose::Write))
                .count(),
            load: lock(&self.load)
                .get(&group.id)
                .map_or(0, |load| Arc::strong_count(&load.0) - 1),
        }
    }
}

/// The less loaded of two random ones, out of those with the fewest unwell disks, if these are tolerable.
fn choose(candidates: &[Candidate], tolerable: usize, one: u64, other: u64) -> Option<usize> {
    let unwell = candidates.iter().map(|candidate| candidate.unwell);
    let fewest = unwell.min().filter(|fewest| *fewest <= tolerable)?;
    let best: Vec<usize> = (0..candidates.len())
        .filter(|at| candidates[*at].unwell == fewest)
        .collect();
    let first = below(one, best.len());
    let step = 1 + below(other, best.len().max(2) - 1);
    let second = (first + step) % best.len();
    let less_loaded = if candidates[best[second]].load < candidates[best[first]].load {
        second
    } else {
        first
    };
    Some(best[less_loaded])
}

fn below(random: u64, limit: usize) -> usize {
    usize::try_from(random % limit as u64).expect("less than a usize")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Health comes before load, and load decides between any two of the healthy.
    #[test]
    fn the_less_loaded_of_two_healthy_groups() {
        let candidate = |unwell, load| Candidate { unwell, load };
        assert_eq!(choose(&[], usize::MAX, 0, 0), None);
        assert_eq!(choose(&[candidate(2, 0), candidate(3, 0)], 1, 0, 0), None);
        assert_eq!(
            choose(&[candidate(2, 0), candidate(1, 9)], 1, 0, 0),
            Some(1)
        );
        let cases = [
            (vec![candidate(2, 9)], vec![0]),
            (vec![candidate(1, 0), candidate(0, 9)], vec![1]),
            (vec![candidate(0, 5), candidate(0, 4)], vec![1]),
            (
                vec![candidate(0, 1), candidate(0, 2), candidate(0, 3)],
                vec![0, 1],
            ),
            (
                vec![candidate(1, 3), candidate(2, 0), candidate(1, 4)],
                vec![0],
            ),
        ];
        for (candidates, possible) in cases {
            for (one, other) in (0..6).flat_map(|one| (0..6).map(move |other| (one, other))) {
                let chosen = choose(&candidates, usize::MAX, one, other).unwrap();
                assert!(possible.contains(&chosen), "{candidates:?}: {chosen}");
            }
        }
    }
}
