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
}
