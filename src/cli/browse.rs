//! `browse`: list what one node shares, printed and filtered like a search. And the list itself, for `get --from`.

use std::ops::ControlFlow;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crate::cli::Context;
use crate::cli::args::net::NetArgs;
use crate::cli::args::search::BrowseArgs;
use crate::cli::args::values::{Address, Span};
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
use crate::control::{self, Hit};
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
    let mut intake = Intake::new(found, printer.with_folders());
    let finder = Finder::new(args.net.clone(), discovery(args.no_discovery));
    let whom = Whom {
        host: &args.host,
        net: &args.net,
        peers: &args.peers,
    };
    let context = &*context;
    let listed = list(context, whom, &finder, args.timeout, |hit| {
        intake.take(context, hit)?;
        Ok(if intake.found.is_full() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    });
    finder.close(context);
    let (reason, failure) = match listed? {
        Listed::Complete => (Reason::Complete, None),
        Listed::Enough => (Reason::Max, None),
        Listed::Interrupted => (Reason::Interrupted, None),
        Listed::Late => {
            let text = format!("{} takes too long; raise --timeout", args.host);
            (Reason::Timeout, Some(Failure::new(Exit::TimeLimit, text)))
        }
        // What came before it breaks off is good.
        Listed::Broken(failure) if intake.found.copies() > 0 => (Reason::Complete, Some(failure)),
        Listed::Broken(failure) => return Err(failure),
    };
    let exit = intake.end(context, reason, None)?;
    failure.map_or(Ok(exit), Err)
}

/// Which node is listed, and how it is reached.
#[derive(Clone, Copy, Debug)]
pub struct Whom<'a> {
    /// The node.
    pub host: &'a Address,
    /// Which network it is on.
    pub net: &'a NetArgs,
    /// Whom to link to first when it must be asked to connect to us.
    pub peers: &'a [Address],
}

/// How reading a list ended.
#[derive(Debug)]
pub enum Listed {
    /// All of it came.
    Complete,
    /// Whoever takes it wants no more.
    Enough,
    /// Ctrl-C.
    Interrupted,
    /// The time is over.
    Late,
    /// It broke off, or never began.
    Broken(Failure),
}

/// Reads the list of a node, each hit as it comes. `timeout`: as typed; else as usual.
///
/// # Errors
/// What `take` says; a host that cannot be one; the results of searches cannot be read.
pub fn list(
    context: &Context,
    whom: Whom<'_>,
    finder: &Finder,
    timeout: Option<Span>,
    mut take: impl FnMut(&Hit) -> Result<ControlFlow<()>, Failure>,
) -> Result<Listed, Failure> {
    let (hits, patience) = begin(context, whom, finder)?;
    let limit = timeout.map_or(Some(patience), Span::limit);
    let (sender, received) = channel();
    // Detached: it ends with its host, or when nobody listens any more.
    thread::spawn(move || hits.into_iter().all(|hit| sender.send(hit).is_ok()));
    let clock = Stopwatch::start();
    Ok(loop {
        if context.interrupt.asked() {
            break Listed::Interrupted;
        }
        if clock.passed(limit) {
            break Listed::Late;
        }
        match received.recv_timeout(LOOK) {
            Ok(Ok(hit)) => {
                if take(&hit_for_people(None, 0, hit))?.is_break() {
                    break Listed::Enough;
                }
            }
            Ok(Err(error)) => break Listed::Broken(failed(&error)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break Listed::Complete,
        }
    })
}

/// Begins, by the shortest way that is known to the host; with how long it may take.
fn begin(
    context: &Context,
    whom: Whom<'_>,
    finder: &Finder,
) -> Result<(Browsing, Duration), Failure> {
    let host = whom.host.to_string();
    let seen = match whom.host.resolve() {
        Ok(addr) => context
            .results()
            .at(addr)
            .map_err(|error| Failure::new(Exit::Disk, error.to_string()))?,
        // What is wrong with the name, the connection will tell.
        Err(_) => None,
    };
    let seal = seal(whom.net, seen.as_ref());
    let walled = seen.and_then(|copy| Some((walled_of(&copy)?, copy.push)));
    let pushes = walled.as_ref().is_some_and(|(_, push)| *push);
    let pusher = walled
        .as_ref()
        .and_then(|(_, push)| finder.pusher(context, whom.peers, *push));
    let hits = browse_sealed(&host, seal, walled, pusher);
    let patience = if pushes { PATIENCE_WALLED } else { PATIENCE };
    Ok((hits.map_err(|error| failed(&error))?, patience))
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

fn failed(error: &BrowseError) -> Failure {
    let exit = Exit::WORST_FIRST
        .into_iter()
        .find(|exit| exit.code() == error.exit_code());
    Failure::new(exit.unwrap_or(Exit::Usage), error.to_string())
}
