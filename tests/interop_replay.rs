//! Conversations with a captured gtk-gnutella, step by step: as our ultrapeer, as our leaf, and as an ultrapeer beside
//! us. What it said goes through our greeting and core; what we answer is checked against what such a peer expects.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;
mod replay;

use filbert::node::event::{Event, PushSpec, Role};
use filbert::node::greet::{Coding, Codings};
use filbert::node::qrp::QueryWords;
use filbert::node::qrp::receive::TableReceiver;
use filbert::node::{Command, LinkId, Time};
use filbert::wire::bye::Bye;
use filbert::wire::hit::QueryHit;
use filbert::wire::ping::{Ping, Pong};
use filbert::wire::push::Push;
use filbert::wire::query::{Query, QueryFlags};
use filbert::wire::vendor::{QUERY_STOP, Vendor};
use filbert::wire::{Frame, Guid, Header, Kind, ServentId};
use replay::{Greeted, LISTEN, PEER, Talk, US, captured};

/// An ultrapeer beside the captured peer.
const OTHER: LinkId = LinkId(9);
const BOTH_DEFLATED: Codings = Codings {
    from_peer: Coding::Deflated,
    to_peer: Coding::Deflated,
};

/// We as a leaf or an ultrapeer call the peer of this capture.
fn dial(role: Role, name: &str) -> Talk {
    Talk::dial(role, &captured(&format!("{name}.recv.bin"))).link()
}

/// The peer of this capture calls us.
fn accept(role: Role, from: [u8; 4], name: &str) -> Talk {
    Talk::accept(role, from, &captured(&format!("{name}.recv.bin"))).link()
}

/// The routing table that we sent to the peer, read as it reads it.
fn our_table(talk: &Talk) -> TableReceiver {
    let mut table = TableReceiver::default();
    let updates = talk.said_of(Kind::Qrp);
    assert!(updates.len() >= 2, "RESET and PATCH: {updates:?}");
    for (n, update) in (1..).zip(&updates) {
        let complete = table.take(&update.payload).unwrap();
        assert_eq!(complete, n == updates.len());
    }
    table
}

fn has(table: &TableReceiver, words: &str) -> bool {
    table.table().unwrap().matches(&QueryWords::of(words))
}

/// Vendor messages that we sent to the peer.
fn agreements(talk: &Talk) -> Vec<(Guid, Vec<u8>)> {
    let said = talk.said_of(Kind::Vendor).into_iter();
    said.map(|frame| (frame.header.guid, frame.payload.to_vec()))
        .collect()
}

/// The peer says what it reads and what it can: nobody answers that.
fn hear_its_lists(talk: &mut Talk) {
    for _ in 0..2 {
        let list = talk.next(Kind::Vendor);
        assert_eq!(talk.hear(list), []);
    }
}

/// Its pings ask for addresses with SCP; the answer is our own pong first.
fn assert_pong(talk: &mut Talk, ultrapeer: bool) {
    let ping = talk.next(Kind::Ping);
    assert!(Ping::parse(&ping.payload).unwrap().wants_hosts.is_some());
    talk.pass(4);
    let pongs = talk.hear(ping.clone());
    let own = &pongs[0];
    assert_eq!(
        (own.header.kind, own.header.guid),
        (Kind::Pong, ping.header.guid)
    );
    assert_eq!(own.header.hops, 0);
    let pong = Pong::parse(&own.payload).unwrap();
    assert_eq!((pong.addr, pong.files), (LISTEN.parse().unwrap(), 2));
    assert_eq!(pong.ultrapeer.is_some(), ultrapeer);
    assert!(pong.tls, "we offered TLS");
    if !ultrapeer {
        assert_eq!(pongs.len(), 1, "a leaf speaks for itself alone");
    }
}

/// Its query for a file of ours is answered with one hit that it can route back.
fn assert_hit(talk: &mut Talk, name: &str) {
    let query = talk.next(Kind::Query);
    let id = query.header.guid;
    let said = talk.hear(query);
    let [hit] = &said[..] else { panic!("{said:?}") };
    assert_eq!((hit.header.kind, hit.header.guid), (Kind::QueryHit, id));
    assert_eq!(hit.header.hops, 0);
    assert!(hit.header.ttl >= 2, "it came over two links");
    let hit = QueryHit::parse(&hit.payload).unwrap();
    assert_eq!((hit.servent, hit.addr), (US, LISTEN.parse().unwrap()));
    let names: Vec<_> = hit.records.iter().map(|record| &record.name).collect();
    assert_eq!(names, [name]);
}

#[test]
fn as_our_ultrapeer_it_gets_our_table_our_wishes_and_a_search_that_it_answers() {
    let mut talk = dial(Role::Leaf, "26-dynamic-query-leaf");
    assert_eq!(talk.codings, BOTH_DEFLATED);
    let table = our_table(&talk);
    assert!(has(&table, "pink flamingo") && !has(&table, "walrus"));
    let asked: Vec<_> = agreements(&talk);
    let wishes: Vec<_> = asked
        .iter()
        .map(|(_, payload)| Vendor::parse(payload).unwrap())
        .collect();
    assert!(
        matches!(
            wishes[..],
            [
                Vendor::MessagesSupported(_),
                Vendor::FeaturesSupported(_),
                Vendor::TcpConnectBack(6399),
                Vendor::PushProxyRequest
            ]
        ),
        "{wishes:?}"
    );
    assert_eq!(asked[3].0, Guid(US.0), "a proxy is asked in our own name");
    let reads = talk.it_reads();
    hear_its_lists(&mut talk);
    let query = talk.search("orchid bloom").expect("asked at once");
    assert_eq!((query.header.hops, query.header.ttl), (0, 4));
    let flags = Query::parse(&query.payload).unwrap().flags;
    assert_eq!(
        flags,
        QueryFlags::OURS.and_guided().and_firewalled(),
        "until somebody called us back"
    );
    let hit = talk.next(Kind::QueryHit);
    assert_eq!(talk.answer(query.header.guid, hit.clone()), []);
    let names = [1, 2, 3].map(|n| format!("orchid bloom {n}.txt"));
    assert_eq!(talk.found(), names);
    // The same for a query that was not ours: no leaf passes it on.
    assert_eq!(talk.hear(hit), []);
    assert_eq!(talk.drops(), [("no_way_back", 1)]);
    // Enough: it need not ask on.
    let before = talk.said.len();
    talk.give(Event::Command(filbert::node::Ticket(7), Command::Cancel));
    let (_, stop) = &talk.said[before];
    assert_eq!(
        (stop.header.guid, Vendor::parse(&stop.payload)),
        (
            query.header.guid,
            Ok(Vendor::QueryStatusResponse(QUERY_STOP))
        )
    );
    talk.assert_polite(&reads, Role::Leaf);
}

#[test]
fn as_our_ultrapeer_it_sends_queries_and_pings_that_we_answer_for_ourselves() {
    let mut talk = dial(Role::Leaf, "25-one-minute-overlay-watcher");
    let reads = talk.it_reads();
    hear_its_lists(&mut talk);
    assert_hit(&mut talk, "pink flamingo.txt");
    assert_pong(&mut talk, false);
    // "pink flamingo 1", "flamingo quagga 2": we have neither.
    for _ in 0..2 {
        let query = talk.next(Kind::Query);
        assert_eq!(talk.hear(query), []);
    }
    assert_hit(&mut talk, "pink flamingo.txt");
    talk.hear_out();
    let (hits, pongs) = (talk.said_of(Kind::QueryHit), talk.said_of(Kind::Pong));
    // Four of its nine queries are for the two words alone; it pings five times.
    assert_eq!((hits.len(), pongs.len()), (4, 5));
    // A hit for somebody who is not beyond us: the capture has one, for a query of the probe.
    assert_eq!(talk.drops(), [("no_way_back", 1)]);
    talk.assert_polite(&reads, Role::Leaf);
}

#[test]
fn as_our_leaf_it_gets_the_queries_its_table_matches_and_its_hits_and_pushes_find_their_way() {
    let mut talk = accept(Role::Ultrapeer, [127, 0, 0, 9], "13-leaf-dials-probe");
    talk.neighbour(OTHER);
    assert_eq!(talk.node.leaf_count(), 1);
    assert_eq!(
        talk.said_of(Kind::Qrp),
        [],
        "no table of ours for who routes nothing"
    );
    let reads = talk.it_reads();
    for _ in 0..2 {
        let update = talk.next(Kind::Qrp);
        assert_eq!(talk.hear(update), []);
    }
    hear_its_lists(&mut talk);
    assert_pong(&mut talk, true);
    assert_pong(&mut talk, true);
    assert_eq!(talk.to_come, []);
    // A query of the ultrapeer beside: only for what the leaf has.
    let mut asked = Vec::new();
    for (n, words, reaches) in [(1, "walrus quagga", true), (2, "zebra crossing", false)] {
        let query = query(n, words, 3);
        let said = talk.hear_on(OTHER, query.clone());
        let to_leaf: Vec<_> = said.iter().filter(|(to, _)| *to == PEER).collect();
        assert_eq!(to_leaf.len(), usize::from(reaches), "{words}");
        asked.push(query);
    }
    // Its answer, as it was captured beyond another ultrapeer, one hop younger.
    let mut hit = hit_of_the_leaf();
    hit.header.guid = asked[0].header.guid;
    let said = talk.hear_on(PEER, hit.clone());
    let [(OTHER, passed)] = &said[..] else {
        panic!("{said:?}")
    };
    assert_eq!(
        (passed.header.hops, &passed.payload),
        (hit.header.hops + 1, &hit.payload)
    );
    // And a push for it goes down to it.
    let servent = QueryHit::parse(&hit.payload).unwrap().servent;
    let push = push(3, servent);
    let said = talk.hear_on(OTHER, push.clone());
    let [(PEER, passed)] = &said[..] else {
        panic!("{said:?}")
    };
    assert_eq!(passed.payload, push.payload);
    talk.pass(300);
    assert_eq!(talk.drops(), []);
    talk.assert_polite(&reads, Role::Ultrapeer);
}

/// A hit of the captured leaf with the id it has in `13`.
fn hit_of_the_leaf() -> Frame {
    let (frames, _) = replay::read(
        &behind_the_greeting("20-queries-and-hits.recv.bin"),
        Coding::Plain,
    );
    let leaf = ServentId::from_hex("36d5310263ed7c926893c435ba1b9eeb");
    let mut hit = frames
        .into_iter()
        .find(|frame| {
            frame.header.kind == Kind::QueryHit
                && Some(QueryHit::parse(&frame.payload).unwrap().servent) == leaf
        })
        .unwrap();
    hit.header.hops = 0;
    hit
}

fn behind_the_greeting(name: &str) -> Vec<u8> {
    let mut head = filbert::wire::heads::HeadReader::new();
    head.push(&captured(name)).unwrap().unwrap().1
}

fn query(id: u8, text: &str, ttl: u8) -> Frame {
    let query = Query {
        flags: QueryFlags::OURS,
        text: text.into(),
        sha1s: Vec::new(),
        media: None,
    };
    framed(id, Kind::Query, ttl, query.build().unwrap())
}

fn push(id: u8, servent: ServentId) -> Frame {
    let push = Push {
        servent,
        index: 1,
        addr: "127.0.7.9:6346".parse().unwrap(),
        tls: false,
    };
    framed(id, Kind::Push, 3, push.build())
}

fn framed(id: u8, kind: Kind, ttl: u8, payload: Vec<u8>) -> Frame {
    Frame {
        header: Header {
            guid: Guid([0xC0 + id; 16]),
            kind,
            ttl,
            hops: 0,
        },
        payload: payload.into(),
    }
}

#[test]
fn as_a_leaf_it_is_refused_by_a_leaf_in_the_words_it_uses_itself() {
    let all = captured("13-leaf-dials-probe.recv.bin");
    let code = Talk::accept_verdict(Role::Leaf, [127, 0, 0, 9], &all);
    assert_eq!(code, Some(204));
    let theirs = captured("06-refused-leaf-by-leaf.recv.bin");
    assert!(matches!(
        Talk::dial(Role::Leaf, &theirs),
        Greeted::Refused(204)
    ));
}

/// Whoever called, with compression or without: tables go both ways, pings are answered, and on the last hop its
/// table says what it gets.
#[test]
fn as_an_ultrapeer_beside_us_it_exchanges_tables_and_gets_on_the_last_hop_what_it_has() {
    let dialled = ["01-probe-ultra-to-ultra", "02-probe-ultra-to-ultra-deflate"]
        .map(|name| (name, dial(Role::Ultrapeer, name)));
    let accepted = ["11-ultra-dials-probe", "12-ultra-dials-probe-deflate"]
        .map(|name| (name, accept(Role::Ultrapeer, [127, 0, 0, 1], name)));
    for (name, mut talk) in dialled.into_iter().chain(accepted) {
        let deflated = name.ends_with("deflate");
        assert_eq!(
            talk.codings.from_peer == Coding::Deflated,
            deflated,
            "{name}"
        );
        assert_eq!(talk.codings.to_peer, Coding::Deflated, "{name}");
        talk.neighbour(OTHER);
        let table = our_table(&talk);
        assert!(
            has(&table, "pink flamingo") && !has(&table, "walrus"),
            "{name}"
        );
        let reads = talk.it_reads();
        for _ in 0..2 {
            let update = talk.next(Kind::Qrp);
            assert_eq!(talk.hear(update), []);
        }
        hear_its_lists(&mut talk);
        while talk
            .to_come
            .iter()
            .any(|frame| frame.header.kind == Kind::Ping)
        {
            assert_pong(&mut talk, true);
        }
        assert_eq!(talk.to_come, [], "{name}");
        // It has "walrus song alpha.txt"; its leaf "walrus leaf quagga.txt" is in its table too.
        for (n, words, ttl, reaches) in [
            (1, "walrus song", 2, true),
            (2, "zebra crossing", 2, false),
            (3, "zebra stripes", 3, true),
            (4, "walrus song", 1, false),
        ] {
            let said = talk.hear_on(OTHER, query(n, words, ttl));
            let to_peer: Vec<_> = said.iter().filter(|(to, _)| *to == PEER).collect();
            assert_eq!(
                to_peer.len(),
                usize::from(reaches),
                "{name}: {words}, {ttl}"
            );
            for (_, frame) in to_peer {
                assert_eq!(
                    (frame.header.hops, frame.header.ttl),
                    (1, ttl - 1),
                    "{name}"
                );
            }
        }
        talk.assert_polite(&reads, Role::Ultrapeer);
        let drops: Vec<_> = talk.drops();
        assert!(
            drops.iter().all(|(reason, _)| *reason == "ttl_spent"),
            "{name}: {drops:?}"
        );
    }
}

#[test]
fn as_an_ultrapeer_beside_us_it_answers_our_searches_with_all_it_and_those_beyond_have() {
    let mut talk = dial(Role::Ultrapeer, "20-queries-and-hits");
    let reads = talk.it_reads();
    for _ in 0..2 {
        let update = talk.next(Kind::Qrp);
        talk.hear(update);
    }
    hear_its_lists(&mut talk);
    let mut ours = talk.search("walrus");
    for _ in 0..20 {
        if ours.is_some() {
            break;
        }
        // Dynamic: link by link, when its turn comes.
        let before = talk.said.len();
        talk.pass(1);
        ours = talk.said[before..]
            .iter()
            .find(|(to, frame)| *to == PEER && frame.header.kind == Kind::Query)
            .map(|(_, frame)| frame.clone());
    }
    let query = ours.expect("its only neighbour is asked");
    let [first, second] = [(); 2].map(|()| talk.next(Kind::QueryHit));
    assert_eq!((first.header.hops, second.header.hops), (0, 1));
    talk.answer(query.header.guid, first);
    talk.answer(query.header.guid, second);
    assert_eq!(
        talk.found(),
        [
            "walrus song alpha.txt",
            "walrus song beta.mp3",
            "walrus leaf quagga.txt",
            "walrus leaf big.mp3"
        ]
    );
    assert_eq!(talk.drops(), []);
    talk.assert_polite(&reads, Role::Ultrapeer);
}

#[test]
fn as_an_ultrapeer_beside_us_its_queries_are_answered_and_its_pongs_taken_only_when_asked_for() {
    let mut talk = dial(Role::Ultrapeer, "26-dynamic-query-neighbour");
    let reads = talk.it_reads();
    talk.neighbour(OTHER);
    // TTL 1: answered, gone no further.
    let before = talk.said.len();
    assert_hit(&mut talk, "orchid bloom.txt");
    assert!(talk.said[before..].iter().all(|(to, _)| *to == PEER));
    talk.hear_out();
    talk.assert_polite(&reads, Role::Ultrapeer);

    let mut talk = dial(Role::Ultrapeer, "22-pings-and-pongs");
    let pongs = talk
        .to_come
        .iter()
        .filter(|frame| frame.header.kind == Kind::Pong);
    let pongs = pongs.count() as u64;
    assert_eq!(pongs, 4);
    let reads = talk.it_reads();
    talk.hear_out();
    assert_eq!(
        talk.drops(),
        [("unasked", pongs)],
        "they answer pings of the probe"
    );
    talk.assert_polite(&reads, Role::Ultrapeer);
}

#[test]
fn as_an_ultrapeer_beside_us_it_is_pinged_and_its_pong_brings_the_node_it_names() {
    let mut talk = Talk::keeping_alive(Role::Ultrapeer, "22-pings-and-pongs");
    let pings = talk.said_of(Kind::Ping);
    let id = pings
        .first()
        .expect("a new neighbour is pinged")
        .header
        .guid;
    let (mut own, mut other) = (talk.next(Kind::Pong), talk.next(Kind::Pong));
    while other.header.hops == 0 {
        other = talk.next(Kind::Pong);
    }
    own.header.guid = id;
    let before = talk.node.known_hosts();
    talk.answer(id, own);
    talk.answer(id, other);
    let after = talk.node.known_hosts();
    let beyond = "127.0.0.8:6347".parse().unwrap();
    assert!(!before.contains(&beyond) && after.contains(&beyond));
    assert_eq!(talk.drops(), []);
}

#[test]
fn as_an_ultrapeer_beside_us_it_names_a_firewalled_source_and_takes_our_push_for_it() {
    let mut talk = dial(Role::Ultrapeer, "50-query-hit-push");
    let reads = talk.it_reads();
    talk.neighbour(OTHER);
    let query = query(1, "quartz manual", 3);
    talk.hear_on(OTHER, query.clone());
    for _ in 0..2 {
        let mut hit = talk.next(Kind::QueryHit);
        hit.header.guid = query.header.guid;
        let said = talk.hear_on(PEER, hit.clone());
        let [(OTHER, passed)] = &said[..] else {
            panic!("{said:?}")
        };
        assert_eq!(passed.header.hops, hit.header.hops + 1);
    }
    // Somebody behind us, and then we ourselves, want the second one to connect.
    let firewalled = ServentId::from_hex("a7c53102100fb9e0ca89420f275d2f77").unwrap();
    let said = talk.hear_on(OTHER, push(2, firewalled));
    assert!(
        matches!(&said[..], [(PEER, passed)] if passed.header.hops == 1),
        "{said:?}"
    );
    talk.give(Event::Reached);
    let spec = PushSpec {
        servent: firewalled,
        index: 3,
        port: None,
    };
    let before = talk.said.len();
    talk.give(Event::Command(
        filbert::node::Ticket(8),
        Command::Push(spec),
    ));
    let [(PEER, push)] = &talk.said[before..] else {
        panic!("{:?}", &talk.said[before..])
    };
    let push = Push::parse(&push.payload).unwrap();
    assert_eq!(
        (push.servent, push.addr),
        (firewalled, LISTEN.parse().unwrap())
    );
    assert_eq!(talk.drops(), []);
    talk.assert_polite(&reads, Role::Ultrapeer);
}

#[test]
fn its_bye_ends_the_link_without_a_word_of_ours() {
    let mut talk = dial(Role::Ultrapeer, "10-bye-bad-qrp");
    let bye = talk.next(Kind::Bye);
    assert_eq!(Bye::parse(&bye.payload).code, 413);
    talk.hear(bye);
    assert_eq!(talk.closed, [(PEER, None)]);
    assert_eq!(talk.node.link_count(), 0);
}

/// What it refused the probe we are told too, and call again only later.
#[test]
fn its_refusals_are_read_as_such() {
    for (role, name, code) in [
        (Role::Leaf, "05-refused-leaf-without-deflate", 403),
        (Role::Ultrapeer, "08-refused-g2-only", 406),
        (Role::Ultrapeer, "09-refused-banned", 429),
    ] {
        let bytes = captured(&format!("{name}.recv.bin"));
        assert!(
            matches!(Talk::dial(role, &bytes), Greeted::Refused(found) if found == code),
            "{name}"
        );
    }
}

/// For ten minutes nobody says anything but the minute that was captured, again and again: no Bye, and no frame of its
/// that we cannot use but the repeats.
#[test]
fn ten_minutes_of_its_traffic_end_in_no_bye() {
    for role in [Role::Leaf, Role::Ultrapeer] {
        let mut talk = dial(role, "25-one-minute-overlay-watcher");
        let reads = talk.it_reads();
        let minute = talk.to_come.clone();
        for round in 0..10_u8 {
            talk.to_come.clone_from(&minute);
            for frame in &mut talk.to_come {
                if frame.header.kind != Kind::Vendor {
                    frame.header.guid.0[0] ^= round;
                }
            }
            talk.hear_out();
        }
        assert!(talk.now >= Time(1).plus(std::time::Duration::from_secs(600)));
        talk.assert_polite(&reads, role);
        assert_eq!(talk.said_of(Kind::QueryHit).len(), 4 * 10);
        assert_eq!(talk.drops(), [("no_way_back", 10)]);
    }
}
