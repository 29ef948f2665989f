//! Hits that come by datagram on the live network: asked for once it is known that datagrams reach us, announced,
//! wanted, proved and sent; what ultrapeers do with leaves that ask so; and in which cases hits go over the links.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

use common::{Tiers, addr, servent};
use filbert::node::event::PushSpec;
use filbert::node::event::Role::{Leaf, Ultrapeer};
use filbert::node::reach::Reached;
use filbert::node::{Command, Drop, Event, Ticket, limits};
use filbert::wire::hit::{QueryHit, Record};
use filbert::wire::push::Push;
use filbert::wire::query::{Query, QueryFlags};
use filbert::wire::vendor::{OutOfBand, Token, Vendor};
use filbert::wire::{Frame, Guid, Header, Kind, ServentId};

/// Leaf 0 - ultrapeer 1 - ultrapeer 2 - leaf 3, which has foxes. Datagrams reach all but node 2, which never asked.
fn across() -> Tiers {
    let mut net = Tiers::with_datagrams(&[Leaf, Ultrapeer, Ultrapeer, Leaf]);
    net.share(3, &["red fox.txt", "fox tale.txt"]);
    for (from, to) in [(0, 1), (3, 2), (1, 2)] {
        net.link(from, to);
    }
    net.pass(Duration::from_secs(121));
    net.give(0, Event::Reached);
    for node in [0, 1, 3] {
        assert_eq!(net.nodes[node].datagrams_reach(net.now), Reached::Yes);
    }
    forget(&mut net);
    net
}

fn forget(net: &mut Tiers) {
    net.carried.clear();
    net.datagrams.clear();
}

fn v4(addr: SocketAddr) -> SocketAddrV4 {
    match addr {
        SocketAddr::V4(addr) => addr,
        SocketAddr::V6(_) => panic!("IPv4 alone"),
    }
}

/// Words about searches by datagram: who, to whom, what.
fn words(net: &Tiers) -> Vec<(usize, SocketAddr, Vendor<'_>)> {
    let vendor = |frame: &Frame| frame.header.kind == Kind::Vendor;
    net.datagrams
        .iter()
        .filter(|(.., frame)| vendor(frame))
        .map(|(from, to, frame)| (*from, *to, Vendor::parse(&frame.payload).unwrap()))
        .collect()
}

/// Hits by datagram: who, to whom, how many results.
fn hits(net: &Tiers) -> Vec<(usize, SocketAddr, usize)> {
    let hit = |frame: &Frame| frame.header.kind == Kind::QueryHit;
    net.datagrams
        .iter()
        .filter(|(.., frame)| hit(frame))
        .map(|(from, to, frame)| {
            let hit = QueryHit::parse(&frame.payload).unwrap();
            (*from, *to, hit.records.len())
        })
        .collect()
}

/// A query of a stranger at `asker` that wants its hits there.
fn query(id: u8, asker: SocketAddr, hops: u8, version: OutOfBand) -> Frame {
    let query = Query {
        flags: QueryFlags::OURS.and_guided().and_out_of_band(),
        text: "fox".into(),
        sha1s: Vec::new(),
        media: None,
    };
    let mut payload = query.build().unwrap();
    if version == OutOfBand::V2 {
        // Without `SO`, which is all that stands behind the text.
        payload.truncate(6);
        assert!(!Query::takes_tokens(&payload) && Query::parse(&payload).is_ok());
    }
    let header = Header {
        guid: Guid([id; 16]).carrying(v4(asker)),
        kind: Kind::Query,
        ttl: 3,
        hops,
    };
    Frame {
        header,
        payload: payload.into(),
    }
}

/// What a stranger says to node `at` by datagram.
fn say(net: &mut Tiers, at: usize, from: SocketAddr, guid: Guid, message: &Vendor<'_>) -> usize {
    datagram(net, at, from, guid, Kind::Vendor, message.build())
}

fn datagram(
    net: &mut Tiers,
    at: usize,
    from: SocketAddr,
    guid: Guid,
    kind: Kind,
    payload: Vec<u8>,
) -> usize {
    let header = Header {
        guid,
        kind,
        ttl: 1,
        hops: 0,
    };
    let payload = payload.into();
    let bytes = Frame { header, payload }.to_vec();
    net.hear(at, from, &bytes).unwrap();
    // Whatever is to follow does so now.
    net.give(at, Event::Wake);
    bytes.len()
}

fn stranger(host: u8) -> SocketAddr {
    SocketAddr::from(([8, 8, 8, host], 6346))
}

/// The first query that was carried.
fn carried_query(net: &Tiers) -> Frame {
    let query = |frame: &Frame| frame.header.kind == Kind::Query;
    let mut all = net.carried.iter().map(|(.., frame)| frame);
    all.find(|frame| query(frame)).unwrap().clone()
}

#[test]
fn hits_of_a_far_leaf_come_straight_and_over_no_link() {
    let mut net = across();
    let ticket = net.search(0, "fox", 4);
    net.pass(Duration::from_secs(20));
    let query = carried_query(&net);
    let flags = QueryFlags::of(&query.payload).unwrap();
    assert!(flags.out_of_band() && flags.guided());
    assert_eq!(SocketAddr::V4(query.header.guid.carried()), addr(0));
    assert_eq!(net.hits(ticket), ["fox tale.txt", "red fox.txt"]);
    assert_eq!(hits(&net), [(3, addr(0), 2)]);
    assert!(net.carried_of(Kind::QueryHit).is_empty());
    let words = words(&net);
    assert!(matches!(
        words[0],
        (
            3,
            _,
            Vendor::HitsReady {
                version: OutOfBand::V3,
                results: 2,
                reached: true,
                proof: Some(_)
            }
        )
    ));
    assert!(matches!(
        words[1],
        (
            0,
            _,
            Vendor::HitsWanted {
                results: 2,
                token: Some(_),
                ..
            }
        )
    ));
    assert_eq!(words.len(), 2);
}

#[test]
fn a_node_whose_hits_came_straight_is_asked_to_connect_by_datagram() {
    let mut net = across();
    let ticket = net.search(0, "fox", 4);
    net.pass(Duration::from_secs(20));
    let hit = net.first_hit(ticket);
    assert_eq!(hit.push, Some(true));
    assert_eq!(hit.push_proxies, [addr(3), addr(2)], "itself first");
    forget(&mut net);
    let mut push = |index, to: &[SocketAddr]| {
        let spec = PushSpec {
            servent: hit.servent,
            index,
            port: None,
        };
        let command = Command::PushByProxies(spec, to.to_vec());
        net.give(0, Event::Command(Ticket(77), command));
        std::mem::take(&mut net.called_back)
    };
    assert_eq!(push(1, &[addr(3)]), [(3, addr(0), 1)]);
    // By both ways, and once.
    assert_eq!(push(2, &hit.push_proxies), [(3, addr(0), 2)]);
    // Not as often as anybody likes.
    let called = (10..100).map(|index| push(index, &[addr(3)]).len());
    assert_eq!(called.sum::<usize>(), 3);
    let pushes = net.carried_of(Kind::Push);
    assert_eq!(pushes.into_keys().collect::<Vec<_>>(), [(2, 3)]);
}

#[test]
fn nobody_is_made_to_connect_to_another_than_who_asks() {
    let mut net = across();
    let push = Push {
        servent: servent(3),
        index: 1,
        addr: stranger(1),
        tls: false,
    };
    datagram(
        &mut net,
        3,
        stranger(2),
        Guid([1; 16]),
        Kind::Push,
        push.build(),
    );
    assert_eq!(net.called_back, []);
    datagram(
        &mut net,
        3,
        stranger(1),
        Guid([1; 16]),
        Kind::Push,
        push.build(),
    );
    assert_eq!(net.called_back, [(3, stranger(1), 1)]);
    assert!(net.datagrams.is_empty());
}

#[test]
fn a_neighbour_answers_over_its_link() {
    let mut net = across();
    net.share(2, &["lone fox.txt"]);
    let ticket = net.search(1, "lone", 4);
    net.pass(Duration::from_secs(20));
    assert_eq!(net.hits(ticket), ["lone fox.txt"]);
    assert!(
        QueryFlags::of(&carried_query(&net).payload)
            .unwrap()
            .out_of_band()
    );
    assert!(net.datagrams.is_empty());
}

#[test]
fn who_does_not_know_that_datagrams_reach_it_neither_asks_nor_answers_so() {
    // Node 0 does not know.
    let mut net = Tiers::with_datagrams(&[Leaf, Ultrapeer, Ultrapeer, Leaf]);
    net.share(3, &["red fox.txt"]);
    net.deaf.push(0);
    for (from, to) in [(0, 1), (3, 2), (1, 2)] {
        net.link(from, to);
    }
    net.pass(Duration::from_secs(121));
    net.give(0, Event::Reached);
    forget(&mut net);
    let ticket = net.search(0, "fox", 4);
    net.pass(Duration::from_secs(20));
    assert!(
        !QueryFlags::of(&carried_query(&net).payload)
            .unwrap()
            .out_of_band()
    );
    assert_eq!(net.hits(ticket), ["red fox.txt"]);
    assert!(net.datagrams.is_empty());
    // Node 2 never asked: whoever asks it gets its hits over the links.
    net.share(2, &["grey fox.txt"]);
    let from = net.link_of(2, 1);
    forget(&mut net);
    net.give(
        2,
        Event::Received(from, query(1, stranger(1), 2, OutOfBand::V3)),
    );
    assert_eq!(net.carried_of(Kind::QueryHit).get(&(2, 1)), Some(&1));
    assert!(hits(&net).is_empty());
}

#[test]
fn who_does_not_want_to_say_where_it_is_gets_its_hits_over_the_links() {
    let mut net = Tiers::with(&[Leaf, Ultrapeer, Ultrapeer, Leaf], |config| {
        config.datagrams = true;
        config.direct_hits = false;
    });
    net.share(3, &["red fox.txt"]);
    for (from, to) in [(0, 1), (3, 2), (1, 2)] {
        net.link(from, to);
    }
    net.pass(Duration::from_secs(121));
    net.give(0, Event::Reached);
    assert_eq!(net.nodes[0].datagrams_reach(net.now), Reached::Yes);
    forget(&mut net);
    let ticket = net.search(0, "fox", 4);
    net.pass(Duration::from_secs(20));
    let query = carried_query(&net);
    assert!(!QueryFlags::of(&query.payload).unwrap().out_of_band());
    assert_ne!(SocketAddr::V4(query.header.guid.carried()), addr(0));
    assert_eq!(net.hits(ticket), ["red fox.txt"]);
    assert!(net.datagrams.is_empty());
}

/// A search of node 0, its ticket and message id.
fn searching(net: &mut Tiers) -> (Ticket, Guid) {
    net.deaf.push(3);
    let ticket = net.search(0, "fox", 4);
    let guid = carried_query(net).header.guid;
    forget(net);
    (ticket, guid)
}

fn hit_of(from: SocketAddr, names: &[&str], token: Option<Token>) -> Vec<u8> {
    let record = |name: &&str| Record {
        index: 1,
        size: 5,
        name: (*name).into(),
        ..Record::default()
    };
    let records = names.iter().map(record).collect();
    QueryHit {
        token,
        ..QueryHit::new(from, ServentId([7; 16]), records)
    }
    .build()
}

#[test]
fn announcements_of_both_versions_are_taken_and_only_what_they_announce() {
    let mut net = across();
    let (ticket, guid) = searching(&mut net);
    let unasked = |net: &Tiers| net.nodes[0].stats().dropped(Drop::Unasked);
    let (old, new) = (stranger(1), stranger(2));
    // Nobody asked for these.
    for from in [old, new] {
        let hit = hit_of(from, &["unasked.txt"], None);
        datagram(&mut net, 0, from, guid, Kind::QueryHit, hit);
    }
    assert_eq!(unasked(&net), 2);
    for (from, version) in [(old, OutOfBand::V2), (new, OutOfBand::V3)] {
        let ready = Vendor::HitsReady {
            version,
            results: 2,
            reached: false,
            proof: None,
        };
        let question = say(&mut net, 0, from, guid, &ready);
        let (_, to, answer) = net.datagrams.last().unwrap();
        assert_eq!((*to, answer.header.guid), (from, guid));
        assert!(answer.wire_len() <= 3 * question);
    }
    let tokens: Vec<_> = words(&net)
        .into_iter()
        .map(|(.., word)| match word {
            Vendor::HitsWanted {
                results: 2, token, ..
            } => token,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(tokens[0].is_none() && tokens[1].is_some());
    for (from, name, token) in [
        (old, "old.txt", None),
        (new, "no token.txt", None),
        (new, "wrong.txt", Some(Token::from([0; 8]))),
        (new, "new.txt", tokens[1]),
        // From elsewhere.
        (stranger(3), "thief.txt", tokens[1]),
        (old, "old too.txt", None),
        // One more than was announced.
        (old, "more.txt", None),
    ] {
        let hit = hit_of(from, &[name], token);
        datagram(&mut net, 0, from, guid, Kind::QueryHit, hit);
    }
    assert_eq!(net.hits(ticket), ["new.txt", "old too.txt", "old.txt"]);
    assert_eq!(net.nodes[0].stats().dropped(Drop::WrongToken), 2);
    assert_eq!(unasked(&net), 4);
    // More than one frame's worth at once, too.
    let both = hit_of(new, &["a.txt", "b.txt"], tokens[1]);
    datagram(&mut net, 0, new, guid, Kind::QueryHit, both);
    assert_eq!(unasked(&net), 5);
}

#[test]
fn an_asker_of_another_program_proves_itself_by_answering_a_ping() {
    let mut net = across();
    let (asker, from) = (stranger(1), net.link_of(3, 2));
    let query_bytes = query(1, asker, 1, OutOfBand::V2);
    let guid = query_bytes.header.guid;
    net.give(3, Event::Received(from, query_bytes));
    let ready = Vendor::HitsReady {
        version: OutOfBand::V2,
        results: 2,
        reached: true,
        proof: None,
    };
    assert_eq!(words(&net), [(3, asker, ready)]);
    net.datagrams.clear();
    let wanted = Vendor::HitsWanted {
        results: 2,
        token: None,
        proof: None,
    };
    // Anybody may have sent this in its name: it is asked, with less than was sent, and once.
    let question = say(&mut net, 3, asker, guid, &wanted);
    say(&mut net, 3, asker, guid, &wanted);
    let [(3, to, ping)] = &net.datagrams[..] else {
        panic!("{:?}", net.datagrams);
    };
    assert_eq!((*to, ping.header.kind), (asker, Kind::Ping));
    assert!(ping.wire_len() < question);
    let id = ping.header.guid;
    net.datagrams.clear();
    for (from, id) in [(asker, Guid([9; 16])), (stranger(2), id)] {
        datagram(&mut net, 3, from, id, Kind::Pong, vec![0; 14]);
    }
    assert!(net.datagrams.is_empty());
    assert_eq!(net.nodes[3].stats().dropped(Drop::Unasked), 2);
    datagram(&mut net, 3, asker, id, Kind::Pong, vec![0; 14]);
    assert_eq!(hits(&net), [(3, asker, 2)]);
    // Each once.
    net.datagrams.clear();
    say(&mut net, 3, asker, guid, &wanted);
    assert!(net.datagrams.is_empty());
    // The next query of the same asker needs no second proof; of version 3, its token is in the hits.
    let next = query(2, asker, 1, OutOfBand::V3);
    let guid = next.header.guid;
    net.give(3, Event::Received(from, next));
    net.datagrams.clear();
    let token = Token::new(&[1, 2, 3, 4]);
    let wanted = Vendor::HitsWanted {
        results: 255,
        token,
        proof: None,
    };
    say(&mut net, 3, asker, guid, &wanted);
    let [(3, _, hit)] = &net.datagrams[..] else {
        panic!("{:?}", net.datagrams);
    };
    assert_eq!(hit.header.guid, guid);
    assert_eq!(QueryHit::parse(&hit.payload).unwrap().token, token);
}

#[test]
fn a_wish_with_a_wrong_proof_or_for_nothing_that_waits_brings_nothing() {
    let mut net = across();
    let (asker, from) = (stranger(1), net.link_of(3, 2));
    let query = query(1, asker, 1, OutOfBand::V3);
    let guid = query.header.guid;
    net.give(3, Event::Received(from, query));
    net.datagrams.clear();
    let wanted = |proof| Vendor::HitsWanted {
        results: 255,
        token: Some([1; 8].into()),
        proof,
    };
    say(&mut net, 3, asker, guid, &wanted(Some([0; 8])));
    say(&mut net, 3, asker, Guid([7; 16]), &wanted(None));
    say(&mut net, 3, stranger(2), guid, &wanted(None));
    assert!(net.datagrams.is_empty());
    let stats = net.nodes[3].stats();
    assert_eq!(
        (
            stats.dropped(Drop::WrongToken),
            stats.dropped(Drop::Unasked)
        ),
        (1, 2)
    );
    // Nor does a right one when its time is over.
    net.pass(limits::OFFER_LIFE);
    let later = self::query(2, stranger(2), 1, OutOfBand::V3);
    net.give(3, Event::Received(from, later));
    net.datagrams.clear();
    say(&mut net, 3, asker, guid, &wanted(None));
    assert!(net.datagrams.is_empty());
}

#[test]
fn nobody_who_cannot_be_asked_there_is_answered_aside() {
    let mut net = across();
    let from = net.link_of(3, 2);
    let mut id = 0;
    for asker in ["0.0.0.0:6346", "224.0.0.1:6346", "8.8.8.8:0"] {
        id += 1;
        let query = query(id, asker.parse().unwrap(), 1, OutOfBand::V3);
        net.give(3, Event::Received(from, query));
    }
    // Our own address, and a neighbour's query.
    for (asker, hops) in [(addr(3), 1), (stranger(1), 0)] {
        id += 1;
        let query = query(id, asker, hops, OutOfBand::V3);
        net.give(3, Event::Received(from, query));
    }
    assert_eq!(net.carried_of(Kind::QueryHit).get(&(3, 2)), Some(&5));
    assert!(net.datagrams.is_empty());
}

#[test]
fn when_no_room_is_left_for_offers_hits_go_over_the_links() {
    let mut net = across();
    let from = net.link_of(3, 2);
    let mut sent = 0;
    for (host, id) in (1..=200).flat_map(|host| [(host, 1), (host, 2)]) {
        net.give(
            3,
            Event::Received(from, query(id, stranger(host), 1, OutOfBand::V3)),
        );
        sent += 1;
    }
    let aside = words(&net).len();
    let over = net.carried_of(Kind::QueryHit)[&(3, 2)];
    assert_eq!(aside + over, sent);
    assert_eq!(aside, limits::OFFERS_MAX - limits::OFFERS_PER_QUERY + 1);
    // And one host alone does not take all of it.
    let mut net = across();
    let from = net.link_of(3, 2);
    for id in 1..=100 {
        net.give(
            3,
            Event::Received(from, query(id, stranger(1), 1, OutOfBand::V3)),
        );
    }
    let over = net.carried_of(Kind::QueryHit)[&(3, 2)];
    assert_eq!(over, 100 - limits::OFFERS_PER_ASKER);
}

/// What ultrapeer 1 passes on of a query of leaf 0 that says this.
fn passed_on(flags: QueryFlags, asker: SocketAddr) -> QueryFlags {
    let mut net = across();
    let leaf = net.link_of(1, 0);
    let mut query = query(1, asker, 0, OutOfBand::V3);
    let mut payload = query.payload.to_vec();
    payload[..2].copy_from_slice(&flags.0.to_be_bytes());
    query.payload = payload.into();
    net.give(1, Event::Received(leaf, query.clone()));
    net.pass(Duration::from_secs(5));
    let carried = carried_query(&net);
    assert_eq!(carried.header.guid, query.header.guid);
    assert_eq!(carried.payload[2..], query.payload[2..]);
    QueryFlags::of(&carried.payload).unwrap()
}

#[test]
fn an_ultrapeer_lets_a_leaf_name_its_own_address_alone_and_only_if_it_counts_its_results() {
    let aside = QueryFlags::OURS.and_out_of_band();
    let counts = aside.and_guided();
    assert_eq!(passed_on(counts, addr(0)), counts);
    let in_band = QueryFlags::OURS.and_guided();
    let elsewhere = SocketAddr::new(addr(0).ip(), 7_777);
    for asker in [stranger(1), elsewhere, addr(1)] {
        assert_eq!(passed_on(counts, asker), in_band);
    }
    assert_eq!(passed_on(aside, addr(0)), QueryFlags::OURS);
}

#[test]
fn a_leaf_tells_its_ultrapeer_of_results_that_came_straight() {
    let mut net = across();
    let (_, guid) = searching(&mut net);
    let ready = Vendor::HitsReady {
        version: OutOfBand::V2,
        results: 3,
        reached: true,
        proof: None,
    };
    say(&mut net, 0, stranger(1), guid, &ready);
    let hit = hit_of(stranger(1), &["a.txt", "b.txt", "c.txt"], None);
    datagram(&mut net, 0, stranger(1), guid, Kind::QueryHit, hit);
    forget(&mut net);
    let from = net.link_of(0, 1);
    let header = Header {
        guid,
        kind: Kind::Vendor,
        ttl: 1,
        hops: 0,
    };
    let payload = Vendor::QueryStatusRequest.build().into();
    net.give(0, Event::Received(from, Frame { header, payload }));
    let (_, _, told) = &net.carried[0];
    assert_eq!(
        Vendor::parse(&told.payload).unwrap(),
        Vendor::QueryStatusResponse(3)
    );
}

#[test]
fn a_victim_whose_address_is_forged_gets_less_than_its_forger_sent() {
    let mut net = across();
    net.share(3, &["fox.txt"; 150]);
    let (victim, from) = (stranger(1), net.link_of(3, 2));
    let mut sent = 0;
    for id in 1..=200 {
        let query = query(id, victim, 1, OutOfBand::V3);
        let guid = query.header.guid;
        sent += query.wire_len();
        net.give(3, Event::Received(from, query));
        // In its name, without having seen what it was told.
        let wanted = Vendor::HitsWanted {
            results: 255,
            token: Some([1; 8].into()),
            proof: None,
        };
        sent += say(&mut net, 3, victim, guid, &wanted);
    }
    let got: usize = net
        .datagrams
        .iter()
        .map(|(.., frame)| frame.wire_len())
        .sum();
    assert!(net.datagrams.iter().all(|(_, to, _)| *to == victim));
    assert!(0 < got && got < sent, "{got} of {sent}");
    assert!(hits(&net).is_empty());
    assert_eq!(net.nodes[3].id(), servent(3));
}

#[test]
fn hits_that_were_announced_too_often_to_one_address_go_back_over_the_link() {
    let mut net = across();
    let (asker, from) = (stranger(1), net.link_of(3, 2));
    for n in 0..1_000_u16 {
        let mut query = query(1, asker, 1, OutOfBand::V3);
        query.header.guid.0[6..8].copy_from_slice(&n.to_be_bytes());
        let guid = query.header.guid;
        forget(&mut net);
        net.give(3, Event::Received(from, query));
        let Some((.., Vendor::HitsReady { proof, .. })) = words(&net).pop() else {
            break;
        };
        assert!(net.carried_of(Kind::QueryHit).is_empty());
        // It takes them, and so makes room for others.
        let wanted = Vendor::HitsWanted {
            results: 255,
            token: Token::new(&[1, 2, 3, 4]),
            proof,
        };
        say(&mut net, 3, asker, guid, &wanted);
        assert_eq!(hits(&net).len(), 1);
    }
    assert!(net.datagrams.is_empty());
    assert_eq!(net.carried_of(Kind::QueryHit).get(&(3, 2)), Some(&1));
    assert_eq!(net.nodes[3].stats().dropped(Drop::RateLimited), 1);
    let hit = |frame: &&Frame| frame.header.kind == Kind::QueryHit;
    let mut carried = net.carried.iter().map(|(.., frame)| frame);
    assert!(carried.find(hit).unwrap().header.ttl > 1);
}
