//! What may be done to a running network, as it travels from `lab fault` to the keeper, and what came of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::topology::events::Times;

/// One deed. Nodes and links are numbers in the topology; no links: all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub(in crate::cli::lab) enum Deed {
    /// These nodes die at once, without taking leave.
    Kill {
        /// Which.
        nodes: Vec<u32>,
    },
    /// These nodes take leave of their neighbours and end.
    Leave {
        /// Which.
        nodes: Vec<u32>,
    },
    /// These dead nodes come back, with their ports, files and links.
    Restart {
        /// Which.
        nodes: Vec<u32>,
    },
    /// These links are closed, and stay so.
    Cut {
        /// Which.
        links: Vec<usize>,
    },
    /// No frame passes between nodes of different groups; nodes of no group form one of their own.
    Partition {
        /// The groups.
        groups: Vec<Vec<u32>>,
    },
    /// No frame passes from some nodes to others; the other way all do. It takes the place of an earlier partition.
    OneWay {
        /// Whose frames are lost.
        from: Vec<u32>,
        /// On the way to whom.
        to: Vec<u32>,
    },
    /// Partitions and cuts are over.
    Heal {
        /// So is all else that was changed on links.
        changes: bool,
    },
    /// Links change; what is not said stays.
    Change {
        /// Which; none: all.
        links: Vec<usize>,
        /// To what.
        to: Change,
    },
    /// Nodes go and come back by themselves from now on, each for itself, after times drawn at random.
    Churn {
        /// Which; none: all.
        nodes: Vec<u32>,
        /// Chance that a node that goes dies, rather than take leave.
        crash: f64,
        /// For how long it has been going on by now.
        before: Duration,
        /// For how long nodes stay, and stay away.
        times: Times,
    },
    /// No more churn; whoever is down comes back.
    Calm,
}

impl Deed {
    /// It is done to nobody.
    pub(super) fn is_nothing(&self) -> bool {
        match self {
            Self::Kill { nodes } | Self::Leave { nodes } | Self::Restart { nodes } => {
                nodes.is_empty()
            }
            Self::Cut { .. }
            | Self::Partition { .. }
            | Self::OneWay { .. }
            | Self::Heal { .. }
            | Self::Change { .. }
            | Self::Churn { .. }
            | Self::Calm => false,
        }
    }
}

/// What changes on a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::cli::lab) struct Change {
    /// Time each frame waits, in microseconds.
    pub delay_us: Option<u64>,
    /// Up to so much longer, in microseconds.
    pub jitter_us: Option<u64>,
    /// Frames lost of a million.
    pub drop_ppm: Option<u32>,
    /// Bytes a second each way; 0: as many as it can.
    pub rate: Option<u64>,
}

/// What came of a deed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(in crate::cli::lab) enum Came {
    /// It is done.
    Done(Done),
    /// It is not.
    Failed {
        /// Exit code.
        exit: u8,
        /// What, where and the way out.
        message: String,
    },
}

/// What was done.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::cli::lab) struct Done {
    /// For people.
    pub said: String,
    /// Nodes that it was done to, by name.
    pub nodes: Vec<String>,
    /// Links that it was done to.
    pub links: usize,
}
