//! The routing core alone: a query relayed to 4 and to 31 neighbours, a duplicate dropped, a query matched.
//!
//! `cargo bench --bench core`

use std::borrow::Cow;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use filbert::node::event::{Direction, Peer};
use filbert::node::sendq::SendQueue;
use filbert::node::{Action, Config, Event, LinkId, Node, Outbox, Time};
use filbert::wire::query::{Query, QueryFlags};
use filbert::wire::{Frame, Guid, Header, Kind, ServentId};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

/// Queries in one measured batch: about what one read of 64 KiB holds.
const BATCH: u64 = 2_000;

fn node(links: u32) -> Node {
    let config = Config {
        min_links: 0,
        keepalive: false,
        limit_search: None,
        max_links: 64,
        ..Config::default()
    };
    let mut node = Node::new(
        Arc::new(config),
        ServentId([9; 16]),
        ChaCha8Rng::seed_from_u64(1),
    );
    let mut out = Outbox::new();
    for link in 0..links {
        let addr = SocketAddr::new(
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            10_000 + u16::try_from(link).expect("few links"),
        );
        let peer = Peer {
            listen: Some(addr),
            servent: Some(ServentId([u8::try_from(link).expect("few links") + 10; 16])),
            agent: "bench".into(),
            bye: true,
            ..Peer::bare(Direction::Accepted, addr, addr.ip())
        };
        node.handle(
            Time::ZERO,
            Event::LinkUp(LinkId(link), Box::new(peer)),
            &mut out,
        );
    }
    node
}

fn query(serial: u64, payload: &Bytes) -> Frame {
    let mut guid = [0x5A; 16];
    guid[..8].copy_from_slice(&serial.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
    Frame {
        header: Header {
            guid: Guid(guid),
            kind: Kind::Query,
            ttl: 4,
            hops: 1,
        },
        payload: payload.clone(),
    }
}

fn relay(c: &mut Criterion) {
    let query_text = Query {
        flags: QueryFlags::OURS,
        text: Cow::Borrowed("red fox"),
        sha1s: Vec::new(),
        media: None,
    };
    let payload = Bytes::from(query_text.build().expect("a short query fits"));
    let mut group = c.benchmark_group("relay");
    group.throughput(Throughput::Elements(BATCH));
    for neighbours in [4, 31] {
        let mut node = node(neighbours + 1);
        let mut queues: Vec<_> = (0..=neighbours).map(|_| SendQueue::new(1 << 24)).collect();
        let (mut out, mut serial, mut taken) = (Outbox::new(), 0, Vec::new());
        group.bench_function(format!("fresh query to {neighbours} send queues"), |b| {
            b.iter(|| {
                for _ in 0..BATCH {
                    serial += 1;
                    node.handle(
                        Time(serial),
                        Event::Received(LinkId(0), query(serial, &payload)),
                        &mut out,
                    );
                }
                for action in out.actions() {
                    if let Action::Spread(frame, span) = action {
                        for link in out.links(*span) {
                            queues[link.0 as usize].push(frame);
                        }
                    }
                }
                out.clear();
                for queue in &mut queues {
                    taken.clear();
                    queue.take(&mut taken);
                    black_box(&taken);
                }
            });
        });
    }
    let mut node = node(5);
    let mut out = Outbox::new();
    node.handle(
        Time::ZERO,
        Event::Received(LinkId(0), query(1, &payload)),
        &mut out,
    );
    group.bench_function("duplicate", |b| {
        b.iter(|| {
            for _ in 0..BATCH {
                node.handle(
                    Time::ZERO,
                    Event::Received(LinkId(1), query(1, &payload)),
                    &mut out,
                );
            }
        });
    });
    group.finish();
}

criterion_group!(benches, relay);
criterion_main!(benches);
