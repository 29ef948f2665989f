//! Each exit code is reached, and a stranger's bytes are never obeyed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use filbert::wire::hit::{QueryHit, Record};
use filbert::wire::{Frame, Guid, Header, Kind, ServentId, Sha1};

use crate::world::{Run, Running, World, path_text};

const HASH: &str = "PLSTHIPQGSSZTS5FJUPAKUZWUGYQYPFB";

/// A server that gives the same answer to everyone, whatever was asked; `None`: it never answers.
fn server(answer: Option<Vec<u8>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    // Detached: it ends with the test process.
    thread::spawn(move || {
        let mut silent = Vec::new();
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = stream;
            let Some(answer) = &answer else {
                silent.push(stream);
                continue;
            };
            let mut request = [0; 4096];
            let _ = stream
                .read(&mut request)
                .and_then(|_| stream.write_all(answer));
        }
    });
    addr
}

fn response(status: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn urn_at(addr: SocketAddr) -> String {
    format!("http://{addr}/uri-res/N2R?urn:sha1:{HASH}")
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string()
}

/// How one code is reached.
type Way = fn(&World) -> Run;

#[test]
fn each_exit_code_is_reached_and_says_why() {
    let ways: [(i32, &str, Way); 13] = [
        (0, "1 file, 1 copy", |world| {
            let node = world.sharing("one", &[("moby.txt", b"x")], &[]);
            world.run(
                "me",
                &["search", "moby", "--first", "--peer", &node.address()],
            )
        }),
        (1, "nothing found", |world| {
            let node = world.node("one", &[], &[]);
            world.run(
                "me",
                &[
                    "search",
                    "moby",
                    "--idle",
                    "300ms",
                    "--peer",
                    &node.address(),
                ],
            )
        }),
        (1, "no search showed the id", |world| {
            world.run("me", &["get", "k7m2qd"])
        }),
        (2, "--timeout", |world| {
            world.run("me", &["search", "moby", "--timeout", "5"])
        }),
        (2, "--allow-broad", |world| world.run("me", &["share", "/"])),
        (3, "--peer HOST:PORT", |world| {
            world.run("me", &["search", "moby"])
        }),
        (3, "cannot be reached", |world| {
            world.run("me", &["browse", &free_address()])
        }),
        (4, "kept", |world| {
            let big = world.folder("big", &[("moby.bin", &vec![7; 500_000])]);
            let mut node = world.node("one", &[path_text(&big), "--limit-up", "20kB/s"], &[]);
            node.wait_for("library", |line| line["hashed_files"] == 1);
            let list = world.run("one", &["shares", "--json"]).expect(0);
            let urn = list.json_of("file")[0]["urn"].as_str().unwrap().to_owned();
            let target = format!("{}/uri-res/N2R?{urn}", node.address());
            world.run("me", &["get", &target, "--timeout", "1s"])
        }),
        (5, "set aside", |world| {
            let liar = server(Some(response(
                "200 OK",
                "application/binary",
                b"not what was asked for",
            )));
            world.run("me", &["get", &urn_at(liar)])
        }),
        (6, "--on-exist", |world| {
            let into = world.folder("into", &[(HASH, b"mine")]);
            let liar = server(None);
            world.run("me", &["get", &urn_at(liar), "-o", path_text(&into)])
        }),
        (7, "refuse", |world| {
            let grim = server(Some(response("403 Forbidden", "text/plain", b"")));
            world.run("me", &["get", &urn_at(grim)])
        }),
        (8, "--home", |world| {
            let _node = world.node("me", &[], &[]);
            world.run("me", &["share"])
        }),
        (130, "", |world| {
            let mute = server(None);
            let running = Running::start(world.command("me", &["get", "--json", &urn_at(mute)]));
            running.line();
            running.interrupt();
            running.finish(b"")
        }),
    ];
    for (code, says, way) in ways {
        let run = way(&World::new()).expect(code);
        assert!(run.err.contains(says), "{code}: {says} in {}", run.err);
    }
}

#[test]
fn of_several_targets_the_worst_code_wins_and_each_is_counted() {
    let world = World::new();
    let node = world.sharing("one", &[("moby.txt", b"x")], &[]);
    let list = world.run("one", &["shares", "--json"]).expect(0);
    let good = format!(
        "{}/uri-res/N2R?{}",
        node.address(),
        list.json_of("file")[0]["urn"].as_str().unwrap()
    );
    let grim = urn_at(server(Some(response("403 Forbidden", "text/plain", b""))));
    let run = world
        .run("me", &["get", "--json", &good, "zzzzzz", &grim])
        .expect(7);
    let end = run.json().pop().unwrap();
    assert_eq!(
        (&end["ok"], &end["failed"]),
        (&1.into(), &2.into()),
        "{end}"
    );
    assert_eq!(end["codes"], serde_json::json!({"0": 1, "1": 1, "7": 1}));
    assert_eq!(run.json_of("failed").len(), 2);
}

#[test]
fn browsing_a_host_that_refuses_or_sleeps_has_its_own_codes() {
    let world = World::new();
    let grim = server(Some(response("403 Forbidden", "text/plain", b"")));
    world.run("me", &["browse", &grim.to_string()]).expect(7);
    let run = world
        .run(
            "me",
            &["browse", &server(None).to_string(), "--timeout", "300ms"],
        )
        .expect(4);
    assert!(run.err.contains("--timeout"), "{}", run.err);
    let node = world.node("one", &[], &[]);
    world.run("me", &["browse", &node.address()]).expect(1);
}

#[test]
fn names_of_strangers_are_shown_and_never_obeyed() {
    const NAME: &str = "moby\x1b[2J\u{9b}31m\u{202e}gpj.exe\tdick\n";
    let hit = QueryHit {
        speed_kbps: 1,
        records: vec![Record {
            index: 1,
            size: 7,
            name: NAME.to_owned(),
            sha1: Some(Sha1::from_base32(HASH).unwrap()),
            ..Record::default()
        }],
        vendor: *b"EVIL",
        push: Some(false),
        busy: Some(false),
        browse: true,
        ..QueryHit::new(
            SocketAddr::from(([127, 0, 0, 1], 9)),
            ServentId::from_random([7; 16]),
            Vec::new(),
        )
    };
    let header = Header {
        guid: Guid::from_random([1; 16]),
        kind: Kind::QueryHit,
        ttl: 1,
        hops: 0,
    };
    let mut body = Vec::new();
    Frame {
        header,
        payload: hit.build().into(),
    }
    .write(&mut body);
    let host = server(Some(response(
        "200 OK",
        "application/x-gnutella-packets",
        &body,
    )))
    .to_string();
    let world = World::new();
    let rows = world.run("me", &["browse", &host]).expect(0);
    assert!(
        !rows.out.contains(['\x1b', '\u{9b}', '\u{202e}']),
        "{:?}",
        rows.out
    );
    assert_eq!(rows.out.lines().count(), 1, "{:?}", rows.out);
    assert_eq!(rows.out.split('\t').count(), 5, "{:?}", rows.out);
    let json = world.run("me", &["browse", "--json", &host]).expect(0);
    assert!(
        !json.out.contains(['\x1b', '\u{9b}', '\u{202e}']),
        "{:?}",
        json.out
    );
    let name = json.json_of("hit")[0]["name"].as_str().unwrap().to_owned();
    assert!(name.contains('\u{202e}'), "JSON keeps the value: {name:?}");
    let failed = world.run("me", &["get", "plsthi", "--timeout", "5s"]);
    assert!(
        !failed.err.contains(['\x1b', '\u{9b}', '\u{202e}']),
        "{:?}",
        failed.err
    );
}

#[test]
fn a_dry_run_says_what_stays_private_and_touches_no_network() {
    let world = World::new();
    let folder = world.folder(
        "mine",
        &[
            ("moby.txt", b"x"),
            (".secret", b"x"),
            ("id_rsa", b"x"),
            ("sub/.git/config", b"x"),
        ],
    );
    let run = world
        .run("me", &["share", "--dry-run", "--json", path_text(&folder)])
        .expect(0);
    let plan = run.json_of("would-share");
    assert_eq!(
        (plan.len(), &plan[0]["files"]),
        (1, &1.into()),
        "{}",
        run.out
    );
    let left_out = run.json_of("left-out");
    for name in [".secret", "id_rsa", "sub/.git"] {
        let one = left_out.iter().find(|line| line["path"] == name);
        assert!(
            one.is_some_and(|line| !line["why"].as_str().unwrap().is_empty()),
            "{name}: {}",
            run.out
        );
    }
    assert!(run.json_of("ready").is_empty());
}
