//! A storage node: numbered, opaque shards on disks. It sees no key and no name.
//!
//! Life of a shard:
//!
//! ```text
//! put: blocks verified -> queued -> appended -> synced with all that waited -> live, answered
//! read: looked up -> one read -> blocks verified -> answered from the read's own buffer
//! delete: fenced -> queued -> tombstone appended -> synced with all that waited -> gone, answered
//!         -> its volume, once nothing lives in it: off the roster -> unlinked
//!         -> before that: its place punched out of the file, or what lives beside it moved away (`reclaim`)
//! ```
//!
//! A disk is a folder with a stamp (`stamp`) and volumes (`volume`), files of records (`record`,
//! `tombstone`) that end in a footer once they are full (`footer`); a roster says which there should be
//! (`roster`). Where each shard lies is kept in memory (`index`), and what keeps which dead (`volumes`).
//! What to do next is decided without I/O (`store`) and done by one task a disk (`writer`). Another task
//! looks after all disks (`watch`).
//!
//! | fault | what happens |
//! | --- | --- |
//! | torn tail after a power cut | cut at open; nothing acknowledged is in it |
//! | bad record with a good one behind it | damage: reported, the rest of the disk serves |
//! | block fails its checksum | that read says so; its reader rebuilds it from other shards |
//! | read error | its reader rebuilds it from others, and it is made again; fifty shards within ten minutes retire the disk |
//! | stored record does not verify | a put under its key takes its place; a whole one is a conflict |
//! | write or sync fails | the disk stops; it is closed, and opened anew from what it had acknowledged |
//! | its folder or files are deleted under it | noticed before an answer out of that file, and within a second; the disk stops |
//! | a call does not return | the disk is stalled: it refuses at once, others go on; it serves when the call returns |
//! | much slower than its peers | it is told; readers hedge and ask it last |
//! | full | shards are refused while a twentieth is left, or the file system has none; removals find room |
//! | emptied, missing, foreign, duplicate, replaced | absent with the reason; looked at again every second, and served once its own stamp is back |

mod admit;
mod checksum;
mod condition;
mod delete;
mod drive;
pub mod footer;
mod gauges;
pub mod index;
mod layout;
mod ledger;
mod opening;
mod places;
pub mod plan;
mod queue;
mod ranges;
mod reading;
mod reclaim;
pub mod record;
pub mod roster;
mod serve;
pub mod service;
mod slow;
pub mod stamp;
pub mod store;
mod ticket;
pub mod tombstone;
mod unread;
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
pub use serve::{ADMITTED, ServeError, ServeLimits, ShardServer};
pub use service::{DiskDevice, DiskFolder, ListedShard, Node, NodeConfig};
pub use stamp::Stamp;
pub use watch::Watch;
