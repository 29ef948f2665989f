//! Graphs that a topology file takes from other files. Reading those is the caller's business, who then fills them in.

use std::sync::Arc;

/// A graph of another file, whose nodes become a run of the topology's: a prefix and a number from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The file: packed links, or a graph that `lab import` reads; relative to the topology's.
    pub file: String,
    /// Node ids are this and a number from 0, in the order in which the file names them.
    pub prefix: String,
    /// Keep the largest connected piece only.
    pub largest: bool,
    /// What was in the file; `None`: not read yet.
    pub links: Option<Arc<Links>>,
}

/// A bare graph: nodes by number, each link once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// Number of nodes.
    pub nodes: u32,
    /// Links between them.
    pub pairs: Vec<(u32, u32)>,
}

impl Links {
    /// The largest connected piece, its nodes numbered anew in the same order; of equal ones the first.
    pub fn largest(&self) -> Self {
        let keep = super::foreign::largest(self.nodes as usize, &self.pairs);
        let mut number = vec![0_u32; keep.len()];
        let mut nodes = 0;
        for (node, keep) in keep.iter().enumerate() {
            number[node] = nodes;
            nodes += u32::from(*keep);
        }
        let pairs = self.pairs.iter().filter(|(a, _)| keep[*a as usize]);
        let pairs = pairs.map(|(a, b)| (number[*a as usize], number[*b as usize]));
        Self {
            nodes,
            pairs: pairs.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_piece_is_numbered_anew() {
        let links = Links {
            nodes: 7,
            pairs: vec![(0, 1), (2, 4), (4, 6), (6, 2)],
        };
        let largest = links.largest();
        assert_eq!(largest.nodes, 3);
        assert_eq!(largest.pairs, [(0, 1), (1, 2), (2, 0)]);
    }
}
