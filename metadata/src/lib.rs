//! Namespace, placement and keys: a replicated state machine and the service on top of it.

pub mod command;
pub mod log;
pub mod reply;
pub mod store;
pub mod txn;

pub use command::{Command, Proposal};
pub use reply::Reply;
pub use store::{Changes, Opened, Store, StoreError};
pub use txn::{Rows, Txn};
