//! Last words to links that are one too many, how far a neighbour lets fresh queries go, and pings too soon.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use bytes::Bytes;
use common::{Tiers, addr, servent};
use filbert::node::event::Peer;
use filbert::node::event::Role::{Leaf, Ultrapeer};
use filbert::node::event::SearchSpec;
use filbert::node::{Action, Command, Drop, Event, Outbox, Ticket, limits};
use filbert::wire::{Frame, Guid, Header, Kind};

#[test]
fn a_second_link_to_the_same_node_ends_with_bye_202() {
    let mut net = Tiers::new(&[Ultrapeer, Ultrapeer]);
    net.link(0, 1);
    let again = Peer {
        servent: Some(servent(1)),
        listen: Some(addr(1)),
        ..*net.greeting_of(1, 0)
    };
    net.give_up(0, Box::new(again));
    assert_eq!(net.byes.last().unwrap().1.unwrap().code, 202);
    assert_eq!(net.nodes[0].link_count(), 1);
}

#[test]
fn a_leaf_that_answered_a_call_when_all_slots_are_taken_gets_bye_503() {
    let mut net = Tiers::new(&[Ultrapeer, Leaf]);
    let most = net.nodes[0].config().max_leaves;
    for n in 0..most {
        assert_eq!(net.take_in(0, n + 1, Leaf), Some(Leaf));
    }
    assert_eq!(net.nodes[0].leaf_count(), most);
    let late = net.greeting_of(1, 0);
    net.give_up(0, late);
    assert_eq!(net.byes.last().unwrap().1.unwrap().code, 503);
    assert_eq!(net.nodes[0].leaf_count(), most);
}

#[test]
fn a_query_of_ours_goes_no_further_than_the_neighbour_wants() {
    for (max_ttl, sent) in [(2, 2), (7, 4), (0, 1)] {
        let mut net = Tiers::new(&[Leaf, Ultrapeer]);
        let peer = Peer {
            max_ttl,
            ..*net.greeting_of(1, 0)
        };
        net.give_up(0, Box::new(peer));
        let spec = SearchSpec {
            text: "red fox".to_owned(),
            ttl: Some(4),
            ..SearchSpec::default()
        };
        let mut out = Outbox::new();
        let search = Event::Command(Ticket(1), Command::Search(spec));
        let now = net.now;
        net.nodes[0].handle(now, search, &mut out);
        let ttls: Vec<u8> = out
            .actions()
            .iter()
            .filter_map(|action| match action {
                Action::Send(_, frame) if frame.header.kind == Kind::Query => {
                    Some(frame.header.ttl)
                }
                _ => None,
            })
            .collect();
        assert_eq!(ttls, [sent], "X-Max-TTL {max_ttl}");
    }
}

/// How many pongs node 0 sends node 1 when it pings so.
fn pongs(net: &mut Tiers, tag: u8, ttl: u8) -> usize {
    net.carried.clear();
    let header = Header {
        guid: Guid([tag; 16]),
        kind: Kind::Ping,
        ttl,
        hops: 0,
    };
    let payload = Bytes::new();
    let link = net.link_of(0, 1);
    net.give(0, Event::Received(link, Frame { header, payload }));
    let pongs = net.carried.iter().filter(|(by, to, frame)| {
        (*by, *to, frame.header.kind) == (0, 1, Kind::Pong) && frame.header.guid == header.guid
    });
    pongs.count()
}

#[test]
fn pings_for_more_addresses_are_not_answered_too_soon() {
    let mut net = Tiers::new(&[Ultrapeer, Ultrapeer, Ultrapeer]);
    net.link(0, 2);
    net.link(0, 1);
    net.pass(limits::PING_INTERVAL_MIN);
    assert_eq!(pongs(&mut net, 1, 4), 2, "ourselves and a neighbour");
    assert_eq!(pongs(&mut net, 2, 4), 0);
    assert_eq!(net.nodes[0].stats().dropped(Drop::PingTooSoon), 1);
    // Whether we are alive may always be asked.
    assert_eq!(pongs(&mut net, 3, 1), 1);
    net.pass(limits::PING_INTERVAL_MIN);
    assert_eq!(pongs(&mut net, 4, 4), 2);
}
