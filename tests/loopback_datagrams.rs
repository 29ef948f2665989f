//! Datagrams about searches, between real nodes and peers made by hand on loopback: walkers ask, hits are announced,
//! wanted and sent; forged, unasked and oversized ones come to nothing, and floods stop no search.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod nodes;
mod raw;

use std::fs;
use std::net::{SocketAddr, UdpSocket};

use filbert::control::{Hit, Reply, Request};
use filbert::disk::shares::Options;
use filbert::disk::store::Home;
use filbert::net::{Listen, Replies, Settings};
use filbert::node::Config;
use filbert::wire::hit::{QueryHit, Record};
use filbert::wire::query::{Query, QueryFlags};
use filbert::wire::vendor::{OutOfBand, Proof, QUERY_STOP, Token, Vendor};
use filbert::wire::walk::WalkMark;
use filbert::wire::{Frame, Guid, Header, Kind, ServentId};
use nodes::{Node, SOON};
use raw::Raw;
use tempfile::TempDir;

/// A node that shares so many files named "moby dick N.txt".
fn sharing(files: usize, peers: &[SocketAddr]) -> (TempDir, Node) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("books");
    fs::create_dir(&folder).unwrap();
    for n in 0..files {
        fs::write(folder.join(format!("moby dick {n}.txt")), "call me").unwrap();
    }
    let node = Node::with(Settings {
        listen: Listen::Fixed("127.0.0.1:0".parse().unwrap()),
        peers: peers.to_vec(),
        home: Some(Home::at(&dir.path().join("home")).unwrap()),
        shares: vec![folder.into()],
        share_options: Options {
            watch: false,
            ..Options::default()
        },
        ..Settings::default()
    });
    assert!(node.servent.wait_hashed(SOON));
    (dir, node)
}

fn walk(text: &str, strategy: &str) -> Request {
    Request::Search {
        text: text.into(),
        urn: None,
        ttl: None,
        strategy: Some(strategy.into()),
        kind: None,
        nets: Vec::new(),
    }
}

fn guid_of(replies: &mut Replies) -> Guid {
    match replies.next(SOON) {
        Some(Reply::Searching { guid, .. }) => Guid(ServentId::from_hex(&guid).unwrap().0),
        other => panic!("{other:?}"),
    }
}

fn next_hit(replies: &mut Replies) -> Hit {
    match replies.next(SOON) {
        Some(Reply::Hit(hit)) => *hit,
        other => panic!("{other:?}"),
    }
}

/// A peer that speaks by datagram alone.
struct Far(UdpSocket);

impl Far {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        Self(socket)
    }

    fn addr(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    fn say(&self, to: SocketAddr, guid: Guid, message: &Vendor<'_>) -> usize {
        let bytes = datagram(guid, Kind::Vendor, message.build());
        self.0.send_to(&bytes, to).unwrap();
        bytes.len()
    }

    fn send_hit(&self, to: SocketAddr, guid: Guid, name: &str, token: Option<Token>) {
        let record = Record {
            index: 1,
            size: 5,
            name: name.into(),
            ..Record::default()
        };
        let hit = QueryHit {
            token,
            ..QueryHit::new(self.addr(), ServentId([7; 16]), vec![record])
        };
        let bytes = datagram(guid, Kind::QueryHit, hit.build());
        self.0.send_to(&bytes, to).unwrap();
    }

    fn receive(&self) -> Frame {
        let mut bytes = [0; 2_048];
        let len = self.0.recv(&mut bytes).unwrap();
        Frame::from_datagram(&bytes[..len]).unwrap()
    }

    fn has_nothing_more(&self) {
        self.0.set_nonblocking(true).unwrap();
        assert!(self.0.recv(&mut [0; 2_048]).is_err(), "a datagram too many");
        self.0.set_nonblocking(false).unwrap();
    }
}

fn datagram(guid: Guid, kind: Kind, payload: Vec<u8>) -> Vec<u8> {
    let header = Header {
        guid,
        kind,
        ttl: 1,
        hops: 0,
    };
    let payload = payload.into();
    Frame { header, payload }.to_vec()
}

/// What is said of hits that wait.
fn ready(results: u8, proof: Option<Proof>) -> Vendor<'static> {
    Vendor::HitsReady {
        version: OutOfBand::V3,
        results,
        reached: false,
        proof,
    }
}

/// A walker that says its asker is there.
fn walker(asker: SocketAddr, guid: u8, check: u8) -> Vec<u8> {
    let SocketAddr::V4(asker) = asker else {
        panic!("IPv4 alone");
    };
    let query = Query {
        flags: QueryFlags::OURS,
        text: "moby dick".into(),
        sha1s: Vec::new(),
        media: None,
    };
    let mut payload = query.build().unwrap();
    WalkMark { check, asker }.put(&mut payload);
    raw::frame(Kind::Query, guid, 20, 0, &payload)
}

#[test]
fn walkers_among_real_nodes_find_a_file_whose_hits_come_by_datagram() {
    let (_dir, far) = sharing(40, &[]);
    let (near, middle) = Node::behind(&far);
    let mut replies = near.servent.request(walk("moby dick", "walk:k=4"));
    guid_of(&mut replies);
    let mut names = Vec::new();
    while names.len() < 40 {
        let hit = next_hit(&mut replies);
        assert_eq!(hit.addr, far.addr());
        names.extend(hit.records.into_iter().map(|record| record.name));
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 40, "each once");
    assert_eq!(
        middle.counters().received["query_hit"],
        0,
        "no hit took the way back over the links"
    );
}

#[test]
fn walkers_wait_for_a_neighbour_and_are_not_sent_to_those_that_come_later() {
    let node = Node::alone();
    let mut replies = node.servent.request(walk("moby dick", "walk:k=3"));
    let guid = guid_of(&mut replies);
    let mut first = Raw::connect(node.addr());
    first.link("X-Ultrapeer: True\r\n");
    for _ in 0..3 {
        let walker = first.next_of(Kind::Query);
        assert!(WalkMark::of(&walker.payload).is_some());
        assert_eq!(walker.header.guid, guid);
    }
    let mut later = Raw::connect(node.addr());
    later.link("X-Ultrapeer: True\r\n");
    node.until_links(2);
    later.send(&raw::frame(Kind::Ping, 1, 1, 0, &[]));
    later.next_of(Kind::Pong);
    assert_eq!(node.counters().sent["query"], 3);
}

#[test]
fn a_node_tells_the_far_end_of_a_walk_whether_to_go_on_and_takes_only_hits_it_asked_for() {
    let (stays, liar) = (Far::new(), Far::new());
    let node = Node::alone();
    let at = node.addr();
    let mut neighbour = Raw::connect(at);
    neighbour.link("X-Ultrapeer: True\r\n");
    let mut replies = node.servent.request(walk("moby dick", "walk:k=1,check=2"));
    let guid = guid_of(&mut replies);
    let query = neighbour.next_of(Kind::Query);
    let mark = WalkMark::of(&query.payload).unwrap();
    assert_eq!(SocketAddr::V4(mark.asker), at);
    assert_eq!(query.header.guid, guid);

    // Whoever has the walker asks, and is told.
    stays.say(at, guid, &Vendor::QueryStatusRequest);
    let told = stays.receive();
    assert_eq!(
        Vendor::parse(&told.payload).unwrap(),
        Vendor::QueryStatusResponse(0)
    );
    // Before anything was announced: not asked for. About another search: neither.
    stays.send_hit(at, guid, "unasked.txt", None);
    node.until_dropped("unasked", 1);
    let other = Guid([3; 16]);
    for message in [
        Vendor::QueryStatusRequest,
        ready(9, None),
        Vendor::HitsWanted {
            results: 9,
            token: Some([1; 8].into()),
            proof: Some([1; 8]),
        },
        Vendor::QueryStatusResponse(0),
    ] {
        stays.say(at, other, &message);
    }
    node.until_dropped("unasked", 5);

    let proof = Some([5; 8]);
    let question = stays.say(at, guid, &ready(3, proof));
    let wanted = stays.receive();
    assert!(wanted.wire_len() <= 3 * question);
    let token = match Vendor::parse(&wanted.payload).unwrap() {
        Vendor::HitsWanted {
            results: 3,
            token: Some(token),
            proof: sent_back,
        } => {
            assert_eq!(sent_back, proof);
            token
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(wanted.header.guid, guid);
    // From elsewhere with the token, from there without it and with another.
    liar.send_hit(at, guid, "elsewhere.txt", Some(token));
    node.until_dropped("unasked", 6);
    stays.send_hit(at, guid, "bare.txt", None);
    stays.send_hit(at, guid, "guessed.txt", Some([0; 8].into()));
    node.until_dropped("wrong_token", 2);
    stays.send_hit(at, guid, "moby dick.txt", Some(token));
    let hit = next_hit(&mut replies);
    assert_eq!(hit.records[0].name, "moby dick.txt");
    // More than were announced.
    stays.send_hit(at, guid, "two.txt", Some(token));
    stays.send_hit(at, guid, "three.txt", Some(token));
    stays.send_hit(at, guid, "four.txt", Some(token));
    assert_eq!(next_hit(&mut replies).records[0].name, "two.txt");
    assert_eq!(next_hit(&mut replies).records[0].name, "three.txt");
    node.until_dropped("unasked", 7);

    // Announced to be plenty: enough.
    liar.say(at, guid, &ready(255, None));
    liar.receive();
    stays.say(at, guid, &Vendor::QueryStatusRequest);
    assert_eq!(
        Vendor::parse(&stays.receive().payload).unwrap(),
        Vendor::QueryStatusResponse(QUERY_STOP)
    );
}

#[test]
fn hits_go_to_the_asker_of_a_walker_only_when_it_proves_that_it_is_there() {
    let (_dir, node) = sharing(60, &[]);
    let (asker, forger) = (Far::new(), Far::new());
    let at = node.addr();
    let mut neighbour = Raw::connect(at);
    neighbour.link("X-Ultrapeer: True\r\n");
    neighbour.send(&walker(asker.addr(), 9, 4));
    let ready = asker.receive();
    let guid = ready.header.guid;
    let Vendor::HitsReady {
        version: OutOfBand::V3,
        results: 60,
        proof: Some(proof),
        ..
    } = Vendor::parse(&ready.payload).unwrap()
    else {
        panic!("{ready:?}");
    };
    // It was told 49 bytes, for a walker of as many at least.
    assert!(ready.wire_len() <= walker(asker.addr(), 9, 4).len());
    let wanted = |proof| Vendor::HitsWanted {
        results: 255,
        token: Some([6; 8].into()),
        proof,
    };
    // Whoever forges the asker's address does not see what was sent there.
    for wrong in [None, Some([0; 8])] {
        asker.say(at, guid, &wanted(wrong));
    }
    node.until_dropped("wrong_token", 2);
    forger.say(at, guid, &wanted(Some(proof)));
    node.until_dropped("unasked", 1);
    asker.has_nothing_more();
    forger.has_nothing_more();

    asker.say(at, guid, &wanted(Some(proof)));
    let mut results = 0;
    while results < 60 {
        let frame = asker.receive();
        assert_eq!(
            (frame.header.kind, frame.header.guid),
            (Kind::QueryHit, guid)
        );
        let hit = QueryHit::parse(&frame.payload).unwrap();
        assert_eq!(hit.token, Some([6; 8].into()));
        results += hit.records.len();
    }
    // Each once.
    asker.say(at, guid, &wanted(Some(proof)));
    node.until_dropped("unasked", 2);
    asker.has_nothing_more();
}

#[test]
fn a_walker_that_never_asks_brings_nobody_a_datagram() {
    let (_dir, node) = sharing(2, &[]);
    let victim = Far::new();
    let mut neighbour = Raw::connect(node.addr());
    neighbour.link("X-Ultrapeer: True\r\n");
    for (guid, check) in [(1, 0), (2, 9), (3, 255)] {
        neighbour.send(&walker(victim.addr(), guid, check));
        let hit = neighbour.next_of(Kind::QueryHit);
        assert_eq!(hit.header.guid, Guid([guid; 16]), "the way it came");
    }
    victim.has_nothing_more();
}

#[test]
fn junk_and_floods_by_datagram_are_counted_and_stop_no_search() {
    let (_dir, far) = sharing(3, &[]);
    let node = Node::beside(&far);
    let stranger = Far::new();
    let at = node.addr();
    let to = |bytes: &[u8]| stranger.0.send_to(bytes, at).unwrap();
    to(&datagram(Guid([1; 16]), Kind::QueryHit, vec![1; 1_500]));
    node.until_dropped("datagram_too_large", 1);
    to(&datagram(Guid([1; 16]), Kind::QueryHit, vec![1; 5])[..27]);
    node.until_dropped("datagram_malformed", 1);
    // A LAN has neither pings nor pushes by datagram, nor queries.
    for kind in [Kind::Ping, Kind::Pong, Kind::Push, Kind::Query] {
        to(&datagram(Guid([1; 16]), kind, vec![0; 30]));
    }
    node.until_dropped("datagram_unused", 4);
    to(&datagram(Guid([1; 16]), Kind::Vendor, vec![0; 3]));
    node.until_dropped("malformed", 1);

    // Each address may send so much; the system drops what is read too slowly.
    let flood = datagram(Guid([1; 16]), Kind::QueryHit, vec![1; 1_300]);
    node.until("a flood to be held off", |node| {
        for _ in 0..100 {
            to(&flood);
        }
        (node.counters().dropped["datagram_search_too_much"] > 0).then_some(())
    });
    stranger.has_nothing_more();
    let mut replies = node.servent.request(walk("moby dick", "walk:k=2,check=1"));
    guid_of(&mut replies);
    assert_eq!(next_hit(&mut replies).addr, far.addr());
}

#[test]
fn strategies_are_chosen_by_the_search_and_wrong_ones_say_what_to_do() {
    let (_dir, far) = sharing(3, &[]);
    let node = Node::beside(&far);
    for strategy in ["flood", "ring", "ring:2/3", "dynamic", "walk:k=1,check=1"] {
        let mut replies = node.servent.request(walk("moby dick", strategy));
        guid_of(&mut replies);
        assert_eq!(next_hit(&mut replies).addr, far.addr(), "{strategy}");
    }
    let error = |node: &Node, strategy: &str| {
        let request = walk("moby dick", strategy);
        node.servent.request(request).all(SOON).unwrap_err()
    };
    for (strategy, says) in [
        ("fload", "strategies of a search: flood, ring:1/2/4/7"),
        ("light:4+3", "what every node of a network does"),
        ("walk:k=200", "1 to 64 walkers"),
    ] {
        let error = error(&node, strategy);
        assert!(error.contains(says), "{strategy}: {error}");
    }
    let silent = Node::with(Settings {
        listen: Listen::Nowhere,
        ..Settings::default()
    });
    let said = error(&silent, "walk");
    assert!(said.contains("filbert share"), "{said}");
    // The port of its datagrams is another's.
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let deaf = Node::with(Settings {
        listen: Listen::Fixed(taken.local_addr().unwrap()),
        ..Settings::default()
    });
    let said = error(&deaf, "walk");
    assert!(said.contains("--listen"), "{said}");
    let live = Node::with(Settings {
        config: Config {
            min_links: 0,
            ..Config::live(filbert::node::event::Role::Leaf)
        },
        listen: Listen::Fixed("127.0.0.1:0".parse().unwrap()),
        ..Settings::default()
    });
    for strategy in ["flood", "ring", "walk"] {
        let said = error(&live, strategy);
        assert!(said.contains("--strategy"), "{said}");
    }
}
