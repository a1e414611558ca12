//! The harness of the whole-system tests: the real `strongroom` program, driven from outside.
//!
//! [`Cluster`] runs `strongroom dev` in a folder under `target/`, on ports of the kernel's choosing,
//! until it says `ready`; it can be killed, stopped, and started again on the same data. The tests in
//! `tests/it/` talk to it with real S3 clients, and `cargo xtask` uses the same harness for the Python
//! clients and the training job.
//!
//! ```text
//! place.rs    where the program is, where data and logs go
//! cluster.rs  start, kill, stop, start again
//! status.rs   what it says of itself, and faults that it can be seen to suffer
//! keeper.rs   nothing outlives a test run, however it ends
//! content.rs  the bytes of test objects: any range of any object, without storing one
//! dice.rs     randomness with a seed that is printed and can be given again
//! process.rs  memory, descriptors and threads of a running process
//! roles.rs    a cluster of processes, each of one role
//! joined.rs   the same, made by tokens
//! clock.rs    clocks of their own, which can be set
//! mount.rs    file systems of their own, which can be filled
//! wires.rs    machines of their own for these, whose wires can be pulled
//! cable.rs    the cable of one of them, which may be cut
//! raw.rs      one HTTP request as text, for what no S3 client would send
//! ```
//!
//! Nothing here knows a crate of Strongroom: what an operator sees is all that it uses.

pub mod cable;
pub mod clock;
pub mod cluster;
pub mod content;
pub mod dice;
pub mod joined;
mod keeper;
pub mod mount;
pub mod place;
pub mod process;
pub mod raw;
pub mod roles;
mod status;
pub mod wires;

pub use cable::Cable;
pub use clock::Clock;
pub use cluster::{Cluster, Credentials, Endpoints, Shape, signal_terminate};
pub use content::Content;
pub use dice::Dice;
pub use joined::{Joined, Machines};
pub use keeper::Keeper;
pub use mount::Mount;
pub use place::program;
pub use roles::Processes;

use std::time::{Duration, Instant};

/// Polls until `condition` holds; panics with `what` when the deadline passes first.
pub fn wait_until(what: &str, deadline: Duration, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(
            started.elapsed() < deadline,
            "waited {deadline:?} in vain until {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
