//! One lost shard, made again from k others of its chunk.
//!
//! Disks are not believed one by one: what the chunk is, a majority of its records say; every shard that is
//! used hashes to what that majority says of it, and so does what was rebuilt. A disk whose record or bytes
//! say something else is outvoted, and named.

use bytes::Bytes;
use erasure::Coder;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;
use types::block::{self, SEALED_SEGMENT};
use types::placement::Group;
use types::shard::{ChunkDescription, ShardDigest};
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
}

impl Rebuilder {
    /// One that reads through `peers`, wherever the disks are.
    pub(crate) fn new(peers: Arc<dyn ShardStore>) -> Self {
        Self {
            peers,
            coders: Mutex::default(),
        }
    }

    /// Makes shard `wanted` of a chunk again. Holds k + 1 shards in memory at most. What was found bad on the
    /// way goes to `bad`, whatever comes of it.
    ///
    /// # Errors
    /// When too few others can be read, or they contradict each other.
    pub(crate) async fn rebuild(
        &self,
        group: &Group,
        chunk: ChunkId,
        wanted: u8,
        bad: &mut Bad,
    ) -> Result<Rebuilt, RebuildError> {
        let described = self.describe_all(group, chunk, wanted, bad).await;
        let (description, outvoted) = elect(described)?;
        let sources: Vec<u8> = (0..)
            .take(group.members.len())
            .filter(|index| *index != wanted && !outvoted.silent.contains(index))
            .collect();
        for index in outvoted.liars {
            bad.push(place(group, chunk, index));
        }
        if description.sealed_length(wanted) == ByteCount::ZERO {
            return Ok(Rebuilt {
                chunk: description,
                payload: Bytes::new(),
            });
        }
        let shards = self.fetch(group, chunk, &description, sources, bad);
        let shards = shards.await?;
        let sealed = self.combine(&description, &shards, wanted)?;
        if digest(&sealed) != description.digests[usize::from(wanted)] {
            // Each source is what the majority says, and this is not: the majority contradicts itself.
            return Err(RebuildError::NoMajority);
        }
        let key = key(group, chunk, wanted);
        let mut payload = Vec::with_capacity(description.payload_length(wanted).as_usize());
        block::frame(key, 0, &sealed, &mut payload);
        Ok(Rebuilt {
            chunk: description,
            payload: payload.into(),
        })
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
                Ok(Ok(_) | Err(ReadError::Corrupt { .. })) => {
                    bad.push((disk, key));
                    None
                }
                Ok(Err(_)) | Err(_) => None,
            };
            described.push((index, answer));
        }
        described
    }

    /// k shards that hash to what `description` says, by index; as many at a time as are still wanted.
    async fn fetch(
        &self,
        group: &Group,
        chunk: ChunkId,
        description: &ChunkDescription,
        sources: Vec<u8>,
        bad: &mut Bad,
    ) -> Result<HashMap<u8, Vec<Bytes>>, RebuildError> {
        let needed = group.profile.data();
        let mut shards = HashMap::new();
        // A shard without bytes is stored nowhere, and known all the same.
        for index in (0..).take(group.members.len()) {
            if shards.len() < needed && description.sealed_length(index) == ByteCount::ZERO {
                shards.insert(index, Vec::new());
            }
        }
        let stored = |index: &u8| description.sealed_length(*index) > ByteCount::ZERO;
        let mut sources = sources.into_iter().filter(stored);
        let ask = async |index| (index, self.whole(group, chunk, description, index).await);
        let wanted = needed - shards.len();
        let mut asked: FuturesUnordered<_> = sources.by_ref().take(wanted).map(&ask).collect();
        while let Some((index, answer)) = asked.next().await {
            match answer {
                Ok(blocks) => {
                    shards.insert(index, blocks);
                    continue;
                }
                Err(Unusable::Bad) => bad.push(place(group, chunk, index)),
                Err(Unusable::Unread) => {}
            }
            asked.extend(sources.next().map(&ask));
        }
        if shards.len() < needed {
            return Err(RebuildError::TooFew {
                available: shards.len(),
                needed,
            });
        }
        Ok(shards)
    }

    /// The blocks of a whole shard, proved.
    async fn whole(
        &self,
        group: &Group,
        chunk: ChunkId,
        description: &ChunkDescription,
        index: u8,
    ) -> Result<Vec<Bytes>, Unusable> {
        let key = key(group, chunk, index);
        let request = ReadShard {
            disk: group.members[usize::from(index)].disk,
            key,
            first_block: 0,
            blocks: block::count(description.sealed_length(index)),
        };
        let framed = match timeout(PATIENCE, self.peers.read(request)).await {
            Ok(Ok(framed)) => framed,
            Ok(Err(ReadError::Missing { .. } | ReadError::Corrupt { .. })) => {
                return Err(Unusable::Bad);
            }
            Ok(Err(_)) | Err(_) => return Err(Unusable::Unread),
        };
        let blocks = block::verify(key, 0, &framed).map_err(|_| Unusable::Bad)?;
        let mut hasher = blake3::Hasher::new();
        for block in &blocks {
            hasher.update(block);
        }
        let proved = *hasher.finalize().as_bytes() == description.digests[usize::from(index)].0;
        proved.then_some(blocks).ok_or(Unusable::Bad)
    }

    fn combine(
        &self,
        description: &ChunkDescription,
        shards: &HashMap<u8, Vec<Bytes>>,
        wanted: u8,
    ) -> Result<Vec<u8>, RebuildError> {
        let coder = self.coder(description.profile);
        let mut sealed = vec![0; description.sealed_length(wanted).as_usize()];
        for (row, out) in sealed.chunks_mut(SEALED_SEGMENT).enumerate() {
            let present: Vec<Option<&[u8]>> = (0..)
                .take(description.profile.shards())
                .map(|index: u8| {
                    let blocks = shards.get(&index)?;
                    Some(blocks.get(row).map_or(&[][..], |block| &block[..]))
                })
                .collect();
            let rebuilt = coder.rebuild_row(&present, usize::from(wanted), out);
            rebuilt.map_err(|few| RebuildError::TooFew {
                available: few.present,
                needed: few.needed,
            })?;
        }
        Ok(sealed)
    }

    fn coder(&self, profile: Profile) -> Arc<Coder> {
        let mut coders = self.coders.lock().unwrap_or_else(PoisonError::into_inner);
        let coder = coders.entry(profile);
        Arc::clone(coder.or_insert_with(|| Arc::new(Coder::new(profile))))
    }
}

enum Unusable {
    /// It is not what it should be.
    Bad,
    /// Its disk did not answer.
    Unread,
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

fn digest(sealed: &[u8]) -> ShardDigest {
    ShardDigest(*blake3::hash(sealed).as_bytes())
}

fn key(group: &Group, chunk: ChunkId, index: u8) -> ShardKey {
    ShardKey {
        group: group.id,
        chunk,
        index,
    }
}

fn place(group: &Group, chunk: ChunkId, index: u8) -> (DiskId, ShardKey) {
    let disk = group.members[usize::from(index)].disk;
    (disk, key(group, chunk, index))
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::BlobId;

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
