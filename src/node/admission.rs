//! Who becomes a neighbour, from the offer to the end of the link. Never a link to ourselves, never two to one node:
//! when two nodes dial each other at the same time, the link of the one with the smaller servent id stays.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::wire::bye;
use crate::wire::{Frame, ServentId};

use super::address::Net;
use super::event::{Action, Bye, Direction, LinkId, Outbox, Peer, Role, Verdict};
use super::hostile::Hostile;
use super::hosts::{Failure, Source};
use super::keepalive::SEEK_TTL;
use super::links::Link;
use super::peering::LEAVING;
use super::tiers::Tier;
use super::{Drop, Node, Time, limits};

const DUPLICATE: Bye = Bye {
    code: 202,
    text: "Already linked",
};
/// Never said: to those one says nothing.
const HOSTILE: Bye = Bye {
    code: 550,
    text: "Hostile IP address",
};
const NO_LEAF_SLOT: Bye = Bye {
    code: 503,
    text: "Too many leaves",
};
const NO_ULTRAPEER_SLOT: Bye = Bye {
    code: 503,
    text: "Too many ultrapeers",
};

impl Node {
    /// A peer asks to link.
    pub(super) fn offer(&mut self, now: Time, link: LinkId, peer: &Peer, out: &mut Outbox) {
        let verdict = self.judge(now, peer);
        if matches!(verdict, Verdict::Accept | Verdict::Guide) {
            self.peering
                .admitted
                .push((link, peer.servent, peer.listen, peer.role));
        }
        out.push(Action::Admit(link, verdict));
    }

    fn judge(&mut self, now: Time, peer: &Peer) -> Verdict {
        let refuse = |code, text, try_peers| Verdict::Refuse {
            code,
            text,
            try_peers,
        };
        if peer.servent == Some(self.id) {
            if let Some(addr) = peer.listen {
                self.hosts.is_self(addr);
            }
            return refuse(409, "That is me", Vec::new());
        }
        if self.peering.leaving {
            return refuse(503, "Shutting down", Vec::new());
        }
        if !self.config.net.admits(peer.remote.ip()) {
            return refuse(403, "Public addresses only", Vec::new());
        }
        if self.config.hostile.lists(peer.remote.ip()) {
            self.stats.count_drop(Drop::Hostile);
            return refuse(HOSTILE.code, HOSTILE.text, Vec::new());
        }
        if self.greeted_otherwise(peer).is_some() {
            return refuse(503, "Changing peer mode", Vec::new());
        }
        if let Some((code, text)) = self.role_refused(peer) {
            return refuse(code, text, self.others(now));
        }
        if self.is_linked(peer) {
            return refuse(409, "Already connected", Vec::new());
        }
        // Both dial each other at once: the link that the smaller id dialled stays.
        let crossing = peer
            .listen
            .is_some_and(|addr| self.peering.is_dialling(addr));
        if crossing && peer.servent.is_some_and(|id| id > self.id) {
            return refuse(409, "Already connecting to you", Vec::new());
        }
        let most = match peer.role {
            Role::Ultrapeer => self.config.max_links,
            Role::Leaf => self.config.max_leaves,
        };
        let admitted = self
            .peering
            .admitted
            .iter()
            .filter(|(.., role)| *role == peer.role)
            .count();
        let limit = (most / limits::GROUP_SHARE).max(1);
        if self.config.net == Net::Gnutella && self.accepted_from_group(peer) >= limit {
            return refuse(503, "Too many links from your network", Vec::new());
        }
        let have = self.links.count(peer.role) + admitted;
        if self.would_guide(peer, have) {
            return Verdict::Guide;
        }
        if have >= most && self.place_for(now, peer).is_none() {
            return refuse(503, "Too many links", self.others(now));
        }
        Verdict::Accept
    }

    /// Whom one who is turned away may try instead.
    fn others(&mut self, now: Time) -> Vec<SocketAddr> {
        self.hosts
            .sample(limits::TRY_PEERS_GIVEN, now, &mut self.rng)
    }

    /// Why a node of this role cannot be our neighbour, whoever it is.
    fn role_refused(&self, peer: &Peer) -> Option<(u16, &'static str)> {
        match (self.tier(), peer.role) {
            (Tier::Flat, Role::Leaf) => Some((503, "No leaf slots on a flat overlay")),
            (Tier::Leaf, Role::Leaf) => Some((204, "Shielded leaf node")),
            (Tier::Flat | Tier::Leaf, Role::Ultrapeer) | (Tier::Ultrapeer, _) => None,
        }
    }

    /// Is there, or will there be, a link to this node?
    fn is_linked(&self, peer: &Peer) -> bool {
        let same = |servent: Option<ServentId>, listen: Option<SocketAddr>| match (
            servent,
            peer.servent,
        ) {
            (Some(known), Some(new)) => known == new,
            _ => listen.is_some() && listen == peer.listen,
        };
        self.links
            .iter()
            .any(|(_, link)| same(link.peer.servent, link.peer.listen))
            || self
                .peering
                .admitted
                .iter()
                .any(|(_, servent, listen, _)| same(*servent, *listen))
    }

    /// A greeting is done.
    pub(super) fn link_up(&mut self, now: Time, id: LinkId, peer: Box<Peer>, out: &mut Outbox) {
        self.peering
            .admitted
            .retain(|(admitted, ..)| *admitted != id);
        let dialled = match peer.direction {
            Direction::Dialled(addr) => Some(addr),
            Direction::Accepted => None,
        };
        self.follow(now, &peer, out);
        let unwanted = self.unwanted(now, &peer, out);
        let unwanted = unwanted.or_else(|| self.only_felt(dialled));
        let succeeds = dialled.is_some_and(|addr| self.peering.rotation.called(addr));
        if let Some(addr) = dialled {
            self.peering.dialling.retain(|dialled| *dialled != addr);
            self.peering.feeling.take_if(|felt| *felt == addr);
            let result = match unwanted {
                None => Ok(()),
                Some(DUPLICATE) => Err(format!("already linked to {addr}")),
                Some(bye) => Err(format!("no link to {addr}: {}", bye.text)),
            };
            if peer.servent == Some(self.id) {
                self.hosts.is_self(addr);
                self.peering.keep.retain(|kept| *kept != addr);
                self.peering
                    .tell(addr, &Err(format!("{addr} is this node itself")), out);
            } else {
                self.hosts.connected(addr, now);
                self.peering.tell(addr, &result, out);
            }
        }
        for addr in &peer.try_peers {
            self.hosts.learn(*addr, Source::Peer(peer.remote), None);
        }
        if let Some(bye) = unwanted {
            out.push(Action::Close(id, (bye != HOSTILE).then_some(bye)));
            return;
        }
        // A leaf's address is of no use to those who look for ultrapeers.
        if let (None, Some(addr), Role::Ultrapeer) = (dialled, peer.listen, peer.role) {
            self.hosts.learn(addr, Source::Peer(peer.remote), Some(now));
        }
        let proved = |net: Net| net.proves_reach(peer.remote.ip(), peer.local_ip);
        if dialled.is_none() && proved(self.config.net) {
            self.reached();
        }
        self.links.insert(id, Link::new(peer, now));
        // Who looks for nobody feels for nobody, and is not woken for it: a simulation without events is over.
        if self.config.net.is_two_tier() && self.config.min_links > 0 {
            self.peering
                .feeler
                .get_or_insert(now.plus(limits::FEELER_GAP));
            self.await_rotation(now);
        }
        if succeeds {
            self.succeeded(now, id, out);
        }
        self.introduce_table(id, out);
        self.introduce(id, out);
        self.grow_tree(out);
        if self.config.keepalive {
            self.peering
                .keepalive
                .get_or_insert(now.plus(limits::KEEPALIVE));
            self.ping(now, id, SEEK_TTL, out);
        }
        // On the live network dynamic queries choose their links; a leaf's neighbours each ask for it.
        if self.tier() != Tier::Ultrapeer {
            self.extend_searches(now, id, out);
        }
    }

    /// The list of hostile addresses is another: links to those on it close without a word, and nobody is told of them.
    pub(super) fn shun(&mut self, list: Arc<Hostile>, out: &mut Outbox) {
        Arc::make_mut(&mut self.config).hostile = list.clone();
        let listed = self.links.iter();
        let listed: Vec<LinkId> = listed
            .filter(|(_, link)| list.lists(link.peer.remote.ip()))
            .map(|(id, _)| id)
            .collect();
        for id in listed {
            self.stats.count_drop(Drop::Hostile);
            out.push(Action::Close(id, None));
            self.link_down(id);
        }
        self.grow_tree(out);
        self.pongs.shun(&list);
        self.hosts.shun(list);
    }

    fn unwanted(&mut self, now: Time, peer: &Peer, out: &mut Outbox) -> Option<Bye> {
        if peer.servent == Some(self.id) || self.is_linked(peer) {
            return Some(DUPLICATE);
        }
        // Listed while it greeted.
        if self.config.hostile.lists(peer.remote.ip()) {
            self.stats.count_drop(Drop::Hostile);
            return Some(HOSTILE);
        }
        if let Some(bye) = self.greeted_otherwise(peer) {
            return Some(bye);
        }
        if self.peering.leaving {
            return Some(LEAVING);
        }
        let came = peer.direction == Direction::Accepted;
        let no_place = match peer.role {
            // A leaf that answered a call of ours was not judged before.
            Role::Leaf => {
                (self.links.count(Role::Leaf) >= self.config.max_leaves).then_some(NO_LEAF_SLOT)?
            }
            // One that was asked to be a leaf and is none, or whose place somebody got meanwhile.
            Role::Ultrapeer => {
                let full = self.links.count(Role::Ultrapeer) >= self.config.max_links;
                (full && came && self.tier() == Tier::Ultrapeer).then_some(NO_ULTRAPEER_SLOT)?
            }
        };
        (!came || !self.make_place(now, peer, out)).then_some(no_place)
    }

    /// A link is gone.
    pub(super) fn link_down(&mut self, id: LinkId) {
        self.peering
            .admitted
            .retain(|(admitted, ..)| *admitted != id);
        if let Some(link) = self.links.remove(id) {
            self.pongs.link_gone(id);
            self.asking.link_gone(id);
            self.reach.proxies.retain(|(proxy, _)| *proxy != id);
            if let (Some(addr), Role::Ultrapeer) = (link.peer.listen, link.peer.role) {
                // It may have gone for good: others first, but try again soon.
                self.hosts.learn(addr, Source::Peer(link.peer.remote), None);
            }
        }
    }

    /// A peer took leave. Unless it only shuts down, it does not want us back at once.
    pub(super) fn bye_in(&mut self, now: Time, from: LinkId, frame: &Frame, out: &mut Outbox) {
        let listen = self
            .links
            .get_mut(from)
            .and_then(|link| link.peer.listen)
            .filter(|_| bye::Bye::parse(&frame.payload).code != LEAVING.code);
        out.push(Action::Close(from, None));
        self.link_down(from);
        if let Some(addr) = listen {
            self.hosts.failed(addr, now, Failure::TurnedAway);
        }
        self.seek(now, out);
    }
}
