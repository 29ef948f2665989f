//! What the core counts, as plain data for [`control`].

use std::collections::BTreeMap;

use super::link::Link;
use crate::control;
use crate::node::event::{Direction, Role};
use crate::node::greet::Coding;
use crate::node::{Drop, LinkInfo, Node, Stats, Time};
use crate::wire::Kind;

/// What only the core knows of a [`control::Status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) role: Role,
    pub(crate) auto: Option<control::AutoRole>,
    pub(crate) links: usize,
    pub(crate) leaves: usize,
    pub(crate) dialling: usize,
    pub(crate) hosts_known: usize,
    pub(crate) nodes_heard: usize,
    pub(crate) reach: Option<control::Reach>,
}

impl Figures {
    pub(crate) fn of(node: &Node, now: Time) -> Self {
        Self {
            role: node.config().role,
            auto: node.config().auto_role.then(|| control::AutoRole {
                hindrance: node.hindrance(now).map(Into::into),
            }),
            links: node.link_count(),
            leaves: node.leaf_count(),
            dialling: node.dialling(),
            hosts_known: node.known_hosts().len(),
            nodes_heard: node.nodes_heard(now),
            reach: node.config().net.is_two_tier().then(|| control::Reach {
                connections: node.connections_reach(now).into(),
                datagrams: node.datagrams_reach(now).into(),
            }),
        }
    }
}

/// One link for people: as the core has it, and the shell's end of it while there is one.
pub(crate) fn peer(info: &LinkInfo<'_>, link: Option<&Link>, now: Time) -> control::Peer {
    let codings = link.map(|link| link.codings).unwrap_or_default();
    let (queued, shed) = link.map_or((0, 0), Link::totals);
    control::Peer {
        net: control::Net::default(),
        addr: info.peer.remote,
        listen: info.peer.listen,
        agent: info.peer.agent.to_string(),
        servent: info.peer.servent.map(|id| id.to_string()),
        encrypted: info.peer.encrypted,
        compressed_in: codings.from_peer == Coding::Deflated,
        compressed_out: codings.to_peer == Coding::Deflated,
        dialled: matches!(info.peer.direction, Direction::Dialled(_)),
        age_s: now.since(info.since).as_secs(),
        received: info.received,
        dropped: info.dropped,
        queued,
        shed,
    }
}

/// Counters by name; those at zero are left out of no table, so that scripts find each name.
pub(crate) fn counters(stats: &Stats) -> control::Counters {
    let by_kind = |count: &dyn Fn(Kind) -> u64| -> BTreeMap<String, u64> {
        Kind::ALL
            .iter()
            .map(|kind| (kind.name().to_owned(), count(*kind)))
            .collect()
    };
    control::Counters {
        received: by_kind(&|kind| stats.received(kind)),
        sent: by_kind(&|kind| stats.sent(kind)),
        dropped: Drop::ALL
            .iter()
            .map(|reason| (reason.name().to_owned(), stats.dropped(*reason)))
            .collect(),
        ..control::Counters::default()
    }
}
