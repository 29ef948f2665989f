//! Progress of a long action, on stderr only: a bar on a terminal, else one line every ten seconds.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

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
    Bar {
        all: MultiProgress,
        bar: ProgressBar,
        below: Vec<ProgressBar>,
    },
    Lines {
        next: Duration,
        details: String,
    },
    Nothing,
}

impl Progress {
    /// Starts at nothing of `total`; 0 while that is unknown.
    pub fn new(output: &Output, label: &str, unit: Unit, total: u64) -> Self {
        let label = escape::shown(label).into_owned();
        let show = if output.shows_progress() {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
            let bar = all.add(ProgressBar::new(total));
            bar.set_style(
                ProgressStyle::with_template(unit.template()).expect("the template is well formed"),
            );
            bar.set_message(label.clone());
            Show::Bar {
                all,
                bar,
                below: Vec::new(),
            }
        } else if output.is_quiet() {
            Show::Nothing
        } else {
            Show::Lines {
                next: LINE_INTERVAL,
                details: String::new(),
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
            Show::Bar { bar, .. } => {
                bar.set_length(total);
                bar.set_position(done);
            }
            Show::Lines { next, details } if self.clock.elapsed() >= *next => {
                *next = self.clock.elapsed() + LINE_INTERVAL;
                output.say(&format!(
                    "{}  {} of {}{details}",
                    self.label,
                    self.unit.text(done),
                    self.unit.text(total)
                ));
            }
            Show::Lines { .. } | Show::Nothing => {}
        }
    }

    /// Lines shown below the bar in place of those before; behind the next line where there is no bar.
    pub fn below(&mut self, lines: &[String]) {
        match &mut self.show {
            Show::Bar { all, below, .. } => {
                for bar in below.drain(lines.len().min(below.len())..) {
                    bar.finish_and_clear();
                    all.remove(&bar);
                }
                while below.len() < lines.len() {
                    let bar = all.add(ProgressBar::new(0));
                    bar.set_style(
                        ProgressStyle::with_template("  {msg}")
                            .expect("the template is well formed"),
                    );
                    below.push(bar);
                }
                for (bar, line) in below.iter().zip(lines) {
                    bar.set_message(escape::shown(line).into_owned());
                }
            }
            Show::Lines { details, .. } => {
                details.clear();
                if !lines.is_empty() {
                    *details = format!("  ({})", lines.join("; "));
                }
            }
            Show::Nothing => {}
        }
    }

    /// Writes to stderr without tearing the bar.
    pub fn aside(&self, write: impl FnOnce()) {
        match &self.show {
            Show::Bar { all, .. } => all.suspend(write),
            Show::Lines { .. } | Show::Nothing => write(),
        }
    }

    /// Takes the bar away.
    pub fn finish(self) {
        if let Show::Bar { bar, below, .. } = &self.show {
            below.iter().for_each(ProgressBar::finish_and_clear);
            bar.finish_and_clear();
        }
    }
}
