//! Dynamic queries under way: for our own searches and for those of our leaves.
//!
//! The plan of each (`dynamic`) says what to send next and when; this part owns the plans, counts the hits that
//! come back for each, and lets a leaf that counts for itself guide its own (BEAR/11 and 12).

use rand::RngExt;

use crate::wire::query::Query;
use crate::wire::vendor::{QUERY_STOP, Vendor};
use crate::wire::{Frame, Guid, Header, Kind};

use super::dynamic::{Candidate, DynamicQuery, End, Step, WANTED_LEAF, WANTED_OURS};
use super::event::{LinkId, Outbox, Role};
use super::qrp::QueryWords;
use super::{Node, Time};

/// Dynamic queries under way at most; the oldest ends for a new one.
const ASKING_MAX: usize = 256;
/// Of those, for one leaf.
const ASKING_PER_LEAF_MAX: usize = 8;
/// A leaf that counts for itself is asked each time its query went to so many more links.
const STATUS_EVERY_LINKS: usize = 3;
/// Unanswered questions after which a leaf is taken to be gone.
const UNANSWERED_MAX: u8 = 2;

/// Whose query it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// Ours.
    Us,
    /// A leaf's.
    Leaf(LinkId),
}

/// One query on its way.
#[derive(Debug)]
struct Asking {
    asker: Asker,
    /// As it goes out, but for its TTL.
    query: Frame,
    words: QueryWords,
    plan: DynamicQuery,
    /// The asker counts for itself.
    guided: bool,
    links_since_status: usize,
    unanswered: u8,
}

/// All dynamic queries under way; at most [`ASKING_MAX`].
#[derive(Debug, Default)]
pub(super) struct AllAsking {
    running: Vec<Asking>,
}

impl AllAsking {
    /// When the next of them has something to do.
    pub(super) fn due(&self) -> Option<Time> {
        self.running.iter().map(|asking| asking.plan.due()).min()
    }

    /// Results came back for a query.
    pub(super) fn count_results(&mut self, guid: &Guid, results: u32) {
        if let Some(asking) = self.find(guid) {
            asking.plan.add_results(results);
        }
    }

    /// A leaf says how many results it has kept. Only the leaf whose query it is may say so.
    pub(super) fn guide(&mut self, guid: &Guid, from: LinkId, kept: u16) {
        let Some(asking) = self
            .find(guid)
            .filter(|asking| asking.asker == Asker::Leaf(from))
        else {
            return;
        };
        asking.unanswered = 0;
        if kept == QUERY_STOP {
            self.end(guid);
        } else {
            asking.plan.guided(u32::from(kept));
        }
    }

    /// No more of this query.
    pub(super) fn end(&mut self, guid: &Guid) {
        self.running
            .retain(|asking| asking.query.header.guid != *guid);
    }

    /// A leaf is gone, and nobody waits for its answers.
    pub(super) fn link_gone(&mut self, link: LinkId) {
        self.running
            .retain(|asking| asking.asker != Asker::Leaf(link));
    }

    fn find(&mut self, guid: &Guid) -> Option<&mut Asking> {
        self.running
            .iter_mut()
            .find(|asking| asking.query.header.guid == *guid)
    }

    fn start(&mut self, asking: Asking) {
        let same = |other: &Asking| other.asker == asking.asker;
        let of_leaf = self.running.iter().filter(|other| same(other)).count();
        if matches!(asking.asker, Asker::Leaf(_)) && of_leaf >= ASKING_PER_LEAF_MAX {
            if let Some(at) = self.running.iter().position(same) {
                self.running.remove(at);
            }
        } else if self.running.len() >= ASKING_MAX {
            self.running.remove(0);
        }
        self.running.push(asking);
    }
}

impl Node {
    /// Starts a dynamic query. `query` is as it goes out; it was answered here and given to our leaves already.
    pub(super) fn ask(
        &mut self,
        now: Time,
        asker: Asker,
        query: Frame,
        parsed: &Query<'_>,
        out: &mut Outbox,
    ) {
        let wanted = match asker {
            Asker::Us => self
                .searches
                .wanted(&query.header.guid)
                .map_or(WANTED_OURS, u32::from),
            Asker::Leaf(_) => WANTED_LEAF,
        };
        let guid = query.header.guid;
        self.asking.start(Asking {
            asker,
            words: QueryWords::of(&parsed.text),
            plan: DynamicQuery::new(wanted, now),
            guided: asker != Asker::Us && parsed.flags.guided(),
            links_since_status: 0,
            unanswered: 0,
            query,
        });
        self.asking_step(now, guid, out);
    }

    /// Goes on with every query that is due.
    pub(super) fn asking_tick(&mut self, now: Time, out: &mut Outbox) {
        let due: Vec<_> = self
            .asking
            .running
            .iter()
            .filter(|asking| asking.plan.due() <= now)
            .map(|asking| asking.query.header.guid)
            .collect();
        for guid in due {
            self.asking_step(now, guid, out);
        }
    }

    fn asking_step(&mut self, now: Time, guid: Guid, out: &mut Outbox) {
        let Some(at) = self
            .asking
            .running
            .iter()
            .position(|asking| asking.query.header.guid == guid)
        else {
            return;
        };
        let candidates = self.candidates(now, at);
        let asking = &mut self.asking.running[at];
        if asking.unanswered > UNANSWERED_MAX {
            return self.asking.end(&guid);
        }
        match asking.plan.step(now, &candidates) {
            Step::Send(sends) => {
                let (query, asker) = (asking.query.clone(), asking.asker);
                asking.links_since_status += sends.len();
                let status_due = asking.guided && asking.links_since_status >= STATUS_EVERY_LINKS;
                if status_due {
                    asking.links_since_status = 0;
                    asking.unanswered += 1;
                }
                self.routes.forwarded(&guid, sends.len());
                for (link, ttl) in sends {
                    let header = Header {
                        ttl,
                        ..query.header
                    };
                    if asker == Asker::Us {
                        self.note_asked(now, link, &query);
                    }
                    self.send(
                        link,
                        Frame {
                            header,
                            payload: query.payload.clone(),
                        },
                        out,
                    );
                }
                if let (true, Asker::Leaf(leaf)) = (status_due, asker) {
                    self.send_vendor(leaf, guid, &Vendor::QueryStatusRequest, out);
                }
            }
            // The horizon being wide enough, hits may still come; the way back stays.
            Step::End(End::Enough | End::NoneLeft | End::Horizon | End::Time) => {
                self.asking.end(&guid);
            }
        }
    }

    /// Dynamic queries that have ultrapeers left to go to and want more results: they will send more in time, whatever
    /// comes in.
    pub fn asking_on(&self) -> usize {
        (0..self.asking.running.len())
            .filter(|at| {
                let plan = &self.asking.running[*at].plan;
                plan.goes_on(&self.candidates_in_order(*at))
            })
            .count()
    }

    /// The ultrapeers that query number `at` could go to, in random order.
    fn candidates(&mut self, now: Time, at: usize) -> Vec<Candidate> {
        let mut all = self.candidates_in_order(at);
        let asking = &self.asking.running[at];
        if asking.asker == Asker::Us {
            all.retain(|to| self.too_soon(now, to.link, &asking.query).is_none());
        }
        for at in 1..all.len() {
            let other = self.rng.random_range(0..=at);
            all.swap(at, other);
        }
        all
    }

    fn candidates_in_order(&self, at: usize) -> Vec<Candidate> {
        let asking = &self.asking.running[at];
        let hops = asking.query.header.hops;
        // A search of ours says how far it may go; a leaf's is ours to decide.
        let far = match asking.asker {
            Asker::Us => asking.query.header.ttl,
            Asker::Leaf(_) => self.config.ttl_max,
        };
        self.links
            .iter()
            .filter(|(id, link)| {
                link.peer.role == Role::Ultrapeer
                    && asking.asker != Asker::Leaf(*id)
                    && hops < link.hops_flow
            })
            .map(|(id, link)| {
                (
                    id,
                    link,
                    link.table().map(|table| table.matches(&asking.words)),
                )
            })
            .map(|(id, link, matches)| Candidate {
                link: id,
                degree: link.peer.degree,
                max_ttl: link.peer.max_ttl.min(self.config.ttl_max).min(far),
                matches: matches == Some(true),
                barren: matches == Some(false),
                ext_probes: link.peer.ext_probes,
            })
            .collect()
    }

    /// Sends a vendor message about `guid`.
    pub(super) fn send_vendor(
        &mut self,
        to: LinkId,
        guid: Guid,
        message: &Vendor<'_>,
        out: &mut Outbox,
    ) {
        let header = Header {
            guid,
            kind: Kind::Vendor,
            ttl: 1,
            hops: 0,
        };
        self.send(
            to,
            Frame {
                header,
                payload: message.build().into(),
            },
            out,
        );
    }
}
