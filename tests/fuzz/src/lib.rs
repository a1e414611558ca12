//! Fuzzing of what comes before anybody is known, and of what a client sends: signatures, the framing of
//! bodies, documents; and of what a disk holds.
//!
//! Those of requests send one, made of the fuzzer's bytes, to a real gateway over a socket. Behind the
//! gateway stands no cluster but a [`World`] that remembers what it was asked, so that each target can say
//! what must never happen:
//!
//! ```text
//! signature.rs  what differs in anything signed from what was signed asks the cluster nothing
//! framing.rs    what is stored is what a plain reading of the framing gives, whole; or nothing is
//! document.rs   any document is answered, with success or a client's error
//! stored.rs     a disk on which bits flipped shows what was stored, or says that it cannot
//! record.rs     a header that is sealed means what the format says or is refused; a record shows only what is proved
//! tombstone.rs  so with tombstones, which kill what they name before them and nothing else
//! footer.rs     so with a footer, which lists what lies in its volume and nothing else
//! ```
//!
//! `cargo xtask fuzz` builds the targets with coverage of our own crates and runs them; the tests here
//! send each target the seeds that it begins with, and what it once found.

mod disks;
mod document;
mod footer;
mod framing;
mod plain;
mod record;
mod signature;
mod stored;
mod tombstone;
mod world;

pub use world::World;

use std::sync::LazyLock;

/// A target: what to do with the fuzzer's bytes. Panics when it found something.
pub type Target = fn(&[u8]);

static WORLD: LazyLock<World> = LazyLock::new(World::start);

/// Requests that are signed, and then changed.
pub fn signature(data: &[u8]) {
    WORLD.run(signature::try_one(&WORLD, data));
}

/// Bodies in aws-chunks.
pub fn framing(data: &[u8]) {
    WORLD.run(framing::try_one(&WORLD, data));
}

/// Documents.
pub fn document(data: &[u8]) {
    WORLD.run(document::try_one(&WORLD, data));
}

/// Disks: stamps, lists of volumes, records, tombstones, footers.
pub fn stored(data: &[u8]) {
    stored::try_one(data);
}

/// Records of shards.
pub fn record(data: &[u8]) {
    record::try_one(data);
}

/// Records of tombstones.
pub fn tombstone(data: &[u8]) {
    tombstone::try_one(data);
}

/// Footers.
pub fn footer(data: &[u8]) {
    footer::try_one(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a target begins with does not make it panic, nor does what it once found.
    #[test]
    fn seeds_find_nothing() {
        for (name, target) in [
            ("signature", signature as Target),
            ("framing", framing),
            ("document", document),
            ("stored", stored),
            ("record", record),
            ("tombstone", tombstone),
            ("footer", footer),
        ] {
            let folder = format!("{}/seeds/{name}", env!("CARGO_MANIFEST_DIR"));
            let seeds = std::fs::read_dir(folder).expect("there are seeds");
            let mut count = 0;
            for seed in seeds {
                let seed = std::fs::read(seed.expect("a seed").path()).expect("a seed");
                target(&seed);
                count += 1;
            }
            assert!(count >= 3, "{name} has {count} seeds");
        }
    }

    /// Each byte of what a disk holds, whatever it becomes: sealed it means what the format says, and flipped or
    /// sealed for elsewhere it is refused.
    #[test]
    fn every_byte_counts() {
        for (target, valid) in [
            (record as Target, record::valid()),
            (tombstone, tombstone::valid()),
            (footer, footer::valid()),
        ] {
            for at in 0..valid.len() {
                for value in [0, 1, 2, 0x7f, 0xff] {
                    for how in [0, 2] {
                        let mut over = [&[how], &valid[..=at]].concat();
                        over[1 + at] = value;
                        target(&over);
                    }
                }
                let [.., high, low] = at.to_be_bytes();
                target(&[1, 0, high, low, 1 << (at % 8)]);
            }
        }
    }
}
