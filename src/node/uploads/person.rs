//! Who a turn belongs to: a person, as far as an address tells one from another.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Who a turn belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Person {
    /// A host; of IPv6 its network of 64 bits, since whoever has one address there has all.
    Host(IpAddr),
    /// A node of this machine, by where it listens or connects from: a lab is many persons at one address.
    Local(SocketAddr),
}

impl Person {
    /// Who is at `peer` and says that it listens at `node`.
    pub fn of(peer: SocketAddr, node: Option<SocketAddr>) -> Self {
        match peer.ip().to_canonical() {
            ip @ (IpAddr::V4(_) | IpAddr::V6(_)) if ip.is_loopback() => {
                Self::Local(node.unwrap_or(peer))
            }
            IpAddr::V6(ip) => {
                let network = ip.to_bits() >> 64 << 64;
                Self::Host(Ipv6Addr::from_bits(network).into())
            }
            v4 @ IpAddr::V4(_) => Self::Host(v4),
        }
    }

    /// Of this machine or its network: asked to come back sooner, and without accounts.
    pub fn is_near(self) -> bool {
        match self {
            Self::Local(_) => true,
            Self::Host(IpAddr::V4(ip)) => ip.is_private() || ip.is_link_local(),
            Self::Host(IpAddr::V6(ip)) => ip.is_unique_local() || ip.is_unicast_link_local(),
        }
    }

    /// Whether a limit is for bytes that come from there or go there: it spares the line to the outside, which those of
    /// this network do not use. This machine counts, so that a lab can be given slow nodes.
    pub fn uses_the_line(self) -> bool {
        match self {
            Self::Local(_) => true,
            host @ Self::Host(_) => !host.is_near(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_for_the_line_to_the_outside() {
        let at = |ip: &str| SocketAddr::new(ip.parse().expect("an address"), 1);
        for outside in ["8.8.8.8", "2001:db8::1", "127.0.0.1", "::1"] {
            assert!(Person::of(at(outside), None).uses_the_line(), "{outside}");
        }
        for inside in [
            "10.0.0.1",
            "192.168.1.20",
            "::ffff:172.16.0.1",
            "169.254.0.9",
            "fd00::1",
            "fe80::1",
        ] {
            assert!(!Person::of(at(inside), None).uses_the_line(), "{inside}");
        }
    }
}
