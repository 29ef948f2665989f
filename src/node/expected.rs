//! Hits that we said we take by datagram: from whom, for which search, with which token.
//!
//! A hit by datagram that is not expected is nobody's. The token went to the address that announced the hits and to no
//! other, so that whoever sends it was there. Source: LimeWire's out-of-band protocol, v3. In version 2 there is none: who
//! wants to send hits in another's name must know where that one is and what it announced.

use std::net::SocketAddr;

use crate::wire::hit::QueryHit;
use crate::wire::vendor::{OutOfBand, Proof, QUERY_STOP, Token, Vendor};
use crate::wire::{Frame, Guid, ServentId};

use super::address::Net;
use super::allowance::party;
use super::event::{Action, Outbox};
use super::relay::Taken;
use super::walkers::word;
use super::{Drop, Node, Time, limits};

/// Results that one address will send for one search.
#[derive(Debug)]
struct Announced {
    by: SocketAddr,
    guid: Guid,
    /// What its hits carry; `None`: nothing, in version 2.
    token: Option<Token>,
    /// Results still taken.
    left: usize,
    /// Some of them came.
    came: bool,
    until: Time,
}

/// All of them, oldest first; at most [`limits::EXPECTED_MAX`].
#[derive(Debug, Default)]
pub(super) struct Expected(Vec<Announced>);

/// What is to be done about an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The hits are wanted now, and were not before.
    Anew,
    /// It was told so before, with this token, which may have been lost.
    Again(Option<Token>),
}

impl Expected {
    /// Somebody announces results. `token` is for hits that were not announced before.
    pub(super) fn add(
        &mut self,
        now: Time,
        net: Net,
        by: SocketAddr,
        (guid, results, token): (Guid, u8, Option<Token>),
    ) -> Result<Told, Drop> {
        self.0.retain(|one| one.until > now);
        if let Some(known) = self.0.iter().find(|one| one.by == by && one.guid == guid) {
            return Ok(Told::Again(known.token));
        }
        // Anybody can announce in anybody's name, at no cost. So whoever announced and sent nothing since gives way:
        // hits follow their announcement within a second, and a crowd of forged ones keeps none of them out.
        let same = |one: &Announced| party(net, one.by) == party(net, by);
        let silent = if self.0.iter().filter(|one| same(one)).count() >= limits::EXPECTED_PER_PARTY
        {
            Some(self.0.iter().position(|one| same(one) && !one.came))
        } else if self.0.len() >= limits::EXPECTED_MAX {
            Some(self.0.iter().position(|one| !one.came))
        } else {
            None
        };
        if let Some(silent) = silent {
            self.0.remove(silent.ok_or(Drop::DatagramCrowd)?);
        }
        self.0.push(Announced {
            by,
            guid,
            token,
            left: results.into(),
            came: false,
            until: now.plus(limits::EXPECTED_LIFE),
        });
        Ok(Told::Anew)
    }

    /// A hit came: is it one of those?
    pub(super) fn take(
        &mut self,
        now: Time,
        by: SocketAddr,
        guid: Guid,
        token: Option<Token>,
        results: usize,
    ) -> Result<(), Drop> {
        let its = |one: &Announced| one.by == by && one.guid == guid && one.until > now;
        let at = self.0.iter().position(its).ok_or(Drop::Unasked)?;
        let one = &mut self.0[at];
        if one.token.is_some() && token != one.token {
            return Err(Drop::WrongToken);
        }
        one.left = one.left.checked_sub(results).ok_or(Drop::Unasked)?;
        one.came |= results > 0;
        if one.left == 0 {
            self.0.remove(at);
        }
        Ok(())
    }
}

impl Node {
    /// Hits wait for a search of ours: all of them are wanted, if it takes any by datagram.
    pub(super) fn want(
        &mut self,
        now: Time,
        from: SocketAddr,
        guid: Guid,
        (version, results, proof): (OutOfBand, u8, Option<Proof>),
        out: &mut Outbox,
    ) -> Taken {
        if results == 0 || !self.searches.takes_datagrams(&guid) {
            return Err(Drop::Unasked);
        }
        if self.config.hostile.lists(from.ip()) {
            return Err(Drop::Hostile);
        }
        let new = match version {
            OutOfBand::V2 => None,
            OutOfBand::V3 => Some(self.new_secret().into()),
        };
        let net = self.config.net;
        let token = match self.expected.add(now, net, from, (guid, results, new))? {
            Told::Anew => {
                self.searches.promise(&guid, results);
                new
            }
            Told::Again(token) => token,
        };
        let answer = Vendor::HitsWanted {
            results,
            token,
            proof,
        };
        out.push(Action::Datagram(from, word(guid, &answer)));
        Ok(())
    }

    /// A hit came by datagram: only one that we said we want, from there.
    pub(super) fn hit_by_datagram(
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
        self.hit_for_us(now, ticket, frame, Some(from), out)
    }

    /// Somebody asks whether a walker of ours is to go on. The answer is as long as the question, and only for a
    /// search that is under way.
    pub(super) fn say_whether_wanted(
        &mut self,
        to: SocketAddr,
        guid: Guid,
        out: &mut Outbox,
    ) -> Taken {
        let kept = self.searches.results(&guid).ok_or(Drop::Unasked)?;
        let enough = self.searches.satisfied(&guid).unwrap_or(true);
        let kept = if enough { QUERY_STOP } else { kept };
        let answer = word(guid, &Vendor::QueryStatusResponse(kept));
        out.push(Action::Datagram(to, answer));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO.plus(Duration::from_secs(seconds))
    }

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([9, 1, 1, 1], port))
    }

    fn token(byte: u8) -> Token {
        [byte; 8].into()
    }

    #[test]
    fn a_hit_is_taken_from_whom_it_was_asked_with_its_token_and_no_more_than_announced() {
        let guid = Guid([1; 16]);
        let mut expected = Expected::default();
        let mut add =
            |results, token| expected.add(at(1), Net::Lan, addr(1), (guid, results, token));
        assert_eq!(add(3, Some(token(7))), Ok(Told::Anew));
        assert_eq!(add(9, Some(token(8))), Ok(Told::Again(Some(token(7)))));
        let mut take =
            |by, guid, token, results| expected.take(at(2), addr(by), guid, token, results);
        assert_eq!(take(2, guid, Some(token(7)), 1), Err(Drop::Unasked));
        assert_eq!(
            take(1, Guid([2; 16]), Some(token(7)), 1),
            Err(Drop::Unasked)
        );
        assert_eq!(take(1, guid, None, 1), Err(Drop::WrongToken));
        assert_eq!(take(1, guid, Some(token(9)), 1), Err(Drop::WrongToken));
        assert_eq!(take(1, guid, Some(token(7)), 2), Ok(()));
        assert_eq!(take(1, guid, Some(token(7)), 2), Err(Drop::Unasked));
        assert_eq!(take(1, guid, Some(token(7)), 1), Ok(()));
        assert_eq!(take(1, guid, Some(token(7)), 1), Err(Drop::Unasked));
    }

    #[test]
    fn hits_of_version_2_need_no_token_but_the_address_and_are_no_more_than_announced() {
        let guid = Guid([1; 16]);
        let mut expected = Expected::default();
        let announced = expected.add(at(1), Net::Lan, addr(1), (guid, 2, None));
        assert_eq!(announced, Ok(Told::Anew));
        let mut take = |by, token, results| expected.take(at(2), addr(by), guid, token, results);
        assert_eq!(take(2, None, 1), Err(Drop::Unasked));
        assert_eq!(take(1, None, 1), Ok(()));
        assert_eq!(
            take(1, Some(token(9)), 1),
            Ok(()),
            "what it carries means nothing"
        );
        assert_eq!(take(1, None, 1), Err(Drop::Unasked));
    }

    #[test]
    fn announcements_are_bounded_by_who_makes_them_and_in_all_and_forgotten() {
        let mut expected = Expected::default();
        let add = |expected: &mut Expected, time, net, by: [u8; 4], port| {
            let what = (Guid([1; 16]), 1, Some(token(0)));
            expected
                .add(time, net, SocketAddr::from((by, port)), what)
                .is_ok()
        };
        // The live network counts hosts, others ports.
        assert!((1..100).all(|port| add(&mut expected, at(1), Net::Gnutella, [9, 1, 1, 1], port)));
        let held = |expected: &Expected, ip: [u8; 4]| {
            let its = |one: &&Announced| one.by.ip() == IpAddr::from(ip);
            expected.0.iter().filter(its).count()
        };
        assert_eq!(held(&expected, [9, 1, 1, 1]), limits::EXPECTED_PER_PARTY);
        assert!((1..2_000).all(|port| add(&mut expected, at(1), Net::Lan, [9, 1, 1, 2], port)));
        assert_eq!(expected.0.len(), limits::EXPECTED_MAX);
        let late = at(1).plus(limits::EXPECTED_LIFE);
        assert!(add(&mut expected, late, Net::Gnutella, [9, 1, 1, 1], 200));
        assert_eq!(expected.0.len(), 1);
    }

    #[test]
    fn a_crowd_of_announcements_of_which_nothing_came_keeps_nobody_out() {
        let mut expected = Expected::default();
        let guid = Guid([1; 16]);
        let mut announce = |from: u32, results| {
            let by = SocketAddr::from((Ipv4Addr::from_bits(from), 6346));
            let told = expected.add(at(1), Net::Gnutella, by, (guid, results, Some(token(7))));
            (by, told, expected.take(at(1), by, guid, Some(token(7)), 1))
        };
        // Whoever sends what it announced keeps its place in any crowd.
        let (honest, told, took) = announce(0x0901_0101, 9);
        assert_eq!((told, took), (Ok(Told::Anew), Ok(())));
        for forged in 0..10_000 {
            let by = SocketAddr::from((Ipv4Addr::from_bits(0x0902_0000 + forged), 6346));
            let told = expected.add(at(2), Net::Gnutella, by, (guid, 255, Some(token(8))));
            assert_eq!(told, Ok(Told::Anew));
        }
        assert_eq!(expected.0.len(), limits::EXPECTED_MAX);
        let take = |expected: &mut Expected, by| expected.take(at(3), by, guid, Some(token(7)), 1);
        assert_eq!(take(&mut expected, honest), Ok(()));
        // And whoever comes then has one.
        let late = SocketAddr::from(([9, 3, 1, 1], 6346));
        let told = expected.add(at(3), Net::Gnutella, late, (guid, 3, Some(token(7))));
        assert_eq!((told, take(&mut expected, late)), (Ok(Told::Anew), Ok(())));
        // Only a crowd that sends is a crowd.
        let all = expected.0.iter_mut();
        all.for_each(|one| one.came = true);
        let more = SocketAddr::from(([9, 4, 1, 1], 6346));
        let told = expected.add(at(3), Net::Gnutella, more, (guid, 3, None));
        assert_eq!(told, Err(Drop::DatagramCrowd));
    }
}
