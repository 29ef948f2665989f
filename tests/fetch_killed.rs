//! The program itself, killed while it fetches, and what it remembers between two commands.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use filbert::disk::folder::Folder;
use filbert::disk::parts::{PART_END, Part, Wanted};
use filbert::disk::tree::TreeHasher;
use filbert::wire::Sha1;
use filbert::wire::urn::tiger_to_base32;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

#[path = "common/http.rs"]
mod http;

use http::{DEADLINE, Seen, Server, partial, urn_of};

/// Kills of one download.
const KILLS: usize = 100;
/// Most that a server gives before one of them.
const BYTES_MAX: u64 = 120_000;
/// Before some it gives more than the first range, so that the tree is asked for and blocks are verified.
const BYTES_MANY: u64 = 700_000;
const SIZE: usize = 20_000_000;
/// What may be under way between socket and disk: one read of the socket.
const IN_FLIGHT_MAX: u64 = 256 * 1024;

/// Bytes without a zero, so that a hole looks like none of them.
fn content(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| u8::try_from(at % 250).unwrap() + 1)
        .collect()
}

/// The answer with the tree of `data`, and the header that names it.
fn tree(data: &[u8]) -> (Vec<u8>, String) {
    let mut hasher = TreeHasher::for_file(data.len() as u64);
    hasher.update(data);
    let tree = hasher.finish();
    let body = tree.to_dime();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let line = format!("X-Thex-URI: /tree;{}\r\n", tiger_to_base32(&tree.root()));
    ([head.as_bytes(), &body].concat(), line)
}

fn get(dir: &Path, target: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_filbert"));
    command
        .args(["get", target, "--as", "moby.bin", "-q", "-o"])
        .arg(dir.join("into"))
        .env("FILBERT_HOME", dir.join("home"))
        .env("FILBERT_NO_DISCOVERY", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// What a server may give.
#[derive(Default)]
struct Budget {
    left: u64,
    /// Counts the processes that came so far.
    process: usize,
}

/// Gives as much as it may, and then waits.
#[derive(Clone, Default)]
struct Tap(Arc<(Mutex<Budget>, Condvar)>);

impl Tap {
    fn open(&self, bytes: u64) {
        let mut budget = self.0.0.lock().unwrap();
        (budget.left, budget.process) = (bytes, budget.process + 1);
        self.0.1.notify_all();
    }

    /// Up to so many bytes for a connection of this process; 0: it is gone.
    fn take(&self, most: u64, process: usize) -> u64 {
        let budget = self.0.0.lock().unwrap();
        let waits = |budget: &mut Budget| budget.left == 0 && budget.process == process;
        let mut budget = self.0.1.wait_while(budget, waits).unwrap();
        if budget.process != process {
            return 0;
        }
        let taken = most.min(budget.left);
        budget.left -= taken;
        self.0.1.notify_all();
        taken
    }

    fn wait_until_empty(&self) {
        let budget = self.0.0.lock().unwrap();
        let full = |budget: &mut Budget| budget.left > 0;
        let (_budget, late) = self.0.1.wait_timeout_while(budget, DEADLINE, full).unwrap();
        assert!(!late.timed_out(), "nobody fetches");
    }

    fn process(&self) -> usize {
        self.0.0.lock().unwrap().process
    }
}

fn serve(data: Arc<Vec<u8>>, tap: Tap) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (tree, line) = tree(&data);
    // Ends with the test process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (data, tap, tree, line) = (data.clone(), tap.clone(), tree.clone(), line.clone());
            // Whoever was killed closes its connections.
            std::thread::spawn(move || connection(&stream.unwrap(), &data, &tap, &tree, &line));
        }
    });
    addr
}

fn connection(mut stream: &TcpStream, data: &[u8], tap: &Tap, tree: &[u8], line: &str) {
    let process = tap.process();
    let (mut head, mut byte) = (Vec::new(), [0]);
    while let Ok(1) = stream.read(&mut byte) {
        head.push(byte[0]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let seen = Seen {
            head: String::from_utf8(std::mem::take(&mut head)).unwrap(),
            number: 0,
        };
        if seen.head.starts_with("GET /tree ") {
            if stream.write_all(tree).is_err() {
                return;
            }
            continue;
        }
        let (mut at, end) = seen.range(data.len());
        let answer = partial(data, at, end);
        let body = answer.len() - (end - at);
        let first = b"HTTP/1.1 206 Partial Content\r\n";
        let answer = [first, line.as_bytes(), &answer[first.len()..body]].concat();
        if stream.write_all(&answer).is_err() {
            return;
        }
        while at < end {
            let piece = tap.take((end - at).min(8_192) as u64, process);
            let piece = usize::try_from(piece).unwrap();
            if piece == 0 || stream.write_all(&data[at..at + piece]).is_err() {
                return;
            }
            at += piece;
        }
    }
}

/// What lies on the disk: bytes that are there, verified ones, and right ones that are lost since nobody knows of them.
fn on_disk(into: &Path, urn: Sha1, data: &[u8]) -> Option<(u64, u64, u64)> {
    let bytes = std::fs::read(into.join(format!("moby.bin{PART_END}"))).ok()?;
    let wanted = Wanted {
        name: "moby.bin".into(),
        urn: Some(urn),
        ..Wanted::default()
    };
    // As the next run reads it.
    let part = Part::open(Folder::open(into).unwrap(), wanted).unwrap();
    assert!(!part.was_changed(), "verified bytes would be checked again");
    for range in part.arrived().iter() {
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        assert!(
            bytes[range.clone()] == data[range],
            "it claims what is not there"
        );
    }
    let unknown = part.arrived().gaps(0..bytes.len() as u64);
    let lost = unknown.flat_map(|gap| {
        let gap = usize::try_from(gap.start).unwrap()..usize::try_from(gap.end).unwrap();
        gap.filter(|at| bytes[*at] == data[*at])
    });
    let lost = lost.count() as u64;
    Some((part.done(), part.verified_ranges().total(), lost))
}

fn kill(mut child: Child) {
    // SIGKILL: nothing of it runs any more.
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_hundred_kills_lose_no_more_than_what_was_in_flight() {
    let mut rng = ChaCha8Rng::seed_from_u64(100);
    let data = Arc::new(content(SIZE));
    let urn = urn_of(&data);
    let tap = Tap::default();
    let addr = serve(data.clone(), tap.clone());
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("into");
    let target = format!("http://{addr}/uri-res/N2R?{urn}");
    let (mut done, mut verified, mut given) = (0, 0, 0);
    for number in 0..KILLS {
        let many = if number % 10 == 5 { BYTES_MANY } else { 1 };
        let bytes = rng.random_range(many..many + BYTES_MAX);
        tap.open(bytes);
        let child = get(dir.path(), &target).spawn().unwrap();
        // Some die while they start or read what is there, the others with bytes on their way.
        if number % 4 == 0 {
            std::thread::sleep(Duration::from_millis(rng.random_range(0..60)));
        } else {
            tap.wait_until_empty();
            given += bytes;
            std::thread::sleep(Duration::from_micros(rng.random_range(0..4_000)));
        }
        kill(child);
        let Some((now, checked, lost)) = on_disk(&into, urn, &data) else {
            assert_eq!(done, 0, "the partial file is gone");
            continue;
        };
        assert!(
            now >= done,
            "kill {number}: {done} bytes were there, now {now}"
        );
        assert!(
            checked >= verified,
            "kill {number}: {verified}, now {checked}"
        );
        assert!(
            lost <= IN_FLIGHT_MAX,
            "kill {number}: {lost} bytes are lost"
        );
        (done, verified) = (now, checked);
    }
    assert!(
        done > given / 2,
        "{done} of {given}: the kills came too early to show anything"
    );
    assert!(verified > 0);
    tap.open(u64::MAX);
    let ended = get(dir.path(), &target).status().unwrap();
    assert!(ended.success());
    assert!(std::fs::read(into.join("moby.bin")).unwrap() == *data);
    let left: Vec<_> = std::fs::read_dir(&into).unwrap().collect();
    assert_eq!(left.len(), 1, "no litter");
}

/// A liar, an honest server that gives nothing before the liar has, and the magnet that names both.
fn liar_and_honest() -> (Server, Server, String, Sha1) {
    let data = content(4_000_000);
    let urn = urn_of(&data);
    let wrong: Vec<u8> = data.iter().map(|byte| byte ^ 1).collect();
    let asked = Arc::new((Mutex::new(false), Condvar::new()));
    let opens = asked.clone();
    let liar = Server::start(move |seen: Seen| {
        *opens.0.lock().unwrap() = true;
        opens.1.notify_all();
        let (start, end) = seen.range(wrong.len());
        (partial(&wrong, start, end), true)
    });
    let (tree, line) = tree(&data);
    let root = line.trim().rsplit(';').next().unwrap().to_owned();
    let honest = Server::start(move |seen: Seen| {
        if seen.head.starts_with("GET /tree ") {
            return (tree.clone(), true);
        }
        // It gives nothing before the liar has.
        let shut = asked.0.lock().unwrap();
        drop(asked.1.wait_while(shut, |open| !*open).unwrap());
        let (start, end) = seen.range(data.len());
        let answer = partial(&data, start, end);
        let first = b"HTTP/1.1 206 Partial Content\r\n";
        (
            [first, line.as_bytes(), &answer[first.len()..]].concat(),
            true,
        )
    });
    let target = format!(
        "magnet:?xt=urn:bitprint:{}.{root}&xs=http://{}/x&xs=http://{}/x",
        urn.to_base32(),
        liar.addr,
        honest.addr
    );
    (liar, honest, target, urn)
}

/// How often a server was asked while this went on.
fn asked(server: &Server, work: impl FnOnce()) -> usize {
    let before = server.requests.load(Ordering::SeqCst);
    work();
    server.requests.load(Ordering::SeqCst) - before
}

/// The right file is there, and is taken away.
fn take_right(dir: &Path, urn: Sha1) {
    let file = dir.join("into/moby.bin");
    assert_eq!(urn_of(&std::fs::read(&file).unwrap()), urn);
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_liar_is_remembered_by_the_next_command() {
    let (liar, _honest, target, urn) = liar_and_honest();
    let dir = tempfile::tempdir().unwrap();
    for time in ["first", "again"] {
        let requests = asked(&liar, || {
            assert!(get(dir.path(), &target).status().unwrap().success());
        });
        take_right(dir.path(), urn);
        assert_eq!(requests > 0, time == "first", "{time}: {requests}");
    }
}

#[test]
fn a_liar_is_remembered_by_a_node_and_by_commands_after_it() {
    let (liar, _honest, target, urn) = liar_and_honest();
    let dir = tempfile::tempdir().unwrap();
    let filbert = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_filbert"));
        command
            .args(args)
            .current_dir(dir.path())
            .env("FILBERT_HOME", dir.path().join("home"))
            .env("FILBERT_NO_DISCOVERY", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    std::fs::create_dir(dir.path().join("shared")).unwrap();
    let mut share = filbert(&["share", "shared", "--json", "--listen", "127.0.0.1:0"]);
    let mut node = share.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(node.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("\"ready\"")));
    for time in ["first", "again"] {
        let requests = asked(&liar, || {
            let get = ["get", "--detach", &target, "--as", "moby.bin", "-o", "into"];
            assert!(filbert(&get).status().unwrap().success());
            let watch = filbert(&["transfers", "watch", "-q"]).status().unwrap();
            assert!(watch.success(), "{watch}");
        });
        take_right(dir.path(), urn);
        let id = urn.to_base32().to_lowercase();
        let cancel = filbert(&["transfers", "cancel", &id]).status().unwrap();
        assert!(cancel.success(), "{cancel}");
        assert_eq!(requests > 0, time == "first", "{time}: {requests}");
    }
    node.kill().unwrap();
    node.wait().unwrap();
    let requests = asked(&liar, || {
        assert!(get(dir.path(), &target).status().unwrap().success());
    });
    take_right(dir.path(), urn);
    assert_eq!(requests, 0);
}
