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
use crate::cli::output::units::counted;
use crate::sim::AWAY;
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
    pub(super) queries: Vec<Searched>,
}

/// A search, and what came of it.
#[derive(Debug)]
pub(super) struct Searched {
    pub(super) report: QueryReport,
    /// When it was asked, on the clock of the events.
    pub(super) at: Duration,
    /// Whether it found what its event expects; `None`: nothing is.
    pub(super) held: Option<bool>,
}

impl Searched {
    /// One that was over when the clock started.
    pub(super) fn before(report: QueryReport) -> Self {
        Self {
            report,
            at: Duration::ZERO,
            held: None,
        }
    }

    /// One of a time.
    pub(super) fn of(report: QueryReport, at: Duration, held: Option<bool>) -> Self {
        Self {
            report: report.asked_at(Some(nanos(at))),
            at,
            held,
        }
    }
}

/// A time as nanoseconds.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
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

    /// The next one.
    pub(super) fn peek(&self) -> Option<&'a Step> {
        Some(&self.network.events[*self.order.get(self.done)?])
    }

    /// When the next one is due, since the network was up.
    pub(super) fn due(&self) -> Option<Duration> {
        Some(self.peek()?.at)
    }

    /// Does the next one if it is due by `now` on this clock, which began when the network was up.
    ///
    /// # Errors
    /// It makes no sense in this network, or a node does not do its part in time; `interrupted`.
    pub(super) fn next(
        &mut self,
        now: Duration,
        clock: Stopwatch,
        live: &mut Live<'a>,
        asking: &Asking<'a>,
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Happened>, Failure> {
        if self.due().is_none_or(|due| due > now) {
            return Ok(None);
        }
        let number = self.order[self.done];
        self.done += 1;
        let step = &self.network.events[number];
        let begun = clock.elapsed();
        let came = perform(number, step, live, asking, clock, interrupted);
        let mut happened = came.map_err(|failure| {
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
    clock: Stopwatch,
    interrupted: &(dyn Fn() -> bool + Sync),
) -> Result<Happened, Failure> {
    let (mut queries, mut expected) = (Vec::new(), Vec::new());
    let done = match &step.act {
        Act::Search(search) => {
            for from in askers(search, live)? {
                let at = clock.elapsed();
                let answer = asking.ask(live, &ask(search, from, live), interrupted)?;
                queries.push(Searched::of(answer.report, at, None));
            }
            let hits: u64 = queries.iter().map(|asked| asked.report.hits).sum();
            let hits = counted(hits, "file", "files");
            Done {
                said: format!("searched for {:?}: {hits}", search.query),
                nodes: queries
                    .iter()
                    .map(|asked| asked.report.from.clone())
                    .collect(),
                links: 0,
            }
        }
        Act::Expect { search, within } => {
            for from in askers(search, live)? {
                let at = clock.elapsed();
                let expectation = Expectation {
                    search,
                    within: *within,
                    from,
                };
                let (found, report) = expectation.look(live, asking, interrupted)?;
                let held = Some(found.ok);
                queries.extend(report.map(|report| Searched::of(report, at, held)));
                expected.push(found);
            }
            Done {
                said: Expected::said(&expected),
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

/// A search that must find so much in some time.
struct Expectation<'a> {
    search: &'a Search,
    within: Duration,
    from: u32,
}

impl Expectation<'_> {
    fn wanted(&self) -> Amount {
        self.search.hits.unwrap_or(Amount {
            min: 1,
            max: u64::MAX,
        })
    }

    /// Searches, and what it cost where that is counted: a dynamic query of two tiers may go on for minutes, for which
    /// nobody waits.
    fn look<'a>(
        &self,
        live: &Live<'a>,
        asking: &Asking<'a>,
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<(Expected, Option<QueryReport>), Failure> {
        let network = live.network();
        let wanted = self.wanted();
        let mut found = Expected {
            from: network.names.name(self.from).into_owned(),
            query: self.search.query.clone(),
            ttl: ttl(self.search, network),
            hits: wanted.to_string(),
            within_ms: millis(self.within),
            got: 0,
            reached: 0,
            after_ms: 0.0,
            refused: None,
            ok: false,
        };
        if network.roles.are_two_tiers() {
            self.look_only(live, &mut found, interrupted)?;
            return Ok((found, None));
        }
        let answer = asking.ask(live, &ask(self.search, self.from, live), interrupted)?;
        found.refused.clone_from(&answer.report.refused);
        found.got = answer.by(self.within);
        found.reached = answer.report.reached;
        let enough = answer
            .reached(wanted.min)
            .filter(|_| wanted.max == u64::MAX);
        found.after_ms = millis(enough.unwrap_or(answer.took).min(self.within));
        found.ok = found.refused.is_none() && wanted.holds(found.got);
        Ok((found, Some(answer.report)))
    }

    fn look_only(
        &self,
        live: &Live<'_>,
        found: &mut Expected,
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), Failure> {
        let (alive, clients) = live.fleet().alive();
        let Ok(at) = alive.binary_search(&self.from) else {
            found.refused = Some(AWAY.to_owned());
            return Ok(());
        };
        let question = Question {
            from: at,
            text: &self.search.query,
            ttl: found.ttl,
            limit: Some(self.within),
        };
        match measure::expect(&clients, question, self.wanted(), interrupted) {
            Ok(seen) => {
                (found.got, found.reached) = (seen.hits, seen.reached);
                found.after_ms = millis(seen.after);
                found.ok = self.wanted().holds(seen.hits);
            }
            // The node would not ask.
            Err(failure) if failure.exit == Exit::Usage => found.refused = Some(failure.message),
            Err(failure) => return Err(failure),
        }
        Ok(())
    }
}
