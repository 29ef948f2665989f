//! Trying again when no source gave the file: later each time, and not for ever.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use serde::Serialize;

use crate::cli::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::progress::Board;
use crate::cli::output::units;
use crate::cli::search::print::seconds;

/// Wait before the first retry. Our choice.
const FIRST: Duration = Duration::from_secs(2);
/// No wait is longer: a source that is back is found within this. Our choice.
const LONGEST: Duration = Duration::from_mins(5);

/// All sources are tried again after `span` seconds.
#[derive(Debug, Serialize)]
struct RetryLine<'a> {
    id: &'a str,
    attempt: u32,
    of: u32,
    span: f64,
    message: &'a str,
}

/// The retries of one file.
pub(super) struct Retries {
    made: u32,
    of: u32,
    span: Duration,
}

impl Retries {
    /// At most `of`.
    pub(super) fn new(of: u32) -> Self {
        Self {
            made: 0,
            of,
            span: FIRST,
        }
    }

    /// Waits until the next try is due; `false`: there is none.
    ///
    /// # Errors
    /// Exit 4: `left` is over before; exit 130: somebody asks to end; a reader of the lines that has gone.
    pub(super) fn wait(
        &mut self,
        context: &Context,
        board: &Board,
        id: &str,
        ended: &Failure,
        left: Option<Duration>,
    ) -> Result<bool, Failure> {
        if self.made >= self.of {
            return Ok(false);
        }
        self.made += 1;
        let span = self.span;
        self.span = (span * 2).min(LONGEST);
        let line = RetryLine {
            id,
            attempt: self.made,
            of: self.of,
            span: seconds(span),
            message: &ended.message,
        };
        context.out.json("retry", &line)?;
        let text = format!(
            "{id}: {}\ntrying again in {} ({} of {})",
            ended.message,
            units::time(span),
            self.made,
            self.of
        );
        board.aside(|| context.out.say(&text));
        let (asked, end) = channel::<()>();
        context.interrupt.on_asked(move || drop(asked));
        let until = left.map_or(span, |left| left.min(span));
        match end.recv_timeout(until) {
            Err(RecvTimeoutError::Timeout) if until < span => Err(Failure::new(
                Exit::TimeLimit,
                format!("time is up: {}", ended.message),
            )),
            Err(RecvTimeoutError::Timeout) => Ok(true),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                Err(Failure::new(Exit::Interrupted, "interrupted"))
            }
        }
    }
}
