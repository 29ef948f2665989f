//! From a network to a world: all nodes, and all links up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
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
use crate::topology::events::Act;
use crate::topology::{Behaviour, Graph, NODES_MAX, Network, Roles, TopologyError, dice};
use crate::wire::ServentId;

use super::check::Checks;
use super::line::Lines;
use super::map::Map;
use super::natures::Natures;
use super::parallel::{THREADS_MAX, in_order};
use super::shard::Shard;
use super::trace::{Sink, Trace};
use super::{World, run};

/// Port every simulated node says it listens at.
const PORT: u16 = 6346;
/// Randomness of the nodes: this purpose and the number of the node.
const NODE_PURPOSE: u64 = 3 << 32;

/// Sets the seeds of the lives of a node apart: an odd number without pattern, 2^64 divided by the golden ratio.
const LIFE_STEP: u64 = 0x9E37_79B9_7F4A_7C15;

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
    /// Threads to run on, where there is enough to do; 0 is one. What comes out is the same with any number.
    pub threads: usize,
}

/// Why a world runs on one thread only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OneThread {
    /// The lines of its trace are written in the order of all events.
    Trace,
    /// Its invariants are checked after every event.
    Checks,
    /// Some links take no time: what a node does reaches others at once.
    NoDelay,
}

impl OneThread {
    /// What keeps a world of this network to one thread; `None`: nothing does.
    pub fn reason(network: &Network, trace: bool, check: bool) -> Option<Self> {
        let ends_delay = |act: &Act| match act {
            Act::Change { to, .. } => to.delay.is_some_and(|delay| delay.is_zero()),
            _ => false,
        };
        if trace {
            Some(Self::Trace)
        } else if check {
            Some(Self::Checks)
        } else if network.traits.iter().any(|kind| kind.delay_ns == 0)
            || network.events.iter().any(|step| ends_delay(&step.act))
        {
            Some(Self::NoDelay)
        } else {
            None
        }
    }
}

impl fmt::Display for OneThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trace => "a trace is written event by event",
            Self::Checks => "invariants are checked event by event",
            Self::NoDelay => "links without delay leave nothing to do at the same time",
        })
    }
}

impl World {
    /// Builds all nodes and links. Links are up at once: the first greetings are not simulated.
    ///
    /// # Errors
    /// What the file asks for and the simulator cannot do.
    pub fn new(network: &Network, mut setting: Setting) -> Result<Self, TopologyError> {
        run::check_supported(network)?;
        let mut map = Map {
            names: network.names.clone(),
            graph: network.graph(),
            lines: Lines::new(network),
            firsts: vec![0],
            datagram_ns: network.traits[0].delay_ns,
            nursery: Nursery::new(network, &mut setting),
            cut: BTreeSet::new(),
            parted: None,
            liars: BTreeSet::new(),
        };
        let reason = OneThread::reason(network, setting.trace.is_some(), setting.check);
        let one_thread = reason.filter(|_| setting.threads > 1);
        if one_thread.is_none() {
            map.firsts = firsts(&map.graph, setting.threads.clamp(1, THREADS_MAX));
        }
        let numbers: Vec<usize> = (0..map.firsts.len()).collect();
        let ids = in_order(numbers.len(), &numbers, |number| {
            let id = |node| servent(&mut node_rng(network.seed, node, 0));
            map.nodes_of(*number).map(id).collect::<Vec<_>>()
        });
        let ids = ids.concat();
        let lies = |node: &u32| network.behaviour(*node) == Some(Behaviour::Junk);
        map.liars = (0..)
            .zip(&ids)
            .filter(|(node, _)| lies(node))
            .map(|(_, id)| *id)
            .collect();
        let builder = Builder {
            network,
            absent: network.joining(),
            ids: &ids,
        };
        let mut shards = in_order(numbers.len(), &numbers, |number| {
            builder.shard(&map, *number)
        });
        if let [shard] = &mut shards[..] {
            let checks = setting.check.then(|| Box::new(Checks::new(network)));
            shard.watch(Trace::new(setting.trace), checks);
        }
        let mut world = Self {
            now: 0,
            map,
            shards,
            one_thread,
            askers: Vec::new(),
            changes: Vec::new(),
            called_back: Vec::new(),
        };
        // Nodes that build a tree tell each other.
        world.run_until_quiet(u64::MAX);
        Ok(world)
    }
}

/// The first node of each of so many shards, or of fewer, with about the same number of links each.
fn firsts(graph: &Graph, shards: usize) -> Vec<u32> {
    let nodes = u32::try_from(graph.nodes()).expect("nodes are counted in 32 bits");
    let shards = shards.clamp(1, graph.nodes().max(1));
    // A node without links is something to do too.
    let weight = |node: u32| graph.degree(node) + 1;
    let all: usize = (0..nodes).map(weight).sum();
    let (mut firsts, mut sum) = (vec![0], 0);
    for node in 0..nodes {
        if sum * shards >= all * firsts.len() && node > 0 {
            firsts.push(node);
        }
        sum += weight(node);
    }
    firsts
}

/// How all nodes are linked at the start.
struct Builder<'a> {
    network: &'a Network,
    /// Nodes that are not there yet, in rising order.
    absent: Vec<u32>,
    /// Servent ids of all nodes.
    ids: &'a [ServentId],
}

impl Builder<'_> {
    /// A shard, its nodes linked.
    fn shard(&self, map: &Map, number: usize) -> Shard {
        let nodes = map.nodes_of(number);
        let nodes = nodes.map(|at| map.nursery.node(at, 0, None));
        let mut shard = Shard::new(map, number, nodes.collect());
        shard.natures = Natures::new(self.network, map.nodes_of(number));
        for node in map.nodes_of(number) {
            if self.is_absent(node) {
                shard.is_absent(node);
            }
            for (link, half) in (0..).zip(map.graph.links(node)) {
                if self.is_absent(node) || self.is_absent(half.to) {
                    shard.has_no(map, node, link);
                    continue;
                }
                let direction = if self.network.edges[half.edge as usize].a == node {
                    Direction::Dialled(addr(half.to))
                } else {
                    Direction::Accepted
                };
                let other = (half.to, self.ids[half.to as usize]);
                let peer = map.nursery.peer(&map.graph, other, node, direction);
                shard.hand(map, node, Event::LinkUp(LinkId(link), peer));
            }
        }
        shard
    }

    fn is_absent(&self, node: u32) -> bool {
        self.absent.binary_search(&node).is_ok()
    }
}

/// All that a node is made of, and what it says of itself: for those that come back, too.
#[derive(Debug)]
pub(super) struct Nursery {
    seed: u64,
    configs: BTreeMap<(NonZeroUsize, bool), Arc<Config>>,
    /// Memories for ids that are not the usual one.
    seen: BTreeMap<u32, NonZeroUsize>,
    seen_usual: NonZeroUsize,
    libraries: BTreeMap<u32, Arc<Library>>,
    /// Most nodes share nothing: one empty library does for all of them.
    empty: Arc<Library>,
    roles: Roles,
    /// What nodes of two tiers say of their number of links.
    degrees: Vec<usize>,
    ext_probes: bool,
    forward: Forward,
}

impl Nursery {
    fn new(network: &Network, setting: &mut Setting) -> Self {
        let memory = |seen: Option<usize>| {
            let seen = seen.and_then(NonZeroUsize::new);
            seen.unwrap_or(limits::SEEN_CACHE)
        };
        let seen_usual = memory(network.defaults.seen_cache);
        let own = network.nodes.iter();
        let seen: BTreeMap<u32, NonZeroUsize> = own
            .filter(|(_, spec)| spec.seen_cache.is_some())
            .map(|(node, spec)| (*node, memory(spec.seen_cache)))
            .collect();
        let mut configs = BTreeMap::new();
        for memory in seen.values().copied().chain([seen_usual]) {
            for role in [None, Some(Role::Ultrapeer), Some(Role::Leaf)] {
                if role.is_some() == network.roles.are_two_tiers() {
                    let key = (memory, role == Some(Role::Leaf));
                    let config = config(network, memory, role, setting.forward);
                    configs.insert(key, Arc::new(config));
                }
            }
        }
        Self {
            seed: network.seed,
            configs,
            seen,
            seen_usual,
            libraries: std::mem::take(&mut setting.libraries),
            empty: Arc::new(Library::default()),
            roles: network.roles.clone(),
            degrees: network.ultrapeer_links(),
            ext_probes: network.ext_probes(),
            forward: setting.forward,
        }
    }

    /// A node at the beginning of one of its lives; `servent`: who it was in the one before.
    pub(super) fn node(&self, at: u32, life: u32, servent: Option<ServentId>) -> Node {
        let role = self.roles.of(at);
        let memory = self.seen.get(&at).copied().unwrap_or(self.seen_usual);
        let config = Arc::clone(&self.configs[&(memory, role == Some(Role::Leaf))]);
        let mut rng = node_rng(self.seed, at, life);
        let drawn = self::servent(&mut rng);
        let mut node = Node::new(config, servent.unwrap_or(drawn), rng);
        let library = self.libraries.get(&at).unwrap_or(&self.empty);
        let mut out = Outbox::new();
        node.handle(Time::ZERO, Event::Library(Arc::clone(library)), &mut out);
        if role.is_some() {
            // Everybody can be connected to here; else two leaves would not answer each other.
            node.handle(Time::ZERO, Event::Reached, &mut out);
        }
        node
    }

    /// What `other` says in its greeting to `node`.
    pub(super) fn peer(
        &self,
        graph: &Graph,
        other: (u32, ServentId),
        node: u32,
        direction: Direction,
    ) -> Box<Peer> {
        let (other, servent) = other;
        let flat = Peer {
            listen: Some(addr(other)),
            servent: Some(servent),
            agent: Box::default(),
            degree: u16::try_from(graph.degree(other)).unwrap_or(u16::MAX),
            vendor_messages: matches!(self.forward, Forward::Light(_)),
            max_ttl: u8::MAX,
            ext_probes: self.ext_probes,
            bye: true,
            ..Peer::bare(direction, addr(other), addr(node).ip())
        };
        Box::new(match self.roles.of(other) {
            None => flat,
            Some(role) => in_tiers(flat, role, self.degrees[other as usize]),
        })
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
        max_leaves: NODES_MAX,
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
        max_links: NODES_MAX,
        ttl: network.defaults.ttl.unwrap_or(limits::TTL),
        ttl_max,
        seen_cache,
        ext_probes: network.ext_probes(),
        limit_search: None,
        keepalive: false,
        ..tiers.unwrap_or_default()
    }
}

/// Each life of a node has a source of its own, so that what others do changes nothing about what it draws. The first
/// life has the seed itself.
fn node_rng(seed: u64, node: u32, life: u32) -> ChaCha8Rng {
    let seed = seed ^ u64::from(life).wrapping_mul(LIFE_STEP);
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
