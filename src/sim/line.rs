//! What links do to frames: delay, jitter, loss, a rate with the send queue that real links have too.

use rand::Rng;

use crate::node::limits::{QUEUE_HIGH_BYTES, QUEUE_LOW_BYTES, SEND_QUEUE_BYTES};
use crate::node::sendq::SendQueue;
use crate::topology::dice::{self, Thrifty};
use crate::topology::events::Act;
use crate::topology::{LinkTraits, Network, Traits};
use crate::wire::{Frame, HEADER_BYTES, Header};

/// When a frame given to a link arrives.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// At this time.
    Arrives(u64),
    /// Never: the dice said so.
    Lost,
    /// It waits in the send queue, from which so many frames were shed for it.
    Queued(u64),
}

/// One direction of one link, when it is more than a constant delay.
#[derive(Debug)]
struct Direction {
    /// What its frames suffer is drawn from here: by it alone, whatever happens on other links.
    dice: Thrifty,
    /// When the last frame arrives: none overtakes another, links are streams.
    last_ns: u64,
    /// While bytes are going out and until when.
    busy_until_ns: u64,
    queue: Option<Box<SendQueue>>,
    /// Its queue went over the high mark and not back to the low one since.
    pressed: bool,
}

/// What all links are like.
#[derive(Debug)]
pub(super) struct Lines {
    kinds: Vec<Traits>,
    /// Kinds that the network has by itself; those behind came by changes.
    said: usize,
    /// Which kind each link is; empty when all are of the first.
    kind_of: Vec<u32>,
    /// The same as the network says it, once something was changed.
    said_of: Vec<u32>,
    links: usize,
    /// The dice of all directions are drawn from it.
    family: u64,
    /// All links have a constant delay and nothing else, and it stays so.
    plain: bool,
}

/// Purpose of the randomness of links.
const LINK_PURPOSE: u64 = 2 << 32;

impl Lines {
    pub(super) fn new(network: &Network) -> Self {
        let uniform = network.traits.len() == 1;
        let plain =
            |traits: &Traits| traits.jitter_ns == 0 && traits.drop <= 0.0 && traits.rate.is_none();
        let changes = |act: &Act| matches!(act, Act::Change { .. });
        let changing = network.events.iter().any(|step| changes(&step.act));
        Self {
            plain: network.traits.iter().all(plain) && !changing,
            said: network.traits.len(),
            said_of: Vec::new(),
            links: network.edges.len(),
            kinds: network.traits.clone(),
            kind_of: if uniform {
                Vec::new()
            } else {
                network.edges.iter().map(|edge| edge.traits).collect()
            },
            family: dice::seeded(network.seed, LINK_PURPOSE).next_u64(),
        }
    }

    /// The longest that a frame may take, its waiting for a rate aside.
    pub(super) fn span_ns(&self) -> u64 {
        self.kinds
            .iter()
            .map(|kind| kind.delay_ns.saturating_add(kind.jitter_ns))
            .max()
            .unwrap_or(0)
    }

    /// The time that every frame takes on every link, if that is all there is to it.
    pub(super) fn constant_ns(&self) -> Option<u64> {
        (self.plain && self.kind_of.is_empty()).then(|| self.kinds[0].delay_ns)
    }

    /// No frame arrives sooner after it was sent.
    pub(super) fn least_ns(&self) -> u64 {
        let delays = self.kinds.iter().map(|kind| kind.delay_ns);
        delays.min().unwrap_or(0)
    }

    /// Traits of a link. Links that are not the network's own are as its defaults say.
    pub(super) fn traits(&self, edge: u32) -> Traits {
        let kind = self.kind_of.get(edge as usize).copied().unwrap_or(0);
        self.kinds[kind as usize]
    }

    /// Whether no link loses frames or has a rate; and whether all have the same delay without jitter.
    pub(super) fn are_plain(&self) -> (bool, bool) {
        let used = |at: usize| {
            let mut kinds = self.kind_of.iter();
            self.said_of.is_empty() || kinds.any(|kind| usize::try_from(*kind) == Ok(at))
        };
        let kinds = || {
            let all = self.kinds.iter().enumerate();
            all.filter(|(at, _)| used(*at)).map(|(_, kind)| kind)
        };
        let Some(first) = kinds().next() else {
            return (true, true);
        };
        let calm = kinds().all(|kind| kind.drop <= 0.0 && kind.rate.is_none());
        let level = kinds().all(|kind| kind.delay_ns == first.delay_ns && kind.jitter_ns == 0);
        (calm, level)
    }

    /// Changes links of the network; what `to` does not say stays.
    pub(super) fn change(&mut self, edges: &[usize], to: &LinkTraits) {
        if self.kind_of.is_empty() {
            self.kind_of = vec![0; self.links];
        }
        if self.said_of.is_empty() {
            self.said_of.clone_from(&self.kind_of);
        }
        // For each kind before, the one that comes of it.
        let mut becomes = vec![None; self.kinds.len()];
        for edge in edges {
            let old = self.kind_of[*edge] as usize;
            let new = *becomes[old].get_or_insert_with(|| {
                let wanted = self.kinds[old].changed(to);
                let known = self.kinds.iter().position(|known| *known == wanted);
                known.unwrap_or_else(|| {
                    self.kinds.push(wanted);
                    self.kinds.len() - 1
                })
            });
            self.kind_of[*edge] = u32::try_from(new).expect("no more kinds than links");
        }
    }

    /// All links are again as the network says.
    pub(super) fn restore(&mut self) {
        if !self.said_of.is_empty() {
            self.kind_of = std::mem::take(&mut self.said_of);
            self.kinds.truncate(self.said);
        }
    }
}

/// The ways out at the ends of links, those of some nodes that follow each other. Each has a place: those of links of
/// the network their number among the ends of all nodes, the others one behind those, which means nothing elsewhere.
#[derive(Debug)]
pub(super) struct Ends {
    /// Number of the first end, among those of all nodes.
    first: usize,
    /// Empty when all links have a constant delay.
    directions: Vec<Direction>,
    /// Ends of links that are not the network's own.
    beyond: Vec<Direction>,
    /// Of those, the ones that may be used again.
    spare: Vec<usize>,
}

impl Ends {
    /// The ends of these numbers.
    pub(super) fn new(lines: &Lines, ends: std::ops::Range<usize>) -> Self {
        let first = ends.start;
        let kept = if lines.plain { 0..0 } else { ends };
        Self {
            first,
            directions: kept
                .map(|end| Direction::new(lines.family, end as u64))
                .collect(),
            beyond: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// The way out at a place; `None` when all links have a constant delay.
    fn way(&mut self, lines: &Lines, place: usize) -> Option<&mut Direction> {
        if lines.plain {
            return None;
        }
        match place.checked_sub(2 * lines.links) {
            None => self.directions.get_mut(place - self.first),
            Some(beyond) => self.beyond.get_mut(beyond),
        }
    }

    /// A place for an end of a link that is not the network's own. Its dice are those of this node and link id.
    pub(super) fn beyond(&mut self, lines: &Lines, node: u32, link: u32) -> usize {
        let number = u64::from(node) << 32 | u64::from(link);
        let direction = Direction::new(lines.family.rotate_left(32), number);
        let at = if let Some(at) = self.spare.pop() {
            self.beyond[at] = direction;
            at
        } else {
            self.beyond.push(direction);
            self.beyond.len() - 1
        };
        2 * lines.links + at
    }

    /// A link is made over this end: nothing is under way, and nothing arrives before `earliest`.
    pub(super) fn begin(&mut self, lines: &Lines, place: usize, earliest: u64) {
        if let Some(direction) = self.way(lines, place) {
            direction.busy_until_ns = 0;
            direction.pressed = false;
            direction.last_ns = direction.last_ns.max(earliest);
        }
    }

    /// A link is gone at this end: what waited there.
    pub(super) fn end(&mut self, lines: &Lines, place: usize) -> Vec<Frame> {
        let queue = self.way(lines, place).and_then(|way| way.queue.take());
        if let Some(beyond) = place.checked_sub(2 * lines.links) {
            self.spare.push(beyond);
        }
        let Some(mut queue) = queue else {
            return Vec::new();
        };
        let mut bytes = Vec::new();
        queue.take(&mut bytes);
        frames(bytes).collect()
    }

    /// Gives a frame to a link, at its end at a place.
    pub(super) fn send(
        &mut self,
        lines: &Lines,
        now_ns: u64,
        (edge, place): (u32, usize),
        frame: &Frame,
    ) -> Fate {
        let traits = lines.traits(edge);
        let Some(direction) = self.way(lines, place) else {
            return Fate::Arrives(now_ns.saturating_add(traits.delay_ns));
        };
        if traits.drop > 0.0 && dice::chance(&mut direction.dice, traits.drop) {
            return Fate::Lost;
        }
        let waits = direction.waits();
        let Some(rate) = traits.rate.or(waits.then_some(u64::MAX)) else {
            return Fate::Arrives(direction.arrival(now_ns, &traits));
        };
        if waits || direction.busy_until_ns > now_ns {
            let queue = direction
                .queue
                .get_or_insert_with(|| Box::new(SendQueue::new(SEND_QUEUE_BYTES)));
            return Fate::Queued(queue.push(frame));
        }
        direction.busy_until_ns = now_ns.saturating_add(time_ns(frame.wire_len(), rate));
        Fate::Arrives(direction.arrival(direction.busy_until_ns, &traits))
    }

    /// Whether the queue at an end has just gone over its high mark (`true`) or back to its low one (`false`).
    pub(super) fn pressure(&mut self, lines: &Lines, place: usize) -> Option<bool> {
        let direction = self.way(lines, place)?;
        let bytes = direction.queue.as_ref()?.len();
        let changed = if direction.pressed {
            bytes <= QUEUE_LOW_BYTES
        } else {
            bytes > QUEUE_HIGH_BYTES
        };
        changed.then(|| {
            direction.pressed = !direction.pressed;
            direction.pressed
        })
    }

    /// Whether frames wait at an end, and until when they must.
    pub(super) fn waits_until(&mut self, lines: &Lines, place: usize) -> Option<u64> {
        let direction = self.way(lines, place)?;
        direction.waits().then_some(direction.busy_until_ns)
    }

    /// Takes all that waits at an end, as a writer takes all that is queued in one piece, with the time at which
    /// each frame arrives.
    pub(super) fn release(
        &mut self,
        lines: &Lines,
        now_ns: u64,
        (edge, place): (u32, usize),
    ) -> Vec<(u64, Frame)> {
        let traits = lines.traits(edge);
        let Some(direction) = self.way(lines, place) else {
            return Vec::new();
        };
        let Some(queue) = &mut direction.queue else {
            return Vec::new();
        };
        let mut bytes = Vec::new();
        queue.take(&mut bytes);
        let mut sent_at = now_ns;
        let released = frames(bytes)
            .map(|frame| {
                // Without a rate, which it may have lost while they waited, all go at once.
                let rate = traits.rate.unwrap_or(u64::MAX);
                sent_at = sent_at.saturating_add(time_ns(frame.wire_len(), rate));
                (direction.arrival(sent_at, &traits), frame)
            })
            .collect();
        direction.busy_until_ns = sent_at;
        released
    }
}

/// The frames in the bytes of a send queue.
fn frames(bytes: Vec<u8>) -> impl Iterator<Item = Frame> {
    let mut rest = bytes::Bytes::from(bytes);
    std::iter::from_fn(move || {
        let head = rest.first_chunk::<HEADER_BYTES>()?;
        let (header, len) = Header::from_bytes(head);
        let mut frame = rest.split_to(HEADER_BYTES + len as usize);
        let payload = frame.split_off(HEADER_BYTES);
        Some(Frame { header, payload })
    })
}

impl Direction {
    fn new(family: u64, number: u64) -> Self {
        Self {
            dice: Thrifty::new(family, number),
            last_ns: 0,
            busy_until_ns: 0,
            queue: None,
            pressed: false,
        }
    }

    fn waits(&self) -> bool {
        let queue = self.queue.as_ref();
        queue.is_some_and(|queue| !queue.is_empty())
    }

    fn arrival(&mut self, sent_ns: u64, traits: &Traits) -> u64 {
        let jitter = if traits.jitter_ns == 0 {
            0
        } else {
            dice::below(&mut self.dice, traits.jitter_ns.saturating_add(1))
        };
        let at = sent_ns
            .saturating_add(traits.delay_ns)
            .saturating_add(jitter);
        self.last_ns = self.last_ns.max(at);
        self.last_ns
    }
}

/// Time that so many bytes take at a rate.
fn time_ns(bytes: usize, rate: u64) -> u64 {
    u64::try_from(bytes as u128 * 1_000_000_000 / u128::from(rate.max(1))).unwrap_or(u64::MAX)
}
