//! How fast and how lean the simulator is: full floods on random regular graphs. Prints JSON lines.
//!
//! `cargo bench --bench sim` runs all sizes, each in a process of its own so that memory is its own;
//! `cargo bench --bench sim -- 100000 8` runs one.

use std::process::Command;
use std::time::Instant;

use filbert::sim::{Setting, World};
use filbert::topology::{Network, parse_spec};

/// Nodes and degree of each case.
const CASES: [(u64, u64); 6] = [
    (10_000, 4),
    (10_000, 8),
    (100_000, 4),
    (100_000, 8),
    (1_000_000, 4),
    (1_000_000, 8),
];
/// Deliveries to measure at least, so that small cases run long enough.
const DELIVERIES_MIN: u64 = 8_000_000;
/// Every node's files are none: a flood is pure routing. The TTL never ends it.
const TTL: u8 = 255;

fn main() {
    let numbers: Vec<u64> = std::env::args()
        .filter_map(|arg| arg.parse().ok())
        .collect();
    if let [nodes, degree] = numbers[..] {
        return one(nodes, degree);
    }
    let program = std::env::current_exe().expect("the path of this program");
    for (nodes, degree) in CASES {
        let status = Command::new(&program)
            .args([nodes.to_string(), degree.to_string()])
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "the case {nodes} {degree} failed"
        );
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::print_stdout,
    reason = "figures for people, on standard output"
)]
fn one(nodes: u64, degree: u64) {
    let start = Instant::now();
    let topology = parse_spec(&format!("rr:n={nodes},k={degree}"), 1).expect("a shape");
    let network = Network::new(&topology).expect("a network");
    let drawn = start.elapsed();
    let start = Instant::now();
    let mut world = World::new(&network, Setting::default()).expect("a world");
    let built = start.elapsed();
    drop(network);
    let idle_bytes = resident_bytes();
    let full = nodes * degree - nodes + 1;
    let floods = DELIVERIES_MIN.div_ceil(full).max(2);
    let (start, worked_before) = (Instant::now(), cpu_ns());
    for flood in 0..floods {
        let asker = u32::try_from(flood * 7919 % nodes).expect("a node");
        let query = world.search(asker, "moby dick", TTL);
        world.run_until_quiet(u64::MAX);
        world.end_queries(query);
        assert_eq!(world.measured(query).messages, full, "a full flood");
    }
    let (ran, worked_ns) = (start.elapsed(), cpu_ns() - worked_before);
    let deliveries = world.totals().delivered;
    println!(
        r#"{{"bench":"sim","nodes":{nodes},"degree":{degree},"draw_ms":{:.0},"build_ms":{:.0},"idle_bytes_per_node":{},"peak_bytes_per_node":{},"floods":{floods},"flood_ms":{:.1},"deliveries_per_s":{:.0},"deliveries_per_cpu_s":{:.0}}}"#,
        drawn.as_secs_f64() * 1e3,
        built.as_secs_f64() * 1e3,
        idle_bytes / nodes,
        peak_bytes() / nodes,
        ran.as_secs_f64() * 1e3 / floods as f64,
        deliveries as f64 / ran.as_secs_f64(),
        deliveries as f64 * 1e9 / worked_ns as f64,
    );
}

/// Time that a core worked for this thread, in nanoseconds: what is left when others use the machine too. 0 where
/// the system does not say.
fn cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ')
        .next()
        .and_then(|ns| ns.parse().ok())
        .unwrap_or(0)
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
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib: Option<u64> = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .and_then(|kib| kib.parse().ok());
    kib.unwrap_or(0) * 1024
}
