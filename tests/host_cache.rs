//! Datagrams of the live network, against real sockets on loopback: pings answered, host caches asked and doubted.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod nodes;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;

use filbert::net::servent::Also;
use filbert::net::{Listen, Settings};
use filbert::node::Config;
use filbert::node::event::Role;
use filbert::node::hostile::Hostile;
use filbert::wire::ping::{Ping, Pong};
use filbert::wire::{Frame, Guid, Header, Kind};
use nodes::{Node, SOON};

/// A node of the live network that dials nobody.
fn live(role: Role, host_caches: Vec<String>) -> Node {
    Node::with(Settings {
        config: Config {
            min_links: 0,
            ..Config::live(role)
        },
        listen: Listen::Fixed("127.0.0.1:0".parse().unwrap()),
        host_caches,
        ..Settings::default()
    })
}

fn socket(ip: &str) -> UdpSocket {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket
}

fn datagram(guid: u8, kind: Kind, payload: Vec<u8>) -> Vec<u8> {
    let header = Header {
        guid: Guid([guid; 16]),
        kind,
        ttl: 1,
        hops: 0,
    };
    let payload = payload.into();
    Frame { header, payload }.to_vec()
}

fn receive(socket: &UdpSocket) -> (Frame, SocketAddr) {
    let mut bytes = [0; 2048];
    let (len, from) = socket.recv_from(&mut bytes).unwrap();
    (Frame::from_datagram(&bytes[..len]).unwrap(), from)
}

fn pong_with(hosts: &[&str]) -> Vec<u8> {
    let hosts: Vec<SocketAddr> = hosts.iter().map(|host| host.parse().unwrap()).collect();
    let pong = Pong {
        addr: "9.9.9.9:6346".parse().unwrap(),
        files: 0,
        kilobytes: 0,
        ultrapeer: Some((1, 1)),
        tls: false,
    };
    pong.build_with(&hosts)
}

#[test]
fn a_ping_by_datagram_is_answered_once_a_minute_and_junk_never() {
    let node = live(Role::Ultrapeer, Vec::new());
    let (asker, other) = (socket("127.0.0.1"), socket("127.0.0.2"));
    let ping = |guid| datagram(guid, Kind::Ping, Vec::new());
    asker.send_to(b"GTA junk", node.addr()).unwrap();
    asker.send_to(&ping(1)[..22], node.addr()).unwrap();
    asker.send_to(&ping(2), node.addr()).unwrap();
    let (pong, from) = receive(&asker);
    assert_eq!(
        (pong.header.guid, pong.header.kind),
        (Guid([2; 16]), Kind::Pong)
    );
    assert_eq!(from, node.addr());
    let pong = Pong::parse(&pong.payload).unwrap();
    assert_eq!((pong.addr, pong.ultrapeer), (node.addr(), Some((30, 32))));

    asker.send_to(&ping(3), node.addr()).unwrap();
    let scp = Ping {
        wants_hosts: Some(1),
    };
    let scp = datagram(4, Kind::Ping, scp.build());
    other.send_to(&scp, node.addr()).unwrap();
    let (pong, _) = receive(&other);
    assert_eq!(pong.header.guid, Guid([4; 16]));
    assert!(pong.wire_len() <= 3 * scp.len());
    // Datagrams are taken in order, so the answer to the one before would be here by now.
    asker.set_nonblocking(true).unwrap();
    assert!(asker.recv_from(&mut [0; 64]).is_err(), "no second answer");
    let dropped = node.counters().dropped;
    assert_eq!(dropped["datagram_ping_too_soon"], 1);
    assert_eq!(dropped["datagram_malformed"], 2);
    assert_eq!(dropped["unasked"], 0);
}

#[test]
fn a_node_at_an_ipv6_address_answers_a_bare_ping_with_thrice_its_bytes_at_most() {
    let Ok(asker) = UdpSocket::bind("[::1]:0") else {
        return eprintln!("not tested: this system has no IPv6");
    };
    asker.set_read_timeout(Some(SOON)).unwrap();
    let node = Node::with(Settings {
        config: Config {
            min_links: 0,
            ..Config::live(Role::Ultrapeer)
        },
        listen: Listen::Fixed("[::1]:0".parse().unwrap()),
        ..Settings::default()
    });
    let ping = datagram(1, Kind::Ping, Vec::new());
    asker.send_to(&ping, node.addr()).unwrap();
    let (pong, from) = receive(&asker);
    assert_eq!(from, node.addr());
    assert!(pong.wire_len() <= 3 * ping.len(), "{}", pong.wire_len());
    let pong = Pong::parse(&pong.payload).unwrap();
    assert_eq!((pong.addr, pong.ultrapeer), (node.addr(), Some((30, 32))));
}

#[test]
fn who_is_listed_as_hostile_is_answered_by_datagram_only_where_it_is_of_a_lan() {
    for (lan_too, hostile) in [(false, 1), (true, 0)] {
        let node = Node::with(Settings {
            config: Config {
                min_links: 0,
                hostile: Arc::new(Hostile::parse("127.0.0.3").unwrap()),
                ..Config::live(Role::Ultrapeer)
            },
            also: lan_too.then(Also::default).into_iter().collect(),
            listen: Listen::Fixed("127.0.0.1:0".parse().unwrap()),
            ..Settings::default()
        });
        let (listed, other) = (socket("127.0.0.3"), socket("127.0.0.1"));
        let ping = |guid| datagram(guid, Kind::Ping, Vec::new());
        listed.send_to(&ping(1), node.addr()).unwrap();
        if lan_too {
            assert_eq!(receive(&listed).0.header.guid, Guid([1; 16]));
        }
        other.send_to(&ping(2), node.addr()).unwrap();
        assert_eq!(receive(&other).0.header.guid, Guid([2; 16]));
        // Datagrams are taken in order, so an answer to the one before would be here by now.
        listed.set_nonblocking(true).unwrap();
        assert!(listed.recv_from(&mut [0; 64]).is_err(), "no answer");
        assert_eq!(node.counters().dropped["datagram_hostile"], hostile);
    }
}

#[test]
fn a_host_cache_is_believed_only_as_far_as_it_can_be() {
    let (cache, liar) = (socket("127.0.0.1"), socket("127.0.0.1"));
    let name = cache.local_addr().unwrap().to_string();
    let serving = thread::spawn(move || {
        let (ping, asker) = receive(&cache);
        assert_eq!(ping.wire_len(), 30, "SCP and nothing else");
        // The bit says that hosts with TLS are welcome.
        let flags = if cfg!(feature = "tls") { 2 } else { 0 };
        assert_eq!(Ping::parse(&ping.payload).unwrap().wants_hosts, Some(flags));
        let guid = ping.header.guid.0;
        let right = |payload| {
            let mut bytes = datagram(0, Kind::Pong, payload);
            bytes[..16].copy_from_slice(&guid);
            bytes
        };
        let garbage = [0xC3; 1_000];
        cache.send_to(&garbage, asker).unwrap();
        let other_id = datagram(9, Kind::Pong, pong_with(&["9.1.0.1:6346"]));
        cache.send_to(&other_id, asker).unwrap();
        let elsewhere = right(pong_with(&["9.2.0.1:6346"]));
        liar.send_to(&elsewhere, asker).unwrap();
        let victims = [
            "9.3.0.1:6346",
            "10.0.0.1:6346",
            "192.168.1.1:6346",
            "127.0.0.1:6346",
            "9.3.0.2:25",
            "9.3.0.3:443",
            "0.0.0.0:6346",
            "224.0.0.1:6346",
            "9.4.0.1:1024",
        ];
        cache.send_to(&right(pong_with(&victims)), asker).unwrap();
        // A second answer to the same question.
        cache
            .send_to(&right(pong_with(&["9.5.0.1:6346"])), asker)
            .unwrap();
        // Whatever was sent before is taken in before this is answered.
        let end = datagram(8, Kind::Ping, Vec::new());
        cache.send_to(&end, asker).unwrap();
        assert_eq!(receive(&cache).0.header.guid, Guid([8; 16]));
    });
    let caches = vec!["no-port".to_owned(), name];
    let node = live(Role::Leaf, caches);
    serving.join().unwrap();
    let dropped = node.counters().dropped;
    // Another id, another sender, a second answer.
    assert_eq!(dropped["unasked"], 3);
    let known = node.servent.known_hosts();
    let told: [SocketAddr; 2] = [
        "9.3.0.1:6346".parse().unwrap(),
        "9.4.0.1:1024".parse().unwrap(),
    ];
    // What one cache tells of has 256 places in the book, drawn by a secret: both may have the same.
    assert!(!known.is_empty(), "neither is known");
    assert!(known.iter().all(|addr| told.contains(addr)), "{known:?}");
}
