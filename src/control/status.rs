//! How a node is: its networks, links and folders.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Downloads, Net, Role};
use crate::node::{reach, roles};

/// One screen about a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Name shown to people.
    pub name: String,
    /// The network it is on.
    #[serde(default)]
    pub net: Net,
    /// Its place there; `None` where all are equal.
    #[serde(default)]
    pub role: Option<Role>,
    /// Servent id, 32 hexadecimal digits.
    pub servent: String,
    /// Where it listens; `None` for a short-lived node that accepts nothing.
    pub listen: Option<SocketAddr>,
    /// Process id.
    pub pid: u32,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// The links.
    pub links: usize,
    /// Dials under way.
    pub dialling: usize,
    /// Addresses in the book.
    pub hosts_known: usize,
    /// The listed folders.
    pub shares: Vec<Share>,
    /// Uploads running now.
    pub uploads_active: usize,
    /// Upload slots.
    pub upload_slots: usize,
    /// Persons that wait for one.
    #[serde(default)]
    pub uploads_waiting: usize,
    /// Uploads finished since the start.
    pub uploads_done: u64,
    /// Bytes of files sent since the start.
    pub uploaded_bytes: u64,
    /// Distinct addresses heard from lately: a floor for the size of the network in reach.
    pub nodes_heard: usize,
    /// What came of asking caches for nodes; `None` on a LAN, where none are asked.
    #[serde(default)]
    pub finding: Option<Finding>,
    /// What came of asking the router to open our port; `None`: it was not asked.
    #[serde(default)]
    pub mapping: Option<Mapping>,
    /// Bytes a second that its files may take.
    #[serde(default)]
    pub limits: Limits,
    /// Downloads that it makes by itself.
    #[serde(default)]
    pub downloads: Downloads,
    /// Each network it is on; the figures above are their sums, `net` is the first and `role` that on the public one.
    #[serde(default)]
    pub nets: Vec<OnNet>,
}

/// Bytes a second that files may take, those of machines of this network aside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// All uploads together.
    pub up: Limit,
    /// All downloads of the node together.
    pub down: Limit,
}

/// A limit that may change with the time of day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Bytes a second now; `None`: no limit.
    pub rate: Option<u64>,
    /// What comes next; `None`: it stays.
    pub next: Option<LimitChange>,
}

/// When a limit changes, and to what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitChange {
    /// Seconds until then.
    pub in_s: u64,
    /// When, by the clock of the machine, for people: `Mon 18:00`.
    pub at: String,
    /// Bytes a second from then on; `None`: no limit.
    pub rate: Option<u64>,
}

/// How far asking caches for nodes has got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// There is no link, but still somebody to call or a cache to ask.
    pub pending: bool,
    /// Host caches known.
    pub host_caches: usize,
    /// Questions to host caches since the start.
    pub host_caches_asked: u64,
    /// Those that could not be asked: an unknown name, or a network that is not there.
    pub host_caches_failed: u64,
    /// Answers of host caches.
    pub host_caches_answered: u64,
    /// Web caches known and not given up.
    #[serde(default)]
    pub web_caches: usize,
    /// Questions to web caches since the start.
    #[serde(default)]
    pub web_caches_asked: u64,
    /// Answers of web caches that told of somebody.
    #[serde(default)]
    pub web_caches_answered: u64,
    /// Addresses that caches told of, before any was doubted.
    pub addresses: u64,
}

/// A port of the router that leads to ours, or is to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// Which: the same there and here.
    pub port: u16,
    /// How far that has got.
    pub state: MappingState,
    /// `NAT-PMP` or `UPnP`.
    pub by: Option<String>,
    /// Why it is not open, for people.
    pub problem: Option<String>,
}

/// How far opening a port of the router has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MappingState {
    /// The router is being asked.
    Asking,
    /// It does.
    Open,
    /// It does not, for now.
    Failed,
}

/// A role that is left to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoRole {
    /// Why a leaf is no ultrapeer yet; `None`: it is one, or becomes one within a minute.
    pub hindrance: Option<Hindrance>,
}

/// Why a leaf does not become an ultrapeer yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hindrance {
    /// Nobody is known to be able to connect to it.
    Unreachable,
    /// It may send too little.
    LittleUpload,
    /// Its links cannot be written to as fast as needed.
    Congested,
    /// It has not been up for an hour.
    UpTooShort,
    /// Its role changed less than half an hour ago.
    ChangedLately,
    /// Searches are under way.
    Searching,
}

impl From<roles::Hindrance> for Hindrance {
    fn from(hindrance: roles::Hindrance) -> Self {
        match hindrance {
            roles::Hindrance::Unreachable => Self::Unreachable,
            roles::Hindrance::LittleUpload => Self::LittleUpload,
            roles::Hindrance::Congested => Self::Congested,
            roles::Hindrance::UpTooShort => Self::UpTooShort,
            roles::Hindrance::ChangedLately => Self::ChangedLately,
            roles::Hindrance::Searching => Self::Searching,
        }
    }
}

/// A node on one network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnNet {
    /// Which.
    pub net: Net,
    /// Its place there; `None` where all are equal.
    pub role: Option<Role>,
    /// The place is left to the network: what is said about that; `None` where it was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto: Option<AutoRole>,
    /// The links, with those to leaves.
    pub links: usize,
    /// Links to leaves.
    pub leaves: usize,
    /// Dials under way.
    pub dialling: usize,
    /// Addresses in the book.
    pub hosts_known: usize,
    /// Distinct addresses heard from lately.
    pub nodes_heard: usize,
    /// Whether others reach it; `None` on a LAN, where everybody does.
    #[serde(default)]
    pub reach: Option<Reach>,
    /// Its searches may say where it is, so that hits come straight; `false` on a LAN, where they do not.
    #[serde(default)]
    pub direct_hits: bool,
}

/// Whether others on a network reach a node unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// By connection.
    pub connections: Reached,
    /// By datagram.
    pub datagrams: Reached,
}

/// What is known about that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reached {
    /// Somebody did.
    Yes,
    /// Neighbours were asked to, in vain; or nothing is taken in.
    No,
    /// Neighbours were asked to, and have time left.
    Asked,
    /// Nobody was asked yet.
    Unknown,
}

impl From<reach::Reached> for Reached {
    fn from(reached: reach::Reached) -> Self {
        match reached {
            reach::Reached::Yes => Self::Yes,
            reach::Reached::No => Self::No,
            reach::Reached::Asked => Self::Asked,
            reach::Reached::Unknown => Self::Unknown,
        }
    }
}

/// One listed folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Shown name.
    pub name: String,
    /// Where it lies on this machine. Never sent to peers.
    pub path: String,
    /// Files shared.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files whose hash is known.
    pub hashed_files: u64,
    /// Their bytes.
    pub hashed_bytes: u64,
    /// Files and folders left out.
    pub left_out: u64,
    /// A scan is running.
    pub scanning: bool,
    /// What is wrong with the folder, if anything ("is gone").
    pub problem: Option<String>,
}

/// One shared file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Shown name of its folder, `/`, path below it.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// `urn:sha1:...` once hashed.
    pub urn: Option<String>,
    /// Magnet link once hashed.
    pub magnet: Option<String>,
}

/// One link.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a field that scripts read, on its own"
)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// On which network.
    #[serde(default)]
    pub net: Net,
    /// Address of the other end of the socket.
    pub addr: SocketAddr,
    /// Where it says it listens.
    pub listen: Option<SocketAddr>,
    /// Its `User-Agent`.
    pub agent: String,
    /// Servent id, 32 hexadecimal digits.
    pub servent: Option<String>,
    /// We dialled it.
    pub dialled: bool,
    /// What goes over it is encrypted (TLS). Says nothing of who is there.
    #[serde(default)]
    pub encrypted: bool,
    /// What it sends is compressed.
    #[serde(default)]
    pub compressed_in: bool,
    /// What we send is compressed.
    #[serde(default)]
    pub compressed_out: bool,
    /// Seconds since the link came up.
    pub age_s: u64,
    /// Frames received.
    pub received: u64,
    /// Frames dropped on receipt.
    pub dropped: u64,
    /// Frames queued to it.
    pub queued: u64,
    /// Frames shed because it is slow.
    pub shed: u64,
}
