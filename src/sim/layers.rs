//! Floods of every TTL from one asker, by one search through the graph: what stands for the routing core where that
//! would take too long. Equal to it message by message with equal delays, which tests and experiments check.

use crate::topology::Graph;

use super::Measured;

/// Nodes by their distance from an asker, and the messages they send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layers {
    /// At each distance: nodes, and messages they send unless it is the last hop.
    layers: Vec<(u64, u64)>,
}

/// What one flood cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flooded {
    /// Query frames sent.
    pub messages: u64,
    /// Nodes reached, the asker not counted.
    pub reached: u64,
    /// Copies after the first that arrived at a node.
    pub duplicates: u64,
    /// Nodes at the distance of the TTL.
    pub last_hop: u64,
}

impl Flooded {
    /// What was measured. Which nodes were reached last the meter does not say.
    pub(super) fn of(measured: &Measured, last_hop: u64) -> Self {
        Self {
            messages: measured.messages,
            reached: measured.reached,
            duplicates: measured.duplicates,
            last_hop,
        }
    }
}

impl Layers {
    /// Looks at the whole component of an asker.
    pub fn of(graph: &Graph, asker: u32) -> Self {
        let mut layers: Vec<(u64, u64)> = Vec::new();
        graph.each_within(asker, u32::MAX, |node, hops| {
            let degree = graph.degree(node) as u64;
            let sends = if hops == 0 { degree } else { degree - 1 };
            match layers.get_mut(hops as usize) {
                Some((nodes, all)) => {
                    *nodes += 1;
                    *all += sends;
                }
                None => layers.push((1, sends)),
            }
        });
        Self { layers }
    }

    /// The layers of all askers added up, and how many askers those are: all nodes, as far as they have links.
    ///
    /// Sixty-four searches go through the graph at once, a bit of each word for each. Source: Then and others, "The More
    /// the Merrier: Efficient Multi-Source Graph Traversal" (2014).
    pub fn of_all(graph: &Graph) -> (Self, u64) {
        let nodes = u32::try_from(graph.nodes()).expect("nodes are counted in 32 bits");
        let mut sums: Vec<(u64, u64)> = Vec::new();
        let mut seen = vec![0_u64; graph.nodes()];
        let (mut at, mut next) = (seen.clone(), seen.clone());
        for first in (0..nodes).step_by(64) {
            seen.fill(0);
            at.fill(0);
            for asker in first..nodes.min(first.saturating_add(64)) {
                seen[asker as usize] = 1 << (asker - first);
                at[asker as usize] = 1 << (asker - first);
            }
            for hops in 0.. {
                let mut layer = (0, 0);
                for node in 0..nodes {
                    let bits = at[node as usize];
                    if bits == 0 {
                        continue;
                    }
                    let links = graph.links(node);
                    let sends = links.len() as u64 - u64::from(hops > 0);
                    layer.0 += u64::from(bits.count_ones());
                    layer.1 += u64::from(bits.count_ones()) * sends;
                    for half in links {
                        next[half.to as usize] |= bits;
                    }
                }
                if layer.0 == 0 {
                    break;
                }
                match sums.get_mut(hops) {
                    Some(sum) => *sum = (sum.0 + layer.0, sum.1 + layer.1),
                    None => sums.push(layer),
                }
                for (node, seen) in seen.iter_mut().enumerate() {
                    at[node] = next[node] & !*seen;
                    *seen |= next[node];
                    next[node] = 0;
                }
            }
        }
        (Self { layers: sums }, u64::from(nodes))
    }

    /// A flood of this TTL.
    pub fn flood(&self, ttl: u8) -> Flooded {
        let ttl = usize::from(ttl);
        let sum = |layers: &[(u64, u64)], of: fn(&(u64, u64)) -> u64| layers.iter().map(of).sum();
        let end = self.layers.len();
        let messages: u64 = sum(&self.layers[..ttl.min(end)], |layer| layer.1);
        let reached: u64 = sum(&self.layers[1..(ttl + 1).min(end)], |layer| layer.0);
        Flooded {
            messages,
            reached,
            duplicates: messages - reached,
            last_hop: self.layers.get(ttl).map_or(0, |layer| layer.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::sim::{Setting, World, predict};
    use crate::topology::{Network, parse_spec};

    #[test]
    fn all_askers_at_once_are_each_of_them_added_up() {
        for spec in ["ba:n=150,m=2", "er:n=130,p=0.02", "line:5"] {
            let network = Network::new(&parse_spec(spec, 7).unwrap()).unwrap();
            let graph = network.graph();
            let (all, askers) = Layers::of_all(&graph);
            assert_eq!(askers, graph.nodes() as u64);
            for ttl in [1, 2, 3, 5, 255] {
                let mut sum = Flooded::default();
                for asker in 0..u32::try_from(graph.nodes()).unwrap() {
                    let one = Layers::of(&graph, asker).flood(ttl);
                    sum.messages += one.messages;
                    sum.reached += one.reached;
                    sum.duplicates += one.duplicates;
                    sum.last_hop += one.last_hop;
                }
                assert_eq!(all.flood(ttl), sum, "{spec}, TTL {ttl}");
            }
        }
    }

    #[test]
    fn floods_by_layers_are_those_of_the_routing_core() {
        for spec in ["ba:n=120,m=2", "er:n=90,p=0.04", "grid:7x9", "rr:n=60,k=5"] {
            let network = Network::new(&parse_spec(spec, 7).unwrap()).unwrap();
            let graph = network.graph();
            let mut world = World::new(&network, Setting::default()).unwrap();
            for asker in [0, 17, 42] {
                let layers = Layers::of(&graph, asker);
                for ttl in (1..9).chain([255]) {
                    let thin = layers.flood(ttl);
                    let query = world.search(asker, "moby dick", ttl);
                    world.run_until_quiet(u64::MAX);
                    world.end_queries(query);
                    let core = Flooded::of(&world.measured(query), thin.last_hop);
                    assert_eq!(core, thin, "{spec}, asker {asker}, TTL {ttl}");
                    let predicted = predict(&graph, asker, ttl, &BTreeMap::new());
                    assert_eq!(predicted.messages, thin.messages);
                    assert_eq!(predicted.reached, thin.reached);
                }
            }
        }
    }
}
