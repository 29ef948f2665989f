//! Several shards of one world at once, and yet as if one event happened after the other.
//!
//! What a node does reaches no other one before the shortest delay of any link has passed. So all that happens in
//! a span of time as long as that, a window, can happen on each shard without knowing of the others; at its end they
//! hand over what they have for each other. Each node gets what happens to it in an order that is known at the node
//! (see `happening`), so that neither the number of shards nor that of threads changes anything but the time it takes.
//!
//! Source: conservative synchronisation with global windows, as in Nicol, "The Cost of Conservative Synchronization in
//! Parallel Discrete Event Simulations" (1993).

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;

use super::mail::Mail;
use super::map::Map;
use super::shard::Shard;

/// Events of a window that are worth a thread for each shard: some milliseconds of work, where a thread needs some
/// tens of microseconds to begin, and as much to wait for the others. Our estimate. Tests shall not need millions.
const WORTH_THREADS: u64 = if cfg!(test) { 8 } else { 4096 };
/// Events of a window below which threads only wait for each other.
const WORTH_WAITING: u64 = if cfg!(test) { 2 } else { 512 };

/// How far to run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Until {
    /// Nothing that happens later.
    pub(super) last_ns: u64,
    /// Not more than so many events, but for those of the window in which they are counted.
    pub(super) events_max: u64,
}

/// Lets happen what happens, on as many threads as there is work for. Returns how many events it were.
pub(super) fn run(map: &Map, shards: &mut [Shard], until: Until) -> u64 {
    if let [shard] = shards {
        return shard.run(map, until.last_ns, until.events_max);
    }
    let look_ahead_ns = map.look_ahead_ns();
    debug_assert!(look_ahead_ns > 0, "else there is one shard only");
    let mut happened = 0;
    while happened < until.events_max {
        exchange(shards);
        let first = shards.iter().filter_map(Shard::next_at).min();
        let Some(last_ns) = window(first, look_ahead_ns, until) else {
            break;
        };
        let events: u64 = shards
            .iter_mut()
            .map(|shard| shard.run(map, last_ns, u64::MAX))
            .sum();
        happened += events;
        if events >= WORTH_THREADS {
            happened += side_by_side(
                map,
                shards,
                until,
                until.events_max.saturating_sub(happened),
            );
        }
    }
    happened
}

/// Last moment of the window that begins with this event; `None`: there is none, or not in time.
fn window(first: Option<u64>, look_ahead_ns: u64, until: Until) -> Option<u64> {
    let first = first.filter(|first| *first <= until.last_ns)?;
    Some(first.saturating_add(look_ahead_ns - 1).min(until.last_ns))
}

/// Hands over what shards have for each other.
pub(super) fn exchange(shards: &mut [Shard]) {
    for to in 0..shards.len() {
        for from in 0..shards.len() {
            let mut mail = std::mem::take(&mut shards[from].mail[to]);
            if !mail.is_empty() {
                shards[to].take_in(&mut mail);
            }
            shards[from].mail[to] = mail;
        }
    }
}

/// Where threads leave mail and figures for each other. There are two of all: while some read those of one window,
/// others may write those of the next.
struct Board {
    /// Mail by window, sender and receiver.
    mail: [Vec<Vec<Mutex<Mail>>>; 2],
    /// By window and shard.
    figures: [Vec<Figures>; 2],
    /// A thread has panicked.
    failed: AtomicBool,
    barrier: Barrier,
}

#[derive(Default)]
struct Figures {
    /// Time of the first event that the shard knows of; the end of time when there is none.
    first_ns: AtomicU64,
    /// Events of its last window.
    happened: AtomicU64,
}

impl Board {
    fn new(shards: usize) -> Self {
        let mail = || {
            let row = || (0..shards).map(|_| Mutex::default()).collect();
            (0..shards).map(|_| row()).collect()
        };
        let figures = || (0..shards).map(|_| Figures::default()).collect();
        Self {
            mail: [mail(), mail()],
            figures: [figures(), figures()],
            failed: AtomicBool::new(false),
            barrier: Barrier::new(shards),
        }
    }
}

/// Runs each shard on a thread of its own, until there is too little to do for that.
fn side_by_side(map: &Map, shards: &mut [Shard], until: Until, events_max: u64) -> u64 {
    let board = Board::new(shards.len());
    let until = Until {
        events_max,
        ..until
    };
    let Some((own, others)) = shards.split_first_mut() else {
        return 0;
    };
    thread::scope(|scope| {
        let board = &board;
        let others: Vec<_> = (1..)
            .zip(others)
            .map(|(number, shard)| scope.spawn(move || in_step(map, number, shard, until, board)))
            .collect();
        let mut happened = in_step(map, 0, own, until, board);
        for other in others {
            happened += other.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
        happened
    })
}

/// Runs one shard, window by window, in step with the others.
fn in_step(map: &Map, number: usize, shard: &mut Shard, until: Until, board: &Board) -> u64 {
    let look_ahead_ns = map.look_ahead_ns();
    // All threads must come to the same conclusions: but for what is its own, each counts the same.
    let (mut all, mut own, mut last) = (0, 0, 0);
    for window_number in 0_usize.. {
        let side = window_number % 2;
        let figures = &board.figures[side];
        let mut first = shard.next_at();
        for (to, mail) in shard.mail.iter_mut().enumerate() {
            if !mail.is_empty() {
                first = first.into_iter().chain(mail.first_at()).min();
                swap(mail, &board.mail[side][number][to]);
            }
        }
        figures[number]
            .first_ns
            .store(first.unwrap_or(u64::MAX), Ordering::Relaxed);
        figures[number].happened.store(last, Ordering::Relaxed);
        // What was stored before it is read after it: a barrier is a lock.
        board.barrier.wait();
        if board.failed.load(Ordering::Relaxed) {
            break;
        }
        for from in (0..figures.len()).filter(|from| *from != number) {
            let mut mail = Mail::default();
            swap(&mut mail, &board.mail[side][from][number]);
            shard.take_in(&mut mail);
            // Its memory is used again.
            swap(&mut mail, &board.mail[side][from][number]);
        }
        let firsts = figures
            .iter()
            .map(|one| one.first_ns.load(Ordering::Relaxed));
        let events: u64 = figures
            .iter()
            .map(|one| one.happened.load(Ordering::Relaxed))
            .sum();
        all += events;
        let first = firsts.min().filter(|first| *first < u64::MAX);
        let is_calm = events < WORTH_WAITING && window_number > 0;
        let Some(last_ns) = window(first, look_ahead_ns, until) else {
            break;
        };
        if is_calm || all >= until.events_max {
            break;
        }
        let run = catch_unwind(AssertUnwindSafe(|| shard.run(map, last_ns, u64::MAX)));
        match run {
            Ok(happened) => last = happened,
            Err(panic) => {
                // The others wait for this thread once more, and then go home too.
                board.failed.store(true, Ordering::Relaxed);
                board.barrier.wait();
                resume_unwind(panic);
            }
        }
        own += last;
    }
    own
}

fn swap(mail: &mut Mail, slot: &Mutex<Mail>) {
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::swap(mail, &mut slot);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::meter::Meter;
    use crate::sim::{Options, Setting, World};
    use crate::topology::plan::{Wish, plan};
    use crate::topology::{Network, parse};

    /// All that a run says: every figure of every query, frames, time and trace.
    fn said(text: &str, strategy: &str, threads: usize) -> String {
        let network = Network::new(&parse(text).unwrap()).unwrap();
        let options = Options {
            approach: strategy.parse().unwrap(),
            threads,
            ..Options::default()
        };
        let report = crate::sim::run(&network, &plan(&network, Wish::default()), options).unwrap();
        assert!(report.frames.unwrap().delivered > 0, "{text}");
        serde_json::to_string(&report).unwrap()
    }

    /// Holds a topology to the same on 1, 2, 3 and 4 threads, searches one after the other and all at once.
    fn is_same(shape: &str, link: &str, strategies: &[&str]) {
        for arrival in ["", r#", "arrival": { "poisson": "400/s" }"#] {
            let text = format!(
                r#"{{ "filbert": "topology/1", "defaults": {{ {link} "ttl": 5 }}, "generate": [{shape}],
                     "content": {{ "files": 20, "copies": {{ "uniform": 0.1 }} }},
                     "workload": {{ "queries": 12 {arrival} }} }}"#
            );
            for strategy in strategies {
                let one = said(&text, strategy, 1);
                for threads in [2, 3, 4] {
                    let many = said(&text, strategy, threads);
                    assert_eq!(many, one, "{strategy} on {threads} threads: {text}");
                }
            }
        }
    }

    const SHAPES: [&str; 10] = [
        r#"{"kind": "ring", "n": 40}"#,
        r#"{"kind": "line", "n": 30}"#,
        r#"{"kind": "star", "n": 40}"#,
        r#"{"kind": "tree", "b": 3, "d": 3}"#,
        r#"{"kind": "grid", "w": 7, "h": 9}"#,
        r#"{"kind": "complete", "n": 14}"#,
        r#"{"kind": "rr", "n": 60, "k": 4}"#,
        r#"{"kind": "er", "n": 60, "p": 0.08}"#,
        r#"{"kind": "ba", "n": 60, "m": 3}"#,
        r#"{"kind": "ws", "n": 60, "k": 4, "p": 0.2}"#,
    ];
    const STRATEGIES: [&str; 6] = [
        "flood",
        "ring:1/2/4",
        "walk:k=4",
        "dynamic",
        "normalised:2",
        "light:2+3",
    ];

    #[test]
    fn every_shape_and_every_strategy_come_out_the_same_on_any_number_of_threads() {
        for shape in SHAPES {
            is_same(shape, "", &STRATEGIES);
        }
    }

    #[test]
    fn losses_jitter_and_rates_come_out_the_same_on_any_number_of_threads() {
        for link in [
            r#""delay": "5ms", "drop": 0.05,"#,
            r#""delay": "5ms", "jitter": "12ms","#,
            r#""delay": "1ms", "jitter": "3ms", "drop": 0.02, "rate": "2kB/s","#,
        ] {
            for shape in &SHAPES[6..] {
                is_same(shape, link, &STRATEGIES);
            }
        }
    }

    #[test]
    fn two_tiers_come_out_the_same_on_any_number_of_threads() {
        for link in ["", r#""delay": "2ms", "jitter": "9ms", "drop": 0.02,"#] {
            let shape = r#"{"kind": "two-tier", "u": 12, "d": 4, "leaves": 60, "k": 2}"#;
            is_same(shape, link, &["flood", "ring:1/2/4", "dynamic"]);
        }
    }

    #[test]
    fn links_of_different_delays_come_out_the_same_on_any_number_of_threads() {
        let mut text = r#"{ "filbert": "topology/1", "nodes": [{"id": "n0", "files": [{"name": "moby dick.txt"}]}],
            "generate": [{"kind": "ring", "n": 64}], "workload": {"queries": 9}, "links": ["#
            .to_owned();
        for from in 0..64 {
            let (to, delay) = ((from * 5 + 7) % 64, 1 + from * 13 % 90);
            if to != from && to != (from + 1) % 64 && (to + 1) % 64 != from {
                use std::fmt::Write as _;
                write!(
                    text,
                    r#"{{"from": "n{from}", "to": "n{to}", "delay": "{delay}ms"}},"#
                )
                .unwrap();
            }
        }
        text.truncate(text.len() - 1);
        text += r#"], "searches": [{"from": "n40", "query": "moby"}] }"#;
        let one = said(&text, "flood", 1);
        for threads in [2, 4, 64, 1000] {
            assert_eq!(said(&text, "flood", threads), one, "{threads} threads");
        }
    }

    #[test]
    fn events_and_churn_come_out_the_same_on_any_number_of_threads() {
        for (shape, link) in [
            (SHAPES[6], r#""capacity": "300/s", "#),
            (
                SHAPES[8],
                r#""delay": "3ms", "jitter": "5ms", "drop": 0.02, "#,
            ),
            (SHAPES[4], r#""delay": "3ms", "rate": "4kB/s", "#),
        ] {
            let text = format!(
                r#"{{ "filbert": "topology/1", "defaults": {{ {link} "ttl": 6 }}, "generate": [{shape}],
                 "content": {{ "files": 20, "copies": {{ "uniform": 0.1 }} }},
                 "behaviours": {{ "free-rider": 0.2, "junk": 0.1, "silent": 0.1 }},
                 "workload": {{ "queries": 60, "arrival": {{ "poisson": "60/s" }} }}, "events": [
                    {{"at": "100ms", "do": "kill", "share": 0.2}},
                    {{"at": "200ms", "do": "partition", "groups": ["n0..n19"]}},
                    {{"at": "300ms", "do": "restart", "share": 0.5}},
                    {{"at": "350ms", "do": "leave", "nodes": "n30..n35"}},
                    {{"at": "400ms", "do": "heal"}},
                    {{"at": "450ms", "do": "cut", "from": "n5"}},
                    {{"at": "500ms", "do": "change", "from": "n9", "delay": "2ms", "drop": 0.1}},
                    {{"at": "500ms", "do": "churn", "up": "300ms", "down": "100ms", "crash": 0.5}},
                    {{"at": "700ms", "do": "partition", "from": "n1*", "to": "n2*"}},
                    {{"at": "900ms", "do": "calm"}},
                    {{"at": "950ms", "do": "heal"}},
                    {{"at": "2500ms", "do": "expect", "from": "each", "query": "ba", "hits": ">=0"}} ] }}"#
            );
            for strategy in ["flood", "walk:k=4"] {
                let one = said(&text, strategy, 1);
                for threads in [2, 3, 4] {
                    assert!(
                        said(&text, strategy, threads) == one,
                        "{strategy} on {threads}"
                    );
                }
            }
        }
    }

    /// A world with these threads.
    fn world(text: &str, threads: usize) -> World {
        let network = Network::new(&parse(text).unwrap()).unwrap();
        let setting = Setting {
            threads,
            ..Setting::default()
        };
        World::new(&network, setting).unwrap()
    }

    #[test]
    fn what_must_be_done_in_one_order_is_done_on_one_thread_and_says_so() {
        use crate::sim::OneThread;
        let text = |delay: &str| {
            format!(
                r#"{{"filbert": "topology/1", "defaults": {{"delay": "{delay}"}}, "generate": [{{"kind": "ring", "n": 9}}]}}"#
            )
        };
        let some = world(&text("1ms"), 3);
        assert_eq!((some.threads(), some.one_thread()), (3, None));
        let none = world(&text("0ms"), 3);
        assert_eq!(
            (none.threads(), none.one_thread()),
            (1, Some(OneThread::NoDelay))
        );
        let network = Network::new(&parse(&text("1ms")).unwrap()).unwrap();
        let setting = Setting {
            check: true,
            threads: 2,
            ..Setting::default()
        };
        let checked = World::new(&network, setting).unwrap();
        assert_eq!(checked.one_thread(), Some(OneThread::Checks));
        let setting = Setting {
            trace: Some(Box::new(std::io::sink())),
            threads: 2,
            ..Setting::default()
        };
        let traced = World::new(&network, setting).unwrap();
        assert_eq!(traced.one_thread(), Some(OneThread::Trace));
    }

    #[test]
    fn the_digest_knows_when_the_order_at_one_node_differs() {
        let heard = crate::sim::trace::heard;
        let one_way = heard(heard(0, 5, 0, 11), 5, 1, 22);
        let other_way = heard(heard(0, 5, 1, 22), 5, 0, 11);
        let of = |digests: [u64; 2]| crate::sim::trace::of_all((0..).zip(digests));
        assert_ne!(of([one_way, 7]), of([other_way, 7]));
        assert_ne!(of([one_way, 7]), of([7, one_way]), "nodes are not alike");
        let mut from_behind = [(0, one_way), (1, 7)];
        from_behind.reverse();
        assert_eq!(
            crate::sim::trace::of_all(from_behind.into_iter()),
            of([one_way, 7]),
            "in whatever order they are added up"
        );
    }

    #[test]
    fn half_a_run_and_the_other_half_are_a_whole_one() {
        let text = r#"{"filbert": "topology/1", "defaults": {"jitter": "7ms"},
            "generate": [{"kind": "rr", "n": 80, "k": 5}]}"#;
        let ask = |world: &mut World| {
            for asker in [3, 40, 77] {
                world.search(asker, "moby dick", 6);
            }
        };
        let mut whole = world(text, 1);
        ask(&mut whole);
        whole.run_until_quiet(u64::MAX);
        for threads in [1, 4] {
            let mut parts = world(text, threads);
            ask(&mut parts);
            for ms in (0..90).step_by(3) {
                parts.run_until(crate::node::Time(ms * 1_000_000));
            }
            parts.run_until_quiet(u64::MAX);
            assert_eq!(parts.digest(), whole.digest());
            assert_eq!(parts.totals(), whole.totals());
        }
    }

    #[test]
    fn a_panic_on_one_thread_ends_the_run_and_not_the_patience_of_the_others() {
        // The flood is broad enough for threads some rows before it comes to the third shard.
        let text = r#"{"filbert": "topology/1", "generate": [{"kind": "grid", "w": 20, "h": 40}]}"#;
        let mut world = world(text, 4);
        world.search(0, "moby dick", 100);
        // Its nodes are beyond all that it counts.
        world.shards[2].meter = Meter::new(0, 0);
        world.shards[2].meter.begin(0);
        let run = catch_unwind(AssertUnwindSafe(|| world.run_until_quiet(u64::MAX)));
        assert!(run.is_err());
    }
}
