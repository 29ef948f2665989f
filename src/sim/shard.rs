//! A part of a world: nodes that follow each other, and all that happens to them.
//!
//! It alone changes its nodes, their ends of links, their frames under way and what is counted at them, so that
//! several shards of one world can be run at once. What its nodes send to those of others waits as [`Mail`].

use std::net::SocketAddr;

use bytes::Bytes;

use crate::node::event::{DialError, Gone};
use crate::node::{Action, Event, LinkId, Node, Notice, Outbox, Ticket, Time};
use crate::topology::Behaviour;
use crate::wire::Frame;

use super::calendar::{Calendar, Entry};
use super::check::Checks;
use super::faults::Stays;
use super::frames::{Frames, Stored};
use super::greet::Call;
use super::happening::{Happening, Others, arrival_at, place_of_arrival};
use super::line::{Ends, Fate};
use super::mail::{Asked, Letter, Mail, copied};
use super::map::Map;
use super::meter::{Meter, own};
use super::natures::{Lie, Natures, Taken, is_of_others};
use super::ties::{End, Ties};
use super::trace::{self, Delivery, Trace};
use super::{Totals, build};

/// Whoever asks for a push, or for anything else that is no search; no query is numbered so.
pub(super) const OTHER_TICKET: Ticket = Ticket(u64::MAX);
/// Events looked at ahead: a core waits for some ten to twenty answers of memory at once.
const AHEAD: usize = 16;
/// Nodes below which all of them are in the cache anyway.
const WARM_NODES_MIN: usize = 500;
/// No alarm.
const NEVER: u64 = u64::MAX;

/// What is kept for a node besides itself.
#[derive(Clone, Copy, Debug)]
struct Seat {
    /// Of all frames delivered to it, in order.
    digest: u64,
    /// When its next alarm is, if it waits for time to pass.
    alarm: u64,
}

/// A connection that a node would open because of a push.
#[derive(Clone, Copy, Debug)]
pub(super) struct CalledBack {
    pub(super) at_ns: u64,
    pub(super) node: u32,
    pub(super) to: SocketAddr,
    pub(super) index: u32,
}

#[derive(Debug)]
pub(super) struct Shard {
    /// Its number.
    number: usize,
    /// Its first node; the others follow.
    first: u32,
    pub(super) now: u64,
    pub(super) nodes: Vec<Node>,
    seats: Vec<Seat>,
    pub(super) ends: Ends,
    pub(super) ties: Ties,
    pub(super) stays: Stays,
    pub(super) natures: Natures,
    /// The offer that a node is judging.
    pub(super) judged: Option<Box<Call>>,
    calendar: Calendar,
    frames: Frames,
    others: Others,
    out: Outbox,
    pub(super) meter: Meter,
    trace: Trace,
    checks: Option<Box<Checks>>,
    pub(super) totals: Totals,
    /// Frames given to links and not yet out of them; of several shards only the sum has a meaning.
    pub(super) in_flight: i64,
    /// Events to come before the next look ahead.
    warmed: usize,
    /// Frames sent for nodes and not by them: last words, and lies.
    spoken: u64,
    pub(super) called_back: Vec<CalledBack>,
    /// What its nodes send to those of each shard.
    pub(super) mail: Vec<Mail>,
    /// Number of the spread under way.
    spread: u64,
    /// The payload that came last from another shard: the next one is likely the same.
    payload: Bytes,
}

impl Shard {
    /// The nodes of a shard, without links.
    pub(super) fn new(map: &Map, number: usize, nodes: Vec<Node>) -> Self {
        let of = map.nodes_of(number);
        let (first, ends) = (
            of.start,
            map.graph.first_end(of.start)..map.graph.first_end(of.end),
        );
        Self {
            number,
            first,
            now: 0,
            seats: vec![
                Seat {
                    digest: 0,
                    alarm: NEVER
                };
                nodes.len()
            ],
            ends: Ends::new(&map.lines, ends),
            calendar: Calendar::new(map.lines.span_ns()),
            frames: Frames::default(),
            others: Others::default(),
            out: Outbox::new(),
            ties: Ties::default(),
            stays: Stays::new(nodes.len()),
            natures: Natures::default(),
            judged: None,
            meter: Meter::new(first, nodes.len()),
            trace: Trace::default(),
            checks: None,
            totals: Totals::default(),
            in_flight: 0,
            warmed: 0,
            spoken: 0,
            called_back: Vec::new(),
            mail: map.firsts.iter().map(|_| Mail::default()).collect(),
            spread: 0,
            payload: Bytes::new(),
            nodes,
        }
    }

    /// From now on this is written, and that checked.
    pub(super) fn watch(&mut self, trace: Trace, checks: Option<Box<Checks>>) {
        self.trace = trace;
        self.checks = checks;
    }

    /// Place of a node of its own.
    pub(super) fn at(&self, node: u32) -> usize {
        (node - self.first) as usize
    }

    pub(super) fn node(&self, node: u32) -> &Node {
        &self.nodes[self.at(node)]
    }

    /// The digests of its nodes, with their numbers.
    pub(super) fn digests(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        (self.first..).zip(self.seats.iter().map(|seat| seat.digest))
    }

    /// Time of the first event.
    pub(super) fn next_at(&self) -> Option<u64> {
        self.calendar.next_at()
    }

    /// Lets happen all that happens up to `last_ns`, at most so many events. Returns how many happened.
    pub(super) fn run(&mut self, map: &Map, last_ns: u64, events_max: u64) -> u64 {
        let mut happened = 0;
        while happened < events_max
            && let Some(entry) = self.calendar.pop(last_ns)
        {
            if self.warmed == 0 {
                self.warm_up(map);
            }
            self.warmed -= 1;
            self.now = self.now.max(entry.at);
            if let Some((to, link)) = arrival_at(entry.place) {
                self.come(map, to, link, Stored(entry.item));
            } else {
                let happening = self.others.take(entry.item);
                self.happen(map, entry.at, happening);
            }
            happened += 1;
        }
        happened
    }

    /// Looks at what the next events will need, many at a time. In a large network nearly every event finds its
    /// node outside the processor's cache; memory answers sixteen questions at once about as fast as one.
    fn warm_up(&mut self, map: &Map) {
        self.warmed = AHEAD;
        if self.nodes.len() < WARM_NODES_MIN {
            return;
        }
        let mut arrivals = [(0, 0, Stored(0)); AHEAD];
        let mut count = 0;
        for entry in self.calendar.upcoming(AHEAD) {
            if let Some((to, link)) = arrival_at(entry.place) {
                arrivals[count] = (to, link, Stored(entry.item));
                count += 1;
            }
        }
        let arrivals = &arrivals[..count];
        // Step by step, and each step as short as can be: a core looks so far ahead only by instructions.
        let mut looked = 0;
        for (.., frame) in arrivals {
            looked ^= usize::from(self.frames.get(*frame).0.header.ttl);
        }
        let mut before = None;
        for (to, ..) in arrivals {
            // Those of one node follow each other.
            if before.replace(*to) != Some(*to) {
                looked ^= self.node(*to).look();
            }
        }
        for (to, link, _) in arrivals {
            looked ^= self.node(*to).look_at(LinkId(*link));
        }
        let mut before = None;
        for (to, _, frame) in arrivals {
            let guid = &self.frames.get(*frame).0.header.guid;
            if before.replace((*to, guid)) == Some((*to, guid)) {
                continue;
            }
            let (looked_up, is_new) = self.node(*to).look_up(guid);
            looked ^= looked_up;
            if is_new {
                let halves = map.graph.links(*to);
                looked ^= halves.first().map_or(0, |half| half.to as usize);
            }
        }
        // The looking is all that is wanted; without this the compiler would leave it out.
        std::hint::black_box(looked);
    }

    fn happen(&mut self, map: &Map, at: u64, happening: Happening) {
        match happening {
            Happening::Arrival { to, link, frame } => self.come(map, to, link, frame),
            Happening::Served { to, link, frame } => self.arrive(map, to, link, frame),
            Happening::Gone { node, link } => self.lose(map, node, link),
            Happening::Alarm { node } => {
                // An alarm that was moved since is a needless wake, and skipped.
                let place = self.at(node);
                if self.seats[place].alarm == at {
                    self.seats[place].alarm = NEVER;
                    self.hand(map, node, Event::Wake);
                }
            }
            Happening::Ready { node, link } => self.ready(map, node, link),
            Happening::Pressed { node, link, over } => {
                if self.ties.get(&map.graph, node, link).is_some() {
                    self.hand(map, node, Event::Pressed(LinkId(link), over));
                }
            }
            Happening::Datagram { to, sent } => {
                let (from, frame) = *sent;
                if self.is_up(to) {
                    self.hand(map, to, Event::Datagram(build::addr(from), frame));
                }
            }
            Happening::NoAnswer { node, dialled } => {
                let (addr, life) = *dialled;
                if self.lives(node, life) {
                    self.hand(map, node, Event::DialFailed(addr, DialError::Unreachable));
                }
            }
            Happening::Greets { call, .. } => self.greets(map, call),
        }
    }

    /// A frame comes to a node, which takes it in now, later or not at all.
    fn come(&mut self, map: &Map, to: u32, link: u32, frame: Stored) {
        match self.natures.takes(self.at(to), self.now) {
            Taken::Now => self.arrive(map, to, link, frame),
            Taken::At(at) => self.plan(at, Happening::Served { to, link, frame }),
            Taken::Never => {
                self.in_flight -= 1;
                self.totals.overrun += 1;
                self.meter.lost(self.frames.get(frame).0);
                self.frames.arrived(frame);
            }
        }
    }

    fn arrive(&mut self, map: &Map, to: u32, link: u32, stored: Stored) {
        self.in_flight -= 1;
        let place = self.at(to);
        let (frame, words) = self.frames.get(stored);
        if !self.ties.is_up(&map.graph, to, link) {
            self.totals.lost += 1;
            self.meter.lost(frame);
            return self.frames.arrived(stored);
        }
        self.totals.delivered += 1;
        let seat = &mut self.seats[place];
        seat.digest = trace::heard(seat.digest, self.now, link, words);
        if self.trace.is_wanted()
            && let Some(end) = self.ties.get(&map.graph, to, link)
        {
            let delivery = Delivery {
                at_ns: self.now,
                from: end.to,
                to,
                link,
                frame,
            };
            self.trace.add(delivery, &map.names);
        }
        self.meter.arrived(self.now, place, frame);
        if let Some(checks) = &mut self.checks {
            checks.arrives(to, link, frame);
        }
        let lie = self.lie(map, to, LinkId(link), frame);
        self.nodes[place].receive(Time(self.now), LinkId(link), frame, &mut self.out);
        self.frames.arrived(stored);
        self.perform(map, to);
        if let Some(Lie { link, frame }) = lie {
            self.spoken += 1;
            self.spread(map, to, &[link], frame);
        }
    }

    /// Hands one event to a node and performs all its actions: the contract of a shell.
    pub(super) fn hand(&mut self, map: &Map, node: u32, event: Event) {
        let place = self.at(node);
        let asks = matches!(event, Event::Command(..) | Event::Wake);
        self.nodes[place].handle(Time(self.now), event, &mut self.out);
        if asks {
            self.note_guid(node);
        }
        self.perform(map, node);
    }

    /// Performs all actions of a node that was handed an event.
    fn perform(&mut self, map: &Map, node: u32) {
        if !self.out.actions().is_empty() {
            let mut out = std::mem::take(&mut self.out);
            let (actions, links) = out.drain();
            for action in actions {
                self.act(map, node, action, links);
            }
            let stirred = out.is_stirred();
            out.clear();
            self.out = out;
            if stirred {
                self.set_alarm(node);
            }
        } else if self.out.is_stirred() {
            self.out.clear();
            self.set_alarm(node);
        }
        debug_assert!(
            self.has_alarm(node),
            "node {node} did not say that its alarm has moved"
        );
        if let Some(checks) = &mut self.checks {
            let place = (node - self.first) as usize;
            checks.handled(node, &self.nodes[place]);
            checks.conserves(self.totals, self.in_flight);
        }
    }

    /// Performs one action; `links` are those of its outbox.
    fn act(&mut self, map: &Map, node: u32, action: Action, links: &[LinkId]) {
        let silent = self.natures.of(self.at(node)) == Some(Behaviour::Silent);
        match action {
            Action::Send(_, frame) if silent && is_of_others(&frame) => self.totals.withheld += 1,
            Action::Spread(frame, span) if silent && is_of_others(&frame) => {
                self.totals.withheld += span.of(links).len() as u64;
            }
            Action::Send(link, frame) => self.spread(map, node, &[link], frame),
            Action::Spread(frame, span) => self.spread(map, node, span.of(links), frame),
            Action::Dial(addr) => self.dial(map, node, addr),
            Action::Close(link, bye) => {
                if let Some(bye) = bye {
                    self.spoken += 1;
                    self.spread(map, node, &[link], Node::bye_frame(bye));
                }
                self.close(map, node, link.0);
            }
            Action::Tell(ticket, notice) => self.tell(map, node, ticket, &notice),
            Action::Datagram(to, frame) => self.datagram(map, node, to, &frame),
            Action::CallBack { to, index, .. } => self.called_back.push(CalledBack {
                at_ns: self.now,
                node,
                to,
                index,
            }),
            Action::Admit(_, verdict) => self.admit(map, &verdict),
            // Everybody can be connected to.
            Action::Knock(_) => {}
        }
    }

    /// Whether a node will be woken when it wants to be.
    fn has_alarm(&self, node: u32) -> bool {
        let place = self.at(node);
        let wanted = self.nodes[place].next_wakeup();
        wanted.is_none_or(|at| at.0 == self.seats[place].alarm)
    }

    /// Sees to it that a node is woken when it wants to be.
    fn set_alarm(&mut self, node: u32) {
        let place = self.at(node);
        if let Some(at) = self.nodes[place].next_wakeup()
            && self.seats[place].alarm != at.0
        {
            self.seats[place].alarm = at.0;
            self.plan(at.0, Happening::Alarm { node });
        }
    }

    /// A search says its message id after its frames; all meters must know it before.
    fn note_guid(&mut self, node: u32) {
        for action in self.out.actions() {
            if let Action::Tell(ticket, Notice::Searching { guid, ttl, .. }) = action {
                let asked = Asked {
                    query: query_of(*ticket),
                    asker: node,
                    guid: *guid,
                    ttl: *ttl,
                };
                self.meter.asked(asked);
                if let Some(checks) = &mut self.checks {
                    checks.asked(asked);
                }
                for (shard, mail) in self.mail.iter_mut().enumerate() {
                    if shard != self.number {
                        mail.tell(asked);
                    }
                }
            }
        }
    }

    fn tell(&mut self, map: &Map, node: u32, ticket: Ticket, notice: &Notice) {
        match notice {
            Notice::Hit { hops, hit } => {
                let query = query_of(ticket);
                if map.liars.contains(&hit.servent) {
                    self.meter.false_hit(query, hit);
                } else {
                    self.meter.hit(query, self.now, *hops, hit);
                }
                if let Some(checks) = &mut self.checks {
                    checks.told(node, query_of(ticket));
                }
            }
            Notice::Searching { .. }
            | Notice::TooSoon(_)
            | Notice::Pushed(_)
            | Notice::Passed(_)
            | Notice::Done(Ok(())) => {}
            Notice::Done(Err(_)) if ticket == OTHER_TICKET => {}
            Notice::Done(Err(why)) => self.meter.refused(query_of(ticket), why.clone()),
        }
    }

    /// Sends a datagram: straight to its node, in the time that links take which say nothing else.
    fn datagram(&mut self, map: &Map, from: u32, to: SocketAddr, frame: &Frame) {
        self.meter.datagram(frame);
        let Some(to) = map.node_at(to).filter(|to| map.passes(from, *to)) else {
            return;
        };
        let at = self.now.saturating_add(map.datagram_ns);
        let sent = Box::new((from, copied(frame)));
        self.post(map, to, at, Happening::Datagram { to, sent });
    }

    /// Lets something happen to a node of this shard.
    pub(super) fn plan(&mut self, at: u64, happening: Happening) {
        let place = happening.place();
        let item = match happening {
            Happening::Arrival { frame, .. } => frame.0,
            other => self.others.keep(other),
        };
        self.calendar.push(Entry { at, place, item });
    }

    /// Lets something happen to any node.
    pub(super) fn post(&mut self, map: &Map, node: u32, at: u64, happening: Happening) {
        if own(self.first, self.nodes.len(), node).is_some() {
            self.plan(at, happening);
        } else {
            self.mail[map.shard_of(node)].write(at, happening);
        }
    }

    /// Takes in what another shard has for this one.
    pub(super) fn take_in(&mut self, mail: &mut Mail) {
        for asked in mail.news() {
            self.meter.asked(asked);
        }
        let mut kept: Option<(u32, Stored)> = None;
        while let Some((at, letter)) = mail.next() {
            let happening = match letter {
                Letter::Other(happening) => happening,
                Letter::Arrival { to, link, frame } => {
                    let stored = match kept {
                        Some((number, stored)) if number == frame => {
                            self.frames.again(stored);
                            stored
                        }
                        _ => {
                            let (header, payload) = mail.frame(frame);
                            if payload != &self.payload[..] {
                                self.payload = Bytes::copy_from_slice(payload);
                            }
                            let payload = self.payload.clone();
                            self.frames.keep(Frame { header, payload })
                        }
                    };
                    kept = Some((frame, stored));
                    Happening::Arrival {
                        to,
                        link,
                        frame: stored,
                    }
                }
            };
            self.plan(at, happening);
        }
    }

    /// Gives a frame to links.
    fn spread(&mut self, map: &Map, node: u32, links: &[LinkId], frame: Frame) {
        let count = links.len() as u64;
        self.totals.sent += count;
        self.meter.sent(&frame, count);
        self.spread += 1;
        let frame = self.frames.hold(frame);
        if let Some(delay_ns) = map.lines.constant_ns()
            && self.ties.are_untouched()
            && map.parted.is_none()
            && self.checks.is_none()
        {
            let at = self.now.saturating_add(delay_ns);
            let halves = map.graph.links(node);
            for link in links {
                let half = halves[link.0 as usize];
                self.arrives(map, at, (half.to, half.back), frame);
            }
        } else {
            for link in links {
                self.send(map, node, *link, frame);
            }
        }
        self.frames.let_go(frame);
    }

    /// A frame is under way to a node, where it arrives on a link.
    fn arrives(&mut self, map: &Map, at: u64, (to, link): (u32, u32), stored: Stored) {
        self.in_flight += 1;
        if own(self.first, self.nodes.len(), to).is_none() {
            let mail = &mut self.mail[map.shard_of(to)];
            return mail.send(at, (to, link), self.frames.get(stored).0, self.spread);
        }
        self.frames.again(stored);
        self.calendar.push(Entry {
            at,
            place: place_of_arrival(to, link),
            item: stored.0,
        });
    }

    /// Gives a frame to one link.
    fn send(&mut self, map: &Map, node: u32, link: LinkId, stored: Stored) {
        let (frame, _) = self.frames.get(stored);
        if let Some(checks) = &mut self.checks {
            checks.sends(node, link.0, frame);
        }
        let end = self.ties.get(&map.graph, node, link.0);
        let Some(end) = end.filter(|end| map.passes(node, end.to)) else {
            self.totals.lost += 1;
            return self.meter.lost(frame);
        };
        let way = (end.edge, end.place);
        match self.ends.send(&map.lines, self.now, way, frame) {
            Fate::Arrives(at) => {
                self.arrives(map, at, (end.to, end.back), stored);
            }
            Fate::Lost => {
                self.totals.lost += 1;
                self.meter.lost(frame);
            }
            Fate::Queued(shed) => {
                self.in_flight += 1 - i64::try_from(shed).expect("a queue holds fewer than 2^63");
                self.totals.shed += shed;
                if shed > 0 {
                    let place = self.at(node);
                    self.nodes[place].count_shed(shed);
                }
                self.wait(map, node, link.0, end.place);
                self.pressure(map, node, link.0, end.place);
            }
        }
    }

    /// Sees to it that what waits at an end of a link goes out when it can.
    fn wait(&mut self, map: &Map, node: u32, link: u32, place: usize) {
        if let Some(until) = self.ends.waits_until(&map.lines, place) {
            self.plan(until, Happening::Ready { node, link });
        }
    }

    /// Tells the node when the send queue of a link is too full, or has room again. Not at once: the node is at work.
    fn pressure(&mut self, map: &Map, node: u32, link: u32, place: usize) {
        if let Some(over) = self.ends.pressure(&map.lines, place) {
            let pressed = Happening::Pressed { node, link, over };
            self.plan(self.now, pressed);
        }
    }

    fn ready(&mut self, map: &Map, node: u32, link: u32) {
        let Some(end) = self.ties.get(&map.graph, node, link) else {
            return;
        };
        // Every queued frame asked to be woken; the first one takes them all along.
        let waits_until = self.ends.waits_until(&map.lines, end.place);
        if waits_until.is_none_or(|until| until > self.now) {
            return;
        }
        self.release(map, node, end);
        self.pressure(map, node, link, end.place);
    }

    /// Lets go all that waits at an end of a link; when the last of it arrives.
    fn release(&mut self, map: &Map, node: u32, end: End) -> Option<u64> {
        let from = self.ends.waits_until(&map.lines, end.place)?.max(self.now);
        let way = (end.edge, end.place);
        let mut last = None;
        for (at, frame) in self.ends.release(&map.lines, from, way) {
            let (to, link) = (end.to, end.back);
            if !map.passes(node, to) {
                self.forget(&frame);
                continue;
            }
            last = Some(at);
            self.spread += 1;
            // It was counted as under way when it began to wait.
            self.in_flight -= 1;
            let frame = self.frames.hold(frame);
            self.arrives(map, at, (to, link), frame);
            self.frames.let_go(frame);
        }
        last
    }

    /// A frame that waited to go out is lost.
    pub(super) fn forget(&mut self, frame: &Frame) {
        self.in_flight -= 1;
        self.totals.lost += 1;
        self.meter.lost(frame);
    }

    /// A node closes a link once all that waits is out. The other end notices after the link's delay, unless it has
    /// closed it too by then.
    fn close(&mut self, map: &Map, node: u32, link: u32) {
        let Some(end) = self.ties.shut(&map.graph, node, link) else {
            return;
        };
        self.changed();
        let out_by = self.release(map, node, end).unwrap_or(0);
        self.ends.end(&map.lines, end.place);
        self.part(map, end, out_by);
    }

    /// The other end of a link that is down here notices it after the link's delay, and not before `earliest`.
    pub(super) fn part(&mut self, map: &Map, end: End, earliest: u64) {
        let delay_ns = map.lines.traits(end.edge).delay_ns;
        let at = self.now.saturating_add(delay_ns).max(earliest);
        let (node, link) = (end.to, end.back);
        self.post(map, node, at, Happening::Gone { node, link });
    }

    /// A link is down at its other end, and now at this one: what waits here is lost.
    fn lose(&mut self, map: &Map, node: u32, link: u32) {
        let Some(end) = self.ties.shut(&map.graph, node, link) else {
            return;
        };
        self.changed();
        for frame in self.ends.end(&map.lines, end.place) {
            self.forget(&frame);
        }
        self.hand(map, node, Event::LinkDown(LinkId(link), Gone::Closed));
    }

    /// No alarm of a node rings any more.
    pub(super) fn no_alarm(&mut self, node: u32) {
        let place = self.at(node);
        self.seats[place].alarm = NEVER;
    }

    /// Invariants do not know a node any more.
    pub(super) fn begins(&mut self, node: u32) {
        if let Some(checks) = &mut self.checks {
            checks.begins(node);
        }
    }

    /// Ends a run: what the invariants have to say, and whether the trace was written.
    pub(super) fn finish(&mut self) -> std::io::Result<Vec<super::Breach>> {
        if let Some(checks) = &mut self.checks {
            checks.balance(
                self.totals,
                self.in_flight,
                self.spoken,
                self.stays.retired,
                &self.nodes,
            );
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
