//! The safety rules of the data path, small enough to be explored whole.
//!
//! "What must always hold" in the design is a list of fences: a lease here, an epoch there, each of
//! them there because without it some rare order of events loses data. This crate is those rules
//! and nothing else, without bytes, sockets or clocks, and a search that tries every order.
//!
//! ```text
//! scene ──> world ──> step: gateway, namespace, mover, repair, collector ──> check
//!             └──────────────── explore: all of them, shortest first ───────┘
//! ```
//!
//! The tests take away one fence at a time and ask for the loss; with all in place there is none.
//! What the model covers, and where it changed the design, is in docs/decisions/0001.
//!
//! It never does I/O, and shares no code with the system: it is what the system is held against.

pub mod action;
pub mod check;
pub mod explore;
pub mod fence;
pub mod keys;
pub mod scene;
pub mod step;
pub mod world;
