//! When to ask host caches, and when web caches: only while we have no link and nobody left to try, host caches first
//! (bootstrap.md sections 1 and 8).
//!
//! Asking goes in rounds. A round asks a few host caches at a time until all were asked, then web caches one after the
//! other until one tells of somebody. It ends with the first link, and the next comes only after a pause.

use std::time::Duration;

use super::Time;

/// Without a link for so long, although addresses are known: they are no use.
const PATIENCE: Duration = Duration::from_secs(20);
/// Without a link and with nobody being called for so long: nobody is left to try. Waiting addresses are called again
/// after 5 s at the earliest, so this is no accident between two calls.
const IDLE: Duration = Duration::from_secs(3);
/// From one step of a round to the next: an answer from anywhere takes 1 s at most, and calls to whom it tells of
/// begin at once.
const STEP: Duration = Duration::from_secs(5);
/// A step is taken even while somebody is being called after so long: calls to the dead take their 5 s each.
const STEP_MAX: Duration = Duration::from_secs(15);
/// From the end of one round to the next; doubles each time (gtk-gnutella asks one cache once in 180 s).
const GAP_MIN: Duration = Duration::from_secs(180);
/// The longest time between two (bootstrap.md section 8).
const GAP_MAX: Duration = Duration::from_mins(60);
/// Web caches asked in a round: the first that works ends it.
const WEB_CACHES_PER_ROUND: u8 = 3;
/// A host cache is asked once in this time (gtk-gnutella: 180 s).
const CACHE_GAP: Duration = Duration::from_secs(180);
/// Host caches known: those of the user, and some that others told of.
pub const HOST_CACHES_MAX: usize = 64;

/// How the node is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crowd {
    /// Links that are up.
    pub links: usize,
    /// Calls under way.
    pub dialling: usize,
    /// Addresses known.
    pub known: usize,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Wait,
    /// Ask a few host caches. Say with [`Hunger::asked`] whether there were any left to ask.
    HostCaches,
    /// Ask a web cache. Say with [`Hunger::web_done`] what came of it.
    WebCache,
}

/// What came of a web cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebAnswer {
    /// It told of somebody.
    Somebody,
    /// It did not.
    Nobody,
    /// There is none that may be asked now.
    NoneLeft,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    HostCaches,
    WebCaches {
        asked: u8,
    },
    /// One is being asked.
    WebCache {
        asked: u8,
    },
    /// All were asked; what they told of is being called.
    Last,
}

/// How long we have been alone, and whom we asked.
#[derive(Debug, Default)]
pub struct Hunger {
    alone_since: Option<Time>,
    idle_since: Option<Time>,
    round: Option<(Phase, Time)>,
    rounds: u32,
    not_before: Time,
    linked: bool,
    /// A round has ended without a link.
    failed: bool,
}

impl Hunger {
    /// What is to be done now.
    pub fn step(&mut self, now: Time, crowd: Crowd) -> Step {
        self.linked = crowd.links > 0;
        if self.linked {
            self.alone_since = None;
            self.idle_since = None;
            self.failed = false;
            if self.round.take().is_some() {
                self.pause(now);
            }
            // The next time we are alone is another occasion, but caches are still not asked more often.
            self.rounds = self.rounds.min(1);
            return Step::Wait;
        }
        let alone = now.since(*self.alone_since.get_or_insert(now));
        let idle = if crowd.dialling > 0 {
            self.idle_since = None;
            None
        } else {
            Some(now.since(*self.idle_since.get_or_insert(now)))
        };
        let Some((phase, since)) = self.round else {
            let starving =
                crowd.known == 0 || alone >= PATIENCE || idle.is_some_and(|idle| idle >= IDLE);
            if !starving || now < self.not_before {
                return Step::Wait;
            }
            self.round = Some((Phase::HostCaches, now));
            self.failed = false;
            return Step::HostCaches;
        };
        let waited = now.since(since);
        let due = waited >= STEP_MAX || (waited >= STEP && idle.is_some());
        match phase {
            _ if !due => Step::Wait,
            Phase::HostCaches => {
                self.round = Some((phase, now));
                Step::HostCaches
            }
            Phase::WebCaches { asked } => {
                self.round = Some((Phase::WebCache { asked: asked + 1 }, now));
                Step::WebCache
            }
            Phase::WebCache { .. } => Step::Wait,
            Phase::Last => {
                self.over(now);
                Step::Wait
            }
        }
    }

    /// After [`Step::HostCaches`]: so many were asked. None: all were asked before, and it is time for others.
    pub fn asked(&mut self, now: Time, host_caches: usize) -> Step {
        if host_caches > 0 || !matches!(self.round, Some((Phase::HostCaches, _))) {
            return Step::Wait;
        }
        self.round = Some((Phase::WebCache { asked: 1 }, now));
        Step::WebCache
    }

    /// After [`Step::WebCache`].
    pub fn web_done(&mut self, now: Time, answer: WebAnswer) {
        let Some((Phase::WebCache { asked }, _)) = self.round else {
            return;
        };
        let phase = match answer {
            // Nothing came since the last step, which had its time.
            WebAnswer::NoneLeft => return self.over(now),
            WebAnswer::Nobody if asked < WEB_CACHES_PER_ROUND => Phase::WebCaches { asked },
            WebAnswer::Nobody | WebAnswer::Somebody => Phase::Last,
        };
        self.round = Some((phase, now));
    }

    /// Is there still hope: is something asked, or about to be?
    pub fn pending(&self) -> bool {
        !self.linked && !self.failed
    }

    /// The round has brought no link.
    fn over(&mut self, now: Time) {
        self.round = None;
        self.failed = true;
        self.pause(now);
    }

    fn pause(&mut self, now: Time) {
        let gap = GAP_MIN.saturating_mul(1 << self.rounds.min(8)).min(GAP_MAX);
        self.rounds = self.rounds.saturating_add(1);
        self.not_before = now.plus(gap);
    }
}

/// The host caches there are, and when each was asked.
#[derive(Debug, Default)]
pub struct HostCaches(Vec<(String, Option<Time>)>);

impl HostCaches {
    /// Those of the user.
    pub fn new(names: Vec<String>) -> Self {
        let mut caches = Self::default();
        names.into_iter().for_each(|name| caches.learn(name));
        caches
    }

    /// Learns of one, at most [`HOST_CACHES_MAX`]: those that were there first stay.
    pub fn learn(&mut self, name: String) {
        let known = self.0.iter().any(|(known, _)| *known == name);
        if !known && self.0.len() < HOST_CACHES_MAX {
            self.0.push((name, None));
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// None?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Up to `max` that were not asked lately, those that waited longest first. Saying so counts as having asked.
    pub fn next(&mut self, now: Time, max: usize) -> Vec<String> {
        self.0.sort_by_key(|(_, asked)| *asked);
        let rested = |asked: &Option<Time>| asked.is_none_or(|asked| now.since(asked) >= CACHE_GAP);
        let mut next = Vec::new();
        for (name, asked) in &mut self.0 {
            if next.len() < max && rested(asked) {
                *asked = Some(now);
                next.push(name.clone());
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO.plus(Duration::from_secs(seconds))
    }

    const NOBODY: Crowd = Crowd {
        links: 0,
        dialling: 0,
        known: 0,
    };
    const CALLING: Crowd = Crowd {
        links: 0,
        dialling: 1,
        known: 5,
    };
    const LINKED: Crowd = Crowd {
        links: 1,
        dialling: 0,
        known: 5,
    };

    /// Steps of each second, with so many host caches, and web caches that answer so.
    fn steps(
        seconds: u64,
        mut host_caches: usize,
        answer: WebAnswer,
        crowd: impl Fn(u64) -> Crowd,
    ) -> Vec<(u64, Step)> {
        let mut hunger = Hunger::default();
        let mut steps = Vec::new();
        for second in 0..seconds {
            let mut step = hunger.step(at(second), crowd(second));
            if step == Step::HostCaches {
                steps.push((second, step));
                let asked = host_caches.min(4);
                host_caches -= asked;
                step = hunger.asked(at(second), asked);
            }
            if step == Step::WebCache {
                steps.push((second, step));
                hunger.web_done(at(second), answer);
            }
        }
        steps
    }

    #[test]
    fn caches_are_asked_at_once_only_when_nobody_is_known_or_left_to_try() {
        let first = |crowd: Crowd| {
            let steps = steps(60, 4, WebAnswer::Nobody, |_| crowd);
            steps.first().copied()
        };
        assert_eq!(first(NOBODY), Some((0, Step::HostCaches)));
        assert_eq!(first(CALLING), Some((20, Step::HostCaches)));
        let idle = Crowd {
            dialling: 0,
            ..CALLING
        };
        assert_eq!(first(idle), Some((3, Step::HostCaches)));
        assert_eq!(first(LINKED), None);
    }

    #[test]
    fn web_caches_come_after_all_host_caches_and_a_few_at_most() {
        let asked = steps(100, 6, WebAnswer::Nobody, |_| NOBODY);
        let told = [
            (0, Step::HostCaches),
            (5, Step::HostCaches),
            (10, Step::HostCaches),
            (10, Step::WebCache),
            (15, Step::WebCache),
            (20, Step::WebCache),
        ];
        assert_eq!(asked, told);
        let one_works = steps(100, 0, WebAnswer::Somebody, |_| NOBODY);
        assert_eq!(one_works, [(0, Step::HostCaches), (0, Step::WebCache)]);
    }

    #[test]
    fn a_host_cache_that_told_of_somebody_spares_the_web_caches() {
        let linked = steps(1_000, 4, WebAnswer::Nobody, |second| match second {
            0..=1 => NOBODY,
            2..=8 => CALLING,
            _ => LINKED,
        });
        assert_eq!(linked, [(0, Step::HostCaches)]);
    }

    #[test]
    fn the_longer_it_is_no_use_the_less_often_they_are_asked() {
        let rounds: Vec<u64> = steps(40_000, 0, WebAnswer::NoneLeft, |_| NOBODY)
            .into_iter()
            .filter(|(_, step)| *step == Step::HostCaches)
            .map(|(second, _)| second)
            .collect();
        assert_eq!(rounds[..5], [0, 180, 540, 1_260, 2_700]);
        assert!(rounds.windows(2).all(|two| two[1] - two[0] <= 3_600));
    }

    #[test]
    fn links_that_come_and_go_do_not_make_us_ask_more_often() {
        let flapping = |second: u64| if second % 2 == 1 { LINKED } else { NOBODY };
        let asked = steps(3_600, usize::MAX, WebAnswer::Nobody, flapping);
        assert!(asked.len() <= 20, "{asked:?}");
    }

    #[test]
    fn hope_ends_with_the_round_and_comes_back_with_the_next() {
        let mut hunger = Hunger::default();
        assert!(hunger.pending(), "nothing was tried yet");
        assert_eq!(hunger.step(at(0), NOBODY), Step::HostCaches);
        assert_eq!(hunger.asked(at(0), 0), Step::WebCache);
        assert!(hunger.pending());
        hunger.web_done(at(1), WebAnswer::Somebody);
        assert!(hunger.pending());
        assert_eq!(hunger.step(at(6), NOBODY), Step::Wait);
        assert!(!hunger.pending());
        assert_eq!(hunger.step(at(186), NOBODY), Step::HostCaches);
        assert!(hunger.pending());
        hunger.step(at(187), LINKED);
        assert!(!hunger.pending(), "nothing to hope for with a link");
    }

    #[test]
    fn each_cache_is_asked_once_in_three_minutes_and_all_have_their_turn() {
        let mut caches = HostCaches::new((0..6).map(|n| format!("c{n}:1")).collect());
        caches.learn("c0:1".to_owned());
        assert_eq!(caches.len(), 6);
        assert_eq!(caches.next(at(0), 4).len(), 4);
        assert_eq!(caches.next(at(5), 4), ["c4:1", "c5:1"]);
        assert!(caches.next(at(10), 4).is_empty());
        assert_eq!(caches.next(at(180), 9).len(), 4);
        for n in 0..1_000 {
            caches.learn(format!("flood{n}:1"));
        }
        assert_eq!(caches.len(), HOST_CACHES_MAX);
    }
}
