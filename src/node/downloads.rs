//! One download: which source to ask next, from where, and when to give up.
//!
//! One source at a time; the shell connects, reads and writes, and says what came of it. Knows no names,
//! no sockets and no files. Statuses as content.md 4.2 has them. Room for several sources at a time:
//! [`Download::next`] hands out one request, and a later version may hand out more of them.

use std::time::Duration;

use super::Time;

/// Sources of one download. Our estimate.
pub const SOURCES_MAX: usize = 64;
/// Tries in a row without a byte before a source that never gave one is dropped: enough for a moment's
/// trouble, few enough that a dead address is said within seconds.
pub const TRIES_MAX: u32 = 3;
/// The same for a source that gave bytes before, so that a restart of its machine is outlived.
pub const TRIES_OF_KNOWN_MAX: u32 = 10;
/// Times a source may say that it is busy. At ten minutes each this is a night.
pub const BUSY_TRIES_MAX: u32 = 60;
/// First wait after a broken or refused connection; doubles.
const BROKEN_WAIT: Duration = Duration::from_secs(1);
/// First wait after 503 or 416 without `Retry-After`, and after other server errors (content.md 4.2); doubles.
const BUSY_WAIT: Duration = Duration::from_secs(60);
/// Wait after a source that was slower than it may be: others first.
const SLOW_WAIT: Duration = Duration::from_secs(30);
/// Shortest wait that a `Retry-After` is taken for.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);
/// Longest wait, whoever asks for it.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// Position of a source in the list given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub usize);

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask this source for everything from byte `from` on.
    Ask {
        /// Whom.
        source: SourceId,
        /// First byte wanted.
        from: u64,
    },
    /// No source may be asked before.
    Wait(Time),
    /// All bytes are there: verify them.
    Complete,
    /// No source is left.
    GiveUp(Why),
}

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
    /// In order, with all that the answer promised.
    Served,
    /// With another status than 200 or 206.
    Status {
        /// The status.
        code: u16,
        /// `Retry-After` in seconds.
        retry_after_s: Option<u32>,
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

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Tries in a row without a byte.
    tries: u32,
    /// Times in a row that it was busy.
    busy: u32,
    not_before: Time,
    /// It gave bytes to what is there now.
    gave: bool,
    lost: Option<Why>,
}

/// The decisions of one download.
#[derive(Debug)]
pub struct Download {
    sources: Vec<State>,
    current: Option<usize>,
    done: u64,
    size: Option<u64>,
    /// Bytes that came since the current request began.
    fresh: u64,
}

impl Download {
    /// A download of which `done` bytes are there. More than [`SOURCES_MAX`] sources are not looked at.
    pub fn new(sources: usize, done: u64, size: Option<u64>) -> Self {
        let sources = vec![State::default(); sources.min(SOURCES_MAX)];
        Self {
            sources,
            current: None,
            done,
            size,
            fresh: 0,
        }
    }

    /// Bytes that are there.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Size of the whole, once known.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// What to do now. Stays with a source as long as it serves.
    pub fn next(&mut self, now: Time) -> Step {
        if self.size.is_some_and(|size| self.done >= size) {
            return Step::Complete;
        }
        let ready = |at: &usize| {
            let state = &self.sources[*at];
            state.lost.is_none() && state.not_before <= now
        };
        let by_tries = |at: &usize| (self.sources[*at].tries + self.sources[*at].busy, *at);
        let stay = self.current.filter(ready);
        if let Some(at) =
            stay.or_else(|| (0..self.sources.len()).filter(ready).min_by_key(by_tries))
        {
            self.current = Some(at);
            self.fresh = 0;
            return Step::Ask {
                source: SourceId(at),
                from: self.done,
            };
        }
        let waiting = self.sources.iter().filter(|state| state.lost.is_none());
        if let Some(earliest) = waiting.map(|state| state.not_before).min() {
            return Step::Wait(earliest);
        }
        let worst = self.sources.iter().filter_map(|state| state.lost).max();
        Step::GiveUp(worst.unwrap_or(Why::Gone))
    }

    /// A source says how big the file is. `false`: not the file we want; end the request as
    /// [`Ended::Wrong`].
    pub fn learn_size(&mut self, size: u64) -> bool {
        *self.size.get_or_insert(size) == size && self.done <= size
    }

    /// Bytes of the file came from `source`, in order.
    pub fn received(&mut self, source: SourceId, bytes: u64) {
        self.done += bytes;
        self.fresh += bytes;
        let state = &mut self.sources[source.0];
        if bytes > 0 {
            *state = State {
                gave: true,
                ..State::default()
            };
        }
    }

    /// The request to `source` is over.
    pub fn ended(&mut self, now: Time, source: SourceId, how: Ended) {
        let others = self.sources.iter().enumerate();
        let others = others
            .filter(|(at, state)| *at != source.0 && state.lost.is_none())
            .count();
        let fresh = self.fresh;
        let state = &mut self.sources[source.0];
        match how {
            Ended::Served if fresh > 0 => {}
            Ended::Unreachable => state.fail(now, BROKEN_WAIT, Why::Unreachable),
            // That took its time. Of one that gave before, the wall is new: it may fall.
            Ended::Walled if state.gave => state.fail(now, SLOW_WAIT, Why::Unreachable),
            Ended::Walled => state.lost = Some(Why::Unreachable),
            Ended::Slow if others > 0 => state.fail(now, SLOW_WAIT, Why::Failing),
            // An answer with nothing in it is as good as broken, or we would ask for ever; and slow is
            // better than nobody.
            Ended::Served | Ended::Broken | Ended::Slow => {
                state.fail(now, BROKEN_WAIT, Why::Failing);
            }
            Ended::Wrong => state.lost = Some(Why::Wrong),
            Ended::Status {
                code,
                retry_after_s,
            } => state.status(now, code, retry_after_s),
        }
    }

    /// The whole content has the wrong hash: whoever gave of it is dropped. `true`: others are left, start
    /// again from nothing; `false`: this was the last chance.
    pub fn was_wrong(&mut self) -> bool {
        for state in self.sources.iter_mut().filter(|state| state.gave) {
            *state = State {
                lost: Some(Why::Wrong),
                ..State::default()
            };
        }
        self.done = 0;
        self.current = None;
        self.sources.iter().any(|state| state.lost.is_none())
    }
}

impl State {
    fn status(&mut self, now: Time, code: u16, retry_after_s: Option<u32>) {
        match code {
            // Busy, not yet, not so fast: come back when it says.
            408 | 409 | 416 | 425 | 429 | 503 | 550 => {
                self.busy += 1;
                let doubled = BUSY_WAIT * 2u32.saturating_pow((self.busy - 1).min(8));
                let asked = retry_after_s.map(|seconds| Duration::from_secs(u64::from(seconds)));
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

#[cfg(test)]
mod tests {
    use super::*;

    const A: SourceId = SourceId(0);
    const B: SourceId = SourceId(1);

    fn at(seconds: u64) -> Time {
        Time::ZERO.plus(Duration::from_secs(seconds))
    }

    fn ask(source: SourceId, from: u64) -> Step {
        Step::Ask { source, from }
    }

    fn status(code: u16, retry_after_s: Option<u32>) -> Ended {
        Ended::Status {
            code,
            retry_after_s,
        }
    }

    #[test]
    fn short_answers_are_followed_up_at_the_same_source() {
        let mut download = Download::new(2, 0, None);
        assert_eq!(download.next(at(0)), ask(A, 0));
        assert!(download.learn_size(1000));
        for from in [0, 400, 800] {
            assert_eq!(download.next(at(0)), ask(A, from));
            download.received(A, 400.min(1000 - from));
            download.ended(at(0), A, Ended::Served);
        }
        assert_eq!(download.next(at(0)), Step::Complete);
    }

    #[test]
    fn a_busy_source_is_asked_again_in_time_and_others_meanwhile() {
        let mut download = Download::new(2, 0, Some(10));
        assert_eq!(download.next(at(0)), ask(A, 0));
        download.ended(at(0), A, status(503, Some(90)));
        assert_eq!(download.next(at(0)), ask(B, 0));
        download.ended(at(0), B, status(503, None));
        assert_eq!(download.next(at(0)), Step::Wait(at(60)));
        assert_eq!(download.next(at(60)), ask(B, 0));
        download.ended(at(60), B, status(503, None));
        assert_eq!(download.next(at(60)), Step::Wait(at(90)));
        assert_eq!(download.next(at(90)), ask(A, 0));
    }

    #[test]
    fn waits_are_neither_nothing_nor_for_ever() {
        let mut download = Download::new(1, 0, Some(10));
        download.next(at(0));
        download.ended(at(0), A, status(503, Some(0)));
        assert_eq!(download.next(at(0)), Step::Wait(at(1)));
        download.ended(at(1), A, status(503, Some(u32::MAX)));
        assert_eq!(download.next(at(1)), Step::Wait(at(601)));
        let mut now = 601;
        for _ in 2..BUSY_TRIES_MAX {
            download.ended(at(now), A, status(503, None));
            now += 600;
        }
        assert_eq!(download.next(at(now)), Step::GiveUp(Why::Busy));
    }

    #[test]
    fn each_end_has_its_consequence() {
        for (how, step) in [
            (status(404, None), Step::GiveUp(Why::Gone)),
            (status(410, Some(5)), Step::GiveUp(Why::Gone)),
            (status(401, None), Step::GiveUp(Why::Refused)),
            (status(403, None), Step::GiveUp(Why::Refused)),
            (status(400, None), Step::GiveUp(Why::Wrong)),
            (status(304, None), Step::GiveUp(Why::Wrong)),
            (status(408, Some(7)), Step::Wait(at(7))),
            (status(416, Some(7)), Step::Wait(at(7))),
            (status(416, None), Step::Wait(at(60))),
            (status(429, Some(7)), Step::Wait(at(600))),
            (status(550, None), Step::Wait(at(600))),
            (status(500, None), Step::Wait(at(60))),
            (status(501, None), Step::Wait(at(60))),
            (Ended::Unreachable, Step::Wait(at(1))),
            (Ended::Walled, Step::GiveUp(Why::Unreachable)),
            (Ended::Broken, Step::Wait(at(1))),
            (Ended::Served, Step::Wait(at(1))),
            (Ended::Slow, Step::Wait(at(1))),
            (Ended::Wrong, Step::GiveUp(Why::Wrong)),
        ] {
            let mut download = Download::new(1, 0, Some(10));
            assert_eq!(download.next(at(0)), ask(A, 0));
            download.ended(at(0), A, how);
            assert_eq!(download.next(at(0)), step, "{how:?}");
        }
    }

    #[test]
    fn a_dead_source_is_given_up_soon_and_one_that_gave_late() {
        let tries = |gave: u64| {
            let mut download = Download::new(1, 0, Some(1000));
            let (mut now, mut tries) = (at(0), 0);
            loop {
                match download.next(now) {
                    Step::Ask { source, .. } => {
                        if tries == 0 {
                            download.received(source, gave);
                        }
                        tries += 1;
                        download.ended(now, source, Ended::Unreachable);
                    }
                    Step::Wait(until) => now = until,
                    Step::GiveUp(why) => break (tries, why),
                    Step::Complete => panic!("nothing came"),
                }
            }
        };
        assert_eq!(tries(0), (TRIES_MAX, Why::Unreachable));
        assert_eq!(tries(1), (TRIES_OF_KNOWN_MAX, Why::Unreachable));
    }

    #[test]
    fn another_size_is_another_file() {
        let mut download = Download::new(1, 50, None);
        assert!(!download.learn_size(49));
        let mut download = Download::new(1, 0, Some(10));
        assert!(download.learn_size(10) && !download.learn_size(11));
    }

    #[test]
    fn wrong_content_costs_those_who_gave_it_and_the_rest_start_again() {
        let mut download = Download::new(3, 0, Some(10));
        download.next(at(0));
        download.received(A, 5);
        download.ended(at(0), A, status(404, None));
        assert_eq!(download.next(at(0)), ask(B, 5));
        download.received(B, 5);
        assert_eq!(download.next(at(0)), Step::Complete);
        assert!(download.was_wrong());
        assert_eq!(download.next(at(0)), ask(SourceId(2), 0));
        download.received(SourceId(2), 10);
        assert!(!download.was_wrong());
        assert_eq!(download.next(at(0)), Step::GiveUp(Why::Wrong));
    }

    #[test]
    fn the_worst_reason_is_the_one_reported() {
        let mut download = Download::new(2, 0, None);
        download.next(at(0));
        download.ended(at(0), A, status(403, None));
        download.next(at(0));
        download.ended(at(0), B, status(404, None));
        assert_eq!(download.next(at(0)), Step::GiveUp(Why::Refused));
        assert_eq!(
            Download::new(0, 0, None).next(at(0)),
            Step::GiveUp(Why::Gone)
        );
        assert_eq!(Download::new(0, 0, Some(0)).next(at(0)), Step::Complete);
    }
}
