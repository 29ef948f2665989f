//! A run with events, part by part: what the network was like and how searches fared between one event and the next.

use serde::Serialize;

use super::millis;
use super::present::Extent;
use super::report::QueryReport;

/// One part of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Phase {
    /// When it began, since the network was up.
    pub from_ms: f64,
    /// What happened then; absent where a run with churn is cut into equal parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Nodes that were there at its end.
    pub nodes: usize,
    /// Links that were up at its end.
    pub links: usize,
    /// Pieces of the network at its end between which nothing passed both ways.
    pub pieces: usize,
    /// Queries asked in it.
    pub queries: usize,
    /// Of those, queries with a hit.
    pub answered: usize,
    /// Searches of which events expect something.
    pub expected: usize,
    /// Of those, the ones that found it in time.
    pub expected_ok: usize,
    /// Messages of a query on average; absent without queries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages_mean: Option<f64>,
    /// Nodes that a query reached on average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reached_mean: Option<f64>,
    /// Time to the first hit on average, of the queries with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_hit_ms_mean: Option<f64>,
}

/// One query of a run.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// When, on the clock of [`Part::from_ns`].
    pub at_ns: u64,
    /// What it cost and found.
    pub query: &'a QueryReport,
    /// Whether it found what an event expects; `None`: nothing is.
    pub held: Option<bool>,
}

/// The beginning of a part, and what the network was like at its end.
#[derive(Clone, Debug)]
pub struct Part {
    /// When it began.
    pub from_ns: u64,
    /// As [`Phase::after`].
    pub after: Option<String>,
    /// At its end.
    pub extent: Extent,
}

impl Phase {
    /// Titles of [`row`](Self::row).
    pub const TITLES: [&str; 9] = [
        "AT",
        "AFTER",
        "NODES",
        "LINKS",
        "PIECES",
        "ANSWERED",
        "MESSAGES",
        "REACHED",
        "FIRST HIT",
    ];

    /// The parts of a run, from `start_ns` on, with the queries asked in each; both in order of time.
    pub fn all(start_ns: u64, parts: &[Part], queries: &[Asked<'_>]) -> Vec<Self> {
        let mut rest = queries;
        let mut phases = Vec::with_capacity(parts.len());
        for (at, part) in parts.iter().enumerate() {
            let until = parts.get(at + 1).map_or(u64::MAX, |next| next.from_ns);
            let (these, later) = rest.split_at(rest.partition_point(|asked| asked.at_ns < until));
            rest = later;
            phases.push(Self::of(start_ns, part, these));
        }
        phases
    }

    fn of(start_ns: u64, part: &Part, queries: &[Asked<'_>]) -> Self {
        let asked = || queries.iter().map(|asked| asked.query);
        let held = || queries.iter().filter_map(|asked| asked.held);
        let mean = |values: &mut dyn Iterator<Item = f64>| {
            let values: Vec<f64> = values.collect();
            #[expect(
                clippy::cast_precision_loss,
                reason = "queries of a run are far below 2^53"
            )]
            let count = values.len() as f64;
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / count)
        };
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of a run are far below 2^53"
        )]
        let counted =
            |figure: fn(&QueryReport) -> u64| mean(&mut asked().map(|query| figure(query) as f64));
        Self {
            from_ms: millis(part.from_ns.saturating_sub(start_ns)),
            after: part.after.clone(),
            nodes: part.extent.nodes,
            links: part.extent.links,
            pieces: part.extent.pieces,
            queries: queries.len(),
            answered: asked().filter(|query| query.hits > 0).count(),
            expected: held().count(),
            expected_ok: held().filter(|held| *held).count(),
            messages_mean: counted(|query| query.messages),
            reached_mean: counted(|query| query.reached),
            first_hit_ms_mean: mean(&mut asked().filter_map(|query| query.first_hit_ms)),
        }
    }

    /// One row for people.
    pub fn row(&self) -> [String; 9] {
        let figure =
            |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.1}"));
        [
            time(self.from_ms),
            self.after.clone().unwrap_or_default(),
            self.nodes.to_string(),
            self.links.to_string(),
            self.pieces.to_string(),
            if self.queries == 0 {
                "-".to_owned()
            } else {
                format!("{} of {}", self.answered, self.queries)
            },
            figure(self.messages_mean),
            figure(self.reached_mean),
            self.first_hit_ms_mean
                .map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms")),
        ]
    }
}

/// A time for people.
fn time(ms: f64) -> String {
    match ms {
        ms if ms >= 7_200_000.0 => format!("{:.1} h", ms / 3_600_000.0),
        ms if ms >= 120_000.0 => format!("{:.1} min", ms / 60_000.0),
        ms if ms >= 1_000.0 => format!("{:.1} s", ms / 1_000.0),
        ms => format!("{ms:.0} ms"),
    }
}
