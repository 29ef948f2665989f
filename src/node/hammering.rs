//! Who calls too often: an address that opens connection after connection is let in no more for a while, and for longer
//! each time it goes on.
//!
//! Only for strangers of the live network: on a LAN and in a lab many nodes share one address, and all are known. Counts
//! hosts, IPv6 by /64, since ports and the rest of such an address cost nothing. A connection is the one thing that
//! cannot be opened in somebody else's name, so that nobody is banned for what others do.
//!
//! Source: bootstrap.md section 6.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::Time;
use super::allowance::host;
use super::rate::Bucket;

/// Connections a second that a host may open in the long run ...
const CALLS_RATE: u64 = 2;
/// ... and at once: with those 60 in 15 s. Bootstrap.md says some 5; but several people may be behind one address, and
/// browsers and programs that open a connection for each small file of a folder mean no harm. Our estimate.
const CALLS_BURST: u64 = 30;
/// How long a host is kept out for the first, second... time (bootstrap.md section 6).
const BANS: [Duration; 4] = [
    Duration::from_mins(1),
    Duration::from_mins(10),
    Duration::from_hours(1),
    Duration::from_hours(24),
];
/// So long after its last ban it is forgotten that a host had one.
const BAN_MEMORY: Duration = Duration::from_hours(24);
/// A host that was silent for so long has all its calls again.
const IDLE: Duration = Duration::from_secs(CALLS_BURST / CALLS_RATE);
/// Hosts that are counted at a time; some 100 bytes each. While all of them are of some use, newcomers are not counted.
const HOSTS_MAX: usize = 4_096;

/// What becomes of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// It is let in.
    In,
    /// It is told to come back after this.
    Later(Duration),
    /// It was told so, and hammers on: not a word.
    Silence,
}

/// The hosts that called lately, and those that are kept out.
#[derive(Debug, Default)]
pub struct Callers {
    of: BTreeMap<IpAddr, Caller>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Caller {
    calls: Bucket,
    last: Time,
    /// Bans so far.
    bans: usize,
    /// Kept out until then, if it ever was.
    until: Time,
}

impl Caller {
    /// Nothing would be lost if it were forgotten.
    fn is_spent(&self, now: Time) -> bool {
        let pardoned = self.bans == 0 || now.since(self.until) >= BAN_MEMORY;
        pardoned && now.since(self.last) >= IDLE
    }
}

impl Callers {
    /// A connection came from there.
    pub fn call(&mut self, now: Time, from: IpAddr) -> Call {
        let from = host(from);
        if self.of.len() >= HOSTS_MAX && !self.of.contains_key(&from) {
            self.of.retain(|_, caller| !caller.is_spent(now));
            if self.of.len() >= HOSTS_MAX {
                return Call::In;
            }
        }
        let caller = self.of.entry(from).or_default();
        if caller.is_spent(now) {
            *caller = Caller::default();
        }
        caller.last = now;
        let fits = caller.calls.take_within(now, 1, CALLS_RATE, CALLS_BURST);
        if now < caller.until {
            return if fits {
                Call::Later(caller.until.since(now))
            } else {
                Call::Silence
            };
        }
        if fits {
            return Call::In;
        }
        let ban = BANS[caller.bans.min(BANS.len() - 1)];
        caller.bans += 1;
        caller.until = now.plus(ban);
        Call::Later(ban)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO.plus(Duration::from_secs(seconds))
    }

    fn ip(n: u32) -> IpAddr {
        IpAddr::V4((0x0801_0000 + n).into())
    }

    /// Calls until it is told to come back later; when.
    fn hammer(callers: &mut Callers, now: Time, from: IpAddr) -> (u64, Duration) {
        let mut calls = 0;
        loop {
            match callers.call(now, from) {
                Call::In => calls += 1,
                Call::Later(wait) => return (calls, wait),
                Call::Silence => panic!("it was told nothing yet"),
            }
        }
    }

    #[test]
    fn who_hammers_is_kept_out_each_time_for_longer_and_forgotten_after_a_day() {
        let mut callers = Callers::default();
        let mut now = at(1);
        for ban in [60, 600, 3_600, 86_400, 86_400] {
            let (calls, wait) = hammer(&mut callers, now, ip(1));
            assert_eq!((calls, wait.as_secs()), (CALLS_BURST, ban));
            assert_eq!(callers.call(now, ip(1)), Call::Silence);
            assert_eq!(callers.call(now, ip(2)), Call::In, "others are");
            let second = Duration::from_secs(1);
            let before = now.plus(wait.saturating_sub(second));
            let left = Call::Later(second);
            assert_eq!(callers.call(before, ip(1)), left);
            now = now.plus(wait + IDLE);
        }
        let (_, wait) = hammer(&mut callers, now.plus(2 * BAN_MEMORY), ip(1));
        assert_eq!(wait, BANS[0]);
    }

    #[test]
    fn who_calls_steadily_and_not_too_often_is_never_kept_out() {
        let mut callers = Callers::default();
        for second in 1..1_000 {
            for _ in 0..CALLS_RATE {
                assert_eq!(callers.call(at(second), ip(1)), Call::In);
            }
        }
        // After a pause the same at once.
        let calls = (0..CALLS_BURST).map(|_| callers.call(at(1_020), ip(1)));
        assert!(calls.into_iter().all(|call| call == Call::In));
    }

    #[test]
    fn whoever_has_one_address_of_ipv6_has_them_all_and_the_table_is_bounded() {
        let mut callers = Callers::default();
        let six = |n: u128| IpAddr::V6((0x2a00 << 112 | n).into());
        let calls = (0..100).filter(|n| callers.call(at(1), six(*n)) == Call::In);
        assert_eq!(calls.count() as u64, CALLS_BURST);
        assert_eq!(callers.call(at(1), six(1 << 64)), Call::In);
        for n in 0..10_000 {
            assert_eq!(callers.call(at(2), ip(n)), Call::In);
        }
        assert_eq!(callers.of.len(), HOSTS_MAX);
        // Idle ones make room, and none that is kept out.
        assert_eq!(callers.call(at(30), ip(20_000)), Call::In);
        assert_eq!(callers.of.len(), 2);
        assert!(matches!(callers.call(at(30), six(7)), Call::Later(_)));
    }
}
