//! What happens to nodes, and its order among all that happens at the same time.

use std::net::SocketAddr;

use crate::wire::Frame;

use super::frames::Stored;
use super::greet::Call;

/// What happens to a node.
#[derive(Debug)]
pub(super) enum Happening {
    /// A frame arrives on a link.
    Arrival { to: u32, link: u32, frame: Stored },
    /// A node that needs time for each has come to this frame.
    Served { to: u32, link: u32, frame: Stored },
    /// A datagram of a node arrives.
    Datagram { to: u32, sent: Box<(u32, Frame)> },
    /// The other end of a link closed it.
    Gone { node: u32, link: u32 },
    /// A dial of this life of a node came to nothing.
    NoAnswer {
        node: u32,
        dialled: Box<(SocketAddr, u32)>,
    },
    /// A greeting takes its next step.
    Greets { node: u32, call: Box<Call> },
    /// A link with a rate can send again.
    Ready { node: u32, link: u32 },
    /// The send queue of a link went over its high mark, or back to its low one.
    Pressed { node: u32, link: u32, over: bool },
    /// An alarm of the node.
    Alarm { node: u32 },
}

/// Bits of a place that say which link or sender: more than a node has links, or a world nodes.
const FROM_BITS: u32 = 28;
/// What it is, in a place, for arrivals.
const ARRIVES: u64 = 1;

impl Happening {
    /// Node, then what it is, then which link it is on or who sent it. Of one node, at one time, from one sender over
    /// one link the order is that in which they were sent. All of this is known at the node alone: whoever simulates
    /// it, and beside whom, its order is the same.
    pub(super) fn place(&self) -> u64 {
        let (node, class, from) = match self {
            // What comes over a new link comes after its greeting.
            Self::Greets { node, call } => (*node, 0, call.other(*node)),
            // What was said before a link was closed comes before its end.
            Self::Arrival { to, link, .. } => (*to, ARRIVES, *link),
            Self::Datagram { to, sent } => (*to, 2, sent.0),
            Self::Gone { node, link } => (*node, 3, *link),
            Self::NoAnswer { node, .. } => (*node, 4, 0),
            Self::Ready { node, link } => (*node, 5, *link),
            Self::Pressed { node, link, .. } => (*node, 6, *link),
            // What arrives in time is in time.
            Self::Alarm { node } => (*node, 7, 0),
            Self::Served { to, link, .. } => (*to, 8, *link),
        };
        debug_assert!(from < 1 << FROM_BITS, "links and nodes are fewer");
        u64::from(node) << 32 | class << FROM_BITS | u64::from(from)
    }
}

/// The place of an arrival at a link of a node.
pub(super) fn place_of_arrival(to: u32, link: u32) -> u64 {
    u64::from(to) << 32 | ARRIVES << FROM_BITS | u64::from(link)
}

/// Node and link, if this is the place of an arrival.
pub(super) fn arrival_at(place: u64) -> Option<(u32, u32)> {
    let low = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).expect("32 bits");
    let (to, rest) = (low(place >> 32), low(place));
    (rest >> FROM_BITS == low(ARRIVES)).then_some((to, rest & ((1 << FROM_BITS) - 1)))
}

/// All that happens and is no arrival: the calendar holds numbers only.
#[derive(Debug, Default)]
pub(super) struct Others {
    places: Vec<Option<Happening>>,
    free: Vec<u32>,
}

impl Others {
    /// Keeps one until its time has come.
    pub(super) fn keep(&mut self, happening: Happening) -> u32 {
        if let Some(at) = self.free.pop() {
            self.places[at as usize] = Some(happening);
            return at;
        }
        self.places.push(Some(happening));
        u32::try_from(self.places.len() - 1).expect("fewer than 2^32 wait")
    }

    /// Takes it.
    pub(super) fn take(&mut self, at: u32) -> Happening {
        self.free.push(at);
        let happening = self.places[at as usize].take();
        happening.expect("it is taken once, as it was kept")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::frames::Frames;
    use crate::wire::{Guid, Header, Kind};

    #[test]
    fn the_order_is_by_node_then_kind_then_link() {
        let gone = |node, link| Happening::Gone { node, link };
        let ready = |node, link| Happening::Ready { node, link };
        let alarm = |node| Happening::Alarm { node };
        let places = [
            gone(1, 0),
            gone(1, 9),
            ready(1, 0),
            ready(1, 7),
            alarm(1),
            gone(2, 0),
        ]
        .map(|happening| happening.place());
        assert!(places.is_sorted_by(|a, b| a < b), "{places:x?}");
    }

    #[test]
    fn an_arrival_is_read_back_from_its_place() {
        let frame = Frames::default().keep(Frame {
            header: Header {
                guid: Guid([1; 16]),
                kind: Kind::Query,
                ttl: 1,
                hops: 0,
            },
            payload: bytes::Bytes::new(),
        });
        for (to, link) in [(0, 0), (7, 3), (4_000_000, 63), (u32::MAX, (1 << 28) - 1)] {
            let place = place_of_arrival(to, link);
            assert_eq!(arrival_at(place), Some((to, link)));
            let arrival = Happening::Arrival { to, link, frame };
            assert_eq!(arrival.place(), place);
            let gone = Happening::Gone { node: to, link };
            assert_eq!(arrival_at(gone.place()), None);
        }
    }

    #[test]
    fn what_is_no_arrival_is_kept_until_it_is_taken() {
        let mut others = Others::default();
        let one = others.keep(Happening::Alarm { node: 1 });
        let two = others.keep(Happening::Alarm { node: 2 });
        assert!(matches!(others.take(one), Happening::Alarm { node: 1 }));
        let three = others.keep(Happening::Alarm { node: 3 });
        assert_eq!(three, one, "its place is used again");
        assert!(matches!(others.take(two), Happening::Alarm { node: 2 }));
    }
}
