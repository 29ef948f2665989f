//! Folders of one node: what `browse` tells of them, and fetching them whole.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread;

use filbert::wire::hit::{QueryHit, Record};
use filbert::wire::{Frame, Guid, Header, Kind, ServentId};

use crate::world::{World, path_text};

const FILES: [(&str, &[u8]); 5] = [
    ("a.txt", b"one"),
    ("Ski/b.txt", b"two"),
    ("Ski/2024/c.txt", b"three"),
    ("Ski/2024/again.txt", b"two"),
    ("Ski2/d.txt", b"four"),
];

/// Files below a folder, `/` between parts, in order.
fn tree(folder: &Path) -> Vec<(String, Vec<u8>)> {
    fn walk(folder: &Path, at: &str, all: &mut Vec<(String, Vec<u8>)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{at}{}", entry.file_name().to_string_lossy());
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path(), &format!("{path}/"), all);
            } else {
                all.push((path, std::fs::read(entry.path()).unwrap()));
            }
        }
    }
    let mut all = Vec::new();
    walk(folder, "", &mut all);
    all.sort();
    all
}

fn names(tree: &[(String, Vec<u8>)]) -> Vec<&str> {
    tree.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn a_folder_of_a_node_is_recreated_with_all_below_it() {
    let world = World::new();
    let node = world.sharing("one", &FILES, &[]);
    let host = node.address();
    let get = |into: &Path, words: &[&str]| {
        let all = [
            &["get", "--json", "-o", path_text(into), "--from", &host],
            words,
        ]
        .concat();
        world.run("me", &all)
    };
    let into = world.path("ski");
    let run = get(&into, &["one-files/Ski/"]).expect(0);
    let end = run.json().pop().unwrap();
    assert_eq!(
        (&end["ok"], &end["failed"]),
        (&3.into(), &0.into()),
        "{}",
        run.out
    );
    let came = tree(&into);
    let ski = ["Ski/2024/again.txt", "Ski/2024/c.txt", "Ski/b.txt"];
    assert_eq!(names(&came), ski);
    assert_eq!(
        (&came[0].1[..], &came[1].1[..]),
        (&b"two"[..], &b"three"[..])
    );
    for done in run.json_of("done") {
        assert_eq!(done["verified"], "sha1", "{done}");
        let path = done["remote_path"].as_str().unwrap();
        assert!(path.starts_with("one-files/Ski/"), "{done}");
        assert!(
            done["path"].as_str().unwrap().starts_with(path_text(&into)),
            "{done}"
        );
    }
    // What is there is not fetched again.
    let again = get(&into, &["one-files/Ski"]).expect(0);
    assert!(
        again
            .json_of("done")
            .iter()
            .all(|done| done["was_there"] == true),
        "{}",
        again.out
    );
    assert_eq!(tree(&into), came);

    let all = world.path("all");
    get(&all, &["/"]).expect(0);
    let mut given = FILES.map(|(name, bytes)| (format!("one-files/{name}"), bytes.to_vec()));
    given.sort();
    assert_eq!(tree(&all), given);
    let single = world.path("single");
    get(&single, &["one-files/Ski/2024/c.txt", "one-files/Ski2/"]).expect(0);
    assert_eq!(names(&tree(&single)), ["Ski2/d.txt", "c.txt"]);

    let none = get(&world.path("none"), &["Ski/"]).expect(1);
    assert!(none.err.contains("filbert browse"), "{}", none.err);
    let text = world
        .run("me", &["get", "--from", "127.0.0.1:1", "/", "-o", "x"])
        .expect(3);
    assert!(text.err.contains("cannot be reached"), "{}", text.err);
}

#[test]
fn browse_tells_the_folders_and_searches_do_not() {
    let world = World::new();
    let node = world.sharing("one", &FILES, &[]);
    let rows = world
        .run("me", &["browse", &node.address(), "--fields", "path,name"])
        .expect(0);
    let mut lines: Vec<&str> = rows.out.lines().collect();
    lines.sort_unstable();
    // One line for each content.
    let known = [
        "one-files\ta.txt",
        "one-files/Ski/2024\tc.txt",
        "one-files/Ski2\td.txt",
    ];
    assert_eq!(lines.len(), 4, "{}", rows.out);
    assert!(known.iter().all(|row| lines.contains(row)), "{}", rows.out);
    let hits = world
        .run("me", &["browse", "--json", &node.address()])
        .expect(0)
        .json_of("hit");
    assert_eq!(hits.len(), 5, "{hits:?}");
    assert!(
        hits.iter().all(|hit| hit["path"].as_str().is_some()),
        "{hits:?}"
    );
    let text = serde_json::to_string(&hits).unwrap();
    assert!(
        !text.contains(path_text(&world.path(""))),
        "no path of the machine: {text}"
    );
    let hit = world.hit("me", &["again", "--peer", &node.address()]);
    assert!(hit.get("path").is_none(), "{hit}");
}

#[test]
fn what_fails_in_a_folder_is_counted_and_the_rest_is_there() {
    let world = World::new();
    let node = world.sharing("one", &FILES, &[]);
    let into = world.folder("into", &[("Ski/b.txt", b"mine")]);
    let outside = world.folder("outside", &[]);
    std::os::unix::fs::symlink(&outside, into.join("Ski/2024")).unwrap();
    let words = [
        "get",
        "--json",
        "--from",
        &node.address(),
        "-o",
        path_text(&into),
        "one-files/Ski",
        "one-files/Ski2",
    ];
    let run = world.run("me", &words).expect(6);
    let end = run.json().pop().unwrap();
    assert_eq!(
        end["codes"],
        serde_json::json!({"0": 1, "6": 3}),
        "{}",
        run.out
    );
    let mut failed: Vec<String> = run
        .json_of("failed")
        .iter()
        .map(|line| line["remote_path"].as_str().unwrap().to_owned())
        .collect();
    failed.sort();
    let why = [
        "one-files/Ski/2024/again.txt",
        "one-files/Ski/2024/c.txt",
        "one-files/Ski/b.txt",
    ];
    assert_eq!(failed, why);
    assert!(run.err.contains("1 of 4 files are there"), "{}", run.err);
    assert!(tree(&outside).is_empty(), "nothing goes through a link");
    assert_eq!(std::fs::read(into.join("Ski/b.txt")).unwrap(), b"mine");
    assert_eq!(std::fs::read(into.join("Ski2/d.txt")).unwrap(), b"four");
}

#[test]
fn a_folder_is_handed_to_the_running_node() {
    let world = World::new();
    let one = world.sharing("one", &FILES, &[]);
    let _me = world.node("me", &[], &[&one]);
    let into = world.path("into");
    let words = [
        "get",
        "--json",
        "--detach",
        "--from",
        &one.address(),
        "-o",
        path_text(&into),
        "one-files/Ski2/",
    ];
    let run = world.run("me", &words).expect(0);
    let handed = run.json_of("detached");
    assert_eq!(
        handed[0]["into"],
        path_text(&into.join("Ski2")),
        "{}",
        run.out
    );
    world.run("me", &["transfers", "watch"]).expect(0);
    assert_eq!(names(&tree(&into)), ["Ski2/d.txt"]);
}

/// A node that tells these paths, and gives `evil` for any of them.
fn telling(paths: &[&str]) -> SocketAddr {
    let record = |(index, path): (usize, &&str)| record(index, &format!("{index}.txt"), Some(path));
    listing(paths.iter().enumerate().map(record).collect())
}

fn record(index: usize, name: &str, path: Option<&str>) -> Record {
    Record {
        index: u32::try_from(index).unwrap(),
        size: 4,
        name: name.to_owned(),
        path: path.map(str::to_owned),
        ..Record::default()
    }
}

/// A node with this list, that gives `evil` for all of it.
fn listing(records: Vec<Record>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let hit = QueryHit {
        speed_kbps: 1,
        vendor: *b"EVIL",
        push: Some(false),
        ..QueryHit::new(addr, ServentId::from_random([7; 16]), records)
    };
    let header = Header {
        guid: Guid::from_random([1; 16]),
        kind: Kind::QueryHit,
        ttl: 1,
        hops: 0,
    };
    let mut list = Vec::new();
    let payload = hit.build().into();
    Frame { header, payload }.write(&mut list);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let list = list.clone();
            thread::spawn(move || {
                let (mut first, mut line) = (String::new(), String::new());
                let _ = stream.read_line(&mut first);
                while !matches!(stream.read_line(&mut line), Ok(..=2) | Err(_)) {
                    line.clear();
                }
                let (kind, body) = if first.starts_with("GET / ") {
                    ("application/x-gnutella-packets", &list[..])
                } else {
                    ("application/binary", &b"evil"[..])
                };
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                let _ = stream
                    .get_mut()
                    .write_all(&[head.as_bytes(), body].concat());
            });
        }
    });
    addr
}

#[test]
fn no_path_of_a_stranger_leads_out_of_the_folder() {
    let world = World::new();
    let host = telling(&[
        "ok",
        "..",
        "../up",
        "a/../../up",
        "/etc",
        "a\\..\\..\\up",
        "a//b",
        ".hidden/\x1b[2Jx",
        "deep/".repeat(33).trim_end_matches('/'),
    ])
    .to_string();
    let into = world.path("world/into");
    let words = [
        "get",
        "--json",
        "--from",
        &host,
        "-o",
        path_text(&into),
        "/",
    ];
    let run = world.run("me", &words).expect(6);
    let came = tree(&world.path("world"));
    assert_eq!(
        names(&came),
        ["into/hidden/[2Jx/7.txt", "into/ok/0.txt"],
        "{}",
        run.out
    );
    assert_eq!(run.json_of("failed").len(), 7, "{}", run.out);
    assert!(!run.err.contains('\x1b'), "{:?}", run.err);
}

#[test]
fn a_file_told_twice_is_one_and_two_files_of_one_name_are_two() {
    let world = World::new();
    let get = |records: Vec<Record>, into: &Path, more: &[&str]| {
        let host = listing(records).to_string();
        let words = ["get", "--json", "-o", path_text(into), "--from", &host, "/"];
        world.run("me", &[&words[..], more].concat())
    };
    let twice = vec![
        record(3, "a.txt", Some("Ski")),
        record(3, "a.txt", Some("Ski")),
    ];
    let into = world.path("twice");
    let run = get(twice, &into, &[]).expect(0);
    let end = run.json().pop().unwrap();
    assert_eq!(end["codes"], serde_json::json!({"0": 1}), "{}", run.out);
    assert!(!run.err.contains("of 2 files"), "{}", run.err);
    assert_eq!(names(&tree(&into)), ["Ski/a.txt"]);
    // Of a node that does not tell its folders.
    let same = || vec![record(3, "a.txt", None), record(4, "a.txt", None)];
    let into = world.path("same");
    let run = get(same(), &into, &[]).expect(6);
    let end = run.json().pop().unwrap();
    assert_eq!(
        end["codes"],
        serde_json::json!({"0": 1, "6": 1}),
        "{}",
        run.out
    );
    assert!(run.err.contains("1 of 2 files are there"), "{}", run.err);
    let into = world.path("both");
    get(same(), &into, &["--on-exist", "rename"]).expect(0);
    assert_eq!(names(&tree(&into)), ["a (1).txt", "a.txt"]);
}

#[test]
fn sizes_that_cannot_be_are_no_end_of_the_command() {
    let world = World::new();
    let huge = |index, name| Record {
        size: u64::MAX,
        ..record(index, name, Some("Ski"))
    };
    let records = vec![
        huge(1, "a.txt"),
        huge(2, "b.txt"),
        record(3, "c.txt", Some("Ski")),
    ];
    let (host, into) = (listing(records).to_string(), world.path("into"));
    let words = [
        "get",
        "--json",
        "-o",
        path_text(&into),
        "--from",
        &host,
        "/",
    ];
    let run = world.run("me", &words);
    let end = run.json().pop().unwrap();
    assert_eq!(end["ok"], 1, "{} {}", run.out, run.err);
    assert_eq!(std::fs::read(into.join("Ski/c.txt")).unwrap(), b"evil");
}
