//! Files of nodes that nobody can connect to: asked for with a push, brought with a GIV.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

#[path = "common/http.rs"]
mod http;
mod nodes;
mod raw;

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use filbert::control::{Hit, Record, Reply, Request};
use filbert::disk::parts::OnExist;
use filbert::disk::shares::Options;
use filbert::disk::store::Home;
use filbert::net::control::Client;
use filbert::net::download::{Cancel, FetchError, Fetched, Job, Progress, fetch};
use filbert::net::{Listen, Pusher, Settings};
use filbert::node::Config;
use filbert::node::address::Net;
use filbert::node::event::Role;
use filbert::wire::push::Push;
use filbert::wire::{Frame, Guid, Kind, ServentId};
use nodes::{Node, SOON};
use raw::Raw;
use tempfile::TempDir;

fn live(role: Role, keep: &[SocketAddr]) -> Config {
    Config {
        keep: keep.to_vec(),
        min_links: 0,
        net: Net::Rehearsal,
        ..Config::live(role)
    }
}

/// A hit of the file "Moby Dick.txt" at a node that is not where it says.
fn hit_of(servent: ServentId, proxies: &[SocketAddr]) -> Hit {
    Hit {
        net: None,
        hops: 1,
        addr: "127.0.0.1:9".parse().unwrap(),
        nick: None,
        vendor: "TEST".into(),
        servent: servent.to_string(),
        push: true,
        push_proxies: proxies.to_vec(),
        free_slot: None,
        browse: false,
        tls: false,
        records: vec![Record {
            index: 7,
            size: 7,
            name: "Moby Dick.txt".into(),
            urn: Some("urn:sha1:NZUMQDIT7P5RQTAI5RF6OFHJEPAA4PR3".into()),
            ..Default::default()
        }],
    }
}

/// A neighbour made by hand, of this servent id, that calls itself an ultrapeer.
fn neighbour(node: &Node, servent: ServentId) -> Raw {
    let mut raw = Raw::connect(node.addr());
    raw.link(&format!(
        "X-Ultrapeer: True\r\nBye-Packet: 0.1\r\nGUID: {servent}\r\n"
    ));
    raw
}

const STRANGER: ServentId = ServentId([0x5A; 16]);

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
        config: live(Role::Leaf, &[]),
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
    // Only now, so that the first routing table it sends holds its words.
    node.ask(Request::peer_add(middle.addr()));
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
    // They would be asked first.
    let hit = Hit {
        push_proxies: Vec::new(),
        ..hit
    };
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
    // Nobody was asked twice: the one connection served both.
    assert_eq!(middle.counters().sent["push"], 1);
}

#[test]
fn a_source_behind_a_wall_that_another_names_is_asked_to_connect_and_gives_the_file() {
    let middle = Node::start(&[], live(Role::Ultrapeer, &[]));
    let (_books, source) = walled(&middle, &[("Moby Dick.txt", "call me")]);
    let (_home, node) = getter(&middle, loopback());
    let urn = http::urn_of(b"call me");
    let item = format!("{};fwt/1;{}", source.servent.id(), middle.addr());
    // Whoever is asked does not have it any more, but knows who does.
    let gone = http::Server::start(move |seen| {
        assert!(seen.head.contains("fwalt/0.1"), "{}", seen.head);
        let gone = format!("HTTP/1.1 404 Gone\r\nX-FAlt: {item}\r\nContent-Length: 0\r\n\r\n");
        (gone.into_bytes(), true)
    });
    let into = tempfile::tempdir().unwrap();
    let job = Job {
        urn: Some(urn),
        sources: vec![gone.source(urn)],
        pusher: Some(node.servent.pusher()),
        nets: vec![Net::Rehearsal],
        timeout: Some(SOON),
        ..Job::new("moby.txt", into.path())
    };
    let mut called = 0;
    let fetched = fetch(
        &job,
        |progress| called += usize::from(matches!(progress, Progress::Calling { .. })),
        &Cancel::new(),
    )
    .unwrap();
    assert!(fetched.verified && called == 1);
    assert_eq!(fs::read(fetched.path).unwrap(), b"call me");
}

#[test]
fn a_push_proxy_brings_a_node_to_whom_no_way_is_known() {
    let middle = Node::start(&[], live(Role::Ultrapeer, &[]));
    let (_books, source) = walled(&middle, &[("Moby Dick.txt", "call me")]);
    let alone = Node::start(&[], live(Role::Leaf, &[]));
    let into = tempfile::tempdir().unwrap();
    let hit = |proxies: &[SocketAddr]| Hit {
        servent: source.servent.id().to_string(),
        ..hit_of(STRANGER, proxies)
    };
    // Asked before the agreement of the two is made, it would not know the neighbour.
    middle.until("agreement", |node| {
        (node.counters().sent["vendor"] >= 2).then_some(())
    });
    let dead = "127.0.0.1:1".parse().unwrap();
    let pusher = alone.servent.pusher();
    let error = get(&hit(&[dead]), &into, Some(pusher.clone()));
    let error = error.expect_err("nobody was asked");
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("push proxies"), "{error}");
    let fetched = get(&hit(&[dead, middle.addr()]), &into, Some(pusher)).unwrap();
    assert_eq!(fs::read(fetched.path).unwrap(), b"call me");
}

/// A push proxy that is reached by datagram alone: what comes there goes on to `node`, and is kept.
fn by_datagram_alone(node: &Node) -> (SocketAddr, std::sync::mpsc::Receiver<Push>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (here, to) = (socket.local_addr().unwrap(), node.addr());
    let (told, tells) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 2_048];
        while let Ok(len) = socket.recv(&mut bytes) {
            let frame = Frame::from_datagram(&bytes[..len]).unwrap();
            assert_eq!((frame.header.kind, frame.header.hops), (Kind::Push, 0));
            socket.send_to(&bytes[..len], to).unwrap();
            if told.send(Push::parse(&frame.payload).unwrap()).is_err() {
                break;
            }
        }
    });
    (here, tells)
}

#[test]
fn a_datagram_to_a_proxy_is_enough_to_be_connected_to() {
    let middle = Node::start(&[], live(Role::Ultrapeer, &[]));
    let (_books, source) = walled(&middle, &[("Moby Dick.txt", "call me")]);
    let alone = Node::start(&[], live(Role::Leaf, &[]));
    middle.until("agreement", |node| {
        (node.counters().sent["vendor"] >= 2).then_some(())
    });
    // Nobody takes connections there.
    let (proxy, told) = by_datagram_alone(&middle);
    let hit = Hit {
        servent: source.servent.id().to_string(),
        ..hit_of(STRANGER, &[proxy])
    };
    let into = tempfile::tempdir().unwrap();
    let fetched = get(&hit, &into, Some(alone.servent.pusher())).unwrap();
    assert_eq!(fs::read(fetched.path).unwrap(), b"call me");
    let push = told.recv_timeout(SOON).unwrap();
    assert_eq!((push.servent, push.index), (source.servent.id(), 7));
    assert_eq!(push.addr, alone.addr());
    assert_eq!(alone.counters().sent["push"], 0, "on no link");
}

#[test]
fn a_proxy_is_sent_a_datagram_first_and_then_asked_over_http() {
    let alone = Node::start(&[], live(Role::Leaf, &[]));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(proxy).unwrap();
    let (pusher, into) = (alone.servent.pusher(), tempfile::tempdir().unwrap());
    let hit = hit_of(STRANGER, &[proxy]);
    std::thread::scope(|scope| {
        let fetched = scope.spawn(|| get(&hit, &into, Some(pusher)));
        let mut request = Raw::taken(&listener);
        // By now it is there.
        socket.set_nonblocking(true).unwrap();
        let mut bytes = [0; 2_048];
        let len = socket.recv(&mut bytes).unwrap();
        let frame = Frame::from_datagram(&bytes[..len]).unwrap();
        assert_eq!(Push::parse(&frame.payload).unwrap().servent, STRANGER);
        assert!(socket.recv(&mut bytes).is_err(), "one is enough");
        let head = request.head();
        assert!(
            head.starts_with("GET /gnutella/push-proxy?ServerId="),
            "{head}"
        );
        request.send(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n");
        let error = fetched.join().unwrap().unwrap_err();
        assert!(error.to_string().contains("push proxies"), "{error}");
    });
}

#[test]
fn a_node_that_listens_nowhere_opens_a_port_when_it_first_needs_one() {
    let middle = Node::start(&[], live(Role::Ultrapeer, &[]));
    let (_books, _source) = walled(&middle, &[("Moby Dick.txt", "call me")]);
    let (_home, node) = getter(&middle, Listen::Nowhere);
    let hit = found(&node, "moby");
    let into = tempfile::tempdir().unwrap();
    let fetched = get(&hit, &into, Some(node.servent.pusher())).unwrap();
    assert_eq!(fs::read(fetched.path).unwrap(), b"call me");
    assert_eq!(node.servent.listen_addr(), None, "nobody is told");
}

#[test]
fn two_nodes_that_nobody_can_connect_to_are_told_why_it_cannot_be() {
    let middle = Node::start(&[], live(Role::Ultrapeer, &[]));
    let (_books, _source) = walled(&middle, &[("Moby Dick.txt", "call me")]);
    let (dir, node) = getter(&middle, Listen::Nowhere);
    let hit = found(&node, "moby");
    let into = tempfile::tempdir().unwrap();
    let pusher = Client::connect(home(&dir).socket()).unwrap().pusher();
    let error = get(&hit, &into, Some(pusher)).unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("neither can we"), "{error}");
    let error = get(&hit, &into, None).unwrap_err();
    assert!(error.to_string().contains("no node is there"), "{error}");
}

#[test]
fn only_a_well_formed_giv_of_a_servent_that_was_asked_gets_any_further() {
    let node = Node::start(&[], live(Role::Ultrapeer, &[]));
    let mut source = neighbour(&node, STRANGER);
    node.until_links(1);
    let (pusher, into) = (node.servent.pusher(), tempfile::tempdir().unwrap());
    let hit = hit_of(STRANGER, &[]);
    std::thread::scope(|scope| {
        let fetched = scope.spawn(|| get(&hit, &into, Some(pusher)).unwrap());
        let push = Push::parse(&source.next_of(Kind::Push).payload).unwrap();
        assert_eq!((push.servent, push.index), (STRANGER, 7));
        assert_eq!(push.addr, node.addr());
        let other = ServentId([0x5B; 16]);
        let bad = [
            format!("GIV 7:{other}/file\n\n"),
            "GIV 7:5a5a/file\n\n".to_owned(),
            format!("GIV {STRANGER}\n\n"),
            // It speaks when it is our turn.
            format!("GIV 7:{STRANGER}/file\n\nHTTP/1.1 200 OK\r\n"),
        ];
        for giv in &bad {
            let mut raw = Raw::connect(push.addr);
            raw.send(giv.as_bytes());
            raw.until_closed();
        }
        let mut endless = Raw::connect(push.addr);
        endless.send(b"GIV 7:");
        let _ = endless.try_send(&[b'5'; 4096]);
        endless.until_closed();
        node.until_dropped("connection_unasked", bad.len() as u64);
        node.until_dropped("connection_unknown", 1);
        let mut given = Raw::connect(push.addr);
        given.send(format!("GIV 0:{STRANGER}/any name\r\n\r\n").as_bytes());
        let request = given.head();
        assert!(
            request.starts_with("GET /uri-res/N2R?urn:sha1:"),
            "{request}"
        );
        given.send(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\ncall me");
        assert!(fetched.join().unwrap().verified);
    });
    // The wait is over: another connection is one too many.
    let mut late = Raw::connect(node.addr());
    late.send(format!("GIV 0:{STRANGER}/file\n\n").as_bytes());
    late.until_closed();
    node.until_dropped("connection_unasked", 5);
}

#[test]
fn whoever_is_asked_connects_says_giv_and_serves_but_not_twice_in_a_moment() {
    let middle = Node::start(&[], live(Role::Ultrapeer, &[]));
    let (_books, source) = walled(&middle, &[("Moby Dick.txt", "call me")]);
    let mut asker = neighbour(&middle, STRANGER);
    middle.until_links(2);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let id = source.servent.id();
    let push = Push {
        servent: id,
        index: 3,
        addr: listener.local_addr().unwrap(),
        tls: false,
    };
    for tag in 1..6 {
        asker.send(&raw::frame(Kind::Push, tag, 4, 0, &push.build()));
    }
    let mut given = Raw::taken(&listener);
    assert_eq!(given.line(), format!("GIV 3:{id}/file\n"));
    assert_eq!(given.line(), "\n");
    given.send(
        b"GET /uri-res/N2R?urn:sha1:NZUMQDIT7P5RQTAI5RF6OFHJEPAA4PR3 HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    assert!(given.head().starts_with("HTTP/1.1 200 "));
    source.until_dropped("push_flood", 4);
}

#[test]
fn a_push_proxy_answers_each_request_for_what_it_is() {
    let node = Node::start(&[], live(Role::Ultrapeer, &[]));
    let mut walled = neighbour(&node, STRANGER);
    node.until_links(1);
    let ask = |method: &str, target: &str, headers: &str| {
        let mut raw = Raw::connect(node.addr());
        let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        raw.send(request.as_bytes());
        raw.head()
    };
    let known = format!("/gnutella/push-proxy?ServerId={}", STRANGER.to_base32());
    let mine = "X-Node: 127.0.0.1:7777\r\n";
    let other = format!("/gnet/push-proxy?guid={}", ServentId([1; 16]));
    for (method, target, headers, status) in [
        ("GET", known.as_str(), mine, 202),
        ("HEAD", known.as_str(), mine, 202),
        (
            "GET",
            &format!("/gnet/push-proxy?guid={STRANGER}&file=5"),
            mine,
            202,
        ),
        ("GET", &other, mine, 410),
        ("GET", &known, "", 400),
        ("GET", &known, "X-Node: nonsense\r\n", 400),
        ("GET", &known, "X-Node: 127.0.0.2:7777\r\n", 400),
        ("GET", &known, "X-Node: 127.0.0.1:25\r\n", 400),
        ("GET", "/gnutella/push-proxy?ServerId=XYZ", mine, 400),
        ("GET", "/gnutella/push-proxy", mine, 400),
    ] {
        let answer = ask(method, target, headers);
        let expected = format!("HTTP/1.1 {status} ");
        assert!(
            answer.starts_with(&expected),
            "{method} {target} {headers}: {answer}"
        );
    }
    for index in [0, 0, 5] {
        let sent = walled.next_of(Kind::Push);
        assert_eq!((sent.header.ttl, sent.header.hops), (1, 0));
        let push = Push::parse(&sent.payload).unwrap();
        assert_eq!((push.servent, push.index), (STRANGER, index));
        assert_eq!(push.addr, "127.0.0.1:7777".parse().unwrap());
    }
    let statuses: Vec<_> = (0..20).map(|_| ask("GET", &known, mine)).collect();
    let last = statuses.last().unwrap();
    assert!(
        last.starts_with("HTTP/1.1 503 ") && last.contains("Retry-After: "),
        "{last}"
    );
    assert_eq!(node.counters().sent["push"], 12);
}

#[test]
fn a_push_that_comes_by_datagram_is_passed_on_like_any_other() {
    let node = Node::start(&[], live(Role::Ultrapeer, &[]));
    let mut walled = neighbour(&node, STRANGER);
    node.until_links(1);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let send = |index: u8, addr: &str| {
        let push = Push {
            servent: STRANGER,
            index: index.into(),
            addr: addr.parse().unwrap(),
            tls: false,
        };
        let bytes = raw::frame(Kind::Push, index, 9, 3, &push.build());
        socket.send_to(&bytes, node.addr()).unwrap();
    };
    // Towards another than who sends it: not passed on.
    send(1, "127.0.0.2:7777");
    send(2, "127.0.0.1:7777");
    let sent = walled.next_of(Kind::Push);
    assert_eq!((sent.header.ttl, sent.header.hops), (1, 0));
    assert_eq!(
        sent.header.guid,
        Guid([2; 16]),
        "a copy by another proxy has it too"
    );
    assert_eq!(Push::parse(&sent.payload).unwrap().index, 2);
    // The same again: it was passed on.
    send(2, "127.0.0.1:7777");
    // More than an asker may have passed on; and for one who is no neighbour: nothing on any link.
    for index in 3..40 {
        send(index, "127.0.0.1:7777");
    }
    let other = Push {
        servent: ServentId([0x5B; 16]),
        index: 1,
        addr: "127.0.0.1:7777".parse().unwrap(),
        tls: false,
    };
    let bytes = raw::frame(Kind::Push, 99, 9, 3, &other.build());
    socket.send_to(&bytes, node.addr()).unwrap();
    // Datagrams are taken in order: all are judged when this is answered, and that is the only answer there is.
    let ping = raw::frame(Kind::Ping, 100, 1, 0, &[]);
    socket.send_to(&ping, node.addr()).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut bytes = [0; 2_048];
    let len = socket.recv(&mut bytes).unwrap();
    let pong = Frame::from_datagram(&bytes[..len]).unwrap();
    assert_eq!(pong.header.kind, Kind::Pong);
    assert_eq!(node.counters().sent["push"], 12);
}
