//! The gateway from outside: HTTP in, over a cluster in memory.

mod access;
mod bucket;
mod cluster;
mod label;
mod listing;
mod object;
mod server;
mod upload;
mod wire;
