//! Query routing tables: which words a neighbour could match, as a hash table of bits (QRP).
//!
//! A leaf sends its table to its ultrapeers; ultrapeers send each other a merged one for the last hop. The hash
//! is that of the deployed network; published vectors are in the tests. `receive` and `update` keep both ends of
//! the wire in step.

pub mod receive;
pub mod update;

use unicode_normalization::UnicodeNormalization;

use super::library::Library;
use super::words;

/// Entries of the smallest table made here (gtk-gnutella).
const ENTRIES_MIN: u32 = 1 << 14;
/// Entries of the largest table made here: 128 Ki, the largest that ultrapeers send each other.
const ENTRIES_MADE_MAX: u32 = 1 << 17;
/// A table doubles while more than one entry in so many is used (gtk-gnutella: at most 1 %).
const SPARSENESS: u32 = 100;
/// Shortest query word that is looked up, in bytes (gtk-gnutella).
const QUERY_WORD_BYTES_MIN: usize = 3;
/// Cuts of one character at the end of a word that are entered too (gtk-gnutella).
const CUTS_MAX: usize = 5;
/// Hashes of a library collected before repeats are removed: names of one library repeat their words. 4 MiB.
const TIDY_HASHES: usize = 1 << 20;
/// Multiplier of the hash: the golden ratio's, as the protocol has it.
const MULTIPLIER: u32 = 0x4F1B_BCDC;

/// Full 32-bit hash of a word. The entry in a table of 2^b entries is its top b bits.
pub fn hash(word: &str) -> u32 {
    let (mut x, mut shift) = (0_u32, 0);
    for unit in word.chars().flat_map(char::to_lowercase).flat_map(|c| {
        let mut units = [0; 2];
        let len = c.encode_utf16(&mut units).len();
        units.into_iter().take(len)
    }) {
        x ^= u32::from(unit & 0xFF) << shift;
        shift = (shift + 8) % 32;
    }
    x.wrapping_mul(MULTIPLIER)
}

/// Presence bits of a table: one for each entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryTable {
    bits: Box<[u64]>,
    /// log2 of the number of entries; at least 6 are stored.
    log2: u32,
}

impl QueryTable {
    /// An empty table of `entries` entries, a power of two.
    pub fn new(entries: u32) -> Self {
        debug_assert!(entries.is_power_of_two());
        Self {
            bits: vec![0; (entries as usize).div_ceil(64)].into(),
            log2: entries.trailing_zeros(),
        }
    }

    /// A table of all words in names, folders and share names of a library, with their cuts.
    pub fn of_library(library: &Library) -> Self {
        let mut hashes = Vec::new();
        library
            .share_names()
            .iter()
            .for_each(|name| words::each_word(name, |word| enter(word, &mut hashes)));
        let mut tidy_at = TIDY_HASHES;
        for file in library.files() {
            words::each_word(file.path, |word| enter(word, &mut hashes));
            if hashes.len() >= tidy_at {
                hashes.sort_unstable();
                hashes.dedup();
                tidy_at = TIDY_HASHES.max(2 * hashes.len());
            }
        }
        Self::of_hashes(&hashes)
    }

    fn of_hashes(hashes: &[u32]) -> Self {
        let mut entries = ENTRIES_MIN;
        loop {
            let mut table = Self::new(entries);
            hashes.iter().for_each(|hash| table.set(*hash));
            if entries >= ENTRIES_MADE_MAX || table.used() <= entries / SPARSENESS {
                return table;
            }
            entries *= 2;
        }
    }

    /// Number of entries.
    pub fn entries(&self) -> u32 {
        1 << self.log2
    }

    /// Entries that are present.
    pub fn used(&self) -> u32 {
        self.bits.iter().map(|word| word.count_ones()).sum()
    }

    fn index(&self, hash: u32) -> usize {
        if self.log2 == 0 {
            0
        } else {
            (hash >> (32 - self.log2)) as usize
        }
    }

    fn set(&mut self, hash: u32) {
        self.set_entry(self.index(hash), true);
    }

    fn set_entry(&mut self, at: usize, present: bool) {
        let (word, bit) = (at / 64, 1 << (at % 64));
        if present {
            self.bits[word] |= bit;
        } else {
            self.bits[word] &= !bit;
        }
    }

    /// Is entry `at` present?
    pub fn entry(&self, at: usize) -> bool {
        self.bits[at / 64] & (1 << (at % 64)) != 0
    }

    /// Could a neighbour with this table match? Fewer than three words: all must be present; else two thirds
    /// of them (gtk-gnutella). A query without a word long enough matches nothing.
    pub fn matches(&self, query: &QueryWords) -> bool {
        let words = query.hashes.len();
        if words == 0 {
            return false;
        }
        let need = if words < 3 {
            words
        } else {
            (2 * words).div_ceil(3)
        };
        let mut missing_allowed = words - need;
        for hash in &query.hashes {
            if !self.entry(self.index(*hash)) {
                if missing_allowed == 0 {
                    return false;
                }
                missing_allowed -= 1;
            }
        }
        true
    }

    /// Adds all that `other` has. The larger of both sizes wins, up to the largest table made here: halving
    /// joins neighbours, doubling repeats them, as the hash of a larger table starts with that of a smaller one.
    pub fn merge(&mut self, other: &Self) {
        let log2 = self
            .log2
            .max(other.log2)
            .min(ENTRIES_MADE_MAX.trailing_zeros());
        if log2 != self.log2 {
            let mut resized = Self::new(1 << log2);
            resized.take_in(self);
            *self = resized;
        }
        self.take_in(other);
    }

    fn take_in(&mut self, other: &Self) {
        for at in (0..other.entries() as usize).filter(|at| other.entry(*at)) {
            if other.log2 >= self.log2 {
                self.set_entry(at >> (other.log2 - self.log2), true);
            } else {
                let width = 1 << (self.log2 - other.log2);
                (at * width..(at + 1) * width).for_each(|at| self.set_entry(at, true));
            }
        }
    }

    /// Bytes of memory it takes.
    pub fn memory_bytes(&self) -> usize {
        self.bits.len() * 8
    }
}

/// Enters a folded word and its cuts: `foxes` also enters `foxe`; nothing of 3 bytes or less comes of cutting.
fn enter(word: &str, hashes: &mut Vec<u32>) {
    let composed: String;
    let mut word = if word.is_ascii() {
        word
    } else {
        composed = word.nfc().collect();
        &composed
    };
    hashes.push(hash(word));
    for _ in 0..CUTS_MAX {
        let Some((cut, _)) = word.char_indices().next_back() else {
            return;
        };
        if cut <= QUERY_WORD_BYTES_MIN {
            return;
        }
        word = &word[..cut];
        hashes.push(hash(word));
    }
}

/// The words of a query, hashed once for all tables.
#[derive(Clone, Debug, Default)]
pub struct QueryWords {
    hashes: Vec<u32>,
}

impl QueryWords {
    /// Hashes the distinct words of a query that are long enough.
    pub fn of(text: &str) -> Self {
        let mut hashes = Vec::new();
        words::each_word(text, |word| {
            if word.len() >= QUERY_WORD_BYTES_MIN {
                let hash = if word.is_ascii() {
                    hash(word)
                } else {
                    hash(&word.nfc().collect::<String>())
                };
                if !hashes.contains(&hash) {
                    hashes.push(hash);
                }
            }
        });
        Self { hashes }
    }

    /// No word that could be looked up.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(word: &str, bits: u32) -> u32 {
        hash(word).checked_shr(32 - bits).unwrap()
    }

    #[test]
    fn the_published_vectors_hold() {
        for (word, bits, value) in [
            ("", 13, 0),
            ("eb", 13, 6791),
            ("ebc", 13, 7082),
            ("ebck", 13, 6698),
            ("ebckl", 13, 3179),
            ("ebcklm", 13, 3235),
            ("ebcklme", 13, 6438),
            ("ebcklmen", 13, 1062),
            ("ebcklmenq", 13, 3527),
            ("n", 16, 65003),
            ("nd", 16, 54193),
            ("ndf", 16, 4953),
            ("ndfl", 16, 58201),
            ("ndfla", 16, 34830),
            ("ndflal", 16, 36910),
            ("ndflale", 16, 34586),
            ("ndflalem", 16, 37658),
            ("ndflaleme", 16, 45559),
            ("ol2j34lj", 10, 318),
            ("asdfas23", 10, 503),
            ("9um3o34fd", 10, 758),
            ("a234d", 10, 281),
            ("a3f", 10, 767),
            ("3nja9", 10, 581),
            ("3NJA9", 10, 581),
            ("2459345938032343", 10, 146),
            ("7777a88a8a8a8", 10, 342),
            ("asdfjklkj3k", 10, 861),
            ("adfk32l", 10, 1011),
            ("zzzzzzzzzzz", 10, 944),
            ("gnutella", 16, 21293),
            ("ubuntu", 20, 678_392),
            ("café", 16, 38385),
            ("日本", 17, 69771),
            ("\u{1F600}", 16, 55708),
            ("foxes", 16, 55113),
            ("foxe", 16, 57104),
        ] {
            assert_eq!(entry(word, bits), value, "{word} in {bits} bits");
        }
    }

    fn table(words: &[&str]) -> QueryTable {
        let mut hashes = Vec::new();
        words.iter().for_each(|word| enter(word, &mut hashes));
        QueryTable::of_hashes(&hashes)
    }

    #[test]
    fn words_and_their_cuts_match_and_others_do_not() {
        let table = table(&["red", "foxes"]);
        let matches = |text| table.matches(&QueryWords::of(text));
        assert!(matches("red foxes") && matches("FOXE") && matches("Red"));
        assert!(!matches("fox"), "nothing of three bytes comes of cutting");
        assert!(!matches("red wolves"), "of two words both");
        assert!(matches("red foxes wolves"), "of three words two");
        assert!(!matches("re"), "too short to look up");
    }

    #[test]
    fn merging_keeps_every_match_whatever_the_sizes() {
        let (small, mut large) = (table(&["alpha", "beta"]), QueryTable::new(1 << 17));
        large.set(hash("gamma"));
        for (mut into, from) in [(small.clone(), large.clone()), (large, small)] {
            into.merge(&from);
            for word in ["alpha", "beta", "gamma"] {
                assert!(into.matches(&QueryWords::of(word)), "{word}");
            }
            assert!(into.entries() == 1 << 17 && !into.matches(&QueryWords::of("delta")));
        }
    }

    #[test]
    fn a_table_grows_until_it_is_sparse() {
        let words: Vec<_> = (0..2_000).map(|n| format!("w{n}")).collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let table = table(&words);
        assert_eq!(table.entries(), ENTRIES_MADE_MAX);
        assert_eq!(table.memory_bytes(), 16 * 1024);
    }
}
