//! The live network's rules on 127.0.0.1: compressed links, roles, and streams that lie.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod nodes;
mod raw;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use filbert::control::{Reply, Request};
use filbert::disk::store::Home;
use filbert::net::{Listen, Settings};
use filbert::node::Config;
use filbert::node::address::Net;
use filbert::node::event::Role;
use filbert::node::hostile::Hostile;
use filbert::wire::bye::Bye;
use filbert::wire::deflate::{Deflater, deflate_whole};
use filbert::wire::hit::QueryHit;
use filbert::wire::vendor::Vendor;
use filbert::wire::{Guid, Kind};
use nodes::{Node, SOON};
use raw::Raw;

const READS: &str = "Accept-Encoding: deflate\r\n";
const WRITES: &str = "Content-Encoding: deflate\r\n";

fn live(role: Role) -> Config {
    Config {
        net: Net::Rehearsal,
        ..Config::live(role)
    }
}

fn ultrapeer() -> Node {
    Node::start(&[], live(Role::Ultrapeer))
}

/// Links as an ultrapeer; `group 1` and `group 3` say what is deflated.
fn link(node: &Node, port: u16, first: &str, third: &str) -> Raw {
    let mut raw = Raw::connect(node.addr());
    let answer = raw.offer(&format!(
        "X-Ultrapeer: True\r\nBye-Packet: 0.1\r\nListen-IP: 127.0.0.1:{port}\r\n{first}"
    ));
    assert!(answer.starts_with("GNUTELLA/0.6 200 "), "{answer}");
    assert_eq!(answer.contains(WRITES), first.contains(READS), "{answer}");
    assert!(answer.contains(READS), "{answer}");
    raw.send(format!("GNUTELLA/0.6 200 OK\r\n{third}\r\n").as_bytes());
    if first.contains(READS) {
        raw.inflates();
    }
    raw
}

fn deflated(deflater: &mut Deflater, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    deflater.deflate(bytes, &mut out);
    out
}

/// A leaf that shares `hazelnut spread.txt`; it lives as long as its folders.
fn sharing_leaf() -> (Node, [tempfile::TempDir; 2]) {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    std::fs::write(dirs[0].path().join("hazelnut spread.txt"), "sweet").unwrap();
    let node = Node::with(Settings {
        config: live(Role::Leaf),
        listen: Listen::Fixed("127.0.0.1:0".parse().unwrap()),
        home: Some(Home::at(dirs[1].path()).unwrap()),
        shares: vec![dirs[0].path().to_path_buf().into()],
        ..Settings::default()
    });
    assert!(node.servent.wait_scanned(SOON));
    (node, dirs)
}

#[test]
fn two_nodes_of_the_live_network_find_each_others_files_over_compressed_links() {
    let (sharer, _dirs) = sharing_leaf();
    let hub = ultrapeer();
    let addr = hub.addr();
    sharer.ask(Request::peer_add(addr));
    let asker = Node::start(&[hub.addr()], live(Role::Leaf));
    asker.until_links(1);
    hub.until_links(2);
    // Until the sharer's routing table is in, the hub gives it no queries.
    asker.until("hit", |asker| {
        let mut replies = asker.servent.request(Request::search("hazelnut"));
        std::iter::from_fn(|| replies.next(Duration::from_millis(500)))
            .find(|reply| matches!(reply, Reply::Hit(_)))
    });
}

#[test]
fn a_query_passes_in_every_mix_of_compressed_directions_and_waits_for_nothing() {
    for (from_first, from_third, to_first) in [
        ("", "", READS),
        ("", WRITES, ""),
        (READS, WRITES, READS),
        ("", "", ""),
    ] {
        let node = ultrapeer();
        let mut from = link(&node, 1, from_first, from_third);
        let mut to = link(&node, 2, to_first, "");
        node.until_links(2);
        let mut deflater = Deflater::default();
        // Nothing follows a query before it has arrived: what waits inside a deflater would never come.
        for tag in 1..=20 {
            let query = raw::query(tag, 4, 0, "hazelnut spread");
            let bytes = match from_third {
                WRITES => deflated(&mut deflater, &query),
                _ => query,
            };
            from.send(&bytes);
            assert_eq!(to.next_of(Kind::Query).header.guid, Guid([tag; 16]));
        }
    }
}

#[test]
fn a_compressed_link_delays_a_query_by_less_than_200_ms() {
    let node = ultrapeer();
    let mut from = link(&node, 1, "", "");
    let mut to = link(&node, 2, READS, "");
    node.until_links(2);
    // A busy machine delays some; a timer would delay all.
    let quickest = (1..=20).map(|tag| {
        let sent = Instant::now();
        from.send(&raw::query(tag, 4, 0, "hazelnut spread"));
        to.next_of(Kind::Query);
        sent.elapsed()
    });
    assert!(quickest.min().unwrap() < Duration::from_millis(200));
}

#[test]
fn a_bomb_ends_the_link_with_a_bye_and_is_counted() {
    let node = ultrapeer();
    let mut raw = link(&node, 1, "", WRITES);
    node.until_links(1);
    let bomb = deflate_whole(&vec![0; 200_000_000]);
    assert!(bomb.len() < 250_000);
    raw.try_send(&bomb);
    let bye = raw.next_of(Kind::Bye);
    assert_eq!(Bye::parse(&bye.payload).code, 412);
    raw.until_closed();
    node.until_dropped("bomb_link", 1);
    node.until_links(0);
}

#[test]
fn garbage_in_place_of_a_compressed_stream_ends_the_link_and_is_counted() {
    let node = ultrapeer();
    let mut raw = link(&node, 1, READS, WRITES);
    node.until_links(1);
    raw.send(&raw::query(1, 4, 0, "not compressed at all"));
    let bye = raw.next_of(Kind::Bye);
    assert_eq!(Bye::parse(&bye.payload).code, 400);
    raw.until_closed();
    node.until_dropped("damaged_link", 1);
    node.until_links(0);
}

#[test]
fn damage_in_the_middle_of_a_stream_costs_only_what_comes_after_it() {
    let node = ultrapeer();
    let mut from = link(&node, 1, "", WRITES);
    let mut to = link(&node, 2, "", "");
    node.until_links(2);
    let mut deflater = Deflater::default();
    let whole = deflated(&mut deflater, &raw::query(1, 4, 0, "hazelnut spread"));
    let mut damaged = deflated(&mut deflater, &raw::query(2, 4, 0, "hazelnut spread"));
    damaged[0] |= 0b110;
    from.send(&[whole, damaged].concat());
    assert_eq!(to.next_of(Kind::Query).header.guid, Guid([1; 16]));
    from.until_closed();
    node.until_dropped("damaged_link", 1);
    node.until_links(1);
}

#[test]
fn a_stream_cut_off_in_the_middle_is_a_link_that_closed() {
    let node = ultrapeer();
    let mut from = link(&node, 1, "", WRITES);
    let mut to = link(&node, 2, "", "");
    node.until_links(2);
    let mut deflater = Deflater::default();
    let first = deflated(&mut deflater, &raw::query(1, 4, 0, "hazelnut spread"));
    let second = deflated(&mut deflater, &raw::query(2, 4, 0, "walnut bread"));
    from.send(&[&first[..], &second[..second.len() / 2]].concat());
    assert_eq!(to.next_of(Kind::Query).header.guid, Guid([1; 16]));
    drop(from);
    node.until_links(1);
    let dropped = node.counters().dropped;
    assert_eq!((dropped["damaged_link"], dropped["bomb_link"]), (0, 0));
}

#[test]
fn frames_that_cannot_be_believed_end_a_compressed_link_like_any_other() {
    let node = ultrapeer();
    let mut raw = link(&node, 1, READS, WRITES);
    node.until_links(1);
    let bytes = raw::header(Kind::Query, 4, 0, u32::MAX);
    raw.send(&deflated(&mut Deflater::default(), &bytes));
    assert_eq!(Bye::parse(&raw.next_of(Kind::Bye).payload).code, 400);
    raw.until_closed();
    node.until_dropped("garbage_link", 1);
}

#[test]
fn a_leaf_turns_leaves_away_and_an_ultrapeer_takes_them() {
    let leaf = Node::start(&[], live(Role::Leaf));
    let answer = Raw::connect(leaf.addr()).offer("X-Ultrapeer: False\r\n");
    assert!(answer.starts_with("GNUTELLA/0.6 204 "), "{answer}");
    assert!(answer.contains("\r\nX-Ultrapeer: False\r\n"), "{answer}");
    let ultrapeer = ultrapeer();
    let answer = Raw::connect(ultrapeer.addr()).offer("X-Ultrapeer: False\r\n");
    assert!(answer.starts_with("GNUTELLA/0.6 200 "), "{answer}");
    assert!(!answer.contains("X-Ultrapeer-Needed"), "{answer}");
}

#[test]
fn on_a_lan_nothing_is_compressed() {
    let node = Node::alone();
    let mut raw = Raw::connect(node.addr());
    let answer = raw.offer("X-Ultrapeer: True\r\nAccept-Encoding: deflate\r\n");
    assert!(!answer.contains("Encoding"), "{answer}");
    raw.send(b"GNUTELLA/0.6 200 OK\r\nContent-Encoding: deflate\r\n\r\n");
    raw.until_closed();
    assert!(node.peers().is_empty());
}

#[test]
fn a_leaf_asks_for_pushes_until_somebody_has_reached_it() {
    for knock in [
        "\n\n",
        "CONNECT BACK\n\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let (leaf, _dirs) = sharing_leaf();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let mut replies = leaf.servent.request(Request::peer_add(addr));
        let mut ultrapeer = Raw::accept(&listener, "");
        assert_eq!(replies.next(SOON), Some(Reply::Done));
        let mut tag = 0;
        let mut needs_push = || {
            tag += 1;
            ultrapeer.send(&raw::query(tag, 1, 1, "hazelnut"));
            let hit = ultrapeer.next_of(Kind::QueryHit);
            QueryHit::parse(&hit.payload).unwrap().push
        };
        assert_eq!(needs_push(), Some(true), "nobody has reached it yet");
        let mut caller = Raw::connect(leaf.addr());
        caller.send(knock.as_bytes());
        leaf.until("reach", |_| (needs_push() == Some(false)).then_some(()));
    }
}

#[test]
fn a_neighbour_that_does_not_read_is_told_to_hold_back_and_to_go_on_again() {
    let node = Node::start(
        &[],
        Config {
            limit_search: None,
            ..live(Role::Ultrapeer)
        },
    );
    let mut from = link(&node, 1, "", "");
    let mut slow = link(&node, 2, "Vendor-Message: 0.2\r\n", "");
    slow.narrow();
    node.until_links(2);
    let words = "hazelnut spread on walnut bread ".repeat(6);
    let mut id = 0_u32;
    while node.peers()[1].shed == 0 {
        let mut bytes = Vec::new();
        for _ in 0..500 {
            id += 1;
            let at = bytes.len();
            bytes.extend(raw::query(1, 4, 0, &words));
            bytes[at..at + 4].copy_from_slice(&id.to_be_bytes());
        }
        from.send(&bytes);
    }
    let mut hops = || {
        let mut before = 0;
        loop {
            let frame = slow.next_frame();
            if let (Kind::Vendor, Ok(Vendor::HopsFlow(hops))) =
                (frame.header.kind, Vendor::parse(&frame.payload))
            {
                break (hops, before);
            }
            before += frame.wire_len();
        }
    };
    let (told, before) = hops();
    assert_eq!(told, 0);
    // What its own socket held (512 KiB), one write of ours, and what stood in our socket: the kernel would take
    // megabytes, and a whole queue is 256 KiB.
    assert!(
        before < 640 * 1024,
        "{before} bytes went before it was told"
    );
    assert_eq!(hops().0, 255);
}

#[test]
fn an_ultrapeer_that_is_guided_down_links_as_a_leaf_and_greets_as_one_from_then_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let config = Config {
        auto_role: true,
        ..live(Role::Ultrapeer)
    };
    let node = Node::start(&[], config);
    let adding = node.servent.request(Request::peer_add(addr));
    let (offer, confirmed, mut guide) = Raw::accept_and_show(
        &listener,
        "X-Ultrapeer-Needed: False\r\nVendor-Message: 0.1\r\nX-Query-Routing: 0.2\r\n",
    );
    assert!(offer.contains("X-Ultrapeer: True\r\n"), "{offer}");
    assert!(confirmed.contains("X-Ultrapeer: False\r\n"), "{confirmed}");
    adding.all(SOON).unwrap();
    // What a leaf sends its ultrapeer first.
    guide.next_of(Kind::Qrp);
    let mut caller = Raw::connect(node.addr());
    let answer = caller.offer("X-Ultrapeer: False\r\n");
    assert!(answer.starts_with("GNUTELLA/0.6 204 "), "{answer}");
    assert!(answer.contains("X-Ultrapeer: False\r\n"), "{answer}");
    let mut caller = Raw::connect(node.addr());
    let answer = caller.offer("X-Ultrapeer: True\r\nListen-IP: 127.0.0.1:9\r\n");
    assert!(answer.starts_with("GNUTELLA/0.6 200 "), "{answer}");
    assert!(answer.contains("X-Ultrapeer: False\r\n"), "{answer}");
}

#[test]
fn who_is_listed_as_hostile_is_neither_let_in_nor_served_and_counted() {
    let hostile = Hostile::parse("127.0.0.66").unwrap();
    let config = Config {
        hostile: std::sync::Arc::new(hostile),
        ..live(Role::Ultrapeer)
    };
    let node = Node::start(&[], config);
    for (n, said) in (1..).zip([
        "GNUTELLA CONNECT/0.6\r\nX-Ultrapeer: True\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
    ]) {
        let mut caller = Raw::connect_from("127.0.0.66".parse().unwrap(), node.addr());
        caller.try_send(said.as_bytes());
        assert!(caller.closed_without_a_word());
        node.until_dropped("connection_hostile", n);
    }
    let mut other = Raw::connect(node.addr());
    let answer = other.offer("X-Ultrapeer: True\r\nListen-IP: 127.0.0.1:9\r\n");
    assert!(answer.starts_with("GNUTELLA/0.6 200 "), "{answer}");
}

#[test]
fn pings_for_more_addresses_too_soon_are_dropped_and_counted_and_cost_nothing_else() {
    let node = ultrapeer();
    let mut raw = link(&node, 9, "", "");
    node.until_links(1);
    // In one read: no machine is so slow that the others come in time.
    let pings: Vec<u8> = (1..=5)
        .flat_map(|tag| raw::frame(Kind::Ping, tag, 4, 0, b""))
        .chain(raw::frame(Kind::Ping, 9, 1, 0, b""))
        .collect();
    raw.send(&pings);
    let mut answered = std::collections::BTreeSet::new();
    while !answered.contains(&9) {
        answered.insert(raw.next_of(Kind::Pong).header.guid.0[0]);
    }
    // Whether we are alive may always be asked.
    assert_eq!(answered, [1, 9].into());
    node.until_dropped("ping_too_soon", 4);
    assert_eq!(node.counters().dropped["ping_too_soon"], 4);
    raw.send(&raw::frame(Kind::Ping, 10, 1, 0, b""));
    assert_eq!(raw.next_of(Kind::Pong).header.guid, Guid([10; 16]));
    assert_eq!(node.peers()[0].dropped, 4);
}

#[test]
fn a_file_of_hostile_addresses_is_read_again_when_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hostile.txt");
    std::fs::write(&file, "# nobody yet\n").unwrap();
    let node = Node::with(Settings {
        config: live(Role::Ultrapeer),
        listen: Listen::Fixed("127.0.0.1:0".parse().unwrap()),
        hostile_files: vec![file.clone()],
        ..Settings::default()
    });
    let address = "127.0.0.66".parse().unwrap();
    let mut listed = Raw::connect_from(address, node.addr());
    listed.link("X-Ultrapeer: True\r\nBye-Packet: 0.1\r\nListen-IP: 127.0.0.66:9\r\n");
    let _other = link(&node, 1, "", "");
    node.until_links(2);
    std::fs::write(&file, "127.0.0.66 # from now on\n").unwrap();
    listed.until_closed();
    let left = node.until_links(1);
    assert_eq!(left[0].listen, Some("127.0.0.1:1".parse().unwrap()));
    node.until_dropped("hostile", 1);
    let mut again = Raw::connect_from(address, node.addr());
    again.try_send(b"GNUTELLA CONNECT/0.6\r\nX-Ultrapeer: True\r\n\r\n");
    assert!(again.closed_without_a_word());
    node.until_dropped("connection_hostile", 1);
}

#[test]
fn an_ultrapeer_that_insists_without_a_place_hears_503_and_one_that_repeats_itself_401() {
    let node = Node::start(
        &[],
        Config {
            max_links: 1,
            ..live(Role::Ultrapeer)
        },
    );
    let mut first = link(&node, 1, "", "");
    node.until_links(1);
    // It is asked to be a leaf, and says that it is none.
    let mut second = link(&node, 2, "", "");
    let bye = Bye::parse(&second.next_of(Kind::Bye).payload);
    assert_eq!((bye.code, &bye.text[..]), (503, "Too many ultrapeers"));
    second.until_closed();
    assert_eq!(node.peers().len(), 1);
    for _ in 0..7 {
        first.send(&raw::query(1, 4, 0, "hazelnut spread"));
    }
    let bye = Bye::parse(&first.next_of(Kind::Bye).payload);
    assert_eq!((bye.code, &bye.text[..]), (401, "Too many duplicates"));
    first.until_closed();
    node.until_links(0);
    assert_eq!(node.counters().dropped["duplicate"], 6);
}
