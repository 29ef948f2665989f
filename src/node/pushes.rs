//! Pushes that concern us: those that ask us to connect, and those we send to ask others.

use std::net::SocketAddr;
use std::time::Duration;

use crate::wire::push::Push;
use crate::wire::{Frame, Header, Kind, ServentId};

use super::event::{Action, LinkId, Notice, Outbox, Ticket};
use super::relay::Taken;
use super::tiers::Tier;
use super::{Drop, Node, Time};

/// One address is connected to for pushes at most once in this time: a push names any address, and somebody might
/// name one that is nobody's servent (overlay, "Push": 2 a minute).
const TARGET_INTERVAL: Duration = Duration::from_secs(30);
/// Addresses connected to lately that are remembered; when all are taken by younger ones, pushes wait.
const TARGETS_MAX: usize = 64;
/// TTL of a push of ours, when its way is not known to be one hop.
const PUSH_TTL: u8 = 4;

/// Addresses connected to lately.
#[derive(Debug, Default)]
pub(super) struct PushTargets(Vec<(SocketAddr, Time)>);

impl PushTargets {
    /// May this address be connected to now? Then it is noted.
    fn take(&mut self, addr: SocketAddr, now: Time) -> bool {
        self.0.retain(|(_, at)| now.since(*at) < TARGET_INTERVAL);
        let free = self.0.len() < TARGETS_MAX && !self.0.iter().any(|(known, _)| *known == addr);
        if free {
            self.0.push((addr, now));
        }
        free
    }
}

impl Node {
    /// Somebody wants a file of ours and asks us to connect.
    pub(super) fn push_for_us(
        &mut self,
        now: Time,
        from: LinkId,
        push: &Push,
        out: &mut Outbox,
    ) -> Taken {
        // On a flat overlay everybody can be connected to: nobody needs a push.
        if self.tier() == Tier::Flat {
            return Err(Drop::Unused);
        }
        let own = self.config.listen == Some(push.addr);
        // Named by a stranger: on the live network public; or the neighbour's own address, where it really is.
        let neighbour = self.links.get(from).is_some_and(|link| {
            link.peer.is_at(push.addr) || self.config.net.believes_of(push.addr, link.peer.remote)
        });
        if own || !(neighbour || self.config.net.believes(push.addr)) {
            return Err(Drop::Unused);
        }
        if !self.push_targets.take(push.addr, now) {
            return Err(Drop::PushFlood);
        }
        out.push(Action::CallBack(push.addr, push.index));
        Ok(())
    }

    /// Asks a servent to connect to us, along the way its hits came.
    pub(super) fn push_to(
        &mut self,
        now: Time,
        ticket: Ticket,
        servent: ServentId,
        index: u32,
        out: &mut Outbox,
    ) {
        let result = self.send_push(now, servent, index, out);
        out.push(Action::Tell(ticket, Notice::Done(result)));
    }

    fn send_push(
        &mut self,
        now: Time,
        servent: ServentId,
        index: u32,
        out: &mut Outbox,
    ) -> Result<(), String> {
        let direct = self.links.by_servent(servent);
        let way = direct
            .or_else(|| self.push_routes.way(&servent))
            .filter(|link| self.links.contains(*link));
        let to = way.ok_or("no way to that node is known any more; search for the file again")?;
        let addr = self.own_addr(to);
        if addr.port() == 0 || self.firewalled() {
            return Err(
                "it cannot be connected to, and neither can we: nobody can open the connection. \
                        Make a port reachable (see `filbert status`), or find another source"
                    .to_owned(),
            );
        }
        let guid = self.new_guid();
        let push = Push {
            servent,
            index,
            addr,
            tls: false,
        };
        let ttl = if direct.is_some() { 1 } else { PUSH_TTL };
        let header = Header {
            guid,
            kind: Kind::Push,
            ttl,
            hops: 0,
        };
        self.routes
            .learn(guid, super::routes::Origin::Ours, u8::MAX, 0, now);
        self.send(
            to,
            Frame {
                header,
                payload: push.build().into(),
            },
            out,
        );
        Ok(())
    }
}
