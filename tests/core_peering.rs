//! Choosing neighbours: the rules of links, on a few nodes wired by hand.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::time::Duration;

use common::{Wired, addr, peer, servent};
use filbert::node::event::{Direction, Gone, Verdict};
use filbert::node::{Action, Command, Config, Event, LinkId, Notice, Outbox, Ticket, limits};
use filbert::wire::Kind;

fn settings(min_links: usize, max_links: usize) -> Config {
    Config {
        min_links,
        max_links,
        ..Config::default()
    }
}

/// All nodes know node 0 and nobody else; time passes.
fn meet_through_one(count: usize, config: &Config) -> Wired {
    let mut net = Wired::new(count, config);
    (1..count).for_each(|n| net.give(n, Event::Heard(vec![addr(0)])));
    net.pass(Duration::from_secs(120));
    net
}

#[test]
fn a_node_with_one_peer_finds_the_rest_by_itself() {
    let net = meet_through_one(12, &settings(4, 16));
    for n in 0..12 {
        let neighbours = net.neighbours(n);
        assert!(neighbours.len() >= 4, "node {n} has {neighbours:?}");
        assert!(!neighbours.contains(&n), "never to oneself");
        let mut once = neighbours.clone();
        once.dedup();
        assert_eq!(once, neighbours, "never twice to the same node");
    }
}

#[test]
fn no_node_has_more_than_max_links_and_the_refused_find_others() {
    let net = meet_through_one(20, &settings(3, 5));
    for n in 0..20 {
        let links = net.nodes[n].link_count();
        assert!((3..=5).contains(&links), "node {n} has {links}");
    }
}

#[test]
fn a_lost_neighbour_is_replaced_at_once() {
    let mut net = meet_through_one(12, &settings(4, 16));
    let lost = net.neighbours(1)[0];
    let link = net.nodes[1]
        .links()
        .find(|info| info.peer.servent == Some(servent(lost)))
        .unwrap()
        .link;
    net.dead.push(addr(lost));
    let before = net.nodes[1].link_count();
    // No time passes.
    net.give(1, Event::LinkDown(link, Gone::Broken));
    assert!(
        net.nodes[1].link_count() >= before.min(4),
        "{:?}",
        net.neighbours(1)
    );
}

#[test]
fn a_dead_address_backs_off_longer_each_time() {
    let mut net = Wired::new(1, &settings(4, 16));
    let mut dials = Vec::new();
    let mut out = Outbox::new();
    net.nodes[0].handle(net.now, Event::Heard(vec![addr(9)]), &mut out);
    for _ in 0..200 {
        for action in out.actions() {
            if let Action::Dial(to) = action {
                dials.push(net.now);
                let mut failed = Outbox::new();
                let error = filbert::node::event::DialError::Unreachable;
                net.nodes[0].handle(net.now, Event::DialFailed(*to, error), &mut failed);
                assert!(failed.actions().is_empty(), "not at once");
            }
        }
        out.clear();
        net.now = net.now.plus(Duration::from_secs(1));
        net.nodes[0].handle(net.now, Event::Wake, &mut out);
        net.nodes[0].handle(net.now, Event::Heard(Vec::new()), &mut out);
    }
    let gaps: Vec<_> = dials
        .windows(2)
        .map(|pair| pair[1].since(pair[0]).as_secs())
        .collect();
    assert_eq!(gaps, [5, 10, 20, 40, 80]);
}

#[test]
fn two_nodes_that_dial_each_other_end_with_one_link() {
    let mut net = Wired::new(2, &settings(1, 4));
    // Both dial before either offer arrives.
    let mut outs = [Outbox::new(), Outbox::new()];
    for (n, out) in outs.iter_mut().enumerate() {
        net.nodes[n].handle(net.now, Event::Heard(vec![addr(1 - n)]), out);
        assert_eq!(out.actions(), [Action::Dial(addr(1 - n))]);
    }
    let mut verdicts = Vec::new();
    for n in 0..2 {
        let mut out = Outbox::new();
        let offer = Box::new(peer(1 - n, Direction::Accepted));
        net.nodes[n].handle(net.now, Event::Offer(LinkId(1), offer), &mut out);
        verdicts.push(matches!(
            out.actions()[0],
            Action::Admit(_, Verdict::Accept)
        ));
    }
    assert_eq!(
        verdicts,
        [false, true],
        "the link that the smaller id dialled stays"
    );
}

#[test]
fn ourselves_and_known_nodes_are_refused_with_409_and_a_full_node_says_503_with_others_to_try() {
    let mut net = meet_through_one(8, &settings(2, 3));
    let full = (0..8)
        .find(|n| net.nodes[*n].link_count() == 3)
        .expect("somebody is full");
    let mut judge = |offer| {
        let mut out = Outbox::new();
        net.nodes[full].handle(
            net.now,
            Event::Offer(LinkId(900), Box::new(offer)),
            &mut out,
        );
        match &out.actions()[0] {
            Action::Admit(
                _,
                Verdict::Refuse {
                    code, try_peers, ..
                },
            ) => (*code, try_peers.len()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(judge(peer(full, Direction::Accepted)).0, 409);
    let known = net.neighbours(full)[0];
    let mut judge = |offer| {
        let mut out = Outbox::new();
        net.nodes[full].handle(
            net.now,
            Event::Offer(LinkId(901), Box::new(offer)),
            &mut out,
        );
        match &out.actions()[0] {
            Action::Admit(
                _,
                Verdict::Refuse {
                    code, try_peers, ..
                },
            ) => (*code, try_peers.len()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(judge(peer(known, Direction::Accepted)).0, 409);
    let (code, others) = judge(peer(100, Direction::Accepted));
    assert_eq!(code, 503);
    assert!(others > 0 && others <= limits::TRY_PEERS_GIVEN);
}

#[test]
fn a_link_to_ourselves_is_closed_and_never_dialled_again() {
    let mut net = Wired::new(1, &settings(2, 4));
    net.give(
        0,
        Event::LinkUp(LinkId(5), Box::new(peer(0, Direction::Dialled(addr(77))))),
    );
    assert_eq!(net.nodes[0].link_count(), 0);
    let mut out = Outbox::new();
    net.nodes[0].handle(net.now, Event::Heard(vec![addr(77)]), &mut out);
    assert!(out.actions().is_empty(), "{:?}", out.actions());
}

#[test]
fn every_link_hears_from_us_every_15_seconds_and_a_silent_one_is_closed() {
    let mut net = Wired::new(2, &settings(0, 4));
    net.link(0, 1);
    let mut heard = net.carried.len();
    for _ in 0..20 {
        net.pass(Duration::from_secs(15));
        let new: Vec<_> = net.carried[heard..]
            .iter()
            .filter(|(from, ..)| *from == 0)
            .collect();
        assert!(!new.is_empty());
        heard = net.carried.len();
    }
    assert_eq!(
        net.nodes[0].link_count(),
        1,
        "pings and pongs keep it alive"
    );
    // Node 1 falls silent.
    let mut quiet_net = Wired::new(1, &settings(0, 4));
    quiet_net.give(
        0,
        Event::LinkUp(LinkId(1), Box::new(peer(1, Direction::Accepted))),
    );
    quiet_net.pass(limits::SILENCE_MAX + limits::KEEPALIVE * 2);
    assert_eq!(quiet_net.nodes[0].link_count(), 0);
    assert_eq!(quiet_net.byes[0].1.unwrap().code, 405);
}

#[test]
fn pings_are_answered_from_the_cache_and_never_passed_on() {
    let net = meet_through_one(10, &settings(4, 16));
    for (_, _, frame) in net
        .carried
        .iter()
        .filter(|(.., frame)| frame.header.kind == Kind::Ping)
    {
        assert_eq!(frame.header.hops, 0);
    }
    let answers = net
        .carried
        .iter()
        .filter(|(.., frame)| frame.header.kind == Kind::Pong)
        .count();
    let pings = net
        .carried
        .iter()
        .filter(|(.., frame)| frame.header.kind == Kind::Ping)
        .count();
    assert!(
        answers > pings && answers <= pings * (limits::PONGS_PER_PING + 1),
        "{pings} pings, {answers} pongs"
    );
}

#[test]
fn peers_can_be_added_and_dropped_by_hand() {
    let mut net = Wired::new(3, &settings(0, 4));
    net.give(0, Event::Command(Ticket(1), Command::AddPeer(addr(1))));
    assert!(matches!(
        net.told.pop(),
        Some((0, Ticket(1), Notice::Done(Ok(()))))
    ));
    assert_eq!(net.neighbours(0), [1]);
    net.dead.push(addr(2));
    net.give(0, Event::Command(Ticket(2), Command::AddPeer(addr(2))));
    assert!(
        matches!(net.told.pop(), Some((0, Ticket(2), Notice::Done(Err(why)))) if why.contains("does not answer"))
    );
    net.give(0, Event::Command(Ticket(3), Command::DropPeer(addr(1))));
    assert_eq!(net.neighbours(0), [0_usize; 0]);
    assert_eq!(net.byes[0].1.unwrap().code, 201);
    net.give(0, Event::Command(Ticket(4), Command::DropPeer(addr(1))));
    assert!(matches!(
        net.told.pop(),
        Some((0, Ticket(4), Notice::Done(Err(_))))
    ));
}

#[test]
fn leaving_says_bye_to_all_and_takes_nobody_in() {
    let mut net = meet_through_one(6, &settings(3, 6));
    net.byes.clear();
    let links = net.nodes[0].link_count();
    net.give(0, Event::Command(Ticket(1), Command::Leave));
    let said = net
        .byes
        .iter()
        .filter(|(node, bye)| *node == 0 && bye.is_some_and(|bye| bye.code == 200))
        .count();
    assert_eq!(said, links);
    net.pass(Duration::from_secs(60));
    assert_eq!(net.nodes[0].link_count(), 0);
    assert!(
        (1..6).all(|n| net.nodes[n].link_count() >= 3),
        "the others close ranks"
    );
}

#[test]
fn a_link_is_kept_to_the_peers_asked_for_and_to_no_others_when_none_are_wanted() {
    let mut net = Wired::new(4, &settings(0, 4));
    let keeping = Config {
        keep: vec![addr(0)],
        ..settings(0, 4)
    };
    net.add(&keeping);
    // Nodes 1 to 3 become known, by pongs or remembered; nobody asked for them.
    net.give(4, Event::Heard(vec![addr(1), addr(2), addr(3)]));
    assert_eq!(net.neighbours(4), [0]);

    let link = |net: &Wired, n: usize| net.nodes[n].links().next().map(|info| info.link);
    for n in [0, 4] {
        let lost = link(&net, n).unwrap();
        net.give(n, Event::LinkDown(lost, Gone::Broken));
    }
    net.pass(Duration::from_secs(60));
    assert_eq!(net.neighbours(4), [0], "replaced by itself");

    let drop = Command::DropPeer(addr(0));
    net.give(4, Event::Command(Ticket(1), drop));
    net.pass(Duration::from_secs(300));
    assert_eq!(link(&net, 4), None, "dropped by hand, it stays dropped");
}

#[test]
fn on_the_public_network_private_addresses_are_neither_called_nor_let_in() {
    use filbert::node::address::Net;
    use filbert::node::event::Role;
    for (net, called) in [(Net::Gnutella, false), (Net::Rehearsal, true)] {
        let config = Config {
            net,
            keep: vec![addr(1)],
            ..Config::live(Role::Ultrapeer)
        };
        let mut wired = Wired::new(1, &config);
        let mut out = Outbox::new();
        let now = wired.now;
        let node = &mut wired.nodes[0];
        node.handle(now, Event::Heard(vec![addr(1), addr(2)]), &mut out);
        let add = Event::Command(Ticket(1), Command::AddPeer(addr(3)));
        node.handle(now, add, &mut out);
        let offer = Box::new(peer(4, Direction::Accepted));
        node.handle(now, Event::Offer(LinkId(1), offer), &mut out);
        let dials = |action: &Action| matches!(action, Action::Dial(_));
        assert_eq!(out.actions().iter().any(dials), called, "{net:?}");
        let refused = out
            .actions()
            .iter()
            .any(|action| matches!(action, Action::Admit(_, Verdict::Refuse { code: 403, .. })));
        let told = out.actions().iter().any(|action| {
            matches!(action, Action::Tell(_, Notice::Done(Err(text))) if text.contains("--net lan"))
        });
        assert_eq!((refused, told), (!called, !called), "{net:?}");
    }
}
