//! Bodies for fuzzers: plain functions of bytes that panic when a promise of `wire` or of the greeting is
//! broken. `tests/wire_props.rs` runs them under proptest; any other driver can include this file.

#![expect(
    unreachable_pub,
    reason = "a fuzz driver that includes this file calls them"
)]

use std::net::SocketAddr;

use bytes::Bytes;
use filbert::node::address::Net;
use filbert::node::event::{Role, Verdict};
use filbert::node::greet::{Acceptor, Codings, Dialer, Me, Step};
use filbert::wire::frame::{FrameReader, kick_above};
use filbert::wire::ggep::{EXTENSIONS_MAX, Extensions, INFLATED_MAX};
use filbert::wire::heads::{HEAD_BYTES_MAX, HeadReader};
use filbert::wire::magnet::Magnet;
use filbert::wire::thex::Thex;
use filbert::wire::{Frame, HEADER_BYTES, Kind, Message, PAYLOAD_MAX, ServentId, WireError};

/// The first byte says how long the pieces are; the rest is the stream.
fn pieces(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (size, stream) = input
        .split_first()
        .map_or((1, input), |(&size, stream)| (size, stream));
    stream.chunks(usize::from(size).max(1))
}

/// All frames of a stream in pieces, and how it ended.
fn split<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<WireError>) {
    let mut reader = FrameReader::new();
    let mut frames = Vec::new();
    for piece in pieces {
        reader.push(Bytes::copy_from_slice(piece));
        assert!(reader.held() <= HEADER_BYTES + PAYLOAD_MAX + piece.len());
        loop {
            match reader.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        assert!(
            reader.held() < HEADER_BYTES + PAYLOAD_MAX,
            "less than one frame waits"
        );
    }
    (frames, None)
}

/// Any stream in any pieces: the same frames, the same end, the same bytes written, bounded memory.
pub fn frame(input: &[u8]) {
    let stream = input.get(1..).unwrap_or_default();
    let (frames, end) = split(pieces(input));
    assert_eq!(split(std::iter::once(stream)), (frames.clone(), end));
    let written: Vec<u8> = frames.iter().flat_map(Frame::to_vec).collect();
    assert!(stream.starts_with(&written));
    for frame in &frames {
        assert!(frame.payload.len() <= kick_above(frame.header.kind));
        // The mere decoding of what a peer sent must be safe.
        let _ = Message::of(frame);
    }
}

/// Any payload of any kind (the first byte): an error, or a value that writes and reads as itself.
pub fn message(input: &[u8]) {
    let Some((&kind, payload)) = input.split_first() else {
        return;
    };
    let kind = Kind::from_byte(kind);
    let Ok(told) = Message::parse(kind, payload) else {
        return;
    };
    assert_eq!(told.kind(), kind);
    match told.build() {
        Ok(built) => {
            // Flags written in an extended form may grow beyond what is read.
            if built.len() <= filbert::wire::frame::drop_above(kind) {
                assert_eq!(
                    Message::parse(kind, &built).as_ref(),
                    Ok(&told),
                    "{built:02x?}"
                );
            }
        }
        // What was legal in another's words may be too long in ours, or find nothing.
        Err(error) => assert!(matches!(told, Message::Query(_)), "{error}"),
    }
}

/// Any area of extensions: bounded in number and size, and the rest is a part of the area.
pub fn ggep(input: &[u8]) {
    let mut extensions = Extensions::new(input);
    let mut count = 0;
    while let Some(extension) = extensions.next() {
        count += 1;
        assert!(matches!(extension.id.len(), 1..=15));
        if let Ok(value) = extension.value() {
            assert!(value.len() <= INFLATED_MAX.max(input.len()));
        }
        if let Ok(value) = extension.value_within(8) {
            assert!(value.len() <= 8);
        }
        assert!(input.ends_with(extensions.rest()));
    }
    assert!(count <= EXTENSIONS_MAX);
}

/// Any bytes as a head in pieces: the same head as in one, bounded memory, no control characters.
pub fn heads(input: &[u8]) {
    let stream = input.get(1..).unwrap_or_default();
    let whole = HeadReader::new().push(stream);
    let mut reader = HeadReader::new();
    let mut rest: Vec<u8> = Vec::new();
    let mut head = None;
    for piece in pieces(input) {
        if head.is_some() {
            rest.extend_from_slice(piece);
            continue;
        }
        match reader.push(piece) {
            Ok(Some((new, after))) => (head, rest) = (Some(new), after),
            Ok(None) => {}
            Err(error) => {
                assert_eq!(whole, Err(error));
                return;
            }
        }
        assert!(reader.held() <= HEAD_BYTES_MAX);
    }
    if let Some(head) = &head {
        let texts = head.headers().flat_map(|(name, value)| [name, value]);
        assert!(
            !texts
                .chain([head.first_line.as_str()])
                .any(|text| text.contains(char::is_control))
        );
        let _ = (head.request_line(), head.status_line());
    }
    assert_eq!(whole, Ok(head.map(|head| (head, rest))));
}

/// Any bytes to both sides of a greeting, and to an acceptor that has accepted, on a LAN and in both roles of the
/// live network.
pub fn greeting(input: &[u8]) {
    for (net, role) in [
        (Net::Lan, Role::Ultrapeer),
        (Net::Gnutella, Role::Ultrapeer),
        (Net::Gnutella, Role::Leaf),
    ] {
        greeting_as(input, net, role);
    }
}

fn greeting_as(input: &[u8], net: Net, role: Role) {
    let remote = SocketAddr::from(([127, 0, 0, 2], 2));
    let local = [127, 0, 0, 1].into();
    let me = || Me {
        net,
        role,
        agent: "filbert/fuzz".into(),
        servent: ServentId([7; 16]),
        listen: Some(SocketAddr::from(([0, 0, 0, 0], 1))),
        max_ttl: 4,
        degree: 16,
        ext_probes: true,
        encryption: filbert::node::greet::Encryption::Offered,
    };
    let (mut dialer, first) = Dialer::new(me(), remote, local);
    for piece in pieces(input) {
        if dialer.read(piece) != Ok(Step::NeedMore) {
            break;
        }
    }
    let mut fresh = Acceptor::new(me(), remote, local);
    let mut accepted = Acceptor::new(me(), remote, local);
    assert!(matches!(accepted.read(&first), Ok(Step::Offer(_))));
    assert!(!accepted.answer(&Verdict::Accept).is_empty());
    for acceptor in [&mut fresh, &mut accepted] {
        for piece in pieces(input) {
            match acceptor.read(piece) {
                Ok(Step::NeedMore) => {}
                Ok(Step::Offer(peer)) => {
                    assert!(peer.agent.chars().count() <= 64 && peer.try_peers.len() <= 20);
                    assert!(acceptor.answer(&Verdict::Accept).ends_with(b"\r\n\r\n"));
                }
                Ok(Step::Done { codings, .. }) => {
                    assert!(net != Net::Lan || codings == Codings::default());
                    break;
                }
                Ok(Step::Refused { .. }) | Err(_) => break,
            }
        }
    }
}

/// Any text as a magnet link: an error, or a link that writes and reads as itself.
pub fn magnet(input: &[u8]) {
    if let Ok(link) = String::from_utf8_lossy(input).parse::<Magnet>() {
        // Percent-encoding may make it longer than what is read.
        match link.to_string().parse::<Magnet>() {
            Ok(again) => assert_eq!(again, link),
            Err(error) => assert_eq!(error, WireError::Limit("magnet link")),
        }
    }
}

/// Any body of a hash tree: refused, or a value that writes and reads as itself.
pub fn tree(input: &[u8]) {
    if let Ok(tree) = Thex::decode(input) {
        assert_eq!(Thex::decode(&tree.encode([7; 16])), Ok(tree));
    }
}
