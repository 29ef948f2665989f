//! Counters: every frame by kind, every dropped frame by reason.

use crate::wire::Kind;

macro_rules! drops {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// Why a frame was dropped. Every drop has exactly one reason and is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Drop { $($(#[$doc])* $variant,)* }

        impl Drop {
            /// All reasons.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Name for counters and JSON.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

drops! {
    /// The payload does not decode.
    Malformed => "malformed",
    /// The payload is above what its kind may have, below what costs the link.
    TooLarge => "too_large",
    /// Nobody knows this kind.
    UnknownKind => "unknown_kind",
    /// A kind we read but have no use for yet (query routing tables, vendor messages).
    Unused => "unused",
    /// TTL 0 on the wire.
    TtlZero => "ttl_zero",
    /// TTL + hops above the hard limit.
    TtlTooHigh => "ttl_too_high",
    /// A one-hop kind that has travelled.
    NotOneHop => "not_one_hop",
    /// It comes from an address that is listed as hostile, or names one.
    Hostile => "hostile",
    /// Seen before.
    Duplicate => "duplicate",
    /// Its life is spent: it was taken in but not relayed.
    TtlSpent => "ttl_spent",
    /// The way back is unknown or forgotten.
    NoWayBack => "no_way_back",
    /// The way back leads over the link it came from, or one that is gone.
    DeadWayBack => "dead_way_back",
    /// Too many hits for one query.
    HitFlood => "hit_flood",
    /// A hit or push that claims our own servent id, or an impossible one.
    FalseServent => "false_servent",
    /// More bytes a second than the link may have.
    RateLimited => "rate_limited",
    /// A ping sooner than pings are answered.
    PingTooSoon => "ping_too_soon",
    /// A pong or hit nobody asked for.
    Unasked => "unasked",
    /// A pong of a neighbour that told of more new addresses than one may.
    AddressFlood => "address_flood",
    /// A hit by datagram, or a wish for some, without the token that was agreed on.
    WrongToken => "wrong_token",
    /// More addresses that want or announce hits by datagram than there is room for.
    DatagramCrowd => "datagram_crowd",
    /// A query with nothing to look for.
    EmptyQuery => "empty_query",
    /// A query of a neighbour whose answers could not be sent: its send queue is full.
    Congested => "congested",
    /// A query routing update that breaks its sequence.
    BadTable => "bad_table",
    /// A walker that its asker did not want any more, or of whom nobody heard.
    WalkerEnded => "walker_ended",
    /// A walker for which there is no room to wait, or no way on.
    WalkerStuck => "walker_stuck",
    /// A leaf passed on what it did not ask itself.
    LeafRelayed => "leaf_relayed",
    /// Pushes to one address faster than anybody needs.
    PushFlood => "push_flood",
    /// The link it came from is gone.
    LinkGone => "link_gone",
    /// The send queue was full of better frames.
    QueueFull => "queue_full",
}

/// Counters of one node.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Those that nearly every frame of a flood moves come first, in one line of the processor's cache.
    counts: Counts,
}

/// Lines of a cache are 64 bytes long, on all machines that we know of.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Counts([u64; COUNTS]);

const COUNTS: usize = 2 * Kind::COUNT + Drop::ALL.len();

/// Where each counter is: frames received and sent by kind, then drops by reason.
#[expect(clippy::cast_possible_truncation, reason = "there are fewer than 256")]
const PLACES: [u8; COUNTS] = {
    let hot = [
        RECEIVED + Kind::Query.index(),
        SENT + Kind::Query.index(),
        DROPPED + Drop::Duplicate as usize,
        DROPPED + Drop::TtlSpent as usize,
        RECEIVED + Kind::QueryHit.index(),
        SENT + Kind::QueryHit.index(),
    ];
    let mut places = [u8::MAX; COUNTS];
    let mut next = 0;
    while next < hot.len() {
        places[hot[next]] = next as u8;
        next += 1;
    }
    let mut at = 0;
    while at < COUNTS {
        if places[at] == u8::MAX {
            places[at] = next as u8;
            next += 1;
        }
        at += 1;
    }
    places
};

const RECEIVED: usize = 0;
const SENT: usize = Kind::COUNT;
const DROPPED: usize = 2 * Kind::COUNT;

impl Default for Stats {
    fn default() -> Self {
        Self {
            counts: Counts([0; COUNTS]),
        }
    }
}

impl Stats {
    fn count(&mut self, which: usize) -> &mut u64 {
        &mut self.counts.0[usize::from(PLACES[which])]
    }

    /// Counts a received frame.
    pub fn count_received(&mut self, kind: Kind) {
        *self.count(RECEIVED + kind.index()) += 1;
    }

    /// Counts `links` copies of a frame given to the shell.
    pub fn count_sent(&mut self, kind: Kind, links: usize) {
        *self.count(SENT + kind.index()) += links as u64;
    }

    /// Counts a dropped frame.
    pub fn count_drop(&mut self, reason: Drop) {
        *self.count(DROPPED + reason as usize) += 1;
    }

    /// Counts `frames` dropped for one reason.
    pub fn count_drops(&mut self, reason: Drop, frames: u64) {
        *self.count(DROPPED + reason as usize) += frames;
    }

    /// Reads the counters that nearly every query moves; see [`Node::look`](super::Node::look).
    pub(super) fn look(&self) -> usize {
        usize::try_from(self.received(Kind::Query) & 0xFFFF).unwrap_or(0)
    }

    /// Frames of a kind received.
    pub fn received(&self, kind: Kind) -> u64 {
        self.counts.0[usize::from(PLACES[RECEIVED + kind.index()])]
    }

    /// Frames of a kind given to the shell, one for each link.
    pub fn sent(&self, kind: Kind) -> u64 {
        self.counts.0[usize::from(PLACES[SENT + kind.index()])]
    }

    /// Frames dropped for a reason.
    pub fn dropped(&self, reason: Drop) -> u64 {
        self.counts.0[usize::from(PLACES[DROPPED + reason as usize])]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_has_a_place_of_its_own() {
        let mut stats = Stats::default();
        for (at, kind) in (1..).zip(Kind::ALL) {
            (0..at).for_each(|_| stats.count_received(kind));
            stats.count_sent(kind, 100 + at);
        }
        for (at, reason) in (1..).zip(Drop::ALL) {
            stats.count_drops(*reason, 1000 + at);
        }
        for (at, kind) in (1..).zip(Kind::ALL) {
            assert_eq!((stats.received(kind), stats.sent(kind)), (at, 100 + at));
        }
        for (at, reason) in (1..).zip(Drop::ALL) {
            assert_eq!(stats.dropped(*reason), 1000 + at);
        }
    }
}
