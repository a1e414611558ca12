//! Files as devices.
//!
//! Whoever must survive a power cut writes through [`Disk`] and [`File`]: storage volumes, the Raft log,
//! snapshot files. Three engines stand behind them, equal in what they promise:
//!
//! ```text
//! engine/uring     two rings a disk, O_DIRECT; threads take over where they break off
//! engine/threads   where the kernel forbids io_uring
//! engine/sim       scripted: decides at each call what is torn, lost, slow, failing or full
//! ```
//!
//! [`Metered`] counts what a disk does, whichever engine serves it.
//!
//! Reads, writes and lengths are in whole [`BLOCK`]s; buffers are aligned and pooled. `unsafe` lives in
//! this crate alone.

pub mod buffer;
pub mod device;
mod engine;
pub mod meter;
mod pool;
pub mod probe;
mod sync;

pub use buffer::{Buffer, give_back_idle};
pub use device::{BLOCK, Disk, Entry, File, Pending};
pub use engine::sim;
pub use meter::Metered;
pub use probe::{Choice, open};
