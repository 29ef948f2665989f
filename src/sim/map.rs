//! What all shards of a world read, and none changes while it runs.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::topology::{Graph, Names};
use crate::wire::ServentId;

use super::Parted;
use super::build::{self, Nursery};
use super::line::Lines;

/// What all shards of a world read, and none changes while it runs.
#[derive(Debug)]
pub(super) struct Map {
    pub(super) names: Names,
    pub(super) graph: Graph,
    pub(super) lines: Lines,
    /// The first node of each shard.
    pub(super) firsts: Vec<u32>,
    /// Time a datagram takes.
    pub(super) datagram_ns: u64,
    pub(super) nursery: Nursery,
    /// Links of the graph that are cut.
    pub(super) cut: BTreeSet<u32>,
    /// Between whom no frame passes.
    pub(super) parted: Option<Parted>,
    /// Nodes whose hits are false.
    pub(super) liars: BTreeSet<ServentId>,
}

impl Map {
    /// The shard that has a node.
    pub(super) fn shard_of(&self, node: u32) -> usize {
        self.firsts.partition_point(|first| *first <= node) - 1
    }

    /// The nodes of a shard.
    pub(super) fn nodes_of(&self, shard: usize) -> std::ops::Range<u32> {
        let end = self.firsts.get(shard + 1).copied();
        let all = || u32::try_from(self.graph.nodes()).expect("nodes are counted in 32 bits");
        self.firsts[shard]..end.unwrap_or_else(all)
    }

    /// Does anything pass from one node to another?
    pub(super) fn passes(&self, from: u32, to: u32) -> bool {
        let parted = self.parted.as_ref();
        parted.is_none_or(|parted| parted.passes(from, to))
    }

    /// The node at an address.
    pub(super) fn node_at(&self, addr: SocketAddr) -> Option<u32> {
        build::node_at(addr).filter(|node| (*node as usize) < self.graph.nodes())
    }

    /// What a node does reaches no other one sooner.
    pub(super) fn look_ahead_ns(&self) -> u64 {
        self.lines.least_ns().min(self.datagram_ns)
    }
}
