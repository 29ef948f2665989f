//! What is done to networks of real processes: nodes die and come back, links are cut, parted and shaped, and what can be
//! found says that it is so.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod lab;

use lab::{Lab, is_running, pids, until, until_ended};
use serde_json::Value;

/// A ring of six, the nut opposite of n0.
const RING: &str = r#"{
  "filbert": "topology/1", "name": "ring", "seed": 5,
  "generate": [{ "kind": "ring", "n": 6 }],
  "nodes": [{ "id": "n3", "files": [{ "name": "cob nut.txt", "size": 700 }] }]
}"#;

fn ring() -> Lab {
    let lab = Lab::new();
    let file = lab.file("ring.json", RING);
    lab.good(&["up", file.to_str().unwrap()]);
    lab
}

fn words<'a>(verb: &'a str, text: &'a str) -> Vec<&'a str> {
    std::iter::once(verb).chain(text.split(' ')).collect()
}

fn fault(lab: &Lab, text: &str) -> String {
    lab.good(&words("fault", text))
}

/// What `lab expect` says, which must be true.
fn expect(lab: &Lab, hits: &str, within: &str) -> Value {
    let output = lab.run(&[
        "expect", "--from", "n0", "nut", "--hits", hits, "--within", within, "--json",
    ]);
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{line}");
    assert_eq!(line["ok"], true);
    line
}

/// What a search of n0 costs.
fn search(lab: &Lab, text: &str) -> Value {
    let output = lab.run(&["search", "--from", "n0", text, "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[test]
fn an_expectation_holds_or_fails_with_the_exit_code() {
    let lab = ring();
    let line = expect(&lab, ">=1", "20s");
    assert_eq!((&line["got"], &line["hits"]), (&1.into(), &">=1".into()));
    expect(&lab, "=1", "20s");
    let output = lab.run(&[
        "expect", "--from", "n0", "nut", "--hits", ">=2", "--within", "60s",
    ]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("expected >=2 hits") && said.contains("got 1"),
        "{said}"
    );
    assert!(said.contains("5 nodes reached"), "{said}");
    let output = lab.run(&[
        "expect", "--from", "n0", "nut", "--hits", "=0", "--within", "60s",
    ]);
    assert_eq!(output.status.code(), Some(1));
    for (bad, part) in [
        (&["expect", "--from", "n9", "nut"][..], "n9"),
        (
            &["expect", "--from", "n0", "nut", "--hits", "some"],
            "\">=1\"",
        ),
        (
            &["expect", "--from", "n0", "nut", "--within", "soon"],
            "500ms",
        ),
    ] {
        let output = lab.run(bad);
        assert_eq!(output.status.code(), Some(2));
        assert!(
            String::from_utf8_lossy(&output.stderr).contains(part),
            "{bad:?}"
        );
    }
}

#[test]
fn a_killed_node_is_gone_at_once_and_comes_back_with_its_files_and_links() {
    let lab = ring();
    let before = lab.state("ring");
    assert_eq!(fault(&lab, "kill n3"), "ring: killed n3\n");
    until_ended(&pids(&before)[3..4]);
    expect(&lab, "=0", "30s");
    // A ring with one dead node is a line: 4 links, none of them twice.
    let cost = search(&lab, "nut");
    assert_eq!(
        (&cost["messages"], &cost["reached"]),
        (&4.into(), &4.into())
    );
    let twice = lab.run(&words("fault", "kill n3"));
    assert_eq!(twice.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&twice.stderr).contains("lab fault restart n3"));
    assert_eq!(
        fault(&lab, "restart n3"),
        "ring: n3 up again, with 2 links\n"
    );
    expect(&lab, "=1", "30s");
    assert_eq!(search(&lab, "nut")["messages"], 7);
    let after = lab.state("ring");
    assert_ne!(before["nodes"][3]["process"], after["nodes"][3]["process"]);
    assert_eq!(before["nodes"][3]["port"], after["nodes"][3]["port"]);
    lab.good(&["down"]);
    until_ended(&pids(&after));
}

#[test]
fn whoever_takes_leave_says_so_and_comes_back_all_the_same() {
    let lab = ring();
    let before = lab.state("ring");
    assert_eq!(fault(&lab, "leave n3 n4"), "ring: n3 n4 took leave\n");
    until_ended(&pids(&before)[3..5]);
    // The neighbours were told, and keep the reason in what they say of themselves.
    let home = before["nodes"][2]["home"].as_str().unwrap();
    let path = std::path::Path::new(home).with_file_name("events.jsonl");
    let gone = until("the neighbour to say so", || {
        let said = std::fs::read_to_string(&path).unwrap();
        let lines = lab::lines(&said).into_iter();
        let gone: Vec<Value> = lines.filter(|line| line["type"] == "link-down").collect();
        (!gone.is_empty()).then_some(gone)
    });
    assert_eq!(gone.len(), 1, "{gone:?}");
    assert_eq!(gone[0]["why"], "the peer said Bye 200 Shutting down");
    expect(&lab, "=0", "30s");
    let twice = lab.run(&words("fault", "leave n3"));
    assert_eq!(twice.status.code(), Some(2));
    assert_eq!(
        fault(&lab, "restart n3 n4"),
        "ring: n3 n4 up again, with 3 links\n"
    );
    expect(&lab, "=1", "30s");
}

#[test]
fn nodes_come_and_go_as_on_real_networks_only_faster() {
    let lab = ring();
    let first = lab.state("ring");
    let said = fault(&lab, "churn usual x4000 n1..n5");
    assert!(
        said.contains(
            "5 nodes come and go from now on: up and down for 450 ms and 3.3 s, or 675 ms"
        ),
        "{said}"
    );
    until_ended(&pids(&first)[1..]);
    fault(&lab, "churn off");
    assert!(pids(&lab.state("ring")).into_iter().all(is_running));
    expect(&lab, "=1", "30s");
}

#[test]
fn cuts_and_partitions_hold_until_they_are_healed() {
    let lab = ring();
    assert_eq!(fault(&lab, "cut n0-n1"), "ring: cut n0-n1\n");
    let cost = search(&lab, "nut");
    assert_eq!(
        (&cost["messages"], &cost["reached"]),
        (&5.into(), &5.into())
    );
    let said = fault(&lab, "partition n0..n2 / n3..n5");
    assert_eq!(
        said,
        "ring: parted into 3 / 3 nodes; nothing passes over 2 links\n"
    );
    // What is left of n0's side is n0 alone; its query is lost on the way to n5.
    expect(&lab, "=0", "30s");
    let cost = search(&lab, "nut");
    assert_eq!((&cost["messages"], &cost["lost"]), (&1.into(), &1.into()));
    assert_eq!(fault(&lab, "heal"), "ring: healed; 6 links are up\n");
    expect(&lab, "=1", "30s");
    assert_eq!(search(&lab, "nut")["messages"], 7);
    let said = fault(&lab, "partition n2 n4 to n3");
    assert_eq!(
        said,
        "ring: nothing passes from n2 n4 to n3, over 2 links\n"
    );
    let cost = search(&lab, "nut");
    assert_eq!(
        (&cost["lost"], &cost["reached"], &cost["hits"]),
        (&2.into(), &4.into(), &0.into())
    );
}

#[test]
fn links_are_slowed_down_and_lose_messages_as_told() {
    let lab = ring();
    let said = fault(&lab, "delay 60ms");
    assert_eq!(said, "ring: 6 links: delay 60 ms\n");
    // Three hops there and three back, each of which waits.
    let slow = search(&lab, "nut")["first_hit_ms"].as_f64().unwrap();
    assert!(slow >= 360.0, "{slow}");
    let line = expect(&lab, ">=1", "30s");
    assert!(line["after_ms"].as_u64().unwrap() >= 360, "{line}");
    let late = lab.run(&["expect", "--from", "n0", "nut", "--within", "100ms"]);
    assert_eq!(late.status.code(), Some(1), "too late is too late");
    fault(&lab, "delay 0ms");
    fault(&lab, "drop 100% n0-n1 n0-n5");
    let cost = search(&lab, "nut");
    assert_eq!(
        (&cost["messages"], &cost["lost"], &cost["hits"]),
        (&2.into(), &2.into(), &0.into())
    );
    // 23 bytes of header and some words at 100 B/s: a third of a second for each hop.
    fault(&lab, "drop 0");
    fault(&lab, "rate 100B/s");
    let slow = search(&lab, "nut")["first_hit_ms"].as_f64().unwrap();
    assert!(slow >= 900.0, "{slow}");
    let healed = lab.json(&["fault", "heal"]);
    assert_eq!(
        (&healed[0]["type"], &healed[0]["do"], &healed[0]["links"]),
        (&"fault".into(), &"heal".into(), &6.into())
    );
    let line = expect(&lab, ">=1", "30s");
    assert_eq!(
        line["reached"].as_u64().map(|reached| reached <= 5),
        Some(true)
    );
}

#[test]
fn churn_takes_nodes_down_and_brings_them_back_until_it_is_off() {
    let lab = ring();
    let first = lab.state("ring");
    fault(&lab, "churn 300ms 200ms n1..n5");
    let others = &pids(&first)[1..];
    until_ended(others);
    fault(&lab, "churn off");
    let last = lab.state("ring");
    assert!(is_running(pids(&last)[0]), "n0 is left alone");
    assert_eq!(pids(&last)[0], pids(&first)[0]);
    assert!(pids(&last).into_iter().all(is_running));
    expect(&lab, "=1", "30s");
    let down = lab.good(&["down"]);
    assert_eq!(down, "ring: 6 nodes stopped, temporary files removed.\n");
    until_ended(&pids(&last));
    assert!(lab.names().is_empty(), "{:?}", lab.names());
}

#[test]
fn faults_that_make_no_sense_are_refused() {
    let lab = ring();
    for (text, part) in [
        ("kill n7", "there are: n0 n1 n2 n3 n4 n5"),
        ("cut n0-n2", "n0 is linked to: n1 n5"),
        ("restart n0", "node n0 is up"),
        ("explode n0", "possible values"),
    ] {
        let output = lab.run(&words("fault", text));
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}: {told}");
        assert!(told.contains(part), "{text}: {told}");
    }
    lab.good(&["down"]);
    let output = lab.run(&words("fault", "heal"));
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn what_a_file_says_of_its_links_holds_for_processes_too() {
    let lab = Lab::new();
    let text = r#"{"filbert": "topology/1", "name": "slow", "generate": [{"kind": "line", "n": 3}],
        "defaults": {"delay": "50ms"}, "nodes": [{"id": "n2", "files": [{"name": "cob nut.txt"}]}],
        "searches": [{"from": "n0", "query": "nut", "hits": 1}]}"#;
    let file = lab.file("slow.json", text);
    let report = lab.json(&["run", file.to_str().unwrap(), "--engine", "real"]);
    let first = report[0]["queries"][0]["first_hit_ms"].as_f64().unwrap();
    assert!(first >= 200.0, "two hops there and two back: {first}");
}
