//! `lab node`: one node of a topology in a container or on a machine of its own. What it shares and whom it links to is
//! drawn from the topology, as for all; the others are found by name.

use std::ffi::OsString;

use super::real::launch::{self, Order};
use super::real::tend::Tender;
use super::real::{keep, tiers};
use super::source;
use crate::cli::args::lab::NodeArgs;
use crate::cli::args::{self, Command};
use crate::cli::exit::{Exit, Failure};
use crate::cli::interrupt::Interrupt;
use crate::cli::output::Output;
use crate::cli::{Context, share};
use crate::disk::store::Home;
use crate::topology::Network;
use crate::topology::plan::{Wish, plan};

/// Runs the node until somebody asks for its end.
///
/// # Errors
/// No such node; names of others that are none; what `share` says.
pub(super) fn run(args: &NodeArgs, output: &Output) -> Result<Exit, Failure> {
    let source = source::load(&args.topology, args.seed)?;
    launch::check(&source.network)?;
    let network = &source.network;
    let node = which(args, network)?;
    let files = plan(network, Wish::default()).files;
    let order = Order {
        network,
        files: &files,
        base: keep::base(&source),
        base_port: None,
        dir: &args.data,
    };
    let links = tiers::links_accepted(network)[node as usize];
    let listen = args.listen.0;
    let mut words = vec![OsString::from("filbert")];
    words.extend(launch::words(order, node, &args.data, listen, links)?);
    words.push("--no-discovery".into());
    let share = match args::parse(words).map(|args| args.command) {
        Ok(Command::Share(share)) => share,
        refused => unreachable!("these are the words of `share`: {refused:?}"),
    };
    let disk = |error: std::io::Error| Failure::new(Exit::Disk, error.to_string());
    let home = Home::at(&args.data.join(launch::HOME)).map_err(disk)?;
    home.create().map_err(disk)?;
    let context = Context {
        out: output.clone(),
        home,
        interrupt: Interrupt::watch(),
    };
    let tender = Tender::new(network, node, &args.hosts)?;
    tender.start(output.clone(), args.data.join(launch::HOME), listen);
    share::run(&context, &share)
}

/// The node that is meant.
fn which(args: &NodeArgs, network: &Network) -> Result<u32, Failure> {
    let count = network.names.len();
    let (found, typed) = match (&args.node, args.number) {
        (Some(id), _) => (network.names.find(id), format!("{id:?}")),
        (None, Some(number)) => {
            let known = (number as usize) < count;
            (known.then_some(number), format!("number {number}"))
        }
        (None, None) => {
            let text = "say which node this is: by its id, or by --number";
            return Err(Failure::new(Exit::Usage, text));
        }
    };
    found.ok_or_else(|| {
        let near = args.node.as_ref().and_then(|id| network.names.nearest(id));
        let near = near.map_or(String::new(), |near| format!("did you mean {near}? "));
        let text = format!(
            "there is no node {typed}; {near}{} has {count}, from number 0",
            args.topology
        );
        Failure::new(Exit::Usage, text)
    })
}
