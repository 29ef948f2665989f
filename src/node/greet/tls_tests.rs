//! What is said about TLS, and what comes of it.

use super::*;
use crate::wire::heads::HeadReader;

const OTHER: ([u8; 4], u16) = ([8, 8, 8, 8], 6346);

fn me(encryption: Encryption) -> Me {
    Me {
        net: Net::Lan,
        role: Role::Ultrapeer,
        agent: "filbert/test".into(),
        servent: ServentId::from_random([9; 16]),
        listen: None,
        max_ttl: 7,
        degree: 16,
        ext_probes: false,
        encryption,
    }
}

fn head(bytes: &[u8]) -> Head {
    HeadReader::new().push(bytes).unwrap().unwrap().0
}

fn dial(encryption: Encryption, answer: &str) -> Result<Step, GreetError> {
    let (mut dialer, _) = Dialer::new(me(encryption), OTHER.into(), [9, 9, 9, 9].into());
    dialer.read(answer.as_bytes())
}

/// The answer to this offer, and the machine that waits for the third head.
fn accept(encryption: Encryption, inside: bool, offer: &str) -> (Acceptor, Head) {
    let mut acceptor = Acceptor::new(me(encryption), OTHER.into(), [9, 9, 9, 9].into());
    if inside {
        acceptor = acceptor.inside_tls();
    }
    let step = acceptor.read(offer.as_bytes()).unwrap();
    assert!(matches!(step, Step::Offer(peer) if peer.encrypted == inside));
    let answer = acceptor.answer(&Verdict::Accept);
    (acceptor, head(&answer))
}

const ASKS: &str = "GNUTELLA CONNECT/0.6\nX-Ultrapeer: True\nUpgrade: HTTP/2, tls/1.0\n\n";
const AGREES: &str =
    "GNUTELLA/0.6 200 OK\nX-Ultrapeer: True\nUpgrade: TLS/1.0\nConnection: Upgrade\n\n";
const SWITCHES: &[u8] = b"GNUTELLA/0.6 200 OK\nConnection: upgrade\n\n\x16\x03\x01";

#[test]
fn only_who_offers_tls_says_so_first_and_is_taken_at_its_word() {
    for (encryption, said) in [
        (Encryption::Never, None),
        (Encryption::Accepted, None),
        (Encryption::Offered, Some("TLS/1.0")),
    ] {
        let (_, first) = Dialer::new(me(encryption), OTHER.into(), [9, 9, 9, 9].into());
        let first = head(&first);
        assert_eq!(
            (first.get("Upgrade"), first.get("Connection")),
            (said, None)
        );
        let outcome = dial(encryption, AGREES);
        if said.is_none() {
            assert_eq!(outcome, Err(GreetError::NotOffered("Upgrade")));
            continue;
        }
        let Ok(Step::Done {
            peer,
            upgrade: true,
            reply,
            ..
        }) = outcome
        else {
            panic!("{outcome:?}")
        };
        assert!(peer.encrypted);
        assert_eq!(head(&reply).get("Connection"), Some("Upgrade"));
    }
}

#[test]
fn an_answer_that_names_tls_and_does_not_switch_leaves_the_link_in_clear() {
    for answer in [
        "GNUTELLA/0.6 200 OK\nX-Ultrapeer: True\nUpgrade: TLS/1.0\n\n",
        "GNUTELLA/0.6 200 OK\nX-Ultrapeer: True\nConnection: keep-alive\n\n",
    ] {
        let Ok(Step::Done {
            peer,
            upgrade: false,
            reply,
            ..
        }) = dial(Encryption::Offered, answer)
        else {
            panic!("{answer}")
        };
        assert!(!peer.encrypted);
        assert_eq!(head(&reply).get("Connection"), None);
    }
}

#[test]
fn an_answer_that_switches_to_nothing_or_speaks_on_ends_the_greeting() {
    let nothing = "GNUTELLA/0.6 200 OK\nX-Ultrapeer: True\nConnection: Upgrade\n\n";
    let outcome = dial(Encryption::Offered, nothing);
    assert!(matches!(outcome, Ok(Step::Refused { code: 400, .. })));
    let on = format!("{AGREES}\u{16}\u{3}");
    assert_eq!(dial(Encryption::Offered, &on), Err(GreetError::OutOfTurn));
}

#[test]
fn who_is_asked_agrees_unless_it_never_does_and_waits_for_the_third_head() {
    for (encryption, agrees) in [
        (Encryption::Never, false),
        (Encryption::Accepted, true),
        (Encryption::Offered, true),
    ] {
        let (mut acceptor, answer) = accept(encryption, false, ASKS);
        let said = (answer.get("Upgrade"), answer.get("Connection"));
        let outcome = acceptor.read(SWITCHES);
        if !agrees {
            assert_eq!(said, (None, None));
            assert_eq!(outcome, Err(GreetError::NotOffered("Upgrade")));
            continue;
        }
        assert_eq!(said, (Some("TLS/1.0"), Some("Upgrade")));
        let Ok(Step::Done {
            peer,
            upgrade: true,
            rest,
            ..
        }) = outcome
        else {
            panic!("{outcome:?}")
        };
        assert!(peer.encrypted);
        assert_eq!(rest, b"\x16\x03\x01", "the start of its handshake");
    }
    let (mut acceptor, answer) = accept(
        Encryption::Offered,
        false,
        "GNUTELLA CONNECT/0.6\nX-Ultrapeer: True\n\n",
    );
    assert_eq!(
        answer.get("Upgrade"),
        None,
        "nobody is offered it in an answer"
    );
    let outcome = acceptor.read(SWITCHES);
    assert_eq!(outcome, Err(GreetError::NotOffered("Upgrade")));
}

#[test]
fn inside_tls_there_is_nothing_to_upgrade_to() {
    let (mut acceptor, answer) = accept(Encryption::Offered, true, ASKS);
    assert_eq!(answer.get("Upgrade"), None);
    let Ok(Step::Done {
        peer,
        upgrade: false,
        ..
    }) = acceptor.read(SWITCHES)
    else {
        panic!()
    };
    assert!(peer.encrypted);
}
