//! What a search found.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::Net;

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
    /// Folders that it lies in, below what the responder shares, `/` between them, as it says. Data of a stranger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Those of them that take TLS, as the responder says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternates_tls: Vec<SocketAddr>,
}
