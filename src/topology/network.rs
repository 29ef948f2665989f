//! What a topology file means: every shape drawn, every name resolved, every link checked.

use std::collections::BTreeMap;

use super::events::Step;
use super::names::Names;
use super::natures::{self, Natures, Shares};
use super::types::{Asker, Content, Defaults, LinkTraits, NodeSpec, Search, Topology, Workload};
use super::{Graph, LINKS_MAX, Links, NODES_MAX, Roles, TopologyError, dice};
use crate::node::event::Role;

/// Delay of a link that says nothing: a domestic line. Our choice; only ratios matter to a flood.
const DELAY_NS: u64 = 10_000_000;

/// A link between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The node that dials.
    pub a: u32,
    /// The node that is dialled.
    pub b: u32,
    /// Position in [`Network::traits`].
    pub traits: u32,
}

/// What a link does to frames, all said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Traits {
    /// Time each frame takes, in nanoseconds.
    pub delay_ns: u64,
    /// The file says so; else it is a guess, which real links do not need.
    pub delay_said: bool,
    /// Up to so much longer, drawn for each frame.
    pub jitter_ns: u64,
    /// Chance that a frame is lost.
    pub drop: f64,
    /// Bytes a second each way.
    pub rate: Option<u64>,
}

impl Traits {
    /// The same with what `to` says; a rate of 0: none.
    #[must_use]
    pub fn changed(self, to: &LinkTraits) -> Self {
        Self {
            delay_ns: to.delay.map_or(self.delay_ns, nanos),
            delay_said: self.delay_said || to.delay.is_some(),
            jitter_ns: to.jitter.map_or(self.jitter_ns, nanos),
            drop: to.drop.unwrap_or(self.drop),
            rate: to.rate.or(self.rate).filter(|rate| *rate > 0),
        }
    }
}

/// A network, ready to be run by an engine.
#[derive(Clone, Debug)]
pub struct Network {
    /// Name for reports.
    pub name: String,
    /// What it is made of, for the first line of a report.
    pub describe: String,
    /// What every random choice of a run is drawn from.
    pub seed: u64,
    /// Ids of the nodes.
    pub names: Names,
    /// The links.
    pub edges: Vec<Edge>,
    /// The different kinds of links; the first is what the defaults say.
    pub traits: Vec<Traits>,
    /// Who is a leaf and who an ultrapeer.
    pub roles: Roles,
    /// Values for all nodes that say nothing else.
    pub defaults: Defaults,
    /// The nodes that say something.
    pub nodes: BTreeMap<u32, NodeSpec>,
    /// Files to spread.
    pub content: Option<Content>,
    /// Queries to draw.
    pub workload: Option<Workload>,
    /// Searches with what they must find.
    pub searches: Vec<Search>,
    /// What happens at which time.
    pub events: Vec<Step>,
    /// What the natures of nodes are drawn from.
    pub(crate) shares: Shares,
    /// How nodes behave, and how much they can handle.
    pub(crate) natures: Natures,
}

/// Purpose of the randomness that draws shapes; the number of the shape in the file is added.
const DRAW_PURPOSE: u64 = 1 << 32;

impl Network {
    /// Draws and resolves a topology.
    ///
    /// # Errors
    /// Names that are double or unknown, links that are double or lead to their own node, more links than a node
    /// may have, and bounds of the whole.
    pub fn new(topology: &Topology) -> Result<Self, TopologyError> {
        let mut names = Names::default();
        let mut edges = draw(topology, &mut names)?;
        let nodes = name_nodes(topology, &mut names)?;
        let mut traits = vec![resolve(&LinkTraits::default(), &topology.defaults.link)];
        for (position, link) in topology.links.iter().enumerate() {
            let path = || format!("links[{position}]");
            let end = |name: &str| find(&names, name, path());
            let (a, b) = (end(&link.from)?, end(&link.to)?);
            if a == b {
                return Err(TopologyError::new(
                    path(),
                    format!("links {:?} to itself", link.from),
                ));
            }
            let wanted = resolve(&link.traits, &topology.defaults.link);
            let known = traits
                .iter()
                .rev()
                .take(16)
                .position(|known| *known == wanted)
                .map(|back| traits.len() - 1 - back);
            let at = known.unwrap_or_else(|| {
                traits.push(wanted);
                traits.len() - 1
            });
            edges.push(Edge {
                a,
                b,
                traits: u32::try_from(at).expect("no more kinds than links"),
            });
        }
        if names.len() > NODES_MAX || edges.len() > LINKS_MAX {
            return Err(TopologyError::new(
                "",
                format!("more than {NODES_MAX} nodes or {LINKS_MAX} links"),
            ));
        }
        if names.is_empty() {
            return Err(TopologyError::new(
                "",
                "has no nodes; add \"generate\" or \"nodes\"",
            ));
        }
        let roles = Roles::new(topology, &names, &nodes)?;
        roles.check_links(&edges, &names)?;
        natures::check(topology)?;
        let shares = Shares::of(topology);
        let specs = nodes.iter().map(|(node, spec)| (*node, spec));
        let network = Self {
            natures: shares.draw(topology.seed, names.len(), specs),
            shares,
            roles,
            name: topology.name.clone(),
            describe: describe(topology),
            seed: topology.seed,
            names,
            edges,
            traits,
            defaults: topology.defaults.clone(),
            nodes,
            content: topology.content.clone(),
            workload: topology.workload.clone(),
            searches: topology.searches.clone(),
            events: topology.events.clone(),
        };
        network.check_links(topology)?;
        network.check_names()?;
        Ok(network)
    }

    /// The largest connected piece, its nodes numbered anew in the same order, without names, files and events of
    /// single nodes: for graphs that were drawn.
    pub fn largest_piece(&self) -> Self {
        let links = Links {
            nodes: u32::try_from(self.names.len()).expect("nodes are counted in 32 bits"),
            pairs: self.edges.iter().map(|edge| (edge.a, edge.b)).collect(),
        };
        let largest = links.largest();
        let mut names = Names::default();
        names.add_run("n", largest.nodes);
        let mut edges = Vec::with_capacity(largest.pairs.len());
        add(&mut edges, 0, largest.pairs.iter().copied());
        Self {
            natures: self.shares.draw(self.seed, names.len(), std::iter::empty()),
            names,
            edges,
            nodes: BTreeMap::new(),
            searches: Vec::new(),
            events: Vec::new(),
            ..self.clone()
        }
    }

    /// The links as a packed graph.
    pub fn graph(&self) -> Graph {
        Graph::new(self.names.len(), &self.edges)
    }

    /// Links a node accepts; `None`: any number.
    pub fn max_peers(&self, node: u32) -> Option<usize> {
        self.nodes
            .get(&node)
            .and_then(|spec| spec.max_peers)
            .or(self.defaults.max_peers)
    }

    /// Message ids a node remembers; `None`: the program's default.
    pub fn seen_cache(&self, node: u32) -> Option<usize> {
        self.nodes
            .get(&node)
            .and_then(|spec| spec.seen_cache)
            .or(self.defaults.seen_cache)
    }

    /// Whether a repeat of an id with a higher TTL passes again: as the file says, else in two tiers as on the live
    /// network, where dynamic queries need it.
    pub fn ext_probes(&self) -> bool {
        let usual = self.roles.are_two_tiers();
        self.defaults.ext_probes.unwrap_or(usual)
    }

    /// Links to ultrapeers of each node of two tiers that it says it aims at (`X-Degree`): `max_peers`, or those it
    /// has.
    pub fn ultrapeer_links(&self) -> Vec<usize> {
        if !self.roles.are_two_tiers() {
            return Vec::new();
        }
        let mut degrees = vec![0_usize; self.names.len()];
        for edge in &self.edges {
            for (node, other) in [(edge.a, edge.b), (edge.b, edge.a)] {
                degrees[node as usize] +=
                    usize::from(self.roles.of(other) == Some(Role::Ultrapeer));
            }
        }
        (0..)
            .zip(degrees)
            .map(|(node, degree)| self.max_peers(node).unwrap_or(degree))
            .collect()
    }

    /// The same network with every node and link named one by one, whatever it was drawn from.
    pub fn spelled_out(&self, topology: &Topology) -> Topology {
        let mut spelled = Topology {
            generate: Vec::new(),
            import: Vec::new(),
            links: Vec::new(),
            ..topology.clone()
        };
        spelled.nodes = (0..u32::try_from(self.names.len()).expect("at most NODES_MAX"))
            .map(|node| {
                let mut spec = self.nodes.get(&node).cloned().unwrap_or_default();
                spec.id = self.names.name(node).into_owned();
                spec.role = self.roles.of(node);
                spec
            })
            .collect();
        let drawn = self.edges.len() - topology.links.len();
        let name = |node: u32| self.names.name(node).into_owned();
        let link = |edge: &Edge| super::Link {
            from: name(edge.a),
            to: name(edge.b),
            traits: LinkTraits::default(),
        };
        spelled.links = self.edges[..drawn]
            .iter()
            .map(link)
            .chain(topology.links.iter().cloned())
            .collect();
        spelled
    }

    /// No two links between the same nodes, and no more at a node than it may have.
    fn check_links(&self, topology: &Topology) -> Result<(), TopologyError> {
        if !topology.links.is_empty() {
            let key = |edge: &Edge| (edge.a.min(edge.b), edge.a.max(edge.b));
            let mut order: Vec<usize> = (0..self.edges.len()).collect();
            order.sort_by_key(|&at| key(&self.edges[at]));
            if let Some(pair) = order
                .windows(2)
                .find(|pair| key(&self.edges[pair[0]]) == key(&self.edges[pair[1]]))
            {
                let edge = &self.edges[pair[1]];
                let drawn = self.edges.len() - topology.links.len();
                let message = format!(
                    "{} and {} are linked already",
                    self.names.name(edge.a),
                    self.names.name(edge.b)
                );
                return Err(TopologyError::new(
                    format!("links[{}]", pair[1].saturating_sub(drawn)),
                    message,
                ));
            }
        }
        if self.defaults.max_peers.is_none()
            && self.nodes.values().all(|spec| spec.max_peers.is_none())
        {
            return Ok(());
        }
        let mut degrees = vec![0_usize; self.names.len()];
        for edge in &self.edges {
            degrees[edge.a as usize] += 1;
            degrees[edge.b as usize] += 1;
        }
        for (node, degree) in (0..).zip(degrees) {
            if let Some(max) = self.max_peers(node).filter(|max| degree > *max) {
                let message = format!(
                    "{} has {degree} links but max_peers {max}; raise one or remove links",
                    self.names.name(node)
                );
                return Err(TopologyError::new("", message));
            }
        }
        Ok(())
    }

    /// Every name used in searches, workload and events is one.
    fn check_names(&self) -> Result<(), TopologyError> {
        let known = |name: &str, path: String| find(&self.names, name, path).map(|_| ());
        let asks = |search: &Search, path: String| match &search.from {
            Asker::Each => Ok(()),
            Asker::Node(name) => known(name, path),
        };
        for (position, search) in self.searches.iter().enumerate() {
            asks(search, format!("searches[{position}].from"))?;
        }
        if let Some(name) = self
            .workload
            .as_ref()
            .and_then(|workload| workload.from.as_ref())
        {
            known(name, "workload.from".to_owned())?;
        }
        for (position, step) in self.events.iter().enumerate() {
            step.act
                .check(self, |key| format!("events[{position}].{key}"))?;
        }
        Ok(())
    }
}

/// The node of that name, or an error that guesses what was meant.
pub(super) fn find(names: &Names, name: &str, path: String) -> Result<u32, TopologyError> {
    names.find(name).ok_or_else(|| {
        let message = match names.nearest(name) {
            Some(near) => format!("there is no node {name:?}; did you mean {near:?}?"),
            None => format!("there is no node {name:?}; add it to \"nodes\""),
        };
        TopologyError::new(path, message)
    })
}

fn draw(topology: &Topology, names: &mut Names) -> Result<Vec<Edge>, TopologyError> {
    let mut edges = Vec::new();
    let mut prefixes = Vec::new();
    for (position, generate) in topology.generate.iter().enumerate() {
        let count = generate.shape.nodes().expect("checked when it was read");
        let run = Run {
            path: format!("generate[{position}]"),
            prefix: &generate.prefix,
            count,
        };
        let first = run.named(names, &mut prefixes)?;
        let mut rng = dice::seeded(topology.seed, DRAW_PURPOSE + position as u64);
        add(&mut edges, first, generate.shape.draw(&mut rng));
    }
    for (position, import) in topology.import.iter().enumerate() {
        let path = format!("import[{position}]");
        let Some(links) = &import.links else {
            let message = format!("{:?} was not read", import.file);
            return Err(TopologyError::new(path, message));
        };
        let run = Run {
            path,
            prefix: &import.prefix,
            count: links.nodes,
        };
        let first = run.named(names, &mut prefixes)?;
        add(&mut edges, first, links.pairs.iter().copied());
    }
    Ok(edges)
}

fn add(edges: &mut Vec<Edge>, first: u32, links: impl IntoIterator<Item = (u32, u32)>) {
    edges.extend(links.into_iter().map(|(a, b)| Edge {
        a: first + a,
        b: first + b,
        traits: 0,
    }));
}

/// Nodes that get a prefix and a number from 0.
struct Run<'a> {
    path: String,
    prefix: &'a str,
    count: u32,
}

impl<'a> Run<'a> {
    /// Names them, and returns the number of the first.
    fn named(self, names: &mut Names, prefixes: &mut Vec<&'a str>) -> Result<u32, TopologyError> {
        // Ids of two runs clash when one prefix is the other, or the other and digits: every run has node 0.
        let clash = prefixes.iter().any(|earlier| {
            let (long, short) = if earlier.len() > self.prefix.len() {
                (*earlier, self.prefix)
            } else {
                (self.prefix, *earlier)
            };
            long.strip_prefix(short)
                .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
        });
        if clash {
            let message = format!(
                "the prefix {:?} makes ids that are there already; choose another",
                self.prefix
            );
            return Err(TopologyError::new(self.path, message));
        }
        if names.len() + self.count as usize > NODES_MAX {
            let message = format!("makes more than {NODES_MAX} nodes");
            return Err(TopologyError::new(self.path, message));
        }
        prefixes.push(self.prefix);
        Ok(names.add_run(self.prefix, self.count))
    }
}

fn name_nodes(
    topology: &Topology,
    names: &mut Names,
) -> Result<BTreeMap<u32, NodeSpec>, TopologyError> {
    let mut nodes = BTreeMap::new();
    for (position, spec) in topology.nodes.iter().enumerate() {
        let node = names.find(&spec.id).unwrap_or_else(|| names.add(&spec.id));
        if nodes.insert(node, spec.clone()).is_some() {
            let message = format!("{:?} is described twice; put both into one", spec.id);
            return Err(TopologyError::new(format!("nodes[{position}].id"), message));
        }
    }
    Ok(nodes)
}

fn resolve(own: &LinkTraits, default: &LinkTraits) -> Traits {
    let unsaid = Traits {
        delay_ns: DELAY_NS,
        delay_said: false,
        jitter_ns: 0,
        drop: 0.0,
        rate: None,
    };
    unsaid.changed(default).changed(own)
}

/// A span of time in nanoseconds.
fn nanos(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

fn describe(topology: &Topology) -> String {
    match (topology.generate.as_slice(), topology.links.is_empty()) {
        ([one], true) => one.shape.to_string(),
        _ if topology.name.is_empty() => "unnamed".to_owned(),
        _ => topology.name.clone(),
    }
}
