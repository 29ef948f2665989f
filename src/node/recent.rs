//! What was learned lately under ids of 16 bytes: bounded, the youngest kept.
//!
//! Made for many small tables, as in a simulation of 10^6 nodes: to find an id costs one place of an index and one
//! entry, entries lie one after the other, and nothing is allocated before it is needed. Ids come from strangers, so the
//! index is keyed at random: nobody can make ids that fall into one place. That randomness never shows in what is kept.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroUsize;

/// No entry.
const NONE: u32 = u32::MAX;
/// Places of the first index.
const PLACES_MIN: usize = 8;

/// An id and what is known of it.
#[derive(Clone, Copy, Debug)]
struct Entry<V> {
    id: [u8; 16],
    value: V,
}

/// Neighbours in the order of age.
#[derive(Clone, Copy, Debug)]
struct Age {
    older: u32,
    younger: u32,
}

/// A table of at most so many ids; the oldest makes room for a new one.
#[derive(Debug)]
pub(super) struct Recent<V> {
    /// Open addressing with linear probing, at most half full. A place holds 32 bits of the hash, then the number of
    /// the entry plus one; 0 is empty.
    places: Vec<u64>,
    entries: Vec<Entry<V>>,
    keys: [u64; 2],
    bound: u32,
    oldest: u32,
    youngest: u32,
    ages: Vec<Age>,
}

impl<V: Copy> Recent<V> {
    /// An empty table. More than 2^32 - 2 ids are not remembered, whatever the bound.
    pub(super) fn new(bound: NonZeroUsize) -> Self {
        let random = RandomState::new();
        Self {
            places: Vec::new(),
            entries: Vec::new(),
            keys: [random.hash_one(0), random.hash_one(1)],
            bound: u32::try_from(bound.get()).map_or(NONE - 1, |bound| bound.min(NONE - 1)),
            oldest: NONE,
            youngest: NONE,
            ages: Vec::new(),
        }
    }

    /// Ids remembered.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What is known of an id.
    pub(super) fn get(&self, id: &[u8; 16]) -> Option<&V> {
        let (_, at) = self.find(id)?;
        Some(&self.entries[at].value)
    }

    /// The same, to be changed. It gets no younger.
    pub(super) fn get_mut(&mut self, id: &[u8; 16]) -> Option<&mut V> {
        let (_, at) = self.find(id)?;
        Some(&mut self.entries[at].value)
    }

    /// The same, and it is the youngest now.
    pub(super) fn refresh(&mut self, id: &[u8; 16]) -> Option<&mut V> {
        let (_, at) = self.find(id)?;
        self.unlink(number(at));
        self.link_youngest(number(at));
        Some(&mut self.entries[at].value)
    }

    /// Learns something of an id, which is the youngest now; what was known of it is forgotten.
    pub(super) fn put(&mut self, id: [u8; 16], value: V) {
        if let Some(known) = self.refresh(&id) {
            *known = value;
            return;
        }
        let entry = Entry { id, value };
        let at = if self.entries.len() < self.bound as usize {
            self.entries.push(entry);
            self.ages.push(Age {
                older: NONE,
                younger: NONE,
            });
            number(self.entries.len() - 1)
        } else {
            let oldest = self.oldest;
            let gone = self.entries[oldest as usize].id;
            if let Some((place, _)) = self.find(&gone) {
                self.empty(place);
            }
            self.unlink(oldest);
            self.entries[oldest as usize] = entry;
            oldest
        };
        self.link_youngest(at);
        if self.entries.len() * 2 > self.places.len() {
            self.grow();
        } else {
            let hash = self.hash(&id);
            self.fill(place_of(hash, at));
        }
    }

    /// A multiplication whose two halves are folded, keyed at both ends.
    fn hash(&self, id: &[u8; 16]) -> u32 {
        let word = |at: usize| {
            let bytes = id[at..at + 8].try_into().expect("eight of sixteen bytes");
            u64::from_le_bytes(bytes)
        };
        let product = u128::from(word(0) ^ self.keys[0]) * u128::from(word(8) ^ self.keys[1]);
        #[expect(clippy::cast_possible_truncation, reason = "parts of the product")]
        let folded = (product >> 64) as u64 ^ product as u64;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "half of it folded upon the other"
        )]
        let half = (folded >> 32) as u32 ^ folded as u32;
        half
    }

    /// Place and entry of an id.
    fn find(&self, id: &[u8; 16]) -> Option<(usize, usize)> {
        let mask = self.places.len().checked_sub(1)?;
        let hash = self.hash(id);
        let mut place = hash as usize & mask;
        loop {
            let taken = self.places[place];
            if taken == 0 {
                return None;
            }
            if hash_of(taken) == hash {
                let at = entry_of(taken);
                if self.entries[at].id == *id {
                    return Some((place, at));
                }
            }
            place = (place + 1) & mask;
        }
    }

    /// Puts something into the first free place from its own on.
    fn fill(&mut self, taken: u64) {
        let mask = self.places.len() - 1;
        let mut place = hash_of(taken) as usize & mask;
        while self.places[place] != 0 {
            place = (place + 1) & mask;
        }
        self.places[place] = taken;
    }

    /// Empties a place, and moves up what was put behind it because it was taken.
    fn empty(&mut self, mut hole: usize) {
        let mask = self.places.len() - 1;
        let mut place = hole;
        loop {
            place = (place + 1) & mask;
            let taken = self.places[place];
            if taken == 0 {
                break;
            }
            let own = hash_of(taken) as usize & mask;
            // As far as its own place is not between the hole and here, going round.
            if place.wrapping_sub(own) & mask >= place.wrapping_sub(hole) & mask {
                self.places[hole] = taken;
                hole = place;
            }
        }
        self.places[hole] = 0;
    }

    /// Twice as many places, for all entries.
    fn grow(&mut self) {
        let places = (self.places.len() * 2).max(PLACES_MIN);
        self.places.clear();
        self.places.resize(places, 0);
        for at in 0..self.entries.len() {
            let hash = self.hash(&self.entries[at].id);
            self.fill(place_of(hash, number(at)));
        }
    }

    fn unlink(&mut self, at: u32) {
        let Age { older, younger } = self.ages[at as usize];
        match self.ages.get_mut(older as usize) {
            Some(age) => age.younger = younger,
            None => self.oldest = younger,
        }
        match self.ages.get_mut(younger as usize) {
            Some(age) => age.older = older,
            None => self.youngest = older,
        }
    }

    fn link_youngest(&mut self, at: u32) {
        let older = std::mem::replace(&mut self.youngest, at);
        match self.ages.get_mut(older as usize) {
            Some(age) => age.younger = at,
            None => self.oldest = at,
        }
        self.ages[at as usize] = Age {
            older,
            younger: NONE,
        };
    }
}

fn number(at: usize) -> u32 {
    u32::try_from(at).expect("the bound is below 2^32")
}

fn place_of(hash: u32, at: u32) -> u64 {
    u64::from(hash) << 32 | (u64::from(at) + 1)
}

fn hash_of(taken: u64) -> u32 {
    u32::try_from(taken >> 32).expect("half of the bits")
}

fn entry_of(taken: u64) -> usize {
    usize::try_from((taken & u64::from(u32::MAX)) - 1).expect("a number of 32 bits")
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use rand::rngs::ChaCha8Rng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// The same by a plain list, oldest first.
    struct Plain {
        bound: usize,
        all: VecDeque<([u8; 16], u32)>,
    }

    impl Plain {
        fn take(&mut self, id: &[u8; 16]) -> Option<u32> {
            let at = self.all.iter().position(|(known, _)| known == id)?;
            self.all.remove(at).map(|(_, value)| value)
        }

        fn put(&mut self, id: [u8; 16], value: u32) {
            if self.take(&id).is_none() && self.all.len() == self.bound {
                self.all.pop_front();
            }
            self.all.push_back((id, value));
        }
    }

    #[test]
    fn it_keeps_what_a_plain_list_keeps() {
        for bound in [1, 2, 3, 4, 5, 64, 1000] {
            let mut recent = Recent::new(NonZeroUsize::new(bound).unwrap());
            let mut plain = Plain {
                bound,
                all: VecDeque::new(),
            };
            let mut rng = ChaCha8Rng::seed_from_u64(bound as u64);
            for step in 0..6_000 {
                let mut id = [0; 16];
                let drawn = rng.next_u64() % (3 * bound as u64);
                id[..8].copy_from_slice(&drawn.to_le_bytes());
                match rng.next_u64() % 4 {
                    0 | 1 => {
                        recent.put(id, step);
                        plain.put(id, step);
                    }
                    2 => {
                        let value = plain.take(&id);
                        assert_eq!(recent.refresh(&id).copied(), value);
                        plain.all.extend(value.map(|value| (id, value)));
                    }
                    _ => {
                        let known = plain.all.iter().find(|(known, _)| *known == id);
                        assert_eq!(recent.get(&id), known.map(|(_, value)| value));
                        if let Some(value) = recent.get_mut(&id) {
                            *value += 1;
                            plain
                                .all
                                .iter_mut()
                                .find(|(known, _)| *known == id)
                                .unwrap()
                                .1 += 1;
                        }
                    }
                }
                assert_eq!(recent.len(), plain.all.len());
            }
            for (id, value) in &plain.all {
                assert_eq!(recent.get(id), Some(value));
            }
        }
    }

    #[test]
    fn two_tables_do_not_lay_ids_out_alike() {
        let bound = NonZeroUsize::new(10).unwrap();
        let (one, other) = (Recent::<u32>::new(bound), Recent::<u32>::new(bound));
        let differ = (0..32_u8).filter(|n| one.hash(&[*n; 16]) != other.hash(&[*n; 16]));
        assert!(differ.count() > 24, "keys are drawn for each table");
    }

    #[test]
    fn ids_that_differ_in_one_bit_fall_into_different_places() {
        let table = Recent::<u32>::new(NonZeroUsize::new(10).unwrap());
        let mut places = std::collections::BTreeSet::new();
        for bit in 0..128 {
            let mut id = [7; 16];
            id[bit / 8] ^= 1 << (bit % 8);
            places.insert(table.hash(&id) & 0xFFF);
        }
        assert!(places.len() > 110, "{} of 128", places.len());
    }
}
