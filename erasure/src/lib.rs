//! Chunk layout and Reed-Solomon: bytes in, bytes out.
//!
//! A blob is a row of sealed segments. [`layout`] says which of them lie in which block of which shard
//! of which chunk; it is arithmetic only. [`code`] makes parity from data and any lost block from k
//! others, row by row:
//!
//! ```text
//! chunk of n = 10 segments at 4+2, L = ceil(10 / 4) = 3
//!
//!             shard 0  shard 1  shard 2  shard 3  |  shard 4  shard 5
//! row 0          0        3        6        9     |    P        Q
//! row 1          1        4        7        .     |    P        Q
//! row 2          2        5        8        .     |    P        Q
//! ```
//!
//! The layout is contiguous, not striped: a small range touches one disk, and a stream runs down the
//! data shards and decodes nothing. A dot is a block that does not exist: it counts as zeros in the
//! arithmetic, and zeros are neither stored nor sent.
//!
//! Everything runs over sealed bytes. This crate sees no key, no plaintext and no block checksum, does
//! no I/O and nothing asynchronous.

pub mod code;
pub mod layout;

pub use code::{Coder, TooFewShards};
pub use layout::{BlobLayout, Layout};
