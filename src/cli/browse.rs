//! `browse`: list what one node shares, printed and filtered like a search.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crate::cli::Context;
use crate::cli::args::net::NetArgs;
use crate::cli::args::search::BrowseArgs;
use crate::cli::args::values::Span;
use crate::cli::clock::Stopwatch;
use crate::cli::exit::{Exit, Failure};
use crate::cli::get::sources::Finder;
use crate::cli::get::target::walled_of;
use crate::cli::interrupt::LOOK;
use crate::cli::node::discovery;
use crate::cli::search::filter::Filter;
use crate::cli::search::found::Found;
use crate::cli::search::print::Printer;
use crate::cli::search::{Intake, Reason};
use crate::control;
use crate::disk::results::Copy;
use crate::net::browse::{BrowseError, Browsing, browse_sealed};
use crate::net::download::Seal;
use crate::net::hit_for_people;
use crate::node::address::Net;

/// Given up after so long, if not said otherwise.
const PATIENCE: Duration = Duration::from_secs(30);
/// Likewise when the host must connect to us, which may take it three quarters of a minute.
const PATIENCE_WALLED: Duration = Duration::from_mins(1);

/// Runs `browse`.
///
/// # Errors
/// Exit 3: the host cannot be reached; exit 7: it refuses; exit 4: it is too slow.
pub fn run(context: &mut Context, args: &BrowseArgs) -> Result<Exit, Failure> {
    let printer = Printer::new(&args.print, &mut context.out, false);
    let found = Found::new(Filter::new(&args.filter, None), "", args.max);
    let mut intake = Intake::new(found, printer);
    let mut finder = Finder::new(args.net.clone(), discovery(args.no_discovery));
    let browsed = read(context, args, &mut intake, &mut finder);
    finder.close(context);
    let reason = browsed?;
    intake.end(context, reason, None)
}

/// Begins, by the shortest way that is known to the host; with how long it may take.
fn begin(
    context: &Context,
    args: &BrowseArgs,
    finder: &mut Finder,
) -> Result<(Browsing, Option<Duration>), Failure> {
    let host = args.host.to_string();
    let seen = match args.host.resolve() {
        Ok(addr) => context
            .results()
            .at(addr)
            .map_err(|error| Failure::new(Exit::Disk, error.to_string()))?,
        // What is wrong with the name, the connection will tell.
        Err(_) => None,
    };
    let seal = seal(&args.net, seen.as_ref());
    let walled = seen.and_then(|copy| Some((walled_of(&copy)?, copy.push)));
    let pushes = walled.as_ref().is_some_and(|(_, push)| *push);
    let pusher = walled
        .as_ref()
        .and_then(|(_, push)| finder.pusher(context, &args.peers, *push));
    let hits = browse_sealed(&host, seal, walled, pusher);
    let patience = if pushes { PATIENCE_WALLED } else { PATIENCE };
    let limit = args.timeout.map_or(Some(patience), Span::limit);
    Ok((hits.map_err(|error| failed(&error))?, limit))
}

/// How it is asked: as its hit said, if one was seen, unless `--tls` says otherwise. Whoever does not know the question
/// answers in clear.
fn seal(args: &NetArgs, seen: Option<&Copy>) -> Seal {
    let live = || args.nets.iter().any(|net| net == "gnutella");
    match (args.tls.as_deref(), seen) {
        (Some("off"), _) => Seal::Never,
        (_, Some(copy)) if copy.tls => Seal::FromTheStart,
        (Some("on"), _) => Seal::Asked,
        (_, Some(copy)) => {
            let net = copy.net.as_deref().and_then(control::Net::of_name);
            Seal::told(false, net.map(Net::from))
        }
        (_, None) if live() => Seal::Asked,
        (_, None) => Seal::Never,
    }
}

fn read(
    context: &mut Context,
    args: &BrowseArgs,
    intake: &mut Intake,
    finder: &mut Finder,
) -> Result<Reason, Failure> {
    let (hits, limit) = begin(context, args, finder)?;
    let (sender, received) = channel();
    // Detached: it ends with its host, or when nobody listens any more.
    thread::spawn(move || hits.into_iter().all(|hit| sender.send(hit).is_ok()));
    let clock = Stopwatch::start();
    Ok(loop {
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
    })
}

fn failed(error: &BrowseError) -> Failure {
    let exit = Exit::WORST_FIRST
        .into_iter()
        .find(|exit| exit.code() == error.exit_code());
    Failure::new(exit.unwrap_or(Exit::Usage), error.to_string())
}
