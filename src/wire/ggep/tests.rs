use super::*;

fn hex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER
        .decode(text.replace(' ', "").as_bytes())
        .unwrap()
}

fn only(block: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut all = Extensions::new(block);
    let one = all.next().unwrap();
    assert!(all.next().is_none() && !all.broken() && all.rest().is_empty());
    (one.id.to_vec(), one.value().unwrap().into_owned())
}

#[test]
fn lengths_are_written_shortest_and_read_in_any_form() {
    for (len, bytes) in [
        (0, "40"),
        (5, "45"),
        (63, "7f"),
        (64, "8140"),
        (100, "8164"),
        (4095, "bf7f"),
        (4096, "818040"),
        (VALUE_MAX, "bfbf7f"),
    ] {
        let mut out = Vec::new();
        write_len(len, &mut out);
        assert_eq!(out, hex(bytes));
        assert_eq!(read_len(&out), Some((len, &[][..])));
    }
    assert_eq!(read_len(&hex("808041")).unwrap().0, 1);
    for bad in ["", "80", "8080", "808080", "00", "c0", "80c0"] {
        assert_eq!(read_len(&hex(bad)), None, "{bad}");
    }
}

#[test]
fn cobs_agrees_with_the_table_of_the_reference() {
    let long: Vec<u8> = (1..=254).collect();
    let longer: Vec<u8> = (1..=255).collect();
    let full = [&[0xFF][..], &long].concat();
    for (raw, stored) in [
        (vec![], hex("01")),
        (hex("00"), hex("0101")),
        (hex("0000"), hex("010101")),
        (hex("01"), hex("0201")),
        (hex("11220033"), hex("0311220233")),
        (long.clone(), full.clone()),
        (longer, [&full[..], &[0x02, 0xFF]].concat()),
        (
            [&long[..], &[0]].concat(),
            [&full[..], &[0x01, 0x01]].concat(),
        ),
    ] {
        assert_eq!(cobs(&raw), stored);
        assert_eq!(uncobs(&stored), Ok(raw));
    }
    for bad in ["", "00", "03", "0311", "031100", "0101 00"] {
        assert!(uncobs(&hex(bad)).is_err(), "{bad}");
    }
}

#[test]
fn worked_blocks_of_the_reference_read_as_told() {
    assert_eq!(only(&hex("c3 83 534350 41 01")), (b"SCP".to_vec(), vec![1]));
    assert_eq!(only(&hex("c3 82 4248 40")), (b"BH".to_vec(), vec![]));
    let lf = hex("c3 c2 4c46 46 010101010201");
    assert_eq!(Extensions::new(&lf).next().unwrap().uint(), Some(1 << 32));
    let xq = hex("c3 a2 5851 4c 78da7374241f0000d0f10f3d");
    assert_eq!(only(&xq), (b"XQ".to_vec(), vec![b'A'; 60]));
    let pong = hex("c3 02 5643 45 47544b4712 02 5550 43 001e04 82 4455 42 100e");
    let ids: Vec<_> = Extensions::new(&pong).map(|one| one.id).collect();
    assert_eq!(ids, [&b"VC"[..], b"UP", b"DU"]);
    assert_eq!(Extensions::new(&pong).nth(2).unwrap().uint(), Some(3600));
}

#[test]
fn blocks_are_written_as_in_the_reference() {
    let mut block = Block::new(Zeros::Escaped);
    block.put_uint(b"LF", 1 << 32);
    assert_eq!(block.finish(), hex("c3 c2 4c46 46 010101010201"));
    let mut block = Block::new(Zeros::Allowed);
    block.put_packed(b"XQ", &[b'A'; 60]);
    assert_eq!(only(&block.finish()), (b"XQ".to_vec(), vec![b'A'; 60]));
    assert_eq!(Block::new(Zeros::Allowed).finish(), Vec::<u8>::new());
}

#[test]
fn a_framing_error_keeps_what_came_before_it() {
    for bad in [
        "00",
        "93 534350 41 01",
        "82 4248 45 01",
        "82 42",
        "82 4248 00",
        "82 4200 40",
    ] {
        let area = hex(&format!("c3 02 4248 40 {bad}"));
        let mut all = Extensions::new(&area);
        assert_eq!(all.next().unwrap().id, b"BH");
        assert!(
            all.next().is_none() && all.broken() && all.rest().is_empty(),
            "{bad}"
        );
    }
}

#[test]
fn blocks_follow_blocks_and_leave_the_rest() {
    let area = hex("c3 82 4248 40 c3 83 544c53 40 00");
    let mut all = Extensions::new(&area);
    assert_eq!(
        all.by_ref().map(|one| one.id).collect::<Vec<_>>(),
        [&b"BH"[..], b"TLS"]
    );
    assert_eq!(all.rest(), [0]);
}

#[test]
fn no_more_extensions_are_read_than_the_limit() {
    let area = [&[MAGIC][..], &hex("01 41 40").repeat(EXTENSIONS_MAX + 1)].concat();
    assert_eq!(Extensions::new(&area).count(), EXTENSIONS_MAX);
}

#[test]
fn a_bomb_stops_at_the_cap() {
    let mut packed = Vec::with_capacity(4096);
    Compress::new(Compression::best(), true)
        .compress_vec(
            &vec![0; INFLATED_MAX + 1],
            &mut packed,
            FlushCompress::Finish,
        )
        .unwrap();
    assert_eq!(
        inflate(&packed, INFLATED_MAX),
        Err(WireError::Limit("GGEP deflated value"))
    );
    assert_eq!(
        inflate(&packed, 8),
        Err(WireError::Limit("GGEP deflated value"))
    );
    assert_eq!(
        inflate(&packed, INFLATED_MAX + 1).map(|all| all.len()),
        Ok(INFLATED_MAX + 1)
    );
    assert!(inflate(&packed[..packed.len() - 5], INFLATED_MAX + 1).is_err());
}

/// A block of one extension `A` with this value.
fn wrap(value: &[u8]) -> Vec<u8> {
    let mut block = Block::new(Zeros::Allowed);
    block.put(b"A", value);
    block.finish()
}

#[test]
fn a_block_inside_a_value_is_bytes_and_nobody_goes_into_it() {
    let mut nested = wrap(b"innermost");
    for depth in 0..2_000 {
        let mut all = Extensions::new(&nested);
        let outer = all.next().unwrap();
        assert_eq!(outer.id, b"A");
        assert!(all.next().is_none() && !all.broken() && all.rest().is_empty());
        // As it stands in the message, whatever it is made of.
        let value = outer.value().unwrap();
        assert_eq!(value.starts_with(&[MAGIC]), depth > 0);
        nested = wrap(&nested);
    }
}

#[test]
fn a_value_is_inflated_once_even_when_it_comes_out_as_it_went_in() {
    let twice = {
        let mut inner = Block::new(Zeros::Allowed);
        inner.put_packed(b"A", &[b'A'; 600]);
        let mut outer = Block::new(Zeros::Allowed);
        outer.put_packed(b"A", &inner.finish().repeat(40));
        outer.finish()
    };
    let outer = Extensions::new(&twice).next().unwrap();
    assert_ne!(outer.flags & DEFLATED, 0);
    let value = outer.value().unwrap();
    assert!(value.starts_with(&[MAGIC]) && value.len() < 40 * 600);
    // A value that is deflated, COBS-encoded and deflated again: what comes out is still packed.
    let packed = deflate(&[b'A'; 600]).unwrap();
    let stored = cobs(&deflate(&packed.repeat(40)).unwrap());
    let mut area = vec![MAGIC, LAST | COBS | DEFLATED | 1, b'A'];
    write_len(stored.len(), &mut area);
    area.extend(stored);
    let value = Extensions::new(&area).next().unwrap().value().unwrap();
    assert_eq!(value.as_ref(), packed.repeat(40));
}

#[test]
fn a_length_that_reaches_over_itself_or_never_ends_ends_the_reading() {
    let good = hex("c3 02 4248 40");
    let whole = u8::try_from(good.len()).unwrap();
    for (what, tail) in [
        // The length of the whole area, which the area does not have behind it.
        ("the area", vec![LAST | 1, b'A', 0x40 | (whole + 3)]),
        ("one byte more than there is", vec![LAST | 1, b'A', 0x42, 7]),
        ("the longest there can be", hex("81 41 bfbf7f")),
        (
            "a length without end",
            [&[LAST | 1, b'A'][..], &[0x80; 500]].concat(),
        ),
        ("a length without value bits", hex("81 41 808080")),
    ] {
        let area = [&good[..], &tail].concat();
        let mut all = Extensions::new(&area);
        assert_eq!(all.next().unwrap().id, b"BH");
        assert!(all.next().is_none(), "{what}");
        assert!(all.broken() && all.rest().is_empty(), "{what}");
        assert!(all.next().is_none(), "{what}: it stays ended");
    }
}

#[test]
fn extensions_of_no_bytes_and_blocks_without_end_are_read_no_further_than_the_limit() {
    // Nothing ever says that it is the last, and nothing moves far.
    let empty = [&[MAGIC][..], &hex("01 41 40").repeat(10_000)].concat();
    let blocks = hex("c3 81 41 40").repeat(10_000);
    for area in [empty, blocks] {
        let mut all = Extensions::new(&area);
        let mut last = area.as_ptr_range().start;
        for _ in 0..EXTENSIONS_MAX {
            let id = all.next().unwrap().id.as_ptr();
            assert!(id > last, "each is behind the one before");
            last = id;
        }
        assert!(all.next().is_none() && all.broken());
    }
}
