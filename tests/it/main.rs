//! Whole-system tests: the real program, real S3 requests, real faults.
//!
//! Tests that do no harm share one cluster ([`support::cluster`]); those that kill, stop or damage one
//! start their own. `cargo xtask test` builds the program and runs these; `cargo xtask soak` runs the
//! same loops for longer.

mod accounts;
mod buckets;
mod cache;
mod certificate;
mod conditions;
mod copy;
mod deploy;
mod disks;
mod holes;
mod hostile;
mod kill;
mod listing;
mod load;
mod metadata;
mod multipart;
mod nemesis;
mod object_store;
mod objects;
mod pressure;
mod processes;
mod quotas;
mod ranges;
mod refusals;
mod scheme;
mod secrets;
mod shutdown;
mod sizes;
mod soak;
mod support;
mod survive;
mod tagging;
mod virtual_host;
