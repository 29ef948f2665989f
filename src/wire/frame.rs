//! Splitting a byte stream into descriptors, without copying payloads.
//!
//! There is no padding and no resynchronisation in Gnutella: a length that cannot be believed means
//! that the stream is lost and the link must be closed. Limits per kind: `overlay.md`-style size
//! policy, restated in `docs/protocol.md`.

use bytes::Bytes;

use super::header::{HEADER_BYTES, Header, Kind};
use super::{PAYLOAD_MAX, WireError};

/// One descriptor: header and payload. Cloning bumps a reference count; the payload shares the read
/// buffer it came in, so copy out what is kept longer than a relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Id, kind, TTL and hops.
    pub header: Header,
    /// Payload bytes, at most [`PAYLOAD_MAX`].
    pub payload: Bytes,
}

impl Frame {
    /// Bytes of this frame on the wire.
    pub fn wire_len(&self) -> usize {
        HEADER_BYTES + self.payload.len()
    }

    /// The one descriptor that a datagram is (overlay.md section 12).
    ///
    /// # Errors
    /// The announced length is not that of the datagram: not one byte of it is believed.
    pub fn from_datagram(datagram: &[u8]) -> Result<Self, WireError> {
        let (header, payload) = datagram
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(WireError::Truncated("datagram"))?;
        let (header, len) = Header::from_bytes(header);
        if usize::try_from(len) != Ok(payload.len()) {
            return Err(WireError::Malformed("length of a datagram"));
        }
        let payload = Bytes::copy_from_slice(payload);
        Ok(Self { header, payload })
    }

    /// Appends header and payload to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let len =
            u32::try_from(self.payload.len()).expect("payloads are at most PAYLOAD_MAX bytes");
        out.extend_from_slice(&self.header.to_bytes(len));
        out.extend_from_slice(&self.payload);
    }

    /// Header and payload as one vector.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.wire_len());
        self.write(&mut out);
        out
    }
}

/// The largest payload of a kind that is read at all; a longer one costs the peer its link (Bye 400).
pub fn kick_above(kind: Kind) -> usize {
    match kind {
        Kind::Query => 1024,
        Kind::QueryHit => PAYLOAD_MAX,
        Kind::Bye => 4096,
        Kind::Ping
        | Kind::Pong
        | Kind::Push
        | Kind::Qrp
        | Kind::Vendor
        | Kind::StandardVendor
        | Kind::Unknown(_) => 40_960,
    }
}

/// The largest payload of a kind that is taken in; a longer one is dropped and counted, and the link
/// stays.
pub fn drop_above(kind: Kind) -> usize {
    match kind {
        Kind::Ping => 1536,
        Kind::Pong => 14 + 1536,
        Kind::Push => 26 + 1536,
        Kind::Query => 256,
        Kind::QueryHit => 16_384,
        Kind::Bye | Kind::Qrp | Kind::Vendor | Kind::StandardVendor | Kind::Unknown(_) => {
            kick_above(kind)
        }
    }
}

/// Turns chunks of a stream into frames. Holds at most one incomplete frame
/// (`HEADER_BYTES + PAYLOAD_MAX` bytes) besides the chunk last pushed.
#[derive(Debug, Default)]
pub struct FrameReader {
    /// The incomplete frame at the end of the chunks before `chunk`.
    tail: Vec<u8>,
    chunk: Bytes,
}

impl FrameReader {
    /// An empty reader.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes read from the stream. Call [`next_frame`](Self::next_frame) until it yields `None`
    /// before pushing more.
    pub fn push(&mut self, bytes: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = bytes;
        } else {
            // The caller did not drain: keep order at the price of a copy.
            let mut joined = self.chunk.to_vec();
            joined.extend_from_slice(&bytes);
            self.chunk = Bytes::from(joined);
        }
    }

    /// Splits the next frame off the stream. `Ok(None)`: fewer bytes than one frame so far; push more
    /// and ask again.
    ///
    /// # Errors
    /// [`WireError::TooLong`] when a length is above what its kind may have: the stream is lost,
    /// close the link.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, WireError> {
        if !self.tail.is_empty() {
            return self.finish_tail();
        }
        let Some((header, len)) = head(&self.chunk)? else {
            return Ok(self.keep_rest());
        };
        if self.chunk.len() < HEADER_BYTES + len {
            return Ok(self.keep_rest());
        }
        let payload = self.chunk.slice(HEADER_BYTES..HEADER_BYTES + len);
        bytes::Buf::advance(&mut self.chunk, HEADER_BYTES + len);
        Ok(Some(Frame { header, payload }))
    }

    /// Bytes held in memory that are not yet part of a frame.
    pub fn held(&self) -> usize {
        self.tail.len() + self.chunk.len()
    }

    /// Moves the incomplete end of the chunk aside, so that the read buffer can be freed.
    fn keep_rest(&mut self) -> Option<Frame> {
        self.tail.extend_from_slice(&self.chunk);
        self.chunk = Bytes::new();
        None
    }

    /// Completes the frame begun in `tail` with bytes of `chunk`.
    fn finish_tail(&mut self) -> Result<Option<Frame>, WireError> {
        self.fill_tail(HEADER_BYTES);
        let Some((header, len)) = head(&self.tail)? else {
            return Ok(None);
        };
        self.fill_tail(HEADER_BYTES + len);
        if self.tail.len() < HEADER_BYTES + len {
            return Ok(None);
        }
        let payload = Bytes::from(std::mem::take(&mut self.tail)).slice(HEADER_BYTES..);
        Ok(Some(Frame { header, payload }))
    }

    fn fill_tail(&mut self, upto: usize) {
        let take = upto.saturating_sub(self.tail.len()).min(self.chunk.len());
        self.tail.extend_from_slice(&self.chunk[..take]);
        bytes::Buf::advance(&mut self.chunk, take);
    }
}

fn head(bytes: &[u8]) -> Result<Option<(Header, usize)>, WireError> {
    let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let (header, len) = Header::from_bytes(head);
    let len = len as usize;
    if len > kick_above(header.kind) {
        return Err(WireError::TooLong {
            kind: header.kind,
            len,
        });
    }
    Ok(Some((header, len)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Guid;

    #[test]
    fn a_datagram_is_one_descriptor_and_nothing_else() {
        let header = Header {
            guid: Guid([7; 16]),
            kind: Kind::Ping,
            ttl: 1,
            hops: 0,
        };
        let payload = Bytes::from_static(b"\xc3\x83SCP\x41\x01");
        let frame = Frame { header, payload };
        let datagram = frame.to_vec();
        assert_eq!(Frame::from_datagram(&datagram), Ok(frame));
        assert!(Frame::from_datagram(&datagram[..22]).is_err());
        assert!(Frame::from_datagram(&datagram[..29]).is_err());
        assert!(Frame::from_datagram(&[&datagram[..], &[0]].concat()).is_err());
    }
}
