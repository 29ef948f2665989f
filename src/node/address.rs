//! Which addresses may be believed, dialled and told on, by the net one is on.
//!
//! On the live network strangers hand out addresses; none of them may lead into a private network or to a
//! service that is no node. On a LAN, private and loopback addresses are the normal case.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a node is part of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Net {
    /// This network's machines only; a flat overlay of equal nodes.
    #[default]
    Lan,
    /// The live Gnutella network.
    Gnutella,
    /// The rules of the live network among nodes of this machine: private and loopback addresses are the normal
    /// case, and each is a group of its own. For tests and for other programs on loopback.
    Rehearsal,
}

/// Ports of other services: a peer that names one wants us to knock there (overlay address hygiene).
pub(super) const SERVICE_PORTS: [u16; 10] = [25, 53, 80, 110, 143, 443, 465, 587, 993, 6667];

/// Can any socket listen there?
pub fn plausible(addr: SocketAddr) -> bool {
    let ip = addr.ip();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

impl Net {
    /// Is this net one of two tiers, with leaves and ultrapeers?
    pub fn is_two_tier(self) -> bool {
        match self {
            Self::Lan => false,
            Self::Gnutella | Self::Rehearsal => true,
        }
    }

    /// May a node be linked to at this address at all, whoever named it?
    pub fn admits(self, ip: IpAddr) -> bool {
        match self {
            Self::Lan | Self::Rehearsal => true,
            Self::Gnutella => !is_bogon(ip),
        }
    }

    /// Is whoever comes from there one of this net, to a node that is on others too? Each address is on one net only,
    /// so that nobody is heard on two: private ones are of a LAN, public ones of the live network. A rehearsal has
    /// the addresses of a LAN; there the greeting tells ([`of_two_tiers`](super::greet::of_two_tiers)).
    pub fn claims(self, ip: IpAddr) -> bool {
        match self {
            Self::Lan => is_bogon(ip),
            Self::Rehearsal => true,
            Self::Gnutella => !is_bogon(ip),
        }
    }

    /// Does a connection from `remote` to our address `local` prove that others can reach us? Not one of our own
    /// making, nor on the live network one from within our own network.
    pub fn proves_reach(self, remote: IpAddr, local: IpAddr) -> bool {
        let own = remote.to_canonical() == local.to_canonical();
        self.admits(remote) && (!own || self == Self::Rehearsal)
    }

    /// May an address that a stranger named be stored, dialled and told on?
    pub fn believes(self, addr: SocketAddr) -> bool {
        plausible(addr)
            && self.admits(addr.ip())
            && (self != Self::Gnutella || !SERVICE_PORTS.contains(&addr.port()))
    }

    /// May an address that a peer gives for itself be connected to? Its own address, at any port that is no other
    /// service's; private ones only when the peer is there itself.
    pub fn believes_of(self, addr: SocketAddr, peer: SocketAddr) -> bool {
        let own = addr.ip().to_canonical() == peer.ip().to_canonical();
        own && plausible(addr) && !SERVICE_PORTS.contains(&addr.port())
    }

    /// The group of an address: who can have one address of a group can have many. IPv4: /16, IPv6: /32; on a
    /// LAN each address is its own group.
    pub fn group(self, addr: SocketAddr) -> u64 {
        match (self, embedded_v4(addr.ip())) {
            (Self::Lan | Self::Rehearsal, Ok(v4)) => {
                u64::from(v4.to_bits()) << 16 | u64::from(addr.port())
            }
            (Self::Lan | Self::Rehearsal, Err(v6)) => fold(v6) ^ u64::from(addr.port()),
            (Self::Gnutella, Ok(v4)) => u64::from(v4.to_bits() >> 16),
            (Self::Gnutella, Err(v6)) => {
                1 << 32 | u64::from(v6.segments()[0]) << 16 | u64::from(v6.segments()[1])
            }
        }
    }
}

/// Both halves of an IPv6 address in one.
fn fold(v6: Ipv6Addr) -> u64 {
    v6.segments()
        .into_iter()
        .fold(0, |sum: u64, part| sum.rotate_left(16) ^ u64::from(part))
}

/// The IPv4 address that an address is, or carries (mapped, 6to4, Teredo).
fn embedded_v4(ip: IpAddr) -> Result<Ipv4Addr, Ipv6Addr> {
    let v6 = match ip {
        IpAddr::V4(v4) => return Ok(v4),
        IpAddr::V6(v6) => v6,
    };
    let [a, b, c, .., last_but_one, last] = v6.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match (a, b) {
        (0, 0) if v6.to_ipv4_mapped().is_some() => Ok(join(last_but_one, last)),
        (0x2002, _) => Ok(join(b, c)),
        (0x2001, 0) => Ok(join(!last_but_one, !last)),
        _ => Err(v6),
    }
}

/// No public node can be there.
fn is_bogon(ip: IpAddr) -> bool {
    match embedded_v4(ip) {
        Ok(v4) => is_bogon_v4(v4),
        Err(v6) => {
            let [a, b, ..] = v6.segments();
            v6.is_unspecified()
                || v6.is_loopback()
                || a & 0xFFC0 == 0xFE80
                || a & 0xFFC0 == 0xFEC0
                || a & 0xFE00 == 0xFC00
                || a & 0xFF00 == 0xFF00
                || (a == 0x2001 && b == 0x0DB8)
        }
    }
}

fn is_bogon_v4(v4: Ipv4Addr) -> bool {
    matches!(
        v4.octets(),
        [0 | 10 | 127 | 224.., ..]
            | [100, 64..=127, ..]
            | [169, 254, ..]
            | [172, 16..=31, ..]
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [192, 168, ..]
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_addresses_that_lead_nowhere_public_are_refused_on_the_live_network() {
        for text in [
            "0.1.2.3:6346",
            "10.0.0.1:6346",
            "127.0.0.1:6346",
            "100.64.0.1:6346",
            "169.254.1.1:6346",
            "172.16.0.1:6346",
            "172.31.255.255:6346",
            "192.0.0.1:6346",
            "192.0.2.1:6346",
            "192.88.99.1:6346",
            "192.168.1.1:6346",
            "198.18.0.1:6346",
            "198.51.100.1:6346",
            "203.0.113.1:6346",
            "224.0.0.1:6346",
            "240.0.0.1:6346",
            "255.255.255.255:6346",
            "8.8.8.8:0",
            "8.8.8.8:25",
            "8.8.8.8:443",
            "[::]:6346",
            "[::1]:6346",
            "[fe80::1]:6346",
            "[fc00::1]:6346",
            "[ff02::1]:6346",
            "[2001:db8::1]:6346",
            "[::ffff:10.0.0.1]:6346",
            "[2002:c0a8:101::1]:6346",
        ] {
            assert!(!Net::Gnutella.believes(text.parse().unwrap()), "{text}");
        }
        for text in [
            "8.8.8.8:6346",
            "172.32.0.1:1024",
            "179.1.1.1:6346",
            "[2a00::1]:6346",
            "[2002:808:808::1]:6346",
        ] {
            assert!(Net::Gnutella.believes(text.parse().unwrap()), "{text}");
        }
        for text in [
            "192.168.1.1:6346",
            "127.0.0.1:6346",
            "[::1]:6346",
            "10.1.2.3:80",
        ] {
            assert!(Net::Lan.believes(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn each_address_is_on_one_net_of_a_node_that_is_on_two() {
        for (ip, net) in [
            ("192.168.1.20", Net::Lan),
            ("127.0.0.1", Net::Lan),
            ("fe80::1", Net::Lan),
            ("::ffff:10.0.0.1", Net::Lan),
            ("8.8.8.8", Net::Gnutella),
            ("2a00::1", Net::Gnutella),
        ] {
            let ip = ip.parse().unwrap();
            let claimed = [Net::Lan, Net::Gnutella].map(|net| net.claims(ip));
            assert_eq!(claimed, [net == Net::Lan, net == Net::Gnutella], "{ip}");
        }
    }

    #[test]
    fn reach_is_proved_by_others_from_outside_only() {
        let proves = |net: Net, remote: &str, local: &str| {
            net.proves_reach(remote.parse().unwrap(), local.parse().unwrap())
        };
        assert!(proves(Net::Gnutella, "8.8.8.8", "10.0.0.2"));
        assert!(!proves(Net::Gnutella, "10.0.0.9", "10.0.0.2"));
        assert!(!proves(Net::Gnutella, "127.0.0.1", "127.0.0.1"));
        assert!(!proves(Net::Gnutella, "::ffff:8.8.8.8", "8.8.8.8"));
        assert!(!proves(Net::Lan, "127.0.0.1", "127.0.0.1"));
        assert!(proves(Net::Rehearsal, "127.0.0.1", "127.0.0.1"));
    }

    #[test]
    fn a_group_is_a_network_on_the_live_net_and_one_address_on_a_lan() {
        let group = |net: Net, text: &str| net.group(text.parse().unwrap());
        assert_eq!(
            group(Net::Gnutella, "8.8.8.8:1"),
            group(Net::Gnutella, "8.8.4.4:2")
        );
        assert_ne!(
            group(Net::Gnutella, "8.8.8.8:1"),
            group(Net::Gnutella, "8.9.8.8:1")
        );
        assert_eq!(
            group(Net::Gnutella, "[2002:808:808::1]:1"),
            group(Net::Gnutella, "8.8.4.4:2")
        );
        assert_ne!(
            group(Net::Lan, "127.0.0.1:1"),
            group(Net::Lan, "127.0.0.1:2")
        );
    }
}
