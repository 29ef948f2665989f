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
pub struct Extent {
    /// Nodes that are there.
    pub nodes: usize,
    /// Links that are up.
    pub links: usize,
    /// Pieces between which nothing passes both ways, of nodes that are there.
    pub pieces: usize,
}

impl Extent {
    /// The extent of a network with these links, whose nodes `is_up` tells.
    pub fn of(graph: &Graph, parted: Option<&Parted>, is_up: impl Fn(u32) -> bool) -> Self {
        let passes =
            |a: u32, b: u32| parted.is_none_or(|parted| parted.passes(a, b) && parted.passes(b, a));
        let mut seen = vec![false; graph.nodes()];
        let (mut nodes, mut pieces, mut stack) = (0, 0, Vec::new());
        for root in 0..u32::try_from(seen.len()).expect("nodes are counted in 32 bits") {
            nodes += usize::from(is_up(root));
            if !is_up(root) || std::mem::replace(&mut seen[root as usize], true) {
                continue;
            }
            pieces += 1;
            stack.push(root);
            while let Some(node) = stack.pop() {
                for half in graph.links(node) {
                    if passes(node, half.to)
                        && !std::mem::replace(&mut seen[half.to as usize], true)
                    {
                        stack.push(half.to);
                    }
                }
            }
        }
        Self {
            nodes,
            links: graph.edges(),
            pieces,
        }
    }
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
        Extent::of(&self.graph, self.parted.as_ref(), |node| world.is_up(node))
    }
}
