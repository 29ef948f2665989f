//! Which ranges are asked for where others fetch the same file and all serve each other.
//!
//! What counts is that whoever has all gives each byte once, and that everybody has something for everybody else. So it
//! is asked for what nobody else is known to have. The file is cut evenly among those known to fetch it, in an order that
//! follows from their addresses, so that they agree on it without a word: each brings its own stretch. Whoever is done
//! helps the others, of whom each piece has one helper, which all can compute too (the highest hash of piece and address:
//! Thaler, Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998). What others have is theirs to give,
//! unless they are slower.

use std::ops::Range;
use std::time::Duration;

use super::assign::RANGE_FIRST;
use super::sources::{Source, SourceId};
use super::{GRAIN, Ranges, Swarm};
use crate::node::Time;

/// A range is what a source gives in this time: each request tells and hears of who has what.
const RANGE_TIME_S: u64 = 1;
/// A partial source that may be asked within this is waited for, and one that sent something within it.
const SOON: Duration = Duration::from_secs(2);
/// Pieces of a file that have a helper each, if blocks are no longer: some for each of those that fetch it. Our estimate.
const PIECES: u64 = 128;
/// What others bring is looked at over this at least, and over as long as a block takes. Our estimate.
const LOOKED_AT: Duration = Duration::from_millis(500);

/// How ranges are taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread {
    /// Another for each of those that fetch.
    pub(super) seed: u64,
    /// Our place among them.
    pub(super) own: Option<u64>,
    /// Whether the others bring as much of what nobody has as we would.
    pub(super) pace: Pace,
}

/// How fast the others bring what nobody is known to have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Since when it is looked at, and how much was rare then, but for what we asked for since.
    since: Time,
    rare: u64,
    /// What the last look showed. Before the first they are waited for.
    fast: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            since: Time::ZERO,
            rare: 0,
            fast: true,
        }
    }
}

impl Pace {
    /// We ask for so much of it ourselves.
    pub(super) fn asked(&mut self, bytes: u64) {
        self.rare = self.rare.saturating_sub(bytes);
    }

    /// So much is left now; we would bring so many bytes a second. At least over this span is looked.
    fn look(&mut self, now: Time, rare: u64, ours: u64, span: Duration) {
        let ms = now.since(self.since).as_millis();
        if ms < span.as_millis() {
            return;
        }
        let theirs = u128::from(self.rare.saturating_sub(rare)) * 1_000;
        *self = Self {
            since: now,
            rare,
            fast: theirs >= u128::from(ours) * ms,
        };
    }
}

impl Swarm {
    /// A piece of the file that is not `taken` and that this source may have, and the most bytes of it to ask for.
    pub(super) fn shared_gap(
        &mut self,
        spread: Spread,
        source: SourceId,
        taken: &Ranges,
        size: u64,
        now: Time,
    ) -> Option<(Range<u64>, u64)> {
        let state = &self.sources[source.0];
        let own_speed = state.served;
        let by_speed = own_speed.map_or(RANGE_FIRST, |speed| speed.saturating_mul(RANGE_TIME_S));
        // A limit is felt after a while only: what comes at first may come at once.
        let by_speed = by_speed.min(state.asked_for.saturating_mul(2));
        let at = self.somewhere(spread, size);
        if state.is_partial() {
            let mut gaps = taken.gaps(at..size).chain(taken.gaps(0..at));
            return Some((gaps.find_map(|gap| state.may_have(&gap))?, by_speed));
        }
        let from_there = |taken: &Ranges| taken.gaps(at..size).chain(taken.gaps(0..at)).next();
        let mut had = taken.clone();
        for other in self.others() {
            had.union(other.shown.as_ref()?);
        }
        let rare = size - had.total().min(size);
        if rare > 0 {
            let stretch = self.stretch(spread, size);
            let gap = had.gaps(stretch.clone()).next();
            let gap = gap.or_else(|| self.helped(spread, &had, &stretch, size));
            let fast = self.others_are_fast(rare, now);
            let waits = gap.is_none() && !stretch.is_empty() && fast;
            return Some((
                gap.or_else(|| from_there(&had)).filter(|_| !waits)?,
                by_speed,
            ));
        }
        // What those have that are faster is left to them, if they can be asked soon.
        let mut left = taken.clone();
        for other in self.others() {
            let soon = if other.is_running() {
                other.speed.silent(now) <= SOON
            } else {
                other.not_before <= now.plus(SOON)
            };
            if soon && other.served > own_speed {
                left.union(other.shown.as_ref()?);
            }
        }
        Some((from_there(&left)?, by_speed))
    }

    /// Those that fetch the file too.
    fn others(&self) -> impl Iterator<Item = &Source> {
        let all = self.sources.iter();
        all.filter(|other| other.is_there() && other.is_partial())
    }

    /// Do the others bring as much of what is rare as we would?
    fn others_are_fast(&mut self, rare: u64, now: Time) -> bool {
        let all = self.sources.iter();
        let whole = all.filter(|source| source.is_there() && !source.is_partial());
        let ours: u64 = whole.filter_map(|source| source.served).sum();
        let block_ms = self.block.unwrap_or(GRAIN).saturating_mul(1_000) / ours.max(1);
        let Some(spread) = self.spread.as_mut().filter(|_| ours > 0) else {
            return false;
        };
        let span = LOOKED_AT + Duration::from_millis(block_ms);
        spread.pace.look(now, rare, ours, span);
        spread.pace.fast
    }

    /// Bytes of a piece that has one helper.
    fn piece(&self, size: u64) -> u64 {
        let grain = self.block.unwrap_or(GRAIN);
        size.div_ceil(PIECES).div_ceil(grain).max(1) * grain
    }

    /// The last piece outside of our own stretch whose helper we are, as far as nobody has it. Whose stretch it is in
    /// begins at the other end.
    fn helped(
        &self,
        spread: Spread,
        had: &Ranges,
        stretch: &Range<u64>,
        size: u64,
    ) -> Option<Range<u64>> {
        let own = spread.own?;
        let mut places: Vec<_> = self.others().map(|other| other.place).collect();
        places.push(own);
        places.sort_unstable();
        let piece = self.piece(size);
        (0..size.div_ceil(piece)).rev().find_map(|number| {
            let bytes = number * piece..((number + 1) * piece).min(size);
            if bytes.start < stretch.end && stretch.start < bytes.end {
                return None;
            }
            let gap = had.gaps(bytes).next()?;
            let brings = u64::try_from(
                u128::from(gap.start) * places.len() as u128 / u128::from(size.max(1)),
            );
            let brings = places.get(usize::try_from(brings.ok()?).ok()?);
            let others = places.iter().filter(|place| Some(*place) != brings);
            let helper =
                others.max_by_key(|place| mixed(**place ^ number.wrapping_mul(MULTIPLIER)))?;
            (*helper == own).then_some(gap)
        })
    }

    /// Each time another place of the file.
    fn somewhere(&self, spread: Spread, size: u64) -> u64 {
        let number = spread.seed.wrapping_add(self.next_request);
        let number = mixed(number) >> 32;
        let at = u64::try_from((u128::from(number) * u128::from(size)) >> 32).unwrap_or(0);
        at / GRAIN * GRAIN
    }

    /// The part of the file that we are to bring to those that fetch it. Empty while we know of nobody: there may be
    /// some, who would all begin with the same.
    fn stretch(&self, spread: Spread, size: u64) -> Range<u64> {
        let Some(own) = spread.own else { return 0..0 };
        let (mut before, mut count) = (0, 1);
        for other in self.others() {
            before += u64::from(other.place < own);
            count += 1;
        }
        if count == 1 {
            return 0..0;
        }
        let grain = self.block.unwrap_or(GRAIN);
        let cut = |share: u64| {
            let at = u128::from(size) * u128::from(share) / u128::from(count);
            u64::try_from(at).expect("not above the size") / grain * grain
        };
        let end = if before + 1 == count {
            size
        } else {
            cut(before + 1)
        };
        cut(before)..end
    }
}

/// The multiplier of `PCG`.
const MULTIPLIER: u64 = 6_364_136_223_846_793_005;

/// A number that shows nothing of the one it comes from.
fn mixed(number: u64) -> u64 {
    number
        .wrapping_mul(MULTIPLIER)
        .rotate_left(31)
        .wrapping_mul(MULTIPLIER)
}
