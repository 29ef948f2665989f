//! The send queue of one link: bounded, by priority. Both shells use it, so real and simulated congestion
//! shed by the same code.
//!
//! Frames are kept as bytes, one run per priority: copying a frame of some 30 bytes is cheaper than sharing
//! it between threads, and a writer takes all that is queued in one piece.

use crate::wire::{Frame, HEADER_BYTES, Header, Kind};

/// Order of sending, best first; shedding starts at the other end.
const CLASSES: usize = 5;

fn class(kind: Kind) -> usize {
    match kind {
        Kind::Bye | Kind::Qrp | Kind::Vendor | Kind::StandardVendor => 0,
        Kind::Push => 1,
        Kind::QueryHit => 2,
        Kind::Query | Kind::Unknown(_) => 3,
        Kind::Ping | Kind::Pong => 4,
    }
}

/// A bounded queue of frames for one link.
#[derive(Debug)]
pub struct SendQueue {
    classes: [Run; CLASSES],
    bytes: usize,
    limit: usize,
    queued: u64,
    shed: u64,
}

/// Frames of one class, back to back from `start`.
#[derive(Debug, Default)]
struct Run {
    bytes: Vec<u8>,
    start: usize,
}

impl Run {
    fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Bytes of the frame that begins at `at`.
    fn frame_len(&self, at: usize) -> usize {
        let head = self.bytes[at..]
            .first_chunk::<HEADER_BYTES>()
            .expect("a run that is not empty holds whole frames");
        HEADER_BYTES + Header::from_bytes(head).1 as usize
    }

    /// Removes the oldest frame and returns its length.
    fn shed_oldest(&mut self) -> usize {
        let len = self.frame_len(self.start);
        self.forget(len);
        len
    }

    /// Moves the oldest frames to the end of `out` until that holds `enough` bytes.
    fn move_oldest(&mut self, out: &mut Vec<u8>, enough: usize) {
        let mut end = self.start;
        while end < self.bytes.len() && out.len() + (end - self.start) < enough {
            end += self.frame_len(end);
        }
        out.extend_from_slice(&self.bytes[self.start..end]);
        self.forget(end - self.start);
    }

    /// Forgets the oldest bytes.
    fn forget(&mut self, len: usize) {
        self.start += len;
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        } else if self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }
}

impl SendQueue {
    /// An empty queue that holds at most `limit` bytes. Takes no memory until used.
    pub fn new(limit: usize) -> Self {
        Self {
            classes: Default::default(),
            bytes: 0,
            limit,
            queued: 0,
            shed: 0,
        }
    }

    /// Queues a frame. When the queue is full, older frames of a worse or the same class make room; if even
    /// that is not enough, the frame itself is shed. Returns how many frames were shed.
    pub fn push(&mut self, frame: &Frame) -> u64 {
        let (need, class) = (frame.wire_len(), class(frame.header.kind));
        let mut shed = 0;
        if self.bytes + need > self.limit {
            for worse in (class..CLASSES).rev() {
                while self.bytes + need > self.limit && self.classes[worse].len() > 0 {
                    self.bytes -= self.classes[worse].shed_oldest();
                    shed += 1;
                }
            }
        }
        if self.bytes + need > self.limit {
            shed += 1;
        } else {
            frame.write(&mut self.classes[class].bytes);
            self.bytes += need;
            self.queued += 1;
        }
        self.shed += shed;
        shed
    }

    /// Moves all that `other` holds behind what is queued here, class by class, as if each frame were pushed.
    /// Returns how many frames were shed. A shell stages frames in a queue of its own and hands them over in
    /// one piece, so that it takes a lock once for a batch and not once for a frame.
    pub fn append(&mut self, other: &mut Self) -> u64 {
        self.queued += std::mem::take(&mut other.queued);
        self.shed += std::mem::take(&mut other.shed);
        if self.bytes == 0 && other.bytes <= self.limit {
            std::mem::swap(&mut self.classes, &mut other.classes);
            std::mem::swap(&mut self.bytes, &mut other.bytes);
            return 0;
        }
        for (mine, theirs) in self.classes.iter_mut().zip(&mut other.classes) {
            mine.bytes.extend_from_slice(&theirs.bytes[theirs.start..]);
            theirs.bytes.clear();
            theirs.start = 0;
        }
        self.bytes += std::mem::take(&mut other.bytes);
        let mut shed = 0;
        for worst in (0..CLASSES).rev() {
            while self.bytes > self.limit && self.classes[worst].len() > 0 {
                self.bytes -= self.classes[worst].shed_oldest();
                shed += 1;
            }
        }
        self.shed += shed;
        shed
    }

    /// Moves all that is queued to the end of `out`, best class first, oldest first within one.
    pub fn take(&mut self, out: &mut Vec<u8>) {
        for run in &mut self.classes {
            if run.start == 0 && out.is_empty() {
                std::mem::swap(out, &mut run.bytes);
            } else {
                out.extend_from_slice(&run.bytes[run.start..]);
            }
            run.bytes.clear();
            run.start = 0;
        }
        self.bytes = 0;
    }

    /// As [`take`](Self::take), but no more frames once `out` holds `enough` bytes.
    pub fn take_up_to(&mut self, enough: usize, out: &mut Vec<u8>) {
        if out.len() + self.bytes <= enough {
            return self.take(out);
        }
        let before = out.len();
        for run in &mut self.classes {
            run.move_oldest(out, enough);
        }
        self.bytes -= out.len() - before;
    }

    /// Bytes queued.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Nothing queued?
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Frames queued since the start.
    pub fn queued(&self) -> u64 {
        self.queued
    }

    /// Frames shed since the start.
    pub fn shed(&self) -> u64 {
        self.shed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{FrameReader, Guid};
    use bytes::Bytes;

    fn frame(kind: Kind, tag: u8, len: usize) -> Frame {
        Frame {
            header: Header {
                guid: Guid([tag; 16]),
                kind,
                ttl: 1,
                hops: 0,
            },
            payload: Bytes::from(vec![tag; len]),
        }
    }

    fn taken(queue: &mut SendQueue) -> Vec<(Kind, u8)> {
        let mut out = Vec::new();
        queue.take(&mut out);
        let mut reader = FrameReader::new();
        reader.push(Bytes::from(out));
        std::iter::from_fn(|| reader.next_frame().unwrap())
            .map(|frame| (frame.header.kind, frame.header.guid.0[0]))
            .collect()
    }

    #[test]
    fn hits_go_before_queries_before_pings_and_order_within_a_class_is_kept() {
        let mut queue = SendQueue::new(10_000);
        for (kind, tag) in [
            (Kind::Ping, 1),
            (Kind::Query, 2),
            (Kind::QueryHit, 3),
            (Kind::Query, 4),
            (Kind::Bye, 5),
        ] {
            assert_eq!(queue.push(&frame(kind, tag, 10)), 0);
        }
        let order = [
            (Kind::Bye, 5),
            (Kind::QueryHit, 3),
            (Kind::Query, 2),
            (Kind::Query, 4),
            (Kind::Ping, 1),
        ];
        assert_eq!(taken(&mut queue), order);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_full_queue_sheds_the_oldest_of_the_worst_class_and_never_passes_its_limit() {
        let mut queue = SendQueue::new(100);
        queue.push(&frame(Kind::Ping, 1, 10));
        queue.push(&frame(Kind::Query, 2, 10));
        queue.push(&frame(Kind::Query, 3, 10));
        assert_eq!(queue.push(&frame(Kind::QueryHit, 4, 10)), 1);
        assert_eq!(queue.push(&frame(Kind::QueryHit, 5, 10)), 1);
        assert_eq!(
            queue.push(&frame(Kind::Ping, 6, 10)),
            1,
            "a ping does not push out a query"
        );
        assert!(queue.len() <= 100);
        assert_eq!(
            taken(&mut queue),
            [(Kind::QueryHit, 4), (Kind::QueryHit, 5), (Kind::Query, 3)]
        );
        assert_eq!(queue.shed(), 3);
    }

    #[test]
    fn appending_a_staged_queue_keeps_order_and_limit() {
        let (mut queue, mut staged) = (SendQueue::new(100), SendQueue::new(100));
        staged.push(&frame(Kind::Query, 1, 10));
        assert_eq!(queue.append(&mut staged), 0);
        assert!(staged.is_empty());
        staged.push(&frame(Kind::Query, 2, 10));
        staged.push(&frame(Kind::QueryHit, 3, 10));
        assert_eq!(queue.append(&mut staged), 0);
        staged.push(&frame(Kind::QueryHit, 4, 10));
        assert_eq!(queue.append(&mut staged), 1, "the oldest query makes room");
        assert!(queue.len() <= 100 && staged.is_empty());
        assert_eq!((queue.queued(), queue.shed()), (4, 1));
        assert_eq!(
            taken(&mut queue),
            [(Kind::QueryHit, 3), (Kind::QueryHit, 4), (Kind::Query, 2)]
        );
    }

    #[test]
    fn a_frame_that_comes_later_waits_for_no_more_than_was_taken() {
        let mut queue = SendQueue::new(10_000);
        for tag in 1..=100 {
            queue.push(&frame(Kind::QueryHit, tag, 10));
        }
        let (mut first, mut rest) = (Vec::new(), Vec::new());
        queue.take_up_to(70, &mut first);
        assert_eq!(
            (first.len(), queue.len()),
            (3 * 33, 97 * 33),
            "whole frames"
        );
        queue.take_up_to(70, &mut first);
        assert_eq!(first.len(), 3 * 33, "that is enough");
        queue.push(&frame(Kind::Vendor, 0, 1));
        queue.take_up_to(70, &mut rest);
        let mut reader = FrameReader::new();
        reader.push(Bytes::from(rest));
        let next = std::iter::from_fn(|| reader.next_frame().unwrap());
        let tags: Vec<_> = next.map(|frame| frame.header.guid.0[0]).collect();
        assert_eq!(tags, [0, 4, 5]);
        let mut others = Vec::new();
        queue.take_up_to(10_000, &mut others);
        assert_eq!((others.len(), queue.len()), (95 * 33, 0));
    }

    #[test]
    fn a_frame_larger_than_the_queue_is_shed_itself() {
        let mut queue = SendQueue::new(40);
        assert_eq!(queue.push(&frame(Kind::QueryHit, 1, 30)), 1);
        assert!(queue.is_empty());
    }
}
