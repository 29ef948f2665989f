//! What a node does over real loopback sockets, load generator included. Prints JSON lines.
//!
//! `cargo bench --bench relay -- [relay|match|idle]...`; nothing named runs all. The node is a child process,
//! so that its memory and processor time are its own; load and receivers are threads of this one.
//!
//! - `relay`: one neighbour sends distinct queries as fast as it can, four others receive them.
//!   `relayed` counts what arrived at all four; what the node shed because a receiver was slower than the
//!   generator is `shed`, and was not relayed.
//! - `idle`: resident memory of a node with four links.

#![expect(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a bench reports on its output"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use filbert::control::{Counters, Reply, Request};
use filbert::disk::store::Home;
use filbert::net::control::Client;
use filbert::net::{Listen, Servent, Settings};
use filbert::node::Config;
use filbert::wire::query::{Query, QueryFlags};
use filbert::wire::{Guid, HEADER_BYTES, Header, Kind};
use serde_json::json;

const RECEIVERS: usize = 4;
/// How long the generator runs.
const RUN: Duration = Duration::from_secs(5);
/// Nothing here takes longer to answer.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    if let [mode, home] = args.as_slice()
        && mode == "node"
    {
        return node(Path::new(home));
    }
    let wanted = |name: &str| args.is_empty() || args.iter().any(|arg| arg == name);
    if wanted("relay") {
        relay();
    }
    if wanted("idle") {
        idle();
    }
}

/// The child: a node that says where it listens and ends with its input.
fn node(home: &Path) {
    let config = Config {
        min_links: 0,
        limit_search: None,
        ..Config::default()
    };
    let settings = Settings {
        config,
        listen: Listen::Fixed("127.0.0.1:0".parse().expect("an address")),
        home: Some(Home::at(home).expect("a home")),
        ..Settings::default()
    };
    let servent = Servent::start(settings).expect("starts");
    println!("{}", servent.listen_addr().expect("listens"));
    let _ = std::io::stdin().read(&mut [0]);
    servent.stop();
}

/// A node in a process of its own.
struct Node {
    process: Child,
    /// Closing it ends the node.
    input: Option<ChildStdin>,
    addr: SocketAddr,
    control: Client,
    _home: tempfile::TempDir,
}

impl Node {
    fn start() -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let places = Home::at(home.path()).expect("a home");
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .arg("node")
            .arg(home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut line = String::new();
        let output = process.stdout.take().expect("piped");
        BufReader::new(output)
            .read_line(&mut line)
            .expect("says where it listens");
        Self {
            input: process.stdin.take(),
            addr: line.trim().parse().expect("an address"),
            control: Client::connect(places.socket()).expect("listens"),
            process,
            _home: home,
        }
    }

    fn ask(&self, request: &Request) -> Vec<Reply> {
        self.control
            .request(request)
            .expect("runs")
            .all(PATIENCE)
            .expect("answers")
    }

    fn counters(&self) -> Counters {
        match self.ask(&Request::Counters).pop() {
            Some(Reply::Counters(counters)) => counters,
            other => panic!("{other:?}"),
        }
    }

    /// Frames handed to all links and not shed.
    fn to_be_written(&self) -> u64 {
        let peers = self.ask(&Request::Peers).into_iter();
        peers
            .map(|reply| match reply {
                Reply::Peer(peer) => peer.queued - peer.shed,
                other => panic!("{other:?}"),
            })
            .sum()
    }

    /// Processor seconds used so far.
    fn cpu_s(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()));
        let stat = stat.expect("/proc");
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .expect("fields")
            .split(' ')
            .collect();
        let ticks = |at: usize| fields[at].parse::<f64>().expect("ticks");
        (ticks(12) + ticks(13)) / 100.0
    }

    /// Resident memory in KiB.
    fn rss_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("/proc");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .expect("VmRSS");
        line.split_whitespace()
            .nth(1)
            .expect("a number")
            .parse()
            .expect("a number")
    }

    /// A neighbour: a socket whose greeting is done.
    fn link(&self, number: usize) -> TcpStream {
        let mut stream = TcpStream::connect(self.addr).expect("connects");
        stream.set_nodelay(true).expect("a socket");
        let offer = format!(
            "GNUTELLA CONNECT/0.6\r\nUser-Agent: bench\r\nX-Ultrapeer: True\r\nListen-IP: 127.0.0.1:{}\r\n\r\n",
            20_000 + number
        );
        stream.write_all(offer.as_bytes()).expect("writes");
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).expect("answers");
            head.push(byte[0]);
        }
        assert!(
            head.starts_with(b"GNUTELLA/0.6 200"),
            "{}",
            head.escape_ascii()
        );
        stream
            .write_all(b"GNUTELLA/0.6 200 OK\r\n\r\n")
            .expect("writes");
        stream
    }

    fn links(&self, count: usize) -> Vec<TcpStream> {
        let links: Vec<_> = (0..count).map(|number| self.link(number)).collect();
        let end = Instant::now() + PATIENCE;
        while self.ask(&Request::Peers).len() < count {
            assert!(Instant::now() < end, "no {count} links in time");
            thread::yield_now();
        }
        links
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.process.wait();
    }
}

/// Many queries in one piece, each with an id and a word of its own once [`renew`](Self::renew) is called.
struct Load {
    bytes: Vec<u8>,
    frame_bytes: usize,
    word_at: usize,
    sent: u64,
}

impl Load {
    /// Queries in one write.
    const BATCH: usize = 2048;

    fn new(words: &str) -> Self {
        let query = Query {
            flags: QueryFlags::OURS,
            text: format!("00000000 {words}").into(),
            sha1s: Vec::new(),
        };
        let payload = query.build().expect("short");
        let word_at = HEADER_BYTES
            + payload
                .windows(8)
                .position(|bytes| bytes == b"00000000")
                .expect("the word");
        let len = u32::try_from(payload.len()).expect("short");
        let header = Header {
            guid: Guid::from_random([7; 16]),
            kind: Kind::Query,
            ttl: 4,
            hops: 0,
        };
        let frame = [header.to_bytes(len).to_vec(), payload].concat();
        Self {
            bytes: frame.repeat(Self::BATCH),
            frame_bytes: frame.len(),
            word_at,
            sent: 0,
        }
    }

    fn renew(&mut self) -> &[u8] {
        for frame in self.bytes.chunks_exact_mut(self.frame_bytes) {
            self.sent += 1;
            frame[..8].copy_from_slice(&self.sent.to_le_bytes());
            let mut rest = self.sent;
            for digit in &mut frame[self.word_at..self.word_at + 8] {
                *digit = b'a' + (rest % 16) as u8;
                rest /= 16;
            }
        }
        &self.bytes
    }
}

/// Counts queries and all frames that arrive, until the socket is shut.
fn receive(mut stream: TcpStream, queries: &AtomicU64, frames: &AtomicU64) {
    let mut buffer = vec![0; 256 * 1024];
    let mut held = 0;
    while let Ok(len @ 1..) = stream.read(&mut buffer[held..]) {
        let end = held + len;
        let (mut at, mut new_queries, mut new_frames) = (0, 0, 0);
        while let Some(head) = buffer[at..end].first_chunk::<HEADER_BYTES>() {
            let (header, len) = Header::from_bytes(head);
            let next = at + HEADER_BYTES + len as usize;
            if next > end {
                break;
            }
            new_queries += u64::from(header.kind == Kind::Query);
            new_frames += 1;
            at = next;
        }
        queries.fetch_add(new_queries, Ordering::Relaxed);
        frames.fetch_add(new_frames, Ordering::Relaxed);
        buffer.copy_within(at..end, 0);
        held = end - at;
    }
}

fn relay() {
    let node = Node::start();
    let mut links = node.links(1 + RECEIVERS);
    let mut sender = links.remove(0);
    let queries = Arc::new(AtomicU64::new(0));
    let frames = Arc::new(AtomicU64::new(0));
    let receivers: Vec<_> = links
        .iter()
        .map(|link| {
            let link = link.try_clone().expect("a socket");
            let (queries, frames) = (queries.clone(), frames.clone());
            thread::spawn(move || receive(link, &queries, &frames))
        })
        .collect();
    // What it writes to the sender is not of interest, but must be read.
    let mut back = sender.try_clone().expect("a socket");
    let (returned, came_back) = mpsc::channel();
    thread::spawn(move || {
        let (queries, frames) = (AtomicU64::new(0), AtomicU64::new(0));
        receive(back.try_clone().expect("a socket"), &queries, &frames);
        let _ = back.flush();
        let _ = returned.send(queries.into_inner());
    });

    let mut load = Load::new("hazelnut spread");
    let cpu_before = node.cpu_s();
    let start = Instant::now();
    while start.elapsed() < RUN {
        sender.write_all(load.renew()).expect("the node reads");
    }
    let sent = load.sent;
    let end = Instant::now() + PATIENCE;
    while node.counters().received["query"] < sent {
        assert!(Instant::now() < end, "not all queries were read");
    }
    let took_in = start.elapsed();
    let counters = node.counters();
    let shed = counters.dropped["queue_full"];
    while queries.load(Ordering::Relaxed) + shed < sent * RECEIVERS as u64 {
        assert!(Instant::now() < end, "not all queries arrived");
        thread::yield_now();
    }
    let seconds = start.elapsed().as_secs_f64();
    let arrived = queries.load(Ordering::Relaxed);
    let cpu = node.cpu_s() - cpu_before;
    for link in links.iter().chain([&sender]) {
        let _ = link.shutdown(std::net::Shutdown::Both);
    }
    for receiver in receivers {
        receiver.join().expect("counts");
    }
    assert_eq!(
        came_back.recv().expect("counts"),
        0,
        "never back over the link it came from"
    );
    println!(
        "{}",
        json!({
            "bench": "relay", "queries_in": sent, "seconds": round(seconds),
            "queries_in_per_s": (sent as f64 / took_in.as_secs_f64()) as u64,
            "frames_out_per_s": (arrived as f64 / seconds) as u64,
            "relayed_to_all_per_s": (arrived as f64 / RECEIVERS as f64 / seconds) as u64,
            "shed": shed, "shed_share": round(shed as f64 / (sent * RECEIVERS as u64) as f64),
            "other_drops": counters.dropped.iter().filter(|(name, _)| *name != "queue_full").map(|(_, n)| n).sum::<u64>(),
            "node_cpu_s": round(cpu), "node_rss_kib": node.rss_kib(),
            "frame_bytes": load.frame_bytes, "written": node.to_be_written(),
        })
    );
}

fn idle() {
    let node = Node::start();
    let bare = node.rss_kib();
    let _links = node.links(4);
    println!(
        "{}",
        json!({ "bench": "idle", "rss_kib_no_links": bare, "rss_kib_four_links": node.rss_kib() })
    );
}

fn round(number: f64) -> f64 {
    (number * 10_000.0).round() / 10_000.0
}
