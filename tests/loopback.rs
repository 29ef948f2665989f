//! Two and three nodes in one process, and strangers who behave badly, on 127.0.0.1 and free ports.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod nodes;
mod raw;

use std::time::Duration;

use filbert::control::{Reply, Request};
use filbert::net::News;
use filbert::node::Config;
use filbert::wire::{Frame, Guid, Header, Kind};
use nodes::{Node, SOON};
use raw::Raw;

#[test]
fn two_nodes_link_and_both_know_where_the_other_listens() {
    let first = Node::alone();
    let second = Node::start(&[first.addr()], Config::default());
    let dialled = second.until_links(1).remove(0);
    assert_eq!(
        (dialled.listen, dialled.dialled),
        (Some(first.addr()), true)
    );
    assert_eq!(dialled.servent, Some(first.servent.id().to_string()));
    let accepted = first.until_links(1).remove(0);
    assert_eq!(
        (accepted.listen, accepted.dialled),
        (Some(second.addr()), false)
    );
    assert!(accepted.agent.starts_with("filbert/"));
}

#[test]
fn one_peer_is_enough_to_find_the_rest() {
    let hub = Node::alone();
    let others: Vec<_> = (0..3)
        .map(|_| Node::start(&[hub.addr()], Config::default()))
        .collect();
    for node in &others {
        node.until_links(3);
    }
    hub.until_links(3);
}

#[test]
fn a_lost_neighbour_is_replaced_at_once() {
    let config = || Config {
        min_links: 1,
        ..Config::default()
    };
    let (first, second) = (Node::start(&[], config()), Node::start(&[], config()));
    let third = Node::start(&[first.addr(), second.addr()], config());
    let lost = third.until_links(1).remove(0).listen.unwrap();
    let (lost, left) = if lost == first.addr() {
        (first, second)
    } else {
        (second, first)
    };
    lost.servent.stop();
    third.until("replacement", |node| {
        node.peers()
            .iter()
            .any(|peer| peer.listen == Some(left.addr()))
            .then_some(())
    });
}

#[test]
fn a_full_node_refuses_and_names_others() {
    let full = Node::start(
        &[],
        Config {
            max_links: 1,
            min_links: 0,
            ..Config::default()
        },
    );
    let only = Node::start(&[full.addr()], Config::default());
    full.until_links(1);
    let mut raw = Raw::connect(full.addr());
    let answer = raw.offer("X-Ultrapeer: True\r\n");
    assert!(answer.starts_with("GNUTELLA/0.6 503 "), "{answer}");
    let tried = format!("X-Try-Ultrapeers: {}\r\n", only.addr());
    assert!(answer.contains(&tried), "{answer}");
}

#[test]
fn a_node_that_is_refused_goes_where_it_is_told() {
    let full = Node::start(
        &[],
        Config {
            max_links: 1,
            min_links: 0,
            ..Config::default()
        },
    );
    let inside = Node::start(&[full.addr()], Config::default());
    full.until_links(1);
    let late = Node::start(&[full.addr()], Config::default());
    let peer = late.until_links(1).remove(0);
    assert_eq!(peer.listen, Some(inside.addr()));
}

#[test]
fn a_second_link_to_the_same_node_is_refused() {
    let node = Node::alone();
    let id = "GUID: 00112233445566778899aabbccddeeff\r\nX-Ultrapeer: True\r\n";
    let mut first = Raw::connect(node.addr());
    first.link(id);
    node.until_links(1);
    let answer = Raw::connect(node.addr()).offer(id);
    assert!(answer.starts_with("GNUTELLA/0.6 409 "), "{answer}");
    assert_eq!(node.peers().len(), 1);
}

#[test]
fn a_node_that_is_told_to_dial_itself_does_not_link() {
    let node = Node::alone();
    let addr = node.addr();
    let refused = node
        .servent
        .request(Request::peer_add(addr))
        .all(SOON)
        .unwrap_err();
    assert!(refused.contains(&addr.to_string()), "{refused}");
    assert!(node.peers().is_empty());
    let other = Node::start(&[addr], Config::default());
    other.until_links(1);
    assert_eq!(node.until_links(1).len(), 1);
}

#[test]
fn peers_are_added_and_dropped_on_request() {
    // Neither looks for links by itself: a dropped peer that does comes back at once.
    let quiet = || Config {
        min_links: 0,
        ..Config::default()
    };
    let (first, second) = (Node::start(&[], quiet()), Node::start(&[], quiet()));
    let addr = second.addr();
    first.ask(Request::peer_add(addr));
    assert_eq!(
        first.peers().len(),
        1,
        "the answer comes when the link is up"
    );
    first.ask(Request::PeerDrop { addr });
    assert!(first.peers().is_empty());
    let unreachable = Node::alone();
    let gone = unreachable.addr();
    unreachable.servent.stop();
    let refused = first
        .servent
        .request(Request::peer_add(gone))
        .all(SOON)
        .unwrap_err();
    assert!(refused.contains(&gone.to_string()), "{refused}");
}

#[test]
fn a_stopping_node_says_bye() {
    let node = Node::alone();
    let mut raw = Raw::connect(node.addr());
    raw.link("X-Ultrapeer: True\r\nBye-Packet: 0.1\r\n");
    node.until_links(1);
    node.servent.stop();
    let bye = raw.next_of(Kind::Bye);
    assert_eq!(filbert::wire::bye::Bye::parse(&bye.payload).code, 200);
}

#[test]
fn what_a_peer_says_as_its_last_word_is_told() {
    let node = Node::alone();
    let mut raw = Raw::connect(node.addr());
    raw.link("X-Ultrapeer: True\r\nBye-Packet: 0.1\r\n");
    node.until_links(1);
    let header = Header {
        guid: Guid([7; 16]),
        kind: Kind::Bye,
        ttl: 1,
        hops: 0,
    };
    let payload = filbert::wire::bye::Bye::build(406, "No reply to alive pings");
    let bye = Frame {
        header,
        payload: payload.into(),
    };
    raw.send(&bye.to_vec());
    raw.until_closed();
    let why = loop {
        if let News::LinkDown { why, .. } = node.news.recv_timeout(SOON).unwrap() {
            break why;
        }
    };
    assert_eq!(why, "the peer said Bye 406 No reply to alive pings");
}

#[test]
fn the_same_port_answers_http() {
    let node = Node::alone();
    let mut raw = Raw::connect(node.addr());
    raw.send(b"GET /get/1/nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answer = raw.head();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

#[test]
fn strangers_who_speak_no_gnutella_are_closed_and_counted() {
    let node = Node::alone();
    for (first, counter) in [
        ("SSH-2.0-x\r\n", "connection_unknown"),
        ("GIV 1:00/x\n\n", "connection_unasked"),
        ("QUEUE 1 127.0.0.1:1\r\n", "connection_unasked"),
        (
            "GNUTELLA CONNECT/0.6\r\nnonsense\r\n\r\n",
            "greeting_failed",
        ),
    ] {
        let before = node.counters().dropped[counter];
        let mut raw = Raw::connect(node.addr());
        raw.send(first.as_bytes());
        raw.until_closed();
        node.until_dropped(counter, before + 1);
    }
    assert!(node.peers().is_empty());
}

#[test]
fn half_open_greetings_keep_nobody_out() {
    let node = Node::alone();
    let _silent: Vec<_> = (0..20).map(|_| Raw::connect(node.addr())).collect();
    let mut trickling: Vec<_> = (0..20).map(|_| Raw::connect(node.addr())).collect();
    for raw in &mut trickling {
        raw.send(b"GNUTELLA CONNECT/0.6\r\nX-Ultra");
    }
    let other = Node::start(&[node.addr()], Config::default());
    other.until_links(1);
}

#[test]
fn more_strangers_than_the_hall_holds_are_turned_away_and_counted() {
    let node = Node::alone();
    let crowd: Vec<_> = (0..80).map(|_| Raw::connect(node.addr())).collect();
    node.until_dropped("connection_crowd", 16);
    drop(crowd);
    let other = Node::start(&[node.addr()], Config::default());
    other.until_links(1);
}

#[test]
fn a_length_that_cannot_be_believed_ends_the_link_with_bye_400() {
    for bytes in [
        // A query of 2 KiB, and one of 4 GiB.
        raw::header(Kind::Query, 4, 0, 2048),
        raw::header(Kind::Query, 4, 0, u32::MAX),
        vec![0x80; 64],
    ] {
        let node = Node::alone();
        let mut raw = Raw::connect(node.addr());
        raw.link("X-Ultrapeer: True\r\nBye-Packet: 0.1\r\n");
        node.until_links(1);
        raw.send(&bytes);
        let bye = raw.next_of(Kind::Bye);
        assert_eq!(filbert::wire::bye::Bye::parse(&bye.payload).code, 400);
        raw.until_closed();
        node.until_dropped("garbage_link", 1);
        node.until_links(0);
    }
}

#[test]
fn frames_that_break_the_rules_are_dropped_with_a_reason_and_the_link_stays() {
    let node = Node::start(
        &[],
        Config {
            limit_search: None,
            ..Config::default()
        },
    );
    let mut raw = Raw::connect(node.addr());
    raw.link("X-Ultrapeer: True\r\n");
    let mut other = Raw::connect(node.addr());
    other.link("X-Ultrapeer: True\r\nListen-IP: 127.0.0.1:1\r\n");
    node.until_links(2);
    for (reason, frame) in [
        ("ttl_zero", raw::query(1, 0, 0, "one two")),
        ("ttl_too_high", raw::query(2, 255, 0, "one two")),
        ("empty_query", raw::query(3, 3, 0, "")),
        (
            "unknown_kind",
            raw::frame(Kind::Unknown(0x77), 4, 1, 0, b"?"),
        ),
        (
            "no_way_back",
            raw::frame(Kind::QueryHit, 5, 3, 0, &raw::hit_payload()),
        ),
        ("malformed", raw::frame(Kind::QueryHit, 6, 3, 0, &[1; 8])),
        ("too_large", raw::frame(Kind::Query, 7, 3, 0, &[b'a'; 900])),
    ] {
        let before = node.counters().dropped[reason];
        raw.send(&frame);
        node.until_dropped(reason, before + 1);
    }
    let query = raw::query(8, 3, 0, "one two");
    raw.send(&[query.clone(), query.clone(), query].concat());
    node.until_dropped("duplicate", 2);
    let passed = other.next_of(Kind::Query);
    assert_eq!((passed.header.guid, passed.header.ttl), (Guid([8; 16]), 2));
    assert_eq!(node.peers().len(), 2, "none of this costs the link");
}

#[test]
fn junk_in_answer_to_every_query_is_dropped_and_costs_the_link_in_the_end() {
    let node = Node::alone();
    let mut raw = Raw::connect(node.addr());
    raw.link("X-Ultrapeer: True\r\n");
    node.until_links(1);
    let search = Request::Search {
        text: "one two".into(),
        urn: None,
        ttl: None,
        strategy: None,
        kind: None,
        nets: Vec::new(),
    };
    let mut replies = node.servent.request(search);
    assert!(matches!(
        replies.next(SOON),
        Some(Reply::Searching { neighbours: 1, .. })
    ));
    let query = raw.next_of(Kind::Query);
    let mut junk = raw::frame(Kind::QueryHit, 0, 3, 0, &[0xFF; 40]);
    junk[..16].copy_from_slice(&query.header.guid.0);
    for _ in 0..200 {
        if !raw.try_send(&junk) {
            break;
        }
    }
    node.until_links(0);
    node.until_dropped("malformed", 100);
    assert!(
        replies.next(Duration::from_millis(1)).is_none(),
        "no junk reaches the asker"
    );
}
