//! Who is asked for which bytes next.

use std::ops::Range;
use std::time::Duration;

use super::sources::{Phase, SourceId, WaitsFor, Why};
use super::{Ask, GRAIN, PER_HOST, RequestId, Run, Step, Swarm};
use crate::node::Time;

/// The first range of a source: as much as gtk-gnutella gives to a first request.
pub(super) const RANGE_FIRST: u64 = 512 * 1024;
/// Least of a range (content 4.3).
const RANGE_MIN: u64 = 128 * 1024;
/// Most of a range: what is lost of a fast connection when it must be robbed and closed. Our estimate.
const RANGE_MAX: u64 = 32 * 1024 * 1024;
/// A range is what a source gives in this time: few requests, and a change of its speed is soon felt.
const RANGE_TIME_S: u64 = 4;
/// Speed expected of a source that was never asked, in bytes a second. Our estimate.
const SPEED_UNKNOWN: u64 = 256 * 1024;
/// Less than this is not worth a request, unless it would take long.
const ROB_MIN: u64 = 64 * 1024;
/// Whoever is done sooner than this is not robbed: a request takes as long.
const ROB_TIME_MIN: Duration = Duration::from_millis(100);
/// Whoever takes longer than this may be robbed of anything.
const ROB_TIME_LONG: Duration = Duration::from_secs(2);
/// Silence after which a request counts for nothing, while others wait for a turn.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Silence after which a first answer is not waited for alone.
const FIRST_SILENCE: Duration = Duration::from_secs(1);
/// How often it is looked whether somebody can be robbed.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// A partial source with nothing of use is asked again after this, and each time in a row after twice as long: it
/// fetches too, and has more each moment at first.
const REFRESH_FIRST: Duration = Duration::from_secs(1);
/// The longest of these waits.
const REFRESH_LONGEST: Duration = Duration::from_secs(30);

/// The wait after a partial source had nothing of use so many times in a row.
pub(super) fn refresh_wait(times: u32) -> Duration {
    let doubled = REFRESH_FIRST * 2u32.saturating_pow(times.saturating_sub(1).min(8));
    doubled.min(REFRESH_LONGEST)
}

impl Swarm {
    /// What to do now.
    pub fn next(&mut self, now: Time) -> Step {
        if self.is_complete() {
            let done = self.to_check.is_empty() && self.checking.is_empty();
            return if done {
                Step::Complete
            } else {
                Step::Wait(None)
            };
        }
        if let Some(solo) = self.solo {
            let state = &self.sources[solo.0];
            let waits = !state.is_running() && state.not_before > now;
            if waits || !state.is_there() {
                if let Some(forget) = self.begin_solo() {
                    self.forget(&forget);
                    return Step::Forget(forget);
                }
                // Each had its turn: then whoever is there.
                self.solo = None;
            }
        }
        self.give_away_silent(now);
        let mut ready: Vec<_> = (0..self.sources.len())
            .map(SourceId)
            .filter(|source| self.may_be_asked(*source, now))
            .collect();
        let best = self.best_speed();
        ready.sort_by_key(|source| {
            let state = &self.sources[source.0];
            let speed = state.speed.known();
            // Those that are known to be slow come last, those that are not known before them. Where others fetch the
            // same, whoever has all is the one place of what nobody else has yet, however slow.
            let class = match speed {
                _ if self.spread.is_some() && !state.is_partial() => 0,
                Some(speed) if speed.saturating_mul(4) >= best => 0,
                None => 1,
                Some(_) => 2,
            };
            let pays = std::cmp::Reverse(speed.unwrap_or(0));
            (
                !state.is_queued(),
                state.tries + state.busy,
                class,
                pays,
                source.0,
            )
        });
        let mut idle = false;
        for source in ready {
            let full = self.working() >= self.connections;
            // A place in a queue is lost unless it is asked for in time.
            if full && !self.sources[source.0].is_queued() {
                idle = true;
                continue;
            }
            if let Some(ask) = self.pick(source, now) {
                return Step::Ask(ask);
            }
            idle |= self.sources[source.0].is_ready(now);
        }
        self.wait(now, idle)
    }

    /// When to look again, or whether to give up.
    fn wait(&mut self, now: Time, idle: bool) -> Step {
        let later = self.sources.iter().enumerate();
        let later = later
            .filter(|(at, state)| {
                let mine = self.solo.is_none_or(|solo| solo.0 == *at);
                mine && state.is_there() && !state.is_running() && state.not_before > now
            })
            .map(|(_, state)| state.not_before)
            .min();
        let waits = !self.runs.is_empty() || !self.checking.is_empty() || !self.to_check.is_empty();
        if waits {
            let soon = (idle && !self.runs.is_empty()).then(|| now.plus(LOOK_AGAIN));
            return Step::Wait(soon.into_iter().chain(later).min());
        }
        if let Some(later) = later {
            // Whoever is left to others now may be asked soon, if they bring nothing.
            let soon = (idle && self.spread.is_some()).then(|| now.plus(LOOK_AGAIN));
            return Step::Wait(soon.into_iter().chain([later]).min());
        }
        if idle {
            // Nobody may have what is missing at this moment.
            return Step::Wait(Some(now.plus(LOOK_AGAIN)));
        }
        let others = self.sources.iter().any(|state| state.lost.is_none());
        if others && !self.arrived.is_empty() {
            // All that is left says that the file has another size: what came of those that are lost is of no use.
            let forget = self.arrived.clone();
            self.forget(&forget);
            return Step::Forget(forget);
        }
        if self.adopt_other_size() {
            return self.next(now);
        }
        let worst = self.sources.iter().filter_map(|state| state.lost).max();
        Step::GiveUp(worst.unwrap_or(Why::Gone))
    }

    fn is_complete(&self) -> bool {
        self.size.is_some_and(|size| self.arrived.holds(&(0..size)))
    }

    fn may_be_asked(&self, source: SourceId, now: Time) -> bool {
        let state = &self.sources[source.0];
        let same_host = || {
            let runs = self.runs.iter();
            runs.filter(|run| self.sources[run.source.0].host == state.host)
                .count()
        };
        state.is_ready(now) && self.solo.is_none_or(|solo| solo == source) && same_host() < PER_HOST
    }

    /// Requests that count: those that were robbed of all race outside of the limit.
    fn working(&self) -> usize {
        self.runs.iter().filter(|run| !run.is_robbed()).count()
    }

    fn best_speed(&self) -> u64 {
        let speeds = self.sources.iter().filter(|state| state.is_there());
        speeds
            .filter_map(|state| state.speed.known())
            .max()
            .unwrap_or(0)
    }

    /// Whoever is silent for long, while somebody waits for a turn, races from now on.
    fn give_away_silent(&mut self, now: Time) {
        let waits = (0..self.sources.len())
            .map(SourceId)
            .any(|source| self.may_be_asked(source, now));
        if !waits {
            return;
        }
        for run in &mut self.runs {
            if self.sources[run.source.0].speed.silent(now) >= SILENCE_MAX {
                run.claim = run.claim.min(run.at);
            }
        }
    }

    /// A range for this source, if there is one.
    fn pick(&mut self, source: SourceId, now: Time) -> Option<Ask> {
        let Some(size) = self.size else {
            return self.probe(source, now);
        };
        let range = self
            .missing_for(source, size, now)
            .or_else(|| self.rob(source, now));
        if range.is_none() && !self.has_more(source) {
            let state = &mut self.sources[source.0];
            state.available = None;
            state.busy += 1;
            state.not_before = now.plus(refresh_wait(state.busy));
            state.waits_for = WaitsFor::More;
        }
        Some(self.begin(source, range?, now))
    }

    /// While the size is not known one source after the other is asked for the same, until one answers.
    fn probe(&mut self, source: SourceId, now: Time) -> Option<Ask> {
        let silent = |run: &Run| {
            self.sources[run.source.0].phase == Phase::Asked
                && self
                    .probed
                    .is_none_or(|probed| now.since(probed) >= FIRST_SILENCE)
        };
        if !self.runs.iter().all(silent) {
            return None;
        }
        let start = self.arrived.prefix();
        self.probed = Some(now);
        // Those that begin at the same time all ask for this.
        let first = self.spread.map_or(RANGE_FIRST, |_| RANGE_MIN);
        Some(self.begin(source, start..start.saturating_add(first), now))
    }

    fn begin(&mut self, source: SourceId, range: Range<u64>, now: Time) -> Ask {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        self.runs.push(Run {
            request,
            source,
            from: range.start,
            at: range.start,
            end: range.end,
            claim: range.end,
            fresh: 0,
        });
        let state = &mut self.sources[source.0];
        state.phase = Phase::Asked;
        (state.asked_for, state.asked_at) = (range.end - range.start, now);
        state.speed.begin(now);
        Ask {
            request,
            source,
            range,
        }
    }

    /// A range that is neither there nor claimed, and that this source may have.
    fn missing_for(&mut self, source: SourceId, size: u64, now: Time) -> Option<Range<u64>> {
        let mut taken = self.arrived.clone();
        for run in &self.runs {
            taken.insert(run.claimed());
        }
        let state = &self.sources[source.0];
        let partial = state.is_partial();
        let shares = !state.whole_only && self.solo.is_none();
        if let Some(spread) = self.spread.filter(|_| shares) {
            let (gap, most) = self.shared_gap(spread, source, &taken, size, now)?;
            let sharers = self.working() as u64 + 1;
            let most = most.min((size - taken.total().min(size)) / sharers);
            let range = gap.start..self.cut(&gap, most.clamp(RANGE_MIN, RANGE_MAX));
            if let Some(spread) = self.spread.as_mut().filter(|_| !partial) {
                spread.pace.asked(range.end - range.start);
            }
            return Some(range);
        }
        let gap = taken.gaps(0..size).find_map(|gap| state.may_have(&gap))?;
        if state.whole_only {
            return Some(gap);
        }
        let missing = size - taken.total().min(size);
        let sharers = self.working() as u64 + 1;
        let by_speed = state
            .speed
            .known()
            .map_or(RANGE_FIRST, |speed| speed.saturating_mul(RANGE_TIME_S));
        let most = by_speed.min(missing / sharers).clamp(RANGE_MIN, RANGE_MAX);
        Some(gap.start..self.cut(&gap, most))
    }

    /// Where a range of about `most` bytes from the start of `gap` should end.
    fn cut(&self, gap: &Range<u64>, most: u64) -> u64 {
        let end = gap.start.saturating_add(most);
        if end >= gap.end {
            return gap.end;
        }
        let grain = self.block.unwrap_or(GRAIN);
        let down = end / grain * grain;
        let whole_block = self.whole_blocks.contains_key(&(gap.start / grain));
        if down > gap.start {
            down
        } else if whole_block || end.saturating_add(GRAIN) > down.saturating_add(grain) {
            (down + grain).min(gap.end)
        } else {
            (end / GRAIN * GRAIN).max(gap.start + 1)
        }
    }

    /// Takes from whoever will be busy longest what this source would bring sooner.
    fn rob(&mut self, robber: SourceId, now: Time) -> Option<Range<u64>> {
        let thief = &self.sources[robber.0];
        let fast = thief.speed.known().unwrap_or_else(|| {
            let known = self.best_speed();
            if known == 0 { SPEED_UNKNOWN } else { known }
        });
        let (at, left) = (0..self.runs.len())
            .filter(|at| {
                let run = &self.runs[*at];
                run.source != robber && !run.is_robbed() && !thief.whole_only
            })
            .map(|at| (at, self.time_left(&self.runs[at], now)))
            .max_by_key(|(_, left)| *left)?;
        let run = &self.runs[at];
        let slow = self.expected(run, now);
        let rest = run.claimed();
        let bytes = rest.end - rest.start;
        if left < ROB_TIME_MIN {
            return None;
        }
        let keeps =
            u128::from(bytes) * u128::from(slow) / (u128::from(slow) + u128::from(fast)).max(1);
        let keeps = u64::try_from(keeps).unwrap_or(bytes);
        let grain = self.block.unwrap_or(GRAIN);
        let mut split = (rest.start + keeps).div_ceil(grain).saturating_mul(grain);
        let whole_block = self.whole_blocks.contains_key(&(rest.start / grain));
        if slow.saturating_mul(16) <= fast {
            // Next to nothing is to be hoped for.
            split = rest.start;
        } else if split >= rest.end && left >= ROB_TIME_LONG && slow.saturating_mul(2) <= fast {
            split = rest.start;
        }
        if split >= rest.end || (whole_block && split > rest.start) {
            return None;
        }
        if rest.end - split < ROB_MIN && left < ROB_TIME_LONG {
            return None;
        }
        let stolen = thief.may_have(&(split..rest.end))?;
        // Only a piece up to the end can be taken without leaving a hole in the claim.
        if stolen.end < rest.end && stolen.start > split {
            return None;
        }
        self.runs[at].claim = stolen.start;
        Some(stolen)
    }

    /// Bytes a second to be expected of a request that runs.
    fn expected(&self, run: &Run, now: Time) -> u64 {
        let state = &self.sources[run.source.0];
        match state.speed.expected(now) {
            Some(speed) => speed,
            None if state.speed.silent(now) < FIRST_SILENCE => SPEED_UNKNOWN,
            None => 0,
        }
    }

    fn time_left(&self, run: &Run, now: Time) -> Duration {
        let bytes = run.claim.saturating_sub(run.at);
        let speed = self.expected(run, now);
        if speed == 0 {
            return Duration::MAX;
        }
        Duration::from_millis(
            u64::try_from(u128::from(bytes) * 1000 / u128::from(speed)).unwrap_or(u64::MAX),
        )
    }
}
