//! How a fetch goes and went: JSON lines on stdout, else a bar or few lines on stderr.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::cli::Context;
use crate::cli::clock::{Stopwatch, now_s};
use crate::cli::output::progress::{Board, Progress, Unit};
use crate::cli::output::{Format, units};
use crate::cli::search::print::seconds;
use crate::disk::liars::Liars;
use crate::net::download::{self, Doing, Fetched, SourceNews};

/// Bytes are there.
#[derive(Debug, Serialize)]
struct ProgressLine<'a> {
    id: &'a str,
    done: u64,
    size: Option<u64>,
    rate: u64,
}

/// A source has us in its queue.
#[derive(Debug, Serialize)]
struct QueuedLine<'a> {
    id: &'a str,
    source: &'a str,
    position: Option<u32>,
    length: Option<u32>,
    eta_s: Option<u32>,
    next_s: Option<u32>,
}

/// How each source does.
#[derive(Debug, Serialize)]
struct SourcesLine<'a> {
    id: &'a str,
    sources: Vec<SourceState<'a>>,
}

#[derive(Debug, Serialize)]
struct SourceState<'a> {
    source: &'a str,
    state: &'static str,
    bytes: u64,
    rate: Option<u64>,
}

/// A source was of no use, now or for good.
#[derive(Debug, Serialize)]
struct SourceFailedLine<'a> {
    id: &'a str,
    source: &'a str,
    why: &'a str,
}

/// Nobody may be asked for so many seconds.
#[derive(Debug, Serialize)]
struct WaitingLine<'a> {
    id: &'a str,
    span: f64,
}

/// A source gave wrong bytes.
#[derive(Debug, Serialize)]
struct SourceLiedLine<'a> {
    id: &'a str,
    source: &'a str,
}

/// Others are looked for.
#[derive(Debug, Serialize)]
struct SearchingLine<'a> {
    id: &'a str,
}

/// `waiting 198.51.100.25:6346, place 2 of 9, about 4 min`.
pub(in crate::cli) fn place(
    source: &str,
    position: Option<u32>,
    length: Option<u32>,
    eta_s: Option<u32>,
) -> String {
    let of = length.map_or(String::new(), |length| format!(" of {length}"));
    let at = position.map_or(", in its queue".to_owned(), |at| {
        format!(", place {at}{of}")
    });
    let eta = eta_s.map_or(String::new(), |eta_s| {
        let span = Duration::from_secs(u64::from(eta_s));
        format!(", about {}", units::time(span))
    });
    format!("waiting {source}{at}{eta}")
}

/// `; asked again in 45 s`.
pub(in crate::cli) fn asked_again(next_s: Option<u32>) -> String {
    next_s.map_or(String::new(), |next_s| {
        let span = Duration::from_secs(u64::from(next_s));
        format!("; asked again in {}", units::time(span))
    })
}

/// How it went, for people.
pub(super) fn summary(fetched: &Fetched, checks: bool, clock: Stopwatch) -> String {
    let name = fetched
        .path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let size = units::size(fetched.size);
    let verified = if fetched.verified {
        "sha1 verified"
    } else if !checks {
        "not verified, as asked for"
    } else {
        "not verified: its hash was not known"
    };
    if fetched.was_there {
        return format!("{name}  {size}  was there already, {verified}");
    }
    let elapsed = clock.elapsed().as_secs_f64().max(0.001);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "shown with three digits"
    )]
    let rate = ((fetched.size - fetched.resumed_from.min(fetched.size)) as f64 / elapsed) as u64;
    let resumed = match fetched.resumed_from {
        0 => String::new(),
        bytes => format!("  {} were there", units::size(bytes)),
    };
    format!(
        "{name}  {size}  {}/s{resumed}  {verified}",
        units::size(rate)
    )
}

/// How far all files of a folder are together.
#[derive(Debug)]
pub(super) struct Overall {
    bytes: u64,
    shown: Mutex<(u64, Progress)>,
}

impl Overall {
    /// Nothing of so many bytes.
    pub(super) fn new(board: &Board, label: &str, bytes: u64) -> Self {
        let progress = board.add(label, Unit::Bytes, bytes);
        Self {
            bytes,
            shown: Mutex::new((0, progress)),
        }
    }

    fn add(&self, bytes: u64) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.0 += bytes;
        let done = shown.0;
        // Sizes are what the node told, and files may have grown since.
        shown.1.update(done, self.bytes.max(done));
    }
}

/// Shows how one fetch goes: JSON lines on stdout, else a bar or few lines on stderr.
pub(super) struct Show<'a> {
    context: &'a Context,
    board: &'a Board,
    overall: Option<&'a Overall>,
    /// Bytes that it was told of.
    counted: u64,
    id: &'a str,
    name: &'a str,
    size: u64,
    bar: Option<Progress>,
    clock: Stopwatch,
    /// Bytes an earlier run had left.
    resumed_from: u64,
    /// Bytes that are there, of so many.
    got: (u64, u64),
    /// What sources said of our place, by source.
    places: BTreeMap<String, String>,
}

impl<'a> Show<'a> {
    pub(super) fn new(
        context: &'a Context,
        board: &'a Board,
        id: &'a str,
        name: &'a str,
        size: Option<u64>,
    ) -> Self {
        Self {
            context,
            board,
            overall: None,
            counted: 0,
            id,
            name,
            size: size.unwrap_or(0),
            bar: None,
            clock: Stopwatch::start(),
            resumed_from: 0,
            got: (0, size.unwrap_or(0)),
            places: BTreeMap::new(),
        }
    }

    /// As one of many.
    pub(super) fn of(self, overall: Option<&'a Overall>) -> Self {
        Self { overall, ..self }
    }

    fn count(&mut self, done: u64) {
        if let Some(overall) = self.overall {
            overall.add(done.saturating_sub(self.counted));
            self.counted = self.counted.max(done);
        }
    }

    pub(super) fn news(&mut self, news: download::Progress) {
        let out = &self.context.out;
        match news {
            download::Progress::Resumed { done, changed } => {
                self.resumed_from = done;
                if changed {
                    self.say(&format!(
                        "{}: another program wrote the partial file; it is checked again",
                        self.name
                    ));
                }
            }
            download::Progress::Checking { read, of } => self.bar(read, of),
            download::Progress::Got { done, size } => {
                let elapsed_ms = u64::try_from(self.clock.elapsed().as_millis())
                    .unwrap_or(u64::MAX)
                    .max(1);
                let rate =
                    done.saturating_sub(self.resumed_from).saturating_mul(1_000) / elapsed_ms;
                // A reader that has gone is noticed by the last line.
                let _ = out.json(
                    "progress",
                    &ProgressLine {
                        id: self.id,
                        done,
                        size,
                        rate,
                    },
                );
                self.count(done);
                self.bar(done, size.unwrap_or(self.size));
            }
            download::Progress::Calling { source } => {
                self.say(&format!("{}: asking {source} to connect to us", self.name));
            }
            download::Progress::Asking { source } => log::info!("asking {source}"),
            download::Progress::Failed { source, why } => {
                let (id, source, why) = (self.id, &*source, &*why);
                let _ = out.json("source-failed", &SourceFailedLine { id, source, why });
                log::info!("{source}: {why}");
                self.places.remove(source);
            }
            download::Progress::NoTree { source, why } => log::info!("{source}: {why}"),
            download::Progress::Queued {
                source,
                position,
                length,
                eta_s,
                next_s,
            } => {
                let line = QueuedLine {
                    id: self.id,
                    source: &source,
                    position,
                    length,
                    eta_s,
                    next_s,
                };
                let _ = out.json("queued", &line);
                let text = place(&source, position, length, eta_s) + &asked_again(next_s);
                // Said once; what changes then is part of the progress.
                if self.places.insert(source, text.clone()).is_none() {
                    self.say(&format!("{}: {text}", self.name));
                }
                self.bar(self.got.0, self.got.1);
            }
            download::Progress::Sources(sources) => self.sources(&sources),
            download::Progress::Searching => {
                let _ = out.json("searching", &SearchingLine { id: self.id });
                self.say(&format!("{}: looking for more sources", self.name));
            }
            download::Progress::Tree { block, .. } => {
                log::info!("blocks of {block} bytes are verified as they arrive");
            }
            download::Progress::Lied { source, node } => self.lied(&source, node),
            download::Progress::Paused => log::info!("paused"),
            download::Progress::Waiting { span } => {
                let line = WaitingLine {
                    id: self.id,
                    span: seconds(span),
                };
                let _ = out.json("waiting", &line);
                self.say(&format!(
                    "{}: all sources are busy, waiting {}",
                    self.name,
                    units::time(span)
                ));
            }
        }
    }

    /// A source gave wrong bytes: it is remembered.
    fn lied(&self, source: &str, node: String) {
        let line = SourceLiedLine {
            id: self.id,
            source,
        };
        let _ = self.context.out.json("source-lied", &line);
        self.say(&format!(
            "{}: {source} gave wrong bytes, which were fetched again; it is asked last from now on",
            self.name
        ));
        let kept = Liars::new(&self.context.home.liars()).add(now_s(), &[node]);
        if let Err(error) = kept {
            log::warn!("it is not remembered: {error}");
        }
    }

    /// How each source does: the busy ones first, then those that wait.
    fn sources(&mut self, sources: &[SourceNews]) {
        let states = sources.iter().map(|news| SourceState {
            source: &news.source,
            state: news.doing.name(),
            bytes: news.bytes,
            rate: news.bytes_per_s,
        });
        let line = SourcesLine {
            id: self.id,
            sources: states.collect(),
        };
        let _ = self.context.out.json("sources", &line);
        let of = |doing: Doing| sources.iter().filter(move |news| news.doing == doing);
        let busy = of(Doing::Busy).map(|news| {
            let rate = news.bytes_per_s.unwrap_or(0);
            format!("{} at {}/s", news.source, units::size(rate))
        });
        let waits = of(Doing::Waits).map(|news| {
            let place = self.places.get(&news.source);
            place.map_or_else(|| format!("waiting {}", news.source), Clone::clone)
        });
        let lines: Vec<String> = busy.chain(waits).collect();
        if let Some(bar) = &mut self.bar {
            bar.below(&lines);
        }
    }

    /// Talk that leaves the bar whole.
    fn say(&self, text: &str) {
        self.board.aside(|| self.context.out.say(text));
    }

    fn bar(&mut self, done: u64, of: u64) {
        self.got = (done, of);
        if self.context.out.format() != Format::Json {
            let (board, name) = (self.board, self.name);
            let bar = self
                .bar
                .get_or_insert_with(|| board.add(name, Unit::Bytes, of));
            bar.update(done, of);
        }
    }

    /// It has ended; the file, if it is there.
    pub(super) fn finish(mut self, fetched: Option<&Fetched>) {
        if let Some(fetched) = fetched {
            self.count(fetched.size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_told_place_estimate_and_plan() {
        let text = place("192.0.2.1:6346", Some(2), Some(9), Some(240)) + &asked_again(Some(45));
        assert_eq!(
            text,
            "waiting 192.0.2.1:6346, place 2 of 9, about 4 min; asked again in 45 s"
        );
        assert_eq!(asked_again(None), "");
    }
}
