//! Dynamic querying: a query goes out link by link, no further than it must, until enough results came back.
//!
//! For searches of our own and of our leaves, on the live network, where flooding at full TTL is abuse. Each
//! round guesses from the yield so far how many nodes are still to be asked, and picks the TTL for one more
//! link. Source: Fisk, "Gnutella Dynamic Query Protocol" (LimeWire, 2003), with its figures.

use std::time::Duration;

use super::Time;
use super::event::LinkId;

/// Results wanted for a search of our own.
pub const WANTED_OURS: u32 = 150;
/// Results wanted for a leaf's search.
pub const WANTED_LEAF: u32 = 50;
/// Nodes a query may have reached, by estimate, before it is given up.
const HORIZON_MAX: u64 = 200_000;
/// Longest life of a query.
const LIFE_MAX: Duration = Duration::from_secs(180);
/// Wait for answers, for each hop a query was given.
const WAIT_PER_HOP: Duration = Duration::from_millis(2_400);
/// Shortest wait for each hop, reached by cutting [`WAIT_CUT`] a round.
const WAIT_PER_HOP_MIN: Duration = Duration::from_millis(1_500);
/// The wait shrinks by this each round.
const WAIT_CUT: Duration = Duration::from_millis(100);
/// Wait for each link of the probe, on top.
const PROBE_WAIT: Duration = Duration::from_millis(1_000);
/// Links probed with TTL 2.
const PROBE_LINKS: usize = 3;
/// Links whose tables match, probed with TTL 1.
const PROBE_MATCHING_LINKS: usize = 5;
/// Links one query is sent on at most; no node has more ultrapeers.
const LINKS_MAX: usize = 64;

/// An ultrapeer that could be asked next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The link to it.
    pub link: LinkId,
    /// Links it keeps (`X-Degree`, 8 when not said).
    pub degree: u16,
    /// Highest TTL it takes in fresh queries (`X-Max-TTL`).
    pub max_ttl: u8,
    /// Its table matches the query.
    pub matches: bool,
    /// It has a table, and that does not match: with TTL 1 the query would find nothing there.
    pub barren: bool,
    /// It lets the same id pass again with a higher TTL (`X-Ext-Probes`).
    pub ext_probes: bool,
}

/// What a query does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send it on these links with these TTLs, then ask again when [`DynamicQuery::due`].
    Send(Vec<(LinkId, u8)>),
    /// It has ended.
    End(End),
}

/// Why a dynamic query ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Enough results.
    Enough,
    /// Every ultrapeer was asked.
    NoneLeft,
    /// The horizon is as wide as is decent.
    Horizon,
    /// It took too long.
    Time,
}

/// One query on its way.
#[derive(Clone, Debug)]
pub struct DynamicQuery {
    wanted: u32,
    results: u32,
    /// Nodes reached so far, by estimate.
    horizon: u64,
    asked: Vec<LinkId>,
    started: Time,
    due: Time,
    rounds: u32,
    probed: bool,
}

/// Nodes within `ttl` hops over one link of a node with `degree` links each: sum of (d-1)^i for i below ttl.
pub fn horizon(degree: u16, ttl: u8) -> u64 {
    let width = u64::from(degree.saturating_sub(1).max(1));
    let mut ring = 1_u64;
    let mut total = 0_u64;
    for _ in 0..ttl {
        total = total.saturating_add(ring);
        ring = ring.saturating_mul(width);
    }
    total
}

impl DynamicQuery {
    /// A query that wants so many results and starts now.
    pub fn new(wanted: u32, now: Time) -> Self {
        Self {
            wanted,
            results: 0,
            horizon: 0,
            asked: Vec::new(),
            started: now,
            due: now,
            rounds: 0,
            probed: false,
        }
    }

    /// When to call [`step`](Self::step) again.
    pub fn due(&self) -> Time {
        self.due
    }

    /// Results that came back.
    pub fn results(&self) -> u32 {
        self.results
    }

    /// More results came.
    pub fn add_results(&mut self, results: u32) {
        self.results = self.results.saturating_add(results);
    }

    /// The asker counts for itself (leaf guidance): it has kept so many.
    pub fn guided(&mut self, kept: u32) {
        self.results = self.results.max(kept);
    }

    /// Was the query sent on this link?
    pub fn has_asked(&self, link: LinkId) -> bool {
        self.asked.contains(&link)
    }

    /// Will [`step`](Self::step) send anything more, if no results and no links come?
    pub fn goes_on(&self, candidates: &[Candidate]) -> bool {
        let none_left = !candidates.iter().any(|candidate| self.is_fresh(candidate));
        self.end(self.started, none_left).is_none()
    }

    fn is_fresh(&self, candidate: &Candidate) -> bool {
        !self.has_asked(candidate.link) && (!candidate.barren || candidate.max_ttl > 1)
    }

    /// Decides the next step. `candidates`: all ultrapeers that are up, in random order; those already asked
    /// are skipped.
    pub fn step(&mut self, now: Time, candidates: &[Candidate]) -> Step {
        let fresh: Vec<_> = candidates
            .iter()
            .copied()
            .filter(|candidate| self.is_fresh(candidate))
            .collect();
        if let Some(end) = self.end(now, fresh.is_empty()) {
            return Step::End(end);
        }
        let sends = if self.probed {
            vec![self.next_link(&fresh)]
        } else {
            Self::probe(&fresh)
        };
        let mut deepest = 0;
        for (candidate, ttl) in &sends {
            self.asked.push(candidate.link);
            self.horizon = self.horizon.saturating_add(horizon(candidate.degree, *ttl));
            deepest = deepest.max(*ttl);
        }
        let wait = WAIT_PER_HOP
            .saturating_sub(WAIT_CUT * self.rounds)
            .max(WAIT_PER_HOP_MIN);
        let links = u32::try_from(sends.len()).expect("a probe has a handful of links");
        let extra = if self.probed {
            Duration::ZERO
        } else {
            PROBE_WAIT * links
        };
        self.due = now.plus(wait * u32::from(deepest) + extra);
        self.rounds += u32::from(self.probed);
        self.probed = true;
        Step::Send(
            sends
                .into_iter()
                .map(|(candidate, ttl)| (candidate.link, ttl))
                .collect(),
        )
    }

    fn end(&self, now: Time, none_left: bool) -> Option<End> {
        if self.results >= self.wanted {
            Some(End::Enough)
        } else if none_left || self.asked.len() >= LINKS_MAX {
            Some(End::NoneLeft)
        } else if self.horizon >= HORIZON_MAX {
            Some(End::Horizon)
        } else {
            (now.since(self.started) > LIFE_MAX).then_some(End::Time)
        }
    }

    /// The first step: a few links at low TTL, to learn how rare the file is.
    fn probe(fresh: &[Candidate]) -> Vec<(Candidate, u8)> {
        let matching: Vec<_> = fresh
            .iter()
            .filter(|candidate| candidate.matches && candidate.ext_probes)
            .take(PROBE_MATCHING_LINKS)
            .map(|candidate| (*candidate, 1))
            .collect();
        if matching.is_empty() {
            fresh
                .iter()
                .take(PROBE_LINKS)
                .map(|candidate| (*candidate, candidate.max_ttl.clamp(1, 2)))
                .collect()
        } else {
            matching
        }
    }

    /// One more link, with the TTL that the yield so far calls for.
    fn next_link(&self, fresh: &[Candidate]) -> (Candidate, u8) {
        let candidate = fresh[0];
        let limit = candidate.max_ttl.max(1);
        if self.results == 0 {
            return (candidate, limit);
        }
        // hosts = still wanted / yield, spread over the links left.
        let missing = u64::from(self.wanted - self.results);
        let hosts = missing.saturating_mul(self.horizon.max(1)) / u64::from(self.results);
        let per_link = hosts / fresh.len() as u64;
        let ttl = (1..=limit)
            .rev()
            .find(|ttl| horizon(candidate.degree, *ttl) <= per_link)
            .unwrap_or(1);
        if ttl == 1 && candidate.barren {
            // The last hop goes by table: another one for it, else one hop more.
            return fresh
                .iter()
                .find(|other| !other.barren)
                .map_or((candidate, 2), |other| (*other, 1));
        }
        (candidate, ttl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(count: u32) -> Vec<Candidate> {
        (0..count)
            .map(|n| Candidate {
                link: LinkId(n),
                degree: 32,
                max_ttl: 4,
                matches: false,
                barren: false,
                ext_probes: true,
            })
            .collect()
    }

    fn ttls(step: Step) -> Vec<u8> {
        match step {
            Step::Send(sends) => sends.into_iter().map(|(_, ttl)| ttl).collect(),
            Step::End(end) => panic!("{end:?}"),
        }
    }

    #[test]
    fn the_horizon_is_fisks() {
        assert_eq!(
            [1, 2, 3, 4].map(|ttl| horizon(32, ttl)),
            [1, 32, 993, 30_784]
        );
        assert_eq!(horizon(16, 3), 241);
    }

    #[test]
    fn three_links_are_probed_with_ttl_2_and_then_one_at_a_time() {
        let (links, mut query) = (candidates(32), DynamicQuery::new(150, Time::ZERO));
        assert_eq!(ttls(query.step(Time::ZERO, &links)), [2, 2, 2]);
        assert_eq!(
            query.due().since(Time::ZERO),
            Duration::from_millis(2 * 2_400 + 3 * 1_000)
        );
        assert_eq!(
            ttls(query.step(query.due(), &links)),
            [4],
            "nothing came: as far as it may"
        );
        query.add_results(20);
        assert_eq!(ttls(query.step(query.due(), &links)).len(), 1);
    }

    #[test]
    fn tables_that_match_are_probed_first_with_ttl_1() {
        let mut links = candidates(32);
        links
            .iter_mut()
            .skip(20)
            .for_each(|candidate| candidate.matches = true);
        let mut query = DynamicQuery::new(150, Time::ZERO);
        let Step::Send(sends) = query.step(Time::ZERO, &links) else {
            panic!("a probe")
        };
        assert_eq!(sends, (20..25).map(|n| (LinkId(n), 1)).collect::<Vec<_>>());
    }

    #[test]
    fn a_popular_file_is_looked_for_near_by() {
        let (links, mut query) = (candidates(32), DynamicQuery::new(150, Time::ZERO));
        query.step(Time::ZERO, &links);
        query.add_results(140);
        // 10 missing at a yield of 140 / 96: 6 hosts over 29 links.
        assert_eq!(ttls(query.step(query.due(), &links)), [1]);
        query.add_results(10);
        assert_eq!(query.step(query.due(), &links), Step::End(End::Enough));
    }

    #[test]
    fn a_last_hop_goes_only_where_a_table_matches_or_is_not_known() {
        let (mut links, mut query) = (candidates(32), DynamicQuery::new(150, Time::ZERO));
        query.step(Time::ZERO, &links);
        query.add_results(140);
        links
            .iter_mut()
            .for_each(|candidate| candidate.barren = true);
        let ahead = query.clone();
        assert_eq!(
            ttls(query.step(query.due(), &links)),
            [2],
            "a hop further on"
        );
        links[17].barren = false;
        let mut query = ahead;
        assert_eq!(
            query.step(query.due(), &links),
            Step::Send(vec![(LinkId(17), 1)])
        );
        for candidate in &mut links {
            (candidate.barren, candidate.max_ttl) = (true, 1);
        }
        assert_eq!(query.step(query.due(), &links), Step::End(End::NoneLeft));
    }

    #[test]
    fn no_link_is_asked_twice_and_every_query_ends() {
        let links = candidates(10);
        let mut query = DynamicQuery::new(150, Time::ZERO);
        let mut asked = Vec::new();
        loop {
            match query.step(query.due(), &links) {
                Step::Send(sends) => asked.extend(sends.into_iter().map(|(link, _)| link)),
                Step::End(end) => {
                    break assert!(matches!(end, End::Horizon | End::NoneLeft), "{end:?}");
                }
            }
        }
        let mut once = asked.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), asked.len());
        let mut query = DynamicQuery::new(150, Time::ZERO);
        query.step(Time::ZERO, &links);
        let late = Time::ZERO.plus(Duration::from_secs(200));
        assert_eq!(query.step(late, &links), Step::End(End::Time));
        assert_eq!(
            DynamicQuery::new(1, late).step(late, &[]),
            Step::End(End::NoneLeft)
        );
    }
}
