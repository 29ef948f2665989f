//! Networks and places on them.

use serde::{Deserialize, Serialize};

use crate::node::{address, event};

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
