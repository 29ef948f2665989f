//! What the nodes of one shard send to those of another, until it is handed over.
//!
//! Payloads travel as copies: shards run on different threads, and counting references to the same bytes on both
//! would cost more than the copy of a query.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::wire::{Frame, Guid, Header};

use super::happening::Happening;

/// Something for a node of the other shard.
#[derive(Debug)]
pub(super) enum Letter {
    /// A frame arrives on a link.
    Arrival { to: u32, link: u32, frame: u32 },
    /// Anything else.
    Other(Happening),
}

/// A query begins, or its next round: all must know its message id before its frames come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) query: usize,
    pub(super) asker: u32,
    pub(super) guid: Guid,
    pub(super) ttl: u8,
}

/// Letters of one shard for another, in the order in which they were written.
#[derive(Debug, Default)]
pub(super) struct Mail {
    news: Vec<Asked>,
    letters: VecDeque<(u64, Letter)>,
    /// Headers, and where the payload of each ends in `bytes`.
    frames: Vec<(Header, usize)>,
    bytes: Vec<u8>,
    /// The spread that the last of `frames` belongs to.
    spread: u64,
}

impl Mail {
    pub(super) fn is_empty(&self) -> bool {
        self.letters.is_empty() && self.news.is_empty()
    }

    /// Time of the first letter.
    pub(super) fn first_at(&self) -> Option<u64> {
        self.letters.iter().map(|(at, _)| *at).min()
    }

    pub(super) fn tell(&mut self, asked: Asked) {
        self.news.push(asked);
    }

    /// A frame for one link of many; the number of the spread says which links get the same.
    pub(super) fn send(&mut self, at: u64, (to, link): (u32, u32), frame: &Frame, spread: u64) {
        if self.frames.is_empty() || self.spread != spread {
            self.spread = spread;
            self.bytes.extend_from_slice(&frame.payload);
            self.frames.push((frame.header, self.bytes.len()));
        }
        let frame = u32::try_from(self.frames.len() - 1).expect("fewer than 2^32 frames under way");
        self.letters
            .push_back((at, Letter::Arrival { to, link, frame }));
    }

    pub(super) fn write(&mut self, at: u64, happening: Happening) {
        self.letters.push_back((at, Letter::Other(happening)));
    }

    /// The queries that begin, and forgets them.
    pub(super) fn news(&mut self) -> impl Iterator<Item = Asked> + '_ {
        self.news.drain(..)
    }

    /// The next letter and its time.
    pub(super) fn next(&mut self) -> Option<(u64, Letter)> {
        let letter = self.letters.pop_front();
        if letter.is_none() {
            self.frames.clear();
            self.bytes.clear();
        }
        letter
    }

    /// Header and payload of a frame of the letter taken last.
    pub(super) fn frame(&self, number: u32) -> (Header, &[u8]) {
        let number = number as usize;
        let start = number
            .checked_sub(1)
            .map_or(0, |before| self.frames[before].1);
        let (header, end) = self.frames[number];
        (header, &self.bytes[start..end])
    }
}

/// The same frame in memory of its own.
pub(super) fn copied(frame: &Frame) -> Frame {
    Frame {
        header: frame.header,
        payload: Bytes::copy_from_slice(&frame.payload),
    }
}
