//! A link on its way out of the node task: what was counted on it, and what a laboratory has it do to frames.
//!
//! Shaping is per whole Gnutella message, before compression and encryption, so that it needs no rights and no
//! second process: each end shapes what it sends. Frames never overtake each other. Nothing is shaped unless the
//! control socket asks for it ([`Request::Shape`](crate::control::Request::Shape)).

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::control::{self, Shape};
use crate::node::Time;
use crate::node::limits::SEND_QUEUE_BYTES;
use crate::wire::{Frame, Kind};

/// Peers that links may be shaped to: more than any node has neighbours in a laboratory of real processes.
const SHAPES_MAX: usize = 4_096;
/// A chance in so many.
const MILLION: u32 = 1_000_000;

/// What is to be done to links, by where their peers listen; at most [`SHAPES_MAX`].
#[derive(Debug, Default)]
pub(crate) struct Shapes(BTreeMap<SocketAddr, Shape>);

impl Shapes {
    /// Links to this peer are so from now on; `None`: as they are.
    ///
    /// # Errors
    /// A chance above one; no room for more.
    pub(crate) fn set(&mut self, peer: SocketAddr, shape: Option<Shape>) -> Result<(), String> {
        match shape {
            None => drop(self.0.remove(&peer)),
            Some(shape) if shape.drop_ppm > MILLION => {
                return Err(format!(
                    "drop_ppm {} is more than {MILLION}, which is every frame",
                    shape.drop_ppm
                ));
            }
            Some(_) if self.0.len() >= SHAPES_MAX && !self.0.contains_key(&peer) => {
                return Err(format!("links to {SHAPES_MAX} peers are shaped already"));
            }
            Some(shape) => drop(self.0.insert(peer, shape)),
        }
        Ok(())
    }

    /// What is done to links to this peer.
    pub(crate) fn of(&self, peer: SocketAddr) -> Option<Shape> {
        self.0.get(&peer).copied()
    }

    /// Is this peer cut off, so that calling it is of no use either?
    pub(crate) fn block(&self, peer: SocketAddr) -> bool {
        self.of(peer).is_some_and(|shape| shape.blocked)
    }
}

/// What becomes of a frame that is to go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes out now.
    Goes,
    /// It waits here.
    Waits,
    /// It is lost, as the shape has it.
    Lost,
    /// As much waits as a link may hold.
    Shed,
}

/// One link's way out.
#[derive(Debug)]
pub(crate) struct Lane {
    toward: SocketAddr,
    sent: u64,
    received: u64,
    lost: u64,
    line: Option<Box<Line>>,
}

#[derive(Debug)]
struct Line {
    shape: Shape,
    rng: ChaCha8Rng,
    held: VecDeque<(Time, Frame)>,
    held_bytes: usize,
    /// Until then the bytes before this frame go out, where there is a rate.
    busy_until: Time,
    /// When the last frame given goes out: none overtakes another.
    last: Time,
}

impl Line {
    fn new(shape: Shape) -> Self {
        Self {
            shape,
            rng: ChaCha8Rng::seed_from_u64(shape.seed),
            held: VecDeque::new(),
            held_bytes: 0,
            busy_until: Time::ZERO,
            last: Time::ZERO,
        }
    }

    fn give(&mut self, now: Time, frame: &Frame) -> Fate {
        let shape = self.shape;
        let lost = shape.drop_ppm > 0 && self.rng.random_range(0..MILLION) < shape.drop_ppm;
        if shape.blocked || lost {
            return Fate::Lost;
        }
        let bytes = frame.wire_len();
        if self.held_bytes + bytes > SEND_QUEUE_BYTES {
            return Fate::Shed;
        }
        let mut due = now;
        if let Some(rate) = shape.rate {
            let nanos = (bytes as u64).saturating_mul(1_000_000_000) / rate.max(1);
            self.busy_until = self.busy_until.max(now).plus(Duration::from_nanos(nanos));
            due = self.busy_until;
        }
        let jitter = match shape.jitter_us {
            0 => 0,
            most => self.rng.random_range(0..=most),
        };
        due = due.plus(Duration::from_micros(shape.delay_us.saturating_add(jitter)));
        self.last = self.last.max(due);
        if self.last <= now && self.held.is_empty() {
            return Fate::Goes;
        }
        self.held_bytes += bytes;
        self.held.push_back((self.last, frame.clone()));
        Fate::Waits
    }
}

/// Frames of a kind that a laboratory watches until they have arrived: those that lead to others.
fn is_watched(kind: Kind) -> bool {
    matches!(kind, Kind::Query | Kind::QueryHit | Kind::Qrp)
}

impl Lane {
    /// A link to a peer that listens there, shaped so.
    pub(crate) fn new(toward: SocketAddr, shape: Option<Shape>) -> Self {
        Self {
            toward,
            sent: 0,
            received: 0,
            lost: 0,
            line: shape.map(|shape| Box::new(Line::new(shape))),
        }
    }

    /// Where the peer listens, or calls from if it does not say.
    pub(crate) fn toward(&self) -> SocketAddr {
        self.toward
    }

    /// Shapes the link from now on. What waits keeps its time.
    pub(crate) fn shape(&mut self, shape: Option<Shape>) {
        match (&mut self.line, shape) {
            (Some(line), shape) => line.shape = shape.unwrap_or_default(),
            (line @ None, Some(shape)) => *line = Some(Box::new(Line::new(shape))),
            (None, None) => {}
        }
    }

    /// Frames came in on the link.
    pub(crate) fn came(&mut self, frames: &[Frame]) {
        let watched = frames.iter().filter(|frame| is_watched(frame.header.kind));
        self.received += watched.count() as u64;
    }

    /// A frame is to go out.
    pub(crate) fn give(&mut self, now: impl FnOnce() -> Time, frame: &Frame) -> Fate {
        let watched = u64::from(is_watched(frame.header.kind));
        self.sent += watched;
        let Some(line) = &mut self.line else {
            return Fate::Goes;
        };
        let fate = line.give(now(), frame);
        if matches!(fate, Fate::Lost | Fate::Shed) {
            self.lost += watched;
        }
        fate
    }

    /// When the next frame that waits goes out.
    pub(crate) fn due(&self) -> Option<Time> {
        let line = self.line.as_ref()?;
        line.held.front().map(|(due, _)| *due)
    }

    /// The next frame that waits, if its time has come.
    pub(crate) fn release(&mut self, now: Time) -> Option<Frame> {
        let line = self.line.as_mut()?;
        line.held.front().filter(|(due, _)| *due <= now)?;
        let (_, frame) = line.held.pop_front()?;
        line.held_bytes -= frame.wire_len();
        Some(frame)
    }

    /// What was counted; `shed` frames were given up behind us.
    pub(crate) fn tally(&self, shed: u64) -> control::Tally {
        control::Tally {
            peer: self.toward,
            sent: self.sent,
            received: self.received,
            lost: self.lost + shed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Guid, Header};

    fn frame(bytes: usize) -> Frame {
        Frame {
            header: Header {
                guid: Guid::from_random([7; 16]),
                kind: Kind::Query,
                ttl: 3,
                hops: 0,
            },
            payload: vec![0; bytes].into(),
        }
    }

    fn ms(ms: u64) -> Time {
        Time::ZERO.plus(Duration::from_millis(ms))
    }

    fn lane(shape: Shape) -> Lane {
        Lane::new(SocketAddr::from(([127, 0, 0, 1], 1)), Some(shape))
    }

    fn give(lane: &mut Lane, at: u64, bytes: usize) -> Fate {
        lane.give(|| ms(at), &frame(bytes))
    }

    #[test]
    fn a_delayed_frame_waits_its_time_and_none_overtakes() {
        let mut lane = lane(Shape {
            delay_us: 40_000,
            ..Shape::default()
        });
        assert_eq!(give(&mut lane, 10, 9), Fate::Waits);
        assert_eq!(lane.due(), Some(ms(50)));
        lane.shape(None);
        assert_eq!(give(&mut lane, 20, 5), Fate::Waits, "behind the first");
        assert!(lane.release(ms(49)).is_none());
        assert_eq!(lane.release(ms(50)).unwrap().payload.len(), 9);
        assert_eq!(lane.release(ms(50)).unwrap().payload.len(), 5);
        assert_eq!(give(&mut lane, 60, 5), Fate::Goes);
        assert_eq!(lane.tally(0).sent, 3);
    }

    #[test]
    fn a_rate_spreads_frames_and_a_full_line_sheds() {
        let mut lane = lane(Shape {
            rate: Some(1_000),
            ..Shape::default()
        });
        let bytes = 100 - crate::wire::HEADER_BYTES;
        assert_eq!(give(&mut lane, 0, bytes), Fate::Waits);
        assert_eq!(give(&mut lane, 0, bytes), Fate::Waits);
        assert_eq!(lane.due(), Some(ms(100)));
        lane.release(ms(100)).unwrap();
        assert_eq!(lane.due(), Some(ms(200)));
        let mut fates = (0..).map(|_| give(&mut lane, 0, 60_000));
        assert!(fates.by_ref().take(100).any(|fate| fate == Fate::Shed));
        assert!(lane.tally(0).lost > 0);
    }

    #[test]
    fn losses_follow_their_chance_and_the_same_seed_gives_the_same() {
        let losses = |seed| {
            let mut lane = lane(Shape {
                drop_ppm: 250_000,
                seed,
                ..Shape::default()
            });
            let fates: Vec<_> = (0..1_000).map(|_| give(&mut lane, 0, 1)).collect();
            let lost = fates.iter().filter(|fate| **fate == Fate::Lost).count();
            assert_eq!(lane.tally(0).lost, lost as u64);
            assert!((200..300).contains(&lost), "{lost}");
            fates
        };
        assert_eq!(losses(1), losses(1));
        assert_ne!(losses(1), losses(2));
        let mut blocked = lane(Shape {
            blocked: true,
            ..Shape::default()
        });
        assert_eq!(give(&mut blocked, 0, 1), Fate::Lost);
    }

    #[test]
    fn shapes_that_make_no_sense_are_refused() {
        let mut shapes = Shapes::default();
        let shape = |drop_ppm| {
            Some(Shape {
                drop_ppm,
                ..Shape::default()
            })
        };
        let peer = |at: u16| SocketAddr::from(([127, 0, 0, 1], at));
        assert!(shapes.set(peer(1), shape(MILLION + 1)).is_err());
        for at in 0..4_096 {
            shapes.set(peer(at), shape(1)).unwrap();
        }
        assert!(shapes.set(peer(5_000), shape(1)).is_err());
        shapes.set(peer(0), None).unwrap();
        shapes.set(peer(5_000), shape(1)).unwrap();
        assert!(shapes.of(peer(0)).is_none() && !shapes.block(peer(1)));
    }
}
