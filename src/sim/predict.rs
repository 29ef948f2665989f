//! What a flood must cost, from the graph alone.
//!
//! With equal delays the first copy of a query reaches every node along a shortest path. So a node at distance
//! h, 0 < h < TTL, gets it first with TTL - h + 1 left and sends it on over all its links but one; the asker
//! sends over all; nodes at distance TTL send nothing. When TTL and memory suffice, all nodes but the asker send
//! over all links but one: 2E - (N - 1) messages, N - 1 of them first copies, whatever the delays.

use std::collections::BTreeMap;

use crate::topology::Graph;

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
    let mut predicted = Predicted {
        full: true,
        ..Predicted::default()
    };
    graph.each_within(asker, u32::from(ttl), |node, hops| {
        let degree = graph.degree(node) as u64;
        if hops == 0 {
            predicted.messages += degree;
            return;
        }
        predicted.reached += 1;
        if hops < u32::from(ttl) {
            predicted.messages += degree - 1;
        } else if degree > 1 {
            predicted.full = false;
        }
        if let Some(files) = holders.get(&node) {
            predicted.hits += files;
            predicted.first_hit_hops.get_or_insert(hops);
        }
    });
    predicted.duplicates = predicted.messages - predicted.reached;
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
}
