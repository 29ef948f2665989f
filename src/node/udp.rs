//! Datagrams: whose pings are answered and with how much, which pongs are believed, and how many are taken in about
//! searches. Pings, pongs and pushes are of the live network alone.
//!
//! Anybody can write any sender on a datagram. So an address is answered seldom, and with no more than
//! [`AMPLIFICATION`] times the bytes of its question unless it is proved (a neighbour has it); and a pong counts only
//! when it comes from where we asked, with the id of the question. Sources: bootstrap.md section 2, overlay.md 12.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;

use super::Time;
use super::address::{Net, SERVICE_PORTS, plausible};
use super::allowance::{Allowances, Refused, host, party};
use super::event::PassedPush;
use super::rate::Bucket;
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
/// Bytes a second about searches that are taken in from one address, with a burst of four seconds: what a node that has
/// all that is sought may send at once.
const SEARCH_BYTES_RATE: u64 = 64 * 1024;
/// Addresses at a time that such datagrams are taken from.
const SEARCHERS_MAX: usize = 4_096;
/// Such datagrams a second from all together: a flood from forged addresses costs us no more. 64 walkers bring some
/// hundreds.
const SEARCH_RATE: u64 = 4_096;
/// Flag of `SCP`: the asker looks for ultrapeer slots.
const WANTS_ULTRAPEER_SLOTS: u8 = 1;
/// Flag of `SCP`: the asker does TLS.
const DOES_TLS: u8 = 2;

/// What a datagram leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A ping that is to be answered, with [`answer`].
    Question(Question),
    /// A host cache answered: addresses it told of, other caches.
    Hosts(SocketAddr, Packed),
    /// A push for a neighbour whose push proxy we may be. It gets no answer; who wants one asks over HTTP.
    Push(PassedPush),
    /// Something about a search, or a hit: for the core to judge.
    Search(SocketAddr, Frame),
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

/// Why a datagram was dropped. Every drop has exactly one reason and is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dropped {
    /// From an address that is listed as hostile.
    Hostile,
    /// Longer than [`DATAGRAM_BYTES_MAX`].
    TooLarge,
    /// Nobody can be at the address it says it is from.
    NoSender,
    /// Not exactly one frame, or one that does not decode.
    Malformed,
    /// A kind that is of no use by datagram.
    Unused,
    /// A ping that has travelled, or has no life.
    Relayed,
    /// A ping in the name of a service that is no node.
    Service,
    /// A ping sooner than its address is answered.
    PingTooSoon,
    /// More addresses ping than are answered.
    PingCrowd,
    /// A pong nobody asked for, from elsewhere, with another id, or too late.
    Unasked,
    /// An answer that would be larger than the asker may get.
    AnswerTooLarge,
    /// Something about a search, from an address that sends too much.
    SearchTooMuch,
    /// Something about a search, when too many send such.
    SearchCrowd,
}

impl Dropped {
    /// All reasons.
    pub const ALL: [Self; 13] = [
        Self::Hostile,
        Self::TooLarge,
        Self::NoSender,
        Self::Malformed,
        Self::Unused,
        Self::Relayed,
        Self::Service,
        Self::PingTooSoon,
        Self::PingCrowd,
        Self::Unasked,
        Self::AnswerTooLarge,
        Self::SearchTooMuch,
        Self::SearchCrowd,
    ];

    /// Name for counters and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hostile => "datagram_hostile",
            Self::TooLarge => "datagram_too_large",
            Self::NoSender => "datagram_no_sender",
            Self::Malformed => "datagram_malformed",
            Self::Unused => "datagram_unused",
            Self::Relayed => "datagram_relayed",
            Self::Service => "datagram_service",
            Self::PingTooSoon => "datagram_ping_too_soon",
            Self::PingCrowd => "datagram_ping_crowd",
            Self::Unasked => "datagram_unasked",
            Self::AnswerTooLarge => "datagram_answer_too_large",
            Self::SearchTooMuch => "datagram_search_too_much",
            Self::SearchCrowd => "datagram_search_crowd",
        }
    }
}

/// What was asked and answered lately.
#[derive(Debug)]
pub struct Udp {
    net: Net,
    answered: BTreeMap<IpAddr, Time>,
    asked: Vec<(SocketAddr, Guid, Time)>,
    searchers: Allowances,
    searching: Bucket,
}

impl Udp {
    /// Nothing was asked yet. `net`: the live one, where there is one; a LAN alone has neither pings nor pushes.
    pub fn new(net: Net) -> Self {
        Self {
            net,
            answered: BTreeMap::new(),
            asked: Vec::new(),
            searchers: Allowances::new(SEARCH_BYTES_RATE, SEARCHERS_MAX),
            searching: Bucket::default(),
        }
    }

    /// The question for a host cache, which may prefer nodes with `tls` for whoever does it; `None`: enough are being
    /// asked, this one among them.
    pub fn ask(
        &mut self,
        now: Time,
        cache: SocketAddr,
        guid: Guid,
        wants: Wants,
        tls: bool,
    ) -> Option<Vec<u8>> {
        self.asked.retain(|(_, _, at)| now.since(*at) < ASK_TIME);
        let asked = self.asked.iter().any(|(other, ..)| *other == cache);
        if asked || self.asked.len() >= ASKED_MAX || !plausible(cache) {
            return None;
        }
        self.asked.push((cache, guid, now));
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

    /// A datagram came in.
    ///
    /// # Errors
    /// Why it is dropped.
    pub fn hear(&mut self, now: Time, from: SocketAddr, bytes: &[u8]) -> Result<Heard, Dropped> {
        if bytes.len() > DATAGRAM_BYTES_MAX {
            return Err(Dropped::TooLarge);
        }
        if !plausible(from) {
            return Err(Dropped::NoSender);
        }
        let frame = Frame::from_datagram(bytes).map_err(|_| Dropped::Malformed)?;
        match frame.header.kind {
            Kind::Vendor | Kind::QueryHit => self
                .search(now, from, bytes.len())
                .map(|()| Heard::Search(from, frame)),
            Kind::Ping | Kind::Pong | Kind::Push if !self.net.is_two_tier() => Err(Dropped::Unused),
            Kind::Ping => self.question(now, from, &frame).map(Heard::Question),
            Kind::Pong => {
                let answers = |(cache, guid, at): &(SocketAddr, Guid, Time)| {
                    *cache == from && *guid == frame.header.guid && now.since(*at) < ASK_TIME
                };
                let at = self.asked.iter().position(answers);
                let at = at.ok_or(Dropped::Unasked)?;
                Pong::parse(&frame.payload).map_err(|_| Dropped::Malformed)?;
                // One answer to one question.
                self.asked.swap_remove(at);
                Ok(Heard::Hosts(from, Packed::parse(&frame.payload)))
            }
            // Hops and TTL as they like: it begins anew here.
            Kind::Push => {
                let push = Push::parse(&frame.payload).map_err(|_| Dropped::Malformed)?;
                Ok(Heard::Push(PassedPush {
                    servent: push.servent,
                    index: push.index,
                    to: push.addr,
                    tls: push.tls,
                    asker: from,
                }))
            }
            _ => Err(Dropped::Unused),
        }
    }

    fn search(&mut self, now: Time, from: SocketAddr, bytes: usize) -> Result<(), Dropped> {
        let taken = self.searchers.take(now, party(self.net, from), bytes);
        taken.map_err(|refused| match refused {
            Refused::TooMuch => Dropped::SearchTooMuch,
            Refused::Crowd => Dropped::SearchCrowd,
        })?;
        let fits = self.searching.take(now, 1, SEARCH_RATE);
        fits.then_some(()).ok_or(Dropped::SearchCrowd)
    }

    fn question(&mut self, now: Time, from: SocketAddr, ping: &Frame) -> Result<Question, Dropped> {
        let header = ping.header;
        if header.hops != 0 || header.ttl == 0 {
            return Err(Dropped::Relayed);
        }
        // An answer to port 53 and its like would be an attack on who is there, with our name on it.
        if SERVICE_PORTS.contains(&from.port()) {
            return Err(Dropped::Service);
        }
        let ping_read = Ping::parse(&ping.payload).map_err(|_| Dropped::Malformed)?;
        let wants = match ping_read.wants_hosts {
            None => Wants::Nothing,
            Some(flags) if flags & WANTS_ULTRAPEER_SLOTS != 0 => Wants::UltrapeerSlots,
            Some(_) => Wants::LeafSlots,
        };
        let party = host(from.ip());
        if let Some(at) = self.answered.get(&party)
            && now.since(*at) < ANSWER_GAP
        {
            return Err(Dropped::PingTooSoon);
        }
        if self.answered.len() >= ANSWERED_MAX {
            self.answered.retain(|_, at| now.since(*at) < ANSWER_GAP);
        }
        if self.answered.len() >= ANSWERED_MAX {
            return Err(Dropped::PingCrowd);
        }
        self.answered.insert(party, now);
        Ok(Question {
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
                tls: false,
            },
            hosts: (1..=100)
                .map(|n| SocketAddr::from(([9, 9, n, 1], 6346)))
                .collect(),
            proved,
        }
    }

    fn question(udp: &mut Udp, now: Time, from: &str, wants: Option<u8>) -> Option<Question> {
        match udp.hear(now, addr(from), &ping(wants)) {
            Ok(Heard::Question(question)) => Some(question),
            _ => None,
        }
    }

    #[test]
    fn a_stranger_gets_no_more_than_thrice_what_it_sent_and_a_neighbour_thirty_addresses() {
        let mut udp = Udp::new(Net::Gnutella);
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
        let mut udp = Udp::new(Net::Gnutella);
        assert!(question(&mut udp, at(1), "9.1.1.1:5", None).is_some());
        assert!(question(&mut udp, at(2), "9.1.1.1:6", Some(1)).is_none());
        assert!(question(&mut udp, at(61), "9.1.1.1:5", None).is_some());
        assert!(question(&mut udp, at(61), "[2a00::1]:5", None).is_some());
        assert!(question(&mut udp, at(61), "[2a00::2]:5", None).is_none());
        let answers = (0..10_000_u32)
            .filter(|n| {
                let from = SocketAddr::from(((0x0A00_0000 + n).to_be_bytes(), 5));
                udp.hear(at(62), from, &ping(None)).is_ok()
            })
            .count();
        assert!(answers <= ANSWERED_MAX && udp.answered.len() <= ANSWERED_MAX);
        assert!(question(&mut udp, at(200), "9.1.1.9:5", None).is_some());
    }

    #[test]
    fn junk_relayed_pings_and_services_get_no_answer() {
        let mut udp = Udp::new(Net::Gnutella);
        let mut relayed = ping(None);
        relayed[18] = 1;
        let mut longer = ping(None);
        longer.push(0);
        let query = datagram(Guid([7; 16]), Kind::Query, vec![0; 9]);
        for (junk, reason) in [
            (&relayed[..], Dropped::Relayed),
            (&longer, Dropped::Malformed),
            (b"GTA", Dropped::Malformed),
            (b"", Dropped::Malformed),
            (&[0; 2_000], Dropped::TooLarge),
            (&query, Dropped::Unused),
        ] {
            assert_eq!(udp.hear(at(1), addr("9.1.1.1:5"), junk), Err(reason));
        }
        assert_eq!(
            udp.hear(at(1), addr("9.1.1.1:53"), &ping(None)),
            Err(Dropped::Service)
        );
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
        let heard = Udp::new(Net::Gnutella).hear(
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
        assert_eq!(heard, Ok(Heard::Push(passed)));
        let short = datagram(Guid([7; 16]), Kind::Push, push.build()[..25].to_vec());
        assert_eq!(
            Udp::new(Net::Gnutella).hear(at(1), from, &short),
            Err(Dropped::Malformed)
        );
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
        let mut udp = Udp::new(Net::Gnutella);
        assert_eq!(
            udp.hear(at(1), cache, &pong(1)),
            Err(Dropped::Unasked),
            "nobody asked"
        );
        let asked = udp
            .ask(at(1), cache, Guid([1; 16]), Wants::LeafSlots, false)
            .unwrap();
        assert_eq!(asked.len(), 30, "as in the reference");
        assert_eq!(
            udp.ask(at(1), cache, Guid([2; 16]), Wants::LeafSlots, false),
            None
        );
        assert_eq!(
            udp.hear(at(2), cache, &pong(2)),
            Err(Dropped::Unasked),
            "another id"
        );
        assert_eq!(
            udp.hear(at(2), addr("9.9.9.8:6346"), &pong(1)),
            Err(Dropped::Unasked)
        );
        assert_eq!(
            udp.hear(at(22), cache, &pong(1)),
            Err(Dropped::Unasked),
            "too late"
        );
        udp.ask(at(30), cache, Guid([3; 16]), Wants::LeafSlots, false)
            .unwrap();
        let Ok(Heard::Hosts(by, packed)) = udp.hear(at(31), cache, &pong(3)) else {
            panic!("no hosts");
        };
        assert_eq!((by, packed.hosts.len()), (cache, 3));
        assert_eq!(
            udp.hear(at(31), cache, &pong(3)),
            Err(Dropped::Unasked),
            "once"
        );
    }

    #[test]
    fn a_cache_is_told_which_slots_we_want_and_whether_we_do_tls() {
        for (wants, tls, flags) in [
            (Wants::LeafSlots, false, Some(0)),
            (Wants::UltrapeerSlots, false, Some(1)),
            (Wants::LeafSlots, true, Some(2)),
            (Wants::UltrapeerSlots, true, Some(3)),
            (Wants::Nothing, true, None),
        ] {
            let cache = addr("9.9.9.9:6346");
            let bytes = Udp::new(Net::Gnutella).ask(at(1), cache, Guid([1; 16]), wants, tls);
            let frame = Frame::from_datagram(&bytes.unwrap()).unwrap();
            assert_eq!(Ping::parse(&frame.payload).unwrap().wants_hosts, flags);
        }
    }

    /// For every kind of datagram, from strangers: the bytes that leave for each byte that came.
    #[test]
    fn nothing_that_strangers_send_makes_us_send_more_than_thrice_as_much() {
        let introduction = introduction(false);
        let payloads = [
            Vec::new(),
            Ping {
                wants_hosts: Some(0),
            }
            .build(),
            Ping {
                wants_hosts: Some(1),
            }
            .build(),
            vec![0],
            vec![0; 14],
            vec![0; 26],
            vec![0; 1_000],
        ];
        let mut udp = Udp::new(Net::Gnutella);
        let mut answers = 0;
        for (number, (kind, payload)) in (0..=255)
            .flat_map(|kind| payloads.iter().map(move |payload| (kind, payload)))
            .enumerate()
        {
            let sent = datagram(Guid([7; 16]), Kind::from_byte(kind), payload.clone());
            let sender = 0x0900_0000 + u32::try_from(number).unwrap();
            // Each address once, and then again from another port: no answer at all.
            for port in [5, 6] {
                let from = SocketAddr::from((sender.to_be_bytes(), port));
                let told = match udp.hear(at(1), from, &sent) {
                    Ok(Heard::Question(question)) => answer(&question, &introduction),
                    Ok(Heard::Hosts(..) | Heard::Push(_) | Heard::Search(..)) | Err(_) => None,
                };
                let told = told.map_or(0, |told| told.len());
                assert!(
                    told <= AMPLIFICATION * sent.len(),
                    "kind {kind}: {told} for {}",
                    sent.len()
                );
                assert!(told == 0 || port == 5, "kind {kind}: answered twice");
                answers += usize::from(told > 0);
            }
        }
        assert_eq!(
            answers,
            payloads.len(),
            "pings, and nothing else, are answered"
        );
    }

    #[test]
    fn few_caches_are_asked_at_a_time() {
        let mut udp = Udp::new(Net::Gnutella);
        let asked = (1..=20)
            .filter(|n| {
                let cache = SocketAddr::from(([9, 9, 9, *n], 6346));
                udp.ask(at(1), cache, Guid([*n; 16]), Wants::LeafSlots, false)
                    .is_some()
            })
            .count();
        assert_eq!(asked, ASKED_MAX);
        let next = addr("9.9.9.99:1");
        assert!(
            udp.ask(at(21), next, Guid([9; 16]), Wants::LeafSlots, false)
                .is_some()
        );
    }
}
