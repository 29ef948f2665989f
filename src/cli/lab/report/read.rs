//! The folder of a run, read again.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::exit::{Exit, Failure};
use crate::sim::compare::Figure;

/// The report of a run, in its folder.
const REPORT: &str = "run.json";

/// One run.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Run {
    /// Its folder, as typed.
    pub(super) dir: PathBuf,
    /// What sets it apart from the others.
    pub(super) name: String,
    /// What its graph is made of.
    pub(super) graph: String,
    /// `sim` or `real`.
    pub(super) engine: String,
    /// Version of the program that made it.
    pub(super) version: String,
    /// Seed, of a comparison the first one.
    pub(super) seed: u64,
    /// Seeds of a comparison; absent for a single run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seeds: Option<u64>,
    /// Queries, of a comparison with each seed.
    pub(super) queries: usize,
    /// Whether a single run found what its file expects and cost what was predicted; absent for a comparison.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ok: Option<bool>,
    /// Figures: one row for a single run, one for each variant of a comparison.
    pub(super) rows: Vec<Row>,
    /// The queries of a single run.
    #[serde(skip)]
    pub(super) asked: Vec<Query>,
}

/// What a query cost and found on average.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) success: Figure,
    pub(super) messages: Figure,
    pub(super) messages_p95: Figure,
    pub(super) duplicate_share: Figure,
    pub(super) reached: Figure,
    /// Absent where the engine does not count them.
    pub(super) bytes: Option<Figure>,
    pub(super) hops: Option<Figure>,
    pub(super) first_hit_ms_p50: Option<Figure>,
    pub(super) first_hit_ms_p95: Option<Figure>,
    pub(super) load_max: Option<Figure>,
}

/// What is needed of a query.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Query {
    pub(super) from: String,
    #[serde(rename = "query")]
    pub(super) words: String,
    pub(super) ttl: u8,
    pub(super) messages: u64,
    pub(super) duplicates: u64,
    pub(super) reached: u64,
    pub(super) bytes: u64,
    pub(super) hits: u64,
    pub(super) first_hit_hops: Option<u32>,
    pub(super) first_hit_ms: Option<f64>,
    ok: bool,
}

impl Query {
    /// The same question.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        let key = |query: &Self| (query.from.clone(), query.words.clone(), query.ttl);
        key(self) == key(other)
    }
}

#[derive(Deserialize)]
struct Kind {
    v: u32,
    r#type: String,
}

#[derive(Deserialize)]
struct Single {
    engine: String,
    version: String,
    seed: u64,
    graph: Graph,
    queries: Vec<Query>,
    load_max: Option<f64>,
    #[serde(default)]
    events: Vec<Event>,
    #[serde(default)]
    broken: Vec<String>,
}

#[derive(Deserialize)]
struct Graph {
    describe: String,
    nodes: usize,
    links: usize,
}

#[derive(Deserialize)]
struct Event {
    ok: bool,
}

#[derive(Deserialize)]
struct Comparison {
    version: String,
    graph: String,
    seed: u64,
    seeds: u64,
    queries: usize,
    rows: Vec<Row>,
}

/// Reads the run in a folder.
///
/// # Errors
/// There is none, or one of a later version: with the way out.
pub(super) fn read(dir: &Path) -> Result<Run, Failure> {
    let path = dir.join(REPORT);
    let wrong = |why: String| {
        let shown = path.display();
        Failure::new(
            Exit::Usage,
            format!("{shown}: {why}; name a folder that `filbert lab run --out DIR` wrote"),
        )
    };
    let bytes = fs::read(&path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let no_report = |error: serde_json::Error| wrong(format!("is no report of a run: {error}"));
    let kind: Kind = serde_json::from_slice(&bytes).map_err(no_report)?;
    if kind.v != 1 {
        return Err(wrong(format!(
            "is of version {}, which this program does not know",
            kind.v
        )));
    }
    let run = match kind.r#type.as_str() {
        "lab-report" => {
            let single: Single = serde_json::from_slice(&bytes).map_err(no_report)?;
            single.run(dir)
        }
        "lab-comparison" => {
            let comparison: Comparison = serde_json::from_slice(&bytes).map_err(no_report)?;
            Some(comparison.run(dir))
        }
        other => return Err(wrong(format!("is a {other:?}, no report of a run"))),
    };
    run.ok_or_else(|| wrong("nothing was asked in it".to_owned()))
}

impl Single {
    fn run(self, dir: &Path) -> Option<Run> {
        let ok = self.broken.is_empty()
            && self.queries.iter().all(|query| query.ok)
            && self.events.iter().all(|event| event.ok);
        let Graph {
            describe,
            nodes,
            links,
        } = &self.graph;
        let graph = format!("{describe}: {nodes} nodes, {links} links");
        let rows = vec![row(&self.queries, self.load_max)?];
        Some(Run {
            dir: dir.to_owned(),
            name: String::new(),
            graph,
            engine: self.engine,
            version: self.version,
            seed: self.seed,
            seeds: None,
            queries: self.queries.len(),
            ok: Some(ok),
            rows,
            asked: self.queries,
        })
    }
}

impl Comparison {
    fn run(self, dir: &Path) -> Run {
        Run {
            dir: dir.to_owned(),
            name: String::new(),
            graph: self.graph,
            engine: "sim".to_owned(),
            version: self.version,
            seed: self.seed,
            seeds: Some(self.seeds),
            queries: self.queries,
            ok: None,
            rows: self.rows,
            asked: Vec::new(),
        }
    }
}

/// Figures of single queries as those of a row: means with the spread over the queries.
fn row(queries: &[Query], load_max: Option<f64>) -> Option<Row> {
    let of = |figure: &dyn Fn(&Query) -> Option<f64>| {
        let values: Vec<f64> = queries.iter().filter_map(figure).collect();
        Figure::of(&values)
    };
    let alone = |mean: f64| Figure { mean, ci95: None };
    let messages: Vec<f64> = queries.iter().map(|query| real(query.messages)).collect();
    let times: Vec<f64> = queries
        .iter()
        .filter_map(|query| query.first_hit_ms)
        .collect();
    let sum = |figure: fn(&Query) -> u64| queries.iter().map(figure).sum::<u64>();
    let (sent, duplicates) = (sum(|query| query.messages), sum(|query| query.duplicates));
    Some(Row {
        name: String::new(),
        success: of(&|query| Some(if query.hits > 0 { 1.0 } else { 0.0 }))?,
        messages: Figure::of(&messages)?,
        messages_p95: alone(percentile(messages, 95)?),
        duplicate_share: alone(if sent > 0 {
            real(duplicates) / real(sent)
        } else {
            0.0
        }),
        reached: of(&|query| Some(real(query.reached)))?,
        bytes: if queries.iter().any(|query| query.bytes > 0) {
            of(&|query| Some(real(query.bytes)))
        } else {
            None
        },
        hops: of(&|query| query.first_hit_hops.map(f64::from)),
        first_hit_ms_p50: percentile(times.clone(), 50).map(alone),
        first_hit_ms_p95: percentile(times, 95).map(alone),
        load_max: load_max.map(alone),
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a run are far below 2^53"
)]
pub(super) fn real(count: u64) -> f64 {
    count as f64
}

/// The value that so many of a hundred do not exceed.
fn percentile(mut values: Vec<f64>, percent: usize) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let at = (values.len() * percent).div_ceil(100).checked_sub(1)?;
    values.get(at).copied()
}
