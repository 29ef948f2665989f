//! Our reading of what gtk-gnutella sends, against an independent one (`tests/captures/README.md`).
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use filbert::disk::tree::{HashTree, TreeHasher};
use filbert::node::address::Net;
use filbert::node::event::{Direction, Role, Verdict};
use filbert::node::greet::{Acceptor, Coding, Codings, Dialer, GreetError, Me, Step};
use filbert::wire::deflate::{Inflated, Inflater};
use filbert::wire::heads::HeadReader;
use filbert::wire::hit::QueryHit;
use filbert::wire::qrp::{Packing, Qrp};
use filbert::wire::thex::Thex;
use filbert::wire::urn::tiger_from_base32;
use filbert::wire::vendor::{Vendor, VendorId};
use filbert::wire::{Frame, FrameReader, Guid, Kind, Message, ServentId, WireError};

/// Descriptors in all captured streams together, by the probe's count.
const DESCRIPTORS: [(&str, usize); 8] = [
    ("BYE", 1),
    ("PING", 29),
    ("PONG", 27),
    ("PUSH", 1),
    ("QRP", 37),
    ("QUERY", 59),
    ("QUERY-HIT", 39),
    ("VMSG", 42),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures/gtk-gnutella")
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn frames(stream: &[u8]) -> Vec<Frame> {
    let mut reader = FrameReader::new();
    reader.push(Bytes::copy_from_slice(stream));
    let frames = std::iter::from_fn(|| reader.next_frame().unwrap()).collect();
    assert_eq!(reader.held(), 0, "the stream ends with a whole frame");
    frames
}

/// One side of a capture, as the probe tells it.
struct Told {
    file: String,
    /// Lines of descriptors, each with the lines that belong to it.
    descriptors: Vec<String>,
    deflated: bool,
}

impl Told {
    /// Both sides of a `.decoded.txt`.
    fn read(name: &str) -> [Self; 2] {
        let text = String::from_utf8(bytes(&format!("{name}.decoded.txt"))).unwrap();
        let (sent, received) = text
            .split_once("=== bytes the peer sent")
            .unwrap_or((&text, ""));
        [
            ("sent", "sent.plain", sent),
            ("recv", "recv.inflated", received),
        ]
        .map(|(plain, inflated, part)| {
            let deflated = part.contains("(deflate layer starts");
            let mut descriptors: Vec<String> = Vec::new();
            for line in part.lines() {
                if line.starts_with("    @") {
                    descriptors.push(line.trim().to_owned());
                } else if line.starts_with("         ") {
                    write!(descriptors.last_mut().unwrap(), "\n{}", line.trim()).unwrap();
                }
            }
            let side = if deflated { inflated } else { plain };
            Self {
                file: format!("{name}.{side}.bin"),
                descriptors,
                deflated,
            }
        })
    }

    fn stream(&self) -> Vec<u8> {
        let mut stream = bytes(&self.file);
        while !self.deflated && stream.starts_with(b"GNUTELLA") {
            stream = HeadReader::new()
                .push(&stream)
                .unwrap()
                .expect("a whole head")
                .1;
        }
        stream
    }
}

/// All captures that hold descriptors.
fn all_told() -> Vec<Told> {
    let mut names: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| {
            entry
                .unwrap()
                .file_name()
                .to_str()?
                .strip_suffix(".decoded.txt")
                .map(str::to_owned)
        })
        .collect();
    names.sort();
    let told = names.iter().flat_map(|name| Told::read(name));
    told.filter(|told| !told.descriptors.is_empty()).collect()
}

/// A frame in the words of the probe; as far as these go, for some lines say more.
fn in_its_words(frame: &Frame) -> Vec<String> {
    let header = frame.header;
    let kind = match header.kind {
        Kind::QueryHit => "QUERY-HIT".to_owned(),
        Kind::Vendor => "VMSG".to_owned(),
        kind => kind.name().to_uppercase(),
    };
    let (ttl, hops, size) = (header.ttl, header.hops, frame.payload.len());
    let start = format!(
        "{kind:<9} ttl={ttl} hops={hops} size={size} guid={}",
        header.guid
    );
    let mut words = vec![start];
    match Message::of(frame) {
        Err(WireError::Malformed("QRP reset")) => words.push("RESET slots=1000 infinity=7".into()),
        Err(error) => panic!("{error}: {frame:?}"),
        Ok(Message::Ping(ping)) => {
            words.extend(ping.wants_hosts.map(|flags| format!("SCP=0x{flags:02x}")));
        }
        Ok(Message::Pong(pong)) => {
            words.push(format!(
                "{} files={} kb={}",
                pong.addr, pong.files, pong.kilobytes
            ));
            words.extend(
                pong.ultrapeer
                    .map(|(leaves, peers)| format!("UP=0x02{leaves:02x}{peers:02x}")),
            );
        }
        Ok(Message::Bye(bye)) => words.push(format!("code {} b'{}", bye.code, bye.text)),
        Ok(Message::Push(push)) => {
            words.push(format!(
                "servent={} index={} to {}",
                push.servent, push.index, push.addr
            ));
        }
        Ok(Message::Query(query)) => {
            let text = if query.text.is_empty() {
                r"\\"
            } else {
                &query.text
            };
            words.push(format!("flags=0x{:04x} text='{text}'", query.flags.0));
            words.extend(
                query
                    .sha1s
                    .iter()
                    .map(|sha1| format!("sha1:{}", sha1.to_base32())),
            );
        }
        Ok(Message::QueryHit(hit)) => words.extend(hit_in_its_words(&hit)),
        Ok(Message::Qrp(Qrp::Reset { entries, infinity })) => {
            words.push(format!("RESET slots={entries} infinity={infinity}"));
        }
        Ok(Message::Qrp(Qrp::Patch {
            number,
            of,
            packing,
            entry_bits,
            data,
        })) => {
            let packing = u8::from(packing == Packing::Deflated);
            let len = data.len();
            words.push(format!(
                "PATCH seq {number}/{of} compressor={packing} bits={entry_bits} data={len} bytes"
            ));
        }
        Ok(Message::Vendor(vendor)) => words.extend(vendor_in_its_words(&vendor)),
        Ok(other) => panic!("nobody sent {other:?}"),
    }
    words
}

fn hit_in_its_words(hit: &QueryHit) -> Vec<String> {
    let vendor = String::from_utf8_lossy(&hit.vendor);
    let count = hit.records.len();
    let mut words = vec![
        format!(
            "{count} hit(s) from {} speed={} vendor={vendor} open=",
            hit.addr, hit.speed_kbps
        ),
        format!(" guid={}", hit.servent),
    ];
    words.extend(hit.browse.then(|| "BH=0x".to_owned()));
    for record in &hit.records {
        let sha1 = record.sha1.expect("every record has one");
        words.push(format!(
            "#{} {} bytes '{}'  '{sha1}'",
            record.index, record.size, record.name
        ));
        words.extend(
            record
                .tiger
                .map(|root| format!("TT=0x{}", data_encoding::HEXLOWER.encode(&root))),
        );
        words.extend(record.created.map(|time| {
            let bytes = u32::try_from(time).unwrap().to_le_bytes();
            format!("CT=0x{}", data_encoding::HEXLOWER.encode(&bytes))
        }));
    }
    words
}

fn vendor_in_its_words(message: &Vendor<'_>) -> Vec<String> {
    let word = |id: &VendorId| {
        let vendor = if id.vendor == [0; 4] {
            "0000".into()
        } else {
            String::from_utf8_lossy(&id.vendor)
        };
        format!("{vendor}/{}v{}", id.selector, id.version)
    };
    let mut words = vec![word(&message.id())];
    match message {
        Vendor::MessagesSupported(all) => {
            words.push("(Messages Supported)".to_owned());
            words.push(all.iter().map(word).collect::<Vec<_>>().join(", "));
        }
        Vendor::FeaturesSupported(all) => {
            let hex = |feature: &filbert::wire::vendor::Feature| {
                let bytes = [&feature.name[..], &feature.version.to_le_bytes()].concat();
                data_encoding::HEXLOWER.encode(&bytes)
            };
            words.push("(Features Supported)".to_owned());
            words.push(all.iter().map(hex).collect());
        }
        Vendor::HitsReady { results, .. } => words.push(format!("{results} hits ready")),
        Vendor::HitsWanted { results, .. } => words.push(format!("{results} hits wanted")),
        Vendor::TreeLink(chosen) => words.push(format!("tree link {chosen}")),
        Vendor::HopsFlow(hops) => words.push(format!("{hops}")),
        Vendor::TcpConnectBack(port) | Vendor::UdpConnectBack { port, .. } => {
            words.push(format!("{port}"));
        }
        Vendor::QueryStatusResponse(kept) => words.push(format!("{kept}")),
        Vendor::PushProxyAck(addr) => words.push(format!("{addr}")),
        Vendor::QueryStatusRequest | Vendor::PushProxyRequest | Vendor::PushProxyCancel => {
            words.push(String::new());
        }
        Vendor::Other(_, data) => words.push(data_encoding::HEXLOWER.encode(data)),
    }
    words
}

#[test]
fn every_captured_descriptor_reads_as_the_probe_read_it() {
    let mut counts = DESCRIPTORS.map(|(kind, _)| (kind, 0));
    for told in all_told() {
        let stream = told.stream();
        let frames = frames(&stream);
        assert_eq!(frames.len(), told.descriptors.len(), "{}", told.file);
        for (frame, line) in frames.iter().zip(&told.descriptors) {
            for words in in_its_words(frame) {
                assert!(
                    line.contains(&words),
                    "{}: we read {words:?}, the probe\n{line}",
                    told.file
                );
            }
            let kind = line.split_whitespace().nth(1).unwrap();
            counts
                .iter_mut()
                .find(|(known, _)| *known == kind)
                .unwrap()
                .1 += 1;
        }
        let again: Vec<u8> = frames.iter().flat_map(Frame::to_vec).collect();
        assert_eq!(
            again, stream,
            "{}: frames are written as they came",
            told.file
        );
    }
    assert_eq!(counts, DESCRIPTORS);
}

#[test]
fn what_the_hits_of_gtk_gnutella_say() {
    let [_, told] = Told::read("20-queries-and-hits");
    let hits: Vec<_> = frames(&told.stream())
        .iter()
        .filter(|frame| frame.header.kind == Kind::QueryHit)
        .map(|frame| QueryHit::parse(&frame.payload).unwrap())
        .collect();
    let hit = &hits[0];
    assert_eq!(
        (hit.push, hit.busy, hit.browse, &hit.vendor),
        (Some(false), Some(false), true, b"GTKG")
    );
    let record = &hit.records[1];
    assert_eq!(
        (record.name.as_str(), record.size, record.index),
        ("walrus song beta.mp3", 300_000, 1)
    );
    assert_eq!(
        record.sha1.unwrap().to_base32(),
        "ZC5SSV3F7ID5PVELESIVHBOQBB6WZK4Y"
    );
    let root = tiger_from_base32("V7CTQVJFGOEA2S2TS2QPC7YEUQPL7MNW54TT7KI").unwrap();
    assert_eq!(
        (record.tiger, record.created),
        (Some(root), Some(1_795_359_720))
    );
    assert!(
        hits.iter()
            .any(|hit| hit.records[0].name == "Ünïcode näme tëst.txt")
    );
    // What we write of it reads the same.
    for hit in hits {
        assert_eq!(QueryHit::parse(&hit.build()), Ok(hit));
    }
}

#[test]
fn a_browsed_host_answers_in_hits() {
    let body = HeadReader::new()
        .push(&bytes("40-browse-host-packets.recv.bin"))
        .unwrap()
        .unwrap()
        .1;
    let hits = frames(&unchunked(&body));
    assert!(hits.iter().all(|frame| frame.header.guid == Guid([0; 16])));
    let names: Vec<_> = hits
        .iter()
        .flat_map(|frame| QueryHit::parse(&frame.payload).unwrap().records)
        .map(|record| record.name)
        .collect();
    assert_eq!(names.len(), 5);
    assert!(names.iter().any(|name| name == "quartz manual.pdf"));
}

/// Joins the chunks of a body.
fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut joined = Vec::new();
    loop {
        let line = body
            .windows(2)
            .position(|two| two == b"\r\n")
            .expect("a chunk's length");
        let len = usize::from_str_radix(std::str::from_utf8(&body[..line]).unwrap(), 16).unwrap();
        if len == 0 {
            return joined;
        }
        joined.extend_from_slice(&body[line + 2..line + 2 + len]);
        body = &body[line + 2 + len + 2..];
    }
}

fn me() -> Me {
    me_on(Net::Lan, Role::Ultrapeer)
}

fn me_on(net: Net, role: Role) -> Me {
    Me {
        net,
        role,
        agent: "filbert/test".into(),
        servent: ServentId::from_random([1; 16]),
        listen: Some(SocketAddr::from(([127, 0, 9, 1], 6399))),
        max_ttl: 4,
        degree: 16,
        ext_probes: false,
        encryption: filbert::node::greet::Encryption::Never,
    }
}

/// What our dialler makes of everything that gtk-gnutella answered.
fn dial(name: &str) -> Result<Step, GreetError> {
    dial_as(me(), name)
}

fn dial_as(me: Me, name: &str) -> Result<Step, GreetError> {
    let remote = SocketAddr::from(([127, 0, 0, 1], 6346));
    let (mut dialer, _) = Dialer::new(me, remote, [127, 0, 9, 1].into());
    dialer.read(&bytes(&format!("{name}.recv.bin")))
}

/// What our acceptor makes of the first head of a stream; and the rest of the stream.
fn accept(file: &str) -> (Acceptor, Result<Step, GreetError>, Vec<u8>) {
    accept_as(me(), file)
}

fn accept_as(me: Me, file: &str) -> (Acceptor, Result<Step, GreetError>, Vec<u8>) {
    let stream = bytes(file);
    let rest = HeadReader::new().push(&stream).unwrap().unwrap().1;
    let mut acceptor = Acceptor::new(
        me,
        SocketAddr::from(([127, 0, 0, 1], 40_000)),
        [127, 0, 9, 1].into(),
    );
    let step = acceptor.read(&stream[..stream.len() - rest.len()]);
    (acceptor, step, rest)
}

#[test]
fn answers_of_gtk_gnutella_replay_against_our_dialler() {
    for name in [
        "01-probe-ultra-to-ultra",
        "20-queries-and-hits",
        "22-pings-and-pongs",
        "50-query-hit-push",
    ] {
        let Ok(Step::Done {
            peer, reply, rest, ..
        }) = dial(name)
        else {
            panic!("{name}")
        };
        assert!(
            peer.agent
                .starts_with("gtk-gnutella/1.2.3-14-ga331a-dirty (2024-03-03; Topless")
        );
        assert_eq!(peer.agent.chars().count(), 64);
        assert_eq!(
            peer.servent,
            ServentId::from_hex("c91a310276cb2e32267fb076410e15ae")
        );
        assert_eq!((peer.role, peer.max_ttl), (Role::Ultrapeer, 4));
        assert!(peer.bye && peer.vendor_messages && peer.ext_probes);
        assert_eq!(reply, b"GNUTELLA/0.6 200 OK\r\n\r\n");
        assert_eq!(frames(&rest), frames(&Told::read(name)[1].stream()));
    }
    for (name, status, text) in [
        ("04-refused-normal-node", 403, "Normal nodes refused"),
        (
            "05-refused-leaf-without-deflate",
            403,
            "Gnet connection not compressed",
        ),
        ("06-refused-leaf-by-leaf", 204, "Shielded leaf node"),
        ("08-refused-g2-only", 406, "Protocol not acceptable"),
        ("09-refused-banned", 429, "Banned for 5m 0s"),
    ] {
        let Ok(Step::Refused {
            code,
            text: said,
            reply,
            ..
        }) = dial(name)
        else {
            panic!("{name}")
        };
        assert_eq!((code, reply.len()), (status, 0), "{name}");
        assert!(said.starts_with(text), "{said}");
    }
    // These asked for deflate, which we do not on a LAN.
    for name in [
        "02-probe-ultra-to-ultra-deflate",
        "03-probe-leaf-to-ultra-deflate",
    ] {
        assert_eq!(
            dial(name),
            Err(GreetError::NotOffered("Content-Encoding")),
            "{name}"
        );
    }
}

#[test]
fn offers_of_gtk_gnutella_replay_against_our_acceptor() {
    for (name, role, listen) in [
        ("11-ultra-dials-probe", Role::Ultrapeer, [127, 0, 0, 1]),
        ("13-leaf-dials-probe", Role::Leaf, [127, 0, 0, 9]),
    ] {
        let (mut acceptor, step, rest) = accept(&format!("{name}.recv.bin"));
        let Ok(Step::Offer(peer)) = step else {
            panic!("{name}: {step:?}")
        };
        assert_eq!(
            (peer.role, peer.direction),
            (role, Direction::Accepted),
            "{name}"
        );
        assert_eq!(peer.listen.map(|addr| addr.ip()), Some(listen.into()));
        assert!(
            acceptor
                .answer(&Verdict::Accept)
                .starts_with(b"GNUTELLA/0.6 200 OK\r\n")
        );
        let Ok(Step::Done { rest, .. }) = acceptor.read(&rest) else {
            panic!("{name}")
        };
        assert_eq!(frames(&rest), frames(&Told::read(name)[1].stream()));
    }
    // It confirmed the deflate that the probe, not we, had offered.
    let (mut acceptor, step, rest) = accept("12-ultra-dials-probe-deflate.recv.bin");
    assert!(matches!(step, Ok(Step::Offer(_))));
    acceptor.answer(&Verdict::Accept);
    assert_eq!(
        acceptor.read(&rest),
        Err(GreetError::NotOffered("Content-Encoding"))
    );
    let (_, step, rest) = accept("14-probe-answers-503.recv.bin");
    assert!(matches!(step, Ok(Step::Offer(_))) && rest.is_empty());
}

fn codings(from_peer: Coding, to_peer: Coding) -> Codings {
    Codings { from_peer, to_peer }
}

/// The frames behind a greeting, inflated if they are deflated.
fn frames_behind(rest: &[u8], coding: Coding) -> Vec<Frame> {
    match coding {
        Coding::Plain => frames(rest),
        Coding::Deflated => {
            let mut inflated = Vec::new();
            let outcome = Inflater::default().inflate(rest, &mut inflated, 1 << 20);
            assert_eq!(outcome, Ok(Inflated::All));
            frames(&inflated)
        }
    }
}

#[test]
fn answers_of_gtk_gnutella_on_the_live_network_make_links_in_both_roles() {
    // The probe did not say that it reads deflate in 01, and did in 02 and 03.
    for (role, name, from_peer) in [
        (Role::Ultrapeer, "01-probe-ultra-to-ultra", Coding::Plain),
        (
            Role::Ultrapeer,
            "02-probe-ultra-to-ultra-deflate",
            Coding::Deflated,
        ),
        (
            Role::Leaf,
            "03-probe-leaf-to-ultra-deflate",
            Coding::Deflated,
        ),
    ] {
        let Ok(Step::Done {
            peer,
            codings: found,
            upgrade: false,
            reply,
            rest,
        }) = dial_as(me_on(Net::Gnutella, role), name)
        else {
            panic!("{name}")
        };
        assert_eq!(found, codings(from_peer, Coding::Deflated), "{name}");
        assert_eq!(
            reply,
            b"GNUTELLA/0.6 200 OK\r\nContent-Encoding: deflate\r\n\r\n"
        );
        assert_eq!((peer.role, peer.degree), (Role::Ultrapeer, 46));
        assert!(peer.query_routing && peer.ultrapeer_query_routing && peer.dynamic_querying);
        assert_eq!(peer.guides_to, Some(Role::Ultrapeer));
        let told = frames(&Told::read(name)[1].stream());
        assert_eq!(frames_behind(&rest, from_peer), told, "{name}");
    }
    let refused = dial_as(me_on(Net::Gnutella, Role::Leaf), "06-refused-leaf-by-leaf");
    assert!(matches!(refused, Ok(Step::Refused { code: 204, .. })));
}

#[test]
fn offers_of_gtk_gnutella_on_the_live_network_make_links_in_both_roles() {
    for (name, theirs, from_peer) in [
        ("11-ultra-dials-probe", Role::Ultrapeer, Coding::Plain),
        (
            "12-ultra-dials-probe-deflate",
            Role::Ultrapeer,
            Coding::Deflated,
        ),
        ("13-leaf-dials-probe", Role::Leaf, Coding::Plain),
    ] {
        for ours in [Role::Leaf, Role::Ultrapeer] {
            let me = me_on(Net::Gnutella, ours);
            let (mut acceptor, step, rest) = accept_as(me, &format!("{name}.recv.bin"));
            let Ok(Step::Offer(peer)) = step else {
                panic!("{name}: {step:?}")
            };
            assert_eq!(peer.role, theirs);
            let answer = acceptor.answer(&Verdict::Accept);
            let (answer, _) = HeadReader::new().push(&answer).unwrap().unwrap();
            assert_eq!(answer.get("Content-Encoding"), Some("deflate"));
            let needed = (ours, theirs) == (Role::Ultrapeer, Role::Ultrapeer);
            assert_eq!(answer.get("X-Ultrapeer-Needed").is_some(), needed);
            let Ok(Step::Done {
                codings: found,
                rest,
                ..
            }) = acceptor.read(&rest)
            else {
                panic!("{name}")
            };
            assert_eq!(found, codings(from_peer, Coding::Deflated), "{name}");
            let told = frames(&Told::read(name)[1].stream());
            assert_eq!(frames_behind(&rest, from_peer), told, "{name}");
        }
    }
    let me = me_on(Net::Gnutella, Role::Ultrapeer);
    let (mut acceptor, step, _) = accept_as(me, "14-probe-answers-503.recv.bin");
    assert!(matches!(step, Ok(Step::Offer(_))));
    let full = acceptor.answer(&Verdict::Refuse {
        code: 503,
        text: "Too many links",
        try_peers: Vec::new(),
    });
    assert!(full.starts_with(b"GNUTELLA/0.6 503 Too many links\r\n"));
}

#[test]
fn what_gtk_gnutella_refused_of_the_probe_we_refuse_too() {
    for (name, status) in [
        ("04-refused-normal-node", 403),
        ("07-refused-0.4", 503),
        ("08-refused-g2-only", 406),
    ] {
        let (_, step, _) = accept(&format!("{name}.sent.bin"));
        let Ok(Step::Refused { code, reply, .. }) = step else {
            panic!("{name}: {step:?}")
        };
        assert_eq!(code, status, "{name}");
        assert!(reply.starts_with(format!("GNUTELLA/0.6 {status} ").as_bytes()));
    }
    let (_, step, _) = accept("06-refused-leaf-by-leaf.sent.bin");
    assert!(matches!(step, Ok(Step::Offer(peer)) if peer.role == Role::Leaf));
}

#[test]
fn heads_of_http_and_of_a_pushed_connection_read_the_same_way() {
    let head = |file: &str| HeadReader::new().push(&bytes(file)).unwrap().unwrap();
    for (name, status) in [
        ("30-http-n2r-range", 206),
        ("32-http-head", 200),
        ("33-http-404", 404),
        ("43-http-busy-no-queue", 503),
    ] {
        let (answer, _) = head(&format!("{name}.recv.bin"));
        assert_eq!(answer.status_line().unwrap().code, status, "{name}");
        let (request, rest) = head(&format!("{name}.sent.bin"));
        assert_eq!(request.request_line().unwrap().version, "HTTP/1.1");
        assert!(rest.is_empty());
    }
    let (giv, rest) = head("51-giv-upload.recv.bin");
    assert_eq!(
        giv.first_line,
        "GIV 3:c91a310276cb2e32267fb076410e15ae/file"
    );
    assert!(rest.starts_with(b"HTTP/1.1 206"));
}

#[test]
fn the_tree_that_gtk_gnutella_served_is_believed_and_ours_looks_like_it() {
    let stream = bytes("36-http-thex.recv.bin");
    let (head, body) = HeadReader::new().push(&stream).unwrap().unwrap();
    assert_eq!(head.get("content-type"), Some("application/dime"));
    let wanted = tiger_from_base32("V7CTQVJFGOEA2S2TS2QPC7YEUQPL7MNW54TT7KI").unwrap();
    let tree = HashTree::from_dime(&body, 300_000, &wanted).unwrap();
    assert_eq!((tree.blocks(), tree.block_bytes()), (2, 262_144));
    assert_eq!(Thex::decode(&body).unwrap(), tree.to_thex());
    // The file behind that tree is not kept here: one of the same size has an answer of the same form.
    let mut hasher = TreeHasher::for_file(300_000);
    hasher.update(&vec![0; 300_000]);
    assert_eq!(hasher.finish().blocks(), tree.blocks());
    // Ours differs in nothing but the id.
    let without_id = |body: &[u8]| {
        let mut body = body.to_vec();
        let mut at = 0;
        while let Some(found) = body[at..].windows(5).position(|part| part == b"uuid:") {
            at += found + 5;
            body[at..at + 36].fill(b'x');
        }
        body
    };
    assert_eq!(without_id(&tree.to_dime()), without_id(&body));
}
