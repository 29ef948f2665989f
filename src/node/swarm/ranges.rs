//! Sets of bytes of one file, as few ranges.

use std::ops::Range;

/// A set of byte offsets: sorted ranges that neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<Range<u64>>);

impl Ranges {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a range.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        // Those that touch it count as overlapping: they melt into one.
        let from = self.0.partition_point(|old| old.end < range.start);
        let to = self.0.partition_point(|old| old.start <= range.end);
        let start = self.0[from..to]
            .first()
            .map_or(range.start, |old| old.start.min(range.start));
        let end = self.0[from..to]
            .last()
            .map_or(range.end, |old| old.end.max(range.end));
        self.0.splice(from..to, std::iter::once(start..end));
    }

    /// Takes a range out.
    pub fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let from = self.0.partition_point(|old| old.end <= range.start);
        let to = self.0.partition_point(|old| old.start < range.end);
        let (Some(first), Some(last)) = (self.0[from..to].first(), self.0[from..to].last()) else {
            return;
        };
        let left = first.start..range.start;
        let right = range.end..last.end;
        let rest = [left, right].into_iter().filter(|rest| !rest.is_empty());
        self.0.splice(from..to, rest.collect::<Vec<_>>());
    }

    /// Is all of `range` in it?
    pub fn holds(&self, range: &Range<u64>) -> bool {
        range.is_empty()
            || self
                .piece_of(range.start)
                .is_some_and(|piece| piece.end >= range.end)
    }

    /// The piece that a byte lies in.
    pub fn piece_of(&self, byte: u64) -> Option<&Range<u64>> {
        let at = self.0.partition_point(|piece| piece.end <= byte);
        self.0.get(at).filter(|piece| piece.start <= byte)
    }

    /// What of `within` is not in it, in order.
    pub fn gaps(&self, within: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let from = self.0.partition_point(|piece| piece.end <= within.start);
        let mut at = within.start;
        let mut pieces = self.0[from..].iter();
        std::iter::from_fn(move || {
            while at < within.end {
                let start = at;
                let Some(piece) = pieces.next() else {
                    at = within.end;
                    return Some(start..within.end);
                };
                at = piece.end;
                let gap = start..piece.start.min(within.end);
                if !gap.is_empty() {
                    return Some(gap);
                }
            }
            None
        })
    }

    /// What of `within` is in it, in order.
    pub fn within(&self, within: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let from = self.0.partition_point(|piece| piece.end <= within.start);
        self.0[from..]
            .iter()
            .map(move |piece| piece.start.max(within.start)..piece.end.min(within.end))
            .take_while(|piece| !piece.is_empty())
    }

    /// All of both.
    pub fn union(&mut self, other: &Self) {
        for piece in &other.0 {
            self.insert(piece.clone());
        }
    }

    /// Bytes from the start on without a gap.
    pub fn prefix(&self) -> u64 {
        self.piece_of(0).map_or(0, |piece| piece.end)
    }

    /// Bytes in it.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|piece| piece.end - piece.start).sum()
    }

    /// The byte after the last one; 0 when empty.
    pub fn end(&self) -> u64 {
        self.0.last().map_or(0, |piece| piece.end)
    }

    /// Pieces, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Range<u64>> {
        self.0.iter()
    }

    /// Number of pieces.
    pub fn pieces(&self) -> usize {
        self.0.len()
    }

    /// Nothing in it?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Range<u64>> for Ranges {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut set = Self::new();
        for range in ranges {
            set.insert(range);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touching_ranges_melt_and_removed_ones_leave_their_ends() {
        let mut set: Ranges = [10..20, 30..40, 20..25].into_iter().collect();
        assert_eq!(set.iter().cloned().collect::<Vec<_>>(), [10..25, 30..40]);
        set.remove(12..35);
        assert_eq!(set.iter().cloned().collect::<Vec<_>>(), [10..12, 35..40]);
        assert_eq!(set.gaps(0..50).collect::<Vec<_>>(), [0..10, 12..35, 40..50]);
        assert_eq!(set.within(11..36).collect::<Vec<_>>(), [11..12, 35..36]);
        assert_eq!((set.prefix(), set.total(), set.end()), (0, 7, 40));
        set.insert(0..100);
        assert_eq!((set.prefix(), set.pieces()), (100, 1));
    }
}
