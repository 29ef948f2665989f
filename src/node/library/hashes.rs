//! The hash column: file -> SHA-1 as far as known, and back.
//!
//! Apart from the names, so that hashes learned in the background reach a library without indexing its
//! words again.

use crate::wire::Sha1;

/// Hashes of the files of a library.
#[derive(Clone, Debug, Default)]
pub(super) struct Hashes {
    of: Vec<Option<Sha1>>,
    /// First four bytes of a hash, and its file; sorted. An entry may be out of date: `of` decides.
    by_prefix: Vec<(u32, u32)>,
    known: usize,
}

impl Hashes {
    pub(super) fn new(of: Vec<Option<Sha1>>) -> Self {
        let mut by_prefix: Vec<(u32, u32)> = (0u32..)
            .zip(&of)
            .filter_map(|(file, sha1)| Some((prefix(sha1.as_ref()?), file)))
            .collect();
        by_prefix.sort_unstable();
        Self {
            known: by_prefix.len(),
            of,
            by_prefix,
        }
    }

    /// Adds hashes; costs a copy of the column and a merge, not a sort of all. Unknown files are ignored.
    pub(super) fn with(&self, learned: &[(u32, Sha1)]) -> Self {
        let mut of = self.of.clone();
        let mut known = self.known;
        let mut fresh = Vec::with_capacity(learned.len());
        for &(file, sha1) in learned {
            let Some(slot) = of.get_mut(file as usize) else {
                continue;
            };
            if *slot == Some(sha1) {
                continue;
            }
            known += usize::from(slot.is_none());
            *slot = Some(sha1);
            fresh.push((prefix(&sha1), file));
        }
        fresh.sort_unstable();
        let mut by_prefix = Vec::with_capacity(self.by_prefix.len() + fresh.len());
        let mut old = &self.by_prefix[..];
        for entry in fresh {
            let (before, after) = old.split_at(old.partition_point(|known| *known < entry));
            by_prefix.extend_from_slice(before);
            by_prefix.push(entry);
            old = after;
        }
        by_prefix.extend_from_slice(old);
        by_prefix.dedup();
        Self {
            of,
            by_prefix,
            known,
        }
    }

    pub(super) fn of(&self, file: usize) -> Option<Sha1> {
        self.of.get(file).copied().flatten()
    }

    pub(super) fn known(&self) -> usize {
        self.known
    }

    /// The first file with that hash.
    ///
    /// Hashes are spread evenly, so the place is guessed from the prefix and then sought nearby, in steps
    /// that double: a few memory accesses, and never more than a binary search would take twice.
    pub(super) fn find(&self, sha1: &Sha1) -> Option<u32> {
        let wanted = prefix(sha1);
        let at = lower_bound(&self.by_prefix, wanted);
        self.by_prefix[at..]
            .iter()
            .take_while(|(prefix, _)| *prefix == wanted)
            .map(|&(_, file)| file)
            .find(|&file| self.of(file as usize) == Some(*sha1))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.of.capacity() * size_of::<Option<Sha1>>() + self.by_prefix.capacity() * 8
    }
}

fn prefix(sha1: &Sha1) -> u32 {
    u32::from_be_bytes([sha1.0[0], sha1.0[1], sha1.0[2], sha1.0[3]])
}

/// Position of the first entry whose prefix is not below `wanted`.
fn lower_bound(sorted: &[(u32, u32)], wanted: u32) -> usize {
    let len = sorted.len();
    let guess = (u128::from(wanted) * len as u128) >> 32;
    let guess = usize::try_from(guess).expect("below the length").min(len);
    let below = |at: usize| sorted[at].0 < wanted;
    let (mut from, mut to) = (0, len);
    let mut step = 8;
    if guess < len && below(guess) {
        from = guess + 1;
        while from < len {
            let reach = from + step;
            if reach >= len || !below(reach) {
                to = reach.min(len);
                break;
            }
            from = reach + 1;
            step *= 2;
        }
    } else {
        to = guess;
        while to > 0 {
            let reach = to.saturating_sub(step);
            if below(reach) {
                from = reach + 1;
                break;
            }
            to = reach;
            step *= 2;
        }
    }
    from + sorted[from..to].partition_point(|(prefix, _)| *prefix < wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_guess_finds_what_a_scan_finds(
            mut sorted in prop::collection::vec(prop_oneof![0u32..50, any::<u32>(), Just(u32::MAX)], 0..200),
            wanted in prop_oneof![0u32..60, any::<u32>(), Just(u32::MAX)],
        ) {
            sorted.sort_unstable();
            let pairs: Vec<_> = sorted.iter().map(|&prefix| (prefix, 0)).collect();
            let expected = sorted.iter().position(|&n| n >= wanted).unwrap_or(sorted.len());
            prop_assert_eq!(lower_bound(&pairs, wanted), expected);
        }

        #[test]
        fn hashes_learned_later_are_found_like_those_known_before(
            before in prop::collection::vec(prop::option::of(0u8..9), 0..40),
            learned in prop::collection::vec((0u32..45, 0u8..9), 0..40),
        ) {
            let sha1 = |n: u8| Sha1([n; 20]);
            let mut naive: Vec<Option<Sha1>> = before.into_iter().map(|n| n.map(sha1)).collect();
            let learned: Vec<_> = learned.into_iter().map(|(file, n)| (file, sha1(n))).collect();
            let hashes = Hashes::new(naive.clone()).with(&learned);
            for &(file, sha1) in &learned {
                if let Some(slot) = naive.get_mut(file as usize) {
                    *slot = Some(sha1);
                }
            }
            for n in 0..9 {
                let expected = (0u32..).zip(&naive).find(|(_, has)| **has == Some(sha1(n))).map(|(file, _)| file);
                prop_assert_eq!(hashes.find(&sha1(n)), expected);
            }
            prop_assert_eq!(hashes.known(), naive.iter().flatten().count());
        }
    }
}
