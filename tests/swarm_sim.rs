//! Simulated swarms: churning, lying, slow and partial sources. Always the right file, or an honest failure.
//!
//! A failing seed is printed; put it into `tests/seeds.txt` as `swarm_sim SEED`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::ops::Range;
use std::time::Duration;

use filbert::node::Time;
use filbert::node::swarm::{Answer, Ask, Ended, Ranges, RequestId, SourceId, Step, Swarm, Verdict};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, RngExt, SeedableRng};

/// The world moves by this.
const TICK: Duration = Duration::from_millis(50);
/// A swarm that takes longer than this, in virtual time, will never end.
const HOURS: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    /// Has all and gives it.
    Good,
    /// Has a part of it, more with time.
    Partial(Ranges),
    /// Gives wrong bytes in this range.
    Liar(Range<u64>),
    /// Says and gives another size.
    OtherSize(u64),
    /// Takes requests and says nothing.
    Silent,
    /// Breaks off every so many bytes.
    Breaks(u64),
    /// Cannot be reached.
    Dead,
    /// Has a queue: serves after so many polls.
    Queued(u32),
    /// Ignores ranges.
    WholeOnly,
    /// Gives so many bytes for a request at most.
    Short(u64),
}

struct Peer {
    kind: Kind,
    rate: u64,
    leaves_at: Time,
    polled_at: Option<Time>,
}

struct Open {
    ask: Ask,
    at: u64,
    end: u64,
    left: u64,
}

struct World {
    size: u64,
    block: Option<u64>,
    /// The tree says that wrong bytes are right here: it is of another file.
    tree_lies: Range<u64>,
    peers: Vec<Peer>,
    swarm: Swarm,
    open: Vec<Open>,
    kept: Ranges,
    /// For each byte whether it is right; the content itself does not matter.
    wrong: Ranges,
    delivered: u64,
    now: Time,
}

/// How it ended.
#[derive(Debug, PartialEq)]
enum Outcome {
    Right,
    Failed,
}

impl World {
    fn new(size: u64, block: Option<u64>, peers: Vec<Peer>) -> Self {
        let mut swarm = Swarm::new(6, None, Ranges::new(), Ranges::new());
        for number in 0..peers.len() {
            swarm.add_source(&format!("host{number}:1")).unwrap();
        }
        Self {
            size,
            block,
            tree_lies: 0..0,
            peers,
            swarm,
            open: Vec::new(),
            kept: Ranges::new(),
            wrong: Ranges::new(),
            delivered: 0,
            now: Time::ZERO,
        }
    }

    fn forget(&mut self, range: &Range<u64>) {
        self.kept.remove(range.clone());
        self.wrong.remove(range.clone());
    }

    fn run(&mut self) -> Outcome {
        loop {
            assert!(self.now.since(Time::ZERO) < HOURS, "it never ends");
            if let (Some(block), Some(size)) = (self.block, self.swarm.size())
                && size == self.size
                && self.swarm.block().is_none()
            {
                self.swarm.set_blocks(block);
            }
            while let Some(range) = self.swarm.next_check() {
                let good = self.is_as_the_tree_says(&range);
                let bad = self.swarm.checked(&range, good);
                if !good {
                    self.forget(&range);
                }
                for request in bad.drop {
                    self.open.retain(|open| open.ask.request != request);
                    self.swarm.dropped(request);
                }
            }
            match self.swarm.next(self.now) {
                Step::Ask(ask) => self.ask(ask),
                Step::Forget(ranges) => ranges.iter().for_each(|range| self.forget(range)),
                Step::Wait(until) => {
                    if self.open.is_empty() {
                        self.now = until.expect("nothing runs, so it waits for a time");
                    } else {
                        self.tick();
                    }
                }
                Step::Complete => {
                    let size = self.swarm.size().unwrap();
                    assert!(self.kept.holds(&(0..size)), "a gap");
                    for open in std::mem::take(&mut self.open) {
                        self.swarm.dropped(open.ask.request);
                    }
                    let good = self.wrong.is_empty() && size == self.size;
                    if !good {
                        self.drop_tree();
                    }
                    match self.swarm.whole(good) {
                        Verdict::Good => return Outcome::Right,
                        Verdict::Failed => return Outcome::Failed,
                        Verdict::Again { forget, .. } => {
                            forget.iter().for_each(|range| self.forget(range));
                        }
                    }
                }
                Step::GiveUp(_) => {
                    if !self.drop_tree() {
                        return Outcome::Failed;
                    }
                }
            }
        }
    }

    fn is_as_the_tree_says(&self, range: &Range<u64>) -> bool {
        let wrong: Ranges = self.wrong.within(range.clone()).collect();
        let said = range.start.max(self.tree_lies.start)..range.end.min(self.tree_lies.end);
        let said: Ranges = std::iter::once(said).collect();
        wrong == said
    }

    /// As a download does whose root was not sure: was anybody dropped for its sake?
    fn drop_tree(&mut self) -> bool {
        self.block = None;
        let acquitted = self.swarm.drop_tree();
        assert!(self.swarm.verified().is_empty());
        !acquitted.is_empty()
    }

    fn ask(&mut self, ask: Ask) {
        let peer = &mut self.peers[ask.source.0];
        assert!(ask.range.start < ask.range.end);
        let gone = self.now >= peer.leaves_at;
        let request = ask.request;
        let size = match peer.kind {
            Kind::OtherSize(size) => size,
            _ => self.size,
        };
        let mut end = ask.range.end.min(size);
        let mut answer = Answer {
            start: ask.range.start,
            end: Some(end),
            size: Some(size),
            whole: false,
        };
        let status = |code| Ended::Status {
            code,
            retry_after_s: None,
        };
        let refused = match &mut peer.kind {
            _ if gone => Some(Ended::Unreachable),
            Kind::Dead => Some(Ended::Unreachable),
            Kind::Queued(polls) if *polls > 0 => {
                if let Some(before) = peer.polled_at {
                    assert!(
                        self.now.since(before) >= Duration::from_secs(30),
                        "polled too soon"
                    );
                }
                peer.polled_at = Some(self.now);
                *polls -= 1;
                Some(Ended::Queued {
                    poll_after_s: Some(30),
                })
            }
            Kind::Partial(has) => {
                let there = has.within(ask.range.clone()).next();
                let there = there.filter(|there| there.start == ask.range.start);
                let shown = has.clone();
                // It fetches too: some more is there the next time.
                let next = has.prefix();
                has.insert(next..(next + 100_000).min(size));
                self.swarm.learn_available(ask.source, Some(shown));
                match there {
                    None => Some(status(416)),
                    Some(there) => {
                        end = there.end;
                        answer.end = Some(end);
                        None
                    }
                }
            }
            Kind::WholeOnly => {
                end = size;
                answer = Answer {
                    start: 0,
                    end: Some(size),
                    size: Some(size),
                    whole: true,
                };
                None
            }
            Kind::Short(most) => {
                end = end.min(ask.range.start + *most);
                answer.end = Some(end);
                None
            }
            _ if ask.range.start >= size => Some(status(416)),
            _ => None,
        };
        if let Some(how) = refused {
            self.swarm.ended(self.now, request, how);
            return;
        }
        if peer.kind != Kind::Silent && !self.swarm.answered(self.now, request, &answer) {
            self.swarm.ended(self.now, request, Ended::Wrong);
            return;
        }
        let left = if let Kind::Breaks(bytes) = peer.kind {
            bytes
        } else {
            u64::MAX
        };
        self.open.push(Open {
            at: answer.start,
            ask,
            end,
            left,
        });
    }

    fn tick(&mut self) {
        self.now = self.now.plus(TICK);
        let mut open = std::mem::take(&mut self.open);
        open.retain_mut(|open| self.deliver(open));
        self.open = open;
    }

    /// `false`: the request is over.
    fn deliver(&mut self, open: &mut Open) -> bool {
        let peer = &self.peers[open.ask.source.0];
        let request = open.ask.request;
        if self.now >= peer.leaves_at {
            self.swarm.ended(self.now, request, Ended::Broken);
            return false;
        }
        if peer.kind == Kind::Silent {
            let silent = self
                .now
                .since(Time::ZERO)
                .as_millis()
                .is_multiple_of(60_000);
            if silent {
                self.swarm.ended(self.now, request, Ended::Broken);
            }
            return !silent;
        }
        let bytes = (peer.rate / 20)
            .max(1)
            .min(open.end - open.at)
            .min(open.left);
        let lies = match &peer.kind {
            Kind::Liar(range) => range.clone(),
            Kind::OtherSize(_) => 0..u64::MAX,
            _ => 0..0,
        };
        let came = open.at..open.at + bytes;
        (open.at, open.left) = (came.end, open.left - bytes);
        self.delivered += bytes;
        let received = self.swarm.received(self.now, request, bytes);
        for range in received.keep {
            assert!(
                range.start >= came.start && range.end <= came.end,
                "not of this answer"
            );
            assert!(
                self.kept.within(range.clone()).next().is_none(),
                "an overlap"
            );
            let wrong = range.start.max(lies.start)..range.end.min(lies.end);
            self.wrong.insert(wrong);
            self.kept.insert(range);
        }
        let how = if open.left == 0 {
            Ended::Broken
        } else if open.at >= open.end || received.enough {
            Ended::Served
        } else {
            return true;
        };
        self.swarm.ended(self.now, request, how);
        false
    }
}

fn peer(kind: Kind, rate: u64) -> Peer {
    Peer {
        kind,
        rate,
        leaves_at: Time(u64::MAX),
        polled_at: None,
    }
}

fn some_range(rng: &mut ChaCha8Rng, size: u64) -> Range<u64> {
    let start = rng.random_range(0..size);
    start..rng.random_range(start + 1..=size)
}

fn random_world(seed: u64) -> (World, bool) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let size = rng.random_range(1..6_000_000);
    let block = (rng.next_u32() % 2 == 0).then(|| 1024 << rng.random_range(0..10));
    let mut certain = false;
    let peers: Vec<_> = (0..rng.random_range(1..12))
        .map(|_| {
            let kind = match rng.random_range(0..12) {
                0..=1 => Kind::Good,
                2 => Kind::Partial([some_range(&mut rng, size)].into_iter().collect()),
                3..=4 => Kind::Liar(some_range(&mut rng, size)),
                5 => Kind::OtherSize(rng.random_range(1..6_000_000)),
                6 => Kind::Silent,
                7 => Kind::Breaks(rng.random_range(1000..1_000_000)),
                8 => Kind::Dead,
                9 => Kind::Queued(rng.random_range(1..5)),
                10 => Kind::WholeOnly,
                _ => Kind::Short(rng.random_range(10_000..1_000_000)),
            };
            let mut peer = peer(
                kind,
                10u64.pow(rng.random_range(4..7)) * rng.random_range(1..9),
            );
            if rng.next_u32() % 3 == 0 {
                peer.leaves_at =
                    Time::ZERO.plus(Duration::from_millis(rng.random_range(0..60_000)));
            } else {
                certain |= matches!(peer.kind, Kind::Good | Kind::WholeOnly | Kind::Short(_));
            }
            peer
        })
        .collect();
    let lie = some_range(&mut rng, size);
    // What liars agree on is what a lying tree says.
    let lie = peers
        .iter()
        .find_map(|peer| match &peer.kind {
            Kind::Liar(range) => Some(range.clone()),
            _ => None,
        })
        .unwrap_or(lie);
    let lies = rng.next_u32() % 3 == 0;
    let mut world = World::new(size, block, peers);
    if lies {
        world.tree_lies = lie;
    }
    if rng.next_u32() % 2 == 0 {
        world.swarm.spread(seed);
        if rng.next_u32() % 2 == 0 {
            world.swarm.known_as("host0:2");
        }
    }
    (world, certain)
}

fn seeds() -> impl Iterator<Item = u64> {
    let text = include_str!("seeds.txt");
    let kept = text
        .lines()
        .filter_map(|line| line.strip_prefix("swarm_sim "));
    kept.map(|seed| seed.trim().parse().unwrap())
        .collect::<Vec<_>>()
        .into_iter()
        .chain(0..400)
}

#[test]
fn whoever_the_sources_are_the_file_is_right_or_the_failure_honest() {
    let mut right = 0;
    for seed in seeds() {
        let outcome = std::panic::catch_unwind(|| {
            let (mut world, certain) = random_world(seed);
            let outcome = world.run();
            assert!(
                outcome == Outcome::Right || !certain,
                "a good source was there all the time"
            );
            outcome
        });
        match outcome {
            Ok(outcome) => right += u32::from(outcome == Outcome::Right),
            Err(panic) => {
                eprintln!("swarm_sim {seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    assert!(
        right > 200,
        "{right} of 400 succeed: the worlds are too bad to show anything"
    );
}

#[test]
fn a_slow_or_silent_source_holds_nothing_back() {
    let size = 20_000_000;
    let alone = |kinds: Vec<Peer>| {
        let mut world = World::new(size, None, kinds);
        assert_eq!(world.run(), Outcome::Right);
        (world.now.since(Time::ZERO), world.delivered)
    };
    let fast = || peer(Kind::Good, 1_000_000);
    let (one, _) = alone(vec![fast()]);
    for other in [
        peer(Kind::Good, 10_000),
        peer(Kind::Silent, 1),
        peer(Kind::Dead, 1),
    ] {
        for slow_first in [false, true] {
            let other = Peer {
                kind: other.kind.clone(),
                ..other
            };
            let peers = if slow_first {
                vec![other, fast()]
            } else {
                vec![fast(), other]
            };
            let (both, delivered) = alone(peers);
            assert!(
                both < one + Duration::from_secs(3),
                "{both:?} with it, {one:?} without"
            );
            assert!(delivered < size + 1_000_000, "{delivered} bytes for {size}");
        }
    }
    let (four, _) = alone(vec![fast(), fast(), fast(), fast()]);
    assert!(four * 3 < one, "{four:?} with four, {one:?} with one");
}

#[test]
fn those_that_have_little_and_slowly_hold_nobody_back_who_shares() {
    let size = 20_000_000;
    let took = |slow: usize| {
        let mut peers = vec![peer(Kind::Good, 1_000_000)];
        let part: Ranges = std::iter::once(0..100_000).collect();
        peers.extend((0..slow).map(|_| peer(Kind::Partial(part.clone()), 2_000)));
        let mut world = World::new(size, Some(65_536), peers);
        world.swarm.spread(7);
        world.swarm.known_as("host9:1");
        assert_eq!(world.run(), Outcome::Right);
        world.now.since(Time::ZERO)
    };
    let (alone, among) = (took(0), took(5));
    assert!(
        among < alone + alone / 4,
        "{among:?} among them, {alone:?} without"
    );
}

#[test]
fn with_a_tree_a_liar_costs_its_first_bad_block() {
    let size = 20_000_000;
    let liar = peer(Kind::Liar(0..size), 1_000_000);
    let peers = vec![
        liar,
        peer(Kind::Good, 1_000_000),
        peer(Kind::Good, 1_000_000),
    ];
    let mut world = World::new(size, Some(65_536), peers);
    assert_eq!(world.run(), Outcome::Right);
    assert!(world.swarm.lost(SourceId(0)).is_some());
    // Its bad block, and what was on its way.
    assert!(world.delivered < size + 1_000_000, "{}", world.delivered);
}

#[test]
fn liars_that_agree_on_a_tree_do_not_cost_the_honest_source() {
    let size = 4_000_000;
    for honest_speed in [100_000, 1_000_000, 10_000_000] {
        for honest_at in 0..3 {
            let mut peers = vec![
                peer(Kind::Liar(0..size), 1_000_000),
                peer(Kind::Liar(0..size), 1_000_000),
            ];
            peers.insert(honest_at, peer(Kind::Good, honest_speed));
            let mut world = World::new(size, Some(65_536), peers);
            world.tree_lies = 0..size;
            assert_eq!(world.run(), Outcome::Right);
            assert_eq!(world.swarm.lost(SourceId(honest_at)), None);
            assert!(!world.swarm.liars().any(|liar| liar == SourceId(honest_at)));
        }
    }
}

#[test]
fn sources_may_join_while_it_runs() {
    let mut swarm = Swarm::new(2, Some(1_000_000), Ranges::new(), Ranges::new());
    assert!(matches!(swarm.next(Time::ZERO), Step::GiveUp(_)));
    let source = swarm.add_source("late:1").unwrap();
    assert!(matches!(swarm.next(Time::ZERO), Step::Ask(ask) if ask.source == source));
}

#[test]
fn no_more_are_asked_at_a_time_than_may_be_and_two_of_a_host() {
    let mut swarm = Swarm::new(4, Some(100_000_000), Ranges::new(), Ranges::new());
    for host in ["a:1", "a:1", "a:1", "b:1", "c:1", "d:1"] {
        swarm.add_source(host).unwrap();
    }
    let mut asked: Vec<(RequestId, SourceId)> = Vec::new();
    while let Step::Ask(ask) = swarm.next(Time::ZERO) {
        asked.push((ask.request, ask.source));
    }
    let sources: Vec<_> = asked.iter().map(|(_, source)| source.0).collect();
    assert_eq!(sources, [0, 1, 3, 4]);
}
