//! A plan and the events of its file, in order of time: what happens between the frames.
//!
//! Searches, and a workload without times, come before the clock of the events starts; then everything has its time. Of
//! what is due at one moment first come the verdicts on what is expected, then the events of the file, then churn, then
//! the workload. Nothing here is part of a world: it is let run up to a moment, and then things are done to it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use crate::node::Time;
use crate::node::library::Library;
use crate::node::strategy::{Approach, Forward, Strategy};
use crate::topology::events::{Act, Partition, Step};
use crate::topology::plan::{Ask, Plan};
use crate::topology::{Amount, Asker, Edge, Names, Network, Search, TopologyError, dice};

use super::phases::Part;
use super::present::{Extent, Present};
use super::report::{EventReport, Expected};
use super::run::{EVENTS_MAX, Holders, could_be_exact};
use super::turns::{Turn, Turns};
use super::{Measured, Parted, Predicted, World, millis};

/// How long somebody waits for the answers of a search that nothing is expected of, as long as some may come. Our
/// choice: longer than any flood, and than all but the longest walks.
const PATIENCE: Duration = Duration::from_secs(30);
/// Parts that a run is cut into at most, by events and by churn.
const PARTS_MAX: usize = 200;
/// Parts of equal length that a run with churn is cut into besides.
const SAMPLES: u64 = 20;
/// Names listed of the nodes that an event happens to.
const NAMES_MAX: usize = 1_000;
/// Purpose of the randomness that finds another asker; the number of the query is added.
const REDRAW_PURPOSE: u64 = 9 << 32;
/// Draws for another asker, before the next one in order is taken.
const REDRAWS: usize = 64;

/// One search and what came of it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) ask: Ask,
    /// When, in virtual time.
    pub(super) at_ns: u64,
    /// What it had to find, for which event, and in which time.
    expected: Option<Wanted>,
    /// Files found by then, and nodes reached.
    in_time: Option<(u64, u64)>,
    pub(super) measured: Measured,
    pub(super) predicted: Predicted,
    pub(super) exact: bool,
    /// Its number in the world.
    query: usize,
    /// Nothing more is counted.
    ended: bool,
}

/// What an event expects of a search.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    /// Place of the event among the reported ones.
    event: usize,
    hits: Amount,
    within: Duration,
}

impl Asked {
    /// Whether it found in time what its event expects; `None`: nothing is.
    pub(super) fn held(&self) -> Option<bool> {
        let wanted = self.expected?;
        let (hits, _) = self.in_time.unwrap_or_default();
        Some(self.measured.refused.is_none() && wanted.hits.holds(hits))
    }

    /// The same for a report.
    fn found(&self, names: &Names) -> Option<(usize, Expected)> {
        let wanted = self.expected?;
        let (got, reached) = self.in_time.unwrap_or_default();
        let within_ms = wanted.within.as_secs_f64() * 1e3;
        let first = self.measured.first_hit_ns.map(millis);
        // Only that there is a hit at all can be certain before the time is over.
        let at_least_one = (wanted.hits.min, wanted.hits.max) == (1, u64::MAX);
        let found = Expected {
            from: names.name(self.ask.from).into_owned(),
            query: self.ask.query.clone(),
            ttl: self.ask.ttl,
            hits: wanted.hits.to_string(),
            within_ms,
            got,
            reached,
            after_ms: first
                .filter(|ms| at_least_one && *ms <= within_ms)
                .unwrap_or(within_ms),
            refused: self.measured.refused.clone(),
            ok: self.held() == Some(true),
        };
        Some((wanted.event, found))
    }
}

/// What came of all.
#[derive(Debug)]
pub(super) struct Came {
    /// First the searches of the plan, then those of the events, each in their order.
    pub(super) asked: Vec<Asked>,
    /// When the clock of the events started.
    pub(super) start_ns: u64,
    pub(super) parts: Vec<Part>,
    pub(super) samples: Vec<Part>,
    /// What the events of the file did.
    pub(super) events: Vec<EventReport>,
    /// Times that churn had a node come, leave and die.
    pub(super) turns: [u64; 3],
}

impl Asked {
    /// One that is over.
    pub(super) fn over(ask: &Ask, measured: Measured, predicted: Predicted, exact: bool) -> Self {
        Self {
            ask: ask.clone(),
            at_ns: measured.asked_ns,
            expected: None,
            in_time: None,
            measured,
            predicted,
            exact,
            query: 0,
            ended: true,
        }
    }
}

impl Came {
    /// A run without events.
    pub(super) fn of(asked: Vec<Asked>) -> Self {
        Self {
            asked,
            start_ns: 0,
            parts: Vec::new(),
            samples: Vec::new(),
            events: Vec::new(),
            turns: [0; 3],
        }
    }
}

/// Nodes and links that an event happened to.
#[derive(Debug, Default)]
struct To {
    nodes: Vec<u32>,
    links: usize,
}

impl To {
    fn nodes(nodes: Vec<u32>) -> Self {
        Self { nodes, links: 0 }
    }

    fn links(links: usize) -> Self {
        Self {
            nodes: Vec::new(),
            links,
        }
    }

    /// How many, for people; nothing where the act says it all.
    fn said(&self, act: &Act) -> String {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        match act {
            Act::Search(_) | Act::Expect { .. } => String::new(),
            Act::Kill(_)
            | Act::Leave(_)
            | Act::Restart(_)
            | Act::Join(_)
            | Act::Churn(_)
            | Act::Calm => format!(": {} node{}", self.nodes.len(), plural(self.nodes.len())),
            Act::Partition(_) | Act::Cut(_) | Act::Change { .. } | Act::Heal => {
                format!(": {} link{}", self.links, plural(self.links))
            }
        }
    }
}

/// When what was asked is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// It had so long to find what is expected.
    Verdict(usize),
    /// Nobody waits any longer.
    End(usize),
}

/// What is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Due,
    Sample,
    Step,
    Turn,
    Ask,
}

pub(super) struct Course<'a> {
    network: &'a Network,
    approach: &'a Approach,
    holders: Holders<'a>,
    world: &'a mut World,
    present: Option<Present>,
    /// Queries that may run at once.
    at_once: usize,
    plain: bool,
    dues: BinaryHeap<Reverse<(u64, Due)>>,
    /// Searches that may go on.
    open: Vec<usize>,
    churn: Option<Turns>,
    came: Came,
}

impl<'a> Course<'a> {
    pub(super) fn new(
        network: &'a Network,
        approach: &'a Approach,
        libraries: &'a BTreeMap<u32, Arc<Library>>,
        world: &'a mut World,
    ) -> Self {
        let floods = matches!(approach.strategy, Strategy::Usual | Strategy::Flood);
        Self {
            plain: floods && approach.forward == Forward::Flood,
            holders: Holders::new(libraries),
            network,
            approach,
            present: None,
            at_once: 1,
            dues: BinaryHeap::new(),
            open: Vec::new(),
            churn: None,
            came: Came::of(Vec::new()),
            world,
        }
    }

    /// Runs everything.
    ///
    /// # Errors
    /// An event whose names mean nothing, which is found out before.
    pub(super) fn run(mut self, plan: &Plan) -> Result<Came, TopologyError> {
        let (timed, sequential): (Vec<&Ask>, Vec<&Ask>) =
            plan.asks.iter().partition(|ask| ask.at.is_some());
        for ask in sequential {
            let at = self.ask(ask.clone(), None);
            self.world.run_until_quiet(EVENTS_MAX);
            self.end(at);
        }
        let start = self.world.now();
        self.came.start_ns = start.0;
        let on_clock = |span: Duration| start.plus(span).0;
        let steps = &self.network.events;
        let mut order: Vec<usize> = (0..steps.len()).collect();
        order.sort_by_key(|at| steps[*at].at);
        let askers = steps.iter().map(|step| match &step.act {
            Act::Search(search) | Act::Expect { search, .. } => match search.from {
                Asker::Each => self.network.names.len(),
                Asker::Node(_) => 1,
            },
            _ => 0,
        });
        self.at_once = timed.len() + askers.sum::<usize>();
        let last_step = steps.iter().map(|step| match &step.act {
            Act::Expect { within, .. } => step.at + *within,
            _ => step.at,
        });
        let last = last_step.chain(timed.last().and_then(|ask| ask.at)).max();
        let end = on_clock(last.unwrap_or_default());
        let mut samples = self.sample_times(end).into_iter().peekable();
        let mut steps_left = order.iter().copied().peekable();
        let mut asks_left = timed.into_iter().peekable();
        self.begin_part(start.0, "start".to_owned());
        loop {
            let due = self.dues.peek().map(|Reverse((at, _))| *at);
            let step = steps_left.peek().map(|at| on_clock(steps[*at].at));
            let turn = self.churn.as_ref().and_then(Turns::next_at);
            let ask = asks_left
                .peek()
                .map(|ask| on_clock(ask.at.unwrap_or_default()));
            let next = [
                (due, Next::Due),
                (samples.peek().copied(), Next::Sample),
                (step, Next::Step),
                (turn.filter(|at| *at <= end), Next::Turn),
                (ask, Next::Ask),
            ];
            let times = next.into_iter().filter_map(|(at, next)| Some((at?, next)));
            let Some((at, next)) = times.min() else {
                break;
            };
            if at > end && matches!(next, Next::Due) {
                break;
            }
            self.world.run_until(Time(at));
            match next {
                Next::Due => self.due(),
                Next::Sample => {
                    samples.next();
                    self.sample(at);
                }
                Next::Step => {
                    if let Some(number) = steps_left.next() {
                        self.step(number)?;
                    }
                }
                Next::Turn => self.turn(),
                Next::Ask => {
                    if let Some(ask) = asks_left.next() {
                        let ask = self.somebody(ask);
                        self.ask(ask, None);
                    }
                }
            }
        }
        self.world.run_until(Time(end));
        self.close_part();
        self.world.run_until_quiet(EVENTS_MAX);
        while !self.dues.is_empty() {
            self.due();
        }
        for at in 0..self.came.asked.len() {
            self.end(at);
            let found = self.came.asked[at].found(&self.network.names);
            if let Some((event, found)) = found {
                let report = &mut self.came.events[event];
                report.ok &= found.ok;
                report.expected.push(found);
            }
        }
        for event in &mut self.came.events {
            if event.r#do == "expect" {
                event.said = Expected::said(&event.expected);
            }
        }
        Ok(self.came)
    }

    /// The times at which a run with churn is looked at.
    fn sample_times(&self, end: u64) -> Vec<u64> {
        let churns = |act: &Act| matches!(act, Act::Churn(_));
        let start = self.came.start_ns;
        if end <= start || !self.network.events.iter().any(|step| churns(&step.act)) {
            return Vec::new();
        }
        let span = end - start;
        let at = |part: u64| {
            let share = u128::from(span) * u128::from(part) / u128::from(SAMPLES);
            start + u64::try_from(share).expect("a part of a 64-bit number")
        };
        (0..=SAMPLES).map(at).collect()
    }

    /// The ask, by another node if it was drawn and its asker is away. One that nobody can ask stays as it is.
    fn somebody(&self, ask: &Ask) -> Ask {
        let mut ask = ask.clone();
        if !ask.anyone || self.world.is_up(ask.from) || self.world.nodes_up() == 0 {
            return ask;
        }
        let nodes = self.count();
        let purpose = REDRAW_PURPOSE + self.came.asked.len() as u64;
        let mut rng = dice::seeded(self.network.seed, purpose);
        let drawn = (0..REDRAWS)
            .map(|_| dice::node(&mut rng, nodes))
            .find(|node| self.world.is_up(*node));
        let next = || (0..nodes).find(|node| self.world.is_up(*node));
        ask.from = drawn.or_else(next).unwrap_or(ask.from);
        ask
    }

    /// Asks, now. Returns its place among all that were asked.
    fn ask(&mut self, ask: Ask, expected: Option<Wanted>) -> usize {
        if self
            .present
            .as_ref()
            .is_none_or(|present| !present.holds(self.world))
        {
            self.present = Some(Present::of(self.world));
        }
        let present = self.present.as_ref().expect("it was just looked at");
        let holders = self.holders.of(&ask.query);
        let predicted = present.predict(ask.from, ask.ttl, holders);
        let exact = self.plain
            && present.is_plain()
            && self.world.is_up(ask.from)
            && could_be_exact(self.network, self.world.links_are(), &ask, self.at_once);
        let at_ns = self.world.now().0;
        let strategy = self.approach.strategy.clone();
        let query = self
            .world
            .search_by(ask.from, &ask.query, ask.ttl, strategy);
        let place = self.came.asked.len();
        self.open.push(place);
        let until = |span: Duration| Time(at_ns).plus(span).0;
        let mut wait = PATIENCE;
        if let Some(Wanted { within, .. }) = expected {
            wait = wait.max(within);
            self.dues
                .push(Reverse((until(within), Due::Verdict(place))));
        }
        self.dues.push(Reverse((until(wait), Due::End(place))));
        self.came.asked.push(Asked {
            ask,
            at_ns,
            expected,
            in_time: None,
            measured: Measured::default(),
            predicted,
            exact,
            query,
            ended: false,
        });
        place
    }

    /// What was asked is looked at again.
    fn due(&mut self) {
        match self.dues.pop() {
            Some(Reverse((_, Due::Verdict(place)))) => {
                let asked = &mut self.came.asked[place];
                let by_now = self.world.measured(asked.query);
                asked.in_time.get_or_insert((by_now.hits, by_now.reached));
            }
            Some(Reverse((_, Due::End(place)))) => self.end(place),
            None => {}
        }
    }

    /// Nothing more is counted of a search.
    fn end(&mut self, place: usize) {
        let asked = &mut self.came.asked[place];
        if std::mem::replace(&mut asked.ended, true) {
            return;
        }
        self.world.end_query(asked.query);
        asked.measured = self.world.measured(asked.query);
        if asked.expected.is_some() {
            let all = (asked.measured.hits, asked.measured.reached);
            asked.in_time.get_or_insert(all);
        }
        // An exact prediction is one of a network that stays as it is until the last frame is there and the last hit is
        // back, which may take as long, and longer by the jitter of links.
        let last = asked.measured.last_ns;
        let until = last
            .saturating_add(2 * (last - asked.at_ns))
            .saturating_add(self.world.span_ns());
        asked.exact &= !self.world.changed_within(asked.at_ns, until);
    }

    /// Ends floods of which no frame is under way: links that come up later would take them on.
    fn end_what_is_over(&mut self) {
        if !self.plain {
            return;
        }
        for place in std::mem::take(&mut self.open) {
            let asked = &mut self.came.asked[place];
            if self.world.is_over(asked.query) {
                self.end(place);
            } else if !asked.ended {
                // What is asked before an event of the same moment goes through the network that it leaves behind.
                asked.exact &= asked.at_ns < self.world.now().0;
                self.open.push(place);
            }
        }
    }

    /// An event of the file.
    fn step(&mut self, number: usize) -> Result<(), TopologyError> {
        let network = self.network;
        let step = &network.events[number];
        let wrong = |message: String| TopologyError::new(format!("events[{number}]"), message);
        let named = |names: &[String]| network.named(names).map_err(wrong);
        let (up, away) = (self.nodes(true), self.nodes(false));
        if !matches!(step.act, Act::Search(_) | Act::Expect { .. }) {
            self.end_what_is_over();
            self.begin_part(self.world.now().0, step.act.to_string());
        }
        let to = match &step.act {
            Act::Search(search) => self.ask_each(search, None),
            Act::Expect { search, within } => self.ask_each(search, Some(*within)),
            Act::Kill(who) => {
                let nodes = who.drawn(network, number, &up).map_err(wrong)?;
                nodes.iter().for_each(|node| _ = self.world.kill(*node));
                To::nodes(nodes)
            }
            Act::Leave(who) => {
                let nodes = who.drawn(network, number, &up).map_err(wrong)?;
                nodes.iter().for_each(|node| _ = self.world.leave(*node));
                To::nodes(nodes)
            }
            Act::Restart(who) | Act::Join(who) => {
                let nodes = who.drawn(network, number, &away).map_err(wrong)?;
                nodes.iter().for_each(|node| _ = self.world.restart(*node));
                To::nodes(nodes)
            }
            Act::Partition(Partition::Groups(groups)) => {
                let groups = network.grouped(groups).map_err(wrong)?;
                self.split(Parted::Groups(groups))
            }
            Act::Partition(Partition::OneWay { from, to }) => {
                let within = |nodes: Vec<u32>| {
                    let mut within = vec![false; network.names.len()];
                    nodes
                        .into_iter()
                        .for_each(|node| within[node as usize] = true);
                    within
                };
                let (from, to) = (within(named(from)?), within(named(to)?));
                self.split(Parted::OneWay { from, to })
            }
            Act::Heal => To::links(self.world.heal(network)),
            Act::Cut(between) => {
                let edges = network.between(between).map_err(wrong)?;
                let cut = edges.iter().filter(|at| {
                    let edge = u32::try_from(**at).expect("fewer than 2^31 links");
                    self.world.cut(edge, network.edges[**at])
                });
                To::links(cut.count())
            }
            Act::Change { between, to } => {
                let edges = network.between(between).map_err(wrong)?;
                self.world.change(&edges, to);
                To::links(edges.len())
            }
            Act::Churn(churn) => {
                let nodes = match churn.nodes.as_slice() {
                    [] => (0..self.count()).collect(),
                    names => named(names)?,
                };
                let now = self.world.now().0;
                let (turns, gone) = Turns::begin(churn, network, &nodes, now);
                self.churn = Some(turns);
                for (node, turn) in gone {
                    self.take(node, turn);
                }
                To::nodes(nodes)
            }
            Act::Calm => {
                let away: Vec<u32> = self.churn.take().into_iter().flat_map(Turns::end).collect();
                To::nodes(
                    away.into_iter()
                        .filter(|node| self.world.restart(*node))
                        .collect(),
                )
            }
        };
        self.report(step, &to);
        Ok(())
    }

    /// Notes what an event did.
    fn report(&mut self, step: &Step, to: &To) {
        let at_ms = step.at.as_secs_f64() * 1e3;
        let name = |node: &u32| self.network.names.name(*node).into_owned();
        self.came.events.push(EventReport {
            at_ms,
            r#do: step.act.word(),
            begun_ms: at_ms,
            done_ms: at_ms,
            said: format!("{}{}", step.act, to.said(&step.act)),
            nodes: to.nodes.iter().take(NAMES_MAX).map(name).collect(),
            links: to.links,
            expected: Vec::new(),
            ok: true,
        });
    }

    /// From now on frames pass as this says.
    fn split(&mut self, parted: Parted) -> To {
        let apart = |edge: &&Edge| !parted.passes(edge.a, edge.b) || !parted.passes(edge.b, edge.a);
        let links = self.network.edges.iter().filter(apart).count();
        self.world.split(Some(parted));
        To::links(links)
    }

    fn count(&self) -> u32 {
        u32::try_from(self.network.names.len()).expect("nodes are counted in 32 bits")
    }

    /// All nodes that are there, or away, in rising order.
    fn nodes(&self, up: bool) -> Vec<u32> {
        let all = 0..self.count();
        all.filter(|node| self.world.is_up(*node) == up).collect()
    }

    fn ask_each(&mut self, search: &Search, within: Option<Duration>) -> To {
        let askers: Vec<u32> = match &search.from {
            Asker::Each => self.nodes(true),
            Asker::Node(name) => self.network.names.find(name).into_iter().collect(),
        };
        let wish = self.approach.ttl.or(search.ttl);
        let ttl = wish
            .or(self.network.defaults.ttl)
            .unwrap_or(crate::topology::plan::LAB_TTL);
        let expected = within.zip(search.hits).map(|(within, hits)| Wanted {
            event: self.came.events.len(),
            hits,
            within,
        });
        for from in &askers {
            let ask = Ask {
                from: *from,
                query: search.query.clone(),
                ttl,
                at: None,
                expect: None,
                anyone: false,
            };
            self.ask(ask, expected);
        }
        To::nodes(askers)
    }

    /// A node goes or comes back by itself.
    fn turn(&mut self) {
        self.end_what_is_over();
        if let Some((node, turn)) = self.churn.as_mut().and_then(Turns::next) {
            self.take(node, turn);
        }
    }

    fn take(&mut self, node: u32, turn: Turn) {
        let [came, left, died] = &mut self.came.turns;
        match turn {
            Turn::Comes => *came += u64::from(self.world.restart(node)),
            Turn::Leaves => *left += u64::from(self.world.leave(node)),
            Turn::Dies => *died += u64::from(self.world.kill(node)),
        }
    }

    /// A part of the run begins with an event; several at one moment begin one.
    fn begin_part(&mut self, at: u64, what: String) {
        let full = self.came.parts.len() >= PARTS_MAX;
        if let Some(part) = self.came.parts.last_mut()
            && (part.from_ns == at || full)
        {
            match &mut part.after {
                Some(after) if !full && after != "start" => {
                    after.push_str(", ");
                    after.push_str(&what);
                }
                after if !full => *after = Some(what),
                _ => {}
            }
            return;
        }
        self.close_part();
        self.came.parts.push(Part {
            from_ns: at,
            after: Some(what),
            extent: Extent::default(),
        });
    }

    fn close_part(&mut self) {
        let extent = self.extent();
        if let Some(part) = self.came.parts.last_mut() {
            part.extent = extent;
        }
        if let Some(sample) = self.came.samples.last_mut()
            && sample.extent == Extent::default()
        {
            sample.extent = extent;
        }
    }

    /// A part of equal length is over, and the next begins, unless it is the last.
    fn sample(&mut self, at: u64) {
        let extent = self.extent();
        if let Some(sample) = self.came.samples.last_mut() {
            sample.extent = extent;
        }
        if self.came.samples.len() < usize::try_from(SAMPLES).unwrap_or(usize::MAX) {
            self.came.samples.push(Part {
                from_ns: at,
                after: None,
                extent: Extent::default(),
            });
        }
    }

    fn extent(&self) -> Extent {
        Present::of(self.world).extent(self.world)
    }
}
