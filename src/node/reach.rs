//! Whether others reach us, by connection and by datagram, and through whom otherwise.
//!
//! Neither is believed before somebody did it. For connections a neighbour is asked to knock (BEAR/7), or a stranger
//! calls. For datagrams a few ultrapeers are asked for a ping (GTKG/7): it proves itself by the id of the question, and
//! counts only where no datagram of ours went before, as a firewall lets answers in. What we are asked ourselves we do
//! towards the asker alone.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use crate::wire::vendor::{self, Vendor, VendorId};
use crate::wire::{Frame, Guid, Header, Kind};

use super::allowance::party;
use super::event::{Direction, LinkId, Outbox, Role};
use super::links::Link;
use super::pushes::CALL_BACK_TIME;
use super::relay::Taken;
use super::tiers::Tier;
use super::{Drop, Node, Time};

/// Ultrapeers asked for a ping ...
const PINGS_ASKED_MAX: usize = 3;
/// ... in this time. What keeps datagrams out may change while a node runs.
const PINGS_ASKED_SPAN: Duration = Duration::from_mins(60);
/// Questions remembered, with those that could not prove anything any more.
const QUESTIONS_MAX: usize = 4 * PINGS_ASKED_MAX;
/// A neighbour is sent a ping at most this often: whoever asks more wants somebody pinged.
const PING_INTERVAL: Duration = Duration::from_secs(60);
/// A firewall that let a datagram of ours out lets those of its target in for so long at most (RFC 4787: 2 minutes at
/// least; most are well below 5).
const HOLE_LIFE: Duration = Duration::from_mins(5);
/// Targets remembered for that.
const HOLES_MAX: usize = 64;

/// Do others reach us?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// Somebody did.
    Yes,
    /// Neighbours were asked to, in vain; or we take nothing in.
    No,
    /// Neighbours were asked to, and have time left.
    Asked,
    /// Nobody was asked yet.
    Unknown,
}

/// Whether others can reach us, and through whom otherwise.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// Somebody connected to us unasked, or called back.
    pub(super) proved: bool,
    /// Neighbours asked to call us back.
    pub(super) asked: u8,
    /// Neighbours that pass pushes on to us, with their addresses.
    pub(super) proxies: Vec<(LinkId, SocketAddrV4)>,
    /// A stranger's datagram came.
    datagrams: bool,
    /// Pings that ultrapeers were asked for in the last [`PINGS_ASKED_SPAN`]; at most [`QUESTIONS_MAX`].
    questions: Vec<Question>,
    holes: Holes,
}

/// An ultrapeer was asked for a ping.
#[derive(Debug)]
struct Question {
    /// Of the ping.
    id: Guid,
    to: LinkId,
    at: Time,
    /// A ping of ours went there before its own came, which proves nothing now: it may be let in as an answer.
    spoiled: bool,
}

/// To whom datagrams of ours went lately.
#[derive(Debug, Default)]
pub(super) struct Holes(VecDeque<(SocketAddr, Time)>);

impl Holes {
    /// A datagram goes there. The oldest is forgotten when there are too many.
    pub(super) fn note(&mut self, now: Time, party: SocketAddr) {
        self.0.retain(|(known, _)| *known != party);
        if self.0.len() >= HOLES_MAX {
            self.0.pop_front();
        }
        self.0.push_back((party, now));
    }

    /// Could what comes from there be let in as an answer?
    pub(super) fn lead_to(&self, now: Time, party: SocketAddr) -> bool {
        let its = |(known, at): &(SocketAddr, Time)| *known == party && now.since(*at) < HOLE_LIFE;
        self.0.iter().any(its)
    }
}

impl Node {
    /// Can nobody connect to us, as far as we know? On a LAN everybody can.
    pub(super) fn firewalled(&self) -> bool {
        self.tier() != Tier::Flat && !self.reach.proved
    }

    /// Did neighbours that were asked to call us back not get through so far? A node that listens nowhere opens a port
    /// when it needs one, and nobody knows yet who could connect there: to such a one others shall answer.
    pub(super) fn called_in_vain(&self) -> bool {
        self.firewalled() && self.config.listen.is_some() && self.reach.asked > 0
    }

    /// Is it certain enough that nobody can connect to us? Neighbours were asked to, and had their time.
    pub(super) fn unreachable(&self, now: Time) -> bool {
        let waited = |since: Time| now.since(since) >= CALL_BACK_TIME;
        self.firewalled()
            && self.reach.asked > 0
            && self.links.iter().any(|(_, link)| waited(link.since))
    }

    /// Somebody connected to us unasked: we can be reached.
    pub(super) fn reached(&mut self) {
        self.reach.proved = true;
        self.reach.proxies.clear();
    }

    /// Who passes pushes on to us, while we cannot be connected to.
    pub(super) fn push_proxies(&self) -> Vec<SocketAddr> {
        let proxies = self.reach.proxies.iter();
        proxies.map(|(_, addr)| SocketAddr::V4(*addr)).collect()
    }

    /// Can others connect to us?
    pub fn connections_reach(&self, now: Time) -> Reached {
        match (self.reach.proved, self.config.listen) {
            (true, _) => Reached::Yes,
            (false, None) => Reached::No,
            (false, Some(_)) if self.unreachable(now) => Reached::No,
            (false, Some(_)) if self.reach.asked > 0 => Reached::Asked,
            (false, Some(_)) => Reached::Unknown,
        }
    }

    /// Is it proved that datagrams reach us?
    pub(super) fn datagrams_work(&self) -> bool {
        self.config.datagrams && self.reach.datagrams
    }

    /// Where hits of a search of ours may come by datagram; `None`: they are to come over the links. The live network
    /// alone has that agreement, and only for IPv4.
    pub(super) fn asks_aside(&self) -> Option<SocketAddrV4> {
        let works = self.tier() != Tier::Flat && self.datagrams_work() && self.config.direct_hits;
        let port = self.config.listen.filter(|_| works)?.port();
        match self.ip_for_strangers()?.to_canonical() {
            IpAddr::V4(ip) => Some(SocketAddrV4::new(ip, port)),
            IpAddr::V6(_) => None,
        }
    }

    /// Do datagrams of strangers reach us?
    pub fn datagrams_reach(&self, now: Time) -> Reached {
        let young = |question: &Question| now.since(question.at) < CALL_BACK_TIME;
        let questions = &self.reach.questions;
        if self.reach.datagrams {
            Reached::Yes
        } else if !self.config.datagrams {
            Reached::No
        } else if questions.iter().any(young) {
            Reached::Asked
        } else if questions.iter().all(|question| question.spoiled) {
            Reached::Unknown
        } else {
            Reached::No
        }
    }

    /// A neighbour says which vendor messages it reads.
    pub(super) fn reads(&mut self, from: LinkId, reads: &[VendorId]) {
        let of_ours = [vendor::UDP_CONNECT_BACK, vendor::UDP_CONNECT_BACK_1];
        if let Some(link) = self.links.get_mut(from) {
            link.pings_back = of_ours.into_iter().find(|id| reads.contains(id));
        }
    }

    /// Asks a neighbour for a ping if it is an ultrapeer that pings when asked, unless enough were or it would prove
    /// nothing. Called for each now and then: what stands against it may pass.
    pub(super) fn ask_for_ping(&mut self, now: Time, to: LinkId, out: &mut Outbox) {
        // Of two ultrapeers the one that called asks: if both did, each would let the other's ping in as an answer.
        let may = |link: &Link| {
            let called = matches!(link.peer.direction, Direction::Dialled(_));
            link.peer.role == Role::Ultrapeer && (called || self.tier() == Tier::Leaf)
        };
        let listen = self.config.listen.filter(|_| self.config.datagrams);
        let link = self.links.get(to).filter(|link| may(link));
        let (Some(listen), Some(link)) = (listen, link) else {
            return;
        };
        let Some(reads) = link.pings_back.filter(|_| !self.reach.datagrams) else {
            return;
        };
        let party = party(self.config.net, link.peer.remote);
        let questions = &mut self.reach.questions;
        questions.retain(|question| now.since(question.at) < PINGS_ASKED_SPAN);
        let good = |question: &&Question| !question.spoiled;
        if questions.len() >= QUESTIONS_MAX
            || questions.iter().filter(good).count() >= PINGS_ASKED_MAX
            || questions
                .iter()
                .filter(good)
                .any(|question| question.to == to)
            || self.reach.holes.lead_to(now, party)
        {
            return;
        }
        let id = self.new_guid();
        self.reach.questions.push(Question {
            id,
            to,
            at: now,
            spoiled: false,
        });
        let question = Vendor::UdpConnectBack {
            port: listen.port(),
            id: (reads == vendor::UDP_CONNECT_BACK_1).then_some(id),
        };
        self.send_vendor(to, id, &question, out);
    }

    /// A ping came by datagram, perhaps one that was asked for.
    pub(super) fn pinged(&mut self, now: Time, from: SocketAddr, guid: Guid) {
        let party = party(self.config.net, from);
        let asked = self
            .reach
            .questions
            .iter()
            .any(|question| question.id == guid);
        if asked && !self.reach.holes.lead_to(now, party) {
            self.reach.datagrams = true;
        }
    }

    /// A datagram goes to `to`, whose next one proves nothing.
    pub(super) fn open_hole(&mut self, now: Time, to: SocketAddr) {
        self.reach.holes.note(now, party(self.config.net, to));
    }

    /// A neighbour asks for a ping by datagram with this id, to a port of its own address and nowhere else.
    pub(super) fn ping_back(
        &mut self,
        now: Time,
        from: LinkId,
        port: u16,
        guid: Guid,
        out: &mut Outbox,
    ) -> Taken {
        let can = self.config.datagrams;
        let link = self.links.get_mut(from).ok_or(Drop::LinkGone)?;
        let addr = SocketAddr::new(link.peer.remote.ip(), port);
        if !can
            || now < link.ping_back_again
            || !self.config.net.believes_of(addr, link.peer.remote)
        {
            return Err(Drop::Unused);
        }
        link.ping_back_again = now.plus(PING_INTERVAL);
        let header = Header {
            guid,
            kind: Kind::Ping,
            ttl: 1,
            hops: 0,
        };
        let payload = bytes::Bytes::new();
        self.speak_to(now, addr, Frame { header, payload }, out)?;
        // Both asked the other at a time, as gtk-gnutella does of everybody until it knows.
        for question in &mut self.reach.questions {
            question.spoiled |= question.to == from;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_sent_something_is_remembered_for_a_while_and_of_many_the_youngest() {
        let at = |seconds| Time::ZERO.plus(Duration::from_secs(seconds));
        let addr = |n: u16| SocketAddr::from(([9, 0, 0, 1], n));
        let mut holes = Holes::default();
        holes.note(at(1), addr(1));
        assert!(holes.lead_to(at(300), addr(1)) && !holes.lead_to(at(300), addr(2)));
        assert!(!holes.lead_to(at(301), addr(1)));
        for n in 2..200 {
            holes.note(at(2), addr(n));
            holes.note(at(2), addr(n));
        }
        assert_eq!(holes.0.len(), HOLES_MAX);
        assert!(holes.lead_to(at(3), addr(199)) && !holes.lead_to(at(3), addr(1)));
    }
}
