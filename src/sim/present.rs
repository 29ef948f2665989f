//! The network as it is at one moment: who is linked to whom, and what gets through.

use std::collections::BTreeMap;

use crate::topology::{Edge, Graph};

use super::predict::flood;
use super::{Parted, Predicted, World};

/// All links that are up at both ends.
#[derive(Debug)]
pub(super) struct Present {
    graph: Graph,
    parted: Option<Parted>,
    /// No link is up at one end only.
    settled: bool,
    /// [`World::version()`] then.
    of: u64,
}

/// How much of it there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) nodes: usize,
    pub(super) links: usize,
    /// Pieces between which nothing passes both ways, of nodes that are there.
    pub(super) pieces: usize,
}

impl Present {
    /// Takes a look.
    pub(super) fn of(world: &World) -> Self {
        let (mut edges, mut settled) = (Vec::new(), true);
        let (map, graph) = (&world.map, &world.map.graph);
        let ties = |node: u32| &world.shards[map.shard_of(node)].ties;
        for node in 0..u32::try_from(graph.nodes()).expect("nodes are counted in 32 bits") {
            for link in ties(node).of(graph, node) {
                let Some(end) = ties(node).get(graph, node, link) else {
                    continue;
                };
                if ties(end.to).get(graph, end.to, end.back).is_none() {
                    settled = false;
                } else if node < end.to {
                    edges.push(Edge {
                        a: node,
                        b: end.to,
                        traits: 0,
                    });
                }
            }
        }
        Self {
            graph: Graph::new(graph.nodes(), &edges),
            parted: world.parted().cloned(),
            settled,
            of: world.version(),
        }
    }

    /// Is it still so?
    pub(super) fn holds(&self, world: &World) -> bool {
        self.of == world.version()
    }

    /// What a flood must cost and find now.
    pub(super) fn predict(&self, asker: u32, ttl: u8, holders: &BTreeMap<u32, u64>) -> Predicted {
        flood(&self.graph, self.parted.as_ref(), asker, ttl, holders)
    }

    /// Whether a prediction can be exact: where frames pass one way only, what is lost depends on which copy of
    /// several came first.
    pub(super) fn is_plain(&self) -> bool {
        self.settled && !matches!(self.parted, Some(Parted::OneWay { .. }))
    }

    /// How much of it there is.
    pub(super) fn extent(&self, world: &World) -> Extent {
        let passes = |a: u32, b: u32| {
            let both = |parted: &Parted| parted.passes(a, b) && parted.passes(b, a);
            self.parted.as_ref().is_none_or(both)
        };
        let mut seen = vec![false; self.graph.nodes()];
        let (mut pieces, mut stack) = (0, Vec::new());
        for root in 0..u32::try_from(seen.len()).expect("nodes are counted in 32 bits") {
            if !world.is_up(root) || std::mem::replace(&mut seen[root as usize], true) {
                continue;
            }
            pieces += 1;
            stack.push(root);
            while let Some(node) = stack.pop() {
                for half in self.graph.links(node) {
                    if passes(node, half.to)
                        && !std::mem::replace(&mut seen[half.to as usize], true)
                    {
                        stack.push(half.to);
                    }
                }
            }
        }
        Extent {
            nodes: world.nodes_up(),
            links: self.graph.edges(),
            pieces,
        }
    }
}
