//! The data path against services in memory whose faults are scripted.

extern crate strongroom_client as client;

mod ack;
mod degraded;
mod fake;
mod memory;
mod round_trip;
mod sessions;
