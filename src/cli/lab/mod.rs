//! `lab`: many nodes from one file, in virtual time or as real processes on loopback ports.
//!
//! - `source`: the topology that a file or a short text means;
//! - `gen`, `run`: print one, run one.

pub mod source;

use super::args::lab::{Engine, GenArgs, LabArgs, LabVerb, RunArgs};
use super::exit::{Exit, Failure};
use super::output::Output;

/// Does what was typed after `lab`.
///
/// # Errors
/// What went wrong, with its exit code.
pub fn run(args: &LabArgs, output: &Output) -> Result<Exit, Failure> {
    match &args.verb {
        LabVerb::Gen(args) => generate(args, output),
        LabVerb::Run(args) => run_once(args, output),
        LabVerb::Up(_)
        | LabVerb::Ps(_)
        | LabVerb::Search(_)
        | LabVerb::Down(_)
        | LabVerb::Keep(_) => Err(Failure::new(Exit::Usage, "not yet")),
    }
}

fn generate(args: &GenArgs, output: &Output) -> Result<Exit, Failure> {
    let topology = source::spec(&args.spec, Some(args.seed))?;
    output.bytes(topology.to_json().as_bytes())?;
    Ok(Exit::Good)
}

fn run_once(args: &RunArgs, _output: &Output) -> Result<Exit, Failure> {
    let _network = source::load(&args.topology, args.seed)?;
    match args.engine {
        Engine::Sim => Err(Failure::new(Exit::Usage, "not yet")),
        Engine::Real => Err(Failure::new(Exit::Usage, "not yet")),
    }
}
