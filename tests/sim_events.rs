//! What happens while a simulated network runs: each event does what the file says and nothing else, what floods cost is
//! what the network as it is then demands, no invariant breaks, and the same seed gives the same trace.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod seeds;

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use filbert::node::strategy::Approach;
use filbert::sim::report::{QueryReport, Report};
use filbert::sim::{self, Options};
use filbert::topology::plan::{Wish, plan};
use filbert::topology::{Network, dice, parse};
use rand::rngs::ChaCha8Rng;
use seeds::each_seed;

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs a file with checks after every event; its report and trace. No invariant may break.
fn traced(text: &str, strategy: &str) -> (Report, String) {
    let text = format!(r#"{{"filbert": "topology/1", {text}}}"#);
    let network = Network::new(&parse(&text).unwrap()).unwrap();
    let written = Written::default();
    let options = Options {
        trace: Some(Box::new(written.clone())),
        check: true,
        approach: strategy.parse::<Approach>().unwrap(),
        ..Options::default()
    };
    let report = sim::run(&network, &plan(&network, Wish::default()), options).unwrap();
    assert_eq!(report.broken, Vec::<String>::new(), "{text}");
    let bytes = written.0.lock().unwrap().clone();
    (report, String::from_utf8(bytes).unwrap())
}

/// As [`traced`], with a plain flood, every search as expected and every cost as predicted.
fn run(text: &str) -> Report {
    let (report, _) = traced(text, "flood");
    assert!(report.ok(), "{text}: {}", report.head() + &report.foot());
    report
}

/// A ring of twelve with a file on n9.
fn ring(events: &[&str]) -> String {
    format!(
        r#""defaults": {{"ttl": 255}}, "generate": [{{"kind": "ring", "n": 12}}],
           "nodes": [{{"id": "n9", "files": [{{"name": "moby-dick.txt"}}]}}], "events": [{}]"#,
        events.join(", ")
    )
}

const ASK: &str = r#"{"at": "2s", "do": "search", "from": "n2", "query": "moby dick"}"#;

/// Messages, lost ones, nodes reached and hits of each query.
fn figures(report: &Report) -> Vec<(u64, u64, u64, u64)> {
    let one = |query: &QueryReport| (query.messages, query.lost, query.reached, query.hits);
    report.queries.iter().map(one).collect()
}

fn exact(report: &Report) -> bool {
    report.queries.iter().all(|query| query.predicted.exact)
}

/// Bye frames delivered.
fn byes(trace: &str) -> usize {
    let bye = |line: &&str| line.contains(r#""kind":"bye""#);
    trace.lines().filter(bye).count()
}

#[test]
fn nothing_passes_between_groups_until_they_are_healed() {
    let report = run(&ring(&[
        r#"{"at": "1s", "do": "partition", "groups": ["n0..n5", "n6..n11"]}"#,
        r#"{"at": "2s", "do": "expect", "from": "n2", "query": "moby dick", "hits": 0, "within": "1s"}"#,
        r#"{"at": "3s", "do": "heal"}"#,
        r#"{"at": "4s", "do": "expect", "from": "n2", "query": "moby dick", "within": "1s"}"#,
    ]));
    assert_eq!(figures(&report), [(7, 2, 5, 0), (13, 0, 11, 1)]);
    assert!(exact(&report));
    let pieces: Vec<usize> = report.phases.iter().map(|phase| phase.pieces).collect();
    assert_eq!(pieces, [1, 2, 1]);
    let links: Vec<usize> = report.phases.iter().map(|phase| phase.links).collect();
    assert_eq!(links, [12, 12, 12], "connections stay");
}

#[test]
fn a_one_way_partition_lets_pass_what_comes_the_other_way() {
    // n2 hears n3 and n3 does not hear n2.
    let report = run(&ring(&[
        r#"{"at": "1s", "do": "partition", "from": "n2", "to": "n3"}"#,
        ASK,
        r#"{"at": "3s", "do": "search", "from": "n3", "query": "moby dick"}"#,
    ]));
    // From n2 the long way round; from n3 both ways, as ever.
    assert_eq!(figures(&report), [(13, 1, 11, 1), (13, 0, 11, 1)]);
    let hops: Vec<_> = report
        .queries
        .iter()
        .map(|query| query.first_hit_hops)
        .collect();
    assert_eq!(hops, [Some(5), Some(6)]);
    assert!(
        !exact(&report),
        "which copy comes first decides what is lost"
    );
    assert_eq!(report.phases[1].pieces, 1, "there is a way round");
}

#[test]
fn whoever_dies_says_nothing_and_whoever_leaves_says_bye() {
    for (event, said) in [("kill", 0), ("leave", 2)] {
        let gone = format!(r#"{{"at": "1s", "do": "{event}", "node": "n9"}}"#);
        let (report, trace) = traced(&ring(&[&gone, ASK]), "flood");
        assert_eq!(byes(&trace), said, "{event}");
        assert_eq!(figures(&report), [(10, 0, 10, 0)], "{event}");
        assert!(report.ok() && exact(&report));
        let end = report.phases.last().unwrap();
        assert_eq!((end.nodes, end.links, end.pieces), (11, 10, 1), "{event}");
    }
}

#[test]
fn a_frame_on_the_way_to_a_node_that_dies_is_lost_and_counted() {
    // The query from n2 is at n4 after 20 ms and would be at n5 after 30.
    let report = run(&ring(&[
        ASK,
        r#"{"at": "2025ms", "do": "kill", "node": "n5"}"#,
    ]));
    let query = &report.queries[0];
    assert_eq!((query.lost, query.reached, query.hits), (1, 10, 1));
    assert!(!query.predicted.exact, "something happened meanwhile");
}

#[test]
fn of_a_search_and_an_event_at_one_moment_the_first_in_the_file_comes_first() {
    let split = r#"{"at": "2s", "do": "partition", "groups": ["n0..n5", "n6..n11"]}"#;
    // The first frames of the search are under way already; the two that reach the ends of the group are lost.
    let report = run(&ring(&[ASK, split]));
    assert_eq!(figures(&report), [(7, 2, 5, 0)]);
    assert!(!exact(&report), "something happened meanwhile");
    let report = run(&ring(&[split, ASK]));
    assert_eq!(figures(&report), [(7, 2, 5, 0)]);
    assert!(exact(&report));
}

#[test]
fn what_nodes_must_remember_for_an_exact_prediction_is_what_is_asked() {
    let asks = [
        ASK,
        r#"{"at": "3s", "do": "expect", "from": "n5", "query": "moby dick"}"#,
    ];
    let exact_with = |memory: usize, events: &[&str]| {
        let text = ring(events);
        let text = text.replace(
            r#""ttl": 255"#,
            &format!(r#""ttl": 255, "seen_cache": {memory}"#),
        );
        exact(&run(&text))
    };
    assert!(exact_with(2, &asks), "two searches, and no twenty-four");
    assert!(!exact_with(1, &asks));
    let each = r#"{"at": "3s", "do": "search", "from": "each", "query": "moby dick"}"#;
    assert!(exact_with(12, &[each]));
    assert!(!exact_with(11, &[each]));
}

#[test]
fn whoever_comes_back_has_its_files_and_links_but_no_memory() {
    let back = [
        r#"{"at": "1s", "do": "kill", "nodes": ["n9", "n5"]}"#,
        r#"{"at": "2s", "do": "expect", "from": "n2", "query": "moby dick", "hits": 0}"#,
        r#"{"at": "3s", "do": "restart", "nodes": ["n9", "n5"]}"#,
        r#"{"at": "4s", "do": "expect", "from": "n2", "query": "moby dick"}"#,
        r#"{"at": "5s", "do": "expect", "from": "n9", "query": "moby dick", "hits": 0}"#,
    ];
    let report = run(&ring(&back));
    assert_eq!(
        figures(&report),
        [(6, 0, 6, 0), (13, 0, 11, 1), (13, 0, 11, 0)],
        "from n2 to n4 and over n0 to n10; then all again"
    );
    assert!(exact(&report));
    // A restart of somebody who is there, and a death of somebody who is not, change nothing.
    let twice = ring(&[
        r#"{"at": "1s", "do": "restart", "node": "n3"}"#,
        r#"{"at": "1s", "do": "kill", "node": "n9"}"#,
        r#"{"at": "2s", "do": "kill", "node": "n9"}"#,
    ]);
    let end = run(&twice).phases.last().unwrap().clone();
    assert_eq!((end.nodes, end.links), (11, 10));
}

#[test]
fn whoever_joins_was_not_there_before() {
    let report = run(&ring(&[
        r#"{"at": "1s", "do": "expect", "from": "n2", "query": "moby dick", "hits": 0}"#,
        r#"{"at": "2s", "do": "join", "nodes": "n8..n10"}"#,
        r#"{"at": "3s", "do": "expect", "from": "n2", "query": "moby dick"}"#,
    ]));
    assert_eq!(figures(&report), [(8, 0, 8, 0), (13, 0, 11, 1)]);
    assert_eq!(
        report
            .phases
            .iter()
            .map(|phase| phase.nodes)
            .collect::<Vec<_>>(),
        [9, 12]
    );
}

#[test]
fn a_cut_link_stays_closed_until_it_is_healed() {
    let report = run(&ring(&[
        r#"{"at": "1s", "do": "cut", "from": "n3", "to": "n2"}"#,
        ASK,
        r#"{"at": "3s", "do": "kill", "node": "n3"}"#,
        r#"{"at": "4s", "do": "restart", "node": "n3"}"#,
        r#"{"at": "5s", "do": "search", "from": "n2", "query": "moby dick"}"#,
        r#"{"at": "6s", "do": "heal"}"#,
        r#"{"at": "7s", "do": "search", "from": "n2", "query": "moby dick"}"#,
    ]));
    assert_eq!(
        figures(&report),
        [(11, 0, 11, 1), (11, 0, 11, 1), (13, 0, 11, 1)]
    );
    assert!(exact(&report));
    // All links between two halves at once, and all links of one node.
    let all = run(&ring(&[
        r#"{"at": "1s", "do": "cut", "from": "n0..n5", "to": "n6..n11"}"#,
        r#"{"at": "2s", "do": "cut", "from": "n8"}"#,
    ]));
    let end = all.phases.last().unwrap();
    assert_eq!((end.nodes, end.links, end.pieces), (12, 8, 4));
}

#[test]
fn a_link_that_is_cut_while_it_comes_up_stays_down_until_it_is_healed() {
    // A greeting takes five delays of 10 ms. The called node reads the offer after three, the caller the answer after
    // four, the called node the last group after five. Who dials: n3 when it comes back, n2 when all is healed.
    let dials = [
        r#"{"at": "1s", "do": "kill", "node": "n3"}, {"at": "2s", "do": "restart", "node": "n3"}"#,
        r#"{"at": "1s", "do": "cut", "from": "n2", "to": "n3"}, {"at": "2s", "do": "heal"}"#,
    ];
    for (dial, cut_ms) in dials
        .iter()
        .flat_map(|dial| [2000, 2015, 2035, 2045].map(|ms| (dial, ms)))
    {
        let cut = format!(r#"{{"at": "{cut_ms}ms", "do": "cut", "from": "n2", "to": "n3"}}"#);
        let report = run(&ring(&[
            dial,
            &cut,
            r#"{"at": "3s", "do": "search", "from": "n2", "query": "moby dick"}"#,
            r#"{"at": "4s", "do": "heal"}"#,
            r#"{"at": "5s", "do": "search", "from": "n2", "query": "moby dick"}"#,
        ]));
        let said = format!("{dial} {cut}");
        assert_eq!(figures(&report), [(11, 0, 11, 1), (13, 0, 11, 1)], "{said}");
        assert!(exact(&report), "{said}");
        let links: Vec<usize> = report.phases.iter().map(|phase| phase.links).collect();
        assert_eq!(links[links.len() - 2..], [11, 12], "{said}");
    }
}

#[test]
fn links_change_and_change_back() {
    let ask = |at: &str| {
        format!(r#"{{"at": "{at}", "do": "search", "from": "n8", "query": "moby dick"}}"#)
    };
    let asks = [ask("1s"), ask("3s"), ask("5s"), ask("7s")];
    let report = run(&ring(&[
        &asks[0],
        r#"{"at": "2s", "do": "change", "from": "n8", "to": "n9", "delay": "50ms"}"#,
        &asks[1],
        r#"{"at": "4s", "do": "change", "drop": 1}"#,
        &asks[2],
        r#"{"at": "6s", "do": "heal"}"#,
        &asks[3],
    ]));
    let first: Vec<_> = report
        .queries
        .iter()
        .map(|query| query.first_hit_ms)
        .collect();
    assert_eq!(first, [Some(20.0), Some(100.0), None, Some(20.0)]);
    let lost: Vec<u64> = report.queries.iter().map(|query| query.lost).collect();
    assert_eq!(lost, [0, 0, 2, 0]);
    // 62 bytes at 620 bytes a second: a tenth of a second for each of two frames.
    let slow = run(&ring(&[
        r#"{"at": "1s", "do": "change", "from": "n8", "to": "n9", "rate": "350B/s"}"#,
        &asks[1],
        r#"{"at": "4s", "do": "change", "rate": "none"}"#,
        &asks[2],
    ]));
    let first: Vec<f64> = slow
        .queries
        .iter()
        .filter_map(|query| query.first_hit_ms)
        .collect();
    assert!(
        first[0] > 100.0 && (first[1] - 20.0).abs() < 1e-9,
        "{first:?}"
    );
}

#[test]
fn what_is_found_too_late_does_not_count() {
    let text = ring(&[
        r#"{"at": "1s", "do": "expect", "from": "n2", "query": "moby dick", "within": "99ms"}"#,
        r#"{"at": "2s", "do": "expect", "from": "n2", "query": "moby dick", "within": "100ms"}"#,
        r#"{"at": "3s", "do": "expect", "from": "each", "query": "moby dick", "within": "1s"}"#,
    ]);
    let (report, _) = traced(&text, "flood");
    assert!(!report.ok());
    let oks: Vec<bool> = report.events.iter().map(|event| event.ok).collect();
    assert_eq!(oks, [false, true, false]);
    // Nobody finds its own file, n9 least of all.
    let each = &report.events[2].expected;
    let missed: Vec<&str> = each
        .iter()
        .filter(|found| !found.ok)
        .map(|found| &*found.from)
        .collect();
    assert_eq!((each.len(), missed), (12, vec!["n9"]));
    let late = &report.events[0].expected[0];
    assert_eq!((late.got, late.reached, report.queries[0].hits), (0, 11, 1));
    assert_eq!(report.queries[0].at_ms, Some(1000.0));
    let first = &report.events[1].expected[0];
    assert!((first.after_ms - 100.0).abs() < 1e-9, "{first:?}");
    let foot = report.foot();
    let said = r#"expected >=1 hits for "moby dick" from n2 within 99 ms: got 0   FAILED"#;
    assert!(foot.contains(said), "{foot}");
}

#[test]
fn an_asker_that_is_away_fails_what_is_expected_and_a_drawn_one_is_replaced() {
    let (report, _) = traced(
        &ring(&[
            r#"{"at": "1s", "do": "kill", "node": "n2"}"#,
            r#"{"at": "2s", "do": "expect", "from": "n2", "query": "moby dick"}"#,
        ]),
        "flood",
    );
    let refused = report.events[1].expected[0].refused.as_deref();
    assert_eq!(refused, Some("the asker is away"));
    assert!(!report.ok());
    let drawn = r#""generate": [{"kind": "complete", "n": 8}], "content": {"files": 4, "copies": {"fixed": 8}},
        "workload": {"queries": 40, "arrival": {"every": "100ms"}},
        "events": [{"at": "50ms", "do": "kill", "nodes": "n1..n7"}]"#;
    let report = run(drawn);
    assert!(
        report
            .queries
            .iter()
            .all(|query| query.from == "n0" && query.refused.is_none())
    );
}

#[test]
fn a_share_of_the_nodes_dies_and_comes_back() {
    let text = r#""seed": 5, "generate": [{"kind": "rr", "n": 100, "k": 6}], "events": [
        {"at": "1s", "do": "kill", "share": 0.3}, {"at": "2s", "do": "kill", "share": 0.5},
        {"at": "3s", "do": "restart", "share": 1}, {"at": "9s", "do": "search", "from": "n0", "query": "moby"}]"#;
    let report = run(text);
    let nodes: Vec<usize> = report.phases.iter().map(|phase| phase.nodes).collect();
    assert_eq!(nodes, [100, 70, 35, 100]);
    let end = report.phases.last().unwrap();
    assert_eq!((end.links, end.pieces), (300, 1), "all links are up again");
    assert_eq!(report.queries.last().unwrap().reached, 99);
}

#[test]
fn tables_and_leaves_come_back_in_two_tiers() {
    let text = r#""generate": [{"kind": "two-tier", "u": 4, "d": 3, "leaves": 12}],
        "nodes": [{"id": "n9", "files": [{"name": "moby-dick.txt"}]}], "events": [
        {"at": "1s", "do": "expect", "from": "n12", "query": "moby dick", "within": "20s"},
        {"at": "30s", "do": "kill", "node": "n9"},
        {"at": "31s", "do": "expect", "from": "n13", "query": "moby dick", "hits": 0, "within": "20s"},
        {"at": "60s", "do": "restart", "node": "n9"},
        {"at": "90s", "do": "expect", "from": "n14", "query": "moby dick", "within": "20s"},
        {"at": "120s", "do": "kill", "nodes": ["n0", "n1"]},
        {"at": "130s", "do": "restart", "nodes": ["n0", "n1"]},
        {"at": "160s", "do": "expect", "from": "n15", "query": "moby dick", "within": "20s"}]"#;
    let (report, _) = traced(text, "flood");
    assert!(report.ok(), "{}", report.foot());
    let end = report.phases.last().unwrap();
    assert_eq!((end.nodes, end.links), (16, 6 + 36));
}

/// A network and events drawn at random.
fn storm(seed: u64, rng: &mut ChaCha8Rng) -> String {
    let shapes = [
        r#"{"kind": "rr", "n": 24, "k": 4}"#,
        r#"{"kind": "ba", "n": 30, "m": 2}"#,
        r#"{"kind": "ws", "n": 24, "k": 4, "p": 0.2}"#,
        r#"{"kind": "grid", "w": 5, "h": 5}"#,
    ];
    let shape = shapes[dice::pick(rng, shapes.len())];
    let links = [
        "",
        r#", "jitter": "7ms""#,
        r#", "jitter": "3ms", "drop": 0.05, "rate": "3kB/s""#,
    ];
    let links = links[dice::pick(rng, links.len())];
    let mut events = String::new();
    for at in 0..40 {
        let (a, b) = (dice::pick(rng, 24), dice::pick(rng, 24));
        let (low, high) = (a.min(b), a.max(b));
        let what = match dice::below(rng, 12) {
            0 => format!(r#""kill", "node": "n{a}""#),
            1 => format!(r#""leave", "nodes": "n{low}..n{high}""#),
            2 => r#""restart", "share": 0.7"#.to_owned(),
            3 => r#""kill", "share": 0.2"#.to_owned(),
            4 => format!(r#""partition", "groups": ["n0..n{low}"]"#),
            5 if a != b => format!(r#""partition", "from": "n{a}", "to": "n{b}""#),
            6 => format!(r#""cut", "from": "n{a}""#),
            7 => r#""heal""#.to_owned(),
            8 => format!(
                r#""change", "from": "n{a}", "delay": "{}ms", "jitter": "2ms""#,
                1 + b
            ),
            9 => r#""churn", "up": "400ms", "down": "200ms", "crash": 0.5"#.to_owned(),
            10 => r#""calm""#.to_owned(),
            _ => format!(r#""search", "from": "n{a}", "query": "ba""#),
        };
        let comma = if at == 0 { "" } else { "," };
        let time = at * 150 + dice::pick(rng, 100);
        let _ = write!(events, r#"{comma} {{"at": "{time}ms", "do": {what}}}"#);
    }
    let natures = [
        "",
        r#""behaviours": {"silent": 0.1, "junk": 0.1, "free-rider": 0.3},"#,
        r#""behaviours": {"slow": 0.1}, "capacities": [{"share": 1, "capacity": "60/s"}, {"share": 1, "capacity": "500/s"}],"#,
    ];
    let natures = natures[dice::pick(rng, natures.len())];
    format!(
        r#"{natures} "seed": {seed}, "defaults": {{"ttl": 7 {links}}}, "generate": [{shape}],
           "content": {{"files": 8, "copies": {{"fixed": 3}}}},
           "workload": {{"queries": 120, "arrival": {{"poisson": "20/s"}}}}, "events": [{events}]"#
    )
}

#[test]
fn in_any_storm_the_invariants_hold_and_the_same_seed_gives_the_same_trace() {
    each_seed(
        "sim_events",
        "in_any_storm_the_invariants_hold_and_the_same_seed_gives_the_same_trace",
        8,
        |seed| {
            let mut rng = dice::seeded(seed, 98);
            let text = storm(seed, &mut rng);
            let strategies = ["flood", "ring:1/2/4", "walk:k=4", "light:2+3"];
            let strategy = strategies[usize::try_from(seed).unwrap() % strategies.len()];
            let (report, trace) = traced(&text, strategy);
            let summary = report.summary.as_ref().unwrap();
            let differs = report.queries.iter().find(|query| {
                let predicted = &query.predicted;
                let measured = (query.messages, query.reached, query.hits);
                predicted.exact
                    && measured != (predicted.messages, predicted.reached, predicted.hits)
            });
            assert!(summary.predicted_ok, "{strategy}: {differs:?}: {text}");
            assert!(trace.len() > 10_000, "{strategy}: a trace worth comparing");
            let (again, traced_again) = traced(&text, strategy);
            assert!(trace == traced_again, "{strategy}: {text}");
            let json = |report: &Report| serde_json::to_string(report).unwrap();
            assert_eq!(json(&report), json(&again), "{strategy}");
        },
    );
}

#[test]
fn under_churn_a_steady_share_is_there_and_searches_find_what_is_left() {
    let text = |churn: &str| {
        format!(
            r#""seed": 5, "generate": [{{"kind": "rr", "n": 200, "k": 8}}], "content": {{"files": 40, "copies": {{"fixed": 4}}}},
               "workload": {{"queries": 300, "arrival": {{"every": "200ms"}}}}, "events": [
               {{"at": "0s", "do": "churn", {churn}}}, {{"at": "60s", "do": "calm"}}, {{"at": "63s", "do": "heal"}},
               {{"at": "70s", "do": "expect", "from": "n0", "query": "bababa", "hits": ">=0"}}]"#
        )
    };
    let before = r#""up": "30s", "down": "10s", "before": "1h", "crash": 0.5"#;
    let report = run(&text(before));
    assert_eq!(report.timeline.len(), 20);
    // Three of four nodes are there, and three of four of these at the other end of a link too: 800 * 9/16 = 450.
    let busy = &report.timeline[..17];
    let mean = |figure: fn(&filbert::sim::phases::Phase) -> usize| {
        busy.iter().map(figure).sum::<usize>() / busy.len()
    };
    let (nodes, links) = (mean(|phase| phase.nodes), mean(|phase| phase.links));
    assert!((140..160).contains(&nodes), "{nodes}");
    assert!((400..480).contains(&links), "{links}");
    let churn = report.churn.unwrap();
    // Some 150 nodes stay for 30 s on average: 300 go in a minute, and as many come; fifty went before.
    assert!((250..350).contains(&churn.came), "{churn:?}");
    assert!((300..400).contains(&(churn.left + churn.died)), "{churn:?}");
    assert!(churn.left.abs_diff(churn.died) < 80, "{churn:?}");
    // Four copies, each there with a chance of three quarters.
    let summary = report.summary.as_ref().unwrap();
    assert!(
        report.queries.iter().all(|query| query.refused.is_none()),
        "others ask"
    );
    let answered = report.queries[..300]
        .iter()
        .filter(|query| query.hits > 0)
        .count();
    assert!((285..=300).contains(&answered), "{answered}");
    assert!(summary.predicted_ok);
    let end = report.phases.last().unwrap();
    assert_eq!(
        (end.nodes, end.links, end.pieces),
        (200, 800, 1),
        "all come back"
    );
    // Nobody is away at first where churn has only begun.
    let young = run(&text(r#""up": "30s", "down": "10s""#));
    assert!(
        (160..190).contains(&young.timeline[0].nodes),
        "a tenth is gone after 3.5 s"
    );
}
