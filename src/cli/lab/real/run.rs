//! `lab run --engine real`: the searches of a topology, one after the other, on real processes, and its events at their
//! times.
//!
//! Nothing happens to the network while a search is measured: what is due then comes after it.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use super::ask::NodeClient;
use super::asking::Asking;
use super::events::{Events, Searched};
use super::keep;
use super::launch::{self, Order};
use super::live::Live;
use super::parts::Parts;
use super::place::{self, Held};
use crate::cli::args::lab::RunArgs;
use crate::cli::clock::Stopwatch;
use crate::cli::exit::{Exit, Failure};
use crate::cli::interrupt::{Interrupt, LOOK};
use crate::cli::lab::source::{self, Source};
use crate::cli::lab::up;
use crate::sim::report::Report;
use crate::topology::Network;
use crate::topology::plan::{Ask, Plan};

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
    if args.attach && !network.events.is_empty() {
        let text =
            "the events of a network that is up are done by whoever holds it: leave --attach out";
        return Err(Failure::new(Exit::Usage, text));
    }
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
        if network.events.is_empty() {
            let report = ask_all(network, plan, &fleet.running().clients, &interrupt);
            fleet.stop();
            return report;
        }
        // Before any goes: those that join later share something too.
        let asking = Asking::new(network, &fleet.running().clients)?;
        let mut live = Live::new(order, fleet, &|| interrupt.asked())?;
        let report = with_events(network, plan, &asking, &mut live, &interrupt);
        live.stop();
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

/// Asks everything, one after the other, where nothing happens besides.
fn ask_all(
    network: &Network,
    plan: &Plan,
    clients: &[NodeClient],
    interrupt: &Interrupt,
) -> Result<Report, Failure> {
    let asking = Asking::new(network, clients)?;
    let mut queries = Vec::with_capacity(plan.asks.len());
    for (ask, predicted) in plan.asks.iter().zip(asking.predict(plan)) {
        let report = asking.ask_in_peace(clients, ask, predicted, &|| interrupt.asked())?;
        queries.push(report);
    }
    Ok(Report::new(network, asking.graph(), "real", queries))
}

/// Asks what has no time of its own, and then lets time begin: events of the file, nodes that come and go by themselves,
/// and queries of a workload no sooner than it says.
fn with_events<'a>(
    network: &'a Network,
    plan: &Plan,
    asking: &Asking<'a>,
    live: &mut Live<'a>,
    interrupt: &Interrupt,
) -> Result<Report, Failure> {
    let interrupted = || interrupt.asked();
    let (asks, at_once): (Vec<&Ask>, Vec<&Ask>) =
        plan.asks.iter().partition(|ask| ask.at.is_some());
    let mut asks = VecDeque::from(asks);
    let (mut events, mut happened) = (Events::new(network), Vec::new());
    let mut queries = Vec::with_capacity(plan.asks.len());
    for ask in at_once {
        let ask = in_place_of(ask, live);
        queries.push(Searched::before(
            asking.ask(live, &ask, &interrupted)?.report,
        ));
    }
    let (clock, mut parts) = (Stopwatch::start(), Parts::new());
    while events.due().is_some() || !asks.is_empty() {
        launch::stop_if(&interrupted)?;
        let now = clock.elapsed();
        if let Some(step) = events.peek().filter(|step| step.at <= now) {
            parts.event(step, now, live);
        }
        if let Some(came) = events.next(now, clock, live, asking, &interrupted)? {
            happened.push(came.report);
            queries.extend(came.queries);
        } else if let Some(deed) = live.churned() {
            live.do_deed(&deed, &interrupted)?;
        } else if let Some(ask) = asks.pop_front_if(|ask| ask.at.is_none_or(|at| at <= now)) {
            let answer = asking.ask(live, &in_place_of(ask, live), &interrupted)?;
            queries.push(Searched::of(answer.report, now, None));
        } else {
            let due = [events.due(), asks.front().and_then(|ask| ask.at)];
            let waits = due.into_iter().flatten();
            let waits = waits.map(|due| due.saturating_sub(clock.elapsed()));
            let wait = waits.chain(live.wait()).min().unwrap_or(Duration::ZERO);
            std::thread::sleep(wait.min(LOOK));
        }
    }
    parts.close(live);
    let phases = parts.phases(&queries);
    let queries = queries.into_iter().map(|asked| asked.report);
    let mut report = Report::new(network, asking.graph(), "real", queries.collect());
    (report.events, report.phases) = (happened, phases);
    report.churn = live.comings();
    Ok(report)
}

/// The same question of a node that is up: the one that should ask, or, where the file does not name it, the next.
fn in_place_of(ask: &Ask, live: &Live<'_>) -> Ask {
    let alive = live.fleet().those(false);
    let next = alive
        .iter()
        .find(|node| **node >= ask.from)
        .or(alive.first());
    let from = match (ask.anyone, next) {
        (true, Some(next)) => *next,
        _ => ask.from,
    };
    Ask {
        from,
        ..ask.clone()
    }
}
