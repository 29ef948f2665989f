//! How often a flood finds what so many nodes have.

use serde::Deserialize;

use super::flood::add_curve;
use super::objects::{Object, askers, distances, kinds, shared};
use super::{Bench, dice_of, nodes_of, real};
use crate::sim::{Setting, World};
use crate::topology::{Network, TopologyError};

/// Floods for objects of several replications.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Find {
    /// TTLs.
    pub ttl: Vec<u8>,
    /// Shares of the nodes that have a copy.
    pub replication: Vec<f64>,
    /// The nodes that those are shares of, when not all of the graph.
    #[serde(default)]
    pub of: Option<u32>,
    /// Objects of each replication, placed anew for each seed.
    pub objects: usize,
    /// Askers drawn for each seed, each of which asks for every object.
    pub askers: usize,
    /// Those of them that ask in the routing core too, for one object of each replication.
    pub in_core: usize,
}

impl Find {
    pub(super) fn run(&self, bench: &mut Bench<'_>) -> Result<(), TopologyError> {
        for spec in bench.graphs {
            for seed in bench.seeds() {
                let network = bench.network(spec, seed)?;
                let mut rng = dice_of(seed);
                let shares = (&self.replication[..], self.of.unwrap_or(nodes_of(&network)));
                let kinds = kinds(&network, shares, self.objects, &mut rng);
                let askers = askers(&network, self.askers, &mut rng);
                let graph = network.graph();
                for asker in &askers {
                    let distances = distances(&graph, *asker);
                    for (share, objects) in self.replication.iter().zip(&kinds) {
                        let hops: Vec<u32> = objects
                            .iter()
                            .map(|object| object.nearest(&distances))
                            .collect();
                        for ttl in &self.ttl {
                            // What one asker finds is one value: its place in the graph is common to all of it.
                            let within = |hops: &&u32| **hops <= u32::from(*ttl);
                            let found = hops.iter().filter(within).count() as u64;
                            let success = real(found) / real(hops.len() as u64);
                            let figure = figure(&spec.name, *ttl, *share);
                            bench.outcome.figures.add(figure, success);
                        }
                    }
                }
                self.in_core(bench, &spec.name, &network, &kinds, &askers)?;
            }
            for share in &self.replication {
                let figures = &bench.outcome.figures;
                let point = |ttl: &u8| {
                    let success = figures.mean(&figure(&spec.name, *ttl, *share));
                    (f64::from(*ttl), success)
                };
                let points = self.ttl.iter().map(point).collect();
                let name = format!("{}, {} %", spec.name, share * 100.0);
                add_curve(
                    &mut bench.outcome.plots,
                    ("Success of a flood", "TTL"),
                    &name,
                    points,
                );
            }
        }
        Ok(())
    }

    fn in_core(
        &self,
        bench: &mut Bench<'_>,
        name: &str,
        network: &Network,
        kinds: &[Vec<Object>],
        askers: &[u32],
    ) -> Result<(), TopologyError> {
        let setting = Setting {
            libraries: shared(kinds.iter().flatten()),
            threads: bench.threads,
            ..Setting::default()
        };
        let mut world = World::new(network, setting)?;
        let graph = network.graph();
        for (at, asker) in askers.iter().take(self.in_core).enumerate() {
            let distances = distances(&graph, *asker);
            for objects in kinds {
                let object = &objects[at % objects.len()];
                for ttl in &self.ttl {
                    let query = world.search(*asker, &object.word, *ttl);
                    world.run_until_quiet(u64::MAX);
                    world.end_queries(query);
                    let hops = object.nearest(&distances);
                    let thin = (hops <= u32::from(*ttl)).then_some(hops);
                    let core = world.measured(query).first_hit_hops;
                    let what = format!("{name}: {asker} asks for {} with TTL {ttl}", object.word);
                    bench.outcome.compare(&what, &core, &thin);
                }
            }
        }
        Ok(())
    }
}

fn figure(graph: &str, ttl: u8, share: f64) -> String {
    format!("{graph}, TTL {ttl}, {} % have it: success", share * 100.0)
}
