//! Hits that go straight to the asker, by datagram: announced first, sent when it says that it wants them and is known
//! to be there.
//!
//! Nobody is sent more than a few bytes who has not answered with what only those know who are where the query says the
//! asker is: a forged address brings its victim one short datagram. Messages: LimeWire's out-of-band protocol, v2 and v3
//! (LIME/12, then LIME/11, then the hits). LIME/11 alone, whose sender anybody can forge, proves nothing. So there is
//! a proof of ours in LIME/12 v3 that nodes of our kind send back; all others are sent a ping first, and answer it
//! (`proofs`).
//!
//! Used for walkers, whose way back would be long, and on the live network for askers that say so and are no neighbours,
//! once it is known that datagrams reach us; else hits go the way that the query came.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::wire::hit::{HashForm, QueryHit};
use crate::wire::query::{Query, QueryFlags};
use crate::wire::vendor::{OutOfBand, Proof, Token, Vendor};
use crate::wire::{Frame, Guid, Header};

use super::answer::hit_header;
use super::event::{Action, LinkId, Outbox};
use super::relay::Taken;
use super::tiers::Tier;
use super::walkers::word;
use super::{Drop, Node, Time, limits};

/// Bytes that a token of ours adds to a hit, with an extension block of its own.
pub(super) const TOKEN_BYTES: usize = 16;

/// Where an asker takes hits by datagram, and how it knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) addr: SocketAddr,
    pub(super) version: OutOfBand,
}

/// One hit frame that waits for its asker.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) asker: SocketAddr,
    pub(super) header: Header,
    pub(super) hit: QueryHit,
    pub(super) form: HashForm,
}

/// What an asker wants of the hits that wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) asker: SocketAddr,
    pub(super) guid: Guid,
    /// Results.
    pub(super) results: u8,
    pub(super) token: Option<Token>,
}

/// The hits that wait; at most [`limits::OFFERS_MAX`].
#[derive(Debug, Default)]
pub(super) struct Offers {
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    offer: Offer,
    /// What its asker was told when they were announced.
    proof: Option<Proof>,
    until: Time,
}

impl Waiting {
    fn is(&self, asker: SocketAddr, guid: Guid) -> bool {
        self.offer.asker == asker && self.offer.header.guid == guid
    }

    fn results(&self) -> usize {
        self.offer.hit.records.len()
    }
}

impl Offers {
    /// Keeps a hit for its asker.
    pub(super) fn add(&mut self, now: Time, offer: Offer) {
        let until = now.plus(limits::OFFER_LIFE);
        self.waiting.retain(|waiting| waiting.until > now);
        if self.waiting.len() >= limits::OFFERS_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Waiting {
            offer,
            proof: None,
            until,
        });
    }

    /// Is there room for the hits of one query, so that nobody else's must go?
    fn have_room(&mut self, now: Time, asker: SocketAddr) -> bool {
        self.waiting.retain(|waiting| waiting.until > now);
        let its = |waiting: &&Waiting| waiting.offer.asker.ip() == asker.ip();
        self.waiting.len() + limits::OFFERS_PER_QUERY <= limits::OFFERS_MAX
            && self.waiting.iter().filter(its).count() < limits::OFFERS_PER_ASKER
    }

    /// Nobody was told of them.
    fn take_back(&mut self, asker: SocketAddr, guid: Guid) -> Vec<Offer> {
        let all = std::mem::take(&mut self.waiting).into_iter();
        let (its, others): (VecDeque<_>, _) = all.partition(|waiting| waiting.is(asker, guid));
        self.waiting = others;
        its.into_iter().map(|waiting| waiting.offer).collect()
    }

    /// Says what the asker will prove itself with. Returns the results that wait for it.
    fn announced(&mut self, asker: SocketAddr, guid: Guid, proof: Proof) -> usize {
        let its = self
            .waiting
            .iter_mut()
            .filter(|waiting| waiting.is(asker, guid));
        its.map(|waiting| {
            waiting.proof = Some(proof);
            waiting.results()
        })
        .sum()
    }
}

impl Node {
    /// Where the asker of this query takes our hits by datagram, if it does, may be believed, and gains by it.
    pub(super) fn asker_aside(
        &mut self,
        now: Time,
        header: Header,
        flags: QueryFlags,
        payload: &[u8],
    ) -> Option<Asker> {
        let aside = flags.out_of_band()
            && self.tier() != Tier::Flat
            && header.hops >= limits::OUT_OF_BAND_HOPS_MIN
            && self.datagrams_work();
        if !aside {
            return None;
        }
        let addr = SocketAddr::V4(header.guid.carried());
        let believed = self.config.net.believes(addr)
            && !self.config.hostile.lists(addr.ip())
            && Some(addr) != self.config.listen;
        let version = if Query::takes_tokens(payload) {
            OutOfBand::V3
        } else {
            OutOfBand::V2
        };
        (believed && self.offers.have_room(now, addr)).then_some(Asker { addr, version })
    }

    /// Tells the asker of a query that hits of ours wait for it. Where that was told enough, they go back over the link
    /// that the query came by.
    pub(super) fn announce(
        &mut self,
        now: Time,
        asker: Asker,
        query: Header,
        link: LinkId,
        out: &mut Outbox,
    ) {
        let guid = query.guid;
        let proof = self.new_secret();
        let results = self.offers.announced(asker.addr, guid, proof);
        if results == 0 {
            return;
        }
        let ready = Vendor::HitsReady {
            version: asker.version,
            results: u8::try_from(results).unwrap_or(u8::MAX),
            reached: self.datagrams_work(),
            proof: Some(proof).filter(|_| asker.version == OutOfBand::V3),
        };
        if let Err(reason) = self.speak_to(now, asker.addr, word(guid, &ready), out) {
            self.stats.count_drop(reason);
            let header = hit_header(query);
            for Offer { hit, form, .. } in self.offers.take_back(asker.addr, guid) {
                let payload = hit.build_in(form).into();
                self.send(link, Frame { header, payload }, out);
            }
        }
    }

    /// An asker, or somebody in its name, wants its hits. They are its once it is known to be where its query says:
    /// it sends our proof back, or answers a ping.
    pub(super) fn wanted(
        &mut self,
        now: Time,
        asker: SocketAddr,
        guid: Guid,
        (results, token, proof): (u8, Option<Token>, Option<Proof>),
        out: &mut Outbox,
    ) -> Taken {
        let mut its = self
            .offers
            .waiting
            .iter()
            .filter(|one| one.is(asker, guid))
            .peekable();
        if its.peek().is_none() {
            return Err(Drop::Unasked);
        }
        let wish = Wish {
            asker,
            guid,
            results,
            token,
        };
        match proof {
            Some(proof) if its.any(|one| one.proof == Some(proof)) => {
                self.hand_over(wish, out);
                Ok(())
            }
            // Among equals all are of our kind.
            None if self.tier() != Tier::Flat => self.prove(now, wish, out),
            Some(_) | None => Err(Drop::WrongToken),
        }
    }

    /// Sends an asker its hits, each once, with its token.
    pub(super) fn hand_over(&mut self, wish: Wish, out: &mut Outbox) {
        let mut left = usize::from(wish.results);
        self.offers.waiting.retain_mut(|waiting| {
            if !waiting.is(wish.asker, wish.guid) || left == 0 {
                return true;
            }
            left = left.saturating_sub(waiting.results());
            let Offer {
                header, hit, form, ..
            } = &mut waiting.offer;
            hit.token = wish.token;
            let frame = Frame {
                header: *header,
                payload: hit.build_in(*form).into(),
            };
            out.push(Action::Datagram(wish.asker, frame));
            false
        });
    }
}
