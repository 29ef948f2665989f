//! How a fetch goes and went: JSON lines on stdout, else a bar or few lines on stderr.

use std::path::Path;

use serde::Serialize;

use crate::cli::Context;
use crate::cli::clock::Stopwatch;
use crate::cli::output::progress::{Progress, Unit};
use crate::cli::output::{Format, units};
use crate::net::download::{self, Fetched};

/// Bytes are there.
#[derive(Debug, Serialize)]
struct ProgressLine<'a> {
    id: &'a str,
    done: u64,
    size: Option<u64>,
    rate: u64,
}

/// How it went, for people.
pub(super) fn summary(path: &Path, fetched: &Fetched, clock: Stopwatch) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let size = units::size(fetched.size);
    let verified = if fetched.verified {
        "sha1 verified"
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

/// Shows how one fetch goes: JSON lines on stdout, else a bar or few lines on stderr.
pub(super) struct Show<'a> {
    context: &'a Context,
    id: &'a str,
    name: &'a str,
    size: u64,
    bar: Option<Progress>,
    clock: Stopwatch,
    /// Bytes an earlier run had left.
    resumed_from: u64,
}

impl<'a> Show<'a> {
    pub(super) fn new(context: &'a Context, id: &'a str, name: &'a str, size: Option<u64>) -> Self {
        Self {
            context,
            id,
            name,
            size: size.unwrap_or(0),
            bar: None,
            clock: Stopwatch::start(),
            resumed_from: 0,
        }
    }

    pub(super) fn news(&mut self, news: download::Progress) {
        let out = &self.context.out;
        match news {
            download::Progress::Resumed { done, changed } => {
                self.resumed_from = done;
                if changed {
                    out.say(&format!(
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
                self.bar(done, size.unwrap_or(self.size));
            }
            download::Progress::Calling { source } => {
                out.say(&format!("{}: asking {source} to connect to us", self.name));
            }
            download::Progress::Asking { source } => log::info!("asking {source}"),
            download::Progress::Failed { source, why } => log::info!("{source}: {why}"),
            download::Progress::Queued {
                source,
                position,
                length,
                eta_s,
            } => {
                let of = length.map_or(String::new(), |length| format!(" of {length}"));
                let place = position.map_or("in".to_owned(), |at| format!("number {at}{of} in"));
                let eta = eta_s.map_or(String::new(), |eta_s| {
                    let span = std::time::Duration::from_secs(u64::from(eta_s));
                    format!(", in about {}", units::time(span))
                });
                out.say(&format!(
                    "{}: {place} the queue of {source}{eta}",
                    self.name
                ));
            }
            download::Progress::Sources(sources) => {
                for source in sources {
                    log::debug!("{source:?}");
                }
            }
            download::Progress::Searching => {
                out.say(&format!("{}: looking for more sources", self.name));
            }
            download::Progress::Paused => log::info!("paused"),
            download::Progress::Waiting { span } => {
                out.say(&format!(
                    "{}: all sources are busy, waiting {}",
                    self.name,
                    units::time(span)
                ));
            }
        }
    }

    fn bar(&mut self, done: u64, of: u64) {
        if self.context.out.format() != Format::Json {
            let out = &self.context.out;
            let bar = self
                .bar
                .get_or_insert_with(|| Progress::new(out, self.name, Unit::Bytes, of));
            bar.update(out, done, of);
        }
    }

    pub(super) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish();
        }
    }
}
