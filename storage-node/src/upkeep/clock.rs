//! Wall time for periods of days, which go on while the process does not run.

use std::time::SystemTime;
use tokio::time::Instant;
use types::wire::metadata::WallTime;

/// Tells wall time. It is read once; from then on it goes with the runtime's own clock, so that nobody who sets
/// the machine's clock makes a period shorter or longer.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    at: WallTime,
    since: Instant,
}

impl Clock {
    /// The machine's.
    pub fn system() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let milliseconds = since.unwrap_or_default().as_millis();
        Self::starting(WallTime(u64::try_from(milliseconds).unwrap_or(u64::MAX)))
    }

    /// One by which it is now that time.
    pub fn starting(at: WallTime) -> Self {
        Self {
            at,
            since: Instant::now(),
        }
    }

    /// What time it is.
    pub fn now(self) -> WallTime {
        let elapsed = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        WallTime(self.at.0.saturating_add(elapsed))
    }
}
