//! `search`: ask the overlay, print what comes, say why it ended. And the parts `browse` shares with it.

mod explain;
pub mod filter;
pub mod found;
pub mod judge;
pub mod order;
pub mod print;
pub mod spam_list;

use std::time::Duration;

use serde::Serialize;

use crate::cli::Context;
use crate::cli::args::search::{FilterArgs, PrintArgs, SearchArgs};
use crate::cli::args::values::Span;
use crate::cli::clock::Stopwatch;
use crate::cli::exit::{Exit, Failure};
use crate::cli::interrupt::LOOK;
use crate::cli::net::{patience, whom};
use crate::cli::node::{Linked, NodeHandle, discovery};
use crate::cli::output::{Format, Output, units};
use crate::control::{Hit, Net, Reply, Request};
use crate::disk::results::Copy;
use crate::node::media::Kind;
use crate::node::spam::Asked;

use filter::Filter;
use found::{FILES_MAX, Found};
use judge::Judge;
use print::{Printer, seconds};
use spam_list::SpamList;

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// `--timeout` passed.
    Timeout,
    /// Nothing new came for `--idle`.
    Idle,
    /// As many files as were asked for.
    Max,
    /// All was said (`browse`).
    Complete,
    /// All neighbours had the same search too lately to take it.
    #[serde(rename = "too-soon")]
    TooSoon,
    /// Ctrl-C.
    Interrupted,
}

/// The last JSON line.
#[derive(Debug, Serialize)]
struct EndLine {
    reason: Reason,
    hits: u64,
    files: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    reached: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reached_est: Option<bool>,
    answered: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    hidden_spam: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    neighbours: Option<usize>,
    elapsed: f64,
}

/// When a search stops by itself.
#[derive(Clone, Copy, Debug)]
struct Limits {
    timeout: Option<Duration>,
    idle: Option<Duration>,
}

/// Takes in hits: keeps them for later commands, then prints them.
#[derive(Debug)]
pub struct Intake {
    /// All results.
    pub found: Found,
    /// Where they are printed.
    pub printer: Printer,
    clock: Stopwatch,
    kept: bool,
}

impl Intake {
    /// Takes from now on.
    pub fn new(found: Found, printer: Printer) -> Self {
        Self {
            found,
            printer,
            clock: Stopwatch::start(),
            kept: true,
        }
    }

    /// Takes in one hit; `true` when it brought a copy not seen before.
    ///
    /// An id is kept before it is printed, so that the next program of a pipe finds it.
    ///
    /// # Errors
    /// Those of [`Printer::news`].
    pub fn take(&mut self, context: &Context, hit: &Hit) -> Result<bool, Failure> {
        let news = self.found.add(hit, self.clock.elapsed());
        // Hidden ones too: whoever names the id of one shall have it.
        let all = news.offers.iter().chain(&news.hidden);
        let copies: Vec<Copy> = all.map(|offer| offer.copy.clone()).collect();
        if let Err(error) = context.results().add(&copies)
            && std::mem::replace(&mut self.kept, false)
        {
            context.out.error(&format!(
                "{error}; ids of this search will not be known to `filbert get`"
            ));
        }
        self.printer
            .news(&context.out, &self.found, &news, self.clock.elapsed())?;
        Ok(!news.offers.is_empty())
    }

    /// Prints what waited for the end and the last line; the exit code.
    ///
    /// # Errors
    /// Those of [`Printer::end`].
    pub fn end(
        &mut self,
        context: &Context,
        reason: Reason,
        reach: Option<Reach>,
    ) -> Result<Exit, Failure> {
        let elapsed = self.clock.elapsed();
        self.printer.end(&context.out, &self.found, elapsed)?;
        let line = EndLine {
            reason,
            hits: self.found.copies(),
            files: self.found.shown_count(),
            reached: reach.map(|reach| reach.nodes),
            reached_est: reach.map(|_| true),
            answered: self.found.answered(),
            hidden_spam: self.found.hidden_count(),
            neighbours: reach.map(|reach| reach.neighbours),
            elapsed: seconds(elapsed),
        };
        context.out.json("end", &line)?;
        if context.out.format() != Format::Json {
            context.out.say(&summary(&line));
        }
        Ok(match reason {
            Reason::Interrupted => Exit::Interrupted,
            _ if line.files > 0 => Exit::Good,
            _ => Exit::Nothing,
        })
    }
}

/// How far a search went.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// Nodes it reached: an estimate, the addresses heard from lately.
    pub nodes: usize,
    /// Neighbours it was sent to.
    pub neighbours: usize,
}

/// The last line for people.
fn summary(line: &EndLine) -> String {
    let mut parts = if line.files == 0 {
        vec!["nothing found".to_owned()]
    } else {
        vec![
            units::counted(line.files as u64, "file", "files"),
            units::counted(line.hits, "copy", "copies"),
        ]
    };
    if let Some(reached) = line.reached {
        parts.push(format!(
            "about {} reached",
            units::counted(reached as u64, "node", "nodes")
        ));
        parts.push(format!("{} answered", line.answered));
    }
    parts.push(units::time(Duration::from_secs_f64(line.elapsed)));
    let why = match line.reason {
        Reason::Timeout => " (time limit, see --timeout)",
        Reason::Idle => " (nothing new came, see --idle)",
        Reason::Max if line.files >= FILES_MAX => " (no more are taken)",
        Reason::Max => " (as many as asked for)",
        Reason::Complete => "",
        Reason::TooSoon => " (not asked again so soon)",
        Reason::Interrupted => " (interrupted)",
    };
    let mut text = parts.join(", ") + why;
    if let Some(hidden) = line.hidden_spam.filter(|hidden| *hidden > 0) {
        let fakes = units::counted(hidden as u64, "likely fake", "likely fakes");
        text = format!("{text}; {fakes} hidden (--show-spam)");
    }
    text
}

/// Runs `search`.
///
/// # Errors
/// No neighbour, or the node failed.
pub fn run(context: &mut Context, args: &SearchArgs) -> Result<Exit, Failure> {
    if let Some(id) = &args.explain {
        return explain::run(context, args, id);
    }
    let text = args.words.join(" ");
    // `-q` alone asks a yes-or-no question, like `grep -q`.
    let silent = context.out.is_quiet()
        && context.out.format() != Format::Json
        && !args.print.tsv
        && args.print.fields.is_empty();
    let max = if args.first || silent {
        Some(1)
    } else {
        args.max
    };
    let printer = Printer::new(&args.print, &mut context.out, silent);
    let lists = spam_lists(context, args)?;

    let clock = Stopwatch::start();
    let discovery = discovery(args.no_discovery);
    let node = NodeHandle::open(context, &args.peers, &args.net, discovery)?;
    let nets = node.nets()?;
    let patience = patience(&nets);
    // Of hits that do not say on which net they came.
    let net = nets.first().copied().unwrap_or_default();
    let asked = Asked::new(&text, wants_programs(&args.filter));
    let judge = Judge::new(asked, net, lists, args.show_spam);
    let found = Found::new(Filter::new(&args.filter, args.urn), &text, max)
        .judged_by(judge, printer.prints_for_good(&context.out));
    let limit = |asked: Option<Span>, usual| asked.map_or(Some(usual), Span::limit);
    let timeout = limit(args.timeout, patience.search);
    let neighbour = patience.neighbour;
    let wait = timeout.map_or(neighbour, |timeout| timeout.min(neighbour));
    let mut intake = Intake::new(found, printer);
    if node.wait_for_neighbour(context, wait)? == Linked::Interrupted {
        return intake.end(context, Reason::Interrupted, None);
    }
    let limits = Limits {
        timeout: clock.left(timeout),
        idle: limit(args.idle, patience.idle),
    };
    let urn = args.urn.map(|sha1| sha1.to_string());
    let request = Request::Search {
        text: text.clone(),
        urn,
        ttl: args.ttl,
        strategy: args.strategy.as_ref().map(ToString::to_string),
        kind: args.filter.kind.clone(),
        nets: node.asked_nets(),
    };
    let (reason, neighbours) = listen(context, &node, &request, limits, &mut intake)?;
    let heard = node.status().map_or(0, |status| status.nodes_heard);
    let nodes = heard.max(neighbours).max(intake.found.addresses().len());
    let exit = intake.end(context, reason, Some(Reach { nodes, neighbours }));
    explain::keep(context, &intake.found, &text, net);
    node.close(context);
    exit
}

/// The lists that were named, and the one of this home.
fn spam_lists(context: &Context, args: &SearchArgs) -> Result<SpamList, Failure> {
    let mut paths = args.spam_lists.clone();
    let own = context.home.spam_list();
    if own.exists() {
        paths.push(own);
    }
    SpamList::read(&paths, |text| context.out.say(text))
}

/// Programs are what is looked for, so that being one is nothing strange.
fn wants_programs(filter: &FilterArgs) -> bool {
    let program = |ending: &String| {
        let ending = ending.trim_start_matches('.').to_lowercase();
        Kind::of_ending(&ending) == Some(Kind::Program)
    };
    filter.kind.as_deref() == Some("program") || filter.ext.iter().any(program)
}

/// Flags of printing that contradict each other.
///
/// # Errors
/// Exit 2, with what to leave out.
pub fn check(out: &Output, print: &PrintArgs) -> Result<(), Failure> {
    let json = out.format() == Format::Json;
    let clash = match () {
        () if json && print.tsv => "--tsv and --json are two forms; choose one",
        () if json && !print.fields.is_empty() => {
            "--fields chooses columns of a table; --json always has all fields"
        }
        () => return Ok(()),
    };
    Err(Failure::new(Exit::Usage, clash))
}

/// Says that a net was not asked, since all neighbours there had the same too lately, and when it may be.
fn say_too_soon(context: &Context, net: Net, ago_s: u64, again_s: u64) {
    let time = |secs| units::time(Duration::from_secs(secs));
    context.out.say(&format!(
        "not asking {}: all neighbours had the same search {} ago and drop it if it comes again too soon; repeat it in {}, \
         or use other words",
        whom(net.into()),
        time(ago_s),
        time(again_s)
    ));
}

/// Sends the query and takes hits until one of the ends; the end and the neighbours it was sent to.
fn listen(
    context: &Context,
    node: &NodeHandle,
    request: &Request,
    limits: Limits,
    intake: &mut Intake,
) -> Result<(Reason, usize), Failure> {
    let mut replies = node.ask(request)?;
    let clock = Stopwatch::start();
    let mut quiet = Stopwatch::start();
    let (nets, mut asked, mut neighbours) = (node.nets()?.len(), 0, 0);
    let mut too_soon = false;
    loop {
        if context.interrupt.asked() {
            return Ok((Reason::Interrupted, neighbours));
        }
        if clock.passed(limits.timeout) {
            return Ok((Reason::Timeout, neighbours));
        }
        if quiet.passed(limits.idle) {
            return Ok((Reason::Idle, neighbours));
        }
        let left = [
            Some(LOOK),
            clock.left(limits.timeout),
            quiet.left(limits.idle),
        ];
        match replies.next(left.into_iter().flatten().min().unwrap_or(LOOK)) {
            Some(Reply::Searching {
                neighbours: sent, ..
            }) => {
                asked += 1;
                neighbours += sent;
                if asked == nets && neighbours == 0 {
                    if too_soon {
                        return Ok((Reason::TooSoon, 0));
                    }
                    return Err(node.no_neighbour());
                }
            }
            Some(Reply::TooSoon {
                net,
                ago_s,
                again_s,
            }) => {
                (asked, too_soon) = (asked + 1, true);
                say_too_soon(context, net, ago_s, again_s);
                if asked == nets && neighbours == 0 {
                    return Ok((Reason::TooSoon, 0));
                }
            }
            Some(Reply::Failed { net, message }) => {
                asked += 1;
                context
                    .out
                    .say(&format!("not asking {}: {message}", whom(net.into())));
            }
            Some(Reply::Hit(hit)) => {
                if intake.take(context, &hit)? {
                    quiet = Stopwatch::start();
                }
                if intake.found.is_full() {
                    return Ok((Reason::Max, neighbours));
                }
            }
            Some(Reply::Error { message }) => return Err(Failure::new(Exit::Usage, message)),
            // A node that is stopping says no more.
            Some(Reply::Done) => {
                return Err(Failure::new(Exit::NoNetwork, "the node stopped; try again"));
            }
            Some(_) | None => {}
        }
    }
}
