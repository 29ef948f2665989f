use std::net::SocketAddr;
use std::time::Duration;

use super::caches::ASKED_MAX;
use super::pings::ANSWERED_MAX;
use super::*;
use crate::wire::ping::{Packed, Ping, Pong};

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
    assert!(answers <= ANSWERED_MAX && udp.answered.parties.len() <= ANSWERED_MAX);
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
        id: Some(Guid([7; 16])),
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
    // All others are for the core to judge.
    let heard = |udp: &mut Udp, seconds, from, guid| match udp.hear(at(seconds), from, &pong(guid))
    {
        Ok(Heard::Hosts(by, packed)) => Some((by, packed.hosts.len())),
        Ok(Heard::Search(by, frame)) if by == from && frame.header.kind == Kind::Pong => None,
        other => panic!("{other:?}"),
    };
    let mut udp = Udp::new(Net::Gnutella);
    assert_eq!(heard(&mut udp, 1, cache, 1), None, "nobody asked");
    let asked = udp
        .ask(at(1), cache, Guid([1; 16]), Wants::LeafSlots, false)
        .unwrap();
    assert_eq!(asked.len(), 30, "as in the reference");
    assert_eq!(
        udp.ask(at(1), cache, Guid([2; 16]), Wants::LeafSlots, false),
        None
    );
    assert_eq!(heard(&mut udp, 2, cache, 2), None, "another id");
    assert_eq!(heard(&mut udp, 2, addr("9.9.9.8:6346"), 1), None);
    assert_eq!(heard(&mut udp, 22, cache, 1), None, "too late");
    udp.ask(at(30), cache, Guid([3; 16]), Wants::LeafSlots, false)
        .unwrap();
    assert_eq!(heard(&mut udp, 31, cache, 3), Some((cache, 3)));
    assert_eq!(heard(&mut udp, 31, cache, 3), None, "once");
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
    for own in ["8.8.8.8:6346", "[2a00:1450:4001:81b::200e]:6346"] {
        let mut introduction = introduction(false);
        introduction.own.addr = addr(own);
        introduction.own.tls = true;
        introduction.hosts.push(addr("[2a00::9]:6346"));
        give_no_more_than_thrice(&introduction);
    }
}

fn give_no_more_than_thrice(introduction: &Introduction) {
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
                Ok(Heard::Question(question)) => answer(&question, introduction),
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

#[test]
fn a_flood_of_pushes_from_forged_addresses_costs_no_more_than_a_few() {
    let mut udp = Udp::new(Net::Gnutella);
    let mut flood = |second: u64| {
        let heard = (0..20_000_u32).filter(|n| {
            let asker = SocketAddr::from((std::net::Ipv4Addr::from_bits(0x0901_0000 + n), 6346));
            let push = Push {
                servent: crate::wire::ServentId([3; 16]),
                index: *n,
                addr: asker,
                tls: false,
            };
            let bytes = datagram(Guid([7; 16]), Kind::Push, push.build());
            match udp.hear(at(second), asker, &bytes) {
                Ok(heard) => matches!(heard, Heard::Push(_)),
                Err(reason) => {
                    assert_eq!(reason, Dropped::PushCrowd);
                    false
                }
            }
        });
        heard.count() as u64
    };
    assert_eq!(flood(1), 4 * PUSH_RATE);
    assert_eq!(flood(2), PUSH_RATE);
    assert!(
        udp.hear(at(2), addr("9.1.1.1:5"), &ping(None)).is_ok(),
        "others go on"
    );
}
