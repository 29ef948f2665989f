//! An undirected graph, packed: who is linked to whom, and at which of its links.

use super::Edge;

/// One end of a link, as seen from its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Half {
    /// The node at the other end.
    pub to: u32,
    /// Position of this same link among the links of `to`.
    pub back: u32,
    /// Position of the link in the list the graph was built from.
    pub edge: u32,
}

/// A graph of nodes 0 to n - 1. The links of a node are numbered 0 to degree - 1, in the order in which the
/// list names them.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Where the links of each node start in `halves`; one more at the end.
    starts: Vec<u32>,
    halves: Vec<Half>,
}

impl Graph {
    /// Packs `edges` between `nodes` nodes.
    ///
    /// # Panics
    /// When an edge names a node that is not there, or there are 2^31 edges and more.
    pub fn new(nodes: usize, edges: &[Edge]) -> Self {
        let mut starts = vec![0_u32; nodes + 1];
        for edge in edges {
            starts[edge.a as usize + 1] += 1;
            starts[edge.b as usize + 1] += 1;
        }
        let mut sum = 0_u32;
        for start in &mut starts {
            sum = sum.checked_add(*start).expect("fewer than 2^31 links");
            *start = sum;
        }
        let mut next = starts.clone();
        let mut halves = vec![
            Half {
                to: 0,
                back: 0,
                edge: 0
            };
            edges.len() * 2
        ];
        for (position, edge) in edges.iter().enumerate() {
            let position = u32::try_from(position).expect("fewer than 2^31 links");
            let (at_a, at_b) = (next[edge.a as usize], next[edge.b as usize]);
            let (link_a, link_b) = (
                at_a - starts[edge.a as usize],
                at_b - starts[edge.b as usize],
            );
            halves[at_a as usize] = Half {
                to: edge.b,
                back: link_b,
                edge: position,
            };
            halves[at_b as usize] = Half {
                to: edge.a,
                back: link_a,
                edge: position,
            };
            next[edge.a as usize] += 1;
            next[edge.b as usize] += 1;
        }
        Self { starts, halves }
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.starts.len() - 1
    }

    /// Number of links.
    pub fn edges(&self) -> usize {
        self.halves.len() / 2
    }

    /// The links of a node, in order.
    pub fn links(&self, node: u32) -> &[Half] {
        let node = node as usize;
        &self.halves[self.starts[node] as usize..self.starts[node + 1] as usize]
    }

    /// Number of links of a node.
    pub fn degree(&self, node: u32) -> usize {
        self.links(node).len()
    }

    /// Where the links of a node start in a list of all ends of all links, node after node.
    pub fn first_end(&self, node: u32) -> usize {
        self.starts[node as usize] as usize
    }

    /// Calls `each` with every node within `hops_max` hops of `source` and its distance, nearest first, itself
    /// with 0.
    pub fn each_within(&self, source: u32, hops_max: u32, mut each: impl FnMut(u32, u32)) {
        let mut seen = vec![false; self.nodes()];
        let (mut layer, mut next) = (vec![source], Vec::new());
        seen[source as usize] = true;
        let mut hops = 0;
        while !layer.is_empty() {
            for &node in &layer {
                each(node, hops);
                if hops == hops_max {
                    continue;
                }
                for half in self.links(node) {
                    if !std::mem::replace(&mut seen[half.to as usize], true) {
                        next.push(half.to);
                    }
                }
            }
            std::mem::swap(&mut layer, &mut next);
            next.clear();
            hops += 1;
        }
    }

    /// For each node, the number of its component; and how many components there are. Components are numbered
    /// by their lowest node.
    pub fn components(&self) -> (Vec<u32>, u32) {
        let mut of = vec![u32::MAX; self.nodes()];
        let (mut count, mut stack) = (0, Vec::new());
        for root in 0..u32::try_from(self.nodes()).expect("nodes are counted in 32 bits") {
            if of[root as usize] != u32::MAX {
                continue;
            }
            of[root as usize] = count;
            stack.push(root);
            while let Some(node) = stack.pop() {
                for half in self.links(node) {
                    if of[half.to as usize] == u32::MAX {
                        of[half.to as usize] = count;
                        stack.push(half.to);
                    }
                }
            }
            count += 1;
        }
        (of, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(nodes: usize, pairs: &[(u32, u32)]) -> Graph {
        let edges: Vec<Edge> = pairs
            .iter()
            .map(|&(a, b)| Edge { a, b, traits: 0 })
            .collect();
        Graph::new(nodes, &edges)
    }

    #[test]
    fn each_end_of_a_link_knows_its_place_at_the_other() {
        let graph = graph(4, &[(0, 1), (2, 1), (1, 3), (3, 0)]);
        assert_eq!((graph.nodes(), graph.edges(), graph.degree(1)), (4, 4, 3));
        for node in 0..4 {
            for (link, half) in graph.links(node).iter().enumerate() {
                let other = graph.links(half.to)[half.back as usize];
                assert_eq!(
                    (other.to, other.back as usize, other.edge),
                    (node, link, half.edge)
                );
            }
        }
    }

    #[test]
    fn distances_and_components_are_found() {
        let graph = graph(6, &[(0, 1), (1, 2), (2, 3), (4, 5)]);
        let mut within = Vec::new();
        graph.each_within(0, 2, |node, hops| within.push((node, hops)));
        assert_eq!(within, [(0, 0), (1, 1), (2, 2)]);
        assert_eq!(graph.components(), (vec![0, 0, 0, 0, 1, 1], 2));
    }
}
