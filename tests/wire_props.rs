//! Promises of `wire` for all values and for all bytes.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::net::SocketAddr;

use filbert::wire::bye::Bye;
use filbert::wire::frame::drop_above;
use filbert::wire::ggep::{Block, Extensions, Zeros};
use filbert::wire::hit::{
    ALTERNATES_MAX, Alternate, HashForm, NICK_BYTES_MAX, PATH_BYTES_MAX, PUSH_PROXIES_MAX,
    QueryHit, Record,
};
use filbert::wire::magnet::Magnet;
use filbert::wire::ping::{Ping, Pong};
use filbert::wire::push::Push;
use filbert::wire::qrp::{Packing, Qrp};
use filbert::wire::query::{Media, Query, QueryFlags};
use filbert::wire::text::clean_bytes;
use filbert::wire::vendor::{
    FEATURES_SUPPORTED, Feature, HOPS_FLOW, MESSAGES_SUPPORTED, TOKEN_BYTES_MAX, Token, Vendor,
    VendorId,
};
use filbert::wire::{Frame, Guid, Header, Kind, Message, ServentId, Sha1, WireError};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

#[path = "fuzz/bodies.rs"]
mod bodies;

fn addr() -> impl Strategy<Value = SocketAddr> {
    // IPv6 that stands for IPv4 is written as that.
    any::<SocketAddr>().prop_map(|addr| SocketAddr::new(addr.ip().to_canonical(), addr.port()))
}

fn sha1() -> impl Strategy<Value = Sha1> {
    any::<[u8; 20]>().prop_map(Sha1)
}

/// Short texts of all kinds of characters but NUL.
fn text(bytes_max: usize) -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..=bytes_max).prop_map(move |chars| {
        let mut text: String = chars.into_iter().filter(|&c| c != '\0').collect();
        text.truncate(text.floor_char_boundary(bytes_max));
        text
    })
}

fn record() -> impl Strategy<Value = Record> {
    let size = prop_oneof![any::<u64>(), any::<u32>().prop_map(u64::from)];
    let hashes = (
        option::of(sha1()),
        option::of(any::<[u8; 24]>()),
        option::of(any::<u64>()),
    );
    let alternates = vec((addr(), any::<bool>()), 0..=ALTERNATES_MAX).prop_map(|all| {
        let alternate = |(addr, tls)| Alternate { addr, tls };
        let mut all: Vec<_> = all.into_iter().map(alternate).collect();
        // Two vectors, one for each family.
        all.sort_by_key(|alternate| alternate.addr.is_ipv6());
        all
    });
    let path =
        option::of(text(PATH_BYTES_MAX)).prop_map(|path| path.filter(|path| !path.is_empty()));
    let more = (any::<bool>(), alternates, path);
    (any::<u32>(), size, text(60), hashes, more).prop_map(
        |(index, size, name, (sha1, tiger, created), (partial, alternates, path))| Record {
            index,
            size,
            name,
            sha1,
            tiger,
            created,
            partial,
            path,
            // Without a hash nobody can have the same.
            alternates: sha1.map_or_else(Vec::new, |_| alternates),
        },
    )
}

fn hit() -> impl Strategy<Value = QueryHit> {
    let vendor = prop_oneof![
        Just([0; 4]),
        [b'!'..=b'~', b'!'..=b'~', b'!'..=b'~', b'!'..=b'~']
    ];
    let flags = (
        option::of(any::<bool>()),
        option::of(any::<bool>()),
        any::<bool>(),
        any::<bool>(),
    );
    let nick = option::of(text(40)).prop_map(|nick| {
        let nick = nick.map(|nick| clean_bytes(nick.as_bytes(), NICK_BYTES_MAX));
        nick.filter(|nick| !nick.is_empty())
    });
    let who = (
        addr(),
        any::<u32>(),
        any::<[u8; 16]>().prop_filter("zero id", |id| *id != [0; 16]),
    );
    let proxies = vec(addr(), 0..=PUSH_PROXIES_MAX).prop_map(|mut proxies| {
        // Two vectors, one for each family.
        proxies.sort_by_key(SocketAddr::is_ipv6);
        proxies
    });
    let flags = (flags, proxies);
    let token = vec(any::<u8>(), 1..=TOKEN_BYTES_MAX).prop_map(|bytes| Token::new(&bytes).unwrap());
    let said = (nick, option::of(token));
    (vec(record(), 1..12), vendor, flags, said, who).prop_map(
        |(
            records,
            vendor,
            ((push, busy, browse, tls), push_proxies),
            (nick, token),
            (addr, speed_kbps, servent),
        )| QueryHit {
            addr,
            speed_kbps,
            records,
            vendor,
            push,
            push_proxies,
            busy,
            browse,
            tls,
            nick,
            token,
            servent: ServentId(servent),
        },
    )
}

fn check(kind: Kind, told: &Message<'_>, payload: &[u8]) -> Result<(), TestCaseError> {
    let read = Message::parse(kind, payload);
    prop_assert_eq!(read.as_ref(), Ok(told));
    prop_assert_eq!(told.build(), Ok(payload.to_vec()));
    Ok(())
}

proptest! {
    #[test]
    fn a_hit_reads_as_it_was_built(hit in hit()) {
        let short = hit.build_in(HashForm::GgepH);
        prop_assert_eq!(QueryHit::parse(&short), Ok(hit.clone()));
        for record in &hit.records {
            let mut alone = hit.clone();
            alone.records = vec![record.clone()];
            let (with, bare) = (alone.clone(), Record { index: 0, ..Record::default() });
            alone.records = vec![bare];
            for form in [HashForm::Urn, HashForm::GgepH] {
                let bytes = with.build_in(form).len() - alone.build_in(form).len() + 10;
                prop_assert!(bytes <= record.bytes_max(), "{} > {}", bytes, record.bytes_max());
            }
        }
        let payload = hit.build();
        prop_assert_eq!(QueryHit::servent_of(&payload), Ok(hit.servent));
        if payload.len() <= drop_above(Kind::QueryHit) {
            check(Kind::QueryHit, &Message::QueryHit(hit), &payload)?;
        }
    }

    #[test]
    fn a_query_reads_as_it_was_built(
        flags in 1..u16::MAX,
        text in text(120),
        sha1s in vec(sha1(), 0..6),
        media in 0u64..0x400,
    ) {
        let media = Media::from_bits(media);
        // A hash named twice is read once.
        let sha1s = sha1s.into_iter().fold(Vec::new(), |mut all, sha1| {
            if !all.contains(&sha1) {
                all.push(sha1);
            }
            all
        });
        let query = Query { flags: QueryFlags(flags), text: text.into(), sha1s, media };
        match query.build() {
            Ok(payload) => {
                // The placeholder for "no words" cannot be told from the word.
                if query.text != "\\" {
                    check(Kind::Query, &Message::Query(query.clone()), &payload)?;
                }
            }
            Err(WireError::Empty(_)) => prop_assert!(query.text.len() < 2 && query.sha1s.is_empty()),
            // Flags, NUL, the text twice at worst (field and `XQ`), `M`, `SO`, a URN and its separator for each hash.
            Err(error) => {
                let worst = 3 + 2 * query.text.len() + 7 + 5 + 4 + 42 * query.sha1s.len();
                prop_assert!(worst > 256, "{} for {} bytes: {:?}", error, worst, query);
            }
        }
    }

    #[test]
    fn pings_pongs_pushes_and_byes_read_as_they_were_built(
        wants_hosts in option::of(any::<u8>()),
        (pong, numbers, ultrapeer) in (addr(), any::<(u32, u32)>(), option::of(any::<(u8, u8)>())),
        (push, id, index, tls) in (addr(), any::<[u8; 16]>(), any::<u32>(), any::<bool>()),
        (code, reason) in (any::<u16>(), text(120)),
    ) {
        let ping = Ping { wants_hosts };
        check(Kind::Ping, &Message::Ping(ping), &ping.build())?;
        let pong = Pong { addr: pong, files: numbers.0, kilobytes: numbers.1, ultrapeer, tls };
        check(Kind::Pong, &Message::Pong(pong.clone()), &pong.build())?;
        let push = Push { servent: ServentId(id), index, addr: push, tls };
        check(Kind::Push, &Message::Push(push), &push.build())?;
        let text = clean_bytes(reason.as_bytes(), 120);
        let bye = Bye::build(code, &reason);
        check(Kind::Bye, &Message::Bye(Bye { code, text }), &bye)?;
    }

    #[test]
    fn vendor_messages_and_table_updates_read_as_they_were_built(
        ids in vec(any::<([u8; 4], u16, u16)>(), 0..20),
        hops in any::<u8>(),
        data in vec(any::<u8>(), 1..100),
        (power, infinity, number, more, deflated, bits) in
            (0..=21u32, 1..=255u8, 1..=255u8, any::<u8>(), any::<bool>(), 0..4u32),
    ) {
        let id = |(vendor, selector, version)| VendorId { vendor, selector, version };
        let known = [MESSAGES_SUPPORTED, FEATURES_SUPPORTED, HOPS_FLOW];
        let other = ids.first().copied().map(id).filter(|id| !known.contains(id));
        let features = ids.iter().map(|&(name, version, _)| Feature { name, version }).collect();
        let vendors = [
            Vendor::MessagesSupported(ids.iter().copied().map(id).collect()),
            Vendor::FeaturesSupported(features),
            Vendor::HopsFlow(hops),
        ];
        for vendor in vendors.into_iter().chain(other.map(|id| Vendor::Other(id, &data))) {
            check(Kind::Vendor, &Message::Vendor(vendor.clone()), &vendor.build())?;
            check(Kind::StandardVendor, &Message::StandardVendor(vendor.clone()), &vendor.build())?;
        }
        let reset = Qrp::Reset { entries: 1 << power, infinity };
        check(Kind::Qrp, &Message::Qrp(reset), &reset.build())?;
        let packing = if deflated { Packing::Deflated } else { Packing::Plain };
        let of = number.saturating_add(more);
        let patch = Qrp::Patch { number, of, packing, entry_bits: 1 << bits, data: &data };
        check(Kind::Qrp, &Message::Qrp(patch), &patch.build())?;
    }

    #[test]
    fn a_header_and_any_payload_make_a_frame(
        (guid, kind, ttl, hops) in any::<([u8; 16], u8, u8, u8)>(),
        payload in vec(any::<u8>(), 0..1024),
        size in 1..=255u8,
    ) {
        let header = Header { guid: Guid(guid), kind: Kind::from_byte(kind), ttl, hops };
        let frame = Frame { header, payload: payload.into() };
        let stream = [vec![size], frame.to_vec(), frame.to_vec()].concat();
        bodies::frame(&stream);
        let mut reader = filbert::wire::FrameReader::new();
        reader.push(stream[1..].to_vec().into());
        prop_assert_eq!(reader.next_frame(), Ok(Some(frame.clone())));
        prop_assert_eq!(reader.next_frame(), Ok(Some(frame)));
        prop_assert_eq!(reader.next_frame(), Ok(None));
    }

    #[test]
    fn extensions_read_as_they_were_put(
        values in vec(vec(prop_oneof![Just(0), any::<u8>()], 0..700), 1..20),
        packed in any::<bool>(),
        number in any::<u64>(),
    ) {
        for zeros in [Zeros::Allowed, Zeros::Escaped] {
            let mut block = Block::new(zeros);
            for (at, value) in values.iter().enumerate() {
                let id = format!("X{at}");
                if packed { block.put_packed(id.as_bytes(), value) } else { block.put(id.as_bytes(), value) }
            }
            block.put_uint(b"N", number);
            let block = block.finish();
            prop_assert!(zeros == Zeros::Allowed || !block.contains(&0));
            let mut extensions = Extensions::new(&block);
            for value in &values {
                let read = extensions.next().unwrap().value().unwrap();
                prop_assert_eq!(read.as_ref(), value.as_slice());
            }
            prop_assert_eq!(extensions.next().unwrap().uint(), Some(number));
            prop_assert!(extensions.next().is_none() && !extensions.broken());
        }
    }

    #[test]
    fn a_magnet_link_reads_as_it_was_written(
        sha1s in proptest::collection::btree_set(sha1(), 1..4),
        tiger in option::of(any::<[u8; 24]>()),
        (name, keywords) in (text(40), text(40)),
        size in option::of(any::<u64>()),
        (sources, alternates) in (vec("http://[a-z0-9.:?/&=+%# -]{1,40}", 0..3), vec("[!-~]{1,30}", 0..3)),
    ) {
        let kept = |text: String| Some(clean_bytes(text.as_bytes(), 40)).filter(|text| !text.is_empty());
        let (name, keywords) = (kept(name), kept(keywords));
        let sha1s = sha1s.into_iter().collect();
        let magnet = Magnet { sha1s, tiger, name, size, sources, alternates, keywords };
        prop_assert_eq!(magnet.to_string().parse(), Ok(magnet));
    }
}

/// Bytes that look like something: pieces of real streams, cut, repeated and damaged.
fn likely() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(
        [
            &b"GNUTELLA CONNECT/0.6\r\n"[..],
            b"GNUTELLA/0.6 200 OK\r\n",
            b"GNUTELLA/0.6 503 Full\n",
            b"X-Ultrapeer: True\r\n",
            b"X-Try-Ultrapeers: 1.2.3.4:5, [::1]:6\r\n",
            b"Listen-IP: 0.0.0.0:7\r\n",
            b"GUID: ",
            b"\r\n",
            b"\n\n",
            b" \t",
            b"urn:sha1:PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB",
            b"urn:bitprint:",
            b"\xc3\x82BH\x40",
            b"\xc3\x02LF\x44",
            b"\xc2LF\x46\x01\x01\x01\x01\x02\x01",
            b"\xa2XQ\x4c\x78\xda\x73\x74\x24\x1f\x00\x00\xd0\xf1\x0f\x3d",
            b"\x81H\x55\x01",
            b"\x98\0red fox\0",
            b"\x1c",
            b"\0",
            b"\x01\xca\x18\xc0\0\x02\x0a\xe8\x03\0\0\x07\0\0\0\x0c\0\0\0fox.txt\0",
            b"TEST\x02\x2c\x21",
            b"\xf0\xe1\xd2\xc3\xb4\xa5\x96\x87\x78\x69\x5a\x4b\x3c\x2d\x1e\x0f",
            b"\x80\x07\0\x09\0\0\0",
            b"\x81\x07\0\x40\0\0\0",
            b"magnet:?xt=urn:sha1:",
            b"&dn=%41+",
            b"BEAR\x04\0\x01\0",
        ]
        .map(<[u8]>::to_vec)
        .to_vec(),
    );
    let part = prop_oneof![4 => word, 1 => vec(any::<u8>(), 0..24)];
    (any::<u8>(), vec(part, 0..24))
        .prop_map(|(first, parts)| [vec![first], parts.concat()].concat())
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![likely(), vec(any::<u8>(), 0..2048)]
}

/// A payload behind the byte of a kind that we know.
fn any_payload() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop::sample::select(Kind::ALL.map(Kind::to_byte).to_vec());
    (kind, any_bytes())
        .prop_map(|(kind, bytes)| [&[kind], bytes.get(1..).unwrap_or_default()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_stream_splits_the_same_in_any_pieces(input in any_bytes()) {
        bodies::frame(&input);
    }

    #[test]
    fn any_payload_is_refused_or_reads_as_what_it_writes(input in any_payload()) {
        bodies::message(&input);
    }

    #[test]
    fn any_extensions_stay_within_their_limits(input in any_bytes()) {
        bodies::ggep(&input);
        bodies::ggep(&[&[0xC3], &input[..]].concat());
    }

    #[test]
    fn any_head_reads_the_same_in_any_pieces(input in any_bytes()) {
        bodies::heads(&input);
    }

    #[test]
    fn any_bytes_end_a_greeting_without_harm(input in any_bytes()) {
        bodies::greeting(&input);
    }

    #[test]
    fn any_text_as_a_magnet_link_does_no_harm(input in any_bytes()) {
        bodies::magnet(&input);
        bodies::magnet(&[b"magnet:?dn=x&", &input[..]].concat());
    }

    #[test]
    fn any_hash_tree_reads_back_or_is_refused(input in prop::collection::vec(any::<u8>(), 0..300)) {
        bodies::tree(&input);
    }
}

#[test]
fn real_hits_and_queries_damaged_anywhere_do_no_harm() {
    let mut payloads = Vec::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/captures/gtk-gnutella");
    for name in [
        "21-queries-and-hits-deflate.recv.inflated",
        "21-queries-and-hits-deflate.sent.plain",
    ] {
        let mut reader = filbert::wire::FrameReader::new();
        reader.push(
            std::fs::read(format!("{folder}/{name}.bin"))
                .unwrap()
                .into(),
        );
        while let Some(frame) = reader.next_frame().unwrap() {
            payloads.push([&[frame.header.kind.to_byte()], &frame.payload[..]].concat());
        }
    }
    assert!(payloads.len() > 15);
    for payload in &payloads {
        for at in 1..payload.len() {
            bodies::message(&payload[..at]);
            for damage in [0x00, 0x1c, 0xc3, 0xff, payload[at] ^ 0x40] {
                let mut payload = payload.clone();
                payload[at] = damage;
                bodies::message(&payload);
            }
        }
    }
}
