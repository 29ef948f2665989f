//! Fetching one file: from all its sources at once, into a partial file, verified before it gets its name.
//!
//! [`fetch`] blocks and may be called from any thread that runs no tasks. Decisions are those of
//! [`node::swarm`](crate::node::swarm); files are kept by [`disk::parts`](crate::disk::parts).
//!
//! - `run`: the download itself, one task that owns all decisions; `exchange`: one request, a task each;
//! - `tree`: asks a source for a hash tree; `trees`: which one is believed, and how far;
//! - `writer`: the thread that owns the file; `hints`: what answers say beside their bodies;
//! - `turns`: servers that call when our turn has come;
//! - `offer`: sources as plain data; `tap`: reading along from the beginning;
//! - `source`: where a file can be had; `idle`: connections between two files; `control`: handles for those who steer from outside.

mod control;
mod exchange;
mod hints;
mod idle;
pub(in crate::net) mod offer;
mod run;
mod source;
mod tap;
mod tree;
mod trees;
mod turns;
mod writer;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::pusher::Pusher;
use super::rt;
use super::sharing::Sharing;
use crate::control as plain;
use crate::disk::folder::Folder;
use crate::disk::names::safe_name;
use crate::disk::parts::{self, OnExist, Part, PartError, Wanted};
use crate::node::address::Net;
use crate::node::swarm::{CONNECTIONS, Why};
use crate::wire::Sha1;
use crate::wire::urn::TigerRoot;

pub use control::{Cancel, Control, Limit, Requery};
pub use idle::Idle;
pub use run::REQUERY_WAIT;
pub use source::{BadUrl, Seal, Source};
pub use tap::{Piece, Tap};
pub use turns::Turns;

/// What to fetch.
#[derive(Clone, Debug)]
pub struct Job {
    /// Name wished for, as a stranger gave it; made safe here.
    pub name: String,
    /// Hash of the whole file. Without one the content cannot be verified.
    pub urn: Option<Sha1>,
    /// Root of its Tiger tree, if that is as sure as the hash: then each block is verified as it arrives. Without
    /// it a root that two sources agree on counts.
    pub tiger: Option<TigerRoot>,
    /// Whether hash trees are fetched and used at all; hashing every block takes a core at some 300 MB/s.
    pub trees: bool,
    /// Size in bytes, when known.
    pub size: Option<u64>,
    /// Whom to ask, best first; at most [`SOURCES_MAX`](crate::node::swarm::SOURCES_MAX) are.
    pub sources: Vec<Source>,
    /// An existing folder.
    pub into: PathBuf,
    /// Folders below it, one in the other, that the file goes to: made when they are not there, never reached through a
    /// link. Names of a stranger, made safe here.
    pub folders: Vec<String>,
    /// What to do when the name is taken.
    pub on_exist: OnExist,
    /// Give up after this, keeping what arrived; `None`: never.
    pub timeout: Option<Duration>,
    /// Where sources may call when our turn has come in their queue; `None`: nowhere.
    pub turns: Option<Turns>,
    /// Who has sources connect to us that cannot be connected to; `None`: nobody.
    pub pusher: Option<Pusher>,
    /// Sources asked at a time, 1 to [`CONNECTIONS_MAX`](crate::node::swarm::CONNECTIONS_MAX).
    pub connections: usize,
    /// Networks whose sources may name others of theirs. An address says which it is of; what a source of none of
    /// them names is not looked at.
    pub nets: Vec<Net>,
    /// Nodes that lied lately, as [`Progress::Lied`] names them: asked when nobody else is left.
    pub liars: Vec<String>,
    /// Steers the fetch while it runs.
    pub control: Control,
    /// Limits that it shares with other fetches, beside its own.
    pub limits: Vec<Limit>,
    /// Connections of earlier files, and where it leaves its own; `None`: they are closed.
    pub idle: Option<Idle>,
    /// Looks for more sources, while few are of use and when none is left; `None`: nobody does.
    pub requery: Option<Requery>,
    /// Where verified bytes are offered to others meanwhile; `None`: nowhere.
    pub sharing: Option<Sharing>,
    /// Lets somebody read along; `None`: nobody.
    pub tap: Option<Tap>,
}

impl Job {
    /// To fetch a file of that name into an existing folder; all else as it is when nobody says otherwise.
    pub fn new(name: impl Into<String>, into: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            urn: None,
            tiger: None,
            trees: true,
            size: None,
            sources: Vec::new(),
            into: into.into(),
            folders: Vec::new(),
            on_exist: OnExist::default(),
            timeout: None,
            turns: None,
            pusher: None,
            connections: CONNECTIONS,
            nets: Vec::new(),
            liars: Vec::new(),
            control: Control::default(),
            limits: Vec::new(),
            idle: None,
            requery: None,
            sharing: None,
            tap: None,
        }
    }

    /// To fetch the first file of a hit into an existing folder, under a name that is free. `None`: the hit
    /// names none, or has no hash that could be read.
    pub fn of_hit(hit: &plain::Hit, into: impl Into<PathBuf>) -> Option<Self> {
        let record = hit.records.first()?;
        let source = Source::of_record(hit, record)?;
        let urn = record.urn.as_ref().and_then(|urn| urn.parse().ok());
        Some(Self {
            urn,
            size: Some(record.size),
            sources: vec![source],
            on_exist: OnExist::Rename,
            ..Self::new(record.name.clone(), into)
        })
    }
}

/// What a source does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It is asked, or sends.
    Busy,
    /// It has us in its queue, or asked us to come later.
    Waits,
    /// It is of no more use.
    Lost(Why),
    /// Nothing at the moment.
    Idle,
}

impl Doing {
    /// A word for it, as JSON lines have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Waits => "waits",
            Self::Idle => "idle",
            Self::Lost(Why::Gone) => "gone",
            Self::Lost(Why::Wrong) => "wrong",
            Self::Lost(Why::Busy) => "overloaded",
            Self::Lost(Why::Failing) => "failing",
            Self::Lost(Why::Unreachable) => "unreachable",
            Self::Lost(Why::Refused) => "refused",
        }
    }

    /// It is asked, or sends.
    pub fn is_busy(self) -> bool {
        self == Self::Busy
    }
}

/// How one source does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceNews {
    /// `host:port`.
    pub source: String,
    /// What it does.
    pub doing: Doing,
    /// New bytes that it gave.
    pub bytes: u64,
    /// Bytes a second when it sent last.
    pub bytes_per_s: Option<u64>,
}

/// How it goes, told a few times a second at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// An earlier run had left this.
    Resumed {
        /// Bytes.
        done: u64,
        /// Others wrote the file since: what was verified is checked again.
        changed: bool,
    },
    /// Reading what is there for the hash of the whole, in bytes.
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
    /// A source has us in its queue.
    Queued {
        /// `host:port`.
        source: String,
        /// Our place, from 1.
        position: Option<u32>,
        /// Clients in the queue.
        length: Option<u32>,
        /// Seconds until our turn, as it thinks.
        eta_s: Option<u32>,
        /// Seconds until it is asked again, as it wants it.
        next_s: Option<u32>,
    },
    /// How each source does; once a second at most.
    Sources(Vec<SourceNews>),
    /// No source is left: others are looked for.
    Searching,
    /// A source was of no use, now or for good; why, for people.
    Failed {
        /// `host:port`.
        source: String,
        /// What it said or did.
        why: String,
    },
    /// Blocks are verified against a hash tree from now on; said again when it becomes sure.
    Tree {
        /// Bytes of a block.
        block: u64,
        /// Whoever gives what it does not say is dropped; else the whole decides whether it is right.
        sure: bool,
    },
    /// A source has no hash tree that is of use; why, for people.
    NoTree {
        /// `host:port`.
        source: String,
        /// What it said or did.
        why: String,
    },
    /// The file is right, and this source gave bytes that were not.
    Lied {
        /// `host:port`.
        source: String,
        /// What to remember it by.
        node: String,
    },
    /// [`Control::pause`] was called.
    Paused,
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
    let (folder, wanted) = place(job)?;
    if let Some(there) = already_there(&folder, &wanted, job.on_exist)? {
        return Ok(there);
    }
    let part = Part::open(folder, wanted)?;
    let resumed_from = part.done();
    if resumed_from > 0 {
        progress(Progress::Resumed {
            done: resumed_from,
            changed: part.was_changed(),
        });
    }
    let (part, done) = rt::block_on(run::run(job, part, &mut progress, cancel))?;
    let placed = part.finish(job.on_exist, done.sha1, done.modified_s)?;
    if let (Some(sharing), Some(offer)) = (&job.sharing, done.offer) {
        sharing.complete(offer);
    }
    if let Some(tap) = &job.tap {
        tap.whole(placed.size);
    }
    Ok(Fetched {
        path: placed.path,
        size: placed.size,
        sha1: Some(placed.sha1),
        verified: job.urn.is_some(),
        was_there: false,
        resumed_from,
    })
}

/// Removes what earlier runs of this job left of the file; the file itself, if it is there, stays.
///
/// # Errors
/// [`PartError`].
pub fn discard(job: &Job) -> Result<(), PartError> {
    let (folder, wanted) = place(job)?;
    Part::open(folder, wanted)?.discard()
}

/// Where the file of a job is to lie, and which file it is.
fn place(job: &Job) -> Result<(Folder, Wanted), PartError> {
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
    Ok((folder(&job.into, &job.folders)?, wanted))
}

/// Opens a folder below an existing one, made if it is not there; see [`Job::folders`].
///
/// # Errors
/// [`PartError::Disk`].
pub fn folder(into: &Path, folders: &[String]) -> Result<Folder, PartError> {
    let failed = |what, path| move |source| PartError::Disk { what, path, source };
    let mut folder = Folder::open(into).map_err(failed("open", into.to_owned()))?;
    for name in folders {
        let name = safe_name(name);
        let below = folder.below(&name);
        folder = below.map_err(failed("make the folder", folder.shown(&name)))?;
    }
    Ok(folder)
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

/// For callers with a list of hits: the address of each as a source of `urn`, or by index and name.
pub fn source_of_hit(addr: SocketAddr, urn: Option<Sha1>, index: u32, name: &str) -> Source {
    match urn {
        Some(urn) => Source::by_urn(addr, urn),
        None => Source::by_index(addr, index, name),
    }
}
