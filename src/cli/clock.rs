//! The clock of the commands. No other file of this room asks what time it is.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds since 1970; 0 when the clock is set before.
#[allow(
    clippy::disallowed_methods,
    reason = "this is the clock of the commands"
)]
pub fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// Time since something began.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins now.
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the clock of the commands"
    )]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// How long ago it began.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// What is left of a limit; `None`: it has no end.
    pub fn left(self, limit: Option<Duration>) -> Option<Duration> {
        limit.map(|limit| limit.saturating_sub(self.elapsed()))
    }

    /// Has a limit passed?
    pub fn passed(self, limit: Option<Duration>) -> bool {
        limit.is_some_and(|limit| self.elapsed() >= limit)
    }
}
