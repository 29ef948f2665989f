//! A token bucket: bytes a second with a burst, by the clock of whoever asks.

use super::Time;

/// Seconds of its rate that a bucket holds when full.
const BURST_S: u64 = 4;

/// Bytes that may pass. Starts full.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    /// Bytes spent and not yet regained.
    spent: u64,
    at: Time,
}

impl Bucket {
    /// Takes `bytes` when `rate` (bytes a second) allows; otherwise takes nothing and says so.
    pub(super) fn take(&mut self, now: Time, bytes: usize, rate: u64) -> bool {
        let burst = rate.saturating_mul(BURST_S).max(1);
        self.take_within(now, bytes as u64, rate, burst)
    }

    /// The same with a burst of its own, for what comes seldom and in large pieces.
    pub(super) fn take_within(&mut self, now: Time, amount: u64, rate: u64, burst: u64) -> bool {
        let passed_ns = now.0.saturating_sub(self.at.0);
        let regained = u128::from(passed_ns) * u128::from(rate) / 1_000_000_000;
        if regained > 0 {
            self.spent = self
                .spent
                .saturating_sub(u64::try_from(regained).unwrap_or(u64::MAX));
            self.at = now;
        }
        let after = self.spent.saturating_add(amount);
        let fits = after <= burst;
        if fits {
            self.spent = after;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_passes_then_only_the_rate() {
        let mut bucket = Bucket::default();
        let mut now = Time(5);
        let burst = (0..1000).filter(|_| bucket.take(now, 10, 100)).count();
        assert_eq!(burst, 40);
        now = now.plus(Duration::from_secs(10));
        let more = (0..1000).filter(|_| bucket.take(now, 10, 100)).count();
        assert_eq!(more, 40, "idle time fills no more than the burst");
        let mut passed = 0;
        for _ in 0..1000 {
            now = now.plus(Duration::from_millis(10));
            passed += usize::from(bucket.take(now, 10, 100));
        }
        assert_eq!(passed, 100, "10 s at 100 bytes a second");
    }
}
