//! What disks hold: however bits flip, a disk serves what was stored on it, or says that it cannot; it never
//! shows another byte, and what lies beside the damage is served.
//!
//! The disk is a simulated one on which a storage node has stored, removed and sealed. Each try begins with a copy
//! of it.

use crate::disks::{self, DISK, GROUP, read_all, run, serve, shard};
use disk::sim::SimDisk;
use std::ops::Range;
use std::sync::LazyLock;
use storage_node::Node;
use types::placement::Slot;
use types::wire::ShardStore;
use types::wire::storage::{DiskState, PutShard, ReadError};
use types::{ByteOffset, Epoch};

static IMAGE: LazyLock<Image> = LazyLock::new(Image::make);

/// A disk as it was written, and what was stored on it.
pub(crate) struct Image {
    disk: SimDisk,
    shards: Vec<Stored>,
}

struct Stored {
    put: PutShard,
    removed: bool,
    /// The volume's file, and where in it header and blocks lie.
    place: (String, Range<u64>),
}

/// One byte of a file, and which of its bits flip.
#[derive(Clone, Debug)]
pub(crate) struct Flip {
    pub(crate) file: String,
    pub(crate) at: u64,
    pub(crate) mask: u8,
}

/// Five bytes a flip: which file, where (three bytes), and which bits.
pub(crate) fn try_one(data: &[u8]) {
    let files = IMAGE.files();
    let flips = data.chunks_exact(5).take(8).filter_map(|edit| {
        let (file, length) = files[usize::from(edit[0]) % files.len()].clone();
        let at = u64::from(u32::from_le_bytes([edit[1], edit[2], edit[3], 0]));
        let mask = edit[4];
        (mask != 0).then(|| Flip {
            at: at % length,
            file,
            mask,
        })
    });
    IMAGE.try_flips(&flips.collect::<Vec<_>>());
}

/// How a disk took its damage.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// It is not served at all.
    pub(crate) absent: bool,
    /// What it said when it was opened.
    pub(crate) damage: usize,
    /// Shards that it cannot give.
    pub(crate) lost: usize,
    /// Shards of whose chunks it cannot tell.
    pub(crate) undescribed: usize,
    /// Removed shards that are there again.
    pub(crate) back: usize,
}

impl Image {
    fn make() -> Self {
        run(async {
            let disk = disks::stamped().await;
            let node = serve(&disk).await;
            // The last volume stays so short that a clean stop leaves it open.
            let lengths = [5000, 100, 3063, 9000, 70_000, 2500, 1000, 100];
            let puts: Vec<PutShard> = (1..)
                .zip(lengths)
                .map(|(n, length)| shard(n, length))
                .collect();
            let removed = [2, 6];
            for (number, put) in (1..).zip(&puts) {
                node.put(put.clone()).await.expect("it has room");
                if removed.contains(&number) {
                    let chunks = put.key.chunk..=put.key.chunk;
                    let gone = node.delete(DISK, GROUP, Slot(0), chunks, Epoch(1)).await;
                    assert_eq!(gone.expect("it is there").shards, 1);
                }
            }
            node.shutdown().await;
            drop(node);
            let stored = |(number, put): (u64, PutShard)| Stored {
                removed: removed.contains(&number),
                place: place(&disk, &put.payload),
                put,
            };
            let shards = (1..).zip(puts).map(stored).collect();
            Self { disk, shards }
        })
    }

    /// Every file and its length.
    pub(crate) fn files(&self) -> Vec<(String, u64)> {
        let names = ["stamp".to_owned(), "volumes".to_owned()];
        let volumes = (1..9).map(|id| format!("volume-{id:08x}"));
        let there = names.into_iter().chain(volumes).filter_map(|name| {
            let content = self.disk.content(&name)?;
            Some((name, content.len() as u64))
        });
        there.collect()
    }

    /// Flips bits of a copy that nobody serves, has a node open it, and reads everything.
    ///
    /// # Panics
    /// When anything but what was stored is shown, or what lies beside the damage is not.
    pub(crate) fn try_flips(&self, flips: &[Flip]) -> Outcome {
        run(async {
            let disk = self.disk.crash(0);
            for flip in flips {
                disk.flip(&flip.file, ByteOffset::new(flip.at), flip.mask);
            }
            let node = serve(&disk).await;
            let outcome = self.look(&node, flips).await;
            node.shutdown().await;
            outcome
        })
    }

    async fn look(&self, node: &Node, flips: &[Flip]) -> Outcome {
        let state = node.report().await[0].state.clone();
        let mut outcome = Outcome {
            absent: state != DiskState::Serving,
            damage: node.damage().count(),
            ..Outcome::default()
        };
        let stamped = flips.iter().all(|flip| flip.file != "stamp");
        assert!(!(outcome.absent && stamped), "{state:?} by {flips:?}");
        for stored in &self.shards {
            let key = stored.put.key;
            let read = read_all(node, &stored.put).await;
            let touched = flips.iter().any(|flip| stored.holds(flip));
            match read {
                Ok(bytes) => {
                    assert!(
                        bytes == stored.put.payload,
                        "{key} has other bytes by {flips:?}"
                    );
                    outcome.back += usize::from(stored.removed);
                }
                Err(ReadError::Missing { .. }) if stored.removed => {}
                Err(error) => {
                    let spared = !touched && !outcome.absent;
                    assert!(!spared, "{key} is not served: {error}, by {flips:?}");
                    outcome.lost += 1;
                }
            }
            match node.describe(DISK, key).await {
                Ok(chunk) => assert_eq!(chunk, stored.put.chunk, "{flips:?}"),
                Err(_) => outcome.undescribed += usize::from(!stored.removed),
            }
        }
        outcome
    }
}

impl Stored {
    fn holds(&self, flip: &Flip) -> bool {
        let (file, range) = &self.place;
        *file == flip.file && range.contains(&flip.at)
    }
}

/// The volume and the range in which a shard's header and blocks lie.
fn place(disk: &SimDisk, payload: &[u8]) -> (String, Range<u64>) {
    let volumes = (1..9).map(|id| format!("volume-{id:08x}"));
    let mut found = volumes.filter_map(|name| {
        let bytes = disk.content(&name)?;
        let mut records = (0..bytes.len().saturating_sub(1024)).step_by(4096);
        let at = records.find(|at| bytes[at + 1024..].starts_with(payload))?;
        Some((name, at as u64..(at + 1024 + payload.len()) as u64))
    });
    found.next_back().expect("it is stored")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a soak asks for, or as it is without.
    fn asked(name: &str, otherwise: u64) -> u64 {
        std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
    }

    /// Every byte of a stamp, of headers, tombstones, footers and the list of volumes: one that flips is noticed, or
    /// is not one that counts; what lies beside it is served; nothing is shown that was not stored.
    /// Method: flip one bit of each byte that is no payload, open the disk, read everything.
    #[test]
    fn structural_flips_are_noticed() {
        let image = &*IMAGE;
        assert_eq!(image.try_flips(&[]), Outcome::default());
        let (mut tried, mut noticed, mut absent, mut back) = (0, 0, 0, 0);
        for (file, length) in image.files() {
            let content = image.disk.content(&file).expect("it is there");
            let payload = |at: u64| {
                let mut shards = image.shards.iter().map(|shard| &shard.place);
                shards.any(|(name, range)| {
                    *name == file && range.contains(&at) && at >= range.start + 1024
                })
            };
            for at in (0..length).filter(|at| !payload(*at)) {
                let mask = 1 << (at % 8);
                let flip = Flip {
                    file: file.clone(),
                    at,
                    mask,
                };
                let outcome = image.try_flips(std::slice::from_ref(&flip));
                // A tombstone that no footer repeats: what it named is there again, and the damage is told. The disk is
                // compared with the metadata when it opens, and that knows what is dead.
                let told = outcome.damage > 0 && image.is_tombstone(&flip);
                assert!(outcome.back == 0 || told, "{outcome:?} by {flip:?}");
                back += outcome.back;
                tried += 1;
                absent += u64::from(outcome.absent);
                let seen = outcome != Outcome::default();
                noticed += u64::from(seen);
                // Zeros that no checksum covers: behind payloads, behind the last record, and the older half of the list.
                let padding =
                    content[usize::try_from(at).expect("it fits")] == 0 || file == "volumes";
                assert!(
                    seen || padding || image.is_buried(&flip),
                    "{flip:?} is not noticed"
                );
            }
        }
        assert_eq!(absent, 4096, "every byte of a stamp counts");
        assert!(back <= 4096, "one tombstone in an open volume: {back}");
        assert!(tried > 40_000 && noticed > 16_000, "{noticed} of {tried}");
    }

    /// Under a running node, a payload's byte that flips is noticed by whoever reads it, and by nobody else.
    /// Method: flip one of many at random, read that shard and another, flip it back.
    #[test]
    fn flipped_payloads_are_never_shown() {
        let image = &*IMAGE;
        let (samples, seed) = (
            asked("STRONGROOM_FLIPS", 10_000),
            asked("STRONGROOM_SEED", 1),
        );
        eprintln!("{samples} flips by seed {seed} (replay with STRONGROOM_SEED={seed})");
        run(async {
            let disk = image.disk.crash(0);
            let node = serve(&disk).await;
            let live: Vec<&Stored> = image.shards.iter().filter(|shard| !shard.removed).collect();
            let mut state = seed;
            let mut draw = |below: u64| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % below
            };
            let mut noticed = 0;
            for _ in 0..samples {
                let which = usize::try_from(draw(live.len() as u64)).expect("a few");
                let (hit, other) = (live[which], live[(which + 1) % live.len()]);
                let (file, range) = &hit.place;
                let begin = range.start + 1024;
                let at = ByteOffset::new(begin + draw(range.end - begin));
                let mask = 1 << draw(8);
                disk.flip(file, at, mask);
                let read = read_all(&node, &hit.put).await;
                assert!(
                    matches!(read, Err(ReadError::Corrupt { .. })),
                    "{at} of {file}"
                );
                noticed += 1;
                let beside = read_all(&node, &other.put).await;
                assert!(beside.is_ok_and(|bytes| bytes == other.put.payload));
                disk.flip(file, at, mask);
            }
            assert_eq!(noticed, samples);
            node.shutdown().await;
        });
    }

    impl Image {
        /// Whether a flip is in a removed shard's record: nobody reads it any more, unless the volume has no footer.
        fn is_buried(&self, flip: &Flip) -> bool {
            let mut removed = self.shards.iter().filter(|shard| shard.removed);
            removed.any(|shard| shard.holds(flip)) || self.is_sealed_tombstone(flip)
        }

        fn is_tombstone(&self, flip: &Flip) -> bool {
            let content = self.disk.content(&flip.file).expect("it is there");
            let block = usize::try_from(flip.at).expect("it fits") / 4096 * 4096;
            content[block..].starts_with(b"STRTOMBS")
        }

        /// Whether it is in a record of tombstones whose volume has a footer that says the same.
        fn is_sealed_tombstone(&self, flip: &Flip) -> bool {
            let content = self.disk.content(&flip.file).expect("it is there");
            content.ends_with(b"STRFOOTR") && self.is_tombstone(flip)
        }
    }
}
