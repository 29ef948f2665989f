//! The address book: who could be a neighbour. Bounded, and hard to fill from one corner.
//!
//! Two tables, after the address manager of Bitcoin Core: *new* (heard of) and *tried* (a greeting was done
//! once). An address has one place in each table, found by a keyed hash of its own network group and, in *new*, of
//! the group of whoever told of it: one source reaches a few buckets only, however much it tells. A place that
//! is taken is given up only by an address that is *terrible*. On a LAN each address is its own group.
//!
//! Who worked once and meets another that worked at its place in *tried* is called again (a *feeler*) and stays if it
//! still works: a crowd of real nodes drives nobody out who is alive.
//!
//! Addresses are drawn at random, so that the links of a flat overlay make a random graph. Failed addresses
//! wait, each time twice as long.

mod draw;
mod places;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Time;
use super::address::{Net, plausible};
use super::hostile::Hostile;
use super::limits;
use places::{Place, Places, Table};

/// How long a node counts as heard from lately.
const HEARD_LIFE: Duration = Duration::from_secs(300);
/// Addresses that turned out to be ourselves: one for each interface, and some.
const SELVES_MAX: usize = 32;
/// Failures after which an address that never worked is terrible.
const FAILS_NEVER_GOOD: u8 = 3;
/// Failures after which any address is terrible.
const FAILS_MAX: u8 = 10;

/// Ultrapeers that are called first after a restart (Bitcoin Core's anchors: 2).
pub(super) const ANCHORS_MAX: usize = 2;
/// Newcomers that wait for a place in the table of those that worked.
const CHALLENGES_MAX: usize = 16;

/// What outlives a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// The ultrapeers linked longest at the end: called first, at most 2.
    pub anchors: Vec<SocketAddr>,
    /// Those a greeting was done with, those that failed least first.
    pub tried: Vec<SocketAddr>,
    /// Those only heard of.
    pub heard_of: Vec<SocketAddr>,
}

impl Remembered {
    /// All addresses, best first.
    pub fn all(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        let lists = [&self.anchors, &self.tried, &self.heard_of];
        lists.into_iter().flatten().copied()
    }

    /// Nobody?
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }
}

/// Where an address came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The user, or what was remembered of earlier runs.
    Ours,
    /// This peer told of it.
    Peer(SocketAddr),
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
    /// It will have no link with us whatever comes (403).
    Forbidden,
}

/// What is known of an address.
#[derive(Clone, Copy, Debug)]
struct Host {
    /// Its place in the book.
    place: Place,
    /// Failures since the last success.
    fails: u8,
    /// Not to be dialled before.
    not_before: Time,
    /// Somebody saw it alive: it answered, or a pong or hit named it.
    heard: Option<Time>,
}

/// The book.
#[derive(Debug)]
pub(super) struct Hosts {
    net: Net,
    hostile: Arc<Hostile>,
    known: BTreeMap<SocketAddr, Host>,
    places: Places,
    selves: Vec<SocketAddr>,
    /// Newcomers that worked, with the address at their place.
    challenges: Vec<(SocketAddr, SocketAddr)>,
}

impl Hosts {
    /// An empty book in which nothing of these will ever stand.
    pub(super) fn new(net: Net, key: u64, hostile: Arc<Hostile>) -> Self {
        Self {
            net,
            hostile,
            known: BTreeMap::new(),
            places: Places::new(net, key),
            selves: Vec::new(),
            challenges: Vec::new(),
        }
    }

    /// Forgets all that stands on this list, and learns nothing of it from now on.
    pub(super) fn shun(&mut self, hostile: Arc<Hostile>) {
        let known = self.known.keys().copied();
        let listed: Vec<_> = known.filter(|addr| hostile.lists(addr.ip())).collect();
        self.hostile = hostile;
        for addr in listed {
            self.remove(addr);
            self.challenges
                .retain(|(newcomer, old)| *newcomer != addr && *old != addr);
        }
    }

    /// May anybody be called there at all?
    fn admits(&self, addr: SocketAddr) -> bool {
        self.net.admits(addr.ip()) && !self.hostile.lists(addr.ip())
    }

    /// An address somebody told of. `alive`: as of one that was just seen alive.
    pub(super) fn learn(&mut self, addr: SocketAddr, source: Source, alive: Option<Time>) {
        let believed = match source {
            Source::Ours => plausible(addr) && self.admits(addr),
            Source::Peer(_) => self.net.believes(addr) && self.admits(addr),
        };
        if !believed || self.selves.contains(&addr) {
            return;
        }
        if let Some(host) = self.known.get_mut(&addr) {
            host.heard = alive.or(host.heard);
            return;
        }
        let told_by = match source {
            Source::Ours => self.net.group(addr),
            Source::Peer(peer) => self.net.group(peer),
        };
        let place = self.places.of_new(addr, told_by);
        if self.make_room(place) {
            self.put(
                addr,
                Host {
                    place,
                    fails: 0,
                    not_before: Time::ZERO,
                    heard: alive,
                },
            );
        }
    }

    /// We called it and a greeting was done.
    pub(super) fn connected(&mut self, addr: SocketAddr, now: Time) {
        if !plausible(addr) || !self.admits(addr) || self.selves.contains(&addr) {
            return;
        }
        self.challenges.retain(|(_, old)| *old != addr);
        let place = self.places.of_tried(addr);
        let holder = self.places.holder(place);
        if holder.is_some_and(|old| old != addr) && !self.make_room(place) {
            // Whether the old one still works is found out first; meanwhile this one is as good as any new one.
            self.learn(addr, Source::Ours, Some(now));
            if let Some(host) = self.known.get_mut(&addr) {
                host.fails = 0;
                host.not_before = now.plus(limits::CALL_GAP);
            }
            if let Some(old) = holder
                && self.challenges.len() < CHALLENGES_MAX
                && !self.challenges.contains(&(addr, old))
            {
                self.challenges.push((addr, old));
            }
            return;
        }
        self.remove(addr);
        self.put(
            addr,
            Host {
                place,
                fails: 0,
                not_before: now.plus(limits::CALL_GAP),
                heard: Some(now),
            },
        );
    }

    /// Puts back an address that worked in an earlier run.
    pub(super) fn restore(&mut self, addr: SocketAddr) {
        let good = plausible(addr) && self.admits(addr) && !self.selves.contains(&addr);
        let place = self.places.of_tried(addr);
        if good && !self.known.contains_key(&addr) && self.places.holder(place).is_none() {
            self.put(
                addr,
                Host {
                    place,
                    fails: 0,
                    not_before: Time::ZERO,
                    heard: None,
                },
            );
        }
    }

    /// A number for the network of an address that nobody else can know beforehand.
    pub(super) fn lot(&self, addr: SocketAddr) -> u64 {
        self.places.lot(self.net.group(addr))
    }

    /// The network that an address is of.
    pub(super) fn group(&self, addr: SocketAddr) -> u64 {
        self.net.group(addr)
    }

    /// All of one network: links to two of them are one too many on the live network.
    pub(super) fn same_group(&self, a: SocketAddr, b: SocketAddr) -> bool {
        self.net.group(a) == self.net.group(b)
    }

    /// Not in the book yet?
    pub(super) fn is_new(&self, addr: SocketAddr) -> bool {
        !self.known.contains_key(&addr)
    }

    /// It was no use: wait before the next try.
    pub(super) fn failed(&mut self, addr: SocketAddr, now: Time, failure: Failure) {
        if let Some(host) = self.known.get_mut(&addr) {
            let first = match failure {
                Failure::NobodyThere => limits::BACKOFF_MIN,
                Failure::Banned => limits::BACKOFF_MAX,
                Failure::Forbidden if self.net == Net::Gnutella => limits::FORBIDDEN_GAP,
                Failure::TurnedAway | Failure::Forbidden => limits::CALL_GAP,
            };
            let wait = first
                .saturating_mul(1 << host.fails.min(10))
                .min(limits::BACKOFF_MAX.max(first));
            host.fails = host.fails.saturating_add(1);
            host.not_before = now.plus(wait);
        }
        if let Some(at) = self.challenges.iter().position(|(_, old)| *old == addr) {
            let (newcomer, old) = self.challenges.swap_remove(at);
            self.give_way(old, newcomer);
        }
    }

    /// The old one does not work any more: it is one of those heard of, and the newcomer takes its place.
    fn give_way(&mut self, old: SocketAddr, newcomer: SocketAddr) {
        let Some(mut was) = self.remove(old) else {
            return;
        };
        if let Some(new) = self.remove(newcomer) {
            self.put(
                newcomer,
                Host {
                    place: was.place,
                    ..new
                },
            );
        }
        was.place = self.places.of_new(old, self.net.group(old));
        if self.make_room(was.place) {
            self.put(old, was);
        }
    }

    /// It is ourselves: never again.
    pub(super) fn is_self(&mut self, addr: SocketAddr) {
        self.remove(addr);
        if self.selves.len() < SELVES_MAX && !self.selves.contains(&addr) {
            self.selves.push(addr);
        }
    }

    /// May this address be dialled now?
    pub(super) fn may_dial(&self, addr: SocketAddr, now: Time) -> bool {
        plausible(addr)
            && self.admits(addr)
            && !self.selves.contains(&addr)
            && self
                .known
                .get(&addr)
                .is_none_or(|host| host.not_before <= now)
    }

    /// All addresses: those that worked first, then those that failed least, then the youngest.
    pub(super) fn all(&self) -> Vec<SocketAddr> {
        let mut all: Vec<_> = self.known.iter().collect();
        all.sort_by_key(|(_, host)| (host.place.0, host.fails, std::cmp::Reverse(host.heard)));
        all.into_iter().map(|(addr, _)| *addr).collect()
    }

    /// All but the anchors, for the next run.
    pub(super) fn remembered(&self, anchors: Vec<SocketAddr>) -> Remembered {
        let is_tried = |addr: &SocketAddr| {
            self.known
                .get(addr)
                .is_some_and(|host| host.place.0 == Table::Tried)
        };
        let others = self
            .all()
            .into_iter()
            .filter(|addr| !anchors.contains(addr));
        let (tried, heard_of) = others.partition(is_tried);
        Remembered {
            anchors,
            tried,
            heard_of,
        }
    }

    /// Addresses seen alive lately.
    pub(super) fn heard(&self, now: Time) -> usize {
        self.known
            .values()
            .filter(|host| host.heard.is_some_and(|at| now.since(at) <= HEARD_LIFE))
            .count()
    }

    /// Empties a place if what is there may go. `true`: it is free.
    fn make_room(&mut self, place: Place) -> bool {
        let Some(old) = self.places.holder(place) else {
            return true;
        };
        let terrible = self.known.get(&old).is_none_or(|host| {
            host.fails >= FAILS_MAX
                || (host.place.0 == Table::New && host.fails >= FAILS_NEVER_GOOD)
        });
        if terrible {
            self.remove(old);
        }
        terrible
    }

    fn put(&mut self, addr: SocketAddr, host: Host) {
        self.places.take(host.place, addr);
        self.known.insert(addr, host);
    }

    fn remove(&mut self, addr: SocketAddr) -> Option<Host> {
        let host = self.known.remove(&addr)?;
        self.places.free(host.place);
        Some(host)
    }
}

#[cfg(test)]
mod tests;
