//! A running network that things are done to: nodes die and come back, links are cut, parted and shaped.
//!
//! Only whoever holds the nodes can do so: `lab run` for itself, the keeper for `lab fault`. A deed is over when the
//! nodes say that it is so, so that what is asked next sees it.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::time::Duration;

use super::ask::{NodeClient, for_all};
use super::children::wait_for_all;
use super::deed::{Change, Deed, Done};
use super::launch::{self, Order, Running, settle};
use super::process::Process;
use super::tiers;
use crate::cli::clock::Stopwatch;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::units::counted;
use crate::control::Shape;
use crate::sim::{Extent, Parted};
use crate::topology::{Edge, Graph, Traits};

/// A million.
const MILLION: f64 = 1_000_000.0;

/// A network, and what has been done to it.
#[derive(Debug)]
pub(in crate::cli::lab) struct Fleet<'a> {
    order: Order<'a>,
    running: Running,
    dead: Vec<bool>,
    links: Vec<LinkState>,
    /// Between whom nothing passes, and since when.
    parted: Option<(Parted, Stopwatch)>,
}

/// A network as it is at a moment.
#[derive(Debug)]
pub(super) struct Now {
    /// Links that are neither cut nor at a dead end.
    pub(super) graph: Graph,
    /// Between whom nothing passes.
    pub(super) parted: Option<Parted>,
    /// No link loses frames or sheds them, but for the partition.
    pub(super) calm: bool,
    /// All links of the graph are sure to be up, and what passes does so both ways.
    pub(super) whole: bool,
}

/// Over a link that nothing passes keep-alives stay without an answer, and nodes close it; not sooner than this
/// (`node::limits`: one every 14 s).
const LINKS_SURE: Duration = Duration::from_secs(10);

/// What has been done to a link.
#[derive(Clone, Copy, Debug)]
struct LinkState {
    edge: Edge,
    shape: Shape,
    cut: bool,
    /// Nothing passes from the end that dials, or from the other.
    blocked: [bool; 2],
}

impl LinkState {
    fn is_parted(&self) -> bool {
        self.blocked != [false; 2]
    }
}

impl<'a> Fleet<'a> {
    /// Takes over a network that is up, and has its links do to frames what the file says.
    ///
    /// # Errors
    /// A node does not answer.
    pub(in crate::cli::lab) fn new(order: Order<'a>, running: Running) -> Result<Self, Failure> {
        let network = order.network;
        let state = |edge: &Edge| LinkState {
            edge: *edge,
            shape: as_the_file_says(&network.traits[edge.traits as usize]),
            cut: false,
            blocked: [false; 2],
        };
        let fleet = Self {
            dead: vec![false; running.nodes.len()],
            links: network.edges.iter().map(state).collect(),
            parted: None,
            order,
            running,
        };
        let shaped: Vec<usize> = (0..fleet.links.len())
            .filter(|at| fleet.links[*at].shape != Shape::default())
            .collect();
        fleet.shape(&shaped)?;
        Ok(fleet)
    }

    /// All nodes.
    pub(in crate::cli::lab) fn running(&self) -> &Running {
        &self.running
    }

    /// The nodes that are dead (or that are not), in rising order.
    pub(super) fn those(&self, dead: bool) -> Vec<u32> {
        let those = (0..).zip(&self.dead).filter(|(_, is)| **is == dead);
        those.map(|(node, _)| node).collect()
    }

    /// The nodes that are up, in rising order, and the same to ask.
    pub(super) fn alive(&self) -> (Vec<u32>, Vec<NodeClient>) {
        let alive = self.those(false);
        let clients = alive.iter().map(|node| self.client(*node).clone());
        let clients = clients.collect();
        (alive, clients)
    }

    /// The network as it is now.
    pub(super) fn now(&self) -> Now {
        let network = self.order.network;
        let there = |link: &&LinkState| !link.cut && self.both_alive(link);
        let calm = |link: &LinkState| link.shape.drop_ppm == 0 && link.shape.rate.is_none();
        let edges: Vec<Edge> = self
            .links
            .iter()
            .filter(there)
            .map(|link| link.edge)
            .collect();
        Now {
            graph: Graph::new(network.names.len(), &edges),
            parted: self.parted.as_ref().map(|(parted, _)| parted.clone()),
            calm: self.links.iter().all(calm),
            whole: self.parted.as_ref().is_none_or(|(parted, since)| {
                matches!(parted, Parted::Groups(_)) && !since.passed(Some(LINKS_SURE))
            }),
        }
    }

    /// How much of the network there is now.
    pub(super) fn extent(&self) -> Extent {
        let Now { graph, parted, .. } = self.now();
        Extent::of(&graph, parted.as_ref(), |node| !self.is_dead(node))
    }

    /// Is this node dead?
    pub(super) fn is_dead(&self, node: u32) -> bool {
        self.dead[node as usize]
    }

    /// Ends all nodes.
    pub(in crate::cli::lab) fn stop(self) -> usize {
        self.running.stop()
    }

    /// Does something to the network, and waits until it is so.
    ///
    /// # Errors
    /// It makes no sense now, or a node does not do its part in time; `interrupted`.
    pub(in crate::cli::lab) fn do_deed(
        &mut self,
        deed: &Deed,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Done, Failure> {
        match deed {
            Deed::Kill { nodes } => self.kill(nodes, interrupted),
            Deed::Leave { nodes } => self.leave(nodes, interrupted),
            Deed::Restart { nodes } => self.restart(nodes, interrupted),
            Deed::Cut { links } => self.cut(links, interrupted),
            Deed::Partition { groups } => self.part(groups),
            Deed::OneWay { from, to } => self.part_one_way(from, to),
            Deed::Heal { changes } => self.heal(*changes, interrupted),
            Deed::Change { links, to } => self.change(links, *to),
            Deed::Churn { .. } | Deed::Calm => Err(Failure::new(
                Exit::Usage,
                "churn is for whoever holds the network",
            )),
        }
    }

    fn name(&self, node: u32) -> String {
        self.order.network.names.name(node).into_owned()
    }

    fn names(&self, nodes: &[u32]) -> Vec<String> {
        nodes.iter().map(|node| self.name(*node)).collect()
    }

    fn client(&self, node: u32) -> &NodeClient {
        &self.running.clients[node as usize]
    }

    fn addr(&self, node: u32) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.running.nodes[node as usize].port))
    }

    fn must_be(&self, nodes: &[u32], dead: bool) -> Result<(), Failure> {
        let wrong = nodes.iter().find(|node| self.is_dead(**node) != dead);
        wrong.map_or(Ok(()), |node| {
            let name = self.name(*node);
            Err(Failure::new(
                Exit::Usage,
                if dead {
                    format!("node {name} is up; `filbert lab fault kill {name}` ends it")
                } else {
                    format!(
                        "node {name} is dead; `filbert lab fault restart {name}` brings it back"
                    )
                },
            ))
        })
    }

    /// Links of these nodes, by number.
    fn links_of(&self, nodes: &[u32]) -> Vec<usize> {
        let touches = |edge: &Edge| nodes.contains(&edge.a) || nodes.contains(&edge.b);
        (0..self.links.len())
            .filter(|at| touches(&self.links[*at].edge))
            .collect()
    }

    fn both_alive(&self, link: &LinkState) -> bool {
        !self.is_dead(link.edge.a) && !self.is_dead(link.edge.b)
    }

    fn kill(&mut self, nodes: &[u32], interrupted: &dyn Fn() -> bool) -> Result<Done, Failure> {
        self.must_be(nodes, false)?;
        for node in nodes {
            self.running.children.kill(*node as usize);
        }
        let links = self.gone(nodes, interrupted)?;
        Ok(Done {
            said: format!("killed {}", some(&self.names(nodes))),
            nodes: self.names(nodes),
            links,
        })
    }

    fn leave(&mut self, nodes: &[u32], interrupted: &dyn Fn() -> bool) -> Result<Done, Failure> {
        self.must_be(nodes, false)?;
        let killed = self.running.children.leave(nodes) as u64;
        let links = self.gone(nodes, interrupted)?;
        let mut said = format!("{} took leave", some(&self.names(nodes)));
        if killed > 0 {
            let _ = write!(said, "; {killed} did not end and had to be killed");
        }
        Ok(Done {
            said,
            nodes: self.names(nodes),
            links,
        })
    }

    /// Remembers that these nodes have ended, and waits until their neighbours know. Returns how many links they had.
    fn gone(&mut self, nodes: &[u32], interrupted: &dyn Fn() -> bool) -> Result<usize, Failure> {
        for node in nodes {
            self.dead[*node as usize] = true;
        }
        let links = self.links_of(nodes);
        let mut gone = Vec::new();
        for at in &links {
            let Edge { a, b, .. } = self.links[*at].edge;
            for (node, other) in [(a, b), (b, a)] {
                if !self.is_dead(node) {
                    gone.push((node, other));
                }
            }
        }
        self.until_linked(&gone, false, interrupted)?;
        Ok(links.len())
    }

    fn restart(&mut self, nodes: &[u32], interrupted: &dyn Fn() -> bool) -> Result<Done, Failure> {
        self.must_be(nodes, true)?;
        let (ready, is_ready) = mpsc::channel();
        let accepted = tiers::links_accepted(self.order.network);
        for node in nodes {
            let (at, name) = (*node as usize, self.name(*node));
            let (dir, port) = (self.order.dir.join(&name), self.running.nodes[at].port);
            let mut command = launch::command(self.order, *node, &dir, port, accepted[at])?;
            let children = &mut self.running.children;
            let pid = children.spawn(&mut command, &name, &dir, at, &ready)?;
            self.running.nodes[at].process = Process::of(pid);
        }
        drop(ready);
        let states = &mut self.running.nodes;
        wait_for_all(&is_ready, nodes.len(), states, self.order.dir, interrupted)?;
        for node in nodes {
            let at = *node as usize;
            self.running.clients[at] = NodeClient::connect(&self.running.nodes[at])?;
            self.dead[at] = false;
            tiers::prove_reach(self.order.network, &self.running.nodes[at..=at])?;
            if launch::shares_anything(self.order, *node) {
                self.client(*node).rescan()?;
            }
        }
        let links = self.links_of(nodes);
        self.shape(&links)?;
        let up = self.link(&links, interrupted)?;
        Ok(Done {
            said: format!(
                "{} up again, with {}",
                some(&self.names(nodes)),
                counted(up as u64, "link", "links")
            ),
            nodes: self.names(nodes),
            links: up,
        })
    }

    fn cut(&mut self, links: &[usize], interrupted: &dyn Fn() -> bool) -> Result<Done, Failure> {
        let mut gone = Vec::new();
        for at in links {
            let link = self.links[*at];
            if link.cut {
                continue;
            }
            self.links[*at].cut = true;
            if !self.both_alive(&link) {
                continue;
            }
            let Edge { a, b, .. } = link.edge;
            // The node that dialled would dial again; an error: it had just lost the link.
            let _ = self.client(a).unlink(self.addr(b));
            gone.extend([(a, b), (b, a)]);
        }
        self.until_linked(&gone, false, interrupted)?;
        let shown: Vec<String> = links.iter().map(|at| self.shown(*at)).collect();
        Ok(Done {
            said: format!("cut {}", some(&shown)),
            nodes: Vec::new(),
            links: links.len(),
        })
    }

    fn part(&mut self, groups: &[Vec<u32>]) -> Result<Done, Failure> {
        let group = |node: u32| groups.iter().position(|group| group.contains(&node));
        let mut blocked = 0;
        for link in &mut self.links {
            link.blocked = [group(link.edge.a) != group(link.edge.b); 2];
            blocked += usize::from(link.is_parted());
        }
        let of = |node: u32| group(node).unwrap_or(groups.len());
        let of = |node: u32| u32::try_from(of(node)).expect("no more groups than nodes");
        let count = u32::try_from(self.dead.len()).expect("nodes are counted in 32 bits");
        self.parted = Some((
            Parted::Groups((0..count).map(of).collect()),
            Stopwatch::start(),
        ));
        let all: Vec<usize> = (0..self.links.len()).collect();
        self.shape(&all)?;
        let mut sizes: Vec<String> = groups.iter().map(|group| group.len().to_string()).collect();
        let rest = self.dead.len() - groups.iter().map(Vec::len).sum::<usize>();
        if rest > 0 {
            sizes.push(rest.to_string());
        }
        Ok(Done {
            said: format!(
                "parted into {} nodes; nothing passes over {}",
                sizes.join(" / "),
                counted(blocked as u64, "link", "links")
            ),
            nodes: Vec::new(),
            links: blocked,
        })
    }

    fn part_one_way(&mut self, from: &[u32], to: &[u32]) -> Result<Done, Failure> {
        let mut blocked = 0;
        for link in &mut self.links {
            let Edge { a, b, .. } = link.edge;
            link.blocked =
                [(a, b), (b, a)].map(|(one, other)| from.contains(&one) && to.contains(&other));
            blocked += usize::from(link.is_parted());
        }
        let within = |nodes: &[u32]| {
            let mut within = vec![false; self.dead.len()];
            nodes.iter().for_each(|node| within[*node as usize] = true);
            within
        };
        let parted = Parted::OneWay {
            from: within(from),
            to: within(to),
        };
        self.parted = Some((parted, Stopwatch::start()));
        let all: Vec<usize> = (0..self.links.len()).collect();
        self.shape(&all)?;
        Ok(Done {
            said: format!(
                "nothing passes from {} to {}, over {}",
                some(&self.names(from)),
                some(&self.names(to)),
                counted(blocked as u64, "link", "links")
            ),
            nodes: Vec::new(),
            links: blocked,
        })
    }

    fn heal(&mut self, changes: bool, interrupted: &dyn Fn() -> bool) -> Result<Done, Failure> {
        self.parted = None;
        let traits = &self.order.network.traits;
        for link in &mut self.links {
            link.cut = false;
            link.blocked = [false; 2];
            if changes {
                link.shape = as_the_file_says(&traits[link.edge.traits as usize]);
            }
        }
        let all: Vec<usize> = (0..self.links.len()).collect();
        self.shape(&all)?;
        let up = self.link(&all, interrupted)?;
        let dead = self.dead.iter().filter(|dead| **dead).count() as u64;
        let mut said = format!("healed; {} up", counted(up as u64, "link is", "links are"));
        if dead > 0 {
            let dead = counted(dead, "node is", "nodes are");
            let _ = write!(said, "; {dead} dead, see `filbert lab fault restart`");
        }
        Ok(Done {
            said,
            nodes: Vec::new(),
            links: up,
        })
    }

    fn change(&mut self, links: &[usize], to: Change) -> Result<Done, Failure> {
        let links = if links.is_empty() {
            (0..self.links.len()).collect()
        } else {
            links.to_vec()
        };
        for at in &links {
            let shape = &mut self.links[*at].shape;
            shape.delay_us = to.delay_us.unwrap_or(shape.delay_us);
            shape.jitter_us = to.jitter_us.unwrap_or(shape.jitter_us);
            shape.drop_ppm = to.drop_ppm.unwrap_or(shape.drop_ppm);
            shape.rate = match to.rate {
                None => shape.rate,
                Some(0) => None,
                rate @ Some(_) => rate,
            };
        }
        self.shape(&links)?;
        let first = self.links.get(links.first().copied().unwrap_or(0));
        let shape = first.map_or_else(String::new, said_of);
        let said = match links.as_slice() {
            [one] => format!("{}: {shape}", self.shown(*one)),
            _ => format!("{} links: {shape}", links.len()),
        };
        Ok(Done {
            said,
            nodes: Vec::new(),
            links: links.len(),
        })
    }

    fn shown(&self, link: usize) -> String {
        let edge = &self.links[link].edge;
        format!("{}-{}", self.name(edge.a), self.name(edge.b))
    }

    /// Has both ends of these links do to frames what is to be done.
    fn shape(&self, links: &[usize]) -> Result<(), Failure> {
        let mut ends = Vec::new();
        for at in links {
            let LinkState {
                edge,
                shape,
                blocked,
                ..
            } = self.links[*at];
            for (end, (node, other)) in [(edge.a, edge.b), (edge.b, edge.a)].into_iter().enumerate()
            {
                if !self.is_dead(node) {
                    let blocked = blocked[end];
                    let shape = Shape { blocked, ..shape };
                    let shape = seeded(self.order.network.seed, *at, end, shape);
                    ends.push((node, other, shape));
                }
            }
        }
        for_all(&ends, |(node, other, shape)| {
            self.client(*node).shape(self.addr(*other), *shape)
        })?;
        Ok(())
    }

    /// Brings these links up, but for those that are cut or parted or have a dead end. Returns how many are up.
    fn link(&self, links: &[usize], interrupted: &dyn Fn() -> bool) -> Result<usize, Failure> {
        let wanted: Vec<LinkState> = links
            .iter()
            .map(|at| self.links[*at])
            .filter(|link| !link.cut && !link.is_parted() && self.both_alive(link))
            .collect();
        for_all(&wanted, |link| {
            // An error: it is up or on its way already, which is looked at next.
            let _ = self.client(link.edge.a).link_to(self.addr(link.edge.b));
            Ok(())
        })?;
        let ends: Vec<_> = wanted
            .iter()
            .flat_map(|link| [(link.edge.a, link.edge.b), (link.edge.b, link.edge.a)])
            .collect();
        self.until_linked(&ends, true, interrupted)?;
        Ok(wanted.len())
    }

    /// Waits until the first of each pair has a link to the second, or has none.
    fn until_linked(
        &self,
        pairs: &[(u32, u32)],
        linked: bool,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<(), Failure> {
        let mut nodes: Vec<u32> = pairs.iter().map(|(node, _)| *node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        settle(interrupted, || {
            let peers = for_all(&nodes, |node| self.client(*node).peers())?;
            let wrong = pairs.iter().find(|(node, other)| {
                let at = nodes.binary_search(node).expect("all are listed");
                peers[at].contains(&self.addr(*other)) != linked
            });
            Ok(wrong.map(|(node, other)| {
                let state = if linked { "no link" } else { "still a link" };
                format!(
                    "node {} has {state} to {}",
                    self.name(*node),
                    self.name(*other)
                )
            }))
        })
    }
}

/// What a link does to frames by itself. The delay that the simulator takes for granted is none that a file asks for.
pub(super) fn as_the_file_says(traits: &Traits) -> Shape {
    Shape {
        delay_us: if traits.delay_said {
            traits.delay_ns / 1_000
        } else {
            0
        },
        jitter_us: traits.jitter_ns / 1_000,
        drop_ppm: parts_per_million(traits.drop),
        rate: traits.rate,
        ..Shape::default()
    }
}

/// What one end of a link does to frames, with a seed of its own; `None`: nothing. `end`: 0 for the one that dials.
pub(super) fn seeded(seed: u64, link: usize, end: usize, shape: Shape) -> Option<Shape> {
    let seed = seed.rotate_left(32) ^ (2 * link + end) as u64;
    (shape != Shape::default()).then_some(Shape { seed, ..shape })
}

/// A chance as so many of a million.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a chance is from 0 to 1"
)]
pub(in crate::cli::lab) fn parts_per_million(chance: f64) -> u32 {
    (chance.clamp(0.0, 1.0) * MILLION).round() as u32
}

fn said_of(link: &LinkState) -> String {
    let shape = &link.shape;
    let time = |us: u64| crate::cli::output::units::short_time(Duration::from_micros(us));
    let mut said = vec![match (shape.delay_us, shape.jitter_us) {
        (0, 0) => "no delay".to_owned(),
        (delay, 0) => format!("delay {}", time(delay)),
        (delay, jitter) => format!("delay {} and up to {} more", time(delay), time(jitter)),
    }];
    if shape.drop_ppm > 0 {
        said.push(format!(
            "{} % of frames lost",
            f64::from(shape.drop_ppm) / 10_000.0
        ));
    }
    if let Some(rate) = shape.rate {
        said.push(format!("{}/s", crate::cli::output::units::size(rate)));
    }
    if link.is_parted() {
        said.push("parted".to_owned());
    }
    said.join(", ")
}

/// Names, if they are few.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 8;
    match names.len() {
        0..=SHOWN => names.join(" "),
        more => format!("{} and {} more", names[..SHOWN].join(" "), more - SHOWN),
    }
}
