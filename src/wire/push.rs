//! Push (0x40): ask a firewalled servent to connect to us.

use std::net::SocketAddr;

use super::{ServentId, WireError};

/// A decoded push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Push {
    /// Whom it is for.
    pub servent: ServentId,
    /// File index; ignored today.
    pub index: u32,
    /// Where to connect to.
    pub addr: SocketAddr,
    /// GGEP `TLS`: that address speaks TLS.
    pub tls: bool,
}

impl Push {
    /// Decodes the payload of a push.
    ///
    /// # Errors
    /// [`WireError::Truncated`] below 26 bytes.
    pub fn parse(_payload: &[u8]) -> Result<Self, WireError> {
        todo!()
    }

    /// Encodes the payload.
    pub fn build(&self) -> Vec<u8> {
        todo!()
    }
}
