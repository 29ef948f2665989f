//! `browse`: list what one node shares, printed and filtered like a search.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;

use crate::cli::Context;
use crate::cli::args::search::BrowseArgs;
use crate::cli::clock::Stopwatch;
use crate::cli::exit::{Exit, Failure};
use crate::cli::interrupt::LOOK;
use crate::cli::search::filter::Filter;
use crate::cli::search::found::Found;
use crate::cli::search::print::Printer;
use crate::cli::search::{Intake, Reason};
use crate::net::browse::{BrowseError, browse};
use crate::net::hit_for_people;

/// Runs `browse`.
///
/// # Errors
/// Exit 3: the host cannot be reached; exit 7: it refuses; exit 4: it is too slow.
pub fn run(context: &mut Context, args: &BrowseArgs) -> Result<Exit, Failure> {
    let printer = Printer::new(&args.print, &mut context.out, false);
    let found = Found::new(Filter::new(&args.filter, None), "", args.max);
    let mut intake = Intake::new(found, printer);
    let hits = browse(&args.host.to_string()).map_err(|error| failed(&error))?;
    let (sender, received) = channel();
    // Detached: it ends with its host, or when nobody listens any more.
    thread::spawn(move || hits.into_iter().all(|hit| sender.send(hit).is_ok()));
    let (clock, limit) = (Stopwatch::start(), args.timeout.limit());
    let reason = loop {
        if context.interrupt.asked() {
            break Reason::Interrupted;
        }
        if intake.found.is_full() {
            break Reason::Max;
        }
        if clock.passed(limit) {
            let message = format!("{} takes too long; raise --timeout", args.host);
            intake.end(context, Reason::Timeout, None)?;
            return Err(Failure::new(Exit::TimeLimit, message));
        }
        match received.recv_timeout(LOOK) {
            Ok(Ok(hit)) => {
                intake.take(context, &hit_for_people(None, 0, hit))?;
            }
            Ok(Err(error)) => {
                // What came before it breaks off is good.
                if intake.found.copies() > 0 {
                    intake.end(context, Reason::Complete, None)?;
                }
                return Err(failed(&error));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break Reason::Complete,
        }
    };
    intake.end(context, reason, None)
}

fn failed(error: &BrowseError) -> Failure {
    let exit = Exit::WORST_FIRST
        .into_iter()
        .find(|exit| exit.code() == error.exit_code());
    Failure::new(exit.unwrap_or(Exit::Usage), error.to_string())
}
