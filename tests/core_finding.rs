//! Who may decide whom we know and call: attacks on the address book, on one node driven by hand.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use filbert::node::event::{Bye, DialError, Direction, Peer, Role, Verdict};
use filbert::node::hosts::Remembered;
use filbert::node::{Action, Config, Drop, Event, LinkId, Node, Outbox, Time, limits};
use filbert::wire::ping::Pong;
use filbert::wire::{Frame, Header, Kind, ServentId};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

/// One node of the live network; its actions are kept until they are looked at.
struct One {
    node: Node,
    now: Time,
    out: Outbox,
    links: u32,
}

fn public(n: u32) -> SocketAddr {
    SocketAddr::from(((0x0800_0000 + n).to_be_bytes(), 6346))
}

/// An address of another network for each number.
fn far(n: u32) -> SocketAddr {
    public(n << 16 | 1)
}

impl One {
    fn new(config: Config) -> Self {
        Self {
            node: Node::new(
                Arc::new(config),
                ServentId([1; 16]),
                ChaCha8Rng::seed_from_u64(1),
            ),
            now: Time::ZERO,
            out: Outbox::new(),
            links: 0,
        }
    }

    fn leaf() -> Self {
        Self::new(Config::live(Role::Leaf))
    }

    /// Hands in an event; what is done about it.
    fn give(&mut self, event: Event) -> Vec<Action> {
        self.out.clear();
        self.node.handle(self.now, event, &mut self.out);
        self.out.actions().to_vec()
    }

    fn wait(&mut self, span: Duration) -> Vec<Action> {
        self.now = self.now.plus(span);
        self.give(Event::Wake)
    }

    fn link(&mut self, direction: Direction, remote: SocketAddr) -> (LinkId, Vec<Action>) {
        self.links += 1;
        let id = LinkId(self.links);
        let local = IpAddr::V4(Ipv4Addr::new(9, 0, 0, 1));
        let mut peer = Peer::bare(direction, remote, local);
        peer.servent = Some(ServentId([u8::try_from(self.links + 1).unwrap(); 16]));
        peer.bye = true;
        (id, self.give(Event::LinkUp(id, Box::new(peer))))
    }

    fn dialled(&mut self, addr: SocketAddr) -> (LinkId, Vec<Action>) {
        self.link(Direction::Dialled(addr), addr)
    }
}

fn dials(actions: &[Action]) -> Vec<SocketAddr> {
    let dial = |action: &Action| match action {
        Action::Dial(addr) => Some(*addr),
        _ => None,
    };
    actions.iter().filter_map(dial).collect()
}

fn ping_of(actions: &[Action], link: LinkId) -> Option<Header> {
    actions.iter().rev().find_map(|action| match action {
        Action::Send(to, frame) if *to == link && frame.header.kind == Kind::Ping => {
            Some(frame.header)
        }
        _ => None,
    })
}

fn pong(ping: Header, addr: SocketAddr) -> Frame {
    let pong = Pong {
        addr,
        files: 0,
        kilobytes: 0,
        ultrapeer: Some((9, 9)),
        tls: false,
    };
    Frame {
        header: Header {
            kind: Kind::Pong,
            ttl: 1,
            hops: 1,
            ..ping
        },
        payload: pong.build().into(),
    }
}

#[test]
fn anchors_of_the_last_run_are_called_before_a_book_full_of_others() {
    let mut first = One::leaf();
    for n in 1..=3 {
        first.now = first.now.plus(Duration::from_secs(60));
        first.dialled(far(n));
    }
    // Who called us may be anybody.
    first.link(Direction::Accepted, far(99));
    let mut kept = first.node.remembered();
    assert_eq!(kept.anchors, [far(1), far(2)], "linked longest");
    kept.heard_of = (0..2_000).map(|n| public(n * 13 + 7)).collect();

    let mut second = One::leaf();
    let called = dials(&second.give(Event::Remembered(Box::new(kept.clone()))));
    assert_eq!(called.len(), limits::LEAF_MIN_LINKS);
    assert_eq!(called[..2], kept.anchors);
    // Neither is there any more: others are called, and a run without links forgets no anchor.
    for addr in &called {
        second.give(Event::DialFailed(*addr, DialError::Unreachable));
    }
    assert_eq!(second.node.remembered().anchors, kept.anchors);
}

#[test]
fn a_neighbour_whose_pongs_are_full_of_victims_sends_us_to_few_of_them() {
    let mut one = One::leaf();
    let liar = far(200);
    let (link, actions) = one.dialled(liar);
    let mut ping = ping_of(&actions, link);
    let (mut sent, mut called) = (0, BTreeMap::<SocketAddr, u32>::new());
    let hour = Duration::from_secs(3_590);
    while one.now.since(Time::ZERO) < hour {
        let mut actions = Vec::new();
        if let Some(ping) = ping.take() {
            for n in 0..30 {
                let victim = match n {
                    0 => "192.168.1.1:6346".parse().unwrap(),
                    1 => SocketAddr::from((far(sent).ip(), 25)),
                    _ => public(sent * 7),
                };
                sent += 1;
                actions.extend(one.give(Event::Received(link, pong(ping, victim))));
            }
        }
        actions.extend(one.wait(Duration::from_secs(1)));
        ping = ping_of(&actions, link);
        for addr in dials(&actions) {
            *called.entry(addr).or_default() += 1;
            one.give(Event::DialFailed(addr, DialError::Unreachable));
        }
    }
    assert!(sent > 3_000, "{sent}");
    let known = one.node.known_hosts();
    let most = usize::from(limits::PONG_ADDRESSES_MAX);
    assert!(known.len() <= most + 1, "{}", known.len());
    assert!(
        known
            .iter()
            .all(|addr| addr.port() != 25 && addr.ip() != Ipv4Addr::new(192, 168, 1, 1))
    );
    assert!(one.node.stats().dropped(Drop::AddressFlood) > 1_000);
    assert!(called.len() <= most, "{}", called.len());
    // Three failures, and a place may be had again; until then each is called less and less often.
    assert!(called.values().all(|times| *times <= 12), "{called:?}");
}

#[test]
fn a_cache_tells_of_a_hundred_addresses_at_most() {
    let mut one = One::leaf();
    let told = (0..5_000).map(far).collect();
    one.give(Event::Told(far(7_000), told));
    assert!(one.node.known_hosts().len() <= limits::TOLD_MAX);
}

#[test]
fn we_open_one_link_into_a_network_however_many_of_its_addresses_we_know() {
    let mut one = One::leaf();
    let mut all: Vec<_> = (0..1_000).map(|n| public(n + 1)).collect();
    all.push(far(50));
    let called = dials(&one.give(Event::Heard(all)));
    let owned = called.iter().filter(|addr| **addr != far(50)).count();
    assert!(owned <= 1, "{called:?}");
    one.dialled(called[0]);
    let called = dials(&one.wait(Duration::from_secs(2)));
    assert!(called.iter().all(|addr| *addr == far(50)), "{called:?}");
}

#[test]
fn a_network_gets_a_quarter_of_the_links_we_accept() {
    let mut one = One::new(Config::live(Role::Ultrapeer));
    let mut verdict = |remote| {
        one.links += 1;
        let id = LinkId(one.links);
        let peer = Peer::bare(Direction::Accepted, remote, remote.ip());
        let actions = one.give(Event::Offer(id, Box::new(peer.clone())));
        let accepted = matches!(actions[0], Action::Admit(_, Verdict::Accept));
        if accepted {
            one.give(Event::LinkUp(id, Box::new(peer)));
        }
        accepted
    };
    let of_one = (0..40).filter(|n| verdict(public(*n + 1))).count();
    assert_eq!(of_one, limits::ULTRAPEER_MAX_LINKS / limits::GROUP_SHARE);
    assert!(verdict(far(77)), "there is room for others");
}

#[test]
fn a_feeler_proves_an_address_and_takes_leave() {
    let mut one = One::leaf();
    let links: Vec<_> = (1..=3).map(|n| one.dialled(far(n)).0).collect();
    one.give(Event::Told(far(9), vec![far(20)]));
    let mut felt = Vec::new();
    for _ in 0..20 {
        let actions = one.wait(Duration::from_secs(10));
        for link in &links {
            let alive = Frame::from_datagram(&[&[7; 16][..], &[0, 1, 0, 0, 0, 0, 0]].concat());
            one.give(Event::Received(*link, alive.unwrap()));
        }
        felt.extend(dials(&actions));
    }
    assert_eq!(felt, [far(20)], "once in three minutes");
    let (link, actions) = one.dialled(far(20));
    let leave = actions.iter().find_map(|action| match action {
        Action::Close(id, Some(Bye { code, .. })) if *id == link => Some(*code),
        _ => None,
    });
    assert_eq!(leave, Some(200));
    assert_eq!(one.node.link_count(), 3);
    assert!(one.node.remembered().tried.contains(&far(20)));
}

#[test]
fn what_is_remembered_of_a_network_that_lies_is_judged_like_hearsay() {
    let mut one = One::leaf();
    let lan = "10.0.0.1:6346".parse().unwrap();
    let kept = Remembered {
        anchors: vec![lan, far(1), far(2), far(3)],
        tried: vec![lan],
        heard_of: vec![lan],
    };
    let called = dials(&one.give(Event::Remembered(Box::new(kept))));
    assert!(!called.contains(&lan), "{called:?}");
    assert!(!one.node.known_hosts().contains(&lan));
}
