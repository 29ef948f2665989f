//! What it costs to split a stream into frames and to decode what the relay and the answerer look at.
#![allow(missing_docs, reason = "criterion's macros write functions without")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use filbert::wire::hit::{QueryHit, Record};
use filbert::wire::query::{Query, QueryFlags};
use filbert::wire::{Frame, FrameReader, Guid, Header, Kind, ServentId, Sha1};

/// Bytes of one read of a socket.
const READ_BYTES: usize = 64 * 1024;

fn query(text: &str, sha1s: usize) -> Vec<u8> {
    let sha1s = (0..sha1s)
        .map(|n| Sha1([u8::try_from(n).unwrap_or(0); 20]))
        .collect();
    let query = Query {
        flags: QueryFlags::OURS,
        text: text.into(),
        sha1s,
        media: None,
    };
    query.build().expect("short enough")
}

fn hit(records: u32) -> QueryHit {
    let record = |index| Record {
        index,
        size: 5_000_000,
        name: format!("some song by somebody, take {index}.ogg"),
        sha1: Some(Sha1([7; 20])),
        created: Some(1_700_000_000),
        ..Record::default()
    };
    QueryHit {
        speed_kbps: 1000,
        vendor: *b"TEST",
        push: Some(false),
        busy: Some(false),
        browse: true,
        ..QueryHit::new(
            ([192, 0, 2, 1], 6346).into(),
            ServentId([9; 16]),
            (0..records).map(record).collect(),
        )
    }
}

/// Chunks of a stream of queries, cut where reads end and not where frames do.
fn chunks() -> (Vec<Bytes>, u64) {
    let payload = Bytes::from(query("pink flamingo live", 0));
    let mut stream = Vec::new();
    let mut frames = 0;
    while stream.len() < 16 * READ_BYTES {
        let mut guid = [0; 16];
        guid[..8].copy_from_slice(&u64::to_le_bytes(frames));
        let header = Header {
            guid: Guid(guid),
            kind: Kind::Query,
            ttl: 4,
            hops: 1,
        };
        Frame {
            header,
            payload: payload.clone(),
        }
        .write(&mut stream);
        frames += 1;
    }
    (
        stream
            .chunks(READ_BYTES)
            .map(Bytes::copy_from_slice)
            .collect(),
        frames,
    )
}

fn codec(c: &mut Criterion) {
    let mut group = c.benchmark_group("query_parse");
    for (name, payload) in [
        ("plain", query("pink flamingo live", 0)),
        ("hash", query("", 1)),
        (
            "long_text",
            query("the quick brown fox jumps over the lazy dog and again", 0),
        ),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| Query::parse(black_box(&payload)).is_ok());
        });
    }
    group.finish();

    let mut group = c.benchmark_group("hit");
    let (one, ten) = (hit(1), hit(10));
    for (name, hit) in [("1_record", &one), ("10_records", &ten)] {
        let payload = hit.build();
        group.bench_function(format!("parse_{name}"), |b| {
            b.iter(|| QueryHit::parse(black_box(&payload)).is_ok());
        });
        group.bench_function(format!("build_{name}"), |b| {
            b.iter(|| black_box(hit).build());
        });
    }
    group.finish();

    let (chunks, frames) = chunks();
    let mut group = c.benchmark_group("stream");
    group.throughput(Throughput::Elements(frames));
    group.bench_function("split", |b| b.iter(|| split(&chunks, |_| 1)));
    group.bench_function("split_and_parse", |b| {
        b.iter(|| {
            split(&chunks, |frame| {
                Query::parse(&frame.payload).map_or(0, |query| query.text.len())
            })
        });
    });
    group.finish();
}

fn split(chunks: &[Bytes], each: impl Fn(&Frame) -> usize) -> usize {
    let mut reader = FrameReader::new();
    let mut sum = 0;
    for chunk in chunks {
        reader.push(chunk.clone());
        while let Ok(Some(frame)) = reader.next_frame() {
            sum += each(black_box(&frame));
        }
    }
    sum
}

criterion_group!(benches, codec);
criterion_main!(benches);
