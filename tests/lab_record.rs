//! `lab run --out`: the folder of a run holds all of it, and its page shows it in a real browser.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod browser;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use browser::in_browser;
use flate2::read::GzDecoder;
use serde_json::Value;

fn filbert(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_filbert"))
        .args(args)
        .env_remove("FILBERT_JSON")
        .output()
        .unwrap()
}

/// Runs with `--out` and `--json`: the folder and what stood on standard output.
fn recorded(dir: &Path, args: &[&str]) -> (PathBuf, Value) {
    let out = dir.join("run");
    let all = [
        &["lab", "run"],
        args,
        &["--json", "--out", out.to_str().unwrap()],
    ]
    .concat();
    let output = filbert(&all);
    assert!(output.status.success(), "{output:?}");
    let report = serde_json::from_slice(&output.stdout).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("report.html") && said.contains("Again    filbert lab run "));
    (out, report)
}

fn unpacked(path: &Path) -> String {
    let mut text = String::new();
    let mut file = GzDecoder::new(fs::File::open(path).unwrap());
    file.read_to_string(&mut text).unwrap();
    text
}

fn data_of(page: &str) -> Value {
    let start = "<script type=\"application/json\" id=\"data\">";
    let (_, rest) = page.split_once(start).unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn a_run_can_be_made_again_from_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let shape = [
        "ba:n=24,m=2",
        "--seed",
        "7",
        "--queries",
        "12",
        "--ttl",
        "5",
    ];
    let (out, report) = recorded(dir.path(), &shape);
    let stored: Value = serde_json::from_slice(&fs::read(out.join("run.json")).unwrap()).unwrap();
    assert_eq!(stored, report);

    let trace = unpacked(&out.join("trace.jsonl.gz"));
    let delivered = report["frames"]["delivered"].as_u64().unwrap();
    assert_eq!(trace.lines().count() as u64, delivered);

    let queries = fs::read_to_string(out.join("queries.csv")).unwrap();
    let mut lines = queries.lines();
    let columns: Vec<&str> = lines.next().unwrap().split(',').collect();
    let messages = columns.iter().position(|name| *name == "messages").unwrap();
    for (line, query) in lines.zip(report["queries"].as_array().unwrap()) {
        let cell = line.split(',').nth(messages).unwrap();
        assert_eq!(cell, query["messages"].to_string());
    }
    assert_eq!(queries.lines().count(), 13);
    let links = fs::read_to_string(out.join("links.csv")).unwrap();
    assert_eq!(
        links.lines().count() as u64,
        1 + report["graph"]["links"].as_u64().unwrap()
    );

    // The line that the page shows, with the program of this build.
    let data = data_of(&fs::read_to_string(out.join("report.html")).unwrap());
    let again: Vec<&str> = data["again"].as_str().unwrap().split(' ').skip(1).collect();
    let output = filbert(&[&again[..], &["--json"]].concat());
    let second: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(second["trace"], report["trace"], "{again:?}");
}

#[test]
fn a_page_loads_nothing_and_obeys_no_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("evil.json");
    let evil = "</script><script>alert(1)</script>";
    let topology = serde_json::json!({
        "filbert": "topology/1", "name": evil, "seed": 1,
        "nodes": [{"id": "a"}, {"id": "b", "files": [{"name": "</script><b>moby.txt", "size": 10}]}],
        "links": [["a", "b"]],
        "searches": [{"from": "a", "query": "moby </script>", "hits": ">=1"}],
    });
    fs::write(&file, topology.to_string()).unwrap();
    let (out, _) = recorded(dir.path(), &[file.to_str().unwrap()]);
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert_eq!(page.matches("</script>").count(), 2, "data, script");
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(data_of(&page)["name"], evil);
    for foreign in ["src=", "href=", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}

#[test]
fn runs_side_by_side_are_kept_figure_by_figure() {
    let dir = tempfile::tempdir().unwrap();
    let list = [
        "grid:5x5",
        "--compare",
        "flood,ring:1/2/7",
        "--queries",
        "5",
        "--seeds",
        "2",
    ];
    let (out, report) = recorded(dir.path(), &list);
    let table = fs::read_to_string(out.join("comparison.csv")).unwrap();
    let mean = report["rows"][1]["messages"]["mean"].to_string();
    assert!(
        table.contains(&format!("ring:1/2/7,messages,{mean},")),
        "{table}"
    );
    let data = data_of(&fs::read_to_string(out.join("report.html")).unwrap());
    assert_eq!(data["replays"].as_array().unwrap().len(), 2);
}

#[test]
fn a_folder_with_something_in_it_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.txt"), "years").unwrap();
    let output = filbert(&[
        "lab",
        "run",
        "ring:5",
        "--out",
        dir.path().to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(6));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("not empty; name a new one"), "{said}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
#[ignore = "needs Chromium; scripts/test runs it"]
fn a_browser_draws_the_graph_and_replays_a_query() {
    let dir = tempfile::tempdir().unwrap();
    let (out, report) = recorded(dir.path(), &["ring:12", "--queries", "3", "--ttl", "12"]);
    let page = format!("file://{}", out.join("report.html").display());
    let start = in_browser(&page);
    assert_eq!(
        start.matches("<circle cx").count(),
        12 + 4 * 3,
        "nodes, and dots of four plots"
    );
    assert_eq!(
        start.matches("class=\"reached\"").count(),
        1,
        "the legend's"
    );
    let end = in_browser(&format!("{page}#replay=1&step=1000"));
    let messages = &report["queries"][1]["messages"];
    assert_eq!(messages, 13);
    assert!(
        end.contains(&format!(
            "{messages} messages, 11 nodes reached, 2 duplicates"
        )),
        "{end}"
    );
    assert_eq!(end.matches("class=\"reached\"").count(), 11 + 1);
    assert!(end.contains("class=\"duplicate") && end.contains("class=\"hit"));
}

#[test]
#[cfg(target_os = "linux")]
#[ignore = "needs Chromium; scripts/test runs it"]
fn a_browser_lists_what_happened_to_real_nodes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pair.json");
    let topology = serde_json::json!({
        "filbert": "topology/1", "name": "pair", "generate": [{"kind": "line", "n": 2}],
        "events": [
            {"at": "0s", "do": "cut", "from": "n0", "to": "n1"},
            {"at": "10ms", "do": "search", "from": "n0", "query": "moby"},
            {"at": "20ms", "do": "expect", "from": "n0", "query": "moby", "hits": 0, "within": "20s"},
        ],
    });
    fs::write(&file, topology.to_string()).unwrap();
    let (file, nets) = (file.to_str().unwrap(), dir.path().join("nets"));
    let place = ["--base-port", "0", "--dir", nets.to_str().unwrap()];
    let (out, _) = recorded(
        dir.path(),
        &[&[file, "--engine", "real"][..], &place].concat(),
    );
    let dom = in_browser(&format!("file://{}", out.join("report.html").display()));
    for said in [
        "cut n0-n1",
        "searched for \"moby\": 0 files",
        "within 20000 ms: got 0",
    ] {
        assert!(dom.contains(said), "{said}: {dom}");
    }
    assert_eq!(dom.matches("<tr").count(), (1 + 3) + (1 + 2));
    assert_eq!(dom.matches("class=\"off\"").count(), 0);
}

#[test]
#[ignore = "needs Chromium; scripts/test runs it"]
fn a_browser_plots_strategies_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let list = [
        "grid:5x5",
        "--compare",
        "flood,walk:k=4",
        "--queries",
        "5",
        "--seeds",
        "3",
    ];
    let (out, report) = recorded(dir.path(), &list);
    let dom = in_browser(&format!("file://{}", out.join("report.html").display()));
    let count =
        |row: &Value, keys: &[&str]| keys.iter().filter(|key| !row[**key].is_null()).count();
    let keys = [
        "success",
        "messages",
        "messages_p95",
        "duplicate_share",
        "reached",
        "bytes",
        "hops",
        "first_hit_ms_p50",
        "first_hit_ms_p95",
        "load_max",
    ];
    let bars: usize = report["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| count(row, &keys))
        .sum();
    assert_eq!(dom.matches("<rect").count(), bars);
}
