//! The engines, equal in what they promise, and what they share.

pub(crate) mod folder;
mod names;
mod ring;
pub mod sim;
pub(crate) mod threads;
pub(crate) mod uring;
