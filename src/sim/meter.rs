//! What each query cost and found, counted by the counting rules of the lab: a message is one query frame given
//! to one link, counted at the sender; a duplicate is one that arrives where the query has been before.

use std::collections::BTreeMap;

use crate::wire::hit::QueryHit;
use crate::wire::{Frame, Guid, Kind};

use super::mail::Asked;

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
    /// Files in hits that came back from liars, who have none of them; not among `hits`.
    pub false_hits: u64,
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

impl Measured {
    /// Adds what was counted at other nodes.
    fn add(&mut self, other: &Self) {
        let Self {
            messages,
            duplicates,
            lost,
            reached: _,
            bytes,
            hits,
            false_hits,
            hit_frames,
            hit_messages,
            checks,
            hops_before,
            first_hit_hops,
            first_hit_ns,
            asked_ns: _,
            last_ns,
            refused,
        } = self;
        for (sum, more) in [
            (messages, other.messages),
            (duplicates, other.duplicates),
            (lost, other.lost),
            (bytes, other.bytes),
            (hits, other.hits),
            (false_hits, other.false_hits),
            (hit_frames, other.hit_frames),
            (hit_messages, other.hit_messages),
            (checks, other.checks),
        ] {
            *sum += more;
        }
        *last_ns = other.last_ns.max(*last_ns);
        // Of the asker only, so that all others have none.
        *hops_before += other.hops_before;
        *first_hit_hops = first_hit_hops.or(other.first_hit_hops);
        *first_hit_ns = first_hit_ns.or(other.first_hit_ns);
        *refused = refused.take().or_else(|| other.refused.clone());
    }
}

/// The query being counted, and where it has been.
#[derive(Debug)]
struct Active {
    query: usize,
    round: usize,
    visited: Vec<u64>,
}

/// One query, as far as some nodes have to do with it.
#[derive(Debug)]
struct Part {
    measured: Measured,
    /// Nodes reached in each round: the later ones reach the same nodes again, and more.
    reached: Vec<u64>,
    /// TTL of the present round.
    ttl: u8,
    /// Its query and hit frames given to links and not yet out of them; only the sum of all meters has a meaning.
    under_way: i64,
}

/// Counts all queries of a run, at nodes that follow each other.
#[derive(Debug)]
pub(super) struct Meter {
    /// The first of its nodes.
    first: u32,
    /// Query frames that each node got.
    loads: Vec<u32>,
    parts: Vec<Part>,
    /// Where in `running` each message id is.
    active: BTreeMap<Guid, usize>,
    running: Vec<Option<Active>>,
    /// Those of `running` that are free.
    vacant: Vec<usize>,
    /// The id that was looked for last, and what was found: in a flood it is always the same.
    last: Option<(Guid, Option<usize>)>,
    /// Visited sets of queries that are over, for use again.
    spare: Vec<Vec<u64>>,
}

impl Meter {
    pub(super) fn new(first: u32, nodes: usize) -> Self {
        Self {
            first,
            loads: vec![0; nodes],
            parts: Vec::new(),
            active: BTreeMap::new(),
            running: Vec::new(),
            vacant: Vec::new(),
            last: None,
            spare: Vec::new(),
        }
    }

    /// Begins a query: the next number.
    pub(super) fn begin(&mut self, now_ns: u64) {
        self.parts.push(Part {
            measured: Measured {
                asked_ns: now_ns,
                last_ns: now_ns,
                ..Measured::default()
            },
            reached: Vec::new(),
            ttl: 0,
            under_way: 0,
        });
    }

    /// Its message id is known now, before any of its frames is sent. Each round has one of its own.
    pub(super) fn asked(&mut self, asked: Asked) {
        let part = &mut self.parts[asked.query];
        let before = std::mem::replace(&mut part.ttl, asked.ttl);
        let mut visited = self.spare.pop().unwrap_or_default();
        visited.clear();
        visited.resize(self.loads.len().div_ceil(64), 0);
        if let Some(asker) = own(self.first, self.loads.len(), asked.asker) {
            part.measured.hops_before += u32::from(before);
            mark(&mut visited, asker);
        }
        let active = Active {
            query: asked.query,
            round: part.reached.len(),
            visited,
        };
        part.reached.push(0);
        let at = if let Some(at) = self.vacant.pop() {
            self.running[at] = Some(active);
            at
        } else {
            self.running.push(Some(active));
            self.running.len() - 1
        };
        self.active.insert(asked.guid, at);
        self.last = None;
    }

    pub(super) fn refused(&mut self, query: usize, why: String) {
        self.parts[query].measured.refused = Some(why);
    }

    /// One query is over.
    pub(super) fn end(&mut self, query: usize) {
        self.last = None;
        let (running, vacant) = (&mut self.running, &mut self.vacant);
        self.active.retain(|_, at| {
            let ended = running[*at].take_if(|active| active.query == query);
            vacant.extend(ended.is_some().then_some(*at));
            ended.is_none()
        });
    }

    /// All queries so far are over.
    pub(super) fn end_all(&mut self) {
        self.active.clear();
        self.vacant.clear();
        self.last = None;
        let ended = self.running.drain(..).flatten();
        self.spare.extend(ended.map(|active| active.visited));
        self.spare.truncate(1);
    }

    /// The round of a query with this message id, and its figures at these nodes.
    fn of(&mut self, guid: &Guid) -> Option<(&mut Active, &mut Part)> {
        let at = match &self.last {
            Some((known, at)) if known == guid => *at,
            _ => {
                let at = self.active.get(guid).copied();
                self.last = Some((*guid, at));
                at
            }
        };
        let active = self.running[at?].as_mut()?;
        let part = &mut self.parts[active.query];
        Some((active, part))
    }

    /// A frame was given to so many links.
    pub(super) fn sent(&mut self, frame: &Frame, links: u64) {
        if let Some((_, part)) = self.of(&frame.header.guid) {
            let measured = &mut part.measured;
            match frame.header.kind {
                Kind::Query => measured.messages += links,
                Kind::QueryHit => measured.hit_messages += links,
                _ => return,
            }
            part.under_way += i64::try_from(links).expect("links are counted in 32 bits");
            measured.bytes += frame.wire_len() as u64 * links;
        }
    }

    pub(super) fn datagram(&mut self, frame: &Frame) {
        if let Some((_, part)) = self.of(&frame.header.guid) {
            let measured = &mut part.measured;
            measured.bytes += frame.wire_len() as u64;
            if frame.header.kind != Kind::QueryHit {
                measured.checks += 1;
            }
        }
    }

    pub(super) fn lost(&mut self, frame: &Frame) {
        let (asks, answers) = of_query(frame);
        if (asks || answers)
            && let Some((_, part)) = self.of(&frame.header.guid)
        {
            part.under_way -= 1;
            part.measured.lost += u64::from(asks);
        }
    }

    /// A frame arrived at the node that is so many after the first.
    pub(super) fn arrived(&mut self, now_ns: u64, at: usize, frame: &Frame) {
        let (asks, answers) = of_query(frame);
        if (asks || answers)
            && let Some((active, part)) = self.of(&frame.header.guid)
        {
            part.under_way -= 1;
            if answers {
                return;
            }
            part.measured.last_ns = now_ns;
            if mark(&mut active.visited, at) {
                part.reached[active.round] += 1;
            } else {
                part.measured.duplicates += 1;
            }
            let load = &mut self.loads[at];
            *load = load.saturating_add(1);
        }
    }

    pub(super) fn hit(&mut self, query: usize, now_ns: u64, hops: u8, hit: &QueryHit) {
        let measured = &mut self.parts[query].measured;
        measured.hits += hit.records.len() as u64;
        measured.hit_frames += 1;
        if measured.first_hit_ns.is_none() {
            measured.first_hit_ns = Some(now_ns - measured.asked_ns);
            measured.first_hit_hops = Some(measured.hops_before + u32::from(hops) + 1);
        }
    }

    /// A hit in which nothing is true.
    pub(super) fn false_hit(&mut self, query: usize, hit: &QueryHit) {
        let measured = &mut self.parts[query].measured;
        measured.false_hits += hit.records.len() as u64;
        measured.hit_frames += 1;
    }

    /// Query and hit frames given to links and not yet out of them; only the sum of all meters has a meaning. It stays
    /// above 0 when some were shed, which nobody tells.
    pub(super) fn under_way(&self, query: usize) -> i64 {
        self.parts[query].under_way
    }

    /// Query frames that the busiest node got.
    pub(super) fn load_max(&self) -> u32 {
        self.loads.iter().max().copied().unwrap_or(0)
    }

    /// A query, by what all meters of a world counted.
    pub(super) fn measured<'a>(meters: impl Iterator<Item = &'a Self>, query: usize) -> Measured {
        let mut all = Measured::default();
        let mut reached: Vec<u64> = Vec::new();
        for meter in meters {
            let part = &meter.parts[query];
            all.asked_ns = part.measured.asked_ns;
            all.add(&part.measured);
            reached.resize(reached.len().max(part.reached.len()), 0);
            for (sum, more) in reached.iter_mut().zip(&part.reached) {
                *sum += more;
            }
        }
        all.reached = reached.into_iter().max().unwrap_or(0);
        all
    }
}

/// Whether a frame is a query, or a hit.
fn of_query(frame: &Frame) -> (bool, bool) {
    let kind = frame.header.kind;
    (kind == Kind::Query, kind == Kind::QueryHit)
}

/// Place of a node among so many from `first` on.
pub(super) fn own(first: u32, nodes: usize, node: u32) -> Option<usize> {
    let at = node.checked_sub(first)? as usize;
    (at < nodes).then_some(at)
}

/// Marks a node in a set; false when it was there already.
fn mark(visited: &mut [u64], node: usize) -> bool {
    let (word, bit) = (&mut visited[node / 64], 1_u64 << (node % 64));
    let new = *word & bit == 0;
    *word |= bit;
    new
}
