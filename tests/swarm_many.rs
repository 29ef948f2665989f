//! Many that fetch one file from one seeder whose line is narrow, in virtual time: each is a swarm of its own and serves
//! what it has to the others. What is told by whom is what `net` tells: a request what the asker has, an answer what the
//! server has and who else.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::time::Duration;

use filbert::node::Time;
use filbert::node::swarm::{Answer, Ask, Ended, Ranges, SourceId, Step, Swarm, Verdict};

/// The world moves by this; a request takes one.
const TICK: Duration = Duration::from_millis(20);
const TICKS_PER_S: u64 = 50;
/// Blocks of the hash tree: what is whole and right is offered.
const BLOCK: u64 = 131_072;
/// Others named in one answer.
const TOLD_MAX: usize = 10;
/// The seeder, by number.
const SEEDER: usize = 0;

/// What a world is like.
#[derive(Clone, Copy, Debug)]
struct Rules {
    size: u64,
    fetchers: usize,
    /// Bytes a second that the seeder gives, all together, and each of the others.
    seeder: u64,
    other: u64,
    /// Bodies that one of the others gives at a time; whoever comes too many is told to come back after a second.
    slots: usize,
    /// Each begins so much later than the one before.
    apart: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            size: 64 << 20,
            fetchers: 10,
            seeder: 5_000_000,
            other: 50_000_000,
            slots: 4,
            apart: Duration::from_millis(30),
        }
    }
}

struct Open {
    ask: Ask,
    to: usize,
    at: u64,
    end: u64,
}

struct Fetcher {
    number: usize,
    begins: Time,
    swarm: Swarm,
    /// Which node each of its sources is.
    sources: Vec<usize>,
    has: Ranges,
    /// Whom its server knows to fetch the file.
    known: BTreeSet<usize>,
    open: Vec<Open>,
    done: Option<Time>,
}

impl Fetcher {
    fn new(number: usize, rules: &Rules) -> Self {
        let mut swarm = Swarm::new(6, None, Ranges::new(), Ranges::new());
        swarm.spread(number as u64);
        swarm.known_as(&host(number));
        let begins = Time::ZERO.plus(rules.apart * u32::try_from(number).unwrap());
        let mut fetcher = Self {
            number,
            begins,
            swarm,
            sources: Vec::new(),
            has: Ranges::new(),
            known: BTreeSet::new(),
            open: Vec::new(),
            done: None,
        };
        fetcher.learn(SEEDER);
        fetcher
    }

    fn learn(&mut self, node: usize) -> SourceId {
        if let Some(at) = self.sources.iter().position(|known| *known == node) {
            return SourceId(at);
        }
        self.sources.push(node);
        self.swarm.add_source(&host(node)).unwrap()
    }
}

fn host(node: usize) -> String {
    format!("10.0.0.{node}:6346")
}

struct World {
    rules: Rules,
    now: Time,
    fetchers: Vec<Fetcher>,
    /// Whom the seeder knows to fetch the file.
    known: BTreeSet<usize>,
    seeded: u64,
}

/// How long the last one took, and how many times the file the seeder gave.
fn run(rules: Rules) -> (Duration, f64) {
    let fetchers = (1..=rules.fetchers).map(|number| Fetcher::new(number, &rules));
    let mut world = World {
        rules,
        now: Time::ZERO,
        fetchers: fetchers.collect(),
        known: BTreeSet::new(),
        seeded: 0,
    };
    while world.fetchers.iter().any(|fetcher| fetcher.done.is_none()) {
        assert!(
            world.now.since(Time::ZERO) < Duration::from_secs(3600),
            "it never ends"
        );
        world.now = world.now.plus(TICK);
        for at in 0..world.fetchers.len() {
            world.decide(at);
        }
        world.deliver();
    }
    let took = world
        .fetchers
        .iter()
        .map(|fetcher| fetcher.done.unwrap().since(Time::ZERO));
    #[expect(clippy::cast_precision_loss, reason = "a few times the file")]
    (took.max().unwrap(), world.seeded as f64 / rules.size as f64)
}

impl World {
    fn decide(&mut self, at: usize) {
        loop {
            let fetcher = &mut self.fetchers[at];
            if fetcher.done.is_some() || fetcher.begins > self.now {
                return;
            }
            match fetcher.swarm.next(self.now) {
                Step::Ask(ask) => self.ask(at, ask),
                Step::Wait(_) => return,
                Step::Complete => {
                    assert!(fetcher.has.holds(&(0..self.rules.size)), "a gap");
                    assert_eq!(fetcher.swarm.whole(true), Verdict::Good);
                    for open in fetcher.open.drain(..) {
                        fetcher.swarm.dropped(open.ask.request);
                    }
                    fetcher.done = Some(self.now);
                }
                step => panic!("{}: {step:?}", fetcher.number),
            }
        }
    }

    /// Makes a request: each side hears of the other, and it begins, or is refused.
    fn ask(&mut self, at: usize, ask: Ask) {
        let (asker, to) = (at + 1, self.fetchers[at].sources[ask.source.0]);
        let has = self.fetchers[at].has.clone();
        let known = if to == SEEDER {
            &mut self.known
        } else {
            &mut self.fetchers[to - 1].known
        };
        let told: Vec<_> = known
            .iter()
            .copied()
            .filter(|node| *node != asker)
            .take(TOLD_MAX)
            .collect();
        if !has.is_empty() {
            known.insert(asker);
            if to != SEEDER && self.fetchers[to - 1].done.is_none() {
                let server = &mut self.fetchers[to - 1];
                let source = server.learn(asker);
                server.swarm.learn_available(source, Some(has));
            }
        }
        let shown = (to != SEEDER).then(|| self.fetchers[to - 1].has.clone());
        let all = self.fetchers.iter().flat_map(|fetcher| &fetcher.open);
        let taken = all.filter(|open| open.to == to).count();
        let size = self.rules.size;
        let fetcher = &mut self.fetchers[at];
        for node in told {
            fetcher.learn(node);
        }
        let mut end = ask.range.end.min(size);
        let refused = if let Some(shown) = shown {
            let there = shown.within(ask.range.clone()).next();
            let there = there.filter(|there| there.start == ask.range.start);
            end = there.as_ref().map_or(end, |there| there.end);
            fetcher.swarm.learn_available(ask.source, Some(shown));
            match there {
                None => Some(Ended::Status {
                    code: 416,
                    retry_after_s: Some(1),
                }),
                Some(_) if taken >= self.rules.slots => Some(Ended::Queued {
                    poll_after_s: Some(1),
                }),
                Some(_) => None,
            }
        } else {
            None
        };
        if let Some(how) = refused {
            return fetcher.swarm.ended(self.now, ask.request, how);
        }
        let answer = Answer {
            start: ask.range.start,
            end: Some(end),
            size: Some(size),
            whole: false,
        };
        assert!(fetcher.swarm.answered(self.now, ask.request, &answer));
        if fetcher.swarm.block().is_none() {
            fetcher.swarm.set_blocks(BLOCK);
        }
        fetcher.open.push(Open {
            at: answer.start,
            ask,
            to,
            end,
        });
    }

    fn deliver(&mut self) {
        let mut readers = vec![0; self.fetchers.len() + 1];
        for open in self.fetchers.iter().flat_map(|fetcher| &fetcher.open) {
            readers[open.to] += 1;
        }
        let rules = self.rules;
        for fetcher in &mut self.fetchers {
            let swarm = &mut fetcher.swarm;
            let (now, seeded) = (self.now, &mut self.seeded);
            fetcher.open.retain_mut(|open| {
                let rate = if open.to == SEEDER {
                    rules.seeder
                } else {
                    rules.other
                };
                let bytes = (rate / TICKS_PER_S / readers[open.to]).min(open.end - open.at);
                if open.to == SEEDER {
                    *seeded += bytes;
                }
                open.at += bytes;
                let received = swarm.received(now, open.ask.request, bytes);
                let over = open.at >= open.end || received.enough;
                if over {
                    swarm.ended(now, open.ask.request, Ended::Served);
                }
                !over
            });
            while let Some(range) = swarm.next_check() {
                swarm.checked(&range, true);
                fetcher.has.insert(range);
            }
        }
    }
}

/// How many times as long the last of them takes as one alone.
fn ratio(rules: Rules) -> (f64, f64) {
    let (one, seeded) = run(Rules {
        fetchers: 1,
        ..rules
    });
    assert!(seeded < 1.001, "one alone is given all once: {seeded}");
    let (all, seeded) = run(rules);
    (all.as_secs_f64() / one.as_secs_f64(), seeded)
}

#[test]
fn ten_have_it_little_later_than_one() {
    let rules = Rules::default();
    let large = Rules {
        size: 256 << 20,
        seeder: 20_000_000,
        ..rules
    };
    let slots = |slots| Rules { slots, ..rules };
    // No faster than the seeder: each byte passes nine times between them, in the time that it passes once from it.
    let narrow = Rules {
        other: 5_000_000,
        ..rules
    };
    let fetchers = |fetchers| Rules { fetchers, ..rules };
    for (rules, most) in [
        (rules, 1.2),
        (large, 1.2),
        (slots(2), 1.2),
        (slots(32), 1.2),
        (narrow, 1.3),
        (fetchers(4), 1.2),
        (fetchers(30), 1.5),
    ] {
        let (ratio, seeded) = ratio(rules);
        eprintln!("{rules:?}: {ratio:.2} of one, {seeded:.2} times the file from the seeder");
        assert!(
            ratio <= most && seeded <= most,
            "{rules:?}: {ratio:.2} of one, {seeded:.2} times the file from the seeder"
        );
    }
}

#[test]
fn who_comes_later_is_given_by_those_that_are_there() {
    let rules = Rules {
        apart: Duration::from_secs(2),
        ..Rules::default()
    };
    let (one, _) = run(Rules {
        fetchers: 1,
        ..rules
    });
    let (last, seeded) = run(rules);
    let begins = rules.apart * u32::try_from(rules.fetchers).unwrap();
    assert!(
        last < one.max(begins) + one / 2,
        "{last:?}, one alone {one:?}"
    );
    assert!(seeded < 1.3, "{seeded}");
}
