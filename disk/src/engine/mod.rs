//! The engines, equal in what they promise, and what they share.

pub(crate) mod folder;
pub mod sim;
pub(crate) mod threads;
