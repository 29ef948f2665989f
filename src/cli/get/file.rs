//! One file of a command: looked for, fetched from its sources, told of.

use std::os::unix::ffi::OsStrExt;

use serde::Serialize;

use super::Run;
use super::retry::Retries;
use super::show::{Show, summary};
use super::stdout;
use super::target::Wanted;
use crate::cli::clock::{Stopwatch, now_s};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::Format;
use crate::cli::search::print::seconds;
use crate::disk::liars::Liars;
use crate::disk::names::safe_name;
use crate::disk::parts::OnExist;
use crate::net::download::{Cancel, FetchError, Fetched, Job, Seal, Source, Tap, fetch};
use crate::node::swarm::{CONNECTIONS, Why};

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

impl Run<'_> {
    /// Fetches one file to where it belongs.
    pub(super) fn deliver(&self, wanted: Wanted) -> Result<(), Failure> {
        if self.args.detach {
            return self.detach(&wanted);
        }
        match self.tap.clone() {
            Some(tap) => stdout::pass_on(self.context, &tap, || self.fetch(wanted)),
            None => self.fetch(wanted),
        }
    }

    /// Fetches from the sources that are known; looks for others when there are none or none is of use.
    fn fetch(&self, mut wanted: Wanted) -> Result<(), Failure> {
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
            if !retries.wait(self.context, &self.board, &wanted.id, &ended, left)? {
                return Err(ended);
            }
            searched = self.args.from.is_some();
        }
    }

    /// With `--verify strict` nothing is taken that nothing could prove.
    pub(super) fn check_hash(&self, wanted: &Wanted) -> Result<(), Failure> {
        if wanted.sha1.is_none() && self.args.verify == "strict" {
            return Err(Failure::new(
                Exit::Mismatch,
                "its hash is not known, so nothing could prove what came; leave --verify strict out to take it",
            ));
        }
        Ok(())
    }

    /// The name wished for.
    pub(super) fn name_of(&self, wanted: &Wanted) -> String {
        let asked = self.args.name.clone().or_else(|| wanted.name.clone());
        let hash = || wanted.sha1.map(|sha1| sha1.to_base32());
        asked.or_else(hash).unwrap_or_else(|| "unnamed".to_owned())
    }

    /// The source as `--tls` would have it fetched from; else as was found out about it.
    pub(super) fn sealed(&self, source: &Source) -> Source {
        sealed(source.clone(), self.args.net.tls.as_deref())
    }

    /// Searches for sources by hash and adds them. Returns how many answered, those known before included.
    fn look(&self, wanted: &mut Wanted) -> Result<usize, Failure> {
        let Some(sha1) = wanted.sha1 else {
            return Err(Failure::new(
                Exit::Nothing,
                "no source is known, and without a hash none can be looked for",
            ));
        };
        self.say(&format!("looking for sources of {sha1}"));
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

    fn try_sources(&self, wanted: &Wanted, clock: Stopwatch) -> Result<Fetched, FetchError> {
        let name = self.name_of(wanted);
        let must_push = wanted.sources.iter().any(Source::wants_push);
        let pusher = self
            .finder
            .pusher(self.context, &self.args.peers, must_push);
        let tls = self.args.net.tls.clone();
        let requery = self.finder.requery(self.context, tls);
        let job = Job {
            urn: wanted.sha1.filter(|_| self.args.verify != "off"),
            connections: self.args.sources.unwrap_or(CONNECTIONS),
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
            limits: vec![self.limit.clone()],
            idle: Some(self.idle.clone()),
            ..Job::new(name.clone(), self.folder.clone())
        };
        let cancel = self.tap.as_ref().map_or_else(Cancel::new, Tap::cancel);
        let place = format!("{}/{}", wanted.folders.join("/"), safe_name(&name));
        let _claim = self.claims.claim(&place, &self.context.interrupt);
        let _begun = self.cancels.begin(&cancel);
        let show = Show::new(self.context, &self.board, &wanted.id, &name, wanted.size);
        let mut show = show.of(self.overall.get());
        let fetched = fetch(&job, |news| show.news(news), &cancel);
        show.finish(fetched.as_ref().ok());
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
        self.say(&summary(fetched, self.args.verify != "off", clock));
        if self.tap.is_some() {
            return Ok(());
        }
        // The path as the system has it: a script hands it on.
        let path = [fetched.path.as_os_str().as_bytes(), b"\n"].concat();
        self.board.aside(|| out.bytes(&path))
    }
}

/// The source as `--tls` would have it fetched from; else as was found out about it.
pub(super) fn sealed(source: Source, tls: Option<&str>) -> Source {
    match tls {
        Some("off") => source.sealed(Seal::Never),
        Some("on") if source.seal() == Seal::Never => source.sealed(Seal::Asked),
        _ => source,
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

pub(super) fn failure(error: &FetchError) -> Failure {
    let exit = Exit::WORST_FIRST
        .into_iter()
        .find(|exit| exit.code() == error.exit_code());
    Failure::new(exit.unwrap_or(Exit::Usage), error.to_string())
}
