//! What a query costs on a network of real nodes: counters before and after, read while the network is at rest.
//!
//! At rest means that no query, hit or routing table is under way. Two rounds of questions tell: if all frames that
//! nodes had sent by the second round had been received or lost by the first, then none was under way in between
//! (Mattern, "Algorithms for distributed termination detection", 1987, the four-counter method). Each link is looked at
//! on its own, so that a node that was killed takes nothing out of the sum but its links. A dynamic query that will go
//! on by itself keeps a node from rest as much: it is begun by a frame that came, and ends by sending or for good, so
//! that the second round knows of it. Nothing is guessed from silence, and no time is waited that is not needed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::ask::{NodeClient, for_all};
use crate::cli::clock::Stopwatch;
use crate::cli::exit::{Exit, Failure};
use crate::control::{self, Counters, Reply, Request, Trace};
use crate::net::Replies;
use crate::sim::Measured;
use crate::topology::Amount;
use crate::wire::Kind;

/// Pause between two rounds of questions while frames are under way.
const ROUND_PAUSE: Duration = Duration::from_millis(2);
/// The same while dynamic queries go on, which wait for seconds between two sends.
const ASKING_PAUSE: Duration = Duration::from_millis(100);
/// How often the reader of hits looks whether it may stop.
const HIT_LOOK: Duration = Duration::from_millis(5);
/// Hits that a node has got have so long to reach us.
const HITS_LATE: Duration = Duration::from_secs(10);
/// The counter of frames that send queues shed, of whatever kind.
const SHED: &str = "queue_full";

/// A query and all that came of it.
#[derive(Clone, Debug)]
pub(in crate::cli::lab) struct Outcome {
    /// What it cost and found.
    pub measured: Measured,
    /// The hits, in the order in which they came.
    pub hits: Vec<control::Hit>,
    /// When each came, since it was asked.
    pub times: Vec<Duration>,
    /// When all was over.
    pub took: Duration,
    /// Its message id; `None`: the node refused to ask.
    pub guid: Option<String>,
}

/// One question to a network.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli::lab) struct Question<'a> {
    /// Number of the node that asks.
    pub from: usize,
    /// Words.
    pub text: &'a str,
    /// Hops.
    pub ttl: u8,
    /// The network has so long to come to rest; `None`: for ever.
    pub limit: Option<Duration>,
}

impl Question<'_> {
    fn request(&self) -> Request {
        Request::Search {
            text: self.text.to_owned(),
            urn: None,
            ttl: Some(self.ttl),
            strategy: None,
            kind: None,
            nets: Vec::new(),
        }
    }
}

/// Asks one question on a network where nobody else asks, and waits until all is over.
///
/// # Errors
/// A node does not answer; the network does not come to rest in time (exit 4); `interrupted` (exit 130).
pub(in crate::cli::lab) fn ask(
    clients: &[NodeClient],
    question: Question<'_>,
    interrupted: &(dyn Fn() -> bool + Sync),
) -> Result<Outcome, Failure> {
    let before = rest(clients, question.limit, interrupted)?;
    let asker = &clients[question.from];
    let clock = Stopwatch::start();
    let failed = |why: String| Failure::new(Exit::NoNetwork, format!("node {}: {why}", asker.name));
    let mut replies = asker
        .client()
        .request(&question.request())
        .map_err(|error| failed(error.to_string()))?;
    let guid = match replies.next(question.limit.unwrap_or(HITS_LATE)) {
        Some(Reply::Searching { guid, .. }) => guid,
        Some(Reply::Error { message }) => {
            let measured = Measured {
                refused: Some(message),
                ..Measured::default()
            };
            return Ok(Outcome {
                measured,
                hits: Vec::new(),
                times: Vec::new(),
                took: Duration::ZERO,
                guid: None,
            });
        }
        _ => return Err(failed("does not begin to search".to_owned())),
    };
    let (over, mut after) = (AtomicBool::new(false), Ok(Vec::new()));
    let hits = std::thread::scope(|scope| {
        // Hits are read while they come: a reader that waits would hold them up.
        let reader = scope.spawn(|| read_hits(&mut replies, clock, &over));
        after = rest(clients, question.limit, interrupted);
        over.store(true, Ordering::Relaxed);
        reader.join().expect("reading hits does not panic")
    });
    let after = after?;
    let own = received(&after[question.from], Kind::QueryHit)
        - received(&before[question.from], Kind::QueryHit);
    let hits = the_rest(hits, own, &mut replies, clock);
    let mut measured = count(&before, &after, question.from);
    measured.hits = hits.iter().map(|(_, hit)| hit.records.len() as u64).sum();
    measured.hit_frames = hits.len() as u64;
    if let Some((after, first)) = hits.first() {
        measured.first_hit_hops = Some(u32::from(first.hops) + 1);
        measured.first_hit_ns = u64::try_from(after.as_nanos()).ok();
    }
    let (times, hits) = hits.into_iter().unzip();
    Ok(Outcome {
        measured,
        hits,
        times,
        took: clock.elapsed(),
        guid: Some(guid),
    })
}

/// What an expectation has seen.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli::lab) struct Seen {
    /// Files found.
    pub hits: u64,
    /// Nodes that the query has come to, the asker not counted.
    pub reached: u64,
    /// How long after asking it was certain.
    pub after: Duration,
}

/// Asks and counts files until it is certain whether `wanted` holds: more than enough came, the network is at rest so
/// that nothing more can come, or the question's time is over.
///
/// # Errors
/// A node does not answer; `interrupted`.
pub(in crate::cli::lab) fn expect(
    clients: &[NodeClient],
    question: Question<'_>,
    wanted: Amount,
    interrupted: &(dyn Fn() -> bool + Sync),
) -> Result<Seen, Failure> {
    let asker = &clients[question.from];
    let failed = |why: String| Failure::new(Exit::NoNetwork, format!("node {}: {why}", asker.name));
    let before = received(&asker.counters()?, Kind::QueryHit);
    let clock = Stopwatch::start();
    let mut replies = asker
        .client()
        .request(&question.request())
        .map_err(|error| failed(error.to_string()))?;
    let guid = match replies.next(Some(HITS_LATE).max(question.limit).unwrap_or(HITS_LATE)) {
        Some(Reply::Searching { guid, .. }) => guid,
        Some(Reply::Error { message }) => return Err(Failure::new(Exit::Usage, message)),
        _ => return Err(failed("does not begin to search".to_owned())),
    };
    // Hit frames that the asker has got, once nothing is under way any more.
    let (certain, all) = (AtomicBool::new(false), AtomicU64::new(u64::MAX));
    let (hits, rested) = std::thread::scope(|scope| {
        let resting = scope.spawn(|| {
            let stop = || certain.load(Ordering::Relaxed) || interrupted();
            let rested = rest(clients, question.limit, &stop);
            if let Ok(counters) = &rested {
                let got = received(&counters[question.from], Kind::QueryHit) - before;
                all.store(got, Ordering::Relaxed);
            }
            rested
        });
        let (mut hits, mut frames) = (0, 0);
        let is_certain =
            |hits: u64| hits > wanted.max || (hits >= wanted.min && wanted.max == u64::MAX);
        while !is_certain(hits) && !clock.passed(question.limit) && !interrupted() {
            if replies.over() || frames >= all.load(Ordering::Relaxed) {
                break;
            }
            if let Some(Reply::Hit(hit)) = replies.next(HIT_LOOK) {
                hits += hit.records.len() as u64;
                frames += 1;
            }
        }
        certain.store(true, Ordering::Relaxed);
        (
            hits,
            resting.join().expect("looking for rest does not panic"),
        )
    });
    let after = clock.elapsed();
    if interrupted() {
        return Err(Failure::new(Exit::Interrupted, "interrupted"));
    }
    match rested {
        Err(failure) if failure.exit == Exit::NoNetwork => return Err(failure),
        _ => {}
    }
    let known = traces(clients, &guid)?;
    let reached = known.iter().flatten().count().saturating_sub(1) as u64;
    Ok(Seen {
        hits,
        reached,
        after,
    })
}

/// A hit, and how long after asking it came.
type Timed = (Duration, control::Hit);

fn read_hits(replies: &mut Replies, clock: Stopwatch, over: &AtomicBool) -> Vec<Timed> {
    let mut hits = Vec::new();
    while !over.load(Ordering::Relaxed) && !replies.over() {
        if let Some(Reply::Hit(hit)) = replies.next(HIT_LOOK) {
            hits.push((clock.elapsed(), *hit));
        }
    }
    hits
}

/// The hits that the node has got and we have not.
fn the_rest(
    mut hits: Vec<Timed>,
    wanted: u64,
    replies: &mut Replies,
    clock: Stopwatch,
) -> Vec<Timed> {
    let late = Stopwatch::start();
    while (hits.len() as u64) < wanted && !replies.over() && !late.passed(Some(HITS_LATE)) {
        if let Some(Reply::Hit(hit)) = replies.next(HIT_LOOK) {
            hits.push((clock.elapsed(), *hit));
        }
    }
    hits
}

fn received(counters: &Counters, kind: Kind) -> u64 {
    counters.received.get(kind.name()).copied().unwrap_or(0)
}

fn sent(counters: &Counters, kind: Kind) -> u64 {
    counters.sent.get(kind.name()).copied().unwrap_or(0)
}

fn shed(counters: &Counters) -> u64 {
    counters.dropped.get(SHED).copied().unwrap_or(0)
}

/// Queries that shaped links have lost.
fn lost(counters: &Counters) -> u64 {
    counters.lost.get(Kind::Query.name()).copied().unwrap_or(0)
}

fn count(before: &[Counters], after: &[Counters], asker: usize) -> Measured {
    let sum = |of: &dyn Fn(&Counters) -> u64| -> u64 {
        before
            .iter()
            .zip(after)
            .map(|(before, after)| of(after) - of(before))
            .sum()
    };
    let arrived = |(before, after): (&Counters, &Counters)| {
        received(after, Kind::Query) > received(before, Kind::Query)
    };
    let others = before
        .iter()
        .zip(after)
        .enumerate()
        .filter(|(node, _)| *node != asker);
    let reached = others.filter(|(_, pair)| arrived(*pair)).count() as u64;
    Measured {
        messages: sum(&|counters| sent(counters, Kind::Query)),
        duplicates: sum(&|counters| received(counters, Kind::Query)).saturating_sub(reached),
        lost: sum(&|counters| shed(counters) + lost(counters)),
        reached,
        hit_messages: sum(&|counters| sent(counters, Kind::QueryHit)),
        ..Measured::default()
    }
}

/// Waits until no query or hit is under way, and returns what every node has counted by then.
///
/// # Errors
/// As [`ask`].
pub(in crate::cli::lab) fn rest(
    clients: &[NodeClient],
    limit: Option<Duration>,
    interrupted: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<Counters>, Failure> {
    let clock = Stopwatch::start();
    let ports: BTreeMap<u16, usize> = (0..)
        .zip(clients)
        .map(|(at, node)| (node.port, at))
        .collect();
    let mut before: Option<Vec<Counters>> = None;
    loop {
        let round = for_all(clients, NodeClient::counters)?;
        let idle = round.iter().all(|one| one.asking == 0);
        if idle && before.is_some_and(|before| all_came(&ports, &before, &round)) {
            return Ok(round);
        }
        before = Some(round);
        if interrupted() {
            return Err(Failure::new(Exit::Interrupted, "interrupted"));
        }
        if clock.passed(limit) {
            let text = "the network has not come to rest in time: queries are still under way; give it longer with --timeout, \
                        or a lower --ttl if nodes forget ids (seen_cache)";
            return Err(Failure::new(Exit::TimeLimit, text));
        }
        std::thread::sleep(if idle { ROUND_PAUSE } else { ASKING_PAUSE });
    }
}

/// Had all that was sent by now, and not lost, come before? `ports`: the node that listens there.
fn all_came(ports: &BTreeMap<u16, usize>, before: &[Counters], now: &[Counters]) -> bool {
    let mut received: BTreeMap<(usize, usize), u64> = BTreeMap::new();
    for (to, counters) in before.iter().enumerate() {
        for link in &counters.links {
            if let Some(from) = ports.get(&link.peer.port()) {
                *received.entry((*from, to)).or_default() += link.received;
            }
        }
    }
    now.iter().enumerate().all(|(from, counters)| {
        counters.links.iter().all(|link| {
            let on_its_way = link.sent.saturating_sub(link.lost);
            // One that has ended, or is none of ours, will not say.
            ports
                .get(&link.peer.port())
                .is_none_or(|to| on_its_way <= received.get(&(from, *to)).copied().unwrap_or(0))
        })
    })
}

/// What every node knows of a message id, in the order of the nodes.
///
/// # Errors
/// A node does not answer.
pub(in crate::cli::lab) fn traces(
    clients: &[NodeClient],
    guid: &str,
) -> Result<Vec<Option<Trace>>, Failure> {
    for_all(clients, |client| client.trace(guid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Tally;

    fn counters(received: u64, sent: u64) -> Counters {
        Counters {
            received: [("query".to_owned(), received)].into(),
            sent: [("query".to_owned(), sent)].into(),
            ..Counters::default()
        }
    }

    #[test]
    fn a_flood_is_counted_at_the_sender_and_duplicates_at_the_receiver() {
        // A triangle: 0 asks 1 and 2, each of which sends to the other.
        let before = [counters(5, 5), counters(5, 5), counters(5, 5)];
        let after = [counters(5, 7), counters(7, 6), counters(7, 6)];
        let measured = count(&before, &after, 0);
        assert_eq!(
            (measured.messages, measured.duplicates, measured.reached),
            (4, 2, 2)
        );
    }

    #[test]
    fn rest_is_when_every_link_has_brought_what_it_was_given() {
        let ports: BTreeMap<u16, usize> = [(1, 0), (2, 1)].into();
        let link = |peer: u16, sent, received, lost| Tally {
            peer: ([127, 0, 0, 1], peer).into(),
            sent,
            received,
            lost,
        };
        let node = |links: Vec<Tally>| Counters {
            links,
            ..Counters::default()
        };
        let came = |one: Vec<Tally>, other: Vec<Tally>| {
            let round = [node(one), node(other)];
            all_came(&ports, &round, &round)
        };
        assert!(came(vec![link(2, 5, 3, 0)], vec![link(1, 3, 5, 0)]));
        assert!(
            !came(vec![link(2, 6, 3, 0)], vec![link(1, 3, 5, 0)]),
            "one is under way"
        );
        assert!(
            came(vec![link(2, 6, 3, 1)], vec![link(1, 3, 5, 0)]),
            "one was lost"
        );
        assert!(
            !came(vec![link(2, 1, 0, 0)], vec![]),
            "the other end is not up yet"
        );
        assert!(came(vec![link(9, 7, 0, 0)], vec![]), "that node has ended");
        let (idle, busy) = (
            [node(vec![link(2, 5, 0, 0)]), node(vec![link(1, 0, 5, 0)])],
            [node(vec![link(2, 6, 0, 0)]), node(vec![link(1, 0, 6, 0)])],
        );
        assert!(!all_came(&ports, &idle, &busy), "something came in between");
    }

    #[test]
    fn the_asker_is_not_reached_by_its_own_query() {
        let measured = count(
            &[counters(0, 0), counters(0, 0)],
            &[counters(1, 1), counters(1, 1)],
            0,
        );
        assert_eq!(
            (measured.messages, measured.duplicates, measured.reached),
            (2, 1, 1)
        );
    }
}
