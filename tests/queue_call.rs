//! PARQ's call: a server calls whose turn has come, and a download takes calls it waits for and no others.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use filbert::control::{Offer, Reply, Request, Seal, TransferSpec, TransferState};
use filbert::disk::store::Home;
use filbert::net::{Listen, Settings};
use filbert::node::Config;
use filbert::node::uploads::UploadLimits;

#[path = "nodes/mod.rs"]
mod nodes;

use nodes::{Node, SOON};

fn settings(dirs: &[tempfile::TempDir; 2]) -> Settings {
    Settings {
        config: Config {
            min_links: 0,
            ..Config::default()
        },
        listen: Listen::Fixed("127.0.0.1:0".parse().unwrap()),
        home: Some(Home::at(dirs[1].path()).unwrap()),
        shares: vec![dirs[0].path().to_path_buf().into()],
        ..Settings::default()
    }
}

fn dirs() -> [tempfile::TempDir; 2] {
    [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]
}

/// The first line of a message, and the rest of its head.
fn head(stream: &mut BufReader<TcpStream>) -> (String, Vec<String>) {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        assert!(
            stream.read_line(&mut line).unwrap() > 0,
            "it ends: {lines:?}"
        );
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    (lines.remove(0), lines)
}

fn field<'a>(head: &'a [String], name: &str) -> &'a str {
    let fits = |line: &&'a String| line.to_lowercase().starts_with(&name.to_lowercase());
    let line = head.iter().find(fits);
    line.unwrap_or_else(|| panic!("no {name}: {head:?}"))
        .split_once(": ")
        .unwrap()
        .1
}

fn connect(addr: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    BufReader::new(stream)
}

/// The next connection; in time, or the test fails.
fn accept(listener: &TcpListener) -> BufReader<TcpStream> {
    let listener = listener.try_clone().unwrap();
    let (given, comes) = channel();
    thread::spawn(move || given.send(listener.accept().unwrap().0));
    let stream = comes.recv_timeout(SOON).expect("somebody connects");
    stream.set_read_timeout(Some(SOON)).unwrap();
    BufReader::new(stream)
}

fn ask(stream: &mut BufReader<TcpStream>, urn: &str, fields: &str) {
    let stream = stream.get_mut();
    write!(
        stream,
        "GET /uri-res/N2R?{urn} HTTP/1.1\r\nHost: a\r\nX-Queue: 1.0\r\n{fields}\r\n"
    )
    .unwrap();
}

#[test]
fn a_client_is_called_when_its_turn_has_come_and_served_on_that_connection() {
    let dirs = dirs();
    std::fs::write(dirs[0].path().join("moby.bin"), b"Call me Ishmael.").unwrap();
    let mut settings = settings(&dirs);
    settings.uploads = UploadLimits {
        slots: 1,
        ..UploadLimits::default()
    };
    let node = Node::with(settings);
    assert!(node.servent.wait_hashed(SOON));
    let files = node.ask(Request::Shares { files: true });
    let mut urns = files.into_iter().filter_map(|reply| match reply {
        Reply::File(file) => file.urn,
        _ => None,
    });
    let urn = urns.next().unwrap();
    let mut first = connect(node.addr());
    ask(&mut first, &urn, "");
    assert!(head(&mut first).0.contains(" 200 "));
    // It keeps its slot a while, for the next range.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let me = listener.local_addr().unwrap();
    let mut second = connect(node.addr());
    ask(&mut second, &urn, &format!("X-Node: {me}\r\n"));
    let (status, fields) = head(&mut second);
    assert!(status.contains(" 503 "), "{status}");
    let id = field(&fields, "X-Queued")
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let id = id.strip_prefix("ID=").unwrap();
    // Nobody is called at an address that is not its own.
    let mut other = connect(node.addr());
    ask(&mut other, &urn, "X-Node: 192.0.2.1:6346\r\n");
    assert!(head(&mut other).0.contains(" 503 "));
    drop(other);
    drop((first, second));
    let mut called = accept(&listener);
    let mut line = String::new();
    called.read_line(&mut line).unwrap();
    assert_eq!(line, format!("QUEUE {id} {}\r\n", node.addr()));
    ask(
        &mut called,
        &urn,
        &format!("X-Node: {me}\r\nX-Queued: position=1; ID={id}\r\n"),
    );
    let (status, fields) = head(&mut called);
    assert!(status.contains(" 200 "), "{status}: {fields:?}");
    let mut body = [0; 16];
    called.read_exact(&mut body).unwrap();
    assert_eq!(&body, b"Call me Ishmael.");
}

#[test]
fn a_download_takes_the_call_it_waits_for_and_no_other() {
    let dirs = dirs();
    let node = Node::with(settings(&dirs));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap();
    let into = tempfile::tempdir().unwrap();
    let spec = TransferSpec {
        key: "a".repeat(32),
        name: "moby.bin".into(),
        sources: vec![Offer {
            url: format!("http://{server}/get/1/moby.bin"),
            servent: None,
            push: false,
            push_proxies: Vec::new(),
            net: None,
            tls: Seal::Never,
            tiger: None,
        }],
        into: into.path().to_str().unwrap().to_owned(),
        ..TransferSpec::default()
    };
    let transfer = Box::new(spec);
    node.ask(Request::TransferAdd { transfer });
    let mut asked = accept(&listener);
    let (_, fields) = head(&mut asked);
    let node_addr: SocketAddr = field(&fields, "X-Node").parse().unwrap();
    assert_eq!(node_addr, node.addr());
    // An hour: what comes sooner came by the call.
    let answer = "HTTP/1.1 503 Busy\r\nX-Queued: ID=abc; position=1; length=1; ETA=9; lifetime=4000\r\n\
                  Retry-After: 3600\r\nContent-Length: 0\r\n\r\n";
    asked.get_mut().write_all(answer.as_bytes()).unwrap();
    node.until("a place in the queue", |node| {
        let all = node.ask(Request::Transfers { watch: false });
        let queued = |reply: &Reply| {
            matches!(reply, Reply::Transfer(one) if one.sources.iter().any(|source| source.position == Some(1)))
        };
        all.iter().any(queued).then_some(())
    });
    for line in ["QUEUE abcd 127.0.0.1:1\r\n", "QUEUE abc\r\n"] {
        let before = node.counters().dropped["connection_unasked"];
        let mut stranger = connect(node_addr);
        stranger.get_mut().write_all(line.as_bytes()).unwrap();
        let mut said = Vec::new();
        let _ = stranger.read_to_end(&mut said);
        assert!(said.is_empty(), "{line}: {}", said.escape_ascii());
        node.until_dropped("connection_unasked", before + 1);
    }
    let mut call = connect(node_addr);
    write!(call.get_mut(), "QUEUE abc {server}\r\n").unwrap();
    let (request, fields) = head(&mut call);
    assert_eq!(request, "GET /get/1/moby.bin HTTP/1.1");
    assert!(field(&fields, "X-Queued").contains("ID=abc"), "{fields:?}");
    call.get_mut()
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfile")
        .unwrap();
    node.until("the file", |node| {
        let all = node.ask(Request::Transfers { watch: false });
        let done = |reply: &Reply| matches!(reply, Reply::Transfer(one) if one.state == TransferState::Done);
        all.iter().any(done).then_some(())
    });
    assert_eq!(
        std::fs::read(into.path().join("moby.bin")).unwrap(),
        b"file"
    );
    // The first connection is of no more use, and nobody waits for the call any more.
    asked
        .get_ref()
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let before = node.counters().dropped["connection_unasked"];
    let mut again = connect(node_addr);
    write!(again.get_mut(), "QUEUE abc {server}\r\n").unwrap();
    node.until_dropped("connection_unasked", before + 1);
}
