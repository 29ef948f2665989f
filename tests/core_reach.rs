//! Who reaches us, and how a node finds that out; and that nobody is pinged for it who did not ask.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{Tiers, addr};
use filbert::node::event::Role::{Leaf, Ultrapeer};
use filbert::node::reach::Reached;
use filbert::node::{Drop, Event};
use filbert::wire::vendor::{self, Vendor};
use filbert::wire::{Frame, Guid, Header, Kind};

fn reached(net: &Tiers, node: usize) -> Reached {
    net.nodes[node].datagrams_reach(net.now)
}

/// Nodes that keep their links alive, and then look what there is to ask.
fn for_long(roles: &[filbert::node::event::Role]) -> Tiers {
    Tiers::with(roles, |config| {
        config.datagrams = true;
        config.keepalive = true;
    })
}

fn vendor(guid: Guid, message: &Vendor<'_>) -> Frame {
    let header = Header {
        guid,
        kind: Kind::Vendor,
        ttl: 1,
        hops: 0,
    };
    Frame {
        header,
        payload: message.build().into(),
    }
}

/// Where a node sent pings to, with their ids.
fn pings(net: &Tiers, node: usize) -> Vec<(SocketAddr, Guid)> {
    let its = net.datagrams.iter().filter(|(from, ..)| *from == node);
    its.filter(|(.., frame)| frame.header.kind == Kind::Ping)
        .map(|(_, to, frame)| (*to, frame.header.guid))
        .collect()
}

/// Questions for a ping that a node sent, with whom it asked.
fn questions(net: &Tiers, node: usize) -> Vec<(usize, Guid, Option<Guid>)> {
    let vendor = |frame: &Frame| match Vendor::parse(&frame.payload) {
        Ok(Vendor::UdpConnectBack { id, port }) if frame.header.kind == Kind::Vendor => {
            assert_eq!(port, addr(node).port());
            Some((frame.header.guid, id))
        }
        _ => None,
    };
    net.carried
        .iter()
        .filter(|(from, ..)| *from == node)
        .filter_map(|(_, to, frame)| vendor(frame).map(|(guid, id)| (*to, guid, id)))
        .collect()
}

#[test]
fn an_ultrapeer_that_was_asked_pings_once_and_that_proves_it() {
    let mut net = Tiers::with_datagrams(&[Leaf, Ultrapeer, Ultrapeer]);
    assert_eq!(reached(&net, 0), Reached::Unknown);
    net.link(0, 1);
    let asked = questions(&net, 0);
    assert_eq!(asked.len(), 1);
    assert_eq!(pings(&net, 1), [(addr(0), asked[0].1)]);
    assert_eq!(reached(&net, 0), Reached::Yes);
    // A leaf is asked by nobody, and whoever knows asks no more.
    assert_eq!(reached(&net, 1), Reached::Unknown);
    net.link(0, 2);
    assert_eq!(questions(&net, 0).len(), 1);
    // Of two ultrapeers the one that calls asks.
    net.link(1, 2);
    assert_eq!(reached(&net, 1), Reached::Yes);
    assert_eq!(reached(&net, 2), Reached::Unknown);
}

#[test]
fn three_ultrapeers_are_asked_and_their_silence_is_an_answer_for_an_hour() {
    let mut net = for_long(&[Leaf, Ultrapeer, Ultrapeer, Ultrapeer, Ultrapeer]);
    // Its datagrams get lost.
    net.deaf.push(0);
    for ultrapeer in 1..4 {
        net.link(0, ultrapeer);
        assert_eq!(reached(&net, 0), Reached::Asked);
    }
    let asked: Vec<_> = questions(&net, 0).iter().map(|(to, ..)| *to).collect();
    assert_eq!(asked, [1, 2, 3]);
    net.link(0, 4);
    assert_eq!(questions(&net, 0).len(), 3);
    net.pass(Duration::from_secs(61));
    assert_eq!(reached(&net, 0), Reached::No);
    // Somebody opens the port, and three are asked again in time.
    net.deaf.clear();
    net.pass(Duration::from_mins(55));
    assert_eq!(questions(&net, 0).len(), 3);
    net.pass(Duration::from_mins(5));
    assert_eq!(questions(&net, 0).len(), 6);
    assert_eq!(reached(&net, 0), Reached::Yes);
}

#[test]
fn when_both_ask_each_other_the_one_that_proved_nothing_asks_again_later() {
    let mut net = for_long(&[Ultrapeer, Ultrapeer]);
    // Its neighbour asks too, as gtk-gnutella does, and is pinged before its own ping comes.
    net.deaf.push(0);
    net.link(0, 1);
    let from = net.link_of(0, 1);
    let port = addr(1).port();
    let question = vendor(Guid([1; 16]), &Vendor::UdpConnectBack { port, id: None });
    net.give(0, Event::Received(from, question));
    assert_eq!(pings(&net, 0), [(addr(1), Guid([1; 16]))]);
    net.deaf.clear();
    let (_, id, _) = questions(&net, 0)[0];
    net.give(0, Event::Pinged(addr(1), id));
    assert_eq!(reached(&net, 0), Reached::Asked);
    net.pass(Duration::from_secs(61));
    assert_eq!(reached(&net, 0), Reached::Unknown);
    net.pass(Duration::from_secs(200));
    assert_eq!(
        questions(&net, 0).len(),
        1,
        "an answer might still be let in"
    );
    net.pass(Duration::from_secs(100));
    assert_eq!(questions(&net, 0).len(), 2);
    assert_eq!(reached(&net, 0), Reached::Yes);
}

#[test]
fn a_ping_with_another_id_or_from_where_a_datagram_of_ours_went_proves_nothing() {
    let mut net = Tiers::with_datagrams(&[Leaf, Ultrapeer, Ultrapeer]);
    net.deaf.push(0);
    net.link(0, 1);
    let id = questions(&net, 0)[0].1;
    let stranger: SocketAddr = "8.8.8.8:6346".parse().unwrap();
    net.give(0, Event::Pinged(stranger, Guid([9; 16])));
    assert_eq!(reached(&net, 0), Reached::Asked);
    // It may be let in as an answer: node 0 sends node 2 a ping, since it asks for one.
    let from = net.link_of(0, 1);
    let question = vendor(
        Guid([1; 16]),
        &Vendor::UdpConnectBack {
            port: addr(2).port(),
            id: None,
        },
    );
    net.give(0, Event::Received(from, question));
    assert_eq!(pings(&net, 0), [(addr(2), Guid([1; 16]))]);
    net.give(0, Event::Pinged(addr(2), id));
    assert_eq!(reached(&net, 0), Reached::Asked);
    net.give(0, Event::Pinged(stranger, id));
    assert_eq!(reached(&net, 0), Reached::Yes);
}

#[test]
fn whoever_asks_is_pinged_at_its_own_address_alone_and_once_a_minute() {
    let mut net = Tiers::with_datagrams(&[Leaf, Ultrapeer]);
    net.link(0, 1);
    net.datagrams.clear();
    net.pass(Duration::from_secs(60));
    let from = net.link_of(1, 0);
    let ask = |net: &mut Tiers, id: u8, port, version_1: Option<Guid>| {
        let question = Vendor::UdpConnectBack {
            port,
            id: version_1,
        };
        net.give(1, Event::Received(from, vendor(Guid([id; 16]), &question)));
        std::mem::take(&mut net.datagrams)
            .into_iter()
            .filter(|(from, ..)| *from == 1)
            .map(|(_, to, frame)| (to, frame.header.guid, frame.wire_len()))
            .collect::<Vec<_>>()
    };
    for port in [0, 25, 53] {
        assert_eq!(ask(&mut net, 1, port, None), [], "{port}");
    }
    let there = SocketAddr::new(addr(0).ip(), 7_777);
    assert_eq!(ask(&mut net, 2, 7_777, None), [(there, Guid([2; 16]), 23)]);
    assert_eq!(ask(&mut net, 3, 7_777, None), []);
    net.pass(Duration::from_secs(60));
    // Version 1 has the id of the ping in its data.
    let id = Guid([5; 16]);
    assert_eq!(ask(&mut net, 4, 7_777, Some(id)), [(there, id, 23)]);
    assert_eq!(net.nodes[1].stats().dropped(Drop::Unused), 4);
}

#[test]
fn those_who_know_only_version_1_are_asked_so_and_those_who_know_none_are_not() {
    let mut net = Tiers::with_datagrams(&[Leaf, Ultrapeer]);
    // What the ultrapeer reads is said by hand.
    net.deaf.push(0);
    net.nodes[1] = {
        let mut silent = Tiers::new(&[Leaf, Ultrapeer]);
        silent.nodes.swap_remove(1)
    };
    net.link(0, 1);
    assert_eq!(questions(&net, 0), []);
    let from = net.link_of(0, 1);
    for (reads, expected) in [
        (vec![], 0),
        (vec![vendor::HOPS_FLOW, vendor::TCP_CONNECT_BACK], 0),
        (vec![vendor::HOPS_FLOW, vendor::UDP_CONNECT_BACK_1], 1),
    ] {
        let said = vendor(Guid([1; 16]), &Vendor::MessagesSupported(reads));
        net.give(0, Event::Received(from, said));
        assert_eq!(questions(&net, 0).len(), expected);
    }
    let (to, guid, id) = questions(&net, 0)[0];
    assert_eq!((to, id), (1, Some(guid)));
}

#[test]
fn a_node_without_a_socket_for_it_neither_asks_nor_says_that_it_pings() {
    let mut net = Tiers::new(&[Leaf, Ultrapeer]);
    net.link(0, 1);
    assert_eq!(reached(&net, 0), Reached::No);
    assert_eq!(questions(&net, 0), []);
    let said = net
        .carried
        .iter()
        .find_map(|(_, _, frame)| match Vendor::parse(&frame.payload) {
            Ok(Vendor::MessagesSupported(reads)) => Some(reads),
            _ => None,
        });
    assert!(!said.unwrap().contains(&vendor::UDP_CONNECT_BACK));
}

#[test]
fn connections_reach_us_once_somebody_called_and_not_when_neighbours_called_in_vain() {
    let mut net = Tiers::new(&[Leaf, Ultrapeer]);
    let known = |net: &Tiers| net.nodes[0].connections_reach(net.now);
    assert_eq!(known(&net), Reached::Unknown);
    net.link(0, 1);
    assert_eq!(known(&net), Reached::Asked);
    net.pass(Duration::from_secs(60));
    assert_eq!(known(&net), Reached::No);
    net.give(0, Event::Reached);
    assert_eq!(known(&net), Reached::Yes);
}
