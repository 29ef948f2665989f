//! Who is known to be where it says: addresses whose node answered a ping of ours.
//!
//! Anybody can write any sender on a datagram, but only who is there reads what we send there. The ping is shorter than
//! the datagram that it doubts, so that nobody is its victim.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::wire::{Frame, Guid, Header, Kind};

use super::event::Outbox;
use super::offers::Wish;
use super::relay::Taken;
use super::{Drop, Node, Time};

/// An address stays proved for so long. Other programs answer one ping a minute; a search has its hits in a few.
const PROVED_LIFE: Duration = Duration::from_mins(5);
/// Addresses that stay proved; the oldest is doubted anew when there are more.
const PROVED_MAX: usize = 512;
/// A ping is answered within this (as for host caches, gtk-gnutella: 20 s).
const PING_TIME: Duration = Duration::from_secs(20);
/// Pings that wait for their answer.
const PINGS_MAX: usize = 64;
/// Wishes that wait for those.
const WISHES_MAX: usize = 128;

/// Proved addresses, and those that are being doubted.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    /// Oldest first.
    proved: VecDeque<(SocketAddr, Time)>,
    pings: Vec<(SocketAddr, Guid, Time)>,
    wishes: Vec<(Wish, Time)>,
}

/// What is to be done about a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// Its address is proved.
    None,
    /// It waits for the answer to a ping that went before.
    Waits,
    /// The same, and the ping is still to go.
    Ping,
}

impl Proofs {
    fn doubt(&mut self, now: Time, wish: Wish) -> Result<Doubt, Drop> {
        self.proved.retain(|(_, at)| now.since(*at) < PROVED_LIFE);
        self.pings.retain(|(.., at)| now.since(*at) < PING_TIME);
        self.wishes.retain(|(_, at)| now.since(*at) < PING_TIME);
        if self.proved.iter().any(|(addr, _)| *addr == wish.asker) {
            return Ok(Doubt::None);
        }
        let same = |(other, _): &(Wish, Time)| (other.asker, other.guid) == (wish.asker, wish.guid);
        if self.wishes.iter().any(same) {
            return Ok(Doubt::Waits);
        }
        let pinged = self.pings.iter().any(|(addr, ..)| *addr == wish.asker);
        if self.wishes.len() >= WISHES_MAX || (!pinged && self.pings.len() >= PINGS_MAX) {
            return Err(Drop::DatagramCrowd);
        }
        self.wishes.push((wish, now));
        Ok(if pinged { Doubt::Waits } else { Doubt::Ping })
    }

    /// A pong came: the wishes of the address that it proves.
    fn answered(&mut self, now: Time, from: SocketAddr, guid: Guid) -> Option<Vec<Wish>> {
        let its = |(addr, id, at): &(SocketAddr, Guid, Time)| {
            *addr == from && *id == guid && now.since(*at) < PING_TIME
        };
        let at = self.pings.iter().position(its)?;
        self.pings.swap_remove(at);
        if self.proved.len() >= PROVED_MAX {
            self.proved.pop_front();
        }
        self.proved.push_back((from, now));
        let its = self
            .wishes
            .extract_if(.., |(wish, _)| wish.asker == from)
            .map(|(wish, _)| wish);
        Some(its.collect())
    }
}

impl Node {
    /// Grants a wish once its address is proved.
    pub(super) fn prove(&mut self, now: Time, wish: Wish, out: &mut Outbox) -> Taken {
        match self.proofs.doubt(now, wish)? {
            Doubt::None => self.hand_over(wish, out),
            Doubt::Waits => {}
            Doubt::Ping => {
                let guid = self.new_guid();
                let header = Header {
                    guid,
                    kind: Kind::Ping,
                    ttl: 1,
                    hops: 0,
                };
                let payload = Bytes::new();
                self.speak_to(now, wish.asker, Frame { header, payload }, out)?;
                self.proofs.pings.push((wish.asker, guid, now));
            }
        }
        Ok(())
    }

    /// A pong came that no host cache was asked for.
    pub(super) fn proved(
        &mut self,
        now: Time,
        from: SocketAddr,
        guid: Guid,
        out: &mut Outbox,
    ) -> Taken {
        let wishes = self.proofs.answered(now, from, guid);
        for wish in wishes.ok_or(Drop::Unasked)? {
            self.hand_over(wish, out);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO.plus(Duration::from_secs(seconds))
    }

    fn wish(port: u16, guid: u8) -> Wish {
        Wish {
            asker: SocketAddr::from(([9, 1, 1, 1], port)),
            guid: Guid([guid; 16]),
            results: 1,
            token: None,
        }
    }

    #[test]
    fn an_address_is_pinged_once_and_then_proved_for_a_while() {
        let mut proofs = Proofs::default();
        assert_eq!(proofs.doubt(at(1), wish(1, 1)), Ok(Doubt::Ping));
        let (asker, ping) = (wish(1, 1).asker, Guid([9; 16]));
        proofs.pings.push((asker, ping, at(1)));
        assert_eq!(proofs.doubt(at(2), wish(1, 1)), Ok(Doubt::Waits));
        assert_eq!(proofs.doubt(at(2), wish(1, 2)), Ok(Doubt::Waits));
        assert_eq!(proofs.doubt(at(2), wish(2, 1)), Ok(Doubt::Ping));
        let elsewhere = wish(2, 1).asker;
        assert_eq!(proofs.answered(at(2), elsewhere, ping), None);
        assert_eq!(proofs.answered(at(2), asker, Guid([8; 16])), None);
        let granted = vec![wish(1, 1), wish(1, 2)];
        assert_eq!(proofs.answered(at(3), asker, ping), Some(granted));
        assert_eq!(proofs.answered(at(3), asker, ping), None, "once");
        assert_eq!(proofs.doubt(at(302), wish(1, 3)), Ok(Doubt::None));
        assert_eq!(proofs.doubt(at(303), wish(1, 3)), Ok(Doubt::Ping));
    }

    #[test]
    fn a_late_pong_proves_nothing_and_all_is_bounded() {
        let mut proofs = Proofs::default();
        let ping = Guid([9; 16]);
        proofs.doubt(at(1), wish(1, 1)).unwrap();
        proofs.pings.push((wish(1, 1).asker, ping, at(1)));
        assert_eq!(proofs.answered(at(21), wish(1, 1).asker, ping), None);
        for port in 1..1_000 {
            if proofs.doubt(at(30), wish(port, 1)) == Ok(Doubt::Ping) {
                proofs.pings.push((wish(port, 1).asker, ping, at(30)));
            }
        }
        assert_eq!(proofs.pings.len(), PINGS_MAX);
        for guid in 2..=255 {
            let _ = proofs.doubt(at(30), wish(1, guid));
        }
        assert_eq!(proofs.wishes.len(), WISHES_MAX);
        let full = proofs.doubt(at(30), wish(2, 2));
        assert_eq!(full, Err(Drop::DatagramCrowd));
        for port in 1..1_000 {
            proofs.pings.push((wish(port, 1).asker, ping, at(31)));
            proofs.answered(at(31), wish(port, 1).asker, ping).unwrap();
        }
        assert_eq!(proofs.proved.len(), PROVED_MAX);
    }
}
