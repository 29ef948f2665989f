//! One query, frame by frame, as the simulator delivers it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use crate::cli::exit::Failure;
use crate::cli::lab::{sim, source::Source};
use crate::node::strategy::Approach;
use crate::topology::plan::{Ask, Plan};

/// Steps that a page keeps of one query. Our choice: some megabytes of page at most.
const STEPS_MAX: usize = 20_000;

/// One query, asked alone.
#[derive(Debug, Serialize)]
pub(super) struct Replay {
    /// What sets it apart from the others.
    name: String,
    from: u32,
    query: String,
    steps: Vec<Step>,
    /// Steps left out at the end.
    cut: usize,
}

/// One frame, delivered.
#[derive(Debug, PartialEq, Serialize)]
struct Step {
    /// Virtual milliseconds since the first.
    t: f64,
    from: u32,
    to: u32,
    ttl: u8,
    hops: u8,
    what: What,
}

/// What a frame meant where it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum What {
    /// A query, for the first time.
    Query,
    /// A query that had been there.
    Duplicate,
    /// A hit on its way back.
    Hit,
}

/// A line of the trace.
#[derive(Deserialize)]
struct Line {
    t_ns: u64,
    from: String,
    to: String,
    kind: String,
    guid: String,
    ttl: u8,
    hops: u8,
}

/// A sink that others can read afterwards.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .expect("nobody panics while writing")
            .write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Asks one query of a plan by itself, in the network as it is at the start, and keeps what happens.
///
/// # Errors
/// What the simulator cannot do.
pub(super) fn replay(
    name: String,
    source: &Source,
    plan: &Plan,
    ask: &Ask,
    approach: &Approach,
) -> Result<Replay, Failure> {
    let alone = Plan {
        files: plan.files.clone(),
        asks: vec![Ask {
            at: None,
            ..ask.clone()
        }],
    };
    // What happens to the network while it runs is no part of one query.
    let mut source = source.clone();
    source.network.events.clear();
    let sink = Shared::default();
    sim::run(&source, &alone, approach, Some(Box::new(sink.clone())), 1)?;
    let bytes = std::mem::take(&mut *sink.0.lock().expect("the run is over"));
    let lines = String::from_utf8_lossy(&bytes);
    let lines = lines
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let find = |name: &str| source.network.names.find(name);
    let (steps, cut) = steps(lines, ask.from, find);
    Ok(Replay {
        name,
        from: ask.from,
        query: ask.query.clone(),
        steps,
        cut,
    })
}

fn steps(
    lines: impl Iterator<Item = Line>,
    asker: u32,
    find: impl Fn(&str) -> Option<u32>,
) -> (Vec<Step>, usize) {
    // The asker has seen its own queries, whatever their ids.
    let mut seen: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    let (mut steps, mut cut, mut start) = (Vec::new(), 0, None);
    for line in lines {
        let (Some(from), Some(to)) = (find(&line.from), find(&line.to)) else {
            continue;
        };
        let what = match line.kind.as_str() {
            "query" => {
                let seen = seen.entry(line.guid).or_insert_with(|| [asker].into());
                if seen.insert(to) {
                    What::Query
                } else {
                    What::Duplicate
                }
            }
            "query_hit" => What::Hit,
            // Routing tables and the like, before the question.
            _ => continue,
        };
        if steps.len() == STEPS_MAX {
            cut += 1;
            continue;
        }
        let start = *start.get_or_insert(line.t_ns);
        steps.push(Step {
            t: crate::sim::millis(line.t_ns - start),
            from,
            to,
            ttl: line.ttl,
            hops: line.hops,
            what,
        });
    }
    (steps, cut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::lab::source::shape;
    use crate::topology::plan::{Wish, plan};

    #[test]
    fn a_ring_is_met_from_both_sides() {
        let source = shape("ring:6", Some(1)).unwrap();
        let plan = plan(&source.network, Wish::default());
        let ask = &plan.asks[0];
        let approach = Approach::default();
        let replay = replay("flood".into(), &source, &plan, ask, &approach).unwrap();
        let count = |what| replay.steps.iter().filter(|step| step.what == what).count();
        // 2E - N + 1 messages, of which N - 1 arrive for the first time.
        assert_eq!((count(What::Query), count(What::Duplicate)), (5, 2));
        assert!(replay.steps.windows(2).all(|pair| pair[0].t <= pair[1].t));
        assert_eq!(replay.cut, 0);
        assert!(count(What::Hit) > 0);
    }

    #[test]
    fn a_page_is_not_flooded() {
        let line = |_| Line {
            t_ns: 0,
            from: "a".into(),
            to: "b".into(),
            kind: "query".into(),
            guid: "1".into(),
            ttl: 1,
            hops: 0,
        };
        let lines = (0..STEPS_MAX + 3).map(line);
        let (steps, cut) = steps(lines, 0, |name| Some(u32::from(name == "b")));
        assert_eq!((steps.len(), cut), (STEPS_MAX, 3));
        assert_eq!(steps[0].what, What::Query);
        assert_eq!(steps[1].what, What::Duplicate);
    }
}
