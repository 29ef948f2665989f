//! Several files of one command: at a time where their sources differ, one after the other where they do not.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;

use crate::world::{Node, Running, World, parsed, path_text};

/// Bytes that differ from one another.
fn body(seed: u32, bytes: usize) -> Vec<u8> {
    (0..u32::try_from(bytes / 4).unwrap())
        .flat_map(|n| (n ^ seed << 24).wrapping_mul(2_654_435_761).to_le_bytes())
        .collect()
}

/// A node with one file, which it sends so fast.
fn slow(world: &World, name: &str, file: &str, bytes: &[u8], rate: &str) -> Node {
    let folder = world.folder(&format!("{name}-files"), &[(file, bytes)]);
    let mut node = world.node(name, &[path_text(&folder), "--limit-up", rate], &[]);
    node.wait_for("library", |line| line["hashed_files"] == 1);
    node
}

/// A link to the one file of a node, with its name.
fn link(world: &World, node: &Node) -> String {
    let list = world.run("lister", &["browse", "--json", &node.address()]);
    let hit = list.expect(0).json_of("hit").remove(0);
    let [urn, name] = ["urn", "name"].map(|field| hit[field].as_str().unwrap());
    format!(
        "magnet:?xt={urn}&dn={name}&xs=http://{}/uri-res/N2R?{urn}",
        node.address()
    )
}

fn at(lines: &[Value], kind: &str, id: &Value) -> usize {
    let is = |line: &Value| line["type"] == kind && line["id"] == *id;
    lines
        .iter()
        .position(is)
        .unwrap_or_else(|| panic!("no {kind} of {id}: {lines:#?}"))
}

#[test]
fn files_of_different_sources_come_at_a_time() {
    let world = World::new();
    let one = slow(&world, "one", "slow.bin", &body(1, 400_000), "200kB/s");
    let two = slow(&world, "two", "fast.bin", &body(2, 1_000), "none");
    let run = world
        .run(
            "me",
            &["get", "--json", &link(&world, &one), &link(&world, &two)],
        )
        .expect(0);
    let lines = run.json();
    let ids: Vec<Value> = run
        .json_of("start")
        .iter()
        .map(|start| start["id"].clone())
        .collect();
    let done = [at(&lines, "done", &ids[0]), at(&lines, "done", &ids[1])];
    assert!(done[1] < done[0], "{}", run.out);
    assert_eq!(lines.last().unwrap()["ok"], 2);
}

#[test]
fn a_limit_is_one_for_all_files() {
    let world = World::new();
    let one = slow(&world, "one", "a.bin", &body(1, 600_000), "none");
    let two = slow(&world, "two", "b.bin", &body(2, 600_000), "none");
    let words = [
        "get",
        "--json",
        "--limit",
        "400kB/s",
        &link(&world, &one),
        &link(&world, &two),
    ];
    let run = world.run("me", &words).expect(0);
    let end = run.json().pop().unwrap();
    // 3 s, less what a reader takes before it first waits. For each by itself it would be half of that.
    assert!(end["elapsed"].as_f64().unwrap() > 2.0, "{end}");
}

#[test]
fn all_that_was_interrupted_goes_on_where_it_stopped() {
    let world = World::new();
    let bodies = [body(1, 4_000_000), body(2, 4_000_000)];
    let one = slow(&world, "one", "a.bin", &bodies[0], "1MB/s");
    let two = slow(&world, "two", "b.bin", &bodies[1], "1MB/s");
    let targets = [link(&world, &one), link(&world, &two)];
    let into = world.path("into");
    let words = [
        "get",
        "--json",
        "-o",
        path_text(&into),
        &targets[0],
        &targets[1],
    ];
    let running = Running::start(world.command("me", &words));
    let mut came = std::collections::BTreeSet::new();
    while came.len() < 2 {
        let line = parsed(&running.line());
        if line["type"] == "progress" && line["done"].as_u64() > Some(0) {
            came.insert(line["id"].to_string());
        }
    }
    running.interrupt();
    let run = running.finish(b"").expect(130);
    assert_eq!(run.json_of("failed").len(), 2, "{}", run.out);
    assert_eq!(run.json().pop().unwrap()["codes"]["130"], 2, "{}", run.out);
    let again = world.run("me", &words).expect(0);
    for done in again.json_of("done") {
        assert!(done["resumed_from"].as_u64() > Some(0), "{done}");
    }
    for (name, body) in [("a.bin", &bodies[0]), ("b.bin", &bodies[1])] {
        assert!(std::fs::read(into.join(name)).unwrap() == *body, "{name}");
    }
}

#[test]
fn two_files_of_one_name_do_not_meet() {
    let world = World::new();
    let one = slow(&world, "one", "same.bin", &body(1, 100_000), "100kB/s");
    let two = slow(&world, "two", "same.bin", &body(2, 100_000), "100kB/s");
    let into = world.path("into");
    let targets = [link(&world, &one), link(&world, &two)];
    let get = |flags: &[&str]| {
        let words = ["get", "-o", path_text(&into), &targets[0], &targets[1]];
        world.run("me", &[&words, flags].concat())
    };
    let run = get(&["--on-exist", "rename"]).expect(0);
    assert_eq!(run.out.lines().count(), 2, "{}", run.out);
    for name in ["same.bin", "same (1).bin"] {
        assert_eq!(
            std::fs::metadata(into.join(name)).unwrap().len(),
            100_000,
            "{name}"
        );
    }
    std::fs::remove_file(into.join("same (1).bin")).unwrap();
    // Unless told otherwise the second finds its name taken, whichever that is.
    let run = get(&[]).expect(6);
    assert!(run.err.contains("--on-exist"), "{}", run.err);
}

/// A server that keeps connections, and counts them.
fn counting() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        for stream in listener.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut stream = BufReader::new(stream.unwrap());
            thread::spawn(move || {
                let mut line = String::new();
                while stream.read_line(&mut line).unwrap_or(0) > 0 {
                    if line == "\r\n" {
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfile";
                        if stream.get_mut().write_all(answer).is_err() {
                            return;
                        }
                    }
                    line.clear();
                }
            });
        }
    });
    (addr, count)
}

#[test]
fn files_of_one_source_come_one_after_the_other_over_one_connection() {
    let world = World::new();
    let (addr, connections) = counting();
    let targets = [1, 2, 3, 4, 5].map(|n| format!("http://{addr}/get/{n}/{n}.txt"));
    let into = world.path("into");
    let flags = ["get", "--json", "-o", path_text(&into)];
    let words: Vec<&str> = flags
        .into_iter()
        .chain(targets.iter().map(String::as_str))
        .collect();
    let run = world.run("me", &words).expect(0);
    let lines = run.json();
    for pair in targets.windows(2) {
        let [done, start] = [("done", &pair[0]), ("start", &pair[1])]
            .map(|(kind, id)| at(&lines, kind, &id.as_str().into()));
        assert!(done < start, "{}", run.out);
    }
    assert_eq!(std::fs::read_dir(&into).unwrap().count(), 5);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[test]
fn a_node_fetches_two_files_of_one_name_one_after_the_other() {
    let world = World::new();
    let one = slow(&world, "one", "same.bin", &body(1, 100_000), "100kB/s");
    let two = slow(&world, "two", "same.bin", &body(2, 100_000), "100kB/s");
    let targets = [link(&world, &one), link(&world, &two)];
    let _me = world.node("me", &[], &[&one]);
    let into = world.path("into");
    let words = [
        "get",
        "--detach",
        "--on-exist",
        "rename",
        "-o",
        path_text(&into),
        &targets[0],
        &targets[1],
    ];
    world.run("me", &words).expect(0);
    let status = world.run("me", &["status"]).expect(0);
    assert!(
        status.out.contains("fetching 1 running, 1 queued"),
        "{}",
        status.out
    );
    assert!(
        status.out.contains("starts when one that runs has ended"),
        "{}",
        status.out
    );
    world.run("me", &["transfers", "watch"]).expect(0);
    let mut names: Vec<_> = std::fs::read_dir(&into)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["same (1).bin", "same.bin"]);
    let short = world
        .run("me", &["status", "--json"])
        .expect(0)
        .json_of("status");
    assert_eq!(short[0]["downloads"]["done"], 2, "{short:?}");
}
