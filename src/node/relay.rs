//! Who else gets a frame: flooding of queries, the way back of hits, the way of pushes.
//!
//! Rules: overlay, "Routing", for the top tier without leaves. A query passes once over each link at most,
//! never back over the one it came from, so that a full flood costs exactly 2E - N + 1 messages.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use crate::wire::hit::{PUSH_PROXIES_MAX, QueryHit};
use crate::wire::push::Push;
use crate::wire::query::Query;
use crate::wire::walk::WalkMark;
use crate::wire::{Frame, Header, ServentId, WireError};

use super::address::Net;
use super::answer::Way;
use super::event::{Action, Bye, LinkId, Notice, Outbox, Role, Ticket};
use super::hostile::Hostile;
use super::hosts::Source;
use super::links::Link;
use super::routes::{Novelty, Origin};
use super::strategy::Forward;
use super::tiers::Tier;
use super::{Drop, Node, Time, limits};

const LEAF_RELAYED: Bye = Bye {
    code: 414,
    text: "Leaf relayed a message",
};

/// Why a frame went no further; `Ok` when it was taken in.
pub(super) type Taken = Result<(), Drop>;

impl Node {
    /// A query came in: answer it, and pass it on once.
    pub(super) fn query_in(
        &mut self,
        now: Time,
        from: LinkId,
        mut frame: Cow<'_, Frame>,
        out: &mut Outbox,
    ) -> Taken {
        if let Some(honest) = self.without_false_asker(from, &frame) {
            frame = Cow::Owned(honest);
        }
        let header = frame.header;
        if let Some(mark) = WalkMark::of(&frame.payload) {
            out.stir();
            return self.walker_in(now, from, &frame, mark, out);
        }
        self.check_life(header)?;
        // Before it is remembered as seen: it may come again when its answers can be sent.
        self.check_asker(from, header.hops, out)?;
        let novelty = self.routes.learn(
            header.guid,
            Origin::Link(from),
            header.ttl,
            header.hops,
            now,
        );
        match novelty {
            Novelty::Fresh => {}
            Novelty::Raised if self.config.ext_probes && !self.is_leaf(from) => {}
            Novelty::Raised | Novelty::Duplicate { same_link: false } => {
                return Err(Drop::Duplicate);
            }
            Novelty::Duplicate { same_link: true } => {
                self.repeated(now, from, out);
                return Err(Drop::Duplicate);
            }
        }
        let query = Query::parse(&frame.payload).map_err(|error| match error {
            WireError::Empty(_) => Drop::EmptyQuery,
            _ => Drop::Malformed,
        })?;
        // Who shares nothing need not find out where its hits would go.
        if novelty == Novelty::Fresh && !self.library.is_empty() {
            let asker = self.asker_aside(now, header, query.flags, &frame.payload);
            let way = Way { link: from, asker };
            self.answer_query(now, way, header, &query, out);
        }
        let room = self.config.ttl_max.saturating_sub(header.hops).max(1);
        let trimmed = Header {
            ttl: header.ttl.min(room),
            ..header
        };
        match self.tier() {
            Tier::Flat => {}
            Tier::Leaf => return Ok(()),
            Tier::Ultrapeer => {
                // Of a copy with a higher TTL leaves get no second one.
                if novelty == Novelty::Fresh {
                    self.relay_to_leaves(now, from, trimmed, &query, &frame.payload, out);
                }
                self.relay_as_ultrapeer(now, from, trimmed, &query, &frame.payload, out);
                return Ok(());
            }
        }
        let Some(header) = trimmed.relayed() else {
            self.stats.count_drop(Drop::TtlSpent);
            return Ok(());
        };
        let relayed = Frame {
            header,
            payload: frame.into_owned().payload,
        };
        self.spread_query(now, Some(from), relayed, out, |_| true);
        Ok(())
    }

    fn is_leaf(&self, link: LinkId) -> bool {
        self.links
            .get(link)
            .is_some_and(|link| link.peer.role == Role::Leaf)
    }

    /// May this neighbour send us queries now?
    pub(super) fn check_asker(&mut self, from: LinkId, hops: u8, out: &mut Outbox) -> Taken {
        let tier = self.tier();
        let traffic = self.links.traffic(from).ok_or(Drop::LinkGone)?;
        if traffic.pressed().is_some() {
            return Err(Drop::Congested);
        }
        if tier == Tier::Ultrapeer && hops != 0 && self.is_leaf(from) {
            self.close(from, LEAF_RELAYED, out);
            return Err(Drop::LeafRelayed);
        }
        Ok(())
    }

    /// TTL and hops of a query that may be taken in at all.
    fn check_life(&self, header: Header) -> Taken {
        let sum = u16::from(header.ttl) + u16::from(header.hops);
        if header.ttl == 0 {
            Err(Drop::TtlZero)
        } else if header.hops == u8::MAX
            || sum > u16::from(self.config.ttl_max.max(limits::TTL_HARD_MAX))
        {
            Err(Drop::TtlTooHigh)
        } else {
            Ok(())
        }
    }

    /// Sends a query on every link but `except` that `wanted` chooses, as far as their rates allow and none that
    /// wants only queries from nearer by. Returns on how many.
    pub(super) fn spread_query(
        &mut self,
        now: Time,
        except: Option<LinkId>,
        frame: Frame,
        out: &mut Outbox,
        wanted: impl Fn(&Link) -> bool,
    ) -> usize {
        let header = frame.header;
        let sent = if self.config.forward != Forward::Flood && self.tier() == Tier::Flat {
            let chosen = self.chosen(header.hops, except);
            out.spread(frame, chosen.into_iter())
        } else if self.tier() == Tier::Flat && self.config.limit_search.is_none() {
            // The bare flood of laboratories and benchmarks reads nothing of a link but its id.
            let others = self.links.ids().iter().copied();
            out.spread(frame, others.filter(|id| Some(*id) != except))
        } else {
            let (rate, bytes) = (self.config.limit_search, frame.wire_len());
            let stats = &mut self.stats;
            let chosen = self.links.iter_mut().filter(|(id, link)| {
                Some(*id) != except && header.hops < link.hops_flow && wanted(link)
            });
            let allowed = chosen.filter_map(|(id, link)| {
                if rate.is_none_or(|rate| link.rate_out.take(now, bytes, rate)) {
                    return Some(id);
                }
                stats.count_drop(Drop::RateLimited);
                None
            });
            out.spread(frame, allowed)
        };
        self.stats.count_sent(header.kind, sent);
        self.routes.forwarded(&header.guid, sent);
        sent
    }

    /// A hit came in: give it to our own search, or pass it back the way its query came.
    pub(super) fn hit_in(
        &mut self,
        now: Time,
        from: LinkId,
        frame: &Frame,
        out: &mut Outbox,
    ) -> Taken {
        let servent = QueryHit::servent_of(&frame.payload).map_err(|_| Drop::Malformed)?;
        if servent == self.id || servent == ServentId([0; 16]) || servent.0 == frame.header.guid.0 {
            return Err(Drop::FalseServent);
        }
        if names_hostile(&self.config.hostile, &frame.payload) {
            return Err(Drop::Hostile);
        }
        self.push_routes.learn(servent, from);
        let results = frame.payload.first().copied().unwrap_or_default();
        self.asking
            .count_results(&frame.header.guid, u32::from(results));
        match self.searches.ticket(&frame.header.guid) {
            Some(ticket) => self.hit_for_us(now, ticket, frame, None, out)?,
            None => self.hit_back(now, from, frame, out)?,
        }
        if let Some(link) = self.links.get_mut(from) {
            link.hits = link.hits.saturating_add(1);
        }
        Ok(())
    }

    /// A hit for a search of ours.
    pub(super) fn hit_for_us(
        &mut self,
        now: Time,
        ticket: Ticket,
        frame: &Frame,
        straight: Option<SocketAddr>,
        out: &mut Outbox,
    ) -> Taken {
        let mut hit = QueryHit::parse(&frame.payload).map_err(|_| Drop::Malformed)?;
        let (net, hostile) = (self.config.net, &self.config.hostile);
        if hostile.lists(hit.addr.ip()) {
            return Err(Drop::Hostile);
        }
        let believed = |addr: SocketAddr| net.believes(addr) && !hostile.lists(addr.ip());
        // Nobody can connect there, whatever it says (overlay, "QueryHit": such an address means "push").
        if !net.believes(hit.addr) {
            hit.push = Some(true);
        }
        // Whom else it names is hearsay: none that would lead us where nobody may be led.
        hit.push_proxies.retain(|proxy| believed(*proxy));
        // A datagram from where its own came reaches it: it is its own first proxy (gtk-gnutella does the same).
        let itself = straight.filter(|from| net.is_two_tier() && believed(*from));
        if let (Some(from), Some(true)) = (itself, hit.push) {
            hit.push_proxies.retain(|proxy| *proxy != from);
            hit.push_proxies.insert(0, from);
            hit.push_proxies.truncate(PUSH_PROXIES_MAX);
        }
        for record in &mut hit.records {
            record
                .alternates
                .retain(|one| believed(one.addr) && one.addr != hit.addr);
        }
        self.searches.count_results(
            &frame.header.guid,
            u16::try_from(hit.records.len()).unwrap_or(u16::MAX),
        );
        // A responder is a node, and on a flat overlay one that can be linked with.
        if self.config.net == Net::Lan {
            self.hosts
                .learn(hit.addr, Source::Peer(hit.addr), Some(now));
        }
        out.push(Action::Tell(
            ticket,
            Notice::Hit {
                hops: frame.header.hops,
                hit: Box::new(hit),
            },
        ));
        Ok(())
    }

    /// A hit for somebody else: back the way its query came.
    fn hit_back(&mut self, now: Time, from: LinkId, frame: &Frame, out: &mut Outbox) -> Taken {
        let (origin, before) = self
            .routes
            .back(&frame.header.guid, now)
            .ok_or(Drop::NoWayBack)?;
        let Origin::Link(to) = origin else {
            return Err(Drop::Unasked);
        };
        if to == from || !self.links.contains(to) {
            return Err(Drop::DeadWayBack);
        }
        if before >= limits::HIT_FRAMES_PER_QUERY {
            return Err(Drop::HitFlood);
        }
        self.pass_on(to, frame, out)
    }

    /// A push came in: pass it on towards its servent.
    pub(super) fn push_in(
        &mut self,
        now: Time,
        from: LinkId,
        frame: &Frame,
        out: &mut Outbox,
    ) -> Taken {
        self.check_life(frame.header)?;
        let push = Push::parse(&frame.payload).map_err(|_| Drop::Malformed)?;
        let header = frame.header;
        if self.routes.learn(
            header.guid,
            Origin::Link(from),
            header.ttl,
            header.hops,
            now,
        ) != Novelty::Fresh
        {
            return Err(Drop::Duplicate);
        }
        if push.servent == self.id {
            return self.push_for_us(now, from, &push, out);
        }
        if self.tier() == Tier::Leaf {
            return Err(Drop::NoWayBack);
        }
        let to = self
            .links
            .by_servent(push.servent)
            .or_else(|| self.push_routes.way(&push.servent));
        let to = to.ok_or(Drop::NoWayBack)?;
        if to == from || !self.links.contains(to) {
            return Err(Drop::DeadWayBack);
        }
        self.pass_on(to, frame, out)
    }

    /// Sends a routed frame one hop further. One whose life is spent still reaches a leaf of ours.
    pub(super) fn pass_on(&mut self, to: LinkId, frame: &Frame, out: &mut Outbox) -> Taken {
        let to_leaf = self
            .links
            .get(to)
            .is_some_and(|link| link.peer.role == Role::Leaf);
        let spent = Header {
            ttl: 1,
            hops: frame.header.hops.saturating_add(1),
            ..frame.header
        };
        let header = frame
            .header
            .relayed()
            .or(to_leaf.then_some(spent))
            .ok_or(Drop::TtlSpent)?;
        self.send(
            to,
            Frame {
                header,
                payload: frame.payload.clone(),
            },
            out,
        );
        Ok(())
    }

    /// Sends a frame on one link and counts it.
    pub(super) fn send(&mut self, to: LinkId, frame: Frame, out: &mut Outbox) {
        self.stats.count_sent(frame.header.kind, 1);
        out.push(Action::Send(to, frame));
    }
}
/// Does this hit come from an address that nothing is had to do with, as it says itself?
fn names_hostile(hostile: &Hostile, payload: &[u8]) -> bool {
    // Count, port, address.
    let address = payload
        .get(3..7)
        .and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
    address.is_some_and(|bytes| hostile.lists(IpAddr::from(bytes)))
}
