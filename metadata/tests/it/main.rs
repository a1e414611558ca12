//! The metadata crate from outside.

mod apply;
mod bootstrap;
mod bucket_keys;
mod extremes;
mod fixture;
mod golden;
mod listing;
mod model;
mod raft_cluster;
mod raft_node;
mod raft_slot;
mod raft_support;
mod service;
mod store;
