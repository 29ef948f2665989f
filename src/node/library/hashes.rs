//! The hash columns: file -> SHA-1 and Tiger root as far as known, and SHA-1 -> file.
//!
//! Apart from the names, so that hashes learned in the background reach a library without indexing its
//! words again.

use std::fmt;

use crate::wire::Sha1;
use crate::wire::urn::{TigerRoot, tiger_to_base32};

/// What is known of the content of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Content {
    /// Hash of the whole.
    pub sha1: Sha1,
    /// Root of its Tiger tree, if known.
    pub tiger: Option<TigerRoot>,
}

impl From<Sha1> for Content {
    fn from(sha1: Sha1) -> Self {
        Self { sha1, tiger: None }
    }
}

/// `urn:bitprint:<32>.<39>`, without a root `urn:sha1:<32>`.
impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tiger {
            Some(root) => {
                let (sha1, root) = (self.sha1.to_base32(), tiger_to_base32(root));
                write!(f, "urn:bitprint:{sha1}.{root}")
            }
            None => self.sha1.fmt(f),
        }
    }
}

/// Hashes of the files of a library.
#[derive(Clone, Debug, Default)]
pub(super) struct Hashes {
    of: Vec<Option<Sha1>>,
    /// Tiger roots of the same files; known only where the hash is.
    tigers: Vec<Option<TigerRoot>>,
    /// First four bytes of a hash, and its file; sorted. An entry may be out of date: `of` decides.
    by_prefix: Vec<(u32, u32)>,
    known: usize,
    roots_known: usize,
}

impl Hashes {
    pub(super) fn new(contents: Vec<Option<Content>>) -> Self {
        let tigers: Vec<_> = contents
            .iter()
            .map(|content| content.as_ref()?.tiger)
            .collect();
        let of: Vec<_> = contents
            .into_iter()
            .map(|content| Some(content?.sha1))
            .collect();
        let mut by_prefix: Vec<(u32, u32)> = (0u32..)
            .zip(&of)
            .filter_map(|(file, sha1)| Some((prefix(sha1.as_ref()?), file)))
            .collect();
        by_prefix.sort_unstable();
        Self {
            known: by_prefix.len(),
            roots_known: tigers.iter().flatten().count(),
            of,
            tigers,
            by_prefix,
        }
    }

    /// Adds hashes; costs a copy of the column and a merge, not a sort of all. Unknown files are ignored.
    pub(super) fn with(&self, learned: &[(u32, Content)]) -> Self {
        let mut of = self.of.clone();
        let mut tigers = self.tigers.clone();
        let mut known = self.known;
        let mut fresh = Vec::with_capacity(learned.len());
        for &(file, Content { sha1, tiger }) in learned {
            let at = file as usize;
            let (Some(slot), Some(root)) = (of.get_mut(at), tigers.get_mut(at)) else {
                continue;
            };
            let same = *slot == Some(sha1);
            // A root that is not told anew still belongs to the same content.
            *root = tiger.or(root.filter(|_| same));
            if same {
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
            roots_known: tigers.iter().flatten().count(),
            of,
            tigers,
            by_prefix,
            known,
        }
    }

    pub(super) fn of(&self, file: usize) -> Option<Sha1> {
        self.of.get(file).copied().flatten()
    }

    pub(super) fn tiger_of(&self, file: usize) -> Option<TigerRoot> {
        self.tigers.get(file).copied().flatten()
    }

    pub(super) fn known(&self) -> usize {
        self.known
    }

    /// Files whose Tiger root is known.
    pub(super) fn roots_known(&self) -> usize {
        self.roots_known
    }

    /// The first file with that Tiger root. Hardly anybody asks so: a look at all of them, some milliseconds for a
    /// million, is better than an index that has to be kept.
    pub(super) fn find_tiger(&self, root: &TigerRoot) -> Option<u32> {
        let wanted = Some(*root);
        let at = self.tigers.iter().position(|known| *known == wanted)?;
        u32::try_from(at).ok()
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
        self.of.capacity() * size_of::<Option<Sha1>>()
            + self.tigers.capacity() * size_of::<Option<TigerRoot>>()
            + self.by_prefix.capacity() * 8
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

    #[test]
    fn a_tiger_root_stays_with_its_content() {
        let with = |byte: u8, tiger| Content {
            sha1: Sha1([byte; 20]),
            tiger,
        };
        let hashes = Hashes::new(vec![Some(with(1, Some([1; 24]))), None]);
        let hashes = hashes.with(&[(1, with(2, Some([2; 24]))), (0, with(1, None))]);
        assert_eq!(
            [0, 1, 2].map(|file| hashes.tiger_of(file)),
            [Some([1; 24]), Some([2; 24]), None]
        );
        let hashes = hashes.with(&[(0, with(3, None)), (1, with(2, Some([4; 24])))]);
        assert_eq!(
            [0, 1].map(|file| hashes.tiger_of(file)),
            [None, Some([4; 24])],
            "another content has another tree"
        );
        assert_eq!((hashes.known(), hashes.roots_known()), (2, 1));
        assert_eq!(hashes.find_tiger(&[4; 24]), Some(1));
        assert_eq!(hashes.find_tiger(&[1; 24]), None);
        let told = [with(3, None), with(2, Some([4; 24]))].map(|content| content.to_string());
        assert_eq!(told[0], Sha1([3; 20]).to_string());
        let bitprint = told[1]
            .strip_prefix("urn:")
            .map(crate::wire::urn::Hashes::parse);
        let both = crate::wire::urn::Hashes {
            sha1: Some(Sha1([2; 20])),
            tiger: Some([4; 24]),
        };
        assert_eq!(bitprint, Some(Ok(both)));
    }

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
            let contents = naive.iter().map(|sha1| sha1.map(Content::from)).collect();
            let told: Vec<_> = learned.iter().map(|&(file, sha1)| (file, sha1.into())).collect();
            let hashes = Hashes::new(contents).with(&told);
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
