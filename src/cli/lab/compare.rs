//! `lab run --compare`, `--sweep`: the same queries in several ways, side by side.

use serde::Serialize;

use crate::cli::args::lab::{Contender, RunArgs, SweepKey};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::table::{self, Side};
use crate::cli::output::{Format, Output, escape};
use crate::node::strategy::Approach;
use crate::sim::compare::{Figure, Row};
use crate::topology::plan::{Wish, plan};
use crate::topology::{Copies, Network};

use super::record::Record;
use super::sim;
use super::source::{self, Source};

/// Seeds when none are named: enough for an interval that says something.
const SEEDS: u64 = 5;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Comparison<'a> {
    v: u32,
    r#type: &'static str,
    version: &'static str,
    graph: &'a str,
    seed: u64,
    seeds: u64,
    queries: usize,
    rows: &'a [Row],
    /// Messages that made each index before the first question, with the first seed.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    published: &'a [(String, u64)],
}

/// One way to run.
struct Variant {
    name: String,
    contender: Contender,
    value: Option<String>,
}

/// Runs every variant on every seed and shows the figures.
///
/// # Errors
/// A topology that cannot be run so; a value that a sweep cannot take.
pub(super) fn run(args: &RunArgs, output: &Output) -> Result<Exit, Failure> {
    let variants = variants(args);
    let seeds = args.seeds.unwrap_or(SEEDS);
    let first = source::load(&args.topology, args.seed)?;
    let mut record = args.out.as_deref().map(Record::new).transpose()?;
    sim::say_if_one_thread(&first, false, args.threads, output);
    let threads = args.threads.unwrap_or_else(sim::cores);
    let seed = first.network.seed;
    let mut reports: Vec<Vec<_>> = variants.iter().map(|_| Vec::new()).collect();
    let (mut queries, mut published) = (0, Vec::new());
    for at in 0..seeds {
        for (variant, reports) in variants.iter().zip(&mut reports) {
            let mut source = source::load(&args.topology, Some(seed.wrapping_add(at)))?;
            let mut wish = Wish {
                queries: args.queries,
                ttl: args.ttl,
            };
            if let (Some(sweep), Some(value)) = (&args.sweep, &variant.value) {
                set(&mut source, &mut wish, sweep.key, value)?;
            }
            source.obey(wish);
            let plan = plan(&source.network, wish);
            queries = plan.asks.len();
            if output.shows_progress() {
                let name = &variant.name;
                output.say(&format!("seed {} of {}: {name}", at + 1, seeds));
            }
            match &variant.contender {
                Contender::Approach(approach) => {
                    reports.push(sim::run(&source, &plan, approach, None, threads)?);
                    if let (0, Some(record), Some(ask)) = (at, &mut record, plan.asks.first()) {
                        record.replay(&variant.name, &source, &plan, ask, approach)?;
                    }
                }
                Contender::Yardstick(yardstick) => {
                    let (report, messages) = sim::index(&source, &plan, *yardstick)?;
                    reports.push(report);
                    if at == 0 {
                        published.push((variant.name.clone(), messages));
                    }
                }
            }
        }
    }
    let rows = variants.iter().zip(&reports);
    let rows: Vec<Row> = rows
        .filter_map(|(variant, reports)| Row::of(&variant.name, reports))
        .collect();
    if rows.is_empty() {
        let text = "nothing is asked in this topology: add --queries N";
        return Err(Failure::new(Exit::Usage, text));
    }
    let comparison = Comparison {
        published: &published,
        ..Comparison::new(&first.network, seeds, queries, &rows)
    };
    show(&first.network, &comparison, output)?;
    if let Some(record) = record {
        let data = serde_json::to_value(&comparison).expect("plain data is JSON");
        record.comparison(&first, &data, &rows, &args.again(), output)?;
    }
    Ok(Exit::Good)
}

/// Strategies, each with each value of the sweep.
fn variants(args: &RunArgs) -> Vec<Variant> {
    let one = Contender::Approach(args.strategy.clone().unwrap_or_default());
    let usual = one == Contender::Approach(Approach::default());
    let contenders = args.compare.as_ref().map_or(vec![one], |all| all.0.clone());
    let mut variants = Vec::new();
    for contender in contenders {
        let strategy = contender.to_string();
        let Some(sweep) = &args.sweep else {
            variants.push(Variant {
                name: strategy,
                contender,
                value: None,
            });
            continue;
        };
        for value in &sweep.values {
            variants.push(Variant {
                name: if args.compare.is_none() && usual {
                    format!("{}={value}", sweep.key.name())
                } else {
                    format!("{strategy} {}={value}", sweep.key.name())
                },
                contender: contender.clone(),
                value: Some(value.clone()),
            });
        }
    }
    variants
}

/// Sets what a sweep is about.
fn set(source: &mut Source, wish: &mut Wish, key: SweepKey, value: &str) -> Result<(), Failure> {
    let bad = |what: &str| {
        let text = format!("--sweep {}: {value:?} is no {what}", key.name());
        Failure::new(Exit::Usage, text)
    };
    match key {
        SweepKey::Ttl => {
            let ttl = value.parse().ok().filter(|ttl| *ttl > 0);
            wish.ttl = Some(ttl.ok_or_else(|| bad("number of hops from 1 to 255"))?);
        }
        SweepKey::SeenCache => {
            let ids = value.parse().ok().filter(|ids| *ids > 0);
            let ids = ids.ok_or_else(|| bad("number of ids, such as 64"))?;
            source.topology.defaults.seen_cache = Some(ids);
        }
        SweepKey::Replication => {
            let content = source.topology.content.as_mut().ok_or_else(|| {
                let text = "--sweep replication needs content with copies as a share of the nodes in the topology";
                Failure::new(Exit::Usage, text)
            })?;
            let share = match content.copies {
                Copies::Uniform(share)
                | Copies::Proportional(share)
                | Copies::SquareRoot(share) => share,
                Copies::Fixed(_) => return Err(bad("replication of a fixed number of copies")),
            };
            content.copies = match value {
                "uniform" => Copies::Uniform(share),
                "proportional" => Copies::Proportional(share),
                "square-root" => Copies::SquareRoot(share),
                _ => return Err(bad("replication: uniform, proportional or square-root")),
            };
        }
    }
    source.network = Network::new(&source.topology)
        .map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    Ok(())
}

impl<'a> Comparison<'a> {
    fn new(network: &'a Network, seeds: u64, queries: usize, rows: &'a [Row]) -> Self {
        Self {
            v: 1,
            r#type: "lab-comparison",
            version: env!("CARGO_PKG_VERSION"),
            graph: &network.describe,
            seed: network.seed,
            seeds,
            queries,
            rows,
            published: &[],
        }
    }
}

fn show(network: &Network, comparison: &Comparison<'_>, output: &Output) -> Result<(), Failure> {
    if output.format() == Format::Json {
        let line = serde_json::to_string(comparison).expect("plain data is JSON");
        return output.line(&escape::json(line));
    }
    let Comparison {
        seeds,
        queries,
        rows,
        published,
        ..
    } = *comparison;
    let graph = network.graph();
    output.line(&format!(
        "Graph    {}: {} nodes, {} links\nEngine   sim (virtual clock)     seeds {} to {}     {queries} queries each\n",
        network.describe,
        graph.nodes(),
        graph.edges(),
        network.seed,
        network.seed.wrapping_add(seeds - 1),
    ))?;
    let titles = [
        "STRATEGY",
        "SUCCESS",
        "MESSAGES",
        "P95",
        "DUPLICATES",
        "REACHED",
        "BYTES",
        "HOPS",
        "FIRST HIT",
        "P95",
        "BUSIEST NODE",
    ];
    let sides = titles.map(|title| match title {
        "STRATEGY" => (title, Side::Left),
        _ => (title, Side::Right),
    });
    let cells = rows.iter().map(|row| {
        [
            row.name.clone(),
            percent(row.success),
            number(row.messages),
            number(row.messages_p95),
            percent(row.duplicate_share),
            number(row.reached),
            number(row.bytes),
            row.hops.map_or_else(|| "-".to_owned(), number),
            row.first_hit_ms_p50.map_or_else(|| "-".to_owned(), millis),
            row.first_hit_ms_p95.map_or_else(|| "-".to_owned(), millis),
            number(row.load_max),
        ]
    });
    output.line(&table::plain(sides, cells))?;
    if seeds > 1 {
        output.line("\n± is half of a 95 % confidence interval over the seeds.")?;
    }
    for (name, messages) in published {
        let text = format!(
            "{name}: {messages} messages told the index what there is, before the first question."
        );
        output.line(&escape::shown(&text))?;
    }
    Ok(())
}

/// Figures with a digit behind the point while they are small.
fn shown(value: f64) -> String {
    if value.abs() < 1_000.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

pub(super) fn number(figure: Figure) -> String {
    match figure.ci95 {
        Some(half) if half >= 0.05 => format!("{} ±{}", shown(figure.mean), shown(half)),
        _ => shown(figure.mean),
    }
}

pub(super) fn percent(figure: Figure) -> String {
    let hundred = Figure {
        mean: figure.mean * 100.0,
        ci95: figure.ci95.map(|half| half * 100.0),
    };
    format!("{} %", number(hundred))
}

pub(super) fn millis(figure: Figure) -> String {
    format!("{} ms", number(figure))
}
