//! When to dial, accept and drop: random neighbour links, between `min_links` and `max_links`.
//!
//! New neighbours are drawn at random from the address book; a lost one is replaced at once; a refused or
//! dead address waits. Who is taken in: `admission`; what keeps links up: `keepalive`.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::wire::bye;
use crate::wire::{Frame, Guid, Header, Kind, ServentId};

use super::address::Net;
use super::eclipse::is_crowded;
use super::event::{Action, Bye, DialError, LinkId, Notice, Outbox, Role, Ticket};
use super::eviction::Evictions;
use super::hosts::{Failure, Source};
use super::links::Links;
use super::rate::Bucket;
use super::rotation::Rotation;
use super::{Config, Node, Time, limits};

/// Offers accepted whose link is not up yet, dials under way, and who waits for them.
#[derive(Debug, Default)]
pub(super) struct Peering {
    /// Addresses that a link is kept to; dropping one by hand takes it off.
    pub(super) keep: Vec<SocketAddr>,
    pub(super) admitted: Vec<(LinkId, Option<ServentId>, Option<SocketAddr>, Role)>,
    pub(super) dialling: Vec<SocketAddr>,
    /// Calls that we may make by ourselves.
    calls: Bucket,
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
    pub(super) ticks: u32,
    /// The next change of a link that we opened.
    pub(super) rotation: Rotation,
    /// When links last gave way to newcomers.
    pub(super) evictions: Evictions,
    /// We are leaving: no new links.
    pub(super) leaving: bool,
}

/// Commands to dial that wait for an answer, at most.
const WAITING_MAX: usize = 256;
/// How soon to look again for neighbours while too few are up.
const RETRY: std::time::Duration = std::time::Duration::from_secs(1);

pub(super) const LEAVING: Bye = Bye {
    code: 200,
    text: "Shutting down",
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

    pub(super) fn is_dialling(&self, addr: SocketAddr) -> bool {
        self.dialling.contains(&addr)
    }

    /// Ends the waiting of whoever asked for a link to `addr`.
    pub(super) fn tell(&mut self, addr: SocketAddr, result: &Result<(), String>, out: &mut Outbox) {
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
        self.peering.rotation.called(addr);
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
                DialError::Refused { code: 403, .. } => Failure::Forbidden,
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
                "{addr} is on the list of hostile addresses; take it off the file of --hostile and try again"
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
            if room && !linked(self, addr) && self.hosts.may_dial(addr, now) && self.may_call(now) {
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
            let before = self.peering.calls;
            if !self.may_call(now) {
                break;
            }
            let anchor = self.next_anchor(now);
            let (listen, peering, links) = (self.config.listen, &self.peering, &self.links);
            let hosts = &self.hosts;
            let taken = |addr| {
                is_taken(listen, peering, links, addr) || is_crowded(hosts, peering, links, addr)
            };
            let drawn = anchor.or_else(|| self.hosts.draw(now, &mut self.rng, taken));
            let Some(addr) = drawn else {
                self.peering.calls = before;
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

    /// Do calls of strangers leave room for one more? Then it is noted. On a LAN nobody is a stranger.
    fn may_call(&mut self, now: Time) -> bool {
        let (rate, burst) = (limits::DIAL_RATE, limits::DIALS_MAX as u64);
        self.config.net != Net::Gnutella || self.peering.calls.take_within(now, 1, rate, burst)
    }

    /// What is due by now: keep-alives, silent links, more neighbours.
    pub(super) fn tick(&mut self, now: Time, out: &mut Outbox) {
        if self.peering.keepalive.is_some_and(|at| at <= now) {
            self.keepalive(now, out);
        }
        if self.peering.feeler.is_some_and(|at| at <= now) {
            self.feel(now, out);
        }
        if self.peering.rotation.due.is_some_and(|at| at <= now) {
            self.rotate(now, out);
        }
        self.asking_tick(now, out);
        self.rounds_tick(now, out);
        self.walkers_tick(now, out);
        self.tables_tick(now, out);
        self.roles_tick(now, out);
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
