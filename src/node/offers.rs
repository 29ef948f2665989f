//! Hits that go straight to the asker, by datagram: announced first, sent when it says that it wants them.
//!
//! Nobody is sent more than a few bytes who has not answered with what only those know who are where the query says the
//! asker is: a forged address brings its victim one short datagram. Messages: LimeWire's out-of-band protocol, v3
//! (LIME/12, then LIME/11, then the hits), with a proof of the address that is ours; used for walkers, whose way back
//! would be long. What others of the live network ask for out of band is answered in band: LIME/11 alone, whose sender
//! anybody can forge, proves nothing.

use std::collections::VecDeque;
use std::net::SocketAddr;

use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

use crate::wire::hit::{HashForm, QueryHit};
use crate::wire::vendor::{QUERY_STOP, Token, Vendor};
use crate::wire::{Frame, Guid, Header, Kind, ServentId};

use super::allowance::{Refused, party};
use super::event::{Action, Outbox};
use super::expected::Told;
use super::relay::Taken;
use super::walkers::word;
use super::{Drop, Node, Time, limits};

/// Bytes that the token adds to a hit, with an extension block of its own.
pub(super) const TOKEN_BYTES: usize = 16;

/// One hit frame that waits for its asker.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) asker: SocketAddr,
    pub(super) header: Header,
    pub(super) hit: QueryHit,
    pub(super) form: HashForm,
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
    proof: Option<Token>,
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

    /// Says what the asker will prove itself with. Returns the results that wait for it.
    fn announced(&mut self, asker: SocketAddr, guid: Guid, proof: Token) -> usize {
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
    /// Tells an asker that hits of ours wait for it.
    pub(super) fn announce(
        &mut self,
        now: Time,
        asker: SocketAddr,
        guid: Guid,
        out: &mut Outbox,
    ) -> Taken {
        let proof = self.new_token();
        let results = self.offers.announced(asker, guid, proof);
        if results == 0 {
            return Ok(());
        }
        let ready = Vendor::HitsReady {
            results: u8::try_from(results).unwrap_or(u8::MAX),
            proof: Some(proof),
        };
        self.speak_to(now, asker, word(guid, &ready), out)
    }

    /// Sends a datagram to where somebody else says that an asker is: little, for it may be a victim's address.
    pub(super) fn speak_to(
        &mut self,
        now: Time,
        to: SocketAddr,
        frame: Frame,
        out: &mut Outbox,
    ) -> Taken {
        let party = party(self.config.net, to);
        let spoken = self.spoken_to.take(now, party, frame.wire_len());
        spoken.map_err(|refused| match refused {
            Refused::TooMuch => Drop::RateLimited,
            Refused::Crowd => Drop::DatagramCrowd,
        })?;
        self.open_hole(now, to);
        out.push(Action::Datagram(to, frame));
        Ok(())
    }

    /// A token that nobody can guess. It takes nothing from the numbers that the node draws for its decisions.
    fn new_token(&mut self) -> Token {
        self.tokens += 1;
        let mut secret = ChaCha8Rng::from_seed(self.rng.get_seed());
        secret.set_stream(self.tokens);
        let mut token = Token::default();
        secret.fill_bytes(&mut token);
        token
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
            (Kind::QueryHit, _) => self.hit_by_datagram(now, from, frame, out),
            (Kind::Vendor, Ok(Vendor::QueryStatusRequest)) => {
                self.say_whether_wanted(from, guid, out)
            }
            (Kind::Vendor, Ok(Vendor::QueryStatusResponse(kept))) => {
                self.let_go_on(now, from, frame, kept, out)
            }
            (Kind::Vendor, Ok(Vendor::HitsReady { results, proof })) => {
                self.want(now, from, guid, results, proof, out)
            }
            (
                Kind::Vendor,
                Ok(Vendor::HitsWanted {
                    results,
                    token,
                    proof,
                }),
            ) => self.give(from, guid, results, token.zip(proof), out),
            (Kind::Vendor, Err(_)) => Err(Drop::Malformed),
            _ => Err(Drop::Unused),
        };
        if let Err(reason) = taken {
            self.stats.count_drop(reason);
        }
    }

    /// A hit came by datagram: only one that we said we want, from there.
    fn hit_by_datagram(
        &mut self,
        now: Time,
        from: SocketAddr,
        frame: &Frame,
        out: &mut Outbox,
    ) -> Taken {
        let guid = frame.header.guid;
        let ticket = self.searches.ticket(&guid).ok_or(Drop::Unasked)?;
        let hit = QueryHit::parse(&frame.payload).map_err(|_| Drop::Malformed)?;
        if hit.servent == self.id || hit.servent == ServentId(guid.0) {
            return Err(Drop::FalseServent);
        }
        let results = hit.records.len();
        self.expected.take(now, from, guid, hit.token, results)?;
        self.asking
            .count_results(&guid, u32::try_from(results).unwrap_or(u32::MAX));
        self.hit_for_us(now, ticket, frame, out)
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

    /// Hits wait for a search of ours: all of them are wanted, if it takes any by datagram.
    fn want(
        &mut self,
        now: Time,
        from: SocketAddr,
        guid: Guid,
        results: u8,
        proof: Option<Token>,
        out: &mut Outbox,
    ) -> Taken {
        if results == 0 || !self.searches.takes_datagrams(&guid) {
            return Err(Drop::Unasked);
        }
        let new = self.new_token();
        let token = match self.expected.add(now, from, guid, results, new)? {
            Told::Anew => {
                self.searches.promise(&guid, results);
                new
            }
            Told::Again(token) => token,
        };
        let answer = Vendor::HitsWanted {
            results,
            token: Some(token),
            proof,
        };
        out.push(Action::Datagram(from, word(guid, &answer)));
        Ok(())
    }

    /// An asker wants its hits. It is where its query says when it sends the proof back, and gets them, each once, with
    /// its token. `tokens`: that, and the proof.
    fn give(
        &mut self,
        asker: SocketAddr,
        guid: Guid,
        wanted: u8,
        tokens: Option<(Token, Token)>,
        out: &mut Outbox,
    ) -> Taken {
        let waiting = &mut self.offers.waiting;
        if !waiting.iter().any(|waiting| waiting.is(asker, guid)) {
            return Err(Drop::Unasked);
        }
        let (token, proof) = tokens.ok_or(Drop::WrongToken)?;
        let mut left = usize::from(wanted);
        let mut taken = Err(Drop::WrongToken);
        waiting.retain_mut(|waiting| {
            if !waiting.is(asker, guid) || waiting.proof != Some(proof) || left == 0 {
                return true;
            }
            left = left.saturating_sub(waiting.results());
            taken = Ok(());
            let Offer {
                header, hit, form, ..
            } = &mut waiting.offer;
            hit.token = Some(token);
            let frame = Frame {
                header: *header,
                payload: hit.build_in(*form).into(),
            };
            out.push(Action::Datagram(asker, frame));
            false
        });
        taken
    }
}
