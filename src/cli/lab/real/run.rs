//! `lab run --engine real`: the searches of a topology, one after the other, on real processes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::ask::{NodeClient, for_all};
use super::keep;
use super::launch::{self, Order};
use super::measure::{self, Question};
use super::place::{self, Held};
use crate::cli::args::lab::RunArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::interrupt::Interrupt;
use crate::cli::lab::source::{self, Source};
use crate::cli::lab::up;
use crate::sim::report::{QueryReport, Report};
use crate::sim::{Folder, libraries, predictions};
use crate::topology::plan::{Ask, Plan};
use crate::topology::{Graph, Network, Traits};

/// Starts the nodes, asks every question of the plan, and ends the nodes; with `--attach`, asks those that are up.
///
/// # Errors
/// A node does not start or answer, the network does not come to rest, Ctrl-C; nothing is left running.
pub(in crate::cli::lab) fn run(
    args: &RunArgs,
    source: &Source,
    plan: &Plan,
) -> Result<Report, Failure> {
    let network = &source.network;
    launch::check(network)?;
    let root = place::root(args.place.dir.as_deref())?;
    let name = place::folder_name(&up::name_of(&args.topology, &source.topology.name));
    let interrupt = Interrupt::watch();
    if args.attach
        && let Some(clients) = attach(&root, &name, network)?
    {
        return ask_all(network, plan, &clients, &interrupt);
    }
    // Runs do not disturb each other, nor a network that is up.
    let held = Held::take(&root, &format!("{name}-run-{}", std::process::id()))?;
    let order = Order {
        network,
        files: &plan.files,
        base: keep::base(source),
        base_port: args.place.base_port,
        dir: held.dir(),
    };
    let report = keep::start_held(&held, order, &interrupt).and_then(|(fleet, _)| {
        let report = ask_all(network, plan, &fleet.running().clients, &interrupt);
        fleet.stop();
        report
    });
    held.remove()?;
    report
}

/// The nodes of the network of that name, if it is up.
fn attach(root: &Path, name: &str, network: &Network) -> Result<Option<Vec<NodeClient>>, Failure> {
    let found = place::list(root)?
        .into_iter()
        .find(|found| found.held && found.name == name);
    let Some((dir, state)) = found.and_then(|found| Some((found.dir, found.state?))) else {
        return Ok(None);
    };
    let up = source::load(&dir.join(keep::TOPOLOGY).to_string_lossy(), None)?.network;
    let pairs = |network: &Network| {
        network
            .edges
            .iter()
            .map(|edge| (edge.a, edge.b))
            .collect::<Vec<_>>()
    };
    let names = |network: &Network| {
        (0..)
            .zip(&state.nodes)
            .all(|(at, node)| network.names.find(&node.name) == Some(at))
    };
    if pairs(&up) != pairs(network) || up.names.len() != network.names.len() || !names(network) {
        let text = format!(
            "the network {name} that is up has other nodes or links; stop it with `filbert lab down --net {name}`, or leave out --attach"
        );
        return Err(Failure::new(Exit::Usage, text));
    }
    let connect = NodeClient::connect;
    state
        .nodes
        .iter()
        .map(connect)
        .collect::<Result<_, _>>()
        .map(Some)
}

fn ask_all(
    network: &Network,
    plan: &Plan,
    clients: &[NodeClient],
    interrupt: &Interrupt,
) -> Result<Report, Failure> {
    // What is predicted must rest on what nodes do share, not on what they should.
    let folders = shared(clients)?;
    let nothing_else = Plan {
        files: BTreeMap::new(),
        ..plan.clone()
    };
    let predictions = predictions(network, plan, &libraries(&nothing_else, &folders));
    let graph = network.graph();
    let mut queries = Vec::with_capacity(plan.asks.len());
    for (ask, predicted) in plan.asks.iter().zip(predictions) {
        let from = usize::try_from(ask.from).expect("a node");
        let question = Question {
            from,
            text: &ask.query,
            ttl: ask.ttl,
            limit: Some(rest_time(network)),
        };
        let outcome = measure::ask(clients, question, &|| interrupt.asked())?;
        queries.push(QueryReport::new(
            network,
            ask,
            outcome.measured,
            predicted,
            exact(network, &graph, ask),
        ));
    }
    Ok(Report::new(network, &graph, "real", queries))
}

/// A query has so long to be over. A flood of thousands of messages on two cores needs a second or two.
const REST_TIME: Duration = Duration::from_mins(2);
/// The same in two tiers, where a dynamic query may live for three minutes, and answers come after it.
const REST_TIME_TIERS: Duration = Duration::from_mins(5);

/// How long a query may take to be over.
pub(in crate::cli::lab) fn rest_time(network: &Network) -> Duration {
    if network.roles.are_two_tiers() {
        REST_TIME_TIERS
    } else {
        REST_TIME
    }
}

/// The files each node shares, by its own account.
fn shared(clients: &[NodeClient]) -> Result<BTreeMap<u32, Vec<Folder>>, Failure> {
    let all = for_all(clients, NodeClient::files)?;
    let mut folders = BTreeMap::new();
    for (node, files) in (0..).zip(all).filter(|(_, files)| !files.is_empty()) {
        let mut by_name: BTreeMap<String, Vec<(String, u64)>> = BTreeMap::new();
        for file in files {
            let (folder, path) = file.name.split_once('/').unwrap_or(("", &file.name));
            by_name
                .entry(folder.to_owned())
                .or_default()
                .push((path.to_owned(), file.size));
        }
        let folder = |(name, files)| Folder { name, files };
        folders.insert(node, by_name.into_iter().map(folder).collect());
    }
    Ok(folders)
}

/// Whether queries must cost exactly what is predicted. Between real processes a longer path may be the faster
/// one, so they must only where there is one path (a graph without cycles), or when the TTL suffices for every
/// path there is; and nodes must not let a query pass twice.
fn exact(network: &Network, graph: &Graph, ask: &Ask) -> bool {
    if network.roles.are_two_tiers() {
        // The prediction is that of a flood, which nobody makes there: a yardstick.
        return false;
    }
    let calm = |kind: &Traits| kind.drop <= 0.0 && kind.rate.is_none();
    if !network.traits.iter().all(calm) {
        return false;
    }
    let is_forest = graph.edges() + graph.components().1 as usize == graph.nodes();
    let ttl_suffices = usize::from(ask.ttl) >= graph.nodes();
    (is_forest || ttl_suffices) && !network.defaults.ext_probes.unwrap_or(false)
}
