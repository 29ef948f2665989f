//! Nodes that are not as they should be: which are, and how many frames each can handle. Named one by one, or drawn by
//! their shares from the seed: exactly so many of those that nothing else is said of.

use super::types::{Behaviour, NodeSpec, Topology};
use super::{Network, TopologyError, dice};

/// Purposes of the randomness.
const BEHAVIOUR_PURPOSE: u64 = 10 << 32;
const CAPACITY_PURPOSE: u64 = 11 << 32;

/// Frames a second that a node handles which is only said to be slow. Our choice: a tenth of what one neighbour of a
/// busy overlay sends.
pub const SLOW_PER_S: u32 = 10;

/// What is drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Shares {
    behaviours: Vec<(Behaviour, f64)>,
    /// Frames a second by their shares, which need not add up to 1.
    capacities: Vec<(u32, f64)>,
    /// Frames a second of all others; `None`: any number.
    capacity: Option<u32>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Natures {
    /// For each node; empty when all behave.
    behaviours: Vec<Option<Behaviour>>,
    /// Frames a second of each node, 0 for any number; empty when there are no limits.
    capacities: Vec<u32>,
}

impl Shares {
    pub(super) fn of(topology: &Topology) -> Self {
        Self {
            behaviours: topology.behaviours.clone(),
            capacities: topology.capacities.clone(),
            capacity: topology.defaults.capacity,
        }
    }

    /// Draws for so many nodes, but for those that say something themselves.
    pub(super) fn draw<'a>(
        &self,
        seed: u64,
        nodes: usize,
        specs: impl Iterator<Item = (u32, &'a NodeSpec)> + Clone,
    ) -> Natures {
        let behaves = |spec: &NodeSpec| spec.behaviour.is_some();
        let mut behaviours = Vec::new();
        if !self.behaviours.is_empty() || specs.clone().any(|(_, spec)| behaves(spec)) {
            behaviours = vec![None; nodes];
            // Who is given files of its own is meant to have them.
            let gives = |spec: &NodeSpec| !spec.files.is_empty() || !spec.share.is_empty();
            let said = specs
                .clone()
                .filter(|(_, spec)| behaves(spec) || gives(spec));
            let open = shuffled(seed, BEHAVIOUR_PURPOSE, nodes, said);
            let shares: Vec<f64> = self.behaviours.iter().map(|(_, share)| *share).collect();
            // Shares of all nodes, as far as there are enough that are open to it.
            for (kind, drawn) in parts(&shares, nodes) {
                let end = drawn.end.min(open.len());
                for node in &open[drawn.start.min(end)..end] {
                    behaviours[*node as usize] = Some(self.behaviours[kind].0);
                }
            }
            for (node, spec) in specs.clone().filter(|(_, spec)| behaves(spec)) {
                behaviours[node as usize] = spec.behaviour;
            }
        }
        let slow = |behaviour: &Option<Behaviour>| *behaviour == Some(Behaviour::Slow);
        let says = |spec: &NodeSpec| spec.capacity.is_some();
        let mut capacities = Vec::new();
        if self.capacity.is_some()
            || !self.capacities.is_empty()
            || behaviours.iter().any(slow)
            || specs.clone().any(|(_, spec)| says(spec))
        {
            capacities = vec![self.capacity.unwrap_or(0); nodes];
            let said = specs.clone().filter(|(_, spec)| says(spec));
            let open = shuffled(seed, CAPACITY_PURPOSE, nodes, said);
            let all: f64 = self.capacities.iter().map(|(_, share)| share).sum();
            let shares: Vec<f64> = self
                .capacities
                .iter()
                .map(|(_, share)| share / all)
                .collect();
            for (kind, drawn) in parts(&shares, open.len()) {
                for node in &open[drawn] {
                    capacities[*node as usize] = self.capacities[kind].0;
                }
            }
            for (node, behaviour) in behaviours.iter().enumerate() {
                if slow(behaviour) {
                    capacities[node] = SLOW_PER_S;
                }
            }
            for (node, spec) in specs {
                if let Some(capacity) = spec.capacity {
                    capacities[node as usize] = capacity;
                }
            }
        }
        Natures {
            behaviours,
            capacities,
        }
    }
}

/// All nodes but those of which something is said, in an order drawn at random.
fn shuffled<'a>(
    seed: u64,
    purpose: u64,
    nodes: usize,
    said: impl Iterator<Item = (u32, &'a NodeSpec)>,
) -> Vec<u32> {
    let mut open = vec![true; nodes];
    said.for_each(|(node, _)| open[node as usize] = false);
    let all = 0..u32::try_from(nodes).expect("nodes are counted in 32 bits");
    let mut drawn: Vec<u32> = all.filter(|node| open[*node as usize]).collect();
    dice::shuffle(&mut dice::seeded(seed, purpose), &mut drawn);
    drawn
}

/// Where the part of each share lies in so many things.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "shares of a number of nodes"
)]
fn parts(shares: &[f64], of: usize) -> Vec<(usize, std::ops::Range<usize>)> {
    let mut sum = 0.0;
    let at = |sum: f64| ((sum * of as f64).round() as usize).min(of);
    let part = |(number, share): (usize, &f64)| {
        let start = at(sum);
        sum += share;
        (number, start..at(sum))
    };
    shares.iter().enumerate().map(part).collect()
}

impl Network {
    /// How a node behaves, when not as it should.
    pub fn behaviour(&self, node: u32) -> Option<Behaviour> {
        self.natures
            .behaviours
            .get(node as usize)
            .copied()
            .flatten()
    }

    /// Frames a second that a node can handle; `None`: any number.
    pub fn capacity(&self, node: u32) -> Option<u32> {
        let capacity = self.natures.capacities.get(node as usize).copied();
        capacity.filter(|per_s| *per_s > 0)
    }

    /// Whether any node cannot handle any number of frames.
    pub fn has_capacities(&self) -> bool {
        !self.natures.capacities.is_empty()
    }

    /// Whether a node has files for others: free riders and liars have none, whatever a file gives them.
    pub fn gives(&self, node: u32) -> bool {
        !matches!(
            self.behaviour(node),
            Some(Behaviour::FreeRider | Behaviour::Junk)
        )
    }

    /// Numbers of nodes that misbehave, by how.
    pub fn misbehaving(&self) -> Vec<(Behaviour, usize)> {
        Behaviour::ALL
            .iter()
            .map(|kind| {
                let of_kind = |known: &&Option<Behaviour>| **known == Some(*kind);
                (
                    *kind,
                    self.natures.behaviours.iter().filter(of_kind).count(),
                )
            })
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

/// Shares of behaviours are shares of all nodes.
pub(super) fn check(topology: &Topology) -> Result<(), TopologyError> {
    let sum: f64 = topology.behaviours.iter().map(|(_, share)| share).sum();
    if sum > 1.0 + 1e-9 {
        let text = format!("adds up to {sum}; shares of all nodes are 1 at most");
        return Err(TopologyError::new("behaviours", text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::parse;

    fn network(text: &str) -> Network {
        let text = format!(r#"{{"filbert": "topology/1", {text}}}"#);
        Network::new(&parse(&text).unwrap()).unwrap()
    }

    #[test]
    fn exactly_so_many_are_drawn_and_who_says_something_keeps_it() {
        let text = r#""seed": 3, "generate": [{"kind": "ring", "n": 100}],
            "nodes": [{"id": "n4", "behaviour": "silent"}, {"id": "n5", "capacity": "7/s"},
                      {"id": "n6", "files": [{"name": "x"}]}],
            "behaviours": {"free-rider": 0.7, "junk": 0.1},
            "defaults": {"capacity": "100/s"},
            "capacities": [{"share": 3, "capacity": "1/s"}, {"share": 1, "capacity": "10/s"}]"#;
        let drawn = network(text);
        assert_eq!(
            drawn.misbehaving(),
            [
                (Behaviour::FreeRider, 70),
                (Behaviour::Silent, 1),
                (Behaviour::Junk, 10)
            ]
        );
        assert_eq!(drawn.behaviour(4), Some(Behaviour::Silent));
        assert!(drawn.gives(6), "it has files of its own");
        let count = |per_s| {
            (0..100)
                .filter(|node| drawn.capacity(*node) == Some(per_s))
                .count()
        };
        assert_eq!([count(1), count(10), count(7), count(100)], [74, 25, 1, 0]);
        assert_eq!(network(text).natures, drawn.natures, "always the same");
        let other = network(&text.replace(r#""seed": 3"#, r#""seed": 4"#));
        assert_ne!(other.natures, drawn.natures);
    }

    #[test]
    fn slow_nodes_have_a_capacity_and_others_none() {
        let one = network(
            r#""generate": [{"kind": "ring", "n": 4}], "nodes": [{"id": "n1", "behaviour": "slow"}]"#,
        );
        assert_eq!((one.capacity(0), one.capacity(1)), (None, Some(SLOW_PER_S)));
        assert!(one.has_capacities());
        let none = network(r#""generate": [{"kind": "ring", "n": 4}]"#);
        assert!(!none.has_capacities() && none.misbehaving().is_empty());
    }
}
