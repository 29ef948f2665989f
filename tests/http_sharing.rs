//! Downloads that are offered while they run: fetchers of one file serve each other, and nothing leaves that must not.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use filbert::control::{Offer, Reply, Request, Seal, TransferSpec};
use filbert::disk::store::Home;
use filbert::disk::tree::{HashTree, TreeHasher};
use filbert::net::download::{Job, Source};
use filbert::net::file_server::{FileServer, Files};
use filbert::net::{Listen, Servent, Settings};
use filbert::node::Config;
use filbert::node::address::Net;
use filbert::node::library::{Entry, FileView, Library};
use filbert::node::uploads::UploadLimits;

#[path = "common/http.rs"]
mod http;

use http::{Seen, Server, content, partial, urn_of};

/// What is waited for comes within this.
const DEADLINE: Duration = Duration::from_secs(60);

/// A folder with one file, or none.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    library: Arc<Library>,
    tree: Option<HashTree>,
}

impl Folder {
    fn empty() -> Self {
        Self {
            path: PathBuf::new(),
            library: Arc::new(Library::build(&[], Vec::new())),
            tree: None,
        }
    }

    fn with(dir: &Path, data: &[u8]) -> Self {
        let path = dir.join("moby.bin");
        std::fs::write(&path, data).unwrap();
        let mut hasher = TreeHasher::for_file(data.len() as u64);
        hasher.update(data);
        let tree = hasher.finish();
        let entry = Entry {
            index: 1,
            share: 0,
            path: "moby.bin".into(),
            size: data.len() as u64,
            mtime: std::fs::metadata(&path)
                .unwrap()
                .modified()
                .unwrap()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap()
                .as_secs(),
            sha1: Some(urn_of(data)),
            tiger: Some(tree.root()),
        };
        Self {
            path,
            library: Arc::new(Library::build(&["s".into()], vec![entry])),
            tree: Some(tree),
        }
    }
}

impl Files for Folder {
    fn library(&self) -> Arc<Library> {
        self.library.clone()
    }

    fn open(&self, _: FileView<'_>) -> io::Result<File> {
        File::open(&self.path)
    }

    fn tree(&self, _: FileView<'_>) -> Option<HashTree> {
        self.tree.clone()
    }

    fn outdated(&self) {}
}

fn serve(folder: Folder, limit: Option<u64>) -> FileServer {
    let limits = UploadLimits {
        slots: 32,
        per_host: 32,
    };
    FileServer::start(
        "127.0.0.1:0".parse().unwrap(),
        Arc::new(folder),
        limits,
        limit,
    )
    .unwrap()
}

#[test]
fn fetchers_serve_each_other_while_they_fetch() {
    const FETCHERS: usize = 4;
    let data = content(12_000_000);
    let urn = urn_of(&data);
    let dir = tempfile::tempdir().unwrap();
    let seeder = serve(Folder::with(dir.path(), &data), Some(4_000_000));
    let servers: Vec<_> = (0..FETCHERS)
        .map(|_| serve(Folder::empty(), None))
        .collect();
    std::thread::scope(|scope| {
        for (number, server) in servers.iter().enumerate() {
            let into = dir.path().join(number.to_string());
            std::fs::create_dir(&into).unwrap();
            let job = Job {
                sources: vec![Source::by_urn(seeder.addr(), urn)],
                urn: Some(urn),
                nets: vec![Net::Lan],
                sharing: Some(server.sharing()),
                timeout: Some(DEADLINE * 2),
                ..Job::new("moby.bin", into)
            };
            let data = &data;
            scope.spawn(move || {
                let fetched = http::run(&job).unwrap();
                assert!(std::fs::read(fetched.path).unwrap() == *data);
            });
        }
    });
    let seeded = seeder.figures().bytes;
    let shared: u64 = servers.iter().map(|server| server.figures().bytes).sum();
    let all = (FETCHERS * data.len()) as u64;
    assert!(
        seeded < all / 4 * 3 && shared > all / 4,
        "of {all} bytes the seeder gave {seeded}, the others {shared}"
    );
}

/// The status of a request for a range of the file, and what it says of ranges that are there.
fn asked(addr: SocketAddr, target: &str) -> (u16, Option<String>) {
    let mut stream = TcpStream::connect(addr).unwrap();
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nRange: bytes=0-0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer);
    let code = answer[9..12].parse().unwrap();
    let mut lines = answer.lines();
    let ranges = lines.find_map(|line| line.strip_prefix("X-Available-Ranges: bytes "));
    (
        code,
        ranges
            .filter(|ranges| ranges.contains('-'))
            .map(str::to_owned),
    )
}

#[test]
fn a_node_offers_what_goes_into_a_shared_folder_and_nothing_else() {
    let data = content(6_000_000);
    let urn = urn_of(&data);
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().canonicalize().unwrap();
    let [seeds, shared, private] = ["seeds", "shared", "private"].map(|name| base.join(name));
    for folder in [&seeds, &shared, &private, &shared.join(".hidden")] {
        std::fs::create_dir(folder).unwrap();
    }
    let seeder = serve(Folder::with(&seeds, &data), Some(2_000_000));
    let home = Home::at(&base.join("home")).unwrap();
    home.create().unwrap();
    let node = Servent::start(Settings {
        config: Config {
            min_links: 0,
            ..Config::default()
        },
        listen: Listen::Fixed("127.0.0.1:0".parse().unwrap()),
        home: Some(home),
        shares: vec![shared.clone().into()],
        ..Settings::default()
    })
    .unwrap();
    let addr = node.listen_addr().unwrap();
    let target = format!("/uri-res/N2R?{urn}");
    let cases = [
        (&private, "moby.bin", false),
        (&shared.join(".hidden"), "moby.bin", false),
        // A name that the rules keep back.
        (&shared, "id_rsa", false),
        (&shared, "moby.bin", true),
    ];
    for (number, (into, name, offered)) in cases.into_iter().enumerate() {
        let into = into.to_str().unwrap();
        let spec = TransferSpec {
            key: "abcd"[number..=number].repeat(32),
            urn: Some(urn.to_string()),
            name: name.into(),
            sources: vec![Offer {
                url: format!("http://{}{target}", seeder.addr()),
                servent: None,
                push: false,
                push_proxies: Vec::new(),
                net: None,
                tls: Seal::Never,
                tiger: None,
            }],
            into: into.into(),
            ..TransferSpec::default()
        };
        let add = Request::TransferAdd {
            transfer: Box::new(spec),
        };
        node.request(add).all(DEADLINE).unwrap();
        let (clock, mut seen, mut done) = (Instant::now(), false, false);
        while !done {
            assert!(clock.elapsed() < DEADLINE, "{name}: it does not end");
            let (code, ranges) = asked(addr, &target);
            seen |= ranges.is_some();
            assert!(offered || code == 404, "{name}: {code}");
            let list = node
                .request(Request::Transfers { watch: false })
                .all(DEADLINE);
            done = list.unwrap().iter().any(|reply| {
                matches!(reply, Reply::Transfer(one) if one.into == into && one.name == name && one.path.is_some())
            });
        }
        assert_eq!(seen, offered, "{name}");
        // The finished one is there without a gap.
        if offered {
            assert_eq!(asked(addr, &target).0, 206);
        }
    }
    node.stop();
}

#[test]
fn sources_are_told_of_others_that_gave_and_that_did_not() {
    let data = Arc::new(content(4_000_000));
    let urn = urn_of(&data);
    let heads = Arc::new(Mutex::new(Vec::new()));
    // Gives little at a time, so that it is asked often.
    let giver = |heads: Option<Arc<Mutex<Vec<String>>>>| {
        let data = data.clone();
        Server::start(move |seen: Seen| {
            let (start, end) = seen.range(data.len());
            if let Some(heads) = &heads {
                heads.lock().unwrap().push(seen.head);
            }
            (partial(&data, start, end.min(start + 100_000)), true)
        })
    };
    let (one, two) = (giver(Some(heads.clone())), giver(None));
    let gone = Server::start(|_| {
        let gone = "HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n";
        (gone.into(), true)
    });
    let dir = tempfile::tempdir().unwrap();
    let sources = [&one, &two, &gone].map(|server| server.source(urn));
    let job = Job {
        nets: vec![Net::Lan],
        ..http::job(dir.path(), &data, sources.to_vec())
    };
    assert!(http::run(&job).unwrap().verified);
    let heads = heads.lock().unwrap();
    let told = |line: String| heads.iter().filter(|head| head.contains(&line)).count();
    assert_eq!(told(format!("X-Alt: {}\r\n", two.addr)), 1, "once");
    assert_eq!(told(format!("X-NAlt: {}\r\n", gone.addr)), 1, "once");
    assert_eq!(told("X-Node".to_owned()), 0, "nothing is offered");
}
