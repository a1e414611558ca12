//! One lost shard, made again from k others of its chunk.
//!
//! Disks are not believed one by one: what the chunk is, a majority of its records say; every shard that is
//! used hashes to what that majority says of it, and so does what was rebuilt. A disk whose record or bytes
//! say something else is outvoted, and named.

use super::decode::{Combined, Decoder, Lost, Unusable, key};
use super::pace::Pace;
use crate::gauges::label;
use bytes::Bytes;
use erasure::Coder;
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use types::block::{self, SEALED_SEGMENT};
use types::placement::Group;
use types::shard::ChunkDescription;
use types::wire::ShardStore;
use types::wire::storage::{ReadError, ReadShard};
use types::{ByteCount, ChunkId, DiskId, Profile, ShardKey};

/// How long another disk may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A shard as it was, ready to be stored.
#[derive(Debug)]
pub(crate) struct Rebuilt {
    /// What its record says of the chunk.
    pub(crate) chunk: ChunkDescription,
    /// Its blocks with their checksums. Empty for a shard that has none, and is not stored.
    pub(crate) payload: Bytes,
    /// Its share of the memory for rebuilding, until it is stored.
    _memory: Option<OwnedSemaphorePermit>,
}

/// Shards that were found missing, damaged or lying, and where.
pub(crate) type Bad = Vec<(DiskId, ShardKey)>;

/// Why a shard cannot be made again now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RebuildError {
    /// Fewer than k others are at hand.
    #[error("{available} other shards are at hand, and it takes {needed}")]
    TooFew {
        /// How many are.
        available: usize,
        /// k.
        needed: usize,
    },
    /// No description has more than half of the records that answered.
    #[error("the records of the chunk contradict each other")]
    NoMajority,
}

/// Rebuilds shards out of what other disks hold.
pub(crate) struct Rebuilder {
    peers: Arc<dyn ShardStore>,
    coders: Mutex<HashMap<Profile, Arc<Coder>>>,
    /// In KiB, first come first served.
    memory: Arc<Semaphore>,
    most: u32,
}

impl Rebuilder {
    /// One that reads through `peers`, wherever the disks are. What is made at once takes at most so much
    /// memory, or is one shard, which may take more.
    pub(crate) fn new(peers: Arc<dyn ShardStore>, memory: ByteCount) -> Self {
        let most = u32::try_from(memory.get() >> 10).unwrap_or(u32::MAX >> 3);
        Self {
            peers,
            coders: Mutex::default(),
            memory: Arc::new(Semaphore::new(most as usize)),
            most,
        }
    }

    /// Makes shard `wanted` of a chunk again, in pieces. Holds that shard in memory, and of k others what a
    /// piece takes in, at most all; that is reserved before anything is read. What was found bad on the way
    /// goes to `bad`, whatever comes of it.
    ///
    /// # Errors
    /// When too few others can be read, or they contradict each other.
    pub(crate) async fn rebuild(
        &self,
        group: &Group,
        chunk: ChunkId,
        wanted: u8,
        pace: &Pace,
        bad: &mut Bad,
    ) -> Result<Rebuilt, RebuildError> {
        let described = self.describe_all(group, chunk, wanted, bad).await;
        let (description, outvoted) = elect(described)?;
        for index in outvoted.liars {
            let (disk, key) = place(group, chunk, index);
            tracing::error!(
                %disk, %key,
                "outvoted: the shard's record says of the chunk what most of its other records do not"
            );
            metrics::counter!("strongroom_outvoted_total", "disk" => label(disk)).increment(1);
            bad.push((disk, key));
        }
        let lost = Lost {
            group,
            chunk,
            wanted,
            description,
        };
        let (payload, memory) = if lost.blocks(wanted) == 0 {
            (Bytes::new(), None)
        } else {
            let memory = self.reserve(&lost).await;
            let payload = self.prove(&lost, &outvoted.silent, pace, bad).await?;
            (payload.into(), Some(memory))
        };
        Ok(Rebuilt {
            chunk: lost.description,
            payload,
            _memory: memory,
        })
    }

    /// Waits for the memory that it takes: no shard is longer than shard 0.
    async fn reserve(&self, lost: &Lost<'_>) -> OwnedSemaphorePermit {
        let shards = lost.group.profile.data() as u64 + 1;
        let bytes = shards * lost.description.payload_length(0).get();
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let memory = Arc::clone(&self.memory);
        let reserved = memory.acquire_many_owned(kib.min(self.most)).await;
        reserved.expect("never closed")
    }

    /// The lost shard's blocks with their checksums, out of any k shards that hash to what they should.
    async fn prove(
        &self,
        lost: &Lost<'_>,
        silent: &[u8],
        pace: &Pace,
        bad: &mut Bad,
    ) -> Result<Vec<u8>, RebuildError> {
        let others = (0..).take(lost.group.members.len());
        let others = others.filter(|index| *index != lost.wanted);
        // A shard without bytes is stored nowhere, and known all the same.
        let (empty, stored): (Vec<u8>, Vec<u8>) =
            others.partition(|index| lost.blocks(*index) == 0);
        let mut sources = stored;
        sources.retain(|index| !silent.contains(index));
        let needed = lost.group.profile.data();
        loop {
            let from: Vec<u8> = empty.iter().chain(&sources).copied().take(needed).collect();
            if from.len() < needed {
                return Err(RebuildError::TooFew {
                    available: from.len(),
                    needed,
                });
            }
            let useless = match self.combine(lost, &from, pace).await {
                Combined::Proved(payload) => return Ok(payload),
                // Each source is what the majority says, and this is not: the majority contradicts itself.
                Combined::Other => return Err(RebuildError::NoMajority),
                Combined::Useless(useless) => useless,
            };
            for (index, why) in useless {
                sources.retain(|source| *source != index);
                if why == Unusable::Bad {
                    bad.push(place(lost.group, lost.chunk, index));
                }
            }
        }
    }

    /// What each other record says, by index.
    async fn describe_all(
        &self,
        group: &Group,
        chunk: ChunkId,
        wanted: u8,
        bad: &mut Bad,
    ) -> Vec<(u8, Option<ChunkDescription>)> {
        let others = (0..).zip(&group.members).filter(|(i, _)| *i != wanted);
        let mut asked: FuturesUnordered<_> = others
            .map(async |(index, member)| {
                let key = key(group, chunk, index);
                let asked = timeout(PATIENCE, self.peers.describe(member.disk, key));
                (index, member.disk, key, asked.await)
            })
            .collect();
        let mut described = Vec::new();
        while let Some((index, disk, key, answer)) = asked.next().await {
            let answer = match answer {
                Ok(Ok(description)) if well_formed(&description, group.profile) => {
                    Some(description)
                }
                Ok(Ok(_) | Err(ReadError::Corrupt { .. } | ReadError::Io { .. })) => {
                    bad.push((disk, key));
                    None
                }
                Ok(Err(_)) | Err(_) => None,
            };
            described.push((index, answer));
        }
        described
    }

    /// Rebuilds out of k shards, a piece at a time.
    async fn combine(&self, lost: &Lost<'_>, from: &[u8], pace: &Pace) -> Combined {
        let coder = self.coder(lost.group.profile);
        let mut decoder = Decoder::new(lost, from, &coder);
        let rows = decoder.rows();
        let mut first = 0;
        while first < rows {
            let count = pace.blocks(lost.group.profile.class()).min(rows - first);
            let piece = async {
                let read = from
                    .iter()
                    .map(|index| self.blocks(lost, *index, first, count));
                let blocks = usable(from, join_all(read).await)?;
                for row in 0..count {
                    let block = |shard: &Vec<Bytes>| shard.get(row as usize).cloned();
                    let blocks: Vec<Bytes> = blocks
                        .iter()
                        .map(|s| block(s).unwrap_or_default())
                        .collect();
                    decoder.row(&blocks);
                    // Whoever waits for this thread waits for no more than a row.
                    tokio::task::yield_now().await;
                }
                Ok(())
            };
            if let Err(useless) = pace.piece(piece).await {
                return Combined::Useless(useless);
            }
            first += count;
        }
        decoder.finish()
    }

    /// Some blocks of a shard, as many as it has of them.
    async fn blocks(
        &self,
        lost: &Lost<'_>,
        index: u8,
        first: u32,
        count: u32,
    ) -> Result<Vec<Bytes>, Unusable> {
        let count = lost.blocks(index).saturating_sub(first).min(count);
        if count == 0 {
            return Ok(Vec::new());
        }
        let key = lost.key(index);
        let request = ReadShard {
            disk: lost.group.members[usize::from(index)].disk,
            key,
            first_block: first,
            blocks: count,
        };
        let framed = match timeout(PATIENCE, self.peers.read(request)).await {
            Ok(Ok(framed)) => framed,
            Ok(Err(error)) if error.is_of_the_shard() => return Err(Unusable::Bad),
            Ok(Err(_)) | Err(_) => return Err(Unusable::Unread),
        };
        block::verify(key, first, &framed).map_err(|_| Unusable::Bad)
    }

    fn coder(&self, profile: Profile) -> Arc<Coder> {
        let mut coders = self.coders.lock().unwrap_or_else(PoisonError::into_inner);
        let coder = coders.entry(profile);
        Arc::clone(coder.or_insert_with(|| Arc::new(Coder::new(profile))))
    }
}

/// What was read, by source; or which were not.
fn usable<T>(from: &[u8], read: Vec<Result<T, Unusable>>) -> Result<Vec<T>, Vec<(u8, Unusable)>> {
    let mut usable = Vec::with_capacity(read.len());
    let mut useless = Vec::new();
    for (index, answer) in from.iter().zip(read) {
        match answer {
            Ok(blocks) => usable.push(blocks),
            Err(why) => useless.push((*index, why)),
        }
    }
    if useless.is_empty() {
        Ok(usable)
    } else {
        Err(useless)
    }
}

/// Who lost the vote.
#[derive(Debug, PartialEq, Eq)]
struct Outvoted {
    /// They say something else than the majority.
    liars: Vec<u8>,
    /// They say nothing, or lie: nothing is read from them.
    silent: Vec<u8>,
}

/// What more than half of those that answered say.
fn elect(
    answers: Vec<(u8, Option<ChunkDescription>)>,
) -> Result<(ChunkDescription, Outvoted), RebuildError> {
    let said: Vec<_> = answers
        .iter()
        .filter_map(|(_, answer)| answer.as_ref())
        .collect();
    if said.is_empty() {
        return Err(RebuildError::TooFew {
            available: 0,
            needed: 1,
        });
    }
    let votes = |candidate: &ChunkDescription| said.iter().filter(|one| **one == candidate).count();
    let winner = said.iter().find(|one| 2 * votes(one) > said.len());
    let winner = (*winner.ok_or(RebuildError::NoMajority)?).clone();
    let mut outvoted = Outvoted {
        liars: Vec::new(),
        silent: Vec::new(),
    };
    for (index, answer) in answers {
        match answer {
            Some(answer) if answer == winner => {}
            Some(_) => {
                outvoted.liars.push(index);
                outvoted.silent.push(index);
            }
            None => outvoted.silent.push(index),
        }
    }
    Ok((winner, outvoted))
}

/// Whether a description can be computed with: a node that lies must not make this one panic.
fn well_formed(description: &ChunkDescription, profile: Profile) -> bool {
    let most = profile.segments_per_chunk() / profile.data() * SEALED_SEGMENT;
    let lengths = &description.data_lengths;
    description.profile == profile
        && lengths.len() == profile.data()
        && description.digests.len() == profile.shards()
        && lengths.iter().all(|length| *length as usize <= most)
        && lengths.iter().all(|length| *length <= lengths[0])
        && lengths[0] > 0
}

fn place(group: &Group, chunk: ChunkId, index: u8) -> (DiskId, ShardKey) {
    let disk = group.members[usize::from(index)].disk;
    (disk, key(group, chunk, index))
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::BlobId;
    use types::shard::ShardDigest;

    fn says(blob: u64) -> Option<ChunkDescription> {
        Some(ChunkDescription {
            blob: BlobId::new(blob),
            first_segment: 0,
            profile: "4+2".parse().unwrap(),
            data_lengths: vec![100, 0, 0, 0],
            digests: vec![ShardDigest([0; 32]); 6],
        })
    }

    /// More than half of those that answer decide; without them nobody does.
    #[test]
    fn the_majority_of_records_counts() {
        let elected = elect(vec![(0, says(1)), (2, says(2)), (3, None), (4, says(1))]);
        let (winner, outvoted) = elected.unwrap();
        assert_eq!(Some(winner), says(1));
        let expected = Outvoted {
            liars: vec![2],
            silent: vec![2, 3],
        };
        assert_eq!(outvoted, expected);
        let tied = elect(vec![(0, says(1)), (1, says(2))]);
        assert_eq!(tied.unwrap_err(), RebuildError::NoMajority);
        let nobody = elect(vec![(0, None)]).unwrap_err();
        assert!(matches!(nobody, RebuildError::TooFew { available: 0, .. }));
    }

    /// A description that would make the arithmetic fail is not believed.
    #[test]
    fn descriptions_must_be_well_formed() {
        let profile = "4+2".parse().unwrap();
        let good = says(1).unwrap();
        assert!(well_formed(&good, profile));
        let changes: [fn(&mut ChunkDescription); 5] = [
            |bad| bad.data_lengths[0] = 0,
            |bad| bad.data_lengths[1] = 101,
            |bad| bad.data_lengths[0] = u32::MAX,
            |bad| bad.data_lengths.truncate(3),
            |bad| bad.digests.truncate(5),
        ];
        for change in changes {
            let mut bad = good.clone();
            change(&mut bad);
            assert!(!well_formed(&bad, profile), "{bad:?}");
        }
        assert!(!well_formed(&good, "2+1".parse().unwrap()));
    }
}
