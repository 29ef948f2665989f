//! Keeping links alive: pings at fixed times, and an end to links that are silent or take too little.

use bytes::Bytes;
use rand::Rng;

use crate::wire::{Frame, Guid, Header, Kind};

use super::event::{Bye, LinkId, Outbox, Role};
use super::{Node, Time, limits};

/// Every so many keep-alives a ping asks for addresses even when we have links enough, to keep the book fresh.
const REFRESH_TICKS: u32 = 4;
/// TTL of a ping that asks for addresses (overlay: host-seeking ping, TTL 4).
pub(super) const SEEK_TTL: u8 = 4;
/// Pongs taken for one ping: those of a full answer, and the peer's own, twice over.
const PONGS_TAKEN: u8 = 22;

const SILENT: Bye = Bye {
    code: 405,
    text: "Silent for too long",
};
const BEHIND: Bye = Bye {
    code: 405,
    text: "Took too little for too long",
};

impl Node {
    /// Pings all links, and closes those that are of no use any more.
    pub(super) fn keepalive(&mut self, now: Time, out: &mut Outbox) {
        self.peering.ticks = self.peering.ticks.wrapping_add(1);
        let mut useless = Vec::new();
        for (_, link) in self.links.iter_mut() {
            link.offences.forgive();
        }
        for (id, _, traffic) in self.links.with_traffic() {
            let pressed = |since| now.since(since) > limits::PRESSED_MAX;
            if now.since(traffic.heard) > limits::SILENCE_MAX {
                useless.push((id, SILENT));
            } else if traffic.pressed().is_some_and(pressed) {
                useless.push((id, BEHIND));
            }
        }
        for (id, bye) in useless {
            self.close(id, bye, out);
        }
        let short = self.links.count(Role::Ultrapeer) < self.config.min_links;
        let seek = short || self.peering.ticks.is_multiple_of(REFRESH_TICKS);
        for id in self.links.ids().to_vec() {
            self.ping(now, id, if seek { SEEK_TTL } else { 1 }, out);
            self.ask_for_ping(now, id, out);
        }
        let more = self.links.len() > 0;
        self.peering.keepalive = more.then(|| now.plus(limits::KEEPALIVE));
    }

    /// Pings one link: keeps it alive and, with a TTL above 2, asks for addresses.
    pub(super) fn ping(&mut self, now: Time, id: LinkId, ttl: u8, out: &mut Outbox) {
        let mut bytes = [0; 16];
        self.rng.fill_bytes(&mut bytes);
        let guid = Guid::from_random(bytes);
        let Some(link) = self.links.get_mut(id) else {
            return;
        };
        link.pings = [guid, link.pings[0]];
        link.pinged = now;
        link.pongs_left = PONGS_TAKEN;
        let header = Header {
            guid,
            kind: Kind::Ping,
            ttl,
            hops: 0,
        };
        self.send(
            id,
            Frame {
                header,
                payload: Bytes::new(),
            },
            out,
        );
    }
}
