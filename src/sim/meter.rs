//! What each query cost and found, counted by the counting rules of the lab: a message is one query frame given
//! to one link, counted at the sender; a duplicate is one that arrives where the query has been before.

use std::collections::BTreeMap;

use crate::wire::hit::QueryHit;
use crate::wire::{Frame, Guid, Kind};

/// What one query cost and found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Query frames sent over links by anybody.
    pub messages: u64,
    /// Query frames that arrived where the query had been before.
    pub duplicates: u64,
    /// Query frames that links lost or send queues shed.
    pub lost: u64,
    /// Nodes that got the query, the asker not counted.
    pub reached: u64,
    /// Bytes of all its query and hit frames and datagrams, counted at the sender, headers of this protocol included.
    pub bytes: u64,
    /// Files in all hits that came back.
    pub hits: u64,
    /// Hit frames that came back: one or more from each responder.
    pub hit_frames: u64,
    /// Hit frames sent over links by anybody.
    pub hit_messages: u64,
    /// Questions of walkers to their asker, and its answers: datagrams, no messages.
    pub checks: u64,
    /// TTLs of the rounds before the present one, added up.
    pub hops_before: u32,
    /// Links from the asker to the first responder heard from; of a search in rounds behind the TTLs of those before.
    pub first_hit_hops: Option<u32>,
    /// Time from asking to the first hit, in nanoseconds.
    pub first_hit_ns: Option<u64>,
    /// When it was asked.
    pub asked_ns: u64,
    /// When the last query frame arrived.
    pub last_ns: u64,
    /// Why it was not asked at all, in the node's words.
    pub refused: Option<String>,
}

/// The query being counted, and where it has been.
#[derive(Debug)]
struct Active {
    query: usize,
    visited: Vec<u64>,
    reached: u64,
}

/// Counts all queries of a run.
#[derive(Debug)]
pub(super) struct Meter {
    nodes: usize,
    measured: Vec<Measured>,
    active: BTreeMap<Guid, Active>,
    /// TTL of the present round of each query.
    round: Vec<Option<u8>>,
    /// Visited sets of queries that are over, for use again.
    spare: Vec<Vec<u64>>,
    /// Query frames that each node got.
    loads: Vec<u32>,
}

impl Meter {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            nodes,
            measured: Vec::new(),
            active: BTreeMap::new(),
            round: Vec::new(),
            spare: Vec::new(),
            loads: vec![0; nodes],
        }
    }

    /// Begins a query and returns its number.
    pub(super) fn begin(&mut self, now_ns: u64) -> usize {
        self.measured.push(Measured {
            asked_ns: now_ns,
            last_ns: now_ns,
            ..Measured::default()
        });
        self.round.push(None);
        self.measured.len() - 1
    }

    /// Its message id is known now, before any of its frames is sent. Each round has one of its own.
    pub(super) fn asked(&mut self, query: usize, asker: u32, guid: Guid, ttl: u8) {
        let before = self.round[query].replace(ttl);
        self.measured[query].hops_before += before.map_or(0, u32::from);
        let mut visited = self.spare.pop().unwrap_or_default();
        visited.clear();
        visited.resize(self.nodes.div_ceil(64), 0);
        mark(&mut visited, asker);
        let active = Active {
            query,
            visited,
            reached: 0,
        };
        self.active.insert(guid, active);
    }

    pub(super) fn refused(&mut self, query: usize, why: String) {
        self.measured[query].refused = Some(why);
    }

    /// All queries so far are over.
    pub(super) fn end_all(&mut self) {
        self.spare.extend(
            std::mem::take(&mut self.active)
                .into_values()
                .map(|active| active.visited),
        );
        self.spare.truncate(1);
    }

    /// A frame was given to so many links.
    pub(super) fn sent(&mut self, frame: &Frame, links: u64) {
        if let Some(active) = self.active.get(&frame.header.guid) {
            let measured = &mut self.measured[active.query];
            match frame.header.kind {
                Kind::Query => measured.messages += links,
                Kind::QueryHit => measured.hit_messages += links,
                _ => return,
            }
            measured.bytes += frame.wire_len() as u64 * links;
        }
    }

    pub(super) fn datagram(&mut self, frame: &Frame) {
        if let Some(active) = self.active.get(&frame.header.guid) {
            let measured = &mut self.measured[active.query];
            measured.bytes += frame.wire_len() as u64;
            if frame.header.kind != Kind::QueryHit {
                measured.checks += 1;
            }
        }
    }

    pub(super) fn lost(&mut self, frame: &Frame) {
        if frame.header.kind == Kind::Query
            && let Some(active) = self.active.get(&frame.header.guid)
        {
            self.measured[active.query].lost += 1;
        }
    }

    pub(super) fn arrived(&mut self, now_ns: u64, to: u32, frame: &Frame) {
        if frame.header.kind == Kind::Query
            && let Some(active) = self.active.get_mut(&frame.header.guid)
        {
            let measured = &mut self.measured[active.query];
            measured.last_ns = now_ns;
            let load = &mut self.loads[to as usize];
            *load = load.saturating_add(1);
            if mark(&mut active.visited, to) {
                // Rounds reach the same nodes again, and more.
                active.reached += 1;
                measured.reached = measured.reached.max(active.reached);
            } else {
                measured.duplicates += 1;
            }
        }
    }

    pub(super) fn hit(&mut self, query: usize, now_ns: u64, hops: u8, hit: &QueryHit) {
        let measured = &mut self.measured[query];
        measured.hits += hit.records.len() as u64;
        measured.hit_frames += 1;
        if measured.first_hit_ns.is_none() {
            measured.first_hit_ns = Some(now_ns - measured.asked_ns);
            measured.first_hit_hops = Some(measured.hops_before + u32::from(hops) + 1);
        }
    }

    /// Query frames that the busiest node got.
    pub(super) fn load_max(&self) -> u32 {
        self.loads.iter().max().copied().unwrap_or(0)
    }

    pub(super) fn measured(&self, query: usize) -> &Measured {
        &self.measured[query]
    }
}

/// Marks a node in a set; false when it was there already.
fn mark(visited: &mut [u64], node: u32) -> bool {
    let (word, bit) = (&mut visited[node as usize / 64], 1_u64 << (node % 64));
    let new = *word & bit == 0;
    *word |= bit;
    new
}
