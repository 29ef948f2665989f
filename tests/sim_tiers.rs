//! Two tiers in virtual time: leaves, ultrapeers, routing tables and dynamic queries, with the invariants checked after
//! every event.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod seeds;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use filbert::node::Time;
use filbert::node::dynamic::{WANTED_LEAF, horizon};
use filbert::node::event::Role;
use filbert::node::library::Library;
use filbert::node::qrp::{QueryTable, QueryWords};
use filbert::sim::{self, Options, Setting, World};
use filbert::topology::plan::{Wish, plan};
use filbert::topology::{Graph, Network, dice, parse};
use seeds::each_seed;
use serde_json::Value;

/// Where a trace is written to.
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

/// One frame delivered.
#[derive(Clone, Debug)]
struct Delivered {
    at_ns: u64,
    from: u32,
    to: u32,
    kind: String,
    guid: String,
    ttl: u8,
    hops: u8,
}

/// A world of two tiers whose tables have travelled, and what is delivered in it from then on.
struct House {
    network: Network,
    graph: Graph,
    libraries: BTreeMap<u32, Arc<Library>>,
    world: World,
    written: Written,
}

impl House {
    fn new(text: &str) -> Self {
        let network = Network::new(&parse(text).unwrap()).unwrap();
        let wish = Wish {
            queries: Some(0),
            ttl: None,
        };
        let libraries = sim::libraries(&plan(&network, wish), &BTreeMap::new());
        let written = Written::default();
        let setting = Setting {
            libraries: libraries.clone(),
            trace: Some(Box::new(written.clone())),
            check: true,
            ..Setting::default()
        };
        let mut world = World::new(&network, setting).unwrap();
        world.run_until_quiet(u64::MAX);
        let mut house = Self {
            graph: network.graph(),
            network,
            libraries,
            world,
            written,
        };
        let tables = house.delivered();
        assert!(tables.iter().all(|frame| frame.kind != "query"));
        house
    }

    fn node(&self, name: &str) -> u32 {
        self.network.names.find(name).unwrap()
    }

    fn is_leaf(&self, node: u32) -> bool {
        self.network.roles.of(node) == Some(Role::Leaf)
    }

    /// All that was delivered since this was asked last.
    fn delivered(&mut self) -> Vec<Delivered> {
        let bytes = std::mem::take(&mut *self.written.0.lock().unwrap());
        let lines = std::str::from_utf8(&bytes).unwrap().lines();
        lines
            .map(|line| {
                let line: Value = serde_json::from_str(line).unwrap();
                let text = |key: &str| line[key].as_str().unwrap().to_owned();
                let number = |key: &str| line[key].as_u64().unwrap();
                Delivered {
                    at_ns: number("t_ns"),
                    from: self.node(&text("from")),
                    to: self.node(&text("to")),
                    kind: text("kind"),
                    guid: text("guid"),
                    ttl: u8::try_from(number("ttl")).unwrap(),
                    hops: u8::try_from(number("hops")).unwrap(),
                }
            })
            .collect()
    }

    fn queries(&mut self) -> Vec<Delivered> {
        let mut delivered = self.delivered();
        delivered.retain(|frame| frame.kind == "query");
        delivered
    }

    /// Asks and lets all come to rest; the hits.
    fn ask(&mut self, from: &str, text: &str) -> u64 {
        let from = self.node(from);
        let query = self.world.search(from, text, 4);
        self.world.run_until_quiet(u64::MAX);
        let hits = self.world.measured(query).hits;
        self.world.end_queries(query);
        hits
    }

    /// The table that an ultrapeer should have sent to others: its own words and those of its leaves.
    fn table_of(&self, node: u32) -> QueryTable {
        let own = |node: u32| {
            let empty = Arc::new(Library::default());
            QueryTable::of_library(self.libraries.get(&node).unwrap_or(&empty))
        };
        let mut table = own(node);
        for half in self.graph.links(node) {
            if self.is_leaf(half.to) {
                table.merge(&own(half.to));
            }
        }
        table
    }

    fn no_breach(&mut self) {
        assert_eq!(self.world.finish().unwrap(), []);
    }
}

/// A file of 4 ultrapeers, all linked, with 12 leaves, each on one of them and each sharing a word of its own.
fn one_word_each() -> String {
    let mut nodes = String::new();
    for leaf in 4..16 {
        let _ = write!(
            nodes,
            r#"{}{{ "id": "n{leaf}", "files": [{{ "name": "word{leaf} of all.txt" }}] }}"#,
            if leaf == 4 { "" } else { ", " }
        );
    }
    format!(
        r#"{{ "filbert": "topology/1", "seed": 5, "nodes": [{nodes}],
        "generate": [{{ "kind": "two-tier", "u": 4, "d": 3, "leaves": 12, "k": 1 }}] }}"#
    )
}

#[test]
fn tables_travel_and_a_query_reaches_no_leaf_but_those_that_match() {
    let mut house = House::new(&one_word_each());
    for leaf in 5..16 {
        let hits = house.ask("n4", &format!("word{leaf}"));
        assert_eq!(hits, 1, "{leaf}");
        let reached: BTreeSet<u32> = house
            .queries()
            .iter()
            .filter(|query| house.network.roles.of(query.to) == Some(Role::Leaf))
            .map(|query| query.to)
            .collect();
        assert_eq!(reached, BTreeSet::from([leaf]), "one hash for each word");
    }
    assert_eq!(house.ask("n4", "all"), 11, "all leaves but the asker");
    house.delivered();
    assert_eq!(house.ask("n4", "nowhere"), 0);
    let queries = house.queries();
    assert!(queries.iter().all(|query| !house.is_leaf(query.to)));
    house.no_breach();
}

/// A random house: some ultrapeers, leaves on one to three of them, files spread over all.
fn random_house(seed: u64) -> House {
    let mut rng = dice::seeded(seed, 77);
    let mut between = |low: u64, high: u64| low + dice::below(&mut rng, high - low + 1);
    let (u, d, leaves, k) = (
        2 * between(4, 10),
        between(3, 6),
        between(10, 60),
        between(1, 3),
    );
    House::new(&format!(
        r#"{{ "filbert": "topology/1", "seed": {seed},
        "generate": [{{ "kind": "two-tier", "u": {u}, "d": {d}, "leaves": {leaves}, "k": {k} }}],
        "content": {{ "files": 30, "copies": {{ "fixed": 3 }} }} }}"#
    ))
}

#[test]
fn a_leaf_never_relays_and_a_last_hop_goes_by_table() {
    each_seed(
        "sim_tiers",
        "a_leaf_never_relays_and_a_last_hop_goes_by_table",
        3,
        |seed| {
            let mut house = random_house(seed);
            let names: Vec<String> = house
                .libraries
                .values()
                .flat_map(|library| library.files().map(|file| file.path.to_owned()))
                .collect();
            let mut rng = dice::seeded(seed, 78);
            let everybody = 0..u32::try_from(house.network.names.len()).unwrap();
            let tables: Vec<QueryTable> = everybody.map(|node| house.table_of(node)).collect();
            let (mut last_hops, mut spared) = (0, 0);
            for _ in 0..8 {
                let name = &names[dice::pick(&mut rng, names.len())];
                let at = u32::try_from(dice::pick(&mut rng, house.network.names.len())).unwrap();
                let asker = house.network.names.name(at).into_owned();
                house.ask(&asker, name);
                let words = QueryWords::of(name);
                let mut given = BTreeSet::new();
                for frame in house.delivered() {
                    if house.is_leaf(frame.from) {
                        assert_eq!(frame.hops, 0, "a leaf's own frames only: {frame:?}");
                        assert!(frame.kind != "query" || frame.from == at, "{frame:?}");
                    }
                    if frame.kind == "query" && house.is_leaf(frame.to) {
                        let once = given.insert((frame.from, frame.to));
                        assert!(
                            once,
                            "a leaf gets a query once of each ultrapeer: {frame:?}"
                        );
                        let library = &house.libraries[&frame.to];
                        assert!(QueryTable::of_library(library).matches(&words), "{frame:?}");
                    }
                    let between_ultrapeers = !house.is_leaf(frame.from) && !house.is_leaf(frame.to);
                    if frame.kind == "query" && between_ultrapeers && frame.ttl == 1 {
                        assert!(tables[frame.to as usize].matches(&words), "{frame:?}");
                        last_hops += 1;
                    }
                    if frame.kind == "query" && between_ultrapeers && frame.ttl == 2 {
                        spared += house
                            .graph
                            .links(frame.to)
                            .iter()
                            .filter(|half| half.to != frame.from && !house.is_leaf(half.to))
                            .filter(|half| !tables[half.to as usize].matches(&words))
                            .count();
                    }
                }
            }
            assert!(
                last_hops > 0 && spared > 0,
                "{last_hops} made, {spared} spared"
            );
            house.no_breach();
        },
    );
}

/// An ultrapeer `r` with six trees of ultrapeers below it in which every node has `b` + 1 links, and a leaf `asker`.
/// Each node of the trees has both words of "red fox", in different files: its table matches, and it has no hit.
/// `near`: also the roots of the trees.
fn trees(b: u32, near: bool) -> String {
    let deep = 4;
    let mut text = String::from(
        r#"{ "filbert": "topology/1", "defaults": { "role": "ultrapeer" }, "generate": ["#,
    );
    let prefixes = ["a", "b", "c", "d", "e", "f"];
    for (at, prefix) in prefixes.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        let _ = write!(
            text,
            r#"{comma}{{ "kind": "tree", "b": {b}, "d": {deep}, "prefix": "{prefix}" }}"#
        );
    }
    let nodes: u32 = (0..=deep).map(|depth| b.pow(depth)).sum();
    text.push_str(r#"], "nodes": [{ "id": "asker", "role": "leaf" }, { "id": "r" }"#);
    for prefix in prefixes {
        for node in u32::from(!near)..nodes {
            let _ = write!(
                text,
                r#", {{ "id": "{prefix}{node}", "files": [{{ "name": "red.txt" }}, {{ "name": "fox.txt" }}] }}"#
            );
        }
    }
    text.push_str(r#"], "links": [["asker", "r"]"#);
    for prefix in prefixes {
        let _ = write!(text, r#", ["r", "{prefix}0"]"#);
    }
    text.push_str("] }");
    text
}

#[test]
fn without_results_a_dynamic_query_reaches_exactly_the_horizon_of_its_ttls() {
    for b in [2, 3, 4] {
        for near in [false, true] {
            let mut house = House::new(&trees(b, near));
            assert_eq!(house.ask("asker", "red fox"), 0);
            let root = house.node("r");
            let queries = house.queries();
            let first: BTreeMap<u32, u8> = queries
                .iter()
                .filter(|query| query.from == root)
                .map(|query| (query.to, query.ttl))
                .collect();
            let mut ttls: Vec<u8> = first.values().copied().collect();
            ttls.sort_unstable();
            let planned = if near {
                // Five probes of tables that match, then as far as it may.
                [1, 1, 1, 1, 1, 4]
            } else {
                // Three probes, then one after the other as far as each may.
                [2, 2, 2, 4, 4, 4]
            };
            assert_eq!(ttls, planned, "b={b} near={near}");
            let mut everybody = BTreeSet::new();
            for (child, ttl) in first {
                let tree = &house.network.names.name(child)[..1];
                let reached: BTreeSet<u32> = queries
                    .iter()
                    .filter(|query| house.network.names.name(query.to).starts_with(tree))
                    .map(|query| query.to)
                    .filter(|node| *node != house.node("asker"))
                    .collect();
                let degree = u16::try_from(b + 1).unwrap();
                assert_eq!(
                    reached.len() as u64,
                    horizon(degree, ttl),
                    "b={b} near={near} ttl={ttl}: sum of (d-1)^i"
                );
                everybody.extend(reached);
            }
            // Loss-free, without cycles: as many messages as ultrapeers reached, and that of the leaf.
            assert_eq!(queries.len(), everybody.len() + 1);
            house.no_breach();
        }
    }
}

/// 40 ultrapeers of degree 10 with 200 leaves on one each, all with one file of the same word.
fn popular() -> String {
    let mut nodes = String::new();
    for leaf in 40..240 {
        let comma = if leaf == 40 { "" } else { ", " };
        let _ = write!(
            nodes,
            r#"{comma}{{ "id": "n{leaf}", "files": [{{ "name": "fox {leaf}.txt" }}] }}"#
        );
    }
    format!(
        r#"{{ "filbert": "topology/1", "seed": 3, "nodes": [{nodes}, {{ "id": "asker", "role": "leaf" }}],
        "links": [["asker", "n0"]],
        "generate": [{{ "kind": "two-tier", "u": 40, "d": 10, "leaves": 200, "k": 1 }}] }}"#
    )
}

#[test]
fn a_dynamic_query_stops_at_enough_results() {
    let mut house = House::new(&popular());
    let hits = house.ask("asker", "fox");
    let (root, asker) = (house.node("n0"), house.node("asker"));
    let delivered = house.delivered();
    // One file a leaf, so one hit frame each.
    let results: Vec<u64> = delivered
        .iter()
        .filter(|frame| frame.kind == "query_hit" && frame.to == root)
        .map(|frame| frame.at_ns)
        .collect();
    let enough = results[WANTED_LEAF as usize - 1];
    let asked: Vec<&Delivered> = delivered
        .iter()
        .filter(|frame| frame.kind == "query" && frame.from == root && !house.is_leaf(frame.to))
        .collect();
    let delay = 10_000_000;
    assert!(
        !asked.is_empty() && asked.len() < 10,
        "{} of 10 links",
        asked.len()
    );
    assert!(asked.iter().all(|query| query.at_ns <= enough + delay));
    assert!(u64::from(WANTED_LEAF) <= hits && hits < 200, "{hits} hits");
    assert!(
        delivered
            .iter()
            .any(|frame| frame.kind == "query_hit" && frame.to == asker)
    );
    house.no_breach();
    // What nobody has is asked for on every link.
    house.delivered();
    house.ask("asker", "platypus");
    let asked = house.queries();
    let links: BTreeSet<u32> = asked
        .iter()
        .filter(|query| query.from == root)
        .map(|query| query.to)
        .collect();
    assert_eq!(links.len(), 10);
}

#[test]
fn an_ultrapeer_asks_its_leaf_how_much_it_kept_and_a_leaf_that_has_enough_ends_the_query() {
    let mut house = House::new(&popular());
    let (root, asker) = (house.node("n0"), house.node("asker"));
    let start = house.world.now();
    let query = house.world.search(asker, "platypus", 4);
    house
        .world
        .run_until(start.plus(std::time::Duration::from_secs(25)));
    let before = house.delivered();
    let guid = &before
        .iter()
        .find(|frame| frame.kind == "query")
        .unwrap()
        .guid;
    let vendor = |frames: &[Delivered], from: u32, to: u32| {
        let talk =
            |frame: &&Delivered| frame.kind == "vendor" && (frame.from, frame.to) == (from, to);
        frames
            .iter()
            .filter(talk)
            .filter(|frame| frame.guid == *guid)
            .count()
    };
    let asked = vendor(&before, root, asker);
    assert!(asked >= 1, "the ultrapeer asks");
    assert_eq!(
        vendor(&before, asker, root),
        asked,
        "and the leaf answers each time"
    );
    let at = house.world.now();
    house.world.end_queries(query);
    house.world.run_until_quiet(u64::MAX);
    let after = house.delivered();
    assert_eq!(vendor(&after, asker, root), 1, "the leaf says stop");
    let late = after
        .iter()
        .filter(|frame| frame.kind == "query" && frame.from == root);
    assert_eq!(
        late.filter(|frame| frame.at_ns > at.0 + 20_000_000).count(),
        0
    );
    // The same without a stop goes on.
    let mut other = House::new(&popular());
    other.world.search(asker, "platypus", 4);
    other.world.run_until_quiet(u64::MAX);
    let goes_on = other.queries();
    assert!(
        goes_on
            .iter()
            .any(|frame| frame.from == root && frame.at_ns > at.0 + 20_000_000)
    );
    house.no_breach();
}

#[test]
fn a_push_goes_the_way_back_of_the_hit_and_reaches_the_leaf_that_has_the_file() {
    let mut house = House::new(&one_word_each());
    for leaf in 5..16 {
        let word = format!("word{leaf}");
        assert_eq!(house.ask("n4", &word), 1);
        let hits: Vec<(u32, u32)> = house
            .delivered()
            .iter()
            .filter(|frame| frame.kind == "query_hit")
            .map(|frame| (frame.from, frame.to))
            .collect();
        let asker = house.node("n4");
        house.world.push(asker, house.world.node(leaf).id(), 7);
        house.world.run_until_quiet(u64::MAX);
        let pushes: Vec<(u32, u32)> = house
            .delivered()
            .iter()
            .filter(|frame| frame.kind == "push")
            .map(|frame| (frame.to, frame.from))
            .rev()
            .collect();
        assert_eq!(
            pushes, hits,
            "each link of the hit's way, in the other direction"
        );
        let (called, _, index) = *house.world.called_back().last().unwrap();
        assert_eq!((called, index), (leaf, 7));
    }
    house.no_breach();
}

#[test]
fn an_ultrapeer_under_pressure_wants_no_queries_of_that_leaf_until_its_queue_is_short_again() {
    // Hits for the asker come faster than its link takes them.
    let text = popular().replace(
        r#"["asker", "n0"]"#,
        r#"{ "from": "asker", "to": "n0", "rate": "1kB/s" }"#,
    );
    let text = text.replace(
        r#"{ "id": "n40", "files": [{ "name": "fox 40.txt" }] }"#,
        &format!(r#"{{ "id": "n40", "files": [{}] }}"#, many_files()),
    );
    let mut house = House::new(&text);
    let (root, asker) = (house.node("n0"), house.node("asker"));
    for _ in 0..30 {
        house.world.search(asker, "plentiful", 4);
        let next = house.world.now().plus(std::time::Duration::from_secs(8));
        house.world.run_until(next);
    }
    let told = |frames: &[Delivered]| {
        let talk =
            |frame: &&Delivered| frame.kind == "vendor" && (frame.from, frame.to) == (root, asker);
        frames.iter().filter(talk).count()
    };
    let first = house.delivered();
    assert!(told(&first) >= 1, "hops flow 0 is on its way");
    let refused = filbert::node::Drop::Congested;
    assert!(house.world.node(root).stats().dropped(refused) > 0 || house.world.totals().shed > 0);
    house.world.run_until_quiet(u64::MAX);
    house.delivered();
    let end = Time(house.world.now().0);
    house.world.end_queries(0);
    assert_eq!(
        house.ask("asker", "fox 41"),
        1,
        "at {end:?} it takes queries again"
    );
    house.no_breach();
}

/// Files with one word in common and long names.
fn many_files() -> String {
    let name = "a long name to fill the frames of hits with ".repeat(3);
    let files: Vec<String> = (0..140)
        .map(|n| format!(r#"{{ "name": "plentiful {n} {name}.txt" }}"#))
        .collect();
    files.join(", ")
}

#[test]
fn random_houses_keep_every_invariant_and_the_same_seed_gives_the_same_trace() {
    each_seed(
        "sim_tiers",
        "random_houses_keep_every_invariant_and_the_same_seed_gives_the_same_trace",
        6,
        |seed| {
            let text = format!(
                r#"{{ "filbert": "topology/1", "seed": {seed},
                "defaults": {{ "drop": 0.02, "jitter": "30ms", "rate": "20kB/s" }},
                "generate": [{{ "kind": "two-tier", "u": 10, "d": 4, "leaves": 40, "k": 2 }}],
                "content": {{ "files": 20, "popularity": {{ "zipf": 1 }}, "copies": {{ "proportional": 0.1 }} }},
                "workload": {{ "queries": 30, "arrival": {{ "poisson": "2/s" }} }} }}"#
            );
            let network = Network::new(&parse(&text).unwrap()).unwrap();
            let plan = plan(&network, Wish::default());
            let run = || {
                let options = Options {
                    check: true,
                    ..Options::default()
                };
                sim::run(&network, &plan, options).unwrap()
            };
            let (once, again) = (run(), run());
            assert_eq!(once.broken, Vec::<String>::new());
            assert_eq!(once.trace, again.trace);
            let summary = once.summary.unwrap();
            assert!(summary.answered > 0);
            assert!(
                summary.messages_mean < summary.predicted_messages_mean,
                "{} messages, a flood {}",
                summary.messages_mean,
                summary.predicted_messages_mean
            );
        },
    );
}
