//! What floods reach and cost, TTL by TTL.

use serde::Deserialize;

use super::plot::Curve;
use super::{Bench, Plot, dice_of, nodes_of, real};
use crate::sim::{Flooded, Layers, Setting, World};
use crate::topology::{Network, TopologyError, Traits, dice};

/// Kinds of links with random delays.
const DELAY_KINDS: u64 = 256;
/// Longest random delay of a link.
const DELAY_NS_MAX: u64 = 200_000_000;
/// Words that nobody shares.
const NOTHING: &str = "nobody has this";

/// Floods from many askers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flood {
    /// TTLs; at 255 nothing is cut short.
    pub ttl: Vec<u8>,
    /// Askers drawn for each seed.
    pub askers: usize,
    /// Those of them that ask in the routing core; the rest is calculated.
    pub in_core: usize,
    /// Calculate the cost of every node's flood, instead of that of the drawn ones: means without an error. The drawn ones
    /// that ask in the core are compared all the same.
    #[serde(default)]
    pub everybody: bool,
    /// Give each link a delay of its own, drawn for each seed. Then all askers must ask in the core.
    #[serde(default)]
    pub random_delays: bool,
}

impl Flood {
    pub(super) fn run(&self, bench: &mut Bench<'_>) -> Result<(), TopologyError> {
        if self.random_delays && self.in_core < self.askers {
            let message = "with random delays nothing can be calculated: in_core must be askers";
            return Err(TopologyError::new("flood", message));
        }
        for graph in bench.graphs {
            let name = if self.random_delays {
                format!("{}, random delays", graph.name)
            } else {
                graph.name.clone()
            };
            let mut all: Vec<Vec<Flooded>> = vec![Vec::new(); self.ttl.len()];
            let mut nodes = 0;
            for seed in bench.seeds() {
                let mut network = bench.network(graph, seed)?;
                if self.random_delays {
                    draw_delays(&mut network, seed);
                }
                nodes = u64::from(nodes_of(&network));
                self.ask(bench, &name, &network, seed, &mut all)?;
                if self.everybody && seed == bench.seeds {
                    self.note_everybody(bench, &name, &network);
                }
            }
            if !self.everybody {
                self.note(bench, &name, nodes, &all);
            }
        }
        Ok(())
    }

    /// All askers of one seed.
    fn ask(
        &self,
        bench: &mut Bench<'_>,
        name: &str,
        network: &Network,
        seed: u64,
        all: &mut [Vec<Flooded>],
    ) -> Result<(), TopologyError> {
        let graph = network.graph();
        let mut world = (self.in_core > 0)
            .then(|| {
                let setting = Setting {
                    threads: bench.threads,
                    ..Setting::default()
                };
                World::new(network, setting)
            })
            .transpose()?;
        let mut rng = dice_of(seed);
        for at in 0..self.askers {
            let asker = dice::node(&mut rng, nodes_of(network));
            let layers = Layers::of(&graph, asker);
            for (ttl, all) in self.ttl.iter().zip(&mut *all) {
                let thin = layers.flood(*ttl);
                let Some(world) = world.as_mut().filter(|_| at < self.in_core) else {
                    all.push(thin);
                    continue;
                };
                let query = world.search(asker, NOTHING, *ttl);
                world.run_until_quiet(u64::MAX);
                world.end_queries(query);
                let core = Flooded::of(&world.measured(query), thin.last_hop);
                if !self.random_delays || *ttl == u8::MAX {
                    let what = format!("{name}, seed {seed}, asker {asker}, TTL {ttl}");
                    bench.outcome.compare(&what, &core, &thin);
                }
                all.push(core);
            }
        }
        Ok(())
    }

    /// Means over all nodes of a graph.
    fn note_everybody(&self, bench: &mut Bench<'_>, name: &str, network: &Network) {
        (bench.say)(&format!("{name}, the floods of all nodes"));
        let (layers, askers) = Layers::of_all(&network.graph());
        let figures = &mut bench.outcome.figures;
        let (mut visited, mut cost) = (Vec::new(), Vec::new());
        let each = real(askers) * real(askers);
        for ttl in &self.ttl {
            let flood = layers.flood(*ttl);
            let mut set = |what: &str, value: f64| {
                figures.set(format!("{name}, TTL {ttl}: {what}"), value, askers);
            };
            let share = real(flood.reached + askers) / each * 100.0;
            let messages = real(flood.messages) / each;
            set("visited, %", share);
            set("messages per node", messages);
            set(
                "duplicates, %",
                real(flood.duplicates) / real(flood.messages) * 100.0,
            );
            visited.push((f64::from(*ttl), share));
            cost.push((f64::from(*ttl), messages));
        }
        let plots = &mut bench.outcome.plots;
        add_curve(plots, ("Nodes visited, %", "TTL"), name, visited);
        add_curve(plots, ("Messages per node", "TTL"), name, cost);
    }

    fn note(&self, bench: &mut Bench<'_>, name: &str, nodes: u64, all: &[Vec<Flooded>]) {
        let figures = &mut bench.outcome.figures;
        let (mut visited, mut cost) = (Vec::new(), Vec::new());
        for (ttl, floods) in self.ttl.iter().zip(all) {
            let figure = |what: &str| format!("{name}, TTL {ttl}: {what}");
            let (mut messages, mut reached, mut last) = (0, 0, 0);
            for flood in floods {
                let share = real(flood.reached + 1) / real(nodes);
                figures.add(figure("visited, %"), share * 100.0);
                figures.add(
                    figure("messages per node"),
                    real(flood.messages) / real(nodes),
                );
                messages += flood.messages;
                reached += flood.reached;
                last += flood.last_hop;
            }
            let n = floods.len() as u64;
            let duplicates = 1.0 - real(reached) / real(messages);
            figures.set(figure("duplicates, %"), duplicates * 100.0, n);
            let last = real(last) / real(reached) * 100.0;
            figures.set(figure("reached on the last hop, %"), last, n);
            let costs = || floods.iter().map(|flood| flood.messages);
            let (least, most) = (costs().min().unwrap_or(0), costs().max().unwrap_or(0));
            figures.set(figure("messages of the cheapest flood"), real(least), n);
            figures.set(figure("messages of the dearest flood"), real(most), n);
            visited.push((f64::from(*ttl), figures.mean(&figure("visited, %"))));
            cost.push((f64::from(*ttl), figures.mean(&figure("messages per node"))));
        }
        if self.ttl.len() > 1 {
            add_curve(
                &mut bench.outcome.plots,
                ("Nodes visited, %", "TTL"),
                name,
                visited,
            );
            add_curve(
                &mut bench.outcome.plots,
                ("Messages per node", "TTL"),
                name,
                cost,
            );
        }
    }
}

/// Adds a curve to the plot of that title, or begins one.
pub(super) fn add_curve(
    plots: &mut Vec<Plot>,
    (title, x): (&str, &str),
    name: &str,
    points: Vec<(f64, f64)>,
) {
    let curve = Curve {
        name: name.to_owned(),
        points,
    };
    match plots.iter_mut().find(|plot| plot.title == title) {
        Some(plot) => plot.curves.push(curve),
        None => plots.push(Plot {
            title: title.to_owned(),
            x: x.to_owned(),
            curves: vec![curve],
        }),
    }
}

/// Gives each link one of many delays.
fn draw_delays(network: &mut Network, seed: u64) {
    let mut rng = dice::seeded(seed, super::PURPOSE + 1);
    let plain = network.traits[0];
    network.traits = (0..DELAY_KINDS)
        .map(|_| Traits {
            delay_ns: 1 + dice::below(&mut rng, DELAY_NS_MAX),
            ..plain
        })
        .collect();
    for edge in &mut network.edges {
        edge.traits = u32::try_from(dice::below(&mut rng, DELAY_KINDS)).expect("few kinds");
    }
}
