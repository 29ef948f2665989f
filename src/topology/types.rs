//! The topology file as plain data: one type per object of the format.

use std::time::Duration;

use super::events::Step;
use super::{Import, Shape};
use crate::node::event::Role;

/// A whole file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Topology {
    /// Name shown in reports.
    pub name: String,
    /// A line about it, for people.
    pub about: String,
    /// What every random choice is drawn from.
    pub seed: u64,
    /// Values for all nodes and links that say nothing else.
    pub defaults: Defaults,
    /// Shapes to draw; they add up with `nodes` and `links`.
    pub generate: Vec<Generate>,
    /// Graphs of other files; their nodes come after those drawn.
    pub import: Vec<Import>,
    /// Nodes named one by one: new ones, or more about generated ones.
    pub nodes: Vec<NodeSpec>,
    /// Links named one by one.
    pub links: Vec<Link>,
    /// Files to spread over the nodes.
    pub content: Option<Content>,
    /// Queries to draw.
    pub workload: Option<Workload>,
    /// Shares of the nodes that do not behave, drawn from those that say nothing themselves.
    pub behaviours: Vec<(Behaviour, f64)>,
    /// Frames a second that nodes can handle, by the shares of those that say nothing themselves; only their
    /// proportions count.
    pub capacities: Vec<(u32, f64)>,
    /// Searches with what they must find.
    pub searches: Vec<Search>,
    /// What happens at which time.
    pub events: Vec<Step>,
}

/// Values for everything that says nothing else.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Defaults {
    /// TTL of queries.
    pub ttl: Option<u8>,
    /// Links a node accepts.
    pub max_peers: Option<usize>,
    /// Message ids a node remembers.
    pub seen_cache: Option<usize>,
    /// Whether a repeat of an id with a higher TTL passes again.
    pub ext_probes: Option<bool>,
    /// Upload slots.
    pub slots: Option<usize>,
    /// Place in two tiers; `None`: a flat overlay of equals.
    pub role: Option<Role>,
    /// Frames a second that a node can handle; `None`: any number.
    pub capacity: Option<u32>,
    /// Traits of all links.
    pub link: LinkTraits,
}

/// What a link does to frames. `None`: as the defaults have it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkTraits {
    /// Time each frame takes.
    pub delay: Option<Duration>,
    /// Up to so much longer, drawn for each frame; frames never overtake each other.
    pub jitter: Option<Duration>,
    /// Chance that one Gnutella message is lost, 0 to 1.
    pub drop: Option<f64>,
    /// Bytes a second each way; 0: as many as come, whatever the defaults say.
    pub rate: Option<u64>,
}

/// One shape to draw.
#[derive(Clone, Debug, PartialEq)]
pub struct Generate {
    /// Which, and how large.
    pub shape: Shape,
    /// Node ids are this and a number from 0.
    pub prefix: String,
    /// Place in two tiers of all its nodes; `None`: as the shape has it, else the defaults.
    pub role: Option<Role>,
}

/// One node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeSpec {
    /// Its name in the file.
    pub id: String,
    /// Made-up files.
    pub files: Vec<File>,
    /// Real folders, relative to the file.
    pub share: Vec<String>,
    /// Upload slots.
    pub slots: Option<usize>,
    /// Links it accepts.
    pub max_peers: Option<usize>,
    /// Message ids it remembers.
    pub seen_cache: Option<usize>,
    /// Place in two tiers.
    pub role: Option<Role>,
    /// How it behaves, when not as it should.
    pub behaviour: Option<Behaviour>,
    /// Frames a second that it can handle.
    pub capacity: Option<u32>,
}

/// One made-up file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Path below the node's folder, `/` between parts.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// What is in it.
    pub fill: Fill,
}

/// Contents of a made-up file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fill {
    /// Bytes drawn from the seed and the name: files of one name and size are copies of each other.
    #[default]
    Seeded,
    /// Zeros.
    Zero,
}

/// A node that does not behave as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Takes and gives nothing: has no file for others, whatever it is given.
    FreeRider,
    /// Passes on nothing of others, neither queries nor hits. What it asks and answers itself goes out.
    Silent,
    /// Handles few frames: see [`SLOW_PER_S`](super::SLOW_PER_S).
    Slow,
    /// Lies: answers every query with a file that it does not have.
    Junk,
}

impl Behaviour {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::FreeRider, Self::Silent, Self::Slow, Self::Junk];

    /// Its name in files.
    pub fn word(self) -> &'static str {
        match self {
            Self::FreeRider => "free-rider",
            Self::Silent => "silent",
            Self::Slow => "slow",
            Self::Junk => "junk",
        }
    }
}

/// One link.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The node that dials.
    pub from: String,
    /// The node that is dialled.
    pub to: String,
    /// What it does to frames.
    pub traits: LinkTraits,
}

/// Files spread over the nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// Different files.
    pub files: usize,
    /// Zipf exponent of their popularity; 0: all alike.
    pub zipf: f64,
    /// Copies of each.
    pub copies: Copies,
    /// Bytes of each.
    pub size: u64,
}

/// How many nodes hold a copy. Shares are fractions of all nodes, each file at least one copy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Copies {
    /// So many of each.
    Fixed(usize),
    /// The same share of each.
    Uniform(f64),
    /// This share on average, in proportion to popularity.
    Proportional(f64),
    /// This share on average, in proportion to the square root of popularity.
    SquareRoot(f64),
}

/// Queries to draw.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// How many.
    pub queries: usize,
    /// When.
    pub arrival: Arrival,
    /// Who asks: `None`: a node drawn for each query.
    pub from: Option<String>,
    /// TTL; `None`: the default one.
    pub ttl: Option<u8>,
}

/// When queries come.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Arrival {
    /// The next one when the last one is over.
    #[default]
    Sequential,
    /// At a fixed interval.
    Every(Duration),
    /// At random, so many a second on average.
    Poisson(f64),
}

/// One search and what it must find.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// Who asks.
    pub from: Asker,
    /// Words.
    pub query: String,
    /// TTL; `None`: the default one.
    pub ttl: Option<u8>,
    /// How many hits it must have; `None`: any number.
    pub hits: Option<Amount>,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asker {
    /// This node.
    Node(String),
    /// Each node in turn.
    Each,
}

/// A condition on a count, written `">=1"`, `"=3"`, `"<5"` or `3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    /// Lowest count that will do.
    pub min: u64,
    /// Highest count that will do.
    pub max: u64,
}

impl Amount {
    /// Reads a condition; `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.trim_start_matches(['<', '>', '=']);
        let n: u64 = digits.trim().parse().ok()?;
        let (min, max) = match &text[..text.len() - digits.len()] {
            ">=" => (n, u64::MAX),
            ">" => (n.checked_add(1)?, u64::MAX),
            "<=" => (0, n),
            "<" => (0, n.checked_sub(1)?),
            "=" | "==" | "" => (n, n),
            _ => return None,
        };
        Some(Self { min, max })
    }

    /// Does this count do?
    pub fn holds(self, count: u64) -> bool {
        (self.min..=self.max).contains(&count)
    }
}

/// As read by [`Amount::parse`].
impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.min, self.max) {
            (min, max) if min == max => write!(f, "={min}"),
            (min, u64::MAX) => write!(f, ">={min}"),
            (_, max) => write!(f, "<={max}"),
        }
    }
}
