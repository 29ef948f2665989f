//! Scripted HTTP servers and jobs that fetch from them.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses its own part; a failed unwrap fails the test"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use filbert::net::download::{Cancel, FetchError, Fetched, Job, Source, fetch};
use filbert::wire::Sha1;
use sha1::Digest;

/// A test that takes longer has hung.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub fn urn_of(bytes: &[u8]) -> Sha1 {
    Sha1(sha1::Sha1::digest(bytes).into())
}

pub fn content(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

/// What a scripted server saw of one request.
pub struct Seen {
    pub head: String,
    /// Requests before this one, over all connections.
    pub number: usize,
}

impl Seen {
    /// First byte of the range asked for, 0 without one.
    pub fn from(&self) -> usize {
        let range = self
            .head
            .lines()
            .find_map(|line| line.strip_prefix("Range: bytes="));
        let first = range.and_then(|range| range.split('-').next());
        first.map_or(0, |first| first.parse().unwrap())
    }

    /// Start and end (not included) of the range asked for, of a file of `len` bytes.
    pub fn range(&self, len: usize) -> (usize, usize) {
        let mut lines = self.head.lines();
        let range = lines.find_map(|line| line.strip_prefix("Range: bytes="));
        let last = range.and_then(|range| range.split('-').nth(1)?.parse::<usize>().ok());
        (self.from(), last.map_or(len, |last| len.min(last + 1)))
    }
}

/// Answers each request by `script`; it returns the bytes to send and whether the connection goes on.
pub struct Server {
    pub addr: SocketAddr,
    pub requests: Arc<AtomicUsize>,
}

impl Server {
    pub fn start(script: impl Fn(Seen) -> (Vec<u8>, bool) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let (count, script) = (requests.clone(), Arc::new(script));
        // Ends with the test process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (count, script) = (count.clone(), script.clone());
                std::thread::spawn(move || serve(&stream.unwrap(), &count, &*script));
            }
        });
        Self { addr, requests }
    }

    pub fn source(&self, urn: Sha1) -> Source {
        Source::by_urn(self.addr, urn)
    }
}

fn serve(mut stream: &TcpStream, count: &AtomicUsize, script: &dyn Fn(Seen) -> (Vec<u8>, bool)) {
    let mut head = Vec::new();
    let mut byte = [0];
    while let Ok(1) = stream.read(&mut byte) {
        head.push(byte[0]);
        if head.ends_with(b"\r\n\r\n") {
            let head = String::from_utf8(std::mem::take(&mut head)).unwrap();
            let (answer, goes_on) = script(Seen {
                head,
                number: count.fetch_add(1, Ordering::SeqCst),
            });
            if stream.write_all(&answer).is_err() || !goes_on {
                return;
            }
        }
    }
}

/// 206 with the bytes from `start` to `end` (not included) of `data`.
pub fn partial(data: &[u8], start: usize, end: usize) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {start}-{}/{}\r\n\r\n",
        end - start,
        end - 1,
        data.len()
    );
    [head.as_bytes(), &data[start..end]].concat()
}

pub fn whole(data: &[u8]) -> Vec<u8> {
    [
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", data.len()).as_bytes(),
        data,
    ]
    .concat()
}

pub fn job(into: &Path, data: &[u8], sources: Vec<Source>) -> Job {
    Job {
        urn: Some(urn_of(data)),
        size: Some(data.len() as u64),
        sources,
        timeout: Some(DEADLINE),
        ..Job::new("moby.txt", into)
    }
}

pub fn run(job: &Job) -> Result<Fetched, FetchError> {
    fetch(job, |_| {}, &Cancel::new())
}
