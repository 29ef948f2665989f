//! Two tiers: what ultrapeers and leaves of the live network do with a query that came in.
//!
//! A flat overlay floods (`relay`). On the live network a leaf only answers; an ultrapeer gives a query to the
//! leaves whose tables match, passes an ultrapeer's on (on its last hop by table), and asks link by link for its
//! own leaves (`asking`). Rules: overlay, "Routing"; qrp, "Last-hop routing".

use std::net::SocketAddr;

use bytes::Bytes;

use crate::wire::query::{Query, QueryFlags};
use crate::wire::{Frame, Header};

use super::address::Net;
use super::asking::Asker;
use super::event::{LinkId, Outbox, Role};
use super::qrp::QueryWords;
use super::{Drop, Node, Time};

/// Our place in the overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tier {
    /// One of equals.
    Flat,
    /// We hang on ultrapeers.
    Leaf,
    /// We carry leaves.
    Ultrapeer,
}

impl Node {
    pub(super) fn tier(&self) -> Tier {
        match (self.config.net, self.config.role) {
            (Net::Lan, _) => Tier::Flat,
            (Net::Gnutella | Net::Rehearsal, Role::Leaf) => Tier::Leaf,
            (Net::Gnutella | Net::Rehearsal, Role::Ultrapeer) => Tier::Ultrapeer,
        }
    }

    /// A query of a leaf that names an address for its hits which is not its own would have many nodes knock there; and
    /// one that does not count its results for us, while we do not see them, would go on when there are enough. Both go
    /// on without that wish (flag `0x0400`): its hits come over the links. `None`: it goes on as it is.
    pub(super) fn without_false_asker(&self, from: LinkId, frame: &Frame) -> Option<Frame> {
        if self.tier() != Tier::Ultrapeer {
            return None;
        }
        let flags = QueryFlags::of(&frame.payload).filter(|flags| flags.out_of_band())?;
        let leaf = self.links.get(from).map(|link| &link.peer);
        let leaf = leaf.filter(|peer| peer.role == Role::Leaf)?;
        let asker = SocketAddr::V4(frame.header.guid.carried());
        let own = self.config.net.believes_of(asker, leaf.remote)
            && leaf
                .listen
                .is_none_or(|listen| listen.port() == asker.port());
        (!own || !flags.guided()).then(|| Frame {
            header: frame.header,
            payload: Query::in_band(&frame.payload).into(),
        })
    }

    /// Gives a query that came for the first time to the leaves of ours that match. `header` is as for
    /// [`relay_as_ultrapeer`](Self::relay_as_ultrapeer).
    pub(super) fn relay_to_leaves(
        &mut self,
        now: Time,
        from: LinkId,
        header: Header,
        query: &Query<'_>,
        payload: &Bytes,
        out: &mut Outbox,
    ) {
        let words = QueryWords::of(&query.text);
        let next = Header {
            ttl: header.ttl - 1,
            hops: header.hops.saturating_add(1),
            ..header
        };
        self.give_to_leaves(now, Some(from), &words, next, payload, out);
    }

    /// Passes a query on to ultrapeers, as one. `header` is trimmed, and as it arrived.
    pub(super) fn relay_as_ultrapeer(
        &mut self,
        now: Time,
        from: LinkId,
        header: Header,
        query: &Query<'_>,
        payload: &Bytes,
        out: &mut Outbox,
    ) {
        let next = Header {
            ttl: header.ttl - 1,
            hops: header.hops.saturating_add(1),
            ..header
        };
        if self
            .links
            .get(from)
            .is_some_and(|link| link.peer.role == Role::Leaf)
        {
            // With hops as received: neighbours trim hops + TTL, and the leaf's own hop is not to cost it the last one
            // (overlay, "Routing").
            let ours_to_ask = Frame {
                header: Header {
                    hops: header.hops,
                    ..next
                },
                payload: payload.clone(),
            };
            return self.ask(now, Asker::Leaf(from), ours_to_ask, query, out);
        }
        if next.ttl == 0 {
            return self.stats.count_drop(Drop::TtlSpent);
        }
        let words = QueryWords::of(&query.text);
        let last_hop = next.ttl == 1;
        let relayed = Frame {
            header: next,
            payload: payload.clone(),
        };
        self.spread_query(now, Some(from), relayed, out, |link| {
            link.peer.role == Role::Ultrapeer
                && (!last_hop || link.table().is_none_or(|table| table.matches(&words)))
        });
    }

    /// Gives a query to the leaves whose tables match, whatever its TTL; TTL 0 never goes on the wire.
    pub(super) fn give_to_leaves(
        &mut self,
        now: Time,
        except: Option<LinkId>,
        words: &QueryWords,
        header: Header,
        payload: &Bytes,
        out: &mut Outbox,
    ) -> usize {
        let header = Header {
            ttl: header.ttl.max(1),
            ..header
        };
        let copy = Frame {
            header,
            payload: payload.clone(),
        };
        self.spread_query(now, except, copy, out, |link| {
            link.peer.role == Role::Leaf && link.table().is_some_and(|table| table.matches(words))
        })
    }
}
