//! BYTES <-> VALUES. Every structure of the wire parses and builds here.
//!
//! Knows no clock, no randomness, no log, no files, no sockets and no other room. Whatever a peer
//! sends ends in a value or a [`WireError`], never in a panic; what is held is bounded.

mod addr;
pub mod alt;
pub mod bye;
pub mod deflate;
pub mod dime;
pub mod frame;
pub mod ggep;
pub mod giv;
pub mod header;
pub mod heads;
pub mod hit;
mod huge;
pub mod magnet;
pub mod message;
pub mod nat_pmp;
pub mod ping;
pub mod push;
pub mod qrp;
pub mod query;
pub mod queue;
pub mod text;
pub mod thex;
pub mod upnp;
pub mod urn;
pub mod vendor;
pub mod walk;
pub mod window;

pub use frame::{Frame, FrameReader};
pub use header::{Guid, HEADER_BYTES, Header, Kind, ServentId};
pub use message::Message;
pub use urn::Sha1;

/// Payload bytes above which no descriptor is believed, whatever its kind: the length field has 16
/// usable bits (the upper ones are flags, negotiated by nobody we link to).
pub const PAYLOAD_MAX: usize = 65_535;

/// Our vendor code, in hits and pongs.
pub const VENDOR: [u8; 4] = *b"FLBT";

/// What is wrong with bytes of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The length field is above what the kind may have: the stream is lost, close the link.
    #[error("{kind:?} announces {len} payload bytes, more than its limit")]
    TooLong {
        /// Kind of the descriptor.
        kind: Kind,
        /// Announced length in bytes.
        len: usize,
    },
    /// The structure ends before its field does.
    #[error("{0} is cut short")]
    Truncated(&'static str),
    /// A field holds what it must not.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// Text that must be UTF-8 is not.
    #[error("{0} is not UTF-8")]
    NotUtf8(&'static str),
    /// Well formed, but it says nothing.
    #[error("{0} asks for nothing")]
    Empty(&'static str),
    /// More entries or bytes than the limit of the structure.
    #[error("{0} exceeds its limit")]
    Limit(&'static str),
}
