//! One source of a download: when it may be asked again, and when it is of no more use.
//!
//! Statuses as content 4.2 has them, queues as content 5 does.

use std::ops::Range;
use std::time::Duration;

use super::assign::refresh_wait;
use super::ranges::Ranges;
use super::speed::Speed;
use crate::node::Time;

/// Sources of one download. Our estimate.
pub const SOURCES_MAX: usize = 64;
/// Tries in a row without a byte before a source that never gave one is dropped: enough for a moment's
/// trouble, few enough that a dead address is said within seconds.
pub const TRIES_MAX: u32 = 3;
/// The same for a source that gave bytes before, so that a restart of its machine is outlived.
pub const TRIES_OF_KNOWN_MAX: u32 = 10;
/// Times a source may say that it is busy. At ten minutes each this is a night.
pub const BUSY_TRIES_MAX: u32 = 60;
/// Times a source may tell us our place in its queue; at the shortest poll this is some hours.
pub const POLLS_MAX: u32 = 1_000;
/// First wait after a broken or refused connection; doubles.
const BROKEN_WAIT: Duration = Duration::from_secs(1);
/// First wait after 503 or 416 without `Retry-After`, and after other server errors (content 4.2); doubles.
const BUSY_WAIT: Duration = Duration::from_secs(60);
/// Wait after a source that was slower than it may be: others first.
const SLOW_WAIT: Duration = Duration::from_secs(30);
/// Shortest wait that a `Retry-After` is taken for.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);
/// Longest wait, whoever asks for it.
const WAIT_MAX: Duration = Duration::from_secs(600);
/// A queue that names no time is polled this often (content 5: 30 s and more for a place).
const POLL_WAIT: Duration = Duration::from_secs(45);

/// A source, numbered as they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub usize);

/// Why a source is of no use, and with the last one the download. The later ones weigh more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It does not have the file (any more).
    Gone,
    /// It gave or announced another content, or bytes that make no sense.
    Wrong,
    /// It was busy each time.
    Busy,
    /// It failed each time.
    Failing,
    /// It could not be reached.
    Unreachable,
    /// It does not want us.
    Refused,
}

/// How one request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// In order, with all that the answer promised, or with as much as was still wanted.
    Served,
    /// With another status than 200 or 206.
    Status {
        /// The status.
        code: u16,
        /// `Retry-After` in seconds.
        retry_after_s: Option<u32>,
    },
    /// We have a place in its queue.
    Queued {
        /// Seconds before which it must not be asked again, if it says.
        poll_after_s: Option<u32>,
    },
    /// No connection.
    Unreachable,
    /// It cannot be connected to, and does not connect to us either.
    Walled,
    /// The connection broke or fell silent.
    Broken,
    /// Slower than it may be.
    Slow,
    /// Another hash or size than wanted, or an answer that does not add up.
    Wrong,
}

/// How far a request to a source is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is none.
    #[default]
    Idle,
    /// It has not answered.
    Asked,
    /// It answers.
    Answers,
}

/// What a source waits for that may not be asked yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// Only for the time.
    #[default]
    Time,
    /// It had nothing of use: when it has, it may be asked at once.
    More,
}

/// What is known of one source.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    /// What the limit per host counts: host and port.
    pub(super) host: String,
    /// Tries in a row without a byte.
    pub(super) tries: u32,
    /// Times in a row that it was busy.
    pub(super) busy: u32,
    /// Times in a row that it told us our place in its queue.
    pub(super) polls: u32,
    pub(super) not_before: Time,
    /// It gave bytes to what is there now.
    pub(super) gave: bool,
    pub(super) lost: Option<Why>,
    /// What it may be asked for, when it said that it does not have all. `None` also when it is to be asked anew what
    /// it has.
    pub(super) available: Option<Ranges>,
    /// What it has, as it said last; `None`: all.
    pub(super) shown: Option<Ranges>,
    /// Bytes that it was asked for last, and when.
    pub(super) asked_for: u64,
    pub(super) asked_at: Time,
    /// Bytes a second from the asking on, over the last requests: a limit or a queue on its side may show in how long
    /// it takes to begin.
    pub(super) served: Option<u64>,
    /// What it waits for until it may be asked.
    pub(super) waits_for: WaitsFor,
    /// Where it stands among those that fetch the same, in an order that all of them know.
    pub(super) place: u64,
    /// The size it named, when that is not the size we go by.
    pub(super) other_size: Option<u64>,
    /// It answers with the whole whatever range is asked.
    pub(super) whole_only: bool,
    /// It was asked for all that others gave, once.
    pub(super) soloed: bool,
    pub(super) phase: Phase,
    pub(super) speed: Speed,
    /// All bytes it ever gave.
    pub(super) bytes: u64,
}

impl Source {
    pub(super) fn new(host: String) -> Self {
        Self {
            place: place(&host),
            host,
            ..Self::default()
        }
    }

    /// May it be asked now?
    pub(super) fn is_ready(&self, now: Time) -> bool {
        self.is_there() && !self.is_running() && self.not_before <= now
    }

    /// Does a request to it run?
    pub(super) fn is_running(&self) -> bool {
        self.phase != Phase::Idle
    }

    /// Is it of use, now or later?
    pub(super) fn is_there(&self) -> bool {
        self.lost.is_none() && self.other_size.is_none()
    }

    /// Is it one that fetches the file too, and has not all of it?
    pub(super) fn is_partial(&self) -> bool {
        self.shown.is_some()
    }

    /// Do we have a place in its queue?
    pub(super) fn is_queued(&self) -> bool {
        self.polls > 0
    }

    /// May it have any of this, as far as it says?
    pub(super) fn may_have(&self, range: &Range<u64>) -> Option<Range<u64>> {
        match &self.available {
            None => Some(range.clone()),
            Some(available) => available.within(range.clone()).next(),
        }
    }

    /// Bytes came of it.
    pub(super) fn received(&mut self, now: Time, bytes: u64) {
        self.bytes += bytes;
        self.gave = true;
        (self.tries, self.busy, self.polls) = (0, 0, 0);
        self.waits_for = WaitsFor::Time;
        self.speed.came(now, bytes);
    }

    /// Its request is over after `fresh` bytes; `others`: sources that could be asked instead.
    pub(super) fn ended(&mut self, now: Time, how: Ended, fresh: u64, others: usize) {
        self.phase = Phase::Idle;
        self.waits_for = WaitsFor::Time;
        self.speed.end(now);
        if fresh > 0 && matches!(how, Ended::Served) {
            let ms = now.since(self.asked_at).as_millis().max(1);
            let new = u128::from(fresh) * 1_000 / ms;
            let new = u64::try_from(new).unwrap_or(u64::MAX);
            self.served = Some(self.served.map_or(new, |old| old / 2 + new / 2).max(1));
        }
        if !matches!(how, Ended::Queued { .. }) {
            self.polls = 0;
        }
        match how {
            Ended::Served if fresh > 0 => self.not_before = now,
            Ended::Unreachable => self.fail(now, BROKEN_WAIT, Why::Unreachable),
            // That took its time. Of one that gave before, the wall is new: it may fall.
            Ended::Walled if self.gave => self.fail(now, SLOW_WAIT, Why::Unreachable),
            Ended::Walled => self.lost = Some(Why::Unreachable),
            Ended::Slow if others > 0 => self.fail(now, SLOW_WAIT, Why::Failing),
            // An answer with nothing in it is as good as broken, or we would ask for ever; and slow is
            // better than nobody.
            Ended::Served | Ended::Broken | Ended::Slow => {
                self.fail(now, BROKEN_WAIT, Why::Failing);
            }
            Ended::Wrong => self.lost = Some(Why::Wrong),
            Ended::Queued { poll_after_s } => {
                self.polls += 1;
                let asked = poll_after_s.map(|seconds| Duration::from_secs(u64::from(seconds)));
                // Whoever comes too early loses the place, so the span is never cut short but at our end of patience.
                let wait = asked.map_or(POLL_WAIT, |asked| asked.max(RETRY_AFTER_MIN));
                self.not_before = now.plus(wait.min(2 * WAIT_MAX));
                if self.polls >= POLLS_MAX {
                    self.lost = Some(Why::Busy);
                }
            }
            Ended::Status {
                code,
                retry_after_s,
            } => self.status(now, code, retry_after_s),
        }
    }

    fn status(&mut self, now: Time, code: u16, retry_after_s: Option<u32>) {
        match code {
            // Busy, not yet, not so fast: come back when it says.
            408 | 409 | 416 | 425 | 429 | 503 | 550 => {
                self.busy += 1;
                let doubled = BUSY_WAIT * 2u32.saturating_pow((self.busy - 1).min(8));
                let asked = retry_after_s.map(|seconds| Duration::from_secs(u64::from(seconds)));
                // It fetches too: what it has now is soon more.
                let partial = self.is_partial() && matches!(code, 416 | 503);
                if partial && code == 416 {
                    self.waits_for = WaitsFor::More;
                }
                let doubled = if partial {
                    refresh_wait(self.busy)
                } else {
                    doubled
                };
                let asked = asked.map(|asked| if partial { asked.max(doubled) } else { asked });
                let wait = asked.map_or(doubled, |asked| asked.max(RETRY_AFTER_MIN));
                let wait = if matches!(code, 429 | 550) {
                    wait.max(WAIT_MAX)
                } else {
                    wait.min(WAIT_MAX)
                };
                self.not_before = now.plus(wait);
                if self.busy >= BUSY_TRIES_MAX {
                    self.lost = Some(if matches!(code, 429 | 550) {
                        Why::Refused
                    } else {
                        Why::Busy
                    });
                }
            }
            401 | 403 | 407 => self.lost = Some(Why::Refused),
            500..=599 => self.fail(now, BUSY_WAIT, Why::Failing),
            404 | 410 => self.lost = Some(Why::Gone),
            // Whatever else it means, it will mean the same the next time.
            _ => self.lost = Some(Why::Wrong),
        }
    }

    fn fail(&mut self, now: Time, first_wait: Duration, why: Why) {
        self.tries += 1;
        let tries_max = if self.gave {
            TRIES_OF_KNOWN_MAX
        } else {
            TRIES_MAX
        };
        if self.tries >= tries_max {
            self.lost = Some(why);
        }
        let wait = first_wait * 2u32.saturating_pow((self.tries - 1).min(10));
        self.not_before = now.plus(wait.min(WAIT_MAX));
    }
}

/// Where a host and port stands among those that fetch the same file: FNV-1a, of which nobody needs more than that all
/// compute the same.
pub(super) fn place(host: &str) -> u64 {
    host.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO.plus(Duration::from_secs(seconds))
    }

    fn status(code: u16, retry_after_s: Option<u32>) -> Ended {
        Ended::Status {
            code,
            retry_after_s,
        }
    }

    /// Until when it waits, or why it is lost.
    fn after(how: Ended) -> Result<Time, Why> {
        let mut source = Source::new("a".to_owned());
        source.ended(at(0), how, 0, 0);
        source.lost.map_or(Ok(source.not_before), Err)
    }

    #[test]
    fn each_end_has_its_consequence() {
        for (how, then) in [
            (status(404, None), Err(Why::Gone)),
            (status(410, Some(5)), Err(Why::Gone)),
            (status(401, None), Err(Why::Refused)),
            (status(403, None), Err(Why::Refused)),
            (status(400, None), Err(Why::Wrong)),
            (status(304, None), Err(Why::Wrong)),
            (status(408, Some(7)), Ok(at(7))),
            (status(416, Some(7)), Ok(at(7))),
            (status(416, None), Ok(at(60))),
            (status(503, Some(0)), Ok(at(1))),
            (status(503, Some(u32::MAX)), Ok(at(600))),
            (status(429, Some(7)), Ok(at(600))),
            (status(550, None), Ok(at(600))),
            (status(500, None), Ok(at(60))),
            (status(501, None), Ok(at(60))),
            (Ended::Unreachable, Ok(at(1))),
            (Ended::Walled, Err(Why::Unreachable)),
            (Ended::Broken, Ok(at(1))),
            (Ended::Served, Ok(at(1))),
            (Ended::Slow, Ok(at(1))),
            (Ended::Wrong, Err(Why::Wrong)),
            (
                Ended::Queued {
                    poll_after_s: Some(77),
                },
                Ok(at(77)),
            ),
            (Ended::Queued { poll_after_s: None }, Ok(at(45))),
        ] {
            assert_eq!(after(how), then, "{how:?}");
        }
    }

    #[test]
    fn a_dead_source_is_given_up_soon_and_one_that_gave_late() {
        let tries = |gave: u64| {
            let mut source = Source::new("a".to_owned());
            if gave > 0 {
                source.received(at(0), gave);
            }
            let mut tries = 0;
            while source.lost.is_none() {
                tries += 1;
                source.ended(source.not_before, Ended::Unreachable, 0, 0);
            }
            (tries, source.lost)
        };
        assert_eq!(tries(0), (TRIES_MAX, Some(Why::Unreachable)));
        assert_eq!(tries(1), (TRIES_OF_KNOWN_MAX, Some(Why::Unreachable)));
    }

    #[test]
    fn busy_for_a_night_is_enough() {
        let mut source = Source::new("a".to_owned());
        for _ in 1..BUSY_TRIES_MAX {
            source.ended(source.not_before, status(503, None), 0, 0);
        }
        assert_eq!(source.lost, None);
        source.ended(source.not_before, status(503, None), 0, 0);
        assert_eq!(source.lost, Some(Why::Busy));
    }
}
