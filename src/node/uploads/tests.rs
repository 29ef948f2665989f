//! Slots and the queue: by example, by property, and with a crowd.

use std::net::SocketAddr;

use super::*;
use proptest::prelude::*;

fn host(n: u16) -> Person {
    let [high, low] = n.to_be_bytes();
    Person::of(SocketAddr::from(([8, 0, high, low], 1)), None)
}

fn seconds(s: u64) -> Time {
    Time::ZERO.plus(Duration::from_secs(s))
}

fn with(slots: usize, per_host: usize) -> Uploads {
    Uploads::new(UploadLimits { slots, per_host })
}

fn start(uploads: &mut Uploads, now: Time, n: u16) -> SlotId {
    match uploads.ask(now, host(n), 0) {
        Answer::Start(slot) => slot,
        other => panic!("{n}: {other:?}"),
    }
}

fn place(uploads: &mut Uploads, now: Time, n: u16) -> Place {
    match uploads.ask(now, host(n), 0) {
        Answer::Wait(place) => place,
        other => panic!("{n}: {other:?}"),
    }
}

#[test]
fn slots_run_out_and_go_to_the_first_who_waits() {
    let mut uploads = with(2, 1);
    let first = start(&mut uploads, Time::ZERO, 1);
    start(&mut uploads, Time::ZERO, 2);
    assert!(uploads.all_taken());
    let third = place(&mut uploads, Time::ZERO, 3);
    assert_eq!((third.position, third.length, third.slots), (1, 1, 2));
    assert_eq!((third.retry_after_s, third.lifetime_s), (30, 90));
    assert_eq!(third.eta_s, TURN_S);
    let fourth = place(&mut uploads, Time::ZERO, 4);
    assert_eq!((fourth.position, fourth.length), (2, 2));
    uploads.end(seconds(25), first);
    uploads.end(seconds(25), first);
    // The free slot is kept for the first, who is about to come, whoever else asks.
    assert_eq!(place(&mut uploads, seconds(25), 5).position, 3);
    assert_eq!(place(&mut uploads, seconds(29), 4).position, 2);
    start(&mut uploads, seconds(30), 3);
    assert_eq!(place(&mut uploads, seconds(60), 4).position, 1);
    assert_eq!(uploads.active(), 2);
}

#[test]
fn a_slot_that_rests_is_for_whoever_asks_first_after_a_moment() {
    let mut uploads = with(1, 1);
    let ms = |ms| Time::ZERO.plus(Duration::from_millis(ms));
    let slot = start(&mut uploads, ms(0), 1);
    // While its body goes out, and just after, it is its own.
    assert_eq!(place(&mut uploads, ms(5_000), 2).position, 1);
    uploads.rests(ms(5_000), slot);
    assert_eq!(place(&mut uploads, ms(5_999), 2).position, 1);
    assert!(uploads.goes_on(ms(5_999), slot));
    // It does not rest any more.
    assert_eq!(place(&mut uploads, ms(8_000), 2).position, 1);
    uploads.rests(ms(8_000), slot);
    let mine = uploads.ask(ms(30_000), host(2), 0);
    assert!(matches!(mine, Answer::Start(_)), "{mine:?}");
    assert!(!uploads.goes_on(ms(30_001), slot), "somebody has it");
    assert_eq!(place(&mut uploads, ms(30_001), 1).position, 1);
    assert_eq!(uploads.active(), 1);
    // The end of what it had before is the end of nothing now.
    uploads.end(ms(30_002), slot);
    assert_eq!(uploads.active(), 1);

    // A second connection of a host has its resting slot; on this network a moment is short.
    let near = |port| Person::of(SocketAddr::from(([10, 0, 0, 1], port)), None);
    let mut uploads = with(4, 1);
    let Answer::Start(slot) = uploads.ask(ms(0), near(1), 0) else {
        panic!("all are free");
    };
    assert!(matches!(uploads.ask(ms(1), near(2), 0), Answer::Wait(_)));
    uploads.rests(ms(2), slot);
    assert!(matches!(uploads.ask(ms(60), near(2), 0), Answer::Start(_)));
}

#[test]
fn a_slot_does_not_stand_idle_for_who_is_away_but_not_for_ever() {
    let mut uploads = with(1, 1);
    let mut slot = start(&mut uploads, Time::ZERO, 1);
    let away = place(&mut uploads, Time::ZERO, 2);
    assert_eq!(away.retry_after_s, 30);
    for n in 3..=5 {
        uploads.end(seconds(1), slot);
        slot = start(&mut uploads, seconds(1), n);
    }
    // Passed over three times: now it is waited for.
    uploads.end(seconds(2), slot);
    assert_eq!(place(&mut uploads, seconds(2), 6).position, 2);
    start(&mut uploads, seconds(30), 2);
}

#[test]
fn a_place_is_lost_to_who_stays_away_and_only_then() {
    let mut uploads = with(1, 1);
    let slot = start(&mut uploads, Time::ZERO, 1);
    let before = place(&mut uploads, Time::ZERO, 2);
    place(&mut uploads, Time::ZERO, 3);
    let kept = place(&mut uploads, seconds(89), 2);
    assert_eq!((kept.id, kept.position), (before.id, 1));
    uploads.end(seconds(90), slot);
    // Its time is over, and it is not waited for any longer; its place is there until it is forgotten.
    start(&mut uploads, seconds(145), 3);
    assert_eq!(place(&mut uploads, seconds(178), 2).id, before.id);
    assert_ne!(place(&mut uploads, seconds(400), 2).id, before.id);
}

#[test]
fn one_host_has_one_place_and_cannot_take_all_slots_unless_it_is_this_one() {
    let mut uploads = with(8, 1);
    start(&mut uploads, Time::ZERO, 1);
    let one = uploads.ask(Time::ZERO, host(1), 7);
    let other = uploads.ask(Time::ZERO, host(1), 8);
    let (Answer::Wait(one), Answer::Wait(other)) = (one, other) else {
        panic!("{one:?} {other:?}");
    };
    assert_eq!((one.id, one.length), (other.id, 1));
    // It has enough: nobody waits behind it.
    start(&mut uploads, Time::ZERO, 2);
    for port in 1..=3 {
        let local = Person::of(SocketAddr::from(([127, 0, 0, 1], port)), None);
        assert!(matches!(
            uploads.ask(Time::ZERO, local, 0),
            Answer::Start(_)
        ));
    }
    let of = |text: &str| Person::of(text.parse().unwrap(), None);
    assert_eq!(of("[::ffff:8.0.0.1]:9"), host(1));
    assert_eq!(of("[2001:db8::1]:1"), of("[2001:db8::ffff]:2"));
    assert_ne!(of("[2001:db8::1]:1"), of("[2001:db8:0:1::1]:1"));
}

#[test]
fn who_asks_too_early_is_told_the_same_time_and_in_the_end_goes_last() {
    let mut uploads = with(1, 1);
    start(&mut uploads, Time::ZERO, 1);
    place(&mut uploads, Time::ZERO, 2);
    place(&mut uploads, Time::ZERO, 3);
    for early in 1..=u64::from(EARLY_MAX) {
        let told = place(&mut uploads, seconds(early), 2);
        assert_eq!(u64::from(told.retry_after_s), 30 - early);
        assert_eq!(told.position, 1);
    }
    assert_eq!(place(&mut uploads, seconds(6), 2).position, 2);
    // Another file of the same person has a time of its own.
    let other = uploads.ask(seconds(7), host(2), 99);
    assert!(matches!(other, Answer::Wait(place) if place.retry_after_s > 30));
    // On a LAN nobody is held to it, and all come back soon.
    let near = Person::of("10.0.0.1:1".parse().unwrap(), None);
    for now in 8..30 {
        let told = uploads.ask(seconds(now), near, 0);
        assert!(
            matches!(told, Answer::Wait(place) if place.retry_after_s <= 3),
            "{told:?}"
        );
    }
}

#[test]
fn an_early_one_has_no_slot_before_others() {
    let mut uploads = with(1, 1);
    let slot = start(&mut uploads, Time::ZERO, 1);
    place(&mut uploads, Time::ZERO, 2);
    place(&mut uploads, Time::ZERO, 3);
    uploads.end(seconds(5), slot);
    assert_eq!(place(&mut uploads, seconds(5), 2).position, 1);
    start(&mut uploads, seconds(30), 2);
}

#[test]
fn a_long_turn_ends_when_others_wait() {
    let mut uploads = with(1, 1);
    let slot = start(&mut uploads, Time::ZERO, 1);
    assert!(!uploads.turn_is_over(seconds(500), slot));
    place(&mut uploads, seconds(100), 2);
    assert!(!uploads.turn_is_over(seconds(119), slot));
    assert!(uploads.turn_is_over(seconds(120), slot));
    uploads.end(seconds(120), slot);
    assert_eq!(place(&mut uploads, seconds(120), 1).position, 2);
}

#[test]
fn givers_have_every_second_turn_and_no_more() {
    let mut uploads = with(1, 1);
    for n in 10..20 {
        uploads.gave(host(n), GIVEN_MIN);
    }
    uploads.gave(host(2), GIVEN_MIN - 1);
    let mut slot = start(&mut uploads, Time::ZERO, 1);
    let mut left = vec![2, 3, 4, 10, 11, 12];
    for n in &left {
        place(&mut uploads, Time::ZERO, *n);
    }
    let mut turns = Vec::new();
    // All of them come at the same time, when all are due.
    while !left.is_empty() {
        uploads.end(seconds(180), slot);
        let got = left
            .iter()
            .find_map(|n| match uploads.ask(seconds(180), host(*n), 1) {
                Answer::Start(started) => Some((*n, started)),
                _ => None,
            });
        let (n, started) = got.expect("a slot is free");
        left.retain(|other| *other != n);
        turns.push(n);
        slot = started;
    }
    // Nobody is due any more but those who ask now.
    assert_eq!(turns.len(), 6);
    // On a LAN there are no accounts.
    let near = Person::of("10.0.0.1:1".parse().unwrap(), None);
    uploads.gave(near, u64::MAX);
    assert!(!uploads.gave.contains_key(&near));
}

#[test]
fn tables_are_bounded() {
    let mut uploads = with(0, 1);
    let mut full = 0;
    for n in 0..1_000 {
        uploads.gave(host(n), 1 + u64::from(n));
        uploads.gave(host(n + 30_000), u64::MAX);
        match uploads.ask(Time::ZERO, host(n), 0) {
            Answer::Full { retry_after_s } => {
                assert_eq!(retry_after_s, RETRY_AFTER_MAX_S);
                full += 1;
            }
            Answer::Wait(place) => assert!(place.retry_after_s <= RETRY_AFTER_MAX_S),
            Answer::Start(_) => panic!("there is no slot"),
        }
    }
    assert_eq!(
        (uploads.waiting(), full),
        (WAITING_MAX, 1_000 - WAITING_MAX)
    );
    assert!(uploads.gave.len() <= GIVERS_MAX);
    for file in 0..100 {
        uploads.ask(Time::ZERO, host(0), file);
    }
    assert!(uploads.waiting[0].due.len() <= FILES_MAX);
}

/// Somebody who asks, waits as told or not, has a turn and asks again.
#[derive(Clone, Copy, Debug)]
struct Asker {
    person: Person,
    /// Asks for so many files at a time.
    files: u64,
    /// Asks each second, whatever it is told.
    hammers: bool,
    next: u64,
    running: bool,
    turns: u64,
    /// The longest wait from the first asking to a turn, and since when it waits.
    longest: u64,
    since: Option<u64>,
}

impl Asker {
    fn new(n: u16) -> Self {
        Self {
            person: host(n),
            files: 1,
            hammers: false,
            next: u64::from(n),
            running: false,
            turns: 0,
            longest: 0,
            since: None,
        }
    }
}

/// Lets all of them ask for so many seconds; how many slots were taken on average.
fn crowd(
    uploads: &mut Uploads,
    all: &mut [Asker],
    time: u64,
    mut length: impl FnMut() -> u64,
) -> f64 {
    let mut running: Vec<(u64, usize, SlotId)> = Vec::new();
    let mut taken = 0;
    for now in 0..time {
        running.retain(|&(until, at, slot)| {
            if until <= now {
                uploads.end(seconds(now), slot);
                (all[at].next, all[at].running) = (now + 1, false);
            }
            until > now
        });
        for (at, asker) in all.iter_mut().enumerate() {
            if asker.running || asker.next > now {
                continue;
            }
            asker.since.get_or_insert(now);
            for file in 0..asker.files {
                match uploads.ask(seconds(now), asker.person, file) {
                    Answer::Start(slot) => {
                        let waited = now - asker.since.take().unwrap_or(now);
                        asker.longest = asker.longest.max(waited);
                        asker.turns += 1;
                        asker.running = true;
                        running.push((now + length(), at, slot));
                        break;
                    }
                    Answer::Wait(place) => {
                        let told = if asker.hammers {
                            1
                        } else {
                            place.retry_after_s
                        };
                        asker.next = now + u64::from(told);
                    }
                    Answer::Full { retry_after_s } => asker.next = now + u64::from(retry_after_s),
                }
            }
        }
        assert!(uploads.active() <= uploads.slots());
        taken += uploads.active();
    }
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let mean = taken as f64 / time as f64;
    mean
}

#[test]
fn among_fifty_people_a_greedy_one_gains_nothing() {
    for (files, hammers) in [(100, false), (1, true), (20, true)] {
        let mut uploads = with(4, 1);
        let mut all: Vec<Asker> = (0..50).map(Asker::new).collect();
        let greedy = Asker {
            files,
            hammers,
            ..Asker::new(50)
        };
        all.push(greedy);
        let mean = crowd(&mut uploads, &mut all, 2 * 3_600, || 60);
        let others = all[..50].iter().map(|asker| asker.turns);
        let (least, most) = (others.clone().min().unwrap(), others.max().unwrap());
        let greedy = all[50].turns;
        assert!(
            least >= 4 && greedy <= most,
            "{least} to {most}, {greedy} for {files} {hammers}"
        );
        assert!(most <= least * 2, "{least} to {most}");
        assert!(mean > 3.2, "{mean} slots of 4 were taken");
    }
}

#[test]
fn givers_wait_less_and_nobody_else_is_left_out() {
    let mut uploads = with(4, 1);
    let mut all: Vec<Asker> = (0..50).map(Asker::new).collect();
    for n in 0..10 {
        uploads.gave(host(n), GIVEN_MIN);
    }
    crowd(&mut uploads, &mut all, 2 * 3_600, || 60);
    let least = |askers: &[Asker]| askers.iter().map(|asker| asker.turns).min().unwrap();
    let (givers, others) = (least(&all[..10]), least(&all[10..]));
    assert!(givers >= 2 * others && others >= 3, "{givers}, {others}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Persons come at any time, ask again when told or each second, give or not, and have turns of any length: each
    /// is served again and again.
    #[test]
    fn whoever_keeps_asking_is_served(
        slots in 1usize..4,
        kinds in prop::collection::vec((any::<bool>(), 0_u8..4), 2..24),
        lengths in prop::collection::vec(1u64..200, 1..40),
    ) {
        let mut uploads = with(slots, 1);
        let mut all = Vec::new();
        for (n, (giver, kind)) in (0u16..).zip(&kinds) {
            if *giver {
                uploads.gave(host(n), GIVEN_MIN);
            }
            all.push(Asker { hammers: *kind == 0, files: 1 + u64::from(*kind), ..Asker::new(n) });
        }
        // Twice as many turns as there are persons, and some for the time between asking and asking.
        let bound = 2 * (200 + 60) * (kinds.len() as u64 + 2) + 1_300;
        let mut lengths = lengths.into_iter().cycle();
        crowd(&mut uploads, &mut all, 3 * bound, || lengths.next().expect("endless"));
        for asker in &all {
            // Who hammers has lost its place for it, and may wait for all that come after.
            let bound = if asker.hammers { 3 * bound } else { bound };
            prop_assert!(asker.turns > 0 && asker.longest <= bound, "{asker:?}, bound {bound}");
        }
    }
}

#[test]
fn whoever_is_next_is_called_when_a_slot_is_free_and_comes_before_its_time() {
    let mut uploads = with(1, 1);
    let at = |n: u16| SocketAddr::from(([8, 0, 0, u8::try_from(n).unwrap()], 6346));
    let slot = start(&mut uploads, Time::ZERO, 1);
    let place = place(&mut uploads, Time::ZERO, 2);
    uploads.may_be_called(host(2), at(2));
    // Who does not wait is not called.
    uploads.may_be_called(host(9), at(9));
    assert_eq!(uploads.call(seconds(1)), None, "no slot is free");
    uploads.end(seconds(2), slot);
    let call = Call {
        id: place.id,
        addr: at(2),
    };
    assert_eq!(uploads.call(seconds(2)), Some(call));
    // The slot is kept for it, and it is not too early.
    assert!(matches!(
        uploads.ask(seconds(3), host(3), 0),
        Answer::Wait(_)
    ));
    start(&mut uploads, seconds(3), 2);
    assert_eq!(uploads.call(seconds(3)), None);
}

#[test]
fn nobody_is_called_more_than_twice_about_one_place_nor_keeps_others_back() {
    let mut uploads = with(1, 1);
    let slot = start(&mut uploads, Time::ZERO, 1);
    place(&mut uploads, Time::ZERO, 2);
    uploads.may_be_called(host(2), SocketAddr::from(([8, 0, 0, 2], 6346)));
    uploads.end(seconds(1), slot);
    let calls = (1..9)
        .filter(|s| uploads.call(seconds(*s)).is_some())
        .count();
    assert_eq!(calls, 2);
    // It did not come: the slot goes to whoever is there.
    let answer = uploads.ask(seconds(30), host(3), 0);
    assert!(matches!(answer, Answer::Start(_)), "{answer:?}");
}
