//! The address of this machine that others on its network most likely reach it at.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// An address behind the usual gateway, of a block for documentation: nothing is ever sent to it.
const ELSEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

/// The own address on the way to the outside, as the system would choose it; `None` without a network.
///
/// Connecting a datagram socket only asks the system for the way: no packet leaves.
pub fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(ELSEWHERE).ok()?;
    let own = socket.local_addr().ok()?.ip();
    (!own.is_unspecified()).then_some(own)
}
