//! Who may decide whom we know, call and take in: attacks on the address book and on our links, on one node driven by
//! hand.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use filbert::node::event::{Bye, DialError, Direction, Peer, Role, SearchSpec, Verdict};
use filbert::node::hosts::Remembered;
use filbert::node::{
    Action, Command, Config, Drop, Event, LinkId, Node, Notice, Outbox, Ticket, Time, limits,
};
use filbert::wire::hit::{QueryHit, Record};
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
    /// The far end of each link there ever was.
    remotes: BTreeMap<LinkId, SocketAddr>,
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
        Self::seeded(config, 1)
    }

    fn seeded(config: Config, seed: u64) -> Self {
        Self {
            node: Node::new(
                Arc::new(config),
                ServentId([1; 16]),
                ChaCha8Rng::seed_from_u64(seed),
            ),
            now: Time::ZERO,
            out: Outbox::new(),
            links: 0,
            remotes: BTreeMap::new(),
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
        self.remotes.insert(id, remote);
        let local = IpAddr::V4(Ipv4Addr::new(9, 0, 0, 1));
        let mut peer = Peer::bare(direction, remote, local);
        let mut servent = [2; 16];
        servent[..4].copy_from_slice(&self.links.to_be_bytes());
        peer.servent = Some(ServentId(servent));
        peer.bye = true;
        (id, self.give(Event::LinkUp(id, Box::new(peer))))
    }

    fn dialled(&mut self, addr: SocketAddr) -> (LinkId, Vec<Action>) {
        self.link(Direction::Dialled(addr), addr)
    }

    /// An offer of an ultrapeer there: its link, if it is accepted, else the status it gets.
    fn offered(&mut self, remote: SocketAddr) -> Result<LinkId, u16> {
        let id = LinkId(self.links + 1);
        let peer = Peer::bare(Direction::Accepted, remote, remote.ip());
        match &self.give(Event::Offer(id, Box::new(peer)))[0] {
            Action::Admit(_, Verdict::Accept) => Ok(id),
            Action::Admit(_, Verdict::Refuse { code, .. }) => Err(*code),
            other => panic!("{other:?}"),
        }
    }

    /// Lets time pass in a world where the neighbours say that they live and everybody answers calls. What neighbours
    /// say of others when they are asked, `pongs` says. Gives the last words of the node, with the time of each.
    fn live(
        &mut self,
        span: Duration,
        pongs: impl Fn(SocketAddr, u64) -> Vec<SocketAddr>,
    ) -> Vec<(Time, SocketAddr, Bye)> {
        let (end, mut byes) = (self.now.plus(span), Vec::new());
        let mut serial = 0;
        while self.now < end {
            let mut todo = std::collections::VecDeque::from(self.wait(Duration::from_secs(20)));
            let up: Vec<_> = self.node.links().map(|info| info.link).collect();
            let alive = Frame::from_datagram(&[&[7; 16][..], &[0, 1, 0, 0, 0, 0, 0]].concat());
            for link in up {
                let alive = alive.clone().unwrap();
                todo.extend(self.give(Event::Received(link, alive)));
            }
            while let Some(action) = todo.pop_front() {
                match action {
                    Action::Dial(addr) => todo.extend(self.dialled(addr).1),
                    Action::Close(id, Some(bye)) => byes.push((self.now, self.remotes[&id], bye)),
                    Action::Send(link, frame)
                        if frame.header.kind == Kind::Ping && frame.header.ttl > 2 =>
                    {
                        serial += 1;
                        for addr in pongs(self.remotes[&link], serial) {
                            let pong = pong(frame.header, addr);
                            todo.extend(self.give(Event::Received(link, pong)));
                        }
                    }
                    _ => {}
                }
            }
        }
        byes
    }

    fn neighbours(&self) -> Vec<SocketAddr> {
        self.node.links().map(|info| info.peer.remote).collect()
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

#[test]
fn links_that_we_opened_change_in_time_one_by_one_and_never_below_what_is_wanted() {
    let keep = far(3);
    let mut one = One::new(Config {
        keep: vec![keep],
        ..Config::live(Role::Leaf)
    });
    (1..=3).for_each(|n| drop(one.dialled(far(n))));
    // Who called us stays: it is not for us to end that.
    one.link(Direction::Accepted, far(4));
    for teller in 5..9 {
        one.give(Event::Told(
            far(teller),
            (0..40).map(|n| far(teller * 100 + n)).collect(),
        ));
    }
    let (mut changes, day) = (Vec::new(), Duration::from_secs(24 * 3_600));
    while one.now.since(Time::ZERO) < day {
        let said = one.live(Duration::from_secs(60), |_, _| Vec::new());
        let (rotated, others): (Vec<_>, Vec<_>) =
            said.into_iter().partition(|(.., bye)| bye.code == 202);
        assert!(
            others
                .iter()
                .all(|(.., bye)| bye.text == "Only looking who is there")
        );
        changes.extend(rotated);
        let up = one.neighbours();
        assert_eq!(up.len(), 4, "the new one first, then the old one goes");
        assert!(up.contains(&keep) && up.contains(&far(4)));
    }
    // Once in 3 to 4.5 hours, and a look for one that answers.
    assert!((5..=8).contains(&changes.len()), "{changes:?}");
    let gaps = changes.windows(2).map(|two| two[1].0.since(two[0].0));
    assert!(gaps.min().unwrap() >= limits::ROTATION_GAP);
    assert!(
        changes
            .iter()
            .all(|(_, addr, _)| *addr != keep && *addr != far(4))
    );
}

#[test]
fn whoever_owns_all_our_neighbours_does_not_keep_them() {
    for seed in 1..=2 {
        let mut one = One::seeded(Config::live(Role::Leaf), seed);
        // It owns whole networks, as many as one is linked to and some, and tells of nobody else.
        let owned = |n: u64| public(u32::try_from((n % 24) << 16 | (n / 24 % 250 + 1)).unwrap());
        let is_owned =
            |addr: &SocketAddr| matches!(addr.ip(), IpAddr::V4(v4) if v4.octets()[1] < 24);
        (0..3).for_each(|n| drop(one.dialled(owned(n))));
        let honest: Vec<_> = (100..140).map(far).collect();
        one.give(Event::Remembered(Box::new(Remembered {
            tried: honest.clone(),
            ..Remembered::default()
        })));
        assert!(one.neighbours().iter().all(is_owned));
        let (mut hours, mut free) = (0, 0);
        while hours < 5 * 24 {
            one.live(Duration::from_secs(3_600), |by, serial| {
                let told = (0..10).map(|n| serial * 10 + n);
                if is_owned(&by) {
                    told.map(owned).collect()
                } else {
                    told.map(|n| honest[usize::try_from(n).unwrap() % 40])
                        .collect()
                }
            });
            hours += 1;
            free += u32::from(!one.neighbours().iter().all(is_owned));
        }
        // Sooner or later somebody else is there, and then much of the time.
        assert!(free > 24, "seed {seed}: free for {free} of {hours} hours");
    }
}

/// An ultrapeer whose 32 places are taken by others that called it: 8 of one network, the others of as many, the eldest
/// first. No room for leaves, so that nobody is asked to be one.
fn full(config: Config) -> (One, Vec<LinkId>) {
    let mut one = One::new(Config {
        min_links: 0,
        max_leaves: 0,
        ..config
    });
    let mut crowd = Vec::new();
    for n in 0..32 {
        one.now = one.now.plus(Duration::from_secs(1));
        let remote = if n < 24 { far(100 + n) } else { public(n) };
        assert!(one.offered(remote).is_ok());
        let (id, _) = one.link(Direction::Accepted, remote);
        crowd.extend(Some(id).filter(|_| n >= 24));
    }
    (one, crowd)
}

/// Who gave way to a newcomer from there, and the code it heard.
fn displaced(one: &mut One, remote: SocketAddr) -> Vec<(LinkId, u16)> {
    let (_, actions) = one.link(Direction::Accepted, remote);
    let close = |action: &Action| match action {
        Action::Close(id, Some(bye)) => Some((*id, bye.code)),
        _ => None,
    };
    actions.iter().filter_map(close).collect()
}

#[test]
fn when_all_places_are_taken_the_youngest_of_the_largest_crowd_gives_way_to_one_from_elsewhere() {
    let (mut one, crowd) = full(Config::live(Role::Ultrapeer));
    assert!(one.offered(far(200)).is_ok());
    assert_eq!(one.node.link_count(), 32, "an offer alone moves nobody");
    // Two were accepted at once: one gets a place.
    assert!(one.offered(far(201)).is_ok());
    assert_eq!(displaced(&mut one, far(200)), [(crowd[7], 202)]);
    let late = one.links + 1;
    assert_eq!(displaced(&mut one, far(201)), [(LinkId(late), 503)]);
    assert_eq!(one.node.link_count(), 32);
    // However many come: one link a minute.
    for n in 0..200 {
        assert_eq!(one.offered(far(300 + n)), Err(503));
    }
    one.now = one.now.plus(limits::EVICTION_GAP);
    // To those of the crowd it gives nothing more.
    assert_eq!(one.offered(public(99)), Err(503));
    assert_eq!(displaced(&mut one, far(300)), [(crowd[6], 202)]);
}

#[test]
fn whoever_answers_quickly_or_brings_hits_or_was_asked_for_keeps_its_place() {
    let (mut one, crowd) = full(Config {
        keep: vec![public(29)],
        limit_search: None,
        ..Config::live(Role::Ultrapeer)
    });
    // The youngest answers our ping at once.
    let pings = one.wait(Duration::from_secs(14));
    let ping = ping_of(&pings, crowd[7]).unwrap();
    let mut quick = pong(ping, public(31));
    quick.header.hops = 0;
    one.give(Event::Received(crowd[7], quick));
    // The next brings a hit for a search of ours.
    let spec = SearchSpec {
        text: "fox".to_owned(),
        ..SearchSpec::default()
    };
    let asked = one.give(Event::Command(Ticket(1), Command::Search(spec)));
    let query = asked.iter().find_map(|action| match action {
        Action::Tell(_, Notice::Searching { guid, .. }) => Some(*guid),
        _ => None,
    });
    let record = Record {
        index: 1,
        name: "fox.txt".into(),
        ..Record::default()
    };
    let hit = QueryHit::new(public(30), ServentId([3; 16]), vec![record]);
    let header = Header {
        guid: query.unwrap(),
        kind: Kind::QueryHit,
        ttl: 2,
        hops: 0,
    };
    let payload = hit.build().into();
    one.give(Event::Received(crowd[6], Frame { header, payload }));
    // And the one before that is to be kept: the user says so.
    assert_eq!(displaced(&mut one, far(200)), [(crowd[4], 202)]);
}

#[test]
fn where_all_networks_have_one_link_only_idle_ones_give_way_and_rarely() {
    let mut one = One::new(Config {
        min_links: 0,
        max_leaves: 0,
        ..Config::live(Role::Ultrapeer)
    });
    for n in 0..32 {
        one.now = one.now.plus(Duration::from_secs(1));
        one.link(Direction::Accepted, far(100 + n));
    }
    let mut displaced = Vec::new();
    for minute in 0..24 * 60 {
        // Somebody new each minute, for a day.
        if one.offered(far(1_000 + minute)).is_ok() {
            displaced.extend(self::displaced(&mut one, far(1_000 + minute)));
        }
        for _ in 0..3 {
            one.live(Duration::from_secs(20), |_, _| Vec::new());
        }
    }
    // The first after an hour, then two an hour, as nobody brings anything.
    assert!((40..=46).contains(&displaced.len()), "{}", displaced.len());
    assert!(displaced.iter().all(|(_, code)| *code == 202));
    assert_eq!(one.node.link_count(), 32);
    // A good part of those that were there first still is.
    let first = one.node.links().filter(|info| info.link.0 <= 32).count();
    assert!(first >= 12, "{first}");
}

#[test]
fn on_a_lan_nobody_gives_way() {
    let mut one = One::new(Config {
        min_links: 0,
        ..Config::default()
    });
    for n in 0..16 {
        one.link(Direction::Accepted, public(n));
    }
    one.now = one.now.plus(Duration::from_secs(3_600));
    assert_eq!(one.offered(far(1)), Err(503));
}

#[test]
fn a_book_full_of_addresses_that_refuse_at_once_is_not_called_through_in_a_moment() {
    let mut one = One::new(Config::live(Role::Ultrapeer));
    let heard_of = (1..2_000).map(far).collect();
    let kept = Remembered {
        heard_of,
        ..Remembered::default()
    };
    let mut called = dials(&one.give(Event::Remembered(Box::new(kept))));
    let mut at = 0;
    for second in 0..10_u64 {
        // Each call fails in the moment in which it is made.
        while let Some(addr) = called.get(at).copied() {
            at += 1;
            called.extend(dials(
                &one.give(Event::DialFailed(addr, DialError::Unreachable)),
            ));
        }
        let may = limits::DIALS_MAX as u64 + limits::DIAL_RATE * second;
        assert_eq!(called.len() as u64, may, "after {second} s");
        called.extend(dials(&one.wait(Duration::from_secs(1))));
    }
}
