//! What the files that `tests/it/schedules` drives use of `std::sync`; there `shuttle`'s stand in its place.

pub(crate) use std::sync::atomic::{AtomicBool, Ordering, fence};
pub(crate) use std::sync::{Mutex, PoisonError};
