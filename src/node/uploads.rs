//! Who may upload now: slots, a limit per host, and an honest queue when there is none free.
//!
//! Turns go from person to person, not from file to file: a host has one place however much it asks for. Of two turns
//! one goes to somebody who gave us something, if such a one waits, and the other to somebody else: givers wait less,
//! and nobody is left out. On a LAN and in a lab there are no accounts and no penalties. Knows neither files nor sockets.

mod person;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::Time;
pub use person::Person;

/// Uploads at a time. `--slots` in PRODUCT.md 6.3.
pub const SLOTS: usize = 4;
/// Uploads at a time to one host. `--per-host` in PRODUCT.md 6.3.
pub const SLOTS_PER_HOST: usize = 1;
/// Most slots a setting may ask for: each may hold one thread while its client keeps up. Our estimate.
pub const SLOTS_MAX: usize = 256;
/// Persons that wait; further ones are told to come back in [`RETRY_AFTER_MAX_S`]. Our estimate.
pub const WAITING_MAX: usize = 200;
/// Seconds until the first in the queue should ask again (content.md 5).
pub const RETRY_AFTER_MIN_S: u32 = 30;
/// Seconds added for each place (content.md 5).
pub const RETRY_AFTER_STEP_S: u32 = 20;
/// Longest wait we ask for, in seconds (content.md 5).
pub const RETRY_AFTER_MAX_S: u32 = 600;
/// The same three on a LAN and in a lab, where asking costs nothing. Our estimate.
const NEAR_S: [u32; 3] = [1, 1, 30];
/// A place is kept for so long after the time to ask again (content.md 5: R + 60).
const GRACE_S: u32 = 60;
/// The same on a LAN and in a lab. Our estimate.
const NEAR_GRACE_S: u32 = 10;
/// Asking so much before the time is not held against anybody: clocks and lines differ. Our estimate.
const EARLY: Duration = Duration::from_secs(1);
/// Who asks too early more often than this goes to the end of the queue. gtk-gnutella forgives a few.
const EARLY_MAX: u8 = 4;
/// So often for one turn: then it has waited long enough for that, and is told its time only. Our choice.
const LOST_MAX: u8 = 2;
/// A free slot is kept for somebody who is due within this, or was so lately; else it does not stand idle. Our estimate.
const KEPT_FOR: Duration = Duration::from_secs(10);
/// Whoever was passed over so often while away is waited for longer, so that it is served in the end. Our choice.
const PASSED_MAX: u8 = 3;
/// So long. Our estimate.
const KEPT_LONG: Duration = Duration::from_secs(60);
/// Calls to one person about one place: whoever does not come then asks again by itself or not at all (content.md 5: two
/// refusals).
const CALLS_MAX: u8 = 2;
/// Files of one person whose times to ask again are kept; others are not checked. Our estimate.
const FILES_MAX: usize = 16;
/// A slot that rests between two ranges stays with its client for so long while others want it: as long as it takes to
/// ask for the next. Our estimates, for another continent and for this network.
const REST_FAR: Duration = Duration::from_secs(1);
const REST_NEAR: Duration = Duration::from_millis(50);
/// A slot that goes from range to range is given up after so long if others wait. Our estimate.
const TURN_MAX: Duration = Duration::from_secs(120);
/// Seconds that a turn is thought to take before any was seen. Our estimate.
const TURN_S: u64 = 60;
/// Longest turn that counts for what is told of the wait. Our estimate.
const TURN_COUNTED_MS: u64 = 3_600_000;
/// Verified bytes from a host that make it a giver. Our choice.
const GIVEN_MIN: u64 = 1 << 20;
/// Hosts that gave something and are remembered; the one that gave least goes first. Our estimate.
const GIVERS_MAX: usize = 1_024;

/// How many uploads run at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadLimits {
    /// All together; [`SLOTS_MAX`] at most, 0 serves nothing.
    pub slots: usize,
    /// To one host. Not held against loopback, where every node of a lab is the same host.
    pub per_host: usize,
}

impl Default for UploadLimits {
    fn default() -> Self {
        Self {
            slots: SLOTS,
            per_host: SLOTS_PER_HOST,
        }
    }
}

/// One running upload; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(u64);

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Names the place. No proof of anything: a place belongs to its person.
    pub id: u64,
    /// From 1 on.
    pub position: usize,
    /// Persons that wait.
    pub length: usize,
    /// Slots there are.
    pub slots: usize,
    /// Seconds until it is this one's turn, by how long turns took lately.
    pub eta_s: u64,
    /// Seconds until it should be asked again, not earlier.
    pub retry_after_s: u32,
    /// Seconds after which the place is lost.
    pub lifetime_s: u32,
}

/// The id of a place as clients see it.
pub fn shown_id(id: u64) -> String {
    format!("{id:016x}")
}

/// A call to somebody whose turn has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// As in [`Place::id`].
    pub id: u64,
    /// Where it listens.
    pub addr: SocketAddr,
}

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Send the body; [`Uploads::end`] when it is out.
    Start(SlotId),
    /// 503 with the place.
    Wait(Place),
    /// 503: not even a place to wait.
    Full {
        /// Seconds to stay away.
        retry_after_s: u32,
    },
}

#[derive(Debug)]
struct Running {
    slot: SlotId,
    person: Person,
    since: Time,
    /// Since when nothing goes out: its client has what it asked for, and may ask for more.
    rests: Option<Time>,
}

impl Running {
    /// May somebody else have the slot?
    fn is_idle(&self, now: Time) -> bool {
        let kept = if self.person.is_near() {
            REST_NEAR
        } else {
            REST_FAR
        };
        self.rests.is_some_and(|since| now.since(since) >= kept)
    }
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    person: Person,
    giver: bool,
    expires: Time,
    /// File, and when to ask for it again.
    due: Vec<(u64, Time)>,
    /// How often it asked before its time, and how often others went ahead while it was away.
    early: u8,
    passed: u8,
    /// How often it lost its place.
    lost: u8,
    /// Where it can be called, and how often it was.
    call_at: Option<SocketAddr>,
    calls: u8,
}

impl Waiting {
    /// A free slot is kept for it.
    fn is_waited_for(&self, now: Time) -> bool {
        let long = self.passed >= PASSED_MAX;
        let soon = now.plus(if long { KEPT_LONG } else { KEPT_FOR });
        let mut due = self.due.iter().map(|(_, due)| *due);
        due.any(|due| due <= soon && now <= due.plus(KEPT_FOR))
    }
}

/// The slots of one node, and who waits for them.
#[derive(Debug)]
pub struct Uploads {
    limits: UploadLimits,
    active: Vec<Running>,
    next: u64,
    /// In the order of coming.
    waiting: Vec<Waiting>,
    /// The last turn for which both kinds waited went to a giver.
    giver_had: bool,
    /// How long turns take, in milliseconds, the last ones counting most.
    turn_ms: u64,
    gave: BTreeMap<Person, u64>,
}

impl Uploads {
    /// All slots free.
    pub fn new(limits: UploadLimits) -> Self {
        let limits = UploadLimits {
            slots: limits.slots.min(SLOTS_MAX),
            ..limits
        };
        Self {
            limits,
            active: Vec::new(),
            next: 0,
            waiting: Vec::new(),
            giver_had: false,
            turn_ms: TURN_S * 1000,
            gave: BTreeMap::new(),
        }
    }

    /// A person wants a body; `file` tells its requests apart. Not for `HEAD` or for an answer without a file: those
    /// pass without a slot.
    pub fn ask(&mut self, now: Time, person: Person, file: u64) -> Answer {
        self.waiting.retain(|waiting| now < waiting.expires);
        let early = self.is_early(now, person, file);
        if self.place_of(person).is_none() && self.waiting.len() < WAITING_MAX {
            self.join(person);
        }
        let order = self.order();
        let busy = self.active.iter().filter(|one| !one.is_idle(now)).count();
        let free = self.limits.slots.saturating_sub(busy);
        let is_mine = |&at: &usize| self.waiting[at].person == person;
        let mine = order.iter().position(is_mine);
        let before = &order[..mine.unwrap_or(order.len())];
        // Whoever has all it may have, or is not there, waits without keeping others back.
        let (kept_back, passed): (Vec<usize>, Vec<usize>) = before
            .iter()
            .filter(|&&at| !self.has_enough(now, self.waiting[at].person))
            .partition(|&&at| self.waiting[at].is_waited_for(now));
        // Nobody loses by an early one who is alone.
        let too_early = early && self.waiting.len() > 1;
        if free > kept_back.len() && !too_early && !self.has_enough(now, person) {
            for at in passed {
                let other = &mut self.waiting[at];
                other.passed = other.passed.saturating_add(1);
            }
            return Answer::Start(self.start(now, person, mine.map(|mine| order[mine])));
        }
        match mine {
            Some(position) => Answer::Wait(self.wait(now, order[position], position + 1, file)),
            None => Answer::Full {
                retry_after_s: RETRY_AFTER_MAX_S,
            },
        }
    }

    /// Somebody who waits listens there, and reads a call (PARQ). Only an address of its own may be given.
    pub fn may_be_called(&mut self, person: Person, addr: SocketAddr) {
        if let Some(at) = self.place_of(person) {
            self.waiting[at].call_at = Some(addr);
        }
    }

    /// Whom to call now that a slot is free: whoever is next, if it can be called and was not too often. Its time to ask is
    /// now, and the slot is kept for it a while as for others whose time it is.
    pub fn call(&mut self, now: Time) -> Option<Call> {
        self.waiting.retain(|waiting| now < waiting.expires);
        let free = self.limits.slots.saturating_sub(self.active.len());
        let order = self.order();
        // As in `ask`: a slot is kept for those before whose time it is, and not for those who are away.
        let mut kept = 0;
        let may = |at: &usize| {
            let waiting = &self.waiting[*at];
            let can = waiting.call_at.is_some() && waiting.calls < CALLS_MAX;
            let mine = can && free > kept;
            kept += usize::from(waiting.is_waited_for(now));
            mine
        };
        let mut next = order
            .into_iter()
            .filter(|&at| !self.has_enough(now, self.waiting[at].person));
        let at = next.find(may)?;
        let waiting = &mut self.waiting[at];
        waiting.calls += 1;
        for (_, due) in &mut waiting.due {
            *due = now;
        }
        let grace = now.plus(Duration::from_secs(GRACE_S.into()));
        waiting.expires = waiting.expires.max(grace);
        Some(Call {
            id: waiting.id,
            addr: waiting.call_at?,
        })
    }

    /// An upload is over, whatever became of it.
    pub fn end(&mut self, now: Time, slot: SlotId) {
        let at = self.active.iter().position(|running| running.slot == slot);
        let Some(at) = at else { return };
        let running = self.active.swap_remove(at);
        let took = now.since(running.since).as_millis();
        let took = u64::try_from(took).unwrap_or(u64::MAX).min(TURN_COUNTED_MS);
        self.turn_ms = (self.turn_ms * 7 + took) / 8;
    }

    /// All that was asked for is out; the next request may follow soon.
    pub fn rests(&mut self, now: Time, slot: SlotId) {
        if let Some(running) = self.active.iter_mut().find(|one| one.slot == slot) {
            running.rests = Some(now);
        }
    }

    /// The next request for an upload that rested: may it go on? Not when its turn is over, or when somebody else has
    /// the slot by now; then it is to ask anew.
    pub fn goes_on(&mut self, now: Time, slot: SlotId) -> bool {
        if self.turn_is_over(now, slot) {
            return false;
        }
        let running = self.active.iter_mut().find(|one| one.slot == slot);
        running.map(|running| running.rests = None).is_some()
    }

    /// Whether this upload had its turn and others wait: then its next request has to queue.
    fn turn_is_over(&self, now: Time, slot: SlotId) -> bool {
        let running = self.active.iter().find(|running| running.slot == slot);
        running.is_some_and(|running| {
            let waits = |waiting: &Waiting| {
                waiting.person != running.person
                    && now < waiting.expires
                    && !self.has_enough(now, waiting.person)
            };
            now.since(running.since) >= TURN_MAX && self.waiting.iter().any(waits)
        })
    }

    /// Verified bytes came from a host.
    pub fn gave(&mut self, person: Person, bytes: u64) {
        if person.is_near() || bytes == 0 {
            return;
        }
        if self.gave.len() >= GIVERS_MAX && !self.gave.contains_key(&person) {
            let least = self.gave.iter().min_by_key(|(_, bytes)| **bytes);
            if let Some(least) = least.map(|(person, _)| *person) {
                self.gave.remove(&least);
            }
        }
        let sum = self.gave.entry(person).or_default();
        *sum = sum.saturating_add(bytes);
    }

    /// Uploads running.
    pub fn active(&self) -> usize {
        self.active.len()
    }

    /// Persons that wait, as far as is known.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Slots there are.
    pub fn slots(&self) -> usize {
        self.limits.slots
    }

    /// Whether the next client would have to wait; what hits say as their busy flag.
    pub fn all_taken(&self) -> bool {
        self.active.len() >= self.limits.slots
    }

    fn has_enough(&self, now: Time, person: Person) -> bool {
        let all = self.active.iter();
        let running = all.filter(|one| one.person == person && !one.is_idle(now));
        match person {
            Person::Local(_) => false,
            Person::Host(_) => running.count() >= self.limits.per_host,
        }
    }

    fn place_of(&self, person: Person) -> Option<usize> {
        self.waiting.iter().position(|one| one.person == person)
    }

    fn join(&mut self, person: Person) {
        self.next += 1;
        let gave = self.gave.get(&person);
        self.waiting.push(Waiting {
            id: self.next,
            person,
            giver: gave.is_some_and(|bytes| *bytes >= GIVEN_MIN),
            expires: Time(u64::MAX),
            due: Vec::new(),
            early: 0,
            passed: 0,
            lost: 0,
            call_at: None,
            calls: 0,
        });
    }

    /// Whether it asks before its time; who does so again and again loses its place. Nobody near is held to it.
    fn is_early(&mut self, now: Time, person: Person, file: u64) -> bool {
        let Some(at) = self.place_of(person).filter(|_| !person.is_near()) else {
            return false;
        };
        let waiting = &mut self.waiting[at];
        // What it does not ask for any more says nothing of when it may ask.
        let grace = Duration::from_secs(GRACE_S.into());
        waiting.due.retain(|(_, due)| now <= due.plus(grace));
        let due = waiting.due.iter().find(|(other, _)| *other == file);
        // Another file is no reason to ask before the time that was told.
        let (known, early) = match due {
            Some((_, due)) => (true, now.plus(EARLY) < *due),
            None => (waiting.due.len() >= FILES_MAX, !waiting.due.is_empty()),
        };
        if early && known {
            waiting.early = waiting.early.saturating_add(1);
            if waiting.early > EARLY_MAX && waiting.lost < LOST_MAX {
                let mut last = self.waiting.remove(at);
                (last.early, last.passed) = (0, 0);
                last.lost += 1;
                self.waiting.push(last);
            }
        }
        early
    }

    /// Those who wait, in the order of their turns: givers and others in turn, each kind as it came.
    fn order(&self) -> Vec<usize> {
        let all = 0..self.waiting.len();
        let (givers, others): (Vec<_>, Vec<_>) = all.partition(|&at| self.waiting[at].giver);
        let (mut givers, mut others) = (givers.into_iter(), others.into_iter());
        let mut order = Vec::with_capacity(self.waiting.len());
        let mut giver = !self.giver_had;
        while order.len() < self.waiting.len() {
            order.extend(if giver { givers.next() } else { others.next() });
            giver = !giver;
        }
        order
    }

    fn start(&mut self, now: Time, person: Person, waiting: Option<usize>) -> SlotId {
        if let Some(at) = waiting {
            let giver = self.waiting.remove(at).giver;
            if self.waiting.iter().any(|other| other.giver != giver) {
                self.giver_had = giver;
            }
        }
        if self.active.len() >= self.limits.slots {
            // The one that rests longest is done, as it seems.
            let all = self.active.iter().filter(|one| one.is_idle(now));
            let idle = all.min_by_key(|one| one.rests).map(|one| one.slot);
            if let Some(slot) = idle {
                self.end(now, slot);
            }
        }
        let slot = SlotId(self.next);
        self.next += 1;
        self.active.push(Running {
            slot,
            person,
            since: now,
            rests: None,
        });
        slot
    }

    fn wait(&mut self, now: Time, at: usize, position: usize, file: u64) -> Place {
        let near = self.waiting[at].person.is_near();
        let ([first, step, most], grace) = if near {
            (NEAR_S, NEAR_GRACE_S)
        } else {
            let far = [RETRY_AFTER_MIN_S, RETRY_AFTER_STEP_S, RETRY_AFTER_MAX_S];
            (far, GRACE_S)
        };
        let places = u32::try_from(position - 1).expect("at most WAITING_MAX");
        let slots = self.limits.slots;
        let rounds = position.div_ceil(slots.max(1)) as u64;
        let eta_s = (rounds * self.turn_ms).div_ceil(1000);
        // Whoever is soon to have a turn is not to be away then.
        let half = u32::try_from(eta_s / 2).unwrap_or(most);
        let again_s = (first + step * places).min(half).clamp(first, most);
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let length = self.waiting.len();
        let waiting = &mut self.waiting[at];
        let due = now.plus(seconds(again_s));
        // Who asks early is told the time that was told before.
        let known = waiting.due.iter_mut().find(|(other, _)| *other == file);
        let due = match known {
            Some((_, before)) if !near && now.plus(EARLY) < *before => *before,
            Some((_, before)) => {
                *before = due;
                due
            }
            None => {
                if waiting.due.len() < FILES_MAX {
                    waiting.due.push((file, due));
                }
                due
            }
        };
        let left_s = due.since(now).as_millis().div_ceil(1000);
        let retry_after_s = u32::try_from(left_s).unwrap_or(again_s);
        waiting.expires = now.plus(seconds(retry_after_s + grace));
        Place {
            id: waiting.id,
            position,
            length,
            slots,
            eta_s,
            retry_after_s,
            lifetime_s: retry_after_s + grace,
        }
    }
}
