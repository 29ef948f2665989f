//! What becomes of those whose bytes were wrong: block by block where a tree says so, else by the whole.

use std::ops::Range;

use super::sources::{SourceId, Why};
use super::{Ranges, RequestId, Swarm};

/// Times the whole may have the wrong hash before the download fails. Each time costs at least one liar, or shows that
/// nobody can be found out; with more liars than this among the sources, the honest ones are not worth the search.
pub const WHOLE_TRIES_MAX: u32 = 16;
/// Times a block of several givers may be wrong before all of them are dropped.
const MIXED_MAX: u32 = 3;

/// A block that was not what the tree says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bad {
    /// Who is dropped for it.
    pub liars: Vec<SourceId>,
    /// Requests to them, to be ended.
    pub drop: Vec<RequestId>,
}

/// What follows from the hash of the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is what was wanted.
    Good,
    /// Forget these bytes and go on.
    Again {
        /// No longer there.
        forget: Ranges,
        /// Who is dropped.
        liars: Vec<SourceId>,
    },
    /// Nobody is left to try with.
    Failed,
}

impl Swarm {
    /// A tree says what each block of so many bytes should be: those that are there are to be checked, but for
    /// those verified earlier.
    pub fn set_blocks(&mut self, block: u64) {
        self.block = Some(block.max(1));
        let there: Vec<_> = self.arrived.iter().cloned().collect();
        for range in there {
            self.note_blocks(&range);
        }
    }

    /// Bytes of a block, when a tree is known.
    pub fn block(&self) -> Option<u64> {
        self.block
    }

    /// Blocks of `range` that are all there now are to be checked.
    pub(super) fn note_blocks(&mut self, range: &Range<u64>) {
        let (Some(block), Some(size)) = (self.block, self.size) else {
            return;
        };
        for number in range.start / block..range.end.div_ceil(block) {
            let bytes = number * block..(number * block).saturating_add(block).min(size);
            let known = self.checking.contains(&number) || self.to_check.contains(&number);
            if !known && self.arrived.holds(&bytes) && !self.verified.holds(&bytes) {
                self.to_check.push_back(number);
            }
        }
    }

    /// The next block to be checked, its bytes.
    pub fn next_check(&mut self) -> Option<Range<u64>> {
        let (block, size) = (self.block?, self.size?);
        let number = self.to_check.pop_front()?;
        self.checking.insert(number);
        Some(number * block..(number * block).saturating_add(block).min(size))
    }

    /// A block was checked: `good`, or its bytes are no longer there.
    pub fn checked(&mut self, range: &Range<u64>, good: bool) -> Bad {
        let Some(block) = self.block else {
            return Bad::default();
        };
        let number = range.start / block;
        self.checking.remove(&number);
        if good {
            self.verified.insert(range.clone());
            self.whole_blocks.remove(&number);
            return Bad::default();
        }
        let givers = self.givers.of(range);
        self.arrived.remove(range.clone());
        self.givers.forget(range.clone());
        let times = self.whole_blocks.entry(number).or_default();
        *times += 1;
        let alone = givers.len() == 1;
        let mut liars = if givers.len() == 1 || *times >= MIXED_MAX {
            givers
        } else {
            Vec::new()
        };
        // Nobody is dropped twice.
        liars.retain(|liar| self.sources[liar.0].lost.is_none());
        for liar in &liars {
            self.sources[liar.0].lost = Some(Why::Wrong);
            self.convicted.insert(*liar, alone);
        }
        let runs = self.runs.iter();
        let drop = runs
            .filter(|run| liars.contains(&run.source))
            .map(|run| run.request)
            .collect();
        Bad { liars, drop }
    }

    /// A block could not be read to be checked: it counts as before, and the whole decides.
    pub fn unchecked(&mut self, range: &Range<u64>) {
        if let Some(block) = self.block {
            self.checking.remove(&(range.start / block));
        }
    }

    /// The tree is not believed any more. Nothing counts as verified, and whoever was dropped for its sake may be
    /// asked again; returns them.
    pub fn drop_tree(&mut self) -> Vec<SourceId> {
        self.block = None;
        self.verified = Ranges::new();
        self.to_check.clear();
        self.checking.clear();
        self.whole_blocks.clear();
        let acquitted: Vec<_> = std::mem::take(&mut self.convicted).into_keys().collect();
        for source in &acquitted {
            self.sources[source.0].lost = None;
        }
        acquitted
    }

    /// Who gave a whole block that was wrong, as far as that was found out. Of those who gave one together nobody
    /// knows which it was.
    pub fn liars(&self) -> impl Iterator<Item = SourceId> + '_ {
        let alone = self.convicted.iter().filter(|(_, alone)| **alone);
        alone.map(|(source, _)| *source)
    }

    /// The hash of the whole is known: is it the wanted one?
    pub fn whole(&mut self, good: bool) -> Verdict {
        if good {
            return Verdict::Good;
        }
        self.whole_tries += 1;
        if self.whole_tries > WHOLE_TRIES_MAX {
            return Verdict::Failed;
        }
        let all = 0..self.size.unwrap_or(0);
        // Verified by a tree and yet wrong: the tree was not that of the wanted file.
        self.verified = Ranges::new();
        let givers = self.givers.of(&all);
        let known: Ranges = givers
            .iter()
            .flat_map(|giver| self.givers.by(*giver))
            .collect();
        let mut liars = Vec::new();
        let mut forget = Ranges::new();
        if let ([liar], true) = (givers.as_slice(), known.holds(&all)) {
            liars.push(*liar);
            forget.insert(all);
        } else if let Some(others) = self.begin_solo() {
            forget = others;
        } else {
            liars.clone_from(&givers);
            forget.insert(all);
        }
        for liar in &liars {
            self.sources[liar.0].lost = Some(Why::Wrong);
            self.solo = None;
        }
        self.forget(&forget);
        if self.useful_sources() == 0 && !self.adopt_other_size() {
            return Verdict::Failed;
        }
        Verdict::Again { forget, liars }
    }

    /// These bytes are not there any more.
    pub(super) fn forget(&mut self, ranges: &Ranges) {
        for range in ranges.iter() {
            self.arrived.remove(range.clone());
            self.verified.remove(range.clone());
            self.givers.forget(range.clone());
        }
    }

    /// Picks a source that has all, the one that gave most: from now on only it is asked, and what others gave is to be
    /// forgotten, since what one source gave alone is right or makes it a liar. `None`: each had its turn.
    pub(super) fn begin_solo(&mut self) -> Option<Ranges> {
        let all = (0..self.sources.len()).map(SourceId);
        let solo = all
            .filter(|source| {
                let state = &self.sources[source.0];
                state.is_there() && state.available.is_none() && !state.soloed
            })
            .max_by_key(|source| (self.givers.bytes(*source), std::cmp::Reverse(source.0)))?;
        self.sources[solo.0].soloed = true;
        self.solo = Some(solo);
        let own: Ranges = self.givers.by(solo).collect();
        Some(own.gaps(0..self.size.unwrap_or(0)).collect())
    }

    /// Nobody is left who says what the others said of the size: those who say otherwise get their turn.
    pub(super) fn adopt_other_size(&mut self) -> bool {
        let mut left = self.sources.iter().filter(|state| state.lost.is_none());
        let Some(size) = left.find_map(|state| state.other_size) else {
            return false;
        };
        if self.arrived.end() > size {
            return false;
        }
        self.probed = None;
        for state in &mut self.sources {
            if state.other_size == Some(size) {
                state.other_size = None;
            }
        }
        self.size = Some(size);
        true
    }
}
