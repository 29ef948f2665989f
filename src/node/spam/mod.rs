//! How much a result looks like a fake: a score from 0 to 1 out of signals, each with a weight and a reason.
//!
//! Pure: evidence of one search goes in as hits come, verdicts come out. Weights add up as independent doubts do:
//! what is left of trust after each signal is multiplied. On a LAN, where people share under the very names that
//! others type and hash while they share, only a listed hash, or a program in disguise with much against it
//! besides, gets above [`HIDE_ABOVE`]; a test holds that fast. Which signals: results that echo the query, one size
//! under many names, names without hash, listed hashes are what fakes of the live network are known by.

mod name;
mod signal;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::address::Net;
use super::media::Kind;
use name::Name;
pub use signal::Signal;
use signal::{DISGUISED, far, near, weight};

/// Results with a higher score are hidden unless asked for. Two strong doubts or three middling ones get there, one
/// alone does not, but for a listed hash.
pub const HIDE_ABOVE: f64 = 0.8;
/// Results with a higher score come after all others that are shown.
pub const DOUBT_ABOVE: f64 = 0.5;

/// Copies of one file that are judged; the kindest verdict counts, so more could only help a fake.
const OFFERS_MAX: usize = 16;
/// Names of one size that are compared: more than any level asks for.
const NAMES_MAX: usize = 32;
/// Responders whose records are watched; those beyond are judged by each record alone.
const RESPONDERS_MAX: usize = 10_000;
/// Results of one responder that the rules of the network allow for one query (gtk-gnutella and a hit's count: 255).
const RECORDS_FAIR: u32 = 255;
/// Sizes that are a multiple of this are made so: images of disks and cartridges, logs cut off, databases.
const BLOCK_BYTES: u64 = 512;
/// The least time that a link of the live network takes one way. Far below any real one.
const LINK_TIME_MIN: Duration = Duration::from_micros(500);

/// What was searched for.
#[derive(Clone, Debug)]
pub struct Asked {
    words: Vec<String>,
    programs: bool,
}

impl Asked {
    /// A search for the words of `text`; `programs`: programs are what is wanted.
    pub fn new(text: &str, programs: bool) -> Self {
        let words = name::words(text);
        let named = |word: &String| Kind::of_ending(word) == Some(Kind::Program);
        Self {
            programs: programs || words.iter().any(named),
            words,
        }
    }
}

/// Do people who know each other share there?
fn is_near(net: Net) -> bool {
    match net {
        Net::Lan => true,
        Net::Gnutella | Net::Rehearsal => false,
    }
}

/// One copy of a file, as a hit told of it.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The net it came on: each is judged by the customs of its own.
    pub net: Net,
    /// Who has it.
    pub responder: SocketAddr,
    /// Base name.
    pub name: &'a str,
    /// Size in bytes.
    pub size: u64,
    /// A hash was told.
    pub hashed: bool,
    /// It stands on a list of fakes.
    pub listed: bool,
    /// Hops of its hit; 0 is a neighbour's.
    pub hops: u8,
    /// How long after the query it came.
    pub after: Duration,
}

/// What is thought of one file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// 0: nothing against it; 1: a known fake.
    pub score: f64,
    /// What counted, and how much.
    pub signals: Vec<(Signal, f64)>,
}

impl Verdict {
    fn of(all: impl IntoIterator<Item = (Signal, f64)>) -> Self {
        let signals: Vec<_> = all
            .into_iter()
            .filter(|(_, weight)| *weight > 0.0)
            .collect();
        let trust: f64 = signals.iter().map(|(_, weight)| 1.0 - weight).product();
        Self {
            score: 1.0 - trust,
            signals,
        }
    }

    /// Is it hidden unless asked for?
    pub fn hides(&self) -> bool {
        self.score > HIDE_ABOVE
    }
}

#[derive(Clone, Debug)]
struct Judged {
    near: bool,
    responder: SocketAddr,
    name: Name,
    too_fast: bool,
}

#[derive(Clone, Debug)]
struct File {
    size: u64,
    hashed: bool,
    listed: bool,
    offers: Vec<Judged>,
}

#[derive(Clone, Debug, Default)]
struct Responder {
    records: u32,
    echo_kinds: BTreeSet<Option<Kind>>,
    files: Vec<usize>,
}

/// Contents of one exact size.
#[derive(Clone, Debug, Default)]
struct SizeGroup {
    shapes: BTreeSet<String>,
    names: BTreeSet<Vec<String>>,
    files: Vec<usize>,
}

impl SizeGroup {
    /// Contents that are no series: differently named ones, and those of the same name.
    fn strange(&self) -> usize {
        self.shapes.len() + self.files.len().saturating_sub(self.names.len())
    }
}

/// The evidence of one search. Files are numbered by whoever keeps them, from 0 on.
#[derive(Clone, Debug)]
pub struct Scorer {
    asked: Asked,
    files: Vec<File>,
    sizes: BTreeMap<u64, SizeGroup>,
    responders: BTreeMap<SocketAddr, Responder>,
    /// Files whose verdict may be another than before.
    changed: BTreeSet<usize>,
}

impl Scorer {
    /// Nothing is known yet.
    pub fn new(asked: Asked) -> Self {
        Self {
            asked,
            files: Vec::new(),
            sizes: BTreeMap::new(),
            responders: BTreeMap::new(),
            changed: BTreeSet::new(),
        }
    }

    /// A record came, also one that does not count as a result: it tells of its responder.
    pub fn hear(&mut self, responder: SocketAddr, name: &str) {
        let full = self.responders.len() >= RESPONDERS_MAX;
        if full && !self.responders.contains_key(&responder) {
            return;
        }
        let name = Name::of(name, &self.asked.words);
        let known = self.responders.entry(responder).or_default();
        known.records = known.records.saturating_add(1);
        let news = name.is_echo && known.echo_kinds.insert(name.kind);
        if news || known.records == RECORDS_FAIR + 1 {
            self.changed.extend(&known.files);
        }
    }

    /// A copy of file number `file` came: one that is known, or the next new one.
    pub fn offer(&mut self, file: usize, offer: &Offer<'_>) {
        let name = Name::of(offer.name, &self.asked.words);
        if file >= self.files.len() {
            self.files.push(File {
                size: offer.size,
                hashed: offer.hashed,
                listed: false,
                offers: Vec::new(),
            });
            if offer.hashed && offer.size >= BLOCK_BYTES && !offer.size.is_multiple_of(BLOCK_BYTES)
            {
                self.count_size(file, offer.size, &name);
            }
        }
        let known = &mut self.files[file];
        known.listed |= offer.listed;
        if known.offers.len() < OFFERS_MAX {
            let links = u32::from(offer.hops) + 1;
            // There and back over each link.
            let too_fast = offer.net == Net::Gnutella
                && offer.hops > 0
                && offer.after < LINK_TIME_MIN * 2 * links;
            known.offers.push(Judged {
                near: is_near(offer.net),
                responder: offer.responder,
                name,
                too_fast,
            });
        }
        if let Some(responder) = self.responders.get_mut(&offer.responder)
            && responder.files.last() != Some(&file)
        {
            responder.files.push(file);
        }
        self.changed.insert(file);
    }

    fn count_size(&mut self, file: usize, size: u64, name: &Name) {
        let group = self.sizes.entry(size).or_default();
        if group.names.len() >= NAMES_MAX {
            return;
        }
        let weights = |group: &SizeGroup| {
            let strange = group.strange();
            (
                weight(near::SAME_SIZE, strange),
                weight(far::SAME_SIZE, strange),
            )
        };
        let before = weights(group);
        group.files.push(file);
        group.shapes.insert(name.shape.clone());
        group.names.insert(name.words.clone());
        if weights(group) != before {
            self.changed.extend(&group.files);
        }
    }

    /// Files whose verdict may be another than when last asked.
    pub fn changed(&mut self) -> BTreeSet<usize> {
        std::mem::take(&mut self.changed)
    }

    /// What is thought of a file by now: of its copies the one with the least against it decides.
    pub fn verdict(&self, file: usize) -> Verdict {
        let Some(file) = self.files.get(file) else {
            return Verdict::default();
        };
        let group = self.sizes.get(&file.size).filter(|_| file.hashed);
        let strange = group.map_or(0, SizeGroup::strange);
        let of_file = |near: bool| {
            let no_hash = if near { near::NO_HASH } else { far::NO_HASH };
            let sizes = if near {
                near::SAME_SIZE
            } else {
                far::SAME_SIZE
            };
            [
                (Signal::Listed, if file.listed { 1.0 } else { 0.0 }),
                (Signal::SameSize, weight(sizes, strange)),
                (Signal::NoHash, if file.hashed { 0.0 } else { no_hash }),
            ]
        };
        file.offers
            .iter()
            .map(|offer| {
                Verdict::of(
                    of_file(offer.near)
                        .into_iter()
                        .chain(self.of_offer(file, offer)),
                )
            })
            .min_by(|one, other| one.score.total_cmp(&other.score))
            .unwrap_or_default()
    }

    fn of_offer(&self, file: &File, offer: &Judged) -> [(Signal, f64); 7] {
        let near = offer.near;
        let known = self.responders.get(&offer.responder);
        let kinds = known.map_or(0, |known| known.echo_kinds.len());
        let flood = known.is_some_and(|known| known.records > RECORDS_FAIR);
        let shapes: BTreeSet<&str> = file
            .offers
            .iter()
            .filter(|other| other.responder == offer.responder)
            .map(|other| other.name.shape.as_str())
            .collect();
        let echo = match (near, self.asked.words.len()) {
            (true, _) => near::ECHO,
            (false, 0 | 1) => far::ECHO_OF_ONE_WORD,
            (false, _) => far::ECHO,
        };
        let echoes = if near {
            near::ECHOES_OF_ONE
        } else {
            far::ECHOES_OF_ONE
        };
        let names = if near {
            near::MANY_NAMES
        } else {
            far::MANY_NAMES
        };
        let program = if near { near::PROGRAM } else { far::PROGRAM };
        let unasked = offer.name.is_program && !self.asked.programs;
        let when = |holds: bool, weight: f64| if holds { weight } else { 0.0 };
        [
            (Signal::Echo, when(offer.name.is_echo, echo)),
            (
                Signal::EchoesOfOne,
                when(offer.name.is_echo, weight(echoes, kinds)),
            ),
            (Signal::ManyNames, weight(names, shapes.len())),
            (Signal::Program, when(unasked, program)),
            (Signal::Disguised, when(offer.name.is_disguised, DISGUISED)),
            (Signal::TooFast, when(offer.too_fast, far::TOO_FAST)),
            (Signal::Flood, when(flood && !near, far::FLOOD)),
        ]
    }
}

#[cfg(test)]
mod tests;
