//! How fast a source is, measured while it sends.

use std::time::Duration;

use crate::node::Time;

/// Speed is taken over spans of this length: longer than the buffers on the way hide, short enough to
/// notice a change before the next range is handed out. Our estimate.
const SPAN: Duration = Duration::from_millis(500);
/// The first span is judged sooner, since the first ranges are short.
const FIRST_SPAN: Duration = Duration::from_millis(50);
/// A source that is silent for longer than this is getting slower.
const SILENCE: Duration = Duration::from_secs(1);

/// A measured speed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Speed {
    rate: Option<u64>,
    since: Time,
    bytes: u64,
    last: Time,
}

impl Speed {
    /// A request goes out.
    pub(super) fn begin(&mut self, now: Time) {
        (self.since, self.bytes, self.last) = (now, 0, now);
    }

    /// Bytes came.
    pub(super) fn came(&mut self, now: Time, bytes: u64) {
        self.bytes += bytes;
        self.last = now;
        let span = now.since(self.since);
        let enough = if self.rate.is_none() {
            FIRST_SPAN
        } else {
            SPAN
        };
        if span >= enough {
            self.take(now, span);
        }
    }

    /// A request is over, with what came of it.
    pub(super) fn end(&mut self, now: Time) {
        let span = now.since(self.since).max(Duration::from_micros(100));
        if self.bytes > 0 && (self.rate.is_none() || span >= FIRST_SPAN) {
            self.take(now, span);
        }
    }

    fn take(&mut self, now: Time, span: Duration) {
        let per_s = u128::from(self.bytes) * 1_000_000_000 / span.as_nanos().max(1);
        let new = u64::try_from(per_s).unwrap_or(u64::MAX);
        // Half old, half new: a moment's stall is no new speed.
        self.rate = Some(self.rate.map_or(new, |old| old / 2 + new / 2).max(1));
        (self.since, self.bytes) = (now, 0);
    }

    /// Bytes a second when it sent last; `None`: never measured.
    pub(super) fn known(&self) -> Option<u64> {
        self.rate
    }

    /// Bytes a second that may be expected of it while it sends: silence makes it less.
    pub(super) fn expected(&self, now: Time) -> Option<u64> {
        let silent = now.since(self.last);
        let rate = self.rate?;
        if silent <= SILENCE {
            return Some(rate);
        }
        let less = u128::from(rate) * SILENCE.as_nanos() / silent.as_nanos().max(1);
        // Each further second of silence halves what is left: after some of them nothing is expected.
        let seconds = u32::try_from(silent.as_secs()).unwrap_or(u32::MAX).min(18);
        Some(u64::try_from(less / 2u128.pow(seconds)).unwrap_or(0).max(1))
    }

    /// How long it has been silent.
    pub(super) fn silent(&self, now: Time) -> Duration {
        now.since(self.last)
    }
}
