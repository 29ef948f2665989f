//! One relay over plain, compressed and encrypted links, side by side. Prints JSON lines.
//!
//! `cargo bench --bench links`
//!
//! For each kind of link a node in a process of its own: one neighbour sends queries, four others get them, all five
//! links of that kind. The nodes take turns, a slice each and again, so that whatever else the machine does falls on
//! all alike. All get the same queries at the same pace, once one in a write and once many, for a compressor and a TLS
//! record gain by many. `node_ns_a_frame` is processor time of the node's threads for each frame in or out;
//! `wire_bytes_a_query` what a receiver's socket got for each query. The ratios are to the plain links of that run.

#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench reports on its output"
)]

#[allow(dead_code, unreachable_pub)]
#[path = "../tests/tls_client/mod.rs"]
mod tls_client;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use filbert::net::{Listen, Servent, Settings};
use filbert::node::Config;
use filbert::node::address::Net;
use filbert::node::event::Role;
use filbert::wire::deflate::Deflater;
use filbert::wire::query::{Query, QueryFlags};
use filbert::wire::window::Inflater;
use filbert::wire::{Frame, FrameReader, Guid, Header, Kind};
use futures_rustls::rustls::{ClientConnection, StreamOwned};
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::json;

const RECEIVERS: usize = 4;
/// Queries of one kind of link in one turn, and turns.
const SLICE: usize = 4_000;
const TURNS: usize = 5;
/// From one query to the next, in the mean: 4,000 a second in, 16,000 out, which no kind of link is too slow for.
const PACE: Duration = Duration::from_micros(250);
/// Queries in one write; each divides [`SLICE`].
const BATCHES: [usize; 2] = [1, 32];
/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
struct Way {
    name: &'static str,
    deflated: bool,
    encrypted: bool,
}

const WAYS: [Way; 4] = [
    Way {
        name: "plain",
        deflated: false,
        encrypted: false,
    },
    Way {
        name: "compressed",
        deflated: true,
        encrypted: false,
    },
    Way {
        name: "encrypted",
        deflated: false,
        encrypted: true,
    },
    Way {
        name: "compressed and encrypted",
        deflated: true,
        encrypted: true,
    },
];

fn main() {
    if std::env::args().nth(1).as_deref() == Some("node") {
        return node();
    }
    for batch in BATCHES {
        let mut all: Vec<Bench> = WAYS.into_iter().map(Bench::start).collect();
        for _ in 0..TURNS {
            all.iter_mut().for_each(|bench| bench.turn(batch));
        }
        let plain = all[0].figures();
        for bench in &all {
            let figures = bench.figures();
            println!(
                "{}",
                json!({"bench": "links", "links": bench.way.name, "queries_a_write": batch, "queries": bench.sent,
                    "arrived": bench.arrived() as f64 / (bench.sent * RECEIVERS as u64) as f64,
                    "node_ns_a_frame": figures.ns.round(), "cpu_ratio": round(figures.ns / plain.ns),
                    "wire_bytes_a_query": round(figures.bytes), "wire_ratio": round(figures.bytes / plain.bytes)})
            );
        }
    }
}

fn round(figure: f64) -> f64 {
    (figure * 100.0).round() / 100.0
}

/// The child: an ultrapeer that says where it listens and ends with its input.
fn node() {
    let config = Config {
        net: Net::Rehearsal,
        min_links: 0,
        // Nothing is said to the sender, which does not listen, and nobody is asked whether it lives.
        keepalive: false,
        limit_search: None,
        ..Config::live(Role::Ultrapeer)
    };
    let settings = Settings {
        config,
        listen: Listen::Fixed("127.0.0.1:0".parse().expect("an address")),
        ..Settings::default()
    };
    let servent = Servent::start(settings).expect("starts");
    println!("{}", servent.listen_addr().expect("listens"));
    let _ = io::stdin().read(&mut [0]);
    servent.stop();
}

/// What one kind of link came to.
struct Figures {
    ns: f64,
    bytes: f64,
}

/// A node with its five links of one kind.
struct Bench {
    way: Way,
    process: Child,
    /// Closing it ends the node.
    _input: ChildStdin,
    sender: Wire,
    deflater: Option<Deflater>,
    sockets: Vec<TcpStream>,
    receivers: Vec<Arc<Received>>,
    load: Load,
    sent: u64,
    /// Processor time of the node in its turns.
    cpu_ns: u64,
    /// Bytes that receivers got in its turns.
    bytes: u64,
}

#[derive(Debug, Default)]
struct Received {
    queries: AtomicU64,
    wire_bytes: Arc<AtomicU64>,
}

impl Bench {
    fn start(way: Way) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .arg("node")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("says where it listens");
        let addr: SocketAddr = line.trim().parse().expect("an address");
        let mut sockets = Vec::new();
        let mut link = |number: u8, counter: &Arc<AtomicU64>| {
            let (wire, socket) = Wire::link(addr, number, way, counter.clone());
            sockets.push(socket);
            wire
        };
        let sender = link(0, &Arc::default());
        let receivers = (1..)
            .take(RECEIVERS)
            .map(|number| {
                let received = Arc::new(Received::default());
                let wire = link(number, &received.wire_bytes);
                let counts = received.clone();
                thread::spawn(move || receive(wire, way.deflated, &counts.queries));
                received
            })
            .collect();
        Self {
            way,
            _input: process.stdin.take().expect("piped"),
            process,
            sender,
            deflater: way.deflated.then(Deflater::default),
            sockets,
            receivers,
            load: Load::default(),
            sent: 0,
            cpu_ns: 0,
            bytes: 0,
        }
    }

    fn arrived(&self) -> u64 {
        let all = self.receivers.iter();
        all.map(|one| one.queries.load(Ordering::Relaxed)).sum()
    }

    fn wire_bytes(&self) -> u64 {
        let all = self.receivers.iter();
        all.map(|one| one.wire_bytes.load(Ordering::Relaxed)).sum()
    }

    /// Nanoseconds that the threads of the node have run.
    fn node_ns(&self) -> u64 {
        let tasks = format!("/proc/{}/task", self.process.id());
        let tasks = std::fs::read_dir(tasks).expect("/proc");
        let run = |task: io::Result<std::fs::DirEntry>| {
            let stat = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            stat.split(' ').next()?.parse::<u64>().ok()
        };
        tasks.filter_map(run).sum()
    }

    /// Sends its share of queries, and waits until all have arrived.
    fn turn(&mut self, batch: usize) {
        let (cpu, bytes) = (self.node_ns(), self.wire_bytes());
        let expected = self.arrived() + (SLICE * RECEIVERS) as u64;
        let start = Instant::now();
        let mut plain = Vec::new();
        let mut packed = Vec::new();
        for sent in (0..SLICE).step_by(batch) {
            plain.clear();
            (0..batch).for_each(|_| self.load.query().write(&mut plain));
            let bytes = match &mut self.deflater {
                None => &plain,
                Some(deflater) => {
                    packed.clear();
                    deflater.deflate(&plain, &mut packed);
                    &packed
                }
            };
            self.sender.write_all(bytes).expect("the node reads");
            self.sender.flush().expect("the node reads");
            let due = PACE * u32::try_from(sent + batch).expect("small");
            thread::sleep(due.saturating_sub(start.elapsed()));
        }
        self.sent += SLICE as u64;
        let end = Instant::now() + PATIENCE;
        while self.arrived() < expected {
            assert!(Instant::now() < end, "{}: queries were lost", self.way.name);
            thread::sleep(Duration::from_millis(1));
        }
        self.cpu_ns += self.node_ns() - cpu;
        self.bytes += self.wire_bytes() - bytes;
    }

    fn figures(&self) -> Figures {
        Figures {
            ns: self.cpu_ns as f64 / (self.sent * (1 + RECEIVERS as u64)) as f64,
            bytes: self.bytes as f64 / (self.sent * RECEIVERS as u64) as f64,
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for socket in &self.sockets {
            let _ = socket.shutdown(Shutdown::Both);
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A socket that counts what comes in.
struct Counted {
    socket: TcpStream,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.socket.read(buffer)?;
        self.read.fetch_add(len as u64, Ordering::Relaxed);
        Ok(len)
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// A neighbour's end of a link.
enum Wire {
    Plain(Counted),
    Encrypted(Box<StreamOwned<ClientConnection, Counted>>),
}

impl Wire {
    /// Connects and greets.
    fn link(addr: SocketAddr, number: u8, way: Way, read: Arc<AtomicU64>) -> (Self, TcpStream) {
        let socket = TcpStream::connect(addr).expect("connects");
        socket.set_nodelay(true).expect("a socket");
        let kept = socket.try_clone().expect("a socket");
        let counted = Counted { socket, read };
        let mut wire = if way.encrypted {
            Self::Encrypted(Box::new(StreamOwned::new(tls_client::session(), counted)))
        } else {
            Self::Plain(counted)
        };
        let (reads, writes) = if way.deflated {
            (
                "Accept-Encoding: deflate\r\n",
                "Content-Encoding: deflate\r\n",
            )
        } else {
            ("", "")
        };
        let offer = format!(
            "GNUTELLA CONNECT/0.6\r\nUser-Agent: bench\r\nX-Ultrapeer: True\r\nX-Max-TTL: 4\r\nX-Query-Routing: 0.1\r\n\
             GUID: {}\r\nListen-IP: 127.0.0.{}:6346\r\n{reads}\r\n",
            format!("{:02x}", number + 1).repeat(16),
            number + 2,
        );
        wire.write_all(offer.as_bytes()).expect("writes");
        wire.flush().expect("writes");
        let head = tls_client::head_of(&mut wire);
        assert!(head.starts_with("GNUTELLA/0.6 200"), "{head}");
        assert_eq!(head.contains("Content-Encoding: deflate"), way.deflated);
        let confirm = format!("GNUTELLA/0.6 200 OK\r\n{writes}\r\n");
        wire.write_all(confirm.as_bytes()).expect("writes");
        wire.flush().expect("writes");
        (wire, kept)
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Encrypted(session) => session.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Encrypted(session) => session.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Encrypted(session) => session.flush(),
        }
    }
}

/// Counts queries until the socket is shut.
fn receive(mut wire: Wire, deflated: bool, queries: &AtomicU64) {
    let mut buffer = vec![0; 64 * 1024];
    let mut inflater = deflated.then(Inflater::default);
    let mut frames = FrameReader::new();
    while let Ok(len @ 1..) = wire.read(&mut buffer) {
        let bytes = match &mut inflater {
            None => buffer[..len].to_vec(),
            Some(inflater) => {
                let mut out = Vec::new();
                inflater
                    .inflate(&buffer[..len], &mut out, usize::MAX)
                    .expect("a stream of filbert");
                out
            }
        };
        frames.push(Bytes::from(bytes));
        while let Some(frame) = frames.next_frame().expect("frames of filbert") {
            queries.fetch_add(
                u64::from(frame.header.kind == Kind::Query),
                Ordering::Relaxed,
            );
        }
    }
}

/// Queries as people ask them: two to four words of some hundred, and a random id each.
struct Load(ChaCha8Rng);

impl Default for Load {
    fn default() -> Self {
        Self(ChaCha8Rng::seed_from_u64(5))
    }
}

const WORDS: &str = "walrus song hazelnut spread live album remaster concert quartz manual pink flamingo arctic fox \
    winter summer river mountain blue night train street lecture notes chapter orchid bloom field recording session \
    piano violin quartet dance radio theatre harbour garden kitchen letter journey island desert forest bridge tower";

impl Load {
    fn query(&mut self) -> Frame {
        let words: Vec<&str> = WORDS.split_whitespace().collect();
        let mut guid = [0; 16];
        self.0.fill_bytes(&mut guid);
        let count = 2 + usize::from(guid[3] % 3);
        let text: Vec<&str> = (0..count)
            .filter_map(|_| words.choose(&mut self.0).copied())
            .collect();
        let query = Query {
            flags: QueryFlags::OURS,
            text: text.join(" ").into(),
            sha1s: Vec::new(),
            media: None,
        };
        Frame {
            header: Header {
                guid: Guid::from_random(guid),
                kind: Kind::Query,
                ttl: 4,
                hops: 0,
            },
            payload: query.build().expect("short").into(),
        }
    }
}
