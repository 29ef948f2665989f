//! Who else gets a frame: flooding of queries, the way back of hits, the way of pushes.
//!
//! Rules: overlay, "Routing", for the top tier without leaves. A query passes once over each link at most,
//! never back over the one it came from, so that a full flood costs exactly 2E - N + 1 messages.

use crate::wire::hit::QueryHit;
use crate::wire::push::Push;
use crate::wire::query::Query;
use crate::wire::{Frame, Header, ServentId, WireError};

use super::address::Net;
use super::event::{Action, LinkId, Notice, Outbox};
use super::hosts::Source;
use super::routes::{Novelty, Origin};
use super::{Drop, Node, Time, limits};

/// Why a frame went no further; `Ok` when it was taken in.
pub(super) type Taken = Result<(), Drop>;

impl Node {
    /// A query came in: answer it, and pass it on once.
    pub(super) fn query_in(
        &mut self,
        now: Time,
        from: LinkId,
        frame: Frame,
        out: &mut Outbox,
    ) -> Taken {
        let header = frame.header;
        self.check_life(header)?;
        let novelty = self.routes.learn(
            header.guid,
            Origin::Link(from),
            header.ttl,
            header.hops,
            now,
        );
        match novelty {
            Novelty::Fresh => {}
            Novelty::Raised if self.config.ext_probes => {}
            Novelty::Raised | Novelty::Duplicate { .. } => return Err(Drop::Duplicate),
        }
        let query = Query::parse(&frame.payload).map_err(|error| match error {
            WireError::Empty(_) => Drop::EmptyQuery,
            _ => Drop::Malformed,
        })?;
        if novelty == Novelty::Fresh {
            self.answer_query(now, from, header, &query, out);
        }
        let room = self.config.ttl_max.saturating_sub(header.hops).max(1);
        let trimmed = Header {
            ttl: header.ttl.min(room),
            ..header
        };
        let Some(next) = trimmed.relayed() else {
            self.stats.count_drop(Drop::TtlSpent);
            return Ok(());
        };
        self.flood(
            now,
            Some(from),
            Frame {
                header: next,
                payload: frame.payload,
            },
            out,
        );
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

    /// Sends a query on every link but `except`, as far as their rates allow. Returns on how many.
    pub(super) fn flood(
        &mut self,
        now: Time,
        except: Option<LinkId>,
        frame: Frame,
        out: &mut Outbox,
    ) -> usize {
        let (guid, kind) = (frame.header.guid, frame.header.kind);
        let sent = if let Some(rate) = self.config.limit_search {
            let bytes = frame.wire_len();
            let stats = &mut self.stats;
            let allowed = self
                .links
                .iter_mut()
                .filter(|(id, _)| Some(*id) != except)
                .filter_map(|(id, link)| {
                    if link.rate_out.take(now, bytes, rate) {
                        return Some(id);
                    }
                    stats.count_drop(Drop::RateLimited);
                    None
                });
            out.spread(frame, allowed)
        } else {
            out.spread(
                frame,
                self.links
                    .ids()
                    .iter()
                    .copied()
                    .filter(|id| Some(*id) != except),
            )
        };
        self.stats.count_sent(kind, sent);
        self.routes.forwarded(&guid, sent);
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
        self.push_routes.learn(servent, from);
        if let Some(ticket) = self.searches.ticket(&frame.header.guid) {
            let hit = QueryHit::parse(&frame.payload).map_err(|_| Drop::Malformed)?;
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
            return Ok(());
        }
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
            return Err(Drop::Unused);
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

    /// Sends a routed frame one hop further.
    fn pass_on(&mut self, to: LinkId, frame: &Frame, out: &mut Outbox) -> Taken {
        let header = frame.header.relayed().ok_or(Drop::TtlSpent)?;
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
