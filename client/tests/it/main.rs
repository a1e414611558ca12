//! The data path against services in memory whose faults are scripted.

extern crate strongroom_client as client;

mod ack;
mod conditions;
mod copies;
mod degraded;
mod fake;
mod long;
mod lookups;
mod memory;
mod multipart;
mod quotas;
mod round_trip;
mod sessions;
mod silent;
