//! Experiments with a known outcome: a file says what is done and which figures must come out, and how near.
//!
//! - `flood`: what floods reach and cost; `find`: how often they find; `ways`: strategies side by side;
//! - `probing`: replication and the size of a search; `tables`: the last hop by routing tables; `presence`: who is on line;
//! - `figures`: what was measured, and its verdict; `plot`: curves as SVG.
//!
//! Whatever can run in the routing core that ships does. Where a thousand askers would take too long there, a part of
//! them runs in the core, and a search through the graph ([`Layers`](super::Layers)) stands for the rest: every query of that part
//! must cost and find exactly what the search says, else the experiment fails. Knows no files and no clock.

mod figures;
mod find;
mod flood;
mod objects;
pub mod plot;
mod presence;
mod probing;
mod repeat;
mod tables;
mod ways;

use rand::rngs::ChaCha8Rng;
use serde::Deserialize;
use serde_json::Value;

use crate::topology::{Links, Network, TopologyError, dice, parse};

pub use figures::{Bound, Evidence, Figures, Measurement, Target, Verdict};
pub use plot::Plot;

/// Value of the key `filbert` in every experiment file.
pub const FORMAT: &str = "experiment/1";
/// Purpose of the randomness that draws askers and places copies.
const PURPOSE: u64 = 6 << 32;

/// An experiment as its file has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    filbert: String,
    /// Its name, such as `E3`.
    pub id: String,
    /// What it shows, in a line.
    pub title: String,
    /// What is done, and why the targets are what they are.
    pub about: String,
    /// Where the targets are from.
    pub sources: Vec<String>,
    /// Seeds 1 to this.
    pub seeds: u64,
    /// What is done.
    pub steps: Vec<Step>,
    /// What must come out.
    pub targets: Vec<Target>,
}

/// Part of an experiment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// On which graphs.
    #[serde(default)]
    pub graphs: Vec<GraphSpec>,
    /// What.
    pub run: Procedure,
}

/// A graph of an experiment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphSpec {
    /// What figures call it.
    pub name: String,
    /// A topology as in a file of its own, whose seed is the run's.
    pub topology: Value,
    /// Keep the largest connected piece only.
    #[serde(default)]
    pub largest: bool,
}

/// What a step does.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Procedure {
    /// What floods reach and cost.
    Flood(flood::Flood),
    /// How often floods find.
    Find(find::Find),
    /// Strategies side by side.
    Ways(ways::Ways),
    /// Replication and the size of a search by random probing.
    Probing(probing::Probing),
    /// The same again, on other numbers of threads.
    Repeat(repeat::Repeat),
    /// Who is on line, and for how long.
    Presence(presence::Presence),
    /// The last hop by routing tables.
    Tables(tables::Tables),
}

/// What came out.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Everything measured.
    pub figures: Figures,
    /// Curves.
    pub plots: Vec<Plot>,
    /// Queries in the routing core that were compared with the search through the graph.
    pub compared: u64,
    /// Those that differed from it.
    pub differed: Vec<String>,
}

impl Outcome {
    /// Notes a query of the core beside what it should have cost.
    fn compare<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, core: &T, thin: &T) {
        /// Differences kept; one is bad enough.
        const DIFFERED_MAX: usize = 20;
        self.compared += 1;
        if core != thin && self.differed.len() < DIFFERED_MAX {
            self.differed.push(format!(
                "{what}: {core:?} in the core, {thin:?} by the graph"
            ));
        }
    }
}

/// Reads a file that a topology of an experiment names.
pub type Reader<'a> = &'a dyn Fn(&str) -> Result<Links, String>;

impl Experiment {
    /// Reads an experiment.
    ///
    /// # Errors
    /// What is wrong and where.
    pub fn parse(text: &str) -> Result<Self, TopologyError> {
        let wrong = |message: String| TopologyError::new("", message);
        let experiment: Self = serde_json::from_str(text)
            .map_err(|error| wrong(format!("not an experiment: {error}")))?;
        if experiment.filbert != FORMAT {
            return Err(wrong(format!("this program reads {FORMAT:?} only")));
        }
        if experiment.seeds == 0 || experiment.steps.is_empty() || experiment.targets.is_empty() {
            return Err(wrong(
                "an experiment has seeds, steps and targets; one of them is missing".to_owned(),
            ));
        }
        Ok(experiment)
    }

    /// Runs it, each world on so many threads: what comes out is the same with any number. `say` is told now and then
    /// what is being done.
    ///
    /// # Errors
    /// A topology that is none, or that the simulator cannot run; a target that nothing measures.
    pub fn run(
        &self,
        reader: Reader<'_>,
        threads: usize,
        say: &dyn Fn(&str),
    ) -> Result<Outcome, TopologyError> {
        let mut outcome = Outcome::default();
        for step in &self.steps {
            let mut bench = Bench {
                seeds: self.seeds,
                graphs: &step.graphs,
                reader,
                threads,
                say,
                outcome: &mut outcome,
            };
            match &step.run {
                Procedure::Flood(flood) => flood.run(&mut bench)?,
                Procedure::Find(find) => find.run(&mut bench)?,
                Procedure::Ways(ways) => ways.run(&mut bench)?,
                Procedure::Probing(probing) => probing.run(&mut bench)?,
                Procedure::Repeat(repeat) => repeat.run(&mut bench)?,
                Procedure::Presence(presence) => presence.run(&mut bench)?,
                Procedure::Tables(tables) => tables.run(&mut bench)?,
            }
        }
        for target in &self.targets {
            if outcome.figures.get(&target.figure).is_none() {
                let message = format!(
                    "nothing measures {:?}; figures: {}",
                    target.figure,
                    outcome.figures.names().collect::<Vec<_>>().join("; ")
                );
                return Err(TopologyError::new("targets", message));
            }
        }
        Ok(outcome)
    }

    /// Each target beside what was measured.
    pub fn verdicts(&self, outcome: &Outcome) -> Vec<Verdict> {
        self.targets
            .iter()
            .filter_map(|target| {
                let measured = outcome.figures.get(&target.figure)?;
                Some(Verdict::new(target, measured))
            })
            .collect()
    }
}

/// What a procedure works with.
struct Bench<'a> {
    seeds: u64,
    graphs: &'a [GraphSpec],
    reader: Reader<'a>,
    threads: usize,
    say: &'a dyn Fn(&str),
    outcome: &'a mut Outcome,
}

impl Bench<'_> {
    /// The seeds to run with.
    fn seeds(&self) -> std::ops::RangeInclusive<u64> {
        1..=self.seeds
    }

    /// A graph, drawn from a seed.
    fn network(&self, graph: &GraphSpec, seed: u64) -> Result<Network, TopologyError> {
        (self.say)(&format!("{}, seed {seed} of {}", graph.name, self.seeds));
        let mut topology = parse(&graph.topology.to_string())?;
        topology.seed = seed;
        for import in &mut topology.import {
            let read = (self.reader)(&import.file)
                .map_err(|error| TopologyError::new(format!("import: {}", import.file), error))?;
            let links = if import.largest { read.largest() } else { read };
            import.links = Some(std::sync::Arc::new(links));
        }
        if !topology.events.is_empty() {
            let text = "nothing happens in experiments: remove the key";
            return Err(TopologyError::new("events", text));
        }
        let network = Network::new(&topology)?;
        Ok(if graph.largest {
            network.largest_piece()
        } else {
            network
        })
    }
}

/// Randomness of an experiment.
fn dice_of(seed: u64) -> ChaCha8Rng {
    dice::seeded(seed, PURPOSE)
}

fn nodes_of(network: &Network) -> u32 {
    u32::try_from(network.names.len()).expect("nodes are counted in 32 bits")
}

/// A count as a figure.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn real(count: u64) -> f64 {
    count as f64
}
