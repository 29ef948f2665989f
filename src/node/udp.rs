//! Datagrams on the live network: whose pings are answered and with how much, and which pongs are believed.
//!
//! Anybody can write any sender on a datagram. So an address is answered seldom, and with no more than
//! [`AMPLIFICATION`] times the bytes of its question unless it is proved (a neighbour has it); and a pong counts only
//! when it comes from where we asked, with the id of the question. Sources: bootstrap.md section 2, overlay.md 12.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;

use super::Time;
use super::address::{SERVICE_PORTS, plausible};
use super::event::PassedPush;
use crate::wire::ping::{Packed, Ping, Pong};
use crate::wire::push::Push;
use crate::wire::{Frame, Guid, Header, Kind};

/// Bytes of a datagram that are looked at: more than any answer of a host cache, less than any network cuts.
pub const DATAGRAM_BYTES_MAX: usize = 1_400;
/// Bytes of an answer to a proved address (bootstrap.md section 2: below 512).
pub const ANSWER_BYTES_MAX: usize = 511;
/// Bytes of an answer for each byte of the question of an address that nothing proves (overlay.md section 12).
pub const AMPLIFICATION: usize = 3;
/// Addresses in one answer (gtk-gnutella: 30).
pub const HOSTS_GIVEN: usize = 30;
/// An address is answered once in this time (bootstrap.md section 2).
const ANSWER_GAP: Duration = Duration::from_secs(60);
/// Addresses answered in that time. With 512 bytes each this is at most 35 KB a second, whoever asks.
const ANSWERED_MAX: usize = 4_096;
/// Host caches asked at a time (bootstrap.md section 2: 3 to 5).
pub const ASKED_MAX: usize = 4;
/// A host cache has so long (gtk-gnutella: 20 s).
pub const ASK_TIME: Duration = Duration::from_secs(20);
/// Flag of `SCP`: the asker looks for ultrapeer slots.
const WANTS_ULTRAPEER_SLOTS: u8 = 1;

/// What a datagram leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A ping that is to be answered, with [`answer`].
    Question(Question),
    /// A host cache answered: addresses it told of, other caches.
    Hosts(SocketAddr, Packed),
    /// A push for a neighbour whose push proxy we may be. It gets no answer; who wants one asks over HTTP.
    Push(PassedPush),
}

/// A ping that is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Where it came from, as far as that can be believed.
    pub from: SocketAddr,
    /// What it wants besides us.
    pub wants: Wants,
    guid: Guid,
    bytes: usize,
}

/// What a ping by datagram asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// Are we there?
    Nothing,
    /// Ultrapeers with free leaf slots.
    LeafSlots,
    /// Ultrapeers with free ultrapeer slots.
    UltrapeerSlots,
}

/// What the node says about itself and others to one who asks by datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// Itself.
    pub own: Pong,
    /// Ultrapeers with the wanted slots, at most [`HOSTS_GIVEN`].
    pub hosts: Vec<SocketAddr>,
    /// A neighbour has the address of the asker.
    pub proved: bool,
}

/// What was asked and answered lately.
#[derive(Debug, Default)]
pub struct Udp {
    answered: BTreeMap<IpAddr, Time>,
    asked: Vec<(SocketAddr, Guid, Time)>,
}

impl Udp {
    /// The question for a host cache; `None`: enough are being asked, this one among them.
    pub fn ask(
        &mut self,
        now: Time,
        cache: SocketAddr,
        guid: Guid,
        wants: Wants,
    ) -> Option<Vec<u8>> {
        self.asked.retain(|(_, _, at)| now.since(*at) < ASK_TIME);
        let asked = self.asked.iter().any(|(other, ..)| *other == cache);
        if asked || self.asked.len() >= ASKED_MAX || !plausible(cache) {
            return None;
        }
        self.asked.push((cache, guid, now));
        let ping = Ping {
            wants_hosts: match wants {
                Wants::Nothing => None,
                Wants::LeafSlots => Some(0),
                Wants::UltrapeerSlots => Some(WANTS_ULTRAPEER_SLOTS),
            },
        };
        Some(datagram(guid, Kind::Ping, ping.build()))
    }

    /// A datagram came in; `None`: it is dropped.
    pub fn hear(&mut self, now: Time, from: SocketAddr, bytes: &[u8]) -> Option<Heard> {
        if bytes.len() > DATAGRAM_BYTES_MAX || !plausible(from) {
            return None;
        }
        let frame = Frame::from_datagram(bytes).ok()?;
        match frame.header.kind {
            Kind::Ping => self.question(now, from, &frame).map(Heard::Question),
            Kind::Pong => {
                let at = self.asked.iter().position(|(cache, guid, at)| {
                    *cache == from && *guid == frame.header.guid && now.since(*at) < ASK_TIME
                })?;
                Pong::parse(&frame.payload).ok()?;
                // One answer to one question.
                self.asked.swap_remove(at);
                Some(Heard::Hosts(from, Packed::parse(&frame.payload)))
            }
            // Hops and TTL as they like: it begins anew here.
            Kind::Push => {
                let push = Push::parse(&frame.payload).ok()?;
                Some(Heard::Push(PassedPush {
                    servent: push.servent,
                    index: push.index,
                    to: push.addr,
                    tls: push.tls,
                    asker: from,
                }))
            }
            _ => None,
        }
    }

    fn question(&mut self, now: Time, from: SocketAddr, ping: &Frame) -> Option<Question> {
        let header = ping.header;
        // An answer to port 53 and its like would be an attack on who is there, with our name on it.
        if header.hops != 0 || header.ttl == 0 || SERVICE_PORTS.contains(&from.port()) {
            return None;
        }
        let wants = match Ping::parse(&ping.payload).ok()?.wants_hosts {
            None => Wants::Nothing,
            Some(flags) if flags & WANTS_ULTRAPEER_SLOTS != 0 => Wants::UltrapeerSlots,
            Some(_) => Wants::LeafSlots,
        };
        let party = party(from.ip());
        if let Some(at) = self.answered.get(&party)
            && now.since(*at) < ANSWER_GAP
        {
            return None;
        }
        if self.answered.len() >= ANSWERED_MAX {
            self.answered.retain(|_, at| now.since(*at) < ANSWER_GAP);
        }
        if self.answered.len() >= ANSWERED_MAX {
            return None;
        }
        self.answered.insert(party, now);
        Some(Question {
            from,
            wants,
            guid: header.guid,
            bytes: ping.wire_len(),
        })
    }
}

/// The answer: as many addresses as it may carry. `None`: even without any it would be too long for who asks.
pub fn answer(question: &Question, introduction: &Introduction) -> Option<Vec<u8>> {
    let most = if introduction.proved {
        ANSWER_BYTES_MAX
    } else {
        ANSWER_BYTES_MAX.min(AMPLIFICATION * question.bytes)
    };
    let mut hosts: &[SocketAddr] = match question.wants {
        Wants::Nothing => &[],
        Wants::LeafSlots | Wants::UltrapeerSlots => &introduction.hosts,
    };
    hosts = &hosts[..hosts.len().min(HOSTS_GIVEN)];
    loop {
        let pong = introduction.own.build_with(hosts);
        let datagram = datagram(question.guid, Kind::Pong, pong);
        if datagram.len() <= most {
            return Some(datagram);
        }
        hosts = hosts.split_last()?.1;
    }
}

fn datagram(guid: Guid, kind: Kind, payload: Vec<u8>) -> Vec<u8> {
    let header = Header {
        guid,
        kind,
        ttl: 1,
        hops: 0,
    };
    let payload = Bytes::from(payload);
    Frame { header, payload }.to_vec()
}

/// Who has one of these addresses has them all: IPv6 by /64.
fn party(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO.plus(Duration::from_secs(seconds))
    }

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn ping(wants_hosts: Option<u8>) -> Vec<u8> {
        datagram(Guid([7; 16]), Kind::Ping, Ping { wants_hosts }.build())
    }

    fn introduction(proved: bool) -> Introduction {
        Introduction {
            own: Pong {
                addr: addr("8.8.8.8:6346"),
                files: 1,
                kilobytes: 1,
                ultrapeer: Some((3, 4)),
            },
            hosts: (1..=100)
                .map(|n| SocketAddr::from(([9, 9, n, 1], 6346)))
                .collect(),
            proved,
        }
    }

    fn question(udp: &mut Udp, now: Time, from: &str, wants: Option<u8>) -> Option<Question> {
        match udp.hear(now, addr(from), &ping(wants)) {
            Some(Heard::Question(question)) => Some(question),
            _ => None,
        }
    }

    #[test]
    fn a_stranger_gets_no_more_than_thrice_what_it_sent_and_a_neighbour_thirty_addresses() {
        let mut udp = Udp::default();
        for (from, proved, hosts) in [("9.1.1.1:5", true, 30), ("9.1.1.2:5", false, 5)] {
            let question = question(&mut udp, at(1), from, Some(1)).unwrap();
            assert_eq!(question.wants, Wants::UltrapeerSlots);
            let told = answer(&question, &introduction(proved)).unwrap();
            assert!(told.len() <= ANSWER_BYTES_MAX);
            assert!(proved || told.len() <= AMPLIFICATION * ping(Some(1)).len());
            let pong = Frame::from_datagram(&told).unwrap();
            assert_eq!(pong.header.guid, Guid([7; 16]));
            assert_eq!(Packed::parse(&pong.payload).hosts.len(), hosts);
        }
        let plain = question(&mut udp, at(1), "9.1.1.3:5", None).unwrap();
        let told = answer(&plain, &introduction(true)).unwrap();
        assert!(Packed::parse(&told[23..]).hosts.is_empty());
        assert!(told.len() <= AMPLIFICATION * ping(None).len());
    }

    #[test]
    fn an_address_is_answered_once_a_minute_whatever_its_port_and_all_are_bounded() {
        let mut udp = Udp::default();
        assert!(question(&mut udp, at(1), "9.1.1.1:5", None).is_some());
        assert!(question(&mut udp, at(2), "9.1.1.1:6", Some(1)).is_none());
        assert!(question(&mut udp, at(61), "9.1.1.1:5", None).is_some());
        assert!(question(&mut udp, at(61), "[2a00::1]:5", None).is_some());
        assert!(question(&mut udp, at(61), "[2a00::2]:5", None).is_none());
        let answers = (0..10_000_u32)
            .filter(|n| {
                let from = SocketAddr::from(((0x0A00_0000 + n).to_be_bytes(), 5));
                udp.hear(at(62), from, &ping(None)).is_some()
            })
            .count();
        assert!(answers <= ANSWERED_MAX && udp.answered.len() <= ANSWERED_MAX);
        assert!(question(&mut udp, at(200), "9.1.1.9:5", None).is_some());
    }

    #[test]
    fn junk_relayed_pings_and_services_get_no_answer() {
        let mut udp = Udp::default();
        let mut relayed = ping(None);
        relayed[18] = 1;
        let mut longer = ping(None);
        longer.push(0);
        for junk in [&relayed[..], &longer, b"GTA", b"", &[0; 2_000]] {
            assert_eq!(udp.hear(at(1), addr("9.1.1.1:5"), junk), None);
        }
        for victim in [
            "9.1.1.1:53",
            "9.1.1.1:0",
            "224.0.0.1:5",
            "255.255.255.255:5",
        ] {
            assert!(
                question(&mut udp, at(1), victim, None).is_none(),
                "{victim}"
            );
        }
    }

    #[test]
    fn a_push_is_for_the_core_to_judge_with_the_address_it_came_from() {
        let push = Push {
            servent: crate::wire::ServentId([3; 16]),
            index: 7,
            addr: addr("9.1.1.1:6346"),
            tls: false,
        };
        let from = addr("9.1.1.1:5");
        let heard = Udp::default().hear(
            at(1),
            from,
            &datagram(Guid([7; 16]), Kind::Push, push.build()),
        );
        let passed = PassedPush {
            servent: push.servent,
            index: 7,
            to: push.addr,
            tls: false,
            asker: from,
        };
        assert_eq!(heard, Some(Heard::Push(passed)));
        let short = datagram(Guid([7; 16]), Kind::Push, push.build()[..25].to_vec());
        assert_eq!(Udp::default().hear(at(1), from, &short), None);
    }

    #[test]
    fn a_pong_counts_only_from_where_we_asked_with_the_id_of_the_question_and_in_time() {
        let cache = addr("9.9.9.9:6346");
        let pong = |guid| {
            datagram(
                Guid([guid; 16]),
                Kind::Pong,
                introduction(true)
                    .own
                    .build_with(&introduction(true).hosts[..3]),
            )
        };
        let mut udp = Udp::default();
        assert_eq!(udp.hear(at(1), cache, &pong(1)), None, "nobody asked");
        let asked = udp
            .ask(at(1), cache, Guid([1; 16]), Wants::LeafSlots)
            .unwrap();
        assert_eq!(asked.len(), 30, "as in the reference");
        assert_eq!(udp.ask(at(1), cache, Guid([2; 16]), Wants::LeafSlots), None);
        assert_eq!(udp.hear(at(2), cache, &pong(2)), None, "another id");
        assert_eq!(udp.hear(at(2), addr("9.9.9.8:6346"), &pong(1)), None);
        assert_eq!(udp.hear(at(22), cache, &pong(1)), None, "too late");
        udp.ask(at(30), cache, Guid([3; 16]), Wants::LeafSlots)
            .unwrap();
        let Some(Heard::Hosts(by, packed)) = udp.hear(at(31), cache, &pong(3)) else {
            panic!("no hosts");
        };
        assert_eq!((by, packed.hosts.len()), (cache, 3));
        assert_eq!(udp.hear(at(31), cache, &pong(3)), None, "once");
    }

    #[test]
    fn few_caches_are_asked_at_a_time() {
        let mut udp = Udp::default();
        let asked = (1..=20)
            .filter(|n| {
                let cache = SocketAddr::from(([9, 9, 9, *n], 6346));
                udp.ask(at(1), cache, Guid([*n; 16]), Wants::LeafSlots)
                    .is_some()
            })
            .count();
        assert_eq!(asked, ASKED_MAX);
        let next = addr("9.9.9.99:1");
        assert!(
            udp.ask(at(21), next, Guid([9; 16]), Wants::LeafSlots)
                .is_some()
        );
    }
}
