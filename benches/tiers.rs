//! What leaves cost an ultrapeer: the core and the codecs alone, no sockets. Prints JSON lines.
//!
//! `cargo bench --bench tiers`; with `-- leaf 16` only leaves with tables of 2^16, with `-- packed` only the streams.
//!
//! - `leaf`: resident memory for each of 300 leaves with its routing table, of several sizes; what a new query that no
//!   table matches costs to take in and to look up in all of them, beside the same without leaves.
//! - `packed`: resident memory of the two streams of one compressed link, each after 64 KiB, the one that comes in also
//!   from a peer that announces a window of 32 KiB; and bytes and processor time of a query on a compressed stream,
//!   beside a plain one.
//! - `flush`: bytes and time of a query by how many are packed at a time, beside a compressor that a link has to itself.

#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench reports on its output"
)]

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use filbert::node::address::Net;
use filbert::node::event::{Direction, Peer, Role};
use filbert::node::{Config, Event, LinkId, Node, Outbox, Time};
use filbert::wire::deflate::{Deflater, deflate_whole};
use filbert::wire::qrp::{Packing, Qrp};
use filbert::wire::query::{Query, QueryFlags};
use filbert::wire::window::Inflater;
use filbert::wire::{Frame, Guid, Header, Kind, ServentId};
use flate2::{Compress, Compression, FlushCompress};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, RngExt, SeedableRng};
use serde_json::json;

const LEAVES: u32 = 300;
const QUERIES: u32 = 20_000;
/// Streams measured at once: one alone is lost among pages.
const STREAMS: usize = 200;
/// The link that queries come on.
const ASKER: LinkId = LinkId(LEAVES);

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    match args.as_slice() {
        [mode, log2] if mode == "leaf" => {
            return leaf(1 << log2.parse::<u32>().expect("a number"));
        }
        [mode] if mode == "packed" => {
            packed();
            return flushes();
        }
        _ => {}
    }
    for log2 in ["14", "16", "17", "21"] {
        // Each in a process of its own: memory that one has freed would be used again by the next.
        let program = std::env::current_exe().expect("this program");
        let status = Command::new(program).args(["leaf", log2]).status();
        assert!(status.expect("starts").success());
    }
    packed();
    flushes();
}

/// Leaves with tables of one size.
fn leaf(entries: u32) {
    let (memory, ns) = leaves(LEAVES, entries);
    let (_, bare_ns) = leaves(0, entries);
    println!(
        "{}",
        json!({"bench": "leaf", "leaves": LEAVES, "entries": entries, "bytes_a_leaf": memory / LEAVES as usize,
            "query_ns": ns, "query_ns_without_leaves": bare_ns,
            "lookup_ns": (ns - bare_ns) / f64::from(LEAVES)})
    );
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kib.expect("a size in kB") * 1024
}

/// Memory that so many leaves with tables of so many entries take, and nanoseconds a query.
fn leaves(count: u32, entries: u32) -> (usize, f64) {
    let config = Config {
        net: Net::Rehearsal,
        max_leaves: usize::MAX,
        min_links: 0,
        keepalive: false,
        limit_search: None,
        ..Config::live(Role::Ultrapeer)
    };
    let rng = ChaCha8Rng::seed_from_u64(1);
    let mut node = Node::new(Arc::new(config), ServentId([9; 16]), rng);
    let mut out = Outbox::new();
    let mut link_up = |node: &mut Node, link: LinkId, role: Role| {
        let addr = SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0000 + link.0)), 6346);
        let mut servent = [7; 16];
        servent[..4].copy_from_slice(&link.0.to_le_bytes());
        let peer = Peer {
            listen: Some(addr),
            servent: Some(ServentId(servent)),
            agent: "bench".into(),
            role,
            ..Peer::bare(Direction::Accepted, addr, addr.ip())
        };
        node.handle(Time::ZERO, Event::LinkUp(link, Box::new(peer)), &mut out);
        out.clear();
    };
    link_up(&mut node, ASKER, Role::Ultrapeer);
    let before = resident();
    let mut noise = ChaCha8Rng::seed_from_u64(2);
    for link in (0..count).map(LinkId) {
        link_up(&mut node, link, Role::Leaf);
        for payload in table(entries, &mut noise) {
            let header = Header {
                guid: Guid([9; 16]),
                kind: Kind::Qrp,
                ttl: 1,
                hops: 0,
            };
            let payload = Bytes::from(payload);
            let mut out = Outbox::new();
            node.handle(
                Time::ZERO,
                Event::Received(link, Frame { header, payload }),
                &mut out,
            );
        }
    }
    let memory = resident().saturating_sub(before);
    let mut out = Outbox::new();
    let queries: Vec<Frame> = (1..=QUERIES).map(query).collect();
    let start = Instant::now();
    for query in queries {
        node.handle(Time::ZERO, Event::Received(ASKER, query), &mut out);
        out.clear();
    }
    let ns = start.elapsed().as_nanos() as f64 / f64::from(QUERIES);
    assert_eq!(
        node.links().count(),
        count as usize + 1,
        "nobody was closed on"
    );
    (memory, ns)
}

/// The updates that make a table of so many entries, one in a hundred present.
fn table(entries: u32, noise: &mut ChaCha8Rng) -> Vec<Vec<u8>> {
    let mut deltas = vec![0_u8; entries as usize / 2];
    for _ in 0..entries / 100 {
        let at = noise.random_range(0..deltas.len());
        deltas[at] |= 0xF0;
    }
    let packed = deflate_whole(&deltas);
    let pieces: Vec<_> = packed
        .chunks(packed.len().div_ceil(255).max(2_048))
        .collect();
    let of = u8::try_from(pieces.len()).expect("255 at most");
    let reset = Qrp::Reset {
        entries,
        infinity: 2,
    };
    let patches = (1..=of).zip(pieces).map(|(number, data)| {
        Qrp::Patch {
            number,
            of,
            packing: Packing::Deflated,
            entry_bits: 4,
            data,
        }
        .build()
    });
    std::iter::once(reset.build()).chain(patches).collect()
}

/// A query of its own words and id.
fn query(serial: u32) -> Frame {
    let text = format!(
        "platypus {} wombat {serial}",
        serial.wrapping_mul(0x9E37_79B9)
    );
    let query = Query {
        flags: QueryFlags::OURS,
        text: Cow::Borrowed(&text),
        sha1s: Vec::new(),
        media: None,
    };
    let mut guid = [0; 16];
    ChaCha8Rng::seed_from_u64(u64::from(serial)).fill_bytes(&mut guid);
    Frame {
        header: Header {
            guid: Guid::from_random(guid),
            kind: Kind::Query,
            ttl: 3,
            hops: 1,
        },
        payload: query.build().expect("a short query fits").into(),
    }
}

/// Compressed streams: what they hold, and what they make of queries.
fn packed() {
    let mut plain = Vec::new();
    let mut queries = 0_u32;
    while plain.len() < 64 * 1024 {
        queries += 1;
        query(queries).write(&mut plain);
    }
    // One buffer for all, so that what streams write is not counted as theirs.
    let mut packed = Vec::with_capacity(2 * plain.len());
    let start = resident();
    let clock = Instant::now();
    let deflaters: Vec<Deflater> = std::iter::repeat_with(|| {
        packed.clear();
        let mut deflater = Deflater::default();
        deflater.deflate(&plain, &mut packed);
        deflater
    })
    .take(STREAMS)
    .collect();
    let deflate_ns = clock.elapsed().as_nanos() as f64 / STREAMS as f64 / f64::from(queries);
    let deflater_bytes = resident().saturating_sub(start) / deflaters.len();
    let mut others = Vec::with_capacity(plain.len());
    Compress::new(Compression::fast(), true)
        .compress_vec(&plain, &mut others, FlushCompress::Sync)
        .expect("plain bytes");
    let (inflater_bytes, inflate_ns, kept) = inflaters(&packed, plain.len());
    let (wide_bytes, _, wide_kept) = inflaters(&others, plain.len());
    println!(
        "{}",
        json!({"bench": "packed", "deflater_bytes": deflater_bytes,
            "inflater_bytes": inflater_bytes, "inflater_bytes_window_32k": wide_bytes,
            "query_bytes_plain": plain.len() as f64 / f64::from(queries),
            "query_bytes_packed": packed.len() as f64 / f64::from(queries),
            "deflate_ns_a_query": deflate_ns, "inflate_ns_a_query": inflate_ns / f64::from(queries)})
    );
    drop((deflaters, kept, wide_kept));
}

/// Many readers of one stream that comes to so many bytes: memory and nanoseconds of each. They live on, so that none
/// uses what another gave back.
fn inflaters(stream: &[u8], plain: usize) -> (usize, f64, Vec<Inflater>) {
    let mut out = Vec::with_capacity(2 * plain);
    let before = resident();
    let clock = Instant::now();
    let all: Vec<Inflater> = std::iter::repeat_with(|| {
        out.clear();
        let mut inflater = Inflater::default();
        inflater
            .inflate(stream, &mut out, usize::MAX)
            .expect("a whole stream");
        assert_eq!(out.len(), plain);
        inflater
    })
    .take(STREAMS)
    .collect();
    let ns = clock.elapsed().as_nanos() as f64 / all.len() as f64;
    (resident().saturating_sub(before) / all.len(), ns, all)
}

/// What it costs that links share a compressor, which is shown the last bytes of each first, beside one for each link:
/// bytes and nanoseconds of a query, by how many go out at a time. Both take turns, so that other work falls on both.
fn flushes() {
    let queries: Vec<Vec<u8>> = (1..=2_000).map(|serial| query(serial).to_vec()).collect();
    for batch in [1, 4, 16, 1_000] {
        let batches: Vec<Vec<u8>> = queries.chunks(batch).map(<[_]>::concat).collect();
        let mut own = Compress::new(Compression::fast(), true);
        let mut shared = Deflater::default();
        let (mut own_ns, mut shared_ns) = (0, 0);
        let (mut own_out, mut shared_out) = (Vec::new(), Vec::new());
        for plain in &batches {
            own_out.reserve(plain.len() + 64);
            let clock = Instant::now();
            own.compress_vec(plain, &mut own_out, FlushCompress::Sync)
                .expect("plain bytes");
            own_ns += clock.elapsed().as_nanos();
            let clock = Instant::now();
            shared.deflate(plain, &mut shared_out);
            shared_ns += clock.elapsed().as_nanos();
        }
        assert_eq!(
            own.total_in(),
            batches.iter().map(|plain| plain.len() as u64).sum::<u64>(),
            "there was room for all"
        );
        let a_query = |sum: f64| (sum / queries.len() as f64 * 10.0).round() / 10.0;
        println!(
            "{}",
            json!({"bench": "flush", "queries_a_flush": batch,
                "query_bytes_plain": a_query(queries.iter().map(Vec::len).sum::<usize>() as f64),
                "query_bytes_own": a_query(own_out.len() as f64),
                "query_bytes_shared": a_query(shared_out.len() as f64),
                "ns_a_query_own": a_query(own_ns as f64), "ns_a_query_shared": a_query(shared_ns as f64)})
        );
    }
}
