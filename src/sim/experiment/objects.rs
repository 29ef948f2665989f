//! Objects with copies at random nodes: what queries of experiments look for.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::rngs::ChaCha8Rng;

use crate::node::library::Library;
use crate::sim::libraries;
use crate::topology::plan::Plan;
use crate::topology::{File, Fill, Graph, Network, dice};

use super::nodes_of;

/// One object.
#[derive(Clone, Debug)]
pub(super) struct Object {
    /// The word that finds it.
    pub(super) word: String,
    /// Nodes with a copy.
    pub(super) holders: Vec<u32>,
}

/// Copies of an object at this share of so many nodes, at least one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of the nodes is not above their number"
)]
pub(super) fn copies(nodes: u32, share: f64) -> usize {
    ((f64::from(nodes) * share).round() as usize).max(1)
}

/// `count` objects for each share of `of` nodes, scattered.
pub(super) fn kinds(
    network: &Network,
    (shares, of): (&[f64], u32),
    count: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<Vec<Object>> {
    let kind = |(kind, share): (usize, &f64)| {
        let prefix = format!("kind{kind}object");
        scatter(network, &prefix, count, copies(of, *share), rng)
    };
    shares.iter().enumerate().map(kind).collect()
}

/// So many nodes, each drawn from all.
pub(super) fn askers(network: &Network, count: usize, rng: &mut ChaCha8Rng) -> Vec<u32> {
    let one = |_| dice::node(rng, nodes_of(network));
    (0..count).map(one).collect()
}

/// So many copies of each of `count` objects, at nodes drawn without a second turn for any.
pub(super) fn scatter(
    network: &Network,
    prefix: &str,
    count: usize,
    copies: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<Object> {
    let mut places: Vec<u32> = (0..nodes_of(network)).collect();
    let copies = copies.min(places.len());
    (0..count)
        .map(|number| {
            for first in 0..copies {
                let drawn = first + dice::pick(rng, places.len() - first);
                places.swap(first, drawn);
            }
            Object {
                word: format!("{prefix}{number}"),
                holders: places[..copies].to_vec(),
            }
        })
        .collect()
}

/// What each node shares of these objects.
pub(super) fn shared<'a>(objects: impl Iterator<Item = &'a Object>) -> BTreeMap<u32, Arc<Library>> {
    let mut plan = Plan::default();
    for object in objects {
        for holder in &object.holders {
            plan.files.entry(*holder).or_default().push(File {
                name: format!("{}.dat", object.word),
                size: 1000,
                fill: Fill::Zero,
            });
        }
    }
    libraries(&plan, &BTreeMap::new())
}

/// Hops from an asker to each node; `u32::MAX`: there is no way.
pub(super) fn distances(graph: &Graph, asker: u32) -> Vec<u32> {
    let mut distances = vec![u32::MAX; graph.nodes()];
    graph.each_within(asker, u32::MAX, |node, hops| {
        distances[node as usize] = hops;
    });
    distances
}

impl Object {
    /// Hops to the nearest copy that is not the asker's own.
    pub(super) fn nearest(&self, distances: &[u32]) -> u32 {
        let hops = self.holders.iter().map(|node| distances[*node as usize]);
        hops.filter(|hops| *hops > 0).min().unwrap_or(u32::MAX)
    }
}
