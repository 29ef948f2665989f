//! Vendor messages (0x31, 0x32): small agreements between neighbours, never passed on.
//!
//! Those that concern us are values; all others stay bytes. Longer data than we know is legal: the known
//! beginning is read.

use std::fmt;
use std::net::SocketAddrV4;

use super::ggep::{Block, Extension, Extensions, Zeros};
use super::{Guid, WireError};

/// Entries read of one list of messages or features.
pub const ENTRIES_MAX: usize = 256;

/// A few secret bytes that only those know to whom they were sent.
pub type Proof = [u8; 8];

/// Bytes of a [`Token`] at most. Those of other programs have 4 to 8.
pub const TOKEN_BYTES_MAX: usize = 16;

/// What an asker wants to see in each hit that comes by datagram: 1 to [`TOKEN_BYTES_MAX`] bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token {
    len: u8,
    /// Zeros behind `len`.
    bytes: [u8; TOKEN_BYTES_MAX],
}

impl Token {
    /// `None`: none at all, or too long to be kept.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut token = Self {
            len: u8::try_from(bytes.len()).ok()?,
            bytes: [0; TOKEN_BYTES_MAX],
        };
        token.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        (!bytes.is_empty()).then_some(token)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len.into()]
    }

    pub(super) fn of(extension: &Extension<'_>) -> Option<Self> {
        Self::new(&extension.value_within(TOKEN_BYTES_MAX).ok()?)
    }
}

impl From<Proof> for Token {
    fn from(bytes: Proof) -> Self {
        Self::new(&bytes).expect("8 bytes")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Token").field(&self.as_bytes()).finish()
    }
}

/// Version of the agreement on hits that come by datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfBand {
    /// Hits carry nothing: whoever knows the address that announced them can send some in its name.
    V2,
    /// Hits carry the asker's [`Token`].
    V3,
}

/// A decoded vendor message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vendor<'a> {
    /// null/0 v0: the vendor messages that the sender reads. Once, after the greeting.
    MessagesSupported(Vec<VendorId>),
    /// null/10 v0: its features. Once, after the greeting.
    FeaturesSupported(Vec<Feature>),
    /// BEAR/4 v1: from now on only queries that travelled fewer hops; 0 none, 255 all.
    HopsFlow(u8),
    /// BEAR/7 v1: connect to my address and this port, send two line feeds and close.
    TcpConnectBack(u16),
    /// GTKG/7: send a UDP ping to my address and this port.
    UdpConnectBack {
        /// Where.
        port: u16,
        /// The id of that ping (v1); `None`: this message's own (v2).
        id: Option<Guid>,
    },
    /// BEAR/11 v1: how many results of the query with this message id have you kept?
    QueryStatusRequest,
    /// BEAR/12 v1: so many; [`QUERY_STOP`] for "enough, stop".
    QueryStatusResponse(u16),
    /// LIME/21: be my push proxy. The message id is the sender's servent id.
    PushProxyRequest,
    /// LIME/22 v2: I am; this is where others reach me. The message id is the asker's servent id.
    PushProxyAck(SocketAddrV4),
    /// GTKG/21 v1: be my push proxy no longer.
    PushProxyCancel,
    /// LIME/12, by datagram: hits wait here for the query with this message id.
    HitsReady {
        /// 2 or 3.
        version: OutOfBand,
        /// So many; 255: that or more.
        results: u8,
        /// Datagrams that its sender did not ask for reach it.
        reached: bool,
        /// To be sent back, so that we know that the asker is where its query says (GGEP `PROOF`, ours).
        proof: Option<Proof>,
    },
    /// LIME/11, by datagram: send them.
    HitsWanted {
        /// So many.
        results: u8,
        /// What each hit is to carry (GGEP `SO`). None in version 2.
        token: Option<Token>,
        /// From [`HitsReady`](Self::HitsReady).
        proof: Option<Proof>,
    },
    /// FLBT/1 v1: you are my neighbour of most links (1), or no longer (0).
    TreeLink(bool),
    /// Any other.
    Other(VendorId, &'a [u8]),
}

/// Which message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VendorId {
    /// Who invented it; zeros for those of all.
    pub vendor: [u8; 4],
    /// Its number with that vendor.
    pub selector: u16,
    /// Its version.
    pub version: u16,
}

/// One feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Such as `TLS!`.
    pub name: [u8; 4],
    /// Its version.
    pub version: u16,
}

impl<'a> Vendor<'a> {
    /// Decodes the payload of a vendor message.
    ///
    /// # Errors
    /// [`WireError::Truncated`] below 8 bytes, or when a list is shorter than its count;
    /// [`WireError::Limit`] for more than [`ENTRIES_MAX`] entries.
    pub fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        let (id, data) = payload
            .split_first_chunk::<ID_BYTES>()
            .ok_or(WireError::Truncated("vendor message"))?;
        let id = VendorId::from_bytes(*id);
        Ok(match id {
            MESSAGES_SUPPORTED => Self::MessagesSupported(read_list(data, VendorId::from_bytes)?),
            FEATURES_SUPPORTED => Self::FeaturesSupported(read_list(data, Feature::from_bytes)?),
            HOPS_FLOW => Self::HopsFlow(*data.first().ok_or(WireError::Truncated("hops flow"))?),
            TCP_CONNECT_BACK => Self::TcpConnectBack(u16_le(data)?),
            UDP_CONNECT_BACK => Self::UdpConnectBack {
                port: u16_le(data)?,
                id: None,
            },
            UDP_CONNECT_BACK_1 => {
                let id = data.get(2..).and_then(|data| data.first_chunk());
                let cut = WireError::Truncated("UDP connect back");
                Self::UdpConnectBack {
                    port: u16_le(data)?,
                    id: Some(Guid(*id.ok_or(cut)?)),
                }
            }
            QUERY_STATUS_REQUEST => Self::QueryStatusRequest,
            QUERY_STATUS_RESPONSE => Self::QueryStatusResponse(u16_le(data)?),
            // Both versions ask for the same.
            VendorId {
                vendor, selector, ..
            } if (vendor, selector) == (PUSH_PROXY_REQUEST.vendor, PUSH_PROXY_REQUEST.selector) => {
                Self::PushProxyRequest
            }
            PUSH_PROXY_ACK => {
                let [a, b, c, d, p0, p1] = *data
                    .first_chunk()
                    .ok_or(WireError::Truncated("push proxy acknowledgement"))?;
                Self::PushProxyAck(SocketAddrV4::new(
                    [a, b, c, d].into(),
                    u16::from_le_bytes([p0, p1]),
                ))
            }
            PUSH_PROXY_CANCEL => Self::PushProxyCancel,
            HITS_READY | HITS_READY_2 => Self::HitsReady {
                version: if id == HITS_READY {
                    OutOfBand::V3
                } else {
                    OutOfBand::V2
                },
                results: *data.first().ok_or(WireError::Truncated("hits ready"))?,
                reached: data.get(1).is_some_and(|flags| flags & REACHED != 0),
                proof: find(PROOF, data.get(2..)).and_then(|proof| proof.array()),
            },
            HITS_WANTED => Self::HitsWanted {
                results: *data.first().ok_or(WireError::Truncated("hits wanted"))?,
                token: find(SECURE, data.get(1..)).and_then(|token| Token::of(&token)),
                proof: find(PROOF, data.get(1..)).and_then(|proof| proof.array()),
            },
            HITS_WANTED_2 => Self::HitsWanted {
                results: *data.first().ok_or(WireError::Truncated("hits wanted"))?,
                token: None,
                proof: None,
            },
            TREE_LINK => {
                let chosen = *data.first().ok_or(WireError::Truncated("tree link"))?;
                Self::TreeLink(chosen != 0)
            }
            _ => Self::Other(id, data),
        })
    }

    /// Encodes the payload. Of a list the first [`ENTRIES_MAX`] entries go out.
    pub fn build(&self) -> Vec<u8> {
        let mut out = self.id().to_bytes().to_vec();
        match self {
            Self::MessagesSupported(all) => write_list(all, VendorId::to_bytes, &mut out),
            Self::FeaturesSupported(all) => write_list(all, Feature::to_bytes, &mut out),
            Self::HopsFlow(byte) => out.push(*byte),
            Self::HitsReady {
                results,
                reached,
                proof,
                ..
            } => {
                out.extend_from_slice(&[*results, u8::from(*reached) * REACHED]);
                out.extend(secrets(None, proof.as_ref()));
            }
            Self::HitsWanted {
                results,
                token,
                proof,
            } => {
                out.push(*results);
                out.extend(secrets(token.as_ref(), proof.as_ref()));
            }
            Self::TreeLink(chosen) => out.push(u8::from(*chosen)),
            Self::TcpConnectBack(port) => out.extend_from_slice(&port.to_le_bytes()),
            Self::UdpConnectBack { port, id } => {
                out.extend_from_slice(&port.to_le_bytes());
                out.extend(id.iter().flat_map(|id| id.0));
            }
            Self::QueryStatusResponse(kept) => out.extend_from_slice(&kept.to_le_bytes()),
            Self::PushProxyAck(addr) => {
                out.extend_from_slice(&addr.ip().octets());
                out.extend_from_slice(&addr.port().to_le_bytes());
            }
            Self::QueryStatusRequest | Self::PushProxyRequest | Self::PushProxyCancel => {}
            Self::Other(_, data) => out.extend_from_slice(data),
        }
        out
    }

    /// Which message it is.
    pub fn id(&self) -> VendorId {
        match self {
            Self::MessagesSupported(_) => MESSAGES_SUPPORTED,
            Self::FeaturesSupported(_) => FEATURES_SUPPORTED,
            Self::HopsFlow(_) => HOPS_FLOW,
            Self::TcpConnectBack(_) => TCP_CONNECT_BACK,
            Self::UdpConnectBack { id: None, .. } => UDP_CONNECT_BACK,
            Self::UdpConnectBack { id: Some(_), .. } => UDP_CONNECT_BACK_1,
            Self::QueryStatusRequest => QUERY_STATUS_REQUEST,
            Self::QueryStatusResponse(_) => QUERY_STATUS_RESPONSE,
            Self::PushProxyRequest => PUSH_PROXY_REQUEST,
            Self::PushProxyAck(_) => PUSH_PROXY_ACK,
            Self::PushProxyCancel => PUSH_PROXY_CANCEL,
            Self::HitsReady { version, .. } => match version {
                OutOfBand::V2 => HITS_READY_2,
                OutOfBand::V3 => HITS_READY,
            },
            Self::HitsWanted { token: None, .. } => HITS_WANTED_2,
            Self::HitsWanted { token: Some(_), .. } => HITS_WANTED,
            Self::TreeLink(_) => TREE_LINK,
            Self::Other(id, _) => *id,
        }
    }
}

/// Results kept, as a leaf says "enough".
pub const QUERY_STOP: u16 = 0xFFFF;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $vendor:literal / $selector:literal v $version:literal;)*) => {
        $($(#[$doc])* pub const $name: VendorId =
            VendorId { vendor: *$vendor, selector: $selector, version: $version };)*
    };
}

ids! {
    /// null/0 v0.
    MESSAGES_SUPPORTED = b"\0\0\0\0" / 0 v 0;
    /// null/10 v0.
    FEATURES_SUPPORTED = b"\0\0\0\0" / 10 v 0;
    /// BEAR/4 v1.
    HOPS_FLOW = b"BEAR" / 4 v 1;
    /// BEAR/7 v1.
    TCP_CONNECT_BACK = b"BEAR" / 7 v 1;
    /// GTKG/7 v2.
    UDP_CONNECT_BACK = b"GTKG" / 7 v 2;
    /// GTKG/7 v1.
    UDP_CONNECT_BACK_1 = b"GTKG" / 7 v 1;
    /// BEAR/11 v1.
    QUERY_STATUS_REQUEST = b"BEAR" / 11 v 1;
    /// BEAR/12 v1.
    QUERY_STATUS_RESPONSE = b"BEAR" / 12 v 1;
    /// LIME/21 v2; v1 is read too.
    PUSH_PROXY_REQUEST = b"LIME" / 21 v 2;
    /// LIME/22 v2.
    PUSH_PROXY_ACK = b"LIME" / 22 v 2;
    /// GTKG/21 v1.
    PUSH_PROXY_CANCEL = b"GTKG" / 21 v 1;
    /// LIME/12 v3.
    HITS_READY = b"LIME" / 12 v 3;
    /// LIME/12 v2.
    HITS_READY_2 = b"LIME" / 12 v 2;
    /// LIME/11 v3.
    HITS_WANTED = b"LIME" / 11 v 3;
    /// LIME/11 v2.
    HITS_WANTED_2 = b"LIME" / 11 v 2;
    /// FLBT/1 v1.
    TREE_LINK = b"FLBT" / 1 v 1;
}

/// Bytes before the data.
const ID_BYTES: usize = 8;
/// Bit of [`Vendor::HitsReady`].
const REACHED: u8 = 1;
/// Bytes of one feature.
const FEATURE_BYTES: usize = 6;

impl VendorId {
    fn from_bytes([a, b, c, d, s0, s1, v0, v1]: [u8; ID_BYTES]) -> Self {
        let (selector, version) = (u16::from_le_bytes([s0, s1]), u16::from_le_bytes([v0, v1]));
        Self {
            vendor: [a, b, c, d],
            selector,
            version,
        }
    }

    fn to_bytes(self) -> [u8; ID_BYTES] {
        let ([a, b, c, d], [s0, s1]) = (self.vendor, self.selector.to_le_bytes());
        let [v0, v1] = self.version.to_le_bytes();
        [a, b, c, d, s0, s1, v0, v1]
    }
}

impl Feature {
    fn from_bytes([a, b, c, d, v0, v1]: [u8; FEATURE_BYTES]) -> Self {
        Self {
            name: [a, b, c, d],
            version: u16::from_le_bytes([v0, v1]),
        }
    }

    fn to_bytes(self) -> [u8; FEATURE_BYTES] {
        let ([a, b, c, d], [v0, v1]) = (self.name, self.version.to_le_bytes());
        [a, b, c, d, v0, v1]
    }
}

/// GGEP id of the token that hits by datagram carry.
pub(super) const SECURE: &[u8] = b"SO";
/// GGEP id of the token that an asker sends back to prove where it is. Ours; others pass over it.
const PROOF: &[u8] = b"PROOF";

fn find<'a>(id: &[u8], area: Option<&'a [u8]>) -> Option<Extension<'a>> {
    let mut all = Extensions::new(area.unwrap_or_default());
    all.find(|extension| extension.id == id)
}

fn secrets(token: Option<&Token>, proof: Option<&Proof>) -> Vec<u8> {
    let mut block = Block::new(Zeros::Allowed);
    if let Some(token) = token {
        block.put(SECURE, token.as_bytes());
    }
    if let Some(proof) = proof {
        block.put(PROOF, proof);
    }
    block.finish()
}

fn u16_le(data: &[u8]) -> Result<u16, WireError> {
    data.first_chunk()
        .copied()
        .map(u16::from_le_bytes)
        .ok_or(WireError::Truncated("vendor message"))
}

fn read_list<T, const N: usize>(
    data: &[u8],
    entry: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>, WireError> {
    let cut = WireError::Truncated("vendor message list");
    let (count, entries) = data.split_first_chunk::<2>().ok_or(cut)?;
    let count = usize::from(u16::from_le_bytes(*count));
    if count > ENTRIES_MAX {
        return Err(WireError::Limit("vendor message list"));
    }
    let entries = entries.get(..count * N).ok_or(cut)?;
    Ok(entries
        .as_chunks::<N>()
        .0
        .iter()
        .copied()
        .map(entry)
        .collect())
}

fn write_list<T: Copy, const N: usize>(all: &[T], entry: impl Fn(T) -> [u8; N], out: &mut Vec<u8>) {
    let sent = &all[..all.len().min(ENTRIES_MAX)];
    let count = u16::try_from(sent.len()).expect("at most ENTRIES_MAX");
    out.extend_from_slice(&count.to_le_bytes());
    out.extend(sent.iter().flat_map(|&one| entry(one)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        data_encoding::HEXLOWER
            .decode(text.replace(' ', "").as_bytes())
            .unwrap()
    }

    fn reads_and_writes(payload: &str, told: &Vendor<'_>) {
        let payload = hex(payload);
        assert_eq!(Vendor::parse(&payload).as_ref(), Ok(told));
        assert_eq!(told.build(), payload);
    }

    #[test]
    fn words_about_hits_by_datagram_read_and_write_in_both_versions() {
        for (payload, told) in [
            (
                "4c494d45 0c00 0300 05 00",
                Vendor::HitsReady {
                    version: OutOfBand::V3,
                    results: 5,
                    reached: false,
                    proof: None,
                },
            ),
            (
                "4c494d45 0c00 0200 ff 01",
                Vendor::HitsReady {
                    version: OutOfBand::V2,
                    results: 255,
                    reached: true,
                    proof: None,
                },
            ),
            (
                "4c494d45 0c00 0300 05 00 c3 85 50524f4f46 48 0102030405060708",
                Vendor::HitsReady {
                    version: OutOfBand::V3,
                    results: 5,
                    reached: false,
                    proof: Some([1, 2, 3, 4, 5, 6, 7, 8]),
                },
            ),
            (
                "4c494d45 0b00 0300 ff c3 82 534f 48 0102030405060708",
                Vendor::HitsWanted {
                    results: 255,
                    token: Some([1, 2, 3, 4, 5, 6, 7, 8].into()),
                    proof: None,
                },
            ),
            (
                "4c494d45 0b00 0300 01 c3 82 534f 44 01020304",
                Vendor::HitsWanted {
                    results: 1,
                    token: Token::new(&[1, 2, 3, 4]),
                    proof: None,
                },
            ),
            (
                "4c494d45 0b00 0200 07",
                Vendor::HitsWanted {
                    results: 7,
                    token: None,
                    proof: None,
                },
            ),
        ] {
            reads_and_writes(payload, &told);
        }
    }

    #[test]
    fn examples_of_the_reference_read_and_write() {
        let push_proxy = VendorId {
            vendor: *b"LIME",
            selector: 21,
            version: 1,
        };
        for (payload, told) in [
            (
                "00000000 0000 0000 0200 42454152 0400 0100 4c494d45 1500 0100",
                Vendor::MessagesSupported(vec![HOPS_FLOW, push_proxy]),
            ),
            ("42454152 0400 0100 00", Vendor::HopsFlow(0)),
            (
                "00000000 0a00 0000 0100 544c5321 0100",
                Vendor::FeaturesSupported(vec![Feature {
                    name: *b"TLS!",
                    version: 1,
                }]),
            ),
            ("4c494d45 1500 0200", Vendor::PushProxyRequest),
            (
                "4c494d45 1600 0200 c000020a ca18",
                Vendor::PushProxyAck("192.0.2.10:6346".parse().unwrap()),
            ),
            ("42454152 0700 0100 ca18", Vendor::TcpConnectBack(6346)),
            (
                "47544b47 0700 0200 ca18",
                Vendor::UdpConnectBack {
                    port: 6346,
                    id: None,
                },
            ),
            (
                "47544b47 0700 0100 ca18 00112233445566778899aabbccddeeff",
                Vendor::UdpConnectBack {
                    port: 6346,
                    id: Some(Guid(
                        *hex("00112233445566778899aabbccddeeff")
                            .first_chunk()
                            .unwrap(),
                    )),
                },
            ),
            ("42454152 0b00 0100", Vendor::QueryStatusRequest),
            (
                "42454152 0c00 0100 ffff",
                Vendor::QueryStatusResponse(QUERY_STOP),
            ),
            ("47544b47 1500 0100", Vendor::PushProxyCancel),
            (
                "4c494d45 1700 0100",
                Vendor::Other(
                    VendorId {
                        selector: 23,
                        ..push_proxy
                    },
                    &[],
                ),
            ),
        ] {
            reads_and_writes(payload, &told);
        }
    }

    #[test]
    fn more_data_than_known_is_passed_over_and_less_is_refused() {
        assert_eq!(
            Vendor::parse(&hex("42454152 0400 0100 03 ffff")),
            Ok(Vendor::HopsFlow(3))
        );
        assert_eq!(
            Vendor::parse(&hex("4c494d45 1500 0100")),
            Ok(Vendor::PushProxyRequest),
            "version 1 too"
        );
        for bad in [
            "42454152 0400 01",
            "47544b47 0700 0100 ca18 001122334455667788",
            "42454152 0400 0100",
            "00000000 0000 0000 01",
            "00000000 0000 0000 0200 42454152 0400 0100",
            "00000000 0000 0000 ffff",
        ] {
            assert!(Vendor::parse(&hex(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_has_1_to_16_bytes() {
        assert_eq!(Token::new(&[]), None);
        assert_eq!(Token::new(&[0; TOKEN_BYTES_MAX + 1]), None);
        for len in 1..=TOKEN_BYTES_MAX {
            let bytes = vec![7; len];
            assert_eq!(Token::new(&bytes).unwrap().as_bytes(), bytes);
        }
        assert_ne!(Token::new(&[1]), Token::new(&[1, 0]));
    }
}
