//! Hash trees and unfinished files over HTTP, on real sockets.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use filbert::disk::shares::{Options, Shares};
use filbert::disk::store::Home;
use filbert::disk::tree::{HashTree, TreeHasher};
use filbert::net::file_server::{FileServer, Files, FixedFiles};
use filbert::net::partials::Partial;
use filbert::node::library::{Content, Entry, FileView, Library};
use filbert::node::uploads::UploadLimits;
use filbert::wire::Sha1;
use filbert::wire::urn::tiger_to_base32;
use sha1::Digest;

const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Debug)]
struct Response {
    code: u16,
    head: String,
    body: Vec<u8>,
}

impl Response {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// One connection that stays open from request to request.
struct Client(BufReader<TcpStream>);

impl Client {
    fn of(server: &FileServer) -> Self {
        let stream = TcpStream::connect(server.addr()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(BufReader::new(stream))
    }

    fn ask(&mut self, method: &str, target: &str, headers: &str) -> Response {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(
                self.0.read_line(&mut head).unwrap() > 0,
                "ended in {head:?}"
            );
        }
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut response = Response {
            code,
            head,
            body: Vec::new(),
        };
        if method != "HEAD" {
            let length = response.header("Content-Length").unwrap().parse().unwrap();
            response.body = vec![0; length];
            self.0.read_exact(&mut response.body).unwrap();
        }
        response
    }

    fn get(&mut self, target: &str, headers: &str) -> Response {
        self.ask("GET", target, headers)
    }
}

fn urn_of(data: &[u8]) -> Sha1 {
    Sha1(sha1::Sha1::digest(data).into())
}

fn tree_of(data: &[u8]) -> HashTree {
    let mut hasher = TreeHasher::for_file(data.len() as u64);
    hasher.update(data);
    hasher.finish()
}

fn bytes(len: usize) -> Vec<u8> {
    (0..251).cycle().take(len).collect()
}

fn serve(files: Arc<dyn Files>) -> FileServer {
    let limits = UploadLimits {
        slots: 4,
        per_host: 4,
    };
    FileServer::start("127.0.0.1:0".parse().unwrap(), files, limits, None).unwrap()
}

/// Shared folders as a node serves them.
#[derive(Debug)]
struct Shelf(Shares);

impl Files for Shelf {
    fn library(&self) -> Arc<Library> {
        self.0.library()
    }

    fn open(&self, file: FileView<'_>) -> io::Result<File> {
        self.0.open(file.index).map(|(open, _)| open)
    }

    fn tree(&self, file: FileView<'_>) -> Option<HashTree> {
        self.0.tree(file.index)
    }

    fn outdated(&self) {}
}

fn shelf(dir: &std::path::Path) -> Shelf {
    let home = Home::at(&dir.join("home")).unwrap();
    home.create().unwrap();
    let folder = dir.join("share").into();
    let options = Options {
        watch: false,
        ..Options::default()
    };
    let shares = Shares::start_with(&home, &[folder], &options, Box::new(|_| {})).unwrap();
    assert!(shares.wait_hashed(DEADLINE));
    Shelf(shares)
}

#[test]
fn a_shared_file_serves_its_tree_before_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().canonicalize().unwrap();
    std::fs::create_dir(base.join("share")).unwrap();
    let (big, small) = (bytes(3_000_000), bytes(5_120));
    std::fs::write(base.join("share/big.bin"), &big).unwrap();
    std::fs::write(base.join("share/small.bin"), &small).unwrap();
    for run in ["first", "again"] {
        let shelf = shelf(&base);
        let read = shelf.0.hash_bytes_read();
        assert_eq!(read == 0, run == "again", "{run}: {read} bytes were hashed");
        let shelf = Arc::new(shelf);
        let server = serve(shelf.clone());
        let mut client = Client::of(&server);
        for data in [&big, &small] {
            let (urn, tree) = (urn_of(data), tree_of(data));
            let n2r = format!("/uri-res/N2R?{urn}");
            let head = client.ask("HEAD", &n2r, "");
            let root = tiger_to_base32(&tree.root());
            let uri = format!("/uri-res/N2X?{urn};{root}");
            assert_eq!(head.header("X-Thex-URI"), Some(uri.as_str()));
            assert_eq!(
                head.header("X-Gnutella-Content-URN"),
                Some(urn.to_string().as_str())
            );
            for uri in [uri, format!("/uri-res/N2X?{urn}")] {
                let answer = client.get(&uri, "");
                assert_eq!(answer.header("Content-Type"), Some("application/dime"));
                let told = HashTree::from_dime(&answer.body, data.len() as u64, &tree.root());
                assert_eq!(told, Ok(tree.clone()), "{uri}");
            }
            let bitprint = format!("urn:bitprint:{}.{root}", urn.to_base32());
            for name in [
                bitprint.clone(),
                format!("urn:tree:tiger:{root}"),
                format!("urn:ttroot:{root}"),
            ] {
                let answer = client.get(&format!("/uri-res/N2R?{name}"), "");
                assert!(answer.code == 200 && answer.body == **data, "{name}");
                assert_eq!(
                    answer.header("X-Gnutella-Content-URN"),
                    Some(bitprint.as_str())
                );
            }
        }
        let none = client.get(&format!("/uri-res/N2X?{}", urn_of(b"none")), "");
        assert_eq!(none.code, 404);
        let none = format!("/uri-res/N2R?urn:tree:tiger:{}", "A".repeat(39));
        assert_eq!(Client::of(&server).get(&none, "").code, 404);
        shelf.0.stop();
    }
}

#[test]
fn a_tree_that_is_being_computed_is_asked_for_later() {
    let dir = tempfile::tempdir().unwrap();
    let entry = Entry {
        index: 1,
        share: 0,
        path: "a".into(),
        size: 3,
        mtime: 0,
        sha1: Some(urn_of(b"abc")),
        tiger: None,
    };
    let library = Library::build(&["s".into()], vec![entry]);
    let server = serve(Arc::new(FixedFiles::new(dir.path().into(), library)));
    let mut client = Client::of(&server);
    let answer = client.get(&format!("/uri-res/N2X?{}", urn_of(b"abc")), "");
    assert_eq!(
        (answer.code, answer.header("Retry-After")),
        (503, Some("15"))
    );
    assert!(answer.header("X-Thex-URI").is_none());
}

#[test]
fn of_an_unfinished_file_verified_bytes_leave_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let library = Library::build(&[], Vec::new());
    let server = serve(Arc::new(FixedFiles::new(dir.path().into(), library)));
    let data = bytes(1_000_000);
    let (urn, tree) = (urn_of(&data), tree_of(&data));
    let path = dir.path().join("part");
    let mut part = File::create(&path).unwrap();
    // What is not verified yet is on disk too, and wrong.
    part.write_all(&vec![0xEE; 1_000_000]).unwrap();
    let write = |from: usize, to: usize| {
        use std::os::unix::fs::FileExt;
        part.write_all_at(&data[from..to], from as u64).unwrap();
    };
    let n2r = format!("/uri-res/N2R?{urn}");
    let mut client = Client::of(&server);
    assert_eq!(Client::of(&server).get(&n2r, "").code, 404);

    let partial = Partial {
        content: Content {
            sha1: urn,
            tiger: Some(tree.root()),
        },
        size: 1_000_000,
        name: "big file.bin".into(),
        file: File::open(&path).unwrap(),
        tree: None,
    };
    let offer = server.partials().offer(partial).unwrap();
    let nothing = client.get(&n2r, "Range: bytes=0-99\r\n");
    assert_eq!(
        (nothing.code, nothing.header("Retry-After")),
        (503, Some("1"))
    );
    assert_eq!(nothing.header("X-Available"), Some("bytes 0"));
    let n2x = format!("/uri-res/N2X?{urn}");
    assert_eq!(client.get(&n2x, "").code, 404);

    write(100_000, 200_000);
    write(500_000, 1_000_000);
    offer.verified(100_000..200_000);
    offer.verified(500_000..1_000_000);
    offer.tree(tree.clone());
    let available = "bytes 100000-199999, 500000-999999";
    for (range, code, sent) in [
        ("Range: bytes=100000-199999\r\n", 206, 100_000..200_000),
        ("Range: bytes=150000-\r\n", 206, 150_000..200_000),
        ("Range: bytes=150000-600000\r\n", 206, 150_000..200_000),
        ("Range: bytes=199999-199999\r\n", 206, 199_999..200_000),
        ("Range: bytes=-10\r\n", 206, 999_990..1_000_000),
        ("Range: bytes=0-99\r\n", 416, 0..0),
        ("Range: bytes=99999-100001\r\n", 416, 0..0),
        ("Range: bytes=200000-\r\n", 416, 0..0),
        ("Range: bytes=1000000-\r\n", 416, 0..0),
        ("Range: lines=1-2\r\n", 416, 0..0),
        ("", 416, 0..0),
    ] {
        // All on one connection: a refusal leaves it in step.
        let answer = client.get(&n2r, range);
        assert_eq!(answer.code, code, "{range}");
        assert_eq!(answer.header("X-Available-Ranges"), Some(available));
        assert_eq!(answer.header("X-Available"), Some("bytes 600000"));
        if code == 206 {
            assert!(answer.body == data[sent.clone()], "{range}");
            let told = format!("bytes {}-{}/1000000", sent.start, sent.end - 1);
            assert_eq!(answer.header("Content-Range"), Some(told.as_str()));
        } else {
            assert_eq!(answer.header("Content-Range"), Some("bytes */1000000"));
        }
    }
    let answer = client.get(&n2x, "");
    let told = HashTree::from_dime(&answer.body, 1_000_000, &tree.root());
    assert_eq!(told, Ok(tree));
    // The writer goes on while others are served.
    write(0, 100_000);
    offer.verified(0..100_000);
    let answer = client.get(&n2r, "Range: bytes=0-499999\r\n");
    assert!(answer.code == 206 && answer.body == data[..200_000]);
    drop(offer);
    assert_eq!(client.get(&n2r, "Range: bytes=0-9\r\n").code, 404);
}

#[test]
fn downloaders_learn_of_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let library = Library::build(&[], Vec::new());
    let server = serve(Arc::new(FixedFiles::new(dir.path().into(), library)));
    let urn = urn_of(b"abc");
    let path = dir.path().join("part");
    std::fs::write(&path, b"abc").unwrap();
    let partial = Partial {
        content: urn.into(),
        size: 3,
        name: "a".into(),
        file: File::open(&path).unwrap(),
        tree: None,
    };
    let offer = server.partials().offer(partial).unwrap();
    offer.verified(0..2);
    let n2r = format!("/uri-res/N2R?{urn}");
    let alt = |headers: &str| {
        let answer = Client::of(&server).get(&n2r, &format!("Range: bytes=0-1\r\n{headers}"));
        assert_eq!(answer.code, 206);
        let header = |name| answer.header(name).unwrap_or_default().to_owned();
        (header("X-Alt"), header("X-FAlt"))
    };
    let none = (String::new(), String::new());
    // One that has nothing yet is no source; one that names another's address is not believed.
    assert_eq!(alt("X-Node: 127.0.0.1:7001\r\n"), none);
    let lie = "X-Node: 10.0.0.1:7002\r\nX-Downloaded: 5\r\n";
    assert_eq!(alt(lie), none);
    assert_eq!(alt(""), none);
    // It says where it listens once, and later on the same connection that it has something.
    let mut client = Client::of(&server);
    client.get(&n2r, "Range: bytes=0-1\r\nX-Node: 127.0.0.1:7001\r\n");
    let later = client.get(
        &n2r,
        "Range: bytes=0-1\r\nX-Available-Ranges: bytes 0-0\r\n",
    );
    assert_eq!(later.header("X-Alt"), None);
    assert_eq!(alt("").0, "127.0.0.1:7001");
    assert_eq!(alt("X-Node: 127.0.0.1:7001\r\n"), none);
    // Others are named, in all forms; what cannot be an address is passed over.
    let walled = "c91a310276cb2e32267fb076410e15ae;10.0.0.2:7";
    alt(&format!(
        "X-Alt: tls=8, 10.0.0.9, 224.0.0.1:5, x\r\nX-FAlt: {walled}\r\n"
    ));
    let (open, none_read) = alt("");
    // Which of them takes TLS is said by a bit of its place, the first the highest.
    let mut open: Vec<_> = open.split(", ").collect();
    let tls = open.remove(0);
    let named_first = open[0] == "10.0.0.9:6346";
    assert_eq!(tls, if named_first { "tls=80" } else { "tls=40" });
    open.sort_unstable();
    assert_eq!(open, ["10.0.0.9:6346", "127.0.0.1:7001"]);
    assert_eq!(none_read, "");
    assert_eq!(alt("X-Features: fwalt/0.1\r\n").1, walled);
    // Whoever named it may take it back.
    assert_eq!(alt("X-NAlt: 10.0.0.9\r\n").0, "127.0.0.1:7001");
}
