//! Choosing from the book: whom to call, whom to try, and whom to tell others of.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use super::super::Time;
use super::super::address::Net;
use super::places::Table;
use super::{HEARD_LIFE, Host, Hosts};

impl Hosts {
    /// Whom to call only to see whether it works: one whose place is wanted, else a random one that was only heard of.
    pub(in crate::node) fn feeler(
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

    /// A random address that may be dialled now and is not `taken`. On the live network half of the draws come
    /// from those that worked once, so that filling the table of hearsay gains nobody all our links; and a network is
    /// drawn first, so that many addresses of one count no more than a single one.
    pub(in crate::node) fn draw(
        &self,
        now: Time,
        rng: &mut ChaCha8Rng,
        taken: impl Fn(SocketAddr) -> bool,
    ) -> Option<SocketAddr> {
        let ready = |table: Option<Table>| {
            let known = self.known.iter();
            known
                .filter(move |(_, host)| {
                    table.is_none_or(|table| host.place.0 == table) && host.not_before <= now
                })
                .map(|(addr, _)| *addr)
                .filter(|addr| !taken(*addr))
        };
        match self.net {
            Net::Lan => any(ready(None), rng),
            Net::Gnutella | Net::Rehearsal => {
                let (first, second) = if rng.random_range(0..2) == 0 {
                    (Table::Tried, Table::New)
                } else {
                    (Table::New, Table::Tried)
                };
                self.of_any_group(ready(Some(first)), rng)
                    .or_else(|| self.of_any_group(ready(Some(second)), rng))
            }
        }
    }

    /// A random one of a random group of these.
    fn of_any_group(
        &self,
        addrs: impl Iterator<Item = SocketAddr>,
        rng: &mut ChaCha8Rng,
    ) -> Option<SocketAddr> {
        let mut groups = BTreeMap::<u64, Vec<SocketAddr>>::new();
        for addr in addrs {
            groups.entry(self.net.group(addr)).or_default().push(addr);
        }
        any(any(groups.into_values(), rng)?.into_iter(), rng)
    }

    /// Up to `max` addresses to tell others of, of those that somebody saw alive and that never failed us: random ones
    /// heard from lately, then random others.
    pub(in crate::node) fn sample(
        &self,
        max: usize,
        now: Time,
        rng: &mut ChaCha8Rng,
    ) -> Vec<SocketAddr> {
        let alive = self.known.iter().filter_map(|(addr, host)| {
            let heard = host.heard.filter(|_| host.fails == 0)?;
            let told = self.net.believes(*addr);
            told.then_some((*addr, now.since(heard) <= HEARD_LIFE))
        });
        let (mut lately, mut others): (Vec<_>, Vec<_>) = alive.partition(|(_, lately)| *lately);
        draw_first(&mut lately, max, rng);
        draw_first(&mut others, max - lately.len(), rng);
        lately
            .into_iter()
            .chain(others)
            .map(|(addr, _)| addr)
            .collect()
    }
}

/// A random one of these.
fn any<T>(all: impl Iterator<Item = T>, rng: &mut ChaCha8Rng) -> Option<T> {
    let (mut chosen, mut seen) = (None, 0_u32);
    for one in all {
        seen += 1;
        if rng.random_range(0..seen) == 0 {
            chosen = Some(one);
        }
    }
    chosen
}

/// Leaves up to `max` random ones of these.
fn draw_first<T>(all: &mut Vec<T>, max: usize, rng: &mut ChaCha8Rng) {
    for at in 0..all.len().min(max) {
        let other = rng.random_range(at..all.len());
        all.swap(at, other);
    }
    all.truncate(max);
}
