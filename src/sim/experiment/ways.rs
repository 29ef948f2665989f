//! Strategies side by side: the same askers look for the same objects, each way in the routing core.

use serde::Deserialize;

use super::objects::{Object, copies, scatter, shared};
use super::{Bench, dice_of, nodes_of, real};
use crate::node::strategy::{Approach, Forward, Strategy};
use crate::sim::{Flooded, Layers, Measured, Setting, World};
use crate::topology::plan::LAB_TTL;
use crate::topology::{Network, TopologyError, dice};

/// Queries in several ways.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_field_names,
    reason = "the field is what files call it: the ways of `ways`"
)]
pub struct Ways {
    /// Strategies, as `--strategy` takes them. The first is the one that others are compared with.
    pub ways: Vec<String>,
    /// Share of the nodes that have a copy; 0: what nobody has is looked for.
    pub replication: f64,
    /// Objects, placed anew for each seed.
    pub objects: usize,
    /// Askers drawn for each seed; each asks for one object.
    pub askers: usize,
    /// Those of them that ask for plain floods in the core; what other floods cost is calculated. All other ways
    /// always run in the core.
    pub floods_in_core: usize,
}

/// A query to be made each way.
struct Question<'a> {
    asker: u32,
    object: Option<&'a Object>,
}

impl Ways {
    pub(super) fn run(&self, bench: &mut Bench<'_>) -> Result<(), TopologyError> {
        let ways: Vec<Approach> = self
            .ways
            .iter()
            .map(|way| way.parse())
            .collect::<Result<_, _>>()
            .map_err(|error| TopologyError::new("ways", format!("{error}")))?;
        for spec in bench.graphs {
            let mut nodes = 0;
            for seed in bench.seeds() {
                let network = bench.network(spec, seed)?;
                nodes = u64::from(nodes_of(&network));
                let mut rng = dice_of(seed);
                let objects = if self.replication > 0.0 {
                    let copies = copies(nodes_of(&network), self.replication);
                    scatter(&network, "object", self.objects, copies, &mut rng)
                } else {
                    Vec::new()
                };
                let questions: Vec<Question<'_>> = (0..self.askers)
                    .map(|_| {
                        let asker = dice::node(&mut rng, nodes_of(&network));
                        let object = (!objects.is_empty())
                            .then(|| &objects[dice::pick(&mut rng, objects.len())]);
                        Question { asker, object }
                    })
                    .collect();
                for way in &ways {
                    let setting = Setting {
                        libraries: shared(objects.iter()),
                        forward: way.forward,
                        threads: bench.threads,
                        ..Setting::default()
                    };
                    self.ask(bench, &spec.name, &network, (way, setting), &questions)?;
                }
            }
            relate(bench, &spec.name, &self.ways, nodes);
        }
        Ok(())
    }

    fn ask(
        &self,
        bench: &mut Bench<'_>,
        name: &str,
        network: &Network,
        (way, setting): (&Approach, Setting),
        questions: &[Question<'_>],
    ) -> Result<(), TopologyError> {
        let is_flood = way.forward == Forward::Flood && way.strategy == Strategy::Flood;
        let ttl = way.ttl.unwrap_or(LAB_TTL);
        let graph = network.graph();
        let mut world = World::new(network, setting)?;
        for (at, question) in questions.iter().enumerate() {
            let thin = is_flood.then(|| Layers::of(&graph, question.asker).flood(ttl));
            let in_core = !is_flood || at < self.floods_in_core;
            let measured = if in_core {
                let word = question.object.map_or("nobody", |object| &object.word);
                let query = world.search_by(question.asker, word, ttl, way.strategy.clone());
                world.run_until_quiet(u64::MAX);
                world.end_queries(query);
                let measured = world.measured(query);
                if let Some(thin) = thin {
                    let core = Flooded::of(&measured, thin.last_hop);
                    let what = format!("{name}, {way}, asker {}", question.asker);
                    bench.outcome.compare(&what, &core, &thin);
                }
                measured
            } else {
                let thin = thin.unwrap_or_default();
                Measured {
                    messages: thin.messages,
                    reached: thin.reached,
                    duplicates: thin.duplicates,
                    ..Measured::default()
                }
            };
            self.note(bench, name, way, network, &measured, in_core);
        }
        Ok(())
    }

    fn note(
        &self,
        bench: &mut Bench<'_>,
        name: &str,
        way: &Approach,
        network: &Network,
        measured: &Measured,
        in_core: bool,
    ) {
        let figures = &mut bench.outcome.figures;
        let mut add =
            |what: &str, value: f64| figures.add(figure(name, &way.to_string(), what), value);
        let nodes = real(u64::from(nodes_of(network)));
        add(MESSAGES, real(measured.messages));
        add("messages per node", real(measured.messages) / nodes);
        add(VISITED, real(measured.reached + 1));
        if self.replication > 0.0 && in_core {
            add("success", if measured.hits > 0 { 1.0 } else { 0.0 });
            if let Some(hops) = measured.first_hit_hops {
                add("hops to the first hit", f64::from(hops));
            }
        }
    }
}

const MESSAGES: &str = "messages";
const VISITED: &str = "nodes visited";

fn figure(graph: &str, way: &str, what: &str) -> String {
    format!("{graph}, {way}: {what}")
}

/// Each way beside the first.
fn relate(bench: &mut Bench<'_>, name: &str, ways: &[String], nodes: u64) {
    let figures = &mut bench.outcome.figures;
    let Some((first, rest)) = ways.split_first() else {
        return;
    };
    let reference = |figures: &super::Figures, what: &str| figures.mean(&figure(name, first, what));
    let (cost, scope) = (reference(figures, MESSAGES), reference(figures, VISITED));
    for way in rest {
        let of = |what: &str| figure(name, way, what);
        let measured = figures.get(&of(MESSAGES));
        let (messages, n) = measured.map_or((f64::NAN, nodes), |m| (m.value, m.n));
        let visited = figures.mean(&of(VISITED));
        figures.set(
            of(&format!("saved against {first}, %")),
            (1.0 - messages / cost) * 100.0,
            n,
        );
        figures.set(of(&format!("scope against {first}")), visited / scope, n);
        figures.set(
            of(&format!("times fewer messages than {first}")),
            cost / messages,
            n,
        );
    }
}
