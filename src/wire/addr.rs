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
        let ip = Ipv6Addr::from(ip).to_canonical();
        SocketAddr::new(ip, u16::from_le_bytes([p0, p1]))
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

/// Which entries of a vector have a property: bit 0x80 of the first byte is for the first entry; zeros at the end
/// are left out (GGEP `..._TLS`).
#[derive(Debug, Default)]
pub(super) struct BitMap(Vec<u8>);

impl BitMap {
    pub(super) fn of(bits: impl Iterator<Item = bool>) -> Self {
        let mut bytes = Vec::new();
        for at in bits.enumerate().filter_map(|(at, bit)| bit.then_some(at)) {
            bytes.resize(at / 8 + 1, 0);
            bytes[at / 8] |= 0x80 >> (at % 8);
        }
        Self(bytes)
    }

    /// `None`: it is for more entries than any vector has.
    pub(super) fn read(extension: &Extension<'_>) -> Option<Self> {
        let value = extension.value_within(VECTOR_MAX / 8).ok()?;
        Some(Self(value.into_owned()))
    }

    pub(super) fn get(&self, at: usize) -> bool {
        let byte = self.0.get(at / 8).copied().unwrap_or_default();
        byte & 0x80 >> (at % 8) != 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
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
            Some(six) => SocketAddr::new(six.to_canonical(), self.four.port()),
            None => self.four.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bitmap_is_that_of_the_reference() {
        let bits = [true, true, false, false, true];
        let map = BitMap::of(bits.into_iter());
        assert_eq!(map.bytes(), [0xC8]);
        assert_eq!([0, 1, 2, 3, 4].map(|at| map.get(at)), bits);
        assert!(!map.get(5) && !map.get(4096));
        assert!(BitMap::of([false; 9].into_iter()).is_empty());
        let ninth = BitMap::of((0..12).map(|at| at == 8));
        assert_eq!(ninth.bytes(), [0, 0x80]);
    }
}
