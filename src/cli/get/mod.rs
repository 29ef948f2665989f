//! `get`: fetch files, print their paths and nothing else.

mod detach;
mod folder;
pub mod place;
mod retry;
pub(in crate::cli) mod show;
pub mod sources;
mod stdout;
pub mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use serde::Serialize;

use crate::cli::Context;
use crate::cli::args::get::GetArgs;
use crate::cli::clock::{Stopwatch, now_s};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::Format;
use crate::cli::search::print::seconds;
use crate::disk::liars::Liars;
use crate::disk::parts::OnExist;
use crate::net::download::{Cancel, Control, FetchError, Fetched, Job, Seal, Source, Tap, fetch};
use crate::node::swarm::CONNECTIONS;
use crate::node::swarm::Why;

use retry::Retries;
use show::{Show, summary};
use sources::Finder;
use target::Wanted;

/// One file is about to be fetched.
#[derive(Debug, Serialize)]
struct StartLine<'a> {
    id: &'a str,
    name: Option<&'a str>,
    size: Option<u64>,
    sources: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_path: Option<&'a str>,
}

/// One file is complete.
#[derive(Debug, Serialize)]
struct DoneLine<'a> {
    id: &'a str,
    path: String,
    size: u64,
    urn: Option<String>,
    verified: Option<&'static str>,
    was_there: bool,
    resumed_from: u64,
    elapsed: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_path: Option<&'a str>,
}

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
        clock: Stopwatch::start(),
        seen: BTreeSet::new(),
        codes: BTreeMap::new(),
        worst: Exit::Good,
    };
    if args.detach {
        run.check_detach()?;
    }
    let outcome = run.all();
    let worst = run.worst;
    run.finder.close(context);
    outcome.map(|()| worst)
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

/// The source as `--tls` would have it fetched from; else as was found out about it.
fn sealed(source: Source, tls: Option<&str>) -> Source {
    match tls {
        Some("off") => source.sealed(Seal::Never),
        Some("on") if source.seal() == Seal::Never => source.sealed(Seal::Asked),
        _ => source,
    }
}

/// All targets of one command.
struct Run<'a> {
    context: &'a Context,
    args: &'a GetArgs,
    folder: PathBuf,
    /// Where the bytes go, with `--stdout`.
    tap: Option<Tap>,
    finder: Finder,
    clock: Stopwatch,
    /// Files asked for; a pipe names one often.
    seen: BTreeSet<String>,
    codes: BTreeMap<u8, u64>,
    worst: Exit,
}

impl Run<'_> {
    fn all(&mut self) -> Result<(), Failure> {
        let args = self.args;
        if let Some(host) = &args.from {
            self.listed_on(host)?;
        }
        let targets = args.targets.iter().filter(|_| args.from.is_none());
        for target in targets {
            if target == "-" {
                self.standard_input()?;
            } else {
                match Wanted::all(target, &self.context.results()) {
                    Ok(all) if all.len() > 1 && args.name.is_some() => {
                        let text = "--as names one file, and this link names several; leave it out";
                        self.one(target, Err(Failure::new(Exit::Usage, text)))?;
                    }
                    Ok(all) => {
                        for wanted in all {
                            self.one(target, Ok(Some(wanted)))?;
                        }
                    }
                    Err(failure) => {
                        self.one(target, Err(failure))?;
                    }
                }
            }
        }
        let failed = self
            .codes
            .iter()
            .filter(|(code, _)| **code != 0)
            .map(|(_, n)| n)
            .sum();
        let line = EndLine {
            ok: self.codes.get(&0).copied().unwrap_or(0),
            failed,
            codes: std::mem::take(&mut self.codes),
            elapsed: seconds(self.clock.elapsed()),
        };
        self.context.out.json("end", &line)
    }

    /// One target a line; read as they come, so that a search may still run at the other end of the pipe.
    fn standard_input(&mut self) -> Result<(), Failure> {
        for line in std::io::stdin().lock().lines() {
            if self.context.interrupt.asked() {
                break;
            }
            let line = line.map_err(|error| {
                Failure::new(Exit::Usage, format!("cannot read standard input: {error}"))
            })?;
            if let Some((id, spam)) = Wanted::likely_fake(&line).filter(|_| !self.args.show_spam) {
                self.context.out.say(&format!(
                    "{id}: passed over as a likely fake ({spam:.2}); `filbert get {id}` or --show-spam takes it"
                ));
                continue;
            }
            self.one(&line, Wanted::parse_line(&line, &self.context.results()))?;
        }
        Ok(())
    }

    /// Fetches one file and reports how it ended; `None`: it was not tried. An error is one of our own output.
    fn one(
        &mut self,
        text: &str,
        wanted: Result<Option<Wanted>, Failure>,
    ) -> Result<Option<Exit>, Failure> {
        let (id, path, ended) = match wanted {
            Ok(None) => return Ok(None),
            Ok(Some(wanted)) if !self.seen.insert(wanted.what()) => return Ok(None),
            _ if self.context.interrupt.asked() => {
                self.worst = Exit::Interrupted;
                return Ok(None);
            }
            Ok(Some(wanted)) => {
                let (id, path) = (wanted.id.clone(), wanted.path.clone());
                (id, path, self.deliver(wanted))
            }
            Err(failure) => (text.to_owned(), None, Err(failure)),
        };
        let exit = match ended {
            Ok(()) => Exit::Good,
            // A reader that has gone ends the command.
            Err(failure) if failure.exit == Exit::Good => return Err(failure),
            Err(failure) => {
                let line = FailedLine {
                    id: &id,
                    code: failure.exit.code(),
                    message: &failure.message,
                    remote_path: path.as_deref(),
                };
                self.context.out.json("failed", &line)?;
                if failure.exit == Exit::Interrupted && self.args.from.is_some() {
                    // One word at the end is about all of them.
                } else if failure.exit == Exit::Interrupted {
                    self.context.out.say(&format!(
                        "{}\ngo on with: filbert get {id}",
                        failure.message
                    ));
                } else {
                    let what = path.as_deref().unwrap_or(&id);
                    self.context
                        .out
                        .error(&format!("{what}: {}", failure.message));
                }
                failure.exit
            }
        };
        *self.codes.entry(exit.code()).or_default() += 1;
        self.worst = self.worst.worst(exit);
        Ok(Some(exit))
    }

    /// Fetches one file to where it belongs.
    fn deliver(&mut self, wanted: Wanted) -> Result<(), Failure> {
        if self.args.detach {
            return self.detach(&wanted);
        }
        match self.tap.clone() {
            Some(tap) => stdout::pass_on(self.context, &tap, || self.fetch(wanted)),
            None => self.fetch(wanted),
        }
    }

    /// Fetches from the sources that are known; looks for others when there are none or none is of use.
    fn fetch(&mut self, mut wanted: Wanted) -> Result<(), Failure> {
        let clock = Stopwatch::start();
        // Where all is fetched from one node, it is asked for all.
        let mut searched = self.args.from.is_some();
        let mut retries = Retries::new(self.args.retry);
        self.check_hash(&wanted)?;
        if wanted.sources.is_empty() {
            self.look(&mut wanted)?;
            searched = true;
        }
        let line = StartLine {
            id: &wanted.id,
            name: wanted.name.as_deref(),
            size: wanted.size,
            sources: wanted.sources.len(),
            remote_path: wanted.path.as_deref(),
        };
        self.context.out.json("start", &line)?;
        loop {
            let error = match self.try_sources(&wanted, clock) {
                Ok(fetched) => return self.done(&wanted, &fetched, clock),
                Err(error) => error,
            };
            let FetchError::NoSource { why, .. } = &error else {
                return Err(failure(&error));
            };
            let mut ended = failure(&error);
            if !searched && wanted.sha1.is_some() {
                searched = true;
                let known = wanted.sources.len();
                match self.look(&mut wanted) {
                    Ok(_) if wanted.sources.len() > known => continue,
                    // Whoever answered a search is there, and its answer has left a way to ask it to connect to us.
                    Ok(answered) if *why == Why::Unreachable && answered > 0 => continue,
                    // What the known sources said tells more than that there are no others.
                    Ok(_) => {}
                    Err(other) if other.exit == Exit::Interrupted => return Err(other),
                    Err(other) => {
                        ended.message =
                            format!("{error}\nlooking for other sources: {}", other.message);
                    }
                }
            }
            if matches!(why, Why::Refused | Why::Wrong) {
                return Err(ended);
            }
            let left = clock.left(self.args.timeout.limit());
            if !retries.wait(self.context, &wanted.id, &ended, left)? {
                return Err(ended);
            }
            searched = self.args.from.is_some();
        }
    }

    /// With `--verify strict` nothing is taken that nothing could prove.
    fn check_hash(&self, wanted: &Wanted) -> Result<(), Failure> {
        if wanted.sha1.is_none() && self.args.verify == "strict" {
            return Err(Failure::new(
                Exit::Mismatch,
                "its hash is not known, so nothing could prove what came; leave --verify strict out to take it",
            ));
        }
        Ok(())
    }

    /// The name wished for.
    fn name_of(&self, wanted: &Wanted) -> String {
        let asked = self.args.name.clone().or_else(|| wanted.name.clone());
        let hash = || wanted.sha1.map(|sha1| sha1.to_base32());
        asked.or_else(hash).unwrap_or_else(|| "unnamed".to_owned())
    }

    /// The source as `--tls` would have it fetched from; else as was found out about it.
    fn sealed(&self, source: &Source) -> Source {
        sealed(source.clone(), self.args.net.tls.as_deref())
    }

    /// Searches for sources by hash and adds them. Returns how many answered, those known before included.
    fn look(&mut self, wanted: &mut Wanted) -> Result<usize, Failure> {
        let Some(sha1) = wanted.sha1 else {
            return Err(Failure::new(
                Exit::Nothing,
                "no source is known, and without a hash none can be looked for",
            ));
        };
        self.context
            .out
            .say(&format!("looking for sources of {sha1}"));
        let copies = self.finder.find(self.context, &self.args.peers, sha1)?;
        // What cannot be kept is not needed to go on.
        let _ = self.context.results().add(&copies);
        wanted.add_copies(&copies);
        if let Some(first) = copies.first() {
            wanted.name.get_or_insert_with(|| first.name.clone());
            wanted.size.get_or_insert(first.size);
        }
        if wanted.sources.is_empty() {
            return Err(Failure::new(
                Exit::Nothing,
                "nobody in reach has it; try again later",
            ));
        }
        Ok(copies.len())
    }

    fn try_sources(&mut self, wanted: &Wanted, clock: Stopwatch) -> Result<Fetched, FetchError> {
        let name = self.name_of(wanted);
        let must_push = wanted.sources.iter().any(Source::wants_push);
        let pusher = self
            .finder
            .pusher(self.context, &self.args.peers, must_push);
        let tls = self.args.net.tls.clone();
        let requery = self.finder.requery(self.context, tls);
        let control = Control::default();
        control.set_limit(self.args.limit.0);
        let job = Job {
            urn: wanted.sha1.filter(|_| self.args.verify != "off"),
            connections: self.args.sources.unwrap_or(CONNECTIONS),
            control,
            tiger: wanted.tiger.filter(|_| self.args.verify != "off"),
            trees: self.args.verify != "off",
            // With a hash, a size told by a stranger decides nothing.
            size: wanted.size.filter(|_| wanted.sha1.is_none()),
            sources: wanted
                .sources
                .iter()
                .map(|source| self.sealed(source))
                .collect(),
            on_exist: on_exist(self.args.on_exist.as_deref()),
            timeout: clock.left(self.args.timeout.limit()),
            pusher,
            tap: self.tap.clone(),
            nets: self.finder.nets(self.context),
            requery,
            liars: Liars::new(&self.context.home.liars()).load(now_s()),
            folders: wanted.folders.clone(),
            ..Job::new(name.clone(), self.folder.clone())
        };
        let cancel = self.tap.as_ref().map_or_else(Cancel::new, Tap::cancel);
        let asked = cancel.clone();
        self.context.interrupt.on_asked(move || asked.cancel());
        let mut show = Show::new(self.context, &wanted.id, &name, wanted.size);
        let fetched = fetch(&job, |news| show.news(news), &cancel);
        show.finish();
        fetched
    }

    fn done(&self, wanted: &Wanted, fetched: &Fetched, clock: Stopwatch) -> Result<(), Failure> {
        let out = &self.context.out;
        let line = DoneLine {
            id: &wanted.id,
            path: fetched.path.to_string_lossy().into_owned(),
            size: fetched.size,
            urn: fetched.sha1.map(|sha1| sha1.to_string()),
            verified: fetched.verified.then_some("sha1"),
            was_there: fetched.was_there,
            resumed_from: fetched.resumed_from,
            elapsed: seconds(clock.elapsed()),
            remote_path: wanted.path.as_deref(),
        };
        out.json("done", &line)?;
        if out.format() == Format::Json {
            return Ok(());
        }
        out.say(&summary(fetched, self.args.verify != "off", clock));
        if self.tap.is_some() {
            return Ok(());
        }
        // The path as the system has it: a script hands it on.
        out.bytes(&[fetched.path.as_os_str().as_bytes(), b"\n"].concat())
    }
}

fn on_exist(typed: Option<&str>) -> OnExist {
    match typed {
        Some("skip") => OnExist::Skip,
        Some("rename") => OnExist::Rename,
        Some("overwrite") => OnExist::Overwrite,
        _ => OnExist::Fail,
    }
}

fn failure(error: &FetchError) -> Failure {
    let exit = Exit::WORST_FIRST
        .into_iter()
        .find(|exit| exit.code() == error.exit_code());
    Failure::new(exit.unwrap_or(Exit::Usage), error.to_string())
}
