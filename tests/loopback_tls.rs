//! TLS on links and for files, between nodes of ours and with a client of rustls' own on the other side.
#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod nodes;
mod raw;
mod tap;
mod tls_client;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use filbert::control::{Reply, Request};
use filbert::disk::store::Home;
use filbert::net::browse::browse_sealed;
use filbert::net::download::{Cancel, Job, Seal, Source, fetch};
use filbert::net::{Listen, Settings};
use filbert::node::Config;
use filbert::node::address::Net;
use filbert::node::event::Role;
use filbert::node::greet::Encryption;
use filbert::wire::ping::Pong;
use filbert::wire::push::Push;
use filbert::wire::vendor::{Feature, Vendor};
use filbert::wire::{Kind, Sha1};
use nodes::{Node, SOON};
use raw::Raw;
use sha1::Digest;
use tap::Tap;
use tls_client::{Client, head_of};

const TEXT: &str = "sweet, and plainly to be seen by everybody on the way";

fn live(role: Role, encryption: Encryption) -> Config {
    Config {
        net: Net::Rehearsal,
        encryption,
        ..Config::live(role)
    }
}

fn hub() -> Node {
    Node::start(&[], live(Role::Ultrapeer, Encryption::Offered))
}

/// A leaf that shares `hazelnut spread.txt`; it lives as long as its folders.
fn sharer(config: Config) -> (Node, [tempfile::TempDir; 2]) {
    sharer_of(config, TEXT.as_bytes())
}

fn sharer_of(config: Config, content: &[u8]) -> (Node, [tempfile::TempDir; 2]) {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    std::fs::write(dirs[0].path().join("hazelnut spread.txt"), content).unwrap();
    let node = Node::with(Settings {
        config,
        listen: Listen::Fixed("127.0.0.1:0".parse().unwrap()),
        home: Some(Home::at(dirs[1].path()).unwrap()),
        shares: vec![dirs[0].path().to_path_buf().into()],
        ..Settings::default()
    });
    assert!(node.servent.wait_hashed(SOON));
    (node, dirs)
}

fn encrypted(node: &Node) -> Vec<bool> {
    node.peers().iter().map(|peer| peer.encrypted).collect()
}

#[test]
fn a_search_between_nodes_of_the_live_network_goes_encrypted_over_every_link() {
    let (sharer, _dirs) = sharer(live(Role::Leaf, Encryption::Offered));
    let hub = hub();
    // Both links pass a place where somebody listens.
    let [one, two] = [Tap::to(hub.addr()), Tap::to(hub.addr())];
    sharer.ask(Request::PeerAdd {
        addr: one.addr,
        net: None,
    });
    let asker = Node::start(&[two.addr], live(Role::Leaf, Encryption::Offered));
    asker.until_links(1);
    hub.until_links(2);
    assert_eq!(encrypted(&hub), [true, true]);
    let packed = |peer: &filbert::control::Peer| peer.compressed_in && peer.compressed_out;
    assert!(hub.peers().iter().all(packed));
    assert_eq!(
        (encrypted(&sharer), encrypted(&asker)),
        (vec![true], vec![true])
    );
    // Until the sharer's routing table is in, the hub gives it no queries.
    asker.until("hit", |asker| {
        let mut replies = asker.servent.request(Request::search("hazelnut"));
        std::iter::from_fn(|| replies.next(Duration::from_millis(500)))
            .find(|reply| matches!(reply, Reply::Hit(_)))
    });
    for tap in [one, two] {
        assert!(
            tap.has_heard(b"Content-Encoding: deflate"),
            "compressed inside"
        );
        let mut encrypted = 0;
        // A call that is refused as the second one of the same node ends after its heads.
        for direction in tap.heard() {
            let heads = direction.windows(4).rposition(|end| end == b"\r\n\r\n");
            let behind = &direction[heads.map_or(0, |at| at + 4)..];
            assert!(are_records(behind), "{}", behind.escape_ascii());
            encrypted += usize::from(!behind.is_empty());
        }
        assert_eq!(encrypted, 2, "both directions of the link");
    }
}

/// Are these records of TLS, and nothing else? The last may not be whole yet.
fn are_records(mut bytes: &[u8]) -> bool {
    while let [kind, major, minor, high, low, rest @ ..] = bytes {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        if !matches!(kind, 0x14..=0x17) || *major != 3 || *minor > 4 || len > 16_640 {
            return false;
        }
        bytes = rest.get(len..).unwrap_or_default();
    }
    true
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn who_has_no_tls_is_linked_to_in_clear_whoever_calls() {
    for [called, calling] in [
        [Encryption::Never, Encryption::Offered],
        [Encryption::Offered, Encryption::Never],
        [Encryption::Accepted, Encryption::Accepted],
    ] {
        let hub = Node::start(&[], live(Role::Ultrapeer, called));
        let leaf = Node::start(&[hub.addr()], live(Role::Leaf, calling));
        leaf.until_links(1);
        hub.until_links(1);
        assert_eq!(
            (encrypted(&hub), encrypted(&leaf)),
            (vec![false], vec![false])
        );
        assert_eq!(
            hub.counters()
                .dropped
                .get("tls_failed")
                .copied()
                .unwrap_or(0),
            0
        );
    }
}

#[test]
fn on_a_lan_tls_is_given_to_who_asks_and_asked_for_by_nobody() {
    let node = Node::alone();
    let other = Node::start(&[node.addr()], Config::default());
    other.until_links(1);
    assert_eq!(encrypted(&other), [false]);
    let asking = Config {
        encryption: Encryption::Offered,
        ..Config::default()
    };
    let third = Node::start(&[node.addr()], asking);
    let peers = third.until("link", |third| {
        Some(third.peers()).filter(|peers| peers.iter().any(|peer| peer.addr == node.addr()))
    });
    assert!(
        peers
            .iter()
            .find(|peer| peer.addr == node.addr())
            .unwrap()
            .encrypted
    );
}

#[test]
fn a_link_comes_up_on_a_connection_that_is_tls_from_the_first_byte() {
    let node = hub();
    let mut client = Client::connect(node.addr());
    // Inside, an offer of TLS means nothing any more.
    client.send(b"GNUTELLA CONNECT/0.6\r\nX-Ultrapeer: True\r\nUpgrade: TLS/1.0\r\n\r\n");
    let answer = client.head();
    assert!(answer.starts_with("GNUTELLA/0.6 200 "), "{answer}");
    assert!(!answer.contains("Upgrade"), "{answer}");
    client.send(b"GNUTELLA/0.6 200 OK\r\n\r\n");
    assert!(node.until_links(1)[0].encrypted);
    client.send(&raw::frame(Kind::Ping, 9, 1, 0, b""));
    assert_eq!(client.next_of(Kind::Pong).header.guid.0, [9; 16]);
}

#[test]
fn a_neighbour_is_told_that_our_listener_takes_tls_and_only_then() {
    for (encryption, told) in [(Encryption::Offered, true), (Encryption::Never, false)] {
        let node = Node::start(&[], live(Role::Ultrapeer, encryption));
        let mut raw = Raw::connect(node.addr());
        raw.offer("X-Ultrapeer: True\r\nVendor-Message: 0.1\r\n");
        raw.send(b"GNUTELLA/0.6 200 OK\r\n\r\n");
        let tls = Feature {
            name: *b"TLS!",
            version: 1,
        };
        let first = raw.next_of(Kind::Vendor);
        assert!(matches!(
            Vendor::parse(&first.payload),
            Ok(Vendor::MessagesSupported(_))
        ));
        if told {
            let features = raw.next_of(Kind::Vendor);
            assert_eq!(
                Vendor::parse(&features.payload),
                Ok(Vendor::FeaturesSupported(vec![tls]))
            );
        }
        raw.send(&raw::frame(Kind::Ping, 9, 1, 0, b""));
        let pong = Pong::parse(&raw.next_of(Kind::Pong).payload).unwrap();
        assert_eq!(pong.tls, told);
    }
}

#[test]
fn a_caller_is_upgraded_as_it_asks_even_if_it_does_not_wait_before_its_first_record() {
    for at_once in [true, false] {
        let node = hub();
        let mut stream = TcpStream::connect(node.addr()).unwrap();
        stream
            .write_all(b"GNUTELLA CONNECT/0.6\r\nX-Ultrapeer: True\r\nUpgrade: TLS/1.0\r\n\r\n")
            .unwrap();
        let answer = head_of(&mut stream);
        assert!(answer.contains("\r\nUpgrade: TLS/1.0\r\n"), "{answer}");
        assert!(answer.contains("\r\nConnection: Upgrade\r\n"), "{answer}");
        assert!(answer.contains("tls/1.0"), "{answer}");
        let third = b"GNUTELLA/0.6 200 OK\r\nConnection: Upgrade\r\n\r\n";
        let mut client = if at_once {
            Client::over_behind(stream, third)
        } else {
            stream.write_all(third).unwrap();
            Client::over(stream)
        };
        client.send(&raw::frame(Kind::Ping, 9, 1, 0, b""));
        assert_eq!(client.next_of(Kind::Pong).header.guid.0, [9; 16]);
        assert!(node.until_links(1)[0].encrypted);
    }
}

#[test]
fn a_confirmation_without_the_switch_stays_in_clear() {
    let node = hub();
    let mut raw = Raw::connect(node.addr());
    let answer = raw.offer("X-Ultrapeer: True\r\nUpgrade: TLS/1.0\r\n");
    assert!(answer.contains("Connection: Upgrade"), "{answer}");
    raw.send(b"GNUTELLA/0.6 200 OK\r\n\r\n");
    raw.send(&raw::frame(Kind::Ping, 9, 1, 0, b""));
    assert_eq!(raw.next_of(Kind::Pong).header.guid.0, [9; 16]);
    assert!(!node.until_links(1)[0].encrypted);
}

#[test]
fn a_switch_that_was_not_agreed_on_ends_the_greeting() {
    let node = hub();
    let mut raw = Raw::connect(node.addr());
    let answer = raw.offer("X-Ultrapeer: True\r\n");
    assert!(!answer.contains("Upgrade"), "{answer}");
    raw.send(b"GNUTELLA/0.6 200 OK\r\nConnection: Upgrade\r\n\r\n");
    raw.until_closed();
    node.until_dropped("greeting_failed", 1);
}

/// What goes wrong after the first byte of TLS, or after both agreed on it.
const GARBAGE: [&[u8]; 5] = [
    b"\x16\x03\x01\xff\xffgarbage beyond any record",
    b"\x16GNUTELLA CONNECT/0.6\r\n\r\n",
    b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
    b"\x16\x03\x01\x00\x00\x16\x03\x01\x00\x00",
    b"\x16\x03\x01\x00\x05\x0e\x00\x00\x01\x00",
];

#[test]
fn garbage_in_place_of_a_handshake_is_closed_and_counted_once() {
    let node = hub();
    for (count, garbage) in (1..).zip(GARBAGE) {
        let mut raw = Raw::connect(node.addr());
        raw.try_send(garbage);
        // Half a record keeps nobody waiting who has hung up.
        raw.hang_up();
        raw.until_closed();
        node.until_dropped("tls_failed", count);
    }
    let mut raw = Raw::connect(node.addr());
    raw.offer("X-Ultrapeer: True\r\nUpgrade: TLS/1.0\r\n");
    raw.send(b"GNUTELLA/0.6 200 OK\r\nConnection: Upgrade\r\n\r\nGND this is no hello at all");
    raw.until_closed();
    node.until_dropped("tls_failed", GARBAGE.len() as u64 + 1);
    let dropped = node.counters().dropped;
    assert_eq!(dropped["tls_failed"], GARBAGE.len() as u64 + 1);
    for other in ["greeting_failed", "connection_unknown", "connection_slow"] {
        assert_eq!(dropped[other], 0, "{other}");
    }
    assert!(node.peers().is_empty());
}

#[test]
fn half_handshakes_are_bounded_keep_nobody_out_and_end() {
    let node = hub();
    // Half a hello each, and more of them than one address may have.
    let crowd: Vec<_> = (0..80)
        .map(|_| {
            let mut raw = Raw::connect(node.addr());
            raw.try_send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
            raw
        })
        .collect();
    node.until_dropped("connection_crowd", 16);
    // Those who hang up make room at once, those who do not within their time.
    drop(crowd);
    node.until_dropped("tls_failed", 64);
    let leaf = Node::start(&[node.addr()], live(Role::Leaf, Encryption::Offered));
    assert!(leaf.until_links(1)[0].encrypted);
}

#[test]
fn a_handshake_that_never_ends_is_ended() {
    let node = hub();
    let mut raw = Raw::connect(node.addr());
    raw.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    raw.until_closed();
    node.until_dropped("tls_failed", 1);
    assert_eq!(node.counters().dropped["connection_slow"], 0);
}

#[test]
fn a_peer_that_agrees_and_then_cannot_is_called_once_more_in_clear() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let node = Node::start(
        &[listener.local_addr().unwrap()],
        live(Role::Leaf, Encryption::Offered),
    );
    let mut raw = Raw::taken(&listener);
    let first = raw.head();
    assert!(first.contains("\r\nUpgrade: TLS/1.0\r\n"), "{first}");
    raw.send(
        b"GNUTELLA/0.6 200 OK\r\nX-Ultrapeer: True\r\nUpgrade: TLS/1.0\r\nConnection: Upgrade\r\n\r\n",
    );
    let third = raw.head();
    assert!(third.contains("\r\nConnection: Upgrade\r\n"), "{third}");
    raw.send(b"this is no hello of any server");
    let mut again = Raw::accept(&listener, "");
    assert!(!node.until_links(1)[0].encrypted);
    again.send(&raw::frame(Kind::Ping, 9, 1, 0, b""));
    assert_eq!(again.next_of(Kind::Pong).header.guid.0, [9; 16]);
}

/// A handshake that gtk-gnutella 1.2.3 finds complete as it reads our last head makes it close the link, so that it must
/// have read that head before our first record is there.
#[test]
fn a_peer_that_we_call_has_a_moment_to_read_our_last_head_before_the_first_record() {
    // Where the machine is slow, both may have come before this thread looks: any call that shows the pause will do.
    let paused = (0..10).any(|_| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _node = Node::start(
            &[listener.local_addr().unwrap()],
            live(Role::Leaf, Encryption::Offered),
        );
        let (mut stream, _) = listener.accept().unwrap();
        head_of(&mut stream);
        stream
            .write_all(
                b"GNUTELLA/0.6 200 OK\r\nX-Ultrapeer: True\r\nUpgrade: TLS/1.0\r\nConnection: Upgrade\r\n\r\n",
            )
            .unwrap();
        head_of(&mut stream);
        let read = Instant::now();
        stream.read_exact(&mut [0]).unwrap();
        read.elapsed() > Duration::from_millis(50)
    });
    assert!(paused);
}

fn urn() -> Sha1 {
    Sha1(sha1::Sha1::digest(TEXT).into())
}

fn urn_request(more: &str) -> String {
    let urn = urn();
    format!("GET /uri-res/N2R?{urn} HTTP/1.1\r\nHost: x\r\n{more}\r\n")
}

fn body(client: &mut impl Read) -> String {
    let mut body = vec![0; TEXT.len()];
    client.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

#[test]
fn a_file_is_served_inside_tls_from_the_first_byte_and_another_after_it() {
    let (node, _dirs) = sharer(Config::default());
    let mut client = Client::connect(node.addr());
    for _ in 0..2 {
        client.send(urn_request("").as_bytes());
        let answer = client.head();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(body(&mut client), TEXT);
    }
    client.send(urn_request("Connection: close\r\n").as_bytes());
    client.head();
    body(&mut client);
    // The end is said, not only there: nobody cut it short.
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_request_that_asks_for_tls_is_answered_inside() {
    let (node, _dirs) = sharer(Config::default());
    let mut stream = TcpStream::connect(node.addr()).unwrap();
    let asks = "Upgrade: TLS/1.0\r\nConnection: Upgrade\r\n";
    stream.write_all(urn_request(asks).as_bytes()).unwrap();
    let answer = head_of(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.contains("\r\nConnection: Upgrade\r\n"), "{answer}");
    let mut client = Client::over(stream);
    let answer = client.head();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("tls/1.0"), "{answer}");
    assert_eq!(body(&mut client), TEXT);
    // Once inside, asking again changes nothing.
    client.send(urn_request(asks).as_bytes());
    assert!(client.head().starts_with("HTTP/1.1 200 "));
    assert_eq!(body(&mut client), TEXT);
}

#[test]
fn who_was_told_not_to_encrypt_answers_in_clear_and_knows_no_hello() {
    let (node, _dirs) = sharer(Config {
        encryption: Encryption::Never,
        ..Config::default()
    });
    let mut stream = TcpStream::connect(node.addr()).unwrap();
    let asks = "Upgrade: TLS/1.0\r\nConnection: Upgrade\r\n";
    stream.write_all(urn_request(asks).as_bytes()).unwrap();
    let answer = head_of(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(!answer.contains("tls"), "{answer}");
    assert_eq!(body(&mut stream), TEXT);
    let mut raw = Raw::connect(node.addr());
    raw.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    raw.until_closed();
    node.until_dropped("connection_unknown", 1);
}

#[test]
fn a_client_that_asks_for_tls_over_http_and_sends_garbage_is_closed_and_counted() {
    let (node, _dirs) = sharer(Config::default());
    let mut stream = TcpStream::connect(node.addr()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let asks = "Upgrade: TLS/1.0\r\nConnection: Upgrade\r\n";
    stream.write_all(urn_request(asks).as_bytes()).unwrap();
    head_of(&mut stream);
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let _ = stream.shutdown(Shutdown::Write);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(!contains(&rest, TEXT.as_bytes()));
    node.until_dropped("tls_failed", 1);
}

fn job(urn: Sha1, source: Source, into: &Path) -> Job {
    Job {
        urn: Some(urn),
        sources: vec![source],
        timeout: Some(SOON),
        ..Job::new("spread.txt", into)
    }
}

/// Fetches the file by way of somebody who listens; returns whether they could read it.
fn fetch_by(node: &Node, seal: Seal) -> bool {
    let tap = Tap::to(node.addr());
    let into = tempfile::tempdir().unwrap();
    let source = Source::by_urn(tap.addr, urn()).sealed(seal);
    let fetched = fetch(&job(urn(), source, into.path()), |_| {}, &Cancel::new()).unwrap();
    assert_eq!(std::fs::read(fetched.path).unwrap(), TEXT.as_bytes());
    assert!(fetched.verified);
    tap.has_heard(TEXT.as_bytes())
}

#[test]
fn a_download_is_verified_and_heard_by_nobody_where_both_sides_have_tls() {
    let (node, _dirs) = sharer(Config::default());
    for (seal, heard) in [
        (Seal::FromTheStart, false),
        (Seal::Asked, false),
        (Seal::Never, true),
    ] {
        assert_eq!(fetch_by(&node, seal), heard, "{seal:?}");
    }
    assert_eq!(node.counters().dropped["tls_failed"], 0);
}

#[test]
fn a_source_without_tls_is_fetched_from_in_clear_whatever_its_hit_said() {
    let (node, _dirs) = sharer(Config {
        encryption: Encryption::Never,
        ..Config::default()
    });
    for seal in [Seal::FromTheStart, Seal::Asked] {
        assert!(fetch_by(&node, seal), "{seal:?}");
    }
}

/// Lists what a node shares by way of somebody who listens; returns whether they could read it.
fn browse_by(node: &Node, seal: Seal) -> bool {
    let tap = Tap::to(node.addr());
    let hits = browse_sealed(&tap.addr.to_string(), seal, None, None).unwrap();
    let names: Vec<_> = hits
        .flat_map(|hit| hit.unwrap().records)
        .map(|record| record.name)
        .collect();
    assert_eq!(names, ["hazelnut spread.txt"]);
    // The list itself may be deflated.
    tap.has_heard(b"HTTP/1.1 200 ")
}

#[test]
fn a_list_of_files_is_heard_by_nobody_where_both_sides_have_tls() {
    let (node, _dirs) = sharer(Config::default());
    for (seal, heard) in [
        (Seal::FromTheStart, false),
        (Seal::Asked, false),
        (Seal::Never, true),
    ] {
        assert_eq!(browse_by(&node, seal), heard, "{seal:?}");
    }
    let (clear, _dirs) = sharer(Config {
        encryption: Encryption::Never,
        ..Config::default()
    });
    for seal in [Seal::FromTheStart, Seal::Asked] {
        assert!(browse_by(&clear, seal), "{seal:?}: as it can");
    }
}

#[test]
fn a_job_of_a_hit_is_fetched_as_its_hit_said() {
    let (sharer, _dirs) = sharer(live(Role::Leaf, Encryption::Offered));
    let hub = hub();
    sharer.ask(Request::PeerAdd {
        addr: hub.addr(),
        net: None,
    });
    let asker = Node::start(&[hub.addr()], live(Role::Leaf, Encryption::Offered));
    hub.until_links(2);
    let hit = asker.until("hit", |asker| {
        let mut replies = asker.servent.request(Request::search("hazelnut"));
        std::iter::from_fn(|| replies.next(Duration::from_millis(500))).find_map(
            |reply| match reply {
                Reply::Hit(hit) => Some(hit),
                _ => None,
            },
        )
    });
    assert!(hit.tls);
    let into = tempfile::tempdir().unwrap();
    let job = Job::of_hit(&hit, into.path()).unwrap();
    assert_eq!(job.sources[0].seal(), Seal::FromTheStart);
}

/// One who answers a request for a file with 503 and `X-Alt`, and says what it was asked.
#[test]
fn another_source_that_an_answer_names_with_tls_is_fetched_from_with_it() {
    let (node, _dirs) = sharer(Config::default());
    for (bits, seal, heard) in [
        ("tls=80, ", Seal::Asked, false),
        ("", Seal::Asked, false),
        // Who wants none gets none, whatever others say.
        ("tls=80, ", Seal::Never, true),
    ] {
        let tap = Tap::to(node.addr());
        let busy = TcpListener::bind("127.0.0.1:0").unwrap();
        let source = Source::by_urn(busy.local_addr().unwrap(), urn()).sealed(seal);
        let alt = format!(
            "HTTP/1.1 404 Gone\r\nContent-Length: 0\r\nX-Alt: {bits}{}\r\n\r\n",
            tap.addr
        );
        // Ends with the test process.
        std::thread::spawn(move || {
            for stream in busy.incoming() {
                let mut stream = stream.unwrap();
                head_of(&mut stream);
                let _ = stream.write_all(alt.as_bytes());
            }
        });
        let into = tempfile::tempdir().unwrap();
        let job = Job {
            nets: vec![Net::Rehearsal],
            ..job(urn(), source, into.path())
        };
        let fetched = fetch(&job, |_| {}, &Cancel::new()).unwrap();
        assert!(fetched.verified);
        assert_eq!(tap.has_heard(TEXT.as_bytes()), heard, "{bits}{seal:?}");
        if !bits.is_empty() && seal != Seal::Never {
            assert!(!tap.has_heard(b"GET "), "from the first byte");
        }
    }
}

#[test]
fn a_large_file_passes_through_tls_whole() {
    // More than a socket, a session and a piece hold, and no multiple of any.
    let content: Vec<u8> = (0..3_000_001_u32).flat_map(u32::to_le_bytes).collect();
    let (node, _dirs) = sharer_of(Config::default(), &content);
    let large = Sha1(sha1::Sha1::digest(&content).into());
    let into = tempfile::tempdir().unwrap();
    let source = Source::by_urn(node.addr(), large).sealed(Seal::FromTheStart);
    let fetched = fetch(&job(large, source, into.path()), |_| {}, &Cancel::new()).unwrap();
    assert_eq!(std::fs::read(fetched.path).unwrap(), content);
}

#[test]
fn a_push_that_names_tls_is_answered_with_it_and_in_clear_if_that_fails() {
    let (node, _dirs) = sharer(live(Role::Leaf, Encryption::Accepted));
    let mut raw = Raw::connect(node.addr());
    raw.link("X-Ultrapeer: True\r\n");
    node.until_links(1);
    let asker = TcpListener::bind("127.0.0.1:0").unwrap();
    let push = Push {
        servent: node.servent.id(),
        index: 1,
        addr: asker.local_addr().unwrap(),
        tls: true,
    };
    raw.send(&raw::frame(Kind::Push, 1, 4, 0, &push.build()));
    let (mut first, _) = asker.accept().unwrap();
    let mut hello = [0; 3];
    first.read_exact(&mut hello).unwrap();
    assert_eq!(hello[..2], [0x16, 3]);
    first.write_all(b"none of ours").unwrap();
    drop(first);
    let mut again = Raw::taken(&asker);
    assert!(again.line().starts_with("GIV 1:"));
}

#[test]
fn a_link_carries_more_than_a_socket_holds_in_both_directions_at_once() {
    // One busy flow each way through one session, whose reader and writer are two tasks.
    let node = hub();
    let mut clients: Vec<_> = (0..2)
        .map(|port: u16| {
            let mut client = Client::connect(node.addr());
            let listen: SocketAddr = ([127, 0, 0, 1], 1 + port).into();
            let offer =
                format!("GNUTELLA CONNECT/0.6\r\nX-Ultrapeer: True\r\nListen-IP: {listen}\r\n\r\n");
            client.send(offer.as_bytes());
            assert!(client.head().starts_with("GNUTELLA/0.6 200 "));
            client.send(b"GNUTELLA/0.6 200 OK\r\n\r\n");
            client
        })
        .collect();
    node.until_links(2);
    for tag in 1..=200 {
        for client in &mut clients {
            client.send(&raw::frame(Kind::Ping, tag, 1, 0, b""));
        }
        for client in &mut clients {
            assert_eq!(client.next_of(Kind::Pong).header.guid.0, [tag; 16]);
        }
    }
}
