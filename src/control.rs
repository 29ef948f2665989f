//! The control protocol: one JSON line asks, JSON lines answer. Plain data shared by shells and commands.
//!
//! A [`Request`] is answered by any number of [`Reply`]s; the last one is [`Reply::Done`] or
//! [`Reply::Error`]. A search goes on until the asker hangs up. The same types serve a command that talks to
//! a running node over its local socket and one that hosts a short-lived node itself. See docs/control.md.

mod counters;
mod hit;
mod net;
mod status;
mod transfers;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

pub use counters::{Counters, Shape, Tally, Trace};
pub use hit::{Hit, Record};
pub use net::{Net, Role};
pub use status::{
    AutoRole, File, Finding, Hindrance, Limit, LimitChange, Limits, Mapping, MappingState, OnNet,
    Peer, Reach, Reached, Share, Status,
};
pub use transfers::{
    Downloads, Offer, OnExist, Seal, SourceState, Transfer, TransferAct, TransferSpec,
    TransferState,
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

    /// A search by hash alone on these nets; none named: on every net that the node is on.
    pub fn search_by_hash(urn: String, nets: Vec<Net>) -> Self {
        Self::Search {
            text: String::new(),
            urn: Some(urn),
            ttl: None,
            strategy: None,
            kind: None,
            nets,
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
