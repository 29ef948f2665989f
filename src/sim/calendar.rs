//! The event queue of virtual time. What comes first in time comes first; of events at the same time those of
//! the lower place, and of one place the one added first. Places rise with the nodes, so that the events of one
//! moment run through the nodes in the order in which they lie in memory, all of one node together: on a million
//! nodes that is worth a factor, for the time goes into fetching nodes from memory.
//!
//! A ring of slots, each a short span of time wide, takes events in constant time; a slot is put in order only
//! when its turn comes. Events beyond the ring wait in an ordered set of slots. Buffers are used again.

use std::collections::{BTreeMap, VecDeque};

/// Slots in the ring; a power of two.
const RING: usize = 1024;
/// Empty buffers kept for use again.
const SPARE_MAX: usize = 64;

/// Something that happens to one node.
pub(super) trait Placed {
    /// Where it stands among all that happens at the same time.
    fn place(&self) -> u64;
}

#[derive(Debug)]
struct Slot<T> {
    entries: VecDeque<(u64, T)>,
    /// Time of its first event; the end of time when it has none.
    first_at: u64,
    in_order: bool,
}

impl<T: Placed> Slot<T> {
    fn empty() -> Self {
        Self {
            entries: VecDeque::new(),
            first_at: u64::MAX,
            in_order: true,
        }
    }

    fn push(&mut self, at: u64, item: T) {
        let after = |(last, before): &(u64, T)| (*last, before.place()) <= (at, item.place());
        self.in_order &= self.entries.back().is_none_or(after);
        self.entries.push_back((at, item));
        self.first_at = self.first_at.min(at);
    }

    fn sort(&mut self) {
        if !std::mem::replace(&mut self.in_order, true) {
            // Stable: the rest is the order in which they were added.
            self.entries
                .make_contiguous()
                .sort_by_key(|(at, item)| (*at, item.place()));
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
    /// Events added to the open slot, by time, place and serial number.
    late: BTreeMap<(u64, u64, u64), T>,
    late_serial: u64,
    turn: u64,
    in_ring: usize,
    len: usize,
    spare: Vec<VecDeque<(u64, T)>>,
}

impl<T: Placed> Calendar<T> {
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
            self.late.insert((at, item.place(), self.late_serial), item);
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

    /// Time of the first event. Puts nothing in order: what is added before it still finds its place cheaply.
    pub(super) fn next_at(&self) -> Option<u64> {
        let late = self.late.first_key_value().map(|((at, ..), _)| *at);
        let open = self.open.front().map(|(at, _)| *at);
        let at = open.into_iter().chain(late).min();
        at.or_else(|| self.next_slot().map(|(_, first_at)| first_at))
    }

    /// The next slot with events, and the time of its first; the open one aside.
    fn next_slot(&self) -> Option<(u64, u64)> {
        if self.in_ring == 0 {
            let (number, slot) = self.far.first_key_value()?;
            return Some((*number, slot.first_at));
        }
        (self.turn + 1..=self.turn + RING as u64).find_map(|number| {
            let slot = &self.ring[index(number)];
            (!slot.entries.is_empty()).then_some((number, slot.first_at))
        })
    }

    /// The next events, as far as they are known to be: at most `count`, and none that comes late.
    pub(super) fn upcoming(&self, count: usize) -> impl Iterator<Item = &T> + Clone {
        self.open.iter().take(count).map(|(_, item)| item)
    }

    /// Takes the first event and its time, unless that is after `last`.
    pub(super) fn pop(&mut self, last: u64) -> Option<(u64, T)> {
        if self.open.is_empty() && self.late.is_empty() {
            let (number, first_at) = self.next_slot()?;
            if first_at > last {
                return None;
            }
            self.turn_to(number);
        }
        // Of equals the open slot's came first: it was filled before its turn.
        let (at, is_late) = match (self.open.front(), self.late.first_key_value()) {
            (Some((open_at, open)), Some(((late_at, place, _), _))) => {
                if (*late_at, *place) < (*open_at, open.place()) {
                    (*late_at, true)
                } else {
                    (*open_at, false)
                }
            }
            (Some((at, _)), None) => (*at, false),
            (None, Some(((at, ..), _))) => (*at, true),
            (None, None) => return None,
        };
        if at > last {
            return None;
        }
        self.len -= 1;
        if is_late {
            self.late.pop_first().map(|((at, ..), item)| (at, item))
        } else {
            self.open.pop_front()
        }
    }

    /// Opens the next slot that has events.
    fn turn_to(&mut self, number: u64) {
        if self.in_ring == 0 {
            self.turn = number - 1;
            self.draw_near();
        }
        self.turn = number;
        let slot = &mut self.ring[index(number)];
        slot.sort();
        slot.first_at = u64::MAX;
        let events = std::mem::take(&mut slot.entries);
        self.in_ring -= events.len();
        let used = std::mem::replace(&mut self.open, events);
        if self.spare.len() < SPARE_MAX && used.capacity() > 0 {
            self.spare.push(used);
        }
        self.draw_near();
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
    use std::collections::BTreeSet;

    use super::*;
    use crate::topology::dice;

    /// A place and a serial number.
    type Item = (u64, u64);

    impl Placed for Item {
        fn place(&self) -> u64 {
            self.0
        }
    }

    /// Pops everything, adding events while at it, and compares with a plain ordered set.
    fn agrees_with_a_map(span_ns: u64, delay: impl Fn(&mut rand::rngs::ChaCha8Rng) -> u64) {
        let mut rng = dice::seeded(3, 1);
        let (mut calendar, mut map) = (Calendar::new(span_ns), BTreeSet::new());
        let mut serial = 0_u64;
        let mut add = |calendar: &mut Calendar<Item>, map: &mut BTreeSet<(u64, Item)>, at: u64| {
            serial += 1;
            let item = (serial * 7919 % 5, serial);
            calendar.push(at, item);
            map.insert((at, item));
        };
        for at in [0, 5, 5, 1_000_000_000, 7] {
            add(&mut calendar, &mut map, at);
        }
        let mut popped = 0_u64;
        while let Some(next_at) = calendar.next_at() {
            if let Some(before) = next_at.checked_sub(1) {
                assert_eq!(calendar.pop(before), None, "event {popped} is too late");
            }
            let (at, item) = calendar.pop(next_at).unwrap();
            let wanted = map.pop_first().unwrap();
            assert_eq!((at, item), wanted, "event {popped}");
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
    fn events_come_by_time_then_by_place_then_in_the_order_added() {
        agrees_with_a_map(10_000_000, |_| 10_000_000);
        agrees_with_a_map(10_000_000, |rng| dice::below(rng, 10_000_000));
        agrees_with_a_map(1_000, |rng| {
            dice::below(rng, 5_000_000) * dice::below(rng, 2)
        });
        agrees_with_a_map(1, |rng| dice::below(rng, 4));
        agrees_with_a_map(0, |rng| 1 << dice::below(rng, 40));
    }
}
