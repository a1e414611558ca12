//! Sealing: what leaves memory is ciphertext, and opens only as what it was.
//!
//! Keys form a chain, each wrapped by the one before it:
//!
//! ```text
//! root ──wraps──> slot { ring keys, storage key }      one file beside each metadata server
//! ring ──wraps──> KEK                                  one per bucket, versioned
//! KEK  ──wraps──> DEK                                  one per blob          [`wrap`]
//! ring ──HKDF───> account key                          access keys' secrets  [`account`]
//! KEK  ──HKDF───> row key                              attributes in rows    [`row`]
//! KEK  ──HKDF───> manifest key                         MACs of manifest rows [`manifest`]
//! DEK  ──seals──> segments                             a blob's bytes        [`segment`]
//! storage key ──HKDF──> frame keys                     log, snapshot files   [`frame`]
//! ```
//!
//! Every sealed thing is `nonce (12) ‖ ciphertext ‖ tag (16)` by AES-256-GCM. The nonce is random and
//! made by the provider, never by a caller, so that no retry can use one twice. Associated data says
//! what the thing is and where it belongs: moved, swapped, cut or replayed elsewhere it does not open.
//! No plaintext is handed out before its tag was checked.
//!
//! Two [`provider`]s do the same: `aws_lc` is fast and the way to a FIPS module, `portable` is pure
//! Rust. Each opens what the other sealed. This crate does no I/O and nothing asynchronous; the only
//! thing that it takes from outside is randomness. All keys are wiped when dropped and never print.
//!
//! [`md5`] protects nothing: it is here because the same module has the fastest.

pub mod account;
mod commit;
pub mod frame;
pub mod key;
pub mod manifest;
pub mod md5;
pub mod provider;
pub mod row;
pub mod segment;
pub mod wrap;

pub use key::{Kek, RingKey, RootKey, StorageKey};
pub use provider::{OpenError, Provider};

/// The suite that everything is sealed with: AES-256-GCM with random nonces, HKDF-SHA-256, SHA-256.
/// Stored before or beside what is sealed; a number never changes its meaning.
pub const SUITE: u8 = 1;
