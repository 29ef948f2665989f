//! The 23-byte descriptor header: message id, kind, TTL, hops and payload length.
//!
//! Knows nothing about payloads. Source: Gnutella 0.6 draft, "Descriptor Header".

use std::fmt;
use std::net::SocketAddrV4;

/// Bytes of a descriptor header on the wire.
pub const HEADER_BYTES: usize = 23;

/// Message id (MUID): 16 bytes, only ever compared as bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(pub [u8; 16]);

/// Id of a node (servent). The same shape as [`Guid`], never mixed with it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServentId(pub [u8; 16]);

impl Guid {
    /// A message id from 16 random bytes, marked as modern: byte 8 is `0xFF`, byte 15 is `0x00`
    /// (so it is never all zero).
    pub fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[8] = 0xFF;
        bytes[15] = 0x00;
        Self(bytes)
    }
}

impl Guid {
    /// This id as that of a query whose asker takes hits by datagram there (overlay, "MUID conventions").
    #[must_use]
    pub fn carrying(mut self, asker: SocketAddrV4) -> Self {
        self.0[..4].copy_from_slice(&asker.ip().octets());
        self.0[13..15].copy_from_slice(&asker.port().to_le_bytes());
        self
    }

    /// The address that an id [carries](Self::carrying); any other id carries nonsense.
    pub fn carried(self) -> SocketAddrV4 {
        let [a, b, c, d, .., low, high, _] = self.0;
        SocketAddrV4::new([a, b, c, d].into(), u16::from_le_bytes([low, high]))
    }
}

impl ServentId {
    /// A servent id from 16 random bytes, marked as modern like [`Guid::from_random`].
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(Guid::from_random(bytes).0)
    }

    /// Parses 32 hexadecimal digits of either case (header `GUID`, GIV line).
    pub fn from_hex(text: &str) -> Option<Self> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE
            .decode(text.as_bytes())
            .ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// Parses 26 base32 characters of either case, as requests to push proxies have them.
    pub fn from_base32(text: &str) -> Option<Self> {
        let bytes = data_encoding::BASE32_NOPAD
            .decode(text.to_ascii_uppercase().as_bytes())
            .ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// 26 upper-case base32 characters.
    pub fn to_base32(self) -> String {
        data_encoding::BASE32_NOPAD.encode(&self.0)
    }
}

macro_rules! hex_text {
    ($type:ident) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({})"), self)
            }
        }
    };
}
hex_text!(Guid);
hex_text!(ServentId);

/// What a descriptor is. Kinds we know by name; any other byte is kept as [`Kind::Unknown`], so that
/// it can be counted, and is never forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `0x00`: are you there, and who else is?
    Ping,
    /// `0x01`: an address, with what it shares.
    Pong,
    /// `0x02`: the last word before a link is closed.
    Bye,
    /// `0x30`: query routing table update (RESET or PATCH).
    Qrp,
    /// `0x31`: vendor message.
    Vendor,
    /// `0x32`: standard vendor message.
    StandardVendor,
    /// `0x40`: ask a firewalled servent to connect back.
    Push,
    /// `0x80`: search.
    Query,
    /// `0x81`: answer to a search.
    QueryHit,
    /// Any other kind byte.
    Unknown(u8),
}

impl Kind {
    /// Number of counters needed for one per kind, with all unknown kinds in one.
    pub const COUNT: usize = 10;
    /// All known kinds and one unknown, in [`Kind::index`] order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Ping,
        Self::Pong,
        Self::Bye,
        Self::Qrp,
        Self::Vendor,
        Self::StandardVendor,
        Self::Push,
        Self::Query,
        Self::QueryHit,
        Self::Unknown(0xFF),
    ];

    /// The kind of a kind byte.
    pub fn from_byte(byte: u8) -> Self {
        match byte {
            0x00 => Self::Ping,
            0x01 => Self::Pong,
            0x02 => Self::Bye,
            0x30 => Self::Qrp,
            0x31 => Self::Vendor,
            0x32 => Self::StandardVendor,
            0x40 => Self::Push,
            0x80 => Self::Query,
            0x81 => Self::QueryHit,
            other => Self::Unknown(other),
        }
    }

    /// The kind byte on the wire.
    pub fn to_byte(self) -> u8 {
        match self {
            Self::Ping => 0x00,
            Self::Pong => 0x01,
            Self::Bye => 0x02,
            Self::Qrp => 0x30,
            Self::Vendor => 0x31,
            Self::StandardVendor => 0x32,
            Self::Push => 0x40,
            Self::Query => 0x80,
            Self::QueryHit => 0x81,
            Self::Unknown(byte) => byte,
        }
    }

    /// Position in a table of [`Kind::COUNT`] counters.
    pub const fn index(self) -> usize {
        match self {
            Self::Ping => 0,
            Self::Pong => 1,
            Self::Bye => 2,
            Self::Qrp => 3,
            Self::Vendor => 4,
            Self::StandardVendor => 5,
            Self::Push => 6,
            Self::Query => 7,
            Self::QueryHit => 8,
            Self::Unknown(_) => 9,
        }
    }

    /// Lower-case name for counters and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Pong => "pong",
            Self::Bye => "bye",
            Self::Qrp => "qrp",
            Self::Vendor => "vendor",
            Self::StandardVendor => "standard_vendor",
            Self::Push => "push",
            Self::Query => "query",
            Self::QueryHit => "query_hit",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// A descriptor header without its length, which the payload carries itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Message id.
    pub guid: Guid,
    /// What the payload is.
    pub kind: Kind,
    /// Hops the descriptor may still travel, counting the link it is on.
    pub ttl: u8,
    /// Hops it has travelled before the link it is on.
    pub hops: u8,
}

impl Header {
    /// Writes the 23 bytes of this header with the length of its payload.
    pub fn to_bytes(&self, payload_len: u32) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..16].copy_from_slice(&self.guid.0);
        out[16] = self.kind.to_byte();
        out[17] = self.ttl;
        out[18] = self.hops;
        out[19..].copy_from_slice(&payload_len.to_le_bytes());
        out
    }

    /// Reads 23 bytes as a header and the raw 32-bit length field (little-endian).
    pub fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> (Self, u32) {
        let (guid, rest) = bytes.split_first_chunk::<16>().expect("23 bytes hold 16");
        let header = Self {
            guid: Guid(*guid),
            kind: Kind::from_byte(rest[0]),
            ttl: rest[1],
            hops: rest[2],
        };
        (
            header,
            u32::from_le_bytes([rest[3], rest[4], rest[5], rest[6]]),
        )
    }

    /// The header as the next node sends it on: one hop more, one TTL less. `None` when its life is
    /// spent (TTL would reach 0; TTL 0 never goes on the wire).
    pub fn relayed(self) -> Option<Self> {
        (self.ttl > 1).then(|| Self {
            ttl: self.ttl - 1,
            hops: self.hops.saturating_add(1),
            ..self
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_carries_the_address_of_its_asker() {
        let id = Guid([
            1, 2, 3, 4, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 9, 9, 0,
        ]);
        let asker = "192.0.2.10:6346".parse().unwrap();
        let carrying = id.carrying(asker);
        // The example of the reference.
        assert_eq!(carrying.to_string(), "c000020a445566778899aabbccca1800");
        assert_eq!(carrying.carried(), asker);
    }

    #[test]
    fn header_bytes_round_trip_for_every_kind_byte() {
        for byte in 0..=255 {
            let header = Header {
                guid: Guid([byte; 16]),
                kind: Kind::from_byte(byte),
                ttl: 4,
                hops: 3,
            };
            assert_eq!(header.kind.to_byte(), byte);
            assert_eq!(
                Header::from_bytes(&header.to_bytes(70_000)),
                (header, 70_000)
            );
        }
    }

    #[test]
    fn a_spent_header_is_not_relayed() {
        let header = Header {
            guid: Guid([1; 16]),
            kind: Kind::Query,
            ttl: 1,
            hops: 3,
        };
        assert_eq!(header.relayed(), None);
        let next = Header { ttl: 2, ..header }.relayed().unwrap();
        assert_eq!((next.ttl, next.hops), (1, 4));
    }
}
