//! Host caches by datagram: few are asked at a time, and each is believed once.

use std::net::SocketAddr;
use std::time::Duration;

use super::pings::WANTS_ULTRAPEER_SLOTS;
use super::{Dropped, Wants, datagram};
use crate::node::Time;
use crate::node::address::plausible;
use crate::wire::ping::{Packed, Ping, Pong};
use crate::wire::{Frame, Guid, Kind};

/// Host caches asked at a time (bootstrap.md section 2: 3 to 5).
pub const ASKED_MAX: usize = 4;
/// A host cache has so long (gtk-gnutella: 20 s).
pub const ASK_TIME: Duration = Duration::from_secs(20);
/// Flag of `SCP`: the asker does TLS.
const DOES_TLS: u8 = 2;

/// Those that are being asked.
#[derive(Debug, Default)]
pub(super) struct Asked(Vec<(SocketAddr, Guid, Time)>);

impl Asked {
    /// The question; `None`: enough are being asked, this one among them.
    pub(super) fn ask(
        &mut self,
        now: Time,
        cache: SocketAddr,
        guid: Guid,
        wants: Wants,
        tls: bool,
    ) -> Option<Vec<u8>> {
        self.0.retain(|(_, _, at)| now.since(*at) < ASK_TIME);
        let asked = self.0.iter().any(|(other, ..)| *other == cache);
        if asked || self.0.len() >= ASKED_MAX || !plausible(cache) {
            return None;
        }
        self.0.push((cache, guid, now));
        let slots = match wants {
            Wants::Nothing => None,
            Wants::LeafSlots => Some(0),
            Wants::UltrapeerSlots => Some(WANTS_ULTRAPEER_SLOTS),
        };
        let ping = Ping {
            wants_hosts: slots.map(|slots| if tls { slots | DOES_TLS } else { slots }),
        };
        Some(datagram(guid, Kind::Ping, ping.build()))
    }

    /// A pong came in: the answer to one question, if it was asked there. `None`: it was not, or the id is another, or
    /// it comes too late.
    pub(super) fn answered(
        &mut self,
        now: Time,
        from: SocketAddr,
        pong: &Frame,
    ) -> Result<Option<Packed>, Dropped> {
        let answers = |(cache, guid, at): &(SocketAddr, Guid, Time)| {
            *cache == from && *guid == pong.header.guid && now.since(*at) < ASK_TIME
        };
        let Some(at) = self.0.iter().position(answers) else {
            return Ok(None);
        };
        Pong::parse(&pong.payload).map_err(|_| Dropped::Malformed)?;
        // One answer to one question.
        self.0.swap_remove(at);
        Ok(Some(Packed::parse(&pong.payload)))
    }
}
