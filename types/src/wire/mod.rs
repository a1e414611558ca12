//! Messages between servers, and the services that answer them.
//!
//! A gateway holds them as `Arc<dyn …>`: within one process a function call, between processes a
//! transport that encodes the same messages with [`crate::codec`].

pub mod accounts;
pub mod calls;
pub mod members;
pub mod metadata;
pub mod scrub;
pub mod shards;
pub mod storage;
pub mod upkeep;
pub mod usage;

pub use accounts::Accounts;
pub use members::{Enrolment, Members};
pub use metadata::Metadata;
pub use scrub::Scrubs;
pub use storage::ShardStore;
pub use upkeep::Upkeep;
pub use usage::Usages;
