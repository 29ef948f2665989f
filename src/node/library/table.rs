//! Words -> word numbers: each distinct word kept once, found in one or two memory accesses.
//!
//! Open addressing with linear probing over our own arrays: the order of the words is the order in which
//! they came, whatever the hash, so runs stay equal. The hash is seeded by what only the owner of the
//! files knows (see [`super::Library::build`]); so names that others chose cannot be made to collide.

use std::hash::{DefaultHasher, Hasher};

/// A free slot.
const FREE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Upper half of the hash: a look-up that misses seldom needs to read a word.
    tag: u32,
    /// Number of the word, or [`FREE`].
    word: u32,
}

const EMPTY: Slot = Slot { tag: 0, word: FREE };

/// The distinct words of a library.
#[derive(Debug, Default)]
pub(super) struct WordTable {
    seed: u64,
    /// Length 0 or a power of two, never more than three quarters full.
    slots: Vec<Slot>,
    text: String,
    /// Where each word ends in `text`.
    ends: Vec<u64>,
}

impl WordTable {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            ..Self::default()
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The number of a word that is known.
    pub(super) fn find(&self, word: &str) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        self.probe(word, self.hash(word)).ok()
    }

    /// The number of a word, known from now on.
    pub(super) fn intern(&mut self, word: &str) -> u32 {
        if (self.len() + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        let hash = self.hash(word);
        match self.probe(word, hash) {
            Ok(known) => known,
            Err(at) => {
                let number = u32::try_from(self.len())
                    .expect("words are fewer than 2^32: memory ends first");
                self.slots[at] = Slot {
                    tag: tag(hash),
                    word: number,
                };
                self.text.push_str(word);
                self.ends.push(self.text.len() as u64);
                number
            }
        }
    }

    /// Gives back what growing reserved in advance.
    pub(super) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>() + self.text.capacity() + self.ends.capacity() * 8
    }

    fn word(&self, number: u32) -> &str {
        let number = number as usize;
        let from = if number == 0 {
            0
        } else {
            self.ends[number - 1]
        };
        &self.text[offset(from)..offset(self.ends[number])]
    }

    fn hash(&self, word: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.seed);
        hasher.write(word.as_bytes());
        hasher.finish()
    }

    /// `Ok`: the word's number; `Err`: the slot where it belongs.
    fn probe(&self, word: &str, hash: u64) -> Result<u32, usize> {
        let mask = self.slots.len() - 1;
        let mut at = low(hash) & mask;
        loop {
            let slot = self.slots[at];
            if slot.word == FREE {
                return Err(at);
            }
            if slot.tag == tag(hash) && self.word(slot.word) == word {
                return Ok(slot.word);
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(16);
        self.slots = vec![EMPTY; size];
        for number in 0..self.len() {
            let number = u32::try_from(number).expect("checked when it was interned");
            let hash = self.hash(self.word(number));
            let mut at = low(hash) & (size - 1);
            while self.slots[at].word != FREE {
                at = (at + 1) & (size - 1);
            }
            self.slots[at] = Slot {
                tag: tag(hash),
                word: number,
            };
        }
    }
}

fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the low bits are what is wanted"
)]
fn low(hash: u64) -> usize {
    hash as usize
}

fn offset(at: u64) -> usize {
    usize::try_from(at).expect("an offset into memory that exists")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_keeps_its_number_while_the_table_grows() {
        let mut table = WordTable::new(7);
        assert_eq!(table.find("none"), None);
        for i in 0..10_000u32 {
            assert_eq!(table.intern(&format!("w{i}")), i);
        }
        assert_eq!(table.len(), 10_000);
        for i in 0..10_000u32 {
            assert_eq!(table.find(&format!("w{i}")), Some(i));
            assert_eq!(table.intern(&format!("w{i}")), i);
        }
        assert_eq!(table.find("w10000"), None);
        assert_eq!(table.find(""), None);
    }
}
