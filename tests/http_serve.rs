//! Serving files to good, poor and hostile clients, over real sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use filbert::net::browse::{BrowseError, browse};
use filbert::net::download::{Cancel, Job, Source, fetch};
use filbert::net::file_server::{FileServer, FixedFiles};
use filbert::node::library::{Entry, Library};
use filbert::node::uploads::UploadLimits;
use filbert::wire::Sha1;
use sha1::Digest;

/// A test that waits longer has hung.
const DEADLINE: Duration = Duration::from_secs(20);

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

fn urn_of(bytes: &[u8]) -> Sha1 {
    Sha1(sha1::Sha1::digest(bytes).into())
}

/// A server over a folder with these files, in order from index 1; names are paths below it.
struct World {
    dir: tempfile::TempDir,
    server: FileServer,
}

fn world_with(files: &[(&str, &[u8])], limits: UploadLimits, limit_up: Option<u64>) -> World {
    let dir = tempfile::tempdir().unwrap();
    let entries = (1..).zip(files).map(|(index, (path, data))| {
        let full = dir.path().join(path);
        std::fs::create_dir_all(full.parent().unwrap()).unwrap();
        std::fs::write(&full, data).unwrap();
        entry(index, path, &full, Some(urn_of(data)))
    });
    let library = Library::build(&["books".to_owned()], entries.collect());
    let files = Arc::new(FixedFiles::new(dir.path().to_owned(), library));
    let server =
        FileServer::start("127.0.0.1:0".parse().unwrap(), files, limits, limit_up).unwrap();
    World { dir, server }
}

fn entry(index: u32, path: &str, full: &Path, sha1: Option<Sha1>) -> Entry {
    let meta = std::fs::metadata(full).unwrap();
    let mtime = u64::try_from(meta.mtime()).unwrap();
    Entry {
        index,
        share: 0,
        path: path.to_owned(),
        size: meta.len(),
        mtime,
        sha1,
        tiger: None,
    }
}

fn world(files: &[(&str, &[u8])]) -> World {
    world_with(
        files,
        UploadLimits {
            slots: 4,
            per_host: 4,
        },
        None,
    )
}

struct Client(BufReader<TcpStream>);

#[derive(Debug)]
struct Response {
    code: u16,
    head: String,
    body: Vec<u8>,
}

impl Response {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .into_iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }
}

impl World {
    fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.server.addr()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Client(BufReader::new(stream))
    }

    /// One request on a connection of its own.
    fn get(&self, target: &str, headers: &str) -> Response {
        let mut client = self.connect();
        client.send(&format!(
            "GET {target} HTTP/1.1\r\nHost: x\r\n{headers}Connection: close\r\n\r\n"
        ));
        let response = client.response(true);
        client.ends();
        response
    }
}

impl Client {
    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn response(&mut self, has_body: bool) -> Response {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(
                self.0.read_line(&mut head).unwrap() > 0,
                "the connection ended in {head:?}"
            );
        }
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut response = Response {
            code,
            head,
            body: Vec::new(),
        };
        let length = response
            .header("Content-Length")
            .map_or(0, |length| length.parse().unwrap());
        if has_body {
            response.body = vec![0; length];
            self.0.read_exact(&mut response.body).unwrap();
        }
        response
    }

    fn ends(&mut self) {
        assert_eq!(
            self.0.read(&mut [0]).unwrap(),
            0,
            "the connection should have ended"
        );
    }
}

#[test]
fn files_are_served_by_hash_and_by_number_with_all_that_describes_them() {
    let data = content(100_000);
    let world = world(&[("sea/Moby Dick?.txt", &data)]);
    let urn = urn_of(&data);
    for target in [
        format!("/uri-res/N2R?{urn}"),
        format!("/uri-res/N2R?{}", urn.to_string().to_lowercase()),
        format!(
            "/uri-res/N2R?urn:bitprint:{}.LWPNACQDBZRYXW3VHJVCJ64QBZNGHOHHHZWCLNQ",
            urn.to_base32()
        ),
        "/get/1/Moby%20Dick%3F.txt".to_owned(),
    ] {
        let response = world.get(&target, "");
        assert_eq!((response.code, &response.body), (200, &data), "{target}");
        assert_eq!(
            response.header("X-Gnutella-Content-URN"),
            Some(&*urn.to_string())
        );
        assert_eq!(response.header("Accept-Ranges"), Some("bytes"));
        assert_eq!(response.header("Connection"), Some("close"));
        assert!(response.header("Last-Modified").unwrap().ends_with(" GMT"));
        assert!(
            response
                .header("X-Features")
                .unwrap()
                .contains("browse/1.0")
        );
        assert!(
            response
                .header("Content-Disposition")
                .unwrap()
                .contains("filename=\"Moby Dick?.txt\"")
        );
    }
}

#[test]
fn ranges_are_served_as_the_standard_says() {
    let data = content(1000);
    let world = world(&[("a.bin", &data), ("empty", b"")]);
    for (range, code, start, end) in [
        ("bytes=0-9", 206, 0, 10),
        ("bytes=990-", 206, 990, 1000),
        ("bytes=-5", 206, 995, 1000),
        ("bytes=5-5000", 206, 5, 1000),
        ("bytes=0-0, 5-9", 206, 0, 1),
        ("bytes=9-5", 200, 0, 1000),
        ("rows=1-2", 200, 0, 1000),
    ] {
        let response = world.get("/get/1/a.bin", &format!("Range: {range}\r\n"));
        assert_eq!(
            (response.code, &*response.body),
            (code, &data[start..end]),
            "{range}"
        );
        let content_range = (code == 206).then(|| format!("bytes {start}-{}/1000", end - 1));
        assert_eq!(
            response.header("Content-Range").map(str::to_owned),
            content_range
        );
    }
    for (target, range, size) in [
        ("/get/1/a.bin", "bytes=1000-", "bytes */1000"),
        ("/get/1/a.bin", "bytes=-0", "bytes */1000"),
        ("/get/2/empty", "bytes=0-", "bytes */0"),
    ] {
        let response = world.get(target, &format!("Range: {range}\r\n"));
        assert_eq!(
            (response.code, response.header("Content-Range")),
            (416, Some(size)),
            "{range}"
        );
    }
    assert_eq!(world.get("/get/2/empty", "").body, b"");
}

#[test]
fn a_changed_file_is_not_continued_for_who_has_another_version() {
    let data = content(1000);
    let world = world(&[("a.bin", &data)]);
    let tag = world
        .get("/get/1/a.bin", "")
        .header("ETag")
        .unwrap()
        .to_owned();
    let same = world.get(
        "/get/1/a.bin",
        &format!("Range: bytes=5-\r\nIf-Range: {tag}\r\n"),
    );
    let other = world.get("/get/1/a.bin", "Range: bytes=5-\r\nIf-Range: \"other\"\r\n");
    assert_eq!((same.code, other.code), (206, 200));
}

#[test]
fn nothing_but_shared_files_can_be_asked_for() {
    let world = world(&[("a.txt", b"shared"), ("deep/b.txt", b"too")]);
    std::fs::write(world.dir.path().join("secret"), "unshared").unwrap();
    for (target, code) in [
        ("/secret", 404),
        ("/a.txt", 404),
        ("/../secret", 404),
        ("/get/1/secret", 404),
        ("/get/2/a.txt", 404),
        ("/get/2/deep/b.txt", 400),
        ("/get/3/a.txt", 404),
        ("/get/4294967296/a.txt", 400),
        ("/get/1/..%2fsecret", 400),
        ("/get/1/%2e%2e", 400),
        ("/get/1/..", 400),
        ("/get/1/..%5csecret", 400),
        ("/get/1/a.txt%00", 400),
        ("/get/1/A.TXT", 404),
        (
            "/uri-res/N2R?urn:sha1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            404,
        ),
        ("/uri-res/N2R?urn:sha1:short", 400),
        ("/uri-res/N2R", 400),
        (
            "/uri-res/N2X?urn:sha1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            404,
        ),
    ] {
        let response = world.get(target, "");
        assert_eq!(response.code, code, "{target}: {response:?}");
        assert!(!String::from_utf8_lossy(&response.body).contains("unshared"));
    }
}

#[test]
fn a_file_that_changed_since_it_was_hashed_is_not_served_under_its_hash() {
    let data = content(1000);
    let world = world(&[("a.bin", &data)]);
    let path = world.dir.path().join("a.bin");
    let target = format!("/uri-res/N2R?{}", urn_of(&data));
    assert_eq!(world.get(&target, "").code, 200);
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let old = file.metadata().unwrap().modified().unwrap();
    file.set_modified(old + Duration::from_secs(2)).unwrap();
    assert_eq!(world.get(&target, "").code, 404, "another time of change");
    file.set_len(999).unwrap();
    file.set_modified(old).unwrap();
    assert_eq!(world.get(&target, "").code, 404, "another size");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(world.get(&target, "").code, 404, "gone");
}

#[test]
fn a_file_cut_while_it_is_sent_ends_the_connection_short_of_its_length() {
    let data = content(50_000_000);
    let world = world(&[("a.bin", &data)]);
    let mut client = world.connect();
    client.send("GET /get/1/a.bin HTTP/1.1\r\nHost: x\r\n\r\n");
    let response = client.response(false);
    assert_eq!(response.header("Content-Length"), Some("50000000"));
    std::fs::OpenOptions::new()
        .write(true)
        .open(world.dir.path().join("a.bin"))
        .unwrap()
        .set_len(1000)
        .unwrap();
    let mut rest = Vec::new();
    // A reset is as good an end as any.
    let _ = client.0.read_to_end(&mut rest);
    assert!(rest.len() < data.len(), "{}", rest.len());
    assert_eq!(world.server.figures().done, 0);
}

#[test]
fn requests_are_answered_in_order_on_one_connection_and_after_errors_too() {
    let (one, two) = (content(70_000), content(5));
    let world = world(&[("one", &one), ("two", &two)]);
    let mut client = world.connect();
    let request = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    client.send(
        &[
            request("/get/1/one"),
            request("/nothing"),
            "HEAD /get/1/one HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            "GET /get/2/two HTTP/1.1\r\n\r\n".to_owned(),
            "GET /get/2/two HTTP/1.1\r\nHost: x\r\nRange: bytes=9-\r\n\r\n".to_owned(),
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            request("/get/2/two"),
        ]
        .concat(),
    );
    assert_eq!(client.response(true).body, one);
    assert_eq!(client.response(true).code, 404);
    let head = client.response(false);
    assert_eq!(
        (head.code, head.header("Content-Length")),
        (200, Some("70000"))
    );
    for code in [400, 416, 405, 501] {
        let response = client.response(true);
        assert_eq!(
            (response.code, response.header("Connection")),
            (code, Some("keep-alive"))
        );
    }
    assert_eq!(client.response(true).body, two);
}

#[test]
fn requests_beyond_repair_are_answered_and_closed() {
    let world = world(&[("a", b"a")]);
    let long = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "y".repeat(20_000)
    );
    for (request, code) in [
        ("nonsense\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\n\r\n", 505),
        ("GET / FTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
            405,
        ),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
            413,
        ),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            413,
        ),
        (&long, 413),
    ] {
        let mut client = world.connect();
        client.send(request);
        let response = client.response(true);
        assert_eq!(
            (response.code, response.header("Connection")),
            (code, Some("close")),
            "{request:.60}"
        );
        client.ends();
    }
}

#[test]
fn old_clients_get_one_answer_unless_they_ask_for_more() {
    let world = world(&[("a", b"aaa")]);
    let mut client = world.connect();
    client.send("GET /get/1/a HTTP/1.0\r\n\r\n");
    assert_eq!(client.response(true).body, b"aaa");
    client.ends();
    let mut client = world.connect();
    for _ in 0..2 {
        client.send("GET /get/1/a HTTP/1.0\nConnection: Keep-Alive\n\n");
        assert_eq!(client.response(true).body, b"aaa");
    }
}

#[test]
fn slots_run_out_clearly_and_come_back() {
    let data = content(30_000_000);
    let world = world_with(
        &[("big", &data), ("small", b"s")],
        UploadLimits {
            slots: 1,
            per_host: 1,
        },
        None,
    );
    let mut first = world.connect();
    first.send("GET /get/1/big HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(first.response(false).code, 200);
    // The first does not read: its slot is taken. Others are told, on a connection that goes on.
    let mut second = world.connect();
    second.send("GET /get/2/small HTTP/1.1\r\nHost: x\r\n\r\n");
    let busy = second.response(true);
    // Of this machine: asked to come back soon. Who reads nothing of queues is told nothing of them.
    assert_eq!((busy.code, busy.header("Retry-After")), (503, Some("1")));
    assert_eq!(
        (busy.header("X-Queue"), busy.header("X-Queued")),
        (None, None)
    );
    // The same person, by where it says it listens, has one place for both kinds.
    let node = "X-Node: 127.0.0.1:7777";
    let mut third = world.connect();
    third.send(&format!(
        "GET /get/2/small HTTP/1.1\r\nHost: x\r\n{node}\r\nX-Queue: 1.0\r\n\r\n"
    ));
    let parq = third.response(true);
    let place = parq.header("X-Queued").expect("a place");
    assert!(place.contains("; position=2; lifetime="), "{place}");
    assert!(
        place.starts_with("ID=") && place.contains("; length=2; ETA="),
        "{place}"
    );
    third.send(&format!(
        "GET /get/2/small HTTP/1.1\r\nHost: x\r\n{node}\r\nX-Queue: 0.1\r\n\r\n"
    ));
    let old = third.response(true);
    assert_eq!(
        old.header("X-Queue"),
        Some("position=2,length=2,limit=1,pollMin=2,pollMax=12")
    );
    assert_eq!(world.server.figures().waiting, 2);
    drop(third);
    assert!(
        String::from_utf8_lossy(&busy.body).contains("slots"),
        "{busy:?}"
    );
    second.send("HEAD /get/2/small HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(second.response(false).code, 200, "HEAD needs no slot");
    assert_eq!(world.get("/", "").code, 200, "the page needs no slot");
    assert_eq!(world.server.figures().active, 1);
    drop(first);
    let deadline = Instant::now() + DEADLINE;
    loop {
        second.send("GET /get/2/small HTTP/1.1\r\nHost: x\r\n\r\n");
        if second.response(true).code == 200 {
            break;
        }
        assert!(Instant::now() < deadline, "the slot never came back");
    }
}

#[test]
fn one_address_cannot_take_all_connections() {
    let world = world(&[("a", b"a")]);
    let mut clients: Vec<_> = (0..64).map(|_| world.connect()).collect();
    for client in &mut clients {
        client.send("HEAD /get/1/a HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.response(false).code, 200);
    }
    let refused = world.connect().response(false);
    assert_eq!(
        (refused.code, refused.header("Retry-After")),
        (503, Some("60"))
    );
}

#[test]
fn all_uploads_share_the_limit() {
    let data = content(100_000);
    let limits = UploadLimits {
        slots: 4,
        per_host: 4,
    };
    let world = world_with(&[("a", &data)], limits, Some(200_000));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!(world.get("/get/1/a", "").body, data));
        }
    });
    let took = start.elapsed().as_secs_f64();
    assert!(
        (1.2..4.0).contains(&took),
        "300 kB at 200 kB/s took {took} s"
    );
    assert_eq!(
        (world.server.figures().done, world.server.figures().bytes),
        (3, 300_000)
    );
}

#[test]
fn the_page_lists_and_finds_files() {
    let world = world(&[
        ("sea/moby.txt", b"call me"),
        ("land/middlemarch.txt", b"miss brooke"),
    ]);
    let page =
        |target: &str| String::from_utf8(world.get(target, "Accept: text/html\r\n").body).unwrap();
    let all = page("/");
    assert!(
        all.contains("moby.txt") && all.contains("middlemarch.txt") && all.contains("books/sea")
    );
    assert!(all.contains(&format!("/uri-res/N2R?{}", urn_of(b"call me"))));
    let found = page("/?q=moby");
    assert!(found.contains("moby.txt") && !found.contains("middlemarch"));
}

#[test]
fn a_whole_library_is_browsed() {
    let files: Vec<_> = (0..2500)
        .map(|n| (format!("{n:04}.txt"), format!("text {n}").into_bytes()))
        .collect();
    let files: Vec<_> = files
        .iter()
        .map(|(name, data)| (name.as_str(), data.as_slice()))
        .collect();
    let world = world(&files);
    let hits: Vec<_> = browse(&world.server.addr().to_string())
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let names: Vec<_> = hits
        .iter()
        .flat_map(|hit| &hit.records)
        .map(|record| record.name.as_str())
        .collect();
    assert_eq!(
        names,
        files.iter().map(|(name, _)| *name).collect::<Vec<_>>()
    );
    assert_eq!(hits[0].records[0].sha1, Some(urn_of(b"text 0")));
    assert!(hits.iter().all(|hit| hit.addr == world.server.addr()));
    // An old client gets the same up to the end of the connection.
    let mut client = world.connect();
    client.send("GET / HTTP/1.0\r\nAccept: application/x-gnutella-packets\r\n\r\n");
    let head = client.response(false);
    assert_eq!(head.header("Transfer-Encoding"), None);
    let mut frames = Vec::new();
    client.0.read_to_end(&mut frames).unwrap();
    assert_eq!(
        frames
            .windows(8)
            .filter(|window| window.ends_with(b".txt"))
            .count(),
        2500
    );
}

#[test]
fn browsing_says_why_it_cannot() {
    let world = world(&[]);
    assert_eq!(browse(&world.server.addr().to_string()).unwrap().count(), 0);
    assert!(matches!(browse(""), Err(BrowseError::NoHost(_))));
    let addr = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = browse(&addr.to_string())
        .unwrap()
        .next()
        .unwrap()
        .unwrap_err();
    assert_eq!(error.exit_code(), 3, "{error}");
}

#[test]
fn our_own_client_fetches_from_our_own_server() {
    let data = content(20_000_000);
    let world = world(&[("a.bin", &data)]);
    let into = tempfile::tempdir().unwrap();
    let job = Job {
        urn: Some(urn_of(&data)),
        sources: vec![Source::by_urn(world.server.addr(), urn_of(&data))],
        timeout: Some(DEADLINE),
        ..Job::new("a.bin", into.path())
    };
    let fetched = fetch(&job, |_| {}, &Cancel::new()).unwrap();
    assert!(fetched.verified && std::fs::read(fetched.path).unwrap() == data);
}

#[test]
fn curl_fetches_and_resumes() {
    let data = content(5_000_000);
    let world = world(&[("a.bin", &data)]);
    let into = tempfile::tempdir().unwrap();
    let file = into.path().join("a.bin");
    std::fs::write(&file, &data[..1_000_000]).unwrap();
    let url = Source::by_urn(world.server.addr(), urn_of(&data)).url();
    let curl = std::process::Command::new("curl")
        .args(["-sf", "-C", "-", "-o"])
        .arg(&file)
        .arg(url)
        .status();
    match curl {
        Ok(status) => assert!(status.success(), "{status}"),
        Err(error) => return eprintln!("not tested: curl cannot be run: {error}"),
    }
    assert_eq!(std::fs::read(file).unwrap(), data);
}
