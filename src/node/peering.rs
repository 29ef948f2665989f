//! When to dial, accept and drop: random neighbour links, between `min_links` and `max_links`.
//!
//! New neighbours are drawn at random from the address book; a lost one is replaced at once; a refused or
//! dead address waits. Never a link to ourselves, never two to one node: when two nodes dial each other at
//! the same time, the link of the one with the smaller servent id stays.

use std::net::SocketAddr;

use bytes::Bytes;
use rand::Rng;

use crate::wire::bye;
use crate::wire::{Frame, Guid, Header, Kind, ServentId};

use super::address::Net;
use super::eclipse::is_crowded;
use super::event::{
    Action, Bye, DialError, Direction, LinkId, Notice, Outbox, Peer, Role, Ticket, Verdict,
};
use super::hosts::{Failure, Source};
use super::links::{Link, Links};
use super::tiers::Tier;
use super::{Config, Drop, Node, Time, limits};

/// Offers accepted whose link is not up yet, dials under way, and who waits for them.
#[derive(Debug, Default)]
pub(super) struct Peering {
    /// Addresses that a link is kept to; dropping one by hand takes it off.
    pub(super) keep: Vec<SocketAddr>,
    admitted: Vec<(LinkId, Option<ServentId>, Option<SocketAddr>, Role)>,
    dialling: Vec<SocketAddr>,
    pub(super) waiting: Vec<(Ticket, SocketAddr)>,
    /// Ultrapeers of an earlier run that are still to be called first.
    pub(super) anchors: Vec<SocketAddr>,
    /// The same, remembered until there are better ones.
    pub(super) last_anchors: Vec<SocketAddr>,
    /// Who is being called only to see whether it works.
    pub(super) feeling: Option<SocketAddr>,
    /// When to do that next.
    pub(super) feeler: Option<Time>,
    /// When to look for more neighbours again.
    pub(super) again: Option<Time>,
    /// When all links get their next keep-alive.
    pub(super) keepalive: Option<Time>,
    /// Keep-alives so far; every few of them also ask for addresses.
    ticks: u32,
    /// We are leaving: no new links.
    pub(super) leaving: bool,
}

/// Commands to dial that wait for an answer, at most.
const WAITING_MAX: usize = 256;
/// Every so many keep-alives a ping asks for addresses even when we have links enough, to keep the book fresh.
const REFRESH_TICKS: u32 = 4;
/// TTL of a ping that asks for addresses (overlay: host-seeking ping, TTL 4).
const SEEK_TTL: u8 = 4;

const DUPLICATE: Bye = Bye {
    code: 202,
    text: "Already linked",
};
const SILENT: Bye = Bye {
    code: 405,
    text: "Silent for too long",
};
const BEHIND: Bye = Bye {
    code: 405,
    text: "Took too little for too long",
};
const LEAVING: Bye = Bye {
    code: 200,
    text: "Shutting down",
};
const NO_LEAF_SLOT: Bye = Bye {
    code: 503,
    text: "Too many leaves",
};
const NO_ULTRAPEER_SLOT: Bye = Bye {
    code: 503,
    text: "Too many ultrapeers",
};
const REMOVED: Bye = Bye {
    code: 201,
    text: "Removed by user",
};

impl Peering {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            keep: config.keep.clone(),
            ..Self::default()
        }
    }

    pub(super) fn dialling(&self) -> usize {
        self.dialling.len()
    }

    pub(super) fn dialled(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.dialling.iter().copied()
    }

    fn is_dialling(&self, addr: SocketAddr) -> bool {
        self.dialling.contains(&addr)
    }

    /// Ends the waiting of whoever asked for a link to `addr`.
    fn tell(&mut self, addr: SocketAddr, result: &Result<(), String>, out: &mut Outbox) {
        self.waiting.retain(|(ticket, wanted)| {
            let done = *wanted == addr;
            if done {
                out.push(Action::Tell(*ticket, Notice::Done(result.clone())));
            }
            !done
        });
    }
}

/// Is this our own address, or that of a node we are, or are about to be, linked to?
pub(super) fn is_taken(
    listen: Option<SocketAddr>,
    peering: &Peering,
    links: &Links,
    addr: SocketAddr,
) -> bool {
    let is_admitted = |admitted: &(LinkId, _, Option<SocketAddr>, _)| admitted.2 == Some(addr);
    listen == Some(addr)
        || peering.is_dialling(addr)
        || peering.admitted.iter().any(is_admitted)
        || links.iter().any(|(_, link)| link.peer.is_at(addr))
}

impl Node {
    /// A peer asks to link.
    pub(super) fn offer(&mut self, link: LinkId, peer: &Peer, out: &mut Outbox) {
        let verdict = self.judge(peer);
        if matches!(verdict, Verdict::Accept | Verdict::Guide) {
            self.peering
                .admitted
                .push((link, peer.servent, peer.listen, peer.role));
        }
        out.push(Action::Admit(link, verdict));
    }

    fn judge(&mut self, peer: &Peer) -> Verdict {
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
            return refuse(550, "Hostile IP address", Vec::new());
        }
        if self.greeted_otherwise(peer).is_some() {
            return refuse(503, "Changing peer mode", Vec::new());
        }
        if let Some((code, text)) = self.role_refused(peer) {
            let try_peers = self.hosts.sample(limits::TRY_PEERS_GIVEN, &mut self.rng);
            return refuse(code, text, try_peers);
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
        if have >= most {
            let try_peers = self.hosts.sample(limits::TRY_PEERS_GIVEN, &mut self.rng);
            return refuse(503, "Too many links", try_peers);
        }
        Verdict::Accept
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
        let unwanted = self.unwanted(&peer).or_else(|| self.only_felt(dialled));
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
            out.push(Action::Close(id, Some(bye)));
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
        }
        self.introduce_table(id, out);
        self.introduce(id, out);
        self.grow_tree(out);
        if self.config.keepalive {
            self.peering
                .keepalive
                .get_or_insert(now.plus(limits::KEEPALIVE));
            self.ping(id, SEEK_TTL, out);
        }
        // On the live network dynamic queries choose their links; a leaf's neighbours each ask for it.
        if self.tier() != Tier::Ultrapeer {
            self.extend_searches(now, id, out);
        }
    }

    fn unwanted(&self, peer: &Peer) -> Option<Bye> {
        if peer.servent == Some(self.id) || self.is_linked(peer) {
            return Some(DUPLICATE);
        }
        // A leaf that answered a call of ours was not judged before.
        if peer.role == Role::Leaf && self.links.count(Role::Leaf) >= self.config.max_leaves {
            return Some(NO_LEAF_SLOT);
        }
        // One that was asked to be a leaf and is none.
        let full = self.links.count(Role::Ultrapeer) >= self.config.max_links;
        let came = (peer.direction, peer.role) == (Direction::Accepted, Role::Ultrapeer);
        if full && came && self.tier() == Tier::Ultrapeer {
            return Some(NO_ULTRAPEER_SLOT);
        }
        if let Some(bye) = self.greeted_otherwise(peer) {
            return Some(bye);
        }
        self.peering.leaving.then_some(LEAVING)
    }

    /// A search that is running also goes to a neighbour that came late.
    fn extend_searches(&mut self, now: Time, id: LinkId, out: &mut Outbox) {
        let queries: Vec<_> = self
            .searches
            .iter()
            .filter(|search| !search.walks)
            .map(|search| search.query.clone())
            .collect();
        for query in queries {
            let guid = query.header.guid;
            self.send_query(now, id, query, out);
            self.routes.forwarded(&guid, 1);
        }
        let waiting = self.searches.iter();
        let waiting: Vec<_> = waiting
            .filter_map(|search| Some((search.query.clone(), search.waiting?)))
            .collect();
        for (query, walk) in waiting {
            self.walk_out(now, &query, walk, out);
        }
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

    /// A dial came to nothing.
    pub(super) fn dial_failed(
        &mut self,
        now: Time,
        addr: SocketAddr,
        error: &DialError,
        out: &mut Outbox,
    ) {
        self.peering.dialling.retain(|dialled| *dialled != addr);
        self.peering.feeling.take_if(|felt| *felt == addr);
        let linked = self.links.iter().any(|(_, link)| link.peer.is_at(addr));
        let result = match error {
            DialError::Refused { code: 409, .. } if linked => Ok(()),
            DialError::Unreachable => {
                Err(format!("{addr} does not answer; is a node running there?"))
            }
            DialError::NotGnutella => {
                Err(format!("{addr} answers, but does not speak Gnutella 0.6"))
            }
            DialError::Refused { code: 409, .. } => {
                Err(format!("{addr} says that we are linked already (409)"))
            }
            DialError::Refused { code, .. } => {
                Err(format!("{addr} refused the link with status {code}"))
            }
        };
        if result.is_err() {
            let failure = match error {
                DialError::Unreachable => Failure::NobodyThere,
                DialError::Refused { code: 429, .. } => Failure::Banned,
                DialError::NotGnutella | DialError::Refused { .. } => Failure::TurnedAway,
            };
            self.hosts.failed(addr, now, failure);
        }
        if let DialError::Refused { try_peers, .. } = error {
            for other in try_peers.iter().take(limits::TRY_PEERS_MAX) {
                self.hosts.learn(*other, Source::Peer(addr), None);
            }
        }
        self.peering.tell(addr, &result, out);
    }

    /// Dials now, whatever the link counts.
    pub(super) fn add_peer(&mut self, ticket: Ticket, addr: SocketAddr, out: &mut Outbox) {
        let done = |result| Action::Tell(ticket, Notice::Done(result));
        if !super::address::plausible(addr) {
            return out.push(done(Err(format!(
                "{addr} is no address a node can listen at"
            ))));
        }
        if !self.config.net.admits(addr.ip()) {
            return out.push(done(Err(format!(
                "{addr} is no public address, and this node is on the public network; nodes of your own network \
                 meet on --net lan"
            ))));
        }
        if self.config.hostile.lists(addr.ip()) {
            return out.push(done(Err(format!(
                "{addr} is on the list of hostile addresses; take it off the file of --hostile and start again"
            ))));
        }
        if self.links.iter().any(|(_, link)| link.peer.is_at(addr)) {
            return out.push(done(Ok(())));
        }
        if self.peering.waiting.len() >= WAITING_MAX {
            return out.push(done(Err(
                "too many dials are waiting; try again in a minute".to_owned(),
            )));
        }
        self.hosts.learn(addr, Source::Ours, None);
        self.peering.waiting.push((ticket, addr));
        if !self.peering.is_dialling(addr) {
            self.dial(addr, out);
        }
    }

    /// Closes the link to this address.
    pub(super) fn drop_peer(
        &mut self,
        now: Time,
        ticket: Ticket,
        addr: SocketAddr,
        out: &mut Outbox,
    ) {
        let found = self.links.iter().find(|(_, link)| link.peer.is_at(addr));
        let result = match found.map(|(id, link)| (id, link.peer.listen)) {
            Some((id, listen)) => {
                self.close(id, REMOVED, out);
                let at = [Some(addr), listen];
                self.peering.keep.retain(|kept| !at.contains(&Some(*kept)));
                // Not to be drawn again at once.
                self.hosts
                    .failed(listen.unwrap_or(addr), now, Failure::TurnedAway);
                Ok(())
            }
            None => Err(format!(
                "no link to {addr}; `filbert peers` lists the links"
            )),
        };
        out.push(Action::Tell(ticket, Notice::Done(result)));
    }

    /// Says Bye to everyone and takes no new links.
    pub(super) fn leave(&mut self, ticket: Ticket, out: &mut Outbox) {
        self.peering.leaving = true;
        for id in self.links.ids().to_vec() {
            self.close(id, LEAVING, out);
        }
        out.push(Action::Tell(ticket, Notice::Done(Ok(()))));
    }

    /// Closes a link and forgets it; a later `LinkDown` about it changes nothing.
    pub(super) fn close(&mut self, id: LinkId, bye: Bye, out: &mut Outbox) {
        let speaks = self.links.get_mut(id).is_some_and(|link| link.peer.bye);
        out.push(Action::Close(id, speaks.then_some(bye)));
        self.link_down(id);
    }

    pub(super) fn dial(&mut self, addr: SocketAddr, out: &mut Outbox) {
        self.peering.dialling.push(addr);
        out.push(Action::Dial(addr));
    }

    /// Dials as many random addresses as are missing; called after every event that may have changed that.
    pub(super) fn seek(&mut self, now: Time, out: &mut Outbox) {
        if self.peering.leaving {
            return;
        }
        let linked =
            |node: &Self, addr| is_taken(node.config.listen, &node.peering, &node.links, addr);
        for addr in self.peering.keep.clone() {
            let room = self.peering.dialling.len() < limits::DIALS_MAX;
            if room && !linked(self, addr) && self.hosts.may_dial(addr, now) {
                self.hosts.learn(addr, Source::Ours, None);
                self.dial(addr, out);
            }
        }
        let to_ultrapeers = |admitted: &&(LinkId, _, _, Role)| admitted.3 == Role::Ultrapeer;
        let admitted = self.peering.admitted.iter().filter(to_ultrapeers).count();
        let have = self.links.count(Role::Ultrapeer) + admitted + self.peering.dialling.len();
        let missing = self.config.min_links.saturating_sub(have);
        let room = limits::DIALS_MAX.saturating_sub(self.peering.dialling.len());
        for _ in 0..missing.min(room) {
            let anchor = self.next_anchor(now);
            let (listen, peering, links) = (self.config.listen, &self.peering, &self.links);
            let hosts = &self.hosts;
            let taken = |addr| {
                is_taken(listen, peering, links, addr) || is_crowded(hosts, peering, links, addr)
            };
            let drawn = anchor.or_else(|| self.hosts.draw(now, &mut self.rng, taken));
            let Some(addr) = drawn else {
                break;
            };
            self.dial(addr, out);
        }
        let short = self.links.count(Role::Ultrapeer) < self.config.min_links
            || self.peering.keep.iter().any(|addr| !linked(self, *addr));
        self.peering.again = short.then(|| {
            self.peering
                .again
                .filter(|at| *at > now)
                .unwrap_or_else(|| now.plus(RETRY))
        });
    }

    /// What is due by now: keep-alives, silent links, more neighbours.
    pub(super) fn tick(&mut self, now: Time, out: &mut Outbox) {
        if self.peering.keepalive.is_some_and(|at| at <= now) {
            self.keepalive(now, out);
        }
        if self.peering.feeler.is_some_and(|at| at <= now) {
            self.feel(now, out);
        }
        self.asking_tick(now, out);
        self.rounds_tick(now, out);
        self.walkers_tick(now, out);
        self.tables_tick(now, out);
        self.roles_tick(now, out);
    }

    fn keepalive(&mut self, now: Time, out: &mut Outbox) {
        self.peering.ticks = self.peering.ticks.wrapping_add(1);
        let mut useless = Vec::new();
        for (id, link) in self.links.iter_mut() {
            link.offences.forgive();
            let pressed = |since| now.since(since) > limits::PRESSED_MAX;
            if now.since(link.heard) > limits::SILENCE_MAX {
                useless.push((id, SILENT));
            } else if link.pressed.is_some_and(pressed) {
                useless.push((id, BEHIND));
            }
        }
        for (id, bye) in useless {
            self.close(id, bye, out);
        }
        let short = self.links.count(Role::Ultrapeer) < self.config.min_links;
        let seek = short || self.peering.ticks.is_multiple_of(REFRESH_TICKS);
        for id in self.links.ids().to_vec() {
            self.ping(id, if seek { SEEK_TTL } else { 1 }, out);
        }
        let more = self.links.len() > 0;
        self.peering.keepalive = more.then(|| now.plus(limits::KEEPALIVE));
    }

    /// Pings one link: keeps it alive and, with a TTL above 2, asks for addresses.
    fn ping(&mut self, id: LinkId, ttl: u8, out: &mut Outbox) {
        let mut bytes = [0; 16];
        self.rng.fill_bytes(&mut bytes);
        let guid = Guid::from_random(bytes);
        let Some(link) = self.links.get_mut(id) else {
            return;
        };
        link.pings = [guid, link.pings[0]];
        link.pongs_left = PONGS_TAKEN;
        let header = Header {
            guid,
            kind: Kind::Ping,
            ttl,
            hops: 0,
        };
        self.send(
            id,
            Frame {
                header,
                payload: Bytes::new(),
            },
            out,
        );
    }

    /// The frame of a Bye, for shells that close a link.
    pub fn bye_frame(bye: Bye) -> Frame {
        let header = Header {
            guid: Guid::from_random([0x42; 16]),
            kind: Kind::Bye,
            ttl: 1,
            hops: 0,
        };
        Frame {
            header,
            payload: Bytes::from(bye::Bye::build(bye.code, bye.text)),
        }
    }
}

/// Pongs taken for one ping: those of a full answer, and the peer's own, twice over.
const PONGS_TAKEN: u8 = 22;
/// How soon to look again for neighbours while too few are up.
const RETRY: std::time::Duration = std::time::Duration::from_secs(1);
