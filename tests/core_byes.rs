//! Last words to links that are one too many or that do wrong, how far a neighbour lets fresh queries go, and pings:
//! those too soon, and what answers the others.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use bytes::Bytes;
use common::{Tiers, addr, servent};
use filbert::node::event::Peer;
use filbert::node::event::Role::{Leaf, Ultrapeer};
use filbert::node::event::SearchSpec;
use filbert::node::{Action, Command, Config, Drop, Event, Outbox, Ticket, limits};
use filbert::wire::{Frame, Guid, Header, Kind};

/// The code of the last Bye that node 0 said.
fn last_code(net: &Tiers) -> u16 {
    let said = net.byes.iter().rev().find(|(who, _)| *who == 0);
    said.unwrap().1.unwrap().code
}

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

#[test]
fn a_neighbour_that_repeats_itself_gets_bye_401_unless_that_is_little_of_what_it_sends() {
    for (others, said) in [(0, Some(401)), (1_000, None)] {
        let mut net = Tiers::new(&[Ultrapeer, Ultrapeer, Ultrapeer]);
        net.link(0, 1);
        net.link(0, 2);
        let (first, link) = (net.query("red fox", 2), net.link_of(0, 1));
        for n in 0..others {
            let mut other = first.clone();
            other.header.guid.0[..4].copy_from_slice(&u32::to_be_bytes(n));
            net.give(0, Event::Received(link, other));
        }
        net.give(0, Event::Received(link, first.clone()));
        // The same from another neighbour is a duplicate as any flood makes them.
        let elsewhere = net.link_of(0, 2);
        for _ in 0..20 {
            net.give(0, Event::Received(elsewhere, first.clone()));
        }
        assert_eq!(net.nodes[0].link_count(), 2);
        for n in 0..=limits::REPEATS_MIN {
            assert_eq!(net.nodes[0].link_count(), 2, "after {n} repeats");
            net.give(0, Event::Received(link, first.clone()));
        }
        assert_eq!(net.nodes[0].link_count(), 2 - said.iter().len());
        assert_eq!(said, said.map(|_| last_code(&net)));
    }
}

#[test]
fn a_neighbour_whose_messages_live_too_long_or_not_at_all_gets_bye_403_or_408() {
    for (ttl, hops, times, code) in [
        (20, 0, limits::TTL_HIGH_OFFENCES_MAX, 403),
        (14, 2, limits::TTL_HIGH_OFFENCES_MAX, 403),
        (13, 3, limits::OFFENCES_MAX, 409),
        (0, 1, limits::OFFENCES_MAX, 408),
    ] {
        let mut net = Tiers::new(&[Ultrapeer, Ultrapeer]);
        net.link(0, 1);
        let (mut query, link) = (net.query("red fox", ttl), net.link_of(0, 1));
        query.header.hops = hops;
        for n in 0..=times {
            assert_eq!(net.nodes[0].link_count(), 1, "{code} after {n}");
            query.header.guid.0[..4].copy_from_slice(&n.to_be_bytes());
            net.give(0, Event::Received(link, query.clone()));
        }
        assert_eq!(net.nodes[0].link_count(), 0);
        assert_eq!(last_code(&net), code);
    }
}

#[test]
fn a_link_that_takes_too_little_for_three_minutes_is_closed_with_bye_405() {
    let mut net = Tiers::new(&[Ultrapeer]);
    let config = Config {
        min_links: 0,
        ..Config::live(Ultrapeer)
    };
    let at = net.add_node(config);
    net.link(at, 0);
    let link = net.link_of(at, 0);
    net.give(at, Event::Pressed(link, true));
    net.pass(limits::PRESSED_MAX / 2);
    // It caught up in between: the time begins anew.
    net.give(at, Event::Pressed(link, false));
    net.give(at, Event::Pressed(link, true));
    net.pass(limits::PRESSED_MAX);
    assert_eq!(
        net.nodes[at].link_count(),
        1,
        "pings are answered meanwhile"
    );
    net.pass(limits::KEEPALIVE * 2);
    assert_eq!(net.nodes[at].link_count(), 0);
    let (who, bye) = net.byes.last().unwrap();
    assert_eq!((*who, bye.unwrap().code), (at, 405));
}

#[test]
fn what_strangers_send_through_a_neighbour_does_not_cost_it_the_link() {
    for (hops, links) in [(0, 0), (1, 1)] {
        let mut net = Tiers::new(&[Ultrapeer, Ultrapeer]);
        net.link(0, 1);
        let link = net.link_of(0, 1);
        for n in 0..=10 * limits::OFFENCES_MAX {
            let mut guid = [1; 16];
            guid[..4].copy_from_slice(&n.to_be_bytes());
            let (kind, payload) = match n % 3 {
                0 => (Kind::QueryHit, b"broken".to_vec()),
                1 => (Kind::Query, vec![b'a'; 300]),
                // Its servent id is none.
                _ => (Kind::QueryHit, vec![0; 60]),
            };
            let header = Header {
                guid: Guid(guid),
                kind,
                ttl: 3,
                hops,
            };
            let payload = payload.into();
            net.give(0, Event::Received(link, Frame { header, payload }));
        }
        let reasons = [Drop::Malformed, Drop::TooLarge, Drop::FalseServent];
        assert!(
            reasons
                .iter()
                .all(|why| net.nodes[0].stats().dropped(*why) > 0)
        );
        assert_eq!(net.nodes[0].link_count(), links, "{hops} hops");
    }
}
