//! How fast and how lean the simulator is: floods on random regular graphs. Prints JSON lines.
//!
//! - `cargo bench --bench sim`: all sizes on one thread and on two, each in a process of its own so that memory is its
//!   own; with `-- 10000 100000` those numbers of nodes only;
//! - `-- case NODES DEGREE THREADS`: one of them;
//! - `-- beside NODES DEGREE FOLDER`: a set of queries of several TTLs, with the graph (`edges`), the queries
//!   (`queries`) and what each of them cost (`filbert.counts`) written into a folder, for other programs to do the same.
//!
//! `scripts/bench-sim` runs all that and other programs beside.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use filbert::sim::{Layers, Setting, World};
use filbert::topology::{Network, parse_spec};

/// Numbers of nodes.
const NODES: [&str; 3] = ["10000", "100000", "1000000"];
/// Links of each.
const DEGREES: [&str; 2] = ["4", "8"];
/// Threads.
const THREADS: [&str; 2] = ["1", "2"];
/// Deliveries to measure at least, so that small cases run long enough.
const DELIVERIES_MIN: u64 = 8_000_000;
/// Every node's files are none: a flood is pure routing. The TTL never ends it.
const TTL: u8 = 255;
/// TTLs of the queries that other programs make too.
const TTLS: [u8; 5] = [2, 4, 6, 8, TTL];
/// Askers of those, for each TTL.
const ASKERS: u64 = 4;

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let number = |text: &str| {
        text.parse()
            .unwrap_or_else(|_| panic!("{text:?} is no number"))
    };
    match args[..] {
        ["case", nodes, degree, threads] => case(number(nodes), number(degree), number(threads)),
        ["beside", nodes, degree, folder] => {
            beside(number(nodes), number(degree), Path::new(folder));
        }
        [] => all(&NODES),
        _ => all(&args),
    }
}

/// Every case in a process of its own.
fn all(sizes: &[&str]) {
    let program = std::env::current_exe().expect("the path of this program");
    for nodes in sizes {
        for degree in DEGREES {
            for threads in THREADS {
                let case = ["case", nodes, degree, threads];
                let status = Command::new(&program).args(case).status();
                let good = status.is_ok_and(|status| status.success());
                assert!(good, "{case:?} failed");
            }
        }
    }
}

fn network(nodes: u64, degree: u64) -> Network {
    let topology = parse_spec(&format!("rr:n={nodes},k={degree}"), 1).expect("a shape");
    Network::new(&topology).expect("a network")
}

fn asker(number: u64, nodes: u64) -> u32 {
    u32::try_from(number * 7919 % nodes).expect("a node")
}

fn world(network: &Network, threads: u64) -> World {
    let setting = Setting {
        threads: usize::try_from(threads).expect("few"),
        ..Setting::default()
    };
    World::new(network, setting).expect("a world")
}

#[expect(
    clippy::cast_precision_loss,
    clippy::print_stdout,
    reason = "figures for people, on standard output"
)]
fn case(nodes: u64, degree: u64, threads: u64) {
    let start = Instant::now();
    let network = network(nodes, degree);
    let drawn = start.elapsed();
    let start = Instant::now();
    let mut world = world(&network, threads);
    let built = start.elapsed();
    drop(network);
    let idle_bytes = resident_bytes();
    let full = nodes * degree - nodes + 1;
    let floods = DELIVERIES_MIN.div_ceil(full).max(2);
    let (start, worked_before) = (Instant::now(), worked());
    for flood in 0..floods {
        let query = world.search(asker(flood, nodes), "moby dick", TTL);
        world.run_until_quiet(u64::MAX);
        world.end_queries(query);
        assert_eq!(world.measured(query).messages, full, "a full flood");
    }
    let (ran, worked) = (start.elapsed(), worked().saturating_sub(worked_before));
    let deliveries = world.totals().delivered;
    println!(
        r#"{{"bench":"sim","nodes":{nodes},"degree":{degree},"threads":{threads},"draw_ms":{:.0},"build_ms":{:.0},"idle_bytes_per_node":{},"peak_bytes_per_node":{},"floods":{floods},"flood_ms":{:.1},"deliveries_per_s":{:.0},"deliveries_per_cpu_s":{:.0},"trace":"{:016x}"}}"#,
        drawn.as_secs_f64() * 1e3,
        built.as_secs_f64() * 1e3,
        idle_bytes / nodes,
        peak_bytes() / nodes,
        ran.as_secs_f64() * 1e3 / floods as f64,
        deliveries as f64 / ran.as_secs_f64(),
        deliveries as f64 / worked.as_secs_f64(),
        world.digest(),
    );
}

/// Queries that other programs can make too; once in the routing core, once by a search through the graph.
fn beside(nodes: u64, degree: u64, folder: &Path) {
    let network = network(nodes, degree);
    let mut edges = String::new();
    for edge in &network.edges {
        writeln!(edges, "{} {}", edge.a, edge.b).expect("memory");
    }
    let asked: Vec<(u32, u8)> = TTLS
        .iter()
        .flat_map(|ttl| (0..ASKERS).map(|at| (asker(at + 1, nodes), *ttl)))
        .collect();
    let mut queries = String::new();
    for (asker, ttl) in &asked {
        writeln!(queries, "{asker} {ttl}").expect("memory");
    }
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    };
    write("edges", &edges);
    write("queries", &queries);
    drop(edges);

    let mut world = world(&network, 1);
    let start = (Instant::now(), worked_here());
    let mut counts = String::new();
    for (asker, ttl) in &asked {
        let query = world.search(*asker, "moby dick", *ttl);
        world.run_until_quiet(u64::MAX);
        world.end_queries(query);
        let cost = world.measured(query);
        let (messages, duplicates) = (cost.messages, cost.duplicates);
        writeln!(counts, "{messages} {duplicates} {}", cost.reached).expect("memory");
    }
    told("filbert", nodes, degree, &counts, start);
    write("filbert.counts", &counts);

    let graph = network.graph();
    let start = (Instant::now(), worked_here());
    let mut counts = String::new();
    for (asker, ttl) in &asked {
        let cost = Layers::of(&graph, *asker).flood(*ttl);
        let (messages, duplicates) = (cost.messages, cost.duplicates);
        writeln!(counts, "{messages} {duplicates} {}", cost.reached).expect("memory");
    }
    told("filbert-layers", nodes, degree, &counts, start);
    write("filbert-layers.counts", &counts);
}

#[expect(
    clippy::cast_precision_loss,
    clippy::print_stdout,
    reason = "figures for people, on standard output"
)]
fn told(tool: &str, nodes: u64, degree: u64, counts: &str, start: (Instant, Duration)) {
    let (took, worked) = (start.0.elapsed(), worked_here().saturating_sub(start.1));
    let first = |line: &str| line.split(' ').next()?.parse::<u64>().ok();
    let messages: u64 = counts.lines().filter_map(first).sum();
    println!(
        r#"{{"bench":"sim-beside","tool":"{tool}","nodes":{nodes},"degree":{degree},"queries":{},"messages":{messages},"seconds":{:.3},"messages_per_s":{:.0},"messages_per_cpu_s":{:.0}}}"#,
        counts.lines().count(),
        took.as_secs_f64(),
        messages as f64 / took.as_secs_f64(),
        messages as f64 / worked.as_secs_f64(),
    );
}

/// Time that a core worked for this thread. Zero where the system does not say.
fn worked_here() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = stat.split(' ').next().and_then(|ns| ns.parse().ok());
    Duration::from_nanos(ns.unwrap_or(0))
}

/// Time that cores worked for this process: what is left when others use the machine too. Zero where the system does
/// not say.
fn worked() -> Duration {
    /// Of Linux, on every machine that anybody has.
    const TICKS_PER_S: u32 = 100;
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name before may hold spaces; utime and stime are the 12th and 13th after it.
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u32>().ok());
    Duration::from_secs(ticks.sum::<u32>().into()) / TICKS_PER_S
}

/// Memory of this process now; 0 where the system does not say.
fn resident_bytes() -> u64 {
    status_bytes("VmRSS:")
}

/// The most memory this process ever had.
fn peak_bytes() -> u64 {
    status_bytes("VmHWM:")
}

fn status_bytes(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib: Option<u64> = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .and_then(|kib| kib.parse().ok());
    kib.unwrap_or(0) * 1024
}
