//! Files of nodes that nobody can connect to: asked for with a push, brought with a GIV.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod nodes;
mod raw;

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use filbert::control::{Hit, Reply, Request};
use filbert::disk::parts::OnExist;
use filbert::disk::shares::Options;
use filbert::disk::store::Home;
use filbert::net::control::Client;
use filbert::net::download::{Cancel, FetchError, Fetched, Job, Progress, fetch};
use filbert::net::{Listen, Pusher, Settings};
use filbert::node::Config;
use filbert::node::address::Net;
use filbert::node::event::Role;
use nodes::{Node, SOON};
use tempfile::TempDir;

fn live(role: Role, keep: &[SocketAddr]) -> Config {
    Config {
        keep: keep.to_vec(),
        min_links: 0,
        net: Net::Rehearsal,
        ..Config::live(role)
    }
}

fn loopback() -> Listen {
    Listen::Fixed("127.0.0.1:0".parse().unwrap())
}

fn home(dir: &TempDir) -> Home {
    Home::at(&dir.path().join("home")).unwrap()
}

/// A node that listens nowhere, linked to `middle`, and shares these files.
fn walled(middle: &Node, files: &[(&str, &str)]) -> (TempDir, Node) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("books");
    fs::create_dir(&folder).unwrap();
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
    let node = Node::with(Settings {
        config: live(Role::Leaf, &[middle.addr()]),
        listen: Listen::Nowhere,
        home: Some(home(&dir)),
        shares: vec![folder.into()],
        share_options: Options {
            watch: false,
            ..Options::default()
        },
        ..Settings::default()
    });
    assert!(node.servent.wait_hashed(SOON));
    node.until_links(1);
    (dir, node)
}

/// A node to get with: in a home of its own, linked to `middle`.
fn getter(middle: &Node, listen: Listen) -> (TempDir, Node) {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::with(Settings {
        config: live(Role::Leaf, &[middle.addr()]),
        listen,
        home: Some(home(&dir)),
        ..Settings::default()
    });
    node.until_links(1);
    (dir, node)
}

/// The first hit of a search; asked again until the tables of leaves have come where they decide.
fn found(node: &Node, text: &str) -> Hit {
    node.until("hit", |node| {
        let mut replies = node.servent.request(Request::search(text));
        while let Some(reply) = replies.next(Duration::from_secs(1)) {
            match reply {
                Reply::Hit(hit) => return Some(*hit),
                Reply::Searching { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        None
    })
}

fn get(hit: &Hit, into: &TempDir, pusher: Option<Pusher>) -> Result<Fetched, FetchError> {
    let job = Job {
        pusher,
        on_exist: OnExist::Rename,
        timeout: Some(SOON),
        ..Job::of_hit(hit, into.path()).unwrap()
    };
    fetch(
        &job,
        |progress| assert!(!matches!(progress, Progress::Asking { .. })),
        &Cancel::new(),
    )
}

#[test]
fn a_file_of_a_node_that_listens_nowhere_comes_by_push_along_the_way_of_its_hit() {
    let middle = Node::start(&[], live(Role::Ultrapeer, &[]));
    let (_books, source) = walled(&middle, &[("Moby Dick.txt", "call me")]);
    let (_home, node) = getter(&middle, loopback());
    let hit = found(&node, "moby");
    assert!(hit.push && hit.servent == source.servent.id().to_string());
    assert_eq!(hit.push_proxies, [middle.addr()]);
    let into = tempfile::tempdir().unwrap();
    let fetched = get(&hit, &into, Some(node.servent.pusher())).unwrap();
    assert!(fetched.verified);
    assert_eq!(fs::read(fetched.path).unwrap(), b"call me");
}

#[test]
fn a_running_node_hands_the_connection_to_the_command_that_wants_it() {
    let middle = Node::start(&[], live(Role::Ultrapeer, &[]));
    let files = [("Moby Dick.txt", "call me"), ("Moby Two.txt", "again")];
    let (_books, _source) = walled(&middle, &files);
    let (dir, node) = getter(&middle, loopback());
    let client = Client::connect(home(&dir).socket()).unwrap();
    let into = tempfile::tempdir().unwrap();
    let pusher = client.pusher();
    let all = found(&node, "moby");
    assert_eq!(all.records.len(), 2);
    for record in &all.records {
        // The second comes over the connection of the first: nobody is asked twice within half a minute.
        let hit = Hit {
            records: vec![record.clone()],
            ..all.clone()
        };
        let fetched = get(&hit, &into, Some(pusher.clone())).unwrap();
        assert!(fetched.verified);
    }
    assert_eq!(node.counters().sent["push"], 1);
}
