use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use super::places::{NEW_BUCKETS, NEW_BUCKETS_PER_SOURCE, SLOTS, TRIED_BUCKETS};
use super::*;

const PLACES: usize = limits::HOSTS_MAX.get();
const _: () = assert!(PLACES as u64 == (NEW_BUCKETS + TRIED_BUCKETS) * SLOTS);

fn addr(n: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], n))
}

fn public(n: u32) -> SocketAddr {
    SocketAddr::from(((0x0800_0000 + n).to_be_bytes(), 6346))
}

fn book(net: Net, key: u64) -> Hosts {
    Hosts::new(net, key, Arc::default())
}

fn lan() -> Hosts {
    book(Net::Lan, 7)
}

#[test]
fn a_failed_address_waits_longer_each_time() {
    let (mut hosts, mut rng) = (lan(), ChaCha8Rng::seed_from_u64(1));
    hosts.learn(addr(1), Source::Ours, None);
    assert_eq!(hosts.draw(Time::ZERO, &mut rng, |_| false), Some(addr(1)));
    let mut now = Time::ZERO;
    for wait in [5, 10, 20] {
        hosts.failed(addr(1), now, Failure::NobodyThere);
        assert_eq!(
            hosts.draw(now.plus(Duration::from_secs(wait - 1)), &mut rng, |_| false),
            None
        );
        now = now.plus(Duration::from_secs(wait));
        assert_eq!(hosts.draw(now, &mut rng, |_| false), Some(addr(1)));
    }
}

#[test]
fn who_answers_is_not_called_more_than_twice_a_minute() {
    let (mut hosts, mut rng) = (lan(), ChaCha8Rng::seed_from_u64(1));
    hosts.learn(addr(1), Source::Ours, None);
    let mut calls = Vec::new();
    for second in 0..600 {
        let now = Time::ZERO.plus(Duration::from_secs(second));
        if hosts.draw(now, &mut rng, |_| false).is_some() {
            calls.push(second);
            match calls.len() {
                // The link is lost at once.
                1 | 2 => hosts.connected(addr(1), now),
                3 | 4 => hosts.failed(addr(1), now, Failure::TurnedAway),
                _ => hosts.failed(addr(1), now, Failure::Banned),
            }
        }
    }
    assert_eq!(calls, [0, 30, 60, 90, 150], "a ban is waited out");
}

#[test]
fn the_book_is_bounded_and_knows_itself() {
    let mut hosts = lan();
    hosts.is_self(addr(7));
    for n in 1..=60_000 {
        hosts.learn(addr(n), Source::Peer(addr(n / 3)), None);
    }
    assert!(
        hosts.all().len() <= PLACES && hosts.all().len() > 1_000,
        "{}",
        hosts.all().len()
    );
    hosts.learn(addr(7), Source::Ours, None);
    assert!(!hosts.all().contains(&addr(7)));
}

#[test]
fn draws_are_random_over_the_whole_book() {
    let (mut hosts, mut rng) = (lan(), ChaCha8Rng::seed_from_u64(1));
    for n in 1..=10 {
        hosts.learn(addr(n), Source::Ours, None);
    }
    let mut drawn = BTreeMap::new();
    for _ in 0..1_000 {
        *drawn
            .entry(hosts.draw(Time::ZERO, &mut rng, |_| false))
            .or_insert(0) += 1;
    }
    assert_eq!(drawn.len(), 10);
    assert!(drawn.values().all(|&times| times > 60), "{drawn:?}");
}

#[test]
fn on_the_live_network_a_network_is_drawn_as_often_with_many_addresses_as_with_one() {
    let (mut hosts, mut rng) = (book(Net::Gnutella, 7), ChaCha8Rng::seed_from_u64(1));
    for n in 0..250 {
        hosts.learn(public(n), Source::Peer(public(n << 16)), None);
    }
    let alone = public(300 << 16 | 1);
    hosts.learn(alone, Source::Peer(public(9)), None);
    let mut drawn = BTreeMap::new();
    for _ in 0..1_000 {
        let addr = hosts.draw(Time::ZERO, &mut rng, |_| false).unwrap();
        *drawn.entry(addr).or_insert(0) += 1;
    }
    assert!((400..600).contains(&drawn[&alone]), "{}", drawn[&alone]);
    assert!(drawn.len() > 100, "and any address of it: {}", drawn.len());
}

#[test]
fn no_address_is_learned_that_nothing_can_listen_at() {
    let mut hosts = lan();
    for text in [
        "0.0.0.0:6346",
        "1.2.3.4:0",
        "224.0.0.1:6346",
        "255.255.255.255:1",
    ] {
        hosts.learn(text.parse().unwrap(), Source::Ours, None);
    }
    assert!(hosts.all().is_empty());
}

#[test]
fn one_source_cannot_fill_the_book_or_drive_out_who_worked() {
    let mut hosts = book(Net::Gnutella, 7);
    let friend = public(0x0055_0001);
    hosts.connected(friend, Time::ZERO);
    let liar = public(1);
    for n in 0..1_000_000 {
        hosts.learn(public(n * 13), Source::Peer(liar), Some(Time::ZERO));
    }
    let reached = usize::try_from(NEW_BUCKETS_PER_SOURCE * SLOTS).unwrap();
    assert!(
        hosts.all().len() <= reached + 1,
        "{} of {PLACES}",
        hosts.all().len()
    );
    assert_eq!(hosts.all()[0], friend);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let later = Time::ZERO.plus(limits::CALL_GAP);
    let drawn = (0..1_000)
        .filter(|_| hosts.draw(later, &mut rng, |_| false) == Some(friend))
        .count();
    assert!(
        drawn > 400,
        "half of the draws are of those that worked: {drawn}"
    );
}

#[test]
fn on_the_live_network_strangers_cannot_send_us_into_a_private_one() {
    let mut hosts = book(Net::Gnutella, 7);
    let told = "192.168.1.1:6346".parse().unwrap();
    hosts.learn(told, Source::Peer(public(1)), None);
    assert!(hosts.all().is_empty());
    hosts.learn(told, Source::Ours, None);
    assert!(
        hosts.all().is_empty(),
        "nor can the user: that is what the other net is for"
    );
    assert!(!hosts.may_dial(told, Time::ZERO));
}

fn is_tried(hosts: &Hosts, addr: SocketAddr) -> bool {
    hosts
        .known
        .get(&addr)
        .is_some_and(|host| host.place.0 == Table::Tried)
}

#[test]
fn who_worked_is_asked_again_before_another_that_works_takes_its_place() {
    for still_works in [true, false] {
        let (mut hosts, mut rng) = (book(Net::Gnutella, 7), ChaCha8Rng::seed_from_u64(1));
        let old = public(1);
        hosts.connected(old, Time::ZERO);
        let place = hosts.known[&old].place;
        let newcomer = (1..100_000)
            .map(|n| public(n << 16 | 1))
            .find(|addr| hosts.places.of_tried(*addr) == place)
            .unwrap();
        hosts.connected(newcomer, Time::ZERO);
        assert!(is_tried(&hosts, old) && !is_tried(&hosts, newcomer));
        let later = Time::ZERO.plus(limits::CALL_GAP);
        assert_eq!(hosts.feeler(later, &mut rng, |_| false), Some(old));
        if still_works {
            hosts.connected(old, later);
        } else {
            hosts.failed(old, later, Failure::NobodyThere);
        }
        assert_eq!(is_tried(&hosts, old), still_works);
        assert_eq!(is_tried(&hosts, newcomer), !still_works);
        assert!(hosts.known.contains_key(&old), "it is not forgotten");
        let much_later = later.plus(limits::BACKOFF_MAX);
        let next = hosts.feeler(much_later, &mut rng, |_| false);
        assert_eq!(
            next.is_some(),
            still_works,
            "one new one is left to try, or none that never failed"
        );
    }
}

#[test]
fn a_restart_keeps_who_worked_apart_from_hearsay() {
    let mut hosts = book(Net::Gnutella, 7);
    for n in 0..20 {
        hosts.connected(public(n << 16 | 1), Time::ZERO);
        hosts.learn(public(n << 16 | 2), Source::Peer(public(9)), None);
    }
    let anchors = vec![public(1), public(2 << 16 | 1)];
    let kept = hosts.remembered(anchors.clone());
    assert_eq!(kept.anchors, anchors);
    assert!(kept.tried.iter().all(|addr| is_tried(&hosts, *addr)));
    assert_eq!(kept.all().count(), hosts.all().len());
    let mut next = book(Net::Gnutella, 8);
    next.restore("10.0.0.1:6346".parse().unwrap());
    assert!(
        next.all().is_empty(),
        "what may not be called may not be restored"
    );
    kept.tried.iter().for_each(|addr| next.restore(*addr));
    let back = kept.tried.iter().filter(|addr| is_tried(&next, **addr));
    assert!(
        back.count() >= kept.tried.len() - 2,
        "but for the odd collision"
    );
}

#[test]
fn an_address_that_worked_makes_room_only_for_one_that_works() {
    let mut hosts = book(Net::Gnutella, 7);
    for n in 0..5_000 {
        hosts.connected(public(n << 16 | 1), Time::ZERO);
    }
    assert!(hosts.all().len() <= PLACES);
    assert!(hosts.challenges.len() <= CHALLENGES_MAX);
    assert!(
        hosts
            .places
            .all()
            .all(|(place, addr)| hosts.known[&addr].place == place),
        "tables agree"
    );
    assert_eq!(hosts.places.all().count(), hosts.known.len());
}

#[test]
fn others_are_told_of_who_was_heard_from_lately_before_anybody_else() {
    let (mut hosts, mut rng) = (book(Net::Gnutella, 7), ChaCha8Rng::seed_from_u64(1));
    let before = |n: u32| public(n << 16 | 1);
    let lately = |n: u32| public(n << 16 | 2);
    let teller = |n: u32| Source::Peer(public(n << 16 | 9));
    let now = Time::ZERO.plus(HEARD_LIFE * 3);
    for n in 0..200 {
        hosts.learn(before(n), teller(n), Some(Time::ZERO));
        // Nobody saw it alive.
        hosts.learn(public(n << 16 | 3), teller(n), None);
    }
    let (mut told, mut known) = (std::collections::BTreeSet::new(), Vec::new());
    for n in 0..12 {
        hosts.learn(lately(n), teller(n), Some(now));
        known.extend(Some(lately(n)).filter(|addr| !hosts.is_new(*addr)));
    }
    // One of those does not answer us any more.
    hosts.failed(known.pop().unwrap(), now, Failure::NobodyThere);
    assert!(known.len() > 8, "but for places that were taken");
    for _ in 0..100 {
        let sample = hosts.sample(8, now, &mut rng);
        assert_eq!(sample.len(), 8);
        assert!(sample.iter().all(|addr| known.contains(addr)), "{sample:?}");
        told.extend(sample);
    }
    assert_eq!(told.len(), known.len(), "each has its turn");
    // Where they are too few, others follow, each once.
    let sample = hosts.sample(20, now, &mut rng);
    assert_eq!(sample.len(), 20);
    assert!(
        known
            .iter()
            .all(|addr| sample[..known.len()].contains(addr))
    );
    let mut once = sample.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), 20);
    assert!(
        sample[known.len()..]
            .iter()
            .all(|addr| (0..200).any(|n| before(n) == *addr))
    );
}

#[test]
fn who_forbids_us_a_link_of_the_live_network_is_not_called_within_the_hour() {
    for (mut hosts, at, wait_s) in [
        (lan(), addr(1), 30),
        (book(Net::Gnutella, 7), public(1), 3_600),
    ] {
        hosts.learn(at, Source::Ours, None);
        hosts.failed(at, Time::ZERO, Failure::Forbidden);
        let later = |seconds| Time::ZERO.plus(Duration::from_secs(seconds));
        assert!(!hosts.may_dial(at, later(wait_s - 1)), "{at}");
        assert!(hosts.may_dial(at, later(wait_s)), "{at}");
    }
}
