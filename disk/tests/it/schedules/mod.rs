//! What threads share in this crate, under many schedules.
//!
//! The very files of `src/` are compiled here a second time, with shuttle's locks and atomics in the place of
//! std's: every step of every thread is then shuttle's choice, and a run that ends in a deadlock or a failed
//! assertion can be replayed. Each promise is also put to an implementation with the bug that it guards
//! against: a model that does not find it would prove nothing.
//!
//! shuttle's memory is sequentially consistent. That the doorbell's fences suffice on weaker memory is argued
//! in its file, not tried here.

#[path = "../../../src/engine/ring/doorbell.rs"]
mod doorbell;
#[path = "../../../src/pool.rs"]
mod pool;
#[path = "../../../src/engine/ring/slots.rs"]
mod slots;
#[path = "../../../src/engine/ring/turns.rs"]
mod turns;

mod in_flight;
mod memory;
mod submitting;
mod wake;

/// What stands in `src/sync.rs`.
mod sync {
    pub(super) use shuttle::sync::atomic::{AtomicBool, Ordering, fence};
    pub(super) use shuttle::sync::{Mutex, PoisonError};
}

/// Schedules a test; each takes about a second.
const SCHEDULES: usize = 20_000;

/// Whether some schedule makes it panic.
fn is_found(run: impl Fn() + Send + Sync + std::panic::UnwindSafe + 'static) -> bool {
    std::panic::catch_unwind(|| shuttle::check_random(run, SCHEDULES)).is_err()
}
