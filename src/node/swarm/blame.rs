//! Who gave which bytes, so that wrong ones can be laid at somebody's door.

use std::collections::BTreeMap;
use std::ops::Range;

use super::sources::SourceId;

/// Givers of the bytes that are there. What an earlier run left has no giver.
#[derive(Debug, Default)]
pub(super) struct Givers {
    /// Start of a range: its end, and who gave it. Ranges do not overlap.
    ranges: BTreeMap<u64, (u64, SourceId)>,
}

impl Givers {
    /// These bytes are from `source` now.
    pub(super) fn gave(&mut self, range: Range<u64>, source: SourceId) {
        self.forget(range.clone());
        // Grown in place while one source sends on: one entry for each range of each source.
        let before = self.ranges.range(..range.start).next_back();
        let start = match before {
            Some((start, (end, giver))) if *end == range.start && *giver == source => *start,
            _ => range.start,
        };
        self.ranges.insert(start, (range.end, source));
    }

    /// Nobody gave these bytes.
    pub(super) fn forget(&mut self, range: Range<u64>) {
        let touched: Vec<_> = self
            .ranges
            .range(..range.end)
            .rev()
            .take_while(|(_, (end, _))| *end > range.start)
            .map(|(start, (end, giver))| (*start, *end, *giver))
            .collect();
        for (start, end, giver) in touched {
            self.ranges.remove(&start);
            if start < range.start {
                self.ranges.insert(start, (range.start, giver));
            }
            if end > range.end {
                self.ranges.insert(range.end, (end, giver));
            }
        }
    }

    /// Who gave of this range, each once, by number.
    pub(super) fn of(&self, range: &Range<u64>) -> Vec<SourceId> {
        let mut givers: Vec<_> = self
            .ranges
            .range(..range.end)
            .rev()
            .take_while(|(_, (end, _))| *end > range.start)
            .map(|(_, (_, giver))| *giver)
            .collect();
        givers.sort_unstable();
        givers.dedup();
        givers
    }

    /// Bytes of one giver, in order.
    pub(super) fn by(&self, source: SourceId) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ranges
            .iter()
            .filter(move |(_, (_, giver))| *giver == source)
            .map(|(start, (end, _))| *start..*end)
    }

    /// How many bytes are from one giver.
    pub(super) fn bytes(&self, source: SourceId) -> u64 {
        self.by(source).map(|range| range.end - range.start).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_giver_of_a_byte_is_its_giver() {
        let (a, b) = (SourceId(0), SourceId(1));
        let mut givers = Givers::default();
        givers.gave(0..10, a);
        givers.gave(10..20, a);
        givers.gave(5..8, b);
        assert_eq!(givers.by(a).collect::<Vec<_>>(), [0..5, 8..20]);
        assert_eq!(givers.of(&(4..6)), [a, b]);
        assert_eq!(givers.of(&(8..30)), [a]);
        givers.forget(4..9);
        assert_eq!(givers.of(&(4..9)), []);
        assert_eq!((givers.bytes(a), givers.bytes(b)), (15, 0));
    }
}
