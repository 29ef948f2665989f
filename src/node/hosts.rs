//! The address book: who could be a neighbour.
//!
//! Bounded; the stalest falls out (`lru` inside). Drawn from at random, so that the links of a flat overlay
//! make a random graph. Failed addresses wait, each time twice as long.

use std::net::SocketAddr;
use std::time::Duration;

use lru::LruCache;
use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use super::Time;
use super::limits;

/// How long a node counts as heard from lately.
const HEARD_LIFE: Duration = Duration::from_secs(300);

/// What is known of an address.
#[derive(Clone, Copy, Debug, Default)]
struct Host {
    /// Failures since the last success.
    fails: u8,
    /// Not to be dialled before.
    not_before: Time,
    /// It was a neighbour once.
    good: bool,
    /// Somebody saw it alive: it answered, or a pong or hit named it.
    heard: Option<Time>,
}

/// How a call came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nobody answered: there was no connection that anybody could count against us.
    NobodyThere,
    /// Somebody answered, but there is no link, or none that we want.
    TurnedAway,
    /// It says that we called too often (429).
    Banned,
}

/// The book.
#[derive(Debug)]
pub(super) struct Hosts {
    book: LruCache<SocketAddr, Host>,
    /// Addresses that turned out to be ourselves; at most [`SELVES_MAX`].
    selves: Vec<SocketAddr>,
}

/// Addresses of ourselves remembered: one for each interface, and some.
const SELVES_MAX: usize = 32;

/// Can anything listen there? Which networks may be dialled is decided by the net one is on; this only refuses
/// what no socket can be at.
pub(super) fn plausible(addr: SocketAddr) -> bool {
    let ip = addr.ip();
    let broadcast = matches!(ip, std::net::IpAddr::V4(v4) if v4.is_broadcast());
    addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

impl Default for Hosts {
    fn default() -> Self {
        let mut book = LruCache::unbounded();
        book.resize(limits::HOSTS_MAX);
        Self {
            book,
            selves: Vec::new(),
        }
    }
}

impl Hosts {
    /// An address somebody told of. `alive`: as of one that was just seen alive.
    pub(super) fn learn(&mut self, addr: SocketAddr, alive: Option<Time>) {
        if !plausible(addr) || self.selves.contains(&addr) {
            return;
        }
        let host = self.book.get_or_insert_mut(addr, Host::default);
        if alive.is_some() {
            host.heard = alive;
        }
    }

    /// We called it and have a link.
    pub(super) fn connected(&mut self, addr: SocketAddr, now: Time) {
        self.learn(addr, Some(now));
        if let Some(host) = self.book.get_mut(&addr) {
            *host = Host {
                fails: 0,
                not_before: now.plus(limits::CALL_GAP),
                good: true,
                heard: Some(now),
            };
        }
    }

    /// It was no use: wait before the next try.
    pub(super) fn failed(&mut self, addr: SocketAddr, now: Time, failure: Failure) {
        if let Some(host) = self.book.peek_mut(&addr) {
            let first = match failure {
                Failure::NobodyThere => limits::BACKOFF_MIN,
                Failure::TurnedAway => limits::CALL_GAP,
                Failure::Banned => limits::BACKOFF_MAX,
            };
            let wait = first
                .saturating_mul(1 << host.fails.min(10))
                .min(limits::BACKOFF_MAX);
            host.fails = host.fails.saturating_add(1);
            host.not_before = now.plus(wait);
        }
    }

    /// It is ourselves: never again.
    pub(super) fn is_self(&mut self, addr: SocketAddr) {
        self.book.pop(&addr);
        if self.selves.len() < SELVES_MAX && !self.selves.contains(&addr) {
            self.selves.push(addr);
        }
    }

    /// May this address be dialled now?
    pub(super) fn may_dial(&self, addr: SocketAddr, now: Time) -> bool {
        plausible(addr)
            && !self.selves.contains(&addr)
            && self
                .book
                .peek(&addr)
                .is_none_or(|host| host.not_before <= now)
    }

    /// A random address that may be dialled now and is not `taken`.
    pub(super) fn draw(
        &self,
        now: Time,
        rng: &mut ChaCha8Rng,
        taken: impl Fn(SocketAddr) -> bool,
    ) -> Option<SocketAddr> {
        let mut chosen = None;
        let mut seen = 0_u32;
        for (addr, host) in &self.book {
            if host.not_before <= now && !taken(*addr) {
                seen += 1;
                if rng.random_range(0..seen) == 0 {
                    chosen = Some(*addr);
                }
            }
        }
        chosen
    }

    /// Up to `max` random addresses to tell others of: those that somebody saw alive and that never failed us.
    pub(super) fn sample(&self, max: usize, rng: &mut ChaCha8Rng) -> Vec<SocketAddr> {
        let mut known: Vec<_> = self
            .book
            .iter()
            .filter(|(_, host)| host.heard.is_some() && host.fails == 0)
            .map(|(addr, _)| *addr)
            .collect();
        for at in 0..known.len().min(max) {
            let other = rng.random_range(at..known.len());
            known.swap(at, other);
        }
        known.truncate(max);
        known
    }

    /// All addresses, those that were neighbours first, then the youngest.
    pub(super) fn all(&self) -> Vec<SocketAddr> {
        let mut all: Vec<_> = self.book.iter().collect();
        all.sort_by_key(|(_, host)| (host.fails, !host.good));
        all.into_iter().map(|(addr, _)| *addr).collect()
    }

    /// Addresses seen alive lately.
    pub(super) fn heard(&self, now: Time) -> usize {
        self.book
            .iter()
            .filter(|(_, host)| host.heard.is_some_and(|at| now.since(at) <= HEARD_LIFE))
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn addr(n: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], n))
    }

    #[test]
    fn a_failed_address_waits_longer_each_time() {
        let (mut hosts, mut rng) = (Hosts::default(), ChaCha8Rng::seed_from_u64(1));
        hosts.learn(addr(1), None);
        assert_eq!(hosts.draw(Time::ZERO, &mut rng, |_| false), Some(addr(1)));
        let mut now = Time::ZERO;
        for wait in [5, 10, 20] {
            hosts.failed(addr(1), now, Failure::NobodyThere);
            assert_eq!(
                hosts.draw(now.plus(Duration::from_secs(wait - 1)), &mut rng, |_| false),
                None
            );
            now = now.plus(Duration::from_secs(wait));
            assert_eq!(hosts.draw(now, &mut rng, |_| false), Some(addr(1)));
        }
    }

    #[test]
    fn who_answers_is_not_called_more_than_twice_a_minute() {
        let (mut hosts, mut rng) = (Hosts::default(), ChaCha8Rng::seed_from_u64(1));
        hosts.learn(addr(1), None);
        let mut calls = Vec::new();
        for second in 0..600 {
            let now = Time::ZERO.plus(Duration::from_secs(second));
            if hosts.draw(now, &mut rng, |_| false).is_some() {
                calls.push(second);
                match calls.len() {
                    // The link is lost at once.
                    1 | 2 => hosts.connected(addr(1), now),
                    3 | 4 => hosts.failed(addr(1), now, Failure::TurnedAway),
                    _ => hosts.failed(addr(1), now, Failure::Banned),
                }
            }
        }
        assert_eq!(calls, [0, 30, 60, 90, 150], "a ban is waited out");
    }

    #[test]
    fn the_book_is_bounded_and_knows_itself() {
        let mut hosts = Hosts::default();
        hosts.is_self(addr(7));
        for n in 1..=5_000 {
            hosts.learn(addr(n), None);
        }
        assert_eq!(hosts.all().len(), limits::HOSTS_MAX.get());
        hosts.learn(addr(7), None);
        assert!(!hosts.all().contains(&addr(7)));
    }

    #[test]
    fn draws_are_random_over_the_whole_book() {
        let (mut hosts, mut rng) = (Hosts::default(), ChaCha8Rng::seed_from_u64(1));
        for n in 1..=10 {
            hosts.learn(addr(n), None);
        }
        let mut drawn = std::collections::BTreeMap::new();
        for _ in 0..1_000 {
            *drawn
                .entry(hosts.draw(Time::ZERO, &mut rng, |_| false))
                .or_insert(0) += 1;
        }
        assert_eq!(drawn.len(), 10);
        assert!(drawn.values().all(|&times| times > 60), "{drawn:?}");
    }

    #[test]
    fn no_address_is_learned_that_nothing_can_listen_at() {
        let mut hosts = Hosts::default();
        for text in [
            "0.0.0.0:6346",
            "1.2.3.4:0",
            "224.0.0.1:6346",
            "255.255.255.255:1",
        ] {
            hosts.learn(text.parse().unwrap(), None);
        }
        assert!(hosts.all().is_empty());
    }
}
