//! What routing tables save on the last hop: the tables that ship, filled from libraries, along floods through the
//! graph.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::objects::{Object, askers, distances, kinds};
use super::{Bench, dice_of, nodes_of, real};
use crate::node::qrp::{QueryTable, QueryWords};
use crate::sim::{Layers, libraries};
use crate::topology::plan::Plan;
use crate::topology::{File, Fill, Graph, Network, TopologyError, dice};

/// Floods of ultrapeers whose last hop goes by their neighbours' tables.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tables {
    /// TTL of the floods.
    pub ttl: u8,
    /// Shares of the ultrapeers whose tables hold what is looked for.
    pub replication: Vec<f64>,
    /// Objects of each replication, each looked for by every asker.
    pub objects: usize,
    /// Other files in the table of each ultrapeer, its leaves' included; three words each.
    pub files: usize,
    /// Different words of those.
    pub words: u64,
    /// Askers for each seed.
    pub askers: usize,
}

impl Tables {
    pub(super) fn run(&self, bench: &mut Bench<'_>) -> Result<(), TopologyError> {
        for spec in bench.graphs {
            for seed in bench.seeds() {
                let network = bench.network(spec, seed)?;
                let mut rng = dice_of(seed);
                let shares = (&self.replication[..], nodes_of(&network));
                let kinds = kinds(&network, shares, self.objects, &mut rng);
                let askers = askers(&network, self.askers, &mut rng);
                let matching = self.matching(&network, &kinds, seed);
                let graph = network.graph();
                for asker in &askers {
                    let distances = distances(&graph, *asker);
                    let flood = Layers::of(&graph, *asker).flood(self.ttl);
                    let mut bit = 0;
                    for (share, objects) in self.replication.iter().zip(&kinds) {
                        for _ in objects {
                            let (all, sent) = self.last_hop(&graph, &distances, &matching, bit);
                            let saved = real(all - sent) / real(flood.messages);
                            let figure = format!(
                                "{}, TTL {}, {} % have it: sends saved by tables, %",
                                spec.name,
                                self.ttl,
                                share * 100.0
                            );
                            bench.outcome.figures.add(figure, saved * 100.0);
                            bit += 1;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// For each node, which objects its table seems to hold, a bit each.
    fn matching(&self, network: &Network, kinds: &[Vec<Object>], seed: u64) -> Vec<u64> {
        let queries: Vec<QueryWords> = kinds
            .iter()
            .flatten()
            .map(|object| QueryWords::of(&object.word))
            .collect();
        let mut held: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
        for object in kinds.iter().flatten() {
            for holder in &object.holders {
                held.entry(*holder).or_default().push(&object.word);
            }
        }
        let mut rng = dice::seeded(seed, super::PURPOSE + 2);
        let mut word = || format!("word{}", dice::below(&mut rng, self.words));
        (0..nodes_of(network))
            .map(|node| {
                let own = held.get(&node).into_iter().flatten();
                let names = own
                    .map(|word| (*word).to_owned())
                    .chain((0..self.files).map(|_| format!("{} {} {}", word(), word(), word())));
                let files = names.map(|name| File {
                    name,
                    size: 1000,
                    fill: Fill::Zero,
                });
                let mut plan = Plan::default();
                plan.files.insert(node, files.collect());
                let libraries = libraries(&plan, &BTreeMap::new());
                let library = libraries.get(&node).cloned().unwrap_or_default();
                let table = QueryTable::of_library(&library);
                (0..)
                    .zip(&queries)
                    .filter(|(_, query)| table.matches(query))
                    .fold(0, |bits, (bit, _)| bits | 1_u64 << bit)
            })
            .collect()
    }

    /// Sends of the last hop without tables and with them, for the object of a bit.
    fn last_hop(&self, graph: &Graph, distances: &[u32], matching: &[u64], bit: u32) -> (u64, u64) {
        let (mut all, mut sent) = (0, 0);
        for (node, distance) in (0_u32..).zip(distances) {
            if *distance + 1 != u32::from(self.ttl) {
                continue;
            }
            // It came over one link, from the first neighbour nearer to the asker.
            let mut came = self.ttl > 1;
            for half in graph.links(node) {
                if came && distances[half.to as usize] + 1 == *distance {
                    came = false;
                    continue;
                }
                all += 1;
                sent += matching[half.to as usize] >> bit & 1;
            }
        }
        (all, sent)
    }
}
