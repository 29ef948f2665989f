//! Two tiers: leaves, ultrapeers, routing tables, dynamic queries and agreements, on a few nodes wired by hand.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{Tiers, addr, servent};
use filbert::node::event::Role::{Leaf, Ultrapeer};
use filbert::node::{Drop, Event};
use filbert::wire::ping::Pong;
use filbert::wire::vendor::{QUERY_STOP, Vendor};
use filbert::wire::{Frame, Guid, Header, Kind};

fn vendor(message: &Vendor<'_>, guid: Guid) -> Frame {
    let header = Header {
        guid,
        kind: Kind::Vendor,
        ttl: 1,
        hops: 0,
    };
    Frame {
        header,
        payload: Bytes::from(message.build()),
    }
}

/// An ultrapeer 0 with leaves 1 (has a fox) and 2 (has a wolf), linked to ultrapeer 3 with leaf 4 (has a fox).
fn two_houses() -> Tiers {
    let mut net = Tiers::new(&[Ultrapeer, Leaf, Leaf, Ultrapeer, Leaf]);
    net.share(1, &["red fox.txt"]);
    net.share(2, &["grey wolf.txt"]);
    net.share(4, &["arctic fox.txt"]);
    for (leaf, ultrapeer) in [(1, 0), (2, 0), (4, 3)] {
        net.link(leaf, ultrapeer);
    }
    net.link(0, 3);
    // Those that ask below: a querier that cannot be connected to gets nothing of a leaf like it.
    net.give(2, Event::Reached);
    net.give(4, Event::Reached);
    net.pass(Duration::from_secs(121));
    net.carried.clear();
    net
}

#[test]
fn a_leaf_gets_only_the_queries_its_table_matches_and_relays_nothing() {
    let mut net = two_houses();
    let ticket = net.search(2, "fox", 4);
    net.pass(Duration::from_secs(20));
    assert_eq!(net.hits(ticket), ["arctic fox.txt", "red fox.txt"]);
    let queries = net.carried_of(Kind::Query);
    assert_eq!(
        queries.keys().copied().collect::<Vec<_>>(),
        [(0, 1), (0, 3), (2, 0), (3, 4)]
    );
    assert!(queries.values().all(|copies| *copies == 1), "{queries:?}");
}

#[test]
fn a_query_for_what_nobody_has_reaches_no_leaf() {
    let mut net = two_houses();
    net.search(2, "platypus", 4);
    net.pass(Duration::from_secs(20));
    let queries = net.carried_of(Kind::Query);
    assert!(
        !queries.contains_key(&(0, 1)) && !queries.contains_key(&(3, 4)),
        "{queries:?}"
    );
}

#[test]
fn on_its_last_hop_a_query_goes_only_where_a_table_matches() {
    // A line of ultrapeers 0 - 1 - 2; 2 has a leaf with a fox.
    let mut net = Tiers::new(&[Ultrapeer, Ultrapeer, Ultrapeer, Leaf]);
    net.share(3, &["red fox.txt"]);
    for (from, to) in [(3, 2), (0, 1), (1, 2)] {
        net.link(from, to);
    }
    net.pass(Duration::from_secs(121));
    for (word, reached) in [("fox", 1), ("wolf", 0)] {
        net.carried.clear();
        let from = net.link_of(1, 0);
        let query = net.query(word, 2);
        net.give(1, Event::Received(from, query));
        assert_eq!(
            net.carried_of(Kind::Query)
                .get(&(1, 2))
                .copied()
                .unwrap_or(0),
            reached,
            "{word}"
        );
    }
}

/// What node `at` answers to a ping of its neighbour `from`: hops and pong of each.
fn pongs_to(net: &mut Tiers, at: usize, from: usize, ttl: u8) -> Vec<(u8, Pong)> {
    net.carried.clear();
    let header = Header {
        guid: Guid([ttl; 16]),
        kind: Kind::Ping,
        ttl,
        hops: 0,
    };
    let payload = Bytes::new();
    let link = net.link_of(at, from);
    net.give(at, Event::Received(link, Frame { header, payload }));
    net.carried
        .iter()
        .filter(|(by, to, frame)| {
            (*by, *to, frame.header.kind) == (at, from, Kind::Pong)
                && frame.header.guid == header.guid
        })
        .map(|(.., frame)| {
            (
                frame.header.hops,
                Pong::parse(&frame.payload).expect("ours"),
            )
        })
        .collect()
}

/// gtk-gnutella ends a link with Bye 414 when a leaf sends it anything that has travelled.
#[test]
fn a_leaf_answers_pings_for_itself_alone_and_is_no_ultrapeer_in_its_pongs() {
    let mut net = Tiers::new(&[Ultrapeer, Leaf, Ultrapeer]);
    net.link(1, 0);
    net.link(1, 2);
    for ttl in [1, 4] {
        let pongs = pongs_to(&mut net, 1, 0, ttl);
        assert!(
            matches!(&pongs[..], [(0, pong)] if pong.ultrapeer.is_none()),
            "{pongs:?}"
        );
    }
    assert!(pongs_to(&mut net, 1, 0, 2).is_empty());
}

#[test]
fn an_ultrapeer_tells_its_free_slots_and_of_ultrapeers_and_of_no_leaf() {
    let mut net = two_houses();
    let pongs = pongs_to(&mut net, 0, 2, 4);
    let told: Vec<_> = pongs
        .iter()
        .map(|(hops, pong)| (*hops, pong.addr))
        .collect();
    assert_eq!(told, [(0, addr(0)), (1, addr(3))]);
    assert_eq!(pongs[0].1.ultrapeer, Some((28, 31)));
}

#[test]
fn a_leaf_that_relays_is_told_so_and_dropped() {
    let mut net = two_houses();
    let from = net.link_of(0, 1);
    let mut query = net.query("fox", 3);
    query.header.hops = 1;
    net.give(0, Event::Received(from, query));
    assert_eq!(net.nodes[0].stats().dropped(Drop::LeafRelayed), 1);
    assert_eq!(net.byes.last().unwrap().1.unwrap().code, 414);
}

#[test]
fn tables_that_lie_cost_the_link_with_bye_413() {
    let mut net = two_houses();
    let from = net.link_of(0, 1);
    let header = Header {
        guid: Guid([9; 16]),
        kind: Kind::Qrp,
        ttl: 1,
        hops: 0,
    };
    let reset = Frame {
        header,
        payload: Bytes::from_static(&[0, 3, 0, 0, 0, 2]),
    };
    net.give(0, Event::Received(from, reset));
    assert_eq!(net.byes.last().unwrap().1.unwrap().code, 413);
    assert_eq!(net.nodes[0].stats().dropped(Drop::BadTable), 1);
}

#[test]
fn a_change_of_shares_travels_as_a_difference_and_reaches_the_other_ultrapeer() {
    let mut net = two_houses();
    net.share(1, &["red fox.txt", "blue heron.txt"]);
    net.pass(Duration::from_secs(200));
    let updates: Vec<_> = net
        .carried
        .iter()
        .filter(|(.., frame)| frame.header.kind == Kind::Qrp)
        .collect();
    assert!(
        updates.iter().all(|(.., frame)| frame.payload[0] == 1),
        "no RESET: tables of equal size go by difference"
    );
    net.carried.clear();
    let ticket = net.search(4, "heron", 4);
    net.pass(Duration::from_secs(20));
    assert_eq!(net.hits(ticket), ["blue heron.txt"]);
}

#[test]
fn hops_flow_is_obeyed_and_sent_under_pressure() {
    let mut net = two_houses();
    let (to, id) = (net.link_of(3, 0), Guid([1; 16]));
    net.give(3, Event::Received(to, vendor(&Vendor::HopsFlow(0), id)));
    net.search(4, "fox", 4);
    net.pass(Duration::from_secs(20));
    assert!(
        !net.carried_of(Kind::Query).contains_key(&(3, 0)),
        "it wants none"
    );
    net.carried.clear();
    let pressed = net.link_of(0, 1);
    net.give(0, Event::Pressed(pressed, true));
    let told: Vec<_> = net
        .carried
        .iter()
        .filter(|(from, to, _)| (*from, *to) == (0, 1))
        .collect();
    assert_eq!(Vendor::parse(&told[0].2.payload), Ok(Vendor::HopsFlow(0)));
    let query = net.query("wolf", 3);
    net.give(0, Event::Received(pressed, query));
    assert_eq!(net.nodes[0].stats().dropped(Drop::Congested), 1);
}

#[test]
fn a_leaf_answers_how_many_results_it_kept_and_says_stop() {
    let mut net = two_houses();
    let ticket = net.search(2, "fox", 4);
    net.pass(Duration::from_secs(20));
    let guid = net
        .carried
        .iter()
        .find(|(.., frame)| frame.header.kind == Kind::Query)
        .unwrap()
        .2
        .header
        .guid;
    net.carried.clear();
    let at_leaf = net.link_of(2, 0);
    net.give(
        2,
        Event::Received(at_leaf, vendor(&Vendor::QueryStatusRequest, guid)),
    );
    assert_eq!(
        Vendor::parse(&net.carried[0].2.payload),
        Ok(Vendor::QueryStatusResponse(2))
    );
    net.carried.clear();
    net.give(2, Event::Command(ticket, filbert::node::Command::Cancel));
    assert_eq!(
        Vendor::parse(&net.carried[0].2.payload),
        Ok(Vendor::QueryStatusResponse(QUERY_STOP))
    );
}

#[test]
fn a_firewalled_leaf_finds_proxies_and_only_its_own_ultrapeer_may_be_one() {
    let mut net = two_houses();
    let hit = {
        let ticket = net.search(2, "fox", 4);
        net.pass(Duration::from_secs(20));
        net.first_hit(ticket)
    };
    assert_eq!(
        hit.push,
        Some(true),
        "nobody has ever connected to that leaf"
    );
    let from = net.link_of(1, 0);
    let lie = Vendor::PushProxyAck("203.0.113.5:80".parse().unwrap());
    let dropped = net.nodes[1].stats().dropped(Drop::FalseServent);
    net.give(1, Event::Received(from, vendor(&lie, Guid(servent(1).0))));
    assert_eq!(
        net.nodes[1].stats().dropped(Drop::FalseServent),
        dropped + 1
    );
}

#[test]
fn an_ultrapeer_takes_leaves_up_to_its_limit_and_a_leaf_takes_no_leaf() {
    let mut net = Tiers::new(&[Ultrapeer, Leaf]);
    for n in 0..40 {
        let accepted = net.offer(0, 10 + n, Leaf);
        assert_eq!(accepted.is_ok(), n < 30, "leaf {n}: {accepted:?}");
    }
    assert_eq!(net.offer(1, 90, Leaf), Err(204));
    assert_eq!(net.offer(1, 91, Ultrapeer), Ok(()));
}

#[test]
fn a_leaf_that_links_before_its_first_scan_is_found_soon_after_it() {
    let mut net = Tiers::new(&[Ultrapeer, Leaf, Leaf]);
    net.link(1, 0);
    net.link(2, 0);
    net.share(1, &["red fox.txt"]);
    net.give(2, Event::Reached);
    net.pass(Duration::from_secs(1));
    let ticket = net.search(2, "fox", 4);
    net.pass(Duration::from_secs(1));
    assert_eq!(net.hits(ticket), ["red fox.txt"]);
}
