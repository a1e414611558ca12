//! A whole cluster in one thread and in simulated time: one or three metadata servers, a storage node of six
//! disks with its upkeep, two gateways, wired by calls that are slow, get lost and are cut off, on disks that
//! fail, all by a seed.
//!
//! ```text
//! run.rs      one run: load and faults in rounds, then everything is healed, compared, and lost within m
//! load.rs     what gateways do          faults.rs  what disks, servers and wires suffer
//! history.rs  what clients saw          judge.rs   whether that can be
//! world.rs    the storage node          fleet.rs   the metadata servers      bay.rs  a place for a disk
//! restored.rs the metadata servers are lost, and come back as a backup has them    backup.rs  which that is
//! invariant/  what always holds, one file each: who watches a run from its beginning to its end
//! watch.rs    looks for them            chronicle.rs  the committed log, replayed beside the servers
//! damage.rs   bits that flip, which the scrub must find
//! wires.rs    what lies between them    way.rs     from gateways and upkeep to whoever leads
//! plant.rs    bugs there, which runs must find
//! forged.rs   what a repair would take that proves nothing
//! flaky.rs    a cache that loses rows
//! pipes.rs    the servers' own stack over pipes, in every fourth run
//! trace.rs    everything that happened: two runs of a seed agree to the last call
//! ```
//!
//! What decides is drawn from the seed: load, faults, weather, groups, ids, elections, and which branch of a
//! `select` is looked at first. Keys and nonces are the system's: they decide nothing.

mod backup;
mod bay;
mod chronicle;
mod damage;
mod faults;
mod flaky;
mod fleet;
mod forged;
mod history;
mod invariant;
mod judge;
mod load;
mod pipes;
mod plant;
mod restored;
mod run;
mod trace;
mod watch;
mod way;
mod wires;
mod world;

pub use faults::Faults;
pub use judge::{Did, Operation, linearizable};
pub use plant::Plant;
pub use run::{Outcome, run};
pub use trace::Record;
