//! SHELL 1: VIRTUAL TIME. Many nodes in one thread, on links that are a queue of events.
//!
//! A [`World`] drives the very [`Node`] that sockets drive, by the same contract: one event in, all actions
//! performed in order. Nothing here is left to chance or to the machine: the same network and seed give the
//! same trace, byte for byte. Knows no clock, no sockets, no `HashMap`.
//!
//! - `build`: nodes and links of a network; `calendar`: the event queue; `line`: what links do to frames;
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
pub mod experiment;
mod frames;
mod layers;
mod line;
mod meter;
pub mod parallel;
mod predict;
pub mod report;
mod run;
mod trace;
pub mod yardstick;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use crate::node::event::{DialError, Gone, PushSpec, SearchSpec};
use crate::node::strategy::Strategy;
use crate::node::{Action, Command, Event, LinkId, Node, Notice, Outbox, Ticket, Time};
use crate::topology::{Graph, Names};
use crate::wire::{Frame, ServentId};

use calendar::{Calendar, Placed};
use check::Checks;
use frames::{Frames, Stored};
use line::{Fate, Lines};
use meter::Meter;
use trace::{Delivery, Trace};

pub use build::Setting;
pub use check::Breach;
pub use layers::{Flooded, Layers};
pub use meter::Measured;
pub use predict::{Predicted, predict};
pub use run::{Folder, Options, libraries, predictions, run};
pub use trace::Sink;

/// Time an unanswered dial takes. Simulated nodes dial only when they are told to.
const DIAL_NS: u64 = 1_000_000_000;
/// Whoever asks for a push; no query is numbered so.
const PUSH_TICKET: Ticket = Ticket(u64::MAX);
/// Events looked at ahead: a core waits for some ten to twenty answers of memory at once.
const AHEAD: usize = 16;
/// Nodes below which all of them are in the cache anyway.
const WARM_NODES_MIN: usize = 500;

/// What happens to a node. Kept small: a flood of a million nodes has millions of them waiting.
#[derive(Debug)]
enum Happening {
    /// A frame arrives on a link.
    Arrival { to: u32, link: u32, frame: Stored },
    /// The other end of a link closed it.
    Gone { node: u32, link: u32 },
    /// An alarm of the node.
    Alarm { node: u32 },
    /// A link with a rate can send again.
    Ready { node: u32, link: u32 },
    /// The send queue of a link went over its high mark, or back to its low one.
    Pressed { node: u32, link: u32, over: bool },
    /// A datagram arrives.
    Datagram {
        to: u32,
        sent: Box<(SocketAddr, Frame)>,
    },
    /// A dial came to nothing.
    NoAnswer { node: u32, addr: Box<SocketAddr> },
}

impl Placed for Happening {
    fn node(&self) -> u32 {
        match self {
            Self::Arrival { to: node, .. }
            | Self::Gone { node, .. }
            | Self::Alarm { node }
            | Self::Ready { node, .. }
            | Self::Pressed { node, .. }
            | Self::NoAnswer { node, .. }
            | Self::Datagram { to: node, .. } => *node,
        }
    }
}

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
}

/// A network of nodes in virtual time.
#[derive(Debug)]
pub struct World {
    now: u64,
    names: Names,
    graph: Graph,
    nodes: Vec<Node>,
    lines: Lines,
    calendar: Calendar<Happening>,
    frames: Frames,
    out: Outbox,
    /// Ends of links that are closed.
    closed: BTreeSet<(u32, u32)>,
    /// When each node that waits for time to pass has its next alarm.
    alarms: BTreeMap<u32, u64>,
    /// The asker of each query.
    askers: Vec<u32>,
    meter: Meter,
    trace: Trace,
    checks: Option<Box<Checks>>,
    totals: Totals,
    in_flight: u64,
    /// Events to come before the next look ahead.
    warmed: usize,
    /// Last words sent for nodes.
    byes: u64,
    /// Connections that nodes would open because of a push.
    called_back: Vec<(u32, SocketAddr, u32)>,
    /// Time a datagram takes.
    datagram_ns: u64,
}

impl World {
    /// Virtual time so far.
    pub fn now(&self) -> Time {
        Time(self.now)
    }

    /// The graph of the world.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// A node.
    pub fn node(&self, node: u32) -> &Node {
        &self.nodes[node as usize]
    }

    /// Query frames that the busiest node got, of all queries together.
    pub fn load_max(&self) -> u32 {
        self.meter.load_max()
    }

    /// Frames by what became of them.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// One number for all that was delivered, in order: the same for the same network and seed.
    pub fn digest(&self) -> u64 {
        self.trace.digest()
    }

    /// Searches from a node as is usual in its place, now. Returns the number of the query, for [`measured`](Self::measured).
    pub fn search(&mut self, asker: u32, text: &str, ttl: u8) -> usize {
        self.search_by(asker, text, ttl, Strategy::Usual)
    }

    /// Asks from a node, now; a strategy that goes on by itself stops at the first result.
    pub fn search_by(&mut self, asker: u32, text: &str, ttl: u8, strategy: Strategy) -> usize {
        let query = self.meter.begin(self.now);
        debug_assert_eq!(query, self.askers.len(), "queries are numbered in order");
        self.askers.push(asker);
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

    /// Has a node ask `servent` to connect to it and offer its file number `index`, now.
    pub fn push(&mut self, asker: u32, servent: ServentId, index: u32) {
        let spec = PushSpec {
            servent,
            index,
            port: None,
        };
        self.hand(asker, Event::Command(PUSH_TICKET, Command::Push(spec)));
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
    pub fn measured(&self, query: usize) -> &Measured {
        self.meter.measured(query)
    }

    /// Ends the queries from number `first` on: hits that come later find nobody.
    pub fn end_queries(&mut self, first: usize) {
        for query in first..self.askers.len() {
            self.hand(
                self.askers[query],
                Event::Command(Ticket(query as u64), Command::Cancel),
            );
        }
        self.meter.end_all();
    }

    /// Lets happen all that happens up to `end`, then it is `end`.
    pub fn run_until(&mut self, end: Time) {
        while self.calendar.next_at().is_some_and(|at| at <= end.0) && self.step() {}
        self.now = self.now.max(end.0);
    }

    /// Lets happen all that is under way, at most `events_max` events. Returns how many happened.
    pub fn run_until_quiet(&mut self, events_max: u64) -> u64 {
        let mut happened = 0;
        while happened < events_max && self.step() {
            happened += 1;
        }
        happened
    }

    /// Lets the next event happen; false when there is none.
    fn step(&mut self) -> bool {
        if self.warmed == 0 {
            self.warm_up();
        }
        self.warmed -= 1;
        let Some((at, happening)) = self.calendar.pop() else {
            return false;
        };
        self.happen(at, happening);
        true
    }

    /// Looks at what the next events will need, many at a time. In a large network nearly every event finds its
    /// node outside the processor's cache; memory answers sixteen questions at once about as fast as one.
    fn warm_up(&mut self) {
        self.warmed = AHEAD;
        if self.nodes.len() < WARM_NODES_MIN {
            return;
        }
        let arrivals = self
            .calendar
            .upcoming(AHEAD)
            .filter_map(|happening| match happening {
                Happening::Arrival { to, link, frame } => Some((*to, *link, *frame)),
                _ => None,
            });
        let mut looked = 0;
        for (to, _, frame) in arrivals.clone() {
            let header = self.frames.header(frame).map_or(0, |header| header.ttl);
            looked ^=
                self.nodes[to as usize].look() ^ usize::from(header) ^ self.graph.first_end(to);
        }
        for (to, link, frame) in arrivals {
            if let Some(header) = self.frames.header(frame) {
                looked ^= self.nodes[to as usize].look_up(LinkId(link), &header.guid);
                looked ^= self.graph.links(to)[link as usize].to as usize;
            }
        }
        // The looking is all that is wanted; without this the compiler would leave it out.
        std::hint::black_box(looked);
    }

    fn happen(&mut self, at: u64, happening: Happening) {
        self.now = self.now.max(at);
        match happening {
            Happening::Arrival { to, link, frame } => {
                let frame = self.frames.take(frame);
                self.arrive(to, link, frame);
            }
            Happening::Gone { node, link } => {
                self.hand(node, Event::LinkDown(LinkId(link), Gone::Closed));
            }
            Happening::Alarm { node } => {
                // An alarm that was moved since is a needless wake, and skipped.
                if self.alarms.get(&node) == Some(&at) {
                    self.alarms.remove(&node);
                    self.hand(node, Event::Wake);
                }
            }
            Happening::Ready { node, link } => self.ready(node, link),
            Happening::Pressed { node, link, over } => {
                self.hand(node, Event::Pressed(LinkId(link), over));
            }
            Happening::Datagram { to, sent } => {
                let (from, frame) = *sent;
                self.hand(to, Event::Datagram(from, frame));
            }
            Happening::NoAnswer { node, addr } => {
                self.hand(node, Event::DialFailed(*addr, DialError::Unreachable));
            }
        }
    }

    fn arrive(&mut self, to: u32, link: u32, frame: Frame) {
        self.in_flight -= 1;
        if !self.closed.is_empty() && self.closed.contains(&(to, link)) {
            self.totals.lost += 1;
            return self.meter.lost(&frame);
        }
        self.totals.delivered += 1;
        let from = self.graph.links(to)[link as usize].to;
        self.trace.add(
            Delivery {
                at_ns: self.now,
                from,
                to,
                link,
                frame: &frame,
            },
            &self.names,
        );
        self.meter.arrived(self.now, to, &frame);
        if let Some(checks) = &mut self.checks {
            checks.arrives(to, link, &frame);
        }
        self.hand(to, Event::Received(LinkId(link), frame));
    }

    /// Hands one event to a node and performs all its actions: the contract of a shell.
    fn hand(&mut self, node: u32, event: Event) {
        let mut out = std::mem::take(&mut self.out);
        let asks = matches!(event, Event::Command(..) | Event::Wake);
        self.nodes[node as usize].handle(Time(self.now), event, &mut out);
        if asks {
            self.note_guid(node, &out);
        }
        for action in out.actions() {
            match action {
                Action::Send(link, frame) => self.spread(node, std::slice::from_ref(link), frame),
                Action::Spread(frame, span) => self.spread(node, out.links(*span), frame),
                Action::Dial(addr) => {
                    // All links there will be are up already.
                    self.calendar.push(
                        self.now + DIAL_NS,
                        Happening::NoAnswer {
                            node,
                            addr: Box::new(*addr),
                        },
                    );
                }
                Action::Close(link, bye) => {
                    if let Some(bye) = bye {
                        self.byes += 1;
                        self.spread(node, std::slice::from_ref(link), &Node::bye_frame(*bye));
                    }
                    self.close(node, link.0);
                }
                Action::Tell(ticket, notice) => self.tell(node, *ticket, notice),
                Action::Datagram(to, frame) => self.datagram(node, *to, frame),
                Action::CallBack { to, index, .. } => self.called_back.push((node, *to, *index)),
                // Nobody offers links here, and everybody can be connected to.
                Action::Admit(..) | Action::Knock(_) => {}
            }
        }
        out.clear();
        self.out = out;
        if let Some(checks) = &mut self.checks {
            checks.handled(node, &self.nodes[node as usize]);
            checks.conserves(self.totals, self.in_flight);
        }
        if let Some(at) = self.nodes[node as usize].next_wakeup()
            && self.alarms.get(&node) != Some(&at.0)
        {
            self.alarms.insert(node, at.0);
            self.calendar.push(at.0, Happening::Alarm { node });
        }
    }

    /// A search says its message id after its frames; the meter must know it before.
    fn note_guid(&mut self, node: u32, out: &Outbox) {
        for action in out.actions() {
            if let Action::Tell(ticket, Notice::Searching { guid, ttl, .. }) = action {
                self.meter.asked(query_of(*ticket), node, *guid, *ttl);
                if let Some(checks) = &mut self.checks {
                    checks.asked(node, *guid);
                }
            }
        }
    }

    fn tell(&mut self, node: u32, ticket: Ticket, notice: &Notice) {
        match notice {
            Notice::Hit { hops, hit } => {
                self.meter.hit(query_of(ticket), self.now, *hops, hit);
                if let Some(checks) = &mut self.checks {
                    checks.told(node, self.askers[query_of(ticket)]);
                }
            }
            Notice::Searching { .. }
            | Notice::TooSoon(_)
            | Notice::Pushed(_)
            | Notice::Passed(_)
            | Notice::Done(Ok(())) => {}
            Notice::Done(Err(_)) if ticket == PUSH_TICKET => {}
            Notice::Done(Err(why)) => self.meter.refused(query_of(ticket), why.clone()),
        }
    }

    /// Sends a datagram: straight to its node, in the time that links take which say nothing else.
    fn datagram(&mut self, from: u32, to: SocketAddr, frame: &Frame) {
        self.meter.datagram(frame);
        let Some(to) = build::node_at(to).filter(|to| (*to as usize) < self.nodes.len()) else {
            return;
        };
        let sent = Box::new((build::addr(from), frame.clone()));
        let at = self.now.saturating_add(self.datagram_ns);
        self.calendar.push(at, Happening::Datagram { to, sent });
    }

    /// Gives a frame to links.
    fn spread(&mut self, node: u32, links: &[LinkId], frame: &Frame) {
        self.totals.sent += links.len() as u64;
        self.meter.sent(frame, links.len() as u64);
        let mut kept = None;
        for link in links {
            self.send(node, *link, frame, &mut kept);
        }
    }

    /// Gives a frame to one link; `kept` is its place once it has one.
    fn send(&mut self, node: u32, link: LinkId, frame: &Frame, kept: &mut Option<Stored>) {
        if let Some(checks) = &mut self.checks {
            checks.sends(node, link.0, frame);
        }
        if !self.closed.is_empty() && self.closed.contains(&(node, link.0)) {
            self.totals.lost += 1;
            return self.meter.lost(frame);
        }
        let half = self.graph.links(node)[link.0 as usize];
        let end = self.graph.first_end(node) + link.0 as usize;
        match self.lines.send(self.now, half.edge, end, frame) {
            Fate::Arrives(at) => {
                self.in_flight += 1;
                let frame = match *kept {
                    Some(stored) => {
                        self.frames.again(stored);
                        stored
                    }
                    None => *kept.insert(self.frames.keep(frame.clone())),
                };
                let (to, link) = (half.to, half.back);
                self.calendar
                    .push(at, Happening::Arrival { to, link, frame });
            }
            Fate::Lost => {
                self.totals.lost += 1;
                self.meter.lost(frame);
            }
            Fate::Queued(shed) => {
                self.in_flight += 1;
                self.in_flight -= shed;
                self.totals.shed += shed;
                if shed > 0 {
                    self.nodes[node as usize].count_shed(shed);
                }
                self.wait(node, link.0, end);
                self.pressure(node, link.0, end);
            }
        }
    }

    /// Sees to it that what waits at an end of a link goes out when it can.
    fn wait(&mut self, node: u32, link: u32, end: usize) {
        if let Some(until) = self.lines.waits_until(end) {
            self.calendar.push(until, Happening::Ready { node, link });
        }
    }

    /// Tells the node when the send queue of a link is too full, or has room again. Not at once: the node is at work.
    fn pressure(&mut self, node: u32, link: u32, end: usize) {
        if let Some(over) = self.lines.pressure(end) {
            let pressed = Happening::Pressed { node, link, over };
            self.calendar.push(self.now, pressed);
        }
    }

    fn ready(&mut self, node: u32, link: u32) {
        let half = self.graph.links(node)[link as usize];
        let end = self.graph.first_end(node) + link as usize;
        // Every queued frame asked to be woken; the first one takes them all along.
        if self
            .lines
            .waits_until(end)
            .is_none_or(|until| until > self.now)
        {
            return;
        }
        for (at, frame) in self.lines.release(self.now, half.edge, end) {
            let frame = self.frames.keep(frame);
            self.calendar.push(
                at,
                Happening::Arrival {
                    to: half.to,
                    link: half.back,
                    frame,
                },
            );
        }
        self.pressure(node, link, end);
    }

    /// Closes a link at both ends; the other one notices after the link's delay.
    fn close(&mut self, node: u32, link: u32) {
        let half = self.graph.links(node)[link as usize];
        if self.closed.insert((node, link)) && !self.closed.contains(&(half.to, half.back)) {
            let at = self
                .now
                .saturating_add(self.lines.traits(half.edge).delay_ns);
            self.calendar.push(
                at,
                Happening::Gone {
                    node: half.to,
                    link: half.back,
                },
            );
        }
    }

    /// Ends a run: what the invariants have to say, and whether the trace was written.
    ///
    /// # Errors
    /// The first error of the trace's sink.
    pub fn finish(&mut self) -> std::io::Result<Vec<Breach>> {
        if let Some(checks) = &mut self.checks {
            checks.balance(self.totals, self.in_flight, self.byes, &self.nodes);
        }
        self.trace.finish()?;
        Ok(self
            .checks
            .as_ref()
            .map_or_else(Vec::new, |checks| checks.breaches().to_vec()))
    }
}

fn query_of(ticket: Ticket) -> usize {
    usize::try_from(ticket.0).expect("tickets are numbers of queries")
}

/// Nanoseconds as milliseconds, for reports.
pub fn millis(ns: u64) -> f64 {
    Duration::from_nanos(ns).as_secs_f64() * 1e3
}
