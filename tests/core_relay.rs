//! Flooding, the way back, and what is dropped: single rules of the routing core on a few nodes.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use common::{Wired, library, quiet, servent};
use filbert::node::event::SearchSpec;
use filbert::node::{Command, Config, Drop, Event, LinkId, Notice, Ticket};
use filbert::wire::push::Push;
use filbert::wire::query::{Query, QueryFlags};
use filbert::wire::{Frame, Guid, Header, Kind};

fn query(guid: u8, ttl: u8, hops: u8, text: &str) -> Frame {
    let query = Query {
        flags: QueryFlags::OURS,
        text: Cow::Borrowed(text),
        sha1s: Vec::new(),
        media: None,
    };
    Frame {
        header: Header {
            guid: Guid([guid; 16]),
            kind: Kind::Query,
            ttl,
            hops,
        },
        payload: Bytes::from(query.build().unwrap()),
    }
}

/// A line 0 - 1 - 2 - ... of `count` nodes.
fn line(count: usize, config: &Config) -> Wired {
    let mut net = Wired::new(count, config);
    (1..count).for_each(|n| net.link(n - 1, n));
    net
}

/// The link of node `at` towards its neighbour `to`.
fn link(net: &Wired, at: usize, to: usize) -> LinkId {
    net.nodes[at]
        .links()
        .find(|info| info.peer.servent == Some(servent(to)))
        .unwrap()
        .link
}

#[test]
fn a_hit_returns_along_the_query_path_and_only_to_the_asker() {
    let mut net = line(4, &quiet());
    net.give(3, Event::Library(library(&["red fox.txt"])));
    let ticket = net.search(0, "fox", 4);
    assert_eq!(net.hits(ticket), ["red fox.txt"]);
    let hits = net.carried_of(Kind::QueryHit);
    assert_eq!(
        hits.into_keys().collect::<Vec<_>>(),
        [(1, 0), (2, 1), (3, 2)]
    );
}

#[test]
fn a_query_travels_as_far_as_its_ttl_and_no_further() {
    for ttl in 1..=4 {
        let mut net = line(6, &quiet());
        net.search(0, "fox", ttl);
        assert_eq!(net.carried_of(Kind::Query).len(), usize::from(ttl));
        assert!(
            net.carried.iter().all(|(.., frame)| frame.header.ttl >= 1),
            "TTL 0 never goes on the wire"
        );
    }
}

#[test]
fn a_flood_on_a_ring_costs_one_message_more_than_it_has_nodes() {
    let mut net = line(5, &quiet());
    net.link(4, 0);
    net.search(0, "fox", 7);
    let queries = net.carried_of(Kind::Query);
    assert_eq!(queries.values().sum::<usize>(), 6);
    assert!(
        queries.values().all(|copies| *copies == 1),
        "no link is passed twice in one direction"
    );
    assert_eq!(
        net.nodes
            .iter()
            .map(|node| node.stats().dropped(Drop::Duplicate))
            .sum::<u64>(),
        2
    );
}

#[test]
fn hops_and_ttl_together_are_trimmed_to_the_cap() {
    let mut net = line(
        3,
        &Config {
            ttl_max: 4,
            ..quiet()
        },
    );
    let from = link(&net, 1, 0);
    net.give(1, Event::Received(from, query(1, 9, 2, "fox")));
    let (.., relayed) = net.carried.last().unwrap();
    assert_eq!((relayed.header.ttl, relayed.header.hops), (1, 3));
    net.carried.clear();
    net.give(1, Event::Received(from, query(2, 3, 3, "fox")));
    assert!(
        net.carried.is_empty(),
        "at the cap it is taken in, not passed on"
    );
}

#[test]
fn each_bad_frame_is_dropped_for_one_named_reason() {
    let mut net = line(3, &quiet());
    let from = link(&net, 1, 0);
    let serial = std::cell::Cell::new(100);
    let frame = |kind, ttl, hops, payload: &'static [u8]| Frame {
        header: Header {
            guid: Guid([serial.replace(serial.get() + 1); 16]),
            kind,
            ttl,
            hops,
        },
        payload: Bytes::from_static(payload),
    };
    let fox = query(7, 4, 0, "fox");
    let cases = [
        (query(1, 0, 0, "fox"), Drop::TtlZero),
        (query(2, 10, 6, "fox"), Drop::TtlTooHigh),
        (query(3, 1, 255, "fox"), Drop::TtlTooHigh),
        (query(4, 255, 0, "fox"), Drop::TtlTooHigh),
        (frame(Kind::Query, 4, 0, b"\x88\x00x\0"), Drop::EmptyQuery),
        (frame(Kind::Query, 4, 0, b"\x80"), Drop::Malformed),
        (frame(Kind::Query, 4, 0, &[0x80; 300]), Drop::TooLarge),
        (frame(Kind::QueryHit, 4, 0, b"short"), Drop::Malformed),
        (frame(Kind::QueryHit, 4, 0, &[7; 64]), Drop::NoWayBack),
        (frame(Kind::Pong, 1, 0, &[1; 14]), Drop::Unasked),
        (frame(Kind::Ping, 0, 0, b""), Drop::TtlZero),
        (frame(Kind::Ping, 1, 1, b""), Drop::NotOneHop),
        (frame(Kind::Push, 4, 0, b"short"), Drop::Malformed),
        (frame(Kind::Qrp, 1, 0, b""), Drop::Unused),
        (frame(Kind::Unknown(0xCD), 1, 0, b""), Drop::UnknownKind),
        (fox.clone(), Drop::Duplicate),
    ];
    net.give(1, Event::Received(from, fox));
    for (case, reason) in cases {
        let before: Vec<_> = Drop::ALL
            .iter()
            .map(|reason| net.nodes[1].stats().dropped(*reason))
            .collect();
        net.carried.clear();
        net.give(1, Event::Received(from, case.clone()));
        let after: Vec<_> = Drop::ALL
            .iter()
            .map(|reason| net.nodes[1].stats().dropped(*reason))
            .collect();
        for (at, other) in Drop::ALL.iter().enumerate() {
            assert_eq!(
                after[at] - before[at],
                u64::from(*other == reason),
                "{case:?}: {other:?}"
            );
        }
        assert!(net.carried.is_empty(), "{case:?} went on");
    }
    net.give(1, Event::Received(LinkId(999), query(8, 4, 0, "fox")));
    assert_eq!(net.nodes[1].stats().dropped(Drop::LinkGone), 1);
}

#[test]
fn a_neighbour_that_sends_nothing_but_nonsense_loses_its_link() {
    let mut net = line(2, &quiet());
    let from = link(&net, 1, 0);
    for n in 0..=filbert::node::limits::OFFENCES_MAX {
        assert_eq!(net.nodes[1].link_count(), 1, "after {n} offences");
        let header = Header {
            guid: Guid([1; 16]),
            kind: Kind::QueryHit,
            ttl: 4,
            hops: 0,
        };
        net.give(
            1,
            Event::Received(
                from,
                Frame {
                    header,
                    payload: Bytes::from_static(b"junk"),
                },
            ),
        );
    }
    assert_eq!(net.nodes[1].link_count(), 0);
    assert_eq!(net.byes.last().unwrap().1.unwrap().code, 409);
}

#[test]
fn a_repeat_with_a_higher_ttl_passes_only_where_the_setting_lets_it() {
    for (ext_probes, passed) in [(false, 1), (true, 2)] {
        let mut net = line(
            3,
            &Config {
                ext_probes,
                ..quiet()
            },
        );
        net.give(1, Event::Library(library(&["fox.txt"])));
        let from = link(&net, 1, 0);
        net.give(1, Event::Received(from, query(1, 2, 0, "fox")));
        net.give(1, Event::Received(from, query(1, 3, 0, "fox")));
        assert_eq!(net.carried_of(Kind::Query).get(&(1, 2)), Some(&passed));
        assert_eq!(
            net.carried_of(Kind::QueryHit).get(&(1, 0)),
            Some(&1),
            "answered once all the same"
        );
    }
}

#[test]
fn a_hit_is_dropped_and_counted_when_its_way_back_is_gone() {
    let mut net = line(4, &quiet());
    net.give(3, Event::Library(library(&["fox.txt"])));
    net.search(0, "fox", 4);
    let (.., hit) = net
        .carried
        .iter()
        .find(|(from, ..)| *from == 3)
        .cloned()
        .unwrap();
    assert_eq!(hit.header.kind, Kind::QueryHit);
    let (back, from) = (link(&net, 2, 1), link(&net, 2, 3));
    net.give(2, Event::LinkDown(back, filbert::node::event::Gone::Broken));
    net.give(2, Event::Received(from, hit));
    assert_eq!(net.nodes[2].stats().dropped(Drop::DeadWayBack), 1);
}

#[test]
fn a_push_follows_the_hits_of_its_servent_backwards() {
    let mut net = line(4, &quiet());
    net.give(3, Event::Library(library(&["fox.txt"])));
    net.search(0, "fox", 4);
    let push = Push {
        servent: servent(3),
        index: 1,
        addr: common::addr(0),
        tls: false,
    };
    let header = Header {
        guid: Guid([5; 16]),
        kind: Kind::Push,
        ttl: 4,
        hops: 0,
    };
    let frame = Frame {
        header,
        payload: Bytes::from(push.build()),
    };
    let from = link(&net, 1, 0);
    net.give(1, Event::Received(from, frame.clone()));
    assert_eq!(
        net.carried_of(Kind::Push).into_keys().collect::<Vec<_>>(),
        [(1, 2), (2, 3)]
    );
    net.give(1, Event::Received(from, frame));
    assert_eq!(net.nodes[1].stats().dropped(Drop::Duplicate), 1, "once");
}

#[test]
fn many_files_are_answered_in_hits_of_ten_records_and_two_kilobytes() {
    let names: Vec<_> = (0..400)
        .map(|n| format!("fox number {n} {}.txt", "x".repeat(n % 180)))
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut net = line(2, &quiet());
    net.give(1, Event::Library(library(&names)));
    let ticket = net.search(0, "fox", 1);
    assert_eq!(
        net.hits(ticket).len(),
        filbert::node::limits::HITS_PER_QUERY
    );
    for (.., frame) in net
        .carried
        .iter()
        .filter(|(.., frame)| frame.header.kind == Kind::QueryHit)
    {
        assert!(
            frame.payload.len() <= filbert::node::limits::HIT_BYTES,
            "{} bytes",
            frame.payload.len()
        );
    }
}

#[test]
fn queries_above_the_rate_of_a_link_are_dropped_and_the_rest_pass() {
    let mut net = line(
        3,
        &Config {
            limit_search: Some(1_000),
            ..quiet()
        },
    );
    let from = link(&net, 1, 0);
    for n in 0..=255 {
        net.give(
            1,
            Event::Received(from, query(n, 4, 0, "some fox or other")),
        );
    }
    let passed = net.carried_of(Kind::Query)[&(1, 2)];
    assert!(
        (50..150).contains(&passed),
        "a burst of 4 s of the rate passed: {passed}"
    );
    assert_eq!(
        net.nodes[1].stats().dropped(Drop::RateLimited),
        256 - passed as u64
    );
}

#[test]
fn a_search_also_goes_to_neighbours_that_come_late() {
    let mut net = Wired::new(2, &quiet());
    net.give(1, Event::Library(library(&["fox.txt"])));
    let ticket = net.search(0, "fox", 4);
    assert!(net.hits(ticket).is_empty());
    net.link(0, 1);
    assert_eq!(net.hits(ticket), ["fox.txt"]);
}

#[test]
fn searches_are_bounded_and_can_be_ended() {
    let mut net = Wired::new(1, &quiet());
    let spec = SearchSpec {
        text: "fox".to_owned(),
        ..SearchSpec::default()
    };
    for n in 0..=64 {
        net.give(0, Event::Command(Ticket(n), Command::Search(spec.clone())));
    }
    let (_, ticket, notice) = net.told.last().unwrap();
    assert_eq!(*ticket, Ticket(64));
    assert!(matches!(notice, Notice::Done(Err(_))), "{notice:?}");
    net.give(0, Event::Command(Ticket(3), Command::Cancel));
    net.give(0, Event::Command(Ticket(65), Command::Search(spec)));
    assert!(matches!(
        net.told.last().unwrap().2,
        Notice::Searching { neighbours: 0, .. }
    ));
}

#[test]
fn a_search_for_nothing_is_refused_in_words() {
    let mut net = Wired::new(1, &quiet());
    for text in ["", "x", "?!", "  "] {
        let ticket = net.search(0, text, 4);
        let (_, to, notice) = net.told.last().unwrap();
        assert_eq!(*to, ticket);
        assert!(
            matches!(notice, Notice::Done(Err(why)) if why.contains("at least one word")),
            "{text:?}"
        );
    }
}

#[test]
fn a_way_back_outlives_ten_minutes_of_silence_by_nothing() {
    let mut net = line(3, &quiet());
    net.search(0, "fox", 4);
    let guid = net.carried[0].2.header.guid;
    assert_eq!(net.nodes[2].trace(&guid).unwrap().hops, 2);
    net.now = net.now.plus(Duration::from_secs(700));
    let from = link(&net, 1, 2);
    let header = Header {
        guid,
        kind: Kind::QueryHit,
        ttl: 4,
        hops: 0,
    };
    net.give(
        1,
        Event::Received(
            from,
            Frame {
                header,
                payload: Bytes::from(vec![7; 64]),
            },
        ),
    );
    assert_eq!(net.nodes[1].stats().dropped(Drop::NoWayBack), 1);
}
