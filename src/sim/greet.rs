//! How links come up while a world runs: a node dials, the other judges, by the rules of the core; greetings are no
//! frames and take time only.
//!
//! A connection and a greeting of three groups take five delays of the link: after three the called node reads the
//! offer, after four the caller has the answer and may send, after five the link is up at the other end too. All that
//! is known of a greeting travels with it, as the two nodes may be of different shards.

use std::net::SocketAddr;

use crate::node::event::{DialError, Direction, Gone, Verdict};
use crate::node::{Event, LinkId};
use crate::wire::ServentId;

use super::build::addr;
use super::happening::Happening;
use super::map::Map;
use super::shard::Shard;
use super::ties::{BEYOND, End};

/// Time an unanswered dial takes.
const DIAL_NS: u64 = 1_000_000_000;

/// One node at an end of a greeting, in one of its lives: none answers for another.
#[derive(Clone, Copy, Debug)]
struct Party {
    node: u32,
    life: u32,
    servent: ServentId,
}

/// One greeting.
#[derive(Debug)]
pub(super) struct Call {
    caller: Party,
    called: u32,
    delay_ns: u64,
    stage: Stage,
}

/// What happens next.
#[derive(Debug)]
enum Stage {
    /// The called node reads the offer.
    Offers,
    /// It is judging it; the id that the link would have there.
    Judges(u32),
    /// The caller reads that it is taken; the link's id at the called node.
    Taken(Party, u32),
    /// The caller reads why not.
    Refused(u16, Vec<SocketAddr>),
    /// The caller notices that nobody is there.
    Nobody,
    /// The called node reads the last group; the link's id there and at the caller.
    Done(Party, u32, u32),
    /// The called node notices that the caller is gone, or the link cut.
    Lost(Party, u32),
}

impl Call {
    /// The other one of the two.
    pub(super) fn other(&self, node: u32) -> u32 {
        if node == self.called {
            self.caller.node
        } else {
            self.called
        }
    }
}

impl Shard {
    fn party(&self, node: u32) -> Party {
        Party {
            node,
            life: self.life(node),
            servent: self.node(node).id(),
        }
    }

    fn is_same(&self, party: Party) -> bool {
        self.lives(party.node, party.life)
    }

    /// A node dials.
    pub(super) fn dial(&mut self, map: &Map, node: u32, to: SocketAddr) {
        let caller = self.party(node);
        let edge = |called: u32| edge(map, node, called);
        let called = map.node_at(to).filter(|called| {
            let passes = map.passes(node, *called) && map.passes(*called, node);
            passes && *called != node && !map.cut.contains(&edge(*called))
        });
        let Some(called) = called else {
            let dialled = Box::new((to, caller.life));
            let at = self.now.saturating_add(DIAL_NS);
            return self.plan(at, Happening::NoAnswer { node, dialled });
        };
        let call = Call {
            caller,
            called,
            delay_ns: map.lines.traits(edge(called)).delay_ns,
            stage: Stage::Offers,
        };
        // Connecting takes the way there and back.
        let at = self.now.saturating_add(call.delay_ns.saturating_mul(3));
        let (node, call) = (called, Box::new(call));
        self.post(map, node, at, Happening::Greets { node, call });
    }

    /// A greeting takes its next step.
    pub(super) fn greets(&mut self, map: &Map, mut call: Box<Call>) {
        let (caller, called) = (call.caller, call.called);
        // It may have been cut since it was dialled, and then it does not come up.
        let cut = map.cut.contains(&edge(map, caller.node, called));
        match call.stage {
            Stage::Offers if cut => {
                let wait = call.delay_ns;
                self.next_stage(map, call, Stage::Nobody, wait);
            }
            Stage::Offers if self.is_up(called) => {
                let link = self.ties.next_id(&map.graph, called);
                call.stage = Stage::Judges(link);
                self.judged = Some(call);
                let direction = Direction::Accepted;
                let other = (caller.node, caller.servent);
                let peer = map.nursery.peer(&map.graph, other, called, direction);
                self.hand(map, called, Event::Offer(LinkId(link), peer));
            }
            Stage::Offers => {
                // As long as a dial takes that nobody answers.
                let spent = call.delay_ns.saturating_mul(3);
                let wait = DIAL_NS.saturating_sub(spent).max(call.delay_ns);
                self.next_stage(map, call, Stage::Nobody, wait);
            }
            Stage::Taken(far, link) if !cut && self.is_same(caller) => {
                self.connect(map, call, far, link);
            }
            Stage::Taken(far, link) => {
                let wait = call.delay_ns;
                self.next_stage(map, call, Stage::Lost(far, link), wait);
                if self.is_same(caller) {
                    self.nobody(map, caller.node, called);
                }
            }
            Stage::Refused(code, ref try_peers) if self.is_same(caller) => {
                let try_peers = try_peers.clone();
                let refused = DialError::Refused { code, try_peers };
                self.hand(map, caller.node, Event::DialFailed(addr(called), refused));
            }
            Stage::Nobody if self.is_same(caller) => {
                self.nobody(map, caller.node, called);
            }
            Stage::Done(far, link, near_link) if cut || !self.is_same(far) => {
                // Gone meanwhile: a connection that breaks.
                let end = End {
                    to: caller.node,
                    back: near_link,
                    edge: edge(map, called, caller.node),
                    place: usize::MAX,
                };
                self.part(map, end, 0);
                if self.is_same(far) {
                    self.hand(map, called, Event::LinkDown(LinkId(link), Gone::Broken));
                }
            }
            Stage::Done(_, link, near_link) => {
                let end = self.end(map, caller.node, near_link, (called, link));
                self.ends.begin(&map.lines, end.place, 0);
                self.ties.open(called, link, end);
                self.changed();
                let direction = Direction::Accepted;
                let other = (caller.node, caller.servent);
                let peer = map.nursery.peer(&map.graph, other, called, direction);
                self.hand(map, called, Event::LinkUp(LinkId(link), peer));
            }
            Stage::Lost(far, link) if self.is_same(far) => {
                self.hand(map, called, Event::LinkDown(LinkId(link), Gone::Broken));
            }
            // Whoever it was for is gone.
            Stage::Refused(..) | Stage::Nobody | Stage::Lost(..) | Stage::Judges(_) => {}
        }
    }

    /// A node notices that nobody answers its dial.
    fn nobody(&mut self, map: &Map, node: u32, called: u32) {
        let nobody = DialError::Unreachable;
        self.hand(map, node, Event::DialFailed(addr(called), nobody));
    }

    /// The core's verdict on the offer that it was handed last.
    pub(super) fn admit(&mut self, map: &Map, verdict: &Verdict) {
        let Some(call) = self.judged.take() else {
            return;
        };
        let Stage::Judges(link) = call.stage else {
            return;
        };
        let stage = match verdict {
            Verdict::Accept | Verdict::Guide => Stage::Taken(self.party(call.called), link),
            Verdict::Refuse {
                code, try_peers, ..
            } => Stage::Refused(*code, try_peers.clone()),
        };
        let wait = call.delay_ns;
        self.next_stage(map, call, stage, wait);
    }

    /// A greeting goes on at the other end after some time.
    fn next_stage(&mut self, map: &Map, mut call: Box<Call>, stage: Stage, wait_ns: u64) {
        let node = match stage {
            Stage::Taken(..) | Stage::Refused(..) | Stage::Nobody => call.caller.node,
            Stage::Offers | Stage::Judges(_) | Stage::Done(..) | Stage::Lost(..) => call.called,
        };
        call.stage = stage;
        let at = self.now.saturating_add(wait_ns);
        self.post(map, node, at, Happening::Greets { node, call });
    }

    /// The link is up at the caller.
    fn connect(&mut self, map: &Map, call: Box<Call>, far: Party, far_link: u32) {
        let (caller, called, delay_ns) = (call.caller.node, call.called, call.delay_ns);
        let link = self.ties.next_id(&map.graph, caller);
        let end = self.end(map, called, far_link, (caller, link));
        let done_at = self.now.saturating_add(delay_ns);
        self.ends.begin(&map.lines, end.place, done_at);
        self.ties.open(caller, link, end);
        self.changed();
        self.next_stage(map, call, Stage::Done(far, far_link, link), delay_ns);
        let direction = Direction::Dialled(addr(called));
        let other = (called, far.servent);
        let peer = map.nursery.peer(&map.graph, other, caller, direction);
        self.hand(map, caller, Event::LinkUp(LinkId(link), peer));
    }

    /// The end at `node`, where it has the id `link`, of a link to `to`, where it has the id `back`.
    fn end(&mut self, map: &Map, to: u32, back: u32, (node, link): (u32, u32)) -> End {
        let at = map.graph.links(node).iter().position(|half| half.to == to);
        let (edge, place) = match at {
            Some(at) => {
                let edge = map.graph.links(node)[at].edge;
                (edge, map.graph.first_end(node) + at)
            }
            None => (BEYOND, self.ends.beyond(&map.lines, node, link)),
        };
        End {
            to,
            back,
            edge,
            place,
        }
    }
}

/// The link of the graph between two nodes, or [`BEYOND`].
fn edge(map: &Map, node: u32, other: u32) -> u32 {
    let halves = map.graph.links(node).iter();
    let half = halves.clone().find(|half| half.to == other);
    half.map_or(BEYOND, |half| half.edge)
}
