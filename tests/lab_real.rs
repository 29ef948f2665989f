//! Networks of real processes: started, measured, stopped, and never left behind.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod lab;

use std::process::Stdio;

use lab::{Lab, is_running, keeper, pids, signal, until_ended};
use rustix::process::Signal;

/// Four nodes in a square, the nut at the far corner of n0.
const SQUARE: &str = r#"{
  "filbert": "topology/1", "name": "square",
  "generate": [{ "kind": "ring", "n": 4, "prefix": "n" }],
  "nodes": [{ "id": "n2", "files": [{ "name": "cob nut.txt", "size": 700 }] }],
  "searches": [{ "from": "each", "query": "cob nut", "ttl": 4 }]
}"#;

#[test]
fn a_network_comes_up_is_searched_and_goes_without_a_trace() {
    let lab = Lab::new();
    let file = lab.file("square.json", SQUARE);
    let up = lab.good(&["up", file.to_str().unwrap()]);
    assert!(
        up.starts_with("square: 4 nodes up on 127.0.0.1 (ports "),
        "{up}"
    );
    assert!(up.contains(", 4 links, "), "{up}");
    let state = lab.state("square");
    let nodes = lab.json(&["ps"]);
    assert_eq!(nodes.len(), 4);
    assert!(nodes.iter().all(|node| node["links"] == 2), "{nodes:?}");

    let text = lab.good(&[
        "search", "--from", "n0", "nut", "cob", "--ttl", "4", "--trace",
    ]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "n2\t2\t700\tcob nut.txt");
    assert_eq!(lines[1], "n0 -> n1 n3 -> n2");
    assert_eq!(
        lines[2],
        "5 messages, 3 nodes, 2 duplicates (predicted 5, 3, 2)"
    );

    let json = lab.json(&["search", "--from", "n0", "cob", "--ttl", "2", "--trace"]);
    assert_eq!(json[0]["type"], "hit");
    assert_eq!(
        (&json[0]["node"], &json[0]["hops"]),
        (&"n2".into(), &2.into())
    );
    assert!(json[0]["urn"].as_str().unwrap().starts_with("urn:sha1:"));
    assert_eq!(
        json.iter().filter(|line| line["type"] == "trace").count(),
        4
    );
    let measured = json.last().unwrap();
    assert_eq!(
        (&measured["type"], &measured["hits"]),
        (&"measured".into(), &1.into())
    );

    let none = lab.run(&["search", "--from", "n0", "walnut"]);
    assert_eq!(none.status.code(), Some(1));
    let near = lab.run(&["search", "--from", "m0", "walnut"]);
    assert_eq!(near.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&near.stderr).contains("did you mean n0?"));

    let down = lab.good(&["down"]);
    assert_eq!(down, "square: 4 nodes stopped, temporary files removed.\n");
    until_ended(&pids(&state));
    assert!(!is_running(keeper(&state)));
    assert!(lab.names().is_empty(), "{:?}", lab.names());
}

#[test]
fn without_a_network_the_exit_code_says_so() {
    let lab = Lab::new();
    for words in [&["search", "--from", "n0", "nut"][..], &["down"][..]] {
        let output = lab.run(words);
        assert_eq!(output.status.code(), Some(3), "{words:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("filbert lab up"));
    }
    assert_eq!(lab.run(&["down", "--all"]).status.code(), Some(0));
    assert_eq!(lab.run(&["ps"]).status.code(), Some(1));
}

#[test]
fn networks_of_a_home_lie_in_it() {
    let lab = Lab::new();
    let home = lab.path().join("home");
    let run = |words: &[&str]| {
        let mut command = std::process::Command::new(lab::PROGRAM);
        command
            .args(["--home", home.to_str().unwrap(), "lab"])
            .args(words);
        command.output().unwrap()
    };
    assert!(run(&["up", "line:2", "--base-port", "0"]).status.success());
    assert!(home.join("lab/line-2/state.json").exists());
    assert!(run(&["down"]).status.success());
    assert!(!home.join("lab/line-2").exists());
}

#[test]
fn two_networks_live_side_by_side_and_none_twice() {
    let lab = Lab::new();
    lab.good(&["up", "line:2"]);
    lab.good(&["up", "line:2", "--name", "other"]);
    let twice = lab.run(&["up", "line:2"]);
    assert_eq!(twice.status.code(), Some(8));
    assert!(String::from_utf8_lossy(&twice.stderr).contains("lab down --net line-2"));
    let which = lab.run(&["search", "--from", "n0", "x1"]);
    assert_eq!(which.status.code(), Some(2));
    let code = |net: &str| {
        lab.run(&["search", "--from", "n0", "walnut", "--net", net])
            .status
            .code()
    };
    assert_eq!(
        (code("other"), code("line-2"), code("line-3")),
        (Some(1), Some(1), Some(3))
    );
    lab.good(&["down", "--net", "other"]);
    assert_eq!(lab.names(), ["line-2"]);
}

#[test]
fn nodes_end_when_whoever_holds_them_is_killed_and_the_debris_is_recognised() {
    let lab = Lab::new();
    lab.good(&["up", "line:3"]);
    let state = lab.state("line-3");
    signal(keeper(&state), Signal::KILL);
    until_ended(&[keeper(&state)]);
    until_ended(&pids(&state));
    let ps = lab.run(&["ps"]);
    assert!(String::from_utf8_lossy(&ps.stderr).contains("was killed"));
    let search = lab.run(&["search", "--from", "n0", "nut"]);
    assert_eq!(search.status.code(), Some(3));
    // The next one of that name takes its place.
    lab.good(&["up", "line:3"]);
    let again = lab.state("line-3");
    signal(keeper(&again), Signal::KILL);
    until_ended(&[keeper(&again)]);
    let down = lab.good(&["down"]);
    assert_eq!(down, "line-3: had been killed; what it left is removed.\n");
    until_ended(&pids(&again));
    assert!(lab.names().is_empty());
}

#[test]
fn a_run_leaves_nothing_behind_when_it_is_interrupted_or_killed() {
    let lab = Lab::new();
    for (end, code) in [(Signal::INT, Some(130)), (Signal::KILL, None)] {
        let mut run = lab
            .command(&["run", "ring:4", "--engine", "real", "--queries", "50000"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let state = lab.state(&format!("ring-4-run-{}", run.id()));
        signal(run.id(), end);
        assert_eq!(run.wait().unwrap().code(), code);
        until_ended(&pids(&state));
        lab.good(&["down", "--all"]);
        assert!(lab.names().is_empty(), "{:?}", lab.names());
    }
}

#[test]
fn a_network_that_cannot_start_says_why_and_leaves_nothing() {
    let lab = Lab::new();
    let text = r#"{"filbert":"topology/1","nodes":[{"id":"a"},{"id":"b","share":["missing"]}],"links":[["a","b"]]}"#;
    let file = lab.file("gap.json", text);
    for verb in [&["up"][..], &["run", "--engine", "real"][..]] {
        let mut words = verb.to_vec();
        words.push(file.to_str().unwrap());
        let output = lab.run(&words);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(
            told.contains("missing") && told.contains("no folder"),
            "{told}"
        );
        assert!(lab.names().is_empty(), "{:?}", lab.names());
    }
}

#[test]
fn a_run_asks_the_network_that_is_up() {
    let lab = Lab::new();
    let file = lab.file("square.json", SQUARE);
    let file = file.to_str().unwrap();
    lab.good(&["up", file]);
    let ports = |lab: &Lab| lab.json(&["ps"]);
    let before = ports(&lab);
    let report = lab.json(&["run", file, "--engine", "real", "--attach"]);
    assert_eq!(report[0]["queries"].as_array().unwrap().len(), 4);
    assert_eq!(before, ports(&lab), "the same nodes are up");
    let other = lab.file("other.json", &SQUARE.replace("\"n\": 4", "\"n\": 5"));
    let refused = lab.run(&[
        "run",
        other.to_str().unwrap(),
        "--engine",
        "real",
        "--attach",
    ]);
    assert_eq!(refused.status.code(), Some(2));
}
