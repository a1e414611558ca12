//! How a driver that sleeps in the kernel learns of new work.
//!
//! ```text
//! caller: queue it --> fence --> asleep? then wake          (ring)
//! driver: asleep = true --> fence --> queue empty? then sleep   (may_sleep)
//! ```
//!
//! Either the driver, going to sleep, sees the work in the queue, or the caller sees that the driver is
//! asleep: the fences on both sides rule out that neither happens. No kernel is needed for this part:
//! `tests/it/schedules` drives it through many schedules.

use super::sync::{AtomicBool, Ordering, fence};

/// Whether the driver sleeps, or is about to.
pub(super) struct Doorbell {
    asleep: AtomicBool,
}

impl Doorbell {
    pub(super) fn new() -> Self {
        Self {
            asleep: AtomicBool::new(false),
        }
    }

    /// After something was queued: wakes the driver if it may sleep.
    pub(super) fn ring(&self, wake: impl FnOnce()) {
        fence(Ordering::SeqCst);
        if self.asleep.swap(false, Ordering::SeqCst) {
            wake();
        }
    }

    /// The driver's last look before it sleeps.
    pub(super) fn may_sleep(&self, nothing_to_do: impl FnOnce() -> bool) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        nothing_to_do()
    }

    /// The driver is awake again: nobody needs to wake it.
    pub(super) fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }
}
