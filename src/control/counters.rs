//! What a node counts, and what laboratories do to its links.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Frames counted since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// By kind: received.
    pub received: BTreeMap<String, u64>,
    /// By kind: queued for sending, one for each link.
    pub sent: BTreeMap<String, u64>,
    /// By reason: dropped.
    pub dropped: BTreeMap<String, u64>,
    /// Dynamic queries that will send more in time, whatever comes in.
    #[serde(default)]
    pub asking: u64,
    /// By kind: lost on shaped links, of those sent.
    #[serde(default)]
    pub lost: BTreeMap<String, u64>,
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
