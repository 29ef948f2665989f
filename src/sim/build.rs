//! From a network to a world: all nodes, and all links up.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;

use rand::Rng;
use rand::rngs::ChaCha8Rng;

use crate::node::address::Net;
use crate::node::event::{Direction, Peer, Role};
use crate::node::library::Library;
use crate::node::strategy::Forward;
use crate::node::{Config, Event, LinkId, Node, Outbox, Time, limits};
use crate::topology::{Network, TopologyError, dice};
use crate::wire::ServentId;

use super::calendar::Calendar;
use super::check::Checks;
use super::frames::Frames;
use super::line::Lines;
use super::meter::Meter;
use super::trace::{Sink, Trace};
use super::{Totals, World, run};

/// Port every simulated node says it listens at.
const PORT: u16 = 6346;
/// Randomness of the nodes: this purpose and the number of the node.
const NODE_PURPOSE: u64 = 3 << 32;

/// What a world is made with besides its network.
#[derive(Default)]
pub struct Setting {
    /// Files of nodes that share any.
    pub libraries: BTreeMap<u32, Arc<Library>>,
    /// Where the lines of the trace go.
    pub trace: Option<Sink>,
    /// Check the invariants after every event. Slow; keeps notes on every id.
    pub check: bool,
    /// How all nodes pass floods on.
    pub forward: Forward,
}

impl World {
    /// Builds all nodes and links. Links are up at once: greetings are not simulated.
    ///
    /// # Errors
    /// What the file asks for and the simulator cannot do.
    pub fn new(network: &Network, setting: Setting) -> Result<Self, TopologyError> {
        run::check_supported(network)?;
        let graph = network.graph();
        let count = graph.nodes();
        let lines = Lines::new(network);
        let mut configs = BTreeMap::new();
        let mut nodes = Vec::with_capacity(count);
        // Most nodes share nothing: one empty library does for all of them.
        let empty = Arc::new(Library::default());
        let mut out = Outbox::new();
        for at in 0..u32::try_from(count).expect("nodes are counted in 32 bits") {
            let seen = network
                .seen_cache(at)
                .and_then(NonZeroUsize::new)
                .unwrap_or(limits::SEEN_CACHE);
            let role = network.roles.of(at);
            let config = Arc::clone(
                configs
                    .entry((seen, role == Some(Role::Leaf)))
                    .or_insert_with(|| Arc::new(config(network, seen, role, setting.forward))),
            );
            let mut rng = node_rng(network.seed, at);
            let servent = servent(&mut rng);
            let mut node = Node::new(config, servent, rng);
            let library = setting.libraries.get(&at).unwrap_or(&empty);
            node.handle(Time::ZERO, Event::Library(Arc::clone(library)), &mut out);
            if role.is_some() {
                // Everybody can be connected to here; else two leaves would not answer each other.
                node.handle(Time::ZERO, Event::Reached, &mut out);
            }
            nodes.push(node);
        }
        let mut world = Self {
            now: 0,
            names: network.names.clone(),
            calendar: Calendar::new(lines.span_ns()),
            frames: Frames::default(),
            meter: Meter::new(count),
            checks: setting.check.then(|| Box::new(Checks::new(network))),
            trace: Trace::new(setting.trace),
            graph,
            nodes,
            lines,
            out,
            closed: BTreeSet::new(),
            alarms: BTreeMap::new(),
            askers: Vec::new(),
            totals: Totals::default(),
            in_flight: 0,
            warmed: 0,
            byes: 0,
            called_back: Vec::new(),
            datagram_ns: network.traits[0].delay_ns,
        };
        world.link_up(network, setting.forward);
        // Nodes that build a tree tell each other.
        world.run_until_quiet(u64::MAX);
        Ok(world)
    }

    /// Brings all links up, in the order of the file.
    fn link_up(&mut self, network: &Network, forward: Forward) {
        let mut next = vec![0_u32; self.nodes.len()];
        let ext_probes = network.ext_probes();
        let degrees = network.ultrapeer_links();
        for edge in &network.edges {
            for (node, other, direction) in [
                (edge.a, edge.b, Direction::Dialled(addr(edge.b))),
                (edge.b, edge.a, Direction::Accepted),
            ] {
                let link = LinkId(next[node as usize]);
                next[node as usize] += 1;
                let flat = Peer {
                    listen: Some(addr(other)),
                    servent: Some(self.nodes[other as usize].id()),
                    agent: Box::default(),
                    degree: u16::try_from(self.graph.degree(other)).unwrap_or(u16::MAX),
                    vendor_messages: matches!(forward, Forward::Light(_)),
                    max_ttl: u8::MAX,
                    ext_probes,
                    bye: true,
                    ..Peer::bare(direction, addr(other), addr(node).ip())
                };
                let peer = Box::new(match network.roles.of(other) {
                    None => flat,
                    Some(role) => in_tiers(flat, role, degrees[other as usize]),
                });
                self.hand(node, Event::LinkUp(link, peer));
            }
        }
    }
}

/// What a node of two tiers says in its greeting besides.
fn in_tiers(flat: Peer, role: Role, degree: usize) -> Peer {
    Peer {
        role,
        max_ttl: limits::LIVE_TTL_MAX,
        degree: u16::try_from(degree).unwrap_or(u16::MAX),
        query_routing: role == Role::Ultrapeer,
        ultrapeer_query_routing: role == Role::Ultrapeer,
        dynamic_querying: role == Role::Ultrapeer,
        vendor_messages: true,
        ..flat
    }
}

/// Settings of a node in the lab: pure routing, no limits but those of the file, and in two tiers that of hops.
fn config(
    network: &Network,
    seen_cache: NonZeroUsize,
    role: Option<Role>,
    forward: Forward,
) -> Config {
    let tiers = role.map(|role| Config {
        net: Net::Rehearsal,
        max_leaves: usize::MAX,
        ..Config::live(role)
    });
    let ttl_max = if tiers.is_some() {
        limits::LIVE_TTL_MAX
    } else {
        u8::MAX
    };
    Config {
        forward,
        datagrams: tiers.is_none(),
        listen: Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT)),
        name: String::new(),
        keep: Vec::new(),
        min_links: 0,
        max_links: usize::MAX,
        ttl: network.defaults.ttl.unwrap_or(limits::TTL),
        ttl_max,
        seen_cache,
        ext_probes: network.ext_probes(),
        limit_search: None,
        keepalive: false,
        ..tiers.unwrap_or_default()
    }
}

fn node_rng(seed: u64, node: u32) -> ChaCha8Rng {
    dice::seeded(seed, NODE_PURPOSE + u64::from(node))
}

fn servent(rng: &mut ChaCha8Rng) -> ServentId {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    ServentId::from_random(bytes)
}

/// The node of an address made by [`addr`].
pub(super) fn node_at(addr: SocketAddr) -> Option<u32> {
    let IpAddr::V4(ip) = addr.ip() else {
        return None;
    };
    let [ten, b, c, d] = ip.octets();
    (ten == 10).then(|| u32::from_be_bytes([0, b, c, d]))
}

/// The address of a simulated node: its number in 10.0.0.0/8.
pub(super) fn addr(node: u32) -> SocketAddr {
    let [_, b, c, d] = node.to_be_bytes();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, b, c, d)), PORT)
}
