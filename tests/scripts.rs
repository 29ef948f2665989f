//! The scripts a newcomer types: they do what they say, from any folder, with an empty home, and clean up.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod lab;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use lab::{PROGRAM, until_ended};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;

/// A machine where nobody has been: an empty home, a folder for temporary files, and somewhere to stand.
struct Newcomer {
    dir: TempDir,
}

impl Newcomer {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["home", "tmp", "cwd"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir }
    }

    fn script(&self, name: &str) -> Command {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
        let mut command = Command::new(scripts.join(name));
        command
            .env("FILBERT", PROGRAM)
            .env("HOME", self.dir.path().join("home"))
            .env("TMPDIR", self.tmp())
            .env("DEMO_FILM_MB", "1")
            .env_remove("FILBERT_HOME")
            .env_remove("XDG_RUNTIME_DIR")
            .current_dir(self.dir.path().join("cwd"))
            .stdin(Stdio::null());
        command
    }

    fn tmp(&self) -> std::path::PathBuf {
        self.dir.path().join("tmp")
    }

    fn run(&self, name: &str, words: &[&str]) -> Output {
        self.script(name).args(words).output().unwrap()
    }

    /// What lies in the folder for temporary files.
    fn left(&self) -> Vec<String> {
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
        fs::read_dir(self.tmp())
            .unwrap()
            .map(|entry| name(entry).unwrap())
            .collect()
    }

    /// The processes of the demo's nodes, by their own word.
    fn demo_pids(&self) -> Vec<u32> {
        let folder = self.tmp().join(&self.left()[0]);
        let mut pids = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "out") {
                let text = fs::read_to_string(path).unwrap();
                let ready = text
                    .lines()
                    .next()
                    .and_then(|line| serde_json::from_str::<Value>(line).ok());
                pids.extend(ready.and_then(|ready| u32::try_from(ready["pid"].as_u64()?).ok()));
            }
        }
        pids
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_demo_shares_searches_fetches_and_verifies_and_leaves_nothing() {
    let newcomer = Newcomer::new();
    let output = newcomer.run("demo", &[]);
    let (out, told) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}{told}");
    assert_eq!(out.matches(" listens on 127.0.0.1:").count(), 5, "{out}");
    assert!(out.contains("The same, byte for byte: 1 MB"), "{out}");
    assert!(
        out.contains("$ filbert search hazelnut harvest"),
        "commands are shown as typed: {out}"
    );
    assert!(newcomer.left().is_empty(), "{:?}", newcomer.left());
    assert_eq!(
        fs::read_dir(newcomer.dir.path().join("home"))
            .unwrap()
            .count(),
        0
    );
}

/// Starts the demo and waits until its second node is up.
fn demo_under_way(newcomer: &Newcomer) -> std::process::Child {
    let mut command = newcomer.script("demo");
    let mut demo = command
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.as_mut().unwrap()).lines();
    for _ in 0..2 {
        assert!(
            lines
                .by_ref()
                .any(|line| line.unwrap().contains(" listens on "))
        );
    }
    demo
}

fn pid(child: &std::process::Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
}

#[test]
fn ctrl_c_ends_the_demo_with_all_its_nodes_and_files() {
    let newcomer = Newcomer::new();
    let mut demo = demo_under_way(&newcomer);
    let nodes = newcomer.demo_pids();
    assert!(nodes.len() >= 2);
    kill_process_group(pid(&demo), Signal::INT).unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(130));
    until_ended(&nodes);
    assert!(newcomer.left().is_empty(), "{:?}", newcomer.left());
}

#[test]
fn a_demo_that_is_killed_takes_its_nodes_along() {
    let newcomer = Newcomer::new();
    let mut demo = demo_under_way(&newcomer);
    let nodes = newcomer.demo_pids();
    kill_process(pid(&demo), Signal::KILL).unwrap();
    demo.wait().unwrap();
    until_ended(&nodes);
}

const GROVE: &str = r#"{
  "filbert": "topology/1", "name": "grove",
  "nodes": [
    { "id": "a" }, { "id": "b" },
    { "id": "c", "files": [{ "name": "cob nut.txt", "size": 900 }], "share": ["grove-books"] }
  ],
  "links": [["a", "b"], ["b", "c"]],
  "searches": [
    { "from": "a", "query": "cob nut", "hits": "=1" },
    { "from": "each", "query": "walden", "hits": ">=0" },
    { "from": "b", "query": "walden", "hits": "=1" }
  ]
}"#;

#[test]
fn a_network_is_brought_up_searched_across_and_taken_down() {
    let newcomer = Newcomer::new();
    let cwd = newcomer.dir.path().join("cwd");
    fs::create_dir(cwd.join("grove-books")).unwrap();
    fs::write(cwd.join("grove-books/Walden.txt"), "I went to the woods").unwrap();
    fs::write(cwd.join("grove.json"), GROVE).unwrap();

    let up = newcomer.run("network-up", &["grove.json"]);
    assert_eq!(up.status.code(), Some(0), "{}", text(&up.stderr));
    assert!(text(&up.stdout).contains("3 nodes up"));
    let across = newcomer.run("search-across", &["grove.json"]);
    let told = text(&across.stdout);
    assert_eq!(
        across.status.code(),
        Some(0),
        "{told}{}",
        text(&across.stderr)
    );
    assert!(
        told.contains("5 of 5 searches found what the file expects"),
        "{told}"
    );
    let down = newcomer.run("network-down", &[]);
    assert_eq!(
        text(&down.stdout),
        "grove: 3 nodes stopped, temporary files removed.\n"
    );
    assert_eq!(newcomer.run("network-down", &[]).status.code(), Some(3));

    // Without a network that is up it starts one for the time being.
    fs::write(
        cwd.join("miss.json"),
        GROVE.replace(
            "\"b\", \"query\": \"walden\"",
            "\"b\", \"query\": \"ivanhoe\"",
        ),
    )
    .unwrap();
    let miss = newcomer.run("search-across", &["miss.json"]);
    assert_eq!(miss.status.code(), Some(1), "{}", text(&miss.stderr));
    assert!(
        text(&miss.stdout).contains("Missed   b asked \"ivanhoe\""),
        "{}",
        text(&miss.stdout)
    );
}

#[test]
fn a_script_that_cannot_work_says_what_is_missing() {
    let newcomer = Newcomer::new();
    for (script, words) in [
        ("network-up", &["x"][..]),
        ("demo", &[]),
        ("search-across", &["x"]),
        ("network-down", &[]),
    ] {
        let output = newcomer
            .script(script)
            .args(words)
            .env("FILBERT", "/nowhere/filbert")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{script}");
        assert!(
            text(&output.stderr).contains("/nowhere/filbert"),
            "{script}: {}",
            text(&output.stderr)
        );
    }
    let output = newcomer.run("network-up", &[]);
    assert!(text(&output.stderr).contains("name a topology"));
}

#[test]
fn the_bench_of_the_laboratory_measures_and_leaves_nothing() {
    let newcomer = Newcomer::new();
    let output = newcomer.script("bench-lab").arg("6").output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&line["bench"], &line["nodes"], &line["links"]),
        (&"lab".into(), &6.into(), &12.into())
    );
    // A full flood of 12 links over 6 nodes.
    assert_eq!(line["messages_a_query"], 19);
    assert_eq!(line["left_after_kill"], 0);
    let figure = |key: &str| line[key].as_f64().unwrap();
    assert!(
        figure("up_s") > 0.0 && figure("kib_a_node") > 500.0,
        "{line}"
    );
    // Not held against each other: what a page is shared with changes between the two.
    assert!(
        figure("queried_mib") > 0.0 && figure("rest_mib") > 0.0,
        "{line}"
    );
    assert_eq!(
        fs::read_dir(newcomer.tmp()).unwrap().count(),
        0,
        "temporary files"
    );
    let output = newcomer.script("bench-lab").arg("some").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
