//! Fetching one file: from one source at a time, into a partial file, verified before it gets its name.
//!
//! [`fetch`] blocks and may be called from any thread that runs no tasks. Decisions are those of
//! [`node::downloads`](crate::node::downloads), the bytes of one answer are read by `download_wire`, files
//! are kept by [`disk::parts`](crate::disk::parts).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::download_wire::{Sink, ask};
use super::http_conn::Conn;
use super::pusher::{Pusher, Walled};
use super::rt::{self, Clock};
use crate::control;
use crate::disk::folder::Folder;
use crate::disk::names::safe_name;
use crate::disk::parts::{self, OnExist, Part, PartError, Wanted};
use crate::node::downloads::{Download, Ended, SOURCES_MAX, Step, Why};
use crate::wire::{ServentId, Sha1};

pub use super::download_source::{BadUrl, Seal, Source};

/// How often what has arrived is forced to disk and noted. Our estimate: a crash of the whole machine
/// costs this much of a download.
const CHECKPOINT: Duration = Duration::from_secs(10);
/// Buffers between socket and disk.
const BUFFERS: usize = 8;
/// How often progress is told at most.
const TELL: Duration = Duration::from_millis(100);

/// What to fetch.
#[derive(Clone, Debug)]
pub struct Job {
    /// Name wished for, as a stranger gave it; made safe here.
    pub name: String,
    /// Hash of the whole file. Without one the content cannot be verified.
    pub urn: Option<Sha1>,
    /// Size in bytes, when known.
    pub size: Option<u64>,
    /// Whom to ask, best first; at most [`SOURCES_MAX`] are.
    pub sources: Vec<Source>,
    /// An existing folder.
    pub into: PathBuf,
    /// What to do when the name is taken.
    pub on_exist: OnExist,
    /// Give up after this, keeping what arrived; `None`: never.
    pub timeout: Option<Duration>,
    /// Who has sources connect to us that cannot be connected to; `None`: nobody.
    pub pusher: Option<Pusher>,
}

impl Job {
    /// To fetch the first file of a hit into an existing folder, under a name that is free. `None`: the hit
    /// names none, or has no hash that could be read.
    pub fn of_hit(hit: &control::Hit, into: impl Into<PathBuf>) -> Option<Self> {
        let record = hit.records.first()?;
        let urn = record
            .urn
            .as_ref()
            .map(|urn| urn.parse())
            .transpose()
            .ok()?;
        let source = source_of_hit(hit.addr, urn, record.index, &record.name);
        let source = match ServentId::from_hex(&hit.servent) {
            None => source,
            Some(servent) => {
                let walled = Walled {
                    servent,
                    index: record.index,
                    proxies: hit.push_proxies.clone(),
                    net: hit.net.map(Into::into),
                };
                source.or_push(walled, hit.push)
            }
        };
        Some(Self {
            name: record.name.clone(),
            urn,
            size: Some(record.size),
            sources: vec![source],
            into: into.into(),
            on_exist: OnExist::Rename,
            timeout: None,
            pusher: None,
        })
    }
}

/// How it goes, told a few times a second at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Reading again what an earlier run left, in bytes.
    Checking {
        /// Read so far.
        read: u64,
        /// To be read.
        of: u64,
    },
    /// Asking this source.
    Asking {
        /// `host:port`.
        source: String,
    },
    /// Asking this source to connect to us.
    Calling {
        /// `host:port`.
        source: String,
    },
    /// Bytes are there.
    Got {
        /// So many, an earlier run's included.
        done: u64,
        /// Of so many, when known.
        size: Option<u64>,
    },
    /// A source was of no use, now or for good; why, for people.
    Failed {
        /// `host:port`.
        source: String,
        /// What it said or did.
        why: String,
    },
    /// Nobody may be asked for so long.
    Waiting {
        /// The wait.
        span: Duration,
    },
}

/// A complete file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Where it lies.
    pub path: PathBuf,
    /// Its bytes.
    pub size: u64,
    /// Its hash. Unless `verified`, just what came.
    pub sha1: Option<Sha1>,
    /// The content is what the wanted hash says.
    pub verified: bool,
    /// It lay there before; nothing was fetched.
    pub was_there: bool,
    /// Bytes an earlier run had left.
    pub resumed_from: u64,
}

/// Why there is no file. Each text says what, where and the way out.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Every source was tried.
    #[error("{}{}", tried(*why), details(said))]
    NoSource {
        /// The weightiest reason.
        why: Why,
        /// What the sources said or did, `host:port: why`.
        said: Vec<String>,
    },
    /// The time given is over.
    #[error("time is up after {done} bytes, which are kept: run this again to go on")]
    TimedOut {
        /// Bytes that are there.
        done: u64,
    },
    /// Disk, name or hash.
    #[error(transparent)]
    Part(#[from] PartError),
    /// [`Cancel::cancel`] was called.
    #[error("interrupted after {done} bytes, which are kept: run this again to go on")]
    Cancelled {
        /// Bytes that are there.
        done: u64,
    },
}

impl FetchError {
    /// The exit code of PRODUCT.md 6.5.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoSource {
                why: Why::Refused, ..
            } => 7,
            Self::NoSource {
                why: Why::Unreachable,
                ..
            } => 3,
            Self::NoSource {
                why: Why::Gone | Why::Wrong | Why::Busy | Why::Failing,
                ..
            } => 1,
            Self::TimedOut { .. } => 4,
            Self::Part(PartError::WrongHash { .. }) => 5,
            Self::Part(
                PartError::Disk { .. } | PartError::Taken { .. } | PartError::Locked { .. },
            ) => 6,
            Self::Cancelled { .. } => 130,
        }
    }
}

fn tried(why: Why) -> &'static str {
    match why {
        Why::Gone => "no source has it; search again for others",
        Why::Wrong => "no source has this content; search again for others",
        Why::Busy => "all sources were busy; try again later",
        Why::Failing => "all sources failed; try again later",
        Why::Unreachable => "no source can be reached; try again later or search for others",
        Why::Refused => "the sources refuse us",
    }
}

fn details(said: &[String]) -> String {
    if said.is_empty() {
        String::new()
    } else {
        format!(" ({})", said.join("; "))
    }
}

/// Ends a [`fetch`] from elsewhere, such as from a signal. Clones end the same one.
#[derive(Clone, Debug)]
pub struct Cancel {
    open: rt::Sender<()>,
    closed: rt::Receiver<()>,
}

impl Default for Cancel {
    fn default() -> Self {
        Self::new()
    }
}

impl Cancel {
    /// Not cancelled yet.
    pub fn new() -> Self {
        let (open, closed) = rt::bounded(1);
        Self { open, closed }
    }

    /// Ends the fetch soon; what has arrived is kept.
    pub fn cancel(&self) {
        self.open.close();
    }

    /// Whether it was.
    pub fn is_cancelled(&self) -> bool {
        self.open.is_closed()
    }

    async fn wait(&self) {
        // Nothing is ever sent: this ends when the channel is closed.
        let _ = self.closed.recv().await;
    }
}

/// Fetches one file. Blocks until it is there, cannot be had, or is cancelled; what arrived of it is kept,
/// and another call with the same job goes on from there.
///
/// # Errors
/// [`FetchError`].
pub fn fetch(
    job: &Job,
    mut progress: impl FnMut(Progress),
    cancel: &Cancel,
) -> Result<Fetched, FetchError> {
    let wanted = Wanted {
        name: safe_name(&job.name),
        urn: job.urn,
        size: job.size,
        origin: job
            .sources
            .first()
            .filter(|_| job.urn.is_none())
            .map(Source::url),
    };
    let folder = Folder::open(&job.into).map_err(|source| PartError::Disk {
        what: "open",
        path: job.into.clone(),
        source,
    })?;
    if let Some(there) = already_there(&folder, &wanted, job.on_exist)? {
        return Ok(there);
    }
    let mut part = Part::open(folder, wanted)?;
    let of = part.done();
    part.rehash(|read| {
        progress(Progress::Checking { read, of });
        !cancel.is_cancelled()
    })
    .map_err(|error| {
        if cancel.is_cancelled() {
            FetchError::Cancelled { done: of }
        } else {
            error.into()
        }
    })?;
    let mut run = Run {
        job,
        clock: Clock::start(),
        download: Download::new(job.sources.len(), part.done(), part.size()),
        said: vec![None; job.sources.len().min(SOURCES_MAX)],
        progress: &mut progress,
        cancel,
    };
    loop {
        let (back, outcome) = rt::block_on(run.transfer(part))?;
        part = back;
        outcome?;
        // Bad content is worth a second try while somebody is left who gave none of it.
        if part.verified() != Some(false) || !run.download.was_wrong() {
            break;
        }
        part.restart()?;
    }
    let placed = part.finish(job.on_exist)?;
    Ok(Fetched {
        path: placed.path,
        size: placed.size,
        sha1: Some(placed.sha1),
        verified: job.urn.is_some(),
        was_there: false,
        resumed_from: of,
    })
}

/// A name that is taken is settled before anything is fetched.
fn already_there(
    folder: &Folder,
    wanted: &Wanted,
    on_exist: OnExist,
) -> Result<Option<Fetched>, PartError> {
    let path = folder.shown(&wanted.name);
    let failed = |source| PartError::Disk {
        what: "look at",
        path: path.clone(),
        source,
    };
    if !folder.holds(&wanted.name).map_err(failed)? || on_exist == OnExist::Overwrite {
        return Ok(None);
    }
    let same = parts::holds_already(folder, wanted);
    let there = |size, sha1: Option<Sha1>| Fetched {
        path: path.clone(),
        size,
        sha1,
        verified: sha1.is_some(),
        was_there: true,
        resumed_from: 0,
    };
    match (same, on_exist) {
        (Some(placed), OnExist::Fail | OnExist::Skip) => {
            Ok(Some(there(placed.size, Some(placed.sha1))))
        }
        (None, OnExist::Skip) => Ok(Some(there(folder.size_of(&wanted.name), None))),
        (None, OnExist::Fail) => Err(PartError::Taken { path }),
        (_, OnExist::Rename | OnExist::Overwrite) => Ok(None),
    }
}

struct Run<'a, P> {
    job: &'a Job,
    clock: Clock,
    download: Download,
    /// What each source said last.
    said: Vec<Option<String>>,
    progress: &'a mut P,
    cancel: &'a Cancel,
}

/// What stopped a transfer from outside.
enum Stop {
    Cancelled,
    TimedOut,
}

impl<P: FnMut(Progress)> Run<'_, P> {
    /// Fetches until all bytes are there or nobody has more. The partial file comes back in any case but
    /// that of a failing disk.
    async fn transfer(&mut self, part: Part) -> Result<(Part, Result<(), FetchError>), FetchError> {
        let (to_disk, work) = rt::bounded(BUFFERS);
        let (give_back, buffers) = rt::bounded(BUFFERS + 1);
        let writer = rt::spawn_blocking(move || write_out(part, &work, &give_back));
        let mut sink = Sink::new(to_disk, buffers);
        let outcome = self.sources(&mut sink).await;
        drop(sink);
        let (part, written) = writer.await;
        written?;
        Ok((part, outcome))
    }

    async fn sources(&mut self, sink: &mut Sink) -> Result<(), FetchError> {
        let mut kept: Option<Conn> = None;
        let pusher = self.job.pusher.as_ref();
        loop {
            match self.download.next(self.clock.now()) {
                Step::Complete => {
                    if let Some((conn, pusher)) = kept.zip(pusher) {
                        pusher.keep(conn);
                    }
                    return Ok(());
                }
                Step::GiveUp(why) => {
                    let said = self.said.iter().zip(&self.job.sources);
                    let said = said
                        .filter_map(|(said, source)| Some(format!("{source}: {}", said.as_ref()?)));
                    return Err(FetchError::NoSource {
                        why,
                        said: said.collect(),
                    });
                }
                Step::Wait(until) => {
                    // A connection kept open would not outlive most waits.
                    kept = None;
                    let span = until.since(self.clock.now());
                    (self.progress)(Progress::Waiting { span });
                    self.unless_stopped(rt::sleep(span)).await?;
                }
                Step::Ask { source, from } => {
                    let whom = self.job.sources[source.0].clone();
                    let conn = kept.take().filter(|conn| conn.is_to(&whom));
                    let conn = conn.or_else(|| pusher?.take_idle(&whom));
                    if conn.is_none() {
                        let source = whom.to_string();
                        (self.progress)(if whom.wants_push() {
                            Progress::Calling { source }
                        } else {
                            Progress::Asking { source }
                        });
                    }
                    let (cancel, left) = (self.cancel, self.time_left());
                    let clock = self.clock;
                    let mut told = clock.now();
                    let (download, progress) = (&mut self.download, &mut *self.progress);
                    let note = |download: &Download| {
                        if clock.now().since(told) >= TELL {
                            told = clock.now();
                            progress(Progress::Got {
                                done: download.done(),
                                size: download.size(),
                            });
                        }
                    };
                    let asking = ask(
                        conn,
                        &whom,
                        self.job.urn,
                        source,
                        from,
                        download,
                        sink,
                        note,
                        clock,
                        pusher,
                    );
                    let answer = stopped(cancel, left, asking).await;
                    let done = self.download.done();
                    let answer = match answer {
                        Ok(answer) => answer,
                        Err(stop) => return Err(stop.error(done)),
                    };
                    (self.progress)(Progress::Got {
                        done,
                        size: self.download.size(),
                    });
                    if sink.is_closed() {
                        // The disk failed; the writer knows why.
                        return Ok(());
                    }
                    if !answer.why.is_empty() {
                        let failed = Progress::Failed {
                            source: whom.to_string(),
                            why: answer.why.clone(),
                        };
                        (self.progress)(failed);
                        self.said[source.0] = Some(answer.why);
                    }
                    kept = answer.conn.filter(|_| answer.ended == Ended::Served);
                    self.download.ended(self.clock.now(), source, answer.ended);
                }
            }
        }
    }

    fn time_left(&self) -> Option<Duration> {
        let spent = self.clock.now().since(crate::node::Time::ZERO);
        self.job
            .timeout
            .map(|timeout| timeout.saturating_sub(spent))
    }

    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, FetchError> {
        let work = stopped(self.cancel, self.time_left(), work);
        work.await.map_err(|stop| stop.error(self.download.done()))
    }
}

impl Stop {
    fn error(self, done: u64) -> FetchError {
        match self {
            Self::Cancelled => FetchError::Cancelled { done },
            Self::TimedOut => FetchError::TimedOut { done },
        }
    }
}

async fn stopped<T>(
    cancel: &Cancel,
    left: Option<Duration>,
    work: impl Future<Output = T>,
) -> Result<T, Stop> {
    let work = rt::unless(cancel.wait(), work);
    let done = match left {
        Some(left) => rt::timeout(left, work).await.map_err(|_| Stop::TimedOut)?,
        None => work.await,
    };
    done.ok_or(Stop::Cancelled)
}

/// Writes what comes until nobody sends any more, or the disk fails. Runs on a thread that may wait.
fn write_out(
    mut part: Part,
    work: &rt::Receiver<(Vec<u8>, usize)>,
    give_back: &rt::Sender<Vec<u8>>,
) -> (Part, Result<(), PartError>) {
    let clock = Clock::start();
    let mut noted = clock.now();
    while let Ok((buffer, len)) = work.recv_blocking() {
        let mut written = part.append(&buffer[..len]);
        if written.is_ok() && clock.now().since(noted) >= CHECKPOINT {
            written = part.checkpoint();
            noted = clock.now();
        }
        if written.is_err() {
            work.close();
            return (part, written);
        }
        // Nobody wants it back at the end.
        let _ = give_back.try_send(buffer);
    }
    (part, Ok(()))
}

/// For callers with a list of hits: the address of each as a source of `urn`, or by index and name.
pub fn source_of_hit(addr: SocketAddr, urn: Option<Sha1>, index: u32, name: &str) -> Source {
    match urn {
        Some(urn) => Source::by_urn(addr, urn),
        None => Source::by_index(addr, index, name),
    }
}
