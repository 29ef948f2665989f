//! `lab run --out DIR`: what a run was made of and what came out, in one folder that needs nothing else.
//!
//! - `topology.json`, from which the same run can be made again; `run.json`, the report;
//! - `nodes.csv`, `links.csv`, `queries.csv` or `comparison.csv`, `events.csv` of real processes; `trace.jsonl.gz`, every frame of a simulated run;
//! - `report.html`: graph, replay and plots in one page that loads nothing.
//!
//! `layout`: where nodes are drawn; `replay`: a query frame by frame; `page`: the page.

mod layout;
pub(super) mod page;
mod replay;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use super::source::Source;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::Output;
use crate::node::strategy::Approach;
use crate::sim::Sink;
use crate::sim::compare::{Figure, Row};
use crate::sim::report::{EventReport, QueryReport};
use crate::topology::Topology;
use crate::topology::plan::{Ask, Plan};

use replay::Replay;

/// Queries of a run that its page replays. Our choice: each is some hundred kilobytes.
const REPLAYS_MAX: usize = 8;

/// The folder of a run.
#[derive(Debug)]
pub(super) struct Record {
    dir: PathBuf,
    replays: Vec<Replay>,
}

impl Record {
    /// Makes the folder.
    ///
    /// # Errors
    /// It cannot be made, or holds something: a run never overwrites another.
    pub(super) fn new(dir: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(dir).map_err(|error| failed(dir, &error))?;
        let mut entries = std::fs::read_dir(dir).map_err(|error| failed(dir, &error))?;
        if entries.next().is_some() {
            let text = format!(
                "--out {}: the folder is not empty; name a new one",
                dir.display()
            );
            return Err(Failure::new(Exit::Disk, text));
        }
        Ok(Self {
            dir: dir.to_owned(),
            replays: Vec::new(),
        })
    }

    /// Where the trace of a simulated run goes.
    ///
    /// # Errors
    /// The file cannot be made.
    pub(super) fn trace(&self) -> Result<Sink, Failure> {
        let path = self.dir.join("trace.jsonl.gz");
        let file = File::create(&path).map_err(|error| failed(&path, &error))?;
        let packed = GzEncoder::new(BufWriter::new(file), Compression::fast());
        Ok(Box::new(Packed(packed)))
    }

    /// Keeps one query for the page.
    ///
    /// # Errors
    /// What the simulator cannot do.
    pub(super) fn replay(
        &mut self,
        name: &str,
        source: &Source,
        plan: &Plan,
        ask: &Ask,
        approach: &Approach,
    ) -> Result<(), Failure> {
        if self.replays.len() < REPLAYS_MAX && layout::is_drawable(&source.network.graph()) {
            let replay = replay::replay(name.to_owned(), source, plan, ask, approach)?;
            self.replays.push(replay);
        }
        Ok(())
    }

    /// Keeps the first queries of a plan for the page.
    ///
    /// # Errors
    /// What the simulator cannot do.
    pub(super) fn replay_first(
        &mut self,
        source: &Source,
        plan: &Plan,
        approach: &Approach,
    ) -> Result<(), Failure> {
        for (at, ask) in plan.asks.iter().take(REPLAYS_MAX).enumerate() {
            self.replay(&format!("query {}", at + 1), source, plan, ask, approach)?;
        }
        Ok(())
    }

    /// Writes what a single run found.
    ///
    /// # Errors
    /// The disk.
    pub(super) fn run(
        self,
        source: &Source,
        report: &Value,
        queries: &[QueryReport],
        events: &[EventReport],
        again: &str,
        output: &Output,
    ) -> Result<(), Failure> {
        if !events.is_empty() {
            self.table("events.csv", EVENT_COLUMNS, events.iter().map(event_cells))?;
        }
        self.table(
            "queries.csv",
            QUERY_COLUMNS,
            queries.iter().map(query_cells),
        )?;
        let topology = source.network.spelled_out(&source.topology);
        self.finish(source, topology, report, "queries.csv", again, output)
    }

    /// Writes what runs side by side found.
    ///
    /// # Errors
    /// The disk.
    pub(super) fn comparison(
        self,
        source: &Source,
        report: &Value,
        rows: &[Row],
        again: &str,
        output: &Output,
    ) -> Result<(), Failure> {
        self.table(
            "comparison.csv",
            ROW_COLUMNS,
            rows.iter().flat_map(row_cells),
        )?;
        // Each seed draws its own graph, as the file says.
        let topology = source.topology.clone();
        self.finish(source, topology, report, "comparison.csv", again, output)
    }

    fn finish(
        self,
        source: &Source,
        mut topology: Topology,
        report: &Value,
        data: &str,
        again: &str,
        output: &Output,
    ) -> Result<(), Failure> {
        let network = &source.network;
        // Relative folders are those beside the file that was run.
        for share in topology.nodes.iter_mut().flat_map(|node| &mut node.share) {
            let at = source.base.join(&*share);
            let at = at.canonicalize().unwrap_or(at);
            *share = at.to_string_lossy().into_owned();
        }
        self.write("topology.json", topology.to_json().as_bytes())?;
        self.write("run.json", format!("{report}\n").as_bytes())?;
        let graph = network.graph();
        let name = |node: u32| network.names.name(node).into_owned();
        let count = u32::try_from(graph.nodes()).expect("at most NODES_MAX");
        let nodes = (0..count).map(|node| [name(node), graph.degree(node).to_string()]);
        self.table("nodes.csv", ["node", "links"], nodes)?;
        let links = network
            .edges
            .iter()
            .map(|edge| [name(edge.a), name(edge.b)]);
        self.table("links.csv", ["from", "to"], links)?;
        let again = format!(
            "filbert lab run {}{again}",
            self.dir.join("topology.json").display()
        );
        self.write(
            "report.html",
            page::page(network, report, &self.replays, &again).as_bytes(),
        )?;
        let dir = self.dir.display();
        output.say(&format!(
            "Report   {dir}/report.html     data {dir}/{{{data},nodes.csv,links.csv,run.json}}\nAgain    {again}"
        ));
        Ok(())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.dir.join(name);
        std::fs::write(&path, bytes).map_err(|error| failed(&path, &error))
    }

    fn table<const N: usize>(
        &self,
        name: &str,
        columns: [&str; N],
        rows: impl Iterator<Item = [String; N]>,
    ) -> Result<(), Failure> {
        let path = self.dir.join(name);
        let write = || -> csv::Result<()> {
            let mut writer = csv::Writer::from_path(&path)?;
            writer.write_record(columns)?;
            for row in rows {
                writer.write_record(row)?;
            }
            Ok(writer.flush()?)
        };
        write().map_err(|error| failed(&path, &error))
    }
}

/// A gzip stream that is whole once it has been flushed, which the simulator does once, at the end.
struct Packed(GzEncoder<BufWriter<File>>);

impl Write for Packed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.try_finish()?;
        self.0.get_mut().flush()
    }
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    let text = format!(
        "{} cannot be written: {error}; make room or name another folder with --out",
        path.display()
    );
    Failure::new(Exit::Disk, text)
}

/// Columns of `queries.csv`.
const QUERY_COLUMNS: [&str; 15] = [
    "from",
    "query",
    "ttl",
    "messages",
    "duplicates",
    "lost",
    "reached",
    "bytes",
    "hits",
    "first_hit_hops",
    "first_hit_ms",
    "predicted_messages",
    "predicted_duplicates",
    "predicted_reached",
    "predicted_hits",
];

fn query_cells(query: &QueryReport) -> [String; 15] {
    let predicted = &query.predicted;
    let or_empty = |text: Option<String>| text.unwrap_or_default();
    [
        query.from.clone(),
        query.query.clone(),
        query.ttl.to_string(),
        query.messages.to_string(),
        query.duplicates.to_string(),
        query.lost.to_string(),
        query.reached.to_string(),
        query.bytes.to_string(),
        query.hits.to_string(),
        or_empty(query.first_hit_hops.map(|hops| hops.to_string())),
        or_empty(query.first_hit_ms.map(|ms| ms.to_string())),
        predicted.messages.to_string(),
        predicted.duplicates.to_string(),
        predicted.reached.to_string(),
        predicted.hits.to_string(),
    ]
}

/// Columns of `events.csv`.
const EVENT_COLUMNS: [&str; 8] = [
    "at_ms", "do", "begun_ms", "done_ms", "said", "nodes", "links", "ok",
];

fn event_cells(event: &EventReport) -> [String; 8] {
    [
        event.at_ms.to_string(),
        event.r#do.to_owned(),
        event.begun_ms.to_string(),
        event.done_ms.to_string(),
        event.said.clone(),
        event.nodes.join(" "),
        event.links.to_string(),
        event.ok.to_string(),
    ]
}

/// Columns of `comparison.csv`: one line for each figure, as plotting libraries like it.
const ROW_COLUMNS: [&str; 5] = ["strategy", "figure", "mean", "ci95", "seeds"];

fn row_cells(row: &Row) -> Vec<[String; 5]> {
    let figures = [
        ("success", Some(row.success)),
        ("messages", Some(row.messages)),
        ("messages_p95", Some(row.messages_p95)),
        ("duplicate_share", Some(row.duplicate_share)),
        ("reached", Some(row.reached)),
        ("bytes", Some(row.bytes)),
        ("hops", row.hops),
        ("first_hit_ms_p50", row.first_hit_ms_p50),
        ("first_hit_ms_p95", row.first_hit_ms_p95),
        ("load_max", Some(row.load_max)),
    ];
    let cells = |(name, figure): (&str, Option<Figure>)| {
        let figure = figure?;
        Some([
            row.name.clone(),
            name.to_owned(),
            figure.mean.to_string(),
            figure.ci95.map(|half| half.to_string()).unwrap_or_default(),
            row.seeds.to_string(),
        ])
    };
    figures.into_iter().filter_map(cells).collect()
}
