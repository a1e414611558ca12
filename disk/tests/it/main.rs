//! The engines against the trait's promises, and the simulated disk against its own.

mod denied;
mod schedules;
mod sim;
mod suite;
