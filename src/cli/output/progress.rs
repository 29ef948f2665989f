//! Progress of a long action, on stderr only: a bar on a terminal, else one line every ten seconds.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Output, escape, units};

/// How often a stderr that is no terminal hears of progress. Issue: at most one line per 10 s.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// How far something is.
#[derive(Debug)]
pub struct Progress {
    label: String,
    show: Show,
    started: Instant,
}

#[derive(Debug)]
enum Show {
    Bar(ProgressBar),
    Lines { next: Instant, total: u64 },
    Nothing,
}

impl Progress {
    /// Starts at nothing of `total` bytes; 0 while that is unknown.
    pub fn new(output: &Output, label: &str, total: u64) -> Self {
        let label = escape::shown(label).into_owned();
        let show = if output.shows_progress() {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let style =
                "{msg}  {total_bytes}  {bar:20}  {percent:>3}%  {bytes_per_sec}  {eta} left";
            bar.set_style(
                ProgressStyle::with_template(style).expect("the template is well formed"),
            );
            bar.set_message(label.clone());
            Show::Bar(bar)
        } else if output.is_quiet() {
            Show::Nothing
        } else {
            Show::Lines {
                next: Instant::now() + LINE_INTERVAL,
                total,
            }
        };
        Self {
            label,
            show,
            started: Instant::now(),
        }
    }

    /// `done` of `total` bytes are there.
    pub fn update(&mut self, output: &Output, done: u64, total: u64) {
        match &mut self.show {
            Show::Bar(bar) => {
                bar.set_length(total);
                bar.set_position(done);
            }
            Show::Lines { next, total: known } => {
                *known = total;
                if Instant::now() >= *next {
                    *next = Instant::now() + LINE_INTERVAL;
                    output.say(&format!(
                        "{}  {} of {}",
                        self.label,
                        units::size(done),
                        units::size(*known)
                    ));
                }
            }
            Show::Nothing => {}
        }
    }

    /// Takes the bar away.
    pub fn finish(self) -> Duration {
        if let Show::Bar(bar) = &self.show {
            bar.finish_and_clear();
        }
        self.started.elapsed()
    }
}
