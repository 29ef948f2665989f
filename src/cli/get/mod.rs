//! `get`: fetch files, print their paths and nothing else.

mod detach;
mod end;
mod file;
mod folder;
pub mod place;
mod pool;
mod retry;
pub(in crate::cli) mod show;
pub mod sources;
mod stdout;
pub mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use serde::Serialize;

use crate::cli::Context;
use crate::cli::args::get::GetArgs;
use crate::cli::clock::Stopwatch;
use crate::cli::exit::{Exit, Failure};
use crate::cli::interrupt::LOOK;
use crate::cli::output::progress::Board;
use crate::cli::output::units;
use crate::cli::search::print::seconds;
use crate::net::download::{Idle, Limit, Tap};

use end::{Cancels, Claims};
use file::{failure, sealed};
use pool::Pool;
use show::Overall;
use sources::Finder;
use target::Wanted;

/// Files fetched at a time; those of one source come one after the other, since most give one file at a time to one
/// person. Our choice.
const FILES_AT_A_TIME: usize = 4;
/// A node that could not be reached for so many files in a row is not asked for its others. Our choice.
const UNREACHED_MAX: u32 = 3;

/// One file is not.
#[derive(Debug, Serialize)]
struct FailedLine<'a> {
    id: &'a str,
    code: u8,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_path: Option<&'a str>,
}

/// The last line.
#[derive(Debug, Serialize)]
struct EndLine {
    ok: u64,
    failed: u64,
    /// How many targets ended with each exit code.
    codes: BTreeMap<u8, u64>,
    elapsed: f64,
}

/// Runs `get`.
///
/// # Errors
/// Flags that do not go together; results that cannot be written.
pub fn run(context: &Context, args: &GetArgs) -> Result<Exit, Failure> {
    if args.name.is_some() && (args.targets.len() > 1 || args.targets[0] == "-") {
        return Err(Failure::new(
            Exit::Usage,
            "--as names one file; give one target with it",
        ));
    }
    if args.from.is_some() && args.targets.iter().any(|target| target == "-") {
        return Err(Failure::new(
            Exit::Usage,
            "with --from each target is a path on that node, such as Wedding/; give - without it",
        ));
    }
    let scratch = if args.stdout {
        Some(stdout::begin(context, args)?)
    } else {
        None
    };
    let folder = match &scratch {
        Some(scratch) => scratch.path().to_owned(),
        None => folder(context, args)?,
    };
    let mut run = Run {
        context,
        args,
        folder,
        tap: args.stdout.then(Tap::new),
        finder: Finder::new(
            args.net.clone(),
            crate::cli::node::discovery(args.no_discovery),
        ),
        limit: Limit::new(args.limit.0),
        idle: Idle::default(),
        cancels: Cancels::on(&context.interrupt),
        claims: Claims::default(),
        board: Board::new(&context.out),
        overall: OnceLock::new(),
        tally: Mutex::default(),
    };
    if args.detach {
        run.check_detach()?;
    }
    let clock = Stopwatch::start();
    let fed = pool::run(
        FILES_AT_A_TIME,
        |wanted| run.work(wanted),
        |pool| {
            let feed = Feed {
                run: &run,
                pool,
                seen: BTreeSet::new(),
                listed: 0,
            };
            feed.all()
        },
    );
    drop(run.overall.take());
    let Run { finder, tally, .. } = run;
    finder.close(context);
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    let listed = fed?;
    tally.end(context, args, listed, clock)
}

/// The folder for the files; made if it is not there.
fn folder(context: &Context, args: &GetArgs) -> Result<PathBuf, Failure> {
    let folder = args
        .output
        .clone()
        .or_else(|| place::downloads(&context.home));
    let folder = folder.ok_or_else(|| {
        Failure::new(
            Exit::Disk,
            "there is no home folder; choose a folder with -o",
        )
    })?;
    std::fs::create_dir_all(&folder).map_err(|error| {
        let folder = folder.display();
        Failure::new(
            Exit::Disk,
            format!("cannot make the folder {folder}: {error}; choose another with -o"),
        )
    })?;
    Ok(folder)
}

/// What all files of one command have in common.
struct Run<'a> {
    context: &'a Context,
    args: &'a GetArgs,
    folder: PathBuf,
    /// Where the bytes go, with `--stdout`.
    tap: Option<Tap>,
    finder: Finder,
    limit: Limit,
    idle: Idle,
    cancels: Cancels,
    claims: Claims,
    board: Board,
    /// All files of a folder together.
    overall: OnceLock<Overall>,
    tally: Mutex<Tally>,
}

/// What became of files so far.
#[derive(Debug, Default)]
struct Tally {
    codes: BTreeMap<u8, u64>,
    worst: Option<Exit>,
    /// Why nothing more is to be done: the results cannot be written, or nobody reads them.
    broken: Option<Failure>,
    /// Files in a row whose node could not be reached.
    unreached: u32,
}

impl Tally {
    fn note(&mut self, exit: Exit) {
        self.worst = Some(self.worst.map_or(exit, |worst| worst.worst(exit)));
    }

    /// The last words, and the exit code.
    fn end(
        self,
        context: &Context,
        args: &GetArgs,
        listed: u64,
        clock: Stopwatch,
    ) -> Result<Exit, Failure> {
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        let ok = self.codes.get(&0).copied().unwrap_or(0);
        if listed > 1 && !args.detach {
            let files = units::counted(listed, "file", "files");
            let rest = if ok < listed {
                "; what came of the others is kept, and the same command goes on from there"
            } else {
                ""
            };
            let text = format!("{} of {files} are there{rest}", units::count(ok));
            context.out.say(&text);
        }
        let failed = self.codes.iter().filter(|(code, _)| **code != 0);
        let line = EndLine {
            ok,
            failed: failed.map(|(_, n)| n).sum(),
            codes: self.codes,
            elapsed: seconds(clock.elapsed()),
        };
        context.out.json("end", &line)?;
        Ok(self.worst.unwrap_or(Exit::Good))
    }
}

impl Run<'_> {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Talk that leaves the bars whole.
    fn say(&self, text: &str) {
        self.board.aside(|| self.context.out.say(text));
    }

    /// Fetches one file and reports how it ended.
    fn work(&self, wanted: Wanted) {
        if self.tally().broken.is_some() {
            return;
        }
        if self.context.interrupt.asked() {
            self.tally().note(Exit::Interrupted);
            return;
        }
        let (id, path) = (wanted.id.clone(), wanted.path.clone());
        let given_up = path.is_some() && self.tally().unreached >= UNREACHED_MAX;
        let ended = if given_up {
            let text = "its node cannot be reached any more; it was not asked for this one";
            Err(Failure::new(Exit::NoNetwork, text))
        } else {
            self.deliver(wanted)
        };
        self.ended(&id, path.as_deref(), ended);
    }

    /// Reports how one target ended.
    fn ended(&self, id: &str, path: Option<&str>, ended: Result<(), Failure>) {
        let exit = match ended {
            Ok(()) => Exit::Good,
            // A reader that has gone ends the command.
            Err(failure) if failure.exit == Exit::Good => return self.break_off(failure),
            Err(failure) => {
                let line = FailedLine {
                    id,
                    code: failure.exit.code(),
                    message: &failure.message,
                    remote_path: path,
                };
                if let Err(failure) = self.context.out.json("failed", &line) {
                    return self.break_off(failure);
                }
                let Failure { exit, message } = failure;
                if exit != Exit::Interrupted {
                    let text = format!("{}: {message}", path.unwrap_or(id));
                    self.board.aside(|| self.context.out.error(&text));
                } else if path.is_none() {
                    // Of the files of a folder one word at the end says it.
                    self.say(&format!("{message}\ngo on with: filbert get {id}"));
                }
                exit
            }
        };
        let mut tally = self.tally();
        *tally.codes.entry(exit.code()).or_default() += 1;
        tally.note(exit);
        match exit {
            Exit::NoNetwork => tally.unreached += 1,
            _ => tally.unreached = 0,
        }
    }

    /// Nothing more is done.
    fn break_off(&self, failure: Failure) {
        self.tally().broken.get_or_insert(failure);
        self.cancels.cancel();
    }
}

/// Reads targets and hands files to be fetched to the pool.
struct Feed<'a, 'scope, 'env> {
    run: &'a Run<'a>,
    pool: &'a Pool<'scope, 'env, Wanted>,
    /// Files asked for; a pipe names one often.
    seen: BTreeSet<String>,
    /// Files that a folder was found to have.
    listed: u64,
}

impl<'scope> Feed<'_, 'scope, '_>
where
    Wanted: 'scope,
{
    /// Hands all over; how many files of folders there are.
    fn all(mut self) -> Result<u64, Failure> {
        let (args, results) = (self.run.args, self.run.context.results());
        if let Some(host) = &args.from {
            self.listed_on(host);
            return Ok(self.listed);
        }
        for target in &args.targets {
            if target == "-" {
                self.standard_input()?;
                continue;
            }
            match Wanted::all(target, &results) {
                Ok(all) if all.len() > 1 && args.name.is_some() => {
                    let text = "--as names one file, and this link names several; leave it out";
                    let failure = Failure::new(Exit::Usage, text);
                    self.run.ended(target, None, Err(failure));
                }
                Ok(all) => all.into_iter().for_each(|wanted| self.hand_over(wanted)),
                Err(failure) => self.run.ended(target, None, Err(failure)),
            }
        }
        Ok(self.listed)
    }

    /// One target a line; read as they come, so that a search may still run at the other end of the pipe.
    fn standard_input(&mut self) -> Result<(), Failure> {
        let (line, lines) = sync_channel(1);
        // Detached: it may wait for input for ever.
        thread::spawn(move || {
            for read in std::io::stdin().lock().lines() {
                if line.send(read).is_err() {
                    return;
                }
            }
        });
        while !self.is_over() {
            let line = match lines.recv_timeout(LOOK) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let line = line.map_err(|error| {
                Failure::new(Exit::Usage, format!("cannot read standard input: {error}"))
            })?;
            let fake = Wanted::likely_fake(&line).filter(|_| !self.run.args.show_spam);
            if let Some((id, spam)) = fake {
                self.run.say(&format!(
                    "{id}: passed over as a likely fake ({spam:.2}); `filbert get {id}` or --show-spam takes it"
                ));
                continue;
            }
            match Wanted::parse_line(&line, &self.run.context.results()) {
                Ok(Some(wanted)) => self.hand_over(wanted),
                Ok(None) => {}
                Err(failure) => self.run.ended(&line, None, Err(failure)),
            }
        }
        Ok(())
    }

    /// No more targets are of use.
    fn is_over(&self) -> bool {
        let asked = self.run.context.interrupt.asked();
        if asked {
            self.run.tally().note(Exit::Interrupted);
        }
        asked || self.run.tally().broken.is_some()
    }

    /// Has one file fetched, unless it was asked for before.
    fn hand_over(&mut self, wanted: Wanted) {
        if self.seen.insert(wanted.what()) {
            let first = wanted.sources.first();
            self.pool.submit(first.map(ToString::to_string), wanted);
        }
    }
}
