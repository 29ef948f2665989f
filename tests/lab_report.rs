//! `lab report`: runs that were kept, read again and held against each other, as a table, as JSON and in a real browser.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod browser;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use browser::in_browser;
use serde_json::Value;

fn filbert(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_filbert"));
    command
        .current_dir(dir)
        .args(args)
        .env_remove("FILBERT_JSON");
    command.output().unwrap()
}

/// Keeps a run; whether all came out as expected is not asked.
fn kept(dir: &Path, name: &str, args: &[&str]) -> Value {
    let all = [&["lab", "run"], args, &["--json", "--out", name]].concat();
    let output = filbert(dir, &all);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

fn report(dir: &Path, args: &[&str]) -> Value {
    let output = filbert(dir, &[&["lab", "report", "--json"], args].concat());
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn screen(dir: &Path, args: &[&str]) -> String {
    let output = filbert(dir, &[&["lab", "report"], args].concat());
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn difference<'a>(report: &'a Value, row: &str, figure: &str) -> &'a Value {
    let all = report["differences"].as_array().unwrap();
    let found = all
        .iter()
        .find(|one| one["row"] == row && one["figure"] == figure);
    found.unwrap_or_else(|| panic!("{row} {figure}: {report:#}"))
}

const GRAPH: [&str; 5] = ["ba:n=24,m=2", "--seed", "7", "--queries", "12"];

/// A flood and a shorter one of the same questions.
fn two_runs(dir: &Path) -> [Value; 2] {
    fs::create_dir(dir.join("runs")).unwrap();
    let run = |name: &str, ttl: &str| kept(dir, name, &[&GRAPH[..], &["--ttl", ttl]].concat());
    [run("runs/far", "7"), run("runs/near", "2")]
}

#[test]
fn the_figures_of_one_run_are_those_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let [far, _] = two_runs(dir.path());
    let report = report(dir.path(), &["runs/far"]);
    assert_eq!(
        (&report["v"], &report["type"]),
        (&1.into(), &"lab-runs".into())
    );
    assert_eq!(report.get("differences"), None);
    let run = &report["runs"][0];
    assert_eq!(
        (&run["dir"], &run["name"], &run["ok"]),
        (&"runs/far".into(), &"far".into(), &true.into())
    );
    let (row, summary) = (&run["rows"][0], &far["summary"]);
    for (figure, wanted) in [
        ("messages", &summary["messages_mean"]),
        ("duplicate_share", &summary["duplicate_share"]),
        ("reached", &summary["reached_mean"]),
        ("hops", &summary["first_hit_hops_mean"]),
        ("load_max", &far["load_max"]),
    ] {
        let (got, wanted) = (
            row[figure]["mean"].as_f64().unwrap(),
            wanted.as_f64().unwrap(),
        );
        assert!((got - wanted).abs() < 1e-9, "{figure}: {got} {wanted}");
    }
    let text = screen(dir.path(), &["runs/far"]);
    let wanted = "Run      far: barabasi-albert n=24 m=2: 24 nodes, 44 links, sim, seed 7, 12 queries, filbert ";
    assert!(text.starts_with(wanted), "{text}");
    assert!(!text.contains("DIFFERENCE"), "{text}");
}

#[test]
fn two_runs_of_the_same_questions_are_compared_query_by_query() {
    let dir = tempfile::tempdir().unwrap();
    let runs = two_runs(dir.path());
    let report = report(dir.path(), &["runs/far", "runs/near"]);
    // Questions are the same only with their TTL.
    let one = difference(&report, "far", "messages");
    assert_eq!(one["paired"], false);
    let mean = |run: &Value| run["summary"]["messages_mean"].as_f64().unwrap();
    let wanted = mean(&runs[1]) - mean(&runs[0]);
    let got = one["difference"]["mean"].as_f64().unwrap();
    assert!(
        (got - wanted).abs() < 1e-9 && wanted < -1.0,
        "{got} {wanted}"
    );
    let percent = one["percent"].as_f64().unwrap();
    assert!((percent - 100.0 * wanted / mean(&runs[0])).abs() < 1e-9);
    assert!(
        screen(dir.path(), &["runs/far", "runs/near"])
            .contains("The two asked different questions")
    );

    // The same file with slow links: not a message more, and each first hit later by as much for each of its hops.
    let slow = dir.path().join("slow.json");
    let topology = fs::read_to_string(dir.path().join("runs/far/topology.json")).unwrap();
    let mut topology: Value = serde_json::from_str(&topology).unwrap();
    topology["defaults"] = serde_json::json!({ "delay": "30ms" });
    fs::write(&slow, topology.to_string()).unwrap();
    kept(
        dir.path(),
        "runs/slow",
        &["slow.json", "--queries", "12", "--ttl", "7"],
    );
    let report = self::report(dir.path(), &["runs/far", "runs/slow"]);
    let messages = difference(&report, "far", "messages");
    assert_eq!(messages["paired"], true);
    assert_eq!(
        (
            &messages["difference"]["mean"],
            &messages["difference"]["ci95"]
        ),
        (&0.0.into(), &0.0.into())
    );
    let first = difference(&report, "far", "first_hit_ms_p50");
    assert!(
        (first["percent"].as_f64().unwrap() - 200.0).abs() < 1e-6,
        "{first}"
    );
    let text = screen(dir.path(), &["runs/far", "runs/slow"]);
    assert!(text.contains("query by query"), "{text}");
    assert!(
        text.lines()
            .any(|line| line.starts_with("first hit ") && line.ends_with("+200.0 %")),
        "{text}"
    );
}

#[test]
fn comparisons_meet_where_they_have_a_variant_in_common() {
    let dir = tempfile::tempdir().unwrap();
    let run = |name: &str, list: &str, seed: &str| {
        let args = [
            "grid:5x5",
            "--compare",
            list,
            "--queries",
            "5",
            "--seeds",
            "2",
            "--seed",
            seed,
        ];
        kept(dir.path(), name, &args);
    };
    run("a", "flood,ring:1/2/7", "1");
    run("b", "flood,walk:k=4", "9");
    let report = report(dir.path(), &["a", "b"]);
    let rows: Vec<&str> = report["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["row"].as_str().unwrap())
        .collect();
    assert!(
        rows.len() >= 9 && rows.iter().all(|row| *row == "flood"),
        "{rows:?}"
    );
    let text = screen(dir.path(), &["a", "b"]);
    assert!(
        text.contains("b: walk:k=4") && text.contains("flood messages"),
        "{text}"
    );
    kept(dir.path(), "c", &["ring:5", "--queries", "2"]);
    let text = screen(dir.path(), &["a", "c"]);
    assert!(text.contains("no variant in common"), "{text}");
    assert_eq!(
        screen(dir.path(), &["a", "b", "c"])
            .matches("Run      ")
            .count(),
        3
    );
}

#[test]
fn a_folder_without_a_run_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |what: &str, part: &str| {
        let output = filbert(dir.path(), &["lab", "report", what]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains(part) && said.contains("lab run --out"),
            "{said}"
        );
    };
    refused("nowhere", "cannot be read");
    for (name, text, part) in [
        ("text", "moby", "is no report"),
        ("later", r#"{"v": 2, "type": "lab-report"}"#, "version 2"),
        ("other", r#"{"v": 1, "type": "hit"}"#, "\"hit\""),
        (
            "half",
            r#"{"v": 1, "type": "lab-report", "engine": "sim"}"#,
            "is no report",
        ),
    ] {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join("run.json"), text).unwrap();
        refused(name, part);
    }
}

#[test]
fn a_page_of_runs_loads_nothing_and_obeys_no_name() {
    let dir = tempfile::tempdir().unwrap();
    let evil = "</script><script>alert(1)";
    fs::create_dir(dir.path().join("runs")).unwrap();
    kept(dir.path(), "runs/a<b", &GRAPH);
    let topology = serde_json::json!({
        "filbert": "topology/1", "name": evil,
        "nodes": [{"id": "a"}, {"id": "b", "files": [{"name": "moby.txt"}]}], "links": [["a", "b"]],
        "searches": [{"from": "a", "query": format!("moby {evil}")}],
    });
    fs::write(dir.path().join("evil.json"), topology.to_string()).unwrap();
    kept(dir.path(), "runs/evil", &["evil.json"]);
    screen(
        dir.path(),
        &["runs/a<b", "runs/evil", "--html", "page.html"],
    );
    let page = fs::read_to_string(dir.path().join("page.html")).unwrap();
    assert_eq!(page.matches("</script>").count(), 2, "data, script");
    assert_eq!(page.matches("<script").count(), 2);
    for foreign in ["src=", "href=", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    let nowhere = filbert(
        dir.path(),
        &["lab", "report", "runs/evil", "--html", "no/page.html"],
    );
    assert_eq!(nowhere.status.code(), Some(6));
}

#[test]
#[ignore = "needs Chromium; scripts/test runs it"]
fn a_browser_plots_two_runs_against_each_other() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("runs")).unwrap();
    for (name, strategy) in [("runs/flood", "flood"), ("runs/walk", "walk:k=4")] {
        kept(
            dir.path(),
            name,
            &[&GRAPH[..], &["--strategy", strategy]].concat(),
        );
    }
    let both = ["runs/flood", "runs/walk", "--html", "page.html"];
    let report = report(dir.path(), &both);
    let page = format!("file://{}", dir.path().join("page.html").display());
    let dom = in_browser(&page);
    assert_eq!(
        dom.matches("<polyline class=\"curve run1\"").count(),
        4,
        "two curves and their legends"
    );
    let found = |run: usize| {
        report["runs"][run]["rows"][0]["success"]["mean"]
            .as_f64()
            .unwrap()
    };
    assert!((found(0) - 1.0).abs() < 1e-9 && found(1) > 0.0);
    // A dot for each query, and one for each that both answered.
    let dots = dom.matches("<circle cx").count();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few queries"
    )]
    let answered = (found(1) * 12.0).round() as usize;
    assert_eq!(dots, 12 + answered);
    let figures = |run: usize| report["runs"][run]["rows"][0].as_object().unwrap().values();
    let bars: usize = (0..2)
        .map(|run| figures(run).filter(|value| value.is_object()).count())
        .sum();
    assert_eq!(dom.matches("<rect").count(), bars);
    let differences = report["differences"].as_array().unwrap().len();
    assert_eq!(dom.matches("<tr").count(), (1 + differences) + (1 + 2));
    assert!(dom.contains("filbert lab report runs/flood runs/walk"));
}
