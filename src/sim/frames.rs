//! Frames under way: one flood gives the same frame to many links, so it is kept once and counted.

use crate::wire::{Frame, Header};

use super::trace;

/// Names a frame that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored(u32);

#[derive(Debug)]
enum Place {
    /// A frame, what it adds to a digest, and how many more will take it.
    Taken(Frame, u64, u32),
    /// The next free place, if there is one.
    Free(Option<u32>),
}

/// The frames of all arrivals to come.
#[derive(Debug, Default)]
pub(super) struct Frames {
    places: Vec<Place>,
    free: Option<u32>,
}

impl Frames {
    /// Keeps a frame for one arrival.
    pub(super) fn keep(&mut self, frame: Frame) -> Stored {
        let words = trace::words(&frame);
        let place = Place::Taken(frame, words, 1);
        if let Some(at) = self.free {
            let old = std::mem::replace(&mut self.places[at as usize], place);
            let Place::Free(next) = old else {
                unreachable!("the list of free places holds free ones only")
            };
            self.free = next;
            return Stored(at);
        }
        self.places.push(place);
        Stored(u32::try_from(self.places.len() - 1).expect("fewer than 2^32 frames under way"))
    }

    /// Keeps a kept frame for one arrival more.
    pub(super) fn again(&mut self, stored: Stored) {
        if let Place::Taken(_, _, more) = &mut self.places[stored.0 as usize] {
            *more += 1;
        }
    }

    /// The header of a kept frame.
    pub(super) fn header(&self, stored: Stored) -> Option<&Header> {
        match &self.places[stored.0 as usize] {
            Place::Taken(frame, ..) => Some(&frame.header),
            Place::Free(_) => None,
        }
    }

    /// Takes a frame for one of its arrivals, with what it adds to a digest.
    pub(super) fn take(&mut self, stored: Stored) -> (Frame, u64) {
        let place = &mut self.places[stored.0 as usize];
        let Place::Taken(frame, words, more) = place else {
            unreachable!("a frame is taken as often as it was kept")
        };
        let words = *words;
        *more -= 1;
        if *more > 0 {
            return (frame.clone(), words);
        }
        let Place::Taken(frame, ..) = std::mem::replace(place, Place::Free(self.free)) else {
            unreachable!("it was just there")
        };
        self.free = Some(stored.0);
        (frame, words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Guid, Kind};

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
        let (one, two) = (frames.keep(frame(1)), frames.keep(frame(2)));
        frames.again(one);
        assert_eq!(frames.take(one).0, frame(1));
        assert_eq!(frames.take(two).0, frame(2));
        assert_eq!(frames.keep(frame(3)), two, "the place that became free");
        assert_eq!(frames.take(one).0, frame(1));
        assert_eq!(frames.take(two).0, frame(3));
        assert_eq!(frames.places.len(), 2);
    }
}
