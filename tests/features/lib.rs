//! One set of features for the whole workspace and for a part of it.
//!
//! Cargo turns on in a dependency what the packages named in a command ask for, so `cargo test -p erasure`
//! would build much of the tree once more, otherwise than `cargo test --workspace` did. This package asks
//! for all that any member asks for: `-p erasure -p strongroom-features` finds every dependency built.
//! It does so through its dev-dependencies, which count in a command that builds tests and which nothing
//! here compiles; so neither does a change in one of our libraries rebuild another.
//!
//! `cargo xtask test` checks that each member together with this package resolves as the workspace does,
//! and names what is missing from its `Cargo.toml`.
