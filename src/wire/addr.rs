//! Addresses in binary fields: IPv4 in network order, ports little-endian, IPv6 in GGEP `6`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use super::ggep::Extension;

/// Stands in the IPv4 field of who has none.
const NO_IPV4: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 0);

/// Reads port, then address.
pub(super) fn read_port_ip([p0, p1, a, b, c, d]: [u8; 6]) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_le_bytes([p0, p1]))
}

/// Reads address, then port.
pub(super) fn read_ip_port([a, b, c, d, p0, p1]: [u8; 6]) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_le_bytes([p0, p1]))
}

/// Writes the IPv4 field, and returns what must go into GGEP `6`.
pub(super) fn write_ip(ip: IpAddr, out: &mut Vec<u8>) -> Option<[u8; 16]> {
    match ip.to_canonical() {
        IpAddr::V4(four) => {
            out.extend_from_slice(&four.octets());
            None
        }
        IpAddr::V6(six) => {
            out.extend_from_slice(&NO_IPV4.octets());
            Some(six.octets())
        }
    }
}

/// Entries of an address vector that are looked at; gtk-gnutella packs 30 at most.
const VECTOR_MAX: usize = 64;

/// Reads a vector of IPv4 addresses with ports. `None`: it ends within an entry, or is far too long.
pub(super) fn vector4(extension: &Extension<'_>) -> Option<Vec<SocketAddr>> {
    let value = extension.value_within(6 * VECTOR_MAX).ok()?;
    let (entries, rest) = value.as_chunks::<6>();
    let addrs = entries.iter().map(|entry| read_ip_port(*entry).into());
    rest.is_empty().then(|| addrs.collect())
}

/// The same for IPv6 addresses.
pub(super) fn vector6(extension: &Extension<'_>) -> Option<Vec<SocketAddr>> {
    let value = extension.value_within(18 * VECTOR_MAX).ok()?;
    let (entries, rest) = value.as_chunks::<18>();
    let addrs = entries.iter().map(|entry| {
        let [ip @ .., p0, p1] = *entry;
        SocketAddrV6::new(ip.into(), u16::from_le_bytes([p0, p1]), 0, 0).into()
    });
    rest.is_empty().then(|| addrs.collect())
}

/// Vectors of the IPv4 and of the IPv6 addresses among `addrs`.
pub(super) fn vectors(addrs: &[SocketAddr]) -> (Vec<u8>, Vec<u8>) {
    let (mut four, mut six) = (Vec::new(), Vec::new());
    for addr in addrs {
        let vector = match addr.ip().to_canonical() {
            IpAddr::V4(ip) => {
                four.extend_from_slice(&ip.octets());
                &mut four
            }
            IpAddr::V6(ip) => {
                six.extend_from_slice(&ip.octets());
                &mut six
            }
        };
        vector.extend_from_slice(&addr.port().to_le_bytes());
    }
    (four, six)
}

/// An address whose IPv4 field may stand for an IPv6 one that follows.
pub(super) struct Ipv4OrSix {
    four: SocketAddrV4,
    six: Option<Ipv6Addr>,
}

impl Ipv4OrSix {
    pub(super) fn new(four: SocketAddrV4) -> Self {
        Self { four, six: None }
    }

    /// Takes in GGEP `6`; the first valid one counts, and only where there is no IPv4.
    pub(super) fn six(&mut self, extension: &Extension<'_>) {
        if self.six.is_none() && *self.four.ip() == NO_IPV4 {
            self.six = extension.array::<16>().map(Ipv6Addr::from);
        }
    }

    pub(super) fn get(&self) -> SocketAddr {
        match self.six {
            Some(six) => SocketAddr::new(six.into(), self.four.port()),
            None => self.four.into(),
        }
    }
}
