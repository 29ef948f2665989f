//! Whether strangers reach a node, found out between real sockets on loopback and shown by `status`.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod nodes;
mod raw;

use std::net::{SocketAddr, UdpSocket};

use filbert::control::{Reached, Reply, Request};
use filbert::node::Config;
use filbert::node::address::Net;
use filbert::node::event::Role;
use filbert::wire::vendor::{self, Vendor};
use filbert::wire::{Frame, Guid, Kind};
use nodes::{Node, SOON};
use raw::Raw;

fn live(role: Role, keep: &[SocketAddr]) -> Node {
    let config = Config {
        keep: keep.to_vec(),
        min_links: 0,
        net: Net::Rehearsal,
        ..Config::live(role)
    };
    Node::start(&[], config)
}

fn by_datagram(node: &Node) -> Reached {
    match node.ask(Request::Status).pop() {
        Some(Reply::Status(status)) => status.nets[0].reach.unwrap().datagrams,
        other => panic!("{other:?}"),
    }
}

/// A neighbour made by hand that reads vendor messages.
fn neighbour(node: &Node) -> Raw {
    let mut raw = Raw::connect(node.addr());
    raw.link("X-Ultrapeer: True\r\nVendor-Message: 0.2\r\n");
    raw
}

fn say(raw: &mut Raw, id: u8, message: &Vendor<'_>) {
    raw.send(&raw::frame(Kind::Vendor, id, 1, 0, &message.build()));
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket
}

#[test]
fn a_leaf_and_its_ultrapeer_find_out_that_datagrams_reach_the_leaf() {
    let hub = live(Role::Ultrapeer, &[]);
    let leaf = live(Role::Leaf, &[hub.addr()]);
    leaf.until("a ping", |leaf| {
        (by_datagram(leaf) == Reached::Yes).then_some(())
    });
    assert_eq!(
        by_datagram(&hub),
        Reached::Unknown,
        "a leaf is asked by nobody"
    );
}

#[test]
fn the_ping_that_was_asked_for_proves_it_and_no_other_does() {
    let node = live(Role::Leaf, &[]);
    let mut hub = neighbour(&node);
    say(
        &mut hub,
        1,
        &Vendor::MessagesSupported(vec![vendor::UDP_CONNECT_BACK]),
    );
    let (port, id) = loop {
        let frame = hub.next_of(Kind::Vendor);
        if let Ok(Vendor::UdpConnectBack { port, id: None }) = Vendor::parse(&frame.payload) {
            break (port, frame.header.guid);
        }
    };
    assert_eq!(port, node.addr().port());
    assert_eq!(by_datagram(&node), Reached::Asked);
    let (stranger, right) = (socket(), socket());
    let ping = |socket: &UdpSocket, id: Guid| {
        let mut bytes = raw::frame(Kind::Ping, 0, 1, 0, &[]);
        bytes[..16].copy_from_slice(&id.0);
        socket.send_to(&bytes, node.addr()).unwrap();
        let mut bytes = [0; 2_048];
        let len = socket.recv(&mut bytes).unwrap();
        // Each is answered, so it was judged by now.
        let pong = Frame::from_datagram(&bytes[..len]).unwrap();
        assert_eq!((pong.header.kind, pong.header.guid), (Kind::Pong, id));
    };
    ping(&stranger, Guid([9; 16]));
    assert_eq!(by_datagram(&node), Reached::Asked);
    ping(&right, id);
    assert_eq!(by_datagram(&node), Reached::Yes);
}

#[test]
fn a_neighbour_that_asks_is_pinged_once() {
    let node = live(Role::Ultrapeer, &[]);
    let mut asker = neighbour(&node);
    let socket = socket();
    let port = socket.local_addr().unwrap().port();
    for id in 1..10 {
        say(&mut asker, id, &Vendor::UdpConnectBack { port, id: None });
    }
    node.until_dropped("unused", 8);
    let mut bytes = [0; 2_048];
    let (len, from) = socket.recv_from(&mut bytes).unwrap();
    let ping = Frame::from_datagram(&bytes[..len]).unwrap();
    assert_eq!(from, node.addr());
    assert_eq!(
        (ping.header.kind, ping.header.guid),
        (Kind::Ping, Guid([1; 16]))
    );
    assert_eq!(
        (ping.header.ttl, ping.header.hops, ping.payload.len()),
        (1, 0, 0)
    );
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut bytes).is_err(), "one alone");
}
