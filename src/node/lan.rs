//! Finding the nodes of this network without being told: what to ask, whom to answer, what to believe.
//!
//! LimeWire's way (bootstrap.md section 5): an ordinary ping, TTL 1, to a multicast group that no router passes
//! on; each node in the group answers with a pong to the address the ping came from. Only private and link-local
//! networks take part. What answers is not believed about its address: a node is where its pong came from, at the
//! port that the pong names, so nobody can send us to a third party.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use bytes::Bytes;

use super::Time;
use crate::wire::ping::{Ping, Pong};
use crate::wire::{Frame, Guid, Header, Kind};

/// The group and port of LimeWire.
pub const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(234, 21, 81, 1), 6347);
/// Bytes of a datagram that are looked at; our own have at most 60.
pub const DATAGRAM_BYTES_MAX: usize = 512;
/// How often we ask (bootstrap.md section 5).
const ASK_EVERY: Duration = Duration::from_secs(300);
/// Waits after the first and second ask while nobody has answered: datagrams get lost, on radio most of all.
const ASK_AGAIN: [Duration; 2] = [Duration::from_millis(700), Duration::from_secs(3)];
/// Answers are taken for so long after an ask.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// A source is answered once in this time (bootstrap.md section 5).
const ANSWER_GAP: Duration = Duration::from_secs(10);
/// Nodes of one machine that are answered in that time: they ask from ports of their own.
const ANSWERS_PER_IP: usize = 4;
/// Answers in that time, to whomever. Our estimate: a busy network of machines that all start at once.
const ANSWERS_MAX: usize = 256;
/// Nodes learned by one ask.
const HEARD_MAX: usize = 256;
/// Nodes of one machine learned by one ask.
const HEARD_PER_IP: usize = 8;

/// A network that this machine is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Our address there.
    pub own: Ipv4Addr,
    /// Its mask.
    pub mask: Ipv4Addr,
}

impl Network {
    /// Is this a network whose machines may find each other? Not on public addresses: there, strangers are near.
    pub fn is_private(self) -> bool {
        self.own.is_private() || self.own.is_link_local() || self.own.is_loopback()
    }

    /// Is this an address of it?
    pub fn holds(self, ip: Ipv4Addr) -> bool {
        let mask = self.mask.to_bits();
        ip.to_bits() & mask == self.own.to_bits() & mask
    }
}

/// What a datagram leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A node asks who is here: [`Lan::pong`] is to be sent to it.
    Question(Question),
    /// A node is there.
    Node(SocketAddr),
}

/// A ping that is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Where it came from.
    pub from: SocketAddrV4,
    guid: Guid,
    /// Our own address on the network of the asker.
    own: Ipv4Addr,
}

/// The state of one node's search for others on its networks.
#[derive(Debug)]
pub struct Lan {
    /// The port that others can link to; `None`: we accept nothing, and answer nobody.
    port: Option<u16>,
    networks: Vec<Network>,
    asked: Option<(Guid, Time)>,
    /// Asks since the start.
    asks: usize,
    due: Time,
    heard: Vec<SocketAddrV4>,
    /// Whom we answered within [`ANSWER_GAP`], oldest first.
    answered: VecDeque<(SocketAddrV4, Time)>,
}

impl Lan {
    /// A node that accepts links at this port, if at any. It asks at once.
    pub fn new(port: Option<u16>) -> Self {
        Self {
            port,
            networks: Vec::new(),
            asked: None,
            asks: 0,
            due: Time::ZERO,
            heard: Vec::new(),
            answered: VecDeque::new(),
        }
    }

    /// When to ask next.
    pub fn due(&self) -> Time {
        self.due
    }

    /// The ping to send to the group now, on each of these networks; those that are not private are left out.
    pub fn ask(&mut self, now: Time, guid: Guid, networks: Vec<Network>) -> Vec<u8> {
        self.networks = networks;
        self.networks.retain(|network| network.is_private());
        self.heard.clear();
        self.asked = Some((guid, now));
        self.due = now.plus(ASK_AGAIN.get(self.asks).copied().unwrap_or(ASK_EVERY));
        self.asks = self.asks.saturating_add(1);
        let header = Header {
            guid,
            kind: Kind::Ping,
            ttl: 1,
            hops: 0,
        };
        let payload = Bytes::new();
        Frame { header, payload }.to_vec()
    }

    /// The networks to ask on.
    pub fn networks(&self) -> &[Network] {
        &self.networks
    }

    /// A datagram came in, to the group or to us; `None`: nothing to do about it.
    pub fn hear(&mut self, now: Time, from: SocketAddr, datagram: &[u8]) -> Option<Heard> {
        let SocketAddr::V4(from) = from else {
            return None;
        };
        if from.port() == 0 || datagram.len() > DATAGRAM_BYTES_MAX {
            return None;
        }
        let own = self
            .networks
            .iter()
            .find(|network| network.holds(*from.ip()))?
            .own;
        let frame = Frame::from_datagram(datagram).ok()?;
        match frame.header.kind {
            Kind::Ping => self.question(now, from, own, &frame).map(Heard::Question),
            Kind::Pong => self.node(now, from, &frame).map(Heard::Node),
            _ => None,
        }
    }

    fn question(
        &mut self,
        now: Time,
        from: SocketAddrV4,
        own: Ipv4Addr,
        ping: &Frame,
    ) -> Option<Question> {
        let Header {
            guid, ttl, hops, ..
        } = ping.header;
        let ours = self.asked.is_some_and(|(asked, _)| asked == guid);
        if self.port.is_none() || ours || ttl != 1 || hops != 0 {
            return None;
        }
        Ping::parse(&ping.payload).ok()?;
        while self
            .answered
            .front()
            .is_some_and(|(_, at)| now.since(*at) >= ANSWER_GAP)
        {
            self.answered.pop_front();
        }
        let known = |other: &&(SocketAddrV4, Time)| other.0.ip() == from.ip();
        let of_machine = self.answered.iter().filter(known).count();
        let again = self.answered.iter().any(|(other, _)| *other == from);
        if again || of_machine >= ANSWERS_PER_IP || self.answered.len() >= ANSWERS_MAX {
            return None;
        }
        self.answered.push_back((from, now));
        Some(Question { from, guid, own })
    }

    /// The answer to a question. `free` links are free; what is shared is told to neighbours only.
    pub fn pong(&self, question: &Question, free: u8) -> Vec<u8> {
        let pong = Pong {
            addr: SocketAddr::from((question.own, self.port.unwrap_or(0))),
            files: 0,
            kilobytes: 0,
            ultrapeer: Some((0, free)),
            tls: false,
        };
        let header = Header {
            guid: question.guid,
            kind: Kind::Pong,
            ttl: 1,
            hops: 0,
        };
        let payload = Bytes::from(pong.build());
        Frame { header, payload }.to_vec()
    }

    fn node(&mut self, now: Time, from: SocketAddrV4, pong: &Frame) -> Option<SocketAddr> {
        let (guid, at) = self.asked?;
        if guid != pong.header.guid || now.since(at) > ANSWER_TIME {
            return None;
        }
        let port = Pong::parse(&pong.payload).ok()?.addr.port();
        let node = SocketAddrV4::new(*from.ip(), port);
        let of_machine = self.heard.iter().filter(|other| other.ip() == node.ip());
        if port == 0
            || self.heard.len() >= HEARD_MAX
            || of_machine.count() >= HEARD_PER_IP
            || self.heard.contains(&node)
        {
            return None;
        }
        self.heard.push(node);
        // Somebody is there: no need to hurry any more.
        self.asks = ASK_AGAIN.len();
        self.due = at.plus(ASK_EVERY);
        Some(node.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: Network = Network {
        own: Ipv4Addr::new(192, 168, 1, 10),
        mask: Ipv4Addr::new(255, 255, 255, 0),
    };
    const PUBLIC: Network = Network {
        own: Ipv4Addr::new(8, 8, 8, 8),
        mask: Ipv4Addr::new(255, 255, 255, 0),
    };

    fn addr(last: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([192, 168, 1, last], port))
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO.plus(Duration::from_secs(seconds))
    }

    fn lan(port: Option<u16>, guid: u8) -> (Lan, Vec<u8>) {
        let mut lan = Lan::new(port);
        assert_eq!(lan.due(), Time::ZERO, "it asks at once");
        let ping = lan.ask(Time::ZERO, Guid([guid; 16]), vec![HOME, PUBLIC]);
        (lan, ping)
    }

    fn ping(guid: u8) -> Vec<u8> {
        lan(None, guid).1
    }

    #[test]
    fn a_node_that_asks_learns_those_that_answer() {
        let (mut sharing, _) = lan(Some(6346), 1);
        let (mut asking, ping) = lan(None, 2);
        let Some(Heard::Question(question)) = sharing.hear(at(1), addr(20, 5000), &ping) else {
            panic!("no answer");
        };
        assert_eq!(SocketAddr::V4(question.from), addr(20, 5000));
        let pong = sharing.pong(&question, 12);
        assert_eq!(
            asking.hear(at(1), addr(10, 40_000), &pong),
            Some(Heard::Node(addr(10, 6346)))
        );
        assert_eq!(asking.hear(at(1), addr(10, 40_000), &pong), None, "once");
        assert!(pong.len() <= 3 * ping.len(), "{} bytes", pong.len());
    }

    #[test]
    fn a_node_is_where_its_pong_came_from_whatever_the_pong_says() {
        let (mut asking, _) = lan(None, 2);
        let victim = Question {
            from: SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 10), 1),
            guid: Guid([2; 16]),
            own: Ipv4Addr::new(192, 168, 1, 99),
        };
        let pong = Lan::new(Some(80)).pong(&victim, 0);
        assert_eq!(
            asking.hear(at(1), addr(7, 40_000), &pong),
            Some(Heard::Node(addr(7, 80)))
        );
    }

    #[test]
    fn pongs_nobody_asked_for_are_dropped() {
        let (mut asking, _) = lan(None, 2);
        let pong = |guid, port| {
            let question = Question {
                from: SocketAddrV4::new(HOME.own, 1),
                guid: Guid([guid; 16]),
                own: HOME.own,
            };
            Lan::new(port).pong(&question, 0)
        };
        assert_eq!(asking.hear(at(1), addr(7, 1), &pong(3, Some(6346))), None);
        assert_eq!(asking.hear(at(1), addr(7, 1), &pong(2, None)), None);
        assert_eq!(asking.hear(at(11), addr(7, 1), &pong(2, Some(1))), None);
        let abroad = "8.8.8.9:1".parse().unwrap();
        assert_eq!(asking.hear(at(1), abroad, &pong(2, Some(6346))), None);
        assert!(
            asking
                .hear(at(1), addr(7, 1), &pong(2, Some(6346)))
                .is_some()
        );
    }

    #[test]
    fn what_one_machine_and_all_together_can_teach_is_bounded() {
        let (mut asking, _) = lan(None, 2);
        let mut heard = 0;
        for last in 1..=250 {
            for port in 1..=20 {
                let question = Question {
                    from: SocketAddrV4::new(HOME.own, 1),
                    guid: Guid([2; 16]),
                    own: HOME.own,
                };
                let pong = Lan::new(Some(port)).pong(&question, 0);
                heard += usize::from(asking.hear(at(1), addr(last, 9), &pong).is_some());
            }
            assert!(heard <= HEARD_PER_IP * usize::from(last));
        }
        assert_eq!(heard, HEARD_MAX);
    }

    #[test]
    fn a_source_is_answered_once_in_ten_seconds_and_a_machine_and_all_no_more_than_bounded() {
        let (mut sharing, _) = lan(Some(6346), 1);
        let mut answers =
            |now, last, port| usize::from(sharing.hear(now, addr(last, port), &ping(2)).is_some());
        assert_eq!(answers(at(1), 20, 5000) + answers(at(2), 20, 5000), 1);
        let machine: usize = (0..50).map(|port| answers(at(3), 20, 6000 + port)).sum();
        assert_eq!(machine, ANSWERS_PER_IP - 1);
        assert_eq!(answers(at(11), 20, 5000), 1, "again after ten seconds");
        let all: usize = (21..=250)
            .flat_map(|last| [(last, 1), (last, 2), (last, 3)])
            .map(|(last, port)| answers(at(30), last, port))
            .sum();
        assert_eq!(all, ANSWERS_MAX);
        assert!(sharing.answered.len() <= ANSWERS_MAX);
    }

    #[test]
    fn strangers_own_pings_and_junk_get_no_answer() {
        let (mut sharing, own) = lan(Some(6346), 1);
        let mut relayed = ping(2);
        relayed[18] = 1;
        let mut far = ping(2);
        far[17] = 2;
        for junk in [
            &own[..],
            &relayed,
            &far,
            b"",
            b"GTA",
            &[0; 600],
            &ping(2)[..22],
        ] {
            assert_eq!(sharing.hear(at(1), addr(20, 5000), junk), None);
        }
        for stranger in [
            "8.8.8.9:5",
            "192.168.2.1:5",
            "[fe80::1]:5",
            "127.0.0.1:5",
            "192.168.1.3:0",
        ] {
            let stranger = stranger.parse().unwrap();
            assert_eq!(sharing.hear(at(1), stranger, &ping(2)), None, "{stranger}");
        }
        let (mut client, _) = lan(None, 3);
        assert_eq!(client.hear(at(1), addr(20, 5000), &ping(2)), None);
        assert!(sharing.hear(at(1), addr(20, 5000), &ping(2)).is_some());
    }

    #[test]
    fn it_asks_again_soon_while_nobody_answers_then_every_five_minutes() {
        let (mut lan, _) = lan(None, 2);
        let mut gaps = Vec::new();
        for _ in 0..3 {
            let now = lan.due();
            lan.ask(now, Guid([2; 16]), vec![HOME]);
            gaps.push(lan.due().since(now).as_secs());
        }
        assert_eq!(gaps, [3, 300, 300]);
        let (mut lan, _) = self::lan(None, 2);
        let question = Question {
            from: SocketAddrV4::new(HOME.own, 1),
            guid: Guid([2; 16]),
            own: HOME.own,
        };
        let pong = Lan::new(Some(5)).pong(&question, 0);
        lan.hear(Time::ZERO, addr(7, 9), &pong).unwrap();
        assert_eq!(lan.due(), at(300));
    }
}
