//! Hits byte by byte: worked examples, forms of other programs, lies.

use super::super::Sha1;
use super::record::PLAIN_SIZE_MAX;
use super::*;

fn hex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER
        .decode(text.replace(' ', "").as_bytes())
        .unwrap()
}

fn fox() -> (Vec<u8>, QueryHit) {
    let payload = hex(concat!(
        "01 ca18 c000020a e8030000 07000000 0c000000 666f782e747874 00",
        "c3 81 48 6d 02 22596363b3de40b06f981fb85d82312e8c0ed511",
        "5347c781128deca796cda0bad48cc2be9cdfff138b095b06 00",
        "54455354 02 2c 21 c3 82 4248 40 f0e1d2c3b4a5968778695a4b3c2d1e0f"
    ));
    let sha1 = hex("22596363b3de40b06f981fb85d82312e8c0ed511")
        .try_into()
        .unwrap();
    let tiger = hex("5347c781128deca796cda0bad48cc2be9cdfff138b095b06")
        .try_into()
        .unwrap();
    let record = Record {
        index: 7,
        size: 12,
        name: "fox.txt".into(),
        sha1: Some(Sha1(sha1)),
        tiger: Some(tiger),
        ..Record::default()
    };
    let hit = QueryHit {
        speed_kbps: 1000,
        vendor: *b"TEST",
        push: Some(false),
        busy: Some(false),
        browse: true,
        ..QueryHit::new(
            "192.0.2.10:6346".parse().unwrap(),
            ServentId::from_hex("f0e1d2c3b4a5968778695a4b3c2d1e0f").unwrap(),
            vec![record],
        )
    };
    (payload, hit)
}

#[test]
fn the_hit_of_the_reference_reads_as_told() {
    let (payload, hit) = fox();
    assert_eq!(payload.len(), 105);
    assert_eq!(QueryHit::parse(&payload), Ok(hit.clone()));
    assert_eq!(QueryHit::servent_of(&payload), Ok(hit.servent));
}

#[test]
fn what_we_build_reads_back() {
    let (_, mut hit) = fox();
    hit.addr = "[2001:db8::9]:6346".parse().unwrap();
    hit.push = Some(true);
    hit.push_proxies = ["192.0.2.1:6346", "198.51.100.7:1024", "[2001:db8::7]:80"]
        .map(|addr| addr.parse().unwrap())
        .to_vec();
    hit.nick = Some("kitchen".into());
    hit.records[0].created = Some(1_700_000_000);
    for size in [
        0,
        u64::from(PLAIN_SIZE_MAX),
        u64::from(PLAIN_SIZE_MAX) + 1,
        1 << 32,
        u64::MAX,
    ] {
        let bare = Record {
            size,
            sha1: None,
            tiger: None,
            created: None,
            ..hit.records[0].clone()
        };
        hit.records.push(bare);
    }
    assert_eq!(QueryHit::parse(&hit.build()), Ok(hit.clone()));
    let plain = QueryHit {
        speed_kbps: hit.speed_kbps,
        ..QueryHit::new("192.0.2.1:1".parse().unwrap(), hit.servent, hit.records)
    };
    assert_eq!(QueryHit::parse(&plain.build()), Ok(plain));
}

#[test]
fn a_path_is_told_whole_or_not_at_all() {
    let (_, mut hit) = fox();
    hit.records[0].path = Some("Bücher/Melville".into());
    let payload = hit.build();
    assert_eq!(QueryHit::parse(&payload), Ok(hit.clone()));
    assert!(
        payload
            .windows(5)
            .any(|bytes| bytes == b"\x84PATH" || bytes == b"\x04PATH")
    );
    hit.records[0].path = Some("x".repeat(PATH_BYTES_MAX));
    assert_eq!(QueryHit::parse(&hit.build()), Ok(hit.clone()));
    hit.records[0].path = Some("x".repeat(PATH_BYTES_MAX + 1));
    let read = QueryHit::parse(&hit.build()).unwrap();
    assert_eq!(read.records[0].path, None);
}

#[test]
fn a_hash_of_ours_reads_by_everyone() {
    let (_, hit) = fox();
    let text = String::from_utf8_lossy(&hit.build()).into_owned();
    assert!(
        text.contains("urn:sha1:EJMWGY5T3ZALA34YD64F3ARRF2GA5VIR\u{1c}"),
        "{text:?}"
    );
}

#[test]
fn flags_read_as_their_two_bytes_say() {
    let (payload, _) = fox();
    let flags = payload.len() - 16 - 5 - 2;
    for (first, second, push, busy) in [
        (0x00, 0x00, None, None),
        (0x01, 0x00, None, None),
        (0x00, 0x01, Some(false), None),
        (0x01, 0x01, Some(true), None),
        (0x04, 0x00, None, Some(false)),
        (0x04, 0x04, None, Some(true)),
        (0x00, 0x04, None, None),
    ] {
        let mut payload = payload.clone();
        payload[flags..flags + 2].copy_from_slice(&[first, second]);
        let hit = QueryHit::parse(&payload).unwrap();
        assert_eq!(
            (hit.push, hit.busy),
            (push, busy),
            "{first:02x} {second:02x}"
        );
    }
}

#[test]
fn push_proxies_are_read_as_others_write_them_and_no_more_than_a_few() {
    let (payload, _) = fox();
    let proxies = |block: &str| {
        let mut payload = payload.clone();
        // In the place of the block with `BH` alone.
        let at = payload.len() - 16 - 5;
        payload.splice(at..at + 5, hex(block));
        QueryHit::parse(&payload).unwrap().push_proxies
    };
    let two: [SocketAddr; 2] =
        ["192.0.2.1:6346", "198.51.100.7:1024"].map(|addr| addr.parse().unwrap());
    // As the worked block of the reference packs hosts, with the bitmap of those that speak TLS.
    let vector = "c0000201ca18 c63364070004";
    assert_eq!(
        proxies(&format!(
            "c3 04 50555348 4c {vector} 88 505553485f544c53 41 40"
        )),
        two
    );
    let many = format!(
        "c3 84 50555348 81 40 {}",
        "c0000201ca18".repeat(10) + "c0000201"
    );
    assert_eq!(proxies(&many), [], "it ends within an address");
    let many = format!("c3 84 50555348 81 48 {}", "c0000201ca18".repeat(12));
    assert_eq!(proxies(&many).len(), PUSH_PROXIES_MAX);
    let twice = "c3 04 50555348 46 c0000201ca18 84 50555348 46 c63364070004";
    assert_eq!(proxies(twice), two[..1], "the first counts");
}

#[test]
fn a_hit_that_lies_is_dropped_whole() {
    let (payload, _) = fox();
    let with = |at: usize, byte: u8| {
        let mut payload = payload.clone();
        payload[at] = byte;
        payload
    };
    let mut no_servent = payload.clone();
    no_servent[89..].fill(0);
    let mut two_for_one = payload.clone();
    two_for_one.splice(11..11, hex("01000000 02000000 6100 00"));
    let bad = [
        payload[..26].to_vec(),
        with(0, 0),
        with(0, 2),
        with(80, 0x01),
        no_servent,
        two_for_one,
        hex("01 ca18 c000020a e8030000 07000000 0c000000 666f f0e1d2c3b4a5968778695a4b3c2d1e0f"),
    ];
    for payload in bad {
        assert!(QueryHit::parse(&payload).is_err(), "{payload:02x?}");
    }
}

#[test]
fn odd_but_honest_hits_are_read() {
    let (payload, hit) = fox();
    let mut lime = payload.clone();
    // Open data of 4 bytes (XML of 1 byte), a byte before the block, a NUL behind it.
    lime.splice(81..84, [4, 0x2c, 0x21, 1, 0, 0x01]);
    let end = lime.len() - 16;
    lime.insert(end, 0);
    assert_eq!(QueryHit::parse(&lime), Ok(hit));
    let mut latin1 = payload.clone();
    latin1[19] = 0xe9;
    assert_eq!(
        QueryHit::parse(&latin1).unwrap().records[0].name,
        "\u{fffd}ox.txt"
    );
    let mut bare = payload;
    bare.drain(77..89);
    assert_eq!(QueryHit::parse(&bare).unwrap().vendor, [0; 4]);
}

/// The record of the reference with another extension area.
fn with_area(area: &str) -> Vec<u8> {
    let (mut payload, _) = fox();
    payload.splice(27..76, hex(area));
    payload
}

#[test]
fn hashes_go_out_in_the_form_the_querier_reads() {
    let (payload, mut hit) = fox();
    let without = |payload: &[u8]| {
        let mut payload = payload.to_vec();
        // What we never say: that we have uploaded before.
        let flags = payload.len() - 16 - 5 - 2;
        payload[flags] &= !0x08;
        payload
    };
    assert_eq!(hit.build_in(HashForm::GgepH), without(&payload));
    let text = String::from_utf8_lossy(&hit.build()).into_owned();
    assert!(
        text.contains("urn:sha1:EJMWGY5T3ZALA34YD64F3ARRF2GA5VIR\u{1c}\u{c2}TT"),
        "{text:?}"
    );
    hit.records[0].tiger = None;
    let short = with_area("c3 81 48 55 01 22596363b3de40b06f981fb85d82312e8c0ed511");
    assert_eq!(hit.build_in(HashForm::GgepH), without(&short));
    assert_eq!(QueryHit::parse(&short), Ok(hit.clone()));
    // A digest with a zero byte may not stand in a record as it is.
    hit.records[0].sha1 = Some(Sha1([0; 20]));
    let built = hit.build_in(HashForm::GgepH);
    assert_eq!(QueryHit::parse(&built), Ok(hit.clone()));
    hit.records[0].sha1 = None;
    hit.records[0].tiger = Some([9; 24]);
    let built = hit.build_in(HashForm::GgepH);
    assert_eq!(QueryHit::parse(&built), Ok(hit), "H needs a SHA-1");
}

#[test]
fn alternates_are_read_and_written_as_gtk_gnutella_packs_them() {
    // H, then ALT of three hosts, the first and third with TLS; the vector holds no zero, so no COBS.
    let area = concat!(
        "c3 01 48 55 01 22596363b3de40b06f981fb85d82312e8c0ed511",
        "03 414c54 52 c0020a01ca18 c63364070104 cb0071fe0950 87 414c545f544c53 41 a0"
    );
    assert!(
        QueryHit::parse(&with_area(area)).is_err(),
        "a zero in a record"
    );
    let area = area.replace("cb0071fe0950", "cb1771fe0950");
    let payload = with_area(&area);
    let hit = QueryHit::parse(&payload).unwrap();
    let places: Vec<_> = hit.records[0]
        .alternates
        .iter()
        .map(|one| (one.addr.to_string(), one.tls))
        .collect();
    assert_eq!(
        places,
        [
            ("192.2.10.1:6346".to_owned(), true),
            ("198.51.100.7:1025".to_owned(), false),
            ("203.23.113.254:20489".to_owned(), true)
        ]
    );
    let area = hex(&area);
    let built = hit.build_in(HashForm::GgepH);
    assert!(built.windows(area.len()).any(|bytes| bytes == area));
}

#[test]
fn alternates_are_bounded_and_need_a_hash() {
    let h = "01 48 55 01 22596363b3de40b06f981fb85d82312e8c0ed511";
    let count = |area: String| {
        let hit = QueryHit::parse(&with_area(&area)).unwrap();
        hit.records[0].alternates.len()
    };
    let vector = |n: usize| "c0020a01ca18".repeat(n);
    let many = format!(
        "c3 {h} 83 414c54 82 40 {}",
        "c0020a01ca18".repeat(21) + "c002"
    );
    assert_eq!(count(many), 0, "it ends within an address");
    assert_eq!(
        count(format!("c3 {h} 83 414c54 82 7a {}", vector(31))),
        ALTERNATES_MAX
    );
    assert_eq!(
        count(format!("c3 83 414c54 4c {}", vector(2))),
        0,
        "of what?"
    );
    let twice = format!(
        "c3 {h} 03 414c54 46 {} 83 414c54 4c {}",
        vector(1),
        vector(2)
    );
    assert_eq!(count(twice), 1, "the first counts");
    // Both families: IPv4 first. An IPv6 vector entry that is an IPv4 address counts as one.
    let six = "20010db8 11111111 22222222 33333333 ca18";
    let both = format!("c3 {h} 04 414c5436 52 {six} 83 414c54 46 {}", vector(1));
    let hit = QueryHit::parse(&with_area(&both)).unwrap();
    let families: Vec<_> = hit.records[0]
        .alternates
        .iter()
        .map(|one| one.addr.is_ipv6())
        .collect();
    assert_eq!(families, [false, true]);
    assert_eq!(QueryHit::parse(&hit.build()), Ok(hit));
}

#[test]
fn partial_files_are_told_by_any_of_their_marks() {
    for (mark, partial) in [
        ("c3 83 505255 40", true),
        // Of gtk-gnutella: time of the last change, and bytes that are there.
        ("c3 83 505255 46 653f1501 aabb", true),
        ("c3 83 505230 40", true),
        ("c3 83 505231 42 0207", true),
        ("c3 83 505235 41 02", false),
        ("c3 82 4354 41 05", false),
    ] {
        let hit = QueryHit::parse(&with_area(mark)).unwrap();
        assert_eq!(hit.records[0].partial, partial, "{mark}");
        assert_eq!(QueryHit::parse(&hit.build()), Ok(hit), "{mark}");
    }
}

#[test]
fn xml_and_old_metadata_in_a_record_are_passed_over() {
    // LimeWire 4: URN, then words; Morpheus: XML in the record; both with a block behind.
    let urn = data_encoding::HEXLOWER.encode(b"urn:sha1:EJMWGY5T3ZALA34YD64F3ARRF2GA5VIR");
    let words = data_encoding::HEXLOWER.encode(b"120 kbps 44 kHz 3:55");
    let xml = data_encoding::HEXLOWER.encode(b"<audio title=\"\xc3\xa9t\xc3\xa9\" urn:=\"x\"/>");
    for junk in [&words, &xml] {
        let area = format!("{urn} 1c {junk} 1c c3 82 4354 44 f1536501");
        let hit = QueryHit::parse(&with_area(&area)).unwrap();
        let record = &hit.records[0];
        assert_eq!(
            (record.sha1.map(|sha1| sha1.to_base32()), record.created),
            (
                Some("EJMWGY5T3ZALA34YD64F3ARRF2GA5VIR".to_owned()),
                Some(0x0165_53f1)
            ),
            "{area}"
        );
    }
}

/// The hit of the reference with another trailer.
fn with_trailer(trailer: &[u8]) -> Vec<u8> {
    let (mut payload, _) = fox();
    let end = payload.len() - 16;
    payload.splice(77..end, trailer.iter().copied());
    payload
}

#[test]
fn the_trailer_of_limewire_is_read_and_its_xml_is_not() {
    // Open data of 4 bytes: flags, and the size of the XML; then the chat byte, GGEP, XML and NUL.
    let xml = b"{plaintext}<?xml version=\"1.0\"?><audios t=\"\xc3\x83PUSH\x46\xc0\x02\x0a\x01\xca\x18\"/>\0";
    let size = u16::try_from(xml.len()).unwrap().to_le_bytes();
    let block = hex("c3 02 4248 40 03 544c53 40 84 50555348 46 c0000201ca18");
    let trailer = |flags: [u8; 2], block: &[u8]| {
        with_trailer(&[b"LIME\x04", &flags[..], &size, &[1], block, xml].concat())
    };
    let hit = QueryHit::parse(&trailer([0x3d, 0x3d], &block)).unwrap();
    assert_eq!(
        (hit.push, hit.busy, hit.browse, hit.tls),
        (Some(true), Some(true), true, true)
    );
    assert_eq!(hit.push_proxies, ["192.0.2.1:6346".parse().unwrap()]);
    let bare = QueryHit::parse(&trailer([0x1d, 0x1d], &[])).unwrap();
    assert_eq!(
        (bare.push_proxies.len(), bare.browse),
        (0, false),
        "what looks like a block is a part of the XML"
    );
    let denied = QueryHit::parse(&trailer([0x3d, 0x1d], &block)).unwrap();
    assert!(!denied.browse, "it says that there is no block");
}

#[test]
fn private_areas_of_any_content_do_no_harm() {
    let (_, hit) = fox();
    let plain = QueryHit {
        vendor: *b"EVIL",
        browse: false,
        ..hit
    };
    let secret: Vec<u8> = (0..60u8).map(|n| n.wrapping_mul(151) ^ 0xC3).collect();
    for (open, private) in [
        (&[0x0c, 0x01][..], &secret[..]),
        (&[0x2c, 0x21], &secret),
        // An XML size that reaches beyond the area, and one that is all of it.
        (&[0x0c, 0x01, 0xff, 0xff], &secret),
        (&[0x0c, 0x01, 60, 0], &secret),
        (&[0x0c, 0x01, 0], &[]),
        (&[0x2c, 0x21], &[0xC3]),
        (&[0x2c, 0x21], &[0xC3, 0xFF, 0, 0, 0]),
    ] {
        let open_len = [u8::try_from(open.len()).unwrap()];
        let bytes = with_trailer(&[b"EVIL", &open_len[..], open, private].concat());
        assert_eq!(QueryHit::parse(&bytes), Ok(plain.clone()), "{open:02x?}");
    }
}
