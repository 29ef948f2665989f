//! Query (0x80): words and hashes somebody looks for.

use super::WireError;
use super::urn::Sha1;

/// Flag word of a query (`u16`, big-endian, bit 15 always set; overlay "Query" flags).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryFlags(pub u16);

impl QueryFlags {
    /// What we send: marked, and we read GGEP `H` in hits (`88 00`).
    pub const OURS: Self = Self(0x8800);
    /// The field holds flags, not a minimum speed.
    pub fn marked(self) -> bool {
        self.0 & 0x8000 != 0
    }
    /// The querier cannot be connected to.
    pub fn firewalled(self) -> bool {
        self.marked() && self.0 & 0x4000 != 0
    }
    /// The querier reads GGEP `H` in hits.
    pub fn reads_ggep_h(self) -> bool {
        self.marked() && self.0 & 0x0800 != 0
    }
}

/// A decoded query, borrowed from its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// Flag word.
    pub flags: QueryFlags,
    /// Search text; empty or `\` when only hashes are meant. GGEP `XQ`, the full text of a long query, takes
    /// the place of the short one.
    pub text: std::borrow::Cow<'a, str>,
    /// Hashes asked for (`urn:sha1:`, bitprint, GGEP `H` and `u`); at most 8.
    pub sha1s: Vec<Sha1>,
}

impl<'a> Query<'a> {
    /// Decodes the payload of a query. Plain text queries take no allocation.
    ///
    /// # Errors
    /// Whatever makes a node drop the query and not relay it (docs/protocol.md, Query).
    pub fn parse(_payload: &'a [u8]) -> Result<Self, WireError> {
        todo!()
    }

    /// Encodes the payload, at most 256 bytes: long text goes to GGEP `XQ`.
    ///
    /// # Errors
    /// [`WireError::Limit`] when text and hashes do not fit.
    pub fn build(&self) -> Result<Vec<u8>, WireError> {
        todo!()
    }
}
