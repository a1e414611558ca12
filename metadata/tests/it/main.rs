//! The metadata crate from outside.

mod accounts;
mod apply;
mod bootstrap;
mod bucket_keys;
mod conditional;
mod copied_parts;
mod copies;
mod extremes;
mod fixture;
mod golden;
mod listing;
mod manifest;
mod model;
mod multipart;
mod raft_cluster;
mod raft_node;
mod raft_slot;
mod raft_support;
mod reclaim;
mod references;
mod service;
mod store;
mod sweeps;
mod tags;
mod uploads;
