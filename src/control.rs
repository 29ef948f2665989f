//! The control protocol: one JSON line asks, JSON lines answer. Plain data shared by shells and commands.
//!
//! A [`Request`] is answered by any number of [`Reply`]s; the last one is [`Reply::Done`] or
//! [`Reply::Error`]. A search goes on until the asker hangs up. The same types serve a command that talks to
//! a running node over its local socket and one that hosts a short-lived node itself. See docs/control.md.

mod transfers;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::node::{address, event, roles};

pub use transfers::{
    Offer, OnExist, Seal, SourceState, Transfer, TransferAct, TransferSpec, TransferState,
};

/// What a command may ask of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum Request {
    /// One [`Reply::Status`].
    Status,
    /// A [`Reply::Searching`] or [`Reply::Failed`] for each net, and [`Reply::Hit`]s until the asker hangs up.
    Search {
        /// Words as typed; empty for a search by hash alone.
        text: String,
        /// `urn:sha1:...`
        #[serde(default)]
        urn: Option<String>,
        /// TTL of the query; else the node's own.
        #[serde(default)]
        ttl: Option<u8>,
        /// How it spreads, such as `ring:1/2/4/7`; unnamed, as is usual on each net.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        strategy: Option<String>,
        /// Only `audio`, `video`, `image`... files are of use: others may still come.
        #[serde(default)]
        kind: Option<String>,
        /// Where to ask; none named: on every net that the node is on.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        nets: Vec<Net>,
    },
    /// A [`Reply::Peer`] for each link.
    Peers,
    /// Link to this address; answers when the link is up or cannot be.
    PeerAdd {
        /// Where the peer listens.
        addr: SocketAddr,
        /// On which net; unnamed, the one that the address belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        net: Option<Net>,
    },
    /// Close the link to this address.
    PeerDrop {
        /// Its listening or remote address.
        addr: SocketAddr,
    },
    /// A [`Reply::Share`] for each listed folder, then a [`Reply::File`] for each shared file when asked.
    Shares {
        /// Also list the files.
        files: bool,
    },
    /// Scan the listed folders now; answers when the scan is done.
    Rescan,
    /// A [`Reply::LeftOut`] for each file or folder that is not shared.
    Check,
    /// One [`Reply::Counters`].
    Counters,
    /// One [`Reply::Trace`]: what this node knows of a message id.
    Trace {
        /// 32 hexadecimal digits.
        guid: String,
    },
    /// For laboratories: what is done to frames on links to the peer that listens there, up and to come. Answers when
    /// it is so.
    Shape {
        /// Where the peer listens.
        addr: SocketAddr,
        /// What; none: nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shape: Option<Shape>,
    },
    /// Have a servent connect to the node that cannot be connected to. [`Reply::Pushed`] comes with the connection,
    /// as a descriptor beside its line: only over the control socket.
    Push {
        /// Who: 32 hexadecimal digits.
        servent: String,
        /// Number of the file wanted; of no meaning today.
        index: u32,
        /// Who passes pushes on to it, as its hit says.
        #[serde(default)]
        push_proxies: Vec<SocketAddr>,
        /// The net that its hit came on; unnamed, any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        net: Option<Net>,
    },
    /// Take on a download; one [`Reply::Transfer`]. It stays on the list across restarts.
    TransferAdd {
        /// What it is to be.
        transfer: Box<TransferSpec>,
    },
    /// A [`Reply::Transfer`] for each download.
    Transfers {
        /// Go on with each that changes, at most twice a second, and with [`Reply::TransferGone`], until the asker
        /// hangs up.
        #[serde(default)]
        watch: bool,
    },
    /// Do something about a download: how it is then, or [`Reply::TransferGone`].
    TransferAct {
        /// As much of its key as tells it from others, 4 characters at least.
        id: String,
        /// What.
        act: TransferAct,
    },
    /// Leave the network and end the node.
    Stop,
}

impl Request {
    /// A search for words, with the node's own TTL.
    pub fn search(text: impl Into<String>) -> Self {
        Self::Search {
            text: text.into(),
            urn: None,
            ttl: None,
            strategy: None,
            kind: None,
            nets: Vec::new(),
        }
    }

    /// A link to this address, on the net that it belongs to.
    pub fn peer_add(addr: SocketAddr) -> Self {
        Self::PeerAdd { addr, net: None }
    }
}

/// What a node answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Reply {
    /// See [`Request::Status`].
    Status(Box<Status>),
    /// The query went out.
    Searching {
        /// Its message id, 32 hexadecimal digits.
        guid: String,
        /// Neighbours it was sent to.
        neighbours: usize,
        /// TTL it was sent with.
        ttl: u8,
        /// On which net; one such line for each.
        #[serde(default)]
        net: Net,
    },
    /// A search did not go out on one net: all neighbours there had the same too lately to take it.
    TooSoon {
        /// On which.
        net: Net,
        /// Seconds since it went to the neighbour that takes it again first.
        ago_s: u64,
        /// Seconds until that neighbour takes it again.
        again_s: u64,
    },
    /// A search failed on one net; it goes on elsewhere.
    Failed {
        /// On which.
        net: Net,
        /// What, and the way out.
        message: String,
    },
    /// One hit frame.
    Hit(Box<Hit>),
    /// One link.
    Peer(Peer),
    /// One listed folder.
    Share(Share),
    /// One shared file.
    File(File),
    /// Something below a listed folder that is not shared.
    LeftOut {
        /// The listed folder's shown name.
        share: String,
        /// Path below it; control characters escaped by whoever prints it.
        path: String,
        /// Why, for people.
        why: String,
    },
    /// Frames counted since the start.
    Counters(Counters),
    /// What this node knows of a message id.
    Trace(#[serde(with = "known")] Option<Trace>),
    /// One download.
    Transfer(Box<Transfer>),
    /// A download is not on the list any more.
    TransferGone {
        /// Its short id.
        id: String,
    },
    /// The servent has connected; see [`Request::Push`].
    Pushed,
    /// The last line: all is said.
    Done,
    /// The last line: it failed.
    Error {
        /// What, where and the way out.
        message: String,
    },
}

/// The network a node is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Net {
    /// This network's machines.
    #[default]
    Lan,
    /// The public Gnutella network.
    Gnutella,
    /// Its rules among private addresses, for tests.
    Rehearsal,
}

impl Net {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Gnutella => "gnutella",
            Self::Rehearsal => "rehearsal",
        }
    }

    /// The net of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        let all = [Self::Lan, Self::Gnutella, Self::Rehearsal];
        all.into_iter().find(|net| net.name() == name)
    }
}

impl From<address::Net> for Net {
    fn from(net: address::Net) -> Self {
        match net {
            address::Net::Lan => Self::Lan,
            address::Net::Gnutella => Self::Gnutella,
            address::Net::Rehearsal => Self::Rehearsal,
        }
    }
}

impl From<Net> for address::Net {
    fn from(net: Net) -> Self {
        match net {
            Net::Lan => Self::Lan,
            Net::Gnutella => Self::Gnutella,
            Net::Rehearsal => Self::Rehearsal,
        }
    }
}

/// The place of a node on the public network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It hangs on ultrapeers.
    Leaf,
    /// It carries leaves.
    Ultrapeer,
}

impl From<event::Role> for Role {
    fn from(role: event::Role) -> Self {
        match role {
            event::Role::Leaf => Self::Leaf,
            event::Role::Ultrapeer => Self::Ultrapeer,
        }
    }
}

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
    /// Each network it is on; the figures above are their sums, `net` is the first and `role` that on the public one.
    #[serde(default)]
    pub nets: Vec<OnNet>,
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

/// One hit frame: a responder and its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// On which network it came; `None`: it was not searched for there (`browse`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net: Option<Net>,
    /// Hops from the responder to us; 0 is a neighbour.
    pub hops: u8,
    /// Where the responder serves files.
    pub addr: SocketAddr,
    /// Its name, if it has one.
    pub nick: Option<String>,
    /// Vendor code.
    pub vendor: String,
    /// Servent id, 32 hexadecimal digits.
    pub servent: String,
    /// It wants a push.
    pub push: bool,
    /// Who passes pushes on to it, as it says.
    #[serde(default)]
    pub push_proxies: Vec<SocketAddr>,
    /// `Some(true)`: it has a free slot; `None`: not said.
    pub free_slot: Option<bool>,
    /// It can be browsed.
    pub browse: bool,
    /// Its listener accepts TLS.
    #[serde(default)]
    pub tls: bool,
    /// Its files.
    pub records: Vec<Record>,
}

/// One file of a hit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Number for `/get/<index>/<name>`.
    pub index: u32,
    /// Size in bytes.
    pub size: u64,
    /// Base name, data of a stranger.
    pub name: String,
    /// `urn:sha1:...`
    pub urn: Option<String>,
    /// Seconds since 1970.
    pub created: Option<u64>,
    /// Root of its Tiger tree, 39 base32 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiger: Option<String>,
    /// The responder has only parts of it.
    #[serde(default)]
    pub partial: bool,
    /// Who else has it, as the responder says; at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternates: Vec<SocketAddr>,
}

/// Frames counted since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// By kind: received.
    pub received: std::collections::BTreeMap<String, u64>,
    /// By kind: queued for sending, one for each link.
    pub sent: std::collections::BTreeMap<String, u64>,
    /// By reason: dropped.
    pub dropped: std::collections::BTreeMap<String, u64>,
    /// Dynamic queries that will send more in time, whatever comes in.
    #[serde(default)]
    pub asking: u64,
    /// By kind: lost on shaped links, of those sent.
    #[serde(default)]
    pub lost: std::collections::BTreeMap<String, u64>,
    /// Each link that is up.
    #[serde(default)]
    pub links: Vec<Tally>,
}

impl Counters {
    /// Adds those of another overlay.
    pub fn add(&mut self, other: Self) {
        self.asking += other.asking;
        self.links.extend(other.links);
        for (sum, more) in [
            (&mut self.received, other.received),
            (&mut self.sent, other.sent),
            (&mut self.dropped, other.dropped),
            (&mut self.lost, other.lost),
        ] {
            for (name, count) in more {
                *sum.entry(name).or_default() += count;
            }
        }
    }
}

/// What is done to the frames that go out on one link; all zero: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Microseconds that each frame waits.
    #[serde(default)]
    pub delay_us: u64,
    /// Up to so many more, drawn for each frame. Frames never overtake each other.
    #[serde(default)]
    pub jitter_us: u64,
    /// Frames lost of a million.
    #[serde(default)]
    pub drop_ppm: u32,
    /// Bytes a second; what waits for them is bounded as a send queue is.
    #[serde(default)]
    pub rate: Option<u64>,
    /// All frames are lost, and the peer is not called.
    #[serde(default)]
    pub blocked: bool,
    /// What chances are drawn from.
    #[serde(default)]
    pub seed: u64,
}

/// Queries, hits and routing tables counted on one link since it came up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Where the peer listens, or calls from.
    pub peer: SocketAddr,
    /// Given to the link.
    pub sent: u64,
    /// Received on it.
    pub received: u64,
    /// Of those given, lost or shed on the way out.
    pub lost: u64,
}

/// What a node knows of one message id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// Listening address of the neighbour it first came from; `None` when this node sent it first.
    pub from: Option<SocketAddr>,
    /// Hops it had travelled, counting the link to this node; 0 for the sender.
    pub hops: u8,
    /// Copies received after the first.
    pub duplicates: u64,
    /// Links it was forwarded on.
    pub forwarded: u64,
}

/// Something that happened on a node, for whoever watches it run (`share --json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum News {
    /// A link came up.
    LinkUp {
        /// Number of the link, never used again.
        link: u32,
        /// Address of the other end of the socket.
        addr: SocketAddr,
        /// Where it says it listens.
        listen: Option<SocketAddr>,
        /// Its `User-Agent`.
        agent: String,
    },
    /// A link is gone.
    LinkDown {
        /// Number of the link.
        link: u32,
        /// Why, for people.
        why: String,
    },
    /// What is shared has changed: a scan ended, or hashes became known.
    Library {
        /// Files shared.
        files: u64,
        /// Their bytes.
        bytes: u64,
        /// Files whose hash is known.
        hashed_files: u64,
    },
    /// The role on the public network, left to it, is another.
    Role {
        /// The role now.
        role: Role,
    },
    /// What came of asking the router to open our port has changed.
    PortMapping(Mapping),
    /// A file, or a range of it, was sent.
    Uploaded {
        /// To whom.
        to: SocketAddr,
        /// Shown name of the folder, `/`, path below it.
        name: String,
        /// Bytes sent.
        bytes: u64,
    },
}

/// `{"type":"trace","trace":null}`: a tagged line must be a map, and nothing known is none.
mod known {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Trace;

    #[derive(Serialize, Deserialize)]
    struct Known {
        trace: Option<Trace>,
    }

    #[expect(clippy::ref_option, reason = "serde hands it over so")]
    pub(super) fn serialize<S: Serializer>(
        trace: &Option<Trace>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        Known {
            trace: trace.clone(),
        }
        .serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Trace>, D::Error> {
        Ok(Known::deserialize(from)?.trace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reply_is_one_line_that_reads_back() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 1));
        let trace = Trace {
            from: Some(addr),
            hops: 1,
            duplicates: 2,
            forwarded: 3,
        };
        let text = || "a\nb\u{1b}".to_owned();
        let share = Share {
            name: text(),
            path: text(),
            files: 1,
            bytes: 2,
            hashed_files: 1,
            hashed_bytes: 2,
            left_out: 0,
            scanning: false,
            problem: None,
        };
        let file = File {
            name: text(),
            size: 1,
            urn: None,
            magnet: None,
        };
        let left_out = Reply::LeftOut {
            share: text(),
            path: text(),
            why: text(),
        };
        for reply in [
            Reply::Trace(None),
            Reply::Trace(Some(trace)),
            Reply::Share(share),
            Reply::File(file),
            left_out,
            Reply::Counters(Counters::default()),
            Reply::Pushed,
            Reply::Done,
            Reply::Error { message: text() },
        ] {
            let line = serde_json::to_string(&reply).unwrap();
            assert!(
                line.starts_with("{\"type\":\"") && !line.contains('\n'),
                "{line}"
            );
            assert_eq!(serde_json::from_str::<Reply>(&line).unwrap(), reply);
        }
    }
}
