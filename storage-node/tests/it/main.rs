//! A storage node against its promises: on real folders, on scripted disks, against a model.

mod delete;
mod disks;
mod faults;
mod formats;
mod heal;
mod model;
mod node;
mod power;
mod upkeep;
mod power_delete;
mod unlink;
mod world;
