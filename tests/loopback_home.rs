//! What a node with a home does: shares, answers, remembers, and is found by commands.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod nodes;
mod raw;

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use filbert::control::{Hit, Reply, Request};
use filbert::disk::shares::Options;
use filbert::disk::store::{Home, LockError};
use filbert::net::control::Client;
use filbert::net::{Listen, News, Replies, Servent, Settings, StartError};
use filbert::wire::Kind;
use nodes::{Node, SOON};
use raw::Raw;
use tempfile::TempDir;

/// A node with a home of its own that shares a folder of files: names and contents.
fn sharing(files: &[(&str, &str)], peers: &[SocketAddr]) -> (TempDir, Node) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("books");
    fs::create_dir(&folder).unwrap();
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
    let node = Node::with(Settings {
        shares: vec![folder.into()],
        share_options: Options {
            watch: false,
            ..Options::default()
        },
        ..settings(dir.path(), peers)
    });
    assert!(node.servent.wait_hashed(SOON));
    (dir, node)
}

fn settings(dir: &Path, peers: &[SocketAddr]) -> Settings {
    Settings {
        listen: Listen::Fixed("127.0.0.1:0".parse().unwrap()),
        peers: peers.to_vec(),
        home: Some(home(dir)),
        ..Settings::default()
    }
}

fn home(dir: &Path) -> Home {
    Home::at(&dir.join("home")).unwrap()
}

fn search(text: &str) -> Request {
    Request::Search {
        text: text.into(),
        urn: None,
        ttl: None,
        strategy: None,
        kind: None,
        nets: Vec::new(),
    }
}

fn first_hit(replies: &mut Replies) -> Hit {
    let reply = replies.next(SOON);
    assert!(matches!(reply, Some(Reply::Searching { .. })), "{reply:?}");
    match replies.next(SOON) {
        Some(Reply::Hit(hit)) => *hit,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_search_finds_what_a_neighbour_of_a_neighbour_shares() {
    let (_dir, far) = sharing(&[("Moby Dick.txt", "call me"), ("other.txt", "x")], &[]);
    let (near, _middle) = Node::behind(&far);
    let hit = first_hit(&mut near.servent.request(search("dick MOBY")));
    assert_eq!((hit.hops, hit.addr), (1, far.addr()));
    assert_eq!(hit.servent, far.servent.id().to_string());
    assert_eq!(hit.records.len(), 1);
    assert_eq!(
        (hit.records[0].name.as_str(), hit.records[0].size),
        ("Moby Dick.txt", 7)
    );
    let urn = hit.records[0].urn.clone().unwrap();
    let by_hash = Request::Search {
        text: String::new(),
        urn: Some(urn),
        ttl: None,
        strategy: None,
        kind: None,
        nets: Vec::new(),
    };
    assert_eq!(
        first_hit(&mut near.servent.request(by_hash)).records,
        hit.records
    );
}

#[test]
fn commands_get_the_same_answers_by_socket_as_in_process() {
    let (dir, node) = sharing(&[("Moby Dick.txt", "call me")], &[]);
    let client = Client::connect(home(dir.path()).socket()).unwrap();
    for request in [
        Request::Shares { files: true },
        Request::Peers,
        Request::Check,
        Request::Counters,
        Request::Rescan,
        Request::Trace {
            guid: "00".repeat(16),
        },
    ] {
        let by_socket = client.request(&request).unwrap().all(SOON).unwrap();
        assert_eq!(by_socket, node.ask(request));
    }
    let wrong = Request::Trace { guid: "zz".into() };
    let by_socket = client.request(&wrong).unwrap().all(SOON).unwrap_err();
    assert_eq!(
        by_socket,
        node.servent.request(wrong).all(SOON).unwrap_err()
    );
    match client
        .request(&Request::Status)
        .unwrap()
        .all(SOON)
        .unwrap()
        .as_slice()
    {
        [Reply::Status(status)] => {
            assert_eq!(status.listen, Some(node.addr()));
            assert_eq!(
                (status.shares[0].files, status.shares[0].hashed_files),
                (1, 1)
            );
            assert_eq!(status.upload_slots, 4);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn hanging_up_ends_a_search() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::with(settings(dir.path(), &[]));
    let client = Client::connect(home(dir.path()).socket()).unwrap();
    // More than the core runs at a time: it refuses unless those that were dropped have ended.
    for round in 0..100 {
        node.until("room for a search", |node| {
            let mut replies = match round % 2 {
                0 => client.request(&search("moby dick")).unwrap(),
                _ => node.servent.request(search("moby dick")),
            };
            matches!(replies.next(SOON), Some(Reply::Searching { .. })).then_some(())
        });
    }
}

#[test]
fn a_search_goes_on_as_links_come_up() {
    let (_dir, far) = sharing(&[("Moby Dick.txt", "call me")], &[]);
    let near = Node::alone();
    let mut replies = near.servent.request(search("moby"));
    assert!(matches!(
        replies.next(SOON),
        Some(Reply::Searching { neighbours: 0, .. })
    ));
    assert!(replies.next(Duration::from_millis(1)).is_none() && !replies.over());
    near.ask(Request::peer_add(far.addr()));
    assert!(matches!(replies.next(SOON), Some(Reply::Hit(_))));
}

#[test]
fn hosts_and_servent_id_are_remembered_across_restarts() {
    let (first, dir) = (Node::alone(), tempfile::tempdir().unwrap());
    let node = Node::with(settings(dir.path(), &[first.addr()]));
    node.until_links(1);
    let id = node.servent.id();
    node.servent.stop();
    let again = Node::with(settings(dir.path(), &[]));
    assert_eq!(again.servent.id(), id);
    assert_eq!(again.until_links(1)[0].listen, Some(first.addr()));
}

#[test]
fn a_second_node_in_the_same_home_is_told_who_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let _node = Node::with(settings(dir.path(), &[]));
    let error = Servent::start(settings(dir.path(), &[])).unwrap_err();
    assert!(
        matches!(error, StartError::Home(LockError::Held { .. })),
        "{error}"
    );
    assert!(
        error.to_string().contains(&std::process::id().to_string()),
        "{error}"
    );
}

#[test]
fn a_taken_port_is_an_error_that_names_the_way_out() {
    let node = Node::alone();
    let listen = Listen::Fixed(node.addr());
    let error = Servent::start(Settings {
        listen,
        ..Settings::default()
    })
    .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&node.addr().to_string()) && text.contains("--listen"),
        "{text}"
    );
}

#[test]
fn a_start_that_fails_leaves_the_home_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Settings {
        shares: vec![dir.path().join("missing").into()],
        ..settings(dir.path(), &[])
    };
    assert!(matches!(Servent::start(missing), Err(StartError::Share(_))));
    Node::with(settings(dir.path(), &[]));
}

#[test]
fn a_file_is_served_by_hash_on_the_port_of_the_overlay_and_told_as_news() {
    let (_dir, node) = sharing(&[("Moby Dick.txt", "call me")], &[]);
    let files = node.ask(Request::Shares { files: true });
    let urn = files.iter().find_map(|reply| match reply {
        Reply::File(file) => file.urn.clone(),
        _ => None,
    });
    let mut raw = Raw::connect(node.addr());
    raw.send(
        format!(
            "GET /uri-res/N2R?{} HTTP/1.1\r\nHost: x\r\n\r\n",
            urn.unwrap()
        )
        .as_bytes(),
    );
    assert!(raw.head().starts_with("HTTP/1.1 200 "));
    let uploaded = |news| matches!(news, News::Uploaded { bytes: 7, .. });
    while !uploaded(node.news.recv_timeout(SOON).unwrap()) {}
}

#[test]
fn requests_that_are_none_are_answered_with_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let _node = Node::with(settings(dir.path(), &[]));
    let long = "x".repeat(100_000);
    for line in ["nonsense", "{\"ask\":\"fly\"}", long.as_str()] {
        let mut stream = UnixStream::connect(home(dir.path()).socket()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        // The node may hang up before it has read the long one.
        let _ = stream.write_all(format!("{line}\n").as_bytes());
        let mut answer = [0; 16];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"{\"type\":\"error\",", "{}", &line[..8]);
    }
}

#[test]
fn stop_on_request_ends_the_wait() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::with(settings(dir.path(), &[]));
    let mut raw = Raw::connect(node.addr());
    raw.link("X-Ultrapeer: True\r\nBye-Packet: 0.1\r\n");
    node.until_links(1);
    let client = Client::connect(home(dir.path()).socket()).unwrap();
    client.request(&Request::Stop).unwrap().all(SOON).unwrap();
    node.servent.wait().unwrap();
    node.servent.stop();
    raw.next_of(Kind::Bye);
    assert!(
        Client::connect(home(dir.path()).socket()).is_err(),
        "its socket is gone"
    );
}
