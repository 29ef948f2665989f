//! What a query costs on a network of real nodes: counters before and after, read while the network is at rest.
//!
//! At rest means that no query or hit is under way. Two rounds of questions tell: if all frames that nodes had
//! sent by the second round had been received by the first, then none was under way in between (Mattern,
//! "Algorithms for distributed termination detection", 1987, the four-counter method). A dynamic query that will go
//! on by itself keeps a node from rest as much: it is begun by a frame that came, and ends by sending or for good, so
//! that the second round knows of it. Nothing is guessed from silence, and no time is waited that is not needed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::ask::{NodeClient, for_all};
use crate::cli::clock::Stopwatch;
use crate::cli::exit::{Exit, Failure};
use crate::control::{self, Counters, Reply, Request, Trace};
use crate::net::Replies;
use crate::sim::Measured;
use crate::wire::Kind;

/// Pause between two rounds of questions while frames are under way.
const ROUND_PAUSE: Duration = Duration::from_millis(2);
/// The same while dynamic queries go on, which wait for seconds between two sends.
const ASKING_PAUSE: Duration = Duration::from_millis(100);
/// How often the reader of hits looks whether it may stop.
const HIT_LOOK: Duration = Duration::from_millis(5);
/// Hits that a node has got have so long to reach us.
const HITS_LATE: Duration = Duration::from_secs(10);
/// The counter of frames that send queues shed.
const SHED: &str = "queue_full";

/// A query and all that came of it.
#[derive(Clone, Debug)]
pub(in crate::cli::lab) struct Outcome {
    /// What it cost and found.
    pub measured: Measured,
    /// The hits, in the order in which they came.
    pub hits: Vec<control::Hit>,
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
    let request = Request::Search {
        text: question.text.to_owned(),
        urn: None,
        ttl: Some(question.ttl),
        strategy: None,
        kind: None,
        nets: Vec::new(),
    };
    let clock = Stopwatch::start();
    let failed = |why: String| Failure::new(Exit::NoNetwork, format!("node {}: {why}", asker.name));
    let mut replies = asker
        .client()
        .request(&request)
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
    let hits = hits.into_iter().map(|(_, hit)| hit).collect();
    Ok(Outcome {
        measured,
        hits,
        guid: Some(guid),
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
        lost: sum(&shed),
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
    rest_of(&[Kind::Query, Kind::QueryHit], clients, limit, interrupted)
}

/// The same for frames of these kinds.
///
/// # Errors
/// As [`ask`].
pub(super) fn rest_of(
    kinds: &[Kind],
    clients: &[NodeClient],
    limit: Option<Duration>,
    interrupted: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<Counters>, Failure> {
    let clock = Stopwatch::start();
    let mut received_before = None;
    loop {
        let round = for_all(clients, NodeClient::counters)?;
        let idle = round.iter().all(|one| one.asking == 0);
        if idle && received_before.is_some_and(|before| before >= sent_and_not_shed(kinds, &round))
        {
            return Ok(round);
        }
        let of = |one| kinds.iter().map(move |kind| received(one, *kind));
        received_before = Some(round.iter().flat_map(of).sum::<u64>());
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

fn sent_and_not_shed(kinds: &[Kind], round: &[Counters]) -> u64 {
    let of = |one| kinds.iter().map(move |kind| sent(one, *kind));
    let sent: u64 = round.iter().flat_map(of).sum();
    sent.saturating_sub(round.iter().map(shed).sum())
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
