//! Who else has a file: the mesh, as the serving side keeps it for those who ask.
//!
//! Hearsay of strangers: nothing here is ever connected to by us, and each address is told on only if the net believes
//! it. What is known at first hand, by bytes that came from there or by the word of who is there itself, is told in hits
//! too ([`Alternates::proved`]). Knows neither sockets nor heads.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Time;
use super::address::Net;
use crate::wire::Sha1;
use crate::wire::alt::{Open, Walled};

/// Files with alternates; the one that was not asked for longest goes first. Some 1 KiB each. Our estimate.
const FILES_MAX: usize = 1_024;
/// Alternates of one file. Our estimate.
const ALTERNATES_MAX: usize = 64;
/// Alternates that one host may have named of a file: so no host fills the list. Our estimate.
const NAMED_BY_ONE_MAX: usize = 8;
/// Alternates told in one answer. gtk-gnutella tells some 10.
pub const TOLD_MAX: usize = 10;
/// Walled ones told in one answer: each is longer. Ours.
pub const WALLED_TOLD_MAX: usize = 4;
/// An alternate nobody named again for so long is forgotten. Our estimate: a long download.
const LIFE: Duration = Duration::from_secs(3_600);
/// Alternates of one file that go into hits: each costs everybody on the way some 10 bytes. gtk-gnutella: 10.
pub const IN_HITS_MAX: usize = 6;
/// The core is told of the same alternates again after this, so that it does not forget them.
const REPEATED: Duration = Duration::from_secs(600);
/// Hosts that must report an alternate as useless before it is believed. gtk-gnutella asks for several.
const REPORTS_MIN: usize = 3;

/// Where a file can be had too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alternate {
    /// At an address.
    Open(Open),
    /// By a push.
    Walled(Walled),
}

#[derive(Debug)]
struct Named {
    alternate: Alternate,
    by: IpAddr,
    at: Time,
    /// It spoke for itself, or gave us bytes.
    first_hand: bool,
    /// Hosts that found nothing there, below [`REPORTS_MIN`].
    useless_to: Vec<IpAddr>,
}

/// Alternates of all files.
#[derive(Debug)]
pub struct Alternates {
    net: Net,
    files: BTreeMap<Sha1, Known>,
    /// Counts requests, as a clock of use.
    asked: u64,
}

#[derive(Debug, Default)]
struct Known {
    asked: u64,
    /// The one told longest ago is first.
    named: VecDeque<Named>,
    /// What hits were to say last, and since when.
    in_hits: Vec<Open>,
    in_hits_at: Time,
}

impl Alternates {
    /// None.
    pub fn new(net: Net) -> Self {
        Self {
            net,
            files: BTreeMap::new(),
            asked: 0,
        }
    }

    /// `by` names an alternate of a file that we serve.
    pub fn learn(&mut self, now: Time, file: Sha1, by: IpAddr, alternate: Alternate) {
        self.take(now, file, by, alternate, false);
    }

    /// A downloader at `peer` has parts of the file itself and says that it listens there.
    pub fn learn_self(&mut self, now: Time, file: Sha1, peer: SocketAddr, own: Open) {
        if self.net.believes_of(own.addr, peer) && self.net.admits(own.addr.ip()) {
            self.take(now, file, peer.ip(), Alternate::Open(own), true);
        }
    }

    /// Bytes of the file came from there, and were right.
    pub fn gave(&mut self, now: Time, file: Sha1, from: Open) {
        self.take(now, file, from.addr.ip(), Alternate::Open(from), true);
    }

    fn take(&mut self, now: Time, file: Sha1, by: IpAddr, alternate: Alternate, first_hand: bool) {
        if let Alternate::Open(open) = alternate
            && !(self.net.believes(open.addr) && self.net.claims(open.addr.ip()))
        {
            return;
        }
        let by = by.to_canonical();
        let known = self.known(file);
        if let Some(named) = known
            .named
            .iter_mut()
            .find(|named| named.alternate.is_at(&alternate))
        {
            // What it was told of a walled one may have changed; whoever named it first still answers for it. Of its
            // TLS hearsay counts less than its own word.
            if first_hand || !named.first_hand {
                named.alternate = alternate;
            }
            named.first_hand |= first_hand;
            named.at = now;
            return;
        }
        let of_one = known.named.iter().filter(|named| named.by == by).count();
        if of_one >= NAMED_BY_ONE_MAX && !by.is_loopback() {
            return;
        }
        if known.named.len() >= ALTERNATES_MAX {
            let oldest = (0..known.named.len()).min_by_key(|&at| known.named[at].at);
            oldest.map(|at| known.named.remove(at));
        }
        known.named.push_front(Named {
            alternate,
            by,
            at: now,
            first_hand,
            useless_to: Vec::new(),
        });
    }

    /// `by` found nothing at an alternate. It goes when enough hosts say so, or the one who named it.
    pub fn useless(&mut self, file: &Sha1, by: IpAddr, addr: SocketAddr) {
        let by = by.to_canonical();
        let Some(known) = self.files.get_mut(file) else {
            return;
        };
        known.named.retain_mut(|named| {
            if !matches!(named.alternate, Alternate::Open(open) if open.addr == addr) {
                return true;
            }
            if !named.useless_to.contains(&by) {
                named.useless_to.push(by);
            }
            named.by != by && named.useless_to.len() < REPORTS_MIN
        });
    }

    /// Up to [`TOLD_MAX`] open and, if `walled`, [`WALLED_TOLD_MAX`] walled alternates for who asks from `peer` and
    /// listens at `own`; others the next time.
    pub fn tell(
        &mut self,
        now: Time,
        file: &Sha1,
        peer: IpAddr,
        own: Option<SocketAddr>,
        walled: bool,
    ) -> Vec<Alternate> {
        let Some(known) = self.files.get_mut(file) else {
            return Vec::new();
        };
        known.named.retain(|named| now.since(named.at) < LIFE);
        let (mut told, mut kept) = (Vec::new(), VecDeque::new());
        let (mut open_left, mut walled_left) = (TOLD_MAX, if walled { WALLED_TOLD_MAX } else { 0 });
        for named in known.named.drain(..) {
            let left = match &named.alternate {
                // Its own address is no news; without `X-Node` its host is all we know of it.
                Alternate::Open(open) if Some(open.addr) == own => None,
                Alternate::Open(open)
                    if own.is_none()
                        && open.addr.ip().to_canonical() == peer.to_canonical()
                        && !peer.is_loopback() =>
                {
                    None
                }
                Alternate::Open(_) => Some(&mut open_left),
                Alternate::Walled(_) => Some(&mut walled_left),
            };
            match left.filter(|left| **left > 0) {
                Some(left) => {
                    *left -= 1;
                    told.push(named);
                }
                None => kept.push_back(named),
            }
        }
        let alternates = told.iter().map(|named| named.alternate.clone()).collect();
        kept.extend(told);
        known.named = kept;
        alternates
    }

    /// What hits for a file are to say of others from now on, [`IN_HITS_MAX`] at most, the latest ones: only those
    /// known at first hand. `None`: as before.
    pub fn proved(&mut self, now: Time, file: &Sha1) -> Option<Vec<Open>> {
        let known = self.files.get_mut(file)?;
        let mut latest: Vec<_> = known
            .named
            .iter()
            .filter(|named| named.first_hand && now.since(named.at) < LIFE)
            .filter_map(|named| match named.alternate {
                Alternate::Open(open) => Some((std::cmp::Reverse(named.at), open)),
                Alternate::Walled(_) => None,
            })
            .collect();
        latest.sort_unstable();
        latest.truncate(IN_HITS_MAX);
        let mut open: Vec<_> = latest.into_iter().map(|(_, open)| open).collect();
        // Who is latest changes with every request; that alone is no news.
        open.sort_unstable();
        let again = !open.is_empty() && now.since(known.in_hits_at) >= REPEATED;
        if open == known.in_hits && !again {
            return None;
        }
        known.in_hits.clone_from(&open);
        known.in_hits_at = now;
        Some(open)
    }

    fn known(&mut self, file: Sha1) -> &mut Known {
        self.asked += 1;
        if self.files.len() >= FILES_MAX && !self.files.contains_key(&file) {
            let oldest = self.files.iter().min_by_key(|(_, known)| known.asked);
            let oldest = oldest.map(|(file, _)| *file);
            oldest.map(|file| self.files.remove(&file));
        }
        let known = self.files.entry(file).or_default();
        known.asked = self.asked;
        known
    }
}

impl Alternate {
    /// Are both the same node?
    fn is_at(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Open(one), Self::Open(other)) => one.addr == other.addr,
            (Self::Walled(one), Self::Walled(other)) => one.servent == other.servent,
            (Self::Open(_), Self::Walled(_)) | (Self::Walled(_), Self::Open(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ServentId;

    const FILE: Sha1 = Sha1([1; 20]);

    fn host(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    fn addr(n: u8) -> SocketAddr {
        SocketAddr::new(host(n), 6346)
    }

    fn at(addr: SocketAddr) -> Open {
        Open { addr, tls: false }
    }

    fn open(n: u8) -> Alternate {
        Alternate::Open(at(addr(n)))
    }

    fn told(all: &mut Alternates, now: Time, asker: u8) -> Vec<Alternate> {
        all.tell(now, &FILE, host(asker), Some(addr(asker)), false)
    }

    #[test]
    fn alternates_are_told_in_turn_to_all_but_themselves() {
        let mut all = Alternates::new(Net::Lan);
        for n in 1..=15 {
            all.learn_self(
                Time::ZERO,
                FILE,
                SocketAddr::new(host(n), 50_000),
                at(addr(n)),
            );
        }
        let first = told(&mut all, Time::ZERO, 15);
        assert_eq!(first.len(), TOLD_MAX);
        assert!(!first.contains(&open(15)));
        let second = told(&mut all, Time::ZERO, 15);
        let mut both: Vec<_> = first.into_iter().chain(second).collect();
        both.retain(|one| *one != open(15));
        both.dedup();
        for n in 1..15 {
            assert!(both.contains(&open(n)), "{n} was told in two answers");
        }
        // A host that does not say where it listens is not told of itself either.
        let nameless = all.tell(Time::ZERO, &FILE, host(3), None, false);
        assert!(!nameless.contains(&open(3)));
        let later = Time::ZERO.plus(LIFE);
        assert_eq!(told(&mut all, later, 99), []);
        assert_eq!(told(&mut all, later, 99), []);
    }

    #[test]
    fn a_useless_one_goes_when_several_hosts_say_so_or_who_named_it() {
        let mut all = Alternates::new(Net::Lan);
        all.learn(Time::ZERO, FILE, host(9), open(1));
        for _ in 0..5 {
            all.useless(&FILE, host(2), addr(1));
        }
        all.useless(&FILE, host(3), addr(1));
        assert_eq!(told(&mut all, Time::ZERO, 99), [open(1)]);
        all.useless(&FILE, host(4), addr(1));
        assert_eq!(told(&mut all, Time::ZERO, 99), []);
        all.learn(Time::ZERO, FILE, host(9), open(1));
        all.useless(&FILE, host(9), addr(1));
        assert_eq!(told(&mut all, Time::ZERO, 99), []);
    }

    #[test]
    fn what_a_stranger_names_is_filtered_and_bounded() {
        let mut all = Alternates::new(Net::Gnutella);
        let public = |n: u8| Alternate::Open(at(SocketAddr::from(([8, 8, n, 8], 6346))));
        all.learn(Time::ZERO, FILE, host(9), open(1));
        for port in [0, 25] {
            let service = Alternate::Open(at(SocketAddr::from(([8, 8, 8, 8], port))));
            all.learn(Time::ZERO, FILE, host(9), service);
        }
        let peer = SocketAddr::from(([8, 8, 8, 8], 1));
        all.learn_self(
            Time::ZERO,
            FILE,
            peer,
            at(SocketAddr::from(([8, 8, 4, 4], 6346))),
        );
        all.learn_self(Time::ZERO, FILE, addr(3), at(addr(3)));
        assert_eq!(told(&mut all, Time::ZERO, 99), []);
        for n in 0..50 {
            all.learn(Time::ZERO, FILE, host(9), public(n));
        }
        assert_eq!(all.files[&FILE].named.len(), NAMED_BY_ONE_MAX);
        for n in 0..200 {
            all.learn(Time(u64::from(n)), FILE, host(n), public(n));
        }
        assert_eq!(all.files[&FILE].named.len(), ALTERNATES_MAX);
        for n in 0..2_000u16 {
            let mut sha1 = [0; 20];
            sha1[..2].copy_from_slice(&n.to_be_bytes());
            all.learn(Time::ZERO, Sha1(sha1), host(1), public(1));
        }
        assert_eq!(all.files.len(), FILES_MAX);
    }

    #[test]
    fn walled_ones_are_told_to_who_can_use_them() {
        let mut all = Alternates::new(Net::Lan);
        let walled = |n: u8| {
            Alternate::Walled(Walled {
                servent: ServentId([n; 16]),
                proxies: vec![addr(n)],
            })
        };
        for n in 1..9 {
            all.learn(Time::ZERO, FILE, host(n), walled(n));
        }
        all.learn(Time::ZERO, FILE, host(9), open(9));
        assert_eq!(told(&mut all, Time::ZERO, 99), [open(9)]);
        let both = all.tell(Time::ZERO, &FILE, host(99), None, true);
        assert_eq!(both.len(), 1 + WALLED_TOLD_MAX);
    }

    #[test]
    fn hits_name_whom_we_know_at_first_hand_the_latest_and_only_when_that_changes() {
        let mut all = Alternates::new(Net::Lan);
        let second = |n: u64| Time::ZERO.plus(Duration::from_secs(n));
        assert_eq!(all.proved(second(0), &FILE), None);
        all.learn(second(0), FILE, host(9), open(1));
        assert_eq!(all.proved(second(0), &FILE), None, "hearsay");
        let one = Open {
            addr: addr(1),
            tls: true,
        };
        all.learn_self(second(1), FILE, addr(1), one);
        all.learn(second(1), FILE, host(9), open(1));
        assert_eq!(all.proved(second(1), &FILE), Some(vec![one]));
        all.learn_self(second(2), FILE, addr(1), one);
        assert_eq!(all.proved(second(2), &FILE), None, "no news");
        for n in 2..=9 {
            all.gave(second(n.into()), FILE, at(addr(n)));
        }
        let latest: Vec<_> = (4..=9).map(|n| at(addr(n))).collect();
        assert_eq!(latest.len(), IN_HITS_MAX);
        assert_eq!(all.proved(second(9), &FILE), Some(latest.clone()));
        let later = second(9).plus(REPEATED);
        assert_eq!(all.proved(later, &FILE), Some(latest), "said again");
        all.useless(&FILE, host(9), addr(9));
        assert!(
            all.proved(later, &FILE)
                .is_some_and(|left| left.contains(&at(addr(3))))
        );
        let gone = second(9).plus(LIFE);
        assert_eq!(all.proved(gone, &FILE), Some(Vec::new()));
        assert_eq!(all.proved(gone.plus(REPEATED), &FILE), None);
    }
}
