//! Datagrams: whose pings are answered and with how much, which pongs are believed, and how many are taken in about
//! searches. Pings, pongs and pushes are of the live network alone.
//!
//! Anybody can write any sender on a datagram. So an address is answered seldom, and with no more than
//! [`AMPLIFICATION`] times the bytes of its question unless it is proved (a neighbour has it); and a pong counts only
//! when it comes from where we asked, with the id of the question. Sources: bootstrap.md section 2, overlay.md 12.

mod caches;
mod dropped;
mod pings;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use bytes::Bytes;

use super::Time;
use super::address::{Net, plausible};
use super::allowance::{Allowances, Refused, party};
use super::event::PassedPush;
use super::rate::Bucket;
use super::reach::Holes;
use crate::wire::ping::Packed;
use crate::wire::push::Push;
use crate::wire::{Frame, Guid, Header, Kind};

pub use caches::{ASK_TIME, ASKED_MAX};
pub use dropped::Dropped;
pub use pings::{
    AMPLIFICATION, ANSWER_BYTES_MAX, HOSTS_GIVEN, Introduction, Question, Wants, answer,
};

/// Bytes of a datagram that are looked at: more than any answer of a host cache, less than any network cuts.
pub const DATAGRAM_BYTES_MAX: usize = 1_400;
/// Bytes a second about searches that are taken in from one address, with a burst of four seconds: what a node that has
/// all that is sought may send at once.
const SEARCH_BYTES_RATE: u64 = 64 * 1024;
/// Addresses at a time that such datagrams are taken from.
const SEARCHERS_MAX: usize = 4_096;
/// Such datagrams a second from all together: a flood from forged addresses costs us no more. 64 walkers bring some
/// hundreds.
const SEARCH_RATE: u64 = 4_096;
/// Pushes a second that are looked at, whoever they are from, with a burst of four seconds: more than thirty times what is
/// ever passed on.
const PUSH_RATE: u64 = 256;

/// What a datagram leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A ping that is to be answered, with [`answer`].
    Question(Question),
    /// A host cache answered: addresses it told of, other caches.
    Hosts(SocketAddr, Packed),
    /// A push for a neighbour whose push proxy we may be. It gets no answer; who wants one asks over HTTP.
    Push(PassedPush),
    /// Something about a search, a hit, or a pong that no host cache was asked for: for the core to judge.
    Search(SocketAddr, Frame),
}

/// What was asked and answered lately.
#[derive(Debug)]
pub struct Udp {
    net: Net,
    answered: pings::Answered,
    asked: caches::Asked,
    holes: Holes,
    searchers: Allowances,
    searching: Bucket,
    pushing: Bucket,
}

impl Udp {
    /// Nothing was asked yet. `net`: the live one, where there is one; a LAN alone has neither pings nor pushes.
    pub fn new(net: Net) -> Self {
        Self {
            net,
            answered: pings::Answered::new(net),
            asked: caches::Asked::default(),
            holes: Holes::default(),
            searchers: Allowances::new(SEARCH_BYTES_RATE, SEARCHERS_MAX),
            searching: Bucket::default(),
            pushing: Bucket::default(),
        }
    }

    /// The question for a host cache, which may prefer nodes with `tls` for whoever does it; `None`: enough are being
    /// asked, this one among them.
    pub fn ask(
        &mut self,
        now: Time,
        cache: SocketAddr,
        guid: Guid,
        wants: Wants,
        tls: bool,
    ) -> Option<Vec<u8>> {
        let ping = self.asked.ask(now, cache, guid, wants, tls)?;
        self.holes.note(now, party(self.net, cache));
        Some(ping)
    }

    /// A datagram came in.
    ///
    /// # Errors
    /// Why it is dropped.
    pub fn hear(&mut self, now: Time, from: SocketAddr, bytes: &[u8]) -> Result<Heard, Dropped> {
        if bytes.len() > DATAGRAM_BYTES_MAX {
            return Err(Dropped::TooLarge);
        }
        if !plausible(from) {
            return Err(Dropped::NoSender);
        }
        let frame = Frame::from_datagram(bytes).map_err(|_| Dropped::Malformed)?;
        match frame.header.kind {
            Kind::Vendor | Kind::QueryHit => self
                .search(now, from, bytes.len())
                .map(|()| Heard::Search(from, frame)),
            Kind::Ping | Kind::Pong | Kind::Push if !self.net.is_two_tier() => Err(Dropped::Unused),
            Kind::Ping => {
                let unasked = !self.holes.lead_to(now, party(self.net, from));
                let question = self.answered.question(now, from, &frame)?;
                Ok(Heard::Question(Question {
                    unasked,
                    ..question
                }))
            }
            Kind::Pong => match self.asked.answered(now, from, &frame)? {
                Some(packed) => Ok(Heard::Hosts(from, packed)),
                None => self
                    .search(now, from, bytes.len())
                    .map(|()| Heard::Search(from, frame)),
            },
            // Hops and TTL as they like: it begins anew here.
            Kind::Push => {
                let push = Push::parse(&frame.payload).map_err(|_| Dropped::Malformed)?;
                if !self.pushing.take(now, 1, PUSH_RATE) {
                    return Err(Dropped::PushCrowd);
                }
                Ok(Heard::Push(PassedPush {
                    servent: push.servent,
                    index: push.index,
                    to: push.addr,
                    tls: push.tls,
                    asker: from,
                    id: Some(frame.header.guid),
                }))
            }
            _ => Err(Dropped::Unused),
        }
    }

    fn search(&mut self, now: Time, from: SocketAddr, bytes: usize) -> Result<(), Dropped> {
        let taken = self.searchers.take(now, party(self.net, from), bytes);
        taken.map_err(|refused| match refused {
            Refused::TooMuch => Dropped::SearchTooMuch,
            Refused::Crowd => Dropped::SearchCrowd,
        })?;
        let fits = self.searching.take(now, 1, SEARCH_RATE);
        fits.then_some(()).ok_or(Dropped::SearchCrowd)
    }
}

fn datagram(guid: Guid, kind: Kind, payload: Vec<u8>) -> Vec<u8> {
    let header = Header {
        guid,
        kind,
        ttl: 1,
        hops: 0,
    };
    let payload = Bytes::from(payload);
    Frame { header, payload }.to_vec()
}
