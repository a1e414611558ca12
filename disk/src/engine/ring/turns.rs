//! One thread at a time does what several have queued, and nobody waits for it.
//!
//! ```text
//! queue it --> anything queued? --> nobody at it? then do all that is queued --> look again
//!                                   somebody is: that one looks again
//! ```
//!
//! Whoever is at it looks again after it has let others in. So what was queued meanwhile, by one who found it busy, is
//! seen. No kernel is needed for this part: `tests/it/schedules` drives it through many schedules.

use super::sync::Mutex;
use std::sync::TryLockError;

/// Has what is queued be done, by this thread or by the one that is at it.
pub(super) fn take_turns<T>(turn: &Mutex<T>, any: impl Fn() -> bool, mut work: impl FnMut(&mut T)) {
    while any() {
        match turn.try_lock() {
            Ok(mut ours) => work(&mut ours),
            Err(TryLockError::Poisoned(ours)) => work(&mut ours.into_inner()),
            Err(TryLockError::WouldBlock) => return,
        }
    }
}
