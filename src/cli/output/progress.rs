//! Progress of a long action, on stderr only: a bar on a terminal, else one line every ten seconds.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Output, escape, units};
use crate::cli::clock::Stopwatch;

/// How often a stderr that is no terminal hears of progress. Issue: at most one line per 10 s.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// How far something is.
#[derive(Debug)]
pub struct Progress {
    label: String,
    unit: Unit,
    show: Show,
    clock: Stopwatch,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Files.
    Files,
}

impl Unit {
    fn text(self, n: u64) -> String {
        match self {
            Self::Bytes => units::size(n),
            Self::Files => units::counted(n, "file", "files"),
        }
    }

    fn template(self) -> &'static str {
        match self {
            Self::Bytes => {
                "{msg}  {decimal_total_bytes}  {bar:20}  {percent:>3}%  {decimal_bytes_per_sec}  {eta} left"
            }
            Self::Files => "{msg}  {pos} of {len} files  {bar:20}  {percent:>3}%  {eta} left",
        }
    }
}

#[derive(Debug)]
enum Show {
    Bar(ProgressBar),
    Lines { next: Duration },
    Nothing,
}

impl Progress {
    /// Starts at nothing of `total`; 0 while that is unknown.
    pub fn new(output: &Output, label: &str, unit: Unit, total: u64) -> Self {
        let label = escape::shown(label).into_owned();
        let show = if output.shows_progress() {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            bar.set_style(
                ProgressStyle::with_template(unit.template()).expect("the template is well formed"),
            );
            bar.set_message(label.clone());
            Show::Bar(bar)
        } else if output.is_quiet() {
            Show::Nothing
        } else {
            Show::Lines {
                next: LINE_INTERVAL,
            }
        };
        Self {
            label,
            unit,
            show,
            clock: Stopwatch::start(),
        }
    }

    /// `done` of `total` are there.
    pub fn update(&mut self, output: &Output, done: u64, total: u64) {
        match &mut self.show {
            Show::Bar(bar) => {
                bar.set_length(total);
                bar.set_position(done);
            }
            Show::Lines { next } if self.clock.elapsed() >= *next => {
                *next = self.clock.elapsed() + LINE_INTERVAL;
                output.say(&format!(
                    "{}  {} of {}",
                    self.label,
                    self.unit.text(done),
                    self.unit.text(total)
                ));
            }
            Show::Lines { .. } | Show::Nothing => {}
        }
    }

    /// Takes the bar away.
    pub fn finish(self) {
        if let Show::Bar(bar) = &self.show {
            bar.finish_and_clear();
        }
    }
}
