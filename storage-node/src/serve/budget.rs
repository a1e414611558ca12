//! Memory for bodies: so much and no more, taken before it is used, by whoever comes first. Nobody waits for it:
//! a request that would have to is answered `Busy`, and its caller knows other disks.

use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use types::ByteCount;

/// What is counted, in bytes: a semaphore's permits are fewer than a machine's bytes may be.
const UNIT: usize = 4096;

/// A number of bytes.
pub(super) struct Budget(Arc<Semaphore>);

/// Some of them, until it is dropped.
pub(super) struct Paid(#[expect(dead_code, reason = "held for its permits")] OwnedSemaphorePermit);

impl Budget {
    pub(super) fn new(bytes: ByteCount) -> Self {
        let units = usize::try_from(bytes.get() / UNIT as u64).unwrap_or(usize::MAX);
        Self(Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))))
    }

    /// So many, if they are there.
    pub(super) fn take(&self, bytes: usize) -> Option<Paid> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).ok()?;
        let permit = Arc::clone(&self.0).try_acquire_many_owned(units);
        permit.ok().map(Paid)
    }
}

/// Bytes that are paid for until the last of them is sent.
struct Held(
    Bytes,
    #[expect(dead_code, reason = "held for as long as the bytes are")] Paid,
);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Paid {
    /// The same bytes, with this payment behind them.
    pub(super) fn hold(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Held(bytes, self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is held is paid for until the last piece of it is gone.
    #[test]
    fn bytes_are_paid_for_until_they_are_gone() {
        let budget = Budget::new(ByteCount::new(3 * UNIT as u64));
        let paid = budget.take(2 * UNIT).unwrap();
        assert!(budget.take(UNIT + 1).is_none());
        let one = budget.take(1).unwrap();
        assert!(budget.take(1).is_none());
        drop(one);
        let mut held = paid.hold(Bytes::from_static(b"bytes"));
        let piece = held.split_to(2);
        drop(held);
        assert_eq!(piece, "by");
        assert!(budget.take(2 * UNIT).is_none());
        drop(piece);
        assert!(budget.take(3 * UNIT).is_some());
        assert!(budget.take(usize::MAX).is_none());
    }
}
