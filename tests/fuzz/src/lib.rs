//! Fuzzing of what comes before anybody is known, and of what a client sends: signatures, the framing of
//! bodies, documents; and of what a disk holds.
//!
//! Most targets send one request, made of the fuzzer's bytes, to a real gateway over a socket. Behind the
//! gateway stands no cluster but a [`World`] that remembers what it was asked, so that each target can say
//! what must never happen:
//!
//! ```text
//! signature.rs  what differs in anything signed from what was signed asks the cluster nothing
//! framing.rs    what is stored is what a plain reading of the framing gives, whole; or nothing is
//! document.rs   any document is answered, with success or a client's error
//! stored.rs     a disk on which bits flipped shows what was stored, or says that it cannot
//! ```
//!
//! `cargo xtask fuzz` builds the targets with coverage of our own crates and runs them; the tests here
//! send each target the seeds that it begins with, and what it once found.

mod document;
mod framing;
mod signature;
mod stored;
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
}
