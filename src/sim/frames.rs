//! Frames under way: one flood gives the same frame to many links, so it is kept once and counted.

use crate::wire::Frame;

use super::trace;

/// Names a frame that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored(pub(super) u32);

/// A frame, and what it adds to a digest: one line of the processor's cache.
#[derive(Debug)]
#[repr(align(64))]
struct Kept {
    frame: Frame,
    words: u64,
}

/// The frames of all arrivals to come.
#[derive(Debug, Default)]
pub(super) struct Frames {
    kept: Vec<Kept>,
    /// Arrivals to come of each.
    more: Vec<u32>,
    /// Places of frames that have arrived everywhere.
    free: Vec<u32>,
}

impl Frames {
    /// Keeps a frame for one arrival.
    pub(super) fn keep(&mut self, frame: Frame) -> Stored {
        let stored = self.hold(frame);
        self.again(stored);
        stored
    }

    /// Keeps a frame for no arrival so far, until it is [let go](Self::let_go).
    pub(super) fn hold(&mut self, frame: Frame) -> Stored {
        let words = trace::words(&frame);
        let kept = Kept { frame, words };
        if let Some(at) = self.free.pop() {
            // What was there has arrived everywhere.
            self.kept[at as usize] = kept;
            return Stored(at);
        }
        self.kept.push(kept);
        self.more.push(0);
        Stored(u32::try_from(self.kept.len() - 1).expect("fewer than 2^32 frames under way"))
    }

    /// All arrivals of a frame that was held are known.
    pub(super) fn let_go(&mut self, stored: Stored) {
        if self.more[stored.0 as usize] == 0 {
            self.free.push(stored.0);
        }
    }

    /// Keeps a kept frame for one arrival more.
    pub(super) fn again(&mut self, stored: Stored) {
        self.more[stored.0 as usize] += 1;
    }

    /// A kept frame, and what it adds to a digest.
    pub(super) fn get(&self, stored: Stored) -> (&Frame, u64) {
        let kept = &self.kept[stored.0 as usize];
        (&kept.frame, kept.words)
    }

    /// One of its arrivals has happened. After the last its place is used again, and only then is it forgotten.
    pub(super) fn arrived(&mut self, stored: Stored) {
        let more = &mut self.more[stored.0 as usize];
        *more -= 1;
        self.let_go(stored);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Guid, Header, Kind};

    fn frame(n: u8) -> Frame {
        let header = Header {
            guid: Guid([n; 16]),
            kind: Kind::Query,
            ttl: 1,
            hops: 0,
        };
        Frame {
            header,
            payload: bytes::Bytes::new(),
        }
    }

    #[test]
    fn a_frame_stays_until_all_have_taken_it_and_its_place_is_used_again() {
        let mut frames = Frames::default();
        let take = |frames: &mut Frames, stored| {
            let taken = frames.get(stored).0.clone();
            frames.arrived(stored);
            taken
        };
        let (one, two) = (frames.keep(frame(1)), frames.keep(frame(2)));
        frames.again(one);
        assert_eq!(take(&mut frames, one), frame(1));
        assert_eq!(take(&mut frames, two), frame(2));
        assert_eq!(frames.keep(frame(3)), two, "the place that became free");
        assert_eq!(take(&mut frames, one), frame(1));
        assert_eq!(take(&mut frames, two), frame(3));
        let held = frames.hold(frame(4));
        frames.let_go(held);
        assert_eq!(frames.keep(frame(5)), held, "nobody took it");
        assert_eq!(frames.kept.len(), 2);
    }

    #[test]
    fn a_frame_fills_one_line_of_the_cache() {
        assert_eq!(size_of::<Kept>(), 64);
    }
}
