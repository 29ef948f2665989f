//! The event queue of virtual time: first in time comes first, and of two at the same time the one added first.
//!
//! A ring of slots, each a short span of time wide, takes events in constant time; a slot is put in order only
//! when its turn comes, and not at all when its events came in order, as they do when all links are alike.
//! Events beyond the ring wait in an ordered map of slots. Buffers are used again.

use std::collections::{BTreeMap, VecDeque};

/// Slots in the ring; a power of two.
const RING: usize = 1024;
/// Empty buffers kept for use again.
const SPARE_MAX: usize = 64;

#[derive(Debug)]
struct Slot<T> {
    entries: VecDeque<(u64, T)>,
    in_order: bool,
}

impl<T> Slot<T> {
    fn empty() -> Self {
        Self {
            entries: VecDeque::new(),
            in_order: true,
        }
    }

    fn push(&mut self, at: u64, item: T) {
        self.in_order &= self.entries.back().is_none_or(|(last, _)| *last <= at);
        self.entries.push_back((at, item));
    }

    fn sort(&mut self) {
        if !std::mem::replace(&mut self.in_order, true) {
            // Stable: equal times keep the order in which they were added.
            self.entries.make_contiguous().sort_by_key(|(at, _)| *at);
        }
    }
}

/// A queue of events of kind `T`, each at a time in nanoseconds.
#[derive(Debug)]
pub(super) struct Calendar<T> {
    /// Width of a slot is 2^this nanoseconds.
    width_bits: u32,
    /// Slots `turn + 1` to `turn + RING`, each at its number modulo the ring; the slot of `turn` itself is
    /// `open`.
    ring: Vec<Slot<T>>,
    far: BTreeMap<u64, Slot<T>>,
    /// The slot whose turn it is, in order.
    open: VecDeque<(u64, T)>,
    /// Events added to the open slot, by time and serial number.
    late: BTreeMap<(u64, u64), T>,
    late_serial: u64,
    turn: u64,
    in_ring: usize,
    len: usize,
    spare: Vec<VecDeque<(u64, T)>>,
}

impl<T> Calendar<T> {
    /// An empty queue that is fastest for events up to some `span_ns` ahead.
    pub(super) fn new(span_ns: u64) -> Self {
        let width = (span_ns / (RING as u64 / 2)).max(1);
        Self {
            width_bits: width.ilog2(),
            ring: (0..RING).map(|_| Slot::empty()).collect(),
            far: BTreeMap::new(),
            open: VecDeque::new(),
            late: BTreeMap::new(),
            late_serial: 0,
            turn: 0,
            in_ring: 0,
            len: 0,
            spare: Vec::new(),
        }
    }

    /// Events waiting.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.len
    }

    /// Adds an event. A time that has passed counts as now.
    pub(super) fn push(&mut self, at: u64, item: T) {
        self.len += 1;
        let slot = at >> self.width_bits;
        if slot <= self.turn {
            self.late_serial += 1;
            self.late.insert((at, self.late_serial), item);
        } else if slot - self.turn <= RING as u64 {
            let ring = &mut self.ring[index(slot)];
            if ring.entries.capacity() == 0
                && let Some(spare) = self.spare.pop()
            {
                ring.entries = spare;
            }
            ring.push(at, item);
            self.in_ring += 1;
        } else {
            self.far
                .entry(slot)
                .or_insert_with(Slot::empty)
                .push(at, item);
        }
    }

    /// Time of the first event.
    pub(super) fn next_at(&mut self) -> Option<u64> {
        while self.open.is_empty() && self.late.is_empty() {
            self.advance()?;
        }
        let late = self.late.first_key_value().map(|((at, _), _)| *at);
        let open = self.open.front().map(|(at, _)| *at);
        open.into_iter().chain(late).min()
    }

    /// Takes the first event and its time.
    pub(super) fn pop(&mut self) -> Option<(u64, T)> {
        while self.open.is_empty() && self.late.is_empty() {
            self.advance()?;
        }
        self.len -= 1;
        // Of equal times the open slot's came first: it was filled before its turn.
        let late_first = match (self.open.front(), self.late.first_key_value()) {
            (Some((open_at, _)), Some(((late_at, _), _))) => late_at < open_at,
            (open, _) => open.is_none(),
        };
        if late_first {
            self.late.pop_first().map(|((at, _), item)| (at, item))
        } else {
            self.open.pop_front()
        }
    }

    /// Opens the next slot that has events. `None`: there is none.
    fn advance(&mut self) -> Option<()> {
        if self.in_ring == 0 {
            self.turn = *self.far.first_key_value()?.0 - 1;
            self.draw_near();
        }
        self.turn += 1;
        let slot = &mut self.ring[index(self.turn)];
        if slot.entries.is_empty() {
            self.draw_near();
            return Some(());
        }
        slot.sort();
        let events = std::mem::take(&mut slot.entries);
        self.in_ring -= events.len();
        let used = std::mem::replace(&mut self.open, events);
        if self.spare.len() < SPARE_MAX && used.capacity() > 0 {
            self.spare.push(used);
        }
        self.draw_near();
        Some(())
    }

    /// Gives slots that have come near their place in the ring, before anything newer is added to them.
    fn draw_near(&mut self) {
        while let Some(entry) = self.far.first_entry()
            && *entry.key() - self.turn <= RING as u64
        {
            let (number, slot) = entry.remove_entry();
            self.in_ring += slot.entries.len();
            let place = &mut self.ring[index(number)];
            debug_assert!(
                place.entries.is_empty(),
                "its number was beyond the ring until now"
            );
            *place = slot;
        }
    }
}

fn index(slot: u64) -> usize {
    usize::try_from(slot % RING as u64).expect("below the ring's size")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::dice;

    /// Pops everything, adding events while at it, and compares with a plain ordered map.
    fn agrees_with_a_map(span_ns: u64, delay: impl Fn(&mut rand::rngs::ChaCha8Rng) -> u64) {
        let mut rng = dice::seeded(3, 1);
        let (mut calendar, mut map) = (Calendar::new(span_ns), BTreeMap::new());
        let mut serial = 0_u64;
        let mut add =
            |calendar: &mut Calendar<u64>, map: &mut BTreeMap<(u64, u64), ()>, at: u64| {
                serial += 1;
                calendar.push(at, serial);
                map.insert((at, serial), ());
            };
        for at in [0, 5, 5, 1_000_000_000, 7] {
            add(&mut calendar, &mut map, at);
        }
        let mut popped = 0_u64;
        while let Some((at, serial)) = calendar.pop() {
            let ((want_at, want_serial), ()) = map.pop_first().unwrap();
            assert_eq!((at, serial), (want_at, want_serial), "event {popped}");
            popped += 1;
            if popped < 20_000 {
                for _ in 0..dice::below(&mut rng, 3) {
                    let after = delay(&mut rng);
                    add(&mut calendar, &mut map, at + after);
                }
                if calendar.len() < 5 {
                    add(&mut calendar, &mut map, at + 1);
                }
            }
        }
        assert!(map.is_empty() && calendar.len() == 0);
    }

    #[test]
    fn events_come_by_time_then_in_the_order_added() {
        agrees_with_a_map(10_000_000, |_| 10_000_000);
        agrees_with_a_map(10_000_000, |rng| dice::below(rng, 10_000_000));
        agrees_with_a_map(1_000, |rng| {
            dice::below(rng, 5_000_000) * dice::below(rng, 2)
        });
        agrees_with_a_map(1, |rng| dice::below(rng, 4));
        agrees_with_a_map(0, |rng| 1 << dice::below(rng, 40));
    }
}
