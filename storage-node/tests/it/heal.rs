//! Damaged records: found by verifying, written anew under the same key.

use crate::world::{DISK, SMALL, delete, node, read_all, run, shard, stamped};
use disk::sim::{Fate, Operation};
use types::wire::ShardStore;
use types::wire::storage::{PutError, PutShard, ReadError};
use types::{ByteOffset, ShardKey};

/// Damages the record that begins the first volume.
const DAMAGE: [u64; 4] = [0, 300, 1024, 1024 + 5003];

fn corrupt(key: ShardKey) -> Result<(), ReadError> {
    Err(ReadError::Corrupt { key, block: 0 })
}

/// A shard whose record is damaged, in the header or in a block, takes a put of the right bytes, which
/// stands from then on, through power cuts, sealed volumes and footers; a removal then removes both.
#[test]
fn a_damaged_record_is_written_anew() {
    let mut healed = 0;
    for byte in DAMAGE {
        for others in [0, 2, 9] {
            run(async {
                let mut disk = stamped(1).await;
                let mut serving = node(&disk, SMALL).await;
                let put = shard(DISK, 0, 5000, 0);
                serving.put(put.clone()).await.unwrap();
                for chunk in 1..=others {
                    serving.put(shard(DISK, chunk, 5000, 0)).await.unwrap();
                }
                assert_eq!(serving.verify(DISK, put.key).await, Ok(()));
                disk.flip("volume-00000001", ByteOffset::new(byte), 4);
                assert_eq!(serving.verify(DISK, put.key).await, corrupt(put.key));
                assert_eq!(serving.put(put.clone()).await, Ok(()));
                healed += 1;
                for seed in 0..4 {
                    assert_eq!(serving.verify(DISK, put.key).await, Ok(()));
                    assert!(read_all(&serving, &put).await.unwrap() == put.payload);
                    assert_eq!(serving.put(put.clone()).await, Ok(()));
                    let other = shard(DISK, 0, 5000, 1);
                    let conflict = Err(PutError::Conflict { key: put.key });
                    assert_eq!(serving.put(other).await, conflict);
                    assert_eq!(serving.report().await[0].shards, others + 1);
                    for chunk in 0..6 {
                        let more = shard(DISK, 100 * (seed + 1) + chunk, 5000, 0);
                        serving.put(more).await.unwrap();
                    }
                    delete(&serving, DISK, 100..=1000).await.unwrap();
                    disk = disk.crash(seed);
                    serving = node(&disk, SMALL).await;
                }
                assert_eq!(delete(&serving, DISK, 0..=0).await.unwrap().shards, 1);
                let last = node(&disk.crash(9), SMALL).await;
                let missing = ReadError::Missing { key: put.key };
                assert_eq!(read_all(&last, &put).await, Err(missing));
            });
        }
    }
    assert_eq!(healed, 12);
}

/// A record that cannot be read, or whose bytes are not those that its header promises, is damaged as well.
#[test]
fn what_does_not_verify_is_damaged() {
    run(async {
        let disk = stamped(1).await;
        let serving = node(&disk, SMALL).await;
        let right = shard(DISK, 0, 5000, 0);
        let liar = PutShard {
            payload: shard(DISK, 0, 5000, 1).payload,
            ..right.clone()
        };
        serving.put(liar).await.unwrap();
        assert_eq!(serving.verify(DISK, right.key).await, corrupt(right.key));
        assert_eq!(serving.put(right.clone()).await, Ok(()));
        assert_eq!(serving.verify(DISK, right.key).await, Ok(()));

        let mut failed = 0;
        disk.script(move |call| {
            let fails = call.operation == Operation::Read && failed < 2;
            failed += u32::from(fails);
            if fails { Fate::Fail(5) } else { Fate::Proceed }
        });
        let io = ReadError::Io {
            disk: DISK,
            key: right.key,
        };
        assert_eq!(serving.verify(DISK, right.key).await, Err(io));
        assert_eq!(serving.put(right.clone()).await, Ok(()));
        assert_eq!(serving.verify(DISK, right.key).await, Ok(()));
        let written = disk.content("volume-00000001").unwrap();
        let records = written.windows(8).filter(|bytes| *bytes == b"STRSHARD");
        assert_eq!(records.count(), 3);
        serving.shutdown().await;
    });
}
