//! A storage node against its promises: on real folders, on scripted disks, against a model.

mod delete;
mod disks;
mod face;
mod faults;
mod formats;
mod full;
mod heal;
mod matrix;
mod metered;
mod model;
mod node;
mod power;
mod power_delete;
mod reclaim;
mod router;
mod scrub;
mod scrubs;
mod unlink;
mod upkeep;
mod watch;
mod wire;
mod world;
