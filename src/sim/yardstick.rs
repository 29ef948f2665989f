//! What the same workload costs where somebody keeps an index: textbook models, in the laboratory only, to hold a flood
//! against. No node of filbert routes so.
//!
//! - [`Index::Central`]: one server is told all names and asked all questions, as Napster was.
//! - [`Index::Chord`]: each word has an owner on a ring of identifiers, who keeps the list of all files with that word.
//!   Look-ups go by fingers, each half of the way that is left; a query of several words visits their owners one after
//!   the other. Source: Stoica and others, "Chord: A Scalable Peer-to-peer Lookup Service for Internet Applications",
//!   SIGCOMM 2001, sections 4 and 6; words as keys: Reynolds and Vahdat, "Efficient Peer-to-Peer Keyword Searching", 2003.
//!
//! `failed` is churn at its worst: so many nodes have just gone, and nobody has repaired a finger or an index yet. A finger
//! to a dead node costs a message and [`TIMEOUT_NS`]; its keys are lost, since textbook Chord keeps one copy; the server
//! still names files of the dead, which are no hits.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::Arc;

use rand::Rng;

use super::Measured;
use super::report::{QueryReport, Report};
use super::run::{Folder, libraries, predictions};
use crate::node::library::Library;
use crate::node::words::each_word;
use crate::topology::plan::{Ask, Plan};
use crate::topology::{Network, TopologyError, dice};
use crate::wire::header::HEADER_BYTES;

/// Purpose of the randomness that places nodes on the ring and kills them.
const RING_PURPOSE: u64 = 9 << 32;
/// How long a node waits for a dead finger. Our choice: the timeout of the paper's section 6.5, rounded.
const TIMEOUT_NS: u64 = 500_000_000;
/// Bits of an identifier, hence fingers of a node.
const BITS: u32 = 64;
/// Bytes of a query besides its text: header, minimum speed and the end of the text, as in a flood.
const QUERY_BYTES: u64 = HEADER_BYTES as u64 + 3;
/// Bytes of a hit besides its files: header, count, address, speed and servent id.
const HIT_BYTES: u64 = HEADER_BYTES as u64 + 27;
/// Bytes of a file in a hit besides its name: index, size, two ends. The name is taken for as long as the question.
const FILE_BYTES: u64 = 10;

/// Who keeps the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Index {
    /// One server that knows everything.
    Central,
    /// A ring with fingers.
    Chord,
}

/// An index to compare with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yardstick {
    /// Who keeps it.
    pub index: Index,
    /// Share of nodes that have just gone.
    pub failed: f64,
}

/// No index of that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no index to compare with: central, chord, or either with a share of dead nodes, such as chord:failed=0.2"
)]
pub struct BadYardstick(pub String);

impl FromStr for Yardstick {
    type Err = BadYardstick;

    fn from_str(text: &str) -> Result<Self, BadYardstick> {
        let bad = || BadYardstick(text.to_owned());
        let (name, rest) = text.split_once(':').unwrap_or((text, "failed=0"));
        let share = rest.strip_prefix("failed=").ok_or_else(bad)?;
        let failed: f64 = share.parse().map_err(|_| bad())?;
        if !(0.0..1.0).contains(&failed) {
            return Err(bad());
        }
        let index = match name {
            "central" => Index::Central,
            "chord" => Index::Chord,
            _ => return Err(bad()),
        };
        Ok(Self { index, failed })
    }
}

impl std::fmt::Display for Yardstick {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.index {
            Index::Central => "central",
            Index::Chord => "chord",
        })?;
        if self.failed > 0.0 {
            write!(f, ":failed={}", self.failed)?;
        }
        Ok(())
    }
}

/// How one look-up went.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LookUp {
    /// Nodes on the way that are alive, the asker not counted; the last one owns the key.
    path: Vec<u32>,
    /// Messages to dead fingers.
    dead: u64,
    /// The owner of the key is alive and was found.
    found: bool,
}

/// Nodes on a ring of identifiers.
#[derive(Debug)]
struct Ring {
    /// Identifier and node, in order.
    places: Vec<(u64, u32)>,
    /// Place of each node.
    place_of: Vec<usize>,
    alive: Vec<bool>,
}

impl Ring {
    fn new(nodes: u32, failed: f64, seed: u64) -> Self {
        let mut rng = dice::seeded(seed, RING_PURPOSE);
        let mut places: Vec<_> = (0..nodes).map(|node| (rng.next_u64(), node)).collect();
        places.sort_unstable();
        let mut place_of = vec![0; places.len()];
        for (at, (_, node)) in places.iter().enumerate() {
            place_of[*node as usize] = at;
        }
        let alive = (0..nodes)
            .map(|_| !dice::chance(&mut rng, failed))
            .collect();
        Self {
            places,
            place_of,
            alive,
        }
    }

    /// The place that owns a key: the first at or behind it.
    fn owner(&self, key: u64) -> usize {
        let at = self.places.partition_point(|(id, _)| *id < key);
        at % self.places.len()
    }

    fn is_alive(&self, place: usize) -> bool {
        self.alive[self.places[place].1 as usize]
    }

    /// From node to node by the finger that goes farthest without passing the key.
    fn look_up(&self, from: u32, key: u64) -> LookUp {
        let mut at = self.place_of[from as usize];
        let owner = self.owner(key);
        let (mut path, mut dead) = (Vec::new(), 0);
        // Fingers of before the failures, so that no node knows more than in peace.
        while at != owner {
            let here = self.places[at].0;
            let left = key.wrapping_sub(here);
            let mut tried = BTreeSet::new();
            let mut next = None;
            for bit in (0..BITS).rev() {
                let finger = self.owner(here.wrapping_add(1 << bit));
                let way = self.places[finger].0.wrapping_sub(here);
                // Past the key only its owner will do, who is the successor then.
                if finger == at || way >= left || !tried.insert(finger) {
                    continue;
                }
                if self.is_alive(finger) {
                    next = Some(finger);
                    break;
                }
                dead += 1;
            }
            let next = next.unwrap_or_else(|| self.successor(at, owner, &mut dead));
            if !self.is_alive(next) {
                // The owner, and it is gone with its keys.
                return LookUp {
                    path,
                    dead,
                    found: false,
                };
            }
            path.push(self.places[next].1);
            at = next;
        }
        LookUp {
            path,
            dead,
            found: true,
        }
    }

    /// The next living place, up to the owner: a list of successors long enough for any failure the paper looks at.
    fn successor(&self, at: usize, owner: usize, dead: &mut u64) -> usize {
        let mut next = (at + 1) % self.places.len();
        while next != owner && !self.is_alive(next) {
            *dead += 1;
            next = (next + 1) % self.places.len();
        }
        if next == owner && !self.is_alive(owner) {
            *dead += 1;
        }
        next
    }
}

/// Where a word lies on the ring: FNV-1a, mixed once more because the ring is cut by the high bits.
fn key_of(word: &str) -> u64 {
    let hash = word.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    mixed ^ (mixed >> 33)
}

fn words_of(text: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    each_word(text, |word| {
        words.insert(word.to_owned());
    });
    words
}

/// A run of a plan on an index, and the messages that made the index before the first question.
///
/// # Errors
/// Two tiers, in which leaves would have to be left out.
pub fn run(
    network: &Network,
    plan: &Plan,
    folders: &BTreeMap<u32, Vec<Folder>>,
    yardstick: Yardstick,
) -> Result<(Report, u64), TopologyError> {
    if network.roles.are_two_tiers() {
        let text =
            format!("{yardstick} knows no ultrapeers and leaves: compare with a flat topology");
        return Err(TopologyError::new("", text));
    }
    if !network.events.is_empty() {
        let text = format!(
            "{yardstick} knows no \"events\": remove them from the file, or compare strategies only"
        );
        return Err(TopologyError::new("events", text));
    }
    let libraries = libraries(plan, folders);
    let nodes = u32::try_from(network.names.len()).expect("at most NODES_MAX");
    let ring = Ring::new(nodes, yardstick.failed, network.seed);
    let published = published(plan, &ring, yardstick.index);
    let mut loads = vec![0_u64; nodes as usize + 1];
    let predictions = predictions(network, plan, &libraries);
    let queries: Vec<QueryReport> = plan
        .asks
        .iter()
        .zip(predictions)
        .map(|(ask, predicted)| {
            let holders = holders(&libraries, ask, &ring);
            let delay = network.traits[0].delay_ns;
            let measured = match yardstick.index {
                Index::Central => {
                    loads[nodes as usize] += 1;
                    central(ask, holders, delay)
                }
                Index::Chord => chord(ask, holders, delay, &ring, &mut loads),
            };
            // What the graph predicts is about a flood: beside, for comparison.
            QueryReport::new(network, ask, measured, predicted, false)
        })
        .collect();
    let mut report = Report::new(network, &network.graph(), "sim", queries);
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of a run are far below 2^53"
    )]
    if !plan.asks.is_empty() {
        let most = loads.iter().max().copied().unwrap_or(0);
        report.load_max = Some(most as f64 / plan.asks.len() as f64);
    }
    Ok((report, published))
}

/// Messages that tell the index what there is.
fn published(plan: &Plan, ring: &Ring, index: Index) -> u64 {
    let mut messages = 0;
    for (node, files) in &plan.files {
        let words: BTreeSet<String> = files.iter().flat_map(|file| words_of(&file.name)).collect();
        messages += match index {
            // One list from each node that shares anything.
            Index::Central => 1,
            Index::Chord => {
                let hops = |word: &String| ring.look_up(*node, key_of(word)).path.len() as u64;
                words.iter().map(hops).sum()
            }
        };
    }
    messages
}

/// Files of living nodes that match.
fn holders(libraries: &BTreeMap<u32, Arc<Library>>, ask: &Ask, ring: &Ring) -> u64 {
    let mut found = Vec::new();
    for (node, library) in libraries {
        if *node != ask.from && ring.alive[*node as usize] {
            library.search(&ask.query, crate::node::limits::HITS_PER_QUERY, &mut found);
        }
    }
    found.len() as u64
}

fn hit_bytes(ask: &Ask, hits: u64) -> u64 {
    HIT_BYTES + hits * (FILE_BYTES + ask.query.len() as u64)
}

fn central(ask: &Ask, hits: u64, delay: u64) -> Measured {
    let mut measured = Measured {
        messages: 1,
        reached: 1,
        bytes: QUERY_BYTES + ask.query.len() as u64,
        ..Measured::default()
    };
    if hits > 0 {
        answered(&mut measured, ask, hits, 1, 2 * delay);
    }
    measured
}

fn chord(ask: &Ask, hits: u64, delay: u64, ring: &Ring, loads: &mut [u64]) -> Measured {
    let mut measured = Measured::default();
    let (mut at, mut visited, mut all) = (ask.from, BTreeSet::new(), true);
    for word in words_of(&ask.query) {
        let way = ring.look_up(at, key_of(&word));
        measured.messages += way.path.len() as u64 + way.dead;
        measured.lost += way.dead;
        for node in &way.path {
            loads[*node as usize] += 1;
            visited.insert(*node);
        }
        at = way.path.last().copied().unwrap_or(at);
        all &= way.found;
        if !way.found {
            break;
        }
    }
    measured.reached = visited.len() as u64;
    let each = QUERY_BYTES + ask.query.len() as u64;
    // Each owner but the last hands its list on, which is no shorter than what is found in the end.
    measured.bytes = measured.messages * each;
    if all && hits > 0 {
        let alive = measured.messages - measured.lost;
        let hops = u32::try_from(alive).unwrap_or(u32::MAX);
        let time = (alive + 1) * delay + measured.lost * TIMEOUT_NS;
        answered(&mut measured, ask, hits, hops.max(1), time);
    }
    measured
}

fn answered(measured: &mut Measured, ask: &Ask, hits: u64, hops: u32, time_ns: u64) {
    measured.hits = hits;
    (measured.hit_frames, measured.hit_messages) = (1, 1);
    measured.bytes += hit_bytes(ask, hits);
    measured.first_hit_hops = Some(hops);
    measured.first_hit_ns = Some(time_ns);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::cast_precision_loss, reason = "few look-ups")]
    fn look_ups(nodes: u32, failed: f64) -> (f64, f64) {
        let (mut hops, mut found, mut asked) = (0, 0, 0);
        for seed in 0..3 {
            let ring = Ring::new(nodes, failed, seed);
            let mut rng = dice::seeded(seed, 1);
            for _ in 0..1_000 {
                let from = dice::node(&mut rng, nodes);
                if !ring.alive[from as usize] {
                    continue;
                }
                let way = ring.look_up(from, rng.next_u64());
                asked += 1;
                found += u32::from(way.found);
                hops += way.path.len();
            }
        }
        (
            hops as f64 / f64::from(asked),
            f64::from(found) / f64::from(asked),
        )
    }

    /// Section 6.3 of the paper: half the logarithm of the nodes to whoever knows the owner, and here one more to it.
    #[test]
    fn a_path_is_half_a_logarithm_long() {
        for (nodes, expected) in [(256, 4.0), (4096, 6.0)] {
            let (hops, found) = look_ups(nodes, 0.0);
            assert!((hops - 1.0 - expected).abs() < 0.35, "{nodes}: {hops}");
            assert!((found - 1.0).abs() < 1e-9);
        }
    }

    /// Section 6.4: as many look-ups fail as nodes, because their keys are lost.
    #[test]
    fn look_ups_fail_with_the_owners_of_their_keys() {
        for failed in [0.1, 0.3, 0.5] {
            let (_, found) = look_ups(1_000, failed);
            assert!((1.0 - found - failed).abs() < 0.04, "{failed}: {found}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for text in ["central", "chord", "chord:failed=0.2"] {
            assert_eq!(text.parse::<Yardstick>().unwrap().to_string(), text);
        }
        for text in ["pastry", "chord:failed=1", "chord:k=3", "central:failed=x"] {
            assert!(text.parse::<Yardstick>().is_err(), "{text}");
        }
    }
}
