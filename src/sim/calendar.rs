//! The event queue of virtual time. What comes first in time comes first; of events at the same time those of
//! the lower place, and of one place the one added first. Places rise with the nodes, so that the events of one
//! moment run through the nodes in the order in which they lie in memory, all of one node together: on a million
//! nodes that is worth a factor, for the time goes into fetching nodes from memory.
//!
//! A ring of slots, each a short span of time wide, takes events in constant time; a slot is put in order only
//! when its turn comes, a large one digit by digit without comparing. Events beyond the ring wait in an ordered set of
//! slots. Buffers are used again.

use std::collections::BTreeMap;

/// Slots in the ring; a power of two.
const RING: usize = 1024;
/// Empty buffers kept for use again.
const SPARE_MAX: usize = 64;
/// Events from which on digits are faster than comparisons. Our estimate.
const DIGITS_MIN: usize = 512;
/// Bits of a digit: its counts fill a quarter of a first cache.
const DIGIT_BITS: u32 = 11;
/// Digits from which on comparisons are faster.
const DIGITS_MAX: u32 = 7;

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// When, in nanoseconds.
    pub(super) at: u64,
    /// Where it stands among all that happens at the same time.
    pub(super) place: u64,
    /// Names what it is about.
    pub(super) item: u32,
}

impl Entry {
    fn key(&self) -> (u64, u64) {
        (self.at, self.place)
    }
}

#[derive(Debug)]
struct Slot {
    entries: Vec<Entry>,
    /// Time of its first event; the end of time when it has none.
    first_at: u64,
    in_order: bool,
}

impl Slot {
    fn empty() -> Self {
        Self {
            entries: Vec::new(),
            first_at: u64::MAX,
            in_order: true,
        }
    }

    fn push(&mut self, entry: Entry) {
        let last = self.entries.last();
        self.in_order &= last.is_none_or(|last| last.key() <= entry.key());
        self.first_at = self.first_at.min(entry.at);
        self.entries.push(entry);
    }
}

/// Puts events in order: those of one key stay as they were added.
fn sort(entries: &mut Vec<Entry>, scratch: &mut Vec<Entry>) {
    let Some(first) = entries.first().copied() else {
        return;
    };
    // Bits that are the same in all need no sorting.
    let differ = |(at, place): (u64, u64), entry: &Entry| {
        (
            at | (entry.at ^ first.at),
            place | (entry.place ^ first.place),
        )
    };
    let (at_bits, place_bits) = entries.iter().fold((0, 0), differ);
    let (at_digits, place_digits) = (Digits(at_bits), Digits(place_bits));
    let digits = at_digits.clone().chain(place_digits.clone()).count();
    if entries.len() < DIGITS_MIN || digits > DIGITS_MAX as usize {
        return entries.sort_by_key(Entry::key);
    }
    // The least digit first; each pass leaves alone what the ones before put in order.
    for shift in place_digits {
        pass(entries, scratch, |entry| entry.place >> shift);
    }
    for shift in at_digits {
        pass(entries, scratch, |entry| entry.at >> shift);
    }
}

/// Where the digits begin that cover these bits, from the lowest on.
#[derive(Clone)]
struct Digits(u64);

impl Iterator for Digits {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if self.0 == 0 {
            return None;
        }
        let shift = self.0.trailing_zeros();
        self.0 &= !(DIGIT_MASK << shift);
        Some(shift)
    }
}

const DIGIT_MASK: u64 = (1 << DIGIT_BITS) - 1;

/// Puts events in the order of one digit.
fn pass(entries: &mut Vec<Entry>, scratch: &mut Vec<Entry>, digit: impl Fn(&Entry) -> u64) {
    let digit =
        |entry: &Entry| usize::try_from(digit(entry) & DIGIT_MASK).expect("a digit has few bits");
    let mut next = [0_usize; 1 << DIGIT_BITS];
    for entry in &*entries {
        next[digit(entry)] += 1;
    }
    let mut sum = 0;
    for count in &mut next {
        sum += std::mem::replace(count, sum);
    }
    scratch.clone_from(entries);
    for entry in &*scratch {
        let place = &mut next[digit(entry)];
        entries[*place] = *entry;
        *place += 1;
    }
}

/// A queue of events.
#[derive(Debug)]
pub(super) struct Calendar {
    /// Width of a slot is 2^this nanoseconds.
    width_bits: u32,
    /// Slots `turn + 1` to `turn + RING`, each at its number modulo the ring; the slot of `turn` itself is
    /// `open`.
    ring: Vec<Slot>,
    far: BTreeMap<u64, Slot>,
    /// The slot whose turn it is, in order.
    open: Vec<Entry>,
    /// Events of it that have happened.
    done: usize,
    /// Events added to the open slot, by time, place and serial number.
    late: BTreeMap<(u64, u64, u64), u32>,
    late_serial: u64,
    turn: u64,
    in_ring: usize,
    spare: Vec<Vec<Entry>>,
    scratch: Vec<Entry>,
}

impl Calendar {
    /// An empty queue that is fastest for events up to some `span_ns` ahead.
    pub(super) fn new(span_ns: u64) -> Self {
        let width = (span_ns / (RING as u64 / 2)).max(1);
        Self {
            width_bits: width.ilog2(),
            ring: (0..RING).map(|_| Slot::empty()).collect(),
            far: BTreeMap::new(),
            open: Vec::new(),
            done: 0,
            late: BTreeMap::new(),
            late_serial: 0,
            turn: 0,
            in_ring: 0,
            spare: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Events waiting.
    #[cfg(test)]
    fn len(&self) -> usize {
        let far = self.far.values().map(|slot| slot.entries.len());
        let open = self.open.len() - self.done;
        open + self.late.len() + self.in_ring + far.sum::<usize>()
    }

    /// Adds an event. A time that has passed counts as now.
    pub(super) fn push(&mut self, entry: Entry) {
        let slot = entry.at >> self.width_bits;
        if slot <= self.turn {
            self.late_serial += 1;
            let key = (entry.at, entry.place, self.late_serial);
            self.late.insert(key, entry.item);
        } else if slot - self.turn <= RING as u64 {
            let ring = &mut self.ring[index(slot)];
            if ring.entries.capacity() == 0
                && let Some(spare) = self.spare.pop()
            {
                ring.entries = spare;
            }
            ring.push(entry);
            self.in_ring += 1;
        } else {
            self.far.entry(slot).or_insert_with(Slot::empty).push(entry);
        }
    }

    /// Time of the first event. Puts nothing in order: what is added before it still finds its place cheaply.
    pub(super) fn next_at(&self) -> Option<u64> {
        let late = self.late.first_key_value().map(|((at, ..), _)| *at);
        let open = self.open.get(self.done).map(|entry| entry.at);
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
    pub(super) fn upcoming(&self, count: usize) -> &[Entry] {
        let open = &self.open[self.done..];
        &open[..count.min(open.len())]
    }

    /// Takes the first event, unless it is after `last`.
    pub(super) fn pop(&mut self, last: u64) -> Option<Entry> {
        if self.done == self.open.len() && self.late.is_empty() {
            let (number, first_at) = self.next_slot()?;
            if first_at > last {
                return None;
            }
            self.turn_to(number);
        }
        let open = self.open.get(self.done).copied();
        if let Some(entry) = open.filter(|_| self.late.is_empty()) {
            return self.take_open(entry, last);
        }
        let (at, place, _) = *self.late.first_key_value()?.0;
        // Of equals the open slot's came first: it was filled before its turn.
        if let Some(entry) = open.filter(|entry| entry.key() <= (at, place)) {
            return self.take_open(entry, last);
        }
        if at > last {
            return None;
        }
        let (_, item) = self.late.pop_first()?;
        Some(Entry { at, place, item })
    }

    fn take_open(&mut self, entry: Entry, last: u64) -> Option<Entry> {
        (entry.at <= last).then(|| {
            self.done += 1;
            entry
        })
    }

    /// Opens the next slot that has events.
    fn turn_to(&mut self, number: u64) {
        if self.in_ring == 0 {
            self.turn = number - 1;
            self.draw_near();
        }
        self.turn = number;
        let slot = &mut self.ring[index(number)];
        slot.first_at = u64::MAX;
        let mut events = std::mem::take(&mut slot.entries);
        if !std::mem::replace(&mut slot.in_order, true) {
            sort(&mut events, &mut self.scratch);
        }
        self.in_ring -= events.len();
        self.done = 0;
        let mut used = std::mem::replace(&mut self.open, events);
        used.clear();
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

    /// Time, place and serial number.
    type Key = (u64, u64, u32);

    fn entry((at, place, item): Key) -> Entry {
        Entry { at, place, item }
    }

    /// Pops everything, adding events while at it, and compares with a plain ordered set.
    fn agrees_with_a_map(span_ns: u64, delay: impl Fn(&mut rand::rngs::ChaCha8Rng) -> u64) {
        let mut rng = dice::seeded(3, 1);
        let (mut calendar, mut map) = (Calendar::new(span_ns), BTreeSet::new());
        let mut serial = 0_u32;
        let mut add = |calendar: &mut Calendar, map: &mut BTreeSet<Key>, at: u64| {
            serial += 1;
            let event = (at, u64::from(serial) * 7919 % 5, serial);
            calendar.push(entry(event));
            map.insert(event);
        };
        for at in [0, 5, 5, 1_000_000_000, 7] {
            add(&mut calendar, &mut map, at);
        }
        let mut popped = 0_u64;
        while let Some(next_at) = calendar.next_at() {
            if let Some(before) = next_at.checked_sub(1) {
                assert_eq!(calendar.pop(before), None, "event {popped} is too late");
            }
            let event = calendar.pop(next_at).unwrap();
            let wanted = map.pop_first().unwrap();
            assert_eq!(event, entry(wanted), "event {popped}");
            popped += 1;
            if popped < 20_000 {
                for _ in 0..dice::below(&mut rng, 3) {
                    let after = delay(&mut rng);
                    add(&mut calendar, &mut map, event.at + after);
                }
                if calendar.len() < 5 {
                    add(&mut calendar, &mut map, event.at + 1);
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

    #[test]
    fn digits_and_comparisons_put_events_in_the_same_order() {
        let mut rng = dice::seeded(4, 1);
        for (times, nodes, links) in [
            (1, 1, 1),
            (1, 300, 8),
            (1, 1 << 20, 30),
            (1 << 18, 1 << 20, 8),
            (1 << 40, 1 << 24, 1 << 20),
        ] {
            let mut events: Vec<Entry> = (0..5_000)
                .map(|item| Entry {
                    at: 77 + dice::below(&mut rng, times),
                    place: dice::below(&mut rng, nodes) << 32 | dice::below(&mut rng, links),
                    item,
                })
                .collect();
            let mut wanted = events.clone();
            wanted.sort_by_key(|event| (event.at, event.place, event.item));
            sort(&mut events, &mut Vec::new());
            assert!(
                events == wanted,
                "{times} times, {nodes} nodes, {links} links"
            );
        }
        let digits: Vec<u32> = Digits(0b1_0000_0000_0001_0100).collect();
        assert_eq!(digits, [2, 16], "each begins at a bit that is set");
    }
}
