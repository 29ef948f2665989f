//! One topology file, in virtual time and as real processes: the same messages, duplicates, nodes and hits.
//!
//! Where there is more than one path and the TTL ends somewhere, the cost depends on which copy is faster, so
//! graphs with cycles are flooded in full; on trees every TTL must agree.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod lab;

use lab::Lab;
use serde_json::Value;

/// What must be the same of each query. The hits of one query always come back the way it came; on a graph with
/// cycles that way depends on which copy was faster, and with it the number of hit frames under way.
const SAME: [&str; 8] = [
    "from",
    "query",
    "ttl",
    "messages",
    "duplicates",
    "reached",
    "hits",
    "hit_frames",
];
/// What must also be the same where there is one way only.
const SAME_ON_TREES: [&str; 2] = ["hit_messages", "first_hit_hops"];

fn queries(report: &Value) -> Vec<Vec<Value>> {
    let graph = &report["graph"];
    let is_tree = graph["links"].as_u64().unwrap() + 1 == graph["nodes"].as_u64().unwrap();
    let keys = SAME.iter().chain(SAME_ON_TREES.iter().filter(|_| is_tree));
    let queries = report["queries"].as_array().unwrap();
    queries
        .iter()
        .map(|query| {
            // Of several responders a busy machine may let the farther one be heard first.
            let races = query["hit_frames"].as_u64() > Some(1);
            let said = |key: &&str| match *key {
                "first_hit_hops" if races => Value::Null,
                _ => query[*key].clone(),
            };
            keys.clone().map(said).collect()
        })
        .collect()
}

/// Runs a file both ways and compares; returns the report of the real nodes.
fn both(file: &str, flags: &[&str]) -> Value {
    let lab = Lab::new();
    let run = |engine: &str| {
        let mut words = vec!["run", file, "--engine", engine];
        words.extend(flags);
        lab.json(&words).remove(0)
    };
    let (sim, real) = (run("sim"), run("real"));
    assert_eq!(
        (&sim["engine"], &real["engine"]),
        (&"sim".into(), &"real".into())
    );
    assert_eq!(sim["graph"], real["graph"]);
    assert_eq!(queries(&sim), queries(&real), "{file}");
    assert!(!queries(&real).is_empty());
    real
}

#[test]
fn a_full_flood_of_a_ring_costs_the_same_and_as_much_as_predicted() {
    let real = both("ring:12", &["--ttl", "255", "--queries", "12"]);
    for query in real["queries"].as_array().unwrap() {
        assert_eq!(
            (&query["messages"], &query["reached"]),
            (&13.into(), &11.into())
        );
        assert_eq!(query["predicted"]["exact"], true);
    }
}

#[test]
fn a_line_agrees_at_every_ttl() {
    for ttl in ["1", "2"] {
        both("line:4", &["--ttl", ttl, "--queries", "8"]);
    }
}

#[test]
fn real_folders_are_the_same_to_both() {
    let folders = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/topology-configs/real-folders.json"
    );
    let real = both(folders, &["--ttl", "255"]);
    assert_eq!(real["summary"]["expected"], real["summary"]["expected_ok"]);
}

#[test]
fn leaves_and_ultrapeers_agree() {
    // Every ultrapeer probes all of its links, so that nothing depends on the order in which they are asked.
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/topology-configs/two-tier-24.json"
    );
    let real = both(file, &[]);
    assert_eq!(real["summary"]["expected"], 6);
    assert_eq!(real["summary"]["expected"], real["summary"]["expected_ok"]);
    let cost = |at: usize| real["queries"][at]["messages"].as_u64().unwrap();
    // From a leaf to its ultrapeer, from there to its leaf that has the file, and to the three others in vain.
    assert_eq!(cost(0), 5);
}

#[test]
fn a_star_agrees() {
    both("star:10", &["--ttl", "2", "--queries", "10"]);
}

#[test]
fn a_random_graph_agrees_when_flooded_in_full() {
    both(
        "rr:n=12,k=4",
        &["--seed", "7", "--ttl", "255", "--queries", "10"],
    );
}

#[test]
fn every_node_of_a_file_finds_the_same_on_both() {
    let lab = Lab::new();
    let text = r#"{
      "filbert": "topology/1", "name": "grove", "seed": 3,
      "generate": [{ "kind": "tree", "b": 2, "d": 2, "prefix": "t" }],
      "nodes": [
        { "id": "t3", "files": [{ "name": "hazel/cob nut.txt", "size": 900 }, { "name": "cob.txt", "size": 5 }] },
        { "id": "t6", "files": [{ "name": "Cob-Nut (dried).ogg", "size": 70000 }] }
      ],
      "searches": [
        { "from": "each", "query": "cob nut", "ttl": 3 },
        { "from": "t0", "query": "hazel", "hits": "=1" },
        { "from": "t3", "query": "walnut", "hits": "=0" }
      ]
    }"#;
    let file = lab.file("grove.json", text);
    let real = both(file.to_str().unwrap(), &[]);
    let hits: Vec<u64> = real["queries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|query| query["hits"].as_u64().unwrap())
        .collect();
    assert_eq!(hits.len(), 9);
    assert!(hits.iter().sum::<u64>() > 5, "{hits:?}");
}

#[test]
fn what_happens_to_a_ring_does_so_to_both() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/topology-configs/partition-ring.json"
    );
    // Ten times as fast, links too.
    let mut topology: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    topology["defaults"]["delay"] = "1ms".into();
    for event in topology["events"].as_array_mut().unwrap() {
        let at = event["at"].as_str().unwrap().replace('s', "00ms");
        event["at"] = at.into();
    }
    let lab = Lab::new();
    let file = lab.file("ring.json", &topology.to_string());
    let run = |engine: &str| {
        lab.json(&[
            "run",
            file.to_str().unwrap(),
            "--engine",
            engine,
            "--ttl",
            "12",
        ])
        .remove(0)
    };
    let (sim, real) = (run("sim"), run("real"));
    assert_eq!(queries(&sim), queries(&real));
    assert_eq!(queries(&real).len(), 8);
    for query in real["queries"].as_array().unwrap() {
        assert_eq!(query["predicted"]["exact"], true, "{query}");
    }
    // What each event did to the network, and how searches fared until the next.
    let keys = [
        "after",
        "nodes",
        "links",
        "pieces",
        "queries",
        "answered",
        "expected",
        "expected_ok",
        "messages_mean",
    ];
    let phases = |report: &Value| {
        let phases = report["phases"].as_array().unwrap().clone();
        let said = |phase: Value| keys.map(|key| phase[key].clone());
        phases.into_iter().map(said).collect::<Vec<_>>()
    };
    assert_eq!(phases(&sim), phases(&real));
    assert_eq!(phases(&real).len(), 7);
    let events = |report: &Value| {
        let events = report["events"].as_array().unwrap().clone();
        let said = |event: Value| ["at_ms", "do", "nodes", "ok"].map(|key| event[key].clone());
        events.into_iter().map(said).collect::<Vec<_>>()
    };
    assert_eq!(events(&sim), events(&real));
}
