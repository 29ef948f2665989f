//! QueryHit (0x81): who has what, routed back to whoever asked.

use std::net::SocketAddr;

use super::urn::Sha1;
use super::{ServentId, WireError};

/// A decoded hit: one responder, one or more files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryHit {
    /// Where the responder serves files (GGEP `6` in place of an IPv4 of 127.0.0.0).
    pub addr: SocketAddr,
    /// Speed the responder claims, in kbit/s.
    pub speed_kbps: u32,
    /// The files; 1 to 255 of them.
    pub records: Vec<Record>,
    /// Vendor code of the trailer, zero when there is none.
    pub vendor: [u8; 4],
    /// The responder cannot be connected to; it wants a push. `None`: not said.
    pub push: Option<bool>,
    /// All its upload slots are taken. `None`: not said.
    pub busy: Option<bool>,
    /// It can be browsed (GGEP `BH`).
    pub browse: bool,
    /// Name the responder goes by (GGEP `NICK`, ours alone), at most 32 bytes, control characters removed.
    pub nick: Option<String>,
    /// Servent id of the responder.
    pub servent: ServentId,
}

/// One file in a hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Opaque number for `/get/<index>/<name>`.
    pub index: u32,
    /// Size in bytes, from GGEP `LF` for big files.
    pub size: u64,
    /// Base name. Data of a stranger: never a path, never printed raw.
    pub name: String,
    /// `urn:sha1` or GGEP `H`.
    pub sha1: Option<Sha1>,
    /// Tiger tree root from a bitprint or `TT`.
    pub tiger: Option<[u8; 24]>,
    /// Seconds since 1970, from GGEP `CT`.
    pub created: Option<u64>,
}

impl QueryHit {
    /// Decodes the payload of a hit.
    ///
    /// # Errors
    /// Whatever makes a reader drop the whole hit: no records, a count that lies, a record without its NULs.
    pub fn parse(_payload: &[u8]) -> Result<Self, WireError> {
        todo!()
    }

    /// Encodes the payload; the inverse of [`parse`](Self::parse).
    pub fn build(&self) -> Vec<u8> {
        todo!()
    }

    /// The servent id alone (the last 16 bytes), for push routes, without decoding the rest.
    ///
    /// # Errors
    /// [`WireError::Truncated`] for a payload shorter than the smallest hit.
    pub fn servent_of(_payload: &[u8]) -> Result<ServentId, WireError> {
        todo!()
    }
}
