//! Pushes: whom they reach, on which way, and whom nobody can be made to knock at.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use common::{Tiers, addr, servent};
use filbert::node::address::Net;
use filbert::node::event::Role::{Leaf, Ultrapeer};
use filbert::node::event::{Direction, Passed, PassedPush, Peer, PushSpec, Pushed};
use filbert::node::{
    Action, Command, Config, Drop, Event, LinkId, Node, Notice, Outbox, Ticket, Time,
};
use filbert::wire::push::Push;
use filbert::wire::vendor::Vendor;
use filbert::wire::{Frame, Guid, Header, Kind, ServentId};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

/// Leaf 0 - ultrapeer 1 - ultrapeer 2 - leaf 3, which has a fox.
fn across() -> Tiers {
    let mut net = Tiers::new(&[Leaf, Ultrapeer, Ultrapeer, Leaf]);
    net.share(3, &["red fox.txt"]);
    for (from, to) in [(0, 1), (3, 2), (1, 2)] {
        net.link(from, to);
    }
    net.pass(Duration::from_secs(121));
    net.carried.clear();
    net
}

/// Node `from` asks for a push to `to`; what it is told.
fn push(net: &mut Tiers, from: usize, to: ServentId, port: u16) -> Pushed {
    let ticket = Ticket(net.told.len() as u64 + 7_000);
    let spec = PushSpec {
        servent: to,
        index: 5,
        port: NonZeroU16::new(port),
    };
    net.give(from, Event::Command(ticket, Command::Push(spec)));
    match net.told.last() {
        Some((_, to, Notice::Pushed(pushed))) if *to == ticket => *pushed,
        other => panic!("{other:?}"),
    }
}

/// Node `from` asks these proxies for a push to `to`; what it is told.
fn push_by(net: &mut Tiers, from: usize, to: ServentId, proxies: &[SocketAddr]) -> Pushed {
    let ticket = Ticket(net.told.len() as u64 + 8_000);
    let spec = PushSpec {
        servent: to,
        index: 5,
        port: None,
    };
    let command = Command::PushByProxies(spec, proxies.to_vec());
    net.give(from, Event::Command(ticket, command));
    match net.told.iter().rev().find(|(_, to, _)| *to == ticket) {
        Some((.., Notice::Pushed(pushed))) => *pushed,
        other => panic!("{other:?}"),
    }
}

/// What comes of a push that a stranger at `asker` gives node 1 for `to`.
fn pass(net: &mut Tiers, asker: SocketAddr, push_to: SocketAddr, to: ServentId) -> Passed {
    let ticket = Ticket(net.told.len() as u64 + 9_000);
    let passed = PassedPush {
        servent: to,
        index: 5,
        to: push_to,
        tls: false,
        asker,
        id: None,
    };
    net.give(1, Event::Command(ticket, Command::PassPush(passed)));
    match net.told.last() {
        Some((_, to, Notice::Passed(passed))) if *to == ticket => *passed,
        other => panic!("{other:?}"),
    }
}

fn frame(id: u8, ttl: u8, hops: u8, push: &Push) -> Frame {
    let header = Header {
        guid: Guid([id; 16]),
        kind: Kind::Push,
        ttl,
        hops,
    };
    Frame {
        header,
        payload: push.build().into(),
    }
}

fn public(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([8, 8, 8, host], port))
}

#[test]
fn a_push_goes_the_way_of_the_hits_and_brings_a_connection() {
    let mut net = across();
    net.give(0, Event::Reached);
    let ticket = net.search(0, "fox", 4);
    net.pass(Duration::from_secs(20));
    assert_eq!(net.first_hit(ticket).push, Some(true));
    net.carried.clear();
    assert_eq!(push(&mut net, 0, servent(3), 0), Pushed::Sent);
    let ways: Vec<_> = net.carried_of(Kind::Push).into_keys().collect();
    assert_eq!(ways, [(0, 1), (1, 2), (2, 3)]);
    assert_eq!(net.called_back, [(3, addr(0), 5)]);
}

#[test]
fn the_connection_may_be_awaited_at_another_port() {
    let mut net = across();
    net.give(0, Event::Reached);
    net.search(0, "fox", 4);
    net.pass(Duration::from_secs(20));
    assert_eq!(push(&mut net, 0, servent(3), 4_321), Pushed::Sent);
    let there = SocketAddr::new(addr(0).ip(), 4_321);
    assert_eq!(net.called_back, [(3, there, 5)]);
}

#[test]
fn a_neighbour_gets_its_push_directly_and_further_than_its_link_it_never_goes() {
    let mut net = across();
    net.give(2, Event::Reached);
    assert_eq!(push(&mut net, 2, servent(3), 0), Pushed::Sent);
    let (_, _, sent) = net.carried.last().unwrap();
    assert_eq!((sent.header.ttl, sent.header.hops), (1, 0));
    assert_eq!(net.called_back, [(3, addr(2), 5)]);
}

#[test]
fn no_push_goes_out_without_a_way_or_when_nobody_could_answer_it() {
    let mut net = across();
    // Its neighbours were asked to call it back, and none did.
    assert_eq!(push(&mut net, 0, servent(3), 0), Pushed::NorCanWe);
    net.give(1, Event::Reached);
    assert_eq!(push(&mut net, 1, servent(3), 0), Pushed::NoWay);
    let ticket = net.search(0, "fox", 4);
    net.pass(Duration::from_secs(20));
    assert!(
        net.hits(ticket).is_empty(),
        "neither could connect to the other"
    );
    assert_eq!(push(&mut net, 0, servent(3), 0), Pushed::NorCanWe);
    assert!(net.carried_of(Kind::Push).is_empty());
    net.give(0, Event::Reached);
    // In other words: the same would be too soon.
    net.search(0, "red", 4);
    net.pass(Duration::from_secs(20));
    assert_eq!(push(&mut net, 0, servent(3), 0), Pushed::Sent);
}

#[test]
fn a_push_for_a_stranger_ends_where_no_way_is_known_and_a_leaf_relays_none() {
    let mut net = across();
    let push = Push {
        servent: ServentId([77; 16]),
        index: 0,
        addr: public(1, 6346),
        tls: false,
    };
    let (from, at_leaf) = (net.link_of(1, 2), net.link_of(0, 1));
    net.give(1, Event::Received(from, frame(1, 4, 0, &push)));
    assert_eq!(net.nodes[1].stats().dropped(Drop::NoWayBack), 1);
    net.give(0, Event::Received(at_leaf, frame(2, 4, 0, &push)));
    assert_eq!(net.nodes[0].stats().dropped(Drop::NoWayBack), 1);
    assert!(net.carried.is_empty());
}

#[test]
fn a_push_whose_life_is_spent_still_reaches_a_leaf_and_no_ultrapeer() {
    let mut net = across();
    let towards = |to| Push {
        servent: to,
        index: 0,
        addr: addr(1),
        tls: false,
    };
    let from = net.link_of(2, 1);
    let to_leaf = frame(3, 1, 3, &towards(servent(3)));
    net.give(2, Event::Received(from, to_leaf));
    assert_eq!(net.carried_of(Kind::Push).into_keys().next(), Some((2, 3)));
    net.carried.clear();
    let from = net.link_of(1, 0);
    let to_ultrapeer = frame(4, 1, 3, &towards(servent(2)));
    net.give(1, Event::Received(from, to_ultrapeer));
    assert!(net.carried.is_empty());
    assert_eq!(net.nodes[1].stats().dropped(Drop::TtlSpent), 1);
}

/// A node alone on the live network, with a neighbour at 8.8.8.9, and what it does of its own accord.
fn lone(config: Config) -> Node {
    let rng = ChaCha8Rng::seed_from_u64(1);
    let mut node = Node::new(Arc::new(config), servent(3), rng);
    let peer = Peer {
        servent: Some(servent(1)),
        ..Peer::bare(Direction::Accepted, public(9, 6346), public(10, 1).ip())
    };
    let up = Event::LinkUp(LinkId(1), Box::new(peer));
    node.handle(Time(1), up, &mut Outbox::new());
    node
}

#[test]
fn nobody_is_made_to_knock_at_private_doors_or_often_at_one() {
    let mut node = lone(Config {
        listen: Some(public(10, 6346)),
        min_links: 0,
        ..Config::live(Leaf)
    });
    let mut id = 0;
    let mut called = |node: &mut Node, at_s: u64, addr: SocketAddr| {
        id += 1;
        let push = Push {
            servent: servent(3),
            index: 0,
            addr,
            tls: false,
        };
        let (now, mut out) = (Time(1).plus(Duration::from_secs(at_s)), Outbox::new());
        let received = Event::Received(LinkId(1), frame(id, 3, 1, &push));
        node.handle(now, received, &mut out);
        match out.actions() {
            [] => false,
            [Action::CallBack { to, index: 0, .. }] if *to == addr => true,
            other => panic!("{other:?}"),
        }
    };
    for refused in [
        "10.0.0.1:6346",
        "192.168.1.1:6346",
        "127.0.0.1:6346",
        "8.8.8.8:25",
        "8.8.8.8:443",
        "8.8.8.8:0",
        // The neighbour's own, but no node listens there; and ours.
        "8.8.8.9:25",
        "8.8.8.10:6346",
    ] {
        assert!(!called(&mut node, 0, refused.parse().unwrap()), "{refused}");
    }
    assert!(called(&mut node, 1, public(1, 6346)));
    assert!(!called(&mut node, 5, public(1, 6346)), "a copy");
    let more = [6, 11, 16, 21, 26].map(|at| called(&mut node, at, public(1, 6346)));
    assert_eq!(more, [true, true, true, true, false]);
    let ports = (0..50).filter(|port| called(&mut node, 30, public(2, 7000 + port)));
    assert_eq!(ports.count(), 8);
    assert!(called(&mut node, 31, public(1, 6346)));
    assert_eq!(node.stats().dropped(Drop::PushFlood), 2 + 42);
}

#[test]
fn a_proxy_passes_pushes_to_its_neighbours_only_and_only_towards_who_asks() {
    let mut net = across();
    let asker = public(1, 50_000);
    let own = public(1, 6346);
    assert_eq!(pass(&mut net, asker, own, servent(0)), Passed::Sent);
    let (from, to, sent) = net.carried.last().unwrap();
    assert_eq!((*from, *to, sent.header.ttl), (1, 0, 1));
    assert_eq!(Push::parse(&sent.payload).unwrap().addr, own);
    assert_eq!(net.called_back, [(0, own, 5)]);
    net.carried.clear();
    // A neighbour of a neighbour is not ours to reach.
    assert_eq!(pass(&mut net, asker, own, servent(3)), Passed::Unknown);
    for victim in [public(2, 6346), public(1, 25), public(1, 0)] {
        assert_eq!(pass(&mut net, asker, victim, servent(0)), Passed::NotYours);
    }
    assert!(net.carried.is_empty());
}

#[test]
fn a_proxy_takes_few_pushes_of_one_asker_and_for_one_neighbour() {
    let mut net = across();
    let ask =
        |net: &mut Tiers, host: u8| pass(net, public(host, 50_000), public(host, 6346), servent(0));
    let sent = (0..100)
        .filter(|_| ask(&mut net, 1) == Passed::Sent)
        .count();
    assert_eq!(sent, 12);
    assert!(matches!(ask(&mut net, 1), Passed::TooOften { again_s: 60 }));
    let sent = (2..100)
        .filter(|n| ask(&mut net, *n) == Passed::Sent)
        .count();
    assert_eq!(sent, 30 - 12);
    net.pass(Duration::from_secs(60));
    assert_eq!(ask(&mut net, 1), Passed::Sent);
}

#[test]
fn a_datagram_to_a_proxy_brings_a_leaf_to_whom_no_way_is_known() {
    let mut net = across();
    net.give(0, Event::Reached);
    assert_eq!(push(&mut net, 0, servent(3), 0), Pushed::NoWay);
    // The first is no node; the second has no such leaf; both say nothing.
    let proxies = [public(1, 6346), addr(1), addr(2)];
    assert_eq!(push_by(&mut net, 0, servent(3), &proxies), Pushed::Sent);
    let told: Vec<_> = net
        .datagrams
        .iter()
        .map(|(from, to, _)| (*from, *to))
        .collect();
    assert_eq!(told, proxies.map(|to| (0, to)));
    let ways: Vec<_> = net.carried_of(Kind::Push).into_keys().collect();
    assert_eq!(ways, [(2, 3)], "over its link, and over no other");
    let (.., sent) = net.carried.last().unwrap();
    assert_eq!((sent.header.ttl, sent.header.hops), (1, 0));
    assert_eq!(net.called_back, [(3, addr(0), 5)]);
}

#[test]
fn whoever_is_asked_by_several_proxies_connects_once_and_again_when_asked_again() {
    let mut net = across();
    net.link(3, 1);
    net.pass(Duration::from_secs(61));
    net.give(0, Event::Reached);
    for round in 1..=2 {
        net.carried.clear();
        let proxies = [addr(1), addr(2)];
        assert_eq!(push_by(&mut net, 0, servent(3), &proxies), Pushed::Sent);
        let ways: Vec<_> = net.carried_of(Kind::Push).into_keys().collect();
        assert_eq!(ways, [(1, 3), (2, 3)]);
        let ids: Vec<_> = net
            .carried
            .iter()
            .map(|(.., sent)| sent.header.guid)
            .collect();
        assert_eq!(ids[0], ids[1], "one wish");
        assert_eq!(net.called_back, vec![(3, addr(0), 5); round]);
        net.pass(Duration::from_secs(5));
    }
}

#[test]
fn few_proxies_are_told_and_none_that_could_be_a_victim_or_is_us() {
    let mut net = across();
    net.give(0, Event::Reached);
    let many: Vec<_> = (1..20).map(|host| public(host, 6346)).collect();
    assert_eq!(push_by(&mut net, 0, servent(3), &many), Pushed::Sent);
    let told: Vec<_> = net.datagrams.iter().map(|(_, to, _)| *to).collect();
    assert_eq!(told, many[..4]);
    net.datagrams.clear();
    let nobody = ["0.0.0.0:6346", "224.0.0.1:6346", "8.8.8.8:0"];
    let mut nobody = nobody.map(|text| text.parse().unwrap()).to_vec();
    nobody.push(addr(0));
    assert_eq!(push_by(&mut net, 0, servent(3), &nobody), Pushed::NoWay);
    assert_eq!(push_by(&mut net, 0, servent(3), &[]), Pushed::NoWay);
    assert!(net.datagrams.is_empty());
}

#[test]
fn a_neighbour_is_asked_over_its_link_and_nobody_by_one_who_cannot_be_reached() {
    let mut net = across();
    net.give(2, Event::Reached);
    assert_eq!(push_by(&mut net, 2, servent(3), &[addr(1)]), Pushed::Sent);
    assert_eq!(net.called_back, [(3, addr(2), 5)]);
    assert_eq!(
        push_by(&mut net, 0, servent(3), &[addr(2)]),
        Pushed::NorCanWe
    );
    assert!(net.datagrams.is_empty());
}

#[test]
fn hits_of_a_firewalled_leaf_name_its_ultrapeer_and_those_of_a_reachable_one_nobody() {
    let mut net = across();
    net.give(0, Event::Reached);
    let ticket = net.search(0, "fox", 4);
    net.pass(Duration::from_secs(20));
    let hit = net.first_hit(ticket);
    assert_eq!((hit.push, hit.push_proxies), (Some(true), vec![addr(2)]));
    net.give(3, Event::Reached);
    net.carried.clear();
    net.search(0, "red", 4);
    net.pass(Duration::from_secs(20));
    let (.., sent) = net
        .carried
        .iter()
        .find(|(.., frame)| frame.header.kind == Kind::QueryHit)
        .unwrap();
    let hit = filbert::wire::hit::QueryHit::parse(&sent.payload).unwrap();
    assert_eq!((hit.push, hit.push_proxies), (Some(false), vec![]));
}

#[test]
fn an_ultrapeer_that_leaves_is_no_proxy_any_more() {
    let mut net = across();
    let link = net.link_of(3, 2);
    net.give(3, Event::LinkDown(link, filbert::node::event::Gone::Closed));
    net.link(3, 1);
    net.pass(Duration::from_secs(121));
    net.give(0, Event::Reached);
    let ticket = net.search(0, "fox", 4);
    net.pass(Duration::from_secs(20));
    assert_eq!(net.first_hit(ticket).push_proxies, [addr(1)]);
}

#[test]
fn an_ack_for_another_servent_or_host_makes_no_proxy() {
    let mut net = across();
    let link = net.link_of(3, 2);
    net.give(3, Event::LinkDown(link, filbert::node::event::Gone::Closed));
    net.link(3, 1);
    let from = net.link_of(3, 1);
    let before = net.nodes[3].stats().dropped(Drop::FalseServent);
    for (to, guid) in [
        ("127.0.0.1:10001", servent(0)),
        ("8.8.8.8:6346", servent(3)),
        ("127.0.0.1:25", servent(3)),
        ("127.0.0.1:0", servent(3)),
    ] {
        let header = Header {
            guid: Guid(guid.0),
            kind: Kind::Vendor,
            ttl: 1,
            hops: 0,
        };
        let payload = Vendor::PushProxyAck(to.parse().unwrap()).build().into();
        net.give(3, Event::Received(from, Frame { header, payload }));
    }
    assert_eq!(net.nodes[3].stats().dropped(Drop::FalseServent), before + 4);
}

#[test]
fn nobody_takes_over_the_pushes_of_another_neighbour() {
    let mut net = across();
    let claim = |id: ServentId| {
        let header = Header {
            guid: Guid(id.0),
            kind: Kind::Vendor,
            ttl: 1,
            hops: 0,
        };
        let payload = Vendor::PushProxyRequest.build().into();
        Frame { header, payload }
    };
    // A stranger that did not say who it is.
    let thief = LinkId(9_999);
    let nameless = Peer {
        vendor_messages: true,
        ..Peer::bare(Direction::Accepted, public(3, 1), addr(1).ip())
    };
    net.give(1, Event::LinkUp(thief, Box::new(nameless)));
    for id in [servent(0), servent(2), servent(1)] {
        net.give(1, Event::Received(thief, claim(id)));
    }
    assert_eq!(net.nodes[1].stats().dropped(Drop::FalseServent), 3);
    net.give(1, Event::Received(thief, claim(ServentId([66; 16]))));
    assert_eq!(net.nodes[1].stats().dropped(Drop::FalseServent), 3);
}

#[test]
fn behind_a_router_we_are_where_the_neighbour_sees_us() {
    let home = "192.168.1.2".parse().unwrap();
    let seen: IpAddr = "8.8.4.4".parse().unwrap();
    for (net, sees_us_at, expected) in [
        (Net::Gnutella, Some(seen), seen),
        (Net::Gnutella, Some("10.1.1.1".parse().unwrap()), home),
        (Net::Gnutella, None, home),
        (Net::Lan, Some(seen), home),
    ] {
        let config = Config {
            net,
            listen: Some("0.0.0.0:6346".parse().unwrap()),
            min_links: 0,
            ..Config::live(Ultrapeer)
        };
        let rng = ChaCha8Rng::seed_from_u64(1);
        let mut node = Node::new(Arc::new(config), servent(0), rng);
        let peer = Peer {
            servent: Some(servent(1)),
            sees_us_at,
            ..Peer::bare(Direction::Accepted, public(1, 6346), home)
        };
        let mut out = Outbox::new();
        node.handle(Time(1), Event::LinkUp(LinkId(1), Box::new(peer)), &mut out);
        let spec = PushSpec {
            servent: servent(1),
            index: 0,
            port: None,
        };
        let push = Event::Command(Ticket(1), Command::Push(spec));
        node.handle(Time(2), push, &mut out);
        let sent = out.actions().iter().find_map(|action| match action {
            Action::Send(_, frame) if frame.header.kind == Kind::Push => Some(frame),
            _ => None,
        });
        let push = Push::parse(&sent.unwrap().payload).unwrap();
        assert_eq!(push.addr, SocketAddr::new(expected, 6346));
        assert_eq!(
            node.seen_ip(),
            sees_us_at.filter(|ip| *ip == seen),
            "{net:?}"
        );
    }
}
