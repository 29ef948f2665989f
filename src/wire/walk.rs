//! The mark of a walker: a query that goes to one neighbour at a time. Ours; GGEP `WALK`, the last extension of the
//! query, so that a relay knows it by looking at one place.
//!
//! Others read a walker as a plain query of the TTL it has left, so it is only sent to those who know the mark.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::huge::SEPARATOR;

/// What a walker carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkMark {
    /// Steps between two questions to the asker; 0: none.
    pub check: u8,
    /// Where the asker is asked, by datagram, whether it wants the walker to go on.
    pub asker: SocketAddrV4,
}

/// A GGEP block with the one extension `WALK` of 7 bytes: magic, last of the block with an id of 4, id, length.
const HEAD: [u8; 7] = [0xC3, 0x84, b'W', b'A', b'L', b'K', 0x47];
/// Bytes of the mark.
pub const WALK_MARK_BYTES: usize = HEAD.len() + 7;

impl WalkMark {
    /// The mark at the end of a query's payload.
    pub fn of(payload: &[u8]) -> Option<Self> {
        let (_, mark) = payload.split_last_chunk::<WALK_MARK_BYTES>()?;
        let value = mark.strip_prefix(&HEAD)?;
        let [check, a, b, c, d, p0, p1] = *value else {
            return None;
        };
        let asker = SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_le_bytes([p0, p1]));
        Some(Self { check, asker })
    }

    /// Puts the mark behind a query without one.
    pub fn put(self, payload: &mut Vec<u8>) {
        // Behind flags and text stands the extension area; its items have separators between them.
        let text = payload.get(2..).unwrap_or_default();
        let area = text.iter().position(|byte| *byte == 0).map(|nul| nul + 1);
        if area.is_some_and(|area| area < text.len()) {
            payload.push(SEPARATOR);
        }
        payload.extend_from_slice(&HEAD);
        payload.push(self.check);
        payload.extend_from_slice(&self.asker.ip().octets());
        payload.extend_from_slice(&self.asker.port().to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ggep::Extensions;
    use crate::wire::query::{Query, QueryFlags};

    fn mark() -> WalkMark {
        WalkMark {
            check: 4,
            asker: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 10), 6346),
        }
    }

    #[test]
    fn a_marked_query_is_a_query_to_all_and_a_walker_to_us() {
        let long = "a long row of words that needs an extension of its own";
        for text in ["red fox", long] {
            let plain = [&QueryFlags::OURS.0.to_be_bytes()[..], b"red fox\0"].concat();
            let mut payload = if text == long {
                let query = Query::parse(&plain).unwrap();
                let query = Query {
                    text: long.into(),
                    ..query
                };
                query.build().unwrap()
            } else {
                plain
            };
            assert_eq!(WalkMark::of(&payload), None);
            mark().put(&mut payload);
            assert_eq!(WalkMark::of(&payload), Some(mark()));
            assert_eq!(Query::parse(&payload).unwrap().text, text);
        }
    }

    #[test]
    fn the_mark_is_a_ggep_block() {
        let mut bytes = Vec::new();
        mark().put(&mut bytes);
        let found: Vec<_> = Extensions::new(&bytes).map(|found| found.id).collect();
        assert_eq!(found, [b"WALK"]);
        assert_eq!(bytes.len(), WALK_MARK_BYTES);
    }
}
