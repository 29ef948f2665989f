//! Addresses listed as hostile are neither called, nor let in, nor believed, wherever they come up.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{Tiers, addr};
use filbert::node::event::Role::{Leaf, Ultrapeer};
use filbert::node::hostile::Hostile;
use filbert::node::{Action, Command, Config, Drop, Event, Notice, Outbox, Ticket};
use filbert::wire::ping::Pong;
use filbert::wire::push::Push;
use filbert::wire::{Frame, Guid, Header, Kind};

const LISTED: &str = "203.0.113.0/24";

fn listed(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::from([203, 0, 113, 9]), port)
}

/// Node 0 knows the list, node 1 is its neighbour.
fn wary() -> Tiers {
    let mut net = Tiers::new(&[]);
    net.add_node(Config {
        hostile: Arc::new(Hostile::parse(LISTED).unwrap()),
        keepalive: true,
        ..Config::live(Leaf)
    });
    net.add_node(Config {
        min_links: 0,
        ..Config::live(Ultrapeer)
    });
    net.link(0, 1);
    net
}

fn frame(kind: Kind, guid: Guid, payload: Vec<u8>) -> Frame {
    let (ttl, hops) = (1, 0);
    let header = Header {
        guid,
        kind,
        ttl,
        hops,
    };
    let payload = Bytes::from(payload);
    Frame { header, payload }
}

#[test]
fn they_are_never_called_whoever_tells_of_them() {
    let mut net = wary();
    net.give(0, Event::Heard(vec![listed(1)]));
    net.give(0, Event::Told(addr(7), vec![listed(2)]));
    net.give(0, Event::Answered(listed(3)));
    let mut out = Outbox::new();
    let now = net.now;
    net.nodes[0].handle(
        now,
        Event::Command(Ticket(1), Command::AddPeer(listed(4))),
        &mut out,
    );
    assert!(
        out.actions()
            .iter()
            .all(|action| !matches!(action, Action::Dial(_)))
    );
    let refused = out.actions().iter().any(|action| {
        matches!(action, Action::Tell(_, Notice::Done(Err(why))) if why.contains("--hostile"))
    });
    assert!(refused, "{:?}", out.actions());
    net.pass(Duration::from_secs(60));
    let known = net.nodes[0].known_hosts();
    assert!(
        known.iter().all(|known| known.ip() != listed(1).ip()),
        "{known:?}"
    );
}

#[test]
fn an_offer_of_one_is_refused_with_550_and_no_others_to_try() {
    let mut net = wary();
    let peer = filbert::node::event::Peer {
        ours: Leaf,
        ..filbert::node::event::Peer::bare(
            filbert::node::event::Direction::Accepted,
            listed(4000),
            addr(0).ip(),
        )
    };
    let mut out = Outbox::new();
    let now = net.now;
    let offer = Event::Offer(filbert::node::LinkId(99), Box::new(peer));
    net.nodes[0].handle(now, offer, &mut out);
    let Action::Admit(
        _,
        filbert::node::event::Verdict::Refuse {
            code, try_peers, ..
        },
    ) = &out.actions()[0]
    else {
        panic!("{:?}", out.actions())
    };
    assert_eq!((*code, try_peers.len()), (550, 0));
    assert_eq!(net.nodes[0].stats().dropped(Drop::Hostile), 1);
}

#[test]
fn pongs_hits_and_pushes_that_name_them_are_dropped_and_counted() {
    let mut net = wary();
    net.pass(Duration::from_secs(15));
    let link = net.link_of(0, 1);
    let ping = net
        .carried
        .iter()
        .rev()
        .find(|(from, _, frame)| *from == 0 && frame.header.kind == Kind::Ping);
    let ping = ping.unwrap().2.header.guid;
    let pong = Pong {
        addr: listed(6346),
        files: 1,
        kilobytes: 1,
        ultrapeer: Some((1, 1)),
        tls: false,
    };
    net.give(
        0,
        Event::Received(link, frame(Kind::Pong, ping, pong.build())),
    );
    assert_eq!(net.nodes[0].stats().dropped(Drop::Hostile), 1);

    let ticket = net.search(0, "fox", 4);
    let query = net
        .carried
        .iter()
        .rev()
        .find(|(.., frame)| frame.header.kind == Kind::Query);
    let query = query.unwrap().2.header.guid;
    // One record, then an address; what follows does not matter any more.
    let mut hit = vec![1, 0xCA, 0x18, 203, 0, 113, 9, 0, 0, 0, 0];
    hit.extend([7, 0, 0, 0, 9, 0, 0, 0]);
    hit.extend(b"fox.txt\0\0");
    hit.extend([0x33; 16]);
    let mut good = hit.clone();
    good[3..7].copy_from_slice(&[203, 0, 114, 9]);
    net.give(0, Event::Received(link, frame(Kind::QueryHit, query, hit)));
    assert_eq!(net.nodes[0].stats().dropped(Drop::Hostile), 2);
    assert!(net.hits(ticket).is_empty());
    net.give(0, Event::Received(link, frame(Kind::QueryHit, query, good)));
    assert_eq!(net.hits(ticket), ["fox.txt"]);

    let push = Push {
        servent: common::servent(0),
        index: 7,
        addr: listed(6346),
        tls: false,
    };
    net.give(
        0,
        Event::Received(link, frame(Kind::Push, Guid([8; 16]), push.build())),
    );
    assert_eq!(net.nodes[0].stats().dropped(Drop::Hostile), 3);
    assert!(net.called_back.is_empty());
}

#[test]
fn a_list_that_changes_ends_links_to_those_on_it_without_a_word_and_forgets_them() {
    let mut net = Tiers::new(&[Ultrapeer, Ultrapeer]);
    net.link(0, 1);
    assert_eq!(net.take_in(0, 7, Ultrapeer), Some(Ultrapeer));
    assert_eq!(net.take_in(0, 8, Leaf), Some(Leaf));
    assert_eq!(net.nodes[0].link_count(), 3);
    let kept = |net: &Tiers, n: u8| {
        let known = net.nodes[0].known_hosts();
        known
            .iter()
            .any(|addr| addr.ip().to_string() == format!("127.{n}.0.1"))
    };
    net.give(0, Event::Heard(vec!["127.9.0.1:6346".parse().unwrap()]));
    assert!(kept(&net, 7) && kept(&net, 9));
    let late = net.greeting_of(1, 0);
    net.byes.clear();
    let list = Hostile::parse("127.7.0.0/16\n127.8.0.1\n127.9.0.1\n127.10.0.1").unwrap();
    net.give(0, Event::Hostile(Arc::new(list)));
    assert_eq!(net.byes, [(0, None), (0, None)]);
    assert_eq!(net.neighbours(0), [1]);
    assert!(!kept(&net, 7) && !kept(&net, 9));
    assert_eq!(net.take_in(0, 7, Ultrapeer), None, "nor do they come back");
    // One whose greeting was under way.
    net.byes.clear();
    let remote = "127.10.0.1:6346".parse().unwrap();
    net.give_up(0, Box::new(filbert::node::event::Peer { remote, ..*late }));
    assert_eq!(net.byes, [(0, None)]);
    // Taken off the list, they are welcome again.
    net.give(0, Event::Hostile(Arc::default()));
    assert_eq!(net.take_in(0, 7, Ultrapeer), Some(Ultrapeer));
}
