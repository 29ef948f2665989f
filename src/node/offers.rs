//! Hits that go straight to the asker, by datagram: announced first, sent when it says that it wants them.
//!
//! Nobody is sent more than a few bytes who has not answered from where the query says the asker is: a forged address
//! brings its victim one short datagram. Messages: LimeWire's out-of-band protocol, v2 (LIME/12, then LIME/11, then the
//! hits); used for walkers, whose way back would be long.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::wire::vendor::{QUERY_STOP, Vendor};
use crate::wire::{Frame, Guid, Kind};

use super::event::{Action, Outbox};
use super::relay::Taken;
use super::walkers::word;
use super::{Drop, Node, Time, limits};

/// One hit frame that waits for its asker.
#[derive(Debug)]
struct Offer {
    asker: SocketAddr,
    frame: Frame,
    until: Time,
}

/// The hits that wait; at most [`limits::OFFERS_MAX`].
#[derive(Debug, Default)]
pub(super) struct Offers {
    waiting: VecDeque<Offer>,
}

impl Offers {
    /// Keeps a hit for its asker.
    pub(super) fn add(&mut self, now: Time, asker: SocketAddr, frame: Frame) {
        let until = now.plus(limits::OFFER_LIFE);
        self.waiting.retain(|offer| offer.until > now);
        if self.waiting.len() >= limits::OFFERS_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Offer {
            asker,
            frame,
            until,
        });
    }

    /// Results that wait for this asker of this query.
    fn results(&self, asker: SocketAddr, guid: Guid) -> usize {
        let its = self.waiting.iter().filter(|offer| offer.is(asker, guid));
        its.map(|offer| usize::from(offer.results())).sum()
    }
}

impl Offer {
    fn is(&self, asker: SocketAddr, guid: Guid) -> bool {
        self.asker == asker && self.frame.header.guid == guid
    }

    /// Results in a hit: its first byte (overlay, "QueryHit").
    fn results(&self) -> u8 {
        self.frame.payload.first().copied().unwrap_or_default()
    }
}

impl Node {
    /// Tells an asker that hits of ours wait for it.
    pub(super) fn announce(&mut self, asker: SocketAddr, guid: Guid, out: &mut Outbox) {
        let results = self.offers.results(asker, guid);
        if results > 0 {
            let ready = Vendor::HitsReady(u8::try_from(results).unwrap_or(u8::MAX));
            out.push(Action::Datagram(asker, word(guid, &ready)));
        }
    }

    /// A datagram about a search came in, or a hit of one.
    pub(super) fn datagram_in(
        &mut self,
        now: Time,
        from: SocketAddr,
        frame: &Frame,
        out: &mut Outbox,
    ) {
        let guid = frame.header.guid;
        let taken = match (frame.header.kind, Vendor::parse(&frame.payload)) {
            (Kind::QueryHit, _) => match self.searches.ticket(&guid) {
                Some(ticket) => self.hit_for_us(now, ticket, frame, out),
                None => Err(Drop::Unasked),
            },
            (Kind::Vendor, Ok(Vendor::QueryStatusRequest)) => {
                self.say_whether_wanted(from, guid, out)
            }
            (Kind::Vendor, Ok(Vendor::QueryStatusResponse(kept))) => {
                self.let_go_on(now, from, frame, kept, out)
            }
            (Kind::Vendor, Ok(Vendor::HitsReady(results))) => self.want(from, guid, results, out),
            (Kind::Vendor, Ok(Vendor::HitsWanted(wanted))) => self.give(from, guid, wanted, out),
            _ => Err(Drop::Unused),
        };
        if let Err(reason) = taken {
            self.stats.count_drop(reason);
        }
    }

    /// Somebody asks whether a walker of ours is to go on. The answer is as long as the question, and only for a
    /// search that is under way.
    fn say_whether_wanted(&mut self, to: SocketAddr, guid: Guid, out: &mut Outbox) -> Taken {
        let kept = self.searches.results(&guid).ok_or(Drop::Unasked)?;
        let enough = self.searches.satisfied(&guid).unwrap_or(true);
        let kept = if enough { QUERY_STOP } else { kept };
        let answer = word(guid, &Vendor::QueryStatusResponse(kept));
        out.push(Action::Datagram(to, answer));
        Ok(())
    }

    /// Hits wait for a search of ours: all of them are wanted.
    fn want(&mut self, from: SocketAddr, guid: Guid, results: u8, out: &mut Outbox) -> Taken {
        if !self.searches.promise(&guid, results) {
            return Err(Drop::Unasked);
        }
        let answer = word(guid, &Vendor::HitsWanted(results));
        out.push(Action::Datagram(from, answer));
        Ok(())
    }

    /// An asker wants its hits: it is where its query says, and gets them, each once.
    fn give(&mut self, asker: SocketAddr, guid: Guid, wanted: u8, out: &mut Outbox) -> Taken {
        let mut left = usize::from(wanted);
        let mut given = false;
        self.offers.waiting.retain(|offer| {
            if !offer.is(asker, guid) || left == 0 {
                return true;
            }
            left = left.saturating_sub(usize::from(offer.results()));
            given = true;
            out.push(Action::Datagram(asker, offer.frame.clone()));
            false
        });
        if given { Ok(()) } else { Err(Drop::Unasked) }
    }
}
