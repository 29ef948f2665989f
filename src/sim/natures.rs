//! Nodes that are not as they should be: slow ones, silent ones, liars. The core of all of them is the same; what they do
//! otherwise is done around it.

use bytes::Bytes;

use crate::node::LinkId;
use crate::topology::{Behaviour, Network};
use crate::wire::hit::{QueryHit, Record};
use crate::wire::query::Query;
use crate::wire::{Frame, Header, Kind};

use super::build::addr;
use super::map::Map;
use super::shard::Shard;

/// Work that may wait for a node with a capacity: what comes when more waits is dropped. Our choice: longer than a
/// neighbour waits gladly, and as much as the memory of a small machine.
const WAITING_NS: u64 = 1_000_000_000;
/// Nanoseconds in a second.
const SECOND_NS: u64 = 1_000_000_000;
/// Hops that a false hit may travel beyond those of its query, as those of the core.
const HIT_TTL_MORE: u8 = 5;

/// What becomes of a frame that arrives at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is handled at once.
    Now,
    /// It is handled then.
    At(u64),
    /// Too much waits already.
    Never,
}

/// The natures of the nodes of a shard.
#[derive(Debug, Default)]
pub(super) struct Natures {
    /// Empty when all behave.
    behaviours: Vec<Option<Behaviour>>,
    /// Time that a node needs for a frame, 0 for none; empty when all need none.
    service_ns: Vec<u64>,
    /// Until when each node has something to do.
    busy_until_ns: Vec<u64>,
}

impl Natures {
    /// Those of these nodes.
    pub(super) fn new(network: &Network, nodes: std::ops::Range<u32>) -> Self {
        let count = nodes.len();
        let behaves = network.misbehaving().is_empty();
        let any = !network.has_capacities();
        let service = |node| {
            let per_s = network.capacity(node);
            per_s.map_or(0, |per_s| SECOND_NS / u64::from(per_s))
        };
        Self {
            behaviours: if behaves {
                Vec::new()
            } else {
                nodes.clone().map(|node| network.behaviour(node)).collect()
            },
            service_ns: if any {
                Vec::new()
            } else {
                nodes.map(service).collect()
            },
            busy_until_ns: vec![0; if any { 0 } else { count }],
        }
    }

    /// How the node at this place behaves, when not as it should.
    pub(super) fn of(&self, place: usize) -> Option<Behaviour> {
        self.behaviours.get(place).copied().flatten()
    }

    /// A frame arrives at the node at this place.
    pub(super) fn takes(&mut self, place: usize, now_ns: u64) -> Taken {
        let service_ns = self.service_ns.get(place).copied().unwrap_or(0);
        if service_ns == 0 {
            return Taken::Now;
        }
        let busy_until_ns = &mut self.busy_until_ns[place];
        let begun = now_ns.max(*busy_until_ns);
        if begun - now_ns > WAITING_NS {
            return Taken::Never;
        }
        *busy_until_ns = begun.saturating_add(service_ns);
        Taken::At(*busy_until_ns)
    }

    /// The node at this place begins anew.
    pub(super) fn begins(&mut self, place: usize) {
        if let Some(busy_until_ns) = self.busy_until_ns.get_mut(place) {
            *busy_until_ns = 0;
        }
    }
}

/// Whether a silent node keeps this to itself: all that it has only heard.
pub(super) fn is_of_others(frame: &Frame) -> bool {
    frame.header.hops > 0
}

impl Shard {
    /// What a liar will answer to what it is about to get; `None`: nothing, or it is none.
    pub(super) fn lie(&self, map: &Map, node: u32, link: LinkId, frame: &Frame) -> Option<Lie> {
        let place = self.at(node);
        let lies = self.natures.of(place) == Some(Behaviour::Junk);
        if !lies || frame.header.kind != Kind::Query {
            return None;
        }
        if self.node(node).trace(&frame.header.guid).is_some() {
            // It has answered that.
            return None;
        }
        let query = Query::parse(&frame.payload).ok()?;
        let record = Record {
            size: 1,
            name: format!("{}.exe", query.text),
            ..Record::default()
        };
        let servent = self.node(node).id();
        let hit = QueryHit::new(addr(node), servent, vec![record]);
        debug_assert!(map.liars.contains(&servent), "all liars are known");
        let header = Header {
            guid: frame.header.guid,
            kind: Kind::QueryHit,
            ttl: frame.header.hops.saturating_add(HIT_TTL_MORE),
            hops: 0,
        };
        Some(Lie {
            link,
            frame: Frame {
                header,
                payload: Bytes::from(hit.build()),
            },
        })
    }
}

/// A false hit, and the link it goes out on.
#[derive(Debug)]
pub(super) struct Lie {
    pub(super) link: LinkId,
    pub(super) frame: Frame,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::parse;

    #[test]
    fn a_slow_node_takes_one_after_the_other_and_drops_what_would_wait_too_long() {
        let text = r#"{"filbert": "topology/1", "generate": [{"kind": "ring", "n": 3}],
            "nodes": [{"id": "n1", "capacity": "4/s"}]}"#;
        let network = Network::new(&parse(text).unwrap()).unwrap();
        let mut natures = Natures::new(&network, 0..3);
        assert_eq!(natures.takes(0, 7), Taken::Now);
        let quarter = SECOND_NS / 4;
        for taken in 1..=5 {
            assert_eq!(natures.takes(1, 0), Taken::At(taken * quarter));
        }
        assert_eq!(natures.takes(1, 0), Taken::Never);
        assert_eq!(
            natures.takes(1, quarter),
            Taken::At(6 * quarter),
            "there is room again"
        );
        assert_eq!(
            natures.takes(1, 9 * SECOND_NS),
            Taken::At(9 * SECOND_NS + quarter)
        );
        natures.begins(1);
        assert_eq!(natures.takes(1, 0), Taken::At(quarter));
    }
}
