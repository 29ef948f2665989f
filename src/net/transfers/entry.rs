//! One download of the list, and its states.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::control::{SourceState, Transfer, TransferAct, TransferSpec, TransferState};
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

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kept: Kept,
    rate: u64,
    sources: Vec<SourceState>,
    /// What sources said of our place: position, length, seconds.
    places: BTreeMap<String, [Option<u32>; 3]>,
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
    pub(super) fn news(&mut self, news: Progress) {
        let kept = &mut self.kept;
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
                    kept.message = None;
                }
                let sources = sources.into_iter().take(SOURCES_TOLD);
                let places = &self.places;
                let told = sources.map(|news| {
                    let place = places.get(&news.source).copied().unwrap_or_default();
                    let [position, length, eta_s] = place;
                    SourceState {
                        source: news.source,
                        state: news.doing.name().to_owned(),
                        bytes: news.bytes,
                        rate: news.bytes_per_s,
                        position,
                        length,
                        eta_s,
                    }
                });
                self.sources = told.collect();
            }
            Progress::Queued {
                source,
                position,
                length,
                eta_s,
                ..
            } => {
                // Bounded by the sources of one download.
                self.places.insert(source, [position, length, eta_s]);
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
                let seconds = span.as_secs().max(1);
                let busy = format!("all sources are busy; the next is asked in {seconds} s");
                kept.message = Some(busy);
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

    pub(super) fn shown(&self, now: Time) -> Transfer {
        let kept = &self.kept;
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
            sources: self.sources.clone(),
            into: kept.spec.into.clone(),
            path: kept.path.clone(),
            verified: kept.verified,
            message: kept.message.clone(),
            code: kept.code,
            retry_in_s: retry_at.map(|at| at.since(now).as_secs()),
        }
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
