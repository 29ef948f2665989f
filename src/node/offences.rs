//! What a neighbour does wrong, and when that costs it the link.
//!
//! One offence may be an accident, or come from somebody behind the neighbour. So each kind has a number that honest
//! neighbours stay below, and half of what was counted is forgiven with each keep-alive. Source of the kinds: overlay,
//! "Bye" and "Routing"; the reasons why some codes are never said stand in docs/protocol.md.

use crate::wire::{Header, Kind};

use super::event::{Bye, LinkId, Outbox};
use super::hosts::Failure;
use super::{Drop, Node, Time, limits};

/// Hops from which on a frame says little about the neighbour it came over (gtk-gnutella: more than 2).
const HOPS_NEAR: u8 = 2;

const TOO_MANY_ERRORS: Bye = Bye {
    code: 409,
    text: "Too many errors",
};
const TTL_ZERO: Bye = Bye {
    code: 408,
    text: "Too many messages with TTL 0",
};
const TTL_HIGH: Bye = Bye {
    code: 403,
    text: "Too many messages with a high TTL",
};
const REPEATS: Bye = Bye {
    code: 401,
    text: "Too many duplicates",
};

/// What is counted against one neighbour.
///
/// Whoever relays a frame reads its header, and need not read the rest: a stranger could send us a hundred broken hits
/// for a search of ours and so cost us the good neighbour that they come through. So what is wrong with a payload is
/// counted only against the neighbour that made it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offences {
    /// Frames of its own that cannot be read, or lie, and TTLs that nobody lets pass.
    errors: u32,
    /// Routed frames with TTL 0.
    ttl_zero: u32,
    /// TTLs above the hard limit, of nodes so near that the neighbour let them pass or is one of them.
    ttl_high: u32,
    /// Ids that it sent us before, with no higher TTL.
    repeats: u64,
}

impl Offences {
    /// Counts a dropped frame with this header, if it is an offence. The last word, when that was one too many.
    pub(super) fn count(&mut self, reason: Drop, header: Header) -> Option<Bye> {
        // A ping with TTL 0 is how BearShare says that it got our pong.
        let routed = matches!(header.kind, Kind::Query | Kind::Push);
        let (count, most, bye) = match reason {
            Drop::TtlTooHigh if header.hops <= HOPS_NEAR => {
                (&mut self.ttl_high, limits::TTL_HIGH_OFFENCES_MAX, TTL_HIGH)
            }
            Drop::TtlZero if routed => (&mut self.ttl_zero, limits::OFFENCES_MAX, TTL_ZERO),
            Drop::Malformed | Drop::TooLarge | Drop::FalseServent if header.hops == 0 => {
                (&mut self.errors, limits::OFFENCES_MAX, TOO_MANY_ERRORS)
            }
            Drop::TtlTooHigh => (&mut self.errors, limits::OFFENCES_MAX, TOO_MANY_ERRORS),
            _ => return None,
        };
        *count = count.saturating_add(1);
        (*count > most).then_some(bye)
    }

    /// Counts an id that this neighbour sent before, as one of so many frames `received` from it. The last word, when
    /// that was one too many: some may follow from a full memory of ids.
    pub(super) fn count_repeat(&mut self, received: u64) -> Option<Bye> {
        self.repeats += 1;
        let share = received / limits::REPEATS_ONE_IN;
        (self.repeats > limits::REPEATS_MIN.max(share)).then_some(REPEATS)
    }

    /// Forgives half; at each keep-alive. Repeats are a share of all frames and wait for no pardon.
    pub(super) fn forgive(&mut self) {
        self.errors /= 2;
        self.ttl_zero /= 2;
        self.ttl_high /= 2;
    }
}

impl Node {
    /// Counts a drop; a neighbour that sends too much nonsense loses its link.
    pub(super) fn dropped(
        &mut self,
        now: Time,
        from: LinkId,
        header: Header,
        reason: Drop,
        out: &mut Outbox,
    ) {
        self.stats.count_drop(reason);
        if let Some(traffic) = self.links.traffic_mut(from) {
            traffic.dropped += 1;
        }
        if reason == Drop::Duplicate {
            // Most frames of a flood: nothing more is to be looked at.
            return;
        }
        let link = self.links.get_mut(from);
        if let Some(bye) = link.and_then(|link| link.offences.count(reason, header)) {
            self.turn_out(now, from, bye, out);
        }
    }

    /// A neighbour sent an id again that it sent before, with no higher TTL.
    pub(super) fn repeated(&mut self, now: Time, from: LinkId, out: &mut Outbox) {
        let received = self.links.traffic(from).map_or(0, |link| link.received);
        let link = self.links.get_mut(from);
        if let Some(bye) = link.and_then(|link| link.offences.count_repeat(received)) {
            self.turn_out(now, from, bye, out);
        }
    }

    /// Closes the link to a neighbour that did wrong, and looks for another one.
    fn turn_out(&mut self, now: Time, id: LinkId, bye: Bye, out: &mut Outbox) {
        out.stir();
        let listen = self.links.get(id).and_then(|link| link.peer.listen);
        self.close(id, bye, out);
        if let Some(addr) = listen {
            self.hosts.failed(addr, now, Failure::TurnedAway);
        }
        self.seek(now, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Guid;

    fn header(kind: Kind, hops: u8) -> Header {
        Header {
            guid: Guid([1; 16]),
            kind,
            ttl: 0,
            hops,
        }
    }

    /// The code that a neighbour hears, and after how many of these.
    fn last_straw(reason: Drop, header: Header) -> Option<(u32, u16)> {
        let mut offences = Offences::default();
        (1..1_000).find_map(|n| Some((n, offences.count(reason, header)?.code)))
    }

    #[test]
    fn each_kind_of_offence_has_its_number_and_its_code() {
        let (query, ping) = (header(Kind::Query, 0), header(Kind::Ping, 0));
        for (reason, header, said) in [
            (Drop::Malformed, query, Some((101, 409))),
            (Drop::TooLarge, query, Some((101, 409))),
            (Drop::FalseServent, query, Some((101, 409))),
            // Somebody's behind it, who may mean it badly with both of us.
            (Drop::Malformed, header(Kind::QueryHit, 1), None),
            (Drop::TooLarge, header(Kind::Query, 1), None),
            (Drop::FalseServent, header(Kind::QueryHit, 3), None),
            (Drop::TtlZero, query, Some((101, 408))),
            (Drop::TtlZero, ping, None),
            (Drop::TtlTooHigh, query, Some((11, 403))),
            (Drop::TtlTooHigh, header(Kind::Query, 2), Some((11, 403))),
            // It came from far away: not the neighbour's doing alone.
            (Drop::TtlTooHigh, header(Kind::Query, 3), Some((101, 409))),
            (Drop::Duplicate, query, None),
            (Drop::Congested, query, None),
        ] {
            assert_eq!(last_straw(reason, header), said, "{reason:?} {header:?}");
        }
    }

    #[test]
    fn repeats_cost_the_link_when_they_are_more_than_a_share_of_its_frames() {
        let mut few = Offences::default();
        assert!((0..limits::REPEATS_MIN).all(|_| few.count_repeat(1).is_none()));
        assert_eq!(few.count_repeat(1).map(|bye| bye.code), Some(401));
        let mut busy = Offences::default();
        let received = 100 * limits::REPEATS_ONE_IN;
        assert!((0..100).all(|_| busy.count_repeat(received).is_none()));
        assert!(busy.count_repeat(received).is_some());
    }

    #[test]
    fn what_is_rare_is_forgiven() {
        let mut offences = Offences::default();
        for _ in 0..1_000 {
            let now_and_then = limits::TTL_HIGH_OFFENCES_MAX / 2;
            for _ in 0..now_and_then {
                assert!(
                    offences
                        .count(Drop::TtlTooHigh, header(Kind::Query, 0))
                        .is_none()
                );
            }
            offences.forgive();
        }
    }
}
