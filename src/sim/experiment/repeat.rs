//! The same work again, on other numbers of threads: it must leave the same trace.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::objects::{copies, scatter, shared};
use super::{Bench, GraphSpec, dice_of, nodes_of, real};
use crate::sim::parallel::combined;
use crate::sim::{Setting, World};
use crate::topology::plan::LAB_TTL;
use crate::topology::{Network, TopologyError, dice};

/// Worlds that are run several times.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// Numbers of threads. All worlds, one for each seed, are run on each.
    pub threads: Vec<usize>,
    /// Queries in each world.
    pub queries: usize,
    /// Share of the nodes that have what is looked for.
    pub replication: f64,
}

impl Repeat {
    pub(super) fn run(&self, bench: &mut Bench<'_>) -> Result<(), TopologyError> {
        for spec in bench.graphs {
            let networks: Vec<Network> = bench
                .seeds()
                .map(|seed| bench.network(spec, seed))
                .collect::<Result<_, _>>()?;
            let (mut all, mut worlds) = (BTreeSet::new(), BTreeSet::new());
            for threads in &self.threads {
                (bench.say)(&format!("{}, {threads} threads", spec.name));
                let digests = networks
                    .iter()
                    .map(|network| self.digest(network, *threads));
                let digests: Vec<u64> = digests.collect::<Result<_, _>>()?;
                all.insert(combined(digests.iter().copied()));
                worlds.extend(digests);
            }
            self.note(bench, spec, &all, &worlds);
        }
        Ok(())
    }

    fn note(
        &self,
        bench: &mut Bench<'_>,
        spec: &GraphSpec,
        all: &BTreeSet<u64>,
        worlds: &BTreeSet<u64>,
    ) {
        let runs = self.threads.len() as u64;
        let threads: Vec<String> = self.threads.iter().map(usize::to_string).collect();
        let threads = threads.join(", ");
        let figures = &mut bench.outcome.figures;
        figures.set(
            format!(
                "{}: trace hashes of the same work at {threads} threads",
                spec.name
            ),
            real(all.len() as u64),
            runs,
        );
        figures.set(
            format!(
                "{}: trace hashes of {} seeds in all those runs",
                spec.name, bench.seeds
            ),
            real(worlds.len() as u64),
            runs * bench.seeds,
        );
    }

    /// The trace of all queries in one world on so many threads.
    fn digest(&self, network: &Network, threads: usize) -> Result<u64, TopologyError> {
        let mut rng = dice_of(network.seed);
        let copies = copies(nodes_of(network), self.replication);
        let objects = scatter(network, "object", 10, copies, &mut rng);
        let setting = Setting {
            libraries: shared(objects.iter()),
            threads,
            ..Setting::default()
        };
        let mut world = World::new(network, setting)?;
        for _ in 0..self.queries {
            let asker = dice::node(&mut rng, nodes_of(network));
            let object = &objects[dice::pick(&mut rng, objects.len())];
            let query = world.search(asker, &object.word, LAB_TTL);
            world.run_until_quiet(u64::MAX);
            world.end_queries(query);
        }
        Ok(world.digest())
    }
}
