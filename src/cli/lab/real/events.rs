//! The events of a file, done to a network of processes at their times.
//!
//! One after the other: an expectation takes as long as it takes, and what is due meanwhile comes after it. What is
//! late is reported as late.

use std::time::Duration;

use super::asking::Asking;
use super::deed::{Change, Deed, Done};
use super::fleet::parts_per_million;
use super::live::Live;
use super::measure::{self, Question};
use crate::cli::clock::Stopwatch;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::units::{counted, short_time};
use crate::sim::report::{EventReport, Expected, QueryReport};
use crate::topology::events::{Act, Between, Partition, Step, Who};
use crate::topology::plan::{Ask, LAB_TTL};
use crate::topology::{Amount, Asker, LinkTraits, Network, Search};

/// Events in the order of their times; of one time, in that of the file.
#[derive(Debug)]
pub(super) struct Events<'a> {
    network: &'a Network,
    order: Vec<usize>,
    done: usize,
}

/// What came of an event.
#[derive(Debug)]
pub(super) struct Happened {
    /// The event.
    pub(super) report: EventReport,
    /// What its searches cost and found.
    pub(super) queries: Vec<QueryReport>,
}

impl<'a> Events<'a> {
    pub(super) fn new(network: &'a Network) -> Self {
        let mut order: Vec<usize> = (0..network.events.len()).collect();
        order.sort_by_key(|at| network.events[*at].at);
        Self {
            network,
            order,
            done: 0,
        }
    }

    /// When the next one is due, since the network was up.
    pub(super) fn due(&self) -> Option<Duration> {
        let next = self.order.get(self.done)?;
        Some(self.network.events[*next].at)
    }

    /// Does the next one if it is due on this clock, which began when the network was up.
    ///
    /// # Errors
    /// It makes no sense in this network, or a node does not do its part in time; `interrupted`.
    pub(super) fn next(
        &mut self,
        clock: Stopwatch,
        live: &mut Live<'a>,
        asking: &Asking<'a>,
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Happened>, Failure> {
        if self.due().is_none_or(|due| due > clock.elapsed()) {
            return Ok(None);
        }
        let number = self.order[self.done];
        self.done += 1;
        let step = &self.network.events[number];
        let begun = clock.elapsed();
        let mut happened = perform(number, step, live, asking, interrupted).map_err(|failure| {
            let text = format!(
                "events[{number}] ({}): {}",
                step.act.word(),
                failure.message
            );
            Failure::new(failure.exit, text)
        })?;
        let report = &mut happened.report;
        (report.begun_ms, report.done_ms) = (millis(begun), millis(clock.elapsed()));
        Ok(Some(happened))
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn perform<'a>(
    number: usize,
    step: &Step,
    live: &mut Live<'a>,
    asking: &Asking<'a>,
    interrupted: &(dyn Fn() -> bool + Sync),
) -> Result<Happened, Failure> {
    let (mut queries, mut expected) = (Vec::new(), Vec::new());
    let done = match &step.act {
        Act::Search(search) => {
            for from in askers(search, live)? {
                queries.push(asking.ask(live, &ask(search, from, live), interrupted)?);
            }
            let hits: u64 = queries.iter().map(|query| query.hits).sum();
            let hits = counted(hits, "file", "files");
            Done {
                said: format!("searched for {:?}: {hits}", search.query),
                nodes: queries.iter().map(|query| query.from.clone()).collect(),
                links: 0,
            }
        }
        Act::Expect { search, within } => {
            for from in askers(search, live)? {
                expected.push(expect(search, *within, from, live, interrupted)?);
            }
            Done {
                said: said(&expected, *within),
                nodes: expected.iter().map(|found| found.from.clone()).collect(),
                links: 0,
            }
        }
        act => {
            let deed = deed(number, act, live).map_err(wrong)?;
            if deed.is_nothing() {
                Done {
                    said: format!("{}: nobody that it could happen to", act.word()),
                    ..Done::default()
                }
            } else {
                live.do_deed(&deed, interrupted)?
            }
        }
    };
    let report = EventReport {
        at_ms: millis(step.at),
        r#do: step.act.word(),
        begun_ms: 0.0,
        done_ms: 0.0,
        said: done.said,
        nodes: done.nodes,
        links: done.links,
        ok: expected.iter().all(|found| found.ok),
        expected,
    };
    Ok(Happened { report, queries })
}

fn wrong(why: String) -> Failure {
    Failure::new(Exit::Usage, why)
}

/// What an act of a file means here and now.
fn deed(number: usize, act: &Act, live: &Live<'_>) -> Result<Deed, String> {
    let network = live.network();
    let drawn = |who: &Who, dead: bool| who.drawn(network, number, &live.fleet().those(dead));
    Ok(match act {
        Act::Kill(who) => Deed::Kill {
            nodes: drawn(who, false)?,
        },
        Act::Leave(who) => Deed::Leave {
            nodes: drawn(who, false)?,
        },
        Act::Restart(who) | Act::Join(who) => Deed::Restart {
            nodes: drawn(who, true)?,
        },
        Act::Partition(Partition::Groups(groups)) => Deed::Partition {
            groups: groups
                .iter()
                .map(|names| network.named(names))
                .collect::<Result<_, _>>()?,
        },
        Act::Partition(Partition::OneWay { from, to }) => Deed::OneWay {
            from: network.named(from)?,
            to: network.named(to)?,
        },
        Act::Heal => Deed::Heal { changes: true },
        Act::Cut(between) => Deed::Cut {
            links: network.between(between)?,
        },
        Act::Change { between, to } => Deed::Change {
            links: if *between == Between::default() {
                Vec::new()
            } else {
                network.between(between)?
            },
            to: change(to),
        },
        Act::Churn(churn) => Deed::Churn {
            nodes: network.named(&churn.nodes)?,
            crash: churn.crash,
            before: churn.before,
            times: churn.times.clone(),
        },
        Act::Calm => Deed::Calm,
        Act::Search(_) | Act::Expect { .. } => unreachable!("searches are no deeds"),
    })
}

fn change(to: &LinkTraits) -> Change {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Change {
        delay_us: to.delay.map(micros),
        jitter_us: to.jitter.map(micros),
        drop_ppm: to.drop.map(parts_per_million),
        rate: to.rate,
    }
}

/// Who asks: of all nodes, those that are up.
fn askers(search: &Search, live: &Live<'_>) -> Result<Vec<u32>, Failure> {
    match &search.from {
        Asker::Each => Ok(live.fleet().those(false)),
        Asker::Node(name) => {
            let found = live.network().names.find(name);
            let found = found.ok_or_else(|| wrong(format!("there is no node {name:?}")))?;
            Ok(vec![found])
        }
    }
}

fn ask(search: &Search, from: u32, live: &Live<'_>) -> Ask {
    Ask {
        from,
        query: search.query.clone(),
        ttl: ttl(search, live.network()),
        at: None,
        expect: None,
        anyone: false,
    }
}

fn ttl(search: &Search, network: &Network) -> u8 {
    search.ttl.or(network.defaults.ttl).unwrap_or(LAB_TTL)
}

fn expect(
    search: &Search,
    within: Duration,
    from: u32,
    live: &Live<'_>,
    interrupted: &(dyn Fn() -> bool + Sync),
) -> Result<Expected, Failure> {
    let wanted = search.hits.unwrap_or(Amount {
        min: 1,
        max: u64::MAX,
    });
    let name = live.network().names.name(from).into_owned();
    let mut found = Expected {
        query: search.query.clone(),
        ttl: ttl(search, live.network()),
        hits: wanted.to_string(),
        within_ms: millis(within),
        got: 0,
        reached: 0,
        after_ms: 0.0,
        refused: None,
        ok: false,
        from: name,
    };
    let (alive, clients) = live.fleet().alive();
    let Ok(at) = alive.binary_search(&from) else {
        found.refused = Some(format!("node {} is down", found.from));
        return Ok(found);
    };
    let question = Question {
        from: at,
        text: &search.query,
        ttl: found.ttl,
        limit: Some(within),
    };
    match measure::expect(&clients, question, wanted, interrupted) {
        Ok(seen) => {
            (found.got, found.reached) = (seen.hits, seen.reached);
            found.after_ms = millis(seen.after);
            found.ok = wanted.holds(seen.hits);
        }
        // The node would not ask.
        Err(failure) if failure.exit == Exit::Usage => found.refused = Some(failure.message),
        Err(failure) => return Err(failure),
    }
    Ok(found)
}

fn said(expected: &[Expected], within: Duration) -> String {
    let within = short_time(within);
    match expected {
        [] => "nobody was up to search".to_owned(),
        [one] => {
            let Expected {
                from,
                query,
                hits,
                got,
                refused,
                ..
            } = one;
            let outcome = match refused {
                None => format!("got {got}"),
                Some(why) => why.clone(),
            };
            format!("expected {hits} hits for {query:?} from {from} within {within}: {outcome}")
        }
        [first, ..] => {
            let held = expected.iter().filter(|found| found.ok).count();
            let Expected { query, hits, .. } = first;
            let all = expected.len();
            format!(
                "expected {hits} hits for {query:?} within {within} from each of {all}: so at {held}"
            )
        }
    }
}
