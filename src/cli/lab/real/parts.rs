//! A run with events, part by part: from one event to the next, as in virtual time.

use std::time::Duration;

use super::events::{Searched, nanos};
use super::live::Live;
use crate::sim::Extent;
use crate::sim::phases::{Asked, Part, Phase};
use crate::topology::events::{Act, Step};

/// Parts of one run.
const PARTS_MAX: usize = 200;

/// The parts so far.
#[derive(Debug)]
pub(super) struct Parts {
    all: Vec<Part>,
    /// When the file has the event that began the last one.
    due: Option<Duration>,
}

impl Parts {
    /// The first, which begins with the clock.
    pub(super) fn new() -> Self {
        Self {
            all: vec![Part {
                from_ns: 0,
                after: Some("start".to_owned()),
                extent: Extent::default(),
            }],
            due: None,
        }
    }

    /// An event comes at this time: unless it only asks, a part begins with it. Those that are due at one moment begin
    /// one.
    pub(super) fn event(&mut self, step: &Step, at: Duration, live: &Live<'_>) {
        if matches!(step.act, Act::Search(_) | Act::Expect { .. }) {
            return;
        }
        let what = step.act.to_string();
        let full = self.all.len() >= PARTS_MAX;
        let together = full || self.due == Some(step.at);
        match self.all.last_mut() {
            Some(last) if together => {
                let after = last.after.get_or_insert_default();
                if !full {
                    after.push_str(", ");
                    after.push_str(&what);
                }
            }
            _ => {
                self.close(live);
                self.all.push(Part {
                    from_ns: nanos(at),
                    after: Some(what),
                    extent: Extent::default(),
                });
            }
        }
        self.due = Some(step.at);
    }

    /// The last part is over.
    pub(super) fn close(&mut self, live: &Live<'_>) {
        if let Some(last) = self.all.last_mut() {
            last.extent = live.fleet().extent();
        }
    }

    /// The parts with the queries asked in each, in order of time.
    pub(super) fn phases(&self, queries: &[Searched]) -> Vec<Phase> {
        let asked = |searched: &'_ Searched| (nanos(searched.at), searched.held);
        let asked: Vec<Asked<'_>> = queries
            .iter()
            .map(|searched| {
                let (at_ns, held) = asked(searched);
                Asked {
                    at_ns,
                    query: &searched.report,
                    held,
                }
            })
            .collect();
        Phase::all(0, &self.all, &asked)
    }
}
