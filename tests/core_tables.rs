//! Query routing tables on links with limits: an honest table of any size passes whole, a flood of them ends the link.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::Tiers;
use filbert::node::event::Role::{Leaf, Ultrapeer};
use filbert::node::limits::SEARCH_RATE;
use filbert::node::qrp::hash;
use filbert::node::{Drop, Event};
use filbert::wire::deflate::deflate_whole;
use filbert::wire::qrp::{ENTRIES_MAX, Packing, Qrp};
use filbert::wire::{Frame, Guid, Header, Kind};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

fn frame(payload: Vec<u8>) -> Frame {
    let header = Header {
        guid: Guid([9; 16]),
        kind: Kind::Qrp,
        ttl: 1,
        hops: 0,
    };
    Frame {
        header,
        payload: Bytes::from(payload),
    }
}

fn reset(entries: u32) -> Frame {
    let infinity = 2;
    frame(Qrp::Reset { entries, infinity }.build())
}

fn sequence(packing: Packing, entry_bits: u8, data: &[u8]) -> Vec<Frame> {
    let pieces: Vec<&[u8]> = data.chunks(data.len().div_ceil(255).max(2_048)).collect();
    let of = u8::try_from(pieces.len()).unwrap();
    (1..=of)
        .zip(pieces)
        .map(|(number, data)| {
            let patch = Qrp::Patch {
                number,
                of,
                packing,
                entry_bits,
                data,
            };
            frame(patch.build())
        })
        .collect()
}

/// Deltas of 4 bits that make about half of all entries present: what packs worst. That of `word` is among them.
fn half_full(entries: u32, word: &str) -> Vec<u8> {
    let mut noise = vec![0; entries as usize / 2];
    ChaCha8Rng::seed_from_u64(7).fill_bytes(&mut noise);
    let nibble = |bit: u8| if bit == 0 { 0 } else { 0xF };
    for byte in &mut noise {
        *byte = nibble(*byte & 1) << 4 | nibble(*byte & 2);
    }
    let at = (hash(word) >> (32 - entries.trailing_zeros())) as usize;
    noise[at / 2] |= if at.is_multiple_of(2) { 0xF0 } else { 0x0F };
    noise
}

/// An ultrapeer with two leaves and the limit that nodes have by default.
fn house() -> Tiers {
    let mut net = Tiers::limited(&[Ultrapeer, Leaf, Leaf], Some(SEARCH_RATE));
    net.link(1, 0);
    net.link(2, 0);
    net.pass(Duration::from_secs(200));
    net
}

/// Gives frames of leaf 1 to the ultrapeer, all at the same moment; how many until it closed the link.
fn give(net: &mut Tiers, frames: impl Iterator<Item = Frame>) -> Option<usize> {
    let from = net.link_of(0, 1);
    for (count, frame) in (1..).zip(frames) {
        net.give(0, Event::Received(from, frame));
        if !net.byes.is_empty() {
            return Some(count);
        }
    }
    None
}

#[test]
fn a_table_of_any_size_sent_at_once_over_a_limited_link_arrives_whole() {
    for (entries, entry_bits, packing) in [
        (1 << 17, 4, Packing::Deflated),
        (ENTRIES_MAX, 4, Packing::Deflated),
        (ENTRIES_MAX, 4, Packing::Plain),
        (ENTRIES_MAX, 8, Packing::Plain),
    ] {
        let mut net = house();
        let deltas = half_full(entries, "fox");
        let deltas = if entry_bits == 8 {
            let halves =
                |byte: &u8| [byte >> 4, byte & 0xF].map(|half| if half == 0 { 0 } else { 0xFF });
            deltas.iter().flat_map(halves).collect()
        } else {
            deltas
        };
        let data = if packing == Packing::Deflated {
            deflate_whole(&deltas)
        } else {
            deltas
        };
        let frames: Vec<Frame> = std::iter::once(reset(entries))
            .chain(sequence(packing, entry_bits, &data))
            .collect();
        let bytes: usize = frames.iter().map(Frame::wire_len).sum();
        // Twice: a node that was restarted may come back with all of it.
        let twice = frames.clone().into_iter().chain(frames);
        let case = format!("{entries} entries, {entry_bits} bits, {packing:?}: {bytes} bytes");
        assert_eq!(give(&mut net, twice), None, "{case}");
        assert_eq!(net.nodes[0].stats().dropped(Drop::RateLimited), 0, "{case}");
        net.carried.clear();
        net.search(2, "fox", 4);
        assert!(
            net.carried_of(Kind::Query).contains_key(&(0, 1)),
            "{case}: the table is complete, and matches"
        );
    }
}

#[test]
fn updates_do_not_use_up_what_queries_may_take() {
    let mut net = house();
    let data = deflate_whole(&half_full(ENTRIES_MAX, "fox"));
    let table = std::iter::once(reset(ENTRIES_MAX)).chain(sequence(Packing::Deflated, 4, &data));
    assert_eq!(give(&mut net, table), None);
    let from = net.link_of(0, 1);
    let received = net.nodes[0].stats().received(Kind::Query);
    let query = net.query("wolf", 3);
    net.give(0, Event::Received(from, query));
    assert_eq!(net.nodes[0].stats().received(Kind::Query), received + 1);
    assert_eq!(net.nodes[0].stats().dropped(Drop::RateLimited), 0);
}

#[test]
fn a_flood_of_tables_ends_the_link() {
    // A few bytes that make a large table; and the smallest sequence that touches all of one.
    let zeros = deflate_whole(&vec![0; ENTRIES_MAX as usize / 2]);
    let empty = sequence(Packing::Deflated, 4, &zeros);
    assert_eq!(empty.len(), 1);
    let resets = std::iter::repeat_with(|| reset(ENTRIES_MAX));
    let sequences = std::iter::once(reset(ENTRIES_MAX)).chain(empty.iter().cloned().cycle());
    let floods: [Box<dyn Iterator<Item = Frame>>; 2] = [Box::new(resets), Box::new(sequences)];
    for flood in floods {
        let mut net = house();
        let taken = give(&mut net, flood.take(1_000)).expect("the flood ends");
        assert!((3..=7).contains(&taken), "{taken} updates");
        assert_eq!(net.byes[0].1.unwrap().code, 413);
        assert_eq!(net.nodes[0].stats().dropped(Drop::RateLimited), 1);
    }
}

#[test]
fn small_tables_may_come_every_second() {
    let mut net = house();
    for _ in 0..300 {
        let zeros = deflate_whole(&vec![0; 1 << 13]);
        let table = std::iter::once(reset(1 << 14)).chain(sequence(Packing::Deflated, 4, &zeros));
        assert_eq!(give(&mut net, table), None);
        net.pass(Duration::from_secs(1));
    }
}
