//! A storage node against its promises: on real folders, on scripted disks, against a model.

mod faults;
mod formats;
mod model;
mod node;
mod power;
mod world;
