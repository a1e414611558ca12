//! What an append costs by what lies where it goes: nothing, reserved space, zeros, or another file's old bytes.
//!
//! Written and made durable, one batch after the other, on one file. Space is taken in steps, as a volume takes it;
//! what that takes counts, and so does laying out zeros. Old bytes are there for free: an emptied volume's.

use crate::Options;
use crate::world;
use anyhow::Result;
use disk::{Buffer, Choice, File};
use futures::future::try_join_all;
use std::time::{Duration, Instant};
use strongroom_benches::report::{Report, median, print};
use strongroom_benches::run::runtime;
use types::{ByteCount, ByteOffset};

/// As volumes take it.
const STEP: u64 = 64 << 20;
/// Of the file, or less when writes are short.
const LENGTH: u64 = 512 << 20;
const BATCHES: u64 = 600;

/// What lies where the batches go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Reserved,
    Zeros,
    OldBytes,
}

const KINDS: [(Before, &str); 4] = [
    (Before::Nothing, "appended"),
    (Before::Reserved, "reserved in steps"),
    (Before::Zeros, "zeroed in steps"),
    (Before::OldBytes, "recycled"),
];

/// Bytes of a write, and how many share a sync.
const BATCHED: [(u64, u64); 4] = [(4 << 10, 1), (68 << 10, 1), (1 << 20, 1), (1 << 20, 7)];

pub(crate) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let runtime = runtime()?;
    runtime.block_on(async {
        for (bytes, at_once) in BATCHED {
            let mut of_kind = KINDS.map(|_| Vec::new());
            for _ in 0..options.rounds {
                for (taken, (before, _)) in of_kind.iter_mut().zip(KINDS) {
                    taken.push(one(options, before, bytes, at_once).await?);
                }
            }
            for (taken, (_, kind)) in of_kind.into_iter().zip(KINDS) {
                let rates = taken.iter().map(|taken| taken.rate).collect();
                let case = format!("{at_once} x {} KiB a sync, {kind}", bytes >> 10);
                report.figure(&case, "MB/s", rates, None);
                let p50 = median(taken.iter().map(|taken| taken.p50));
                print(&format!("{:<44} {p50:>10.0} us, half of the batches", ""));
            }
        }
        Ok(())
    })
}

struct Taken {
    /// MB/s, everything counted.
    rate: f64,
    /// Microseconds of a batch, what its step took left out.
    p50: f64,
}

async fn one(options: &Options, before: Before, bytes: u64, at_once: u64) -> Result<Taken> {
    let folder = options.folder.join("extents");
    world::clean(&folder)?;
    std::fs::create_dir_all(&folder)?;
    let disk = disk::open(&folder, Choice::Auto)?;
    let file = disk.create("file").await?;
    let length = LENGTH.min(BATCHES * bytes * at_once) / (bytes * at_once) * (bytes * at_once);
    if before == Before::OldBytes {
        fill(&*file, 0, length.next_multiple_of(STEP), 0xa5).await?;
    }
    disk.sync_folder().await?;
    let began = Instant::now();
    let (mut at, mut ready, mut times) = (0, 0, Vec::new());
    while at < length {
        if at + bytes * at_once > ready {
            match before {
                Before::Reserved => file.allocate(ByteCount::new(ready + STEP)).await?,
                Before::Zeros => fill(&*file, ready, STEP, 0).await?,
                Before::Nothing | Before::OldBytes => {}
            }
            ready += STEP;
        }
        let batch = Instant::now();
        let writes = (0..at_once).map(|nth| {
            let mut data = Buffer::recycled(usize::try_from(bytes).expect("small"));
            data.fill(0x5a);
            file.write(ByteOffset::new(at + nth * bytes), data)
        });
        try_join_all(writes).await?;
        file.sync().await?;
        times.push(batch.elapsed());
        at += bytes * at_once;
    }
    let took = began.elapsed();
    drop((file, disk));
    world::clean(&folder)?;
    let micros = |time: &Duration| time.as_secs_f64() * 1e6;
    Ok(Taken {
        rate: length as f64 / took.as_secs_f64() / 1e6,
        p50: median(times.iter().map(micros)),
    })
}

/// Writes one byte over and over, and makes it durable.
async fn fill(file: &dyn File, from: u64, length: u64, byte: u8) -> Result<()> {
    const PIECE: usize = 4 << 20;
    for at in (from..from + length).step_by(PIECE) {
        let mut data = Buffer::recycled(PIECE);
        data.fill(byte);
        file.write(ByteOffset::new(at), data).await?;
    }
    Ok(file.sync().await?)
}
