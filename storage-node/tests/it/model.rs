//! A node and its decisions against plain maps.

use crate::world::{DISK, SMALL, delete, node, read_all, run, seeds, shard, stamped};
use disk::sim::SimDisk;
use futures::future::join_all;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::HashMap;
use strongroom_storage_node::record;
use strongroom_storage_node::store::{Action, Limits, Request, Store, Verdict};
use strongroom_storage_node::volume::VolumeId;
use types::wire::ShardStore;
use types::wire::storage::{PutError, PutShard, ReadError};
use types::{ByteCount, ByteOffset, ShardKey};

#[derive(Clone, Debug)]
enum Step {
    /// Sent together: (chunk, content, length).
    Put(Vec<(u64, u64, usize)>),
    /// All chunks of a range are removed.
    Delete(u64, u64),
    /// One stored byte flips, if the chunk is there; the record is written anew.
    Heal(u64, u64),
    /// The node looks after its volumes.
    Check,
    /// The process is killed and started again.
    Kill,
    /// The power goes.
    Cut(u64),
}

/// Flips a byte of every record that holds this shard's payload.
fn damage(disk: &SimDisk, put: &PutShard, byte: u64) {
    let mut found = 0;
    for volume in 1..400 {
        let name = VolumeId(volume).file_name();
        let Some(bytes) = disk.content(&name) else {
            continue;
        };
        for at in (0..bytes.len().saturating_sub(1024 + put.payload.len())).step_by(4096) {
            if bytes[at + 1024..].starts_with(&put.payload) {
                let byte = byte % (1024 + put.payload.len() as u64);
                disk.flip(&name, ByteOffset::new(at as u64 + byte), 1);
                found += 1;
            }
        }
    }
    assert!(found > 0, "it is stored");
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let one = (0..12u64, 0..2u64, 1..9000usize);
    let step = prop_oneof![
        6 => vec(one, 1..6).prop_map(Step::Put),
        3 => (0..12u64, 0..6u64).prop_map(|(first, more)| Step::Delete(first, first + more)),
        1 => (0..12u64, any::<u64>()).prop_map(|(chunk, byte)| Step::Heal(chunk, byte)),
        2 => Just(Step::Check),
        1 => Just(Step::Kill),
        1 => any::<u64>().prop_map(Step::Cut),
    ];
    vec(step, 1..14)
}

/// Twenty a seed; `PROPTEST_RNG_SEED` chooses which.
fn cases() -> ProptestConfig {
    ProptestConfig::with_cases(20 * u32::try_from(seeds(50).count()).unwrap())
}

proptest! {
    #![proptest_config(cases())]

    /// A node answers as a map would that takes each key once until it is removed, through kills, power cuts,
    /// volumes that go and records that are damaged and written anew.
    #[test]
    fn a_node_is_a_map_that_takes_each_key_once(steps in steps()) {
        run(async {
            let mut disk = stamped(1).await;
            let mut serving = node(&disk, SMALL).await;
            let mut model: HashMap<ShardKey, PutShard> = HashMap::new();
            let mut healed = false;
            for step in steps {
                match step {
                    Step::Put(shards) => {
                        let puts: Vec<_> = shards
                            .iter()
                            .map(|(chunk, content, length)| shard(DISK, *chunk, *length, *content))
                            .collect();
                        let answers = join_all(puts.iter().map(|put| serving.put(put.clone()))).await;
                        for (put, answer) in puts.into_iter().zip(answers) {
                            let key = put.key;
                            let stands = model.entry(key).or_insert_with(|| put.clone());
                            let same = stands.chunk == put.chunk && stands.payload == put.payload;
                            let expected = if same { Ok(()) } else { Err(PutError::Conflict { key }) };
                            prop_assert_eq!(answer, expected);
                        }
                    }
                    Step::Delete(first, last) => {
                        let removed = delete(&serving, DISK, first..=last).await.unwrap();
                        let before = model.len();
                        model.retain(|key, _| !(first..=last).contains(&key.chunk.get()));
                        prop_assert_eq!(removed.shards, (before - model.len()) as u64);
                    }
                    Step::Heal(chunk, byte) => {
                        let key = shard(DISK, chunk, 1, 0).key;
                        if let Some(put) = model.get(&key) {
                            damage(&disk, put, byte);
                            healed = true;
                            let corrupt = serving.verify(DISK, key).await;
                            prop_assert_eq!(corrupt.unwrap_err(), ReadError::Corrupt { key, block: 0 });
                            prop_assert_eq!(serving.put(put.clone()).await, Ok(()));
                            prop_assert_eq!(serving.verify(DISK, key).await, Ok(()));
                        }
                    }
                    Step::Check => serving.check().await,
                    Step::Kill => {
                        drop(serving);
                        disk = disk.restart();
                        serving = node(&disk, SMALL).await;
                    }
                    Step::Cut(seed) => {
                        drop(serving);
                        disk = disk.crash(seed);
                        serving = node(&disk, SMALL).await;
                    }
                }
                for chunk in 0..12 {
                    let probe = shard(DISK, chunk, 1, 0);
                    let read = read_all(&serving, model.get(&probe.key).unwrap_or(&probe)).await;
                    let expected = model
                        .get(&probe.key)
                        .map(|put| put.payload.clone())
                        .ok_or(ReadError::Missing { key: probe.key });
                    prop_assert_eq!(read, expected);
                }
                prop_assert_eq!(serving.report().await[0].shards, model.len() as u64);
                // A damaged header that was written anew, or removed, may be found at the next start.
                let damage: Vec<_> = serving.damage().collect();
                prop_assert!(damage.is_empty() || healed, "{:?}", damage);
            }
            serving.shutdown().await;
            Ok(())
        })?;
    }

    /// Whatever waits, and whatever is refused on the way: records lie one behind the other inside
    /// their volume, no acknowledged position or sequence number is given out again, volumes keep their
    /// length unless one record alone exceeds it, and the reserve is never given out.
    #[test]
    fn decisions_keep_the_invariants(
        rounds in vec((vec((0..40u64, 1..30_000usize), 1..20), 0..4u8), 1..12),
        disk_size in 100_000..3_000_000u64,
    ) {
        let limits = Limits { batch: ByteCount::new(40 << 10), ..SMALL };
        let mut store = Store::new(DISK, limits);
        let mut taken = 0;
        let mut open: Option<(VolumeId, ByteOffset, u64, u64)> = None;
        let mut live: HashMap<ShardKey, usize> = HashMap::new();
        for (shards, luck) in rounds {
            let puts: Vec<_> = shards
                .iter()
                .map(|(chunk, length)| shard(DISK, *chunk, *length, 0))
                .collect();
            let mut waiting: Vec<&PutShard> = puts.iter().collect();
            while !waiting.is_empty() {
                store.measured(ByteCount::new(disk_size - taken));
                let requests: Vec<_> = waiting.iter().map(|put| Request::Put(put, None)).collect();
                match store.next(&requests) {
                    Action::Create(volume) => {
                        prop_assert!(open.is_none());
                        open = Some((volume, ByteOffset::ZERO, 0, 0));
                        store.created(volume);
                    }
                    Action::Allocate(volume, length) => {
                        let (id, _, allocated, _) = open.as_mut().expect("an open volume");
                        prop_assert_eq!(*id, volume);
                        prop_assert!(length.get() > *allocated);
                        taken += length.get() - *allocated;
                        *allocated = length.get();
                        prop_assert!(disk_size - taken >= disk_size / 20);
                        store.allocated(length);
                    }
                    Action::Seal { volume, at, footer } => {
                        let (id, end, allocated, _) = open.take().expect("an open volume");
                        prop_assert_eq!((id, end), (volume, at));
                        let length = at.get() + footer.len() as u64;
                        prop_assert!(length <= limits.volume.get() || store.shards() > 0);
                        taken = taken + length - allocated;
                        store.sealed();
                    }
                    Action::Append(batch) => {
                        prop_assert!(!batch.verdicts.is_empty());
                        let fails = luck == 0 && !batch.writes.is_empty();
                        for write in &batch.writes {
                            let (id, end, allocated, sequence) = open.as_mut().expect("an open volume");
                            prop_assert_eq!(write.header.volume, *id);
                            prop_assert_eq!(Some(*id), batch.volume);
                            prop_assert!(write.header.sequence > *sequence);
                            *sequence = write.header.sequence;
                            prop_assert!(write.at >= *end);
                            let behind = write.at + write.header.length();
                            prop_assert!(behind.get() <= *allocated);
                            if !fails {
                                prop_assert_eq!(write.at, *end);
                                *end = behind;
                            }
                        }
                        for (put, verdict) in waiting.iter().zip(&batch.verdicts) {
                            match verdict {
                                Verdict::Append(write) => {
                                    prop_assert_eq!(waiting[batch.writes[*write].request].key, put.key);
                                    if !fails {
                                        prop_assert_eq!(live.insert(put.key, put.payload.len()), None);
                                    }
                                }
                                Verdict::Joined(_) => {}
                                Verdict::Compare(location) => {
                                    prop_assert!(live.contains_key(&put.key));
                                    prop_assert_eq!(Some(*location), store.get(put.key));
                                }
                                Verdict::Bury(_) | Verdict::Gone => panic!("nothing is removed or moved"),
                                Verdict::Refuse(error) => {
                                    let full = *error == PutError::Full { disk: DISK };
                                    let conflict = *error == PutError::Conflict { key: put.key };
                                    prop_assert!(full || conflict);
                                }
                            }
                        }
                        waiting.drain(..batch.verdicts.len());
                        if fails {
                            store.abandoned(&batch);
                            waiting.clear();
                        } else {
                            store.appended(&batch);
                        }
                    }
                }
                prop_assert_eq!(store.used().get(), taken);
                let space = store.space();
                let lengths = live.values().map(|length| ByteCount::new(*length as u64));
                let records: u64 = lengths.map(|length| record::length(length).get()).sum();
                prop_assert_eq!((space.live.get(), space.dead.get()), (records, 0));
                let ahead = open.map_or(0, |(_, end, allocated, _)| allocated - end.get());
                prop_assert_eq!(space.ahead.get(), ahead);
                let in_volumes = space.live + space.dead + space.overhead + space.ahead;
                prop_assert_eq!(in_volumes.get(), taken);
                prop_assert_eq!(store.shards(), live.len() as u64);
            }
        }
    }
}
