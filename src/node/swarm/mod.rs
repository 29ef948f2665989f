//! One download from many sources at once: who is asked for which bytes, whose bytes are kept, and when to give up.
//!
//! A shell calls [`Swarm::next`] until it says [`Step::Wait`], connects, reads, and says what came of it: an answer
//! began ([`Swarm::answered`]), bytes came ([`Swarm::received`]), the request is over ([`Swarm::ended`]). Knows no
//! names, no sockets, no files and no clock.
//!
//! - `ranges`: sets of bytes; `sources`, `speed`: what is known of one source;
//! - `assign`: who gets which range next, and who is robbed of one; `share`: which, where others fetch the same; `blame`, `judge`: whose bytes were wrong.
//!
//! A byte is *arrived* when a shell was told to keep it, *claimed* while a request that runs is to bring it, else
//! missing. A request may be robbed of its claim: then it races with the robber, and the first to deliver wins.

mod assign;
mod blame;
mod judge;
mod ranges;
mod share;
mod sources;
mod speed;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use super::Time;
use blame::Givers;
use share::Spread;
use sources::{Phase, Source, WaitsFor};

pub use judge::{Bad, Verdict, WHOLE_TRIES_MAX};
pub use ranges::Ranges;
pub use sources::{
    BUSY_TRIES_MAX, Ended, POLLS_MAX, SOURCES_MAX, SourceId, TRIES_MAX, TRIES_OF_KNOWN_MAX, Why,
};

/// Sources asked at a time when nobody says otherwise. `--sources` in PRODUCT.md 6.4.
pub const CONNECTIONS: usize = 6;
/// Most that anybody may ask for: each may hold some buffers.
pub const CONNECTIONS_MAX: usize = 32;
/// Connections to one host and port (content 4.3).
const PER_HOST: usize = 2;
/// Where ranges begin and end as long as no tree says otherwise.
const GRAIN: u64 = 64 * 1024;

/// One request; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

/// A request to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Its name.
    pub request: RequestId,
    /// Whom to ask.
    pub source: SourceId,
    /// For which bytes.
    pub range: Range<u64>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make this request, then ask for the next step again.
    Ask(Ask),
    /// Nothing until something comes or, if a time is named, until then.
    Wait(Option<Time>),
    /// These bytes are of no use: forget them, then ask for the next step again.
    Forget(Ranges),
    /// All bytes are there: check the whole, then say [`Swarm::whole`].
    Complete,
    /// No source is left.
    GiveUp(Why),
}

/// What an answer says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Where in the file its body begins.
    pub start: u64,
    /// Where it ends, if it says.
    pub end: Option<u64>,
    /// The size of the file, if it says.
    pub size: Option<u64>,
    /// It is a 200: the whole file, whatever was asked.
    pub whole: bool,
}

/// What becomes of bytes that came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Where in the file the bytes lie.
    pub start: u64,
    /// These are new: write them.
    pub keep: Vec<Range<u64>>,
    /// Bytes still to come of the answer.
    pub rest: u64,
    /// No more are wanted of this request.
    pub enough: bool,
}

/// A request that runs.
#[derive(Clone, Debug)]
struct Run {
    request: RequestId,
    source: SourceId,
    /// First byte asked for.
    from: u64,
    /// Next byte to come.
    at: u64,
    /// Byte after the last that may come.
    end: u64,
    /// Byte after the last that is left to it alone; not above `at`: it was robbed of all.
    claim: u64,
    /// New bytes that it brought.
    fresh: u64,
}

impl Run {
    fn claimed(&self) -> Range<u64> {
        self.at..self.claim.max(self.at)
    }

    fn is_robbed(&self) -> bool {
        self.claim <= self.at
    }
}

/// The decisions of one download.
#[derive(Debug)]
pub struct Swarm {
    /// Sources asked at a time.
    connections: usize,
    size: Option<u64>,
    /// The user vouches for the size.
    size_is_sure: bool,
    arrived: Ranges,
    verified: Ranges,
    /// Bytes of a block, when a tree says what they should be.
    block: Option<u64>,
    to_check: VecDeque<u64>,
    checking: BTreeSet<u64>,
    /// Blocks that were wrong with bytes of several sources, and how often: the next time one source gives all.
    whole_blocks: BTreeMap<u64, u32>,
    givers: Givers,
    /// Sources lost for blocks that are not what a tree says; did they give all of it?
    convicted: BTreeMap<SourceId, bool>,
    sources: Vec<Source>,
    runs: Vec<Run>,
    next_request: u64,
    /// Only this one is asked: all the rest is its own, so that the whole tells whether it lies.
    solo: Option<SourceId>,
    whole_tries: u32,
    /// When the last source was asked while the size was unknown.
    probed: Option<Time>,
    /// Others fetch the file at the same time and are served by us.
    spread: Option<Spread>,
}

impl Swarm {
    /// A download of which `arrived` is there, `verified` of that for certain. `size`: if the user vouches for it.
    pub fn new(connections: usize, size: Option<u64>, arrived: Ranges, verified: Ranges) -> Self {
        Self {
            connections: connections.clamp(1, CONNECTIONS_MAX),
            size,
            size_is_sure: size.is_some(),
            arrived,
            verified,
            block: None,
            to_check: VecDeque::new(),
            checking: BTreeSet::new(),
            whole_blocks: BTreeMap::new(),
            givers: Givers::default(),
            convicted: BTreeMap::new(),
            sources: Vec::new(),
            runs: Vec::new(),
            next_request: 0,
            solo: None,
            whole_tries: 0,
            probed: None,
            spread: None,
        }
    }

    /// Others fetch the file at the same time and are served by us: ranges are taken from all over it, so that all have
    /// something for each other (`share`). `seed`: another for each of them.
    pub fn spread(&mut self, seed: u64) {
        self.spread = Some(Spread {
            seed,
            own: None,
            pace: share::Pace::default(),
        });
    }

    /// Others know us as this host and port.
    pub fn known_as(&mut self, own: &str) {
        if let Some(spread) = &mut self.spread {
            spread.own = Some(sources::place(own));
        }
    }

    /// One more source, at this host and port. `None`: there are [`SOURCES_MAX`].
    pub fn add_source(&mut self, host: &str) -> Option<SourceId> {
        if self.sources.len() >= SOURCES_MAX {
            return None;
        }
        self.sources.push(Source::new(host.to_owned()));
        Some(SourceId(self.sources.len() - 1))
    }

    /// Sources asked at a time from now on.
    pub fn set_connections(&mut self, connections: usize) {
        self.connections = connections.clamp(1, CONNECTIONS_MAX);
    }

    /// Bytes that are there.
    pub fn done(&self) -> u64 {
        self.arrived.total()
    }

    /// Which bytes are there.
    pub fn arrived(&self) -> &Ranges {
        &self.arrived
    }

    /// Which bytes are what a tree says.
    pub fn verified(&self) -> &Ranges {
        &self.verified
    }

    /// Size of the whole, once known.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Bytes a second of this source when it sent last, if ever.
    pub fn speed(&self, source: SourceId) -> Option<u64> {
        self.sources[source.0].speed.known()
    }

    /// All new bytes that this source gave.
    pub fn bytes_of(&self, source: SourceId) -> u64 {
        self.sources[source.0].bytes
    }

    /// Who gave of these bytes, as they are there now; each once.
    pub fn givers(&self, range: &Range<u64>) -> Vec<SourceId> {
        self.givers.of(range)
    }

    /// Why this source is of no use any more.
    pub fn lost(&self, source: SourceId) -> Option<Why> {
        self.sources[source.0].lost
    }

    /// Is a request to this source running?
    pub fn is_running(&self, source: SourceId) -> bool {
        self.sources[source.0].is_running()
    }

    /// Sources that are of use, now or later.
    pub fn useful_sources(&self) -> usize {
        self.sources
            .iter()
            .filter(|source| source.is_there())
            .count()
    }

    /// Whom a running request asks.
    pub fn source_of(&self, request: RequestId) -> Option<SourceId> {
        let run = self.runs.iter().find(|run| run.request == request)?;
        Some(run.source)
    }

    /// Is nothing missing once this request has brought what it is to bring?
    pub fn would_complete(&self, request: RequestId) -> bool {
        let run = self.runs.iter().find(|run| run.request == request);
        let (Some(run), Some(size)) = (run, self.size) else {
            return false;
        };
        let mut there = self.arrived.clone();
        there.insert(run.claimed());
        there.holds(&(0..size))
    }

    /// Has this request brought all that it was sent for?
    pub fn is_read(&self, request: RequestId) -> bool {
        let run = self.runs.iter().find(|run| run.request == request);
        run.is_some_and(|run| run.at >= run.end)
    }

    /// A source says that it has only this, in an answer or in a request to us.
    pub fn learn_available(&mut self, source: SourceId, available: Option<Ranges>) {
        let state = &mut self.sources[source.0];
        let total = |ranges: &Option<Ranges>| ranges.as_ref().map_or(0, Ranges::total);
        if total(&available) > total(&state.shown) {
            // It gets on: worth to be looked at again soon.
            state.busy = 0;
        }
        state.shown.clone_from(&available);
        state.available = available;
        if state.waits_for == WaitsFor::More && self.has_more(source) {
            let state = &mut self.sources[source.0];
            (state.not_before, state.busy) = (Time::ZERO, 0);
            state.waits_for = WaitsFor::Time;
        }
    }

    /// An answer begins. `false`: it is of no use; end the request as [`Ended::Wrong`].
    pub fn answered(&mut self, now: Time, request: RequestId, answer: &Answer) -> bool {
        let Some(at) = self.runs.iter().position(|run| run.request == request) else {
            return false;
        };
        let source = self.runs[at].source;
        if answer
            .size
            .is_some_and(|size| !self.learn_size(source, size))
        {
            return false;
        }
        let size = self.size.unwrap_or(u64::MAX);
        let run = &mut self.runs[at];
        let end = answer.end.unwrap_or(size).min(size);
        if answer.start > run.from || end <= run.from {
            return false;
        }
        let state = &mut self.sources[source.0];
        state.phase = Phase::Answers;
        state.speed.begin(now);
        (run.at, run.end) = (answer.start, end);
        if answer.whole {
            // Asked again it would begin again: all that follows is its own until somebody robs it.
            state.whole_only = true;
            run.claim = end;
        }
        run.claim = run.claim.min(end);
        true
    }

    /// What the answer to a request that asked beyond the end says: all is there, if the size is what we have.
    pub fn learn_end(&mut self, source: SourceId, size: u64) -> bool {
        self.arrived.end() <= size && self.learn_size(source, size)
    }

    fn learn_size(&mut self, source: SourceId, size: u64) -> bool {
        match self.size {
            Some(known) if known == size => true,
            // Somebody is wrong; who, only the hash can tell.
            // Nor can a file be empty of which others have something, whatever an unfinished copy says of itself
            // (gtk-gnutella: `*/0`).
            Some(_) if self.size_is_sure || size == 0 => {
                self.sources[source.0].lost = Some(Why::Wrong);
                false
            }
            _ if self.size.is_some() || self.arrived.end() > size => {
                self.sources[source.0].other_size = Some(size);
                false
            }
            _ => {
                self.size = Some(size);
                for run in &mut self.runs {
                    run.end = run.end.min(size);
                    run.claim = run.claim.min(size);
                }
                true
            }
        }
    }

    /// Bytes of the answer to `request` came, the next ones of its body.
    pub fn received(&mut self, now: Time, request: RequestId, bytes: u64) -> Received {
        let Some(at) = self.runs.iter().position(|run| run.request == request) else {
            return Received {
                enough: true,
                ..Received::default()
            };
        };
        let run = &mut self.runs[at];
        let robbed = run.is_robbed();
        let came = run.at..run.at.saturating_add(bytes).min(run.end);
        let start = came.start;
        run.at = came.end;
        let source = run.source;
        let keep: Vec<_> = self.arrived.gaps(came).collect();
        let fresh = keep.iter().map(|range| range.end - range.start).sum();
        run.fresh += fresh;
        let (claim, rest) = (run.claim, run.at..run.end);
        for range in &keep {
            self.arrived.insert(range.clone());
            self.givers.gave(range.clone(), source);
            self.note_blocks(range);
        }
        let state = &mut self.sources[source.0];
        if fresh > 0 {
            state.received(now, fresh);
        } else {
            state.speed.came(now, bytes);
        }
        // Who was robbed of all races on; who was robbed of a part stops where that begins.
        let enough = if robbed {
            self.arrived.holds(&rest)
        } else {
            rest.start >= claim || self.arrived.holds(&(rest.start..claim))
        };
        Received {
            start,
            keep,
            rest: rest.end - rest.start,
            enough,
        }
    }

    /// The request is over.
    pub fn ended(&mut self, now: Time, request: RequestId, how: Ended) {
        let Some(at) = self.runs.iter().position(|run| run.request == request) else {
            return;
        };
        let run = self.runs.swap_remove(at);
        if self.size.is_none() && how == Ended::Served && run.end == u64::MAX {
            // Where no size is named, only the end says that all is there.
            self.size = Some(self.arrived.end());
        }
        let others = self.sources.iter().enumerate();
        let others = others
            .filter(|(at, source)| *at != run.source.0 && source.is_there())
            .count();
        // Bytes that another brought first were a service too.
        let fresh = run.fresh.max(run.at.saturating_sub(run.from));
        let useful = self.has_more(run.source);
        let state = &mut self.sources[run.source.0];
        let lost = state.lost;
        state.ended(now, how, fresh, others);
        if state.other_size.is_some() {
            state.lost = lost;
        }
        let shows_range = matches!(how, Ended::Status { code: 416, .. });
        if shows_range && useful && state.is_partial() && state.busy <= RANGES_SHOWN_MAX {
            state.not_before = now;
        }
    }

    /// A source in whose queue we are calls: it may be asked now. `false`: it is not waited for.
    pub fn called(&mut self, now: Time, source: SourceId) -> bool {
        let state = &mut self.sources[source.0];
        let waits = state.is_there() && state.is_queued() && !state.is_running();
        if waits {
            state.not_before = now;
        }
        waits
    }

    /// The shell gives up a request, as of no use to anybody; nothing is held against its source.
    pub fn dropped(&mut self, request: RequestId) {
        if let Some(at) = self.runs.iter().position(|run| run.request == request) {
            let run = self.runs.swap_remove(at);
            let state = &mut self.sources[run.source.0];
            state.phase = Phase::Idle;
        }
    }

    /// May a partial source have something that is not there yet?
    fn has_more(&self, source: SourceId) -> bool {
        let all = 0..self.size.unwrap_or(u64::MAX);
        let mut missing = self.arrived.gaps(all);
        missing.any(|gap| self.sources[source.0].may_have(&gap).is_some())
    }
}

/// Times in a row that a source may refuse a range and name others, and be asked for those at once.
const RANGES_SHOWN_MAX: u32 = 3;
