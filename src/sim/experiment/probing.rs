//! Replication and the size of a search: nodes are probed at random, each time all alike, until one has what is
//! wanted. The copies and the wishes are those of the lab's own `content` and `workload`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{Bench, dice_of, nodes_of, real};
use crate::topology::plan::{Wish, plan};
use crate::topology::{Content, Copies, TopologyError, dice};

/// Random probing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probing {
    /// Different objects.
    pub objects: usize,
    /// Exponent of their popularity.
    pub zipf: f64,
    /// Share of the nodes that have a copy of one, on average.
    pub replication: f64,
    /// Searches for each seed and rule.
    pub searches: usize,
}

impl Probing {
    pub(super) fn run(&self, bench: &mut Bench<'_>) -> Result<(), TopologyError> {
        let rules = [
            ("uniform", Copies::Uniform(self.replication)),
            ("proportional", Copies::Proportional(self.replication)),
            ("square root", Copies::SquareRoot(self.replication)),
        ];
        for spec in bench.graphs {
            for seed in bench.seeds() {
                let mut network = bench.network(spec, seed)?;
                for (rule, copies) in rules {
                    network.content = Some(Content {
                        files: self.objects,
                        zipf: self.zipf,
                        copies,
                        size: 1000,
                    });
                    let wish = Wish {
                        queries: Some(self.searches),
                        ttl: None,
                    };
                    let plan = plan(&network, wish);
                    let mut holders: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
                    for (node, files) in &plan.files {
                        for file in files {
                            let word = file.name.trim_end_matches(".dat");
                            holders.entry(word).or_default().insert(*node);
                        }
                    }
                    let mut rng = dice_of(seed);
                    for ask in &plan.asks {
                        let Some(holders) = holders.get(ask.query.as_str()) else {
                            let message = format!("nobody has {:?}", ask.query);
                            return Err(TopologyError::new("probing", message));
                        };
                        let mut probes = 1_u64;
                        while !holders.contains(&dice::node(&mut rng, nodes_of(&network))) {
                            probes += 1;
                        }
                        bench.outcome.figures.add(size(rule), real(probes));
                    }
                }
            }
        }
        let figures = &mut bench.outcome.figures;
        let uniform = figures.mean(&size("uniform"));
        for rule in ["proportional", "square root"] {
            let (ratio, n) = figures
                .get(&size(rule))
                .map_or((f64::NAN, 0), |m| (m.value / uniform, m.n));
            figures.set(format!("{rule}: search size against uniform"), ratio, n);
        }
        Ok(())
    }
}

fn size(rule: &str) -> String {
    format!("{rule}: nodes probed")
}
