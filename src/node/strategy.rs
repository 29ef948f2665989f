//! How a search spreads: what its asker does ([`Strategy`]) and how nodes pass floods on ([`Forward`]).
//!
//! | text | who acts | on the wire | prefer it when |
//! |---|---|---|---|
//! | `flood` | asker once | plain 0.6 | nodes are few, or an answer is wanted at once whatever it costs |
//! | `ring:1/2/4/7` | asker again and again | plain 0.6: each round is a query of its own | most of what is sought is near; one TTL step costs a factor of the degree |
//! | `walk:k=16` | asker, and every node on the way | needs nodes that know the mark ([`Walk`]); others flood it to its TTL, so it goes to those alone | copies are not rare and traffic is dear; slow |
//! | `dynamic` | asker, link by link | plain 0.6 | many links, unknown popularity: the rule of the live network |
//! | `normalised:4` | every node | plain 0.6, a choice of each node alone | degrees are very unequal: hubs no longer multiply |
//! | `light:4+3` | every node | plain 0.6 and a note between two of ours | graphs with cycles: the last hops bring nearly only duplicates |
//!
//! Sources: Lv and others, "Search and Replication in Unstructured Peer-to-Peer Networks" (2002): rings, walkers that
//! check with the asker; Gkantsidis, Mihail, Saberi, "Hybrid Search Schemes for Unstructured Peer-to-Peer Networks"
//! (2005): normalised floods; Jiang, Guo, Zhang, Wang, "`LightFlood`" (2003); Fisk, "Gnutella Dynamic Query Protocol"
//! (2003).

use std::fmt;
use std::str::FromStr;

use super::address::Net;
use super::limits;

/// What the asker of a search does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// What is usual in its place: a flood among equals and from leaves, link by link from an ultrapeer.
    #[default]
    Usual,
    /// One flood.
    Flood,
    /// Floods of rising TTL until enough was found.
    Ring(Vec<u8>),
    /// Walkers.
    Walk(Walk),
    /// Link by link, no further than it must.
    Dynamic,
}

/// Walkers: copies of a query that each go to one neighbour at a time, chosen at random, and ask the asker now and
/// then whether they are still wanted. They may come where they were before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// How many set out.
    pub walkers: u8,
    /// Steps between two questions; 0: they never ask.
    pub check: u8,
    /// Steps after which one ends in any case.
    pub steps: u8,
}

/// How a node passes floods on. Its own choice: no neighbour need agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forward {
    /// To all neighbours.
    #[default]
    Flood,
    /// To so many neighbours, drawn at random.
    Normalised(u8),
    /// To all neighbours while it has travelled fewer hops than this; further on along the tree that arises when each
    /// node picks its neighbour of most links.
    Light(u8),
}

/// A strategy of the laboratory: what askers do, what nodes do, and how far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Approach {
    /// What askers do.
    pub strategy: Strategy,
    /// How all nodes pass floods on.
    pub forward: Forward,
    /// TTL, where the strategy has one of its own.
    pub ttl: Option<u8>,
}

/// Why a text is no strategy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; strategies: flood, ring:1/2/4/7, walk:k=16, dynamic, normalised:4, light:4+3")]
pub struct BadStrategy(String);

impl BadStrategy {
    /// The same where one search is meant, not a whole network.
    pub fn for_searches(&self) -> String {
        format!(
            "{}; strategies of a search: flood, ring:1/2/4/7, walk:k=16, dynamic",
            self.0
        )
    }
}

fn bad(text: impl Into<String>) -> BadStrategy {
    BadStrategy(text.into())
}

fn hops(text: &str) -> Result<u8, BadStrategy> {
    let hops = text.trim().parse().ok().filter(|hops| *hops > 0);
    hops.ok_or_else(|| bad(format!("{text:?} is no number of hops from 1 to 255")))
}

impl FromStr for Strategy {
    type Err = BadStrategy;

    /// `flood`, `ring`, `ring:1/2/4/7`, `walk`, `walk:k=16,check=4,steps=255`, `dynamic`.
    fn from_str(text: &str) -> Result<Self, BadStrategy> {
        let (word, rest) = text.split_once(':').unwrap_or((text, ""));
        match word {
            "flood" if rest.is_empty() => Ok(Self::Flood),
            "dynamic" if rest.is_empty() => Ok(Self::Dynamic),
            "ring" if rest.is_empty() => Ok(Self::Ring(RING.to_vec())),
            "ring" => {
                let ttls: Vec<u8> = rest.split('/').map(hops).collect::<Result<_, _>>()?;
                if ttls.len() > limits::RING_ROUNDS_MAX || !ttls.is_sorted_by(|a, b| a < b) {
                    return Err(bad(format!(
                        "{text:?}: give rising TTLs with / between them, at most {}",
                        limits::RING_ROUNDS_MAX
                    )));
                }
                Ok(Self::Ring(ttls))
            }
            "walk" => Walk::parse(rest).map(Self::Walk),
            "flood" | "dynamic" => Err(bad(format!("{word} takes nothing behind it"))),
            "normalised" | "light" => Err(bad(format!(
                "{word} is what every node of a network does, not one search: see `lab run`"
            ))),
            _ => Err(bad(format!("unknown strategy {text:?}"))),
        }
    }
}

impl Strategy {
    /// May a search spread so on this net?
    ///
    /// # Errors
    /// Why not, and the way out.
    pub fn fits(&self, net: Net) -> Result<(), String> {
        let why = match self {
            Self::Usual | Self::Dynamic => return Ok(()),
            _ if net != Net::Gnutella => return Ok(()),
            Self::Flood => "asks everybody at once",
            Self::Ring(_) => "asks the same again and again",
            Self::Walk(_) => "goes among equals that know its mark",
        };
        Err(format!(
            "{self} {why}, and the public network asks link by link: leave --strategy out there, or search --net lan"
        ))
    }
}

/// TTLs of rings when none are named: doubling, as in Lv and others.
const RING: [u8; 4] = [1, 2, 4, 7];

impl Walk {
    /// What Lv and others call good: some tens of walkers, a question every fourth step.
    pub const USUAL: Self = Self {
        walkers: 16,
        check: 4,
        steps: u8::MAX - 1,
    };

    fn parse(text: &str) -> Result<Self, BadStrategy> {
        let mut walk = Self::USUAL;
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or(("k", part));
            let wrong = || bad(format!("{part:?}: walk takes k, check and steps, 0 to 254"));
            let value: u8 = value.trim().parse().map_err(|_| wrong())?;
            match key.trim() {
                "k" if (1..=limits::WALKERS_MAX).contains(&value) => walk.walkers = value,
                "k" => {
                    let most = limits::WALKERS_MAX;
                    return Err(bad(format!("{part:?}: 1 to {most} walkers")));
                }
                "check" => walk.check = value,
                "steps" if (1..u8::MAX).contains(&value) => walk.steps = value,
                _ => return Err(wrong()),
            }
        }
        Ok(walk)
    }
}

impl FromStr for Forward {
    type Err = BadStrategy;

    /// `flood`, `normalised:4`, `light:4`.
    fn from_str(text: &str) -> Result<Self, BadStrategy> {
        match text.split_once(':') {
            None if text == "flood" => Ok(Self::Flood),
            Some(("normalised", links)) => hops(links).map(Self::Normalised).map_err(|_| {
                bad(format!(
                    "{text:?}: give the number of links, such as normalised:4"
                ))
            }),
            Some(("light", flooded)) => hops(flooded).map(Self::Light),
            _ => Err(bad(format!("{text:?} is no way to pass floods on"))),
        }
    }
}

impl FromStr for Approach {
    type Err = BadStrategy;

    /// What [`Strategy`] and [`Forward`] read; `flood:7` and `light:4+3` say the TTL too.
    fn from_str(text: &str) -> Result<Self, BadStrategy> {
        match text.split_once(':') {
            Some(("flood", ttl)) => Ok(Self {
                strategy: Strategy::Flood,
                ttl: Some(hops(ttl)?),
                ..Self::default()
            }),
            Some(("light", rest)) => {
                let (flooded, tree) = rest.split_once('+').unwrap_or((rest, "3"));
                let (flooded, tree) = (hops(flooded)?, hops(tree)?);
                let ttl = flooded.checked_add(tree);
                Ok(Self {
                    strategy: Strategy::Flood,
                    forward: Forward::Light(flooded),
                    ttl: Some(ttl.ok_or_else(|| bad(format!("{text:?} is too far")))?),
                })
            }
            Some(("normalised", _)) => Ok(Self {
                strategy: Strategy::Flood,
                forward: text.parse()?,
                ttl: None,
            }),
            _ => Ok(Self {
                strategy: text.parse()?,
                ..Self::default()
            }),
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usual => write!(f, "usual"),
            Self::Flood => write!(f, "flood"),
            Self::Ring(ttls) => {
                let ttls: Vec<String> = ttls.iter().map(u8::to_string).collect();
                write!(f, "ring:{}", ttls.join("/"))
            }
            Self::Walk(walk) => {
                write!(f, "walk:k={}", walk.walkers)?;
                if walk.check != Walk::USUAL.check {
                    write!(f, ",check={}", walk.check)?;
                }
                if walk.steps != Walk::USUAL.steps {
                    write!(f, ",steps={}", walk.steps)?;
                }
                Ok(())
            }
            Self::Dynamic => write!(f, "dynamic"),
        }
    }
}

impl fmt::Display for Approach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.forward, self.ttl) {
            (Forward::Flood, Some(ttl)) => write!(f, "{}:{ttl}", self.strategy),
            (Forward::Flood, None) => write!(f, "{}", self.strategy),
            (Forward::Normalised(links), _) => write!(f, "normalised:{links}"),
            (Forward::Light(flooded), ttl) => {
                let tree = ttl.unwrap_or(flooded).saturating_sub(flooded);
                write!(f, "light:{flooded}+{tree}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_shown_again() {
        for text in [
            "flood",
            "flood:4",
            "ring:1/2/4/7",
            "walk:k=16",
            "walk:k=32,check=0,steps=100",
            "dynamic",
            "normalised:4",
            "light:4+3",
        ] {
            assert_eq!(text.parse::<Approach>().unwrap().to_string(), text);
        }
        assert_eq!("walk".parse::<Approach>().unwrap().to_string(), "walk:k=16");
        assert_eq!("light:2".parse::<Approach>().unwrap().ttl, Some(5));
    }

    #[test]
    fn what_is_none_says_what_there_is() {
        for text in [
            "",
            "fload",
            "flood:0",
            "ring:2/1",
            "ring:1/x",
            "walk:k=0",
            "walk:k=200",
            "walk:q=1",
            "walk:steps=255",
            "dynamic:3",
            "normalised",
            "light:255+1",
            "ring:1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17",
        ] {
            let error = text.parse::<Approach>().unwrap_err().to_string();
            assert!(error.contains("strategies: flood, ring"), "{text}: {error}");
        }
    }
}
