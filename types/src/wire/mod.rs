//! Messages between servers, and the two services that answer them.
//!
//! A gateway holds both as `Arc<dyn …>`: within one process a function call, between processes a
//! transport that encodes the same messages with [`crate::codec`].

pub mod metadata;
pub mod storage;

pub use metadata::Metadata;
pub use storage::ShardStore;
