//! Word numbers -> files that have them, and the intersection of such lists.
//!
//! A word that few files have keeps a sorted list of their numbers, 4 bytes each; a word that more than one
//! file in [`DENSE_SHARE`] has keeps one bit per file, which then is the smaller of the two and is tested in
//! one step. An intersection so costs at most the shortest list (galloping in the others), and never more
//! than one pass over a few bitmaps, whatever a stranger asks for.

/// One file in so many, and a bitmap is no larger than a list of 32-bit numbers.
const DENSE_SHARE: usize = 32;
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Posting {
    /// Where its list starts in `lists`, or its bitmap in `bitmaps`.
    at: u64,
    /// Files that have the word.
    count: u32,
}

/// For each word, the files that have it.
#[derive(Debug, Default)]
pub(super) struct Postings {
    files: usize,
    words: Vec<Posting>,
    lists: Vec<u32>,
    bitmaps: Vec<u64>,
}

enum Files<'a> {
    List(&'a [u32]),
    Bits(&'a [u64]),
}

impl Postings {
    /// `flat` holds the distinct word numbers of the first file, of the second..., `ends` where each file's
    /// words end in it; word numbers are below `words`.
    pub(super) fn build(words: usize, flat: &[u32], ends: &[usize]) -> Self {
        let mut counts = vec![0u32; words];
        for &word in flat {
            counts[word as usize] += 1;
        }
        let mut postings = Self {
            files: ends.len(),
            ..Self::default()
        };
        let (mut listed, mut bits) = (0u64, 0u64);
        postings.words.reserve_exact(words);
        for &count in &counts {
            let next = if postings.is_dense(count) {
                &mut bits
            } else {
                &mut listed
            };
            let at = *next;
            *next += if postings.is_dense(count) {
                postings.bitmap_len() as u64
            } else {
                u64::from(count)
            };
            postings.words.push(Posting { at, count });
        }
        postings.lists = vec![0; index(listed)];
        postings.bitmaps = vec![0; index(bits)];
        // From here on `counts` is how many files were entered so far.
        counts.fill(0);
        let mut from = 0;
        for (file, &end) in ends.iter().enumerate() {
            let number = u32::try_from(file).expect("file numbers are 32 bits wide");
            for &word in &flat[from..end] {
                let Posting { at, count } = postings.words[word as usize];
                if postings.is_dense(count) {
                    postings.bitmaps[index(at) + file / 64] |= 1 << (file % 64);
                } else {
                    let entered = &mut counts[word as usize];
                    postings.lists[index(at) + *entered as usize] = number;
                    *entered += 1;
                }
            }
            from = end;
        }
        postings
    }

    /// Gives the first `max` files, in order, that have all `words`; no words, no files. Sorts `words`.
    pub(super) fn intersect(&self, words: &mut Vec<u32>, max: usize, found: impl FnMut(u32)) {
        words.sort_unstable_by_key(|&word| (self.words[word as usize].count, word));
        words.dedup();
        let Some((&first, others)) = words.split_first() else {
            return;
        };
        match (self.files(first), others) {
            (Files::List(list), []) => list.iter().take(max).copied().for_each(found),
            (Files::List(list), _) => self.gallop_through(list, others, max, found),
            // Sorted by count: when the first is a bitmap, all are.
            (Files::Bits(first), _) => self.and_bitmaps(first, others, max, found),
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.words.capacity() * size_of::<Posting>()
            + self.lists.capacity() * 4
            + self.bitmaps.capacity() * 8
    }

    fn gallop_through(
        &self,
        mut first: &[u32],
        others: &[u32],
        max: usize,
        mut found: impl FnMut(u32),
    ) {
        let mut others: Vec<Files<'_>> = others.iter().map(|&word| self.files(word)).collect();
        let mut left = max;
        'candidate: while let Some((&file, rest)) = first.split_first() {
            if left == 0 {
                return;
            }
            first = rest;
            for other in &mut others {
                match other {
                    Files::Bits(bits) if bits[file as usize / 64] >> (file % 64) & 1 == 1 => {}
                    Files::Bits(_) => continue 'candidate,
                    Files::List(list) => {
                        *list = gallop(list, file);
                        let next = list.first().copied().unwrap_or(NONE);
                        if next != file {
                            first = gallop(first, next);
                            continue 'candidate;
                        }
                    }
                }
            }
            found(file);
            left -= 1;
        }
    }

    fn and_bitmaps(&self, first: &[u64], others: &[u32], max: usize, mut found: impl FnMut(u32)) {
        let others: Vec<&[u64]> = others
            .iter()
            .filter_map(|&word| match self.files(word) {
                Files::Bits(bits) => Some(bits),
                Files::List(_) => None,
            })
            .collect();
        let mut left = max;
        for (file, &start) in (0u32..).step_by(64).zip(first) {
            let at = file as usize / 64;
            let mut bits = others.iter().fold(start, |bits, other| bits & other[at]);
            while bits != 0 {
                if left == 0 {
                    return;
                }
                found(file + bits.trailing_zeros());
                bits &= bits - 1;
                left -= 1;
            }
        }
    }

    fn files(&self, word: u32) -> Files<'_> {
        let Posting { at, count } = self.words[word as usize];
        let at = index(at);
        if self.is_dense(count) {
            Files::Bits(&self.bitmaps[at..at + self.bitmap_len()])
        } else {
            Files::List(&self.lists[at..at + count as usize])
        }
    }

    fn is_dense(&self, count: u32) -> bool {
        count as usize * DENSE_SHARE > self.files
    }

    fn bitmap_len(&self) -> usize {
        self.files.div_ceil(64)
    }
}

/// The part of a sorted list from the first number not below `target`; costs the logarithm of how far away
/// that is.
fn gallop(list: &[u32], target: u32) -> &[u32] {
    let mut reach = 1;
    while reach < list.len() && list[reach] < target {
        reach *= 2;
    }
    let from = reach / 2;
    let to = list.len().min(reach + 1);
    let at = from + list[from.min(to)..to].partition_point(|&file| file < target);
    &list[at..]
}

fn index(at: u64) -> usize {
    usize::try_from(at).expect("a position in memory that exists")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn galloping_finds_what_a_scan_finds(
            list in prop::collection::btree_set(0u32..200, 0..60),
            target in 0u32..210,
        ) {
            let list: Vec<u32> = list.into_iter().collect();
            let from = list.iter().position(|&n| n >= target).unwrap_or(list.len());
            prop_assert_eq!(gallop(&list, target), &list[from..]);
        }

        #[test]
        fn intersection_is_that_of_the_sets(
            files in prop::collection::vec(prop::collection::btree_set(0u32..40, 0..6), 0..300),
            words in prop::collection::vec(0u32..40, 1..4),
            max in 0usize..20,
        ) {
            let mut flat = Vec::new();
            let mut ends = Vec::new();
            for words in &files {
                flat.extend(words);
                ends.push(flat.len());
            }
            let postings = Postings::build(40, &flat, &ends);
            let mut found = vec![];
            postings.intersect(&mut words.clone(), max, |file| found.push(file));
            let expected: Vec<u32> = (0u32..)
                .zip(&files)
                .filter(|(_, has)| words.iter().all(|word| has.contains(word)))
                .map(|(file, _)| file)
                .take(max)
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}
