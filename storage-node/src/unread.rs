//! Reads that a device failed. Each is answered by rebuilding, and its shard is made again elsewhere on the
//! disk; but a disk that fails too many of them is on its way out, and is retired.
//!
//! What counts is how many shards could not be read, not how often: one bad spot under a shard that everybody
//! asks for is one, and a bad track of a spinning disk is two or three. Fifty within ten minutes is a surface, a
//! head or a cable. A scrub or a check of a large disk meets in one go what has gathered in a week: so they must
//! also be more than one in a hundred of the reads made meanwhile.
//!
//! A disk that was pulled out fails its reads as well, and may come back: it is retired only by a look that still
//! finds its stamp (`watch`).

use crate::drive::lock;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use types::ShardKey;

/// So many shards that could not be read …
const SHARDS: usize = 50;
/// … within so long …
const WINDOW: Duration = Duration::from_secs(600);
/// … and among so many reads retire a disk.
const READS: u64 = 100 * SHARDS as u64;

/// What a disk failed to read lately.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    reads: AtomicU64,
    lately: Mutex<VecDeque<Failure>>,
    too_many: Mutex<Option<String>>,
}

#[derive(Clone, Copy, Debug)]
struct Failure {
    key: ShardKey,
    at: Instant,
    /// How many reads there had been.
    reads: u64,
}

impl Unread {
    /// A read is made.
    pub(crate) fn read(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    /// Why the disk is to be retired, if it is.
    pub(crate) fn too_many(&self) -> Option<String> {
        lock(&self.too_many).clone()
    }

    /// A read of that shard failed.
    pub(crate) fn failed(&self, key: ShardKey) {
        let (now, reads) = (Instant::now(), self.reads.load(Ordering::Relaxed));
        let mut lately = lock(&self.lately);
        let counts = |failure: &Failure| {
            now.duration_since(failure.at) < WINDOW && reads - failure.reads < READS
        };
        lately.retain(counts);
        if lately.iter().any(|failure| failure.key == key) {
            return;
        }
        lately.push_back(Failure {
            key,
            at: now,
            reads,
        });
        let since = now.duration_since(lately[0].at).as_secs();
        if lately.len() >= SHARDS {
            let why = format!(
                "{SHARDS} shards could not be read within {since} s: it is retired until it is replaced or the \
                 server is started again"
            );
            lock(&self.too_many).get_or_insert(why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{ChunkId, GroupId};

    fn key(chunk: usize) -> ShardKey {
        ShardKey {
            group: GroupId::new(1),
            chunk: ChunkId::new(chunk as u64),
            index: 0,
        }
    }

    /// Which failure retires a disk that fails the read of each of these shards, `pause` apart and after so many
    /// good reads each.
    async fn retired_at(
        shards: impl Iterator<Item = usize>,
        pause: Duration,
        good: u64,
    ) -> Option<usize> {
        let unread = Unread::default();
        for (at, shard) in shards.enumerate() {
            (0..=good).for_each(|_| unread.read());
            unread.failed(key(shard));
            if unread.too_many().is_some() {
                return Some(at + 1);
            }
            tokio::time::advance(pause).await;
        }
        None
    }

    /// Fifty shards in ten minutes, of more than one read in a hundred.
    #[tokio::test(start_paused = true)]
    async fn many_shards_soon_one_after_the_other_retire_a_disk() {
        let second = Duration::from_secs(1);
        assert_eq!(retired_at(0..200, second, 0).await, Some(50));
        assert_eq!(retired_at(0..200, 12 * second, 50).await, Some(50));
        assert_eq!(retired_at(0..200, 13 * second, 0).await, None, "too slowly");
        assert_eq!(retired_at(0..200, second, 102).await, None, "too rarely");
        let few = (0..1000).map(|at| at % 49);
        assert_eq!(retired_at(few, second / 10, 0).await, None, "a bad spot");
    }
}
