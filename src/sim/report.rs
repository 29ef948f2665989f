//! What a run found, the same for every engine: measured beside predicted, as tables and as JSON.
//!
//! The fields of the JSON are a contract, described in `topology-configs/README.md`.

mod event;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::node::event::Role;
use crate::topology::plan::Ask;
use crate::topology::{Graph, Network};

use super::phases::Phase;
use super::{AWAY, Measured, Predicted, millis};

pub use event::{EventReport, Expected};

/// Version of the JSON report; rises when a field changes its meaning.
const VERSION: u32 = 1;
/// Queries listed one by one for people; more are summed up only.
const ROWS_MAX: usize = 20;

/// A whole run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of this format.
    pub v: u32,
    /// `lab-report`.
    pub r#type: &'static str,
    /// `sim` or `real`.
    pub engine: &'static str,
    /// Version of the program.
    pub version: &'static str,
    /// Name of the topology.
    pub name: String,
    /// The graph.
    pub graph: GraphReport,
    /// Seed of the run.
    pub seed: u64,
    /// Every query, in order.
    pub queries: Vec<QueryReport>,
    /// What came of the events of the file; absent without events.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventReport>,
    /// All queries together; absent without queries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// Frames of all kinds, if the engine knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<Frames>,
    /// Digest of the trace: 16 hexadecimal digits, the same for the same file, seed and version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// Query frames that the busiest node got, on average for each query; virtual time only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_max: Option<f64>,
    /// Virtual time at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_ms: Option<f64>,
    /// What was found between one event and the next; absent without events.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
    /// The same by parts of equal length, of a run with churn.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<Phase>,
    /// How often churn had a node go or come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub churn: Option<Comings>,
    /// Invariants that did not hold, when they were checked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<String>,
}

/// The graph of a run.
#[derive(Clone, Debug, Serialize)]
pub struct GraphReport {
    /// What it is made of.
    pub describe: String,
    /// Nodes.
    pub nodes: usize,
    /// Links.
    pub links: usize,
    /// Of those, ultrapeers and leaves, in two tiers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ultrapeers: Option<usize>,
    /// See `ultrapeers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaves: Option<usize>,
    /// Nodes that misbehave, by how.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub behaviours: BTreeMap<&'static str, usize>,
    /// Pieces that are not linked to each other.
    pub components: u32,
    /// Links of a node on average.
    pub mean_degree: f64,
    /// Messages of a full flood in a connected graph: 2E - N + 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_flood: Option<u64>,
}

/// Frames by what became of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Frames {
    /// Given to links.
    pub sent: u64,
    /// Handed to nodes.
    pub delivered: u64,
    /// Lost by links.
    pub lost: u64,
    /// Shed by full send queues.
    pub shed: u64,
    /// Dropped by nodes for which they were too many.
    #[serde(skip_serializing_if = "is_none")]
    pub overrun: u64,
    /// Kept to themselves by silent nodes; never given to links, and not among `sent`.
    #[serde(skip_serializing_if = "is_none")]
    pub withheld: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// How often churn had a node go or come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comings {
    /// It came.
    pub came: u64,
    /// It took leave.
    pub left: u64,
    /// It died.
    pub died: u64,
}

/// One query.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QueryReport {
    /// Who asked.
    pub from: String,
    /// Words.
    pub query: String,
    /// TTL it was sent with.
    pub ttl: u8,
    /// Query frames sent by anybody, one for each link.
    pub messages: u64,
    /// Of those, frames that arrived where the query had been before.
    pub duplicates: u64,
    /// Of those, frames that were lost or shed on the way.
    pub lost: u64,
    /// Nodes reached, the asker not counted.
    pub reached: u64,
    /// Bytes of query and hit frames and datagrams sent by anybody; 0 when the engine does not know.
    pub bytes: u64,
    /// Files in the hits that came back.
    pub hits: u64,
    /// Files in hits of liars, who have none of them; not among `hits`.
    #[serde(skip_serializing_if = "is_none")]
    pub false_hits: u64,
    /// Hit frames that came back.
    pub hit_frames: u64,
    /// Hit frames sent by anybody, one for each link.
    pub hit_messages: u64,
    /// Links from the asker to the first responder heard from.
    pub first_hit_hops: Option<u32>,
    /// Time to the first hit.
    pub first_hit_ms: Option<f64>,
    /// What the graph says it should be.
    pub predicted: PredictedReport,
    /// The condition on `hits` in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
    /// When it was asked, on the clock of the events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<f64>,
    /// Why the query was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Whether what was found is what the file expects, and what it cost is what was predicted when that is exact.
    pub ok: bool,
}

/// What the graph says a query should cost and find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PredictedReport {
    /// As [`QueryReport::messages`].
    pub messages: u64,
    /// As [`QueryReport::duplicates`].
    pub duplicates: u64,
    /// As [`QueryReport::reached`].
    pub reached: u64,
    /// As [`QueryReport::hits`].
    pub hits: u64,
    /// As [`QueryReport::first_hit_hops`].
    pub first_hit_hops: Option<u32>,
    /// The TTL ended nowhere.
    pub full: bool,
    /// The measured figures must be equal; else the prediction is that of equal delays without loss.
    pub exact: bool,
}

/// All queries together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Queries asked.
    pub queries: usize,
    /// Queries with a hit.
    pub answered: usize,
    /// Queries of which the file expects something.
    pub expected: usize,
    /// Of those, the ones that found what it expects.
    pub expected_ok: usize,
    /// Whether every exact prediction came true.
    pub predicted_ok: bool,
    /// Messages on average.
    pub messages_mean: f64,
    /// 95 % of the queries took no more messages than this.
    pub messages_p95: u64,
    /// Messages on average, predicted.
    pub predicted_messages_mean: f64,
    /// Duplicates as a share of all messages.
    pub duplicate_share: f64,
    /// Nodes reached on average, the asker not counted.
    pub reached_mean: f64,
    /// Hops to the first hit on average, of the queries with one.
    pub first_hit_hops_mean: Option<f64>,
    /// Time to the first hit on average, of the queries with one.
    pub first_hit_ms_mean: Option<f64>,
}

impl QueryReport {
    /// One query: what was asked, measured and predicted.
    pub fn new(
        network: &Network,
        ask: &Ask,
        measured: Measured,
        predicted: Predicted,
        exact: bool,
    ) -> Self {
        let predicted = PredictedReport {
            messages: predicted.messages,
            duplicates: predicted.duplicates,
            reached: predicted.reached,
            hits: predicted.hits,
            first_hit_hops: predicted.first_hit_hops,
            full: predicted.full,
            exact,
        };
        let mut report = Self {
            from: network.names.name(ask.from).into_owned(),
            query: ask.query.clone(),
            ttl: ask.ttl,
            messages: measured.messages,
            duplicates: measured.duplicates,
            lost: measured.lost,
            reached: measured.reached,
            bytes: measured.bytes,
            hits: measured.hits,
            false_hits: measured.false_hits,
            hit_frames: measured.hit_frames,
            hit_messages: measured.hit_messages,
            first_hit_hops: measured.first_hit_hops,
            first_hit_ms: measured.first_hit_ns.map(millis),
            predicted,
            expect: ask.expect.map(|expect| expect.to_string()),
            at_ms: None,
            refused: measured.refused,
            ok: false,
        };
        report.judge();
        report
    }

    /// The same, asked so many nanoseconds after the events' clock started.
    #[must_use]
    pub fn asked_at(mut self, at_ns: Option<u64>) -> Self {
        self.at_ms = at_ns.map(millis);
        self
    }

    fn judge(&mut self) {
        // Nodes come and go: that one cannot ask is no failure unless something is expected of it.
        let excused = self.refused.as_deref() == Some(AWAY) && self.expect.is_none();
        self.ok = (self.refused.is_none() || excused) && self.met() && self.as_predicted();
    }

    /// No exact prediction failed.
    fn as_predicted(&self) -> bool {
        let same = (self.messages, self.duplicates, self.reached, self.hits)
            == (
                self.predicted.messages,
                self.predicted.duplicates,
                self.predicted.reached,
                self.predicted.hits,
            );
        !self.predicted.exact || same
    }

    fn met(&self) -> bool {
        self.expect
            .as_deref()
            .and_then(crate::topology::Amount::parse)
            .is_none_or(|expect| expect.holds(self.hits))
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a run are far below 2^53"
)]
fn mean(values: impl Iterator<Item = u64>) -> Option<f64> {
    let (sum, count) = values.fold((0_u64, 0_u64), |(sum, count), value| {
        (sum + value, count + 1)
    });
    (count > 0).then(|| sum as f64 / count as f64)
}

impl Summary {
    fn of(queries: &[QueryReport]) -> Option<Self> {
        let messages_mean = mean(queries.iter().map(|query| query.messages))?;
        let mut sorted: Vec<u64> = queries.iter().map(|query| query.messages).collect();
        sorted.sort_unstable();
        let p95 = sorted[(sorted.len() * 95).div_ceil(100).max(1) - 1];
        let duplicates_mean = mean(queries.iter().map(|query| query.duplicates))?;
        let times: Vec<f64> = queries
            .iter()
            .filter_map(|query| query.first_hit_ms)
            .collect();
        let expected = || queries.iter().filter(|query| query.expect.is_some());
        #[expect(
            clippy::cast_precision_loss,
            reason = "queries of a run are far below 2^53"
        )]
        let time_mean = (!times.is_empty()).then(|| times.iter().sum::<f64>() / times.len() as f64);
        Some(Self {
            queries: queries.len(),
            answered: queries.iter().filter(|query| query.hits > 0).count(),
            expected: expected().count(),
            expected_ok: expected().filter(|query| query.met()).count(),
            predicted_ok: queries.iter().all(QueryReport::as_predicted),
            messages_mean,
            messages_p95: p95,
            predicted_messages_mean: mean(queries.iter().map(|query| query.predicted.messages))?,
            duplicate_share: if messages_mean > 0.0 {
                duplicates_mean / messages_mean
            } else {
                0.0
            },
            reached_mean: mean(queries.iter().map(|query| query.reached))?,
            first_hit_hops_mean: mean(
                queries
                    .iter()
                    .filter_map(|query| query.first_hit_hops.map(u64::from)),
            ),
            first_hit_ms_mean: time_mean,
        })
    }
}

impl Report {
    /// A report of these queries on this network.
    pub fn new(
        network: &Network,
        graph: &Graph,
        engine: &'static str,
        queries: Vec<QueryReport>,
    ) -> Self {
        let (nodes, links, components) = (graph.nodes(), graph.edges(), graph.components().1);
        #[expect(clippy::cast_precision_loss, reason = "links are far below 2^53")]
        let mean_degree = 2.0 * links as f64 / nodes as f64;
        let full_flood = (components == 1 && !network.roles.are_two_tiers())
            .then(|| (2 * links + 1 - nodes) as u64);
        let tiers = network.roles.are_two_tiers();
        let tier = |role: Role| tiers.then(|| network.roles.count(role));
        Self {
            v: VERSION,
            r#type: "lab-report",
            engine,
            version: env!("CARGO_PKG_VERSION"),
            name: network.name.clone(),
            graph: GraphReport {
                describe: network.describe.clone(),
                nodes,
                links,
                ultrapeers: tier(Role::Ultrapeer),
                leaves: tier(Role::Leaf),
                behaviours: network
                    .misbehaving()
                    .into_iter()
                    .map(|(kind, count)| (kind.word(), count))
                    .collect(),
                components,
                mean_degree,
                full_flood,
            },
            seed: network.seed,
            summary: Summary::of(&queries),
            queries,
            events: Vec::new(),
            frames: None,
            trace: None,
            load_max: None,
            virtual_ms: None,
            phases: Vec::new(),
            timeline: Vec::new(),
            churn: None,
            broken: Vec::new(),
        }
    }

    /// Every query found what the file expects and cost what was predicted, and no invariant broke.
    pub fn ok(&self) -> bool {
        let events = self.events.iter().all(|event| event.ok);
        self.broken.is_empty() && events && self.queries.iter().all(|query| query.ok)
    }

    /// The head lines for people: what was run, and whether it came out as predicted.
    pub fn head(&self) -> String {
        let graph = &self.graph;
        let mut text = format!(
            "Graph    {}: {} nodes, {} links, mean degree {:.1}",
            graph.describe, graph.nodes, graph.links, graph.mean_degree
        );
        if let (Some(ultrapeers), Some(leaves)) = (graph.ultrapeers, graph.leaves) {
            let _ = write!(text, ", {ultrapeers} ultrapeers and {leaves} leaves");
        }
        for (at, (behaviour, count)) in graph.behaviours.iter().enumerate() {
            let start = if at == 0 { ", of them " } else { ", " };
            let _ = write!(text, "{start}{count} {behaviour}");
        }
        if graph.components > 1 {
            let _ = write!(text, ", in {} pieces", graph.components);
        }
        let clock = if self.engine == "sim" {
            "sim (virtual clock)"
        } else {
            "real (processes on this machine)"
        };
        let _ = write!(
            text,
            "\nEngine   {clock}     seed {}     {} queries\n",
            self.seed,
            self.queries.len()
        );
        for line in self.checks() {
            let _ = writeln!(text, "Check    {line}");
        }
        text
    }

    fn checks(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let verdict = |ok: bool| if ok { "ok" } else { "DIFFERENT" };
        let exact = || self.queries.iter().filter(|query| query.predicted.exact);
        let disturbed = !self.phases.is_empty();
        let (full, part): (Vec<_>, Vec<_>) =
            exact().partition(|query| query.predicted.full && !disturbed);
        let measured = |queries: &[&QueryReport]| mean(queries.iter().map(|query| query.messages));
        let ok =
            |queries: &[&QueryReport]| verdict(queries.iter().all(|query| query.as_predicted()));
        if let (Some(figure), Some(mean)) = (self.graph.full_flood, measured(&full)) {
            lines.push(format!(
                "full flood should send 2E-N+1 = {figure} messages per query: measured {mean:.1}   {}",
                ok(&full)
            ));
        }
        let counted = if self.graph.full_flood.is_some() {
            part
        } else {
            exact().collect()
        };
        let predicted = mean(counted.iter().map(|query| query.predicted.messages));
        if let (Some(predicted), Some(mean)) = (predicted, measured(&counted)) {
            let which = if disturbed {
                "floods in the network as it was then"
            } else {
                "floods that their TTL cuts short"
            };
            lines.push(format!(
                "{which} should send {predicted:.1} messages per query: measured {mean:.1}   {}",
                ok(&counted)
            ));
        }
        let loose = self
            .queries
            .iter()
            .filter(|query| !query.predicted.exact)
            .count();
        if let (Some(_), Some(summary)) = (self.graph.leaves, &self.summary) {
            lines.push(format!(
                "dynamic queries and routing tables sent {:.1} messages per query; a flood with the same TTL would send {:.1}",
                summary.messages_mean, summary.predicted_messages_mean
            ));
        } else if loose > 0 {
            let changed = if self.events.is_empty() {
                ""
            } else {
                ", or events changed the network"
            };
            lines.push(format!("{loose} queries without an exact prediction: delays differ, links lose frames, or memory is short{changed}"));
        }
        if let Some(summary) = self.summary.as_ref().filter(|summary| summary.expected > 0) {
            lines.push(format!(
                "{} of {} searches found what the file expects   {}",
                summary.expected_ok,
                summary.expected,
                verdict(summary.expected_ok == summary.expected)
            ));
        }
        let expected = self.events.iter().flat_map(|event| &event.expected);
        let (count, held) = expected.fold((0, 0), |(count, held), expected| {
            (count + 1, held + usize::from(expected.ok))
        });
        if count > 0 {
            lines.push(format!(
                "{held} of {count} searches of events found in time what the file expects   {}",
                verdict(held == count)
            ));
        }
        lines.extend(self.broken.iter().map(|breach| format!("BROKEN {breach}")));
        lines
    }

    /// Titles of [`rows`](Self::rows).
    pub const TITLES: [&str; 9] = [
        "FROM",
        "QUERY",
        "TTL",
        "MESSAGES",
        "DUPLICATES",
        "REACHED",
        "HITS",
        "HOPS",
        "FIRST HIT",
    ];

    /// One row a query, measured and predicted where they differ; none when there are too many to read.
    pub fn rows(&self) -> Vec<[String; 9]> {
        if self.queries.len() > ROWS_MAX {
            return Vec::new();
        }
        let both = |measured: u64, predicted: u64| {
            if measured == predicted {
                measured.to_string()
            } else {
                format!("{measured} ({predicted})")
            }
        };
        self.queries
            .iter()
            .map(|query| {
                let predicted = &query.predicted;
                [
                    query.from.clone(),
                    query.query.clone(),
                    query.ttl.to_string(),
                    both(query.messages, predicted.messages),
                    both(query.duplicates, predicted.duplicates),
                    both(query.reached, predicted.reached),
                    both(query.hits, predicted.hits) + if query.met() { "" } else { " !" },
                    query
                        .first_hit_hops
                        .map_or_else(|| "-".to_owned(), |hops| hops.to_string()),
                    query
                        .first_hit_ms
                        .map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms")),
                ]
            })
            .collect()
    }

    /// Lines about events, and about all queries together.
    pub fn foot(&self) -> String {
        let mut text = String::new();
        // Parts of the run tell of the events too; then only what failed is left to say.
        let told = !self.phases.is_empty();
        for event in self.events.iter().filter(|event| !told || !event.ok) {
            let _ = writeln!(text, "Event  {}", event.line());
        }
        let Some(summary) = &self.summary else {
            if self.events.is_empty() {
                text.push_str(
                    "No queries: add \"searches\" or \"workload\" to the file, or --queries.\n",
                );
            }
            return text;
        };
        let hops = summary
            .first_hit_hops_mean
            .map_or_else(|| "-".to_owned(), |hops| format!("{hops:.1}"));
        let _ = writeln!(
            text,
            "{} queries, {} answered; per query {:.1} messages (95 %: {}), {:.1} % duplicates, {:.1} nodes reached, first hit after {hops} hops",
            summary.queries,
            summary.answered,
            summary.messages_mean,
            summary.messages_p95,
            100.0 * summary.duplicate_share,
            summary.reached_mean,
        );
        let lies: u64 = self.queries.iter().map(|query| query.false_hits).sum();
        if lies > 0 {
            let _ = writeln!(
                text,
                "Liars answered with {lies} files that they do not have"
            );
        }
        if let Some(frames) = self.frames {
            for (count, what) in [
                (
                    frames.overrun,
                    "frames were too many for the nodes they came to",
                ),
                (frames.withheld, "frames were not passed on by silent nodes"),
            ] {
                if count > 0 {
                    let _ = writeln!(text, "{count} {what}");
                }
            }
        }
        for query in self
            .queries
            .iter()
            .filter(|query| !query.met())
            .take(ROWS_MAX)
        {
            let expect = query.expect.as_deref().unwrap_or_default();
            let _ = writeln!(
                text,
                "Missed   {} asked {:?}: expected {expect} hits, got {}; {} matching files within TTL {}",
                query.from, query.query, query.hits, query.predicted.hits, query.ttl
            );
        }
        text
    }
}
