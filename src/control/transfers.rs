//! Downloads that a running node makes by itself: what they are to be, how they are, what may be done about them.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::Net;

/// A download handed to a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferSpec {
    /// What tells it from others: 32 lower-case letters and digits, of which the first six are shown. The hash of the
    /// content when it is known.
    pub key: String,
    /// `urn:sha1:...`; without it the content cannot be verified.
    #[serde(default)]
    pub urn: Option<String>,
    /// Root of its Tiger tree, 39 base32 characters, if that is as sure as the hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiger: Option<String>,
    /// Name wished for; data of a stranger, made safe by the node.
    pub name: String,
    /// Size in bytes, when known.
    #[serde(default)]
    pub size: Option<u64>,
    /// Whom to ask, best first. None, with a hash: the node looks for some.
    #[serde(default)]
    pub sources: Vec<Offer>,
    /// Absolute path of the folder.
    pub into: String,
    /// What to do when another file has the name.
    #[serde(default)]
    pub on_exist: OnExist,
    /// Leave the content unchecked although its hash is known.
    #[serde(default)]
    pub unchecked: bool,
    /// Sources asked at a time; else as usual.
    #[serde(default)]
    pub connections: Option<usize>,
    /// Bytes taken a second.
    #[serde(default)]
    pub limit: Option<u64>,
}

/// What to do when another file has the name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnExist {
    /// Fail; what was fetched is kept.
    #[default]
    Fail,
    /// Leave the old file, fetch nothing.
    Skip,
    /// Give the new file a number.
    Rename,
    /// Replace the old file.
    Overwrite,
}

/// One source of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// `http://HOST:PORT/PATH`.
    pub url: String,
    /// Servent id, 32 hexadecimal digits: it may be asked to connect to us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servent: Option<String>,
    /// It must be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub push: bool,
    /// Who passes pushes on to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub push_proxies: Vec<SocketAddr>,
    /// The net it was heard on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net: Option<Net>,
    /// Whether it is asked with TLS.
    #[serde(default)]
    pub tls: Seal,
    /// The root of the file's Tiger tree, as it told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiger: Option<String>,
}

/// Whether a source is asked with TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seal {
    /// No.
    #[default]
    Never,
    /// If it can.
    Asked,
    /// From the first byte.
    Always,
}

/// How a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransferState {
    /// It waits for others to end.
    Queued,
    /// Bytes come, or sources are asked for them.
    Running,
    /// No source gives it now; it is tried again by itself.
    Waiting,
    /// Somebody paused it.
    Paused,
    /// It ended without the file, and will not be tried again by itself.
    Failed,
    /// The file is there.
    Done,
}

impl TransferState {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Failed => "failed",
            Self::Done => "done",
        }
    }

    /// Something is still to come without anybody doing anything.
    pub fn goes_on(self) -> bool {
        matches!(self, Self::Queued | Self::Running | Self::Waiting)
    }
}

/// One download of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Short id, as results have.
    pub id: String,
    /// How it is.
    pub state: TransferState,
    /// Name wished for, data of a stranger; the name it got once it is done.
    pub name: String,
    /// `urn:sha1:...`, when known.
    pub urn: Option<String>,
    /// Bytes that are there.
    pub done: u64,
    /// Of so many, when known.
    pub size: Option<u64>,
    /// Bytes a second now, all sources together.
    pub rate: u64,
    /// How each source does, while it runs.
    pub sources: Vec<SourceState>,
    /// The folder it goes to.
    pub into: String,
    /// Where the file lies, once it is done.
    pub path: Option<String>,
    /// The content is what its hash says.
    pub verified: bool,
    /// What it waits for, or why it failed; for people.
    pub message: Option<String>,
    /// Exit code that `get` would have ended with, of one that waits or failed.
    pub code: Option<u8>,
    /// Seconds until it is tried again, of one that waits.
    pub retry_in_s: Option<u64>,
    /// Downloads that start before it, of one that is queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<usize>,
}

/// One source of a download that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceState {
    /// `host:port`.
    pub source: String,
    /// `busy`, `waits`, `idle`, or why it is of no more use.
    pub state: String,
    /// New bytes that it gave.
    pub bytes: u64,
    /// Bytes a second when it sent last.
    pub rate: Option<u64>,
    /// Our place in its queue, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
    /// Clients in that queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u32>,
    /// Seconds until it is our turn, as it thinks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_s: Option<u32>,
    /// Seconds until it is asked again, as it wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_s: Option<u32>,
}

/// All downloads of a node in short: how many are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downloads {
    /// Bytes come, or sources are asked for them.
    pub running: usize,
    /// They wait for others to end.
    pub queued: usize,
    /// No source gives them now; they are tried again.
    pub waiting: usize,
    /// Somebody paused them.
    pub paused: usize,
    /// They ended without the file.
    pub failed: usize,
    /// The files are there.
    pub done: usize,
    /// Bytes a second now, of all together.
    pub rate: u64,
}

impl Downloads {
    /// Those that are not over: somebody or something is still to do something about them.
    pub fn unfinished(&self) -> usize {
        self.running + self.queued + self.waiting + self.paused + self.failed
    }

    /// One more.
    pub fn count(&mut self, state: TransferState, rate: u64) {
        self.rate = self.rate.saturating_add(rate);
        *match state {
            TransferState::Queued => &mut self.queued,
            TransferState::Running => &mut self.running,
            TransferState::Waiting => &mut self.waiting,
            TransferState::Paused => &mut self.paused,
            TransferState::Failed => &mut self.failed,
            TransferState::Done => &mut self.done,
        } += 1;
    }
}

/// What may be done about a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransferAct {
    /// Ask nobody until it is resumed; what came is kept.
    Pause,
    /// Go on.
    Resume,
    /// Take it off the list, and what came of it off the disk. A finished file stays.
    Cancel,
    /// Take it off the list alone.
    Forget,
    /// Try again now.
    Retry,
}
