//! Floods in virtual time cost what arithmetic says, on every shape, and the same seed gives the same trace.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod seeds;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use filbert::sim::{self, Measured, Options, Setting, World, predict};
use filbert::topology::plan::{Plan, Wish, plan};
use filbert::topology::{LinkTraits, Network, Topology, dice, parse, parse_spec};
use rand::rngs::ChaCha8Rng;
use seeds::each_seed;

/// One shape of every kind, its size drawn.
fn specs(rng: &mut ChaCha8Rng) -> Vec<String> {
    let mut between = |low: u64, high: u64| low + dice::below(rng, high - low + 1);
    vec![
        format!("ring:{}", between(3, 60)),
        format!("line:{}", between(1, 60)),
        format!("star:{}", between(1, 60)),
        format!("tree:b={},d={}", between(1, 4), between(0, 3)),
        format!("grid:{}x{}", between(1, 9), between(1, 9)),
        format!("complete:{}", between(1, 20)),
        format!("rr:n={},k={}", 2 * between(5, 40), between(2, 6)),
        format!("er:n={},p=0.1", between(20, 80)),
        format!("ba:n={},m={}", between(10, 80), between(1, 4)),
        format!("ws:n={},k=4,p=0.2", between(10, 80)),
    ]
}

/// The network of a text; with a delay of its own for each link when `delays` draws them.
fn network(spec: &str, seed: u64, delays: Option<&mut ChaCha8Rng>) -> Network {
    let topology = parse_spec(spec, seed).unwrap();
    let drawn = Network::new(&topology).unwrap();
    let Some(rng) = delays else {
        return drawn;
    };
    let mut spelled = drawn.spelled_out(&topology);
    for link in &mut spelled.links {
        let delay = Duration::from_micros(1 + dice::below(rng, 200_000));
        link.traits = LinkTraits {
            delay: Some(delay),
            ..LinkTraits::default()
        };
    }
    Network::new(&spelled).unwrap()
}

fn world(network: &Network) -> World {
    World::new(
        network,
        Setting {
            check: true,
            ..Setting::default()
        },
    )
    .unwrap()
}

/// Asks once and lets everything happen.
fn flood(world: &mut World, asker: u32, ttl: u8) -> Measured {
    let query = world.search(asker, "moby dick", ttl);
    world.run_until_quiet(u64::MAX);
    world.end_queries(query);
    world.measured(query)
}

/// Nodes and links of the piece of the graph that holds `node`.
fn piece(network: &Network, node: u32) -> (u64, u64) {
    let graph = network.graph();
    let (of, _) = graph.components();
    let inside = |at: u32| of[at as usize] == of[node as usize];
    let nodes = (0..u32::try_from(graph.nodes()).unwrap())
        .filter(|at| inside(*at))
        .count();
    let links = network.edges.iter().filter(|edge| inside(edge.a)).count();
    (nodes as u64, links as u64)
}

fn no_breach(world: &mut World) {
    assert_eq!(world.finish().unwrap(), []);
}

#[test]
fn a_full_flood_sends_2e_minus_n_plus_1_messages_whatever_the_delays() {
    each_seed(
        "sim_flood",
        "a_full_flood_sends_2e_minus_n_plus_1_messages_whatever_the_delays",
        12,
        |seed| {
            let mut rng = dice::seeded(seed, 99);
            for spec in specs(&mut rng) {
                for random_delays in [false, true] {
                    let network = network(&spec, seed, random_delays.then_some(&mut rng));
                    let mut world = world(&network);
                    let asker = u32::try_from(dice::pick(&mut rng, network.names.len())).unwrap();
                    let measured = flood(&mut world, asker, 255);
                    let (nodes, links) = piece(&network, asker);
                    let place = format!("{spec} asked at {asker}, random delays: {random_delays}");
                    assert_eq!(measured.messages, 2 * links + 1 - nodes, "{place}");
                    assert_eq!(measured.reached, nodes - 1, "{place}");
                    assert_eq!(
                        measured.duplicates,
                        measured.messages - measured.reached,
                        "{place}"
                    );
                    no_breach(&mut world);
                }
            }
        },
    );
}

#[test]
fn with_equal_delays_every_ttl_costs_what_is_predicted() {
    each_seed(
        "sim_flood",
        "with_equal_delays_every_ttl_costs_what_is_predicted",
        4,
        |seed| {
            let mut rng = dice::seeded(seed, 98);
            for spec in specs(&mut rng) {
                let network = network(&spec, seed, None);
                let mut world = world(&network);
                let asker = u32::try_from(dice::pick(&mut rng, network.names.len())).unwrap();
                for ttl in (1..=12).chain([64, 255]) {
                    let predicted = predict(world.graph(), asker, ttl, &BTreeMap::new());
                    let measured = flood(&mut world, asker, ttl);
                    assert_eq!(
                        (measured.messages, measured.duplicates, measured.reached),
                        (predicted.messages, predicted.duplicates, predicted.reached),
                        "{spec} asked at {asker} with TTL {ttl}"
                    );
                }
                no_breach(&mut world);
            }
        },
    );
}

#[test]
fn jitter_changes_neither_reach_nor_cost_of_a_full_flood() {
    let mut topology = parse_spec("rr:n=100,k=4", 3).unwrap();
    topology.defaults.link.jitter = Some(Duration::from_millis(30));
    let network = Network::new(&topology).unwrap();
    let mut world = world(&network);
    for asker in 0..20 {
        let measured = flood(&mut world, asker, 255);
        assert_eq!((measured.messages, measured.reached), (301, 99));
    }
    no_breach(&mut world);
}

/// Bytes written by a trace, readable afterwards.
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

/// A network with everything that is drawn: shape, delays, losses, content and workload.
fn busy(seed: u64) -> Topology {
    let mut topology = parse(
        r#"{ "filbert": "topology/1",
             "defaults": { "delay": "5ms", "jitter": "3ms", "drop": 0.01, "rate": "50kB/s", "ttl": 6 },
             "generate": [{ "kind": "ws", "n": 60, "k": 6, "p": 0.2 }],
             "content": { "files": 40, "popularity": { "zipf": 0.8 }, "copies": { "square-root": 0.05 } },
             "workload": { "queries": 40, "arrival": { "poisson": "100/s" } } }"#,
    )
    .unwrap();
    topology.seed = seed;
    topology
}

fn traced(topology: &Topology) -> (String, Vec<u8>) {
    let network = Network::new(topology).unwrap();
    let written = Written::default();
    let options = Options {
        trace: Some(Box::new(written.clone())),
        check: true,
        ..Options::default()
    };
    let report = sim::run(&network, &plan(&network, Wish::default()), options).unwrap();
    assert_eq!(report.broken, Vec::<String>::new());
    assert!(
        report.frames.unwrap().lost > 0,
        "a network that loses frames"
    );
    let bytes = written.0.lock().unwrap().clone();
    (serde_json::to_string(&report).unwrap(), bytes)
}

#[test]
fn the_same_seed_gives_the_same_trace_byte_for_byte_and_another_seed_another() {
    let (report, trace) = traced(&busy(7));
    assert!(trace.len() > 100_000, "a trace worth comparing");
    assert_eq!(traced(&busy(7)), (report, trace.clone()));
    assert_ne!(traced(&busy(8)).1, trace);
}

#[test]
fn a_trace_that_cannot_be_written_is_an_error() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let network = network("ring:5", 1, None);
    let options = Options {
        trace: Some(Box::new(Full)),
        ..Options::default()
    };
    let error = sim::run(&network, &plan(&network, Wish::default()), options).unwrap_err();
    assert!(error.to_string().contains("the trace cannot be written"));
}

/// Many queries at once on a small network with that many ids remembered; messages of all.
fn crowd(seen_cache: usize, ttl: u8) -> u64 {
    let mut topology = parse_spec("grid:5x5", 1).unwrap();
    topology.defaults.seen_cache = Some(seen_cache);
    let network = Network::new(&topology).unwrap();
    let mut world = world(&network);
    let queries: Vec<usize> = (0..25)
        .map(|asker| world.search(asker, "moby dick", ttl))
        .collect();
    world.run_until_quiet(10_000_000);
    no_breach(&mut world);
    queries
        .into_iter()
        .map(|query| world.measured(query).messages)
        .sum()
}

#[test]
fn with_too_small_a_memory_queries_circulate_until_their_ttl_ends() {
    let full = 25 * (2 * 40 - 25 + 1);
    assert_eq!(crowd(64, 12), full, "memory for all");
    let short = crowd(2, 6);
    assert!(
        short > full,
        "{short} messages with two ids remembered, {full} with all"
    );
    assert!(
        crowd(2, 8) > 2 * short,
        "what circulates multiplies with every hop it has left"
    );
}

#[test]
fn ext_probes_reach_farther_at_a_price_when_the_first_copy_took_a_detour() {
    // The quick way from a to d has two hops more than the slow one, so that the first copy ends at d.
    let detour = |ext_probes: bool| {
        let topology = parse(&format!(
            r#"{{ "filbert": "topology/1", "defaults": {{ "delay": "1ms", "ext_probes": {ext_probes} }},
                 "nodes": [{{"id": "a"}}, {{"id": "b"}}, {{"id": "c"}}, {{"id": "d"}}, {{"id": "e"}}, {{"id": "f"}}],
                 "links": [["a", "b"], ["b", "c"], ["c", "d"], {{"from": "a", "to": "d", "delay": "90ms"}},
                           ["d", "e"], ["e", "f"]] }}"#
        ));
        let network = Network::new(&topology.unwrap()).unwrap();
        let mut world = world(&network);
        let measured = flood(&mut world, 0, 3);
        no_breach(&mut world);
        (measured.messages, measured.reached)
    };
    assert_eq!(
        detour(false),
        (4, 3),
        "b, c and d; the copy over a-d is a duplicate"
    );
    assert_eq!(
        detour(true),
        (7, 5),
        "the copy over a-d passes again and gets to c, e and f"
    );
}

#[test]
fn lossless_links_with_a_rate_deliver_everything_later() {
    let mut topology = parse_spec("star:20", 1).unwrap();
    topology.defaults.link.rate = Some(1_000);
    let network = Network::new(&topology).unwrap();
    let mut world = world(&network);
    let queries: Vec<usize> = (1..20)
        .map(|asker| world.search(asker, "moby dick", 7))
        .collect();
    world.run_until_quiet(u64::MAX);
    for query in queries {
        assert_eq!(world.measured(query).messages, 19);
    }
    // The hub hands 18 queries of some 35 bytes to each leaf at 1000 bytes a second.
    let ms = world.now().0 / 1_000_000;
    assert!((500..800).contains(&ms), "{ms} ms");
    no_breach(&mut world);
}

#[test]
fn a_full_send_queue_sheds_and_counts() {
    let mut topology = parse_spec("line:3", 1).unwrap();
    topology.defaults.link.rate = Some(10);
    let network = Network::new(&topology).unwrap();
    let mut world = world(&network);
    for round in 0..8_000_u32 {
        let query = world.search(0, &format!("word{round}"), 7);
        world.end_queries(query);
    }
    world.run_until_quiet(u64::MAX);
    assert!(world.totals().shed > 0);
    assert_eq!(
        world
            .node(0)
            .stats()
            .dropped(filbert::node::Drop::QueueFull),
        world.totals().shed
    );
    no_breach(&mut world);
}

#[test]
fn hits_come_back_from_where_the_files_are_and_as_fast_as_the_links() {
    let topology = parse(
        r#"{ "filbert": "topology/1", "defaults": { "delay": "10ms", "ttl": 7 },
             "generate": [{ "kind": "ring", "n": 12 }],
             "nodes": [{ "id": "n3", "files": [{ "name": "Moby Dick.txt" }, { "name": "Moby Dick.epub" }] },
                       { "id": "n6", "files": [{ "name": "moby-dick.pdf" }] }],
             "searches": [{ "from": "n0", "query": "moby dick", "hits": ">=1" },
                          { "from": "n0", "query": "moby dick", "ttl": 2, "hits": 0 },
                          { "from": "n3", "query": "moby", "hits": 1 },
                          { "from": "n0", "query": "white whale", "hits": ">=1" }] }"#,
    )
    .unwrap();
    let network = Network::new(&topology).unwrap();
    let plan = plan(&network, Wish::default());
    let report = sim::run(
        &network,
        &plan,
        Options {
            check: true,
            ..Options::default()
        },
    )
    .unwrap();
    let found: Vec<_> = report
        .queries
        .iter()
        .map(|query| (query.hits, query.first_hit_hops, query.first_hit_ms))
        .collect();
    assert_eq!(
        found,
        [
            (3, Some(3), Some(60.0)),
            (0, None, None),
            (1, Some(3), Some(60.0)),
            (0, None, None)
        ]
    );
    assert_eq!(
        report
            .queries
            .iter()
            .map(|query| query.ok)
            .collect::<Vec<_>>(),
        [true, true, true, false]
    );
    assert_eq!(
        report.queries[0].hit_messages, 9,
        "n3 answers over 3 links, n6 over 6"
    );
    assert!(
        report
            .queries
            .iter()
            .all(|query| query.predicted.exact && query.hits == query.predicted.hits)
    );
    assert!(!report.ok());
    assert!(
        report
            .foot()
            .contains("Missed   n0 asked \"white whale\": expected >=1 hits, got 0")
    );
    assert!(
        report
            .head()
            .contains("full flood should send 2E-N+1 = 13 messages per query: measured 13.0   ok")
    );
}

#[test]
fn what_the_simulator_cannot_do_is_refused_and_named() {
    for (text, said) in [
        (
            r#""nodes": [{"id": "a", "slots": 3}]"#,
            "node \"a\": slots: the simulator cannot",
        ),
        (
            r#""defaults": {"slots": 3}"#,
            "defaults.slots: the simulator cannot",
        ),
    ] {
        let file = format!(
            r#"{{"filbert": "topology/1", "generate": [{{"kind": "ring", "n": 4}}], {text}}}"#
        );
        let network = Network::new(&parse(&file).unwrap()).unwrap();
        let error = sim::run(&network, &Plan::default(), Options::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(said) && error.contains("remove the key"),
            "{error}"
        );
    }
}
