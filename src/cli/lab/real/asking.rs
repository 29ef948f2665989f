//! Searches on a network of processes, measured beside what its graph says as it is just then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::ask::{NodeClient, for_all};
use super::live::Live;
use super::measure::{self, Outcome, Question};
use crate::cli::exit::Failure;
use crate::node::library::Library;
use crate::sim::report::QueryReport;
use crate::sim::{AWAY, Folder, Holders, Measured, Predicted, flood, libraries, predictions};
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
        let measured = self.measure(clients, from, ask, interrupted)?.measured;
        let network = self.network;
        let calm = |kind: &Traits| kind.drop <= 0.0 && kind.rate.is_none();
        let exact = network.traits.iter().all(calm) && could_be_exact(network, &self.graph, ask);
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
    ) -> Result<Answer, Failure> {
        let fleet = live.fleet();
        let now = fleet.now();
        let (alive, clients) = fleet.alive();
        let mut libraries = self.libraries.clone();
        libraries.retain(|node, _| alive.binary_search(node).is_ok());
        let mut holders = Holders::new(&libraries);
        let (parted, holders) = (now.parted.as_ref(), holders.of(&ask.query));
        let predicted = flood(&now.graph, parted, ask.from, ask.ttl, holders);
        let Ok(from) = alive.binary_search(&ask.from) else {
            let away = Measured {
                refused: Some(AWAY.to_owned()),
                ..Measured::default()
            };
            return Ok(Answer {
                report: QueryReport::new(self.network, ask, away, predicted, false),
                came: Vec::new(),
                took: Duration::ZERO,
            });
        };
        let outcome = self.measure(&clients, from, ask, interrupted)?;
        let calm = now.calm && now.whole;
        let exact = calm && could_be_exact(self.network, &now.graph, ask);
        let files = outcome.hits.iter().map(|hit| hit.records.len() as u64);
        let came = outcome.times.iter().copied().zip(files).collect();
        Ok(Answer {
            report: QueryReport::new(self.network, ask, outcome.measured, predicted, exact),
            came,
            took: outcome.took,
        })
    }

    fn measure(
        &self,
        clients: &[NodeClient],
        from: usize,
        ask: &Ask,
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Outcome, Failure> {
        let question = Question {
            from,
            text: &ask.query,
            ttl: ask.ttl,
            limit: Some(rest_time(self.network)),
        };
        measure::ask(clients, question, interrupted)
    }
}

/// What came of a search.
#[derive(Debug)]
pub(super) struct Answer {
    /// What it cost and found.
    pub(super) report: QueryReport,
    /// When files came, since it was asked, and how many.
    pub(super) came: Vec<(Duration, u64)>,
    /// When all was over.
    pub(super) took: Duration,
}

impl Answer {
    /// Files that had come by then.
    pub(super) fn by(&self, time: Duration) -> u64 {
        let in_time = self.came.iter().filter(|(at, _)| *at <= time);
        in_time.map(|(_, files)| files).sum()
    }

    /// When so many files had come; `None`: never.
    pub(super) fn reached(&self, files: u64) -> Option<Duration> {
        let mut sum = 0;
        let enough = self.came.iter().find(|(_, more)| {
            sum += more;
            sum >= files
        });
        enough.map(|(at, _)| *at)
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

/// Whether a query must cost exactly what is predicted where links lose nothing. Between real processes a longer path may
/// be the faster one, so it must only where there is one path (a graph without cycles), or when the TTL suffices for every
/// path there is; and nodes must not let a query pass twice.
fn could_be_exact(network: &Network, graph: &Graph, ask: &Ask) -> bool {
    if network.roles.are_two_tiers() {
        // The prediction is that of a flood, which nobody makes there: a yardstick.
        return false;
    }
    let is_forest = graph.edges() + graph.components().1 as usize == graph.nodes();
    let ttl_suffices = usize::from(ask.ttl) >= graph.nodes();
    (is_forest || ttl_suffices) && !network.defaults.ext_probes.unwrap_or(false)
}
