//! Strategies of search in virtual time, on the routing core that ships, with the invariants checked at every event.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::BTreeMap;
use std::sync::Arc;

use filbert::node::library::{Entry, Library};
use filbert::node::strategy::{Approach, Forward, Strategy};
use filbert::sim::{Measured, Setting, World};
use filbert::topology::{Network, parse_spec};

/// A network in which some nodes share one file, "moby dick.txt".
struct Sea {
    network: Network,
    world: World,
}

fn sea(spec: &str, holders: &[u32], forward: Forward) -> Sea {
    let network = Network::new(&parse_spec(spec, 7).unwrap()).unwrap();
    let entry = Entry {
        index: 0,
        share: 0,
        path: "moby dick.txt".to_owned(),
        size: 1,
        mtime: 0,
        sha1: None,
        tiger: None,
    };
    let library = Arc::new(Library::build(&["sea".to_owned()], vec![entry]));
    let libraries: BTreeMap<u32, Arc<Library>> = holders
        .iter()
        .map(|holder| (*holder, Arc::clone(&library)))
        .collect();
    let setting = Setting {
        libraries,
        check: true,
        forward,
        ..Setting::default()
    };
    let world = World::new(&network, setting).unwrap();
    Sea { network, world }
}

impl Sea {
    /// Asks node 0, lets everything happen, and holds the run to its invariants.
    fn ask(mut self, ttl: u8, strategy: &str) -> Measured {
        let strategy: Strategy = strategy.parse().unwrap();
        let query = self.world.search_by(0, "moby dick", ttl, strategy);
        self.world.run_until_quiet(10_000_000);
        self.world.end_queries(query);
        let measured = self.world.measured(query);
        let broken = self.world.finish().unwrap();
        assert_eq!(broken, [], "{}", self.network.describe);
        measured
    }
}

#[test]
fn rings_widen_until_something_is_found_and_no_further() {
    // On a line the rings of TTL 1 and 2 find nothing, that of 4 reaches node 3.
    let found = sea("line:10", &[3, 9], Forward::Flood).ask(7, "ring:1/2/4/7");
    assert_eq!(found.messages, 1 + 2 + 4);
    assert_eq!((found.hits, found.reached), (1, 4));
    assert_eq!(
        found.first_hit_hops,
        Some(1 + 2 + 3),
        "those of earlier rings count"
    );
    let nothing = sea("line:10", &[9], Forward::Flood).ask(7, "ring:1/2/4/7");
    assert_eq!((nothing.messages, nothing.hits), (1 + 2 + 4 + 7, 0));
}

#[test]
fn a_walker_takes_so_many_steps_as_it_may_and_no_more() {
    let alone = sea("rr:n=40,k=4", &[], Forward::Flood).ask(1, "walk:k=1,check=0,steps=30");
    assert_eq!(alone.messages, 30);
    assert_eq!(alone.checks, 0);
    let many = sea("rr:n=40,k=4", &[], Forward::Flood).ask(1, "walk:k=8,check=0,steps=30");
    assert_eq!(many.messages, 8 * 30, "none multiplies and none is lost");
}

#[test]
fn walkers_ask_now_and_then_and_stop_when_something_was_found() {
    // The neighbour has it: the first question of each walker is answered with "stop".
    let holders: Vec<u32> = (1..12).collect();
    let found = sea("complete:12", &holders, Forward::Flood).ask(1, "walk:k=5");
    assert_eq!(found.messages, 5 * 4);
    assert!(found.hits >= 1);
    assert_eq!(found.first_hit_hops, Some(1));
    let nothing = sea("complete:12", &[], Forward::Flood).ask(1, "walk:k=5,steps=8");
    assert_eq!(nothing.messages, 5 * 8);
    // One question and one answer after four steps; after eight the walk is over.
    assert_eq!(nothing.checks, 5 * 2);
}

#[test]
fn a_normalised_flood_sends_so_many_copies_from_each_node_at_most() {
    let plain = sea("star:30", &[], Forward::Flood).ask(4, "flood");
    assert_eq!(plain.messages, 29);
    let thin = sea("star:30", &[], Forward::Normalised(3)).ask(4, "flood");
    assert_eq!(thin.messages, 3, "the middle asks three of its leaves");
    let all = sea("rr:n=60,k=4", &[], Forward::Normalised(9)).ask(60, "flood");
    assert_eq!(all.messages, 2 * 120 - 60 + 1, "no node has nine links");
}

#[test]
fn light_floods_reach_all_with_fewer_messages() {
    // Far enough for the tree to be followed to its ends.
    let plain = sea("ba:n=300,m=3", &[], Forward::Flood).ask(60, "flood");
    let light = sea("ba:n=300,m=3", &[], Forward::Light(2)).ask(60, "flood");
    assert_eq!(plain.reached, 299);
    assert!(light.reached >= 295, "{}", light.reached);
    assert!(2 * light.messages < plain.messages, "{light:?}");
    // A hub is everybody's neighbour of most links: beyond the first hop the tree is all there is.
    let hub = sea("star:20", &[], Forward::Light(1)).ask(60, "flood");
    assert_eq!(hub.messages, 19);
}

#[test]
fn a_dynamic_query_asks_no_more_links_than_it_must() {
    let holders: Vec<u32> = (1..60).collect();
    let common = sea("rr:n=60,k=8", &holders, Forward::Flood).ask(4, "dynamic");
    let flood = sea("rr:n=60,k=8", &holders, Forward::Flood).ask(4, "flood");
    assert!(common.hits >= 1);
    assert!(
        5 * common.messages < flood.messages,
        "{} {}",
        common.messages,
        flood.messages
    );
    let rare = sea("rr:n=60,k=8", &[59], Forward::Flood).ask(4, "dynamic");
    assert_eq!(rare.hits, 1, "what few have is found all the same");
}

#[test]
fn a_strategy_and_its_seed_give_the_same_run() {
    let run = |text: &str| {
        let approach: Approach = text.parse().unwrap();
        sea("ba:n=100,m=2", &[50], approach.forward)
            .ask(approach.ttl.unwrap_or(7), &approach.strategy.to_string())
    };
    for text in ["walk:k=8", "normalised:2", "light:3+4", "ring", "dynamic"] {
        assert_eq!(run(text), run(text), "{text}");
    }
}
