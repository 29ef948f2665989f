//! The node task with neighbours on real sockets.

use super::*;
use crate::net::inbox::Ended;
use crate::net::rt::{ReadExt, TcpListener, TcpStream, WriteExt};
use crate::node::event::Direction;
use crate::node::limits::Config;
use crate::wire::query::{Query, QueryFlags};
use crate::wire::{FrameReader, ServentId};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use std::net::{IpAddr, Ipv4Addr};

/// A node task with `links` neighbours on real sockets, and the neighbours' ends.
async fn task_with_links(links: u8, config: Config) -> (Handle, Vec<TcpStream>) {
    let channel = Handle::new();
    let handle = channel.0.clone();
    let rng = ChaCha8Rng::seed_from_u64(1);
    let node = Node::new(Arc::new(config), ServentId([1; 16]), rng);
    let greeting = Arc::new(Greeting::for_tests());
    let task = NodeTask::new(node, Clock::start(), channel, greeting, Newsroom::default());
    rt::spawn(task.run());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut peers = Vec::new();
    for number in 0..links {
        let peer = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (stream, remote) = listener.accept().await.unwrap();
        let greeted = Box::new(Peer {
            servent: Some(ServentId([100 + number; 16])),
            agent: "test".into(),
            bye: true,
            ..Peer::bare(Direction::Accepted, remote, IpAddr::V4(Ipv4Addr::LOCALHOST))
        });
        let connected = Connected {
            stream: crate::net::conn::Stream::Plain(stream),
            codings: crate::node::greet::Codings::default(),
            rest: Vec::new(),
            write_bytes: usize::MAX,
        };
        let up = Inbox::Up(handle.new_link(), greeted, connected);
        handle.send(up).await.unwrap();
        peers.push(peer);
    }
    (handle, peers)
}

fn query(tag: u8) -> Frame {
    let text = "hazelnut spread".into();
    let query = Query {
        flags: QueryFlags::OURS,
        text,
        sha1s: Vec::new(),
        media: None,
    };
    Frame {
        header: Header {
            guid: Guid([tag; 16]),
            kind: Kind::Query,
            ttl: 4,
            hops: 0,
        },
        payload: Bytes::from(query.build().unwrap()),
    }
}

/// The next frame of a kind on a raw socket; fails after ten seconds.
async fn next_of(kind: Kind, stream: &mut TcpStream, reader: &mut FrameReader) -> Frame {
    let find = async {
        let mut buffer = [0; 4096];
        loop {
            while let Some(frame) = reader.next_frame().unwrap() {
                if frame.header.kind == kind {
                    return frame;
                }
            }
            let len = stream.read(&mut buffer).await.unwrap();
            assert!(len > 0, "closed before a {kind:?} came");
            reader.push(Bytes::copy_from_slice(&buffer[..len]));
        }
    };
    rt::timeout(Duration::from_secs(10), find)
        .await
        .expect("in time")
}

#[test]
fn a_query_goes_to_all_links_but_the_one_it_came_from() {
    rt::block_on(async {
        let (handle, mut peers) = task_with_links(3, Config::default()).await;
        peers[0].write_all(&query(7).to_vec()).await.unwrap();
        for peer in &mut peers[1..] {
            let frame = next_of(Kind::Query, peer, &mut FrameReader::new()).await;
            assert_eq!(
                (frame.header.guid, frame.header.ttl, frame.header.hops),
                (Guid([7; 16]), 3, 1)
            );
        }
        let counters = handle.ask(Ask::Counters).await.unwrap();
        assert_eq!((counters.received["query"], counters.sent["query"]), (1, 2));
    });
}

#[test]
fn a_neighbour_that_never_reads_stops_nobody_and_its_frames_are_shed() {
    rt::block_on(async {
        let config = Config {
            limit_search: None,
            ..Config::default()
        };
        let (handle, mut peers) = task_with_links(3, config).await;
        let mut reader = FrameReader::new();
        // Far more than socket buffers and send queue hold: peers[2] never reads.
        let rounds: u32 = 800;
        let mut sender = peers[0].clone();
        let flood = rt::spawn(async move {
            let mut id = 0u32;
            for _ in 0..rounds {
                let mut bytes = Vec::new();
                for _ in 0..500 {
                    id += 1;
                    let mut frame = query(1);
                    frame.header.guid.0[..4].copy_from_slice(&id.to_be_bytes());
                    frame.write(&mut bytes);
                }
                sender.write_all(&bytes).await.unwrap();
            }
            id
        });
        let last = rounds * 500;
        let (mut got, mut seen) = (0, 0);
        while seen < last {
            let frame = next_of(Kind::Query, &mut peers[1], &mut reader).await;
            seen = u32::from_be_bytes(*frame.header.guid.0.first_chunk().unwrap());
            got += 1;
        }
        assert_eq!(flood.await, last);
        assert!(got > last / 2, "the reading neighbour got {got} of {last}");
        let shed = handle.ask(Ask::Peers).await.unwrap()[2].shed;
        assert!(shed > 0, "the other one's queue is bounded");
    });
}

#[test]
fn garbage_ends_the_link_with_a_bye_and_is_counted() {
    rt::block_on(async {
        let (handle, mut peers) = task_with_links(1, Config::default()).await;
        peers[0].write_all(&[0x80; 4096]).await.unwrap();
        let frame = next_of(Kind::Bye, &mut peers[0], &mut FrameReader::new()).await;
        assert_eq!(bye::Bye::parse(&frame.payload).code, 400);
        let counters = handle.ask(Ask::Counters).await.unwrap();
        assert_eq!(counters.dropped["garbage_link"], 1);
        assert!(handle.ask(Ask::Peers).await.unwrap().is_empty());
    });
}

#[test]
fn stopping_says_bye_to_all_and_waits_until_the_links_have_ended() {
    rt::block_on(async {
        let (handle, mut peers) = task_with_links(2, Config::default()).await;
        let (done, finished) = rt::bounded(1);
        handle.send(Inbox::Stop(done)).await.unwrap();
        for mut peer in peers.drain(..) {
            let frame = next_of(Kind::Bye, &mut peer, &mut FrameReader::new()).await;
            assert_eq!(bye::Bye::parse(&frame.payload).code, 200);
        }
        let end = rt::timeout(Duration::from_secs(10), finished.recv()).await;
        assert!(end.expect("in time").is_err());
        assert_eq!(handle.ask(Ask::Counters).await, Err(Ended));
    });
}
