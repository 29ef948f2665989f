//! What a flood must cost, from the graph alone.
//!
//! With equal delays the first copy of a query reaches every node along a shortest path. So a node at distance
//! h, 0 < h < TTL, gets it first with TTL - h + 1 left and sends it on over all its links but one; the asker
//! sends over all; nodes at distance TTL send nothing. When TTL and memory suffice, all nodes but the asker send
//! over all links but one: 2E - (N - 1) messages, N - 1 of them first copies, whatever the delays.

use std::collections::BTreeMap;

use crate::topology::Graph;

use super::Parted;

/// What a query should cost and find.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Predicted {
    /// Query frames sent.
    pub messages: u64,
    /// Copies after the first that arrive at a node.
    pub duplicates: u64,
    /// Nodes reached, the asker not counted.
    pub reached: u64,
    /// Matching files on the nodes reached.
    pub hits: u64,
    /// Links to the nearest node with a matching file.
    pub first_hit_hops: Option<u32>,
    /// Whether the TTL ended nowhere: every node of the component sent the query on.
    pub full: bool,
}

/// Predicts a flood from `asker`. `holders`: matching files on each node that has any, its own not asked.
pub fn predict(graph: &Graph, asker: u32, ttl: u8, holders: &BTreeMap<u32, u64>) -> Predicted {
    flood(graph, None, asker, ttl, holders)
}

/// The same where frames do not pass between all nodes: those that do not are sent and lost.
pub fn flood(
    graph: &Graph,
    parted: Option<&Parted>,
    asker: u32,
    ttl: u8,
    holders: &BTreeMap<u32, u64>,
) -> Predicted {
    let mut predicted = Predicted {
        full: true,
        ..Predicted::default()
    };
    let passes = |from: u32, to: u32| parted.is_none_or(|parted| parted.passes(from, to));
    let mut seen = vec![false; graph.nodes()];
    seen[asker as usize] = true;
    // Nodes of one distance, and over which of their links the query came.
    let (mut layer, mut next) = (vec![(asker, None)], Vec::new());
    let (mut hops, mut lost) = (0, 0);
    while !layer.is_empty() {
        for (node, came_on) in layer.drain(..) {
            let links = graph.links(node);
            if hops > 0 {
                predicted.reached += 1;
                if let Some(files) = holders.get(&node) {
                    predicted.hits += files;
                    predicted.first_hit_hops.get_or_insert(hops);
                }
            }
            let sends = (links.len() - usize::from(came_on.is_some())) as u64;
            if hops == u32::from(ttl) {
                predicted.full &= sends == 0;
                continue;
            }
            predicted.messages += sends;
            for (link, half) in (0_u32..).zip(links) {
                if came_on == Some(link) {
                    continue;
                }
                if !passes(node, half.to) {
                    lost += 1;
                } else if !std::mem::replace(&mut seen[half.to as usize], true) {
                    next.push((half.to, Some(half.back)));
                }
            }
        }
        std::mem::swap(&mut layer, &mut next);
        hops += 1;
    }
    predicted.duplicates = predicted.messages - lost - predicted.reached;
    predicted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{Network, parse_spec};

    fn flood(spec: &str, ttl: u8) -> (u64, u64, u64, bool) {
        let graph = Network::new(&parse_spec(spec, 1).unwrap()).unwrap().graph();
        let predicted = predict(&graph, 0, ttl, &BTreeMap::new());
        (
            predicted.messages,
            predicted.reached,
            predicted.duplicates,
            predicted.full,
        )
    }

    #[test]
    fn known_graphs_cost_what_pencil_and_paper_say() {
        assert_eq!(flood("ring:12", 4), (8, 8, 0, false));
        assert_eq!(flood("ring:12", 6), (12, 11, 1, false));
        assert_eq!(flood("ring:12", 7), (13, 11, 2, true));
        assert_eq!(flood("tree:b=3,d=4", 255), (120, 120, 0, true));
        assert_eq!(flood("complete:8", 2), (49, 7, 42, true));
        assert_eq!(flood("star:20", 1), (19, 19, 0, true));
    }

    #[test]
    fn what_a_partition_keeps_from_passing_is_sent_and_lost() {
        let graph = Network::new(&parse_spec("ring:12", 1).unwrap())
            .unwrap()
            .graph();
        let flood = |parted: Parted| {
            let holders = BTreeMap::from([(4, 1), (7, 1)]);
            let predicted = super::flood(&graph, Some(&parted), 0, 255, &holders);
            (
                predicted.messages,
                predicted.reached,
                predicted.duplicates,
                predicted.hits,
            )
        };
        // Half of the ring: five hops one way and none the other; two frames are lost.
        let halves = (0..12).map(|node| u32::from(node > 5)).collect();
        assert_eq!(flood(Parted::Groups(halves)), (7, 5, 0, 1));
        // Nothing passes from n0 to n1: the long way round, and back to it.
        let only = |node: usize| (0..12).map(|at| at == node).collect();
        let one_way = Parted::OneWay {
            from: only(0),
            to: only(1),
        };
        assert_eq!(flood(one_way), (13, 11, 1, 2));
    }
}
