//! What a node does over real loopback sockets, load generator included. Prints JSON lines.
//!
//! `cargo bench --bench relay -- [relay|match|idle|start]...`; nothing named runs all. The node is a child process,
//! so that its memory and processor time are its own; load and receivers are threads of this one.
//!
//! - `relay`: one neighbour sends distinct queries as fast as it can, four others receive them.
//!   `relayed` counts what arrived at all four; what the node shed because a receiver was slower than the
//!   generator is `shed`, and was not relayed.
//! - `match`: one neighbour asks a node that shares 20,000 files, first for words that one file has, then for
//!   words that none has; `answered` counts the hits that came back.
//! - `idle`: resident memory of a node with four links.
//! - `start`: from the start of a node until 100,000 files that were hashed before can be found.

#![expect(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a bench reports on its output"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
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
use tempfile::TempDir;

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
    if let [mode, home, folders @ ..] = args.as_slice()
        && mode == "node"
    {
        return node(Path::new(home), folders);
    }
    let wanted = |name: &str| args.is_empty() || args.iter().any(|arg| arg == name);
    if wanted("relay") {
        relay();
    }
    if wanted("match") {
        matching();
    }
    if wanted("idle") {
        idle();
    }
    if wanted("start") {
        start();
    }
}

/// The child: a node that says where it listens and, once its folders can be searched, how many
/// milliseconds that took; it ends with its input. A line of input before that waits for all hashes.
fn node(home: &Path, folders: &[String]) {
    let config = Config {
        min_links: 0,
        limit_search: None,
        ..Config::default()
    };
    let settings = Settings {
        config,
        listen: Listen::Fixed("127.0.0.1:0".parse().expect("an address")),
        home: Some(Home::at(home).expect("a home")),
        shares: folders
            .iter()
            .map(|folder| PathBuf::from(folder).into())
            .collect(),
        ..Settings::default()
    };
    let start = Instant::now();
    let servent = Servent::start(settings).expect("starts");
    assert!(servent.wait_scanned(PATIENCE), "the scan ends");
    println!(
        "{} {}",
        servent.listen_addr().expect("listens"),
        start.elapsed().as_secs_f64() * 1000.0
    );
    if matches!(std::io::stdin().read(&mut [0]), Ok(1)) {
        assert!(servent.wait_hashed(PATIENCE), "the hashing ends");
        println!("hashed");
        let _ = std::io::stdin().read(&mut [0]);
    }
    servent.stop();
}

/// A node in a process of its own.
struct Node {
    process: Child,
    /// Closing it ends the node.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    addr: SocketAddr,
    /// From its start until its files could be found.
    searchable_ms: f64,
    control: Client,
    _home: Rc<TempDir>,
}

impl Node {
    fn start() -> Self {
        Self::sharing(
            Rc::new(tempfile::tempdir().expect("a temporary folder")),
            None,
        )
    }

    fn sharing(home: Rc<TempDir>, folder: Option<&Path>) -> Self {
        let places = Home::at(home.path()).expect("a home");
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .arg("node")
            .arg(home.path())
            .args(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut output = BufReader::new(process.stdout.take().expect("piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("says where it listens");
        let (addr, took) = line.trim().split_once(' ').expect("two words");
        Self {
            input: process.stdin.take(),
            output,
            addr: addr.parse().expect("an address"),
            searchable_ms: took.parse().expect("a number"),
            control: Client::connect(places.socket()).expect("listens"),
            process,
            _home: home,
        }
    }

    /// Waits until all files are hashed.
    fn hash(&mut self) {
        self.input
            .as_mut()
            .expect("runs")
            .write_all(b"\n")
            .expect("reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("says when");
        assert_eq!(line.trim(), "hashed");
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
    /// The words of queries count from here...
    first_word: u64,
    /// ... for so many, and start again.
    words: u64,
}

impl Load {
    /// Queries in one write.
    const BATCH: usize = 2048;

    fn new(words: &str) -> Self {
        let query = Query {
            flags: QueryFlags::OURS,
            text: format!("00000000 {words}").into(),
            sha1s: Vec::new(),
            media: None,
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
            first_word: 0,
            words: u64::MAX,
        }
    }

    fn renew(&mut self) -> &[u8] {
        for frame in self.bytes.chunks_exact_mut(self.frame_bytes) {
            self.sent += 1;
            frame[..8].copy_from_slice(&self.sent.to_le_bytes());
            let mut rest = self.first_word + self.sent % self.words;
            for digit in &mut frame[self.word_at..self.word_at + 8] {
                *digit = b'a' + (rest % 16) as u8;
                rest /= 16;
            }
        }
        &self.bytes
    }
}

/// Counts frames of a kind and all frames that arrive, until the socket is shut.
fn receive(mut stream: TcpStream, kind: Kind, of_kind: &AtomicU64, frames: &AtomicU64) {
    let mut buffer = vec![0; 256 * 1024];
    let mut held = 0;
    while let Ok(len @ 1..) = stream.read(&mut buffer[held..]) {
        let end = held + len;
        let (mut at, mut new_of_kind, mut new_frames) = (0, 0, 0);
        while let Some(head) = buffer[at..end].first_chunk::<HEADER_BYTES>() {
            let (header, len) = Header::from_bytes(head);
            let next = at + HEADER_BYTES + len as usize;
            if next > end {
                break;
            }
            new_of_kind += u64::from(header.kind == kind);
            new_frames += 1;
            at = next;
        }
        of_kind.fetch_add(new_of_kind, Ordering::Relaxed);
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
            thread::spawn(move || receive(link, Kind::Query, &queries, &frames))
        })
        .collect();
    // What it writes to the sender is not of interest, but must be read.
    let mut back = sender.try_clone().expect("a socket");
    let (returned, came_back) = mpsc::channel();
    thread::spawn(move || {
        let (queries, frames) = (AtomicU64::new(0), AtomicU64::new(0));
        receive(
            back.try_clone().expect("a socket"),
            Kind::Query,
            &queries,
            &frames,
        );
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

/// Makes a folder of small files with names of three words; the last word is the file's own.
fn library(files: usize) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for number in 0..files {
        if number % 1000 == 0 {
            std::fs::create_dir(dir.path().join((number / 1000).to_string())).expect("a folder");
        }
        let name = format!(
            "{}/tune {} {}.ogg",
            number / 1000,
            word(number % 97),
            word(number)
        );
        std::fs::write(dir.path().join(name), number.to_string()).expect("a file");
    }
    dir
}

/// Eight letters, another row for each number.
fn word(number: usize) -> String {
    (0..8)
        .map(|at| char::from(b'a' + (number >> (4 * at)) as u8 % 16))
        .collect()
}

fn matching() {
    const FILES: usize = 20_000;
    let folder = library(FILES);
    let home = Rc::new(tempfile::tempdir().expect("a temporary folder"));
    let mut node = Node::sharing(home, Some(folder.path()));
    node.hash();
    let mut report = json!({ "bench": "match", "files": FILES });
    for (name, first_word) in [("matching", 0), ("none", 1 << 24)] {
        let mut link = node.links(1).remove(0);
        let (hits, frames) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let reader = {
            let link = link.try_clone().expect("a socket");
            let (hits, frames) = (hits.clone(), frames.clone());
            thread::spawn(move || receive(link, Kind::QueryHit, &hits, &frames))
        };
        let before = node.counters();
        let mut load = Load::new("tune");
        (load.first_word, load.words) = (first_word, FILES as u64);
        let start = Instant::now();
        while start.elapsed() < RUN {
            link.write_all(load.renew()).expect("the node reads");
        }
        let end = Instant::now() + PATIENCE;
        while node.counters().received["query"] - before.received["query"] < load.sent {
            assert!(Instant::now() < end, "not all queries were read");
        }
        let took_in = start.elapsed().as_secs_f64();
        let counters = node.counters();
        let shed = counters.dropped["queue_full"] - before.dropped["queue_full"];
        let answers = counters.sent["query_hit"] - before.sent["query_hit"];
        while hits.load(Ordering::Relaxed) + shed < answers {
            assert!(Instant::now() < end, "not all hits arrived");
            thread::yield_now();
        }
        let seconds = start.elapsed().as_secs_f64();
        report[name] = json!({
            "queries_per_s": (load.sent as f64 / took_in) as u64,
            "answered_per_s": (hits.load(Ordering::Relaxed) as f64 / seconds) as u64,
            "answers": answers, "queries": load.sent, "shed": shed,
        });
        let _ = link.shutdown(std::net::Shutdown::Both);
        reader.join().expect("counts");
        while !node.ask(&Request::Peers).is_empty() {
            thread::yield_now();
        }
    }
    report["node_rss_kib"] = json!(node.rss_kib());
    println!("{report}");
}

fn start() {
    const FILES: usize = 100_000;
    let folder = library(FILES);
    let home = Rc::new(tempfile::tempdir().expect("a temporary folder"));
    let mut first = Node::sharing(home.clone(), Some(folder.path()));
    let unhashed_ms = first.searchable_ms;
    let hashing = Instant::now();
    first.hash();
    let hashing = hashing.elapsed().as_secs_f64();
    drop(first);
    let second = Node::sharing(home, Some(folder.path()));
    println!(
        "{}",
        json!({
            "bench": "start", "files": FILES, "searchable_ms": round(second.searchable_ms),
            "searchable_first_time_ms": round(unhashed_ms), "hashing_s": round(hashing),
            "rss_kib": second.rss_kib(),
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
