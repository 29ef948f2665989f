//! `lab gen` and `lab run --engine sim` as people and scripts use them.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn filbert(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_filbert"));
    command
        .args(args)
        .env_remove("FILBERT_JSON")
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("topology-configs")
}

fn report(args: &[&str]) -> (Option<i32>, serde_json::Value) {
    let output = filbert(&[&["lab", "run"], args, &["--json"]].concat());
    let value = serde_json::from_slice(&output.stdout);
    (
        output.status.code(),
        value.unwrap_or_else(|error| panic!("{args:?}: {error}: {output:?}")),
    )
}

#[test]
fn every_committed_topology_finds_what_it_expects() {
    let mut ran = 0;
    for entry in std::fs::read_dir(configs()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.extension().is_none_or(|end| end != "json") || name == "topology.schema.json" {
            continue;
        }
        let (code, report) = report(&[path.to_str().unwrap()]);
        assert_eq!(code, Some(0), "{name}: {report}");
        let summary = &report["summary"];
        assert!(summary["expected"].as_u64() > Some(0), "{name}");
        assert_eq!(summary["expected"], summary["expected_ok"], "{name}");
        assert_eq!(summary["predicted_ok"], true, "{name}");
        ran += 1;
        // What events, slow and silent nodes do to a query is not predicted exactly.
        if !report["events"].is_null() || !report["graph"]["behaviours"].is_null() {
            continue;
        }

        // In two tiers the prediction is a flood's, which nobody makes there.
        let flat = report["graph"]["leaves"].is_null();
        let queries = report["queries"].as_array().unwrap();
        assert!(
            queries
                .iter()
                .all(|query| query["predicted"]["exact"] == flat),
            "{name}"
        );
    }
    assert!(ran >= 9);
}

#[test]
fn an_event_that_finds_too_little_ends_with_1_and_people_see_part_by_part_what_happened() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("parted.json");
    let text = r#"{"filbert": "topology/1", "generate": [{"kind": "ring", "n": 12}],
        "nodes": [{"id": "n9", "files": [{"name": "moby-dick.txt"}]}], "events": [
            {"at": "1s", "do": "expect", "from": "n2", "query": "moby dick", "within": "500ms"},
            {"at": "2s", "do": "partition", "groups": ["n0..n5"]},
            {"at": "3s", "do": "expect", "from": "n2", "query": "moby dick", "within": "500ms"}]}"#;
    std::fs::write(&file, text).unwrap();
    let output = filbert(&["lab", "run", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    for line in [
        "Check    1 of 2 searches of events found in time what the file expects   DIFFERENT",
        "2.0 s  partition n0..n5 / the rest",
        "expected >=1 hits for \"moby dick\" from n2 within 500 ms: got 0   FAILED",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let (code, report) = report(&[file.to_str().unwrap()]);
    assert_eq!(code, Some(1));
    let phases = report["phases"].as_array().unwrap();
    let after: Vec<_> = phases.iter().map(|phase| &phase["after"]).collect();
    assert_eq!(after, ["start", "partition n0..n5 / the rest"]);
    assert_eq!(phases[1]["expected"], 1);
    assert_eq!(phases[1]["expected_ok"], 0);
    let events = report["events"].as_array().unwrap();
    let oks: Vec<_> = events.iter().map(|event| &event["ok"]).collect();
    assert_eq!(oks, [true, true, false]);
    assert_eq!(events[1]["links"], 2, "n0-n11 and n5-n6");
    assert_eq!(events[2]["expected"][0]["got"], 0);
}

#[test]
fn a_generated_file_runs_to_the_same_report_as_its_shape() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ws.json");
    let made = filbert(&["lab", "gen", "ws:n=64,k=4,p=0.1", "--seed", "7"]);
    assert!(made.status.success());
    std::fs::write(&file, &made.stdout).unwrap();
    let (_, of_file) = report(&[file.to_str().unwrap(), "--queries", "30"]);
    let (_, of_shape) = report(&["ws:n=64,k=4,p=0.1", "--seed", "7", "--queries", "30"]);
    assert_eq!(of_file["queries"], of_shape["queries"]);
    assert_eq!(of_file["trace"], of_shape["trace"]);
    assert_eq!(of_file["queries"].as_array().unwrap().len(), 30);
    let (_, of_other_seed) = report(&["ws:n=64,k=4,p=0.1", "--seed", "8", "--queries", "30"]);
    assert_ne!(of_other_seed["trace"], of_shape["trace"]);
}

#[test]
fn the_command_line_lifts_the_ttl_to_255() {
    let (code, report) = report(&["line:200", "--ttl", "255", "--queries", "3"]);
    assert_eq!(code, Some(0));
    for query in report["queries"].as_array().unwrap() {
        assert_eq!(
            (
                query["ttl"].as_u64(),
                query["reached"].as_u64(),
                query["messages"].as_u64()
            ),
            (Some(255), Some(199), Some(199))
        );
    }
}

#[test]
fn people_see_measured_beside_predicted() {
    let output = filbert(&["lab", "run", "ring:12", "--queries", "2"]);
    let text = stdout(&output);
    assert!(
        text.contains("Graph    ring n=12: 12 nodes, 12 links, mean degree 2.0"),
        "{text}"
    );
    assert!(
        text.contains("2E-N+1 = 13 messages per query: measured 13.0   ok"),
        "{text}"
    );
    assert!(text.contains("2 queries, 2 answered"), "{text}");
}

#[test]
fn a_search_that_misses_ends_with_1_and_says_what_was_missed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("miss.json");
    let text = r#"{"filbert": "topology/1", "generate": [{"kind": "ring", "n": 4}],
                   "searches": [{"from": "n0", "query": "moby dick", "hits": ">=1"}]}"#;
    std::fs::write(&file, text).unwrap();
    let output = filbert(&["lab", "run", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("n0 asked \"moby dick\": expected >=1 hits, got 0"));
}

#[test]
fn a_file_that_cannot_be_run_ends_with_2_and_says_where_and_why() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.json");
    for (text, said) in [
        (
            r#"{"filbert": "topology/1", "nodes": [{"id": "a", "fles": []}]}"#,
            r#"nodes[0].fles: unknown key; did you mean "files"?"#,
        ),
        (
            r#"{"filbert": "topology/1", "nodes": [{"id": "a", "share": ["nowhere"]}]}"#,
            "shares",
        ),
        (
            r#"{"filbert": "topology/1", "nodes": [{"id": "a1"}], "events": [{"at": "1s", "do": "kill", "node": "b1"}]}"#,
            r#"events[0].node: there is no node "b1"; did you mean "a1"?"#,
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        let output = filbert(&["lab", "run", file.to_str().unwrap()]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(said), "{error}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn strategies_are_compared_on_the_same_queries_with_intervals() {
    let args = [
        "lab",
        "run",
        "ba:n=64,m=2",
        "--seed",
        "7",
        "--queries",
        "40",
        "--seeds",
        "3",
        "--json",
        "--compare",
        "flood,ring:1/2/4/7,walk:k=8,check=4,light:2+5",
    ];
    let output = filbert(&args);
    assert!(output.status.success(), "{output:?}");
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = value["rows"].as_array().unwrap();
    let names: Vec<&str> = rows
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["flood", "ring:1/2/4/7", "walk:k=8", "light:2+5"]);
    let mean = |row: &serde_json::Value, figure: &str| row[figure]["mean"].as_f64().unwrap();
    // 2E - N + 1, whoever asks and whatever the seed drew: no spread at all.
    assert!((mean(&rows[0], "messages") - 185.0).abs() < 1e-9);
    assert_eq!(rows[0]["messages"]["ci95"], 0.0);
    for row in &rows[1..] {
        assert!(mean(row, "messages") < 185.0, "{row}");
        assert!(mean(row, "success") > 0.9, "{row}");
        assert!(row["bytes"]["ci95"].as_f64().unwrap() > 0.0, "{row}");
    }
    assert_eq!(
        filbert(&args).stdout,
        output.stdout,
        "the same seeds, the same bytes"
    );
}

#[test]
fn a_sweep_has_a_row_for_each_value_and_says_what_it_cannot_sweep() {
    let sweep = |text: &str| {
        filbert(&[
            "lab", "run", "line:9", "--seeds", "1", "--json", "--sweep", text,
        ])
    };
    let output = sweep("ttl=1..3");
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<_> = value["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].clone())
        .collect();
    assert_eq!(names, ["ttl=1", "ttl=2", "ttl=3"]);
    for (text, part) in [
        ("tll=1..3", "no sweep"),
        ("ttl=0..3", "number of hops"),
        ("seen_cache=none", "number of ids"),
        ("replication=uniform", "needs content"),
    ] {
        let output = sweep(text);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains(part),
            "{text}: {output:?}"
        );
    }
}

#[test]
fn an_index_is_held_against_a_flood() {
    let (code, report) = report(&[
        "rr:n=256,k=4",
        "--queries",
        "20",
        "--seeds",
        "2",
        "--ttl",
        "20",
        "--compare",
        "flood,chord,central,chord:failed=0.3",
    ]);
    assert_eq!(code, Some(0));
    let mean = |row: usize, figure: &str| report["rows"][row][figure]["mean"].as_f64().unwrap();
    // 2E - N + 1; half a logarithm of the nodes for each word, here one; one question.
    assert!((mean(0, "messages") - 769.0).abs() < 1e-9);
    assert!((2.5..5.5).contains(&mean(1, "messages")), "{report}");
    assert!((mean(2, "messages") - 1.0).abs() < 1e-9);
    assert!((mean(1, "success") - 1.0).abs() < 1e-9);
    assert!(mean(3, "success") < 0.95, "keys of the dead are lost");
    assert_eq!(report["published"][1][0], "central");
}

#[test]
fn the_report_is_the_same_on_any_number_of_threads_and_says_when_there_is_but_one() {
    let text = "rr:n=3000,k=8";
    let run = |threads: &str| {
        let output = filbert(&[
            "lab",
            "run",
            text,
            "--queries",
            "4",
            "--threads",
            threads,
            "--json",
        ]);
        assert!(output.status.success() && output.stderr.is_empty());
        stdout(&output)
    };
    let one = run("1");
    // A flood of these has windows of thousands of events: enough for real threads.
    assert!(one.contains(r#""full_flood":21001"#), "{one}");
    for threads in ["2", "4"] {
        assert_eq!(run(threads), one, "{threads} threads");
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let traced = filbert(&[
        "lab",
        "run",
        "ring:12",
        "--queries",
        "1",
        "--threads",
        "2",
        "--out",
        out.to_str().unwrap(),
    ]);
    assert!(traced.status.success());
    let said = String::from_utf8(traced.stderr).unwrap();
    assert!(
        said.contains("runs on one thread: a trace is written event by event"),
        "{said}"
    );
}
