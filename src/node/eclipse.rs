//! Against being surrounded: anchors, feelers, and no network with more than its share of our links.
//!
//! Whoever chooses all our neighbours chooses what we see. So those that served us last are called first after a
//! restart, addresses are proved before they are needed, and a network that somebody owns has one link that we open
//! and a part of those that we accept. Source: bootstrap.md section 7, after Bitcoin Core.

use std::net::SocketAddr;

use super::event::{Bye, Direction, Outbox, Peer, Role};
use super::hosts::{ANCHORS_MAX, Hosts, Remembered, Source};
use super::links::Links;
use super::peering::{Peering, is_taken};
use super::{Node, Time, limits};

const FEELER: Bye = Bye {
    code: 200,
    text: "Only looking who is there",
};

/// Is there a link that we opened into the same network, or are we about to open one? On the live network whoever
/// owns a network must not own our view of it.
pub(super) fn is_crowded(
    hosts: &Hosts,
    peering: &Peering,
    links: &Links,
    addr: SocketAddr,
) -> bool {
    let dialled = links
        .iter()
        .filter_map(|(_, link)| match link.peer.direction {
            Direction::Dialled(addr) => Some(addr),
            Direction::Accepted => None,
        });
    dialled
        .chain(peering.dialled())
        .any(|other| hosts.same_group(other, addr))
}

impl Node {
    /// What outlives this run.
    pub fn remembered(&self) -> Remembered {
        let mut best: Vec<_> = self
            .links
            .iter()
            .filter(|(_, link)| link.peer.role == Role::Ultrapeer)
            .filter_map(|(_, link)| match link.peer.direction {
                Direction::Dialled(addr) => Some((link.since, addr)),
                Direction::Accepted => None,
            })
            .collect();
        best.sort_by_key(|(since, _)| *since);
        let mut anchors: Vec<_> = best.into_iter().map(|(_, addr)| addr).collect();
        for last in &self.peering.last_anchors {
            if !anchors.contains(last) {
                anchors.push(*last);
            }
        }
        anchors.truncate(ANCHORS_MAX);
        self.hosts.remembered(anchors)
    }

    /// Takes in what outlived an earlier run.
    pub(super) fn recall(&mut self, remembered: &Remembered) {
        let anchors = &remembered.anchors[..remembered.anchors.len().min(ANCHORS_MAX)];
        for addr in anchors.iter().chain(&remembered.tried) {
            self.hosts.restore(*addr);
        }
        for addr in remembered.all() {
            self.hosts.learn(addr, Source::Ours, None);
        }
        self.peering.anchors = anchors.to_vec();
        self.peering.last_anchors = anchors.to_vec();
    }

    /// The next anchor that can be called, each once.
    pub(super) fn next_anchor(&mut self, now: Time) -> Option<SocketAddr> {
        while !self.peering.anchors.is_empty() {
            let addr = self.peering.anchors.remove(0);
            let (listen, links) = (self.config.listen, &self.links);
            let taken = is_taken(listen, &self.peering, links, addr)
                || is_crowded(&self.hosts, &self.peering, links, addr);
            if !taken && self.hosts.may_dial(addr, now) {
                return Some(addr);
            }
        }
        None
    }

    /// Calls somebody only to see whether it works, while links are enough: so that there are good addresses when
    /// they are needed, and old ones that work keep their place.
    pub(super) fn feel(&mut self, now: Time, out: &mut Outbox) {
        let more = self.links.len() > 0;
        self.peering.feeler = more.then(|| now.plus(limits::FEELER_GAP));
        let enough =
            self.config.min_links > 0 && self.links.count(Role::Ultrapeer) >= self.config.min_links;
        if !enough || self.peering.leaving || self.peering.feeling.is_some() {
            return;
        }
        let (listen, peering, links) = (self.config.listen, &self.peering, &self.links);
        let taken = |addr| is_taken(listen, peering, links, addr);
        if let Some(addr) = self.hosts.feeler(now, &mut self.rng, taken) {
            self.peering.feeling = Some(addr);
            self.dial(addr, out);
        }
    }

    /// We only wanted to know whether it works, and nobody has come to want more of it meanwhile.
    pub(super) fn only_felt(&self, dialled: Option<SocketAddr>) -> Option<Bye> {
        let addr = dialled.filter(|_| dialled == self.peering.feeling)?;
        let wanted = self.peering.waiting.iter().any(|(_, other)| *other == addr)
            || self.peering.keep.contains(&addr)
            || self.links.count(Role::Ultrapeer) < self.config.min_links;
        (!wanted).then_some(FEELER)
    }

    /// Links that nodes of the same network as this one opened to us.
    pub(super) fn accepted_from_group(&self, peer: &Peer) -> usize {
        let same = |link: &&Peer| {
            link.direction == Direction::Accepted
                && link.role == peer.role
                && self.hosts.same_group(link.remote, peer.remote)
        };
        self.links
            .iter()
            .map(|(_, link)| &*link.peer)
            .filter(same)
            .count()
    }
}
