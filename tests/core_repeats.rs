//! Our own queries go to no neighbour of the live network sooner than it takes them again.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::time::Duration;

use common::Tiers;
use filbert::node::event::Peer;
use filbert::node::event::Role::{Leaf, Ultrapeer};
use filbert::node::repeats::{ASKED_MAX, REPEAT_OF_LEAF, REPEAT_OF_ULTRAPEER, TooSoon};
use filbert::node::{Notice, Ticket};
use filbert::wire::Kind;

/// What the node said at once to whoever began this search.
fn told(net: &Tiers, ticket: Ticket) -> Notice {
    let mut told = net.told.iter().filter(|(_, to, _)| *to == ticket);
    told.next().unwrap().2.clone()
}

/// Neighbours that a search went to; `None`: it did not go out.
fn neighbours(net: &Tiers, ticket: Ticket) -> Option<usize> {
    match told(net, ticket) {
        Notice::Searching { neighbours, .. } => Some(neighbours),
        Notice::TooSoon(_) => None,
        other => panic!("{other:?}"),
    }
}

/// Queries that went from node 0 to `to` so far.
fn queries(net: &Tiers, to: usize) -> usize {
    let carried = net.carried_of(Kind::Query);
    carried.get(&(0, to)).copied().unwrap_or(0)
}

#[test]
fn a_leaf_repeats_nothing_for_as_long_as_its_ultrapeers_drop_repeats() {
    let mut net = Tiers::new(&[Leaf, Ultrapeer, Ultrapeer]);
    net.link(0, 1);
    let first = net.search(0, "red fox", 4);
    assert_eq!(neighbours(&net, first), Some(1));
    net.pass(Duration::from_secs(100));
    // Whatever way it is written.
    let again = net.search(0, "Red,  FOX", 4);
    let soon = TooSoon {
        ago: Duration::from_secs(100),
        again: REPEAT_OF_LEAF.saturating_sub(Duration::from_secs(100)),
    };
    assert_eq!(told(&net, again), Notice::TooSoon(soon));
    assert_eq!(queries(&net, 1), 1);
    let other = net.search(0, "grey wolf", 4);
    assert_eq!(neighbours(&net, other), Some(1));
    assert_eq!(queries(&net, 1), 2);

    // A link that has not had it is asked alone; both searches that run go there, as one of them would.
    net.link(0, 2);
    let asked = queries(&net, 2);
    let again = net.search(0, "grey fox", 4);
    assert_eq!(neighbours(&net, again), Some(2));
    assert_eq!((queries(&net, 1), queries(&net, 2)), (3, asked + 1));

    net.pass(REPEAT_OF_LEAF);
    let late = net.search(0, "red fox", 4);
    assert_eq!(neighbours(&net, late), Some(2));
    assert_eq!(queries(&net, 1), 4);
}

#[test]
fn only_neighbours_that_had_it_are_left_out() {
    let mut net = Tiers::new(&[Leaf, Ultrapeer, Ultrapeer]);
    net.link(0, 1);
    let first = net.search(0, "red fox", 4);
    // It has ended before the second neighbour comes.
    net.give(
        0,
        filbert::node::Event::Command(first, filbert::node::Command::Cancel),
    );
    net.link(0, 2);
    assert_eq!((queries(&net, 1), queries(&net, 2)), (1, 0));
    let again = net.search(0, "red fox", 4);
    assert_eq!(neighbours(&net, again), Some(1));
    assert_eq!((queries(&net, 1), queries(&net, 2)), (1, 1));
    let third = net.search(0, "red fox", 4);
    assert_eq!(neighbours(&net, third), None);
}

#[test]
fn an_ultrapeer_repeats_after_seconds_and_to_whom_it_has_not_asked() {
    let mut net = Tiers::new(&[Ultrapeer, Ultrapeer, Leaf]);
    net.link(0, 1);
    net.link(2, 0);
    let first = net.search(0, "red fox", 4);
    assert!(neighbours(&net, first).is_some());
    assert_eq!(queries(&net, 1), 1);
    let again = net.search(0, "red fox", 4);
    let soon = TooSoon {
        ago: Duration::ZERO,
        again: REPEAT_OF_ULTRAPEER,
    };
    assert_eq!(told(&net, again), Notice::TooSoon(soon));
    net.pass(REPEAT_OF_ULTRAPEER);
    let late = net.search(0, "red fox", 4);
    assert!(neighbours(&net, late).is_some());
    assert_eq!(queries(&net, 1), 2);
}

#[test]
fn neighbours_that_drop_no_repeats_are_asked_again_at_once() {
    let mut net = Tiers::new(&[Leaf, Ultrapeer]);
    let peer = Peer {
        agent: "filbert/0.1.0".into(),
        ours: Leaf,
        ..*net.greeting_of(1, 0)
    };
    net.give_up(0, Box::new(peer));
    for _ in 0..3 {
        let ticket = net.search(0, "red fox", 4);
        assert_eq!(neighbours(&net, ticket), Some(1));
    }
}

#[test]
fn what_was_asked_is_forgotten_oldest_first() {
    let mut net = Tiers::new(&[Leaf, Ultrapeer]);
    net.link(0, 1);
    for n in 0..=ASKED_MAX {
        let ticket = net.search(0, &format!("red fox {n}"), 4);
        assert_eq!(neighbours(&net, ticket), Some(1));
        net.give(
            0,
            filbert::node::Event::Command(ticket, filbert::node::Command::Cancel),
        );
    }
    let last = net.search(0, &format!("red fox {ASKED_MAX}"), 4);
    assert_eq!(neighbours(&net, last), None);
    let first = net.search(0, "red fox 0", 4);
    assert_eq!(neighbours(&net, first), Some(1));
}
