//! What may be done to a world while it runs: nodes go and come back, links are cut and change, groups are parted.

use std::collections::BTreeMap;

use crate::node::{Command, Event, Node};
use crate::topology::{Edge, LinkTraits, Network};
use crate::wire::Kind;

use super::build::addr;
use super::map::Map;
use super::shard::{OTHER_TICKET, Shard};
use super::{World, windows};

/// Links that a returning node dials by itself; the core lets some more wait at once. At the rest the others dial.
const DIALLED_MAX: usize = 200;

/// Between whom no frame passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parted {
    /// Between nodes of different groups; the group of each node.
    Groups(Vec<u32>),
    /// From these to those nodes; for each node whether it is one.
    OneWay {
        /// Whose frames are lost.
        from: Vec<bool>,
        /// On the way to whom.
        to: Vec<bool>,
    },
}

impl Parted {
    /// Whether frames pass from one node to another.
    pub fn passes(&self, from: u32, to: u32) -> bool {
        let (at, there) = (from as usize, to as usize);
        match self {
            Self::Groups(group) => group[at] == group[there],
            Self::OneWay { from, to } => !(from[at] && to[there]),
        }
    }
}

/// Frames that earlier lives of nodes counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Retired {
    pub(super) sent: u64,
    pub(super) received: u64,
}

impl Retired {
    fn add(&mut self, node: &Node) {
        for kind in Kind::ALL {
            self.sent += node.stats().sent(kind);
            self.received += node.stats().received(kind);
        }
    }
}

/// Which nodes of a shard are there, and since when things are as they are.
#[derive(Debug)]
pub(super) struct Stays {
    /// For each node whether it is away.
    away: Vec<bool>,
    away_count: usize,
    /// How often each node that has gone has done so.
    lives: BTreeMap<u32, u32>,
    pub(super) retired: Retired,
    /// Times at which links came up or went down since the start.
    changes: Vec<u64>,
    /// Number of such changes.
    version: u64,
}

impl Stays {
    /// All of them are.
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            away: vec![false; nodes],
            away_count: 0,
            lives: BTreeMap::new(),
            retired: Retired::default(),
            changes: Vec::new(),
            version: 0,
        }
    }
}

impl Shard {
    pub(super) fn is_up(&self, node: u32) -> bool {
        !self.stays.away[self.at(node)]
    }

    /// Number of a node's present life, from 0.
    pub(super) fn life(&self, node: u32) -> u32 {
        self.stays.lives.get(&node).copied().unwrap_or(0)
    }

    /// Is a node there, and still in this life?
    pub(super) fn lives(&self, node: u32, life: u32) -> bool {
        self.is_up(node) && self.life(node) == life
    }

    /// Something about links is not as before.
    pub(super) fn changed(&mut self) {
        self.stays.version += 1;
        if self.stays.changes.last() != Some(&self.now) {
            self.stays.changes.push(self.now);
        }
    }

    /// A node is not there at the start.
    pub(super) fn is_absent(&mut self, node: u32) {
        let place = self.at(node);
        self.stays.away[place] = true;
        self.stays.away_count += 1;
    }

    /// A link is not there at the start.
    pub(super) fn has_no(&mut self, map: &Map, node: u32, link: u32) {
        self.ties.shut(&map.graph, node, link);
    }

    /// A node dies.
    fn kill(&mut self, map: &Map, node: u32) {
        for link in self.ties.of(&map.graph, node) {
            let Some(end) = self.ties.shut(&map.graph, node, link) else {
                continue;
            };
            for frame in self.ends.end(&map.lines, end.place) {
                self.forget(&frame);
            }
            self.part(map, end, 0);
        }
        self.is_absent(node);
        *self.stays.lives.entry(node).or_default() += 1;
        self.no_alarm(node);
        self.changed();
    }

    /// A node begins a new life.
    fn revive(&mut self, map: &Map, node: u32) {
        let (place, life) = (self.at(node), self.life(node));
        self.stays.away[place] = false;
        self.stays.away_count -= 1;
        let old = &mut self.nodes[place];
        let new = map.nursery.node(node, life, Some(old.id()));
        let old = std::mem::replace(old, new);
        self.stays.retired.add(&old);
        self.natures.begins(place);
        self.begins(node);
    }
}

impl World {
    /// Is this node there?
    pub fn is_up(&self, node: u32) -> bool {
        self.shards[self.map.shard_of(node)].is_up(node)
    }

    /// Nodes that are there.
    pub fn nodes_up(&self) -> usize {
        let away = self.shards.iter().map(|shard| shard.stays.away_count);
        self.map.graph.nodes() - away.sum::<usize>()
    }

    /// Between whom no frame passes.
    pub fn parted(&self) -> Option<&Parted> {
        self.map.parted.as_ref()
    }

    /// Whether no link loses frames or has a rate; and whether all have the same delay without jitter.
    pub(super) fn links_are(&self) -> (bool, bool) {
        self.map.lines.are_plain()
    }

    /// The longest that a frame may take now, its waiting for a rate aside.
    pub(super) fn span_ns(&self) -> u64 {
        self.map.lines.span_ns()
    }

    /// Rises whenever something about links is not as before.
    pub(super) fn version(&self) -> u64 {
        let shards = self.shards.iter().map(|shard| shard.stays.version);
        shards.sum::<u64>() + self.changes.len() as u64
    }

    /// Whether links came up, went down or changed after one time and up to another.
    pub(super) fn changed_within(&self, after: u64, until: u64) -> bool {
        let shards = self.shards.iter().map(|shard| &shard.stays.changes);
        shards.chain([&self.changes]).any(|changes| {
            let first = changes.partition_point(|at| *at <= after);
            changes.get(first).is_some_and(|at| *at <= until)
        })
    }

    /// The shard of a node, at the present time.
    fn at_work(&mut self, node: u32) -> (&Map, &mut Shard) {
        let shard = &mut self.shards[self.map.shard_of(node)];
        shard.now = self.now;
        (&self.map, shard)
    }

    /// A node dies: what it had queued is lost, and its neighbours see broken connections. False: it was away.
    pub fn kill(&mut self, node: u32) -> bool {
        let up = self.is_up(node);
        if up {
            let (map, shard) = self.at_work(node);
            shard.kill(map, node);
        }
        up
    }

    /// A node says Bye to its neighbours and goes. False: it was away.
    pub fn leave(&mut self, node: u32) -> bool {
        if self.is_up(node) {
            self.bid(node, Command::Leave);
        }
        // And links whose greeting is not over yet.
        self.kill(node)
    }

    /// A node comes, for the first time or again: with its files, without memory, and it dials the neighbours that
    /// the graph gives it. False: it was there.
    pub fn restart(&mut self, node: u32) -> bool {
        if self.is_up(node) {
            return false;
        }
        let (map, shard) = self.at_work(node);
        shard.revive(map, node);
        let halves = map.graph.links(node).iter();
        let whole = halves.filter(|half| !map.cut.contains(&half.edge));
        let others: Vec<u32> = whole.map(|half| half.to).collect();
        for (at, other) in others.into_iter().enumerate() {
            if at < DIALLED_MAX {
                self.bid(node, Command::AddPeer(addr(other)));
            } else if self.is_up(other) {
                self.bid(other, Command::AddPeer(addr(node)));
            }
        }
        true
    }

    /// Has a node do something that is no search.
    fn bid(&mut self, node: u32, command: Command) {
        self.hand(node, Event::Command(OTHER_TICKET, command));
    }

    /// A link of the graph, number `edge`, is closed, with a Bye, and stays so. False: it was cut already.
    pub fn cut(&mut self, edge: u32, ends: Edge) -> bool {
        if !self.map.cut.insert(edge) {
            return false;
        }
        if self.is_up(ends.a) && self.is_up(ends.b) {
            self.bid(ends.a, Command::DropPeer(addr(ends.b)));
        }
        true
    }

    /// From now on frames pass as this says, or freely.
    pub fn split(&mut self, parted: Option<Parted>) {
        self.map.parted = parted;
        self.changes.push(self.now);
    }

    /// Links of the network change; what `to` does not say stays.
    pub fn change(&mut self, edges: &[usize], to: &LinkTraits) {
        self.map.lines.change(edges, to);
        self.changes.push(self.now);
    }

    /// Cuts and partitions are over, links are as the network says, and those that are missing are dialled. Returns
    /// how many.
    pub fn heal(&mut self, network: &Network) -> usize {
        self.map.cut.clear();
        self.map.lines.restore();
        self.split(None);
        windows::exchange(&mut self.shards);
        let mut linked = vec![false; self.map.graph.edges()];
        for node in 0..u32::try_from(self.map.graph.nodes()).expect("counted in 32 bits") {
            let shard = &self.shards[self.map.shard_of(node)];
            for link in shard.ties.of(&self.map.graph, node) {
                let end = shard.ties.get(&self.map.graph, node, link);
                if let Some(linked) = end.and_then(|end| linked.get_mut(end.edge as usize)) {
                    *linked = true;
                }
            }
        }
        let mut missing = 0;
        for (edge, linked) in network.edges.iter().zip(linked) {
            if !linked && self.is_up(edge.a) && self.is_up(edge.b) {
                self.bid(edge.a, Command::AddPeer(addr(edge.b)));
                missing += 1;
            }
        }
        missing
    }
}
