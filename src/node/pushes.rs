//! Pushes that concern us: those that ask us to connect, those we send to ask others, and those that strangers ask us
//! to hand to a neighbour whose push proxy we are.
//!
//! A push makes somebody connect to an address that somebody else named. So each kind has its bound, by address and by
//! who asks; all of them together are no way to make many nodes knock at one door.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::wire::push::Push;
use crate::wire::{Frame, Guid, Header, Kind, ServentId};

use super::allowance::host;
use super::event::{Action, LinkId, Notice, Outbox, Passed, PassedPush, PushSpec, Pushed, Ticket};
use super::relay::Taken;
use super::routes::Origin;
use super::tiers::Tier;
use super::{Drop, Node, Time, limits};

/// The span over which connections for pushes are counted: a push names any address, and somebody might name one that
/// is nobody's servent (gtk-gnutella: 30 s).
const TARGET_WINDOW: Duration = Duration::from_secs(30);
/// Connections to one address in that time. Who browses a node and then fetches some of its files asks for each
/// (gtk-gnutella: 5 to a host).
const TARGETS_PER_ADDR_MAX: usize = 5;
/// Connections to one host in that time. Several people behind one address may want our files; our estimate.
const TARGETS_PER_HOST_MAX: usize = 8;
/// Connections in that time that are remembered; when all are younger, pushes wait.
const TARGETS_MAX: usize = 64;
/// Pushes from one address for one file within this are one wish that came by several proxies, each of which may have
/// given it an id of its own. Who gets no answer by one way takes seconds to go the next; our estimate.
const COPIES_WITHIN: Duration = Duration::from_secs(5);
/// TTL of a push of ours, when its way is not known to be one hop.
const PUSH_TTL: u8 = 4;
/// The span over which pushes passed on for strangers are counted.
const PASS_WINDOW: Duration = Duration::from_secs(60);
/// Pushes passed on in that time for one host. A download asks each proxy once; our estimate.
const PASSED_PER_ASKER_MAX: usize = 12;
/// Pushes passed on in that time to one neighbour; it would refuse more (see [`TARGETS_MAX`]).
const PASSED_PER_SERVENT_MAX: usize = 30;
/// Pushes passed on in that time in all.
const PASSED_MAX: usize = 512;
/// A neighbour that was asked to call us back does it within this, or not at all.
pub(super) const CALL_BACK_TIME: Duration = Duration::from_secs(60);

/// Connections made for pushes lately: where to, for which file, when.
#[derive(Debug, Default)]
pub(super) struct PushTargets(Vec<(SocketAddr, u32, Time)>);

impl PushTargets {
    /// May this address be connected to now, to offer the file `index`? Then it is noted.
    fn take(&mut self, addr: SocketAddr, index: u32, now: Time) -> bool {
        self.0.retain(|(.., at)| now.since(*at) < TARGET_WINDOW);
        let copy = |(known, file, at): &(SocketAddr, u32, Time)| {
            *known == addr && *file == index && now.since(*at) < COPIES_WITHIN
        };
        let to_addr = self.0.iter().filter(|(known, ..)| *known == addr).count();
        let to_host = |(known, ..): &&(SocketAddr, u32, Time)| host(known.ip()) == host(addr.ip());
        let free = self.0.len() < TARGETS_MAX
            && !self.0.iter().any(copy)
            && to_addr < TARGETS_PER_ADDR_MAX
            && self.0.iter().filter(to_host).count() < TARGETS_PER_HOST_MAX;
        if free {
            self.0.push((addr, index, now));
        }
        free
    }
}

/// Pushes passed on lately: for whom, to whom, when; oldest first.
#[derive(Debug, Default)]
pub(super) struct PassedPushes(Vec<(IpAddr, ServentId, Time)>);

impl PassedPushes {
    /// May one more be passed on? Then it is noted; else the wait after which there is room.
    fn take(&mut self, asker: IpAddr, servent: ServentId, now: Time) -> Result<(), Duration> {
        self.0.retain(|(.., at)| now.since(*at) < PASS_WINDOW);
        let asker = host(asker);
        let of_asker = self.0.iter().filter(|(by, ..)| *by == asker).count();
        let of_servent = self.0.iter().filter(|(_, to, _)| *to == servent).count();
        if of_asker >= PASSED_PER_ASKER_MAX
            || of_servent >= PASSED_PER_SERVENT_MAX
            || self.0.len() >= PASSED_MAX
        {
            return Err(PASS_WINDOW);
        }
        self.0.push((asker, servent, now));
        Ok(())
    }
}

impl Node {
    /// Somebody wants a file of ours and asks us to connect. On a flat overlay too: the firewall of one machine is
    /// enough to need it.
    pub(super) fn push_for_us(
        &mut self,
        now: Time,
        from: LinkId,
        push: &Push,
        out: &mut Outbox,
    ) -> Taken {
        let own = self.config.listen == Some(push.addr);
        // Named by a stranger: on the live network public; or the neighbour's own address, where it really is.
        let neighbour = self.links.get(from).is_some_and(|link| {
            link.peer.is_at(push.addr) || self.config.net.believes_of(push.addr, link.peer.remote)
        });
        if own || !(neighbour || self.config.net.believes(push.addr)) {
            return Err(Drop::Unused);
        }
        self.call_back(now, push, out)
    }

    /// Connects to where a push says, unless too many did lately.
    fn call_back(&mut self, now: Time, push: &Push, out: &mut Outbox) -> Taken {
        if self.config.hostile.lists(push.addr.ip()) {
            return Err(Drop::Hostile);
        }
        if !self.push_targets.take(push.addr, push.index, now) {
            return Err(Drop::PushFlood);
        }
        out.push(Action::CallBack {
            to: push.addr,
            index: push.index,
            tls: push.tls,
        });
        Ok(())
    }

    /// Asks a servent to connect to us, along the way its hits came.
    pub(super) fn push_to(&mut self, now: Time, ticket: Ticket, spec: PushSpec, out: &mut Outbox) {
        let pushed = self.send_push(now, spec, out);
        out.push(Action::Tell(ticket, Notice::Pushed(pushed)));
    }

    fn send_push(&mut self, now: Time, spec: PushSpec, out: &mut Outbox) -> Pushed {
        let direct = self.links.by_servent(spec.servent);
        let way = direct
            .or_else(|| self.push_routes.way(&spec.servent))
            .filter(|link| self.links.contains(*link));
        if self.awaits_in_vain(now, spec) {
            return Pushed::NorCanWe;
        }
        let Some(to) = way else {
            return Pushed::NoWay;
        };
        let push = self.push_of(spec, self.own_addr(to));
        let ttl = if direct.is_some() { 1 } else { PUSH_TTL };
        let guid = self.new_guid();
        self.start_push(now, to, guid, &push, ttl, out);
        Pushed::Sent
    }

    /// Asks a servent to connect to us, by a datagram to each of its push proxies.
    pub(super) fn push_by_proxies(
        &mut self,
        now: Time,
        ticket: Ticket,
        spec: PushSpec,
        proxies: &[SocketAddr],
        out: &mut Outbox,
    ) {
        let pushed = if self.awaits_in_vain(now, spec) {
            Pushed::NorCanWe
        } else if self.links.by_servent(spec.servent).is_some() {
            // A neighbour needs no proxy.
            self.send_push(now, spec, out)
        } else {
            self.tell_proxies(now, spec, proxies, out)
        };
        out.push(Action::Tell(ticket, Notice::Pushed(pushed)));
    }

    /// A datagram is small, costs its proxy no connection, and needs no way that is still there (content, "Push and
    /// GIV": the first of three). On a LAN there are no proxies.
    fn tell_proxies(
        &mut self,
        now: Time,
        spec: PushSpec,
        proxies: &[SocketAddr],
        out: &mut Outbox,
    ) -> Pushed {
        // A proxy passes a push on towards the address that its datagram came from, and no other.
        let Some(ip) = self
            .ip_for_strangers()
            .filter(|_| self.tier() != Tier::Flat)
        else {
            return Pushed::NoWay;
        };
        let listen = self.config.listen;
        let port = listen.map_or(0, |listen| listen.port());
        let push = self.push_of(spec, SocketAddr::new(ip, port));
        let may = |proxy: &&SocketAddr| {
            self.config.net.believes(**proxy)
                && !self.config.hostile.lists(proxy.ip())
                && Some(**proxy) != listen
        };
        let told: Vec<_> = proxies
            .iter()
            .filter(may)
            .take(limits::PROXIES_TOLD_MAX)
            .copied()
            .collect();
        let mut pushed = Pushed::NoWay;
        // The same id by all ways: so whoever gets several knows them for one wish, and connects once. gtk-gnutella
        // obeys few pushes of one host.
        let guid = self.new_guid();
        for proxy in told {
            let header = Header {
                guid,
                kind: Kind::Push,
                ttl: 1,
                hops: 0,
            };
            let payload = push.build().into();
            match self.speak_to(now, proxy, Frame { header, payload }, out) {
                Ok(()) => pushed = Pushed::Sent,
                Err(reason) => self.stats.count_drop(reason),
            }
        }
        pushed
    }

    /// Would nobody get through to us who was asked to connect?
    fn awaits_in_vain(&self, now: Time, spec: PushSpec) -> bool {
        let heard = spec.port.is_some() || self.config.listen.is_some();
        !heard || self.unreachable(now)
    }

    fn push_of(&self, spec: PushSpec, mut addr: SocketAddr) -> Push {
        if let Some(port) = spec.port {
            addr.set_port(port.get());
        }
        Push {
            servent: spec.servent,
            index: spec.index,
            addr,
            tls: self.config.says_tls(),
        }
    }

    /// A stranger asks us to hand a push to a neighbour.
    pub(super) fn pass_push(
        &mut self,
        now: Time,
        ticket: Ticket,
        push: &PassedPush,
        out: &mut Outbox,
    ) {
        let passed = self.passed(now, push, out);
        out.push(Action::Tell(ticket, Notice::Passed(passed)));
    }

    fn passed(&mut self, now: Time, push: &PassedPush, out: &mut Outbox) -> Passed {
        // To where the asker is and nowhere else: else everybody could send our neighbours to anybody.
        if !self.config.net.believes_of(push.to, push.asker) {
            return Passed::NotYours;
        }
        let for_us = push.servent == self.id;
        // A leaf has no leaves.
        let to = self.links.by_servent(push.servent);
        let to = to.filter(|_| self.tier() != Tier::Leaf);
        if to.is_none() && !for_us {
            return Passed::Unknown;
        }
        let guid = push.id.unwrap_or_else(|| self.new_guid());
        if self.routes.trace(&guid).is_some() {
            self.stats.count_drop(Drop::Duplicate);
            return Passed::Sent;
        }
        let taken = self.passed_pushes.take(push.asker.ip(), push.servent, now);
        if let Err(wait) = taken {
            let again_s = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX);
            return Passed::TooOften { again_s };
        }
        let push = Push {
            servent: push.servent,
            index: push.index,
            addr: push.to,
            tls: push.tls,
        };
        let Some(to) = to.filter(|_| !for_us) else {
            // Who knows where our datagrams come from needs no proxy.
            self.routes.learn(guid, Origin::Ours, u8::MAX, 0, now);
            if let Err(reason) = self.call_back(now, &push, out) {
                self.stats.count_drop(reason);
            }
            return Passed::Sent;
        };
        self.start_push(now, to, guid, &push, 1, out);
        Passed::Sent
    }

    /// Sends a push that begins its way here.
    fn start_push(
        &mut self,
        now: Time,
        to: LinkId,
        guid: Guid,
        push: &Push,
        ttl: u8,
        out: &mut Outbox,
    ) {
        self.routes.learn(guid, Origin::Ours, u8::MAX, 0, now);
        let header = Header {
            guid,
            kind: Kind::Push,
            ttl,
            hops: 0,
        };
        let payload = push.build().into();
        self.send(to, Frame { header, payload }, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO.plus(Duration::from_secs(seconds))
    }

    fn addr(host: u16, port: u16) -> SocketAddr {
        let [high, low] = host.to_be_bytes();
        SocketAddr::from(([8, 8, high, low], port))
    }

    #[test]
    fn an_address_is_connected_to_once_for_one_wish_and_few_times_for_several() {
        let mut targets = PushTargets::default();
        let one = addr(1, 1000);
        assert!(targets.take(one, 7, at(0)));
        assert!(!targets.take(one, 7, at(4)), "a copy");
        assert!(targets.take(one, 8, at(4)), "another file");
        assert!(targets.take(one, 7, at(5)), "asked again");
        let more = (100..200).filter(|file| targets.take(one, *file, at(6)));
        assert_eq!(more.count(), TARGETS_PER_ADDR_MAX - 3);
        assert!(!targets.take(one, 9, at(29)));
        assert!(targets.take(one, 9, at(30)));
    }

    #[test]
    fn a_host_is_connected_to_at_few_ports_and_few_hosts_are() {
        let mut targets = PushTargets::default();
        let ports = (2000..3000).filter(|port| targets.take(addr(1, *port), 0, at(31)));
        assert_eq!(ports.count(), TARGETS_PER_HOST_MAX);
        let hosts = (2..3000).filter(|host| targets.take(addr(*host, 1), 0, at(32)));
        assert_eq!(hosts.count(), TARGETS_MAX - TARGETS_PER_HOST_MAX);
        assert_eq!(targets.0.len(), TARGETS_MAX);
        assert!(targets.take(addr(9, 9), 0, at(62)));
    }

    #[test]
    fn pushes_passed_on_are_bounded_by_who_asks_by_who_gets_them_and_in_all() {
        let mut passed = PassedPushes::default();
        let servent = |n: u16| {
            let mut id = [1; 16];
            id[..2].copy_from_slice(&n.to_be_bytes());
            ServentId(id)
        };
        let ip = |n: u16| addr(n, 1).ip();
        let of_one = (0..100).filter(|n| passed.take(ip(1), servent(*n), at(0)).is_ok());
        assert_eq!(of_one.count(), PASSED_PER_ASKER_MAX);
        let to_one = (2..100).filter(|n| passed.take(ip(*n), servent(200), at(1)).is_ok());
        assert_eq!(to_one.count(), PASSED_PER_SERVENT_MAX);
        for n in 0..2000 {
            let _ = passed.take(ip(n), servent(n), at(2));
        }
        assert_eq!(passed.0.len(), PASSED_MAX);
        assert_eq!(passed.take(ip(1), servent(1), at(62)), Ok(()));
        let six = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(host(six("2a00::1")), host(six("2a00::ffff:1")));
        assert_eq!(host(six("::ffff:8.8.8.8")), six("8.8.8.8"));
    }
}
