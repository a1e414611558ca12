//! The engines against the trait's promises, and the simulated disk against its own.

mod sim;
mod suite;
