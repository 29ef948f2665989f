//! What happens to nodes, and its order among all that happens at the same time.

use std::net::SocketAddr;

use crate::wire::Frame;

use super::calendar::Placed;
use super::frames::Stored;
use super::greet::Call;

/// What happens to a node. Kept small: a flood of a million nodes has millions of them waiting.
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

impl Placed for Happening {
    /// Node, then what it is, then which link it is on or who sent it. Of one node, at one time, from one sender over
    /// one link the order is that in which they were sent. All of this is known at the node alone: whoever simulates
    /// it, and beside whom, its order is the same.
    fn place(&self) -> u64 {
        let (node, class, from) = match self {
            // What comes over a new link comes after its greeting.
            Self::Greets { node, call } => (*node, 0, call.other(*node)),
            // What was said before a link was closed comes before its end.
            Self::Arrival { to, link, .. } => (*to, 1, *link),
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

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(size_of::<Happening>() <= 16, "millions wait");
    }
}
