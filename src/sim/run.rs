//! A whole topology in virtual time: its files, its queries one after the other, its report.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::node::library::{Entry, Library};
use crate::node::limits;
use crate::node::strategy::{Approach, Forward, Strategy};
use crate::topology::plan::{Ask, Plan};
use crate::topology::{Behaviour, FILES_FOLDER, Network, TopologyError};

use super::course::{Asked, Came, Course};
use super::phases::{self, Phase};
use super::report::{Comings, Frames, QueryReport, Report};
use super::{Predicted, Setting, Sink, World, predict};

/// Files of a real folder that a node shares, listed by whoever may read the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    /// Name under which it is shown; its words match.
    pub name: String,
    /// Path below the folder, `/` between parts, and size in bytes.
    pub files: Vec<(String, u64)>,
}

/// How to run.
#[derive(Default)]
pub struct Options {
    /// Files of the real folders of nodes that share any.
    pub folders: BTreeMap<u32, Vec<Folder>>,
    /// Where the lines of the trace go.
    pub trace: Option<Sink>,
    /// Check the invariants after every event.
    pub check: bool,
    /// How searches spread.
    pub approach: Approach,
    /// Threads to run on, where there is enough to do; 0 is one. What comes out is the same with any number.
    pub threads: usize,
}

/// Events after which a run is given up: some hours. A flood ends by itself, unless tables are far too small.
pub(super) const EVENTS_MAX: u64 = 50_000_000_000;

/// Refuses what a file may say and this engine cannot do, rather than leave it out in silence.
pub(super) fn check_supported(network: &Network) -> Result<(), TopologyError> {
    let cannot = |path: &str, what: &str| {
        Err(TopologyError::new(
            path,
            format!("the simulator cannot {what} yet; remove the key to run this file"),
        ))
    };
    for spec in network.nodes.values() {
        if spec.slots.is_some() {
            return cannot(&format!("node {:?}: slots", spec.id), "move files");
        }
    }
    if network.defaults.slots.is_some() {
        return cannot("defaults.slots", "move files");
    }
    Ok(())
}

/// The index of what each node shares: made-up files first, then its real folders.
pub fn libraries(plan: &Plan, folders: &BTreeMap<u32, Vec<Folder>>) -> BTreeMap<u32, Arc<Library>> {
    let mut shared: BTreeMap<u32, Vec<Folder>> = BTreeMap::new();
    for (node, files) in &plan.files {
        let files = files
            .iter()
            .map(|file| (file.name.clone(), file.size))
            .collect();
        shared.entry(*node).or_default().push(Folder {
            name: FILES_FOLDER.to_owned(),
            files,
        });
    }
    for (node, folders) in folders {
        shared
            .entry(*node)
            .or_default()
            .extend(folders.iter().cloned());
    }
    let index = |folders: Vec<Folder>| {
        let names: Vec<String> = folders.iter().map(|folder| folder.name.clone()).collect();
        let files = (0_u16..).zip(folders).flat_map(|(share, folder)| {
            folder
                .files
                .into_iter()
                .map(move |(path, size)| (share, path, size))
        });
        let entries = (0_u32..)
            .zip(files)
            .map(|(index, (share, path, size))| Entry {
                index,
                share,
                path,
                size,
                mtime: 0,
                sha1: None,
                tiger: None,
            });
        Arc::new(Library::build(&names, entries.collect()))
    };
    shared
        .into_iter()
        .map(|(node, folders)| (node, index(folders)))
        .collect()
}

/// Runs a plan on a network in virtual time.
///
/// # Errors
/// What the file asks for and the simulator cannot do; a trace that could not be written.
pub fn run(network: &Network, plan: &Plan, options: Options) -> Result<Report, TopologyError> {
    let approach = &options.approach;
    let mut plan = plan.clone();
    for ask in &mut plan.asks {
        ask.ttl = approach.ttl.unwrap_or(ask.ttl);
    }
    let plan = &plan;
    let libraries = libraries(plan, &options.folders);
    let setting = Setting {
        libraries: libraries.clone(),
        trace: options.trace,
        check: options.check,
        forward: options.approach.forward,
        threads: options.threads,
    };
    let mut world = World::new(network, setting)?;
    if network.roles.are_two_tiers() {
        // Routing tables travel first: those of leaves, then those of ultrapeers with their leaves'.
        world.run_until_quiet(EVENTS_MAX);
    }
    let came = if network.events.is_empty() {
        Ok(undisturbed(network, plan, approach, &libraries, &mut world))
    } else {
        Course::new(network, approach, &libraries, &mut world).run(plan)
    }?;
    let broken = world
        .finish()
        .map_err(|error| TopologyError::new("", format!("the trace cannot be written: {error}")))?;
    let queries: Vec<QueryReport> = came
        .asked
        .iter()
        .map(|asked| {
            let on_clock = !network.events.is_empty() && asked.at_ns >= came.start_ns;
            let report = QueryReport::new(
                network,
                &asked.ask,
                asked.measured.clone(),
                asked.predicted,
                asked.exact,
            );
            report.asked_at(on_clock.then(|| asked.at_ns - came.start_ns))
        })
        .collect();
    let mut of_time: Vec<phases::Asked<'_>> = came
        .asked
        .iter()
        .zip(&queries)
        .map(|(asked, query)| phases::Asked {
            at_ns: asked.at_ns,
            query,
            held: asked.held(),
        })
        .collect();
    of_time.sort_by_key(|asked| asked.at_ns);
    let phases = Phase::all(came.start_ns, &came.parts, &of_time);
    let timeline = Phase::all(came.start_ns, &came.samples, &of_time);
    let totals = world.totals();
    let frames = Frames {
        sent: totals.sent,
        delivered: totals.delivered,
        lost: totals.lost,
        shed: totals.shed,
        overrun: totals.overrun,
        withheld: totals.withheld,
    };
    let mut report = Report::new(network, world.graph(), "sim", queries);
    report.events = came.events;
    report.phases = phases;
    report.timeline = timeline;
    if came.turns != [0; 3] {
        let [came, left, died] = came.turns;
        report.churn = Some(Comings { came, left, died });
    }
    report.frames = Some(frames);
    report.trace = Some(format!("{:016x}", world.digest()));
    if !came.asked.is_empty() {
        #[expect(
            clippy::cast_precision_loss,
            reason = "queries of a run are far below 2^53"
        )]
        let asks = came.asked.len() as f64;
        report.load_max = Some(f64::from(world.load_max()) / asks);
    }
    report.virtual_ms = Some(super::millis(world.now().0));
    report.broken = broken
        .iter()
        .map(|breach| format!("{}: {}", breach.rule, breach.detail))
        .collect();
    Ok(report)
}

/// A plan in a network that nothing happens to: searches one after the other, those with a time after them.
fn undisturbed(
    network: &Network,
    plan: &Plan,
    approach: &Approach,
    libraries: &BTreeMap<u32, Arc<Library>>,
    world: &mut World,
) -> Came {
    let is_plain = approach.forward == Forward::Flood
        && matches!(approach.strategy, Strategy::Usual | Strategy::Flood);
    let predictions = predictions(network, plan, libraries);
    let (timed, sequential): (Vec<_>, Vec<_>) = plan
        .asks
        .iter()
        .enumerate()
        .partition(|(_, ask)| ask.at.is_some());
    let at_once = if timed.is_empty() { 1 } else { plan.asks.len() };
    let mut asked_as = vec![0; plan.asks.len()];
    let search = |world: &mut World, ask: &Ask| {
        let strategy = approach.strategy.clone();
        world.search_by(ask.from, &ask.query, ask.ttl, strategy)
    };
    for (position, ask) in sequential {
        asked_as[position] = search(world, ask);
        world.run_until_quiet(EVENTS_MAX);
        world.end_queries(asked_as[position]);
    }
    let (start, first) = (world.now(), timed.first().map(|_| world.queries()));
    for (position, ask) in timed {
        world.run_until(start.plus(ask.at.unwrap_or_default()));
        asked_as[position] = search(world, ask);
    }
    if let Some(first) = first {
        world.run_until_quiet(EVENTS_MAX);
        world.end_queries(first);
    }
    let all = plan.asks.iter().zip(predictions).zip(asked_as);
    let asked = all.map(|((ask, predicted), query)| {
        let exact = is_plain && could_be_exact(network, world.links_are(), ask, at_once);
        Asked::over(ask, world.measured(query), predicted, exact)
    });
    Came::of(asked.collect())
}

/// What each query should cost and find.
pub fn predictions(
    network: &Network,
    plan: &Plan,
    libraries: &BTreeMap<u32, Arc<Library>>,
) -> Vec<Predicted> {
    let graph = network.graph();
    let mut holders = Holders::new(libraries);
    plan.asks
        .iter()
        .map(|ask| predict(&graph, ask.from, ask.ttl, holders.of(&ask.query)))
        .collect()
}

/// Who has what is asked for.
#[derive(Debug)]
pub struct Holders<'a> {
    libraries: &'a BTreeMap<u32, Arc<Library>>,
    of: BTreeMap<String, BTreeMap<u32, u64>>,
}

impl<'a> Holders<'a> {
    /// Of these libraries.
    pub fn new(libraries: &'a BTreeMap<u32, Arc<Library>>) -> Self {
        Self {
            libraries,
            of: BTreeMap::new(),
        }
    }

    /// Matching files of each node that has any.
    pub fn of(&mut self, query: &str) -> &BTreeMap<u32, u64> {
        let libraries = self.libraries;
        self.of.entry(query.to_owned()).or_insert_with(|| {
            let (mut holders, mut found) = (BTreeMap::new(), Vec::new());
            for (node, library) in libraries {
                found.clear();
                library.search(query, limits::HITS_PER_QUERY, &mut found);
                if !found.is_empty() {
                    holders.insert(*node, found.len() as u64);
                }
            }
            holders
        })
    }
}

/// Whether a plain flood must cost exactly what is predicted, as far as settings go. `links`: whether they lose nothing
/// and whether all delays are equal; `at_once`: queries that may be under way together.
pub(super) fn could_be_exact(
    network: &Network,
    links: (bool, bool),
    ask: &Ask,
    at_once: usize,
) -> bool {
    if network.roles.are_two_tiers() {
        // The prediction is that of a flood, which nobody makes here: a yardstick.
        return false;
    }
    // What silent nodes keep and slow ones drop is not predicted.
    let silent = |(kind, _): &(Behaviour, usize)| *kind == Behaviour::Silent;
    if network.has_capacities() || network.misbehaving().iter().any(silent) {
        return false;
    }
    let (calm, level) = links;
    // However the delays fall, no path is longer than the number of nodes.
    let ttl_suffices = usize::from(ask.ttl) >= network.names.len();
    let seen_least = network
        .nodes
        .values()
        .filter_map(|spec| spec.seen_cache)
        .chain(network.defaults.seen_cache)
        .min();
    let remembers =
        seen_least.is_none_or(|seen| seen >= at_once) && at_once <= limits::SEEN_CACHE.get();
    let once = !network.ext_probes() || (level && at_once == 1);
    calm && (level || ttl_suffices) && remembers && once
}
