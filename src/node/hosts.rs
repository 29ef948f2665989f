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

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use super::Time;
use super::address::{Net, plausible};
use super::hostile::Hostile;
use super::limits;

/// How long a node counts as heard from lately.
const HEARD_LIFE: Duration = Duration::from_secs(300);
/// Addresses that turned out to be ourselves: one for each interface, and some.
const SELVES_MAX: usize = 32;
/// Buckets of the table of addresses heard of.
const NEW_BUCKETS: u64 = 64;
/// Buckets that the groups told of by one source group are spread over.
const NEW_BUCKETS_PER_SOURCE: u64 = 8;
/// Buckets of the table of addresses greeted.
const TRIED_BUCKETS: u64 = 16;
/// Buckets that the addresses of one group are spread over.
const TRIED_BUCKETS_PER_GROUP: u64 = 2;
/// Places in a bucket. 64 x 32 + 16 x 32 = 2,560 addresses in all.
const SLOTS: u64 = 32;
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Table {
    Tried,
    New,
}

type Place = (Table, u32);

/// The book.
#[derive(Debug)]
pub(super) struct Hosts {
    net: Net,
    hostile: Arc<Hostile>,
    /// Secret that decides the places: nobody can aim for one.
    key: u64,
    known: BTreeMap<SocketAddr, Host>,
    places: BTreeMap<Place, SocketAddr>,
    selves: Vec<SocketAddr>,
    /// Newcomers that worked, with the address at their place.
    challenges: Vec<(SocketAddr, SocketAddr)>,
}

impl Hosts {
    pub(super) fn new(net: Net, key: u64) -> Self {
        Self {
            net,
            hostile: Arc::default(),
            key,
            known: BTreeMap::new(),
            places: BTreeMap::new(),
            selves: Vec::new(),
            challenges: Vec::new(),
        }
    }

    /// The same, with nothing of these in it.
    pub(super) fn shunning(self, hostile: Arc<Hostile>) -> Self {
        Self { hostile, ..self }
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
        let place = self.new_place(addr, told_by);
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
        let place = self.tried_place(addr);
        let holder = self.places.get(&place).copied();
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
        let place = self.tried_place(addr);
        if good && !self.known.contains_key(&addr) && !self.places.contains_key(&place) {
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

    /// Whom to call only to see whether it works: one whose place is wanted, else a random one that was only heard of.
    pub(super) fn feeler(
        &self,
        now: Time,
        rng: &mut ChaCha8Rng,
        taken: impl Fn(SocketAddr) -> bool,
    ) -> Option<SocketAddr> {
        let may = |addr: &SocketAddr| !taken(*addr) && self.may_dial(*addr, now);
        let challenged = self.challenges.iter().map(|(_, old)| *old).find(&may);
        challenged.or_else(|| {
            let new = |(addr, host): &(&SocketAddr, &Host)| {
                host.place.0 == Table::New && host.fails == 0 && may(addr)
            };
            let count = self.known.iter().filter(new).count();
            let at = (count > 0).then(|| rng.random_range(0..count))?;
            self.known.iter().filter(new).nth(at).map(|(addr, _)| *addr)
        })
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
                Failure::TurnedAway => limits::CALL_GAP,
                Failure::Banned => limits::BACKOFF_MAX,
            };
            let wait = first
                .saturating_mul(1 << host.fails.min(10))
                .min(limits::BACKOFF_MAX);
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
        was.place = self.new_place(old, self.net.group(old));
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

    /// A random address that may be dialled now and is not `taken`. On the live network half of the draws come
    /// from those that worked once, so that filling the table of hearsay gains nobody all our links.
    pub(super) fn draw(
        &self,
        now: Time,
        rng: &mut ChaCha8Rng,
        taken: impl Fn(SocketAddr) -> bool,
    ) -> Option<SocketAddr> {
        let ready = |table: Option<Table>, rng: &mut ChaCha8Rng| {
            let (mut chosen, mut seen) = (None, 0_u32);
            for (addr, host) in &self.known {
                let here = table.is_none_or(|table| host.place.0 == table);
                if here && host.not_before <= now && !taken(*addr) {
                    seen += 1;
                    if rng.random_range(0..seen) == 0 {
                        chosen = Some(*addr);
                    }
                }
            }
            chosen
        };
        match self.net {
            Net::Lan => ready(None, rng),
            Net::Gnutella | Net::Rehearsal => {
                let (first, second) = if rng.random_range(0..2) == 0 {
                    (Table::Tried, Table::New)
                } else {
                    (Table::New, Table::Tried)
                };
                ready(Some(first), rng).or_else(|| ready(Some(second), rng))
            }
        }
    }

    /// Up to `max` random addresses to tell others of: those that somebody saw alive and that never failed us.
    pub(super) fn sample(&self, max: usize, rng: &mut ChaCha8Rng) -> Vec<SocketAddr> {
        let alive = |host: &Host| host.heard.is_some() && host.fails == 0;
        let mut known: Vec<_> = self
            .known
            .iter()
            .filter(|(addr, host)| alive(host) && self.net.believes(**addr))
            .map(|(addr, _)| *addr)
            .collect();
        for at in 0..known.len().min(max) {
            let other = rng.random_range(at..known.len());
            known.swap(at, other);
        }
        known.truncate(max);
        known
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
        let Some(old) = self.places.get(&place).copied() else {
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
        self.places.insert(host.place, addr);
        self.known.insert(addr, host);
    }

    fn remove(&mut self, addr: SocketAddr) -> Option<Host> {
        let host = self.known.remove(&addr)?;
        self.places.remove(&host.place);
        Some(host)
    }

    fn hash(&self, what: impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.key, what).hash(&mut hasher);
        hasher.finish()
    }

    fn new_place(&self, addr: SocketAddr, told_by: u64) -> Place {
        let spread =
            self.hash(("new group", self.net.group(addr), told_by)) % NEW_BUCKETS_PER_SOURCE;
        let bucket = self.hash(("new", told_by, spread)) % NEW_BUCKETS;
        self.place(Table::New, bucket, addr)
    }

    fn tried_place(&self, addr: SocketAddr) -> Place {
        let spread = self.hash(("tried address", addr)) % TRIED_BUCKETS_PER_GROUP;
        let bucket = self.hash(("tried", self.net.group(addr), spread)) % TRIED_BUCKETS;
        self.place(Table::Tried, bucket, addr)
    }

    fn place(&self, table: Table, bucket: u64, addr: SocketAddr) -> Place {
        let slot = bucket * SLOTS + self.hash(("slot", table == Table::New, bucket, addr)) % SLOTS;
        (table, u32::try_from(slot).expect("a few thousand places"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    const PLACES: usize = limits::HOSTS_MAX.get();
    const _: () = assert!(PLACES as u64 == (NEW_BUCKETS + TRIED_BUCKETS) * SLOTS);

    fn addr(n: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], n))
    }

    fn public(n: u32) -> SocketAddr {
        SocketAddr::from(((0x0800_0000 + n).to_be_bytes(), 6346))
    }

    fn lan() -> Hosts {
        Hosts::new(Net::Lan, 7)
    }

    #[test]
    fn a_failed_address_waits_longer_each_time() {
        let (mut hosts, mut rng) = (lan(), ChaCha8Rng::seed_from_u64(1));
        hosts.learn(addr(1), Source::Ours, None);
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
        let (mut hosts, mut rng) = (lan(), ChaCha8Rng::seed_from_u64(1));
        hosts.learn(addr(1), Source::Ours, None);
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
        let mut hosts = lan();
        hosts.is_self(addr(7));
        for n in 1..=60_000 {
            hosts.learn(addr(n), Source::Peer(addr(n / 3)), None);
        }
        assert!(
            hosts.all().len() <= PLACES && hosts.all().len() > 1_000,
            "{}",
            hosts.all().len()
        );
        hosts.learn(addr(7), Source::Ours, None);
        assert!(!hosts.all().contains(&addr(7)));
    }

    #[test]
    fn draws_are_random_over_the_whole_book() {
        let (mut hosts, mut rng) = (lan(), ChaCha8Rng::seed_from_u64(1));
        for n in 1..=10 {
            hosts.learn(addr(n), Source::Ours, None);
        }
        let mut drawn = BTreeMap::new();
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
        let mut hosts = lan();
        for text in [
            "0.0.0.0:6346",
            "1.2.3.4:0",
            "224.0.0.1:6346",
            "255.255.255.255:1",
        ] {
            hosts.learn(text.parse().unwrap(), Source::Ours, None);
        }
        assert!(hosts.all().is_empty());
    }

    #[test]
    fn one_source_cannot_fill_the_book_or_drive_out_who_worked() {
        let mut hosts = Hosts::new(Net::Gnutella, 7);
        let friend = public(0x0055_0001);
        hosts.connected(friend, Time::ZERO);
        let liar = public(1);
        for n in 0..1_000_000 {
            hosts.learn(public(n * 13), Source::Peer(liar), Some(Time::ZERO));
        }
        let reached = usize::try_from(NEW_BUCKETS_PER_SOURCE * SLOTS).unwrap();
        assert!(
            hosts.all().len() <= reached + 1,
            "{} of {PLACES}",
            hosts.all().len()
        );
        assert_eq!(hosts.all()[0], friend);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let later = Time::ZERO.plus(limits::CALL_GAP);
        let drawn = (0..1_000)
            .filter(|_| hosts.draw(later, &mut rng, |_| false) == Some(friend))
            .count();
        assert!(
            drawn > 400,
            "half of the draws are of those that worked: {drawn}"
        );
    }

    #[test]
    fn on_the_live_network_strangers_cannot_send_us_into_a_private_one() {
        let mut hosts = Hosts::new(Net::Gnutella, 7);
        let told = "192.168.1.1:6346".parse().unwrap();
        hosts.learn(told, Source::Peer(public(1)), None);
        assert!(hosts.all().is_empty());
        hosts.learn(told, Source::Ours, None);
        assert!(
            hosts.all().is_empty(),
            "nor can the user: that is what the other net is for"
        );
        assert!(!hosts.may_dial(told, Time::ZERO));
    }

    fn is_tried(hosts: &Hosts, addr: SocketAddr) -> bool {
        hosts
            .known
            .get(&addr)
            .is_some_and(|host| host.place.0 == Table::Tried)
    }

    #[test]
    fn who_worked_is_asked_again_before_another_that_works_takes_its_place() {
        for still_works in [true, false] {
            let (mut hosts, mut rng) = (Hosts::new(Net::Gnutella, 7), ChaCha8Rng::seed_from_u64(1));
            let old = public(1);
            hosts.connected(old, Time::ZERO);
            let place = hosts.known[&old].place;
            let newcomer = (1..100_000)
                .map(|n| public(n << 16 | 1))
                .find(|addr| hosts.tried_place(*addr) == place)
                .unwrap();
            hosts.connected(newcomer, Time::ZERO);
            assert!(is_tried(&hosts, old) && !is_tried(&hosts, newcomer));
            let later = Time::ZERO.plus(limits::CALL_GAP);
            assert_eq!(hosts.feeler(later, &mut rng, |_| false), Some(old));
            if still_works {
                hosts.connected(old, later);
            } else {
                hosts.failed(old, later, Failure::NobodyThere);
            }
            assert_eq!(is_tried(&hosts, old), still_works);
            assert_eq!(is_tried(&hosts, newcomer), !still_works);
            assert!(hosts.known.contains_key(&old), "it is not forgotten");
            let much_later = later.plus(limits::BACKOFF_MAX);
            let next = hosts.feeler(much_later, &mut rng, |_| false);
            assert_eq!(
                next.is_some(),
                still_works,
                "one new one is left to try, or none that never failed"
            );
        }
    }

    #[test]
    fn a_restart_keeps_who_worked_apart_from_hearsay() {
        let mut hosts = Hosts::new(Net::Gnutella, 7);
        for n in 0..20 {
            hosts.connected(public(n << 16 | 1), Time::ZERO);
            hosts.learn(public(n << 16 | 2), Source::Peer(public(9)), None);
        }
        let anchors = vec![public(1), public(2 << 16 | 1)];
        let kept = hosts.remembered(anchors.clone());
        assert_eq!(kept.anchors, anchors);
        assert!(kept.tried.iter().all(|addr| is_tried(&hosts, *addr)));
        assert_eq!(kept.all().count(), hosts.all().len());
        let mut next = Hosts::new(Net::Gnutella, 8);
        next.restore("10.0.0.1:6346".parse().unwrap());
        assert!(
            next.all().is_empty(),
            "what may not be called may not be restored"
        );
        kept.tried.iter().for_each(|addr| next.restore(*addr));
        let back = kept.tried.iter().filter(|addr| is_tried(&next, **addr));
        assert!(
            back.count() >= kept.tried.len() - 2,
            "but for the odd collision"
        );
    }

    #[test]
    fn an_address_that_worked_makes_room_only_for_one_that_works() {
        let mut hosts = Hosts::new(Net::Gnutella, 7);
        for n in 0..5_000 {
            hosts.connected(public(n << 16 | 1), Time::ZERO);
        }
        assert!(hosts.all().len() <= PLACES);
        assert!(hosts.challenges.len() <= CHALLENGES_MAX);
        assert!(
            hosts
                .places
                .iter()
                .all(|(place, addr)| hosts.known[addr].place == *place),
            "tables agree"
        );
        assert_eq!(hosts.places.len(), hosts.known.len());
    }
}
