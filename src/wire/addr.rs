//! Addresses in binary fields: IPv4 in network order, ports little-endian, IPv6 in GGEP `6`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

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
