//! Searches on a network of processes, measured beside what its graph says as it is just then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::ask::{NodeClient, for_all};
use super::live::Live;
use super::measure::{self, Question};
use crate::cli::exit::Failure;
use crate::node::library::Library;
use crate::sim::report::QueryReport;
use crate::sim::{Folder, Measured, Predicted, libraries, predictions};
use crate::topology::plan::{Ask, Plan};
use crate::topology::{Graph, Network, Traits};

/// A query has so long to be over. A flood of thousands of messages on two cores needs a second or two.
const REST_TIME: Duration = Duration::from_mins(2);
/// The same in two tiers, where a dynamic query may live for three minutes, and answers come after it.
const REST_TIME_TIERS: Duration = Duration::from_mins(5);

/// What is known of a network, to say what a search must cost and find.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    network: &'a Network,
    graph: Graph,
    libraries: BTreeMap<u32, Arc<Library>>,
}

impl<'a> Asking<'a> {
    /// Asks all nodes what they share: predictions must rest on that, not on what they should.
    ///
    /// # Errors
    /// A node does not answer.
    pub(super) fn new(network: &'a Network, clients: &[NodeClient]) -> Result<Self, Failure> {
        let folders = shared(clients)?;
        Ok(Self {
            network,
            graph: network.graph(),
            libraries: libraries(&Plan::default(), &folders),
        })
    }

    /// The graph of the file.
    pub(super) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// What these questions must cost and find as long as nothing happens to the network.
    pub(super) fn predict(&self, plan: &Plan) -> Vec<Predicted> {
        predictions(self.network, plan, &self.libraries)
    }

    /// Asks on a network to which nothing has happened.
    ///
    /// # Errors
    /// As [`measure::ask`].
    pub(super) fn ask_in_peace(
        &self,
        clients: &[NodeClient],
        ask: &Ask,
        predicted: Predicted,
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<QueryReport, Failure> {
        let from = usize::try_from(ask.from).expect("a node");
        let measured = self.measure(clients, from, ask, interrupted)?;
        let exact = exact(self.network, &self.graph, ask);
        let network = self.network;
        Ok(QueryReport::new(network, ask, measured, predicted, exact))
    }

    /// Asks on a network to which something may have happened.
    ///
    /// # Errors
    /// As [`measure::ask`].
    pub(super) fn ask(
        &self,
        live: &Live<'_>,
        ask: &Ask,
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<QueryReport, Failure> {
        let alone = Plan {
            asks: vec![ask.clone()],
            ..Plan::default()
        };
        let first = |predicted: Vec<Predicted>| predicted.into_iter().next().unwrap_or_default();
        let fleet = live.fleet();
        let Some(changed) = fleet.changed() else {
            let predicted = first(self.predict(&alone));
            let clients = &fleet.running().clients;
            return self.ask_in_peace(clients, ask, predicted, interrupted);
        };
        let (alive, clients) = fleet.alive();
        let mut libraries = self.libraries.clone();
        libraries.retain(|node, _| alive.binary_search(node).is_ok());
        let predicted = first(predictions(&changed, &alone, &libraries));
        let measured = match alive.binary_search(&ask.from) {
            Ok(from) => self.measure(&clients, from, ask, interrupted)?,
            Err(_) => Measured {
                refused: Some(format!(
                    "node {} is down",
                    self.network.names.name(ask.from)
                )),
                ..Measured::default()
            },
        };
        Ok(QueryReport::new(&changed, ask, measured, predicted, false))
    }

    fn measure(
        &self,
        clients: &[NodeClient],
        from: usize,
        ask: &Ask,
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Measured, Failure> {
        let question = Question {
            from,
            text: &ask.query,
            ttl: ask.ttl,
            limit: Some(rest_time(self.network)),
        };
        measure::ask(clients, question, interrupted).map(|outcome| outcome.measured)
    }
}

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
