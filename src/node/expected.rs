//! Hits that we said we take by datagram: from whom, for which search, with which token.
//!
//! A hit by datagram that is not expected is nobody's. The token went to the address that announced the hits and to no
//! other, so that whoever sends it was there. Source: LimeWire's out-of-band protocol, v3.

use std::net::SocketAddr;

use crate::wire::Guid;
use crate::wire::vendor::Token;

use super::{Drop, Time, limits};

/// Results that one address will send for one search.
#[derive(Debug)]
struct Announced {
    by: SocketAddr,
    guid: Guid,
    token: Token,
    /// Results still taken.
    left: usize,
    until: Time,
}

/// All of them; at most [`limits::EXPECTED_MAX`].
#[derive(Debug, Default)]
pub(super) struct Expected(Vec<Announced>);

/// What is to be done about an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The hits are wanted now, and were not before.
    Anew,
    /// It was told this token before, which may have been lost.
    Again(Token),
}

impl Expected {
    /// Somebody announces results. `token` is for hits that were not announced before.
    pub(super) fn add(
        &mut self,
        now: Time,
        by: SocketAddr,
        guid: Guid,
        results: u8,
        token: Token,
    ) -> Result<Told, Drop> {
        self.0.retain(|one| one.until > now);
        if let Some(known) = self.0.iter().find(|one| one.by == by && one.guid == guid) {
            return Ok(Told::Again(known.token));
        }
        if self.0.len() >= limits::EXPECTED_MAX {
            return Err(Drop::DatagramCrowd);
        }
        self.0.push(Announced {
            by,
            guid,
            token,
            left: results.into(),
            until: now.plus(limits::OFFER_LIFE),
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
        if token != Some(one.token) {
            return Err(Drop::WrongToken);
        }
        one.left = one.left.checked_sub(results).ok_or(Drop::Unasked)?;
        if one.left == 0 {
            self.0.swap_remove(at);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_hit_is_taken_from_whom_it_was_asked_with_its_token_and_no_more_than_announced() {
        let at = |seconds| Time::ZERO.plus(Duration::from_secs(seconds));
        let addr = |port| SocketAddr::from(([9, 1, 1, 1], port));
        let (guid, token) = (Guid([1; 16]), [7; 8]);
        let mut expected = Expected::default();
        assert_eq!(expected.add(at(1), addr(1), guid, 3, token), Ok(Told::Anew));
        assert_eq!(
            expected.add(at(1), addr(1), guid, 9, [8; 8]),
            Ok(Told::Again(token))
        );
        let mut take =
            |by, guid, token, results| expected.take(at(2), addr(by), guid, token, results);
        assert_eq!(take(2, guid, Some(token), 1), Err(Drop::Unasked));
        assert_eq!(take(1, Guid([2; 16]), Some(token), 1), Err(Drop::Unasked));
        assert_eq!(take(1, guid, None, 1), Err(Drop::WrongToken));
        assert_eq!(take(1, guid, Some([9; 8]), 1), Err(Drop::WrongToken));
        assert_eq!(take(1, guid, Some(token), 2), Ok(()));
        assert_eq!(take(1, guid, Some(token), 2), Err(Drop::Unasked));
        assert_eq!(take(1, guid, Some(token), 1), Ok(()));
        assert_eq!(take(1, guid, Some(token), 1), Err(Drop::Unasked));
    }

    #[test]
    fn announcements_are_bounded_and_forgotten() {
        let at = |seconds| Time::ZERO.plus(Duration::from_secs(seconds));
        let mut expected = Expected::default();
        let taken = (1..2_000)
            .filter(|port| {
                let by = SocketAddr::from(([9, 1, 1, 1], *port));
                expected.add(at(1), by, Guid([1; 16]), 1, [0; 8]).is_ok()
            })
            .count();
        assert_eq!(taken, limits::EXPECTED_MAX);
        let by = SocketAddr::from(([9, 1, 1, 2], 1));
        let late = at(1).plus(limits::OFFER_LIFE);
        assert_eq!(
            expected.add(late, by, Guid([1; 16]), 1, [0; 8]),
            Ok(Told::Anew)
        );
    }
}
