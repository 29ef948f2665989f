//! How much an address may send or be sent by datagram, where anybody can write any sender on one.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Time;
use super::address::Net;
use super::rate::Bucket;

/// An address that was silent for so long has all it may have: longer than a bucket takes to fill.
const IDLE: Duration = Duration::from_secs(5);

/// Bytes for each address, in a table of bounded size.
#[derive(Debug)]
pub(super) struct Allowances {
    /// Bytes a second for each.
    rate: u64,
    /// Addresses at a time; more are refused.
    most: usize,
    of: BTreeMap<SocketAddr, (Bucket, Time)>,
}

/// Why an address gets nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It had enough for now.
    TooMuch,
    /// Too many others have something now.
    Crowd,
}

impl Allowances {
    pub(super) fn new(rate: u64, most: usize) -> Self {
        Self {
            rate,
            most,
            of: BTreeMap::new(),
        }
    }

    /// Takes `bytes` of what this party may have.
    pub(super) fn take(
        &mut self,
        now: Time,
        party: SocketAddr,
        bytes: usize,
    ) -> Result<(), Refused> {
        if self.of.len() >= self.most && !self.of.contains_key(&party) {
            self.of.retain(|_, (_, used)| now.since(*used) < IDLE);
            if self.of.len() >= self.most {
                return Err(Refused::Crowd);
            }
        }
        let (bucket, used) = self.of.entry(party).or_default();
        *used = now;
        let fits = bucket.take(now, bytes, self.rate);
        if fits { Ok(()) } else { Err(Refused::TooMuch) }
    }
}

/// Who has one of these addresses has them all: IPv6 by /64.
pub(super) fn host(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Who shares an allowance: all ports of a host of the live network, for ports cost nothing there; elsewhere, where many
/// nodes may run on one machine, each has its own.
pub(super) fn party(net: Net, addr: SocketAddr) -> SocketAddr {
    match net {
        Net::Gnutella => SocketAddr::new(host(addr.ip()), 0),
        Net::Lan | Net::Rehearsal => addr,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_and_the_table_is_bounded() {
        let at = |seconds| Time::ZERO.plus(Duration::from_secs(seconds));
        let mut all = Allowances::new(100, 3);
        let addr = |n: u8| SocketAddr::from(([9, 0, 0, n], 6346));
        assert_eq!(all.take(at(1), addr(1), 400), Ok(()));
        assert_eq!(all.take(at(1), addr(1), 1), Err(Refused::TooMuch));
        assert_eq!(all.take(at(1), addr(2), 400), Ok(()));
        assert_eq!(all.take(at(1), addr(3), 1), Ok(()));
        assert_eq!(all.take(at(2), addr(4), 1), Err(Refused::Crowd));
        assert_eq!(all.take(at(2), addr(1), 100), Ok(()), "a second's worth");
        assert_eq!(all.take(at(6), addr(4), 1), Ok(()), "others are idle");
        assert_eq!(all.of.len(), 2);
    }

    #[test]
    fn a_host_of_the_live_network_has_one_allowance_for_all_its_ports() {
        let of = |net, text: &str| party(net, text.parse().unwrap());
        for [one, other] in [
            ["9.1.1.1:5", "9.1.1.1:6"],
            ["[2a00::1]:5", "[2a00::2]:6"],
            ["[::ffff:9.1.1.1]:5", "9.1.1.1:7"],
        ] {
            assert_eq!(of(Net::Gnutella, one), of(Net::Gnutella, other));
            assert_ne!(of(Net::Lan, one), of(Net::Lan, other));
        }
    }
}
