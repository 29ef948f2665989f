//! A role that is left to the network, in virtual time: up when a leaf has the means, down when nobody needs it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::time::Duration;

use common::{Tiers, addr};
use filbert::node::event::Bye;
use filbert::node::event::Role::{Leaf, Ultrapeer};
use filbert::node::roles::Hindrance;
use filbert::node::{Command, Config, Event, Ticket};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_mins(60);

/// Three ultrapeers, and node 3 whose role is left to the network and who knows them.
fn with_auto(config: Config) -> Tiers {
    let mut net = Tiers::new(&[Ultrapeer, Ultrapeer, Ultrapeer]);
    let at = net.add_node(config);
    assert_eq!(at, 3);
    net.give(3, Event::Heard((0..3).map(addr).collect()));
    net.pass(MINUTE);
    net
}

#[test]
fn a_leaf_with_the_means_becomes_an_ultrapeer_after_an_hour_and_links_anew() {
    let mut net = with_auto(Config::live_auto());
    assert_eq!(net.neighbours(3), [0, 1, 2]);
    assert_eq!(net.nodes[0].leaf_count(), 1);
    assert_eq!(
        net.nodes[3].hindrance(net.now),
        Some(Hindrance::Unreachable)
    );
    net.give(3, Event::Reached);
    net.pass(57 * MINUTE);
    assert_eq!(net.nodes[3].config().role, Leaf);
    assert_eq!(net.nodes[3].hindrance(net.now), Some(Hindrance::UpTooShort));
    net.byes.clear();
    net.pass(3 * MINUTE);
    assert_eq!(net.nodes[3].config().role, Ultrapeer);
    assert_eq!(net.nodes[3].hindrance(net.now), None);
    // Each of those it left heard why, and has it as an ultrapeer now.
    let said: Vec<_> = net.byes.iter().filter(|(who, _)| *who == 3).collect();
    assert_eq!(said.len(), 3);
    assert!(said.iter().all(|(_, bye)| bye.unwrap().code == 203));
    net.pass(5 * MINUTE);
    assert_eq!(net.neighbours(3), [0, 1, 2]);
    assert_eq!(net.nodes[0].leaf_count(), 0);
    assert_eq!(net.offer(3, 60, Leaf), Ok(()), "it takes leaves");
    assert!(net.nodes[3].config().min_links > 3 && net.nodes[3].config().max_links == 32);
}

#[test]
fn whoever_cannot_be_reached_or_may_send_little_stays_a_leaf() {
    let narrow = Config {
        upload: Some(4_096),
        ..Config::live_auto()
    };
    for (config, reached, why) in [
        (Config::live_auto(), false, Hindrance::Unreachable),
        (narrow, true, Hindrance::LittleUpload),
    ] {
        let mut net = with_auto(config);
        if reached {
            net.give(3, Event::Reached);
        }
        net.pass(5 * HOUR);
        assert_eq!(net.nodes[3].config().role, Leaf);
        assert_eq!(net.nodes[3].hindrance(net.now), Some(why));
    }
}

#[test]
fn a_role_that_was_chosen_never_changes() {
    for role in [Leaf, Ultrapeer] {
        let mut net = with_auto(Config::live(role));
        net.give(3, Event::Reached);
        net.pass(5 * HOUR);
        assert_eq!(net.nodes[3].config().role, role);
        assert_eq!(net.nodes[3].hindrance(net.now), None);
    }
}

#[test]
fn an_ultrapeer_without_leaves_for_an_hour_becomes_a_leaf_again_and_one_with_leaves_stays() {
    let mut net = with_auto(Config::live_auto());
    net.give(3, Event::Reached);
    net.pass(HOUR + MINUTE);
    assert_eq!(net.nodes[3].config().role, Ultrapeer);
    let leaf = net.add_node(Config {
        min_links: 0,
        ..Config::live(Leaf)
    });
    net.link(leaf, 3);
    net.pass(3 * HOUR);
    assert_eq!(net.nodes[3].config().role, Ultrapeer);
    let link = net.link_of(leaf, 3);
    net.give(leaf, Event::Command(Ticket(1), Command::DropPeer(addr(3))));
    assert!(net.nodes[leaf].links().all(|info| info.link != link));
    net.pass(58 * MINUTE);
    assert_eq!(net.nodes[3].config().role, Ultrapeer);
    net.pass(5 * MINUTE);
    assert_eq!(net.nodes[3].config().role, Leaf);
    assert_eq!(
        net.nodes[3].hindrance(net.now),
        Some(Hindrance::ChangedLately)
    );
    net.pass(5 * MINUTE);
    assert_eq!(net.neighbours(3), [0, 1, 2]);
    assert_eq!(net.nodes[0].leaf_count(), 1);
    assert_eq!(net.offer(3, 60, Leaf), Err(204));
    // Half an hour later at the soonest it tries again.
    net.pass(30 * MINUTE);
    assert_eq!(net.nodes[3].config().role, Ultrapeer);
}

#[test]
fn a_change_waits_for_searches_that_are_under_way() {
    let mut net = with_auto(Config::live_auto());
    net.give(3, Event::Reached);
    let ticket = net.search(3, "fox", 4);
    net.pass(2 * HOUR);
    assert_eq!(net.nodes[3].config().role, Leaf);
    assert_eq!(net.nodes[3].hindrance(net.now), Some(Hindrance::Searching));
    net.give(3, Event::Command(ticket, Command::Cancel));
    net.pass(MINUTE);
    assert_eq!(net.nodes[3].config().role, Ultrapeer);
}

#[test]
fn a_greeting_that_a_change_overtook_makes_no_link() {
    let mut net = with_auto(Config::live_auto());
    net.give(3, Event::Reached);
    let late = net.greeting_of(0, 3);
    net.pass(HOUR + 5 * MINUTE);
    assert_eq!(net.nodes[3].config().role, Ultrapeer);
    net.byes.clear();
    net.give_up(3, late);
    assert_eq!(net.byes.last().unwrap().1.unwrap().code, 504);
}

/// An ultrapeer whose role is left to the network, with no leaves.
fn auto_ultrapeer(net: &mut Tiers) -> usize {
    net.add_node(Config {
        auto_role: true,
        min_links: 0,
        ..Config::live(Ultrapeer)
    })
}

#[test]
fn an_ultrapeer_short_of_places_guides_others_to_be_leaves_and_keeps_those_who_insist_while_it_can()
{
    let mut net = Tiers::new(&[Ultrapeer]);
    let free = auto_ultrapeer(&mut net);
    // 24 of 32 places for ultrapeers: from then on it asks for leaves.
    for n in 0..24 {
        assert_eq!(net.take_in(0, 10 + n, Ultrapeer), Some(Ultrapeer));
    }
    for n in 24..32 {
        assert_eq!(net.take_in(0, 10 + n, Ultrapeer), Some(Leaf), "guided");
    }
    net.byes.clear();
    // One more that insists has no place.
    assert_eq!(net.take_in(0, 60, Ultrapeer), Some(Leaf));
    assert_eq!(
        net.byes,
        [(
            0,
            Some(Bye {
                code: 503,
                text: "Too many ultrapeers"
            })
        )]
    );
    // One that follows has.
    net.give(free, Event::Command(Ticket(1), Command::AddPeer(addr(0))));
    assert_eq!(net.nodes[0].leaf_count(), 1);
    assert_eq!(net.nodes[free].config().role, Leaf);
    assert_eq!(net.nodes[free].link_count(), 1);
    // Without a place for leaves either it says so.
    for n in 0..29 {
        assert_eq!(net.offer(0, 70 + n, Leaf), Ok(()));
    }
}

#[test]
fn whoever_steps_down_leaves_its_other_links_with_bye_203() {
    let mut net = Tiers::new(&[Ultrapeer, Ultrapeer]);
    let auto = auto_ultrapeer(&mut net);
    net.link(auto, 1);
    for n in 0..24 {
        net.take_in(0, 10 + n, Ultrapeer);
    }
    net.byes.clear();
    net.give(auto, Event::Command(Ticket(1), Command::AddPeer(addr(0))));
    assert_eq!(net.neighbours(auto), [0]);
    let said: Vec<_> = net
        .byes
        .iter()
        .map(|(who, bye)| (*who, bye.unwrap().code))
        .collect();
    assert_eq!(said, [(auto, 203)]);
}

#[test]
fn an_ultrapeer_with_leaves_is_not_guided_down() {
    let mut net = Tiers::new(&[Ultrapeer, Leaf]);
    let auto = auto_ultrapeer(&mut net);
    net.link(1, auto);
    for n in 0..24 {
        net.take_in(0, 10 + n, Ultrapeer);
    }
    net.give(auto, Event::Command(Ticket(1), Command::AddPeer(addr(0))));
    assert_eq!(net.nodes[auto].config().role, Ultrapeer);
    assert_eq!(net.neighbours(auto), [0, 1]);
    assert_eq!(net.nodes[0].leaf_count(), 0);
}
