//! What we tell one who asks by datagram: who we are, and which ultrapeers have room.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::wire::ping::Pong;

use super::udp::{HOSTS_GIVEN, Introduction, Wants};
use super::{Node, Time};

impl Node {
    /// What to tell one who asks from there for this. Only what pongs said lately, and nothing that others told us to
    /// try but nobody saw.
    pub fn introduction(&self, now: Time, from: SocketAddr, wants: Wants) -> Introduction {
        let fits = |pong: &Pong| match (wants, pong.ultrapeer) {
            (Wants::Nothing, _) | (_, None) => false,
            (Wants::LeafSlots, Some((leaves, _))) => leaves > 0,
            (Wants::UltrapeerSlots, Some((_, ultrapeers))) => ultrapeers > 0,
        };
        let hosts = self
            .pongs
            .young(now)
            .filter_map(|cached| Pong::parse(&cached.payload).ok())
            .filter(fits)
            .map(|pong| pong.addr)
            .filter(|addr| self.config.net.believes(*addr))
            .take(HOSTS_GIVEN)
            .collect();
        let party = from.ip().to_canonical();
        Introduction {
            own: self.datagram_pong(),
            hosts,
            proved: self
                .links
                .iter()
                .any(|(_, link)| link.peer.remote.ip().to_canonical() == party),
        }
    }

    fn datagram_pong(&self) -> Pong {
        let listen = self.config.listen;
        // Where a neighbour sees us; without one nobody has told us (127.0.0.0 stands for no address).
        let seen = self.links.iter().find_map(|(_, link)| link.peer.sees_us_at);
        let ip = listen
            .map(|listen| listen.ip())
            .filter(|ip| !ip.is_unspecified())
            .or(seen)
            .unwrap_or(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)));
        self.pong_at(SocketAddr::new(
            ip,
            listen.map_or(0, |listen| listen.port()),
        ))
    }
}
