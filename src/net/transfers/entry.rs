//! One download of the list, and its states.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::control::{SourceState, Transfer, TransferAct, TransferSpec, TransferState};
use crate::disk::names::safe_name;
use crate::net::download::{Cancel, FetchError, Fetched, Progress};
use crate::node::Time;
use crate::node::swarm::Why;

/// Characters of a key that are shown.
const ID_CHARS: usize = 6;
/// Wait before a download without a source is tried again; each time twice as long. Our choice.
const RETRY_FIRST: Duration = Duration::from_mins(1);
/// No wait is longer: who is back is found within this. Our choice.
const RETRY_LONGEST: Duration = Duration::from_hours(1);
/// Sources kept of one download: enough for any fetch.
const SOURCES_MAX: usize = 32;
/// Sources of which more than their number is told. Our choice.
const SOURCES_TOLD: usize = 32;

/// What outlives the process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) spec: TransferSpec,
    pub(super) state: TransferState,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    code: Option<u8>,
    /// Bytes that were there last.
    #[serde(default)]
    done: u64,
    /// Where the finished file lies.
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    verified: bool,
}

/// What a source said of our place in its queue.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    position: Option<u32>,
    length: Option<u32>,
    turn_at: Option<Time>,
    next_at: Option<Time>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kept: Kept,
    rate: u64,
    sources: Vec<SourceState>,
    places: BTreeMap<String, Place>,
    /// All sources are busy until then.
    busy_until: Option<Time>,
    /// Tries in a row that found no source.
    tries: u32,
    retry_at: Option<Time>,
    /// What ends it, while its thread is there.
    pub(super) running: Option<Cancel>,
    /// It goes from the list when its thread ends; whether its bytes go too.
    pub(super) removing: Option<bool>,
}

impl Entry {
    pub(super) fn new(mut spec: TransferSpec) -> Self {
        spec.sources.truncate(SOURCES_MAX);
        Self::again(Kept {
            spec,
            state: TransferState::Queued,
            message: None,
            code: None,
            done: 0,
            path: None,
            verified: false,
        })
    }

    /// As an earlier run left it.
    pub(super) fn again(mut kept: Kept) -> Self {
        if kept.state.goes_on() {
            (kept.state, kept.message, kept.code) = (TransferState::Queued, None, None);
        }
        Self {
            kept,
            rate: 0,
            sources: Vec::new(),
            places: BTreeMap::new(),
            busy_until: None,
            tries: 0,
            retry_at: None,
            running: None,
            removing: None,
        }
    }

    /// The same content is wanted once more.
    pub(super) fn meet(&mut self, spec: TransferSpec) -> Result<(), String> {
        let id = &self.kept.spec.key[..ID_CHARS];
        if self.removing.is_some() {
            return Err(format!("{id} is just being cancelled; try again"));
        }
        match self.kept.state {
            // The file may have been moved away since.
            TransferState::Done => *self = Self::new(spec),
            TransferState::Queued
            | TransferState::Running
            | TransferState::Waiting
            | TransferState::Paused
            | TransferState::Failed => {
                if spec.into != self.kept.spec.into {
                    return Err(format!(
                        "{id} is on the list already, to go into {}; cancel it first: filbert transfers cancel {id}",
                        self.kept.spec.into
                    ));
                }
                for offer in spec.sources {
                    let all = &mut self.kept.spec.sources;
                    if all.len() < SOURCES_MAX && all.iter().all(|known| known.url != offer.url) {
                        all.push(offer);
                    }
                }
                if matches!(
                    self.kept.state,
                    TransferState::Failed | TransferState::Waiting
                ) {
                    self.queue();
                }
            }
        }
        Ok(())
    }

    pub(super) fn may_start(&self) -> bool {
        self.kept.state == TransferState::Queued
            && self.running.is_none()
            && self.removing.is_none()
    }

    /// Bytes a second now.
    pub(super) fn rate(&self) -> u64 {
        self.rate
    }

    /// Where its partial file lies: folder and name, without looking at letter case.
    pub(super) fn place(&self) -> (String, String) {
        let spec = &self.kept.spec;
        (spec.into.clone(), safe_name(&spec.name).to_lowercase())
    }

    /// Its thread starts; what ends it.
    pub(super) fn start(&mut self) -> Cancel {
        let cancel = Cancel::new();
        self.running = Some(cancel.clone());
        (self.kept.state, self.kept.message, self.kept.code) = (TransferState::Running, None, None);
        self.retry_at = None;
        cancel
    }

    fn queue(&mut self) {
        self.kept.state = TransferState::Queued;
        (self.kept.message, self.kept.code) = (None, None);
        (self.tries, self.retry_at) = (0, None);
    }

    /// Whether it is to be tried again now; then it is queued.
    pub(super) fn is_due(&mut self, now: Time) -> bool {
        let due =
            self.kept.state == TransferState::Waiting && self.retry_at.is_some_and(|at| at <= now);
        if due {
            self.kept.state = TransferState::Queued;
        }
        due
    }

    /// Does something about it. `Some`: it is to go from the list, its bytes too when true.
    pub(super) fn act(&mut self, act: TransferAct) -> Result<Option<bool>, String> {
        use TransferState as S;
        let state = self.kept.state;
        let id = &self.kept.spec.key[..ID_CHARS];
        let cannot = |what: &str| Err(format!("{id} is {}, so it cannot be {what}", state.name()));
        match (act, state) {
            (TransferAct::Cancel | TransferAct::Forget, _) => {
                let discard = act == TransferAct::Cancel;
                self.removing = Some(discard);
                self.end_thread();
                return Ok(Some(discard));
            }
            (TransferAct::Pause, S::Queued | S::Running | S::Waiting) => {
                self.kept.state = S::Paused;
                (self.kept.message, self.kept.code) = (None, None);
                self.end_thread();
            }
            (TransferAct::Pause, S::Failed | S::Done) => return cannot("paused"),
            (TransferAct::Resume, S::Failed | S::Done) => {
                return cannot("resumed; `filbert transfers retry` tries a failed one again");
            }
            (TransferAct::Resume, S::Paused)
            | (TransferAct::Retry, S::Failed | S::Waiting | S::Paused) => self.queue(),
            // It is so already.
            (TransferAct::Pause, S::Paused)
            | (TransferAct::Resume, S::Queued | S::Running | S::Waiting)
            | (TransferAct::Retry, S::Queued | S::Running) => {}
            (TransferAct::Retry, S::Done) => return cannot("tried again"),
        }
        Ok(None)
    }

    fn end_thread(&self) {
        if let Some(cancel) = &self.running {
            cancel.cancel();
        }
    }

    /// How it goes.
    pub(super) fn news(&mut self, now: Time, news: Progress) {
        let kept = &mut self.kept;
        let after = |seconds: u32| now.plus(Duration::from_secs(seconds.into()));
        match news {
            Progress::Resumed { done, .. } => kept.done = done,
            Progress::Got { done, size } => {
                kept.done = done;
                kept.spec.size = size.or(kept.spec.size);
            }
            Progress::Sources(sources) => {
                let busy = sources.iter().filter(|news| news.doing.is_busy());
                self.rate = busy.filter_map(|news| news.bytes_per_s).sum();
                if self.rate > 0 {
                    (kept.message, self.busy_until) = (None, None);
                }
                let sources = sources.into_iter().take(SOURCES_TOLD);
                let told = sources.map(|news| SourceState {
                    source: news.source,
                    state: news.doing.name().to_owned(),
                    bytes: news.bytes,
                    rate: news.bytes_per_s,
                    // Filled in when it is shown.
                    position: None,
                    length: None,
                    eta_s: None,
                    next_s: None,
                });
                self.sources = told.collect();
            }
            Progress::Queued {
                source,
                position,
                length,
                eta_s,
                next_s,
            } => {
                let place = Place {
                    position,
                    length,
                    turn_at: eta_s.map(after),
                    next_at: next_s.map(after),
                };
                // Bounded by the sources of one download.
                self.places.insert(source, place);
            }
            Progress::Failed { source, .. } => {
                self.places.remove(&source);
            }
            Progress::Checking { .. } => kept.message = Some("checking the hash".to_owned()),
            Progress::Calling { source } => {
                kept.message = Some(format!("asking {source} to connect to us"));
            }
            Progress::Searching => kept.message = Some("looking for more sources".to_owned()),
            Progress::Waiting { span } => {
                (kept.message, self.busy_until) = (None, Some(now.plus(span)));
            }
            Progress::Asking { .. }
            | Progress::Paused
            | Progress::Tree { .. }
            | Progress::NoTree { .. }
            | Progress::Lied { .. } => {}
        }
    }

    /// Its thread has ended. `Some`: it is tried again after so long.
    pub(super) fn ended(
        &mut self,
        now: Time,
        how: Result<Fetched, FetchError>,
    ) -> Option<Duration> {
        self.running = None;
        (self.rate, self.sources) = (0, Vec::new());
        self.places.clear();
        self.busy_until = None;
        let kept = &mut self.kept;
        let error = match how {
            Ok(fetched) => {
                kept.state = TransferState::Done;
                (kept.message, kept.code) = (None, None);
                kept.done = fetched.size;
                kept.spec.size = Some(fetched.size);
                kept.verified = fetched.verified;
                let name = fetched.path.file_name().unwrap_or_default();
                kept.spec.name = name.to_string_lossy().into_owned();
                kept.path = Some(fetched.path.to_string_lossy().into_owned());
                return None;
            }
            // Somebody did something about it, or the node stops.
            Err(FetchError::Cancelled { done }) => {
                kept.done = done;
                if kept.state == TransferState::Running {
                    kept.state = TransferState::Queued;
                }
                return None;
            }
            Err(error) => error,
        };
        if kept.state != TransferState::Running {
            return None;
        }
        kept.message = Some(error.to_string());
        kept.code = Some(error.exit_code());
        if !may_come(&error, kept.spec.urn.is_some()) {
            kept.state = TransferState::Failed;
            return None;
        }
        kept.state = TransferState::Waiting;
        let doubled = 2_u32.saturating_pow(self.tries.min(16));
        let span = RETRY_FIRST.saturating_mul(doubled).min(RETRY_LONGEST);
        self.tries += 1;
        self.retry_at = Some(now.plus(span));
        Some(span)
    }

    /// For people. `ahead`: so many are queued before it.
    pub(super) fn shown(&self, now: Time, ahead: usize) -> Transfer {
        let kept = &self.kept;
        let queued = kept.state == TransferState::Queued;
        let retry_at = self
            .retry_at
            .filter(|_| kept.state == TransferState::Waiting);
        Transfer {
            id: kept.spec.key[..ID_CHARS].to_owned(),
            state: kept.state,
            name: kept.spec.name.clone(),
            urn: kept.spec.urn.clone(),
            done: kept.done,
            size: kept.spec.size,
            rate: self.rate,
            sources: self.sources_shown(now),
            into: kept.spec.into.clone(),
            path: kept.path.clone(),
            verified: kept.verified,
            message: kept.message.clone().or_else(|| self.busy(now)),
            code: kept.code,
            retry_in_s: retry_at.map(|at| at.since(now).as_secs()),
            ahead: queued.then_some(ahead),
        }
    }
}

impl Entry {
    /// How each source does, with our place in its queue as it is by now.
    fn sources_shown(&self, now: Time) -> Vec<SourceState> {
        let left = |at: Time| u32::try_from(at.since(now).as_secs()).unwrap_or(u32::MAX);
        let mut sources = self.sources.clone();
        for source in &mut sources {
            let place = self.places.get(&source.source).copied();
            let place = place.unwrap_or_default();
            (source.position, source.length) = (place.position, place.length);
            source.eta_s = place.turn_at.map(left);
            source.next_s = place.next_at.map(left);
        }
        sources
    }

    /// That nobody gives anything now, and until when.
    fn busy(&self, now: Time) -> Option<String> {
        let until = self.busy_until.filter(|_| self.running.is_some())?;
        let seconds = until.since(now).as_secs().max(1);
        Some(format!(
            "all sources are busy; the next is asked in {seconds} s"
        ))
    }
}

/// Whether another try may bring what this one did not. `searched`: others can be looked for by hash.
fn may_come(error: &FetchError, searched: bool) -> bool {
    match error {
        FetchError::NoSource { why, .. } => match why {
            Why::Busy | Why::Failing | Why::Unreachable => true,
            Why::Gone | Why::Wrong => searched,
            Why::Refused => false,
        },
        FetchError::TimedOut { .. } => true,
        FetchError::Part(_) | FetchError::Cancelled { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::download::{Doing, SourceNews};

    fn at(seconds: u64) -> Time {
        Time::ZERO.plus(Duration::from_secs(seconds))
    }

    fn running() -> Entry {
        let spec = TransferSpec {
            key: "abcd".repeat(8),
            name: "moby.bin".to_owned(),
            ..TransferSpec::default()
        };
        let mut entry = Entry::new(spec);
        entry.start();
        entry
    }

    #[test]
    fn our_place_in_a_queue_is_told_as_it_is_by_now() {
        let (mut entry, source) = (running(), "192.0.2.1:6346".to_owned());
        let queued = Progress::Queued {
            source: source.clone(),
            position: Some(2),
            length: Some(9),
            eta_s: Some(240),
            next_s: Some(45),
        };
        entry.news(at(10), queued);
        let news = SourceNews {
            source: source.clone(),
            doing: Doing::Waits,
            bytes: 0,
            bytes_per_s: None,
        };
        entry.news(at(10), Progress::Sources(vec![news]));
        for (now, eta_s, next_s) in [(10, 240, 45), (40, 210, 15), (400, 0, 0)] {
            let shown = entry.shown(at(now), 0).sources.remove(0);
            let place = (shown.position, shown.length, shown.eta_s, shown.next_s);
            assert_eq!(
                place,
                (Some(2), Some(9), Some(eta_s), Some(next_s)),
                "{now}"
            );
        }
        let why = "gone".to_owned();
        entry.news(at(50), Progress::Failed { source, why });
        let shown = entry.shown(at(50), 0).sources.remove(0);
        assert_eq!((shown.position, shown.next_s), (None, None));
    }

    #[test]
    fn who_is_busy_and_for_how_long_is_counted_down_too() {
        let mut entry = running();
        let span = Duration::from_secs(60);
        entry.news(at(0), Progress::Waiting { span });
        let said = |entry: &Entry, now| entry.shown(at(now), 0).message;
        let text = |seconds: u64| format!("all sources are busy; the next is asked in {seconds} s");
        assert_eq!(said(&entry, 0), Some(text(60)));
        assert_eq!(said(&entry, 45), Some(text(15)));
        entry.news(at(50), Progress::Searching);
        assert_eq!(
            said(&entry, 50).as_deref(),
            Some("looking for more sources")
        );
    }
}
