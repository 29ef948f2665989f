//! The figures of a row, by name, and how two of them differ.

use serde::Serialize;

use super::read::{Query, Row, Run, real};
use crate::sim::compare::Figure;

/// One figure of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    /// As in JSON.
    pub(super) name: &'static str,
    /// Head of a column.
    pub(super) title: &'static str,
    pub(super) unit: Unit,
    pub(super) of: fn(&Row) -> Option<Figure>,
    /// The same of one query, where it is a mean over queries.
    of_query: Option<fn(&Query) -> Option<f64>>,
}

impl Difference {
    /// Which figure this is about.
    pub(super) fn named(&self) -> Named {
        let found = ALL.iter().find(|named| named.name == self.figure);
        *found.expect("differences are of these figures")
    }

    /// What differs, in words: of two comparisons with the variant.
    pub(super) fn what(&self, of: &Run) -> String {
        let figure = self.named().title.to_lowercase();
        if of.seeds.is_some() {
            format!("{} {figure}", self.row)
        } else {
            figure
        }
    }
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Share,
    Count,
    Millis,
}

/// All figures, in the order in which they are shown.
pub(super) const ALL: [Named; 10] = [
    Named {
        name: "success",
        title: "SUCCESS",
        unit: Unit::Share,
        of: |row| Some(row.success),
        of_query: Some(|query| Some(if query.hits > 0 { 1.0 } else { 0.0 })),
    },
    Named {
        name: "messages",
        title: "MESSAGES",
        unit: Unit::Count,
        of: |row| Some(row.messages),
        of_query: Some(|query| Some(real(query.messages))),
    },
    Named {
        name: "messages_p95",
        title: "P95",
        unit: Unit::Count,
        of: |row| Some(row.messages_p95),
        of_query: None,
    },
    Named {
        name: "duplicate_share",
        title: "DUPLICATES",
        unit: Unit::Share,
        of: |row| Some(row.duplicate_share),
        of_query: None,
    },
    Named {
        name: "reached",
        title: "REACHED",
        unit: Unit::Count,
        of: |row| Some(row.reached),
        of_query: Some(|query| Some(real(query.reached))),
    },
    Named {
        name: "bytes",
        title: "BYTES",
        unit: Unit::Count,
        of: |row| row.bytes,
        of_query: Some(|query| Some(real(query.bytes))),
    },
    Named {
        name: "hops",
        title: "HOPS",
        unit: Unit::Count,
        of: |row| row.hops,
        of_query: Some(|query| query.first_hit_hops.map(f64::from)),
    },
    Named {
        name: "first_hit_ms_p50",
        title: "FIRST HIT",
        unit: Unit::Millis,
        of: |row| row.first_hit_ms_p50,
        of_query: None,
    },
    Named {
        name: "first_hit_ms_p95",
        title: "FIRST HIT P95",
        unit: Unit::Millis,
        of: |row| row.first_hit_ms_p95,
        of_query: None,
    },
    Named {
        name: "load_max",
        title: "BUSIEST NODE",
        unit: Unit::Count,
        of: |row| row.load_max,
        of_query: None,
    },
];

/// How one figure of two runs differs.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Difference {
    /// The rows that are held against each other: of two comparisons the variant.
    pub(super) row: String,
    /// Which figure.
    pub(super) figure: &'static str,
    /// In the first run.
    pub(super) first: Figure,
    /// In the second.
    pub(super) second: Figure,
    /// The second less the first.
    #[serde(rename = "difference")]
    pub(super) change: Figure,
    /// The same in percent of the first; absent where that is 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) percent: Option<f64>,
    /// The interval is that of the differences query by query, which is narrower than one of two means.
    pub(super) paired: bool,
}

/// Whether two single runs asked the same questions in the same order.
pub(super) fn same_questions(first: &Run, second: &Run) -> bool {
    let pairs = || first.asked.iter().zip(&second.asked);
    !first.asked.is_empty()
        && first.asked.len() == second.asked.len()
        && pairs().all(|(one, other)| one.is_as(other))
}

/// How two runs differ, figure by figure: two single runs, or the variants that two comparisons have in common.
pub(super) fn differences(first: &Run, second: &Run) -> Vec<Difference> {
    let single = |run: &Run| run.seeds.is_none();
    let paired = same_questions(first, second);
    let mut all = Vec::new();
    for one in &first.rows {
        let both_single = single(first) && single(second);
        let other = second.rows.iter().find(|other| {
            both_single || (other.name == one.name && !single(first) && !single(second))
        });
        let Some(other) = other else { continue };
        for named in &ALL {
            let (Some(a), Some(b)) = ((named.of)(one), (named.of)(other)) else {
                continue;
            };
            let by_query = named.of_query.filter(|_| paired).and_then(|of| {
                let pairs = first.asked.iter().zip(&second.asked);
                let values: Vec<f64> = pairs
                    .filter_map(|(one, other)| Some(of(other)? - of(one)?))
                    .collect();
                Figure::of(&values)
            });
            let mean = b.mean - a.mean;
            // Of two means that know nothing of each other the squares add up.
            let apart = || a.ci95.zip(b.ci95).map(|(one, other)| one.hypot(other));
            let change = Figure {
                mean,
                ci95: by_query.map_or_else(apart, |figure| figure.ci95),
            };
            all.push(Difference {
                row: one.name.clone(),
                figure: named.name,
                first: a,
                second: b,
                change,
                percent: (a.mean != 0.0).then(|| 100.0 * mean / a.mean),
                paired: by_query.is_some(),
            });
        }
    }
    all
}
