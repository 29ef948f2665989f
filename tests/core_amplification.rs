//! No datagram of a stranger makes a node send more than three times its bytes to anybody, whatever kind it is, whatever
//! the node is doing, and whether its own address is IPv4 or IPv6. Only who has proved to be where it says gets more.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::{library, servent};
use filbert::node::event::{Direction, Peer, Role, SearchSpec};
use filbert::node::reach::Reached;
use filbert::node::udp::{AMPLIFICATION, Heard, Udp, Wants, answer};
use filbert::node::{Action, Command, Config, Event, LinkId, Node, Outbox, Ticket, Time};
use filbert::wire::hit::{QueryHit, Record};
use filbert::wire::ping::{Ping, Pong};
use filbert::wire::push::Push;
use filbert::wire::query::{Query, QueryFlags};
use filbert::wire::vendor::{self, OutOfBand, Vendor};
use filbert::wire::{Frame, Guid, Header, Kind, ServentId};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

/// A node and its socket, without time or network.
struct Shell {
    node: Node,
    udp: Udp,
    now: Time,
}

impl Shell {
    /// An ultrapeer of the live network that listens there and has plenty of files, with a leaf of servent id 5, that
    /// knows that datagrams reach it.
    fn new(own: SocketAddr) -> Self {
        let config = Config {
            listen: Some(own),
            min_links: 0,
            datagrams: true,
            ..Config::live(Role::Ultrapeer)
        };
        let net = config.net;
        let rng = ChaCha8Rng::seed_from_u64(1);
        let mut shell = Self {
            node: Node::new(Arc::new(config), servent(0), rng),
            udp: Udp::new(net),
            now: Time(1),
        };
        shell.give(Event::Library(library(&["red fox.txt"; 100])));
        let peer = |direction, host: u8, role| {
            let remote = SocketAddr::from(([8, 8, 4, host], 6346));
            Box::new(Peer {
                role,
                vendor_messages: true,
                servent: Some(servent(host.into())),
                listen: Some(remote),
                ..Peer::bare(direction, remote, own.ip())
            })
        };
        let dialled = Direction::Dialled(SocketAddr::from(([8, 8, 4, 4], 6346)));
        shell.give(Event::LinkUp(LinkId(1), peer(dialled, 4, Role::Ultrapeer)));
        shell.give(Event::LinkUp(
            LinkId(2),
            peer(Direction::Accepted, 5, Role::Leaf),
        ));
        let reads = Vendor::MessagesSupported(vec![vendor::UDP_CONNECT_BACK]);
        let reads = frame(Guid([1; 16]), Kind::Vendor, reads.build());
        let out = shell.give(Event::Received(LinkId(1), reads));
        let asked = out.actions().iter().find_map(|action| match action {
            Action::Send(_, frame) if frame.header.kind == Kind::Vendor => Some(frame.header.guid),
            _ => None,
        });
        shell.give(Event::Pinged(stranger(9), asked.unwrap()));
        assert_eq!(shell.node.datagrams_reach(shell.now), Reached::Yes);
        shell
    }

    fn give(&mut self, event: Event) -> Outbox {
        let mut out = Outbox::new();
        self.node.handle(self.now, event, &mut out);
        out
    }

    /// A datagram comes; those that leave because of it.
    fn hear(&mut self, from: SocketAddr, bytes: &[u8]) -> Vec<(SocketAddr, Frame)> {
        let mut sent = Vec::new();
        let event = match self.udp.hear(self.now, from, bytes) {
            Ok(Heard::Question(question)) => {
                let introduction = self.node.introduction(self.now, from, question.wants);
                if let Some(told) = answer(&question, &introduction) {
                    sent.push((from, Frame::from_datagram(&told).unwrap()));
                }
                Event::Pinged(from, question.guid)
            }
            Ok(Heard::Push(push)) => Event::Command(Ticket(7), Command::PassPush(push)),
            Ok(Heard::Search(from, frame)) => Event::Datagram(from, frame),
            Ok(Heard::Hosts(by, packed)) => Event::Told(by, packed.hosts),
            Err(_) => return sent,
        };
        let mut out = self.give(event);
        // And what is due right away.
        self.node.handle(self.now, Event::Wake, &mut out);
        sent.extend(out.actions().iter().filter_map(|action| match action {
            Action::Datagram(to, frame) => Some((*to, frame.clone())),
            _ => None,
        }));
        sent
    }
}

fn stranger(host: u8) -> SocketAddr {
    SocketAddr::from(([8, 8, 8, host], 6346))
}

fn frame(guid: Guid, kind: Kind, payload: Vec<u8>) -> Frame {
    let header = Header {
        guid,
        kind,
        ttl: 1,
        hops: 0,
    };
    let payload = payload.into();
    Frame { header, payload }
}

/// Payloads of all that strangers say, well and badly.
fn payloads() -> Vec<(Option<Kind>, Vec<u8>)> {
    let ping = |wants_hosts| Ping { wants_hosts }.build();
    let pong = Pong {
        addr: stranger(1),
        files: 1,
        kilobytes: 1,
        ultrapeer: Some((3, 3)),
        tls: true,
    };
    let push = |servent| Push {
        servent,
        index: 1,
        addr: stranger(1),
        tls: true,
    };
    let record = Record {
        index: 1,
        size: 5,
        name: "red fox.txt".into(),
        ..Record::default()
    };
    let hit = QueryHit::new(stranger(1), ServentId([7; 16]), vec![record; 10]);
    let query = Query {
        flags: QueryFlags::OURS.and_out_of_band(),
        text: "fox".into(),
        sha1s: Vec::new(),
        media: None,
    };
    let ready = |version, results, proof| Vendor::HitsReady {
        version,
        results,
        reached: true,
        proof,
    };
    let wanted = |results, token: Option<[u8; 8]>, proof| Vendor::HitsWanted {
        results,
        token: token.map(Into::into),
        proof,
    };
    let words = [
        Vendor::MessagesSupported(vec![vendor::UDP_CONNECT_BACK; 40]),
        Vendor::FeaturesSupported(Vec::new()),
        Vendor::HopsFlow(1),
        Vendor::TcpConnectBack(6346),
        Vendor::UdpConnectBack {
            port: 6346,
            id: None,
        },
        Vendor::UdpConnectBack {
            port: 6346,
            id: Some(Guid([1; 16])),
        },
        Vendor::QueryStatusRequest,
        Vendor::QueryStatusResponse(0),
        Vendor::PushProxyRequest,
        Vendor::PushProxyAck("8.8.8.8:6346".parse().unwrap()),
        Vendor::PushProxyCancel,
        Vendor::TreeLink(true),
        ready(OutOfBand::V2, 255, None),
        ready(OutOfBand::V3, 255, None),
        ready(OutOfBand::V3, 1, Some([1; 8])),
        wanted(255, None, None),
        wanted(255, Some([1; 8]), None),
        wanted(255, Some([1; 8]), Some([1; 8])),
    ];
    let words = words.map(|word| (Some(Kind::Vendor), word.build()));
    let mut all = vec![
        (Some(Kind::Ping), ping(Some(0))),
        (Some(Kind::Ping), ping(Some(3))),
        (Some(Kind::Pong), pong.build()),
        (Some(Kind::Push), push(servent(5)).build()),
        (Some(Kind::Push), push(ServentId([9; 16])).build()),
        (Some(Kind::QueryHit), hit.build()),
        (Some(Kind::Query), query.build().unwrap()),
    ];
    all.extend(words);
    // As any kind at all.
    for len in [0, 1, 8, 14, 26, 100, 1_300] {
        all.push((None, vec![0; len]));
    }
    all
}

/// Feeds a node all of them, in the name of many, about ids that mean something to it and others. Counts answers by kind.
fn feed(shell: &mut Shell, ids: &[Guid], names: &[SocketAddr]) -> BTreeMap<Kind, usize> {
    let mut answers = BTreeMap::new();
    let mut host = 0_u32;
    for (kind, payload) in payloads() {
        let bytes = kind.map_or(0..=255, |kind| kind.to_byte()..=kind.to_byte());
        for kind in bytes.map(Kind::from_byte) {
            for id in ids {
                let sent = frame(*id, kind, payload.clone()).to_vec();
                // A new stranger each time, of either family, and those whom the node knows something of.
                host += 1;
                let four = SocketAddr::from(((0x0900_0000 + host).to_be_bytes(), 6346));
                let mut six = [0; 16];
                six[..4].copy_from_slice(&[0x2A, 0, 0, 9]);
                six[4..8].copy_from_slice(&host.to_be_bytes());
                let six = SocketAddr::from((six, 6346));
                for from in [four, six].into_iter().chain(names.iter().copied()) {
                    let told = shell.hear(from, &sent);
                    let bytes: usize = told.iter().map(|(_, frame)| frame.wire_len()).sum();
                    assert!(
                        bytes <= AMPLIFICATION * sent.len(),
                        "{kind:?} of {} bytes from {from}: {bytes}",
                        sent.len()
                    );
                    for (to, frame) in told {
                        assert_eq!(to, from, "{kind:?}: sent to somebody else");
                        *answers.entry(frame.header.kind).or_insert(0) += 1;
                    }
                }
            }
        }
        // Bounds for a span of time must not be what holds.
        shell.now = shell.now.plus(Duration::from_secs(1));
    }
    answers
}

#[test]
fn no_datagram_of_any_kind_is_answered_with_more_than_thrice_its_bytes() {
    for own in ["8.8.8.200:6346", "[2a00:1450:4001:81b::200e]:6346"] {
        let own: SocketAddr = own.parse().unwrap();
        let mut shell = Shell::new(own);
        // A host cache is being asked.
        let cache = stranger(100);
        let asked = Guid([3; 16]);
        let now = shell.now;
        shell
            .udp
            .ask(now, cache, asked, Wants::LeafSlots, true)
            .unwrap();
        // A search is under way.
        let spec = SearchSpec {
            text: "fox".into(),
            ..SearchSpec::default()
        };
        let out = shell.give(Event::Command(Ticket(1), Command::Search(spec)));
        let search = out.actions().iter().find_map(|action| match action {
            Action::Send(_, frame) if frame.header.kind == Kind::Query => Some(frame.header.guid),
            _ => None,
        });
        let search = search.unwrap();
        // Hits wait for somebody who may be anybody.
        let victim = stranger(101);
        let SocketAddr::V4(there) = victim else {
            panic!("IPv4 alone");
        };
        let offered = Guid([4; 16]).carrying(there);
        let query = Query {
            flags: QueryFlags::OURS.and_out_of_band(),
            text: "fox".into(),
            sha1s: Vec::new(),
            media: None,
        };
        let mut query = frame(offered, Kind::Query, query.build().unwrap());
        (query.header.ttl, query.header.hops) = (2, 1);
        let out = shell.give(Event::Received(LinkId(1), query));
        let ready = out.actions().iter().find_map(|action| match action {
            Action::Datagram(to, frame) if *to == victim => Some(frame.clone()),
            _ => None,
        });
        let Vendor::HitsReady {
            results: 100,
            proof: Some(proof),
            ..
        } = Vendor::parse(&ready.unwrap().payload).unwrap()
        else {
            panic!("hits wait");
        };

        let ids = [Guid([2; 16]), asked, search, offered];
        let answers = feed(&mut shell, &ids, &[cache, victim]);
        // Pings, words about the search, and a wish in the name of the victim are answered; a hit is sent to nobody.
        assert!(answers[&Kind::Pong] > 0, "{own}: {answers:?}");
        assert!(answers[&Kind::Vendor] > 0, "{own}: {answers:?}");
        assert_eq!(answers[&Kind::Ping], 1, "{own}: {answers:?}");
        assert_eq!(answers.len(), 3, "{own}: {answers:?}");

        // Who proves that it is there gets far more: it is the proof that counts.
        let wanted = Vendor::HitsWanted {
            results: 255,
            token: None,
            proof: None,
        };
        let mut wanted = wanted.build();
        // Version 3, with nothing but the proof.
        wanted[6] = 3;
        wanted.extend([0xC3, 0x85]);
        wanted.extend(b"PROOF\x48");
        wanted.extend(proof);
        let wanted = frame(offered, Kind::Vendor, wanted).to_vec();
        let told = shell.hear(victim, &wanted);
        let bytes: usize = told.iter().map(|(_, frame)| frame.wire_len()).sum();
        assert!(bytes > 10 * AMPLIFICATION * wanted.len(), "{bytes}");
        assert!(
            told.iter()
                .all(|(_, frame)| frame.header.kind == Kind::QueryHit)
        );
    }
}
