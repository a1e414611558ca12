//! A lost shard out of k others, row by row: decoded, and all of them proved on the way.
//!
//! Nothing is believed before the last row: only then is it known whether each source, and what they gave,
//! hashes to what the chunk's description says. No I/O, and no more work at once than one row's.

use bytes::Bytes;
use erasure::Coder;
use types::block::{self, SEALED_SEGMENT};
use types::placement::Group;
use types::shard::ChunkDescription;
use types::{ChunkId, ShardKey};

/// A shard that is to be made again.
pub(super) struct Lost<'a> {
    pub(super) group: &'a Group,
    pub(super) chunk: ChunkId,
    pub(super) wanted: u8,
    pub(super) description: ChunkDescription,
}

impl Lost<'_> {
    pub(super) fn key(&self, index: u8) -> ShardKey {
        key(self.group, self.chunk, index)
    }

    /// How many blocks a shard of the chunk has.
    pub(super) fn blocks(&self, index: u8) -> u32 {
        block::count(self.description.sealed_length(index))
    }

    /// The length of one of the lost shard's blocks; 0 behind its last.
    fn block_length(&self, number: u32) -> usize {
        let before = number as usize * SEALED_SEGMENT;
        let length = self.description.sealed_length(self.wanted).as_usize();
        length.saturating_sub(before).min(SEALED_SEGMENT)
    }
}

pub(super) fn key(group: &Group, chunk: ChunkId, index: u8) -> ShardKey {
    ShardKey {
        group: group.id,
        chunk,
        index,
    }
}

/// What came of an attempt with k shards.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Combined {
    /// The lost shard's blocks with their checksums. All k are what they should be, and so is this.
    Proved(Vec<u8>),
    /// All k are what they should be, and what they give is not.
    Other,
    /// Some of the k cannot be used.
    Useless(Vec<(u8, Unusable)>),
}

/// Why a shard cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It is not what it should be.
    Bad,
    /// Its disk did not answer.
    Unread,
}

/// A shard that is being made again.
pub(super) struct Decoder<'a> {
    lost: &'a Lost<'a>,
    coder: &'a Coder,
    sources: Vec<(u8, blake3::Hasher)>,
    digest: blake3::Hasher,
    row: u32,
    payload: Vec<u8>,
}

impl<'a> Decoder<'a> {
    /// Out of the k shards in `from`.
    pub(super) fn new(lost: &'a Lost<'a>, from: &[u8], coder: &'a Coder) -> Self {
        let length = lost.description.payload_length(lost.wanted);
        let source = |index: &u8| (*index, blake3::Hasher::new());
        Self {
            lost,
            coder,
            sources: from.iter().map(source).collect(),
            digest: blake3::Hasher::new(),
            row: 0,
            payload: Vec::with_capacity(length.as_usize()),
        }
    }

    /// How many rows prove all sources; the lost shard may have fewer.
    pub(super) fn rows(&self) -> u32 {
        let blocks = |(index, _): &(u8, blake3::Hasher)| self.lost.blocks(*index);
        self.sources.iter().map(blocks).max().unwrap_or(0)
    }

    /// Takes in the sources' blocks of the next row; one that has none there has an empty one.
    pub(super) fn row(&mut self, blocks: &[Bytes]) {
        let mut present = vec![None; self.lost.group.profile.shards()];
        for ((index, digest), block) in self.sources.iter_mut().zip(blocks) {
            digest.update(block);
            present[usize::from(*index)] = Some(&block[..]);
        }
        let mut block = vec![0; self.lost.block_length(self.row)];
        let wanted = usize::from(self.lost.wanted);
        let rebuilt = self.coder.rebuild_row(&present, wanted, &mut block);
        rebuilt.expect("there are k sources");
        self.digest.update(&block);
        let key = self.lost.key(self.lost.wanted);
        block::frame(key, self.row, &block, &mut self.payload);
        self.row += 1;
    }

    /// What it all was, behind the last row.
    pub(super) fn finish(self) -> Combined {
        let digests = &self.lost.description.digests;
        let is = |digest: &blake3::Hasher, index: u8| {
            *digest.finalize().as_bytes() == digests[usize::from(index)].0
        };
        let wrong = self
            .sources
            .iter()
            .filter(|(index, digest)| !is(digest, *index));
        let wrong: Vec<_> = wrong.map(|(index, _)| (*index, Unusable::Bad)).collect();
        if !wrong.is_empty() {
            Combined::Useless(wrong)
        } else if is(&self.digest, self.lost.wanted) {
            Combined::Proved(self.payload)
        } else {
            Combined::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::placement::Admission;
    use types::shard::ShardDigest;
    use types::{BlobId, Epoch, GroupId};

    const LENGTH: usize = SEALED_SEGMENT + 50;

    /// Two data shards of two rows, the second one shorter, and their parity.
    fn shards() -> Vec<Vec<u8>> {
        let shard =
            |factor: usize, length| (0..length).map(move |at| (at * factor).to_le_bytes()[0]);
        let data: [Vec<u8>; 2] = [shard(7, LENGTH).collect(), shard(31, 500).collect()];
        let mut parity = vec![0; LENGTH];
        let coder = Coder::new("2+1".parse().unwrap());
        for (row, out) in parity.chunks_mut(SEALED_SEGMENT).enumerate() {
            let blocks: Vec<Bytes> = data.iter().map(|shard| block_of(shard, row)).collect();
            let blocks: Vec<&[u8]> = blocks.iter().map(|block| &block[..]).collect();
            coder.encode_row(&blocks, &mut [out]);
        }
        let [first, second] = data;
        vec![first, second, parity]
    }

    fn block_of(shard: &[u8], row: usize) -> Bytes {
        let block = shard.chunks(SEALED_SEGMENT).nth(row).unwrap_or_default();
        Bytes::copy_from_slice(block)
    }

    /// What comes of shard `wanted` out of the two others, of which the description says what they hash to.
    fn decode(wanted: u8, given: &[Vec<u8>], described: &[Vec<u8>]) -> Combined {
        let profile = "2+1".parse().unwrap();
        let digest = |shard: &Vec<u8>| ShardDigest(*blake3::hash(shard).as_bytes());
        let group = Group {
            id: GroupId::new(1),
            profile,
            epoch: Epoch(1),
            admission: Admission::Open,
            members: Vec::new(),
        };
        let lost = Lost {
            group: &group,
            chunk: ChunkId::new(2),
            wanted,
            description: ChunkDescription {
                blob: BlobId::new(3),
                first_segment: 0,
                profile,
                data_lengths: vec![u32::try_from(LENGTH).unwrap(), 500],
                digests: described.iter().map(digest).collect(),
            },
        };
        let from: Vec<u8> = (0..3).filter(|index| *index != wanted).collect();
        let coder = Coder::new(profile);
        let mut decoder = Decoder::new(&lost, &from, &coder);
        for row in 0..decoder.rows() as usize {
            let block = |index: &u8| block_of(&given[usize::from(*index)], row);
            let blocks: Vec<Bytes> = from.iter().map(block).collect();
            decoder.row(&blocks);
        }
        decoder.finish()
    }

    /// Any shard comes out as it was, framed as it was stored, also the one that has fewer rows than the others.
    #[test]
    fn every_shard_comes_out_as_it_was() {
        let shards = shards();
        for wanted in 0..3 {
            let key = ShardKey {
                group: GroupId::new(1),
                chunk: ChunkId::new(2),
                index: wanted,
            };
            let mut framed = Vec::new();
            block::frame(key, 0, &shards[usize::from(wanted)], &mut framed);
            assert_eq!(decode(wanted, &shards, &shards), Combined::Proved(framed));
        }
    }

    /// A source whose last byte alone is wrong is named, and a description that contradicts itself is told
    /// from that.
    #[test]
    fn what_does_not_hash_is_not_believed() {
        let good = shards();
        let mut bad = good.clone();
        *bad[2].last_mut().unwrap() ^= 1;
        let useless = Combined::Useless(vec![(2, Unusable::Bad)]);
        assert_eq!(decode(1, &bad, &good), useless);
        let mut other = good.clone();
        other[1][7] ^= 1;
        assert_eq!(decode(1, &good, &other), Combined::Other);
    }
}
