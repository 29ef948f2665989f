//! Unfinished files that are offered to others while they are fetched: which bytes of them are verified.
//!
//! Whoever fetches a file says so with [`Partials::offer`] and then, block by block, what was verified. What is said
//! here is served under the file's hash until the [`Offer`] is dropped; nothing else of the file ever is.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::rt;
use crate::disk::tree::HashTree;
use crate::node::library::Content;
use crate::node::swarm::Ranges;
use crate::wire::Sha1;
use crate::wire::alt::Open;
use crate::wire::heads::Head;

/// Unfinished files offered at a time, each with an open file. Our choice.
pub const PARTIALS_MAX: usize = 64;
/// Bytes of the ranges told in one head, the largest ones: LimeWire reads lines of some 2 KiB. Our choice.
const RANGES_TOLD_BYTES: usize = 1_300;
/// Ranges of a partial file taken from one head.
const RANGES_READ_MAX: usize = 1_000;
/// Of those that ask for an offered file, what is not yet taken in by who fetches it.
const HEARD_MAX: usize = 32;
/// Ranges kept of one file; twice what the largest tree of ours can leave. A range that would be one more is passed
/// over until its neighbours are there.
const RANGES_MAX: usize = 2_048;

/// An unfinished file.
#[derive(Debug)]
pub struct Partial {
    /// SHA-1 of the complete file, and its Tiger root if known.
    pub content: Content,
    /// Bytes of the complete file.
    pub size: u64,
    /// Base name, for people.
    pub name: String,
    /// The bytes, each at its place in the complete file. Opened for reading, or a second handle of the writer's.
    pub file: File,
    /// The tree, if it is known already.
    pub tree: Option<HashTree>,
}

/// The unfinished files of one node. Clones are the same.
#[derive(Clone, Default)]
pub struct Partials(Arc<Mutex<BTreeMap<Sha1, Arc<Shelved>>>>);

impl fmt::Debug for Partials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.locked().keys()).finish()
    }
}

/// Somebody who fetches the same file asked us for it, and said what it has.
#[derive(Debug)]
pub(super) struct Heard {
    /// Where it listens: its own address.
    pub(super) from: Open,
    /// What it has.
    pub(super) has: Ranges,
}

#[derive(Debug)]
pub(super) struct Shelved {
    pub(super) content: Content,
    pub(super) size: u64,
    pub(super) name: String,
    file: File,
    heard: rt::Sender<Heard>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tree: Option<HashTree>,
    /// First byte -> byte after the last one; neither touching nor overlapping.
    verified: BTreeMap<u64, u64>,
}

impl Partials {
    /// Offers a file of which nothing is verified yet. `None`: it is offered already, or [`PARTIALS_MAX`] others are;
    /// go on without.
    pub fn offer(&self, partial: Partial) -> Option<Offer> {
        let Partial {
            content,
            size,
            name,
            file,
            tree,
        } = partial;
        let mut all = self.locked();
        if all.len() >= PARTIALS_MAX || all.contains_key(&content.sha1) {
            return None;
        }
        let (tell, heard) = rt::bounded(HEARD_MAX);
        let shelved = Arc::new(Shelved {
            heard: tell,
            content,
            size,
            name,
            file,
            state: Mutex::new(State {
                tree,
                ..State::default()
            }),
        });
        all.insert(content.sha1, shelved.clone());
        Some(Offer {
            partials: self.clone(),
            shelved,
            heard,
        })
    }

    pub(super) fn find(&self, sha1: &Sha1) -> Option<Arc<Shelved>> {
        self.locked().get(sha1).cloned()
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<Sha1, Arc<Shelved>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An offered file. Dropping it ends the offer; answers under way go on to their end.
#[derive(Debug)]
pub struct Offer {
    partials: Partials,
    shelved: Arc<Shelved>,
    /// Those that ask for it and have some of it themselves.
    pub(super) heard: rt::Receiver<Heard>,
}

impl Offer {
    /// These bytes are verified and written, and stay as they are from now on. What lies beyond the file is passed
    /// over.
    pub fn verified(&self, bytes: Range<u64>) {
        let end = bytes.end.min(self.shelved.size);
        if bytes.start < end {
            add(&mut self.shelved.state().verified, bytes.start, end);
        }
    }

    /// The hash of the complete file.
    pub fn sha1(&self) -> Sha1 {
        self.shelved.content.sha1
    }

    /// `X-Available-Ranges`, `None` while nothing is there.
    pub(super) fn available(&self) -> Option<String> {
        available(&self.shelved.ranges())
    }

    /// The tree became known.
    pub fn tree(&self, tree: HashTree) {
        self.shelved.state().tree = Some(tree);
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        self.partials.locked().remove(&self.shelved.content.sha1);
    }
}

impl Shelved {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tree(&self) -> Option<HashTree> {
        self.state().tree.clone()
    }

    /// The verified range that holds this byte.
    pub(super) fn range_at(&self, offset: u64) -> Option<Range<u64>> {
        let state = self.state();
        let (&start, &end) = state.verified.range(..=offset).next_back()?;
        (offset < end).then_some(start..end)
    }

    /// Verified ranges, in order; the largest, as many as fit [`RANGES_TOLD_BYTES`].
    pub(super) fn ranges(&self) -> Vec<Range<u64>> {
        let state = self.state();
        let mut ranges: Vec<_> = state.verified.iter().map(|(&a, &b)| a..b).collect();
        drop(state);
        // Two numbers, a dash, a comma and a space.
        let digits = self.size.checked_ilog10().map_or(1, |log| log as usize + 1);
        let most = RANGES_TOLD_BYTES / (2 * digits + 3);
        if ranges.len() > most {
            ranges.sort_by_key(|range| std::cmp::Reverse(range.end - range.start));
            ranges.truncate(most);
            ranges.sort_by_key(|range| range.start);
        }
        ranges
    }

    /// Somebody at `from` has some of it too. Whoever fetches it hears of that, unless it is behind.
    pub(super) fn hear(&self, from: Open, has: Ranges) {
        // Full, or nobody fetches it any more.
        let _ = self.heard.try_send(Heard { from, has });
    }

    pub(super) fn bytes(&self) -> u64 {
        let state = self.state();
        state.verified.iter().map(|(start, end)| end - start).sum()
    }

    pub(super) fn open(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

/// Ranges as `X-Available-Ranges` has them; `None`: none.
pub(super) fn available(ranges: &[Range<u64>]) -> Option<String> {
    let list: Vec<_> = ranges
        .iter()
        .map(|range| format!("{}-{}", range.start, range.end - 1))
        .collect();
    (!list.is_empty()).then(|| format!("bytes {}", list.join(", ")))
}

/// What a head says in `X-Available-Ranges`: `bytes a-b,c-d`, both ends included. A partial source that has nothing says
/// so with an empty list.
pub(super) fn available_of(head: &Head) -> Option<Ranges> {
    let text = head.get("X-Available-Ranges")?;
    let text = text.trim();
    let unit = text
        .get(..5)
        .filter(|unit| unit.eq_ignore_ascii_case("bytes"))?;
    let ranges = text[unit.len()..].trim_start_matches([' ', '=']).split(',');
    let range = |text: &str| -> Option<Range<u64>> {
        let (first, last) = text.split_once('-')?;
        let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first <= last).then(|| first..last.saturating_add(1))
    };
    Some(ranges.filter_map(range).take(RANGES_READ_MAX).collect())
}

/// Adds a range that is not empty, joined with those it touches.
fn add(ranges: &mut BTreeMap<u64, u64>, mut start: u64, mut end: u64) {
    if let Some((&before, &until)) = ranges.range(..=start).next_back()
        && until >= start
    {
        (start, end) = (before, end.max(until));
    }
    while let Some((&next, &until)) = ranges.range(start..=end).next() {
        ranges.remove(&next);
        end = end.max(until);
    }
    if ranges.len() < RANGES_MAX {
        ranges.insert(start, end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn partial(n: u8) -> Partial {
        Partial {
            content: Sha1([n; 20]).into(),
            size: 100,
            name: "a".into(),
            file: tempfile::tempfile().unwrap(),
            tree: None,
        }
    }

    #[test]
    fn an_offer_ends_when_it_is_dropped_and_they_are_bounded() {
        let partials = Partials::default();
        let offer = partials.offer(partial(1)).unwrap();
        assert!(partials.offer(partial(1)).is_none(), "the same again");
        let others: Vec<_> = (2..=255)
            .map_while(|n| partials.offer(partial(n)))
            .collect();
        assert_eq!(others.len() + 1, PARTIALS_MAX);
        drop(offer);
        assert!(partials.find(&Sha1([1; 20])).is_none());
        let offer = partials.offer(partial(1)).unwrap();
        let shelved = partials.find(&Sha1([1; 20])).unwrap();
        offer.verified(90..200);
        offer.verified(7..7);
        assert_eq!(shelved.ranges().first(), Some(&(90..100)));
        assert_eq!(shelved.bytes(), 10);
        assert_eq!((shelved.range_at(89), shelved.range_at(100)), (None, None));
        assert_eq!(shelved.range_at(95), Some(90..100));
    }

    #[test]
    fn the_largest_ranges_are_told_and_the_others_kept() {
        let partials = Partials::default();
        let size = 10_000_000;
        let offer = partials.offer(Partial { size, ..partial(1) }).unwrap();
        for n in 0..2 * RANGES_MAX as u64 {
            offer.verified(n * 100..n * 100 + 1 + n % 50);
        }
        let told = offer.shelved.ranges();
        let list = available(&told).unwrap();
        assert!(
            (RANGES_TOLD_BYTES / 2..RANGES_TOLD_BYTES).contains(&list.len()),
            "{list}"
        );
        assert!(told.iter().all(|range| range.end - range.start > 48));
        assert!(told.is_sorted_by_key(|range| range.start));
        assert_eq!(offer.shelved.state().verified.len(), RANGES_MAX);
        offer.verified(0..size);
        assert_eq!(offer.shelved.range_at(7), Some(0..size));
    }

    proptest! {
        #[test]
        fn ranges_hold_exactly_what_was_verified(added in prop::collection::vec((0u64..60, 0u64..20), 0..30)) {
            let partials = Partials::default();
            let offer = partials.offer(partial(1)).unwrap();
            let mut naive = [false; 100];
            for (start, len) in added {
                offer.verified(start..start + len);
                naive[usize::try_from(start).unwrap()..usize::try_from(start + len).unwrap()].fill(true);
            }
            for (at, has) in (0u64..).zip(naive) {
                prop_assert_eq!(offer.shelved.range_at(at).is_some(), has, "{}", at);
            }
            let ranges = offer.shelved.ranges();
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }
}
