//! What a running gtk-gnutella taught us, replayed: each test is a fact of docs/interop.md.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use common::{Wired, addr, peer};
use filbert::net::browse::browse;
use filbert::node::event::{Direction, Role};
use filbert::node::greet::{Dialer, Me, Step};
use filbert::node::{Action, Config, Event, LinkId, Outbox};
use filbert::wire::bye::Bye;
use filbert::wire::{Frame, Guid, Header, Kind, ServentId};

fn captured(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures/gtk-gnutella");
    std::fs::read(folder.join(name)).unwrap()
}

/// Its answer to a call names no listening address. Unless the one we dialled is kept as such, the address
/// book offers it again, and the third call within a minute brings a ban.
#[test]
fn who_answers_a_call_listens_where_we_called() {
    let at: SocketAddr = "127.0.0.1:6346".parse().unwrap();
    let me = Me {
        net: filbert::node::address::Net::Lan,
        role: Role::Ultrapeer,
        agent: "filbert/test".to_owned(),
        servent: ServentId([1; 16]),
        listen: None,
        max_ttl: 4,
        degree: 16,
        ext_probes: false,
        encryption: filbert::node::greet::Encryption::Never,
    };
    let (mut dialer, _) = Dialer::new(me, at, at.ip());
    let step = dialer.read(&captured("01-probe-ultra-to-ultra.recv.bin"));
    let Ok(Step::Done { peer, rest, .. }) = step else {
        panic!("{step:?}")
    };
    assert_eq!((peer.listen, peer.role), (Some(at), Role::Ultrapeer));
    assert!(!rest.is_empty(), "its frames follow at once");
}

#[test]
fn a_neighbour_is_not_called_again_whatever_address_it_names() {
    for named in [None, Some(addr(7))] {
        let config = Config {
            min_links: 4,
            ..Config::default()
        };
        let mut net = Wired::new(1, &config);
        let mut said = peer(1, Direction::Dialled(addr(1)));
        said.listen = named;
        let mut out = Outbox::new();
        let node = &mut net.nodes[0];
        node.handle(net.now, Event::Heard(vec![addr(1)]), &mut out);
        assert_eq!(out.actions(), [Action::Dial(addr(1))]);
        out.clear();
        node.handle(net.now, Event::LinkUp(LinkId(1), Box::new(said)), &mut out);
        for _ in 0..50 {
            net.now = net.now.plus(Duration::from_secs(1));
            node.handle(net.now, Event::Wake, &mut out);
        }
        let calls = |action: &&Action| matches!(action, Action::Dial(to) if *to == addr(1));
        assert_eq!(out.actions().iter().filter(calls).count(), 0, "{named:?}");
    }
}

/// It says why it goes ("No reply to alive pings"): coming back at once would only fill its count of calls.
#[test]
fn a_peer_that_said_bye_is_left_alone_for_a_while_unless_it_only_restarts() {
    for (code, wait_s) in [(406, 30), (200, 0)] {
        let keep = Config {
            keep: vec![addr(1)],
            min_links: 0,
            ..Config::default()
        };
        let mut net = Wired::new(1, &keep);
        let mut out = Outbox::new();
        let node = &mut net.nodes[0];
        let said = Box::new(peer(1, Direction::Dialled(addr(1))));
        node.handle(net.now, Event::LinkUp(LinkId(1), said), &mut out);
        let pause = Duration::from_secs(3600);
        net.now = net.now.plus(pause);
        out.clear();
        let bye = Frame {
            header: Header {
                guid: Guid([7; 16]),
                kind: Kind::Bye,
                ttl: 1,
                hops: 0,
            },
            payload: Bye::build(code, "No reply to alive pings").into(),
        };
        node.handle(net.now, Event::Received(LinkId(1), bye), &mut out);
        let mut waited = 0;
        while !out.actions().contains(&Action::Dial(addr(1))) && waited < 1000 {
            waited += 1;
            net.now = net.now.plus(Duration::from_secs(1));
            node.handle(net.now, Event::Wake, &mut out);
        }
        assert_eq!(waited, wait_s, "after Bye {code}");
    }
}

/// Answers one connection with `bytes`, and keeps it open until the other side closes it, as gtk-gnutella does.
fn answering(bytes: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&bytes).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    at
}

/// The deflated list is a few hundred bytes in one piece, and inflates to less than an inflater holds back.
#[test]
fn its_list_of_files_reads_the_same_deflated_or_not() {
    let names = |capture| {
        let at = answering(captured(capture));
        let hits = browse(&at.to_string()).unwrap().map(Result::unwrap);
        let mut names: Vec<_> = hits
            .flat_map(|hit| hit.records)
            .map(|record| (record.name, record.size, record.sha1))
            .collect();
        names.sort();
        names
    };
    let plain = names("40-browse-host-packets.recv.bin");
    assert!(!plain.is_empty());
    assert_eq!(names("41-browse-host-packets-deflate.recv.bin"), plain);
}

#[test]
fn who_browses_too_often_is_told_to_wait_an_hour() {
    let at =
        answering(b"HTTP/1.1 429 Cannot Browse Too Often\r\nContent-Length: 0\r\n\r\n".to_vec());
    let error = browse(&at.to_string())
        .unwrap()
        .next()
        .unwrap()
        .unwrap_err();
    assert_eq!(error.exit_code(), 7);
    assert!(
        error.to_string().ends_with("try again in an hour"),
        "{error}"
    );
}
