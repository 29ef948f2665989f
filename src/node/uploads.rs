//! Who may upload now: slots, a limit per host, and how long to wait when there is none.
//!
//! Knows neither files nor sockets. Room for queues: [`Uploads::ask`] is the one place where a client is
//! told to start or to come back; a queue would answer a third thing there.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use super::Time;

/// Uploads at a time. `--slots` in PRODUCT.md 6.3.
pub const SLOTS: usize = 4;
/// Uploads at a time to one host. `--per-host` in PRODUCT.md 6.3.
pub const SLOTS_PER_HOST: usize = 1;
/// Most slots a setting may ask for: each may hold one thread while its client keeps up. Our estimate.
pub const SLOTS_MAX: usize = 256;
/// Shortest wait we ask for, in seconds (content.md 5: 60 to 600).
pub const RETRY_AFTER_MIN_S: u32 = 60;
/// Longest wait we ask for, in seconds (content.md 5).
pub const RETRY_AFTER_MAX_S: u32 = 600;
/// Wait added for each client turned away lately, in seconds (content.md 5: 20 for each place in a queue).
pub const RETRY_AFTER_STEP_S: u32 = 20;
/// How long a client turned away counts for the wait of the next ones: as long as the shortest wait.
const REFUSAL_LIFE: Duration = Duration::from_secs(RETRY_AFTER_MIN_S as u64);
/// Clients turned away that are remembered: more than these make the wait the longest one anyway.
const REFUSALS_MAX: usize =
    ((RETRY_AFTER_MAX_S - RETRY_AFTER_MIN_S) / RETRY_AFTER_STEP_S) as usize + 1;

/// How many uploads run at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadLimits {
    /// All together; [`SLOTS_MAX`] at most, 0 serves nothing.
    pub slots: usize,
    /// To one host. Not held against loopback, where every node of a lab is the same host.
    pub per_host: usize,
}

impl Default for UploadLimits {
    fn default() -> Self {
        Self {
            slots: SLOTS,
            per_host: SLOTS_PER_HOST,
        }
    }
}

/// One running upload; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(u64);

/// Why a client has to come back later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// All slots are taken.
    Slots,
    /// This host has as many as it may.
    Host,
}

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Send the body; [`Uploads::end`] when it is out.
    Start(SlotId),
    /// 503 with `Retry-After`.
    Later {
        /// What is full.
        why: Full,
        /// Seconds to wait, [`RETRY_AFTER_MIN_S`] to [`RETRY_AFTER_MAX_S`].
        retry_after_s: u32,
    },
}

/// The slots of one node.
#[derive(Debug)]
pub struct Uploads {
    limits: UploadLimits,
    active: Vec<(SlotId, IpAddr)>,
    next: u64,
    refusals: VecDeque<(Time, IpAddr)>,
}

impl Uploads {
    /// All slots free.
    pub fn new(limits: UploadLimits) -> Self {
        let limits = UploadLimits {
            slots: limits.slots.min(SLOTS_MAX),
            ..limits
        };
        Self {
            limits,
            active: Vec::new(),
            next: 0,
            refusals: VecDeque::new(),
        }
    }

    /// A client wants a body. Not for `HEAD` or for an answer without a file: those pass without a slot.
    pub fn ask(&mut self, now: Time, host: IpAddr) -> Answer {
        let host = host.to_canonical();
        let same = self
            .active
            .iter()
            .filter(|(_, other)| *other == host)
            .count();
        let why = if self.all_taken() {
            Full::Slots
        } else if same >= self.limits.per_host && !host.is_loopback() {
            Full::Host
        } else {
            let slot = SlotId(self.next);
            self.next += 1;
            self.active.push((slot, host));
            return Answer::Start(slot);
        };
        Answer::Later {
            why,
            retry_after_s: self.wait_of(now, host),
        }
    }

    /// An upload is over, whatever became of it.
    pub fn end(&mut self, slot: SlotId) {
        self.active.retain(|(other, _)| *other != slot);
    }

    /// Uploads running.
    pub fn active(&self) -> usize {
        self.active.len()
    }

    /// Slots there are.
    pub fn slots(&self) -> usize {
        self.limits.slots
    }

    /// Whether the next client would be turned away; what hits say as their busy flag.
    pub fn all_taken(&self) -> bool {
        self.active.len() >= self.limits.slots
    }

    /// The more other hosts were turned away lately, the later this one should come back.
    fn wait_of(&mut self, now: Time, host: IpAddr) -> u32 {
        self.refusals
            .retain(|(at, other)| now.since(*at) < REFUSAL_LIFE && *other != host);
        let waiting = u32::try_from(self.refusals.len()).expect("at most REFUSALS_MAX");
        if self.refusals.len() == REFUSALS_MAX {
            self.refusals.pop_front();
        }
        self.refusals.push_back((now, host));
        (RETRY_AFTER_MIN_S + waiting * RETRY_AFTER_STEP_S).min(RETRY_AFTER_MAX_S)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(n: u16) -> IpAddr {
        let [high, low] = n.to_be_bytes();
        IpAddr::from([10, 0, high, low])
    }

    fn start(uploads: &mut Uploads, n: u16) -> SlotId {
        match uploads.ask(Time::ZERO, host(n)) {
            Answer::Start(slot) => slot,
            later @ Answer::Later { .. } => panic!("{later:?}"),
        }
    }

    #[test]
    fn slots_run_out_and_come_back() {
        let mut uploads = Uploads::new(UploadLimits {
            slots: 2,
            per_host: 1,
        });
        let first = start(&mut uploads, 1);
        start(&mut uploads, 2);
        assert!(uploads.all_taken());
        assert_eq!(
            uploads.ask(Time::ZERO, host(3)),
            Answer::Later {
                why: Full::Slots,
                retry_after_s: 60
            }
        );
        uploads.end(first);
        uploads.end(first);
        start(&mut uploads, 3);
        assert_eq!(uploads.active(), 2);
    }

    #[test]
    fn one_host_cannot_take_all_slots_unless_it_is_this_one() {
        let mut uploads = Uploads::new(UploadLimits {
            slots: 4,
            per_host: 1,
        });
        start(&mut uploads, 1);
        assert_eq!(
            uploads.ask(Time::ZERO, host(1)),
            Answer::Later {
                why: Full::Host,
                retry_after_s: 60
            }
        );
        let mapped = IpAddr::V6("::ffff:10.0.0.1".parse().unwrap());
        assert!(matches!(
            uploads.ask(Time::ZERO, mapped),
            Answer::Later {
                why: Full::Host,
                ..
            }
        ));
        for _ in 0..3 {
            assert!(matches!(
                uploads.ask(Time::ZERO, IpAddr::from([127, 0, 0, 1])),
                Answer::Start(_)
            ));
        }
    }

    #[test]
    fn the_wait_grows_with_the_crowd_and_stays_in_bounds() {
        let mut uploads = Uploads::new(UploadLimits {
            slots: 0,
            per_host: 1,
        });
        let mut waits = (0..1000).map(|n| match uploads.ask(Time::ZERO, host(n)) {
            Answer::Later { retry_after_s, .. } => retry_after_s,
            Answer::Start(_) => panic!("there is no slot"),
        });
        assert_eq!(waits.by_ref().take(3).collect::<Vec<_>>(), [60, 80, 100]);
        assert_eq!(waits.max(), Some(RETRY_AFTER_MAX_S));
        assert!(uploads.refusals.len() <= REFUSALS_MAX);
        let later = Time::ZERO.plus(REFUSAL_LIFE);
        assert_eq!(
            uploads.ask(later, host(1)),
            Answer::Later {
                why: Full::Slots,
                retry_after_s: 60
            }
        );
    }
}
