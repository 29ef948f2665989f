//! What happens to a network while it runs, and what is asked of it then: the `events` of a file.
//!
//! Both engines do the same acts at the same times. Who and which links are meant stays written as in the file, since
//! some of it (a share of those who are up) means something only when its time has come: see [`Network::named`],
//! [`Network::between`] and [`Who::drawn`].
//!
//! [`Network::named`]: super::Network::named
//! [`Network::between`]: super::Network::between

mod check;
mod pick;
mod read;
mod say;
mod write;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::types::{LinkTraits, Search};

pub(super) use read::event;
pub(super) use write::event as written;

/// Events in one file.
pub const EVENTS_MAX: usize = 100_000;

/// Time that an expected search has when nothing is said.
pub const WITHIN: Duration = Duration::from_secs(5);

/// Something that happens at a time. Of steps at the same time the one that the file names first comes first.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// When, since the network is up.
    pub at: Duration,
    /// What.
    pub act: Act,
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// A search is made; what it costs and finds is reported. Its `hits` are `None`.
    Search(Search),
    /// A search is made and must find so much in that time. Its `hits` are there.
    Expect {
        /// The search.
        search: Search,
        /// Time it has.
        within: Duration,
    },
    /// Nodes die at once, without taking leave: their neighbours see a broken connection. Those that are gone already
    /// stay so.
    Kill(Who),
    /// Nodes take leave of their neighbours with a Bye and go.
    Leave(Who),
    /// Nodes that are gone come back with their files, to the neighbours that the file gives them; they remember
    /// nothing. Those that are up stay so.
    Restart(Who),
    /// As restart, for nodes that were not there before: who joins at some time is not there at the start.
    Join(Who),
    /// No frame passes between nodes from now on; connections stay. It takes the place of an earlier partition.
    Partition(Partition),
    /// Partitions and cuts are over, and links are as the file says at the start. Nodes that are gone stay so.
    Heal,
    /// Links are closed at both ends, and stay so.
    Cut(Between),
    /// Links change; what is not said stays as it is. A rate of 0: as many bytes as come.
    Change {
        /// Which.
        between: Between,
        /// To what.
        to: LinkTraits,
    },
    /// Nodes go and come back by themselves from now on. It takes the place of earlier churn.
    Churn(Churn),
    /// No more churn; nodes that it sent away come back.
    Calm,
}

impl Act {
    /// The value of `do` in a file.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Search(_) => "search",
            Self::Expect { .. } => "expect",
            Self::Kill(_) => "kill",
            Self::Leave(_) => "leave",
            Self::Restart(_) => "restart",
            Self::Join(_) => "join",
            Self::Partition(_) => "partition",
            Self::Heal => "heal",
            Self::Cut(_) => "cut",
            Self::Change { .. } => "change",
            Self::Churn(_) => "churn",
            Self::Calm => "calm",
        }
    }
}

/// Which nodes something happens to.
#[derive(Clone, Debug, PartialEq)]
pub enum Who {
    /// Those of these names: ids, `a*` for all that begin so, `n0..n5` for a range in the order of counting.
    Named(Vec<String>),
    /// This share, 0 to 1, of those that it can happen to, drawn at random: see [`Who::drawn`].
    Share(f64),
}

/// Between whom nothing passes.
#[derive(Clone, Debug, PartialEq)]
pub enum Partition {
    /// Between nodes of different groups, either way; nodes of no group form one of their own. Names as in
    /// [`Who::Named`].
    Groups(Vec<Vec<String>>),
    /// From these nodes to those; the other way all passes.
    OneWay {
        /// Whose frames are lost.
        from: Vec<String>,
        /// On the way to whom.
        to: Vec<String>,
    },
}

/// Links by their ends: those between a node of `from` and a node of `to`, whoever dialled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Between {
    /// Names as in [`Who::Named`]; empty: any node.
    pub from: Vec<String>,
    /// The same for the other end.
    pub to: Vec<String>,
}

/// Nodes that go and come back by themselves.
#[derive(Clone, Debug, PartialEq)]
pub struct Churn {
    /// Who, named as in [`Who::Named`]; empty: all nodes.
    pub nodes: Vec<String>,
    /// Chance that a node that goes dies, rather than take leave.
    pub crash: f64,
    /// For how long it has been going on by now, unseen: with a time long against those below the share of nodes that
    /// are up is a steady one from the first. 0: whoever is up begins an on-line time now.
    pub before: Duration,
    /// For how long nodes stay, and stay away.
    pub times: Times,
}

/// How long nodes stay, and stay away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Times {
    /// Exponential, with these means: how long a node has been up says nothing about how long it stays.
    Memoryless {
        /// Mean time for which a node is up.
        up: Duration,
        /// Mean time for which it is away.
        down: Duration,
    },
    /// As measured on real networks, in classes: see [`NodeClass`]. Never empty.
    Classes(Vec<NodeClass>),
}

/// A class of nodes that come and go: on-line times by Weibull, off-line times log-normal.
///
/// Source: Stutzbach and Rejaie, "Understanding Churn in Peer-to-Peer Networks" (2006).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeClass {
    /// Its share of all nodes, against the shares of the others.
    pub share: f64,
    /// Shape of the Weibull distribution; below 1: who has stayed long stays longer.
    pub shape: f64,
    /// Median on-line time of the node in the middle of its class.
    pub up: Duration,
    /// How far nodes of the class differ, each from all of its own times alike: standard deviation of the logarithm
    /// of their medians.
    pub spread: f64,
    /// Median off-line time.
    pub down: Duration,
    /// Standard deviation of the logarithm of off-line times.
    pub sigma: f64,
}

impl NodeClass {
    /// The two classes of a churn that says nothing: four of five nodes with a median of 30 minutes, one of five that
    /// stays far longer now and then. Fitted to what is known of Gnutella in experiment E13, which tests them.
    pub const USUAL: [Self; 2] = [
        Self {
            share: 0.8,
            shape: 0.6,
            up: Duration::from_mins(30),
            spread: 0.3,
            down: Duration::from_secs(13_104),
            sigma: 1.0,
        },
        Self {
            share: 0.2,
            shape: 0.4,
            up: Duration::from_mins(45),
            spread: 0.3,
            down: Duration::from_secs(13_104),
            sigma: 1.0,
        },
    ];
}
