//! A whole cluster in one thread and in simulated time: three metadata servers, a storage node of six disks
//! with its upkeep, two gateways, wired by function calls, on disks that a seed makes fail.
//!
//! ```text
//! run.rs      one run: load and faults in rounds, then everything is healed, compared, and lost within m
//! load.rs     what gateways do          faults.rs  what disks and servers suffer
//! history.rs  what clients saw          judge.rs   whether that can be
//! world.rs    the storage node          fleet.rs   the metadata servers      bay.rs  a place for a disk
//! plant.rs    bugs between the parts, which runs must find
//! ```
//!
//! A seed decides the load and the faults. Keys, the order in which threads finish that seal chunks, and the
//! moments of elections are drawn elsewhere: a seed comes back as the same story, not as the same schedule
//! to the last poll.

mod bay;
mod faults;
mod fleet;
mod history;
mod judge;
mod load;
mod plant;
mod run;
mod world;

pub use faults::Faults;
pub use judge::{Did, Operation, linearizable};
pub use plant::Plant;
pub use run::{Outcome, run};
