//! Changing a link that we opened, from time to time.
//!
//! Whoever got hold of all our neighbours once would keep them for as long as nothing breaks. So every few hours one
//! link that we opened is given up for an address drawn from the book, half of the time one that worked before: the new
//! link first, then the Bye to the old one. Which one goes is drawn too, for a merit that spares could be feigned.
//! Nothing that a peer does makes this happen sooner or more often. On a LAN links stay: there is no book that strangers
//! fill, and the links of a flat overlay are drawn at random as they are.
//!
//! Source: bootstrap.md section 7.

use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;

use super::eclipse::is_crowded;
use super::event::{Bye, Direction, LinkId, Outbox, Role};
use super::links::Link;
use super::peering::is_taken;
use super::{Node, Time, limits};

const ROTATED: Bye = Bye {
    code: 202,
    text: "Trying other neighbours",
};

/// The next change.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rotation {
    /// When it is due.
    pub(super) due: Option<Time>,
    /// Who is being called to take a place.
    successor: Option<SocketAddr>,
}

impl Rotation {
    /// A call has ended, one way or the other. Was it for that?
    pub(super) fn called(&mut self, addr: SocketAddr) -> bool {
        self.successor.take_if(|called| *called == addr).is_some()
    }
}

impl Node {
    /// Calls somebody to take the place of a link that we opened.
    pub(super) fn rotate(&mut self, now: Time, out: &mut Outbox) {
        let linked = self.links.len() > 0;
        // Whatever comes of it: another is called as soon as this one may be given up.
        self.peering.rotation.due = linked.then(|| now.plus(limits::FEELER_GAP));
        let enough = self.links.count(Role::Ultrapeer) >= self.config.min_links;
        let searching = self.searches.iter().next().is_some();
        let busy = self.peering.rotation.successor.is_some() || searching;
        if !enough || busy || self.peering.leaving || self.dispensable(now, None).is_empty() {
            return;
        }
        let (listen, peering, links) = (self.config.listen, &self.peering, &self.links);
        let hosts = &self.hosts;
        let taken = |addr| {
            is_taken(listen, peering, links, addr) || is_crowded(hosts, peering, links, addr)
        };
        if let Some(addr) = self.hosts.draw(now, &mut self.rng, taken) {
            self.peering.rotation.successor = Some(addr);
            self.dial(addr, out);
        }
    }

    /// The time until the next change begins, unless it has.
    pub(super) fn await_rotation(&mut self, now: Time) {
        if self.peering.rotation.due.is_none() {
            let gap = limits::ROTATION_GAP;
            let more = self.rng.random_range(0..=gap.as_secs() / 2);
            self.peering.rotation.due = Some(now.plus(gap + Duration::from_secs(more)));
        }
    }

    /// A link that was called for that is up: another one goes, and the time until the next change begins anew.
    pub(super) fn succeeded(&mut self, now: Time, new: LinkId, out: &mut Outbox) {
        self.peering.rotation.due = None;
        self.await_rotation(now);
        let old = self.dispensable(now, Some(new));
        // A leaf that answered takes no ultrapeer's place; and some may have gone meanwhile.
        let place = self.links.get(new).map(|link| link.peer.role) == Some(Role::Ultrapeer);
        let many = self.links.count(Role::Ultrapeer) > self.config.min_links;
        if place && many && !old.is_empty() {
            let id = old[self.rng.random_range(0..old.len())];
            self.close(id, ROTATED, out);
        }
    }

    /// Links that we opened by ourselves and have had for a while, but for a new one.
    fn dispensable(&self, now: Time, new: Option<LinkId>) -> Vec<LinkId> {
        let opened = |link: &Link| match link.peer.direction {
            Direction::Dialled(addr) => !self.peering.keep.contains(&addr),
            Direction::Accepted => false,
        };
        let links = self.links.iter().filter(|(id, link)| {
            Some(*id) != new
                && link.peer.role == Role::Ultrapeer
                && now.since(link.since) >= limits::ROTATION_AGE
                && opened(link)
        });
        links.map(|(id, _)| id).collect()
    }
}
