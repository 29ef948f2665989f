//! Two machines against each other, and each against what may come.

use super::*;
use crate::wire::heads::HEAD_BYTES_MAX;

fn me(port: u16) -> Me {
    Me {
        net: Net::Lan,
        role: Role::Ultrapeer,
        agent: "filbert/test".into(),
        servent: ServentId::from_random([u8::try_from(port % 251).unwrap(); 16]),
        listen: Some(SocketAddr::new([0, 0, 0, 0].into(), port)),
        max_ttl: 4,
        degree: 16,
        ext_probes: port == 1,
        encryption: Encryption::Never,
    }
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn acceptor() -> Acceptor {
    Acceptor::new(me(2), at("127.0.0.5:40000"), at("127.0.0.2:2").ip())
}

fn dialer() -> (Dialer, Vec<u8>) {
    Dialer::new(me(1), at("127.0.0.2:2"), at("127.0.0.5:0").ip())
}

/// Hands in bytes in pieces of `size` until something comes of it.
fn feed(
    bytes: &[u8],
    size: usize,
    mut read: impl FnMut(&[u8]) -> Result<Step, GreetError>,
) -> Step {
    let mut step = Step::NeedMore;
    for piece in bytes.chunks(size) {
        assert_eq!(step, Step::NeedMore);
        step = read(piece).unwrap();
    }
    step
}

fn refused(step: Step) -> (u16, String, Vec<SocketAddr>, String) {
    let Step::Refused {
        code,
        text,
        try_peers,
        reply,
    } = step
    else {
        panic!("{step:?}")
    };
    (code, text, try_peers, String::from_utf8(reply).unwrap())
}

fn offered(first_line: &str, headers: &str) -> Result<Step, GreetError> {
    acceptor().read(format!("{first_line}\r\n{headers}\r\n").as_bytes())
}

fn answered(first_line: &str, headers: &str) -> Result<Step, GreetError> {
    dialer()
        .0
        .read(format!("{first_line}\r\n{headers}\r\n").as_bytes())
}

#[test]
fn two_nodes_greet_in_any_pieces_and_learn_of_each_other() {
    for size in [1, 5, 4096] {
        let (mut dialer, first) = dialer();
        let mut acceptor = acceptor();
        let Step::Offer(offer) = feed(&first, size, |piece| acceptor.read(piece)) else {
            panic!()
        };
        assert_eq!(offer.listen, Some(at("127.0.0.5:1")));
        assert_eq!(offer.servent, Some(me(1).servent));
        assert_eq!(
            (&*offer.agent, offer.role, offer.max_ttl),
            ("filbert/test", Role::Ultrapeer, 4)
        );
        assert!(offer.bye && offer.vendor_messages && offer.ext_probes);
        assert_eq!(offer.sees_us_at, Some(at("127.0.0.2:0").ip()));

        let second = [acceptor.answer(&Verdict::Accept), b"frames of B".to_vec()].concat();
        let Step::Done {
            peer,
            codings,
            upgrade: false,
            mut reply,
            rest,
        } = feed(&second, 4096, |piece| dialer.read(piece))
        else {
            panic!()
        };
        assert_eq!(peer.direction, Direction::Dialled(at("127.0.0.2:2")));
        assert_eq!(
            (peer.listen, peer.ext_probes),
            (Some(at("127.0.0.2:2")), false)
        );
        assert_eq!(rest, b"frames of B");
        assert_eq!(codings, Codings::default(), "a LAN has no compression");

        reply.extend_from_slice(b"frames of A");
        let Step::Done {
            peer,
            reply: none,
            rest,
            ..
        } = acceptor.read(&reply).unwrap()
        else {
            panic!()
        };
        assert_eq!((peer, none), (offer, vec![]));
        assert_eq!(rest, b"frames of A");
    }
}

#[test]
fn a_full_node_names_others_and_the_dialler_learns_them() {
    let (mut dialer, first) = dialer();
    let mut acceptor = acceptor();
    acceptor.read(&first).unwrap();
    let try_peers: Vec<_> = (1..20)
        .map(|n| SocketAddr::new([127, 0, 1, n].into(), 6346))
        .collect();
    let full = Verdict::Refuse {
        code: 503,
        text: "Too many links",
        try_peers: try_peers.clone(),
    };
    let (code, text, learned, reply) = refused(dialer.read(&acceptor.answer(&full)).unwrap());
    assert_eq!(
        (code, text.as_str(), reply.as_str()),
        (503, "Too many links", "")
    );
    assert_eq!(learned, try_peers[..10]);
    assert_eq!(acceptor.read(b"more"), Err(GreetError::OutOfTurn));
    assert!(acceptor.answer(&Verdict::Accept).is_empty());
}

#[test]
fn offers_that_cannot_be_taken_are_refused_with_the_right_status() {
    let now = "GNUTELLA CONNECT/0.6";
    for (first_line, headers, status) in [
        ("GNUTELLA CONNECT/0.4", "", 503),
        ("GNUTELLA CONNECT/0.5", "X-Ultrapeer: True\r\n", 503),
        (now, "User-Agent: X\r\n", 403),
        (
            now,
            "X-Ultrapeer: True\r\nAccept: application/x-gnutella2\r\n",
            406,
        ),
        (now, "X-Ultrapeer: True\r\nX-Auth-Challenge: x\r\n", 403),
        (now, "X-Ultrapeer: True\r\nFP-Auth-Challenge: x\r\n", 403),
        (now, "Crawler: 0.1\r\nX-Ultrapeer: True\r\n", 403),
    ] {
        let (code, text, _, reply) = refused(offered(first_line, headers).unwrap());
        assert_eq!(code, status, "{first_line} {headers}");
        assert!(reply.starts_with(&format!(
            "GNUTELLA/0.6 {status} {text}\r\nUser-Agent: filbert/test\r\n"
        )));
        assert!(reply.contains("\r\nRemote-IP: 127.0.0.5\r\n") && reply.ends_with("\r\n\r\n"));
    }
    let flood = format!("{now}\r\nX: {}", "y".repeat(HEAD_BYTES_MAX));
    assert_eq!(refused(acceptor().read(flood.as_bytes()).unwrap()).0, 413);
}

#[test]
fn offers_of_later_versions_and_odd_roles_reach_the_core() {
    for (first_line, headers, role) in [
        (
            "GNUTELLA CONNECT/0.7",
            "X-Ultrapeer: yes\r\n",
            Role::Ultrapeer,
        ),
        (
            "GNUTELLA CONNECT/1.0",
            "X-Ultrapeer-Needed: True\r\n",
            Role::Ultrapeer,
        ),
        ("GNUTELLA CONNECT/0.6", "x-ultrapeer: false\r\n", Role::Leaf),
    ] {
        let Step::Offer(peer) = offered(first_line, headers).unwrap() else {
            panic!("{first_line}")
        };
        assert_eq!((peer.role, peer.max_ttl), (role, 7));
        assert_eq!((peer.listen, peer.servent, peer.bye), (None, None, false));
    }
}

#[test]
fn who_names_the_content_type_gets_it_back() {
    let mut acceptor = acceptor();
    let ask = b"GNUTELLA CONNECT/0.6\nX-Ultrapeer: True\nAccept: a/b, application/x-gnutella-packets;q=1\n\n";
    assert!(matches!(acceptor.read(ask), Ok(Step::Offer(_))));
    let answer = String::from_utf8(acceptor.answer(&Verdict::Accept)).unwrap();
    assert!(
        answer.contains("\r\nContent-Type: application/x-gnutella-packets\r\n"),
        "{answer}"
    );
}

#[test]
fn answers_that_end_a_dial() {
    let up = "X-Ultrapeer: True\r\n";
    let (code, text, learned, reply) = refused(
        answered(
            "GNUTELLA/0.6 204 Shielded\x1b leaf",
            "X-Try-Ultrapeers: 10.0.0.1:7 Mon, [::1]:8,10.0.0.2,x,1.1.1.1:0\r\n",
        )
        .unwrap(),
    );
    assert_eq!(
        (code, text.as_str(), reply.as_str()),
        (204, "Shielded leaf", "")
    );
    assert_eq!(
        learned,
        [at("10.0.0.1:7"), at("[::1]:8"), at("10.0.0.2:6346")]
    );
    let (code, _, _, reply) =
        refused(answered("GNUTELLA/0.6 200 OK", "X-Ultrapeer: False\r\n").unwrap());
    assert_eq!(code, 503);
    assert!(reply.starts_with("GNUTELLA/0.6 503 No leaf slots on a flat overlay\r\n"));
    assert_eq!(refused(answered("GNUTELLA/0.6 200 OK", "").unwrap()).0, 403);
    let deflate = format!("{up}Content-Encoding: deflate\r\n");
    let unasked = Err(GreetError::NotOffered("Content-Encoding"));
    assert_eq!(answered("GNUTELLA/0.6 200 OK", &deflate), unasked);
    for line in [
        "HTTP/1.1 200 OK",
        "GNUTELLA OK",
        "GNUTELLA/0.6 ok",
        "\u{16}\u{3}tls",
    ] {
        assert_eq!(answered(line, up), Err(GreetError::NotGnutella), "{line}");
    }
}

#[test]
fn what_the_third_group_may_not_do() {
    let confirm = |text: &str| {
        let mut acceptor = acceptor();
        acceptor.read(&dialer().1).unwrap();
        acceptor.answer(&Verdict::Accept);
        acceptor.read(text.as_bytes())
    };
    assert!(matches!(
        confirm("GNUTELLA/0.6 200 OK\n\n"),
        Ok(Step::Done { .. })
    ));
    assert_eq!(refused(confirm("GNUTELLA/0.6 503 No\n\n").unwrap()).0, 503);
    let change = "GNUTELLA/0.6 200 OK\nX-Ultrapeer: False\n\n";
    assert_eq!(confirm(change), Err(GreetError::NotOffered("X-Ultrapeer")));
    let deflate = "GNUTELLA/0.6 200 OK\nContent-Encoding: deflate\n\n";
    assert_eq!(
        confirm(deflate),
        Err(GreetError::NotOffered("Content-Encoding"))
    );
    assert_eq!(confirm("GET / HTTP/1.1\n\n"), Err(GreetError::NotGnutella));
}

#[test]
fn nobody_speaks_before_the_answer() {
    let (_, first) = dialer();
    let early = [&first[..], b"x"].concat();
    assert_eq!(acceptor().read(&early), Err(GreetError::OutOfTurn));
    let mut acceptor = acceptor();
    acceptor.read(&first).unwrap();
    assert_eq!(acceptor.read(b""), Ok(Step::NeedMore));
    assert_eq!(acceptor.read(b"x"), Err(GreetError::OutOfTurn));
}

#[test]
fn names_and_addresses_of_strangers_are_made_fit() {
    let agent = format!("User-Agent: \x1b[31m{}\r\n", "a".repeat(100));
    let headers = format!(
        "{agent}X-Ultrapeer: True\r\nNode: [::]:9, 0.0.0.0:7\r\nX-Max-TTL: 1000\r\nGUID: zz\r\n"
    );
    let Step::Offer(peer) = offered("GNUTELLA CONNECT/0.6", &headers).unwrap() else {
        panic!()
    };
    assert_eq!(peer.agent.chars().count(), 64);
    assert!(!peer.agent.contains('\x1b'));
    assert_eq!(peer.listen, Some(at("127.0.0.5:7")));
    assert_eq!((peer.max_ttl, peer.servent), (255, None));
}

#[test]
fn a_node_that_does_not_listen_does_not_say_so() {
    let quiet = Me {
        listen: None,
        ..me(3)
    };
    let (_, first) = Dialer::new(quiet, at("127.0.0.2:2"), at("127.0.0.5:0").ip());
    assert!(!String::from_utf8(first).unwrap().contains("Listen-IP"));
}
