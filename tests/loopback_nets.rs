//! One node on two nets at once, on 127.0.0.1: one port, two overlays that never hear of each other's addresses.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod nodes;
mod raw;

use std::net::SocketAddr;
use std::time::Duration;

use filbert::control::{self, Reply, Request};
use filbert::disk::store::Home;
use filbert::net::servent::Also;
use filbert::net::{Listen, Settings, StartError};
use filbert::node::Config;
use filbert::node::address::Net;
use filbert::node::event::Role;
use filbert::wire::Kind;
use filbert::wire::query::Query;
use nodes::{Node, SOON};
use raw::Raw;

fn live(role: Role) -> Config {
    Config {
        net: Net::Rehearsal,
        ..Config::live(role)
    }
}

fn settings(role: Role) -> Settings {
    Settings {
        also: vec![Also {
            config: live(role),
            ..Also::default()
        }],
        listen: Listen::Fixed("127.0.0.1:0".parse().unwrap()),
        ..Settings::default()
    }
}

/// A node on both nets.
fn both(role: Role) -> Node {
    Node::with(settings(role))
}

/// One that shares a file of this name on both; it lives as long as its folders.
fn sharing(name: &str) -> (Node, [tempfile::TempDir; 2]) {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    std::fs::write(dirs[0].path().join(name), "sweet").unwrap();
    let node = Node::with(Settings {
        home: Some(Home::at(dirs[1].path()).unwrap()),
        shares: vec![dirs[0].path().to_path_buf().into()],
        ..settings(Role::Leaf)
    });
    assert!(node.servent.wait_hashed(SOON));
    (node, dirs)
}

fn link(node: &Node, addr: SocketAddr, net: control::Net) {
    node.ask(Request::PeerAdd {
        addr,
        net: Some(net),
    });
}

fn nets_of_peers(node: &Node) -> Vec<control::Net> {
    let mut nets: Vec<_> = node.peers().iter().map(|peer| peer.net).collect();
    nets.sort_by_key(|net| net.name());
    nets
}

const LAN: control::Net = control::Net::Lan;
const LIVE: control::Net = control::Net::Rehearsal;

/// Hits of a search, by the net and node they came from, until there are `count`.
fn hits(node: &Node, request: &Request, count: usize) -> Vec<(control::Net, SocketAddr)> {
    node.until("hits", |node| {
        let mut replies = node.servent.request(request.clone());
        let mut found = Vec::new();
        while let Some(reply) = replies.next(Duration::from_secs(1)) {
            if let Reply::Hit(hit) = reply {
                found.push((hit.net.unwrap(), hit.addr));
                if found.len() == count {
                    found.sort_by_key(|(net, _)| net.name());
                    return Some(found);
                }
            }
        }
        None
    })
}

#[test]
fn one_port_takes_callers_of_both_nets_and_each_comes_to_its_own() {
    let node = both(Role::Ultrapeer);
    let flat = Node::start(&[node.addr()], Config::default());
    let live = Node::start(&[node.addr()], live(Role::Ultrapeer));
    flat.until_links(1);
    live.until_links(1);
    node.until_links(2);
    assert_eq!(nets_of_peers(&node), [LAN, LIVE]);
}

#[test]
fn a_search_asks_both_nets_and_each_hit_says_which_it_came_from() {
    let node = both(Role::Ultrapeer);
    let (on_lan, _lan) = sharing("hazelnut spread.txt");
    let (on_live, _live) = sharing("hazelnut cream.txt");
    link(&on_lan, node.addr(), LAN);
    link(&on_live, node.addr(), LIVE);
    node.until_links(2);
    let found = hits(&node, &Request::search("hazelnut"), 2);
    assert_eq!(found, [(LAN, on_lan.addr()), (LIVE, on_live.addr())]);
    for (net, addr) in found {
        let mut request = Request::search("hazelnut");
        if let Request::Search { nets, .. } = &mut request {
            nets.push(net);
        }
        assert_eq!(hits(&node, &request, 1), [(net, addr)]);
    }
}

#[test]
fn nothing_passes_from_one_net_to_the_other() {
    let node = both(Role::Ultrapeer);
    let mut flat = Raw::connect(node.addr());
    flat.link("X-Ultrapeer: True\r\nListen-IP: 127.0.0.1:1001\r\n");
    let mut live = Raw::connect(node.addr());
    live.link("X-Ultrapeer: True\r\nX-Query-Routing: 0.2\r\nListen-IP: 127.0.0.1:1002\r\n");
    node.until_links(2);
    // A second neighbour on each net: what it gets, the node passes on.
    let mut flat_too = Raw::connect(node.addr());
    flat_too.link("X-Ultrapeer: True\r\nListen-IP: 127.0.0.1:1003\r\n");
    let mut live_too = Raw::connect(node.addr());
    live_too.link("X-Ultrapeer: True\r\nX-Query-Routing: 0.2\r\nListen-IP: 127.0.0.1:1004\r\n");
    node.until_links(4);
    for (net, known) in node.servent.remembered_by_net() {
        let known: Vec<_> = known.all().collect();
        let ports: Vec<_> = known.iter().map(SocketAddr::port).collect();
        let others = if net == Net::Lan {
            [1002, 1004]
        } else {
            [1001, 1003]
        };
        assert!(
            !known.is_empty() && !others.iter().any(|port| ports.contains(port)),
            "{ports:?}"
        );
    }
    flat.send(&raw::query(1, 4, 0, "from the lan"));
    live.send(&raw::query(2, 4, 0, "from the world"));
    let text = |raw: &mut Raw| {
        let query = raw.next_of(Kind::Query);
        Query::parse(&query.payload).unwrap().text.into_owned()
    };
    assert_eq!(text(&mut flat_too), "from the lan");
    assert_eq!(text(&mut live_too), "from the world");
    // The next thing that each hears is of its own net again.
    flat.send(&raw::query(3, 4, 0, "lan again"));
    live.send(&raw::query(4, 4, 0, "world again"));
    assert_eq!(text(&mut flat_too), "lan again");
    assert_eq!(text(&mut live_too), "world again");
    // Both counted what they passed on, and the sums are of both.
    assert_eq!(node.counters().received["query"], 4);
}

#[test]
fn status_tells_each_net_and_their_sums() {
    let node = both(Role::Leaf);
    let flat = Node::start(&[node.addr()], Config::default());
    node.until_links(1);
    let Some(Reply::Status(status)) = node.ask(Request::Status).pop() else {
        panic!("no status")
    };
    let nets: Vec<_> = status
        .nets
        .iter()
        .map(|on| (on.net, on.role, on.links))
        .collect();
    assert_eq!(nets, [(LAN, None, 1), (LIVE, Some(control::Role::Leaf), 0)]);
    assert_eq!((status.net, status.links), (LAN, 1));
    assert_eq!(status.role, Some(control::Role::Leaf));
    drop(flat);
}

#[test]
fn addresses_of_each_net_are_remembered_apart() {
    let node = both(Role::Leaf);
    let flat = Node::alone();
    link(&node, flat.addr(), LAN);
    let live = Node::start(&[], live(Role::Ultrapeer));
    link(&node, live.addr(), LIVE);
    let known: Vec<(_, Vec<_>)> = node
        .servent
        .remembered_by_net()
        .into_iter()
        .map(|(net, known)| (net, known.all().collect()))
        .collect();
    assert_eq!(
        known,
        [
            (Net::Lan, vec![flat.addr()]),
            (Net::Rehearsal, vec![live.addr()])
        ]
    );
}

#[test]
fn a_net_is_joined_once() {
    let twice = Settings {
        also: vec![Also::default()],
        listen: Listen::Nowhere,
        ..Settings::default()
    };
    let refused = filbert::net::Servent::start(twice).unwrap_err();
    assert!(matches!(refused, StartError::NetTwice), "{refused}");
}
