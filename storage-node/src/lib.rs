//! A storage node: numbered, opaque shards on disks. It sees no key and no name.
//!
//! Life of a shard:
//!
//! ```text
//! put: blocks verified -> queued -> appended -> synced with all that waited -> live, answered
//! read: looked up -> one read -> blocks verified -> answered from the read's own buffer
//! ```
//!
//! A disk is a folder with a stamp (`stamp`) and volumes (`volume`), files of records (`record`) that
//! end in a footer once they are full (`footer`). Where each shard lies is kept in memory (`index`).
//! What to do next is decided without I/O (`store`) and done by one task a disk (`writer`).
//!
//! | fault | what happens |
//! | --- | --- |
//! | torn tail after a power cut | cut at open; nothing acknowledged is in it |
//! | bad record with a good one behind it | damage: reported, the rest of the disk serves |
//! | block fails its checksum | that read says so; its reader rebuilds it from other shards |
//! | write or sync fails | the disk stops for good; nothing is acknowledged any more |
//! | its files are deleted under it | noticed before an answer out of that file, and when the next volume is created; the disk stops |
//! | full | refused while a twentieth is left; the disk goes on |
//! | emptied, missing, foreign, duplicate | absent; the node serves its other disks |

mod admit;
mod checksum;
mod delete;
mod drive;
pub mod footer;
pub mod index;
mod layout;
mod ledger;
mod opening;
mod places;
pub mod plan;
mod reading;
pub mod record;
pub mod roster;
pub mod service;
pub mod stamp;
pub mod store;
pub mod tombstone;
pub mod upkeep;
pub mod volume;
pub mod volumes;
mod walk;
mod watch;
mod writer;

pub use admit::AdmitError;
pub use delete::{DeleteError, Deleted};
pub use opening::Damage;
pub use plan::Limits;
pub use service::{DiskDevice, DiskFolder, ListedShard, Node, NodeConfig};
pub use stamp::Stamp;
pub use watch::Watch;
