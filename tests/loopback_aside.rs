//! Hits that come by datagram on a net of two tiers, between real nodes and peers made by hand on loopback.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod nodes;
mod raw;

use std::fs;
use std::net::{SocketAddr, UdpSocket};

use filbert::control::{Hit, Reached, Reply, Request};
use filbert::disk::shares::Options;
use filbert::disk::store::Home;
use filbert::net::{Listen, Settings};
use filbert::node::Config;
use filbert::node::address::Net;
use filbert::node::event::Role;
use filbert::wire::hit::{QueryHit, Record};
use filbert::wire::query::{Query, QueryFlags};
use filbert::wire::vendor::{self, OutOfBand, Vendor};
use filbert::wire::{Frame, Guid, Header, Kind, ServentId};
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

/// A leaf that shares so many files named "moby dick N.txt".
fn sharing(files: usize, keep: &[SocketAddr]) -> (TempDir, Node) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("books");
    fs::create_dir(&folder).unwrap();
    for n in 0..files {
        fs::write(folder.join(format!("moby dick {n}.txt")), "call me").unwrap();
    }
    let node = Node::with(Settings {
        config: live(Role::Leaf, &[]),
        listen: Listen::Fixed("127.0.0.1:0".parse().unwrap()),
        home: Some(Home::at(&dir.path().join("home")).unwrap()),
        shares: vec![folder.into()],
        share_options: Options {
            watch: false,
            ..Options::default()
        },
        ..Settings::default()
    });
    assert!(node.servent.wait_hashed(SOON));
    // Only now, so that the first routing table it sends holds its words.
    for addr in keep {
        node.ask(Request::peer_add(*addr));
    }
    node.until_links(keep.len());
    (dir, node)
}

fn until_reached(node: &Node) {
    node.until("a ping", |node| {
        let Some(Reply::Status(status)) = node.ask(Request::Status).pop() else {
            panic!("no status");
        };
        (status.nets[0].reach?.datagrams == Reached::Yes).then_some(())
    });
}

/// The first hit of a search that is asked again until the tables of leaves have come.
fn found(node: &Node) -> Hit {
    node.until("hit", |node| {
        let mut replies = node.servent.request(Request::search("moby"));
        while let Some(reply) = replies.next(std::time::Duration::from_secs(1)) {
            match reply {
                Reply::Hit(hit) => return Some(*hit),
                Reply::Searching { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        None
    })
}

/// An ultrapeer made by hand that has proved to `node` that datagrams reach it.
fn hub(node: &Node) -> Raw {
    let mut raw = Raw::connect(node.addr());
    raw.link("X-Ultrapeer: True\r\nVendor-Message: 0.2\r\n");
    let reads = Vendor::MessagesSupported(vec![vendor::UDP_CONNECT_BACK]);
    raw.send(&raw::frame(Kind::Vendor, 1, 1, 0, &reads.build()));
    let id = loop {
        let frame = raw.next_of(Kind::Vendor);
        if let Ok(Vendor::UdpConnectBack { .. }) = Vendor::parse(&frame.payload) {
            break frame.header.guid;
        }
    };
    Far::new().send(node.addr(), id, Kind::Ping, &[]);
    until_reached(node);
    raw
}

/// A stranger that speaks by datagram alone.
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

    fn send(&self, to: SocketAddr, guid: Guid, kind: Kind, payload: &[u8]) {
        let mut bytes = raw::frame(kind, 0, 1, 0, payload);
        bytes[..16].copy_from_slice(&guid.0);
        self.0.send_to(&bytes, to).unwrap();
    }

    fn receive(&self) -> Frame {
        let mut bytes = [0; 2_048];
        let len = self.0.recv(&mut bytes).unwrap();
        Frame::from_datagram(&bytes[..len]).unwrap()
    }
}

#[test]
fn a_leaf_finds_what_another_ultrapeers_leaf_has_and_no_link_carries_the_hits() {
    let far_hub = Node::start(&[], live(Role::Ultrapeer, &[]));
    let near_hub = Node::start(&[], live(Role::Ultrapeer, &[far_hub.addr()]));
    near_hub.until_links(1);
    let (_books, far) = sharing(25, &[far_hub.addr()]);
    let near = Node::start(&[], live(Role::Leaf, &[near_hub.addr()]));
    until_reached(&far);
    until_reached(&near);
    // Of two that nobody can connect to neither answers the other.
    let _ = std::net::TcpStream::connect(near.addr()).unwrap();
    let hit = found(&near);
    assert_eq!(hit.addr, far.addr());
    for hub in [&near_hub, &far_hub] {
        assert_eq!(hub.counters().received["query_hit"], 0);
    }
}

#[test]
fn a_search_says_where_it_takes_hits_and_takes_both_versions_there() {
    let node = Node::start(&[], live(Role::Leaf, &[]));
    let mut hub = hub(&node);
    let mut replies = node.servent.request(Request::search("moby"));
    let query = hub.next_of(Kind::Query);
    let guid = query.header.guid;
    assert!(QueryFlags::of(&query.payload).unwrap().out_of_band());
    assert!(Query::takes_tokens(&query.payload));
    assert_eq!(SocketAddr::V4(guid.carried()), node.addr());
    for version in [OutOfBand::V2, OutOfBand::V3] {
        let far = Far::new();
        let ready = Vendor::HitsReady {
            version,
            results: 1,
            reached: true,
            proof: None,
        };
        far.send(node.addr(), guid, Kind::Vendor, &ready.build());
        let wanted = far.receive();
        let Ok(Vendor::HitsWanted {
            results: 1, token, ..
        }) = Vendor::parse(&wanted.payload)
        else {
            panic!("{wanted:?}");
        };
        assert_eq!(token.is_some(), version == OutOfBand::V3);
        let record = Record {
            index: 1,
            size: 5,
            name: "moby dick.txt".into(),
            ..Record::default()
        };
        let hit = QueryHit {
            token,
            ..QueryHit::new(far.addr(), ServentId([7; 16]), vec![record])
        };
        // Twice: more than was announced.
        for _ in 0..2 {
            far.send(node.addr(), guid, Kind::QueryHit, &hit.build());
        }
        loop {
            match replies.next(SOON) {
                Some(Reply::Searching { .. }) => {}
                Some(Reply::Hit(hit)) => break assert_eq!(hit.addr, far.addr()),
                other => panic!("{other:?}"),
            }
        }
    }
    node.until_dropped("unasked", 2);
}

#[test]
fn hits_go_to_an_asker_of_another_program_once_it_answered_a_ping() {
    let (_books, node) = sharing(30, &[]);
    let mut hub = hub(&node);
    let asker = Far::new();
    let SocketAddr::V4(there) = asker.addr() else {
        panic!("IPv4 alone");
    };
    let query = Query {
        flags: QueryFlags::OURS.and_out_of_band(),
        text: "moby".into(),
        sha1s: Vec::new(),
        media: None,
    };
    let header = Header {
        guid: Guid([5; 16]).carrying(there),
        kind: Kind::Query,
        ttl: 2,
        hops: 1,
    };
    // Without `SO`: version 2.
    let payload = query.build().unwrap()[..7].to_vec().into();
    hub.send(&Frame { header, payload }.to_vec());
    let guid = header.guid;
    let ready = asker.receive();
    let Ok(Vendor::HitsReady {
        version: OutOfBand::V2,
        results: 30,
        reached: true,
        proof: None,
    }) = Vendor::parse(&ready.payload)
    else {
        panic!("{ready:?}");
    };
    let wanted = Vendor::HitsWanted {
        results: 30,
        token: None,
        proof: None,
    };
    asker.send(node.addr(), guid, Kind::Vendor, &wanted.build());
    let ping = asker.receive();
    assert_eq!((ping.header.kind, ping.wire_len()), (Kind::Ping, 23));
    // Only who is there can have read the id.
    asker.send(node.addr(), Guid([6; 16]), Kind::Pong, &[0; 14]);
    node.until_dropped("unasked", 1);
    asker.send(node.addr(), ping.header.guid, Kind::Pong, &[0; 14]);
    let mut results = 0;
    while results < 30 {
        let frame = asker.receive();
        assert_eq!(
            (frame.header.kind, frame.header.guid),
            (Kind::QueryHit, guid)
        );
        assert!(frame.wire_len() <= 1_200);
        results += QueryHit::parse(&frame.payload).unwrap().records.len();
    }
    assert_eq!(node.counters().sent["query_hit"], 0, "on no link");
}
