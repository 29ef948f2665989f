//! Events of a topology file on real processes: done at their times, reported, and true to what can be found.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod lab;

use lab::{Lab, is_running, lines, pids, until, until_ended};
use serde_json::{Value, json};

/// A ring of six, the nut opposite of n0; n5 joins later.
fn ring(events: &Value) -> String {
    json!({
        "filbert": "topology/1", "name": "ring", "seed": 5,
        "generate": [{ "kind": "ring", "n": 6 }],
        "nodes": [{ "id": "n3", "files": [{ "name": "cob nut.txt", "size": 700 }] }],
        "events": events,
    })
    .to_string()
}

fn expect(at: &str, hits: &str) -> Value {
    json!({ "at": at, "do": "expect", "from": "n0", "query": "nut", "hits": hits, "within": "20s" })
}

/// One report: its exit code and what it says.
fn run(lab: &Lab, events: &Value, more: &[&str]) -> (Option<i32>, Value) {
    let file = lab.file("ring.json", &ring(events));
    let words = [
        &["run", file.to_str().unwrap(), "--engine", "real", "--json"],
        more,
    ]
    .concat();
    let output = lab.run(&words);
    let told = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{told}"));
    (output.status.code(), report)
}

#[test]
fn what_a_file_says_happens_at_its_time_and_is_seen() {
    let lab = Lab::new();
    let search = |at: &str| json!({ "at": at, "do": "search", "from": "n0", "query": "cob" });
    let events = json!([
        { "at": "1s", "do": "leave", "node": "n1" },
        expect("0s", "=1"),
        search("200ms"),
        search("1100ms"),
        { "at": "1200ms", "do": "join", "node": "n5" },
        search("1300ms"),
        { "at": "1400ms", "do": "cut", "from": "n2", "to": "n3" },
        { "at": "1500ms", "do": "partition", "groups": [["n0"], ["n4..n5"]] },
        expect("1600ms", "=0"),
        { "at": "1700ms", "do": "heal" },
        expect("1800ms", "=1"),
        { "at": "1900ms", "do": "kill", "share": 1 },
        { "at": "2s", "do": "restart", "nodes": ["n2..n4"] },
        { "at": "2100ms", "do": "search", "from": "each", "query": "nut" },
    ]);
    let (code, report) = run(&lab, &events, &[]);
    assert_eq!(code, Some(0), "{report:#}");
    let happened = report["events"].as_array().unwrap();
    let what: Vec<&str> = happened
        .iter()
        .map(|event| event["do"].as_str().unwrap())
        .collect();
    let wanted = [
        "expect",
        "search",
        "leave",
        "search",
        "join",
        "search",
        "cut",
        "partition",
        "expect",
        "heal",
        "expect",
        "kill",
        "restart",
        "search",
    ];
    assert_eq!(what, wanted);
    for (event, next) in happened.iter().zip(&happened[1..]) {
        let ms = |event: &Value, key: &str| event[key].as_f64().unwrap();
        assert!(
            ms(event, "begun_ms") >= ms(event, "at_ms"),
            "not before its time: {event}"
        );
        assert!(
            ms(event, "done_ms") <= ms(next, "begun_ms"),
            "one after the other: {event}"
        );
    }
    assert_eq!(happened[2]["said"], "n1 took leave");
    assert_eq!(
        happened[11]["nodes"].as_array().unwrap().len(),
        5,
        "all that were up"
    );
    // n5 joins later: a line of five at first; then n0 alone; then the line round the other way.
    let cost = |query: &Value| {
        let keys = ["messages", "reached", "hits"];
        keys.map(|key| query[key].as_u64().unwrap())
    };
    let queries = report["queries"].as_array().unwrap();
    let costs: Vec<_> = queries.iter().map(cost).collect();
    let wanted = [
        [4, 4, 1],
        [4, 4, 1],
        [0, 0, 0],
        [4, 4, 1],
        [1, 0, 0],
        [4, 4, 1],
    ];
    assert_eq!(costs[..6], wanted);
    // Three nodes in a row are left: two links each, and n3 does not find its own file.
    assert_eq!(costs[6..], [[2, 2, 1], [2, 2, 0], [2, 2, 1]]);
    for query in queries {
        assert_eq!(query["messages"], query["predicted"]["messages"], "{query}");
        assert_eq!(query["hits"], query["predicted"]["hits"]);
        assert_eq!(query["predicted"]["exact"], true, "{query}");
    }
}

#[test]
fn an_expectation_that_fails_is_the_exit_code_of_the_run() {
    let lab = Lab::new();
    let events = json!([
        { "at": "0s", "do": "partition", "from": "n1", "to": "n0" },
        { "at": "0s", "do": "partition", "from": ["n2", "n4"], "to": "n3" },
        expect("0s", ">=1"),
        { "at": "100ms", "do": "kill", "node": "n0" },
        expect("200ms", ">=1"),
    ]);
    let out = lab.path().join("out");
    let (code, report) = run(&lab, &events, &["--out", out.to_str().unwrap()]);
    assert_eq!(code, Some(1), "{report:#}");
    let happened = report["events"].as_array().unwrap();
    let ok: Vec<bool> = happened
        .iter()
        .map(|event| event["ok"].as_bool().unwrap())
        .collect();
    assert_eq!(ok, [true, true, false, true, false]);
    assert_eq!(happened[1]["links"], 2);
    // Nothing reaches n3; the first partition is over.
    let expected = &happened[2]["expected"][0];
    assert_eq!(
        (&expected["got"], &expected["reached"]),
        (&0.into(), &4.into())
    );
    assert_eq!(happened[4]["expected"][0]["refused"], "the asker is away");
    let table = std::fs::read_to_string(out.join("events.csv")).unwrap();
    assert_eq!(table.lines().count(), 6);
    assert!(
        table
            .lines()
            .nth(4)
            .unwrap()
            .contains(",killed n0,n0,2,true"),
        "{table}"
    );
}

#[test]
fn one_way_is_one_way() {
    let lab = Lab::new();
    // Queries pass and hits do not come back.
    let events = json!([
        { "at": "0s", "do": "partition", "from": "n1..n5", "to": "n0" },
        expect("0s", "=0"),
        { "at": "0s", "do": "partition", "from": "n0", "to": "n1..n5" },
        expect("0s", "=0"),
    ]);
    let (code, report) = run(&lab, &events, &[]);
    assert_eq!(code, Some(0), "{report:#}");
    let reached = |at: usize| report["events"][at]["expected"][0]["reached"].clone();
    assert_eq!((reached(1), reached(3)), (5.into(), 0.into()));
}

#[test]
fn a_workload_goes_on_between_events_and_while_nodes_come_and_go() {
    let lab = Lab::new();
    let text = json!({
        "filbert": "topology/1", "name": "busy", "seed": 2,
        "generate": [{ "kind": "complete", "n": 5 }],
        "content": { "files": 5, "copies": { "fixed": 2 } },
        "workload": { "queries": 30, "arrival": { "every": "50ms" } },
        "events": [
            { "at": "100ms", "do": "churn", "nodes": "n1..n3", "up": "300ms", "down": "200ms", "crash": 0.5 },
            { "at": "1200ms", "do": "calm" },
            { "at": "1300ms", "do": "change", "delay": "20ms" },
            { "at": "1300ms", "do": "expect", "from": "n0", "query": "dat", "hits": ">=1" },
        ],
    });
    let file = lab.file("busy.json", &text.to_string());
    let report = &lab.json(&["run", file.to_str().unwrap(), "--engine", "real"])[0];
    let queries = report["queries"].as_array().unwrap();
    assert_eq!(queries.len(), 30 + 1);
    let churn = &report["churn"];
    let went = churn["left"].as_u64().unwrap() + churn["died"].as_u64().unwrap();
    assert!(
        went > 0 && churn["came"].as_u64().unwrap() <= went,
        "{churn}"
    );
    let few = queries
        .iter()
        .filter(|query| query["reached"].as_u64().unwrap() < 4)
        .count();
    assert!(few > 0, "nobody was ever away");
    for query in queries {
        assert_eq!(query["messages"], query["predicted"]["messages"], "{query}");
    }
    let after = |phase: &Value| phase["after"].as_str().unwrap().to_owned();
    let phases: Vec<String> = report["phases"]
        .as_array()
        .unwrap()
        .iter()
        .map(after)
        .collect();
    assert_eq!(phases.len(), 4, "{phases:?}");
    assert_eq!(
        (&report["phases"][3]["nodes"], &report["phases"][3]["links"]),
        (&5.into(), &10.into())
    );
    assert_eq!(report["events"][2]["links"], 10);
    // There and back again.
    let after = report["events"][3]["expected"][0]["after_ms"]
        .as_f64()
        .unwrap();
    assert!(after >= 40.0, "{after}");
}

#[test]
fn a_network_that_stays_does_the_events_of_its_file_and_writes_down_what_came_of_them() {
    let lab = Lab::new();
    let events = json!([
        { "at": "50ms", "do": "kill", "node": "n3" },
        expect("100ms", "=0"),
        { "at": "150ms", "do": "join", "node": "n5" },
        { "at": "200ms", "do": "churn", "nodes": "n4", "up": "1h", "down": "1h" },
    ]);
    let file = lab.file("ring.json", &ring(&events));
    let up = &lab.json(&["up", file.to_str().unwrap()])[0];
    let path = up["events"].as_str().unwrap().to_owned();
    let done = until("the events", || {
        let text = std::fs::read_to_string(&path).ok()?;
        Some(lines(&text)).filter(|lines| lines.len() == 4)
    });
    assert!(done.iter().all(|event| event["ok"] == true), "{done:?}");
    assert_eq!(
        done[3]["said"],
        "1 node comes and goes from now on: up for 1 h 0 min and down for 1 h 0 min on average"
    );
    let state = lab.state("ring");
    let alive: Vec<bool> = pids(&state).into_iter().map(is_running).collect();
    assert_eq!(alive, [true, true, true, false, true, true]);
    let up = lab.json(&["ps"]);
    assert_eq!(up[5]["links"], 2, "{up:?}");
    lab.good(&["down"]);
    until_ended(&pids(&state));
    assert!(lab.names().is_empty(), "{:?}", lab.names());
}

#[test]
fn events_of_a_network_that_is_up_are_not_for_another_run() {
    let lab = Lab::new();
    let file = lab.file("ring.json", &ring(&json!([{ "at": "1h", "do": "heal" }])));
    let output = lab.run(&[
        "run",
        file.to_str().unwrap(),
        "--engine",
        "real",
        "--attach",
    ]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("leave --attach out"));
}
