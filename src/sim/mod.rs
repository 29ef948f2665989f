//! SHELL 1: VIRTUAL TIME. Many nodes in one process, on links that are a queue of events.
//!
//! A [`World`] drives the very [`Node`] that sockets drive, by the same contract: one event in, all actions
//! performed in order. Nothing here is left to chance or to the machine: the same network and seed give the
//! same trace, byte for byte, on any number of threads. Knows no clock, no sockets, no `HashMap`.
//!
//! - `build`: nodes and links of a network; `shard`: a part of the nodes, and what happens to them;
//! - `windows`: how shards run at once and yet in one order; `mail`: what they send each other;
//! - `ties`: which links are up; `greet`: how new ones come up; `faults`: what may be done to nodes and links;
//! - `course`: a plan with its events, in order of time; `turns`: churn; `present`: the network at one moment; `phases`: what
//!   was found between one event and the next;
//! - `natures`: nodes that are slow, silent or lie;
//! - `happening`: what happens, and its order; `calendar`: the event queue; `line`: what links do to frames;
//! - `meter`: what each query cost; `predict`: what it should have cost;
//! - `layers`: floods of every TTL by one search through the graph; `experiment`: known outcomes;
//! - `trace`: what was delivered, in order; `check`: the invariants of the overlay;
//! - `compare`: runs side by side; `yardstick`: what an index would cost instead;
//! - `report`: tables for people, JSON for scripts, the same for every engine; `run`: a whole topology.

mod build;
mod calendar;
mod check;
pub mod churn;
pub mod compare;
mod course;
pub mod experiment;
mod faults;
mod frames;
mod greet;
mod happening;
mod layers;
mod line;
mod mail;
mod map;
mod meter;
mod natures;
pub mod parallel;
pub mod phases;
mod predict;
mod present;
pub mod report;
mod run;
mod shard;
mod ties;
mod trace;
mod turns;
mod windows;
pub mod yardstick;

use std::net::SocketAddr;
use std::time::Duration;

use crate::node::event::{PushSpec, SearchSpec};
use crate::node::strategy::Strategy;
use crate::node::{Command, Event, Node, Ticket, Time};
use crate::topology::Graph;
use crate::wire::ServentId;

use map::Map;
use meter::Meter;
use shard::{OTHER_TICKET, Shard};
use windows::Until;

pub use build::{OneThread, Setting};
pub use check::Breach;
pub use faults::Parted;
pub use layers::{Flooded, Layers};
pub use meter::Measured;
pub use predict::{Predicted, flood, predict};
pub use present::Extent;
pub use run::{Folder, Holders, Options, libraries, predictions, run};
pub use trace::Sink;

/// Why a node that is not there does not ask.
pub const AWAY: &str = "the asker is away";

/// Frames by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Given to links.
    pub sent: u64,
    /// Handed to nodes.
    pub delivered: u64,
    /// Lost by links: by their chance of loss, or because they were closed.
    pub lost: u64,
    /// Shed by full send queues.
    pub shed: u64,
    /// Dropped by nodes for which they were too many.
    pub overrun: u64,
    /// Kept to themselves by silent nodes; never given to links.
    pub withheld: u64,
}

impl Totals {
    fn add(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            delivered: self.delivered + other.delivered,
            lost: self.lost + other.lost,
            shed: self.shed + other.shed,
            overrun: self.overrun + other.overrun,
            withheld: self.withheld + other.withheld,
        }
    }
}

/// A network of nodes in virtual time.
#[derive(Debug)]
pub struct World {
    now: u64,
    map: Map,
    shards: Vec<Shard>,
    /// Why they are fewer than was asked for.
    one_thread: Option<OneThread>,
    /// The asker of each query.
    askers: Vec<u32>,
    /// Times at which links changed or were parted since the start.
    changes: Vec<u64>,
    /// Connections that nodes would open because of a push.
    called_back: Vec<(u32, SocketAddr, u32)>,
}

impl World {
    /// Virtual time so far.
    pub fn now(&self) -> Time {
        Time(self.now)
    }

    /// The graph of the world.
    pub fn graph(&self) -> &Graph {
        &self.map.graph
    }

    /// A node.
    pub fn node(&self, node: u32) -> &Node {
        self.shards[self.map.shard_of(node)].node(node)
    }

    /// Threads at most that it runs on.
    pub fn threads(&self) -> usize {
        self.shards.len()
    }

    /// Why it runs on one thread although more were asked for.
    pub fn one_thread(&self) -> Option<OneThread> {
        self.one_thread
    }

    /// Query frames that the busiest node got, of all queries together.
    pub fn load_max(&self) -> u32 {
        let most = self.shards.iter().map(|shard| shard.meter.load_max());
        most.max().unwrap_or(0)
    }

    /// Frames by what became of them.
    pub fn totals(&self) -> Totals {
        let all = self.shards.iter().map(|shard| shard.totals);
        all.fold(Totals::default(), Totals::add)
    }

    /// One number for all that was delivered, in order at each node: the same for the same network and seed, on any
    /// number of threads.
    pub fn digest(&self) -> u64 {
        trace::of_all(self.shards.iter().flat_map(Shard::digests))
    }

    /// Searches from a node as is usual in its place, now. Returns the number of the query, for [`measured`](Self::measured).
    pub fn search(&mut self, asker: u32, text: &str, ttl: u8) -> usize {
        self.search_by(asker, text, ttl, Strategy::Usual)
    }

    /// Asks from a node, now; a strategy that goes on by itself stops at the first result.
    pub fn search_by(&mut self, asker: u32, text: &str, ttl: u8, strategy: Strategy) -> usize {
        let query = self.askers.len();
        for shard in &mut self.shards {
            shard.meter.begin(self.now);
        }
        self.askers.push(asker);
        if !self.is_up(asker) {
            let shard = &mut self.shards[self.map.shard_of(asker)];
            shard.meter.refused(query, AWAY.to_owned());
            return query;
        }
        let wanted = (strategy != Strategy::Usual).then_some(1);
        let spec = SearchSpec {
            text: text.to_owned(),
            ttl: Some(ttl),
            strategy,
            wanted,
            ..SearchSpec::default()
        };
        self.hand(
            asker,
            Event::Command(Ticket(query as u64), Command::Search(spec)),
        );
        query
    }

    /// Has a node that is up ask `servent` to connect to it and offer its file number `index`, now.
    pub fn push(&mut self, asker: u32, servent: ServentId, index: u32) {
        let spec = PushSpec {
            servent,
            index,
            port: None,
        };
        self.hand(asker, Event::Command(OTHER_TICKET, Command::Push(spec)));
    }

    /// Connections that nodes would have opened because of a push: who, where to, for which file. Files are not moved
    /// here.
    pub fn called_back(&self) -> &[(u32, SocketAddr, u32)] {
        &self.called_back
    }

    /// Queries asked so far; the number of the next one.
    pub fn queries(&self) -> usize {
        self.askers.len()
    }

    /// What a query cost and found so far.
    pub fn measured(&self, query: usize) -> Measured {
        Meter::measured(self.shards.iter().map(|shard| &shard.meter), query)
    }

    /// Ends the queries from number `first` on: hits that come later find nobody.
    pub fn end_queries(&mut self, first: usize) {
        for query in first..self.askers.len() {
            self.cancel(query);
        }
        windows::exchange(&mut self.shards);
        for shard in &mut self.shards {
            shard.meter.end_all();
        }
    }

    /// Ends one query.
    pub fn end_query(&mut self, query: usize) {
        self.cancel(query);
        windows::exchange(&mut self.shards);
        for shard in &mut self.shards {
            shard.meter.end(query);
        }
    }

    fn cancel(&mut self, query: usize) {
        let asker = self.askers[query];
        if self.is_up(asker) {
            let ticket = Ticket(query as u64);
            self.hand(asker, Event::Command(ticket, Command::Cancel));
        }
    }

    /// Whether no frame of a query is on a link.
    fn is_over(&self, query: usize) -> bool {
        let parts = self.shards.iter();
        parts.map(|shard| shard.meter.under_way(query)).sum::<i64>() == 0
    }

    /// Lets happen all that happens up to `end`, then it is `end`.
    pub fn run_until(&mut self, end: Time) {
        self.run(Until {
            last_ns: end.0,
            events_max: u64::MAX,
        });
        self.now = self.now.max(end.0);
    }

    /// Lets happen all that is under way, at most `events_max` events; on several threads it may be some more. Returns
    /// how many happened.
    pub fn run_until_quiet(&mut self, events_max: u64) -> u64 {
        self.run(Until {
            last_ns: u64::MAX,
            events_max,
        })
    }

    fn run(&mut self, until: Until) -> u64 {
        let happened = windows::run(&self.map, &mut self.shards, until);
        let latest = self.shards.iter().map(|shard| shard.now).max();
        self.now = self.now.max(latest.unwrap_or(0));
        let mut called: Vec<shard::CalledBack> = Vec::new();
        for shard in &mut self.shards {
            called.append(&mut shard.called_back);
        }
        called.sort_by_key(|call| (call.at_ns, call.node));
        let called = called
            .into_iter()
            .map(|call| (call.node, call.to, call.index));
        self.called_back.extend(called);
        happened
    }

    /// Hands one event to a node, now.
    fn hand(&mut self, node: u32, event: Event) {
        let shard = &mut self.shards[self.map.shard_of(node)];
        shard.now = self.now;
        shard.hand(&self.map, node, event);
    }

    /// Ends a run: what the invariants have to say, and whether the trace was written.
    ///
    /// # Errors
    /// The first error of the trace's sink.
    pub fn finish(&mut self) -> std::io::Result<Vec<Breach>> {
        let mut breaches = Vec::new();
        for shard in &mut self.shards {
            breaches.append(&mut shard.finish()?);
        }
        Ok(breaches)
    }
}

/// Nanoseconds as milliseconds, for reports.
pub fn millis(ns: u64) -> f64 {
    Duration::from_nanos(ns).as_secs_f64() * 1e3
}
