//! Ping (0x00) and Pong (0x01): who is there.

use std::net::SocketAddr;

use super::WireError;

/// A decoded pong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pong {
    /// Where the node listens (GGEP `6` in place of an IPv4 of 127.0.0.0).
    pub addr: SocketAddr,
    /// Files it shares.
    pub files: u32,
    /// Kilobytes it shares.
    pub kilobytes: u32,
    /// GGEP `UP`: it is an ultrapeer, with free leaf and ultrapeer slots.
    pub ultrapeer: Option<(u8, u8)>,
}

impl Pong {
    /// Decodes the payload of a pong.
    ///
    /// # Errors
    /// Fewer than 14 bytes, or trailing bytes that hold no valid GGEP block.
    pub fn parse(_payload: &[u8]) -> Result<Self, WireError> {
        todo!()
    }

    /// Encodes the payload with GGEP `VC` and, for ultrapeers, `UP`.
    pub fn build(&self) -> Vec<u8> {
        todo!()
    }
}
