//! Nodes that are not as they should be, in virtual time: what slow, silent and lying ones and free riders do to searches.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use filbert::node::strategy::Approach;
use filbert::sim::report::Report;
use filbert::sim::{self, Options};
use filbert::topology::plan::{Wish, plan};
use filbert::topology::{Network, parse};

/// Runs a file with checks after every event: no invariant may break, and every exact prediction must come true.
fn run_by(text: &str, strategy: &str) -> Report {
    let text = format!(r#"{{"filbert": "topology/1", {text}}}"#);
    let network = Network::new(&parse(&text).unwrap()).unwrap();
    let options = Options {
        check: true,
        approach: strategy.parse::<Approach>().unwrap(),
        ..Options::default()
    };
    let report = sim::run(&network, &plan(&network, Wish::default()), options).unwrap();
    assert_eq!(report.broken, Vec::<String>::new(), "{text}");
    let predicted = report.summary.as_ref().map(|all| all.predicted_ok);
    assert_ne!(predicted, Some(false), "{text}");
    report
}

fn run(text: &str) -> Report {
    run_by(text, "flood")
}

const MOBY: &str = r#"{"id": "n4", "files": [{"name": "moby-dick.txt"}]}"#;

/// A line of five with a file at its end, and more about its nodes; asked from its beginning.
fn line(more: &str) -> String {
    format!(
        r#""generate": [{{"kind": "line", "n": 5}}], "nodes": [{MOBY} {more}],
           "searches": [{{"from": "n0", "query": "moby dick"}}]"#
    )
}

#[test]
fn a_node_with_a_capacity_handles_one_frame_after_the_other() {
    let free = run(&line(""));
    assert_eq!(free.queries[0].first_hit_ms, Some(80.0));
    // A tenth of a second for the query, and another for the hit.
    let slow = run(&line(r#", {"id": "n2", "capacity": "10/s"}"#));
    assert_eq!(slow.queries[0].first_hit_ms, Some(280.0));
    assert_eq!(slow.queries[0].reached, 4);
    assert!(!slow.queries[0].predicted.exact);
    let said = run(&line(r#", {"id": "n2", "behaviour": "slow"}"#));
    assert_eq!(said.queries[0].first_hit_ms, Some(280.0));
}

#[test]
fn too_many_queries_for_a_middle_are_dropped_there_and_fewer_find_something() {
    // Each leaf's query comes to the middle once and back as hits of others: some two frames for each query.
    let star = |capacity: &str, per_s: u32| {
        let report = run(&format!(
            r#""seed": 2, "generate": [{{"kind": "star", "n": 40}}], "nodes": [{{"id": "n0" {capacity}}}],
               "content": {{"files": 20, "copies": {{"fixed": 4}}}},
               "workload": {{"queries": 400, "arrival": {{"poisson": "{per_s}/s"}}}}"#
        ));
        let summary = report.summary.unwrap();
        (summary.answered, report.frames.unwrap().overrun)
    };
    let (all, none) = star("", 40);
    assert_eq!(none, 0);
    assert!(
        all >= 395,
        "all but those who ask for what only they have: {all}"
    );
    // A fifth of what comes at 40 a second; what comes at 2 is no trouble.
    let (few, overrun) = star(r#", "capacity": "40/s""#, 40);
    assert!(few < all * 3 / 4 && overrun > 500, "{few}, {overrun}");
    assert_eq!(star(r#", "capacity": "40/s""#, 2), (all, 0));
}

#[test]
fn a_silent_node_keeps_what_it_hears_and_says_what_is_its_own() {
    let silent = run(&line(
        r#", {"id": "n2", "behaviour": "silent", "files": [{"name": "moby.txt"}]}"#,
    ));
    let query = &silent.queries[0];
    assert_eq!((query.messages, query.reached, query.hits), (2, 2, 0));
    assert_eq!(silent.frames.unwrap().withheld, 1);
    let own = run(&format!(
        r#""generate": [{{"kind": "line", "n": 5}}],
           "nodes": [{MOBY}, {{"id": "n2", "behaviour": "silent", "files": [{{"name": "white-whale.txt"}}]}}],
           "searches": [{{"from": "n0", "query": "whale", "hits": 1}}, {{"from": "n2", "query": "moby", "hits": 1}},
                        {{"from": "n3", "query": "moby", "hits": 1}}]"#
    ));
    assert!(own.ok(), "{}", own.foot());
    // Kept: n0's query for n3, n3's for n1; n2's own went both ways.
    assert_eq!(own.frames.unwrap().withheld, 2);
}

#[test]
fn a_liar_answers_everything_once_with_what_it_does_not_have() {
    let ring = |nodes: &str| {
        format!(
            r#""generate": [{{"kind": "ring", "n": 12}}], "nodes": [{MOBY} {nodes}], "defaults": {{"ttl": 255}},
               "searches": [{{"from": "n0", "query": "moby dick"}}, {{"from": "n0", "query": "nothing"}},
                            {{"from": "n7", "query": "moby dick"}}]"#
        )
    };
    let liar = r#", {"id": "n7", "behaviour": "junk", "files": [{"name": "moby-dick.txt"}]}"#;
    let (honest, lied) = (run(&ring("")), run(&ring(liar)));
    let figures = |report: &Report| -> Vec<(u64, u64, u64, u64)> {
        let one = |query: &filbert::sim::report::QueryReport| {
            (query.messages, query.reached, query.hits, query.false_hits)
        };
        report.queries.iter().map(one).collect()
    };
    // It is asked twice over, from either side, and lies once; it does not answer itself; its file is none.
    assert_eq!(
        figures(&honest),
        [(13, 11, 1, 0), (13, 11, 0, 0), (13, 11, 1, 0)]
    );
    assert_eq!(
        figures(&lied),
        [(13, 11, 1, 1), (13, 11, 0, 1), (13, 11, 1, 0)]
    );
    assert!(
        lied.queries.iter().all(|query| query.predicted.exact),
        "floods do not care"
    );
    assert_eq!(lied.graph.behaviours.get("junk"), Some(&1));
    assert!(
        lied.foot().contains("Liars answered with 2 files"),
        "{}",
        lied.foot()
    );
}

#[test]
fn liars_end_walks_that_a_flood_would_not_have_ended() {
    let text = |liars: &str| {
        format!(
            r#""seed": 3, "generate": [{{"kind": "rr", "n": 300, "k": 6}}], "content": {{"files": 20, "copies": {{"fixed": 3}}}},
               "workload": {{"queries": 40}} {liars}"#
        )
    };
    let answered = |liars: &str, strategy: &str| {
        let summary = run_by(&text(liars), strategy).summary.unwrap();
        summary.answered
    };
    let liars = r#", "behaviours": {"junk": 0.05}"#;
    assert!(answered("", "walk:k=8") >= 36);
    assert!(
        answered(liars, "walk:k=8") <= 25,
        "they stop at the first answer"
    );
    assert!(answered(liars, "flood") >= 38);
}

#[test]
fn free_riders_have_nothing_and_the_others_all() {
    let text = r#""seed": 3, "generate": [{"kind": "rr", "n": 100, "k": 4}], "behaviours": {"free-rider": 0.7},
        "nodes": [{"id": "n0", "behaviour": "free-rider", "files": [{"name": "moby-dick.txt"}]}],
        "content": {"files": 30, "copies": {"uniform": 0.1}}, "searches": [{"from": "n1", "query": "moby", "hits": 0}]"#;
    let report = run(text);
    assert!(report.ok(), "{}", report.foot());
    let text = format!(r#"{{"filbert": "topology/1", {text}}}"#);
    let network = Network::new(&parse(&text).unwrap()).unwrap();
    let plan = plan(&network, Wish::default());
    let files: usize = plan.files.values().map(Vec::len).sum();
    assert_eq!(files, 300, "as many copies as without free riders");
    assert!(plan.files.keys().all(|node| network.gives(*node)));
    assert_eq!((0..100).filter(|node| network.gives(*node)).count(), 29);
}
