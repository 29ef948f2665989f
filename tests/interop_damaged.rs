//! Captured conversations that are cut, disturbed or damaged at every place where that can happen: what came before is
//! answered as ever, what cannot be read has a named reason, and the node lives on.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;
mod replay;

use filbert::node::event::{Event, Role};
use filbert::node::greet::Coding;
use filbert::node::{Drop, LinkId, Node};
use filbert::wire::header::HEADER_BYTES;
use filbert::wire::heads::HeadReader;
use filbert::wire::{Frame, Guid, Header, Kind};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};
use replay::{Ended, Greeted, PEER, Talk, captured};

/// How a captured conversation began.
#[derive(Clone, Copy, Debug)]
enum Begun {
    ByUs,
    ByPeer([u8; 4]),
}

/// All conversations: our role, who called, the capture.
const ALL: [(Role, Begun, &str); 12] = [
    (Role::Leaf, Begun::ByUs, "03-probe-leaf-to-ultra-deflate"),
    (Role::Leaf, Begun::ByUs, "25-one-minute-overlay-watcher"),
    (Role::Leaf, Begun::ByUs, "26-dynamic-query-leaf"),
    (
        Role::Ultrapeer,
        Begun::ByPeer([127, 0, 0, 9]),
        "13-leaf-dials-probe",
    ),
    (Role::Ultrapeer, Begun::ByUs, "01-probe-ultra-to-ultra"),
    (
        Role::Ultrapeer,
        Begun::ByUs,
        "02-probe-ultra-to-ultra-deflate",
    ),
    (
        Role::Ultrapeer,
        Begun::ByPeer([127, 0, 0, 1]),
        "11-ultra-dials-probe",
    ),
    (
        Role::Ultrapeer,
        Begun::ByPeer([127, 0, 0, 1]),
        "12-ultra-dials-probe-deflate",
    ),
    (Role::Ultrapeer, Begun::ByUs, "20-queries-and-hits"),
    (Role::Ultrapeer, Begun::ByUs, "22-pings-and-pongs"),
    (Role::Ultrapeer, Begun::ByUs, "25-one-minute-overlay-asker"),
    (Role::Ultrapeer, Begun::ByUs, "50-query-hit-push"),
];

fn begin(role: Role, begun: Begun, bytes: &[u8]) -> Greeted {
    match begun {
        Begun::ByUs => Talk::dial(role, bytes),
        Begun::ByPeer(from) => Talk::accept(role, from, bytes),
    }
}

/// Bytes of the greeting at the start of a stream.
fn greeting_len(stream: &[u8], begun: Begun) -> usize {
    let heads = match begun {
        Begun::ByUs => 1,
        Begun::ByPeer(_) => 2,
    };
    let mut rest = stream.to_vec();
    for _ in 0..heads {
        rest = HeadReader::new().push(&rest).unwrap().unwrap().1;
    }
    stream.len() - rest.len()
}

/// Where frames begin and end in a plain stream.
fn boundaries(stream: &[u8], begun: Begun) -> Vec<usize> {
    let start = greeting_len(stream, begun);
    let (frames, ended) = replay::read(&stream[start..], Coding::Plain);
    assert_eq!(ended, Ok(()));
    let mut at = vec![start];
    at.extend(frames.iter().scan(start, |end, frame| {
        *end += frame.wire_len();
        Some(*end)
    }));
    assert_eq!(at.last(), Some(&stream.len()));
    at
}

/// What was said in answer to each frame the peer has left, one every four seconds.
fn answers(talk: &mut Talk) -> Vec<Vec<(LinkId, Frame)>> {
    let to_come = std::mem::take(&mut talk.to_come);
    let answer = |frame| {
        talk.pass(4);
        talk.hear_on(PEER, frame)
    };
    to_come.into_iter().map(answer).collect()
}

fn dropped(node: &Node) -> u64 {
    let all = Drop::ALL.iter();
    all.map(|reason| node.stats().dropped(*reason)).sum()
}

/// The link is gone, and whoever comes next is served as the first was.
fn assert_lives_on(mut talk: Talk, what: &str) {
    talk.hang_up();
    assert_eq!(talk.node.link_count(), 0, "{what}");
    let before = talk.said.len();
    let again = LinkId(2);
    let peer = Box::new(talk.peer.clone());
    talk.give(Event::LinkUp(again, peer));
    assert_eq!(talk.node.link_count(), 1, "{what}");
    assert!(
        talk.said.len() > before,
        "{what}: a new neighbour is greeted"
    );
}

#[test]
fn a_stream_that_is_cut_anywhere_is_answered_as_far_as_it_came() {
    for (role, begun, name) in ALL {
        let stream = captured(&format!("{name}.recv.bin"));
        let mut whole = begin(role, begun, &stream).link();
        let coding = whole.codings.from_peer;
        let whole = answers(&mut whole);
        let cuts: Vec<_> = match coding {
            // Inside a compressed stream no place is like another ...
            Coding::Deflated => (greeting_len(&stream, begun)..stream.len()).collect(),
            // ... and in a plain one only these are: between frames, in a header, before a payload, in one.
            Coding::Plain => boundaries(&stream, begun)
                .windows(2)
                .flat_map(|ends| [ends[0], ends[0] + 1, ends[0] + HEADER_BYTES, ends[1] - 1])
                .collect(),
        };
        let mut heard = 0;
        for cut in cuts {
            let what = format!("{name}, cut at {cut}");
            let mut talk = begin(role, begun, &stream[..cut]).link();
            assert_eq!(talk.ended, Ok(()), "{what}");
            let answers = answers(&mut talk);
            // What ends a compressed stream may hold no more of any frame.
            let most = whole.len() - usize::from(coding == Coding::Plain);
            assert!((heard..=most).contains(&answers.len()), "{what}");
            heard = answers.len();
            assert_eq!(answers, whole[..heard], "{what}");
            assert_eq!(talk.closed, [], "{what}");
            assert_lives_on(talk, &what);
        }
        assert!(
            heard + 1 >= whole.len(),
            "{name}: all but the last came whole"
        );
    }
}

#[test]
fn a_greeting_that_is_cut_anywhere_makes_no_link() {
    for (role, begun, name) in ALL {
        let stream = captured(&format!("{name}.recv.bin"));
        for cut in 0..greeting_len(&stream, begun) {
            let greeted = begin(role, begun, &stream[..cut]);
            assert!(
                matches!(greeted, Greeted::Unfinished),
                "{name}, cut at {cut}"
            );
        }
    }
}

/// A changed byte may change what is said of the peer, or that it is one at all; nothing worse.
#[test]
fn a_greeting_with_any_byte_changed_makes_a_link_or_says_why_not() {
    let mut refused = 0;
    // A call and an answer: all others are like these.
    for (role, begun, name) in [ALL[2], ALL[7]] {
        let stream = captured(&format!("{name}.recv.bin"));
        for at in 0..greeting_len(&stream, begun) {
            for flip in [0x01, 0x80] {
                let mut stream = stream.clone();
                stream[at] ^= flip;
                match begin(role, begun, &stream) {
                    Greeted::Link(talk) => assert_eq!(talk.node.link_count(), 1),
                    Greeted::Unfinished => {}
                    Greeted::Refused(_) | Greeted::Broken(_) => refused += 1,
                }
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn garbage_between_frames_ends_the_link_after_what_came_before_is_answered() {
    for (role, begun, name) in ALL {
        if name.ends_with("deflate") || name == "26-dynamic-query-leaf" {
            continue;
        }
        let stream = captured(&format!("{name}.recv.bin"));
        let whole = answers(&mut begin(role, begun, &stream).link());
        for (frames, at) in boundaries(&stream, begun).into_iter().enumerate() {
            let what = format!("{name}, before frame {frames}");
            let disturbed = [&stream[..at], &[0xFF; 64], &stream[at..]].concat();
            let mut talk = begin(role, begun, &disturbed).link();
            assert!(matches!(talk.ended, Err(Ended::Unframed(_))), "{what}");
            assert_eq!(answers(&mut talk), whole[..frames], "{what}");
            assert_lives_on(talk, &what);
        }
    }
}

/// Frames that are frames, and make no sense inside: each kind there is, and one nobody knows. Not pings: over a link
/// nobody looks into them.
#[test]
fn a_senseless_frame_between_others_is_dropped_for_a_named_reason_and_nothing_else_changes() {
    let mut noise = ChaCha8Rng::seed_from_u64(3);
    for (role, begun, name) in ALL {
        let stream = captured(&format!("{name}.recv.bin"));
        let fresh = || begin(role, begun, &stream).link();
        let mut whole = fresh();
        let expected = answers(&mut whole);
        for kind in [0x01, 0x31, 0x32, 0x40, 0x80, 0x81, 0x55] {
            for before in 0..=expected.len() {
                let mut talk = fresh();
                let mut guid = [0; 16];
                noise.fill_bytes(&mut guid);
                let header = Header {
                    guid: Guid(guid),
                    kind: Kind::from_byte(kind),
                    ttl: 1,
                    hops: 0,
                };
                // Not one of these bytes can stand where a payload of any kind has it.
                let payload = vec![0xFE; 7].into();
                talk.to_come.insert(before, Frame { header, payload });
                let mut answered = answers(&mut talk);
                let what = format!("{name}: kind {kind:02x} before frame {before}");
                assert_eq!(answered.remove(before), [], "{what}");
                assert_eq!(answered, expected, "{what}");
                assert_eq!(talk.closed, [], "{what}");
                assert_eq!(
                    dropped(&talk.node),
                    dropped(&whole.node) + 1,
                    "{what}: {:?}",
                    talk.drops()
                );
            }
        }
    }
}

/// A table whose sequence is broken cannot be mended: it costs the link, with the code that says so.
#[test]
fn a_senseless_routing_update_between_others_costs_the_link_of_whoever_routes() {
    for (role, begun, name) in ALL {
        let stream = captured(&format!("{name}.recv.bin"));
        let frames = begin(role, begun, &stream).link().to_come.len();
        for before in 0..=frames {
            let mut talk = begin(role, begun, &stream).link();
            let header = Header {
                guid: Guid([5; 16]),
                kind: Kind::Qrp,
                ttl: 1,
                hops: 0,
            };
            // PATCH 2 of 1.
            let payload = vec![1, 2, 1, 0, 4, 0].into();
            talk.to_come.insert(before, Frame { header, payload });
            answers(&mut talk);
            let byes: Vec<_> = talk
                .closed
                .iter()
                .map(|(link, bye)| (*link, bye.unwrap().code))
                .collect();
            let expected = match role {
                Role::Leaf => vec![],
                Role::Ultrapeer => vec![(PEER, 413)],
            };
            assert_eq!(byes, expected, "{name}, before frame {before}");
        }
    }
}

#[test]
fn a_compressed_stream_with_any_byte_changed_ends_or_goes_on_and_never_grows() {
    let mut ended = 0;
    for (role, begun, name) in ALL {
        let stream = captured(&format!("{name}.recv.bin"));
        let talk = begin(role, begun, &stream).link();
        if talk.codings.from_peer == Coding::Plain {
            continue;
        }
        for at in greeting_len(&stream, begun)..stream.len() {
            for flip in [0x01, 0xFF] {
                let mut stream = stream.clone();
                stream[at] ^= flip;
                let mut talk = begin(role, begun, &stream).link();
                ended += u32::from(talk.ended.is_err());
                assert!(talk.to_come.len() <= stream.len() / 23 * 10, "{name}, {at}");
                answers(&mut talk);
                assert_lives_on(talk, &format!("{name}, byte {at} changed"));
            }
        }
    }
    assert!(ended > 100, "{ended}");
}
