//! When to ask host caches: only while we have no link, and nobody left to try (bootstrap.md section 8).

use std::time::Duration;

use super::Time;

/// Without a link for so long, although addresses are known: they are no use.
const PATIENCE: Duration = Duration::from_secs(20);
/// From the first asking to the second; doubles each time (gtk-gnutella asks one cache once in 180 s).
const GAP_MIN: Duration = Duration::from_secs(180);
/// The longest time between two (bootstrap.md section 8).
const GAP_MAX: Duration = Duration::from_mins(60);

/// How long we have been alone, and how often we asked.
#[derive(Debug, Default)]
pub struct Hunger {
    alone_since: Option<Time>,
    asked: u32,
    not_before: Time,
}

impl Hunger {
    /// Are caches to be asked now? Saying so counts as having asked.
    pub fn asks(&mut self, now: Time, links: usize, known: usize) -> bool {
        if links > 0 {
            self.alone_since = None;
            // The next time we are alone is another occasion, but caches are still not asked more often.
            self.asked = self.asked.min(1);
            return false;
        }
        let since = *self.alone_since.get_or_insert(now);
        let starving = known == 0 || now.since(since) >= PATIENCE;
        if !starving || now < self.not_before {
            return false;
        }
        let gap = GAP_MIN.saturating_mul(1 << self.asked.min(8)).min(GAP_MAX);
        self.asked = self.asked.saturating_add(1);
        self.not_before = now.plus(gap);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn caches_are_asked_at_once_only_when_nobody_is_known() {
        assert!(Hunger::default().asks(at(0), 0, 0));
        let mut hunger = Hunger::default();
        assert!(!hunger.asks(at(0), 0, 5));
        assert!(!hunger.asks(at(19), 0, 5));
        assert!(hunger.asks(at(20), 0, 5));
        let mut linked = Hunger::default();
        assert!((0..9_999).all(|second| !linked.asks(at(second), 1, 0)));
    }

    #[test]
    fn the_longer_it_is_no_use_the_less_often_they_are_asked() {
        let mut hunger = Hunger::default();
        let asked: Vec<u64> = (0..20_000).filter(|s| hunger.asks(at(*s), 0, 0)).collect();
        assert_eq!(asked[..5], [0, 180, 540, 1_260, 2_700]);
        assert!(asked.windows(2).all(|two| two[1] - two[0] <= 3_600));
    }

    #[test]
    fn links_that_come_and_go_do_not_make_us_ask_more_often() {
        let mut hunger = Hunger::default();
        let asked = (0..3_600)
            .filter(|second| hunger.asks(at(*second), usize::from(second % 2 == 1), 0))
            .count();
        assert!(asked <= 20, "{asked}");
    }
}
