//! Greetings on the live network: roles, what they promise, and who deflates.

use super::*;
use crate::wire::heads::HeadReader;

fn me(role: Role) -> Me {
    Me {
        net: Net::Gnutella,
        role,
        agent: "filbert/test".into(),
        servent: ServentId::from_random([9; 16]),
        listen: None,
        max_ttl: 4,
        degree: 24,
        ext_probes: true,
        encryption: Encryption::Never,
    }
}

const REMOTE: ([u8; 4], u16) = ([8, 8, 8, 8], 6346);

fn dialer(role: Role) -> (Dialer, Head) {
    let (dialer, first) = Dialer::new(me(role), REMOTE.into(), [9, 9, 9, 9].into());
    (dialer, head(&first))
}

fn acceptor(role: Role) -> Acceptor {
    Acceptor::new(me(role), REMOTE.into(), [9, 9, 9, 9].into())
}

fn head(bytes: &[u8]) -> Head {
    HeadReader::new().push(bytes).unwrap().expect("whole").0
}

/// What an acceptor of this role answers to an offer with these headers.
fn answered(role: Role, headers: &str) -> (Acceptor, Head) {
    let mut acceptor = acceptor(role);
    let offer = format!("GNUTELLA CONNECT/0.6\r\n{headers}\r\n");
    let step = acceptor.read(offer.as_bytes()).unwrap();
    assert!(matches!(step, Step::Offer(_)), "{step:?}");
    let answer = acceptor.answer(&Verdict::Accept);
    (acceptor, head(&answer))
}

#[test]
fn both_roles_say_what_the_live_network_ranks_peers_by() {
    for (role, says, degree) in [(Role::Leaf, "False", "32"), (Role::Ultrapeer, "True", "24")] {
        let (_, first) = dialer(role);
        let (_, second) = answered(role, "X-Ultrapeer: True\r\nX-Query-Routing: 0.2\r\n");
        for head in [first, second] {
            for (name, value) in [
                ("X-Ultrapeer", says),
                ("X-Query-Routing", "0.2"),
                ("X-Ultrapeer-Query-Routing", "0.1"),
                ("X-Dynamic-Querying", "0.1"),
                ("X-Degree", degree),
                ("X-Max-TTL", "4"),
                ("X-Ext-Probes", "0.1"),
                ("Accept-Encoding", "deflate"),
                ("Vendor-Message", "0.2"),
                ("GGEP", "0.5"),
                ("Pong-Caching", "0.1"),
                ("Bye-Packet", "0.1"),
                ("X-Requeries", "False"),
                ("X-Features", "browse/1.0"),
                ("GUID", &ServentId::from_random([9; 16]).to_string()),
            ] {
                assert_eq!(head.get(name), Some(value), "{role:?} {name}");
            }
        }
    }
}

#[test]
fn on_a_lan_nothing_of_this_is_said() {
    let lan = Me {
        net: Net::Lan,
        ..me(Role::Leaf)
    };
    let (_, first) = Dialer::new(lan.clone(), REMOTE.into(), [9, 9, 9, 9].into());
    let mut acceptor = Acceptor::new(lan, REMOTE.into(), [9, 9, 9, 9].into());
    let offer = b"GNUTELLA CONNECT/0.6\r\nX-Ultrapeer: True\r\nAccept-Encoding: deflate\r\n\r\n";
    acceptor.read(offer).unwrap();
    for head in [head(&first), head(&acceptor.answer(&Verdict::Accept))] {
        assert_eq!(head.get("X-Ultrapeer"), Some("True"));
        for name in [
            "X-Query-Routing",
            "X-Dynamic-Querying",
            "Accept-Encoding",
            "Content-Encoding",
            "X-Ultrapeer-Needed",
            "X-Features",
        ] {
            assert_eq!(head.get(name), None, "{name}");
        }
    }
    let confirm = b"GNUTELLA/0.6 200 OK\r\nContent-Encoding: deflate\r\n\r\n";
    let unasked = Err(GreetError::NotOffered("Content-Encoding"));
    assert_eq!(acceptor.read(confirm), unasked);
}

#[test]
fn each_direction_is_deflated_when_its_reader_offers_to_read_that_and_its_writer_says_so() {
    let coding = |deflated| {
        if deflated {
            Coding::Deflated
        } else {
            Coding::Plain
        }
    };
    for (reads, writes) in [(false, false), (false, true), (true, false), (true, true)] {
        let wanted = Codings {
            from_peer: coding(writes),
            to_peer: coding(reads),
        };
        let accept = if reads {
            "Accept-Encoding: gzip, deflate\r\n"
        } else {
            ""
        };
        let content = if writes {
            "Content-Encoding: deflate\r\n"
        } else {
            ""
        };

        let (mut dialer, _) = dialer(Role::Leaf);
        let answer = format!("GNUTELLA/0.6 200 OK\r\nX-Ultrapeer: True\r\n{accept}{content}\r\n");
        let Step::Done { codings, reply, .. } = dialer.read(answer.as_bytes()).unwrap() else {
            panic!()
        };
        assert_eq!(codings, wanted);
        assert_eq!(head(&reply).lists("Content-Encoding", "deflate"), reads);

        let (mut acceptor, answer) =
            answered(Role::Ultrapeer, &format!("X-Ultrapeer: True\r\n{accept}"));
        assert_eq!(answer.lists("Content-Encoding", "deflate"), reads);
        let confirm = format!("GNUTELLA/0.6 200 OK\r\n{content}\r\nbytes");
        let Step::Done { codings, rest, .. } = acceptor.read(confirm.as_bytes()).unwrap() else {
            panic!()
        };
        assert_eq!((codings, &rest[..]), (wanted, &b"bytes"[..]));
    }
}

#[test]
fn leaves_and_ultrapeers_link_as_their_roles_allow() {
    for (ours, theirs, refused) in [
        (Role::Leaf, "False", Some(204)),
        (Role::Leaf, "True", None),
        (Role::Ultrapeer, "False", None),
        (Role::Ultrapeer, "True", None),
    ] {
        let (mut dialer, _) = dialer(ours);
        let answer = format!("GNUTELLA/0.6 200 OK\r\nX-Ultrapeer: {theirs}\r\n\r\n");
        match dialer.read(answer.as_bytes()).unwrap() {
            Step::Done { .. } => assert_eq!(refused, None),
            Step::Refused { code, reply, .. } => {
                assert_eq!(Some(code), refused);
                assert_eq!(head(&reply).get("X-Ultrapeer"), Some("False"));
            }
            other => panic!("{other:?}"),
        }
    }
    let nothing_said = dialer(Role::Leaf).0.read(b"GNUTELLA/0.6 200 OK\r\n\r\n");
    assert!(matches!(nothing_said, Ok(Step::Refused { code: 403, .. })));
}

#[test]
fn a_leaf_that_refuses_says_that_it_is_one_and_whom_to_try() {
    let mut acceptor = acceptor(Role::Leaf);
    acceptor
        .read(b"GNUTELLA CONNECT/0.6\r\nX-Ultrapeer: False\r\n\r\n")
        .unwrap();
    let answer = acceptor.answer(&Verdict::Refuse {
        code: 204,
        text: "Shielded leaf node",
        try_peers: vec!["7.7.7.7:77".parse().unwrap()],
    });
    let head = head(&answer);
    assert_eq!(head.first_line, "GNUTELLA/0.6 204 Shielded leaf node");
    assert_eq!(head.get("X-Ultrapeer"), Some("False"));
    assert_eq!(head.get("X-Try-Ultrapeers"), Some("7.7.7.7:77"));
}

#[test]
fn guidance_is_given_to_ultrapeers_alone_and_read_of_all() {
    let needed = |role, theirs: &str| {
        let (_, answer) = answered(role, &format!("X-Ultrapeer: {theirs}\r\n"));
        answer.get("X-Ultrapeer-Needed").map(str::to_owned)
    };
    assert_eq!(needed(Role::Ultrapeer, "True").as_deref(), Some("True"));
    assert_eq!(needed(Role::Ultrapeer, "False"), None);
    assert_eq!(needed(Role::Leaf, "True"), None);
    for (said, guided) in [
        ("X-Ultrapeer-Needed: false\r\n", Some(Role::Leaf)),
        ("X-Ultrapeer-Needed: True\r\n", Some(Role::Ultrapeer)),
        ("", None),
    ] {
        let (mut dialer, _) = dialer(Role::Ultrapeer);
        let answer = format!("GNUTELLA/0.6 200 OK\r\nX-Ultrapeer: True\r\n{said}\r\n");
        let Step::Done { peer, reply, .. } = dialer.read(answer.as_bytes()).unwrap() else {
            panic!()
        };
        assert_eq!(peer.guides_to, guided);
        assert_eq!(head(&reply).get("X-Ultrapeer"), None, "not followed");
        assert_eq!(peer.ours, Role::Ultrapeer);
    }
}

#[test]
fn whoever_may_step_down_follows_guidance_of_ultrapeers_and_confirms_as_a_leaf() {
    for (role, said, follows) in [
        ("True", "False", true),
        ("True", "True", false),
        ("False", "False", false),
    ] {
        let dialer = dialer(Role::Ultrapeer).0;
        let answer = format!(
            "GNUTELLA/0.6 200 OK\r\nX-Ultrapeer: {role}\r\nX-Ultrapeer-Needed: {said}\r\n\r\n"
        );
        let step = dialer.that_steps_down().read(answer.as_bytes());
        let Step::Done { peer, reply, .. } = step.unwrap() else {
            panic!()
        };
        assert_eq!(peer.ours == Role::Leaf, follows, "{role} {said}");
        let confirmed = head(&reply);
        let says = confirmed.get("X-Ultrapeer");
        assert_eq!(says, follows.then_some("False"));
    }
}

#[test]
fn an_ultrapeer_that_is_guided_down_may_confirm_as_a_leaf_and_nobody_else_may() {
    for (verdict, theirs, needed, may) in [
        (Verdict::Guide, "True", Some("False"), true),
        (Verdict::Accept, "True", Some("True"), false),
        (Verdict::Guide, "False", None, true),
    ] {
        for (confirms, role) in [
            ("X-Ultrapeer: False\r\n", Role::Leaf),
            ("", Role::Ultrapeer),
        ] {
            let mut acceptor = acceptor(Role::Ultrapeer);
            let offer = format!("GNUTELLA CONNECT/0.6\r\nX-Ultrapeer: {theirs}\r\n\r\n");
            acceptor.read(offer.as_bytes()).unwrap();
            let answer = acceptor.answer(&verdict);
            assert_eq!(head(&answer).get("X-Ultrapeer-Needed"), needed);
            let done = acceptor.read(format!("GNUTELLA/0.6 200 OK\r\n{confirms}\r\n").as_bytes());
            match done {
                Ok(Step::Done { peer, .. }) if theirs == "True" => assert_eq!(peer.role, role),
                Ok(Step::Done { peer, .. }) => assert_eq!(peer.role, Role::Leaf),
                other => {
                    assert!(!may && role == Role::Leaf, "{other:?}");
                    assert_eq!(other, Err(GreetError::NotOffered("X-Ultrapeer")));
                }
            }
        }
    }
}

#[test]
fn query_routing_is_answered_with_the_number_that_was_asked_with() {
    for (asked, said) in [("0.1", "0.1"), ("0.2", "0.2"), ("1.0", "0.2")] {
        let offer = format!("X-Ultrapeer: True\r\nX-Query-Routing: {asked}\r\n");
        let (_, answer) = answered(Role::Ultrapeer, &offer);
        assert_eq!(answer.get("X-Query-Routing"), Some(said));
    }
}
