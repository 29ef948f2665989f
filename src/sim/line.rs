//! What links do to frames: delay, jitter, loss, a rate with the send queue that real links have too.

use rand::Rng;

use crate::node::limits::{QUEUE_HIGH_BYTES, QUEUE_LOW_BYTES, SEND_QUEUE_BYTES};
use crate::node::sendq::SendQueue;
use crate::topology::dice::{self, Thrifty};
use crate::topology::{Network, Traits};
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
    /// Which kind each link is; empty when all are of the first.
    kind_of: Vec<u32>,
    /// The dice of all directions are drawn from it.
    family: u64,
    /// All links have a constant delay and nothing else.
    plain: bool,
}

/// Purpose of the randomness of links.
const LINK_PURPOSE: u64 = 2 << 32;

impl Lines {
    pub(super) fn new(network: &Network) -> Self {
        let uniform = network.traits.len() == 1;
        let plain =
            |traits: &Traits| traits.jitter_ns == 0 && traits.drop <= 0.0 && traits.rate.is_none();
        Self {
            plain: network.traits.iter().all(plain),
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

    /// No frame arrives sooner after it was sent.
    pub(super) fn least_ns(&self) -> u64 {
        let delays = self.kinds.iter().map(|kind| kind.delay_ns);
        delays.min().unwrap_or(0)
    }

    /// Traits of a link.
    pub(super) fn traits(&self, edge: u32) -> Traits {
        let kind = self.kind_of.get(edge as usize).copied().unwrap_or(0);
        self.kinds[kind as usize]
    }
}

/// The ways out at the ends of links, those of some nodes that follow each other.
#[derive(Debug)]
pub(super) struct Ends {
    /// Number of the first end, among those of all nodes.
    first: usize,
    /// Empty when all links have a constant delay.
    directions: Vec<Direction>,
}

impl Ends {
    /// The ends of these numbers.
    pub(super) fn new(lines: &Lines, ends: std::ops::Range<usize>) -> Self {
        let first = ends.start;
        let kept = if lines.plain { 0..0 } else { ends };
        Self {
            first,
            directions: kept
                .map(|end| Direction {
                    dice: Thrifty::new(lines.family, end as u64),
                    last_ns: 0,
                    busy_until_ns: 0,
                    queue: None,
                    pressed: false,
                })
                .collect(),
        }
    }

    /// Gives a frame to a link, at its end number `end`.
    pub(super) fn send(
        &mut self,
        lines: &Lines,
        now_ns: u64,
        (edge, end): (u32, usize),
        frame: &Frame,
    ) -> Fate {
        let traits = lines.traits(edge);
        if self.directions.is_empty() {
            return Fate::Arrives(now_ns.saturating_add(traits.delay_ns));
        }
        let direction = &mut self.directions[end - self.first];
        if traits.drop > 0.0 && dice::chance(&mut direction.dice, traits.drop) {
            return Fate::Lost;
        }
        let Some(rate) = traits.rate else {
            return Fate::Arrives(direction.arrival(now_ns, &traits));
        };
        if direction.busy_until_ns > now_ns {
            let queue = direction
                .queue
                .get_or_insert_with(|| Box::new(SendQueue::new(SEND_QUEUE_BYTES)));
            return Fate::Queued(queue.push(frame));
        }
        direction.busy_until_ns = now_ns.saturating_add(time_ns(frame.wire_len(), rate));
        Fate::Arrives(direction.arrival(direction.busy_until_ns, &traits))
    }

    /// Whether the queue at an end has just gone over its high mark (`true`) or back to its low one (`false`).
    pub(super) fn pressure(&mut self, end: usize) -> Option<bool> {
        let direction = self.directions.get_mut(end - self.first)?;
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
    pub(super) fn waits_until(&self, end: usize) -> Option<u64> {
        let direction = self.directions.get(end - self.first)?;
        let waits = direction
            .queue
            .as_ref()
            .is_some_and(|queue| !queue.is_empty());
        waits.then_some(direction.busy_until_ns)
    }

    /// Takes all that waits at an end, as a writer takes all that is queued in one piece, with the time at which
    /// each frame arrives.
    pub(super) fn release(
        &mut self,
        lines: &Lines,
        now_ns: u64,
        (edge, end): (u32, usize),
    ) -> Vec<(u64, Frame)> {
        let traits = lines.traits(edge);
        let direction = &mut self.directions[end - self.first];
        let (Some(queue), Some(rate)) = (&mut direction.queue, traits.rate) else {
            return Vec::new();
        };
        let mut bytes = Vec::new();
        queue.take(&mut bytes);
        let mut rest = bytes::Bytes::from(bytes);
        let (mut sent_at, mut frames) = (now_ns, Vec::new());
        while let Some(head) = rest.first_chunk::<HEADER_BYTES>() {
            let (header, len) = Header::from_bytes(head);
            let mut frame = rest.split_to(HEADER_BYTES + len as usize);
            sent_at = sent_at.saturating_add(time_ns(frame.len(), rate));
            let payload = frame.split_off(HEADER_BYTES);
            frames.push((
                direction.arrival(sent_at, &traits),
                Frame { header, payload },
            ));
        }
        direction.busy_until_ns = sent_at;
        frames
    }
}

impl Direction {
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
