//! What a node answers to whom: the form of hashes, how many results, which kinds, the pongs of others; and whom of
//! those that others name we believe.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{Tiers, Wired, library, quiet, servent};
use filbert::node::address::Net;
use filbert::node::event::Role::{Leaf, Ultrapeer};
use filbert::node::library::{Entry, Library};
use filbert::node::{Config, Event, limits};
use filbert::wire::alt::Open;
use filbert::wire::hit::{Alternate, QueryHit, Record};
use filbert::wire::ping::Pong;
use filbert::wire::query::{Media, Query, QueryFlags};
use filbert::wire::{Frame, Guid, Header, Kind, Sha1};

/// A query of a stranger, as it is taken in.
fn query(flags: u16, hops: u8, text: &str, media: Option<Media>) -> Frame {
    let query = Query {
        flags: QueryFlags(flags),
        text: text.into(),
        sha1s: Vec::new(),
        media,
    };
    let header = Header {
        guid: Guid([flags.to_be_bytes()[0] ^ hops ^ flags.to_be_bytes()[1]; 16]),
        kind: Kind::Query,
        ttl: 1,
        hops,
    };
    Frame {
        header,
        payload: Bytes::from(query.build().unwrap()),
    }
}

/// Hits that were carried since last asked.
fn hits(carried: &mut Vec<(usize, usize, Frame)>) -> Vec<Bytes> {
    let all = std::mem::take(carried);
    all.into_iter()
        .filter(|(.., frame)| frame.header.kind == Kind::QueryHit)
        .map(|(.., frame)| frame.payload)
        .collect()
}

fn names(hits: &[Bytes]) -> BTreeSet<String> {
    hits.iter()
        .flat_map(|payload| QueryHit::parse(payload).unwrap().records)
        .map(|record| record.name)
        .collect()
}

/// Node 0 asks, node 1 has these files.
fn pair(library: Library) -> Wired {
    let mut net = Wired::new(2, &quiet());
    net.link(0, 1);
    net.give(1, Event::Library(Arc::new(library)));
    net
}

/// Gives node 1 a query from node 0; the hits.
fn ask(net: &mut Wired, query: Frame) -> Vec<Bytes> {
    net.carried.clear();
    let link = net.nodes[1].links().next().unwrap().link;
    net.give(1, Event::Received(link, query));
    hits(&mut net.carried)
}

#[test]
fn hashes_come_in_the_form_the_querier_says_it_reads() {
    let entry = Entry {
        index: 1,
        share: 0,
        path: "red fox.txt".into(),
        size: 1,
        mtime: 0,
        sha1: Some(Sha1([1; 20])),
        tiger: Some([2; 24]),
    };
    let mut net = pair(Library::build(&["a".to_owned()], vec![entry]));
    for (flags, text) in [(0x8000, true), (0x8800, false), (0x0800, true)] {
        let hits = ask(&mut net, query(flags, 0, "fox", None));
        let [hit] = &hits[..] else {
            panic!("{flags:04x}")
        };
        let is_text = String::from_utf8_lossy(hit).contains("urn:sha1:");
        assert_eq!(is_text, text, "{flags:04x}");
        let record = &QueryHit::parse(hit).unwrap().records[0];
        assert_eq!(
            (record.sha1, record.tiger),
            (Some(Sha1([1; 20])), Some([2; 24])),
            "{flags:04x}"
        );
    }
}

#[test]
fn no_more_results_than_wanted_and_in_short_hits() {
    let files: Vec<String> = (0..300)
        .map(|n| format!("fox {n} {}.txt", "long ".repeat(n % 40)))
        .collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let mut net = Wired::new(2, &quiet());
    net.link(0, 1);
    net.give(1, Event::Library(library(&files)));
    for (flags, wanted) in [
        (0x8801, 1),
        (0x8803, 3),
        (0x8840, 64),
        (0x88FF, 150),
        (0x8800, 150),
    ] {
        let hits = ask(&mut net, query(flags, 0, "fox", None));
        assert_eq!(names(&hits).len(), wanted, "{flags:04x}");
        for hit in hits {
            assert!(hit.len() <= 2_016, "{} bytes", hit.len());
            assert!(QueryHit::parse(&hit).unwrap().records.len() <= 10);
        }
    }
}

#[test]
fn on_the_live_network_the_far_get_fewer_results() {
    let files: Vec<String> = (0..300).map(|n| format!("fox {n}.txt")).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let mut net = Tiers::new(&[Ultrapeer, Ultrapeer]);
    net.share(1, &files);
    net.link(0, 1);
    for (hops, results) in [(0, 150), (2, 150), (3, 75), (5, 18), (13, 1)] {
        net.carried.clear();
        let link = net.link_of(1, 0);
        net.give(1, Event::Received(link, query(0x8800, hops, "fox", None)));
        let hits = hits(&mut net.carried);
        assert_eq!(names(&hits).len(), results, "{hops} hops");
    }
}

#[test]
fn two_that_cannot_connect_to_each_other_leave_it() {
    let mut net = Tiers::new(&[Ultrapeer, Leaf]);
    net.share(1, &["red fox.txt"]);
    net.link(1, 0);
    for (reached, flags, answered) in [
        (false, 0xC800, false),
        (false, 0x8800, true),
        (true, 0xC801, true),
    ] {
        if reached {
            net.give(1, Event::Reached);
        }
        net.carried.clear();
        let link = net.link_of(1, 0);
        net.give(1, Event::Received(link, query(flags, 0, "fox", None)));
        assert_eq!(hits(&mut net.carried).len() == 1, answered, "{flags:04x}");
    }
}

#[test]
fn kinds_that_are_not_wanted_are_not_sent() {
    let mut files: Vec<String> = (0..200).map(|n| format!("fox {n}.txt")).collect();
    files.extend(["fox.jpg", "fox.PNG", "fox.mp3", "fox"].map(str::to_owned));
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let mut net = Wired::new(2, &quiet());
    net.link(0, 1);
    net.give(1, Event::Library(library(&files)));
    let images = ask(&mut net, query(0x8800, 0, "fox", Some(Media::IMAGE)));
    assert_eq!(
        names(&images),
        ["fox.PNG", "fox.jpg"].map(str::to_owned).into(),
        "also those beyond the first 150"
    );
    let texts = ask(&mut net, query(0x8805, 0, "fox", Some(Media::DOCUMENT)));
    assert_eq!(names(&texts).len(), 5);
}

#[test]
fn whom_a_hit_names_is_believed_only_where_one_may_be_led() {
    let places = [
        "203.0.114.9:6346",
        "10.0.0.7:6346",
        "8.8.8.8:0",
        "9.9.9.9:25",
        "224.0.0.1:6346",
    ];
    let places = places.map(|place| place.parse().unwrap());
    for (on, believed) in [(Net::Lan, &[0, 1, 3][..]), (Net::Gnutella, &[0])] {
        let config = Config { net: on, ..quiet() };
        let mut net = Wired::new(2, &config);
        net.link(0, 1);
        let ticket = net.search(0, "fox", 2);
        let (.., asked) = net.carried[0].clone();
        let alternates = places.iter().map(|&addr| Alternate { addr, tls: false });
        let hit = QueryHit {
            push_proxies: places.to_vec(),
            ..QueryHit::new(
                "203.0.114.8:6346".parse().unwrap(),
                servent(9),
                vec![Record {
                    index: 1,
                    name: "fox.txt".into(),
                    sha1: Some(Sha1([1; 20])),
                    alternates: alternates.collect(),
                    ..Record::default()
                }],
            )
        };
        let header = Header {
            kind: Kind::QueryHit,
            hops: 0,
            ..asked.header
        };
        let link = net.nodes[0].links().next().unwrap().link;
        let payload = Bytes::from(hit.build());
        net.give(0, Event::Received(link, Frame { header, payload }));
        let told = net.told.iter().find_map(|(_, to, notice)| match notice {
            filbert::node::Notice::Hit { hit, .. } if *to == ticket => Some((**hit).clone()),
            _ => None,
        });
        let told = told.unwrap();
        let expected: Vec<_> = believed.iter().map(|&at| places[at]).collect();
        assert_eq!(told.push_proxies, expected, "{on:?}");
        let named: Vec<_> = told.records[0]
            .alternates
            .iter()
            .map(|one| one.addr)
            .collect();
        assert_eq!(named, expected, "{on:?}");
    }
}

#[test]
fn cached_pongs_are_passed_on_with_their_ggep_as_it_came() {
    let mut net = Tiers::new(&[Ultrapeer, Ultrapeer]);
    let between = net.add_node(Config {
        min_links: 0,
        ..Config::live(Ultrapeer)
    });
    net.link(between, 0);
    net.link(between, 1);
    let asked = |net: &Tiers, from, to| {
        let pings = net
            .carried
            .iter()
            .rev()
            .find(|(by, at, frame)| (*by, *at, frame.header.kind) == (from, to, Kind::Ping));
        pings.unwrap().2.header
    };
    let plain = Pong {
        addr: "127.0.9.9:6346".parse().unwrap(),
        files: 42,
        kilobytes: 65_536,
        ultrapeer: Some((7, 3)),
        tls: true,
    };
    // What this program does not know, or would write otherwise: an id of later days, a length in more groups than it
    // needs, values that are deflated or COBS-encoded, a second block, and a NUL behind it.
    let unknown = b"\xc3\x0fWHATEVERCOMES15\x80\x43new\x22Zz\x49\x78\xda\x4b\x04\x00\x00\x62\x00\x62\xc2DU\x42\x02\x01";
    let mut payloads = vec![Bytes::from(plain.build())];
    for (port, extra) in [
        (1, &unknown[..]),
        (2, b"\xc3\x82GU\x40\xc3\x82VC\x45TEST\x12\x00"),
        (3, b""),
    ] {
        let mut payload = plain.build();
        payload[..2].copy_from_slice(&u16::to_le_bytes(port));
        payload.truncate(14);
        payload.extend_from_slice(extra);
        payloads.push(payload.into());
    }
    let seek = asked(&net, between, 0);
    let link = net.link_of(between, 0);
    for (hops, payload) in (0..).zip(&payloads) {
        let header = Header {
            kind: Kind::Pong,
            ttl: 1,
            hops,
            ..seek
        };
        let payload = payload.clone();
        net.give(between, Event::Received(link, Frame { header, payload }));
    }
    net.carried.clear();
    net.pass(limits::PING_INTERVAL_MIN);
    let ping = Header {
        guid: Guid([0x77; 16]),
        kind: Kind::Ping,
        ttl: 4,
        hops: 0,
    };
    let link = net.link_of(between, 1);
    let payload = Bytes::new();
    let frame = Frame {
        header: ping,
        payload,
    };
    net.give(between, Event::Received(link, frame));
    for (hops, payload) in (0..).zip(&payloads) {
        let passed = net
            .carried
            .iter()
            .find(|(by, to, frame)| (*by, *to, &frame.payload) == (between, 1, payload));
        let header = passed
            .unwrap_or_else(|| panic!("{hops}: {payload:?}"))
            .2
            .header;
        // Nothing else of it changes but these.
        let expected = Header {
            kind: Kind::Pong,
            ttl: 1,
            hops: hops + 1,
            ..ping
        };
        assert_eq!(header, expected);
    }
}

#[test]
fn a_hit_names_who_else_is_known_to_have_the_file() {
    let entry = |index: u32, name: &str, sha1: Option<Sha1>| Entry {
        index,
        share: 0,
        path: name.into(),
        size: 1,
        mtime: 0,
        sha1,
        tiger: None,
    };
    let (fox, crow) = (Sha1([1; 20]), Sha1([2; 20]));
    let files = vec![
        entry(1, "red fox.txt", Some(fox)),
        entry(2, "red crow.txt", Some(crow)),
        entry(3, "red owl.txt", None),
    ];
    let mut net = pair(Library::build(&["share".into()], files));
    let own = net.nodes[1].config().listen.unwrap();
    let open = |port: u16, tls| Open {
        addr: ([10, 0, 0, 7], port).into(),
        tls,
    };
    let others = vec![
        open(1, false),
        open(2, true),
        Open {
            addr: own,
            tls: false,
        },
    ];
    net.give(1, Event::Elsewhere(fox, others));
    for form in [0x8080, 0x8880] {
        let hits = ask(&mut net, query(form, 0, "red", None));
        let records = hits
            .iter()
            .flat_map(|payload| QueryHit::parse(payload).unwrap().records);
        for record in records {
            let named: Vec<_> = record
                .alternates
                .iter()
                .map(|one| (one.addr.port(), one.tls))
                .collect();
            let expected = match record.index {
                1 => &[(1, false), (2, true)][..],
                _ => &[],
            };
            assert_eq!(named, expected, "{}", record.name);
        }
        net.give(1, Event::Elsewhere(crow, Vec::new()));
    }
    // Long after the last word of it, nobody is named.
    net.pass(Duration::from_secs(3_600));
    let hits = ask(&mut net, query(0x8180, 0, "red fox", None));
    let hit = QueryHit::parse(&hits[0]).unwrap();
    assert_eq!(hit.records[0].alternates, []);
}
