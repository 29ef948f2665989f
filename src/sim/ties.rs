//! Which links are up, and where they lead.
//!
//! The links of the graph are up from the start, and their ids are their places in it: as long as nothing happens to
//! them nothing is kept here and nothing looked up. A link that comes up later has an id of its own at each end, as the
//! core demands; it runs over a link of the graph, or over a new one between nodes that had none.

use std::collections::{BTreeMap, BTreeSet};

use crate::topology::Graph;

/// A link between nodes that have none in the graph.
pub(super) const BEYOND: u32 = u32::MAX;

/// One end of a link that is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// The node at the other end.
    pub(super) to: u32,
    /// The id of the link there.
    pub(super) back: u32,
    /// The link of the graph that it runs over, or [`BEYOND`].
    pub(super) edge: u32,
    /// Its place among the ends of links.
    pub(super) place: usize,
}

/// The links of some nodes.
#[derive(Debug, Default)]
pub(super) struct Ties {
    /// Ends of links of the graph that are closed.
    closed: BTreeSet<(u32, u32)>,
    /// Ends of links that came up since the start, by node and id.
    newer: BTreeMap<(u32, u32), End>,
    /// The next id at each node that has had a newer link.
    next: BTreeMap<u32, u32>,
}

impl Ties {
    /// The end with this id at a node, if it is up there.
    pub(super) fn get(&self, graph: &Graph, node: u32, link: u32) -> Option<End> {
        let Some(half) = graph.links(node).get(link as usize) else {
            return self.newer.get(&(node, link)).copied();
        };
        if !self.closed.is_empty() && self.closed.contains(&(node, link)) {
            return None;
        }
        Some(End {
            to: half.to,
            back: half.back,
            edge: half.edge,
            place: graph.first_end(node) + link as usize,
        })
    }

    /// All links are those of the graph, and up: as long as nothing has happened to any.
    pub(super) fn are_untouched(&self) -> bool {
        self.closed.is_empty() && self.next.is_empty()
    }

    /// Whether the end with this id is up at a node. Looks at nothing as long as nothing has happened to any.
    pub(super) fn is_up(&self, graph: &Graph, node: u32, link: u32) -> bool {
        self.are_untouched() || self.get(graph, node, link).is_some()
    }

    /// Ids of all links that are up at a node, rising.
    pub(super) fn of(&self, graph: &Graph, node: u32) -> Vec<u32> {
        let first = 0..u32::try_from(graph.degree(node)).expect("ends are counted in 32 bits");
        let open = first.filter(|link| !self.closed.contains(&(node, *link)));
        let newer = self.newer.range((node, 0)..=(node, u32::MAX));
        open.chain(newer.map(|((_, link), _)| *link)).collect()
    }

    /// The next id at a node.
    pub(super) fn next_id(&mut self, graph: &Graph, node: u32) -> u32 {
        let first = u32::try_from(graph.degree(node)).expect("ends are counted in 32 bits");
        let next = self.next.entry(node).or_insert(first);
        *next += 1;
        *next - 1
    }

    /// Puts one end of a newer link up.
    pub(super) fn open(&mut self, node: u32, link: u32, end: End) {
        self.newer.insert((node, link), end);
    }

    /// Takes one end down; where it led, if it was up.
    pub(super) fn shut(&mut self, graph: &Graph, node: u32, link: u32) -> Option<End> {
        let end = self.get(graph, node, link)?;
        if self.newer.remove(&(node, link)).is_none() {
            self.closed.insert((node, link));
        }
        Some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{Network, parse_spec};

    #[test]
    fn links_are_those_of_the_graph_until_something_happens() {
        let graph = Network::new(&parse_spec("ring:4", 1).unwrap())
            .unwrap()
            .graph();
        let mut ties = Ties::default();
        assert_eq!(ties.of(&graph, 1), [0, 1]);
        let end = ties.get(&graph, 1, 0).unwrap();
        assert_eq!((end.to, end.edge), (0, 0));
        assert_eq!(ties.shut(&graph, 1, 0), Some(end));
        assert_eq!(ties.shut(&graph, 1, 0), None, "it is down already");
        assert_eq!(ties.of(&graph, 1), [1]);
        assert!(ties.get(&graph, 0, end.back).is_some(), "the other end");
        let id = ties.next_id(&graph, 1);
        ties.open(1, id, end);
        assert_eq!((id, ties.next_id(&graph, 1)), (2, 3), "never used again");
        assert_eq!(ties.of(&graph, 1), [1, 2]);
        assert_eq!(ties.get(&graph, 1, 2), Some(end));
    }
}
