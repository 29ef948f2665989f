//! `lab`: many nodes from one file, in virtual time or as real processes on loopback ports.
//!
//! - `source`: the topology that a file or a short text means;
//! - `gen`, `run`: print one, run one; `compare`: several runs side by side; `record`: what they leave; `report`: what was left, side by side; `graphs`: graphs of other programs, in and out;
//! - `manifest`: topologies for container orchestrators; `node`: one node, in a container;
//! - `experiment`: known results, reproduced;
//! - `fault`: what is done to them; `expect`: what they must find;
//! - `up`, `ps`, `down`, `search`: networks of real processes that stay until told to go; `real`: how.

mod compare;
mod expect;
mod experiment;
mod fault;
mod graphs;
mod manifest;
mod node;
mod real;
mod record;
mod report;
mod search;
mod sim;
pub mod source;
mod up;

use super::args::lab::{Engine, GenArgs, LabArgs, LabVerb, RunArgs};
use super::exit::{Exit, Failure};
use super::output::table::{self, Side};
use super::output::{Format, Output, escape};
use crate::sim::phases::Phase;
use crate::sim::report::Report;
use crate::topology::plan::{Wish, plan};

/// Does what was typed after `lab`.
///
/// # Errors
/// What went wrong, with its exit code.
pub fn run(args: &LabArgs, output: &Output) -> Result<Exit, Failure> {
    match &args.verb {
        LabVerb::Gen(args) => generate(args, output),
        LabVerb::Import(args) => graphs::import(args, output),
        LabVerb::Export(args) if manifest::FORMATS.contains(&args.to.as_str()) => {
            manifest::export(args, output)
        }
        LabVerb::Export(args) => graphs::export(args, output),
        LabVerb::Node(args) => node::run(args, output),
        LabVerb::Run(args) => run_once(args, output),
        LabVerb::Experiment(args) => experiment::run(args, output),
        LabVerb::Report(args) => report::run(args, output),
        LabVerb::Up(args) => up::up(args, output),
        LabVerb::Ps(args) => up::ps(args, output),
        LabVerb::Search(args) => search::run(args, output),
        LabVerb::Expect(args) => expect::run(args, output),
        LabVerb::Fault(args) => fault::run(args, output),
        LabVerb::Down(args) => up::down(args, output),
        LabVerb::Keep(args) => real::keep::keep(args),
    }
}

fn generate(args: &GenArgs, output: &Output) -> Result<Exit, Failure> {
    let drawn = source::shape(&args.spec, Some(args.seed))?;
    let mut topology = drawn.network.spelled_out(&drawn.topology);
    topology.about = format!("{}, drawn from seed {}", args.spec, args.seed);
    output.bytes(topology.to_json().as_bytes())?;
    Ok(Exit::Good)
}

fn run_once(args: &RunArgs, output: &Output) -> Result<Exit, Failure> {
    if args.compare.is_some() || args.sweep.is_some() {
        if args.engine == Engine::Real {
            let text = "runs are compared in virtual time: leave --engine real out";
            return Err(Failure::new(Exit::Usage, text));
        }
        return compare::run(args, output);
    }
    let mut source = source::load(&args.topology, args.seed)?;
    let wish = Wish {
        queries: args.queries,
        ttl: args.ttl,
    };
    source.obey(wish);
    let plan = plan(&source.network, wish);
    if let (Engine::Real, Some(strategy)) = (args.engine, &args.strategy) {
        let text = format!(
            "real nodes flood: leave --strategy {strategy} out, or compare strategies in virtual time with --engine sim"
        );
        return Err(Failure::new(Exit::Usage, text));
    }
    if args.engine == Engine::Real && args.threads.is_some() {
        let text = "real nodes are processes of their own: leave --threads out";
        return Err(Failure::new(Exit::Usage, text));
    }
    let approach = args.strategy.clone().unwrap_or_default();
    let record = args.out.as_deref().map(record::Record::new).transpose()?;
    let report = match args.engine {
        Engine::Sim => {
            let trace = record.as_ref().map(record::Record::trace).transpose()?;
            sim::say_if_one_thread(&source, trace.is_some(), args.threads, output);
            let threads = args.threads.unwrap_or_else(sim::cores);
            sim::run(&source, &plan, &approach, trace, threads)?
        }
        Engine::Real => real::run::run(args, &source, &plan)?,
    };
    show(&report, output)?;
    if let Some(mut record) = record {
        record.replay_first(&source, &plan, &approach)?;
        let data = serde_json::to_value(&report).expect("plain data is JSON");
        let (queries, events) = (&report.queries, &report.events);
        record.run(&source, &data, queries, events, &args.again(), output)?;
    }
    Ok(if report.ok() {
        Exit::Good
    } else {
        Exit::Nothing
    })
}

/// Shows a report, whichever engine made it.
fn show(report: &Report, output: &Output) -> Result<(), Failure> {
    if output.format() == Format::Json {
        let line = serde_json::to_string(report).expect("plain data is JSON");
        return output.line(&escape::json(line));
    }
    let rows = report.rows();
    output.line(&report.head())?;
    if !rows.is_empty() {
        let sides = Report::TITLES.map(|title| match title {
            "FROM" | "QUERY" => (title, Side::Left),
            _ => (title, Side::Right),
        });
        output.line(&format!("{}\n", table::plain(sides, rows)))?;
    }
    for phases in [&report.phases, &report.timeline] {
        if !phases.is_empty() {
            let sides = Phase::TITLES.map(|title| match title {
                "AFTER" => (title, Side::Left),
                _ => (title, Side::Right),
            });
            let rows = phases.iter().map(Phase::row);
            output.line(&format!("{}\n", table::plain(sides, rows)))?;
        }
    }
    output.line(report.foot().trim_end())
}
