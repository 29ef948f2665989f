//! The invariants of the overlay, checked after every event.
//!
//! No frame goes back over the link it came from; a node relays an id at most once (walkers may do both); hits reach only the asker,
//! over the reversed path; TTL + hops never grows; tables stay within their bounds; every frame sent is
//! delivered, lost, shed or in flight. Keeps notes on every id, so it is for tests and small networks.

use std::collections::BTreeMap;

use crate::node::Node;
use crate::node::limits::LIVE_TTL_MAX;
use crate::topology::{Network, Roles};
use crate::wire::walk::WalkMark;
use crate::wire::{Frame, Guid, Header, Kind};

use super::Totals;
use super::faults::Retired;
use super::mail::Asked;

/// Broken invariants kept; one is bad enough.
const BREACHES_MAX: usize = 20;

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The invariant.
    pub rule: &'static str,
    /// Node, link and frame.
    pub detail: String,
}

/// What a node knows of an id, by our own notes.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Link it first came on; `None` at the asker.
    from: Option<u32>,
    relays: u32,
}

#[derive(Debug)]
pub(super) struct Checks {
    ext_probes: bool,
    roles: Roles,
    known: BTreeMap<(u32, Guid), Known>,
    /// Who asked each query.
    askers: BTreeMap<usize, u32>,
    /// The frame that the node at work got, and on which link.
    at_work: Option<(u32, u32, Header)>,
    relayed: bool,
    /// Breaches that do not count if the node has forgotten ids because its table is full.
    if_remembered: Vec<Breach>,
    breaches: Vec<Breach>,
}

impl Checks {
    pub(super) fn new(network: &Network) -> Self {
        Self {
            ext_probes: network.ext_probes(),
            roles: network.roles.clone(),
            known: BTreeMap::new(),
            askers: BTreeMap::new(),
            at_work: None,
            relayed: false,
            if_remembered: Vec::new(),
            breaches: Vec::new(),
        }
    }

    pub(super) fn breaches(&self) -> &[Breach] {
        &self.breaches
    }

    fn breach(&mut self, rule: &'static str, detail: String) {
        if self.breaches.len() < BREACHES_MAX {
            self.breaches.push(Breach { rule, detail });
        }
    }

    /// A node asks.
    pub(super) fn asked(&mut self, asked: Asked) {
        self.askers.insert(asked.query, asked.asker);
        self.known.insert(
            (asked.asker, asked.guid),
            Known {
                from: None,
                relays: 1,
            },
        );
    }

    /// A frame is about to be handed to a node.
    pub(super) fn arrives(&mut self, to: u32, link: u32, frame: &Frame) {
        self.at_work = Some((to, link, frame.header));
        if frame.header.kind == Kind::Query {
            self.known.entry((to, frame.header.guid)).or_insert(Known {
                from: Some(link),
                relays: 0,
            });
        }
    }

    /// A node sends a frame.
    pub(super) fn sends(&mut self, node: u32, link: u32, frame: &Frame) {
        let header = frame.header;
        if header.ttl == 0 {
            self.breach(
                "TTL 0 never goes on the wire",
                format!("node {node} link {link}: {header:?}"),
            );
        }
        if self.roles.is_leaf(node) && header.hops != 0 {
            let detail = format!("leaf {node} link {link}: {header:?}");
            self.breach("a leaf passes nothing on", detail);
        }
        if self.roles.are_two_tiers() && header.ttl > LIVE_TTL_MAX && header.kind == Kind::Query {
            let detail = format!("node {node} link {link}: {header:?}");
            self.breach(
                "no query goes out with more than the live network's TTL",
                detail,
            );
        }
        let Some((at, came_on, got)) = self.at_work else {
            return;
        };
        debug_assert_eq!(at, node, "one node at work at a time");
        let detail = || {
            format!("node {node} got {got:?} on link {came_on} and sent {header:?} on link {link}")
        };
        let travels = !matches!(header.kind, Kind::Vendor | Kind::StandardVendor | Kind::Qrp);
        if travels && got.guid == header.guid && got.kind == header.kind {
            let walker = WalkMark::of(&frame.payload).is_some();
            if link == came_on && !walker {
                self.breach("no frame goes back over the link it came from", detail());
            }
            let sum = |header: Header| u16::from(header.ttl) + u16::from(header.hops);
            // A leaf's query starts anew at its ultrapeer, which chooses the TTL link by link.
            let asks_for_leaf =
                self.roles.are_two_tiers() && header.kind == Kind::Query && got.hops == 0;
            // And a copy for a leaf of one's own is never spent.
            let last = header.ttl == 1 && self.roles.are_two_tiers();
            let grows = sum(header) > sum(got) && !asks_for_leaf && !last;
            let stays = header.hops <= got.hops && !asks_for_leaf;
            if grows || stays {
                self.breach("TTL + hops never grows and hops always do", detail());
            }
            match header.kind {
                Kind::Query => self.relayed = !walker,
                Kind::QueryHit => self.hit_goes(node, link, header.guid, detail()),
                _ => {}
            }
        } else if header.kind == Kind::QueryHit && (got.guid != header.guid || link != came_on) {
            self.breach(
                "a hit of one's own goes where the query came from",
                detail(),
            );
        }
    }

    fn hit_goes(&mut self, node: u32, link: u32, guid: Guid, detail: String) {
        if self.known.get(&(node, guid)).and_then(|known| known.from) != Some(link) {
            self.if_remembered.push(Breach {
                rule: "hits go back the way their query came",
                detail,
            });
        }
    }

    /// A hit for a query was given to whoever asked at `node`.
    pub(super) fn told(&mut self, node: u32, query: usize) {
        let asker = self.askers.get(&query);
        if asker != Some(&node) {
            let detail = format!("node {node} instead of {asker:?}");
            self.breach("hits reach only the asker", detail);
        }
    }

    /// A node has done with an event.
    pub(super) fn handled(&mut self, at: u32, node: &Node) {
        let (seen, bound) = (node.seen(), node.config().seen_cache.get());
        if seen > bound {
            self.breach(
                "every table stays within its bound",
                format!("node {at} remembers {seen} ids, not {bound}"),
            );
        }
        let forgets = seen == bound;
        if std::mem::take(&mut self.relayed)
            && let Some((_, came_on, got)) = self.at_work
        {
            let known = self.known.entry((at, got.guid)).or_default();
            known.relays += 1;
            if known.relays > 1 && forgets {
                // It forgot the id and the way back, and learned a new one.
                known.from = Some(came_on);
            }
            if known.relays > 1 && !forgets && !self.ext_probes {
                self.breach(
                    "a node relays an id at most once",
                    format!("node {at}: {got:?}"),
                );
            }
        }
        let kept = std::mem::take(&mut self.if_remembered);
        if !forgets {
            for Breach { rule, detail } in kept {
                self.breach(rule, detail);
            }
        }
        self.at_work = None;
    }

    /// At every moment: no frame appears or vanishes.
    pub(super) fn conserves(&mut self, totals: Totals, in_flight: i64) {
        let gone = totals.delivered + totals.lost + totals.shed + totals.overrun;
        if Some(totals.sent) != gone.checked_add_signed(in_flight) {
            let detail = format!("{totals:?}, {in_flight} in flight");
            self.breach(
                "sent = delivered + lost + shed + overrun + in flight",
                detail,
            );
        }
    }

    /// A node begins anew and remembers nothing.
    pub(super) fn begins(&mut self, node: u32) {
        self.known.retain(|(at, _), _| *at != node);
    }

    /// No frame is lost without being counted. `spoken`: what shells send for nodes, last words and lies; `retired`: what
    /// earlier lives of nodes counted.
    pub(super) fn balance(
        &mut self,
        totals: Totals,
        in_flight: i64,
        spoken: u64,
        retired: Retired,
        nodes: &[Node],
    ) {
        self.conserves(totals, in_flight);
        let sum = |count: fn(&Node, Kind) -> u64| -> u64 {
            nodes
                .iter()
                .flat_map(|node| Kind::ALL.iter().map(move |kind| count(node, *kind)))
                .sum()
        };
        let received = sum(|node, kind| node.stats().received(kind)) + retired.received;
        let sent = sum(|node, kind| node.stats().sent(kind)) + spoken + retired.sent;
        if received != totals.delivered || sent != totals.sent + totals.withheld {
            let detail = format!("nodes count {sent} sent and {received} received; {totals:?}");
            self.breach("nodes count every frame", detail);
        }
    }
}
